//! How many messages a thread has and how the last one ended: calls for each thread, so few of them, and only where the
//! config asks.
//!
//! The API names no count: a thread's messages are read page by page and counted. Their shapes are "currently not
//! stable" (Amp External API v2, `GET /api/v2/threads/{threadID}/messages`), so of each nothing but the word for its
//! state is looked at, and of that word only what is known leaves this file. No text is kept, and no hash of one: a
//! hash of a short text can be guessed.

use serde_json::{Value, json};

use crate::domain::record::{Failure, Page, Record, Rows};
use crate::source::{LookEnd, LookRequest, Pages};

use super::client::{CONTENTS, Client, Get, Refusal};
use super::hourly::{Hourly, Share};
use super::listing::Listing;

/// Threads in one page.
const PAGE_KEYS: usize = 20;
/// The largest page there is.
const PAGE: &str = "100";
/// Pages read of one thread, at most: 2,000 messages.
const PAGES: u32 = 20;
/// States of a message that are known (`state.type` of exported threads).
const STATES: [&str; 4] = ["complete", "streaming", "cancelled", "error"];

/// Looks at the messages of the wanted threads, as many as the budget allows; the others stay wanted.
pub(super) async fn look(client: &Client, budget: &Hourly, request: &LookRequest, pages: &Pages) -> LookEnd {
    let mut batch = Batch::default();
    let mut calls = 0;
    let mut fault = None;
    for key in &request.wanted {
        if !budget.take(client.local_now(), Share::Whole) {
            break;
        }
        match read(client, budget, key, &mut calls).await {
            Ok(Some(record)) => batch.records.push(record),
            Ok(None) => batch.quarantined.push(format!("the thread {key} has more messages than are counted")),
            Err(Refusal::NotFound) => {}
            Err(Refusal::Invalid(_)) => batch.quarantined.push(format!("the thread {key} is refused as a thread id")),
            Err(Refusal::TooLarge(_)) => {
                batch.quarantined.push(format!("the messages of thread {key} are too large to be read"));
            }
            Err(Refusal::Odd(failure)) => batch.quarantined.push(failure.message),
            Err(Refusal::Failed(failure)) => {
                fault = Some(failure);
                break;
            }
        }
        batch.asked.push(key.clone());
        if batch.asked.len() == PAGE_KEYS && pages.send(std::mem::take(&mut batch).finish()).await.is_err() {
            fault = Some(stopped());
            break;
        }
    }
    if !batch.asked.is_empty() && pages.send(batch.finish()).await.is_err() {
        fault = fault.or_else(|| Some(stopped()));
    }
    LookEnd::one_by_one(fault, calls)
}

/// One thread; `None` where it has more messages than are counted. What a thread takes beyond its first call is booked
/// and never refused, so that a long one is not begun anew for ever.
async fn read(client: &Client, budget: &Hourly, key: &str, calls: &mut u32) -> Result<Option<Record>, Refusal> {
    // A URL swallows these two: what would be asked then is something else.
    if matches!(key, "." | "..") {
        return Err(Refusal::NotFound);
    }
    let path = ["api", "v2", "threads", key, "messages"];
    let query = [("limit", PAGE.to_owned())];
    let mut listing = Listing::new(client, Get { path: &path, query: &query, scope: CONTENTS }, "messages");
    let (mut count, mut last) = (0_u64, Value::Null);
    *calls += 1;
    while let Some(rows) = listing.next_or_refusal().await? {
        count += rows.len() as u64;
        if let Some(message) = rows.last() {
            last = state(message);
        }
        if listing.has_more() {
            if listing.pages() == PAGES {
                return Ok(None);
            }
            *calls += 1;
            budget.book(client.local_now());
        }
    }
    let fields = [("messageCount".to_owned(), json!(count)), ("lastState".to_owned(), last)];
    Ok(Some(Record { key: key.to_owned(), fields: fields.into(), ..Record::default() }))
}

/// The state of a message by its word: one of those that are known, `other`, or null where it names none.
fn state(message: &Value) -> Value {
    let state = message.get("state");
    let word = state.and_then(|state| state.get("type").unwrap_or(state).as_str());
    match word {
        None => Value::Null,
        Some(word) => json!(STATES.into_iter().find(|known| *known == word).unwrap_or("other")),
    }
}

fn stopped() -> Failure {
    Failure::broken("the look at the messages of threads was stopped")
}

/// A page in the making.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    quarantined: Vec<String>,
    asked: Vec<String>,
}

impl Batch {
    fn finish(self) -> Page {
        Page { quarantined: self.quarantined, asked: self.asked, ..Page::of(Rows::Records(self.records)) }
    }
}
