//! Budgets and spikes over the ledger, after money rows came in or time passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Needs, Step, World, live};
use crate::domain::collection::{CollectionSpec, LookNotes};
use crate::domain::doc::{Doc, DocKey, Docs};
use crate::domain::freshness;
use crate::domain::record::Evidence;
use crate::domain::rules::scene::{Scene, counted};
use crate::domain::rules::spike::Children;
use crate::domain::rules::{Rule, RuleSpec, attribution, budget, figures, group_name, spike};
use crate::domain::spend::{Ledger, OwnLimits, People, Per, SpendState};
use crate::domain::time::{PeriodKind, SignedDuration, Timestamp, elapsed, minus_days, plus_days, utc_day};

/// How long a rule over several sources waits at first for those that were never asked, once one has been read.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// Documents and days the money rules of `source` need.
pub(super) fn rule_needs(world: &World, now: Timestamp, source: &str, needs: &mut Needs) {
    let today = utc_day(now);
    let mut days = 0;
    let mut sources: Vec<String> = Vec::new();
    for rule in &world.rules {
        let Some(group) = rule.group_of(source) else { continue };
        let name = group_name(&group);
        match &rule.rule {
            Rule::Budget(budget) => {
                needs.docs.insert(DocKey::Budget(rule.name.clone(), name));
                days = days.max(budget::days_needed(budget));
            }
            Rule::Spike(_) => {
                needs.docs.insert(DocKey::Spike(rule.name.clone(), name.clone()));
                needs.docs.insert(DocKey::Learned(rule.name.clone(), name));
                days = days.max(spike::DAYS_OPEN);
            }
            Rule::ThreadCost(_) => continue,
        }
        sources.extend(group);
    }
    needs.docs.insert(DocKey::Spend(source.to_owned()));
    sources.sort();
    sources.dedup();
    for source in sources {
        needs.docs.insert(DocKey::People(source.clone()));
        needs.docs.insert(DocKey::Spend(source.clone()));
        needs.ledger.push((source, minus_days(today, days), plus_days(today, 2)));
    }
}

/// Books what a look says of the ledger itself: which days it answered for, whether anything moved, whether the data
/// stands still.
pub(super) fn observe(
    step: &mut Step<'_>,
    spec: &CollectionSpec,
    evidence: &Evidence,
    complete: bool,
    notes: &LookNotes,
) {
    let key = DocKey::Spend(spec.source.clone());
    let mut state = step.known.docs.spend(&key).cloned().unwrap_or_default();
    if matches!(evidence, Evidence::Partial(_)) {
        if !state.is_read() && !state.tried {
            // Nobody need wait for it any longer.
            state.tried = true;
            step.put(key, Doc::Spend(state));
        }
        return;
    }
    state.showed(notes.days);
    if complete {
        let first_shown = notes.days.map(|(first, _)| first);
        let first = first_shown.into_iter().chain(notes.asked_from).min();
        state.answered(&spec.name, first, &notes.uncounted, step.now);
    }
    let drafts = freshness::looked(spec, &mut state, notes.changed > 0, step.now);
    step.put(key, Doc::Spend(state));
    step.tell_all(drafts);
}

/// All money of a source is forgotten, and what was learned from it. `anothers`: what comes is another account's.
pub(super) fn forget(step: &mut Step<'_>, source: &str, anothers: bool) {
    step.plan.clear_spend = Some(source.to_owned());
    let key = DocKey::Spend(source.to_owned());
    let SpendState { generation, limits, account, .. } = spend_state(step, source);
    let (generation, account) = (generation + 1, account + u32::from(anothers));
    step.put(key, Doc::Spend(SpendState { generation, account, limits, ..SpendState::default() }));
}

/// Takes note of what records say that they may spend.
pub(super) fn learn_limits(step: &mut Step<'_>, source: &str, change: impl FnOnce(&mut OwnLimits)) {
    let mut state = spend_state(step, source);
    change(&mut state.limits);
    step.put(DocKey::Spend(source.to_owned()), Doc::Spend(state));
}

