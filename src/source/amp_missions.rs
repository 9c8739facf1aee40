//! Source `amp_missions`: AMP content missions (`config/sources/amp_missions.toml` says how they are read).
//!
//! What the manifest can't say: whether content waits for a review, which API keys are still good, the undocumented
//! shape of `/connect/status`, and that `/analytics/costs` is compared with what content cost, never added to it.

mod integrations;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::rest::builtin::{self, Faults, connector};
use super::rest::hook::Hook;
use super::rest::money::Sums;
use super::rest::place::RowView;
use super::rest::{Additions, Connector, Rest};
use super::{Common, Context, Source, SourceConfig};
use crate::domain::money::Micros;
use crate::domain::record::{Page, Record};
use crate::domain::setting::Secret;

const KIND: &str = "amp_missions";
/// Keys of test mode begin so; what they see is cleared from time to time (seeds/001, "Testing").
const TEST_KEY: &str = "amp_test_";
/// Content in these states is decided.
const DECIDED: [&str; 6] = ["approved", "rejected", "scheduled", "published", "failed", "cancelled"];
/// Figures that differ by less are the same: late content, and rounding of cents.
const ALIKE_PERCENT: i64 = 5;

/// AMP content missions (API reference v1).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// An API key; with a test key (`amp_test_…`) whatever vanishes waits for a person, because test data is cleared.
    pub api_key: Secret,
    /// Stands before `/missions`. Plain http only to loopback.
    #[serde(default)]
    #[schemars(extend("default" = "https://api.amp.dev/v1"))]
    pub base_url: Option<Secret>,
    /// The tenant, where the key is good for several (`X-Tenant-ID`).
    #[serde(default)]
    pub tenant: Option<String>,
}

impl Config {
    fn connector(&self) -> Result<Connector, Faults> {
        connector(KIND, &self.api_key, self.base_url.as_ref(), |manifest| {
            if let Some(tenant) = &self.tenant {
                manifest.headers.insert("X-Tenant-ID".to_owned(), Secret::new(tenant));
            }
        })
    }

    fn is_test(&self) -> bool {
        self.api_key.expose().trim().starts_with(TEST_KEY)
    }
}

impl SourceConfig for Config {
    fn problems(&self) -> Faults {
        let tenant = self.tenant.as_ref().filter(|t| t.trim().is_empty() || http::HeaderValue::try_from(*t).is_err());
        let tenant =
            tenant.map(|_| ("tenant".to_owned(), "can't be sent as a header; write the tenant's id".to_owned()));
        let found = self.connector().err().unwrap_or_default().into_iter();
        found.filter(|(key, _)| key != "headers.X-Tenant-ID").chain(tenant).collect()
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Source>, String> {
        let mode = if self.is_test() { "test" } else { "live" };
        let additions = Additions {
            hook: Some(Arc::new(Missions)),
            owner: vec![self.tenant.clone().unwrap_or_default(), mode.to_owned()],
            adjust: self.is_test().then_some(|spec| spec.hold_all = true),
        };
        let connector = self.connector().map_err(builtin::joined)?;
        Ok(Arc::new(Rest::build(KIND, name, connector, common, context, additions)?))
    }
}

#[derive(Debug)]
struct Missions;

#[async_trait]
impl Hook for Missions {
    fn record(&self, collection: &str, view: RowView<'_>, mut record: Record) -> Option<Record> {
        match collection {
            "content" => {
                record.fields.insert("needs_review".to_owned(), Value::Bool(needs_review(view.row)));
                Some(record)
            }
            "key" => (!is_revoked(view.row)).then_some(record),
            _ => Some(record),
        }
    }

    fn page(&self, collection: &str, _status: u16, document: &Value) -> Option<Page> {
        if collection == "integration" { integrations::page(document) } else { None }
    }

