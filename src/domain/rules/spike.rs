//! Spend spikes: a day far above what its scope's own history leads one to expect.
//!
//! Judged on the open day as it grows, once per rule, scope and day; resolved when the episode ends. The memory (a
//! detector per scope, folded up to the last closed day) is a cache of the ledger: the days that may still be revised
//! are folded anew each time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::budget::scope_person;
use super::detector::{Detector, Judgement, Sensitivity};
use super::{attribution, group_name};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::ids;
use crate::domain::money::Micros;
use crate::domain::payload::{SpikeData, SpikeResolvedData};
use crate::domain::record::Person;
use crate::domain::spend::{Ledger, Per, SETTLING_DAYS, Scope, Sum};
use crate::domain::time::{Timestamp, days_between, minus_days, plus_days, utc_day};

/// Days of ledger an evaluation reads: the detector's window, a margin for idle days, settling.
pub const DAYS_NEEDED: i64 = 100;
/// Days without any spend after which an episode counts as over.
const QUIET_DAYS: i64 = 3;
/// Days a told spike is remembered after it ended.
const REMEMBER_DAYS: i64 = 14;

#[derive(Debug, Clone, PartialEq)]
pub struct SpikeRule {
    pub per: Per,
    pub sensitivity: Sensitivity,
}

/// What one rule knows and has told of one group of sources.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpikeState {
    /// All days up to and including this one are folded into `detectors`.
    pub through: Option<Date>,
    pub detectors: BTreeMap<Scope, Detector>,
    /// By scope, then day: what was told.
    pub told: BTreeMap<Scope, BTreeMap<Date, Told>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub actual: Micros,
    pub expected: Micros,
    pub open: bool,
}

/// What an evaluation needs besides the rule and its state.
pub struct Scene<'a> {
    pub now: Timestamp,
    pub rule: &'a str,
    pub sources: &'a [String],
    pub ledger: &'a Ledger,
    pub people: &'a BTreeMap<String, Person>,
    /// The look behind this was complete: what is missing there is zero, and episodes may end.
    pub complete: bool,
}

impl Scene<'_> {
    pub(super) fn today(&self) -> Date {
        let by_clock = utc_day(self.now);
        self.ledger
            .newest_day(self.sources)
            .filter(|newest| *newest > by_clock && *newest <= plus_days(by_clock, 1))
            .unwrap_or(by_clock)
    }
}

/// Evaluates one rule over one group. At first sight (`state` is `None`) the history is learned silently and a spike
/// of the open day speaks once, marked `baseline`.
pub fn evaluate(rule: &SpikeRule, state: Option<&SpikeState>, scene: &Scene<'_>) -> (SpikeState, Vec<Draft>) {
    let first_sight = state.is_none();
    let mut next = state.cloned().unwrap_or_default();
    let today = scene.today();
    let closed = minus_days(today, SETTLING_DAYS + 1);
    let from = next.through.map_or(minus_days(today, DAYS_NEEDED), |d| plus_days(d, 1));
    let totals = daily_totals(rule.per, scene, from, today);
    fold_closed_days(rule, &mut next, &totals, from, closed);

    let mut drafts = Vec::new();
    let mut at_first_sight = Vec::new();
    let idle = BTreeMap::new();
    let scopes: BTreeSet<Scope> = totals.keys().chain(next.told.keys()).cloned().collect();
    for scope in &scopes {
        let days = totals.get(scope).unwrap_or(&idle);
        let mut detector = next.detectors.get(scope).cloned().unwrap_or_default();
        for (day, sum) in days.iter().filter(|(day, _)| **day > closed) {
            let judged = if *day < today {
                detector.fold(*day, sum.amount.as_f64(), 0.0, rule.sensitivity)
            } else {
                detector.judge(*day, sum.amount.as_f64(), 0.0, rule.sensitivity)
            };
            let Some(judged) = judged.filter(|j| j.alert) else { continue };
            let told = next.told.entry(scope.clone()).or_default();
            if told.contains_key(day) {
                continue;
            }
            let spike = Spike { scope: scope.clone(), day: *day, sum: *sum, judged };
            told.insert(
                *day,
                Told { actual: sum.amount, expected: spike.expected(), open: !first_sight || *day == today },
            );
            if !first_sight {
                drafts.push(spike.draft(rule, scene, today, None));
            } else if *day == today {
                at_first_sight.push(spike);
            }
        }
        if scene.complete && !first_sight {
            drafts.extend(resolve(&mut next.told, scope, &detector, days, today, scene));
        }
    }
    drafts.extend(first_sight_event(rule, at_first_sight, scene, today));
    for days in next.told.values_mut() {
        days.retain(|day, told| told.open || days_between(*day, today) <= REMEMBER_DAYS);
    }
    next.told.retain(|_, days| !days.is_empty());
    (next, drafts)
}

