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
    /// Where the source tells it.
    #[serde(default)]
    pub email: Option<String>,
    /// Where the source tells it.
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
    /// The person; absent for a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// The model; absent for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Their part.
    pub spend_usd: Micros,
    /// Of the scope's spend, percent.
    pub percent: Option<f64>,
    /// Part of it is worked out from tokens or prices, not billed.
    pub estimated: bool,
}

/// Who and which model spent most.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Top {
    /// The people who spent most, first of all.
    pub users: Vec<Share>,
    /// The models that cost most, first of all.
    pub models: Vec<Share>,
}

/// One source's part of a budget over several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceShare {
    /// The source, by its name in the config.
    pub source: String,
    /// Its part of the scope's spend.
    pub spend_usd: Micros,
    /// The same in percent.
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
    /// The limit of the rule.
    pub limit_usd: Micros,
    /// The day the limit is expected to be reached, YYYY-MM-DD.
    pub reached_on: Option<String>,
}

/// A budget passed one of its thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetData {
    /// The name of the rule in the config.
    pub rule: String,
    /// `workspace`, `user:<id>`, `model:<name>`, `user+model:<id>/<name>`, `group:<name>` or `<dimension>:<value>`.
    pub scope: String,
    /// The person, for a user's budget.
    pub who: Option<Who>,
    /// The sources whose money is counted.
    pub sources: Vec<String>,
    /// `day`, `week` or `month`.
    pub period: String,
    /// First day of the period, YYYY-MM-DD.
    pub period_start: String,
    /// Whose days these are: `utc-day`, or `local-day` where a rule has its own time zone and the days were watched.
    pub period_alignment: String,
    /// Spent in the period so far.
    pub spend_usd: Micros,
    /// The limit of the rule.
    pub limit_usd: Micros,
    /// Spend in percent of the limit, one decimal; null for a limit of 0.
    pub percent: Option<f64>,
    /// The highest threshold passed, percent of the limit.
    pub threshold: f64,
    /// All thresholds passed since the last look.
    pub thresholds_crossed: Vec<f64>,
    /// Who and which model spent most.
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
    /// Part of it is worked out from tokens or prices, not billed.
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
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}

/// Spend that had passed a threshold has been corrected to well below it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CorrectionData {
    /// The name of the rule in the config.
    pub rule: String,
    /// `workspace`, `user:<id>`, `model:<name>`, `user+model:<id>/<name>`, `group:<name>` or `<dimension>:<value>`.
    pub scope: String,
    /// The person, for a user's budget.
    pub who: Option<Who>,
    /// The sources whose money is counted.
    pub sources: Vec<String>,
    /// `day`, `week` or `month`.
    pub period: String,
    /// First day of the period, YYYY-MM-DD.
    pub period_start: String,
    /// Spent in the period so far.
    pub spend_usd: Micros,
    /// The limit of the rule.
    pub limit_usd: Micros,
    /// The amount that had been told.
    pub told_usd: Micros,
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}

/// Spend that goes on like this ends the period above its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastData {
    /// The name of the rule in the config.
    pub rule: String,
    /// `workspace`, `user:<id>`, `model:<name>`, `user+model:<id>/<name>`, `group:<name>` or `<dimension>:<value>`.
    pub scope: String,
    /// The person, for a user's budget.
    pub who: Option<Who>,
    /// The sources whose money is counted.
    pub sources: Vec<String>,
    /// `day`, `week` or `month`.
    pub period: String,
    /// First day of the period, YYYY-MM-DD.
    pub period_start: String,
    /// So far.
    pub spend_usd: Micros,
    /// The limit of the rule.
    pub limit_usd: Micros,
    /// Expected by the end of the period.
    pub forecast_usd: Micros,
    /// In 80 of 100 cases the period ends between this...
    pub low_usd: Micros,
    /// ...and this.
    pub high_usd: Micros,
    /// The day the limit is expected to be reached, YYYY-MM-DD.
    pub reached_on: Option<String>,
    /// Part of it is worked out from tokens or prices, not billed.
    #[serde(default)]
    pub estimated: bool,
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}

