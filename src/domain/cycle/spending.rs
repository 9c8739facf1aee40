//! Budgets and spikes over the ledger, after money rows came in or time passed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Needs, Step, World, live};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::record::Person;
use crate::domain::rules::{Rule, RuleSpec, budget, figures, group_name, spike};
use crate::domain::spend::Ledger;
use crate::domain::time::{Timestamp, minus_days, plus_days, utc_day};

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
                days = days.max(budget::days_needed(budget.period) + budget::days_needed(budget.period));
            }
            Rule::Spike(_) => {
                needs.docs.insert(DocKey::Spike(rule.name.clone(), name));
                days = days.max(spike::DAYS_NEEDED);
            }
            Rule::ThreadCost(_) => continue,
        }
        sources.extend(group);
    }
    sources.sort();
    sources.dedup();
    for source in sources {
        needs.docs.insert(DocKey::People(source.clone()));
        needs.ledger.push((source, minus_days(today, days), plus_days(today, 2)));
    }
}

/// Evaluates every money rule that looks at any of `changed`, each group of sources once. `partial`: the look behind
/// this was cut short, so what is missing means nothing.
pub(super) fn evaluate(step: &mut Step<'_>, changed: &[String], partial: bool) {
    let world = step.world;
    let ledger = ledger_after(step);
    for rule in &world.rules {
        let groups: BTreeSet<Vec<String>> = changed.iter().filter_map(|source| rule.group_of(source)).collect();
        for sources in groups {
            evaluate_group(step, rule, &sources, &ledger, partial);
        }
    }
}

fn evaluate_group(step: &mut Step<'_>, rule: &RuleSpec, sources: &[String], ledger: &Ledger, partial: bool) {
    let world = step.world;
    let group = group_name(sources);
    let people = people_of(step, sources);
    match &rule.rule {
        Rule::Budget(budget_rule) => {
            let key = DocKey::Budget(rule.name.clone(), group);
            let state = step.known.docs.budget(&key);
            if state.is_none() && partial {
                return;
            }
            let scene = budget::Scene {
                now: step.now,
                rule: &rule.name,
                sources,
                week_start: world.week_start,
                ledger,
                people: &people,
                complete: !partial,
            };
            let (next, drafts) = budget::evaluate(budget_rule, state, &scene);
            step.tell_all(drafts);
            let followed = live::followed(step);
            live::follow(step, figures::of_budget(budget_rule, &next, &scene, &|id| followed.contains(id)));
            step.put(key, Doc::Budget(next));
        }
        Rule::Spike(spike_rule) => {
            let key = DocKey::Spike(rule.name.clone(), group);
            let state = step.known.docs.spike(&key);
            if state.is_none() && partial {
                return;
            }
            let scene =
                spike::Scene { now: step.now, rule: &rule.name, sources, ledger, people: &people, complete: !partial };
            let (next, drafts) = spike::evaluate(spike_rule, state, &scene);
            step.tell_all(drafts);
            let followed = live::followed(step);
            live::follow(step, figures::of_spikes(spike_rule, &next, &scene, &|id| followed.contains(id)));
            step.put(key, Doc::Spike(next));
        }
        Rule::ThreadCost(_) => {}
    }
}

/// The ledger as it is once this plan is committed.
fn ledger_after(step: &Step<'_>) -> Ledger {
    let mut ledger = step.known.ledger.clone();
    for ((source, day), spend) in &step.plan.spend {
        ledger.put(source, *day, Arc::clone(spend));
    }
    ledger
}

fn people_of(step: &Step<'_>, sources: &[String]) -> std::collections::BTreeMap<String, Person> {
    let mut people = std::collections::BTreeMap::new();
    for source in sources {
        if let Some(known) = step.known.docs.people(&DocKey::People(source.clone())) {
            people.extend(known.clone());
        }
    }
    people
}