    /// What `/analytics/costs` says of the last 30 days, beside what content says. Its shape is not documented: where it
    /// is not known, or the account does not have it, there is nothing to compare.
    async fn review(&self, rest: &Rest, collection: &str, sums: &Sums) -> Vec<(String, Result<(), String>)> {
        const WHAT: &str = "analytics costs";
        if collection != "generation_costs" {
            return Vec::new();
        }
        let Ok(answer) = rest.get("/analytics/costs?period=30d").await else { return Vec::new() };
        let Some(theirs) = total_of(&answer.document) else { return Vec::new() };
        let today = crate::domain::time::utc_day(rest.client().now());
        let first = crate::domain::time::minus_days(today, 29);
        if !sums.reaches(first) {
            return Vec::new();
        }
        let ours = sums.total_from(first);
        if are_alike(ours, theirs) {
            return vec![(WHAT.to_owned(), Ok(()))];
        }
        let sentence = format!(
            "/analytics/costs says {theirs} for the last 30 days, content says {ours}; what content says counts, so \
             budgets may miss the difference."
        );
        vec![(WHAT.to_owned(), Err(sentence))]
    }
}

/// Review is required, and nobody has decided yet.
fn needs_review(row: &Value) -> bool {
    let text = |pointer: &str| row.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let required = row.pointer("/review/required").and_then(Value::as_bool).unwrap_or_default();
    let status = text("/status");
    let waits = required || matches!(status, "pending" | "pending_review" | "needs_review" | "in_review");
    let decided = ["/review/decision", "/review/decided_at", "/review/reviewed_at"].iter().any(|p| !text(p).is_empty());
    waits && !decided && !DECIDED.contains(&status)
}

fn is_revoked(row: &Value) -> bool {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    text("status") == "revoked" || !text("revoked_at").is_empty() || row.get("revoked") == Some(&Value::Bool(true))
}

/// The total in cents, under the names that such totals have.
fn total_of(document: &Value) -> Option<Micros> {
    let places =
        ["/total_cents", "/total_cost_cents", "/summary/total_cents", "/summary/total_cost_cents", "/total/cents"];
    let found: BTreeSet<i64> = places
        .iter()
        .filter_map(|place| Micros::from_json(document.pointer(place)?, 2).ok())
        .map(|micros| micros.0)
        .collect();
    match found.into_iter().collect::<Vec<_>>().as_slice() {
        [only] => Some(Micros(*only)),
        _ => None,
    }
}

fn are_alike(ours: Micros, theirs: Micros) -> bool {
    let apart = ours.0.saturating_sub(theirs.0).saturating_abs();
    apart <= Micros::PER_DOLLAR || apart.saturating_mul(100) <= theirs.0.saturating_mul(ALIKE_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn content_waits_for_a_review_until_someone_decides() {
        for (row, waits) in [
            (json!({"status": "draft", "review": {"required": true}}), true),
            (json!({"status": "pending_review"}), true),
            (json!({"status": "draft", "review": {"required": false}}), false),
            (json!({"status": "approved", "review": {"required": true}}), false),
            (json!({"status": "draft", "review": {"required": true, "decision": "approved"}}), false),
            (json!({}), false),
        ] {
            assert_eq!(needs_review(&row), waits, "{row}");
        }
    }

    #[test]
    fn totals_are_compared_where_there_is_one() {
        assert_eq!(total_of(&json!({"summary": {"total_cost_cents": 1234}})), Some(Micros(12_340_000)));
        assert_eq!(total_of(&json!({"total_cents": 1, "summary": {"total_cents": 2}})), None, "two say two things");
        assert_eq!(total_of(&json!([])), None);
        let usd = |n: i64| Micros(n * Micros::PER_DOLLAR);
        assert!(are_alike(usd(100), usd(104)) && !are_alike(usd(100), usd(110)) && are_alike(usd(0), usd(1)));
    }

    #[test]
    fn revoked_keys_are_no_keys() {
        assert!(
            is_revoked(&json!({"revoked_at": "2026-11-22T10:00:00Z"})) && is_revoked(&json!({"status": "revoked"}))
        );
        assert!(!is_revoked(&json!({"revoked_at": null, "status": "active", "revoked": false})));
    }
}