/// Spend of a day far above what was to be expected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "facts side by side, as the event's JSON has them")]
pub struct SpikeData {
    /// The name of the rule in the config.
    pub rule: String,
    /// `workspace`, `user:<id>`, `model:<name>`, `user+model:<id>/<name>`, `group:<name>` or `<dimension>:<value>`.
    pub scope: String,
    /// The person, for a user's spike.
    pub who: Option<Who>,
    /// The sources whose money is counted.
    pub sources: Vec<String>,
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// Spent on the day so far.
    pub actual_usd: Micros,
    /// What was to be expected of such a day.
    pub expected_usd: Micros,
    /// Actual less expected.
    pub excess_usd: Micros,
    /// Actual over expected, one decimal.
    pub ratio: f64,
    /// How unusual the day is.
    pub score: f64,
    /// The score from which it is news.
    pub score_needed: f64,
    /// The day is still open: at least this much.
    pub lower_bound: bool,
    /// Active days of history used.
    pub history_days: u32,
    /// Where the rise comes from, largest first; the parts sum to the excess.
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
    /// Part of it is worked out from tokens or prices, not billed.
    pub estimated: bool,
    /// Already so when first seen.
    pub baseline: bool,
    /// Further scopes or threads in the same state (only with `baseline`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}

/// One of several that spiked at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpikeMember {
    /// `user:<id>`, `model:<name>`, …
    pub scope: String,
    /// The person, where it is one.
    pub who: Option<Who>,
    /// Spent on the day so far.
    pub actual_usd: Micros,
    /// What was to be expected of such a day.
    pub expected_usd: Micros,
    /// Actual less expected.
    pub excess_usd: Micros,
}

/// One user and model's part in a rise. The parts sum to the excess exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contribution {
    /// The person; null for the rest together.
    pub who: Option<Who>,
    /// The model, where known.
    pub model: Option<String>,
    /// Spent on the day.
    pub actual_usd: Micros,
    /// Their usual.
    pub expected_usd: Micros,
    /// Actual less expected.
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
    /// The name of the rule in the config.
    pub rule: String,
    /// `workspace`, `user:<id>`, `model:<name>`, `user+model:<id>/<name>`, `group:<name>` or `<dimension>:<value>`.
    pub scope: String,
    /// The person, for a user's spike.
    pub who: Option<Who>,
    /// The sources whose money is counted.
    pub sources: Vec<String>,
    /// The day of the spike.
    pub date: String,
    /// Spent on that day, as known now.
    pub actual_usd: Micros,
    /// What was to be expected of it.
    pub expected_usd: Micros,
    /// `back_to_normal`, `new_level` or `corrected`.
    pub resolution: String,
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}

/// One thing has cost more than a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadCostData {
    /// The name of the rule in the config.
    pub rule: String,
    /// The thread's id.
    pub key: String,
    /// Its title, else its id.
    pub name: String,
    /// Who started it.
    pub who: Option<Who>,
    /// Where to look at it.
    pub link: Option<String>,
    /// What it has cost so far.
    pub cost_usd: Micros,
    /// The highest limit passed.
    pub limit_usd: Micros,
    /// All limits passed since the last look.
    pub limits_crossed: Vec<Micros>,
    /// Threads whose cost is counted in, besides its own.
    pub sub_threads: u64,
    /// Part of it is worked out from tokens or prices, not billed.
    pub estimated: bool,
    /// Already so when first seen.
    pub baseline: bool,
    /// Further scopes or threads in the same state (only with `baseline`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

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

/// A marked event to try a sink with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestData {
    /// Says that this is a test.
    pub message: String,
    /// The sink, by its name in the config.
    pub sink: String,
}

/// A gauge moved into another band or state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LevelData {
    /// The level's key at its source.
    pub key: String,
    /// What kind of thing it is.
    pub noun: String,
    /// What a person calls it, else the key.
    pub name: String,
    /// The value before.
    pub before: Value,
    /// The value now.
    pub after: Value,
    /// The band or state left; null at first sight.
    pub band_before: Option<String>,
    /// The band or state entered.
    pub band_after: String,
    /// What else the source said of it.
    pub facts: BTreeMap<String, Value>,
    /// Already so when first seen.
    pub baseline: bool,
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}

/// What happened in a stretch of time, in one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DigestData {
    /// `day` or `week`.
    pub period: String,
    /// First instant of the stretch.
    pub from: String,
    /// Its end.
    pub to: String,
    /// Number of events by type.
    pub counts: BTreeMap<String, u64>,
    /// Number of events.
    pub events: u64,
    /// The gravest and newest of them, at most five.
    pub top: Vec<DigestItem>,
}

/// One event named in a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DigestItem {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub subject: String,
    pub severity: crate::domain::event::Severity,
    pub time: String,
}
