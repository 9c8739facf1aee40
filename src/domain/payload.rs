//! The `data` of every event type, as Rust types: what is sent, what the JSON Schemas say, what templates may use.
//!
//! A type once published never changes its meaning; fields are only ever added.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::money::Micros;

/// A person, as far as the source tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Who {
    /// Id at the source; the email where there is no other.
    pub id: String,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
}

/// A record came, changed or went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeData {
    /// The record's key at its source.
    pub key: String,
    /// What kind of thing it is: `thread`, `member`, `mission`.
    pub noun: String,
    /// Title or name, else the key.
    pub name: String,
    /// Who is behind it, where known.
    pub who: Option<Who>,
    /// Where to look at it.
    pub link: Option<String>,
    /// Watched fields before; null for something new.
    pub before: Option<BTreeMap<String, Value>>,
    /// Watched fields after; null for something removed.
    pub after: Option<BTreeMap<String, Value>>,
    /// Names of the watched fields that differ.
    pub changed: Vec<String>,
    /// What else the source said of it.
    pub facts: BTreeMap<String, Value>,
}

/// One contributor to a sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub spend_usd: Micros,
    /// Of the scope's spend, percent.
    pub percent: Option<f64>,
    pub estimated: bool,
}

/// Who and which model spent most.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Top {
    pub users: Vec<Share>,
    pub models: Vec<Share>,
}

/// One source's part of a budget over several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceShare {
    pub source: String,
    pub spend_usd: Micros,
    /// Of the scope's spend, percent.
    pub percent: Option<f64>,
}

/// Where a period is heading, in an event about something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastBrief {
    /// `week` or `month`.
    pub period: String,
    /// First day of the period, YYYY-MM-DD.
    pub period_start: String,
    /// Expected by its end.
    pub forecast_usd: Micros,
    pub limit_usd: Micros,
    /// The day the limit is expected to be reached, YYYY-MM-DD.
    pub reached_on: Option<String>,
}

/// A budget passed one of its thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetData {
    pub rule: String,
    /// `workspace`, `user:<id>`, `model:<name>`, `user+model:<id>/<name>`, `group:<name>` or `<dimension>:<value>`.
    pub scope: String,
    /// The person, for a user's budget.
    pub who: Option<Who>,
    pub sources: Vec<String>,
    /// `day`, `week` or `month`.
    pub period: String,
    /// First day of the period, YYYY-MM-DD.
    pub period_start: String,
    /// Whose days these are: `utc-day`, or `local-day` where a rule has its own time zone and the days were watched.
    pub period_alignment: String,
    pub spend_usd: Micros,
    pub limit_usd: Micros,
    /// Spend in percent of the limit, one decimal; null for a limit of 0.
    pub percent: Option<f64>,
    /// The highest threshold passed, percent of the limit.
    pub threshold: f64,
    /// All thresholds passed since the last look.
    pub thresholds_crossed: Vec<f64>,
    pub top: Top,
    /// Of a budget over several sources: each one's part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_source: Vec<SourceShare>,
    /// Who and what is above its usual, most first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drivers: Vec<Contribution>,
    /// Where the month (or this budget's own week or month) is heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastBrief>,
    pub estimated: bool,
    /// Already so when first seen.
    pub baseline: bool,
    /// The period was over when the spend came in.
    pub late: bool,
    /// `spend`, or `limit_changed` where an edited limit made it so.
    pub cause: String,
    /// Further scopes of this rule in the same state (only with `baseline`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    pub incident: String,
    pub state: String,
}

/// Spend that had passed a threshold has been corrected to well below it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CorrectionData {
    pub rule: String,
    pub scope: String,
    pub who: Option<Who>,
    pub sources: Vec<String>,
    pub period: String,
    pub period_start: String,
    pub spend_usd: Micros,
    pub limit_usd: Micros,
    /// The amount that had been told.
    pub told_usd: Micros,
    pub incident: String,
    pub state: String,
}

/// Spend that goes on like this ends the period above its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastData {
    pub rule: String,
    pub scope: String,
    pub who: Option<Who>,
    pub sources: Vec<String>,
    pub period: String,
    pub period_start: String,
    /// So far.
    pub spend_usd: Micros,
    pub limit_usd: Micros,
    /// Expected by the end of the period.
    pub forecast_usd: Micros,
    /// The band the end of the period falls into in 80 of 100 cases.
    pub low_usd: Micros,
    pub high_usd: Micros,
    /// The day the limit is expected to be reached, YYYY-MM-DD.
    pub reached_on: Option<String>,
    #[serde(default)]
    pub estimated: bool,
    pub incident: String,
    pub state: String,
}

