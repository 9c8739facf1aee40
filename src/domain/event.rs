//! Events: one fact each, in the shape everybody gets (`CloudEvents` 1.0, structured JSON).

mod data;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ids;
use super::time::Timestamp;

pub use data::Data;

/// How much an event matters. Ordered: `info < warning < critical`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    #[default]
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `CloudEvents` 1.0 event. Serialises to exactly the JSON that is stored, listed and delivered.
/// Source: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub specversion: SpecVersion,
    pub id: String,
    /// `ampbridge://<bridge name>/<source name>`.
    pub source: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// The thing it is about: a record's key, `workspace`, `user:<id>`, a source's or sink's name.
    pub subject: String,
    /// When the fact was so at its source, else when it was seen.
    pub time: Timestamp,
    pub datacontenttype: ContentType,
    pub severity: Severity,
    pub data: Data,
}

impl Event {
    /// The incident this event belongs to, where it opens, moves or closes one.
    pub fn incident(&self) -> Option<&str> {
        self.data.get("incident").and_then(Value::as_str)
    }
}

/// The constant `1.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SpecVersion {
    #[default]
    #[serde(rename = "1.0")]
    V1,
}

/// The constant `application/json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ContentType {
    #[default]
    #[serde(rename = "application/json")]
    Json,
}

/// An event before it has an id: what a rule says happened, and why.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Name of the source, or the bridge's own part where it is about the bridge.
    pub source: String,
    pub kind: String,
    pub subject: String,
    pub time: Timestamp,
    pub severity: Severity,
    pub data: Map<String, Value>,
    /// What the id is derived from, after the bridge's name.
    pub identity: Vec<String>,
    /// For `events explain`: old and new value, rule, threshold, numbers.
    pub why: Value,
}

impl Draft {
    pub fn into_event(self, bridge: &str) -> (Event, Value) {
        let parts: Vec<&str> = std::iter::once(bridge).chain(self.identity.iter().map(String::as_str)).collect();
        let event = Event {
            specversion: SpecVersion::V1,
            id: ids::derive("evt", &parts),
            source: source_uri(bridge, &self.source),
            kind: self.kind,
            subject: self.subject,
            time: self.time,
            datacontenttype: ContentType::Json,
            severity: self.severity,
            data: self.data.into(),
        };
        (event, self.why)
    }
}

/// `ampbridge://<bridge>/<source>`; both names are limited to `[A-Za-z0-9_-]` by the config.
pub fn source_uri(bridge: &str, source: &str) -> String {
    format!("ampbridge://{bridge}/{source}")
}

/// An event as the store keeps it: with where it came in and why it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    pub event: Event,
    /// When ampbridge saw it.
    pub seen: Timestamp,
    pub why: Value,
    /// The name of the source (or `bridge`) it came from, for filters.
    pub origin: String,
    /// What routing decided: a line for each sink reached, or the reason it reached none.
    pub routing: Vec<String>,
    /// The sinks it was routed to; each of them has a delivery with this event, or a place where it waits.
    #[serde(default)]
    pub sinks: Vec<String>,
}

/// The highest severity an event of this type can have, for finding out which routes can ever match it.
pub fn highest_severity(kind: &str) -> Severity {
    match kind {
        "budget.exceeded" | "sink.failing" | "delivery.dead" | "content.failed" | "wallet.depleted" => {
            Severity::Critical
        }
        "cost.spike"
        | "budget.threshold_reached"
        | "budget.forecast_exceeded"
        | "source.failing"
        | "source.degraded"
        | "source.stale"
        | "source.change_held"
        | "thread.cost_exceeded"
        | "thread.failed"
        | "thread.stalled"
        | "thread.visibility_widened"
        | "balance.low"
        | "connection.changed"
        | "content.review_needed"
        | "integration.changed"
        | "key.created"
        | "key.revoked"
        | "mission.deleted"
        | "model.unpriced"
        | "provider.degraded"
        | "wallet.low" => Severity::Warning,
        _ => Severity::Info,
    }
}

impl StoredEvent {
    /// An event that was never stored: a sample, a test, what came in over the wire.
    pub fn bare(event: Event) -> Self {
        Self {
            seen: event.time,
            event,
            why: Value::Null,
            origin: String::new(),
            routing: Vec::new(),
            sinks: Vec::new(),
        }
    }
}

/// Turns a payload struct into event data. Payloads are plain structs with string keys, so this cannot fail; a
/// payload that is no object becomes `{}`.
pub fn data_of<T: Serialize>(payload: &T) -> Map<String, Value> {
    match serde_json::to_value(payload) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Whether a glob on types is one: of characters that types have, and `*`.
pub fn is_type_glob(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-*".contains(c))
}

/// `*` stands for any run of characters, everything else for itself.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, hit) in [
            ("budget.*", "budget.exceeded", true),
            ("*", "anything", true),
            ("*.created", "thread.created", true),
            ("budget.exceeded", "budget.exceeded", true),
            ("budget.exceeded", "budget.exceeded2", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("ab*ba", "aba", false),
            ("", "", true),
        ] {
            assert_eq!(glob_matches(pattern, text), hit, "{pattern} on {text}");
        }
    }

    #[test]
    fn the_wire_shape_is_the_contract() {
        let draft = Draft {
            source: "acme".into(),
            kind: "thread.created".into(),
            subject: "T-1".into(),
            time: "2026-11-22T10:00:00Z".parse().unwrap(),
            severity: Severity::Info,
            data: Map::new(),
            identity: vec!["acme".into(), "T-1".into()],
            why: Value::Null,
        };
        let (event, _) = draft.into_event("ampbridge");
        let json = serde_json::to_string(&event).unwrap();
        let id = &event.id;
        assert_eq!(
            json,
            format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"ampbridge://ampbridge/acme","type":"thread.created","subject":"T-1","time":"2026-11-22T10:00:00Z","datacontenttype":"application/json","severity":"info","data":{{}}}}"#
            )
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }
}
