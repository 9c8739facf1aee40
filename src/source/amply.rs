//! Source `amply`: routing and wallet (`config/sources/amply.toml` says how it is read).
//!
//! What the manifest can't say: a wallet that can't call is depleted whatever its balance, a 402 is an answer, and the
//! undocumented shape of `/health`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rest::builtin::{self, Faults, connector};
use super::rest::hook::Hook;
use super::rest::{Additions, Connector, Rest};
use super::{Common, Context, Source, SourceConfig};
use crate::domain::money::Micros;
use crate::domain::record::{GaugeRow, Page, Rows};
use crate::domain::setting::{Decimal, Secret};

const KIND: &str = "amply";
const WALLET: &str = "wallet";
/// The band of a wallet that can't call.
const DEPLETED: &str = "depleted";
const HEALTH: &str = "provider_health";
/// Names that a balance in dollars has been seen under, or may have; the document names the field in the 402 only.
const BALANCES: [&str; 4] = ["/balance_usd", "/wallet/balance_usd", "/balance", "/wallet_balance_usd"];
/// Providers of one answer, at most; more is no list of them.
const MOST: usize = 5_000;

/// Amply (API v1).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A key bound to a user (`amply_sk_…`) sees everything; a server key has neither wallet nor credentials.
    pub api_key: Secret,
    /// Stands before `/status`. Plain http only to loopback.
    #[serde(default)]
    #[schemars(extend("default" = "https://www.useamply.com/api/v1"))]
    pub base_url: Option<Secret>,
    /// At this balance, or below, the wallet is low.
    #[serde(default = "two_dollars")]
    #[schemars(extend("default" = 2))]
    pub wallet_low_usd: Decimal,
}

fn two_dollars() -> Decimal {
    Decimal("2".to_owned())
}

impl Config {
    fn connector(&self) -> Result<Connector, Faults> {
        connector(KIND, &self.api_key, self.base_url.as_ref(), |manifest| {
            if let Some(wallet) = manifest.collections.get_mut(WALLET) {
                wallet.bands.insert("low".to_owned(), self.wallet_low_usd.clone());
            }
        })
    }
}

impl SourceConfig for Config {
    fn problems(&self) -> Faults {
        let known = |(key, message): (String, String)| match key.as_str() {
            "collections.wallet.bands.low" => ("wallet_low_usd".to_owned(), message),
            _ => (key, message),
        };
        let low = Micros::parse_usd(&self.wallet_low_usd.0).is_ok_and(Micros::is_negative);
        let low = low.then(|| ("wallet_low_usd".to_owned(), "must not be below 0".to_owned()));
        self.connector().err().unwrap_or_default().into_iter().map(known).chain(low).collect()
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Source>, String> {
        let additions = Additions { hook: Some(Arc::new(Amply)), ..Additions::default() };
        let connector = self.connector().map_err(builtin::joined)?;
        Ok(Arc::new(Rest::build(KIND, name, connector, common, context, additions)?))
    }
}

#[derive(Debug)]
struct Amply;

impl Hook for Amply {
    fn accepts(&self, collection: &str) -> &'static [u16] {
        if collection == WALLET { &[402] } else { &[] }
    }

    fn page(&self, collection: &str, status: u16, document: &Value) -> Option<Page> {
        match collection {
            WALLET => wallet(status, document),
            HEALTH => health(document),
            _ => None,
        }
    }
}

/// The wallet: its balance, and that it is depleted where it can't call.
fn wallet(status: u16, document: &Value) -> Option<Page> {
    let members = document.as_object()?;
    let balance = BALANCES.iter().find_map(|place| Micros::from_json(document.pointer(place)?, 0).ok());
    let can_call = if status == 402 { Some(false) } else { members.get("can_call").and_then(Value::as_bool) };
    let band = (can_call == Some(false)).then(|| DEPLETED.to_owned());
    let level = match (balance, &band) {
        (Some(balance), _) => json!(balance),
        (None, Some(_)) => Value::Null,
        (None, None) => {
            let mut page = Page::of(Rows::Gauges(Vec::new()));
            let sentence = "the wallet shows no balance in dollars, so it can't be seen to run low.".to_owned();
            page.strange.insert(WALLET.to_owned(), sentence);
            return Some(page);
        }
    };
    let mut facts = std::collections::BTreeMap::new();
    facts.extend(can_call.map(|can| ("can_call".to_owned(), Value::Bool(can))));
    facts.extend(balance.map(|balance| ("balance_usd".to_owned(), json!(balance))));
    facts.extend(
        members
            .get("shortfall_usd")
            .filter(|v| v.is_number() || v.is_string())
            .map(|v| ("shortfall_usd".to_owned(), v.clone())),
    );
    let row = GaugeRow { key: WALLET.to_owned(), name: None, value: level, band, facts };
    let mut page = Page::of(Rows::Gauges(vec![row]));
    page.understood.insert(WALLET.to_owned());
    Some(page)
}

