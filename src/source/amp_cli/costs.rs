//! `threadDisplayCostInfo`: what single threads have cost, one read-only call each, where a rule asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use crate::domain::collection::{CollectionSpec, Deletes, Role};
use crate::domain::ids;
use crate::domain::money::Micros;
use crate::domain::record::{CostRow, Failure, FailureKind, Page, Rows};
use crate::source::asking::Asking;
use crate::source::origin::host_id;
use crate::source::rest::{Refusal, Rest};
use crate::source::{Collection, LookEnd, LookRequest, Pages, Schedule};

pub const NAME: &str = "thread_costs";
const METHOD: &str = "threadDisplayCostInfo";
/// Threads asked for in one look, at most: a look comes every fifteen base intervals.
const ASKED: usize = 15;
const LOOKS: u32 = 15;
/// Threads asked for where all are to be, the newest: nothing is documented, so gently.
const ASKED_AT_ONCE: usize = 60;

pub fn collection(source: &str, base: &Url, every: Duration) -> Collection {
    let spec = CollectionSpec {
        source: source.to_owned(),
        name: NAME.to_owned(),
        role: Role::Cost,
        fingerprint: ids::derive("rest", &[base.as_str(), METHOD]),
        host: Some(host_id(&[base])),
        deletes: Deletes::Never,
        optional: true,
        noun: "thread".to_owned(),
        ..CollectionSpec::default()
    };
    Collection {
        spec: Arc::new(spec),
        schedule: Schedule { head: None, hot: None, full: every.saturating_mul(LOOKS) },
        calls_per_day: Some(u64::from(86_400 / u32::try_from(every.as_secs().max(1)).unwrap_or(u32::MAX)).min(86_400)),
        calls_note: format!(
            "at most: one for each thread that was worked on or that is of the last week, hourly as far as they go; besides, \
             up to {ASKED_AT_ONCE} at the first look and in every `once`"
        ),
    }
}

/// Asks for the wanted threads, the most recent first, then again for those that have waited longest; those beyond the limit
/// stay wanted.
pub async fn look(rest: &Rest, request: &LookRequest, pages: &Pages) -> LookEnd {
    let mut page = Page::of(Rows::Costs(Vec::new()));
    let (mut rows, mut asking) = (Vec::new(), Asking::default());
    let most = if request.all { ASKED_AT_ONCE } else { ASKED };
    for key in request.wanted.iter().chain(&request.again).take(most) {
        let then = match ask(rest, key).await {
            Ok(cost) => {
                let row = |cost| CostRow { key: key.clone(), cost, estimated: false, facts: BTreeMap::new() };
                rows.extend(cost.map(row));
                asking.answered()
            }
            Err(failure) => asking.failed(key, failure),
        };
        page.asked.extend(then.asked.then(|| key.clone()));
        if !then.go_on {
            break;
        }
    }
    page.rows = Rows::Costs(rows);
    if !page.asked.is_empty() && pages.send(page).await.is_err() {
        asking.stopped("the costs of threads");
    }
    asking.end()
}

/// What a thread has cost; `None` where that is not known.
async fn ask(rest: &Rest, key: &str) -> Result<Option<Micros>, Failure> {
    let unsupported = |message: String| Failure { kind: FailureKind::Unsupported { what: NAME.to_owned() }, message };
    let body = json!({ "method": METHOD, "params": { "threadID": key } });
    let document = match rest.post(&format!("/api/internal?{METHOD}"), body).await {
        Ok(answer) => answer.document,
        Err(Refusal::NotFound(failure)) => return Err(unsupported(failure.message)),
        Err(Refusal::Failed(failure)) => return Err(failure),
    };
    if document.get("ok") == Some(&Value::Bool(true)) {
        let total = document.pointer("/result/totalCostUSD");
        return match total {
            Some(Value::Null) => Ok(None),
            Some(amount) => match Micros::from_json(amount, 0) {
                Ok(cost) if !cost.is_negative() => Ok(Some(cost)),
                _ => Err(unsupported(format!("{METHOD} was answered with a cost that is no amount"))),
            },
            None => Err(unsupported(format!("{METHOD} was answered without a totalCostUSD"))),
        };
    }
    match document.pointer("/error/code").and_then(Value::as_str) {
        Some("thread-not-found") => Ok(None),
        Some("auth-required") => Err(Failure {
            kind: FailureKind::Unauthorized,
            message: format!("{METHOD} refused the key; check api_key"),
        }),
        _ => Err(unsupported(format!("{METHOD} was answered with an error of no known form"))),
    }
}
