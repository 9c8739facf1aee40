//! A scope that passed an amount, and the event that says so.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::json;

use super::outlook;
use super::period::Alignment;
use super::{BudgetRule, Kind};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::money::{Micros, Percent};
use crate::domain::payload::{BudgetData, Contribution, Share, SourceShare, Top};
use crate::domain::rules::attribution::{self, Rise};
use crate::domain::rules::group_name;
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{Basis, Scope, Sum};
use crate::domain::time::{Period, days_between, plus_days};

/// Contributors named in an event.
const TOP: usize = 3;
/// Drivers named in an event: the message names one, the details a few.
const DRIVERS: usize = 3;

pub(super) struct Crossing {
    pub(super) scope: Scope,
    pub(super) limit: Micros,
    pub(super) sum: Sum,
    pub(super) period: Period,
    pub(super) amount: Micros,
    pub(super) threshold: Percent,
    pub(super) crossed: Vec<Percent>,
    pub(super) alignment: Alignment,
}

/// How many days back from today an event tells something of.
pub(super) fn days_told_of(rule: &BudgetRule, today: Date) -> i64 {
    let begun = Period::containing(rule.period, today, crate::domain::time::WeekStart::Monday).start;
    attribution::WINDOW_DAYS + days_between(begun, today) + 7
}

impl Crossing {
    /// `baseline` holds the other scopes in the same state, at first sight.
    pub(super) fn draft(
        self,
        rule: &BudgetRule,
        month: Option<&BudgetRule>,
        scene: &Scene<'_>,
        today: Date,
        cause: &str,
        baseline: Option<Vec<String>>,
    ) -> Draft {
        let kind = Kind::of(self.threshold);
        let late = self.period.end <= today;
        // A period that is over gets nobody up at night. That all of its budget went is still worth knowing.
        let severity = match (late, baseline.is_some(), kind) {
            (true, _, Kind::Threshold) => Severity::Info,
            (false, false, Kind::Exceeded) => Severity::Critical,
            _ => Severity::Warning,
        };
        let (top, by_source) = shares(rule, scene, &self.scope, self.period, self.sum.amount);
        let ahead = if late { None } else { outlook::brief(rule, month, &self.scope, scene) };
        let start = self.period.start;
        let data = BudgetData {
            rule: scene.rule.to_owned(),
            scope: self.scope.to_string(),
            who: scene.person(&self.scope),
            sources: scene.sources.to_vec(),
            period: rule.period.to_string(),
            period_start: start.to_string(),
            period_alignment: self.alignment.as_str().to_owned(),
            spend_usd: self.sum.amount,
            limit_usd: self.limit,
            percent: self.sum.amount.percent_of(self.limit),
            threshold: as_number(self.threshold),
            thresholds_crossed: self.crossed.iter().copied().map(as_number).collect(),
            top,
            by_source,
            unknown_sources: scene.unread(),
            drivers: self.drivers(rule, scene, today),
            forecast: ahead,
            estimated: self.sum.estimated,
            baseline: baseline.is_some(),
            late,
            cause: cause.to_owned(),
            also: baseline.unwrap_or_default(),
            incident: scene.incident(&self.scope, start),
            state: "open".to_owned(),
        };
        let why = json!({
            "rule": scene.rule, "spend_micros": self.sum.amount.0, "threshold_percent": self.threshold.to_string(),
            "amount_micros": self.amount.0, "period": format!("{start} to {}", self.period.end), "cause": cause,
            "sources": group_name(scene.sources),
        });
        let kind_name = match kind {
            Kind::Exceeded => "budget.exceeded",
            Kind::Threshold => "budget.threshold_reached",
        };
        let identity = scene.identity_at(data.baseline, &self.scope, start, self.amount.0, kind.as_str());
        scene.draft(kind_name, &self.scope, severity).with(identity, why, data_of(&data))
    }

    /// Who and what is above its usual, most first.
    fn drivers(&self, rule: &BudgetRule, scene: &Scene<'_>, today: Date) -> Vec<Contribution> {
        let to = self.period.end.min(plus_days(today, 1));
        let rise = Rise { scope: &self.scope, from: self.period.start, to, expected: None };
        let parts = attribution::attribute(scene.ledger, scene.cut(&rule.per), rise);
        parts
            .into_iter()
            .filter(|p| p.excess_usd > Micros::ZERO && p.reason != attribution::OTHERS)
            .take(DRIVERS)
            .collect()
    }
}

/// Who, which model and, of several, which source spent most.
pub(in crate::domain::rules) fn shares(
    rule: &BudgetRule,
    scene: &Scene<'_>,
    scope: &Scope,
    period: Period,
    whole: Micros,
) -> (Top, Vec<SourceShare>) {
    let mut users: BTreeMap<&str, Sum> = BTreeMap::new();
    let mut models: BTreeMap<&str, Sum> = BTreeMap::new();
    let mut sources: BTreeMap<&str, Micros> = scene.counted.iter().map(|s| (s.as_str(), Micros::ZERO)).collect();
    let cut = scene.cut(&rule.per);
    for (source, _, row) in scene.ledger.rows_of(scope, cut, period.start, period.end) {
        *sources.entry(source).or_default() += row.cell.amount;
        if !row.user.is_empty() {
            let sum = users.entry(row.user).or_default();
            sum.amount += row.cell.amount;
            sum.estimated |= row.cell.basis == Basis::Estimate;
        }
        if !row.kind.model.is_empty() {
            let sum = models.entry(&row.kind.model).or_default();
            sum.amount += row.cell.amount;
            sum.estimated |= row.cell.basis != Basis::Billed;
        }
    }
    let share = |sum: Sum| Share {
        who: None,
        model: None,
        spend_usd: sum.amount,
        percent: sum.amount.percent_of(whole),
        estimated: sum.estimated,
    };
    let top = Top {
        users: largest(users).map(|(id, sum)| Share { who: Some(scene.people.who(id)), ..share(sum) }).collect(),
        models: largest(models).map(|(name, sum)| Share { model: Some(name.to_owned()), ..share(sum) }).collect(),
    };
    let several = scene.sources.len() > 1;
    let by_source = sources.into_iter().filter(|_| several).map(|(source, spend_usd)| SourceShare {
        source: source.to_owned(),
        spend_usd,
        percent: spend_usd.percent_of(whole),
    });
    (top, by_source.collect())
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
