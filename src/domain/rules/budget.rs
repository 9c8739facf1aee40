//! Budgets: a limit per day, week or month, told once per threshold and period.
//!
//! Invariant: what was told is remembered by (period, scope, amount, kind), never by time; an amount speaks at most
//! once per period whatever the rows, the limit or the process do in between.

mod correction;
mod crossing;
pub mod limits;
pub mod outlook;
pub mod period;
pub mod standing;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::scene::{Scene, Verdict};
use super::sight::Met;
use crate::domain::event::Draft;
use crate::domain::money::{Micros, Percent};
use crate::domain::spend::{Per, SETTLING_DAYS, Scope, Sum};
use crate::domain::time::{Period, PeriodKind, WeekStart, days_between, minus_days};

use crossing::Crossing;
use limits::{Frozen, Limits, Override, Own, Usual};
use outlook::Outlook;
use period::Zone;

pub(super) use crossing::shares;
pub use period::days_needed;

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
    /// The thresholds at the last evaluation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Percent>,
    /// Sources that were counted before; `None` in what was remembered before anybody took note of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<Met>,
    /// Whose money it was ([`Scene::account`]).
    #[serde(skip_serializing_if = "crate::domain::doc::is_zero")]
    pub account: u32,
    /// What the source said of limits at the last evaluation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<Scope, Micros>,
    /// By scope, then period start.
    pub told: BTreeMap<Scope, BTreeMap<Date, Told>>,
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
#[expect(clippy::struct_excessive_bools, reason = "marks side by side, as they are stored")]
pub struct Told {
    /// Amounts told as passed (or passed at first sight), with their kind.
    pub amounts: BTreeSet<(Micros, Kind)>,
    /// The highest amount told by an event, and the day that was.
    pub highest: Option<(Micros, Date)>,
    /// The limit it was held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Micros>,
    /// That event counted local days. What is counted otherwise by now neither confirms nor corrects it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    pub corrected: bool,
    /// Nothing more is said of a fall: the rows have settled, or what fell is another account's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Passed again after it had been told as corrected. Shown, never told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recrossed: bool,
}

impl Told {
    /// An event tells of a crossing.
    fn note(&mut self, crossing: &Crossing, today: Date) {
        self.highest = Some((crossing.amount, today));
        self.limit = Some(crossing.limit);
        self.local = crossing.alignment == period::Alignment::LocalDay;
    }

    /// Whether something at least as high, and as grave, has been told.
    fn covers(&self, amount: Micros, kind: Kind) -> bool {
        self.amounts.iter().any(|(told, of)| *told >= amount && *of >= kind)
    }

