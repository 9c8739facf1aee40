//! Source kind `amp`: the Amp External API v2 of a workspace. Threads, members, daily usage, and what threads cost.
//!
//! Contract: the API's own document, version v2 (<https://ampcode.com>). The live API is wider than it, so unknown fields
//! pass.

mod client;
mod config;
mod daily_usage;
mod listing;
mod members;
mod split;
mod thread_usage;
mod threads;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::collection::{CollectionSpec, Deletes, EventNames, Role, UpdateRule};
use crate::domain::record::{Evidence, Failure};
use crate::domain::time::utc_day;

use super::oauth::missing_scope;
use super::prices::PriceBook;
use super::{Collection, LookEnd, LookRequest, Pages, Schedule, Source};

use client::{CONTENTS, Client, Get, MEMBERS, META, SCOPES};

pub use config::Config;

const THREADS: &str = "threads";
const MEMBER_LIST: &str = "members";
const DAILY_USAGE: &str = "daily_usage";
const THREAD_USAGE: &str = "thread_usage";

/// One workspace.
struct Amp {
    name: String,
    collections: Vec<Collection>,
    client: Client,
    prices: Arc<dyn PriceBook>,
    thread_calls: thread_usage::Hourly,
    /// Names by email, as the members were last seen; daily usage knows ids and emails only.
    names: Mutex<BTreeMap<String, String>>,
}

#[async_trait]
impl Source for Amp {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "amp"
    }

    fn collections(&self) -> &[Collection] {
        &self.collections
    }

    async fn look(&self, request: &LookRequest, pages: &Pages) -> LookEnd {
        match request.collection.as_str() {
            THREADS => threads::look(&self.client, request, pages).await,
            MEMBER_LIST => {
                let mut names = BTreeMap::new();
                let end = members::look(&self.client, pages, &mut names).await;
                if end.evidence == Evidence::Complete {
                    *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
                }
                end
            }
            DAILY_USAGE => {
                let names = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
                daily_usage::look(&self.client, self.prices.as_ref(), &names, request, pages).await
            }
            THREAD_USAGE => thread_usage::look(&self.client, &self.thread_calls, request, pages).await,
            other => LookEnd::failed(Failure::broken(format!("a source of kind amp has no collection {other:?}"))),
        }
    }

    async fn connect(&self) -> Result<String, Failure> {
        let granted = self.client.auth().granted().await?;
        let (has, missing): (Vec<&str>, Vec<&str>) = SCOPES.into_iter().partition(|scope| granted.contains(*scope));
        if has.is_empty() {
            return Err(missing_scope(&SCOPES.join(" ")));
        }
        let mut read = Vec::new();
        for scope in &has {
            let got = match *scope {
                META => {
                    self.reach(&threads::PATH, &[("limit", "1".to_owned())], META).await?;
                    "threads"
                }
                CONTENTS => "their titles and repositories",
                MEMBERS => {
                    self.reach(&members::PATH, &[], MEMBERS).await?;
                    "members"
                }
                _ => {
                    let today = utc_day(self.client.server_now().unwrap_or(self.client.local_now()));
                    let answer = daily_usage::ask(&self.client, today, 1).await;
                    answer.map_err(|refusal| refusal.into_failure("the daily usage"))?;
                    "daily usage"
                }
            };
            read.push(got);
        }
        let can = format!("signed in; can read {}", read.join(", "));
        Ok(if missing.is_empty() { can } else { format!("{can}; not granted: {}", missing.join(", ")) })
    }
}

impl Amp {
    async fn reach(&self, path: &[&str], query: &[(&str, String)], scope: &'static str) -> Result<(), Failure> {
        let get = Get { path, query, scope };
        self.client.get(&get).await.map(|_| ()).map_err(|refusal| refusal.into_failure(&get.what()))
    }
}

/// The collections of one workspace, looked at in multiples of `every`.
fn collections(
    source: &str,
    fingerprint: &str,
    every: Duration,
    wants_costs: bool,
    calls_per_hour: u32,
) -> Vec<Collection> {
    let spec = |name: &str, role, noun: &str| CollectionSpec {
        source: source.to_owned(),
        name: name.to_owned(),
        role,
        fingerprint: fingerprint.to_owned(),
        noun: noun.to_owned(),
        ..CollectionSpec::default()
    };
    let times = |n: u32| every.saturating_mul(n);
    let threads = CollectionSpec {
        events: EventNames {
            created: Some("thread.created".to_owned()),
            updated: vec![update(None, Some("thread.updated"))],
            deleted: Some("thread.deleted".to_owned()),
            ..EventNames::default()
        },
        deletes: Deletes::TwoSweeps,
        ..spec(THREADS, Role::Record, "thread")
    };
    let members = CollectionSpec {
        events: EventNames {
            created: Some("member.added".to_owned()),
            updated: vec![update(Some("role"), Some("member.role_changed")), update(None, None)],
            deleted: Some("member.removed".to_owned()),
            ..EventNames::default()
        },
        deletes: Deletes::TwoSweeps,
        ..spec(MEMBER_LIST, Role::Record, "member")
    };
    let full = |full| Schedule { head: None, hot: None, full };
    let mut collections = vec![
        Collection {
            spec: Arc::new(threads),
            schedule: Schedule { head: Some(times(1)), hot: Some(times(15)), full: times(1440) },
            calls_per_day: Some(calls_a_day(times(1)) + calls_a_day(times(15)) + 1),
            calls_note: "at least; one more for each 100 threads of the last week in every recent look, and for each \
                         100 threads there are in every full one"
                .to_owned(),
        },
        Collection {
            spec: Arc::new(members),
            schedule: full(times(2)),
            calls_per_day: Some(calls_a_day(times(2))),
            calls_note: "one a look".to_owned(),
        },
        Collection {
            spec: Arc::new(spec(DAILY_USAGE, Role::Spend, "day")),
            schedule: full(times(2)),
            calls_per_day: Some(calls_a_day(times(2))),
            calls_note: "one a look".to_owned(),
        },
    ];
    if wants_costs {
        collections.push(Collection {
            spec: Arc::new(spec(THREAD_USAGE, Role::Cost, "thread")),
            schedule: full(times(1)),
            calls_per_day: Some(u64::from(calls_per_hour) * 24),
            calls_note: "at most; one for each thread that was worked on".to_owned(),
        });
    }
    collections
}

fn update(field: Option<&str>, event: Option<&str>) -> UpdateRule {
    UpdateRule { field: field.map(str::to_owned), event: event.map(str::to_owned), ..UpdateRule::default() }
}

fn calls_a_day(interval: Duration) -> u64 {
    let looks = 86_400_000 / interval.as_millis().max(1);
    u64::try_from(looks).unwrap_or(u64::MAX)
}
