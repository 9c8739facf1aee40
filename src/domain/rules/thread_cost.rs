//! Single threads that have cost more than a limit.
//!
//! Invariant: a limit speaks once per thread; what threads that were there at the first look had already cost is marked as
//! baseline, and all that one look shows of it is one event. A thread that came later speaks like any other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::group_name;
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::money::Micros;
use crate::domain::payload::{ThreadCostData, Who};
use crate::domain::record::{CostRow, Person};
use crate::domain::time::Timestamp;

/// Threads told together at first sight, the dearest; the others are learned silently.
const TOLD_TOGETHER: usize = 500;
/// Threads remembered; beyond it the oldest ids go (thread ids are `UUIDv7`: their order is their age).
const REMEMBERED: usize = 50_000;

#[derive(Debug, Clone, PartialEq)]
pub struct ThreadCostRule {
    /// Ascending, distinct, above zero.
    pub limits: Vec<Micros>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ThreadCostState {
    /// When the rule's first look was over.
    pub since: Option<Timestamp>,
    /// Of the running look: threads that had passed a limit when they were first seen, with the limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first: BTreeMap<String, (CostRow, Vec<Micros>)>,
    /// The highest limit each thread has passed; zero for none yet.
    pub passed: BTreeMap<String, Micros>,
}

/// A cost as shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub row: CostRow,
    /// The thread was there at the first look, which did not get round to asking what it costs.
    pub earlier: bool,
}

pub struct Scene<'a> {
    pub now: Timestamp,
    pub rule: &'a str,
    pub source: &'a str,
    pub people: &'a BTreeMap<String, Person>,
}

/// Evaluates a batch of observed costs.
pub fn evaluate(
    rule: &ThreadCostRule,
    state: Option<&ThreadCostState>,
    shown: &[Shown],
    scene: &Scene<'_>,
) -> (ThreadCostState, Vec<Draft>) {
    let mut next = state.cloned().unwrap_or_default();
    let mut drafts = Vec::new();
    for Shown { row, earlier } in shown {
        let before = next.passed.get(&row.key).copied();
        let told = before.unwrap_or_default();
        let crossed: Vec<Micros> = rule.limits.iter().copied().filter(|l| row.cost >= *l && *l > told).collect();
        let highest = crossed.last().copied().unwrap_or(told);
        next.passed.insert(row.key.clone(), highest);
        if crossed.is_empty() {
            continue;
        }
        // A thread that was there before the rule was, and was beyond a limit when first asked about.
        let old = next.since.is_none() || (*earlier && before.is_none());
        if old {
            let known = next.first.entry(row.key.clone()).or_insert_with(|| (row.clone(), Vec::new()));
            known.0 = row.clone();
            known.1.extend(crossed);
        } else {
            drafts.push(draft(scene, row, crossed, false, Vec::new()));
        }
    }
    if next.first.len() > TOLD_TOGETHER {
        let dearest: Vec<String> = by_cost(&next.first).into_iter().take(TOLD_TOGETHER).cloned().collect();
        next.first.retain(|key, _| dearest.contains(key));
    }
    while next.passed.len() > REMEMBERED {
        next.passed.pop_first();
    }
    (next, drafts)
}

/// A look is over: one event for all threads that were seen for the first time and had passed a limit by then.
pub fn end_first_sight(mut state: ThreadCostState, scene: &Scene<'_>) -> (ThreadCostState, Option<Draft>) {
    state.since.get_or_insert(scene.now);
    let first = std::mem::take(&mut state.first);
    let mut order = by_cost(&first).into_iter();
    let told = order.next().and_then(|key| first.get(key)).cloned();
    let also = order.cloned().collect();
    (state, told.map(|(row, crossed)| draft(scene, &row, crossed, true, also)))
}

/// Keys, the dearest first.
fn by_cost(rows: &BTreeMap<String, (CostRow, Vec<Micros>)>) -> Vec<&String> {
    let mut order: Vec<(Micros, &String)> = rows.iter().map(|(key, (row, _))| (row.cost, key)).collect();
    order.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    order.into_iter().map(|(_, key)| key).collect()
}

