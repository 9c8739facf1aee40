//! Members of the workspace. They have no id: the email, in lower case, is the key, so a new address is a removal and
//! an addition (Amp External API v2, `GET /api/v2/workspace/members`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::record::{Evidence, Failure, Page, Record, Rows};
use crate::source::{LookEnd, Pages};

use super::client::{Client, Get, MEMBERS};
use super::listing::Listing;
use crate::source::body::take_key;
use crate::source::seen::{Seen, Sight};

/// Path of the list below the base URL.
pub(super) const PATH: [&str; 4] = ["api", "v2", "workspace", "members"];

/// Looks at the members; `names` learns who has which name, by email.
pub(super) async fn look(client: &Client, pages: &Pages, names: &mut BTreeMap<String, String>) -> LookEnd {
    // The document knows no pages here; should the list grow some, a first page must not pass for the whole.
    let mut listing = Listing::new(client, Get { path: &PATH, query: &[], scope: MEMBERS }, "members");
    let mut seen = Seen::default();
    let evidence = loop {
        let rows = match listing.next().await {
            Ok(Some(rows)) => rows,
            Ok(None) => break Evidence::Complete,
            Err(failure) => break Evidence::Partial(failure),
        };
        let page = page(rows, listing.pages(), names, &mut seen);
        if pages.send(page).await.is_err() {
            break Evidence::Partial(Failure::broken("the look at the members was stopped"));
        }
    };
    LookEnd::new(evidence, None, listing.pages())
}

fn page(rows: Vec<Value>, number: u32, names: &mut BTreeMap<String, String>, seen: &mut Seen) -> Page {
    seen.turn();
    let mut quarantined = Vec::new();
    let mut records = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let Some(record) = record(row) else {
            quarantined.push(format!("row {} of page {number} has no usable email", index + 1));
            continue;
        };
        let sight = seen.take(&record.key);
        if sight == Sight::Moved {
            continue;
        }
        if let Some(name) = record.name.as_ref().filter(|_| sight == Sight::First) {
            names.insert(record.key.clone(), name.clone());
        }
        records.push(record);
    }
    Page { quarantined, ..Page::of(Rows::Records(records)) }
}

fn record(row: Value) -> Option<Record> {
    let Value::Object(mut row) = row else { return None };
    let email = take_key(&mut row, "email")?;
    let mut record =
        Record { key: email.trim().to_lowercase(), who: Some(email.trim().to_owned()), ..Record::default() };
    // A name may be null; a role never is, so null there is as good as absent.
    for name in ["name", "role"] {
        if let Some(value) = row.remove(name).filter(|value| value.is_string() || (value.is_null() && name == "name")) {
            record.fields.insert(name.to_owned(), value);
        }
    }
    let named = record.fields.get("name").and_then(Value::as_str).map(str::trim);
    record.name = named.filter(|name| !name.is_empty()).map(str::to_owned);
    Some(record)
}
