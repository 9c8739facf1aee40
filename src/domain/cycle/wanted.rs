//! What is asked for one by one: which records of a collection came or changed, so that a call about each is worth
//! making. What threads have cost, and whatever follows a collection.

use std::collections::BTreeMap;

use serde_json::Value;

use super::look::cost_rules;
use super::{Step, World};
use crate::domain::collection::{CollectionId, CollectionSpec};
use crate::domain::doc::{Doc, DocKey, Wanted};
use crate::domain::record::{CostRow, Record};

/// Records wanted at most; older ones go first.
const WANTED: usize = 2_000;
/// Records asked for at the baseline: the newest.
const WANTED_AT_BASELINE: usize = 60;

/// Where the records of this collection are noted when they come or change.
pub(super) fn keys(world: &World, spec: &CollectionSpec) -> Vec<DocKey> {
    let costs = cost_rules(world, &spec.source).next().is_some() && spec.noun == "thread" && !spec.one_by_one;
    let costs = costs.then(|| DocKey::Wanted(spec.source.clone()));
    let own = spec.one_by_one.then(|| spec.wanted()).flatten();
    costs.into_iter().chain(follower(spec)).chain(own).collect()
}

/// Notes the records that came or changed.
pub(super) fn note(step: &mut Step<'_>, spec: &CollectionSpec, touched: &[&Record], quiet: bool) {
    if touched.is_empty() || spec.one_by_one {
        return;
    }
    let costs = DocKey::Wanted(spec.source.clone());
    if step.plan.expect.contains_key(&costs) {
        // A sub-thread's cost is counted in its main thread's.
        let main = |record: &Record| {
            let main = record.fields.get("mainThreadID").and_then(Value::as_str).filter(|id| !id.is_empty());
            main.map(str::to_owned)
        };
        want(step, costs, touched, quiet, main);
    }
    if let Some(queue) = follower(spec) {
        want(step, queue, touched, quiet, |_| None);
    }
}

/// Costs with what is known of their threads. What was asked for is not wanted any more, whatever the answer was.
pub(super) fn settle_costs(
    step: &mut Step<'_>,
    spec: &CollectionSpec,
    rows: &[CostRow],
    asked: &[String],
) -> Vec<CostRow> {
    let known = take(step, &DocKey::Wanted(spec.source.clone()), asked);
    let told = |row: &CostRow| {
        let mut row = row.clone();
        row.facts.extend(known.get(&row.key).map(|wanted| wanted.facts.clone()).unwrap_or_default());
        row
    };
    rows.iter().map(told).collect()
}

/// The same for records: their name, person and link are those of the record that they were asked for.
pub(super) fn settle_records(
    step: &mut Step<'_>,
    spec: &CollectionSpec,
    records: &[Record],
    asked: &[String],
) -> Vec<Record> {
    let known = take(step, &DocKey::Queue(spec.id()), asked);
    let told = |record: &Record| {
        let text = |name: &str| known.get(&record.key)?.facts.get(name)?.as_str().map(str::to_owned);
        let updated_at = known.get(&record.key).and_then(|wanted| wanted.recency.parse().ok());
        Record { name: text("name"), who: text("who"), link: text("link"), updated_at, ..record.clone() }
    };
    records.iter().map(told).collect()
}

fn follower(spec: &CollectionSpec) -> Option<DocKey> {
    let name = spec.followed_by.clone()?;
    Some(DocKey::Queue(CollectionId { source: spec.source.clone(), name }))
}

/// What was wanted, and a document without what was asked for.
fn take(step: &mut Step<'_>, key: &DocKey, asked: &[String]) -> BTreeMap<String, Wanted> {
    let known = step.known.docs.wanted(key).cloned().unwrap_or_default();
    let mut left = known.clone();
    left.retain(|wanted, _| !asked.contains(wanted));
    step.put(key.clone(), Doc::Wanted(left));
    known
}

/// `instead` is what is asked for in place of a record.
fn want(
    step: &mut Step<'_>,
    key: DocKey,
    touched: &[&Record],
    quiet: bool,
    instead: impl Fn(&Record) -> Option<String>,
) {
    let mut wanted = step.known.docs.wanted(&key).cloned().unwrap_or_default();
    for record in touched {
        let text = |name: &str| record.facts.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let instead = instead(record);
        let recency = [text("updatedAt"), text("firstSyncedAt"), text("createdAt")].into_iter().find(|t| !t.is_empty());
        let mut facts = BTreeMap::new();
        if instead.is_none() {
            for (name, value) in [("name", &record.name), ("who", &record.who), ("link", &record.link)] {
                if let Some(value) = value {
                    facts.insert(name.to_owned(), Value::String(value.clone()));
                }
            }
            facts.insert("createdAt".to_owned(), Value::String(text("createdAt")));
        }
        let entry = wanted.entry(instead.unwrap_or_else(|| record.key.clone())).or_default();
        entry.recency = recency.unwrap_or_default().max(std::mem::take(&mut entry.recency));
        entry.facts.extend(facts);
    }
    let keep = if quiet { WANTED_AT_BASELINE } else { WANTED };
    if wanted.len() > keep {
        let mut order: Vec<(String, String)> = wanted.iter().map(|(k, w)| (w.recency.clone(), k.clone())).collect();
        order.sort();
        for (_, oldest) in order.iter().take(wanted.len() - keep) {
            wanted.remove(oldest);
        }
    }
    step.put(key, Doc::Wanted(wanted));
}
