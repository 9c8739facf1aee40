//! The data of events about money.

use super::Who;
use crate::domain::money::Micros;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Sources of this budget that were never read to their end: what they cost is not known, and not counted in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_sources: Vec<String>,
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
    /// `spend`; `limit_changed` or `thresholds_changed` where an edit of these made it so.
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
    /// When the rise began: when more had been spent than was to be expected of the whole day, to the half-hour where the day
    /// was watched, else the begin of the day; of one that has been going on for days, the begin of its first.
    #[serde(default)]
    pub since: String,
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
    /// Of an event about several at once: how many they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_count: Option<u32>,
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
