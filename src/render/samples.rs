//! A sample of every event type: what `ampbridge render` shows, what `check` renders every template with, what the
//! golden files are made of. No clock, no randomness: the same every time.

mod asyncapi;
mod data;
mod schemas;
mod variants;

use serde_json::{Map, Value};

use crate::domain::event::{ContentType, Event, Severity, SpecVersion, source_uri};
use crate::domain::health::BRIDGE;
use crate::domain::ids;
use crate::domain::time::Timestamp;

pub use asyncapi::asyncapi;
pub use schemas::{event_schema, payload_schemas};
pub use variants::{hostile, variants};

/// 2026-11-22T14:05:00Z, a Sunday.
const AT_SECONDS: i64 = 1_795_356_300;
/// Families of types whose every type is listed in [`TYPES`]: any other type of theirs is a slip of the pen.
const CLOSED: [&str; 9] = ["thread", "member", "cost", "budget", "source", "sink", "delivery", "digest", "bridge"];
/// Families of types that other sources make of levels rather than of records.
const LEVELS: [&str; 4] = ["wallet", "balance", "provider", "status"];

/// A type, its severity, what it is about, and the data.
struct Kind {
    name: &'static str,
    severity: Severity,
    subject: &'static str,
    data: fn() -> Map<String, Value>,
}

const fn kind(name: &'static str, severity: Severity, subject: &'static str, data: fn() -> Map<String, Value>) -> Kind {
    Kind { name, severity, subject, data }
}

use Severity::{Critical, Info, Warning};

/// Sorted by name.
static TYPES: [Kind; 68] = [
    kind("balance.low", Warning, "balance:individual-credits", data::balance_low),
    kind("balance.restored", Info, "balance:individual-credits", data::balance_restored),
    kind("bridge.test", Info, "ops", data::test),
    kind("budget.corrected", Info, "workspace", data::corrected),
    kind("budget.exceeded", Critical, "workspace", data::exceeded),
    kind("budget.forecast_exceeded", Warning, "workspace", data::forecast),
    kind("budget.threshold_reached", Warning, "user:user_01ANA", data::threshold),
    kind("connection.changed", Warning, "github", data::connection_changed),
    kind("content.approved", Info, data::CONTENT, data::content_approved),
    kind("content.created", Info, data::CONTENT, data::content_created),
    kind("content.deleted", Warning, data::CONTENT, data::content_deleted),
    kind("content.failed", Critical, data::CONTENT, data::content_failed),
    kind("content.published", Info, data::CONTENT, data::content_published),
    kind("content.rejected", Info, data::CONTENT, data::content_rejected),
    kind("content.review_needed", Warning, data::CONTENT, data::content_review_needed),
    kind("content.scheduled", Info, data::CONTENT, data::content_scheduled),
    kind("content.updated", Info, data::CONTENT, data::content_updated),
    kind("cost.spike", Warning, "workspace", data::spike),
    kind("cost.spike_resolved", Info, "workspace", data::spike_resolved),
    kind("credential.added", Info, "crd_01", data::credential_added),
    kind("credential.changed", Info, "crd_01", data::credential_changed),
    kind("credential.removed", Info, "crd_01", data::credential_removed),
    kind("delivery.dead", Critical, "finance", data::dead),
    kind("digest.daily", Info, "workspace", data::daily),
    kind("digest.weekly", Info, "workspace", data::weekly),
    kind("integration.changed", Warning, "metricool", data::integration_changed),
    kind("key.changed", Warning, "key_07", data::key_changed),
    kind("key.created", Warning, "key_07", data::key_created),
    kind("key.revoked", Warning, "key_07", data::key_revoked),
    kind("member.added", Info, "cy@example.com", data::member_added),
    kind("member.removed", Info, "cy@example.com", data::member_removed),
    kind("member.role_changed", Info, "bo@example.com", data::role_changed),
    kind("member.updated", Info, "bo@example.com", data::member_updated),
    kind("mission.completed", Info, data::MISSION, data::mission_completed),
    kind("mission.created", Info, data::MISSION, data::mission_created),
    kind("mission.deleted", Warning, data::MISSION, data::mission_deleted),
    kind("mission.paused", Info, data::MISSION, data::mission_paused),
    kind("mission.resumed", Info, data::MISSION, data::mission_resumed),
    kind("mission.started", Info, data::MISSION, data::mission_started),
    kind("mission.status_changed", Info, data::MISSION, data::mission_status_changed),
    kind("mission.updated", Info, data::MISSION, data::mission_updated),
    kind("model.unpriced", Warning, "our-own-model", data::model_unpriced),
    kind("provider.added", Info, "qdrant", data::provider_added),
    kind("provider.changed", Info, "qdrant", data::provider_changed),
    kind("provider.degraded", Warning, "qdrant", data::provider_degraded),
    kind("provider.recovered", Info, "qdrant", data::provider_recovered),
    kind("provider.removed", Info, "qdrant", data::provider_removed),
    kind("sink.failing", Critical, "automation", data::sink_failing),
    kind("sink.recovered", Info, "automation", data::sink_recovered),
    kind("source.change_held", Warning, "acme", data::held),
    kind("source.degraded", Warning, "acme", data::degraded),
    kind("source.failing", Warning, "acme", data::failing),
    kind("source.fresh", Info, "acme", data::fresh),
    kind("source.recovered", Info, "acme", data::recovered),
    kind("source.stale", Warning, "acme", data::stale),
    kind("status.changed", Info, "status", data::status_changed),
    kind("thread.cost_exceeded", Warning, data::THREAD, data::thread_cost),
    kind("thread.created", Info, data::THREAD, data::thread_created),
    kind("thread.deleted", Info, data::THREAD, data::thread_deleted),
    kind("thread.failed", Warning, data::THREAD, data::thread_failed),
    kind("thread.finished", Info, data::THREAD, data::thread_finished),
    kind("thread.stalled", Warning, data::THREAD, data::thread_stalled),
    kind("thread.updated", Info, data::THREAD, data::thread_updated),
    kind("thread.visibility_widened", Warning, data::THREAD, data::visibility_widened),
    kind("user.changed", Info, "user_01ANA", data::user_changed),
    kind("wallet.depleted", Critical, "wallet", data::wallet_depleted),
    kind("wallet.low", Warning, "wallet", data::wallet_low),
    kind("wallet.topped_up", Info, "wallet", data::wallet_topped_up),
];

