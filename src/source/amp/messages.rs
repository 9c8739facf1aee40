//! How many messages a thread has and how the last one ended: calls for each thread, so few of them, and only where the
//! config asks.
//!
//! The API names no count: a thread's messages are read page by page and counted. Their shapes are "currently not
//! stable" (Amp External API v2, `GET /api/v2/threads/{threadID}/messages`), so of each nothing but the word for its
//! state is looked at, and of that word only what is known leaves this file. No text is kept, and no hash of one: a
//! hash of a short text can be guessed.

use serde_json::{Value, json};

use crate::domain::record::{Page, Record, Rows};
use crate::source::asking::Asking;
use crate::source::{LookEnd, LookRequest, Pages};

use super::client::{CONTENTS, Client, Get, Refusal, is_swallowed};
use super::hourly::{Hourly, Share};
use super::listing::Listing;

/// What is looked at.
const WHAT: &str = "the messages of threads";
/// Threads in one page.
const PAGE_KEYS: usize = 20;
/// The largest page there is.
const PAGE: &str = "100";
/// Pages read of one thread, at most: 2,000 messages.
const PAGES: u32 = 20;
/// States of a message that are known (`state.type` of exported threads).
const STATES: [&str; 4] = ["complete", "streaming", "cancelled", "error"];

/// Looks at the messages of the wanted threads, as many as the budget allows; the others stay wanted. Those that could not be
/// read before come after them.
pub(super) async fn look(client: &Client, budget: &Hourly, request: &LookRequest, pages: &Pages) -> LookEnd {
    let (mut batch, mut asking) = (Batch::default(), Asking::default());
    let wanted = request.wanted.iter().map(|key| (key, Share::Whole));
    for (key, share) in wanted.chain(request.again.iter().map(|key| (key, Share::Half))) {
        if is_swallowed(key) {
            batch.asked.push(key.clone());
            continue;
        }
        if !budget.take(client.local_now(), share) {
            break;
        }
        let then = match read(client, budget, key, &mut asking).await {
            Err(Refusal::Failed(failure)) => {
                let then = asking.failed(key, failure);
                batch.failed.extend(then.asked.then(|| key.clone()));
                then
            }
            outcome => {
                batch.take(key, outcome);
                asking.answered()
            }
        };
        batch.asked.extend(then.asked.then(|| key.clone()));
        if batch.asked.len() >= PAGE_KEYS && pages.send(std::mem::take(&mut batch).finish()).await.is_err() {
            asking.stopped(WHAT);
            break;
        }
        if !then.go_on {
            break;
        }
    }
    if !batch.asked.is_empty() && pages.send(batch.finish()).await.is_err() {
        asking.stopped(WHAT);
    }
    asking.end()
}

/// One thread; `None` where it has more messages than are counted. What a thread takes beyond its first call is booked
/// and never refused, so that a long one is not begun anew for ever.
async fn read(client: &Client, budget: &Hourly, key: &str, asking: &mut Asking) -> Result<Option<Record>, Refusal> {
    let path = ["api", "v2", "threads", key, "messages"];
    let query = [("limit", PAGE.to_owned())];
    let mut listing = Listing::new(client, Get { path: &path, query: &query, scope: CONTENTS }, "messages");
    let (mut count, mut last) = (0_u64, Value::Null);
    while let Some(rows) = listing.next_or_refusal().await? {
        count += rows.len() as u64;
        if let Some(message) = rows.last() {
            last = state(message);
        }
        if listing.has_more() {
            if listing.pages() == PAGES {
                return Ok(None);
            }
            asking.called();
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

/// A page in the making.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    quarantined: Vec<String>,
    asked: Vec<String>,
    failed: Vec<String>,
}

impl Batch {
    /// What was found out about a thread.
    fn take(&mut self, key: &str, outcome: Result<Option<Record>, Refusal>) {
        match outcome {
            Ok(Some(record)) => self.records.push(record),
            Ok(None) => self.quarantined.push(format!("the thread {key} has more messages than are counted")),
            Err(Refusal::NotFound | Refusal::Failed(_)) => {}
            Err(Refusal::Invalid(_)) => self.quarantined.push(format!("the thread {key} is refused as a thread id")),
            Err(Refusal::TooLarge(_)) => {
                self.quarantined.push(format!("the messages of thread {key} are too large to be read"));
            }
            Err(Refusal::Odd(failure)) => self.quarantined.push(failure.message),
        }
    }

    fn finish(self) -> Page {
        let Self { records, quarantined, asked, failed } = self;
        Page { quarantined, asked, failed, ..Page::of(Rows::Records(records)) }
    }
}
