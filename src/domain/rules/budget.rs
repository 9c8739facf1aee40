//! Budgets: a limit per day, week or month, told once per threshold and period.
//!
//! Invariant: what was told is remembered by (period, scope, amount, kind), never by time; an amount speaks at most
//! once per period whatever the rows, the limit or the process do in between.

mod crossing;
pub mod limits;
pub mod outlook;
pub mod period;
pub mod standing;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::scene::{Scene, Verdict};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::money::{Micros, Percent};
use crate::domain::payload::CorrectionData;
use crate::domain::spend::{Per, SETTLING_DAYS, Scope, Sum};
use crate::domain::time::{Period, PeriodKind, WeekStart, days_between, minus_days};

use crossing::Crossing;
use limits::{Frozen, Limits, Override, Own, Usual};
use outlook::Outlook;
use period::Zone;

pub(super) use crossing::shares;
pub use period::days_needed;

/// A fall below this part of a told amount is a correction worth telling (percent of the amount).
const CORRECTED_BELOW: Percent = Percent(95_000);
/// Days within which a source that had money is expected to still have it in the ledger.
const LATELY_DAYS: i64 = 31 + SETTLING_DAYS;

#[derive(Debug, Clone, PartialEq)]
pub struct BudgetRule {
    /// The limit; where it is a multiple of the usual, its least.
    pub limit: Micros,
    pub period: PeriodKind,
    pub per: Per,
    /// Ascending, distinct, above zero.
    pub thresholds: Vec<Percent>,
    pub usual: Option<Usual>,
    /// The limit of each scope is what its source says.
    pub own: Option<Own>,
    pub overrides: Vec<Override>,
    /// A time zone of its own.
    pub zone: Option<Zone>,
    /// Tells ahead when the limit will not hold.
    pub forecast: bool,
}

impl BudgetRule {
    pub fn new(limit: Micros, period: PeriodKind, per: Per, thresholds: Vec<Percent>) -> Self {
        Self {
            limit,
            period,
            per,
            thresholds,
            usual: None,
            own: None,
            overrides: Vec::new(),
            zone: None,
            forecast: true,
        }
    }

    /// Whether it forecasts: a day is over before a forecast of it could help.
    pub fn looks_ahead(&self) -> bool {
        self.forecast && self.period != PeriodKind::Day
    }
}

/// What one rule has told of one group of sources.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetState {
    /// The limit at the last evaluation; a change of it is a cause of its own.
    pub limit: Option<Micros>,
    /// What else made limits at the last evaluation.
    pub print: limits::Print,
    /// What the source said of limits at the last evaluation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<Scope, Micros>,
    /// By scope, then period start.
    pub told: BTreeMap<Scope, BTreeMap<Date, Told>>,
    /// The newest day with money of each source.
    pub newest: BTreeMap<String, Date>,
    /// Limits found from what is usual.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub usual: Frozen,
    /// Scopes whose period may not hold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ahead: BTreeMap<Scope, Outlook>,
    /// The day that was last looked ahead from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_ahead: Option<Date>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// Amounts told as passed (or passed at first sight), with their kind.
    pub amounts: BTreeSet<(Micros, Kind)>,
    /// The highest amount told by an event, and the day that was.
    pub highest: Option<(Micros, Date)>,
    /// That event counted local days. What is counted otherwise by now neither confirms nor corrects it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    pub corrected: bool,
    /// Passed again after it had been told as corrected. Shown, never told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recrossed: bool,
}

impl Told {
    /// An event tells of a crossing.
    fn note(&mut self, crossing: &Crossing, today: Date) {
        self.highest = Some((crossing.amount, today));
        self.local = crossing.alignment == period::Alignment::LocalDay;
    }
}

/// The two facts an amount can stand for. Part of event ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Threshold,
    Exceeded,
}

impl Kind {
    fn of(threshold: Percent) -> Self {
        if threshold >= Percent::WHOLE { Self::Exceeded } else { Self::Threshold }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Exceeded => "exceeded",
        }
    }
}

