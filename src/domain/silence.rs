//! Silences: what a person does not want to hear for a while. What is silenced is recorded as suppressed, never lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Event, Severity};
use super::routing::{FieldMatch, any_glob};
use super::time::Timestamp;

/// Most silences at a time.
pub const MAX: usize = 1_000;

/// One silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Globs on the type; empty means every type.
    #[serde(default)]
    pub events: Vec<String>,
    #[serde(default)]
    pub sources: Vec<String>,
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Only this sink is spared; `None` means all.
    #[serde(default)]
    pub sink: Option<String>,
    #[serde(default)]
    pub fields: Vec<FieldMatch>,
    /// Events above this severity are heard all the same.
    #[serde(default)]
    pub max_severity: Option<Severity>,
    pub until: Timestamp,
    pub created: Timestamp,
    #[serde(default)]
    pub comment: String,
}

impl Silence {
    pub fn covers(&self, event: &Event, origin: &str, sink: &str, now: Timestamp) -> bool {
        now < self.until
            && self.sink.as_ref().is_none_or(|s| s == sink)
            && self.max_severity.is_none_or(|max| event.severity <= max)
            && any_glob(&self.events, &event.kind)
            && any_glob(&self.subjects, &event.subject)
            && (self.sources.is_empty() || self.sources.iter().any(|s| s == origin))
            && self.fields.iter().all(|field| field.matches(event))
    }
}

/// All silences, by id.
pub type Silences = BTreeMap<String, Silence>;

/// The silence that covers an event at a sink: its id and comment.
pub fn covering<'a>(
    silences: &'a Silences,
    event: &Event,
    origin: &str,
    sink: &str,
    now: Timestamp,
) -> Option<(&'a str, &'a str)> {
    silences
        .iter()
        .find(|(_, silence)| silence.covers(event, origin, sink, now))
        .map(|(id, silence)| (id.as_str(), silence.comment.as_str()))
}
