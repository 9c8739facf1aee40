//! When trouble of a source or a sink is news.

use std::collections::BTreeSet;

use ampbridge::domain::event::Severity;
use ampbridge::domain::time::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::fact::{Fact, detail_of};

#[derive(Debug, Clone, Default)]
pub struct SourceHealth {
    /// Collections that have failed three times in a row, or were refused.
    pub failing: BTreeSet<String>,
    pub told: bool,
}

impl SourceHealth {
    pub fn failed(&mut self, source: &str, collection: &str, failures: u32, refused: bool) -> Option<Fact> {
        if failures < 3 && !refused {
            return None;
        }
        self.failing.insert(collection.to_owned());
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        Some(fact("source.failing", source, Severity::Warning, &json!({ "collection": collection })))
    }

    pub fn succeeded(&mut self, source: &str, collection: &str) -> Option<Fact> {
        if !self.failing.remove(collection) || !self.failing.is_empty() || !std::mem::take(&mut self.told) {
            return None;
        }
        Some(fact("source.recovered", source, Severity::Info, &json!({ "collection": collection })))
    }
}

pub fn degraded(source: &str, collection: &str, fields: &BTreeSet<String>, scope: Option<&str>) -> Fact {
    let detail = detail_of(&[("collection", json!(collection)), ("fields", json!(fields)), ("scope", json!(scope))]);
    fact("source.degraded", source, Severity::Warning, &detail)
}

fn fact(kind: &str, source: &str, severity: Severity, detail: &Value) -> Fact {
    Fact::new(kind, source, source, severity, detail)
}

#[derive(Debug, Clone, Default)]
pub struct SinkHealth {
    pub stopped: bool,
    pub failures: u32,
    pub told: bool,
    /// That it was stopped has been told, since it was last switched on.
    pub stop_told: bool,
    /// When it was last switched on again.
    pub on: Option<Timestamp>,
    /// When it was told as failing.
    pub told_at: Vec<Timestamp>,
}

/// What an attempt came to, as far as a sink's health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Accepted,
    Throttled,
    Failed,
    Stop,
}

impl SinkHealth {
    /// `died`: the delivery is dead now; `internal`: it was about ampbridge's own health.
    pub fn settled(
        &mut self,
        sink: &str,
        word: Word,
        died: Option<(&str, u32)>,
        internal: bool,
        now: Timestamp,
    ) -> Vec<Fact> {
        let mut facts = Vec::new();
        let bridge =
            |kind: &str, severity, detail: &Value| Fact::new(kind, "bridge", sink, severity, detail).about(sink);
        if word == Word::Accepted {
            self.failures = 0;
            if std::mem::take(&mut self.told) {
                facts.push(bridge("sink.recovered", Severity::Info, &json!({})));
            }
            return facts;
        }
        if word == Word::Throttled && died.is_none() {
            return facts;
        }
        self.stopped |= word == Word::Stop;
        self.failures += 1;
        // News within the hour make further news dearer: the third time takes six failures, the fourth twelve.
        self.told_at.retain(|at| *at <= now && now.duration_since(*at) < SignedDuration::from_hours(1));
        let from = [3, 3, 6, 12, 24, 48, 96][self.told_at.len().min(6)];
        let news = self.failures >= from || (died.is_some() && !internal);
        let stop = word == Word::Stop && !std::mem::replace(&mut self.stop_told, true);
        if stop || (news && !self.told) {
            self.told = true;
            self.told_at.push(now);
            facts.push(bridge("sink.failing", Severity::Critical, &json!({ "stopped": stop })));
        }
        if let Some((delivery, attempts)) = died.filter(|_| !internal) {
            let detail = detail_of(&[("delivery", json!(delivery)), ("attempts", json!(attempts))]);
            facts.push(bridge("delivery.dead", Severity::Critical, &detail));
        }
        facts
    }
}