/// The states of providers: a list (by itself or under a name) of rows with an id and a state, or an object of states
/// by id. A row without a state is strange and keeps its last level.
fn health(document: &Value) -> Option<Page> {
    let inner = ["providers", "health", "states", "data"].into_iter().find_map(|name| document.get(name));
    let mut page = Page::of(Rows::Gauges(Vec::new()));
    let mut rows = Vec::new();
    let mut take = |id: &str, name: Option<&str>, state: Option<&str>| {
        let Some(state) = state.map(str::trim).filter(|s| !s.is_empty()) else {
            let sentence = format!("{id} shows no state; the last one known is kept.");
            page.strange.insert(id.to_owned(), sentence);
            return;
        };
        page.understood.insert(id.to_owned());
        rows.push(GaugeRow {
            key: id.to_owned(),
            name: name.map(str::to_owned),
            value: json!(state),
            band: None,
            facts: std::collections::BTreeMap::new(),
        });
    };
    match inner.unwrap_or(document) {
        Value::Array(items) if items.len() <= MOST => {
            for (index, item) in items.iter().enumerate() {
                let members = item.as_object()?;
                match text(members, &["id", "provider_id", "provider"]) {
                    Some(id) => take(id, text(members, &["display_name", "name"]), state(item)),
                    None => page.quarantined.push(format!("row {} of page 1 has no usable key", index + 1)),
                }
            }
        }
        // One without members is no list of none.
        Value::Object(members) if inner.is_some() && (1..=MOST).contains(&members.len()) => {
            for (id, value) in members {
                take(id, None, state(value));
            }
        }
        _ => return None,
    }
    page.rows = Rows::Gauges(rows);
    Some(page)
}

fn state(value: &Value) -> Option<&str> {
    match value {
        Value::String(state) => Some(state),
        Value::Object(members) => text(members, &["state", "status", "health", "health_state"]),
        _ => None,
    }
}

fn text<'v>(members: &'v Map<String, Value>, names: &[&str]) -> Option<&'v str> {
    names.iter().find_map(|name| members.get(*name)?.as_str()).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(page: Option<Page>) -> Vec<(String, Value)> {
        let Some(Page { rows: Rows::Gauges(rows), .. }) = page else { return Vec::new() };
        rows.into_iter().map(|row| (row.key, row.value)).collect()
    }

    #[test]
    fn a_wallet_that_cannot_call_is_depleted_whatever_its_balance() {
        let level = |status, document: Value| {
            let Some(Page { rows: Rows::Gauges(mut rows), .. }) = wallet(status, &document) else { return None };
            rows.pop().map(|row| (row.value, row.band))
        };
        let depleted = Some("depleted".to_owned());
        assert_eq!(level(200, json!({"can_call": true, "balance_usd": 9.25})), Some((json!("9.25"), None)));
        assert_eq!(
            level(200, json!({"can_call": false, "balance_usd": 9.25})),
            Some((json!("9.25"), depleted.clone()))
        );
        let short = json!({"balance_usd": 0.2, "shortfall_usd": 0.7});
        assert_eq!(level(402, short), Some((json!("0.20"), depleted.clone())), "the balance there is");
        assert_eq!(level(402, json!({"error": "insufficient_balance"})), Some((Value::Null, depleted)), "no zero");
        assert_eq!(level(200, json!({"can_call": true})), None);
        assert!(wallet(200, &json!({"can_call": true})).unwrap().strange.contains_key("wallet"));
        assert_eq!(wallet(200, &json!([])), None);
    }

    #[test]
    fn the_report_is_quoted_by_digests() {
        let key = Secret::new("amply_sk_1");
        let config = Config { api_key: key, base_url: None, wallet_low_usd: two_dollars() };
        let plans = config.connector().unwrap().plans;
        let all: Vec<_> = plans.into_iter().filter_map(|plan| Some((plan.name, plan.quoted?))).collect();
        assert_eq!(all, [("report".to_owned(), "summary".to_owned())]);
    }

    #[test]
    fn states_of_providers_in_the_shapes_they_may_have() {
        let expected = vec![("qdrant".to_owned(), json!("degraded"))];
        for known in [
            json!({"providers": [{"id": "qdrant", "state": "degraded", "checked_at": "…"}]}),
            json!([{"provider_id": "qdrant", "status": "degraded"}]),
            json!({"health": {"qdrant": "degraded"}}),
            json!({"states": {"qdrant": {"health": "degraded"}}}),
        ] {
            assert_eq!(levels(health(&known)), expected, "{known}");
        }
        assert_eq!(health(&json!({"ok": true})), None);
        assert_eq!(health(&json!({"providers": {}})), None, "nothing says that there are none");
        let odd = health(&json!({"providers": [{"id": "a"}, {"state": "up"}]})).unwrap();
        assert!(odd.strange.contains_key("a") && odd.quarantined.len() == 1);
    }
}
