//! Source `amp_cli`: what the Amp CLI calls on ampcode.com (`config/sources/amp_cli.toml` says how it is read).
//!
//! What the manifest can't say: the balance is prose, read line by line, and what threads cost is one call each, made
//! only where a rule asks. Nothing here is a published contract; every collection is optional, so another shape than the
//! known one degrades that collection and leaves the rest.

mod balance;
mod costs;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::rest::builtin::{self, Faults, connector};
use super::rest::hook::Hook;
use super::rest::place::RowView;
use super::rest::{Additions, Connector, Rest};
use super::{Allowance, Collection, Common, Context, LookEnd, LookRequest, Pages, Remembered, Source, SourceConfig};
use crate::domain::collection::CollectionSpec;
use crate::domain::money::Micros;
use crate::domain::record::{Failure, Page, Record};
use crate::domain::setting::{Decimal, Secret};
use crate::domain::time::Timestamp;

const KIND: &str = "amp_cli";

/// Amp CLI endpoints (user, threads, GitHub, display balance and costs).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The CLI's key, `AMP_API_KEY`.
    pub api_key: Secret,
    /// Stands before `/api/user`. Plain http only to loopback.
    #[serde(default)]
    #[schemars(extend("default" = "https://ampcode.com"))]
    pub base_url: Option<Secret>,
    /// At this balance, or below, a pool of credits is low.
    #[serde(default = "five_dollars")]
    #[schemars(extend("default" = 5))]
    pub balance_low_usd: Decimal,
}

fn five_dollars() -> Decimal {
    Decimal("5".to_owned())
}

impl Config {
    fn connector(&self) -> Result<Connector, Faults> {
        connector(KIND, &self.api_key, self.base_url.as_ref(), |manifest| {
            if let Some(balance) = manifest.collections.get_mut("balance") {
                balance.bands.insert("low".to_owned(), self.balance_low_usd.clone());
            }
        })
    }
}

impl SourceConfig for Config {
    fn problems(&self) -> Faults {
        let known = |(key, message): (String, String)| match key.as_str() {
            "collections.balance.bands.low" => ("balance_low_usd".to_owned(), message),
            _ => (key, message),
        };
        let low = Micros::parse_usd(&self.balance_low_usd.0).is_ok_and(Micros::is_negative);
        let low = low.then(|| ("balance_low_usd".to_owned(), "must not be below 0".to_owned()));
        self.connector().err().unwrap_or_default().into_iter().map(known).chain(low).collect()
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Source>, String> {
        let additions = Additions { hook: Some(Arc::new(Cli)), ..Additions::default() };
        let connector = self.connector().map_err(builtin::joined)?;
        let rest = Rest::build(KIND, name, connector, common, context, additions)?;
        let mut collections = rest.collections().to_vec();
        if context.wants_costs {
            collections.push(costs::collection(name, rest.base(), common.every));
        }
        Ok(Arc::new(AmpCli { rest, collections }))
    }
}

struct AmpCli {
    rest: Rest,
    collections: Vec<Collection>,
}

#[async_trait]
impl Source for AmpCli {
    fn name(&self) -> &str {
        self.rest.name()
    }

    fn kind(&self) -> &'static str {
        KIND
    }

    fn collections(&self) -> &[Collection] {
        &self.collections
    }

    async fn look(&self, request: &LookRequest, pages: &Pages) -> LookEnd {
        if request.collection == costs::NAME {
            return costs::look(&self.rest, request, pages).await;
        }
        self.rest.look(request, pages).await
    }

    async fn identify(&self, collection: &Collection) -> Result<Arc<CollectionSpec>, Failure> {
        self.rest.identify(collection).await
    }

    async fn confirm(
        &self,
        collection: &str,
        keys: &[String],
        canary: Option<&str>,
    ) -> Result<BTreeSet<String>, Failure> {
        self.rest.confirm(collection, keys, canary).await
    }

    fn allowance(&self) -> Allowance {
        self.rest.allowance()
    }

    fn asked_to_wait(&self) -> Option<watch::Receiver<Option<Timestamp>>> {
        self.rest.asked_to_wait()
    }

    fn remember(&self, remembered: Remembered) {
        self.rest.remember(remembered);
    }

    async fn connect(&self) -> Result<String, Failure> {
        self.rest.connect().await
    }
}

#[derive(Debug)]
struct Cli;

impl Hook for Cli {
    fn record(&self, collection: &str, _row: RowView<'_>, mut record: Record) -> Option<Record> {
        if collection == "connection"
            && let Some(Value::Array(scopes)) = record.fields.get_mut("scopes")
        {
            // A set: its order means nothing.
            scopes.sort_by_key(Value::to_string);
        }
        Some(record)
    }

    fn page(&self, collection: &str, _status: u16, document: &Value) -> Option<Page> {
        if collection == "balance" { balance::page(document) } else { None }
    }
}
