//! A list that comes in pages, each naming the cursor of the next.
//!
//! Invariant: the end is explicit (no `nextCursor`); a cursor or a page that comes again, or an empty page that
//! promises more, is a failure and never an end.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::domain::record::{Failure, key_hash};

use super::client::{Client, Get, Refusal};

/// Pages of one look, at most: two million threads.
pub(super) const PAGES: u32 = 20_000;

/// One list on its way.
pub(super) struct Listing<'a> {
    client: &'a Client,
    get: Get<'a>,
    /// The member that holds the rows.
    rows: &'static str,
    next: Next,
    /// Hashes of the cursors so far.
    seen: BTreeSet<u64>,
    /// Hashes of the rows that pages began with. A server that ever shows the same page, with ever new cursors, would
    /// keep a look busy for hours.
    first_rows: BTreeSet<u64>,
    pages: u32,
}

enum Next {
    First,
    Cursor(String),
    /// The last page was fine but what it says of the next is not.
    Fault(Failure),
    End,
}

impl<'a> Listing<'a> {
    pub fn new(client: &'a Client, get: Get<'a>, rows: &'static str) -> Self {
        Self { client, get, rows, next: Next::First, seen: BTreeSet::new(), first_rows: BTreeSet::new(), pages: 0 }
    }

    /// Pages read so far.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// The rows of the next page; `None` after the explicit end.
    ///
    /// # Errors
    /// Why the list broke off; the listing is over then.
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, Failure> {
        let what = self.get.what();
        self.next_or_refusal().await.map_err(|refusal| refusal.into_failure(&what))
    }

    /// Whether the last page named a next one.
    pub fn has_more(&self) -> bool {
        matches!(self.next, Next::Cursor(_))
    }

    /// The same, for lists of which it matters how they are refused.
    pub async fn next_or_refusal(&mut self) -> Result<Option<Vec<Value>>, Refusal> {
        let cursor = match std::mem::replace(&mut self.next, Next::End) {
            Next::First => None,
            Next::Cursor(cursor) => Some(cursor),
            Next::Fault(failure) => return Err(Refusal::Odd(failure)),
            Next::End => return Ok(None),
        };
        let mut query = self.get.query.to_vec();
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let get = Get { query: &query, ..self.get.clone() };
        let mut body = self.client.get(&get).await?;
        self.pages += 1;
        let Some(Value::Array(rows)) = body.remove(self.rows) else {
            return Err(Refusal::Odd(self.fault(&format!("has no list `{}`; check base_url", self.rows))));
        };
        self.next = self.after(&body);
        if rows.is_empty() && !matches!(self.next, Next::End) {
            return Err(Refusal::Odd(self.fault("is empty yet names a next page")));
        }
        if rows.first().is_some_and(|row| !self.first_rows.insert(key_hash(&row.to_string()))) {
            return Err(Refusal::Odd(self.fault("begins like a page that was there before")));
        }
        Ok(Some(rows))
    }

    fn after(&mut self, body: &Map<String, Value>) -> Next {
        let cursor = match body.get("nextCursor") {
            None | Some(Value::Null) => return Next::End,
            Some(Value::String(cursor)) if cursor.is_empty() => return Next::End,
            Some(Value::String(cursor)) => cursor,
            Some(_) => return Next::Fault(self.fault("names a next page by something that is no text")),
        };
        if !self.seen.insert(key_hash(cursor)) {
            return Next::Fault(self.fault("names a next page that was there before"));
        }
        if self.pages >= PAGES {
            return Next::Fault(self.fault("is the last that is read in one look, and there is more"));
        }
        Next::Cursor(cursor.clone())
    }

    fn fault(&self, what: &str) -> Failure {
        Failure::broken(format!("{}: page {} {what}", self.get.what(), self.pages))
    }
}
