//! The events that tell of spikes: of one scope, of several at once, of a rise that all share.

use jiff::civil::Date;
use serde_json::json;

use super::watch::{SharedRise, Watch};
use super::{Candidate, SpikeRule, share};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::money::{Micros, Percent};
use crate::domain::payload::{Contribution, SpikeData, SpikeMember};
use crate::domain::rules::attribution::{self, Rise};
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{Per, Scope};
use crate::domain::time::{Timestamp, plus_days, start_of_utc_day};

/// A spike wakes someone from this part of the workspace's usual month on.
const WORTH_WAKING: Percent = Percent(1_000);
/// Members of an event about several that are listed one by one.
const LISTED: usize = 20;

/// What is to be told of one scope's day.
#[derive(Debug, Clone)]
pub(super) struct Spike {
    pub(super) scope: Scope,
    pub(super) day: Date,
    pub(super) actual: Micros,
    pub(super) expected: Micros,
    pub(super) is_small: bool,
    /// Those an event about several is about.
    pub(super) members: Vec<Scope>,
    /// How everybody rose, where that is the news.
    shared: Option<SharedRise>,
    listed: Vec<SpikeMember>,
    estimated: bool,
    escalation: bool,
    since: Timestamp,
    score: f64,
    spread: f64,
    history_days: usize,
}

impl Spike {
    pub(super) fn of(candidate: &Candidate, rule: &SpikeRule, watch: &Watch<'_>, scene: &Scene<'_>) -> Self {
        let Candidate { scope, day, sum, judged, since } = candidate;
        let expected = Micros::from_estimate(judged.expected.usd);
        let since = if since < day {
            start_of_utc_day(*since)
        } else {
            share::left_the_usual(scene, &rule.per, scope, *day, expected)
        };
        Self {
            since,
            scope: scope.clone(),
            day: *day,
            actual: sum.amount,
            expected,
            is_small: is_small(sum.amount - expected, rule, watch),
            members: Vec::new(),
            shared: None,
            listed: Vec::new(),
            estimated: sum.estimated,
            escalation: judged.escalation,
            score: judged.score,
            spread: judged.expected.spread,
            history_days: judged.expected.days,
        }
    }

    /// A rise that nearly everybody shares.
    pub(super) fn shared(rise: &SharedRise, watch: &Watch<'_>) -> Self {
        Self {
            scope: Scope::Workspace,
            day: rise.day,
            actual: rise.actual,
            expected: rise.expected,
            is_small: watch.usual_month().is_some_and(|m| rise.actual - rise.expected < m.percent_ceil(WORTH_WAKING)),
            members: Vec::new(),
            shared: Some(*rise),
            listed: Vec::new(),
            estimated: false,
            escalation: false,
            since: start_of_utc_day(rise.day),
            score: 0.0,
            spread: 0.0,
            history_days: 0,
        }
    }

    pub(super) fn attribution(&self, scene: &Scene<'_>) -> Vec<Contribution> {
        let to = plus_days(self.day, 1);
        let rise = Rise { scope: &self.scope, from: self.day, to, expected: Some(self.expected) };
        let per = Per::Workspace;
        if self.members.is_empty() {
            return attribution::attribute(scene.ledger, scene.cut(&per), rise);
        }
        // Of an event about several: each one's own parts, largest first.
        let each = self.listed.iter().flat_map(|member| {
            let scope = Scope::from(member.scope.clone());
            let rise = Rise { scope: &scope, expected: Some(member.expected_usd), ..rise };
            attribution::attribute(scene.ledger, scene.cut(&per), rise)
        });
        attribution::together(each.collect(), self.actual, self.expected)
    }