/// Whether a rule asks what records of this collection may spend.
pub(super) fn asks_for_limits(world: &World, spec: &CollectionSpec) -> bool {
    let asks = |rule: &RuleSpec| matches!(&rule.rule, Rule::Budget(budget) if budget.own.is_some());
    spec.budget.is_some() && world.rules.iter().any(|rule| asks(rule) && rule.group_of(&spec.source).is_some())
}

/// What an evaluation comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// A look at the money. What single things may spend is yet to be read, perhaps it has changed as well. `partial`:
    /// the look was cut short, so what is missing means nothing.
    Money { partial: bool },
    /// A look at what single things may spend.
    Limits,
    /// No look: time has passed, or the process begins.
    Time,
}

/// Evaluates every money rule that looks at any of `changed`, each group of sources once.
pub(super) fn evaluate(step: &mut Step<'_>, changed: &[String], after: After) {
    let world = step.world;
    let ledger = ledger_after(step);
    let mut rules: Vec<&RuleSpec> = world.rules.iter().collect();
    // Spikes of what is smaller first, so that what is larger knows what was told already.
    rules.sort_by_key(|rule| match &rule.rule {
        Rule::Spike(spike) => 1 + breadth(&spike.per),
        _ => 0,
    });
    let mut told: BTreeMap<Vec<String>, Children> = BTreeMap::new();
    for rule in rules {
        let groups: BTreeSet<Vec<String>> = changed.iter().filter_map(|source| rule.group_of(source)).collect();
        for sources in groups {
            let children = told.entry(sources.clone()).or_default();
            evaluate_group(step, rule, &sources, &ledger, after, children);
        }
    }
}

fn breadth(per: &Per) -> u8 {
    match per {
        Per::UserModel => 0,
        Per::User => 1,
        Per::Other(_) => 2,
        Per::Model => 3,
        Per::Group => 4,
        Per::Workspace => 5,
    }
}

fn evaluate_group(
    step: &mut Step<'_>,
    rule: &RuleSpec,
    sources: &[String],
    ledger: &Ledger,
    after: After,
    children: &mut Children,
) {
    let world = step.world;
    let partial = after == After::Money { partial: true };
    let group = group_name(sources);
    let known = step.known;
    let docs = &known.docs;
    let people = people_of(docs, sources);
    let fresh = fresh_status(step, sources);
    let status: BTreeMap<&str, &SpendState> = fresh.iter().map(|(source, state)| (source.as_str(), state)).collect();
    // By a clock that was set back, days long closed would be today again.
    if status.values().any(|state| state.is_ahead_of(step.now).is_some()) {
        return;
    }
    let counted = counted(sources, &status);
    let account = status.values().map(|state| state.account).sum();
    if counted.is_empty()
        || (after != After::Time && !is_met(docs, rule, &group, account) && awaits_others(&status, sources, step.now))
    {
        return;
    }
    let scene = Scene {
        now: step.now,
        rule: &rule.name,
        sources,
        counted: &counted,
        week_start: world.week_start,
        ledger,
        people: &people,
        groups: &world.groups,
        status: &status,
        complete: !partial,
    };
    match &rule.rule {
        Rule::Budget(budget_rule) => {
            let key = DocKey::Budget(rule.name.clone(), group);
            let state = docs.budget(&key);
            if budget_rule.own.is_some() && !is_time_for_own_limits(&scene, state.is_none(), after) {
                return;
            }
            let month = month_budget(world, rule, sources);
            let verdict = budget::evaluate(budget_rule, state, month, &scene);
            step.lack(verdict.lacks);
            step.tell_all(verdict.drafts);
            let followed = live::followed(step);
            live::follow(step, figures::of_budget(budget_rule, &verdict.state, &scene, &|id| followed.contains(id)));
            step.put(key, Doc::Budget(verdict.state));
        }
        Rule::Spike(spike_rule) => {
            let key = DocKey::Spike(rule.name.clone(), group.clone());
            let learned_key = DocKey::Learned(rule.name.clone(), group);
            let state = docs.spike(&key);
            let verdict = spike::evaluate(spike_rule, state, docs.learned(&learned_key), children, &scene);
            children.note(&verdict.state);
            step.lack(verdict.lacks);
            step.tell_all(verdict.drafts);
            let followed = live::followed(step);
            let moves = figures::of_spikes(&verdict.state, &scene, &|id| followed.contains(id));
            if !moves.is_empty() {
                // What a rise is made of is told against what was usual.
                let from = spike::DAYS_OPEN + attribution::WINDOW_DAYS;
                step.lack(scene.lacking(minus_days(scene.today(), from)));
            }
            live::follow(step, moves);
            step.put(key, Doc::Spike(verdict.state));
            if let Some(learned) = verdict.learned {
                step.put(learned_key, Doc::Learned(learned));
            }
        }
        Rule::ThreadCost(_) => {}
    }
}

