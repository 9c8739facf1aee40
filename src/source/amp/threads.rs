//! Threads: new ones by their first sync, recent ones by a window, all of them by a sweep.
//!
//! `after` filters by `firstSyncedAt`, so an edit of an old thread shows in the window or the sweep only
//! (Amp External API v2, `GET /api/v2/threads`).

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::domain::record::{Evidence, Failure, Page, Record, Rows};
use crate::domain::time::{Timestamp, plus};
use crate::source::{LookEnd, LookRequest, Pages, Reach};

use super::client::{Client, Get, META};
use super::listing::Listing;
use crate::source::body::{take_key, take_text, timestamp};
use crate::source::seen::{Seen, Sight};

/// Path of the list below the base URL.
pub(super) const PATH: [&str; 3] = ["api", "v2", "threads"];
/// The largest page there is.
const PAGE: &str = "100";
/// A head look begins this much before the newest thread seen.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);
/// Threads first synced this recently are looked at again and again.
const HOT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How far ahead of the server's clock a `firstSyncedAt` may be without being nonsense.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// Looks at the threads.
pub(super) async fn look(client: &Client, request: &LookRequest, pages: &Pages) -> LookEnd {
    let mut newest = stored(request).filter(|at| *at <= plus(server_now(client, request), AHEAD));
    // Nothing can be called new or recent before there is something to compare with.
    let reach = if newest.is_none() || request.state.baseline.is_none() { Reach::Full } else { request.reach };
    let query = query(reach, newest);
    let get = Get { path: &PATH, query: &query, scope: META };
    let mut listing = Listing::new(client, get, "threads");
    let mut seen = Seen::default();
    let evidence = loop {
        let rows = match listing.next().await {
            Ok(Some(rows)) => rows,
            Ok(None) if reach == Reach::Full => break Evidence::Complete,
            Ok(None) => break Evidence::Window,
            Err(failure) => break Evidence::Partial(failure),
        };
        let page = page(client, rows, listing.pages(), &mut seen);
        let last = note_newest(&mut newest, &page, server_now(client, request));
        if pages.send(page).await.is_err() {
            break Evidence::Partial(Failure::broken("the look at the threads was stopped"));
        }
        if reach == Reach::Hot && last.zip(newest).is_some_and(|(last, newest)| last < plus(newest, -HOT)) {
            break Evidence::Window;
        }
    };
    LookEnd::new(evidence, newest.map(|at| json!({ "newest": at.to_string() })), listing.pages())
}

fn query(reach: Reach, newest: Option<Timestamp>) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", PAGE.to_owned())];
    match (reach, newest) {
        (Reach::Head, Some(newest)) => query.push(("after", plus(newest, -OVERLAP).to_string())),
        (Reach::Hot, _) => query.push(("sort", "DESC".to_owned())),
        _ => query.push(("sort", "ASC".to_owned())),
    }
    query
}

fn stored(request: &LookRequest) -> Option<Timestamp> {
    timestamp(request.state.cursor.get("newest")?.as_str()?)
}

fn server_now(client: &Client, request: &LookRequest) -> Timestamp {
    client.server_now().unwrap_or(request.now)
}

/// Takes note of the newest `firstSyncedAt`, a server's value, so that no clock of ours decides what is new. Returns
/// that of the last row that has one.
///
/// A value ahead of the server's clock must not freeze the cursor there: none counts for later than now, and one that
/// is more than a day ahead counts for nothing.
fn note_newest(newest: &mut Option<Timestamp>, page: &Page, now: Timestamp) -> Option<Timestamp> {
    let Rows::Records(records) = &page.rows else { return None };
    let mut last = None;
    for record in records {
        let synced = record.facts.get("firstSyncedAt").and_then(Value::as_str).and_then(timestamp);
        let Some(synced) = synced.filter(|synced| *synced <= plus(now, AHEAD)) else { continue };
        last = Some(synced);
        *newest = (*newest).max(Some(synced.min(now)));
    }
    last
}

fn page(client: &Client, rows: Vec<Value>, number: u32, seen: &mut Seen) -> Page {
    seen.turn();
    let mut quarantined = Vec::new();
    let mut records = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        match record(client, row) {
            Some(record) if seen.take(&record.key) == Sight::Moved => {}
            Some(record) => records.push(record),
            None => quarantined.push(format!("row {} of page {number} has no usable id", index + 1)),
        }
    }
    Page { quarantined, ..Page::of(Rows::Records(records)) }
}

fn record(client: &Client, row: Value) -> Option<Record> {
    let Value::Object(mut row) = row else { return None };
    let key = take_key(&mut row, "id")?;
    let mut record = Record { link: Some(client.url(&["threads", &key]).to_string()), key, ..Record::default() };
    watch(&mut record, &mut row, "title", Value::is_string);
    watch(&mut record, &mut row, "mainThreadID", Value::is_string);
    watch(&mut record, &mut row, "repositories", Value::is_array);
    record.name = record.fields.get("title").and_then(Value::as_str).map(str::to_owned);
    for name in ["createdAt", "updatedAt", "firstSyncedAt", "creatorUserID"] {
        let Some(text) = take_text(&mut row, name) else { continue };
        match name {
            "createdAt" => record.created_at = timestamp(&text),
            "updatedAt" => record.updated_at = timestamp(&text),
            "creatorUserID" => record.who = Some(text.clone()),
            _ => {}
        }
        record.facts.insert(name.to_owned(), Value::String(text));
    }
    if let Some(Value::Array(threads)) = row.get("subThreads") {
        record.facts.insert("subThreads".to_owned(), json!(threads.len()));
    }
    Some(record)
}

/// Absent stays absent, null is null, and a wrong type counts as absent.
fn watch(record: &mut Record, row: &mut Map<String, Value>, name: &str, fits: fn(&Value) -> bool) {
    if let Some(value) = row.remove(name).filter(|value| value.is_null() || fits(value)) {
        record.fields.insert(name.to_owned(), value);
    }
}