/// All types there is a sample of, sorted.
pub fn types() -> Vec<&'static str> {
    TYPES.iter().map(|kind| kind.name).collect()
}

/// A sample of a type. Types of sources described by manifests (`mission.created`, `balance.low`) get one of the shape
/// they most likely have; `None` for what can be no type at all.
pub fn sample(kind: &str) -> Option<Event> {
    if let Some(known) = TYPES.iter().find(|k| k.name == kind) {
        return Some(event(kind, known.severity, known.subject, (known.data)()));
    }
    let (family, rest) = kind.split_once('.')?;
    let named = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if CLOSED.contains(&family) || !named(family) || !named(rest) {
        return None;
    }
    let data = if LEVELS.contains(&family) { data::any_level(family) } else { data::any_change(family, rest) };
    let subject = data.get("key").and_then(Value::as_str).unwrap_or(family).to_owned();
    Some(event(kind, Info, &subject, data))
}

fn event(kind: &str, severity: Severity, subject: &str, data: Map<String, Value>) -> Event {
    let about_the_bridge = ["bridge.", "sink.", "delivery.", "digest."].iter().any(|family| kind.starts_with(family));
    Event {
        specversion: SpecVersion::V1,
        id: ids::derive("evt", &["sample", kind]),
        source: source_uri("ampbridge", if about_the_bridge { BRIDGE } else { "acme" }),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        time: at(),
        datacontenttype: ContentType::Json,
        severity,
        data: data.into(),
    }
}

fn at() -> Timestamp {
    Timestamp::from_second(AT_SECONDS).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_listed_once_in_order() {
        let names = types();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert_eq!(at().to_string(), "2026-11-22T14:05:00Z");
    }

    #[test]
    fn other_sources_types_have_samples_and_slips_have_none() {
        assert!(sample("mission.created").unwrap().data.contains_key("after"));
        assert!(sample("balance.low").unwrap().data.contains_key("band_after"));
        for slip in ["budget.exceded", "thread", "", "a.", ".b", "a b.c", "../x.y"] {
            assert_eq!(sample(slip), None, "{slip}");
        }
    }
}
