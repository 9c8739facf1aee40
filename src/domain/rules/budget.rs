//! Budgets: a limit per day, week or month, told once per threshold and period.
//!
//! Invariant: what was told is remembered by (period, scope, amount, kind), never by time; an amount speaks at most
//! once per period whatever the rows, the limit or the process do in between.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{group_name, who};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::ids;
use crate::domain::money::{Micros, Percent};
use crate::domain::payload::{BudgetData, CorrectionData, Share, Top};
use crate::domain::record::Person;
use crate::domain::spend::{Ledger, Per, SETTLING_DAYS, Scope, Sum};
use crate::domain::time::{Period, PeriodKind, Timestamp, WeekStart, days_between, minus_days, plus_days, utc_day};

/// A fall below this part of a told amount is a correction worth telling (percent of the amount).
const CORRECTED_BELOW: Percent = Percent(95_000);
/// Days within which a source that had money is expected to still have it in the ledger.
const LATELY_DAYS: i64 = 31 + SETTLING_DAYS;
/// Contributors named in an event.
const TOP: usize = 3;

#[derive(Debug, Clone, PartialEq)]
pub struct BudgetRule {
    pub limit: Micros,
    pub period: PeriodKind,
    pub per: Per,
    /// Ascending, distinct, above zero.
    pub thresholds: Vec<Percent>,
}

/// What one rule has told of one group of sources.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BudgetState {
    /// The limit at the last evaluation; a change of it is a cause of its own.
    pub limit: Option<Micros>,
    /// By scope, then period start.
    pub told: BTreeMap<Scope, BTreeMap<Date, Told>>,
    /// The newest day with money of each source.
    #[serde(default)]
    pub newest: BTreeMap<String, Date>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    /// Amounts told as passed (or passed at first sight), with their kind.
    pub amounts: BTreeSet<(Micros, Kind)>,
    /// The highest amount told by an event, and the day that was.
    pub highest: Option<(Micros, Date)>,
    pub corrected: bool,
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

/// What an evaluation needs besides the rule and its state.
pub struct Scene<'a> {
    pub now: Timestamp,
    pub rule: &'a str,
    pub sources: &'a [String],
    pub week_start: WeekStart,
    pub ledger: &'a Ledger,
    pub people: &'a BTreeMap<String, Person>,
    /// The look behind this was complete; corrections are told only then.
    pub complete: bool,
}

impl Scene<'_> {
    /// Today by the clock, or by the newest row where that is a day ahead (a clock that lags).
    pub fn today(&self) -> Date {
        let by_clock = utc_day(self.now);
        self.ledger
            .newest_day(self.sources)
            .filter(|newest| *newest > by_clock && *newest <= plus_days(by_clock, 1))
            .unwrap_or(by_clock)
    }
}

/// How far back an evaluation looks, for loading the ledger: the longest period plus settling.
pub fn days_needed(kind: PeriodKind) -> i64 {
    SETTLING_DAYS
        + match kind {
            PeriodKind::Day => 1,
            PeriodKind::Week => 7,
            PeriodKind::Month => 31,
        }
}

