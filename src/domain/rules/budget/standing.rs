//! Where a scope stands against a budget right now: what `guard`, digests and `spend` show. Tells nothing.

use super::limits::{Frozen, Limits};
use super::{BudgetRule, BudgetState, outlook, period};
use crate::domain::money::Micros;
use crate::domain::payload::ForecastBrief;
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{Scope, Sum};
use crate::domain::time::Period;

#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub period: Period,
    pub sum: Sum,
    /// `None` where nothing is usual for the scope yet.
    pub limit: Option<Micros>,
    /// The lowest amount that counts as a warning.
    pub warns_at: Option<Micros>,
    pub forecast: Option<ForecastBrief>,
    /// Passed again after it had been told as corrected.
    pub recrossed: bool,
}

/// One scope's standing in the running period.
pub fn standing(rule: &BudgetRule, state: Option<&BudgetState>, scene: &Scene<'_>, scope: &Scope) -> Standing {
    let today = period::today(rule, scene);
    let period = Period::containing(rule.period, today, scene.week_start);
    let sum = if period::is_local(rule, scene, period) {
        period::sums(rule, scene, period).by_scope.get(scope).copied().unwrap_or_default()
    } else {
        scene.ledger.sum_of(scope, scene.cut(&rule.per), period.start, period.end)
    };
    let mut frozen: Frozen = state.map(|s| s.usual.clone()).unwrap_or_default();
    let limit = Limits::of(rule, scene, period, &mut frozen).get(scope);
    let told = state.and_then(|s| s.told.get(scope)?.get(&period.start));
    Standing {
        period,
        sum,
        limit,
        warns_at: limit.zip(rule.thresholds.first()).map(|(limit, lowest)| limit.percent_ceil(*lowest)),
        forecast: if rule.looks_ahead() { outlook::brief(rule, None, scope, scene) } else { None },
        recrossed: told.is_some_and(|t| t.recrossed),
    }
}