/// Whether the rule has looked at these sources before, when they were of these accounts.
fn is_met(docs: &Docs, rule: &RuleSpec, group: &str, account: u32) -> bool {
    let (name, group) = (rule.name.clone(), group.to_owned());
    match &rule.rule {
        Rule::Budget(_) => docs.budget(&DocKey::Budget(name, group)).is_some_and(|state| state.account == account),
        Rule::Spike(_) => docs.spike(&DocKey::Spike(name, group)).is_some_and(|state| state.account == account),
        Rule::ThreadCost(_) => true,
    }
}

/// Whether some of the sources are about to be read for the first time: what is already so is one event for all of them.
fn awaits_others(status: &BTreeMap<&str, &SpendState>, sources: &[String], now: Timestamp) -> bool {
    let untried = |source: &String| status.get(source.as_str()).is_none_or(|s| !s.is_read() && !s.tried);
    let just_read = |at: Timestamp| (0..PATIENCE.as_secs()).contains(&elapsed(at, now).as_secs());
    sources.iter().any(untried) && status.values().flat_map(|s| s.read.values()).all(|at| just_read(*at))
}

/// Whether spend may be held against what its source says it may be. First sight is when both are known; until then
/// nothing can be told too much. After that it is when the limits were read after the money was.
fn is_time_for_own_limits(scene: &Scene<'_>, first_sight: bool, after: After) -> bool {
    let mut states = scene.status.values();
    let follows = matches!(after, After::Money { .. }) && states.clone().any(|state| state.limits.are_read());
    scene.knows_own_limits() && !follows && (!first_sight || states.any(|state| !state.known.is_empty()))
}

/// The month's budget of the same scopes and sources: it tells where the month is heading when a shorter one speaks.
fn month_budget<'a>(world: &'a World, rule: &RuleSpec, sources: &[String]) -> Option<&'a budget::BudgetRule> {
    let Rule::Budget(own) = &rule.rule else { return None };
    world.rules.iter().find_map(|other| match &other.rule {
        Rule::Budget(month) if month.period == PeriodKind::Month && month.per == own.per => {
            let same = sources.first().and_then(|s| other.group_of(s)).is_some_and(|group| group == sources);
            same.then_some(month)
        }
        _ => None,
    })
}

/// The ledger as it is once this plan is committed.
fn ledger_after(step: &Step<'_>) -> Ledger {
    let mut ledger = step.known.ledger.clone();
    for ((source, day), spend) in &step.plan.spend {
        ledger.put(source, *day, Arc::clone(spend));
    }
    ledger
}

/// How the ledgers stand once this plan is committed.
fn fresh_status(step: &Step<'_>, sources: &[String]) -> BTreeMap<String, SpendState> {
    sources.iter().map(|source| (source.clone(), spend_state(step, source))).collect()
}

pub(super) fn spend_state(step: &Step<'_>, source: &str) -> SpendState {
    let key = DocKey::Spend(source.to_owned());
    match step.plan.docs.get(&key).map(Arc::as_ref) {
        Some(Doc::Spend(state)) => state.clone(),
        _ => step.known.docs.spend(&key).cloned().unwrap_or_default(),
    }
}

fn people_of<'a>(docs: &'a Docs, sources: &[String]) -> People<'a> {
    People(sources.iter().filter_map(|source| docs.people(&DocKey::People(source.clone()))).collect())
}
