//! Whether a period will hold, judged once a day: told ahead, taken back silently when it no longer looks so.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::limits::{self, Limits};
use super::{BudgetRule, BudgetState, Kind, Told, period};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::money::Micros;
use crate::domain::payload::{ForecastBrief, ForecastData};
use crate::domain::rules::forecast::{self, CAUTION, Heading, Rest};
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{Scope, Sum};
use crate::domain::time::{Period, PeriodKind, days_between, minus_days};

/// The day of a month, or a week, from which on something is said of its end.
const MONTH_DAY: i64 = 5;
const WEEK_DAY: i64 = 3;
/// Daily evaluations in a row that must agree, before a forecast is told and before it is taken back. The first of them
/// may be on the day before.
pub const AGREEING: u8 = 2;

/// What was said, and nearly said, of one scope's period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Its first day.
    pub period: Date,
    /// Evaluations in a row that saw the limit reached, or, after it was told, that no longer did.
    pub agreeing: u8,
    /// Limits that were told as not holding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Micros>,
    /// The last forecast.
    pub point: Micros,
    pub limit: Micros,
    /// The day it was taken back. Only digests say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Date>,
}

/// Looks ahead once a day, as soon as yesterday is whole at every source. While anything is missing, forecasts pause.
pub(super) fn evaluate(rule: &BudgetRule, state: &mut BudgetState, scene: &Scene<'_>) -> Vec<Draft> {
    let today = scene.today();
    if !scene.complete || state.looked_ahead == Some(today) || !is_whole(scene, minus_days(today, 1)) {
        return Vec::new();
    }
    state.looked_ahead = Some(today);
    let period = Period::containing(rule.period, today, scene.week_start);
    if days_between(period.start, today) < days_before(period.kind) {
        return Vec::new();
    }
    let limits = Limits::of(rule, scene, period, &mut state.usual);
    let sums = period::sums(rule, scene, period).by_scope;
    let so_far = scene.ledger.sums(scene.cut(&rule.per), period.start, today);
    let none = Told::default();
    let mut drafts = Vec::new();
    for (scope, past) in limits::histories(rule, scene, today) {
        let Some(limit) = limits.get(&scope).filter(|l| *l > Micros::ZERO) else { continue };
        let told = state.told.get(&scope).and_then(|p| p.get(&period.start)).unwrap_or(&none);
        let exceeded = told.amounts.iter().any(|(amount, kind)| *kind == Kind::Exceeded && *amount >= limit);
        let sum = sums.get(&scope).copied().unwrap_or_default();
        if exceeded || sum.amount >= limit {
            continue;
        }
        let Some(rest) = forecast::rest(&past, today, period.end) else { continue };
        let before = so_far.get(&scope).map(|s| s.amount).unwrap_or_default();
        let view = View { rule, scene, scope: &scope, period, limit, sum, before, rest: &rest };
        drafts.extend(view.judge(&mut state.ahead));
    }
    drafts
}

/// Days of a period that must be over before it is judged whether it will hold.
pub fn days_before(kind: PeriodKind) -> i64 {
    let speaks_on = if kind == PeriodKind::Month { MONTH_DAY } else { WEEK_DAY };
    speaks_on - i64::from(AGREEING)
}

/// Where the scope's month (or the rule's own longer period) is heading, for an event about something else.
pub(super) fn brief(
    rule: &BudgetRule,
    month: Option<&BudgetRule>,
    scope: &Scope,
    scene: &Scene<'_>,
) -> Option<ForecastBrief> {
    let of = if rule.looks_ahead() { rule } else { month.filter(|m| m.looks_ahead() && m.per == rule.per)? };
    let today = scene.today();
    let period = Period::containing(of.period, today, scene.week_start);
    let cut = scene.cut(&of.per);
    let limit = Limits::of(of, scene, period, &mut limits::Frozen::new()).get(scope)?;
    let spent = |from, to| scene.ledger.sum_of(scope, cut, from, to).amount;
    let mut past = BTreeMap::new();
    let mut day = minus_days(today, forecast::WINDOW_DAYS);
    while day < today {
        let next = crate::domain::time::plus_days(day, 1);
        if scene.knows(day) {
            past.insert(day, spent(day, next).as_f64());
        }
        day = next;
    }
    let rest = forecast::rest(&past, today, period.end)?;
    let (before, now) = (spent(period.start, today), spent(period.start, period.end));
    let heading = rest.heading(before, Some(limit), scope);
    Some(ForecastBrief {
        period: of.period.to_string(),
        period_start: period.start.to_string(),
        forecast_usd: heading.point.max(now),
        limit_usd: limit,
        reached_on: heading.reached_on.map(|d| d.to_string()),
    })
}

