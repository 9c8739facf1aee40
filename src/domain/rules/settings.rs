//! The settings of the rules, as the config has them.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use super::budget::BudgetRule;
use super::budget::limits::{Override, Own, Usual};
use super::budget::period::Zone;
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
    /// US dollars; 0 means any spend is too much. Beside `limit_times_usual`: its least. Beside `limit = "own"`: the limit
    /// of what has no budget of its own.
    limit_usd: Option<Decimal>,
    /// Instead of dollars: `own`, what the source says that each may spend. With `per = "mission"`, the missions' budgets.
    limit: Option<LimitConfig>,
    /// Instead of dollars: how many times what the scope usually spends in such a period.
    limit_times_usual: Option<Decimal>,
    period: PeriodKind,
    /// What the limit is for: all together, each user, model, user on a model, group, or value of a dimension.
    #[serde(default)]
    per: Per,
    /// Percent of the limit at which to speak.
    #[serde(default = "default_thresholds")]
    thresholds: Many<Decimal>,
    /// Other limits for some scopes. The first that matches counts.
    #[serde(default)]
    overrides: Many<OverrideConfig>,
    /// An IANA time zone, else the bridge's: count its days where the source was watched closely enough, UTC days where not.
    timezone: Option<String>,
    /// Tell ahead when a week's or a month's limit will not hold.
    #[serde(default = "yes")]
    forecast: bool,
}

/// Whose word counts for a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum LimitConfig {
    /// The source's.
    Own,
}

/// Another limit for some scopes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OverrideConfig {
    /// Glob on the scope, like `user:ci-*`, `user:*@example.com` or `model:claude-*`.
    scope: String,
    /// US dollars.
    limit_usd: Decimal,
}

/// How readily spikes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Fewer, surer: score 3.0.
    Calm,
    /// Score 2.75.
    #[default]
    Default,
    /// More, smaller: score 2.5.
    Eager,
}

/// Days far above what a scope's own history leads one to expect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpikeConfig {
    /// Whose days are judged: of all together, each user, model, user on a model, group, or value of a dimension.
    #[serde(default)]
    per: Per,
    /// How readily it speaks.
    #[serde(default)]
    preset: Preset,
    /// Least excess over the expected day worth a word, US dollars (default 5).
    floor_usd: Option<Decimal>,
}

/// Single threads that have cost more than a limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadCostConfig {
    /// US dollars; each limit speaks once per thread.
    limits_usd: Many<Decimal>,
}

/// Scores of the presets: on the development set a score of 3.0 finds a tenth less and is wrong a third less often, 2.5
/// finds a little more and is wrong twice as often (docs/spikes.md).
const CALM_Z: f64 = 3.0;
const EAGER_Z: f64 = 2.5;
/// Overrides of one budget; each is tried for each scope.
const MOST_OVERRIDES: usize = 200;

impl Preset {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Default => "default",
            Self::Eager => "eager",
        }
    }

    pub fn sensitivity(self, floor_usd: f64) -> Sensitivity {
        let z = match self {
            Self::Calm => CALM_Z,
            Self::Default => Sensitivity::default().z,
            Self::Eager => EAGER_Z,
        };
        Sensitivity { z, floor_usd }
    }
}

fn yes() -> bool {
    true
}

fn default_thresholds() -> Many<Decimal> {
    Many(["50", "80", "100"].map(|t| Decimal(t.to_owned())).to_vec())
}

