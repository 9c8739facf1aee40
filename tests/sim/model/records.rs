//! What is known of a collection of records, and what each look must make of it.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::collection::{CollectionSpec, Role};
use ampbridge::domain::event::Severity;
use ampbridge::domain::record::{Failure, FailureKind, Record};
use serde_json::{Value, json};

use super::health::{SourceHealth, degraded};
use crate::fact::{Fact, change, detail_of};
use crate::remote::Fields;

#[derive(Debug, Clone, Default)]
pub struct Collection {
    pub epoch: u32,
    pub fingerprint: String,
    pub baseline: bool,
    pub rows: BTreeMap<String, Row>,
    /// Fields that some complete look has carried.
    pub usual: BTreeSet<String>,
    /// Fields that were told as lost.
    pub degraded: BTreeSet<String>,
    /// Fields seen to be lost, not told yet.
    pub vanishing: BTreeSet<String>,
    /// Keys the last complete look did not show.
    pub missed: BTreeSet<String>,
    pub hold: Option<Hold>,
    pub failures: u32,
    pub frozen: Option<String>,
    pub cursor: Value,
}

#[derive(Debug, Clone)]
pub struct Row {
    /// As last shown.
    pub shown: (Fields, Fields),
    /// With what was kept of lost fields.
    pub kept: Fields,
    pub lost: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Hold {
    /// As the bridge named it.
    pub id: String,
    pub looks: u32,
    /// What a person was told of and nothing has shown since.
    pub told: Option<BTreeSet<String>>,
    pub missing: BTreeSet<String>,
    /// Records there were when a person was told.
    pub known: usize,
    /// What was told of stays, a person has said.
    pub rejected: bool,
}

impl Hold {
    /// What stays because a person has said so.
    fn kept(&self) -> BTreeSet<String> {
        self.told.clone().filter(|_| self.rejected).unwrap_or_default()
    }
}

/// What one look has shown so far. Lost in a crash, like the look.
#[derive(Debug, Clone, Default)]
pub struct Look {
    pub epoch: u32,
    pub rows: usize,
    pub quarantined: usize,
    pub carried: BTreeSet<String>,
}

/// How a look ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    Complete,
    Window,
    Failed(Failure),
}

impl Collection {
    /// A look begins: another address is another epoch, and everything known is forgotten. True where it is.
    pub fn begin(&mut self, spec: &CollectionSpec) -> bool {
        if self.fingerprint == spec.fingerprint {
            return false;
        }
        self.forget();
        self.fingerprint.clone_from(&spec.fingerprint);
        true
    }

    /// A new quiet baseline is to come. How the looks have gone stays known.
    pub fn forget(&mut self) {
        let fingerprint = std::mem::take(&mut self.fingerprint);
        *self = Self { epoch: self.epoch + 1, fingerprint, failures: self.failures, ..Self::default() };
    }

    /// Rows as a page shows them. Returns the facts, and the keys that were not shown like this before.
    pub fn page(&mut self, spec: &CollectionSpec, look: &mut Look, records: &[Record]) -> (Vec<Fact>, Vec<String>) {
        let mut facts = Vec::new();
        let mut touched = Vec::new();
        look.rows += records.len();
        for record in records {
            look.carried.extend(record.fields.keys().cloned());
            let shown = (record.fields.clone(), record.facts.clone());
            let Some(old) = self.rows.get(&record.key) else {
                touched.push(record.key.clone());
                self.rows.insert(record.key.clone(), Row { kept: shown.0.clone(), shown, lost: BTreeSet::new() });
                if let Some(kind) = spec.events.created.as_ref().filter(|_| self.baseline) {
                    facts.push(self.told(spec, kind, &record.key, None, Some(&record.fields), &[]));
                }
                continue;
            };
            if old.shown == shown {
                continue;
            }
            touched.push(record.key.clone());
            let absent = |name: &&String| !record.fields.contains_key(*name);
            let lost: BTreeSet<String> = old.kept.keys().filter(absent).cloned().collect();
            let newly: BTreeSet<String> = lost.difference(&old.lost).cloned().collect();
            let usual = |name: &str| self.usual.contains(name) && !self.degraded.contains(name);
            let changed: Vec<String> = record
                .fields
                .iter()
                .filter(|(name, value)| match old.kept.get(*name) {
                    Some(before) => before != *value,
                    None => usual(name) && !value.is_null(),
                })
                .map(|(name, _)| name.clone())
                .collect();
            let before = old.kept.clone();
            let mut kept = before.clone();
            kept.extend(record.fields.clone());
            if self.baseline {
                for (kind, fields) in grouped(spec, &before, &kept, &changed) {
                    facts.push(self.told(spec, &kind, &record.key, Some(&before), Some(&kept), &fields));
                }
            }
            self.vanishing.extend(newly);
            self.rows.insert(record.key.clone(), Row { shown, kept, lost });
        }
        (facts, touched)
    }

    fn told(
        &self,
        spec: &CollectionSpec,
        kind: &str,
        key: &str,
        before: Option<&Fields>,
        after: Option<&Fields>,
        changed: &[String],
    ) -> Fact {
        Fact::new(kind, &spec.source, key, Severity::Info, &change(before, after, changed))
    }