fn draft(scene: &Scene<'_>, row: &CostRow, crossed: Vec<Micros>, baseline: bool, also: Vec<String>) -> Draft {
    let limit = crossed.last().copied().unwrap_or_default();
    let text = |name: &str| row.facts.get(name).and_then(Value::as_str).map(str::to_owned);
    let data = ThreadCostData {
        rule: scene.rule.to_owned(),
        key: row.key.clone(),
        name: text("name").unwrap_or_else(|| row.key.clone()),
        who: text("who").map(|id| Who::of(&id, scene.people.get(&id))),
        link: text("link"),
        cost_usd: row.cost,
        limit_usd: limit,
        limits_crossed: crossed,
        sub_threads: row.facts.get("subThreads").and_then(Value::as_u64).unwrap_or(0),
        estimated: row.estimated,
        baseline,
        also,
    };
    let sources = [scene.source.to_owned()];
    Draft {
        source: scene.source.to_owned(),
        kind: "thread.cost_exceeded".to_owned(),
        subject: row.key.clone(),
        time: scene.now,
        severity: Severity::Warning,
        identity: vec![
            scene.rule.to_owned(),
            group_name(&sources),
            row.key.clone(),
            String::new(),
            limit.0.to_string(),
            "thread_cost".to_owned(),
        ],
        why: json!({ "rule": scene.rule, "cost_micros": row.cost.0, "limit_micros": limit.0 }),
        data: data_of(&data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(n: i64) -> Micros {
        Micros(n * Micros::PER_DOLLAR)
    }

    fn row(key: &str, cost: i64) -> Shown {
        let row = CostRow { key: key.into(), cost: usd(cost), estimated: false, facts: BTreeMap::new() };
        Shown { row, earlier: false }
    }

    fn run(state: Option<&ThreadCostState>, rows: &[Shown]) -> (ThreadCostState, Vec<(String, String, bool)>) {
        let rule = ThreadCostRule { limits: vec![usd(5), usd(25), usd(100)] };
        let people = BTreeMap::new();
        let scene = Scene { now: Timestamp::UNIX_EPOCH, rule: "dear", source: "acme", people: &people };
        let (mut state, mut drafts) = evaluate(&rule, state, rows, &scene);
        let (seen, first) = end_first_sight(state, &scene);
        state = seen;
        drafts.extend(first);
        let told = drafts
            .iter()
            .map(|d| {
                let limit = d.data["limit_usd"].as_str().unwrap().to_owned();
                (d.subject.clone(), limit, d.data["baseline"].as_bool().unwrap())
            })
            .collect();
        (state, told)
    }

    #[test]
    fn first_sight_is_one_event_and_each_limit_speaks_once() {
        let (state, told) = run(None, &[row("T-1", 6), row("T-2", 30), row("T-3", 1)]);
        assert_eq!(told, [("T-2".to_owned(), "25.00".to_owned(), true)]);
        let (state, told) = run(Some(&state), &[row("T-1", 7), row("T-3", 120)]);
        assert_eq!(told, [("T-3".to_owned(), "100.00".to_owned(), false)]);
        let (state, told) = run(Some(&state), &[row("T-3", 90), row("T-3", 130)]);
        assert!(told.is_empty());
        let old = |key: &str, cost| Shown { earlier: true, ..row(key, cost) };
        let (_, told) = run(Some(&state), &[old("T-7", 30), old("T-8", 110), old("T-9", 2)]);
        assert_eq!(told, [("T-8".to_owned(), "100.00".to_owned(), true)], "what a later look is the first to see");
    }

    #[test]
    fn only_what_was_there_at_the_first_look_is_baseline() {
        let (state, told) = run(None, &[row("T-1", 1)]);
        assert!(told.is_empty());
        let mut old = row("T-2", 30);
        old.row.facts.insert("createdAt".into(), json!("1969-01-01T00:00:00Z"));
        let (state, told) = run(Some(&state), &[old]);
        assert_eq!(told, [("T-2".to_owned(), "25.00".to_owned(), false)], "whenever it was made, it came later");
        let waited = Shown { earlier: true, ..row("T-3", 6) };
        let (state, told) = run(Some(&state), &[waited]);
        assert_eq!(told, [("T-3".to_owned(), "5.00".to_owned(), true)]);
        let (_, told) = run(Some(&state), &[Shown { earlier: true, ..row("T-3", 30) }, row("T-1", 9)]);
        assert_eq!(told.iter().map(|t| t.2).collect::<Vec<_>>(), [false, false], "grown since");
    }

    #[test]
    fn first_sight_lasts_as_long_as_the_first_look() {
        let rule = ThreadCostRule { limits: vec![usd(5)] };
        let people = BTreeMap::new();
        let scene = Scene { now: Timestamp::UNIX_EPOCH, rule: "dear", source: "acme", people: &people };
        let rows: Vec<Shown> = (0..600).map(|n| row(&format!("T-{n:03}"), n)).collect();
        let mut state = ThreadCostState::default();
        for page in rows.chunks(20) {
            let (next, told) = evaluate(&rule, Some(&state), page, &scene);
            assert!(told.is_empty());
            state = next;
        }
        let (state, told) = end_first_sight(state, &scene);
        let told = told.unwrap();
        let also = told.data["also"].as_array().unwrap();
        assert_eq!((told.subject.as_str(), also.len(), also[0].as_str()), ("T-599", TOLD_TOGETHER - 1, Some("T-598")));
        assert!(evaluate(&rule, Some(&state), &rows, &scene).1.is_empty(), "the others are learned");
    }
}
