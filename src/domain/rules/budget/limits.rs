//! How much a scope may spend: the rule's limit, an override, a multiple of what is usual for it, or what its source says
//! it may.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::BudgetRule;
use crate::domain::event::glob_matches;
use crate::domain::money::{Micros, Percent};
use crate::domain::rules::forecast;
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{Index, SETTLING_DAYS, Scope};
use crate::domain::time::{Period, PeriodKind, minus_days, plus_days};

/// Another limit for some scopes. The first that matches counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Glob on the scope's text; of a user also on `user:<email>`.
    pub scope: String,
    pub limit: Micros,
}

/// A limit as a multiple of what the scope usually spends in such a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// 250 % is two and a half times.
    pub times: Percent,
}

/// Limits that the source says: budgets of missions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// What has none of its own has none at all.
    Only,
    /// What has none of its own has the rule's limit.
    OrLimit,
}

/// Scopes whose own limit differs from that of the last evaluation, which is replaced.
pub(super) fn moved(rule: &BudgetRule, scene: &Scene<'_>, last: &mut BTreeMap<Scope, Micros>) -> BTreeSet<Scope> {
    if rule.own.is_none() {
        last.clear();
        return BTreeSet::new();
    }
    let now: BTreeMap<Scope, Micros> = scene.own_limits().map(|(scope, limit)| (scope.clone(), limit)).collect();
    let differs = last.keys().chain(now.keys()).filter(|scope| last.get(*scope) != now.get(*scope)).cloned().collect();
    *last = now;
    differs
}

/// Limits that were found for a period, by scope and its first day. They stay for the whole period: a limit that moved
/// with every correction would speak again and again.
pub type Frozen = BTreeMap<Scope, BTreeMap<Date, Micros>>;

/// What of a rule makes a limit; another one is an edit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Print(String);

impl Print {
    pub fn of(rule: &BudgetRule) -> Self {
        if rule.overrides.is_empty() && rule.usual.is_none() && rule.own.is_none() {
            return Self::default();
        }
        let own = rule.own.map(|own| format!(" {own:?}")).unwrap_or_default();
        let overrides: Vec<String> = rule.overrides.iter().map(|o| format!("{}={}", o.scope, o.limit.0)).collect();
        Self(format!("{:?} {}{own}", rule.usual.map(|u| u.times.0), overrides.join(" ")))
    }
}

/// Answers for one period.
pub struct Limits<'a> {
    rule: &'a BudgetRule,
    scene: &'a Scene<'a>,
    usual: BTreeMap<Scope, Micros>,
}

impl<'a> Limits<'a> {
    /// Finds what is usual where that is the measure, and freezes it for the period.
    pub fn of(rule: &'a BudgetRule, scene: &'a Scene<'a>, period: Period, frozen: &mut Frozen) -> Self {
        let mut limits = Self { rule, scene, usual: BTreeMap::new() };
        if let Some(usual) = rule.usual {
            let known: BTreeMap<Scope, Micros> = frozen
                .iter()
                .filter_map(|(scope, periods)| Some((scope.clone(), *periods.get(&period.start)?)))
                .collect();
            limits.usual = if known.is_empty() { limits.find(usual, period) } else { known };
            for (scope, limit) in &limits.usual {
                frozen.entry(scope.clone()).or_default().insert(period.start, *limit);
            }
        }
        limits
    }

    /// The limit of a scope; `None` while nothing is usual for it yet, or its source names none.
    pub fn get(&self, scope: &Scope) -> Option<Micros> {
        let named = self.rule.overrides.iter().find(|o| self.matches(&o.scope, scope)).map(|o| o.limit);
        match (named, self.rule.usual, self.rule.own) {
            (Some(limit), ..) => Some(limit),
            (None, Some(_), _) => self.usual.get(scope).copied(),
            (None, None, Some(own)) => {
                let or = (own == Own::OrLimit).then_some(self.rule.limit);
                self.scene.own_limit(scope).and_then(|said| said.or(or))
            }
            (None, None, None) => Some(self.rule.limit),
        }
    }

    /// Below this no scope can be past anything.
    pub fn least(&self) -> Micros {
        let lowest = self.rule.thresholds.first().copied().unwrap_or(Percent::WHOLE);
        let limits = self.rule.overrides.iter().map(|o| o.limit);
        let flat = self.rule.usual.is_none() && self.rule.own != Some(Own::Only);
        let own = self.rule.own.is_some().then(|| self.scene.own_limits().map(|(_, limit)| limit));
        let limits = limits
            .chain(self.usual.values().copied())
            .chain(flat.then_some(self.rule.limit))
            .chain(own.into_iter().flatten());
        limits.map(|limit| limit.percent_ceil(lowest)).min().unwrap_or_default()
    }

    fn matches(&self, glob: &str, scope: &Scope) -> bool {
        let by_email = || {
            let email = scope.user().and_then(|id| self.scene.people.get(id))?.email.as_deref()?;
            let named = match scope {
                Scope::UserModel(_, model) => Scope::UserModel(email.to_owned(), model.clone()),
                _ => Scope::User(email.to_owned()),
            };
            Some(glob_matches(&glob.to_lowercase(), &named.to_string().to_lowercase()))
        };
        glob_matches(glob, &scope.to_string()) || by_email().unwrap_or(false)
    }

    /// What is usual for such a period, from the four weeks before it whose rows no longer move. In whole dollars, and
    /// never below the rule's own limit.
    fn find(&self, usual: Usual, period: Period) -> BTreeMap<Scope, Micros> {
        let before = minus_days(period.start, SETTLING_DAYS);
        let mut found = BTreeMap::new();
        for (scope, past) in histories(self.rule, self.scene, before) {
            let whole = match period.kind {
                PeriodKind::Day => forecast::usual_day(&past, before),
                _ => forecast::rest(&past, before, plus_days(before, period.days())).map(|rest| rest.usd()),
            };
            let Some(usd) = whole.filter(|usd| *usd > 0.0) else { continue };
            let limit = Micros::from_estimate(usd).percent_ceil(usual.times);
            let dollars = limit.0.saturating_add(Micros::PER_DOLLAR - 1) / Micros::PER_DOLLAR;
            found.insert(scope, Micros(dollars.saturating_mul(Micros::PER_DOLLAR)).max(self.rule.limit));
        }
        found
    }
}

/// Each scope's known days before `before`, idle ones as zero.
pub fn histories(rule: &BudgetRule, scene: &Scene<'_>, before: Date) -> BTreeMap<Scope, BTreeMap<Date, f64>> {
    let mut index = Index::new(scene.ledger, scene.cut(&rule.per));
    let mut days = Vec::new();
    let mut day = minus_days(before, forecast::WINDOW_DAYS);
    while day < before {
        if scene.knows(day) {
            let mut sums = Vec::new();
            index.add(day, &mut sums);
            days.push((day, sums));
        }
        day = plus_days(day, 1);
    }
    let of = |number: usize| {
        days.iter().map(|(day, sums)| (*day, sums.get(number).map_or(0.0, |s| s.amount.as_f64()))).collect()
    };
    (0..index.len()).map(|number| (index.scope(number), of(number))).collect()
}
