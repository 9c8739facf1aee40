//! What the rules would have told: a history played through the live code path, in a clock of its own.
//!
//! Invariant: nothing is decided here. Every look is an input of [`cycle::plan`], so that what a backtest tells has the
//! ids it would have had.

pub mod outlook;
pub mod score;
pub mod suggest;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;

use super::cycle::{self, Input, Known, Needs, World};
use super::doc::{Doc, DocKey};
use super::event::StoredEvent;
use super::record::Person;
use super::rules::spike::{Role, SpikeState};
use super::rules::{Rule, RuleSpec};
use super::spend::{DaySpend, Ledger, Scope, SpendRow, SpendState, Uncounted};
use super::time::{SignedDuration, Timestamp, minus_days, plus, plus_days, start_of_utc_day, utc_day};

/// Days each look asks for again, as sources do: today and the settling ones.
const LOOKED_BACK: i64 = 3;

/// Rows by source and day.
pub type History = BTreeMap<String, BTreeMap<Date, Vec<SpendRow>>>;

/// One scope's day that someone was told of, by itself or among several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Detection {
    pub at: Timestamp,
    pub rule: String,
    pub scope: Scope,
    pub day: Date,
}

/// What a history would have told.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub events: Vec<StoredEvent>,
    pub detections: Vec<Detection>,
}

/// A store in maps, and what was told so far.
#[derive(Clone)]
pub struct Replay {
    world: World,
    docs: BTreeMap<DocKey, (u64, Arc<Doc>)>,
    ledger: BTreeMap<(String, Date), Arc<DaySpend>>,
    seen: BTreeSet<(DocKey, Scope, Date)>,
    pub outcome: Outcome,
}

impl Replay {
    /// Nothing known yet. Only the rules of `world` that `wanted` says are played.
    pub fn new(world: &World, wanted: impl Fn(&RuleSpec) -> bool) -> Self {
        let rules = world.rules.iter().filter(|r| wanted(r)).cloned().collect();
        Self {
            world: World { rules, ..world.clone() },
            docs: BTreeMap::new(),
            ledger: BTreeMap::new(),
            seen: BTreeSet::new(),
            outcome: Outcome::default(),
        }
    }

    /// The rules are edited; what was told stays told.
    pub fn set_rules(&mut self, rules: Vec<RuleSpec>) {
        self.world.rules = rules;
    }

    pub fn rules(&self) -> &[RuleSpec] {
        &self.world.rules
    }

    /// Names of people, as sources tell them.
    pub fn learn_people(&mut self, source: &str, people: BTreeMap<String, Person>) {
        self.put(DocKey::People(source.to_owned()), Doc::People(people));
    }

    /// Books what a complete look brings; `rows` are of one source.
    pub fn book(&mut self, source: &str, rows: &[SpendRow], now: Timestamp) {
        let mut by_day: BTreeMap<Date, Vec<&SpendRow>> = BTreeMap::new();
        for row in rows {
            by_day.entry(row.day).or_default().push(row);
        }
        let mut first = minus_days(utc_day(now), LOOKED_BACK);
        let mut moved = false;
        let days = by_day.first_key_value().map(|(day, _)| *day).zip(by_day.last_key_value().map(|(day, _)| *day));
        for (day, rows) in by_day {
            first = first.min(day);
            let key = (source.to_owned(), day);
            if let Some(spend) = DaySpend::upserted(self.ledger.get(&key).map(Arc::as_ref), &rows, now) {
                moved = true;
                self.ledger.insert(key, Arc::new(spend));
            }
        }
        let key = DocKey::Spend(source.to_owned());
        let mut state = match self.docs.get(&key).map(|(_, doc)| doc.as_ref()) {
            Some(Doc::Spend(state)) => state.clone(),
            _ => SpendState::default(),
        };
        let known_before = state.known.first().map(|(first, _)| *first);
        let asked = known_before.map_or(first, |known| first.max(known));
        state.answered("", Some(asked), &Uncounted::default(), now);
        state.looked(moved, now);
        state.showed(days);
        self.put(key, Doc::Spend(state));
    }

    /// Evaluates every rule, as after a look.
    pub fn evaluate(&mut self, now: Timestamp) {
        let input = Input::Tick { sources: self.world.sources.clone() };
        let mut needs = cycle::needs(&self.world, now, &input);
        let mut plan = cycle::plan(&self.world, now, &self.load(&needs), &input);
        if !plan.lacks.is_empty() {
            needs.ledger.append(&mut plan.lacks);
            plan = cycle::plan(&self.world, now, &self.load(&needs), &input);
        }
        for (key, doc) in plan.docs {
            self.note_detections(&key, &doc, now);
            let version = self.docs.get(&key).map_or(0, |(version, _)| *version);
            self.docs.insert(key, (version + 1, doc));
        }
        self.outcome.events.extend(plan.events);
    }

