//! The data of events about sources, sinks and deliveries themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A source can't be read, or can again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceHealthData {
    /// The source, by its name in the config.
    pub source: String,
    /// What of the source it is about: `threads`, `members`, `daily_usage`, …
    pub collection: String,
    /// Failed polls in a row.
    pub failures: u32,
    /// When the episode began.
    pub since: String,
    /// What went wrong last.
    pub error: String,
    /// For how long it lasted, once over.
    pub lasted: Option<String>,
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}

/// Part of what a source showed is no longer there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DegradedData {
    /// The source, by its name in the config.
    pub source: String,
    /// What of the source it is about: `threads`, `members`, `daily_usage`, …
    pub collection: String,
    /// Fields that vanished; their last values are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The right that is missing; the collection is off until it is back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What happened, in a sentence.
    pub detail: String,
}

/// More records vanished than is believable; a person decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeldData {
    /// What `hold approve`, `hold reject` and `hold rebaseline` take.
    pub hold: String,
    /// The source, by its name in the config.
    pub source: String,
    /// What of the source it is about: `threads`, `members`, `daily_usage`, …
    pub collection: String,
    /// What kind of thing: `thread`, `member`.
    pub noun: String,
    /// Records missing in two looks in a row.
    pub count: u64,
    /// Records known before.
    pub known: u64,
    /// Some of the missing keys.
    pub sample: Vec<String>,
}

/// Polls succeed but the data stands still, or moves again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StaleData {
    /// The source, by its name in the config.
    pub source: String,
    /// What of the source it is about: `threads`, `members`, `daily_usage`, …
    pub collection: String,
    /// When the episode began.
    pub since: String,
    /// For how long it lasted, once over.
    pub lasted: Option<String>,
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}

/// A sink does not take deliveries, or takes them again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SinkHealthData {
    /// The sink, by its name in the config.
    pub sink: String,
    /// Failures in a row.
    pub failures: u32,
    /// When the episode began.
    pub since: String,
    /// What went wrong last.
    pub error: String,
    /// The sink was stopped and waits for `sinks enable`.
    pub stopped: bool,
    /// For how long it lasted, once over.
    pub lasted: Option<String>,
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}

/// A delivery was given up. It is kept, and `deliveries retry ID` sends it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadData {
    /// What `deliveries show` and `deliveries retry` take.
    pub delivery: String,
    /// The sink, by its name in the config.
    pub sink: String,
    /// Ids of its events.
    pub events: Vec<String>,
    /// Type of its first event.
    pub event_type: String,
    /// Subject of its first event.
    pub subject: String,
    /// Why it was given up.
    pub reason: String,
    /// Attempts made.
    pub attempts: u32,
}
