//! What the figures of open incidents are now, for messages that follow them.

use serde_json::{Value, json};

use super::attribution;
use super::budget::{self, BudgetRule, BudgetState};
use super::spike::{self, SpikeState};
use crate::domain::live::Figures;
use crate::domain::money::Micros;
use crate::domain::time::plus_days;

/// Of a budget: by incident, for those that are `wanted`.
pub fn of_budget(
    rule: &BudgetRule,
    state: &BudgetState,
    scene: &budget::Scene<'_>,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<(String, Figures)> {
    let mut found = Vec::new();
    for period in budget::open_periods(rule.period, scene.today(), scene.week_start) {
        let start = period.start.to_string();
        let told = state.told.iter().filter(|(_, p)| p.get(&period.start).is_some_and(|t| t.highest.is_some()));
        let followed: Vec<_> = told
            .map(|(scope, _)| (scope, budget::incident(scene, &scope.to_string(), &start)))
            .filter(|(_, incident)| wanted(incident))
            .collect();
        if followed.is_empty() {
            continue;
        }
        let sums = scene.ledger.sums(scene.sources, period.start, period.end, rule.per);
        for (scope, incident) in followed {
            // No data is not zero.
            let Some(sum) = sums.get(scope).filter(|sum| sum.amount > Micros::ZERO) else { continue };
            let figures = json!({
                "spend_usd": sum.amount,
                "percent": sum.amount.percent_of(rule.limit),
                "top": budget::top_of(scene, scope, period, sum.amount),
                "estimated": sum.estimated,
            });
            found.push((incident, as_figures(figures)));
        }
    }
    found
}

/// Of a spike rule.
pub fn of_spikes(
    rule: &spike::SpikeRule,
    state: &SpikeState,
    scene: &spike::Scene<'_>,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<(String, Figures)> {
    let mut found = Vec::new();
    for (scope, days) in &state.told {
        for (day, told) in days.iter().filter(|(_, told)| told.open) {
            let incident = spike::incident(scene, &scope.to_string(), &day.to_string());
            if !wanted(&incident) {
                continue;
            }
            let sums = scene.ledger.sums(scene.sources, *day, plus_days(*day, 1), rule.per);
            let Some(sum) = sums.get(scope).filter(|sum| sum.amount > Micros::ZERO) else { continue };
            let expected = told.expected.as_f64();
            let ratio = if expected > 0.0 { (sum.amount.as_f64() / expected * 10.0).round() / 10.0 } else { continue };
            let parts = attribution::attribute(scene.ledger, scene.sources, scope, *day, told.expected, scene.people);
            let figures = json!({
                "actual_usd": sum.amount,
                "excess_usd": sum.amount - told.expected,
                "ratio": ratio,
                "attribution": parts,
                "lower_bound": *day >= scene.today(),
                "estimated": sum.estimated,
            });
            found.push((incident, as_figures(figures)));
        }
    }
    found
}

fn as_figures(value: Value) -> Figures {
    match value {
        Value::Object(figures) => figures,
        _ => Figures::new(),
    }
}
