//! The settings of the rules, as the config has them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::budget::BudgetRule;
use super::detector::Sensitivity;
use super::spike::SpikeRule;
use super::thread_cost::ThreadCostRule;
use super::{Rule, RuleConfig};
use crate::domain::money::{Micros, Percent};
use crate::domain::setting::{Decimal, Many};
use crate::domain::spend::Per;
use crate::domain::time::PeriodKind;

type Faults = Vec<(String, String)>;

/// A limit per day, week or month.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetConfig {
    /// US dollars; 0 means any spend is too much.
    limit_usd: Decimal,
    period: PeriodKind,
    /// What the limit is for: all together, each user, or each model.
    #[serde(default)]
    per: Per,
    /// Percent of the limit at which to speak.
    #[serde(default = "default_thresholds")]
    thresholds: Many<Decimal>,
}

/// Days far above what a scope's own history leads one to expect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpikeConfig {
    /// Whose days are judged: all together, each user's, or each model's.
    #[serde(default)]
    per: Per,
}

/// Single threads that have cost more than a limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadCostConfig {
    /// US dollars; each limit speaks once per thread.
    limits_usd: Many<Decimal>,
}

fn default_thresholds() -> Many<Decimal> {
    Many(["50", "80", "100"].map(|t| Decimal(t.to_owned())).to_vec())
}

impl RuleConfig for BudgetConfig {
    fn build(&self) -> Result<Rule, Faults> {
        let mut faults = Faults::new();
        let limit = match Micros::parse_usd(&self.limit_usd.0) {
            Ok(limit) if limit.is_negative() => {
                faults.push(("limit_usd".to_owned(), "must not be negative".to_owned()));
                Micros::ZERO
            }
            Ok(limit) => limit,
            Err(error) => {
                faults.push(("limit_usd".to_owned(), error.to_string()));
                Micros::ZERO
            }
        };
        let mut thresholds = Vec::new();
        for (index, text) in self.thresholds.0.iter().enumerate() {
            match Percent::parse(&text.0) {
                Some(percent) if percent.0 > 0 && percent.0 <= 1_000_000_000 => thresholds.push(percent),
                _ => faults.push((format!("thresholds[{index}]"), format!("{:?} is no percentage above 0", text.0))),
            }
        }
        if self.thresholds.0.is_empty() {
            faults.push(("thresholds".to_owned(), "names none; then the budget could never speak".to_owned()));
        }
        thresholds.sort_unstable();
        thresholds.dedup();
        let rule = BudgetRule { limit, period: self.period, per: self.per, thresholds };
        if faults.is_empty() { Ok(Rule::Budget(rule)) } else { Err(faults) }
    }
}

impl RuleConfig for SpikeConfig {
    fn build(&self) -> Result<Rule, Faults> {
        Ok(Rule::Spike(SpikeRule { per: self.per, sensitivity: Sensitivity::default() }))
    }
}

impl RuleConfig for ThreadCostConfig {
    fn build(&self) -> Result<Rule, Faults> {
        let mut faults = Faults::new();
        let mut limits = Vec::new();
        for (index, text) in self.limits_usd.0.iter().enumerate() {
            match Micros::parse_usd(&text.0) {
                Ok(limit) if limit > Micros::ZERO => limits.push(limit),
                Ok(_) => faults.push((format!("limits_usd[{index}]"), "must be above 0".to_owned())),
                Err(error) => faults.push((format!("limits_usd[{index}]"), error.to_string())),
            }
        }
        if self.limits_usd.0.is_empty() {
            faults.push(("limits_usd".to_owned(), "names none; then the rule could never speak".to_owned()));
        }
        limits.sort_unstable();
        limits.dedup();
        if faults.is_empty() { Ok(Rule::ThreadCost(ThreadCostRule { limits })) } else { Err(faults) }
    }
}