/// Evaluates one rule over one group. `state` is `None` at first sight: then what is already passed speaks once, in one
/// event, and what is past stays silent.
pub fn evaluate(rule: &BudgetRule, state: Option<&BudgetState>, scene: &Scene<'_>) -> (BudgetState, Vec<Draft>) {
    let first_sight = state.is_none();
    let mut next = state.cloned().unwrap_or_default();
    let limit_changed = next.limit.is_some_and(|old| old != rule.limit);
    next.limit = Some(rule.limit);
    let today = scene.today();
    let forgotten = notice_forgotten(&mut next, scene, today);
    let mut drafts = Vec::new();
    let mut at_first_sight: Vec<Crossing> = Vec::new();
    for period in open_periods(rule.period, today, scene.week_start) {
        let sums = scene.ledger.sums(scene.sources, period.start, period.end, rule.per);
        for (scope, sum) in &sums {
            let told = next.told.entry(scope.clone()).or_default().entry(period.start).or_default();
            let Some(crossing) = newly_crossed(rule, scope, *sum, period, told) else { continue };
            if first_sight {
                if period.contains(today) {
                    at_first_sight.push(crossing);
                }
                continue;
            }
            told.highest = Some((crossing.amount, today));
            let cause = if limit_changed { "limit_changed" } else { "spend" };
            drafts.push(crossing.draft(rule, scene, today, cause, None));
        }
        if scene.complete && !first_sight && !forgotten {
            drafts.extend(corrections(rule, &mut next, &sums, period, today, scene));
        }
    }
    if let Some(draft) = first_sight_event(rule, at_first_sight, &mut next, scene, today) {
        drafts.push(draft);
    }
    forget_old_periods(&mut next, rule.period, today, scene.week_start);
    (next, drafts)
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

struct Crossing {
    scope: Scope,
    sum: Sum,
    period: Period,
    amount: Micros,
    threshold: Percent,
    crossed: Vec<Percent>,
}

/// Marks every passed amount as told. `Some` where the highest of them was not told before.
fn newly_crossed(rule: &BudgetRule, scope: &Scope, sum: Sum, period: Period, told: &mut Told) -> Option<Crossing> {
    if sum.amount <= Micros::ZERO {
        return None;
    }
    let mut crossed = Vec::new();
    let mut highest = None;
    for threshold in &rule.thresholds {
        let amount = rule.limit.percent_ceil(*threshold);
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
    fresh.then(|| Crossing { scope: scope.clone(), sum, period, amount, threshold, crossed })
}

/// One event for all that was already passed when the rule was first looked at: the scope that is furthest over.
fn first_sight_event(
    rule: &BudgetRule,
    mut crossings: Vec<Crossing>,
    state: &mut BudgetState,
    scene: &Scene<'_>,
    today: Date,
) -> Option<Draft> {
    crossings.sort_by(|a, b| b.sum.amount.cmp(&a.sum.amount).then_with(|| a.scope.cmp(&b.scope)));
    let also = crossings.iter().skip(1).map(|c| c.scope.to_string()).collect();
    let worst = crossings.into_iter().next()?;
    if let Some(told) = state.told.get_mut(&worst.scope).and_then(|p| p.get_mut(&worst.period.start)) {
        told.highest = Some((worst.amount, today));
    }
    Some(worst.draft(rule, scene, today, "spend", Some(also)))
}

impl Crossing {
    /// `baseline` holds the other scopes in the same state, at first sight.
    fn draft(
        self,
        rule: &BudgetRule,
        scene: &Scene<'_>,
        today: Date,
        cause: &str,
        baseline: Option<Vec<String>>,
    ) -> Draft {
        let kind = Kind::of(self.threshold);
        let late = self.period.end <= today;
        let severity = match (late, baseline.is_some(), kind) {
            (true, ..) => Severity::Info,
            (false, false, Kind::Exceeded) => Severity::Critical,
            _ => Severity::Warning,
        };
        let group = group_name(scene.sources);
        let start = self.period.start.to_string();
        let scope = self.scope.to_string();
        let data = BudgetData {
            rule: scene.rule.to_owned(),
            scope: scope.clone(),
            who: scope_person(&self.scope, scene.people),
            sources: scene.sources.to_vec(),
            period: rule.period.to_string(),
            period_start: start.clone(),
            period_alignment: "utc-day".to_owned(),
            spend_usd: self.sum.amount,
            limit_usd: rule.limit,
            percent: self.sum.amount.percent_of(rule.limit),
            threshold: as_number(self.threshold),
            thresholds_crossed: self.crossed.iter().copied().map(as_number).collect(),
            top: top_of(scene, &self.scope, self.period, self.sum.amount),
            estimated: self.sum.estimated,
            baseline: baseline.is_some(),
            late,
            cause: cause.to_owned(),
            also: baseline.unwrap_or_default(),
            incident: incident(scene, &scope, &start),
            state: "open".to_owned(),
        };
        Draft {
            source: scene.sources.first().cloned().unwrap_or_default(),
            kind: match kind {
                Kind::Exceeded => "budget.exceeded".to_owned(),
                Kind::Threshold => "budget.threshold_reached".to_owned(),
            },
            subject: scope.clone(),
            time: scene.now,
            severity,
            identity: identity(scene, &scope, &start, self.amount, kind.as_str()),
            why: json!({
                "rule": scene.rule, "spend_micros": self.sum.amount.0, "threshold_percent": self.threshold.to_string(),
                "amount_micros": self.amount.0, "period": format!("{start} to {}", self.period.end), "cause": cause,
                "sources": group,
            }),
            data: data_of(&data),
        }
    }
}

/// Told amounts the spend has fallen well below, once every day up to the telling is closed.
fn corrections(
    rule: &BudgetRule,
    state: &mut BudgetState,
    sums: &BTreeMap<Scope, Sum>,
    period: Period,
    today: Date,
    scene: &Scene<'_>,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (scope, periods) in &mut state.told {
        let Some(told) = periods.get_mut(&period.start) else { continue };
        let Some((amount, told_on)) = told.highest else { continue };
        let spend = sums.get(scope).copied().unwrap_or_default().amount;
        let last_day = told_on.min(minus_days(period.end, 1));
        let settled = days_between(last_day, today) >= SETTLING_DAYS;
        if told.corrected || !settled || spend >= amount.percent_ceil(CORRECTED_BELOW) {
            continue;
        }
        told.corrected = true;
        let (start, name) = (period.start.to_string(), scope.to_string());
        let data = CorrectionData {
            rule: scene.rule.to_owned(),
            scope: name.clone(),
            who: scope_person(scope, scene.people),
            sources: scene.sources.to_vec(),
            period: rule.period.to_string(),
            period_start: start.clone(),
            spend_usd: spend,
            limit_usd: rule.limit,
            told_usd: amount,
            incident: incident(scene, &name, &start),
            state: "resolved".to_owned(),
        };
        drafts.push(Draft {
            source: scene.sources.first().cloned().unwrap_or_default(),
            kind: "budget.corrected".to_owned(),
            subject: name.clone(),
            time: scene.now,
            severity: Severity::Info,
            identity: identity(scene, &name, &start, amount, "corrected"),
            why: json!({ "rule": scene.rule, "spend_micros": spend.0, "told_micros": amount.0, "told_on": told_on.to_string() }),
            data: data_of(&data),
        });
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
}

fn identity(scene: &Scene<'_>, scope: &str, start: &str, amount: Micros, kind: &str) -> Vec<String> {
    vec![
        scene.rule.to_owned(),
        group_name(scene.sources),
        scope.to_owned(),
        start.to_owned(),
        amount.0.to_string(),
        kind.to_owned(),
    ]
}

pub(super) fn incident(scene: &Scene<'_>, scope: &str, start: &str) -> String {
    ids::derive("inc", &[scene.rule, &group_name(scene.sources), scope, start])
}

/// The person a user scope is about.
pub fn scope_person(scope: &Scope, people: &BTreeMap<String, Person>) -> Option<crate::domain::payload::Who> {
    match scope {
        Scope::User(id) => Some(who(people, id)),
        _ => None,
    }
}

pub(super) fn top_of(scene: &Scene<'_>, scope: &Scope, period: Period, whole: Micros) -> Top {
    let mut users: BTreeMap<&str, Sum> = BTreeMap::new();
    let mut models: BTreeMap<&str, Sum> = BTreeMap::new();
    let billed_only = scene.ledger.has_billed(scene.sources, period.start, period.end);
    for source in scene.sources {
        for (_, day) in scene.ledger.range(source, period.start, period.end) {
            for (user, model, cell) in day.cells() {
                let in_scope = match scope {
                    Scope::User(id) => id == user,
                    Scope::Model(name) => name == model,
                    _ => true,
                };
                if !in_scope || (billed_only && cell.basis == crate::domain::spend::Basis::Estimate) {
                    continue;
                }
                if !user.is_empty() {
                    users.entry(user).or_default().amount += cell.amount;
                }
                if !model.is_empty() {
                    let sum = models.entry(model).or_default();
                    sum.amount += cell.amount;
                    sum.estimated |= cell.basis != crate::domain::spend::Basis::Billed;
                }
            }
        }
    }
    let share = |sum: Sum| Share {
        who: None,
        model: None,
        spend_usd: sum.amount,
        percent: sum.amount.percent_of(whole),
        estimated: sum.estimated,
    };
    Top {
        users: largest(users).map(|(id, sum)| Share { who: Some(who(scene.people, id)), ..share(sum) }).collect(),
        models: largest(models).map(|(name, sum)| Share { model: Some(name.to_owned()), ..share(sum) }).collect(),
    }
}

fn largest(sums: BTreeMap<&str, Sum>) -> impl Iterator<Item = (&str, Sum)> {
    let mut list: Vec<_> = sums.into_iter().filter(|(_, s)| s.amount > Micros::ZERO).collect();
    list.sort_by(|a, b| b.1.amount.cmp(&a.1.amount).then(a.0.cmp(b.0)));
    list.into_iter().take(TOP)
}

#[expect(clippy::cast_precision_loss, reason = "thousandths of a percent, shown to people")]
fn as_number(percent: Percent) -> f64 {
    percent.0 as f64 / 1000.0
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
