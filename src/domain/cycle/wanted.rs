//! What is asked for one by one: which records of a collection came or changed, so that a call about each is worth
//! making. What threads have cost ([`roster`] says when each is asked again), and whatever follows a collection.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::look::cost_rules;
use super::{Step, World};
use crate::domain::collection::{CollectionId, CollectionSpec};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::record::{CostRow, Record};
use crate::domain::roster::{self, Roster, Wanted};
use crate::domain::rules::thread_cost::Shown;
use crate::domain::time::Timestamp;

/// Records of a collection that follows another which are asked for at the baseline: the newest.
const QUEUED_AT_BASELINE: usize = 60;

/// Where the records of this collection are noted when they come or change.
pub(super) fn keys(world: &World, spec: &CollectionSpec) -> Vec<DocKey> {
    let costs = cost_rules(world, &spec.source).next().is_some() && spec.noun == "thread" && !spec.one_by_one;
    let costs = costs.then(|| DocKey::Wanted(spec.source.clone()));
    let own = spec.one_by_one.then(|| spec.wanted()).flatten();
    costs.into_iter().chain(follower(spec)).chain(own).collect()
}

/// Nothing is to be asked about any more that this list has shown.
pub(super) fn forget(step: &mut Step<'_>, spec: &CollectionSpec) {
    if spec.is_asked_one_by_one() {
        return;
    }
    for key in keys(step.world, spec) {
        if step.known.docs.wanted(&key).is_some() {
            step.put(key, Doc::Wanted(Roster::new()));
        }
    }
}

/// Costs are asked for elsewhere: all threads there are were there before.
pub(super) fn begin_costs_anew(step: &mut Step<'_>, spec: &CollectionSpec) {
    let key = DocKey::Wanted(spec.source.clone());
    if let Some(mut roster) = step.known.docs.wanted(&key).cloned() {
        for wanted in roster.values_mut() {
            wanted.earlier = true;
        }
        step.put(key, Doc::Wanted(roster));
    }
}

/// A record that came or changed, and whether it is new since the first look.
pub(super) type Touched<'r> = (&'r Record, bool);