fn is_whole(scene: &Scene<'_>, day: Date) -> bool {
    scene
        .sources
        .iter()
        .all(|s| scene.status.get(s.as_str()).is_some_and(|status| status.is_whole(day) && status.stale.is_none()))
}

struct View<'a> {
    rule: &'a BudgetRule,
    scene: &'a Scene<'a>,
    scope: &'a Scope,
    period: Period,
    limit: Micros,
    /// So far, today's part counted in.
    sum: Sum,
    /// Up to the end of yesterday.
    before: Micros,
    rest: &'a Rest,
}

impl View<'_> {
    fn judge(&self, ahead: &mut BTreeMap<Scope, Outlook>) -> Option<Draft> {
        let fresh = |o: &&mut Outlook| o.period == self.period.start;
        let open = ahead.get_mut(self.scope).filter(fresh).filter(|o| !o.told.is_empty() && o.withdrawn.is_none());
        let heading = self.heading();
        if let Some(told) = open {
            (told.point, told.limit) = (heading.point, self.limit);
            let holds = !self.rest.reaches(self.before, self.limit, 1.0);
            told.agreeing = if holds { told.agreeing + 1 } else { 0 };
            if told.agreeing >= AGREEING {
                told.withdrawn = Some(self.scene.today());
            }
            return None;
        }
        if !self.rest.reaches(self.before, self.limit, CAUTION) {
            // A withdrawn one stays, for the digest; a near miss is forgotten.
            if ahead.get(self.scope).is_some_and(|o| o.told.is_empty()) {
                ahead.remove(self.scope);
            }
            return None;
        }
        let entry = ahead.entry(self.scope.clone()).or_insert_with(|| self.unsaid());
        if entry.period != self.period.start {
            *entry = self.unsaid();
        }
        (entry.point, entry.limit) = (heading.point, self.limit);
        entry.agreeing = entry.agreeing.saturating_add(1);
        if entry.agreeing < AGREEING {
            return None;
        }
        (entry.agreeing, entry.withdrawn) = (0, None);
        if entry.told.contains(&self.limit) {
            return None;
        }
        entry.told.push(self.limit);
        Some(self.draft(&heading))
    }

    fn unsaid(&self) -> Outlook {
        Outlook {
            period: self.period.start,
            agreeing: 0,
            told: Vec::new(),
            point: Micros::ZERO,
            limit: self.limit,
            withdrawn: None,
        }
    }

    fn heading(&self) -> Heading {
        let heading = self.rest.heading(self.before, Some(self.limit), self.scope);
        // What is already spent today can't be unspent.
        let least = self.sum.amount;
        Heading {
            point: heading.point.max(least),
            low: heading.low.max(least),
            high: heading.high.max(least),
            ..heading
        }
    }

    fn draft(&self, heading: &Heading) -> Draft {
        let start = self.period.start;
        let data = ForecastData {
            rule: self.scene.rule.to_owned(),
            scope: self.scope.to_string(),
            who: self.scene.person(self.scope),
            sources: self.scene.sources.to_vec(),
            period: self.rule.period.to_string(),
            period_start: start.to_string(),
            spend_usd: self.sum.amount,
            limit_usd: self.limit,
            forecast_usd: heading.point,
            low_usd: heading.low,
            high_usd: heading.high,
            reached_on: heading.reached_on.map(|d| d.to_string()),
            estimated: self.sum.estimated,
            incident: self.scene.incident(self.scope, start),
            state: "open".to_owned(),
        };
        let why = json!({
            "rule": self.scene.rule, "spent_before_today_micros": self.before.0,
            "rest_micros": Micros::from_estimate(self.rest.usd()).0, "part_of_rest_needed": CAUTION,
            "limit_micros": self.limit.0, "days_left": self.rest.days.len(), "days_known": self.rest.known,
            "evaluations_agreeing": AGREEING,
        });
        let identity = self.scene.identity(self.scope, start, self.limit.0, "forecast");
        self.scene.draft("budget.forecast_exceeded", self.scope, Severity::Warning).with(identity, why, data_of(&data))
    }
}
