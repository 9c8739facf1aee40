//! What an event says, without ids and times: the form in which the model predicts and the bridge is compared.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::event::{Severity, StoredEvent};
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    pub kind: String,
    pub subject: String,
    /// Source, or `bridge`.
    pub origin: String,
    pub severity: Severity,
    /// The parts of the data that make it this fact.
    pub detail: String,
    /// The sink it is about.
    pub about: Option<String>,
}

impl Fact {
    pub fn new(kind: &str, origin: &str, subject: &str, severity: Severity, detail: &Value) -> Self {
        Self {
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            origin: origin.to_owned(),
            severity,
            detail: detail.to_string(),
            about: None,
        }
    }

    pub fn of(stored: &StoredEvent) -> Self {
        let event = &stored.event;
        let detail = detail(&event.kind, &event.data);
        let about = (event.kind.starts_with("sink.") || event.kind == "delivery.dead").then(|| event.subject.clone());
        Self { about, ..Self::new(&event.kind, &stored.origin, &event.subject, event.severity, &detail) }
    }

    /// What the id stands for. Of an episode or of money that is all but how far it had come when it was told.
    pub fn essence(&self) -> (&str, &str, &str, &str) {
        let told_whole = self.detail.contains("\"after\":") || self.detail.contains("\"before\":");
        (&self.kind, &self.subject, &self.origin, if told_whole { &self.detail } else { "" })
    }

    pub fn about(self, sink: &str) -> Self {
        Self { about: Some(sink.to_owned()), ..self }
    }

    /// Statistics decide these; the model only bounds them.
    pub fn is_statistical(&self) -> bool {
        self.kind.starts_with("cost.spike") || self.kind == "budget.forecast_exceeded"
    }
}

/// The fields of `data` that the model predicts, by type.
fn detail(kind: &str, data: &Map<String, Value>) -> Value {
    let names: &[&str] = match kind {
        "source.failing" | "source.recovered" => &["collection"],
        "source.degraded" => &["collection", "fields", "scope"],
        "source.change_held" => &["collection", "count", "known"],
        "sink.failing" => &["stopped"],
        "sink.recovered" => &[],
        "delivery.dead" => &["delivery", "attempts"],
        "digest.daily" | "digest.weekly" => &["counts", "events"],
        "budget.corrected" => &["rule", "period", "period_start", "told_usd", "spend_usd"],
        "thread.cost_exceeded" => &["rule", "cost_usd", "limit_usd", "limits_crossed", "also"],
        "cost.spike" | "cost.spike_resolved" => &["rule", "date"],
        "budget.forecast_exceeded" => &["rule", "period", "period_start", "limit_usd"],
        k if k.starts_with("budget.") => &[
            "rule",
            "period",
            "period_start",
            "spend_usd",
            "threshold",
            "thresholds_crossed",
            "baseline",
            "cause",
            "late",
            "also",
        ],
        _ => &["before", "after", "changed"],
    };
    pick(data, names)
}

fn pick(data: &Map<String, Value>, names: &[&str]) -> Value {
    // Through a sorted map, so that the order of members means nothing.
    let found: BTreeMap<&str, Value> =
        names.iter().filter_map(|n| data.get(*n).filter(|v| !is_nothing(v)).map(|v| (*n, sorted(v)))).collect();
    json!(found)
}

/// Left out and empty are the same here.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<&String, Value> = map.iter().map(|(k, v)| (k, sorted(v))).collect();
            json!(map)
        }
        other => other.clone(),
    }
}

/// Detail of a change, as the model writes it. Every field stands on both sides, null where there is none.
pub fn change(
    before: Option<&BTreeMap<String, Value>>,
    after: Option<&BTreeMap<String, Value>>,
    changed: &[String],
) -> Value {
    let names: BTreeSet<&String> = before.into_iter().chain(after).flat_map(BTreeMap::keys).collect();
    let side = |map: &BTreeMap<String, Value>| -> BTreeMap<String, Value> {
        names.iter().map(|n| ((*n).clone(), map.get(*n).cloned().unwrap_or(Value::Null))).collect()
    };
    let mut detail = BTreeMap::new();
    if let Some(after) = after {
        detail.insert("after", json!(side(after)));
    }
    if let Some(before) = before {
        detail.insert("before", json!(side(before)));
    }
    if !changed.is_empty() {
        detail.insert("changed", json!(changed));
    }
    json!(detail)
}

/// Members in order, nothing left out that is something.
pub fn detail_of(members: &[(&str, Value)]) -> Value {
    let map: BTreeMap<&str, Value> =
        members.iter().filter(|(_, v)| !is_nothing(v)).map(|(n, v)| (*n, v.clone())).collect();
    json!(map)
}