/// Notes what a page has shown, and of it the records that came or changed.
pub(super) fn note(
    step: &mut Step<'_>,
    spec: &CollectionSpec,
    shown: &[&Record],
    touched: &[Touched<'_>],
    quiet: bool,
) {
    if spec.one_by_one {
        return;
    }
    let costs = DocKey::Wanted(spec.source.clone());
    if step.plan.expect.contains_key(&costs) {
        want_costs(step, costs, shown, touched);
    }
    if let Some(key) = follower(spec).filter(|_| !touched.is_empty()) {
        queue(step, key, touched, quiet);
    }
}

/// Costs with what is known of their threads. What was asked for waits for its next turn.
pub(super) fn settle_costs(
    step: &mut Step<'_>,
    spec: &CollectionSpec,
    rows: &[CostRow],
    asked: &[String],
) -> Vec<Shown> {
    let key = DocKey::Wanted(spec.source.clone());
    let none = Roster::new();
    let known = step.known.docs.wanted(&key).unwrap_or(&none);
    if !asked.is_empty() {
        let mut roster = known.clone();
        roster::settle(&mut roster, asked, |key| rows.iter().any(|row| row.key == key), step.now);
        step.put(key, Doc::Wanted(roster));
    }
    let told = |row: &CostRow| {
        let mut row = row.clone();
        let wanted = known.get(&row.key);
        row.facts.extend(wanted.map(|wanted| wanted.facts.clone()).unwrap_or_default());
        Shown { row, earlier: wanted.is_some_and(|wanted| wanted.earlier) }
    };
    rows.iter().map(told).collect()
}

/// The same for records: their name, person and link are those of the record that they were asked for.
pub(super) fn settle_records(
    step: &mut Step<'_>,
    spec: &CollectionSpec,
    records: &[Record],
    asked: &[String],
    failed: &[String],
) -> Vec<Record> {
    let known = take(step, &DocKey::Queue(spec.id()), asked, failed);
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

/// What was wanted, and a document without what there was an answer about.
fn take(step: &mut Step<'_>, key: &DocKey, asked: &[String], failed: &[String]) -> Roster {
    let known = step.known.docs.wanted(key).cloned().unwrap_or_default();
    let mut left = known.clone();
    left.retain(|wanted, _| !asked.contains(wanted) || failed.contains(wanted));
    roster::settle(&mut left, failed, |_| false, step.now);
    step.put(key.clone(), Doc::Wanted(left));
    known
}

/// What is asked for in place of a thread whose cost is wanted: a sub-thread's cost is counted in its main thread's.
fn main_thread(record: &Record) -> Option<String> {
    let main = record.fields.get("mainThreadID").and_then(Value::as_str).filter(|id| !id.is_empty());
    main.map(str::to_owned)
}

/// Notes threads: those that came or changed are to be asked for at once; one that is not known here yet, because nobody
/// asked for costs when it came, in its turn.
fn want_costs(step: &mut Step<'_>, key: DocKey, shown: &[&Record], touched: &[Touched<'_>]) {
    let none = Roster::new();
    let known = step.known.docs.wanted(&key).unwrap_or(&none);
    let full = known.len() >= roster::KEPT;
    let oldest = known.values().map(|wanted| wanted.recency.as_str()).min().filter(|_| full).unwrap_or_default();
    let is_news = |record: &&&Record| {
        let known = known.contains_key(&main_thread(record).unwrap_or_else(|| record.key.clone()));
        !known && recency(record).as_str() >= oldest
    };
    let unknown: Vec<&Record> = shown.iter().filter(is_news).copied().collect();
    if unknown.is_empty() && touched.is_empty() {
        return;
    }
    let mut roster = known.clone();
    let new: BTreeSet<&str> = touched.iter().filter(|(_, new)| *new).map(|(record, _)| record.key.as_str()).collect();
    for record in unknown {
        let wanted = add(&mut roster, record, main_thread(record));
        wanted.asked = wanted.asked.or(Some(Timestamp::UNIX_EPOCH));
        wanted.earlier = !new.contains(record.key.as_str());
    }
    for (record, _) in touched {
        let wanted = add(&mut roster, record, main_thread(record));
        (wanted.asked, wanted.misses) = (None, 0);
    }
    roster::keep_newest(&mut roster, roster::KEPT);
    step.put(key, Doc::Wanted(roster));
}

/// Notes records of which others are to be asked for. At the baseline only the newest.
fn queue(step: &mut Step<'_>, key: DocKey, touched: &[Touched<'_>], quiet: bool) {
    let mut roster = step.known.docs.wanted(&key).cloned().unwrap_or_default();
    for (record, _) in touched {
        let wanted = add(&mut roster, record, None);
        (wanted.asked, wanted.misses) = (None, 0);
    }
    roster::keep_newest(&mut roster, if quiet { QUEUED_AT_BASELINE } else { roster::KEPT });
    step.put(key, Doc::Wanted(roster));
}

/// The entry of a record, or of what is asked for in its place, with what is known of it.
fn add<'r>(roster: &'r mut Roster, record: &Record, instead: Option<String>) -> &'r mut Wanted {
    let mut facts = BTreeMap::new();
    if instead.is_none() {
        for (name, value) in [("name", &record.name), ("who", &record.who), ("link", &record.link)] {
            if let Some(value) = value {
                facts.insert(name.to_owned(), Value::String(value.clone()));
            }
        }
        facts.insert("createdAt".to_owned(), Value::String(fact(record, "createdAt")));
    }
    let entry = roster.entry(instead.unwrap_or_else(|| record.key.clone())).or_default();
    entry.recency = recency(record).max(std::mem::take(&mut entry.recency));
    entry.facts.extend(facts);
    entry
}

/// Text that orders by recency.
fn recency(record: &Record) -> String {
    let known = ["updatedAt", "firstSyncedAt", "createdAt"].map(|name| fact(record, name));
    known.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

fn fact(record: &Record, name: &str) -> String {
    record.facts.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