    /// The amount a fall below which would be a correction, and the day it was told.
    fn correctable(&self) -> Option<(Micros, Date)> {
        self.highest.filter(|_| !self.corrected && !self.settled)
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

/// Evaluates one rule over one group. `state` is `None` at first sight. What is already passed when a source is first
/// counted speaks once, in one event, and what is past stays silent. `month` is the month's budget of the same scopes, if
/// there is one.
pub fn evaluate(
    rule: &BudgetRule,
    state: Option<&BudgetState>,
    month: Option<&BudgetRule>,
    scene: &Scene<'_>,
) -> Verdict<BudgetState> {
    let state = state.filter(|state| state.account == scene.account());
    let mut next = state.cloned().unwrap_or_default();
    next.account = scene.account();
    let mut met = next.met.take().unwrap_or_else(|| if state.is_some() { Met::all(scene) } else { Met::default() });
    let sight = met.meet(scene);
    next.met = Some(met);
    let edits = Edits::take(rule, scene, &mut next);
    let today = period::today(rule, scene);
    let mut drafts = Vec::new();
    if sight.fresh.is_empty() || !sight.known.is_empty() {
        let known = Scene { counted: &sight.known, ..*scene };
        for (crossing, edited) in crossings(rule, &mut next, &edits, &known, today) {
            if let Some(told) = next.told_mut(&crossing) {
                told.note(&crossing, today);
            }
            drafts.push(crossing.draft(rule, month, &known, today, edited.unwrap_or("spend"), None));
        }
    }
    let mut lacks = Vec::new();
    if !sight.fresh.is_empty() {
        // What is usual is so with all that counts.
        next.usual.clear();
        let found = crossings(rule, &mut next, &Edits::default(), scene, today);
        let running = found.into_iter().map(|(crossing, _)| crossing).filter(|c| c.period.contains(today));
        drafts.extend(first_sight_event(rule, month, running.collect(), &mut next, scene, today));
        if sight.again {
            correction::forget_falls(rule, &mut next, scene);
        }
    } else if scene.complete && !sight.forgotten {
        let found = correction::evaluate(rule, &mut next, scene, today);
        drafts.extend(found.drafts);
        lacks = found.lacks;
    }
    if !drafts.is_empty() {
        lacks.extend(scene.lacking(minus_days(today, crossing::days_told_of(rule, today))));
    }
    if rule.looks_ahead() && !sight.forgotten {
        drafts.extend(outlook::evaluate(rule, &mut next, scene));
    }
    forget_old_periods(&mut next, rule.period, today, scene.week_start);
    Verdict { state: next, drafts, lacks }
}

/// What was edited since the last evaluation.
#[derive(Default)]
struct Edits {
    /// The rule's limit then.
    limit_before: Option<Micros>,
    limit: bool,
    thresholds: bool,
    /// Scopes whose own limit is another one.
    moved: BTreeSet<Scope>,
}

impl Edits {
    /// Compares with what is remembered, which is replaced.
    fn take(rule: &BudgetRule, scene: &Scene<'_>, state: &mut BudgetState) -> Self {
        let print = limits::Print::of(rule);
        let edits = Self {
            limit_before: state.limit,
            limit: state.limit.is_some_and(|old| old != rule.limit || state.print != print),
            thresholds: !state.thresholds.is_empty() && state.thresholds != rule.thresholds,
            moved: limits::moved(rule, scene, &mut state.own),
        };
        (state.limit, state.print) = (Some(rule.limit), print);
        state.thresholds.clone_from(&rule.thresholds);
        edits
    }

    /// The cause of what an edit makes news, if there was one.
    fn cause(&self, scope: &Scope) -> Option<&'static str> {
        if self.limit || self.moved.contains(scope) {
            Some("limit_changed")
        } else {
            self.thresholds.then_some("thresholds_changed")
        }
    }
}

impl BudgetState {
    fn told_mut(&mut self, crossing: &Crossing) -> Option<&mut Told> {
        self.told.get_mut(&crossing.scope)?.get_mut(&crossing.period.start)
    }
}

/// What is newly passed in the periods that may still move, and the edit that made it so, if one did. Everything passed
/// is marked.
fn crossings(
    rule: &BudgetRule,
    next: &mut BudgetState,
    edits: &Edits,
    scene: &Scene<'_>,
    today: Date,
) -> Vec<(Crossing, Option<&'static str>)> {
    let mut found = Vec::new();
    for period in open_periods(rule.period, today, scene.week_start) {
        let sums = period::sums(rule, scene, period);
        let limits = Limits::of(rule, scene, period, &mut next.usual);
        let least = limits.least();
        for (scope, sum) in sums.by_scope.iter().filter(|(_, sum)| sum.amount >= least) {
            let Some(limit) = limits.get(scope) else { continue };
            let told = next.told.entry(scope.clone()).or_default().entry(period.start).or_default();
            let lowered = told.limit.or(edits.limit_before).is_some_and(|before| limit < before);
            let Some(crossing) = newly_crossed(rule, scope, limit, *sum, period, lowered, told) else { continue };
            let edited = edits.cause(scope);
            if edited.is_some() && period.end <= today {
                // What is over was judged by the limit there was.
                continue;
            }
            found.push((Crossing { alignment: sums.alignment, ..crossing }, edited));
        }
    }
    found
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

/// Marks every passed amount as told. `Some` where the highest of them is news: it was not told before, and nothing higher
/// was, unless the limit is `lowered`.
fn newly_crossed(
    rule: &BudgetRule,
    scope: &Scope,
    limit: Micros,
    sum: Sum,
    period: Period,
    lowered: bool,
    told: &mut Told,
) -> Option<Crossing> {
    if sum.amount <= Micros::ZERO {
        return None;
    }
    if told.corrected && told.highest.is_some_and(|(amount, _)| sum.amount >= amount) {
        told.recrossed = true;
    }
    let mut fresh = Vec::new();
    let mut crossed = Vec::new();
    let mut highest = None;
    for threshold in &rule.thresholds {
        let fact = (limit.percent_ceil(*threshold), Kind::of(*threshold));
        if sum.amount < fact.0 {
            break;
        }
        // With a limit of nothing, several thresholds are one fact.
        if !told.amounts.contains(&fact) && !fresh.contains(&fact) {
            fresh.push(fact);
            crossed.push(*threshold);
        }
        highest = Some((*threshold, fact));
    }
    let (threshold, fact) = highest?;
    let (amount, kind) = fact;
    let is_news = fresh.contains(&fact) && (lowered || !told.covers(amount, kind));
    told.amounts.extend(fresh);
    let alignment = period::Alignment::UtcDay;
    is_news.then(|| Crossing { scope: scope.clone(), limit, sum, period, amount, threshold, crossed, alignment })
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
    if let Some(told) = state.told_mut(&worst) {
        told.note(&worst, today);
    }
    Some(worst.draft(rule, month, scene, today, "spend", Some(also)))
}

/// Drops what can no longer speak. A closed period is not evaluated again, so nothing told there can repeat; only what
/// nobody could look at since its rows settled is kept until someone has.
fn forget_old_periods(state: &mut BudgetState, kind: PeriodKind, today: Date, week_start: WeekStart) {
    let oldest = Period::containing(kind, minus_days(today, SETTLING_DAYS + 7), week_start).start;
    for periods in state.told.values_mut() {
        periods.retain(|start, told| {
            let waits = told.correctable().is_some() && days_between(*start, today) <= correction::WAIT_DAYS;
            (*start >= oldest || waits) && !told.amounts.is_empty()
        });
    }
    state.told.retain(|_, periods| !periods.is_empty());
    let told = &state.told;
    for (scope, periods) in &mut state.usual {
        let is_told = |start: &Date| told.get(scope).is_some_and(|periods| periods.contains_key(start));
        periods.retain(|start, _| *start >= oldest || is_told(start));
    }
    state.usual.retain(|_, periods| !periods.is_empty());
    state.ahead.retain(|_, outlook| outlook.period >= oldest);
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