/// Spend by scope and day in `[from, today]`.
fn daily_totals(per: Per, scene: &Scene<'_>, from: Date, today: Date) -> BTreeMap<Scope, BTreeMap<Date, Sum>> {
    let mut totals: BTreeMap<Scope, BTreeMap<Date, Sum>> = BTreeMap::new();
    let mut day = from;
    while day <= today {
        for (scope, sum) in scene.ledger.sums(scene.sources, day, plus_days(day, 1), per) {
            totals.entry(scope).or_default().insert(day, sum);
        }
        day = plus_days(day, 1);
    }
    totals
}

fn fold_closed_days(
    rule: &SpikeRule,
    state: &mut SpikeState,
    totals: &BTreeMap<Scope, BTreeMap<Date, Sum>>,
    from: Date,
    closed: Date,
) {
    if from > closed {
        return;
    }
    for (scope, days) in totals {
        let detector = state.detectors.entry(scope.clone()).or_default();
        for (day, sum) in days.range(from..=closed) {
            detector.fold(*day, sum.amount.as_f64(), 0.0, rule.sensitivity);
        }
    }
    state.detectors.retain(|_, d| *d != Detector::default());
    state.through = Some(closed);
}

struct Spike {
    scope: Scope,
    day: Date,
    sum: Sum,
    judged: Judgement,
}

impl Spike {
    fn expected(&self) -> Micros {
        Micros::from_estimate(self.judged.expected.usd)
    }

    /// `baseline` holds the other scopes in the same state, at first sight.
    fn draft(&self, rule: &SpikeRule, scene: &Scene<'_>, today: Date, baseline: Option<Vec<String>>) -> Draft {
        let (scope, day) = (self.scope.to_string(), self.day.to_string());
        let expected = self.expected();
        let ratio = (self.sum.amount.as_f64() / self.judged.expected.usd * 10.0).round() / 10.0;
        let score = (self.judged.score * 100.0).round() / 100.0;
        let data = SpikeData {
            rule: scene.rule.to_owned(),
            scope: scope.clone(),
            who: scope_person(&self.scope, scene.people),
            sources: scene.sources.to_vec(),
            date: day.clone(),
            actual_usd: self.sum.amount,
            expected_usd: expected,
            excess_usd: self.sum.amount - expected,
            ratio,
            score,
            score_needed: rule.sensitivity.z,
            lower_bound: self.day >= today,
            history_days: u32::try_from(self.judged.expected.days).unwrap_or(u32::MAX),
            attribution: attribution::attribute(
                scene.ledger,
                scene.sources,
                &self.scope,
                self.day,
                expected,
                scene.people,
            ),
            estimated: self.sum.estimated,
            baseline: baseline.is_some(),
            also: baseline.unwrap_or_default(),
            incident: incident(scene, &scope, &day),
            state: "open".to_owned(),
        };
        Draft {
            source: scene.sources.first().cloned().unwrap_or_default(),
            kind: "cost.spike".to_owned(),
            subject: scope.clone(),
            time: scene.now,
            severity: Severity::Warning,
            identity: identity(scene, &scope, &day, "spike"),
            why: json!({
                "rule": scene.rule, "date": day, "actual_micros": self.sum.amount.0, "expected_micros": expected.0,
                "spread": self.judged.expected.spread, "score": score, "score_needed": rule.sensitivity.z,
                "floor_usd": rule.sensitivity.floor_usd, "history_days": self.judged.expected.days,
            }),
            data: data_of(&data),
        }
    }
}

