//! What the figures of open incidents are now, for messages that follow them.

use serde_json::{Value, json};

use super::attribution::{self, Rise};
use super::budget::limits::{Frozen, Limits};
use super::budget::{self, BudgetRule, BudgetState};
use super::scene::Scene;
use super::spike::{Role, SpikeState, Told};
use crate::domain::live::Figures;
use crate::domain::money::Micros;
use crate::domain::payload::Contribution;
use crate::domain::spend::{Per, Scope, Sum};
use crate::domain::time::plus_days;

/// Of a budget: by incident, for those that are `wanted`.
pub fn of_budget(
    rule: &BudgetRule,
    state: &BudgetState,
    scene: &Scene<'_>,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<(String, Figures)> {
    let mut found = Vec::new();
    for period in budget::open_periods(rule.period, budget::period::today(rule, scene), scene.week_start) {
        let told = state.told.iter().filter(|(_, p)| p.get(&period.start).is_some_and(|t| t.highest.is_some()));
        let followed: Vec<_> = told
            .map(|(scope, _)| (scope, scene.incident(scope, period.start)))
            .filter(|(_, incident)| wanted(incident))
            .collect();
        if followed.is_empty() {
            continue;
        }
        let sums = budget::period::sums(rule, scene, period).by_scope;
        let mut frozen: Frozen = state.usual.clone();
        let limits = Limits::of(rule, scene, period, &mut frozen);
        for (scope, incident) in followed {
            // No data is not zero.
            let Some(sum) = sums.get(scope).filter(|sum| sum.amount > Micros::ZERO) else { continue };
            let (top, by_source) = budget::shares(rule, scene, scope, period, sum.amount);
            let mut figures = as_figures(json!({
                "spend_usd": sum.amount,
                "percent": limits.get(scope).and_then(|limit| sum.amount.percent_of(limit)),
                "top": top,
                "estimated": sum.estimated,
            }));
            if !by_source.is_empty() {
                figures.insert("by_source".to_owned(), json!(by_source));
            }
            found.push((incident, figures));
        }
    }
    found
}

/// Of a spike rule.
pub fn of_spikes(state: &SpikeState, scene: &Scene<'_>, wanted: &dyn Fn(&str) -> bool) -> Vec<(String, Figures)> {
    let mut found = Vec::new();
    for (scope, days) in &state.told {
        // Of a rise that all shared only those are counted of whom something was expected; that is told once, when the day is over.
        for (day, told) in days.iter().filter(|(_, told)| told.open && told.role != Role::Shared) {
            let incident = scene.incident(scope, *day);
            let expected = told.expected.as_f64();
            if !wanted(&incident) || expected <= 0.0 {
                continue;
            }
            let (sum, parts) = now_at(state, scene, scope, *day, told);
            if sum.amount <= Micros::ZERO {
                continue;
            }
            let figures = json!({
                "actual_usd": sum.amount,
                "excess_usd": sum.amount - told.expected,
                "ratio": (sum.amount.as_f64() / expected * 10.0).round() / 10.0,
                "attribution": parts,
                "lower_bound": *day >= scene.today(),
                "estimated": sum.estimated,
            });
            found.push((incident, as_figures(figures)));
        }
    }
    found
}

/// A scope's day as it is now; of an event about several, theirs together.
fn now_at(
    state: &SpikeState,
    scene: &Scene<'_>,
    scope: &Scope,
    day: jiff::civil::Date,
    told: &Told,
) -> (Sum, Vec<Contribution>) {
    let cut = scene.cut(&Per::Workspace);
    let to = plus_days(day, 1);
    let one = |scope: &Scope, expected: Micros| {
        let sum = scene.ledger.sum_of(scope, cut, day, to);
        (sum, attribution::attribute(scene.ledger, cut, Rise { scope, from: day, to, expected: Some(expected) }))
    };
    if told.members.is_empty() {
        return one(scope, told.expected);
    }
    let (mut whole, mut parts) = (Sum::default(), Vec::new());
    for member in &told.members {
        let known = state.told.get(member).and_then(|days| days.get(&day));
        let expected = known.map(|t| t.lead.map_or(t.expected, |lead| lead.expected));
        let (sum, more) = one(member, expected.unwrap_or_default());
        whole.amount += sum.amount;
        whole.estimated |= sum.estimated;
        parts.extend(more);
    }
    (whole, attribution::together(parts, whole.amount, told.expected))
}

fn as_figures(value: Value) -> Figures {
    match value {
        Value::Object(figures) => figures,
        _ => Figures::new(),
    }
}
