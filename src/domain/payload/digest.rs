//! Digests: what happened, and what it cost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Who;
use crate::domain::event::Severity;
use crate::domain::money::Micros;

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
    /// Spend, where the route lets budgets and spikes through and there is something to say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<MoneyDigest>,
}

/// One event named in a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DigestItem {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub subject: String,
    pub severity: Severity,
    pub time: String,
}

/// Spend of a stretch of days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoneyDigest {
    /// First day, YYYY-MM-DD.
    pub from: String,
    /// Last day.
    pub to: String,
    /// Spent in these days.
    pub total_usd: Micros,
    /// What was to be expected of them; null with too little history.
    pub expected_usd: Option<Micros>,
    /// Part of it is worked out from tokens or prices, not billed.
    pub estimated: bool,
    /// Some day was not over, or was not read to its end: it comes to at least this much, and is compared with nothing.
    pub open: bool,
    /// Who spent most above, or below, their usual.
    pub movers: Vec<Mover>,
    /// Budgets past their first threshold.
    pub near_limits: Vec<NearLimit>,
    /// Limits that will not hold as things are.
    pub ahead: Vec<Ahead>,
    /// The same that had been told, and no longer look so.
    pub withdrawn: Vec<Ahead>,
    /// Spikes that were too small to wake anyone.
    pub small_spikes: Vec<SmallSpike>,
    /// What is not known: a day nobody answered for, or a source that stands still.
    pub gaps: Vec<Gap>,
    /// What sources say of themselves, in their own words: what a savings report says.
    #[serde(default)]
    pub quotes: Vec<Quoted>,
    /// The last 28 days, oldest first; from the first day with spend on.
    pub days: Vec<DayLine>,
    /// The limit of all spend a day, where there is one.
    pub daily_limit_usd: Option<Micros>,
}

/// A sentence of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quoted {
    /// The source, by its name in the config.
    pub source: String,
    /// What it says.
    pub text: String,
    /// The day it was last said, YYYY-MM-DD.
    pub seen: String,
}

/// One day of all spend, and what was to be expected of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DayLine {
    /// YYYY-MM-DD.
    pub date: String,
    /// Spent; null where nobody answered for the day.
    pub spend_usd: Option<Micros>,
    /// What was to be expected; null with too little history.
    pub expected_usd: Option<Micros>,
    /// 80 of 100 days lie between this
    pub low_usd: Option<Micros>,
    /// and this.
    pub high_usd: Option<Micros>,
}

/// One who spent more, or less, than usual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mover {
    /// `user:<id>`.
    pub scope: String,
    /// The person.
    pub who: Option<Who>,
    /// Spent.
    pub actual_usd: Micros,
    /// Their usual.
    pub expected_usd: Micros,
}

/// A budget past its first threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NearLimit {
    /// The name of the rule in the config.
    pub rule: String,
    /// Whose budget.
    pub scope: String,
    /// The person, for a user's budget.
    pub who: Option<Who>,
    /// `day`, `week` or `month`.
    pub period: String,
    /// Spent in the period so far.
    pub spend_usd: Micros,
    /// The limit.
    pub limit_usd: Micros,
    /// Spend in percent of the limit.
    pub percent: Option<f64>,
    /// Passed again after it had been told as corrected.
    pub recrossed: bool,
}

/// Where a period is heading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ahead {
    /// The name of the rule in the config.
    pub rule: String,
    /// Whose budget.
    pub scope: String,
    /// First day of the period, YYYY-MM-DD.
    pub period_start: String,
    /// Expected by its end.
    pub forecast_usd: Micros,
    /// The limit.
    pub limit_usd: Micros,
}

/// A spike that woke nobody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SmallSpike {
    /// Whose.
    pub scope: String,
    /// The person.
    pub who: Option<Who>,
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// Spent on it.
    pub actual_usd: Micros,
    /// What was to be expected.
    pub expected_usd: Micros,
}

/// What is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// The source, by its name in the config.
    pub source: String,
    /// A day, or since when it stands still.
    pub since: String,
    /// `unknown`, `part` (not read to the day's end) or `stale`.
    pub kind: String,
}