impl RuleConfig for BudgetConfig {
    fn build(&self, zone: &TimeZone) -> Result<Rule, Faults> {
        let mut faults = Faults::new();
        let usual = self.usual(&mut faults);
        if self.limit_usd.is_none() && self.limit_times_usual.is_none() && self.limit.is_none() {
            faults.push(("limit_usd".to_owned(), "is missing; or give limit_times_usual".to_owned()));
        }
        let own = self.own(&mut faults);
        let limit = self.limit_usd.as_ref().map(|text| dollars(text, "limit_usd", &mut faults)).unwrap_or_default();
        let mut thresholds = Vec::new();
        for (index, text) in self.thresholds.0.iter().enumerate() {
            match Percent::parse(&text.0) {
                Some(percent) if percent.0 > 0 && percent.0 <= 1_000_000_000 => thresholds.push(percent),
                _ => faults.push((
                    format!("thresholds[{index}]"),
                    format!("{:?} is no percentage above 0 with at most three decimal places", text.0),
                )),
            }
        }
        if self.thresholds.0.is_empty() {
            faults.push(("thresholds".to_owned(), "names none; then the budget could never speak".to_owned()));
        }
        thresholds.sort_unstable();
        thresholds.dedup();
        if self.overrides.0.len() > MOST_OVERRIDES {
            faults.push(("overrides".to_owned(), format!("more than {MOST_OVERRIDES}")));
        }
        let overrides = self.overrides.0.iter().enumerate().map(|(index, o)| Override {
            scope: o.scope.clone(),
            limit: dollars(&o.limit_usd, &format!("overrides[{index}].limit_usd"), &mut faults),
        });
        let overrides = overrides.collect();
        let zone = self.zone(zone, &mut faults);
        let rule = BudgetRule {
            usual,
            own,
            overrides,
            zone,
            forecast: self.forecast,
            ..BudgetRule::new(limit, self.period, self.per.clone(), thresholds)
        };
        if faults.is_empty() { Ok(Rule::Budget(rule)) } else { Err(faults) }
    }
}

impl BudgetConfig {
    fn own(&self, faults: &mut Faults) -> Option<Own> {
        let Some(LimitConfig::Own) = self.limit else { return None };
        if !matches!(self.per, Per::Other(_)) {
            let what = "= \"own\" needs per to name what has budgets of its own at the source, like per = \"mission\"";
            faults.push(("limit".to_owned(), what.to_owned()));
        }
        if self.limit_times_usual.is_some() {
            faults.push(("limit".to_owned(), "= \"own\" and limit_times_usual are two limits; keep one".to_owned()));
        }
        Some(if self.limit_usd.is_some() { Own::OrLimit } else { Own::Only })
    }

    fn usual(&self, faults: &mut Faults) -> Option<Usual> {
        let text = self.limit_times_usual.as_ref()?;
        // 2.5 times is 250 %.
        match Percent::parse(&text.0).map(|p| Percent(p.0.saturating_mul(100))) {
            Some(times) if times.0 > 0 && times.0 <= 1_000_000_000 => Some(Usual { times }),
            _ => {
                faults.push((
                    "limit_times_usual".to_owned(),
                    format!("{:?} is no number above 0 with at most three decimal places", text.0),
                ));
                None
            }
        }
    }

    fn zone(&self, bridge: &TimeZone, faults: &mut Faults) -> Option<Zone> {
        let name = self.timezone.as_deref().or(bridge.iana_name())?;
        if let Ok(zone) = TimeZone::get(name) {
            // Days of UTC are what the rows have anyway.
            return (name != "UTC").then(|| Zone { name: name.to_owned(), zone });
        }
        let what = format!("there is no time zone {name:?}; use an IANA name like \"Europe/Berlin\" or \"UTC\"");
        faults.push(("timezone".to_owned(), what));
        None
    }
}

impl RuleConfig for SpikeConfig {
    fn build(&self, _: &TimeZone) -> Result<Rule, Faults> {
        let mut faults = Faults::new();
        let floor = self.floor_usd.as_ref().map(|text| dollars(text, "floor_usd", &mut faults));
        let floor_usd = floor.map_or(Sensitivity::default().floor_usd, Micros::as_f64);
        let rule = SpikeRule { per: self.per.clone(), sensitivity: self.preset.sensitivity(floor_usd) };
        if faults.is_empty() { Ok(Rule::Spike(rule)) } else { Err(faults) }
    }
}

/// An amount that may be 0 but not less.
fn dollars(text: &Decimal, key: &str, faults: &mut Faults) -> Micros {
    let fault = match text.usd() {
        Ok(amount) if !amount.is_negative() => return amount,
        Ok(_) => "must not be negative".to_owned(),
        Err(error) => error.to_string(),
    };
    faults.push((key.to_owned(), fault));
    Micros::ZERO
}

impl RuleConfig for ThreadCostConfig {
    fn build(&self, _: &TimeZone) -> Result<Rule, Faults> {
        let mut faults = Faults::new();
        let mut limits = Vec::new();
        for (index, text) in self.limits_usd.0.iter().enumerate() {
            match text.usd() {
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
