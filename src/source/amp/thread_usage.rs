//! What single threads have cost: one call each, so few of them, and only where a rule asks.
//!
//! A cost grows while nothing else of a thread changes, and a new thread's is there some time after the thread: so threads
//! are asked for again and again, with half of the calls at most.
//!
//! A thread's figure includes its sub-threads. 404 means unknown: figures are there for threads of the last 90 days
//! only (Amp External API v2, `GET /api/v2/threads/{threadID}/usage`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::domain::money::Micros;
use crate::domain::record::{CostRow, Page, Rows};
use crate::source::asking::Asking;
use crate::source::{LookEnd, LookRequest, Pages};

use super::client::{Client, Get, META, Refusal, is_swallowed};
use super::hourly::{Hourly, Share};

/// What is looked at.
const WHAT: &str = "the costs of threads";
/// Threads in one page.
const PAGE_KEYS: usize = 20;

/// Looks at what the wanted threads have cost, as many as the budget allows; the others stay wanted. Those that were asked
/// for before come after them, as long as half of the budget is left for what is worked on next.
pub(super) async fn look(client: &Client, budget: &Hourly, request: &LookRequest, pages: &Pages) -> LookEnd {
    let (mut batch, mut asking) = (Batch::default(), Asking::default());
    let wanted = request.wanted.iter().map(|key| (key, Share::Whole));
    for (key, share) in wanted.chain(request.again.iter().map(|key| (key, Share::Half))) {
        if is_swallowed(key) {
            batch.asked.push(key.clone());
            continue;
        }
        if !request.all && !budget.take(client.local_now(), share) {
            break;
        }
        let then = match ask(client, key).await {
            Ok(body) => {
                batch.read(key, &body);
                asking.answered()
            }
            Err(Refusal::NotFound) => asking.answered(),
            Err(Refusal::Invalid(_)) => {
                batch.quarantined.push(format!("the thread {key} is refused as a thread id"));
                asking.answered()
            }
            Err(refusal) => asking.failed(key, refusal.into_failure("GET /api/v2/threads/…/usage")),
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

async fn ask(client: &Client, key: &str) -> Result<Map<String, Value>, Refusal> {
    client.get(&Get { path: &["api", "v2", "threads", key, "usage"], query: &[], scope: META }).await
}

/// A page in the making.
#[derive(Default)]
struct Batch {
    rows: Vec<CostRow>,
    quarantined: Vec<String>,
    asked: Vec<String>,
}

impl Batch {
    fn read(&mut self, key: &str, body: &Map<String, Value>) {
        if body.get("threadID").and_then(Value::as_str).is_some_and(|id| id != key) {
            self.quarantined.push(format!("the cost of thread {key} came back as another thread's"));
            return;
        }
        let amount = body.get("usage").and_then(|usage| Micros::from_json(usage, 0).ok());
        let Some(cost) = amount.filter(|amount| !amount.is_negative()) else {
            self.quarantined.push(format!("the cost of thread {key} is no amount"));
            return;
        };
        let mut facts = BTreeMap::new();
        if let Some(Value::Array(threads)) = body.get("subThreadIDs") {
            facts.insert("subThreads".to_owned(), json!(threads.len()));
        }
        self.rows.push(CostRow { key: key.to_owned(), cost, estimated: false, facts });
    }

    fn finish(self) -> Page {
        Page { quarantined: self.quarantined, asked: self.asked, ..Page::of(Rows::Costs(self.rows)) }
    }
}
