//! Source kind `amp`: the Amp External API v2 of a workspace. Threads, members, daily usage, what threads cost, and how
//! many messages they have.
//!
//! Contract: the API's own document, version v2 (<https://ampcode.com>). The live API is wider than it, so unknown fields
//! pass.

mod client;
mod collections;
mod config;
mod daily_usage;
mod hourly;
mod listing;
mod members;
mod messages;
mod split;
mod thread_usage;
mod threads;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::record::{Evidence, Failure};
use crate::domain::time::{Timestamp, utc_day};

use super::oauth::missing_scope;
use super::prices::PriceBook;
use super::{Allowance, Collection, LookEnd, LookRequest, Pages, Remembered, Source};

use client::{CONTENTS, Client, Get, MEMBERS, META, SCOPES};

pub use config::Config;

const THREADS: &str = "threads";
const MEMBER_LIST: &str = "members";
const DAILY_USAGE: &str = "daily_usage";
const THREAD_USAGE: &str = "thread_usage";
const MESSAGES: &str = "messages";

/// One workspace.
struct Amp {
    name: String,
    collections: Vec<Collection>,
    client: Client,
    prices: Arc<dyn PriceBook>,
    thread_calls: hourly::Hourly,
    message_calls: hourly::Hourly,
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
            MESSAGES => messages::look(&self.client, &self.message_calls, request, pages).await,
            other => LookEnd::failed(Failure::broken(format!("a source of kind amp has no collection {other:?}"))),
        }
    }

    fn allowance(&self) -> Allowance {
        Allowance::of(None, self.client.quota(), &self.collections)
    }

    fn asked_to_wait(&self) -> Option<watch::Receiver<Option<Timestamp>>> {
        Some(self.client.asked_to_wait())
    }

    fn remember(&self, remembered: Remembered) {
        self.client.remember(remembered);
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