/// Evaluates one rule over one group. `state` is `None` at first sight: then what is already passed speaks once, in one
/// event, and what is past stays silent. `month` is the month's budget of the same scopes, if there is one.
pub fn evaluate(
    rule: &BudgetRule,
    state: Option<&BudgetState>,
    month: Option<&BudgetRule>,
    scene: &Scene<'_>,
) -> Verdict<BudgetState> {
    let first_sight = state.is_none();
    let mut next = state.cloned().unwrap_or_default();
    let print = limits::Print::of(rule);
    let limit_changed = next.limit.is_some_and(|old| old != rule.limit || next.print != print);
    (next.limit, next.print) = (Some(rule.limit), print);
    let moved = limits::moved(rule, scene, &mut next.own);
    let today = period::today(rule, scene);
    let forgotten = notice_forgotten(&mut next, scene, today);
    let mut lacks = Vec::new();
    let mut drafts = Vec::new();
    let mut at_first_sight: Vec<Crossing> = Vec::new();
    for period in open_periods(rule.period, today, scene.week_start) {
        let sums = period::sums(rule, scene, period);
        let limits = Limits::of(rule, scene, period, &mut next.usual);
        let least = limits.least();
        for (scope, sum) in sums.by_scope.iter().filter(|(_, sum)| sum.amount >= least) {
            let Some(limit) = limits.get(scope) else { continue };
            let told = next.told.entry(scope.clone()).or_default().entry(period.start).or_default();
            let found = newly_crossed(rule, scope, limit, *sum, period, told);
            let Some(crossing) = found.map(|c| Crossing { alignment: sums.alignment, ..c }) else { continue };
            if first_sight {
                if period.contains(today) {
                    at_first_sight.push(crossing);
                }
                continue;
            }
            let edited = limit_changed || moved.contains(scope);
            if edited && period.end <= today {
                // What is over was judged by the limit there was.
                continue;
            }
            told.note(&crossing, today);
            let cause = if edited { "limit_changed" } else { "spend" };
            drafts.push(crossing.draft(rule, month, scene, today, cause, None));
        }
        if scene.complete && !first_sight && !forgotten {
            drafts.extend(corrections(rule, &mut next, &sums, &limits, period, today, scene));
        }
    }
    if let Some(draft) = first_sight_event(rule, month, at_first_sight, &mut next, scene, today) {
        drafts.push(draft);
    }
    if !drafts.is_empty() {
        lacks = scene.lacking(minus_days(today, crossing::days_told_of(rule, today)));
    }
    if rule.looks_ahead() && !forgotten {
        drafts.extend(outlook::evaluate(rule, &mut next, scene));
    }
    forget_old_periods(&mut next, rule.period, today, scene.week_start);
    Verdict { state: next, drafts, lacks }
}

/// Whether all money of a source is missing that had some lately: it was forgotten (a reset, another address) and is yet
/// to be read anew, which is no reason to take anything back.
fn notice_forgotten(state: &mut BudgetState, scene: &Scene<'_>, today: Date) -> bool {
    let mut forgotten = false;
    for source in scene.sources {
        match scene.ledger.newest_day(std::slice::from_ref(source)) {
            Some(day) => {
                state.newest.insert(source.clone(), day);
            }
            None => forgotten |= state.newest.get(source).is_some_and(|day| days_between(*day, today) <= LATELY_DAYS),
        }
    }
    forgotten
}

/// Periods whose rows may still move: those ending within the settling days, oldest first, and the running one.
pub(super) fn open_periods(kind: PeriodKind, today: Date, week_start: WeekStart) -> Vec<Period> {
    let mut period = Period::containing(kind, minus_days(today, SETTLING_DAYS), week_start);
    let mut periods = Vec::new();
    while period.start <= today {
        periods.push(period);
        period = period.next(week_start);
    }
    periods
}

