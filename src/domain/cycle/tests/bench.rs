//! What `plan` works on, in maps: loads what is needed, applies what is planned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::Value;

use crate::domain::collection::{
    CollectionId, CollectionSpec, CollectionState, EventNames, LookNotes, Role, UpdateRule,
};
use crate::domain::cycle::{self, Command, Input, Known, Needs, Plan, Settled, SweepEnd, Waiting, World};
use crate::domain::delivery::{Delivery, Outcome, Report};
use crate::domain::diff::Match;
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::StoredEvent;
use crate::domain::record::{Evidence, Failure, FailureKind, Page, Record, Rows, StoredRow, key_hash};
use crate::domain::retry::RetryPolicy;
use crate::domain::routing::Route;
use crate::domain::spend::DaySpend;
use crate::domain::sweep::{Missing, SAMPLE, believable};
use crate::domain::time::{SignedDuration, Timestamp, plus};
use crate::domain::timing;

/// Held rows handed out at once.
const HELD: usize = 7;

pub struct Bench {
    pub world: World,
    pub now: Timestamp,
    pub docs: BTreeMap<DocKey, (u64, Arc<Doc>)>,
    pub rows: BTreeMap<CollectionId, BTreeMap<String, StoredRow>>,
    pub ledger: BTreeMap<(String, Date), Arc<DaySpend>>,
    pub events: Vec<StoredEvent>,
    pub deliveries: BTreeMap<String, Delivery>,
    /// By sink and room: what waits there.
    pub waiting: BTreeMap<(String, String), Vec<(u64, StoredEvent)>>,
    missed: BTreeMap<CollectionId, Vec<u64>>,
    announced: BTreeMap<CollectionId, Vec<u64>>,
    shown: BTreeSet<String>,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            world: world(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            docs: BTreeMap::new(),
            rows: BTreeMap::new(),
            ledger: BTreeMap::new(),
            events: Vec::new(),
            deliveries: BTreeMap::new(),
            waiting: BTreeMap::new(),
            missed: BTreeMap::new(),
            announced: BTreeMap::new(),
            shown: BTreeSet::new(),
        }
    }

    pub fn later(&mut self, secs: i64) {
        self.now = plus(self.now, SignedDuration::from_secs(secs));
    }

    /// One step: the plan, applied.
    pub fn step(&mut self, input: &Input) -> Plan {
        let mut needs = cycle::needs(&self.world, self.now, input);
        loop {
            let known = self.load(&needs, input);
            let plan = cycle::plan(&self.world, self.now, &known, input);
            if !needs.extend_by(&plan) {
                self.apply(&plan);
                return plan;
            }
        }
    }

    fn load(&mut self, needs: &Needs, input: &Input) -> Known {
        let mut known = Known::default();
        for key in &needs.docs {
            let found = self.docs.get(key).map_or((0, None), |(v, d)| (*v, Some(Arc::clone(d))));
            known.docs.0.insert(key.clone(), found);
        }
        for (source, from, to) in &needs.ledger {
            for ((s, day), spend) in self.ledger.iter().filter(|((s, d), _)| s == source && from <= d && d <= to) {
                known.ledger.put(s, *day, Arc::clone(spend));
            }
            known.ledger.loaded_from(source, *from);
        }
        if let Input::Page { spec, page: Page { rows: Rows::Records(records), .. } } = input {
            let stored = self.rows.entry(spec.id()).or_default();
            self.shown.extend(records.iter().map(|r| r.key.clone()));
            known.matches = records.iter().map(|r| matched(stored.get(&r.key), r)).collect();
        }
        if let Some(id) = &needs.missing {
            known.missing = Some(self.missing(id, needs.missed_once));
        }
        if let Some(id) = &needs.held_rows {
            let told = self.announced.get(id).cloned().unwrap_or_default();
            let missed = self.live(id).filter(|r| self.was_missed(id, &r.key)).cloned();
            let (rows, others): (Vec<StoredRow>, Vec<_>) = missed.partition(|r| told.contains(&key_hash(&r.key)));
            known.also_missed = others.iter().map(|r| key_hash(&r.key)).collect();
            known.held_more = rows.len() > HELD;
            known.held_rows = rows.into_iter().take(HELD).collect();
        }
        for (sink, room) in &needs.rooms {
            let waiting = self.waiting.get(&(sink.clone(), room.clone())).cloned();
            known.rooms.insert(room.clone(), waiting.unwrap_or_default());
        }
        for (sink, subject) in &needs.waiting {
            let at_sink = self.waiting.iter().filter(|((s, room), _)| s == sink && timing::keeps_order(room));
            let all = at_sink.flat_map(|((_, room), list)| list.iter().map(move |(seq, event)| (*seq, room, event)));
            let mut found: Vec<Waiting> = all
                .filter(|(_, _, stored)| stored.event.subject == *subject)
                .map(|(seq, room, event)| Waiting { seq, room: room.clone(), event: event.clone() })
                .collect();
            found.sort_by_key(|waiting| waiting.seq);
            known.waiting.insert((sink.clone(), subject.clone()), found);
        }
        for id in &needs.deliveries {
            known.deliveries.extend(self.deliveries.get(id).map(|d| (id.clone(), d.clone())));
        }
        known
    }

    fn live(&self, id: &CollectionId) -> impl Iterator<Item = &StoredRow> {
        self.rows.get(id).into_iter().flat_map(BTreeMap::values).filter(|r| !r.gone)
    }

    fn was_missed(&self, id: &CollectionId, key: &str) -> bool {
        self.missed.get(id).is_some_and(|m| m.contains(&key_hash(key)))
    }

    fn missing(&self, id: &CollectionId, once: bool) -> Missing {
        let rows: Vec<&StoredRow> = self.live(id).filter(|r| !self.shown.contains(&r.key)).collect();
        let known = self.live(id).count() as u64;
        let mut now: Vec<u64> = rows.iter().map(|r| key_hash(&r.key)).collect();
        now.sort_unstable();
        let twice: Vec<&&StoredRow> = rows.iter().filter(|r| once || self.was_missed(id, &r.key)).collect();
        let most = if twice.len() as u64 <= believable(known) { twice.len() } else { SAMPLE };
        let mut before = self.missed.get(id).cloned().unwrap_or_default();
        before.sort_unstable();
        let announced = self.announced.get(id).cloned().unwrap_or_default();
        Missing { now, before, announced, known, rows: twice.into_iter().take(most).map(|r| (*r).clone()).collect() }
    }

    fn apply(&mut self, plan: &Plan) {
        for (key, expected) in &plan.expect {
            assert_eq!(self.docs.get(key).map_or(0, |(v, _)| *v), *expected, "{key}");
        }
        for (key, doc) in &plan.docs {
            let version = self.docs.get(key).map_or(0, |(v, _)| *v) + 1;
            self.docs.insert(key.clone(), (version, Arc::clone(doc)));
        }
        if let Some(id) = &plan.collection {
            let rows = self.rows.entry(id.clone()).or_default();
            if plan.clear_rows {
                rows.clear();
                self.missed.remove(id);
                self.announced.remove(id);
            }
            rows.extend(plan.rows.iter().map(|r| (r.key.clone(), r.clone())));
            if let Some(missed) = &plan.missed {
                self.missed.insert(id.clone(), missed.clone());
            }
            if let Some(announced) = &plan.announced {
                self.announced.insert(id.clone(), announced.clone());
            }
        }
        if let Some(source) = &plan.clear_spend {
            self.ledger.retain(|(s, _), _| s != source);
        }
        self.ledger.extend(plan.spend.iter().map(|(k, v)| (k.clone(), Arc::clone(v))));
        self.events.extend(plan.events.iter().cloned());
        for wait in &plan.waits {
            let (seq, event) = self.events.iter().enumerate().rfind(|(_, e)| e.event.id == wait.event).unwrap();
            let room = self.waiting.entry((wait.sink.clone(), wait.room.clone())).or_default();
            room.push((seq as u64, event.clone()));
        }
        for (sink, room, gone) in &plan.released {
            let room = self.waiting.entry((sink.clone(), room.clone())).or_default();
            room.retain(|(seq, _)| !gone.contains(seq));
        }
        let settled = plan.settled.iter().chain(&plan.noted).map(|(_, d)| d);
        for delivery in plan.deliveries.iter().chain(settled).chain(&plan.changed) {
            self.deliveries.insert(delivery.id.clone(), delivery.clone());
        }
    }

    pub fn begin(&mut self, spec: &Arc<CollectionSpec>) -> u32 {
        self.shown.clear();
        self.step(&Input::Begin { spec: Arc::clone(spec) });
        self.collection(spec).epoch
    }

    pub fn page(&mut self, spec: &Arc<CollectionSpec>, page: Page) -> Plan {
        self.step(&Input::Page { spec: Arc::clone(spec), page })
    }

    pub fn end(&mut self, spec: &Arc<CollectionSpec>, epoch: u32, evidence: Evidence, notes: LookNotes) -> Plan {
        self.step(&Input::SweepEnd(Box::new(SweepEnd { notes, ..ended(spec, epoch, evidence) })))
    }

    /// A look that had nothing to ask. Returns what was told.
    pub fn idle(&mut self, spec: &Arc<CollectionSpec>) -> Vec<String> {
        self.later(60);
        let before = self.events.len();
        let epoch = self.begin(spec);
        self.step(&Input::SweepEnd(Box::new(SweepEnd { idle: true, ..ended(spec, epoch, Evidence::Window) })));
        self.told_since(before)
    }

    /// A whole look of these pages. Returns what was told, in order.
    pub fn look(&mut self, spec: &Arc<CollectionSpec>, pages: Vec<Rows>, evidence: Evidence) -> Vec<String> {
        self.later(60);
        let before = self.events.len();
        let epoch = self.begin(spec);
        let mut notes = LookNotes::default();
        for rows in pages {
            cycle::add_notes(&mut notes, self.page(spec, Page::of(rows)).notes);
        }
        self.end(spec, epoch, evidence, notes);
        self.told_since(before)
    }

    pub fn told_since(&self, before: usize) -> Vec<String> {
        self.events[before..].iter().map(|e| format!("{} {}", e.event.kind, e.event.subject)).collect()
    }

    /// A complete look at these records.
    pub fn sweep(&mut self, spec: &Arc<CollectionSpec>, records: &[Record]) -> Vec<String> {
        let pages = records.chunks(50).map(|c| Rows::Records(c.to_vec())).collect();
        self.look(spec, pages, Evidence::Complete)
    }

    /// A look that fails before it shows anything.
    pub fn fail(&mut self, spec: &Arc<CollectionSpec>, kind: FailureKind) -> Vec<String> {
        self.look(spec, Vec::new(), Evidence::Partial(Failure { message: format!("{kind:?}"), kind }))
    }

    pub fn command(&mut self, command: Command) -> Result<(Vec<String>, bool), String> {
        self.later(1);
        let before = self.events.len();
        let plan = self.step(&Input::Command(command));
        plan.answer.clone().unwrap().map(|_| (self.told_since(before), plan.more))
    }

    /// An attempt at a delivery ends.
    pub fn settle(&mut self, delivery: &str, outcome: Outcome) -> Vec<String> {
        self.later(1);
        let before = self.events.len();
        self.step(&Input::Settled(vec![self.outcome(delivery, outcome)]));
        self.told_since(before)
    }

    pub fn outcome(&self, delivery: &str, outcome: Outcome) -> Settled {
        Settled {
            delivery: self.deliveries[delivery].clone(),
            claim: 1,
            report: Report::new(outcome, Some(500), "said no\nand more"),
            started: self.now,
            policy: RetryPolicy::default(),
            unit: 0.5,
        }
    }

    pub fn collection(&self, spec: &CollectionSpec) -> CollectionState {
        match self.docs.get(&DocKey::Collection(spec.id())).map(|(_, d)| d.as_ref()) {
            Some(Doc::Collection(state)) => state.clone(),
            _ => CollectionState::default(),
        }
    }

    pub fn last_event(&self) -> &StoredEvent {
        self.events.last().unwrap()
    }

    /// Deliveries of the newest event: sink to id.
    pub fn sinks_of_last(&self) -> BTreeMap<String, String> {
        let id = &self.last_event().event.id;
        let of_it = self.deliveries.values().filter(|d| d.event_ids.contains(id));
        of_it.map(|d| (d.sink.clone(), d.id.clone())).collect()
    }
}