/// Ends what is over: the day after was low, the level was adopted, nothing was spent for days, or the spike itself
/// was corrected away.
fn resolve(
    told: &mut BTreeMap<Scope, BTreeMap<Date, Told>>,
    scope: &Scope,
    detector: &Detector,
    days: &BTreeMap<Date, Sum>,
    today: Date,
    scene: &Scene<'_>,
) -> Vec<Draft> {
    let Some(spikes) = told.get_mut(scope) else { return Vec::new() };
    let mut drafts = Vec::new();
    let last_finished = days.range(..today).filter(|(_, s)| s.amount > Micros::ZERO).map(|(d, _)| *d).next_back();
    for (day, spike) in spikes.iter_mut().filter(|(day, s)| s.open && **day < today) {
        let now_at = days.get(day).map(|s| s.amount).unwrap_or_default();
        let corrected = days.contains_key(day) && now_at.as_f64() < 1.6 * spike.expected.as_f64();
        let idle = last_finished.is_none_or(|d| d <= *day) && days_between(*day, today) > QUIET_DAYS;
        let moved_on = last_finished.is_some_and(|d| d > *day) && detector.episode_base().is_none();
        let resolution = match (corrected, moved_on, idle) {
            (true, ..) => "corrected",
            (_, true, _) => {
                let level = last_finished.and_then(|d| detector.expect(plus_days(d, 1))).map_or(0.0, |e| e.usd);
                if level >= 1.6 * spike.expected.as_f64() { "new_level" } else { "back_to_normal" }
            }
            (_, _, true) => "back_to_normal",
            _ => continue,
        };
        spike.open = false;
        let (name, date) = (scope.to_string(), day.to_string());
        let data = SpikeResolvedData {
            rule: scene.rule.to_owned(),
            scope: name.clone(),
            who: scope_person(scope, scene.people),
            sources: scene.sources.to_vec(),
            date: date.clone(),
            actual_usd: if days.contains_key(day) { now_at } else { spike.actual },
            expected_usd: spike.expected,
            resolution: resolution.to_owned(),
            incident: incident(scene, &name, &date),
            state: "resolved".to_owned(),
        };
        drafts.push(Draft {
            source: scene.sources.first().cloned().unwrap_or_default(),
            kind: "cost.spike_resolved".to_owned(),
            subject: name.clone(),
            time: scene.now,
            severity: Severity::Info,
            identity: identity(scene, &name, &date, "spike_resolved"),
            why: json!({ "rule": scene.rule, "date": date, "resolution": resolution }),
            data: data_of(&data),
        });
    }
    drafts
}

fn first_sight_event(rule: &SpikeRule, mut spikes: Vec<Spike>, scene: &Scene<'_>, today: Date) -> Option<Draft> {
    spikes.sort_by(|a, b| {
        (b.sum.amount - b.expected()).cmp(&(a.sum.amount - a.expected())).then_with(|| a.scope.cmp(&b.scope))
    });
    let also = spikes.iter().skip(1).map(|s| s.scope.to_string()).collect();
    Some(spikes.first()?.draft(rule, scene, today, Some(also)))
}

fn identity(scene: &Scene<'_>, scope: &str, day: &str, kind: &str) -> Vec<String> {
    vec![
        scene.rule.to_owned(),
        group_name(scene.sources),
        scope.to_owned(),
        day.to_owned(),
        "0".to_owned(),
        kind.to_owned(),
    ]
}

pub(super) fn incident(scene: &Scene<'_>, scope: &str, day: &str) -> String {
    ids::derive("inc", &[scene.rule, &group_name(scene.sources), scope, day])
}

#[cfg(test)]
#[path = "spike_tests.rs"]
mod tests;