    /// The look is over. `shown` are the keys it showed.
    pub fn end(
        &mut self,
        spec: &CollectionSpec,
        health: &mut SourceHealth,
        look: &Look,
        ending: &Ending,
        shown: &BTreeSet<String>,
    ) -> Vec<Fact> {
        let decides = *ending == Ending::Complete && look.epoch == self.epoch && look.quarantined == 0;
        if spec.role == Role::Record && !decides {
            self.found_again(shown);
        }
        if let Ending::Failed(failure) = ending {
            return self.failed(spec, health, failure).into_iter().collect();
        }
        self.failures = 0;
        self.frozen = None;
        let mut facts: Vec<Fact> = health.succeeded(&spec.source, &spec.name).into_iter().collect();
        let vanished = std::mem::take(&mut self.vanishing);
        let news: BTreeSet<String> = vanished.difference(&self.degraded).cloned().collect();
        if !news.is_empty() {
            facts.push(degraded(&spec.source, &spec.name, &news, None));
            self.degraded.extend(news);
        }
        if spec.role == Role::Cost && *ending == Ending::Window {
            // Costs are asked for one by one; there is no list of them to be complete.
            self.baseline = true;
        }
        // A look that began before everything was forgotten says nothing of what is missing.
        if *ending == Ending::Complete && look.epoch == self.epoch {
            self.usual.extend(look.carried.clone());
            self.degraded.retain(|f| vanished.contains(f) || !look.carried.contains(f));
            self.baseline = true;
            if look.quarantined == 0 && spec.role == Role::Record {
                facts.extend(self.removals(spec, look, shown));
            }
        }
        facts
    }

    fn failed(&mut self, spec: &CollectionSpec, health: &mut SourceHealth, failure: &Failure) -> Option<Fact> {
        if let FailureKind::Forbidden { scope } = &failure.kind {
            let known = self.frozen.replace(scope.clone());
            return (known.as_ref() != Some(scope))
                .then(|| degraded(&spec.source, &spec.name, &BTreeSet::new(), Some(scope)));
        }
        self.failures += 1;
        let refused = failure.kind == FailureKind::Unauthorized;
        health.failed(&spec.source, &spec.name, self.failures, refused)
    }

    /// What was missed and is shown by any look is not missing; what is left of a loss may be believable.
    fn found_again(&mut self, shown: &BTreeSet<String>) {
        let before = self.missed.len();
        self.missed.retain(|key| !shown.contains(key));
        if let Some(told) = self.hold.as_mut().and_then(|hold| hold.told.as_mut()) {
            told.retain(|key| !shown.contains(key));
        }
        let stays = self.hold.as_ref().is_some_and(|hold| !hold.kept().is_empty());
        if self.missed.len() < before && self.missed.len() <= self.believable() && !stays {
            self.hold = None;
        }
    }

    /// Removals that need nobody's word. That more is known by now makes nothing believable that somebody was told of.
    fn believable(&self) -> usize {
        let told_of = self.hold.as_ref().filter(|hold| hold.told.is_some()).map(|hold| hold.known);
        5.max(told_of.map_or(self.rows.len(), |known| known.min(self.rows.len())) / 10)
    }

    /// Two complete looks in a row must miss a record; too large a loss waits for a person.
    fn removals(&mut self, spec: &CollectionSpec, look: &Look, shown: &BTreeSet<String>) -> Vec<Fact> {
        let known = self.rows.len();
        let missing: BTreeSet<String> = self.rows.keys().filter(|k| !shown.contains(*k)).cloned().collect();
        let twice: BTreeSet<String> = missing.intersection(&self.missed).cloned().collect();
        let emptied = look.rows == 0 && known > 0;
        self.missed.clone_from(&missing);
        if !emptied && missing.len() <= self.believable() {
            let mut kept = self.hold.as_ref().map(Hold::kept).unwrap_or_default();
            kept.retain(|key| missing.contains(key));
            match &mut self.hold {
                Some(hold) if !kept.is_empty() => hold.told = Some(kept.clone()),
                hold => *hold = None,
            }
            return self.remove(spec, &twice.difference(&kept).cloned().collect());
        }
        if let Some(told) = self.hold.as_mut().and_then(|hold| hold.told.as_mut()) {
            told.retain(|key| twice.contains(key));
        }
        let other = |h: &Hold| h.rejected && h.told.as_ref().is_some_and(|told| *told != missing);
        if self.hold.as_ref().is_some_and(|h| other(h) || h.told.as_ref().is_some_and(BTreeSet::is_empty)) {
            self.hold = None;
        }
        let hold = self.hold.get_or_insert_default();
        hold.looks += 1;
        hold.missing.clone_from(&missing);
        if hold.looks < 2 || hold.told.is_some() || twice.is_empty() {
            return Vec::new();
        }
        let count = twice.len();
        (hold.told, hold.known) = (Some(twice), known);
        let detail = detail_of(&[("collection", json!(spec.name)), ("count", json!(count)), ("known", json!(known))]);
        vec![Fact::new("source.change_held", &spec.source, &spec.source, Severity::Warning, &detail)]
    }

    /// Takes records away, with a word for each.
    pub fn remove(&mut self, spec: &CollectionSpec, keys: &BTreeSet<String>) -> Vec<Fact> {
        let mut facts = Vec::new();
        for key in keys {
            self.missed.remove(key);
            let Some(row) = self.rows.remove(key) else { continue };
            if let Some(kind) = &spec.events.deleted {
                facts.push(self.told(spec, kind, key, Some(&row.kept), None, &[]));
            }
        }
        facts
    }
}

/// Changed fields by the event they make.
fn grouped(
    spec: &CollectionSpec,
    before: &Fields,
    after: &Fields,
    changed: &[String],
) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for field in changed {
        let fits = |want: &Option<Value>, have: Option<&Value>| want.is_none() || want.as_ref() == have;
        let rule = spec.events.updated.iter().find(|rule| {
            rule.field.as_ref().is_none_or(|f| f == field)
                && fits(&rule.from, before.get(field))
                && fits(&rule.to, after.get(field))
        });
        if let Some(kind) = rule.and_then(|r| r.event.clone()) {
            groups.entry(kind).or_default().push(field.clone());
        }
    }
    groups
}