fn matched(stored: Option<&StoredRow>, record: &Record) -> Match {
    match stored {
        None => Match::New,
        Some(row) if !row.gone && row.print == record.fingerprint() => Match::Same,
        Some(row) => Match::Known(Box::new(row.clone())),
    }
}

/// Everything but the bridge's own health goes to `a` and `b`.
fn world() -> World {
    let globs = ["thread.*", "budget.*", "cost.*"];
    World {
        bridge: "b".into(),
        routes: vec![Route {
            events: globs.map(str::to_owned).to_vec(),
            sinks: vec!["a".into(), "b".into()],
            ..Route::default()
        }],
        sinks: vec!["a".into(), "b".into(), "c".into()],
        sources: vec!["acme".into(), "files".into()],
        ..World::default()
    }
}

pub fn threads() -> CollectionSpec {
    let rule = |field: Option<&str>, event: Option<&str>| UpdateRule {
        field: field.map(Into::into),
        event: event.map(Into::into),
        ..UpdateRule::default()
    };
    CollectionSpec {
        source: "acme".into(),
        name: "threads".into(),
        role: Role::Record,
        fingerprint: "v1".into(),
        noun: "thread".into(),
        events: EventNames {
            created: Some("thread.created".into()),
            updated: vec![rule(Some("secret"), None), rule(None, Some("thread.updated"))],
            deleted: Some("thread.deleted".into()),
            severities: BTreeMap::new(),
        },
        ..CollectionSpec::default()
    }
}

pub fn collection(source: &str, name: &str, role: Role) -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        source: source.into(),
        name: name.into(),
        role,
        fingerprint: "v1".into(),
        ..CollectionSpec::default()
    })
}

/// A record of these fields.
pub fn record(key: &str, fields: &[(&str, Value)]) -> Record {
    Record {
        key: key.into(),
        fields: fields.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect(),
        ..Record::default()
    }
}

/// `T-00`, `T-01`, … with a title.
pub fn titled(keys: std::ops::Range<usize>) -> Vec<Record> {
    keys.map(|n| record(&format!("T-{n:02}"), &[("title", "x".into())])).collect()
}

fn ended(spec: &Arc<CollectionSpec>, epoch: u32, evidence: Evidence) -> SweepEnd {
    SweepEnd {
        spec: Arc::clone(spec),
        epoch,
        evidence,
        idle: false,
        notes: LookNotes::default(),
        cursor: None,
        quota: None,
        confirmed: BTreeSet::new(),
    }
}