/// Spend of a day far above what was to be expected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpikeData {
    pub rule: String,
    pub scope: String,
    pub who: Option<Who>,
    pub sources: Vec<String>,
    /// The day, YYYY-MM-DD.
    pub date: String,
    pub actual_usd: Micros,
    pub expected_usd: Micros,
    pub excess_usd: Micros,
    /// Actual over expected, one decimal.
    pub ratio: f64,
    /// The detector's score and the score that alerts.
    pub score: f64,
    pub score_needed: f64,
    /// The day is still open: at least this much.
    pub lower_bound: bool,
    /// Active days of history used.
    pub history_days: u32,
    pub attribution: Vec<Contribution>,
    /// Of an event about several at once: who, largest rise first, twenty at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<SpikeMember>,
    /// How many they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_count: Option<u32>,
    /// By how much nearly everybody spent more than usual, percent, where that is the news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_percent: Option<f64>,
    /// Told before, and at least twice as high since.
    #[serde(default)]
    pub escalation: bool,
    pub estimated: bool,
    pub baseline: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    pub incident: String,
    pub state: String,
}

/// One of several that spiked at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpikeMember {
    pub scope: String,
    pub who: Option<Who>,
    pub actual_usd: Micros,
    pub expected_usd: Micros,
    pub excess_usd: Micros,
}

/// One user and model's part in a rise. The parts sum to the excess exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contribution {
    pub who: Option<Who>,
    pub model: Option<String>,
    pub actual_usd: Micros,
    pub expected_usd: Micros,
    pub excess_usd: Micros,
    /// Of all that rose, percent.
    pub share: f64,
    /// `new` (never seen before), `price` (dearer per token), `mix` (moved here from other models), `volume`, `others`
    /// (the rest together).
    pub reason: String,
}

/// A spike is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpikeResolvedData {
    pub rule: String,
    pub scope: String,
    pub who: Option<Who>,
    pub sources: Vec<String>,
    /// The day of the spike.
    pub date: String,
    pub actual_usd: Micros,
    pub expected_usd: Micros,
    /// `back_to_normal`, `new_level` or `corrected`.
    pub resolution: String,
    pub incident: String,
    pub state: String,
}

/// One thing has cost more than a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadCostData {
    pub rule: String,
    pub key: String,
    pub name: String,
    pub who: Option<Who>,
    pub link: Option<String>,
    pub cost_usd: Micros,
    /// The highest limit passed.
    pub limit_usd: Micros,
    pub limits_crossed: Vec<Micros>,
    /// Threads whose cost is counted in, besides its own.
    pub sub_threads: u64,
    pub estimated: bool,
    pub baseline: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

/// A source can't be read, or can again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceHealthData {
    pub source: String,
    pub collection: String,
    /// Failed polls in a row.
    pub failures: u32,
    pub since: String,
    pub error: String,
    /// For how long it lasted, once over.
    pub lasted: Option<String>,
    pub incident: String,
    pub state: String,
}

/// Part of what a source showed is no longer there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DegradedData {
    pub source: String,
    pub collection: String,
    /// Fields that vanished; their last values are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The right that is missing; the collection is off until it is back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    pub detail: String,
}

/// More records vanished than is believable; a person decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeldData {
    /// What `hold approve`, `hold reject` and `hold rebaseline` take.
    pub hold: String,
    pub source: String,
    pub collection: String,
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
    pub source: String,
    pub collection: String,
    pub since: String,
    pub lasted: Option<String>,
    pub incident: String,
    pub state: String,
}

/// A sink does not take deliveries, or takes them again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SinkHealthData {
    pub sink: String,
    pub failures: u32,
    pub since: String,
    pub error: String,
    /// The sink was stopped and waits for `sinks enable`.
    pub stopped: bool,
    pub lasted: Option<String>,
    pub incident: String,
    pub state: String,
}

/// A delivery was given up. It is kept, and `deliveries retry ID` sends it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadData {
    pub delivery: String,
    pub sink: String,
    pub events: Vec<String>,
    pub event_type: String,
    pub subject: String,
    pub reason: String,
    pub attempts: u32,
}

/// A marked event to try a sink with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestData {
    pub message: String,
    pub sink: String,
}

/// A gauge moved into another band or state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LevelData {
    pub key: String,
    pub noun: String,
    pub name: String,
    pub before: Value,
    pub after: Value,
    /// The band or state left and entered.
    pub band_before: Option<String>,
    pub band_after: String,
    pub facts: BTreeMap<String, Value>,
    pub baseline: bool,
    pub incident: String,
    pub state: String,
}

/// What happened in a stretch of time, in one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DigestData {
    /// `day` or `week`.
    pub period: String,
    pub from: String,
    pub to: String,
    /// Number of events by type.
    pub counts: BTreeMap<String, u64>,
    pub events: u64,
    /// The most important lines.
    pub top: Vec<String>,
}