/// Marks every passed amount as told. `Some` where the highest of them was not told before.
fn newly_crossed(
    rule: &BudgetRule,
    scope: &Scope,
    limit: Micros,
    sum: Sum,
    period: Period,
    told: &mut Told,
) -> Option<Crossing> {
    if sum.amount <= Micros::ZERO {
        return None;
    }
    if told.corrected && told.highest.is_some_and(|(amount, _)| sum.amount >= amount) {
        told.recrossed = true;
    }
    let mut crossed = Vec::new();
    let mut highest = None;
    for threshold in &rule.thresholds {
        let amount = limit.percent_ceil(*threshold);
        if sum.amount < amount {
            break;
        }
        let fresh = told.amounts.insert((amount, Kind::of(*threshold)));
        if fresh {
            crossed.push(*threshold);
        }
        highest = Some((*threshold, amount, fresh));
    }
    let (threshold, amount, fresh) = highest?;
    let alignment = period::Alignment::UtcDay;
    fresh.then(|| Crossing { scope: scope.clone(), limit, sum, period, amount, threshold, crossed, alignment })
}

/// One event for all that was already passed when the rule was first looked at: the scope that is furthest over.
fn first_sight_event(
    rule: &BudgetRule,
    month: Option<&BudgetRule>,
    mut crossings: Vec<Crossing>,
    state: &mut BudgetState,
    scene: &Scene<'_>,
    today: Date,
) -> Option<Draft> {
    crossings.sort_by(|a, b| b.sum.amount.cmp(&a.sum.amount).then_with(|| a.scope.cmp(&b.scope)));
    let also = crossings.iter().skip(1).map(|c| c.scope.to_string()).collect();
    let worst = crossings.into_iter().next()?;
    if let Some(told) = state.told.get_mut(&worst.scope).and_then(|p| p.get_mut(&worst.period.start)) {
        told.note(&worst, today);
    }
    Some(worst.draft(rule, month, scene, today, "spend", Some(also)))
}

/// Told amounts the spend has fallen well below, once every day up to the telling is closed.
fn corrections(
    rule: &BudgetRule,
    state: &mut BudgetState,
    sums: &period::Sums,
    limits: &Limits<'_>,
    period: Period,
    today: Date,
    scene: &Scene<'_>,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (scope, periods) in &mut state.told {
        let Some(told) = periods.get_mut(&period.start) else { continue };
        let Some((amount, told_on)) = told.highest else { continue };
        let spend = sums.by_scope.get(scope).copied().unwrap_or_default().amount;
        let counted_alike = told.local == (sums.alignment == period::Alignment::LocalDay);
        let last_day = told_on.min(minus_days(period.end, 1));
        let settled = days_between(last_day, today) >= SETTLING_DAYS;
        if told.corrected || !settled || !counted_alike || spend >= amount.percent_ceil(CORRECTED_BELOW) {
            continue;
        }
        told.corrected = true;
        let data = CorrectionData {
            rule: scene.rule.to_owned(),
            scope: scope.to_string(),
            who: scene.person(scope),
            sources: scene.sources.to_vec(),
            period: rule.period.to_string(),
            period_start: period.start.to_string(),
            spend_usd: spend,
            limit_usd: limits.get(scope).unwrap_or(rule.limit),
            told_usd: amount,
            incident: scene.incident(scope, period.start),
            state: "resolved".to_owned(),
        };
        let why = json!({ "rule": scene.rule, "spend_micros": spend.0, "told_micros": amount.0, "told_on": told_on.to_string() });
        let draft = scene.draft("budget.corrected", scope, Severity::Info);
        drafts.push(draft.with(scene.identity(scope, period.start, amount.0, "corrected"), why, data_of(&data)));
    }
    drafts
}

/// Drops what can no longer speak. A closed period is not evaluated again, so nothing told there can repeat.
fn forget_old_periods(state: &mut BudgetState, kind: PeriodKind, today: Date, week_start: WeekStart) {
    let oldest = Period::containing(kind, minus_days(today, SETTLING_DAYS + 7), week_start).start;
    for periods in state.told.values_mut() {
        periods.retain(|start, told| *start >= oldest && !told.amounts.is_empty());
    }
    state.told.retain(|_, periods| !periods.is_empty());
    for periods in state.usual.values_mut() {
        periods.retain(|start, _| *start >= oldest);
    }
    state.usual.retain(|_, periods| !periods.is_empty());
    state.ahead.retain(|_, outlook| outlook.period >= oldest);
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
