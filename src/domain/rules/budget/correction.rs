//! Spend that had passed an amount and has fallen well below it: told once, when the rows that count have settled.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde_json::json;

use super::limits::Limits;
use super::{BudgetRule, BudgetState, open_periods, period};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::money::{Micros, Percent};
use crate::domain::payload::CorrectionData;
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{Scope, is_closed};
use crate::domain::time::{Period, minus_days, plus_days};

/// A fall below this part of a told amount is a correction worth telling (percent of the amount).
const CORRECTED_BELOW: Percent = Percent(95_000);
/// How long a period that is over waits for a look after its rows have settled: the bridge may be down meanwhile.
pub(super) const WAIT_DAYS: i64 = 100;

#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) drafts: Vec<Draft>,
    /// Days of the ledger that must be here before anything can be said.
    pub(super) lacks: Vec<(String, Date)>,
}

/// Told amounts the spend has fallen well below, once every day up to the telling is closed. Of a period that is closed
/// itself this is said at the first complete look after that, or never.
pub(super) fn evaluate(rule: &BudgetRule, state: &mut BudgetState, scene: &Scene<'_>, today: Date) -> Found {
    let open: BTreeSet<Date> =
        open_periods(rule.period, today, scene.week_start).into_iter().map(|period| period.start).collect();
    let mut found = Found::default();
    for period in told_periods(rule, state, scene) {
        let lacks = if open.contains(&period.start) { Vec::new() } else { scene.lacking(period.start) };
        let due = |last: Date| is_closed(last.min(minus_days(period.end, 1)), today);
        let is_due = state.told.values().filter_map(|p| p.get(&period.start)?.correctable()).any(|(_, on)| due(on));
        if !is_due || scene.lacks_rows(period.start, period.end.min(plus_days(today, 1))) {
            continue;
        }
        if lacks.is_empty() {
            found.drafts.extend(of_period(rule, state, period, scene, today));
        } else {
            found.lacks.extend(lacks);
        }
    }
    found
}

/// What is counted now was read anew: what is missing of it is another account's money, or days that are not offered any
/// more, and was not given back.
pub(super) fn forget_falls(rule: &BudgetRule, state: &mut BudgetState, scene: &Scene<'_>) {
    for period in told_periods(rule, state, scene) {
        let sums = period::sums(rule, scene, period);
        for (scope, periods) in &mut state.told {
            let Some(told) = periods.get_mut(&period.start) else { continue };
            let spend = sums.by_scope.get(scope).copied().unwrap_or_default().amount;
            told.settled |= told.correctable().is_some_and(|(amount, _)| has_fallen(spend, amount));
        }
    }
}

fn has_fallen(spend: Micros, told: Micros) -> bool {
    spend < told.percent_ceil(CORRECTED_BELOW)
}

/// The periods something was told of that may yet be corrected.
fn told_periods(rule: &BudgetRule, state: &BudgetState, scene: &Scene<'_>) -> Vec<Period> {
    let told = state.told.values().flatten().filter(|(_, told)| told.correctable().is_some());
    let starts: BTreeSet<Date> = told.map(|(start, _)| *start).collect();
    let period = |start: Date| Period::containing(rule.period, start, scene.week_start);
    // Where the first day of weeks was edited meanwhile, what was told is of other weeks.
    starts
        .into_iter()
        .map(|start| (start, period(start)))
        .filter(|(start, p)| *start == p.start)
        .map(|(_, p)| p)
        .collect()
}

fn of_period(rule: &BudgetRule, state: &mut BudgetState, period: Period, scene: &Scene<'_>, today: Date) -> Vec<Draft> {
    let sums = period::sums(rule, scene, period);
    let mut usual = state.usual.clone();
    let limits = Limits::of(rule, scene, period, &mut usual);
    let mut drafts = Vec::new();
    for (scope, periods) in &mut state.told {
        let Some(told) = periods.get_mut(&period.start) else { continue };
        let Some((amount, told_on)) = told.correctable() else { continue };
        let last_day = minus_days(period.end, 1);
        if !is_closed(told_on.min(last_day), today) {
            continue;
        }
        let spend = sums.by_scope.get(scope).copied().unwrap_or_default().amount;
        let counted_alike = told.local == (sums.alignment == period::Alignment::LocalDay);
        if counted_alike && has_fallen(spend, amount) {
            told.corrected = true;
            let limit = limits.get(scope).unwrap_or(rule.limit);
            drafts.push(draft(rule, scope, period, (spend, limit, amount, told_on), scene));
        } else {
            told.settled = is_closed(last_day, today);
        }
    }
    drafts
}

fn draft(
    rule: &BudgetRule,
    scope: &Scope,
    period: Period,
    (spend, limit, amount, told_on): (Micros, Micros, Micros, Date),
    scene: &Scene<'_>,
) -> Draft {
    let data = CorrectionData {
        rule: scene.rule.to_owned(),
        scope: scope.to_string(),
        who: scene.person(scope),
        sources: scene.sources.to_vec(),
        period: rule.period.to_string(),
        period_start: period.start.to_string(),
        spend_usd: spend,
        limit_usd: limit,
        told_usd: amount,
        incident: scene.incident(scope, period.start),
        state: "resolved".to_owned(),
    };
    let why =
        json!({ "rule": scene.rule, "spend_micros": spend.0, "told_micros": amount.0, "told_on": told_on.to_string() });
    let draft = scene.draft("budget.corrected", scope, Severity::Info);
    draft.with(scene.identity(scope, period.start, amount.0, "corrected"), why, data_of(&data))
}
