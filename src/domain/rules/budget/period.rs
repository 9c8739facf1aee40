//! What was spent in a period, in the days the rule counts in.
//!
//! Rows are of UTC days. A rule with a time zone (its own, else the bridge's) counts local days where the bridge watched closely enough to
//! know what was spent by local midnight, and UTC days where not; `data.period_alignment` says which.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::BudgetRule;
use crate::domain::money::Micros;
use crate::domain::rules::forecast::WINDOW_DAYS;
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{Basis, DaySpend, Per, SETTLING_DAYS, SLOTS, Scope, Sum, slot_of};
use crate::domain::time::{Period, PeriodKind, day_in, plus_days, utc_day};

/// A time zone by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    pub name: String,
    pub zone: TimeZone,
}

/// Whose days were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    UtcDay,
    LocalDay,
}

impl Alignment {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UtcDay => "utc-day",
            Self::LocalDay => "local-day",
        }
    }
}

/// Sums of one period.
pub struct Sums {
    pub by_scope: BTreeMap<Scope, Sum>,
    pub alignment: Alignment,
}

/// Today where the rule counts: in its zone only where local days can be told apart.
pub fn today(rule: &BudgetRule, scene: &Scene<'_>) -> Date {
    let local = rule.zone.as_ref().map(|zone| day_in(scene.now, &zone.zone));
    local
        .filter(|day| is_local(rule, scene, Period::containing(rule.period, *day, scene.week_start)))
        .unwrap_or_else(|| scene.today())
}

/// Whether the period can be counted in local days.
pub fn is_local(rule: &BudgetRule, scene: &Scene<'_>, period: Period) -> bool {
    rule.zone.as_ref().is_some_and(|zone| bounds(rule, scene, period, &zone.zone).is_some())
}

/// Cut by scope, in the days the rule counts in.
pub fn sums(rule: &BudgetRule, scene: &Scene<'_>, period: Period) -> Sums {
    if let Some(by_scope) = rule.zone.as_ref().and_then(|zone| local(rule, scene, period, &zone.zone)) {
        return Sums { by_scope, alignment: Alignment::LocalDay };
    }
    let by_scope = scene.ledger.sums(scene.cut(&rule.per), period.start, period.end);
    Sums { by_scope, alignment: Alignment::UtcDay }
}

/// A moment inside a UTC day: the day, and the half-hours before it.
#[derive(Clone, Copy)]
struct Moment {
    day: Date,
    slots: u32,
}

impl Moment {
    /// `None` where it does not fall between two half-hours.
    fn of(at: Timestamp) -> Option<Self> {
        (at.as_second().rem_euclid(1800) == 0).then(|| Self { day: utc_day(at), slots: slot_of(at) })
    }
}

/// The local ends of a period, where every source was watched around them.
fn bounds(rule: &BudgetRule, scene: &Scene<'_>, period: Period, zone: &TimeZone) -> Option<(Moment, Moment)> {
    if !matches!(rule.per, Per::Workspace | Per::User | Per::Group) {
        // How a day grew is only known by user.
        return None;
    }
    let midnight = |day: Date| Some(day.to_zoned(zone.clone()).ok()?.timestamp());
    let (start, end) = (Moment::of(midnight(period.start)?)?, Moment::of(midnight(period.end)?)?);
    let over = scene.now >= midnight(period.end)?;
    (watched(scene, start) && (!over || watched(scene, end))).then_some((start, end))
}

/// What was spent between the local ends of a period.
fn local(rule: &BudgetRule, scene: &Scene<'_>, period: Period, zone: &TimeZone) -> Option<BTreeMap<Scope, Sum>> {
    let (start, end) = bounds(rule, scene, period, zone)?;
    let cut = scene.cut(&rule.per);
    let whole_from = if start.slots == 0 { start.day } else { plus_days(start.day, 1) };
    let mut by_scope = scene.ledger.sums(cut, whole_from, end.day.max(whole_from));
    let billed_only = scene.ledger.has_billed(scene.counted, start.day, plus_days(end.day, 1));
    for source in scene.counted {
        let part = |moment: Moment| scene.ledger.days.get(&(source.clone(), moment.day));
        if start.slots > 0
            && let Some(day) = part(start)
        {
            // What came after local midnight is the day without what came before.
            let both = start.day == end.day;
            let until = if both && end.slots > 0 { end.slots - 1 } else { SLOTS };
            for (user, estimated) in users_of(day, billed_only) {
                let all = if until == SLOTS { day.spent_by(user) } else { day.so_far(user, until) };
                let before = day.so_far(user, start.slots - 1);
                book(&mut by_scope, rule, scene, user, (all - before).max(Micros::ZERO), estimated);
            }
        }
        if end.slots > 0
            && end.day != start.day
            && let Some(day) = part(end)
        {
            for (user, estimated) in users_of(day, billed_only) {
                book(&mut by_scope, rule, scene, user, day.so_far(user, end.slots - 1), estimated);
            }
        }
    }
    Some(by_scope)
}

/// Every source was looked at in the hour before.
fn watched(scene: &Scene<'_>, moment: Moment) -> bool {
    moment.slots == 0
        || scene
            .counted
            .iter()
            .all(|s| scene.status.get(s.as_str()).is_some_and(|status| status.watched_at(moment.day, moment.slots - 1)))
}

/// Users of a day whose spend counts, and whether some of it is estimated.
fn users_of(day: &DaySpend, billed_only: bool) -> BTreeMap<&str, bool> {
    let mut users: BTreeMap<&str, bool> = BTreeMap::new();
    for (user, _, cell) in day.cells().filter(|(.., cell)| !(billed_only && cell.basis == Basis::Estimate)) {
        *users.entry(user).or_default() |= cell.basis == Basis::Estimate;
    }
    users
}

fn book(
    sums: &mut BTreeMap<Scope, Sum>,
    rule: &BudgetRule,
    scene: &Scene<'_>,
    user: &str,
    amount: Micros,
    estimated: bool,
) {
    let scopes = match rule.per {
        Per::Workspace => vec![Scope::Workspace],
        Per::User if !user.is_empty() => vec![Scope::User(user.to_owned())],
        Per::Group => {
            let names = scene.groups.of(user, scene.people.get(user));
            names.into_iter().map(|name| Scope::Group(name.to_owned())).collect()
        }
        _ => Vec::new(),
    };
    for scope in scopes {
        let sum = sums.entry(scope).or_default();
        sum.amount += amount;
        sum.estimated |= estimated;
    }
}

/// Days of the ledger one evaluation of a rule looks at, counted back from today.
pub fn days_needed(rule: &BudgetRule) -> i64 {
    let period = match rule.period {
        PeriodKind::Day => 1,
        PeriodKind::Week => 7,
        PeriodKind::Month => 31,
    };
    let behind = if rule.usual.is_some() { WINDOW_DAYS + SETTLING_DAYS } else { 0 };
    let open = SETTLING_DAYS + period + i64::from(rule.zone.is_some());
    let ahead = if rule.looks_ahead() { WINDOW_DAYS } else { 0 };
    (open + behind).max(ahead)
}