    /// `baseline` holds the other scopes in the same state, at first sight.
    pub(super) fn draft(
        &self,
        rule: &SpikeRule,
        scene: &Scene<'_>,
        watch: &Watch<'_>,
        baseline: Option<Vec<String>>,
    ) -> Draft {
        let rounded = |value: f64, to: f64| (value * to).round() / to;
        let ratio = if self.expected > Micros::ZERO { self.actual.as_f64() / self.expected.as_f64() } else { 0.0 };
        let data = SpikeData {
            rule: scene.rule.to_owned(),
            scope: self.scope.to_string(),
            who: scene.person(&self.scope),
            sources: scene.sources.to_vec(),
            date: self.day.to_string(),
            actual_usd: self.actual,
            expected_usd: self.expected,
            excess_usd: self.actual - self.expected,
            ratio: rounded(ratio, 10.0),
            score: rounded(self.score, 100.0),
            score_needed: rule.sensitivity.z,
            lower_bound: self.day >= watch.today,
            history_days: u32::try_from(self.history_days).unwrap_or(u32::MAX),
            attribution: self.attribution(scene),
            members: self.listed.clone(),
            member_count: u32::try_from(self.members.len()).ok().filter(|n| *n > 0),
            shared_percent: self.shared.map(|rise| rounded((rise.factor.exp() - 1.0) * 100.0, 1.0)),
            since: self.since.to_string(),
            escalation: self.escalation,
            estimated: self.estimated,
            baseline: baseline.is_some(),
            also: baseline.unwrap_or_default(),
            incident: scene.incident(&self.scope, self.day),
            state: "open".to_owned(),
        };
        let why = json!({
            "rule": scene.rule, "date": data.date, "actual_micros": self.actual.0, "expected_micros": self.expected.0,
            "spread": self.spread, "score": data.score, "score_needed": rule.sensitivity.z,
            "floor_usd": rule.sensitivity.floor_usd, "history_days": self.history_days,
            "members": self.members.len(), "shared_percent": data.shared_percent,
            "usual_month_micros": watch.usual_month().map(|m| m.0),
        });
        let severity = if self.is_small { Severity::Info } else { Severity::Warning };
        let identity = scene.identity_at(data.baseline, &self.scope, self.day, 0, "spike");
        scene.draft("cost.spike", &self.scope, severity).with(identity, why, data_of(&data))
    }
}

/// Several scopes that are news in one evaluation.
pub(super) struct Group {
    pub(super) members: Vec<Spike>,
}

impl Group {
    /// Largest rise first.
    pub(super) fn of(mut members: Vec<Spike>) -> Self {
        sort(&mut members);
        Self { members }
    }

    /// The event about all of them, at this scope.
    pub(super) fn spike(&self, scope: Scope, rule: &SpikeRule, scene: &Scene<'_>, watch: &Watch<'_>) -> Spike {
        let day = self.members.first().map_or(watch.today, |s| s.day);
        let sum = |f: fn(&Spike) -> Micros| self.members.iter().map(f).sum::<Micros>();
        let (actual, expected) = (sum(|s| s.actual), sum(|s| s.expected));
        let highest = |f: fn(&Spike) -> f64| self.members.iter().map(f).fold(0.0, f64::max);
        let listed = self.members.iter().take(LISTED).map(|s| SpikeMember {
            scope: s.scope.to_string(),
            who: scene.person(&s.scope),
            actual_usd: s.actual,
            expected_usd: s.expected,
            excess_usd: s.actual - s.expected,
        });
        Spike {
            scope,
            day,
            since: self.members.iter().map(|s| s.since).min().unwrap_or_else(|| start_of_utc_day(day)),
            actual,
            expected,
            is_small: is_small(actual - expected, rule, watch),
            members: self.members.iter().map(|s| s.scope.clone()).collect(),
            shared: None,
            listed: listed.collect(),
            estimated: self.members.iter().any(|s| s.estimated),
            escalation: false,
            score: highest(|s| s.score),
            spread: highest(|s| s.spread),
            history_days: self.members.iter().map(|s| s.history_days).max().unwrap_or(0),
        }
    }
}

/// One event for all that was already so when first looked at: the largest rise, and the names of the others.
pub(super) fn first_sight(
    rule: &SpikeRule,
    mut spikes: Vec<Spike>,
    watch: &Watch<'_>,
    scene: &Scene<'_>,
) -> Option<Draft> {
    sort(&mut spikes);
    let also = spikes.iter().skip(1).map(|s| s.scope.to_string()).collect();
    Some(spikes.first()?.draft(rule, scene, watch, Some(also)))
}

fn sort(spikes: &mut [Spike]) {
    spikes.sort_by(|a, b| (b.actual - b.expected).cmp(&(a.actual - a.expected)).then_with(|| a.scope.cmp(&b.scope)));
}

/// Below the floor, or a hundredth of what all usually spend in a month: nobody need be woken.
fn is_small(excess: Micros, rule: &SpikeRule, watch: &Watch<'_>) -> bool {
    let floor = Micros::from_estimate(rule.sensitivity.floor_usd);
    let month = watch.usual_month().map_or(Micros::ZERO, |m| m.percent_ceil(WORTH_WAKING));
    excess < floor.max(month)
}