    /// Forgets what was told so far, not what was learned.
    pub fn forget_told(&mut self) {
        self.outcome = Outcome::default();
    }

    fn put(&mut self, key: DocKey, doc: Doc) {
        let version = self.docs.get(&key).map_or(0, |(version, _)| *version);
        self.docs.insert(key, (version + 1, Arc::new(doc)));
    }

    /// What a store would hand out.
    pub fn load(&self, needs: &Needs) -> Known {
        let mut known = Known::default();
        for key in &needs.docs {
            let found = self.docs.get(key).map_or((0, None), |(version, doc)| (*version, Some(Arc::clone(doc))));
            known.docs.0.insert(key.clone(), found);
        }
        let mut ledger = Ledger::default();
        for (source, from, to) in &needs.ledger {
            for ((source, day), spend) in self.ledger.range((source.clone(), *from)..=(source.clone(), *to)) {
                ledger.put(source, *day, Arc::clone(spend));
            }
            ledger.loaded_from(source, *from);
        }
        Known { ledger, ..known }
    }

    /// A detection for each scope that was told for the first time.
    fn note_detections(&mut self, key: &DocKey, doc: &Doc, now: Timestamp) {
        let (DocKey::Spike(rule, _), Doc::Spike(SpikeState { told, .. })) = (key, doc) else { return };
        for (scope, days) in told {
            for (day, told) in days {
                let one = told.members.is_empty() || told.lead.is_some();
                let tells = one && matches!(told.role, Role::Own | Role::Member);
                if tells && self.seen.insert((key.clone(), scope.clone(), *day)) {
                    let (rule, scope) = (rule.clone(), scope.clone());
                    self.outcome.detections.push(Detection { at: now, rule, scope, day: *day });
                }
            }
        }
    }
}

/// Plays whole days. Nothing says when on its day money came in, so budgets see a day's rows in its last second, and
/// spikes judge it as soon as it is over.
pub fn play_days(world: &World, history: &History, people: &BTreeMap<String, BTreeMap<String, Person>>) -> Outcome {
    let days: BTreeSet<Date> = history.values().flat_map(BTreeMap::keys).copied().collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return Outcome::default() };
    let is_spike = |rule: &RuleSpec| matches!(rule.rule, Rule::Spike(_));
    let mut limits = Replay::new(world, |rule| !is_spike(rule));
    let mut spikes = Replay::new(world, is_spike);
    for replay in [&mut limits, &mut spikes] {
        for (source, people) in people {
            replay.learn_people(source, people.clone());
        }
    }
    let mut day = *first;
    while day <= *last {
        let next = start_of_utc_day(plus_days(day, 1));
        let end = plus(next, SignedDuration::from_secs(-1));
        // Forecasts are made as soon as the day before is whole.
        for source in history.keys() {
            limits.book(source, &[], start_of_utc_day(day));
        }
        limits.evaluate(start_of_utc_day(day));
        for (source, days) in history {
            let rows = days.get(&day).map_or(&[][..], Vec::as_slice);
            limits.book(source, rows, end);
            spikes.book(source, rows, next);
        }
        limits.evaluate(end);
        spikes.evaluate(next);
        day = plus_days(day, 1);
    }
    let mut outcome = spikes.outcome;
    outcome.events.extend(limits.outcome.events);
    outcome.events.sort_by(|a, b| a.seen.cmp(&b.seen).then_with(|| a.event.id.cmp(&b.event.id)));
    outcome
}

/// Plays polls: what each brought, by time. Every rule is evaluated after each.
pub fn play_polls(
    world: &World,
    source: &str,
    before: &BTreeMap<Date, Vec<SpendRow>>,
    polls: &BTreeMap<Timestamp, Vec<SpendRow>>,
) -> Outcome {
    let mut replay = Replay::new(world, |_| true);
    let Some(first) = polls.keys().next() else { return Outcome::default() };
    let begun = start_of_utc_day(utc_day(*first));
    let older: Vec<SpendRow> = before.range(..utc_day(*first)).flat_map(|(_, rows)| rows.iter().cloned()).collect();
    replay.book(source, &older, begun);
    replay.evaluate(begun);
    replay.forget_told();
    for (at, rows) in polls {
        replay.book(source, rows, *at);
        replay.evaluate(*at);
    }
    replay.outcome
}

#[cfg(test)]
mod tests;
