//! The bridge under test: the real plan, commit, claim and settle, over a store that loses what was not flushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ampbridge::domain::collection::{CollectionId, CollectionState};
use ampbridge::domain::cycle::{Input, Plan};
use ampbridge::domain::doc::{Doc, DocKey};
use ampbridge::domain::record::{Page, Rows};
use ampbridge::domain::time::Timestamp;
use ampbridge::env::{Clock, SeededDice};
use ampbridge::pipeline::Core;
use ampbridge::store::memory::{self, MemoryKv};
use ampbridge::store::{self, Claimed, Probe, Store, StoreError, Ticket};

use crate::setup::Setup;

/// The bridge's clock, set by the story.
#[derive(Debug, Default)]
pub struct SimClock(AtomicI64);

impl SimClock {
    pub fn set(&self, at: Timestamp) {
        self.0.store(i64::try_from(at.as_nanosecond()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.0.load(Ordering::Relaxed))).unwrap()
    }
}

pub struct Bridge {
    kv: MemoryKv,
    core: Core,
    clock: Arc<SimClock>,
}

impl Bridge {
    pub fn open(kv: MemoryKv, setup: &Setup, clock: Arc<SimClock>) -> Self {
        kv.hold_flushes();
        let core = Core {
            store: Arc::new(memory::open(kv.clone()).unwrap()),
            world: Arc::new(setup.world()),
            clock: clock.clone(),
            dice: Arc::new(SeededDice::new(1)),
        };
        Self { kv, core, clock }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn set_clock(&self, at: Timestamp) {
        self.clock.set(at);
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.core.store
    }

    pub async fn step(&self, input: &Input) -> Plan {
        self.core.step(input).await.unwrap().0
    }

    /// Of what was claimed, what may go now.
    pub async fn awake(&self, claimed: Vec<Claimed>) -> Vec<Claimed> {
        self.core.awake(claimed).await.unwrap()
    }

    /// A step up to its commit: as far as it has come when another one gets in between.
    pub async fn prepare(&self, input: &Input) -> Plan {
        let (world, now) = (&self.core.world, self.now());
        let id = match input {
            Input::Page { spec, .. } => spec.id(),
            _ => CollectionId { source: String::new(), name: String::new() },
        };
        let probe = match input {
            Input::Page { page: Page { rows: Rows::Records(records), .. }, .. } => {
                Some(Probe { collection: &id, records })
            }
            _ => None,
        };
        store::plan(self.store().as_ref(), world, now, input, probe).await.unwrap()
    }

    /// What the store says to a plan, where it refuses it. Where it does not, the plan has been committed.
    pub async fn commit(&self, plan: &Plan) -> Option<String> {
        match self.store().commit(plan).await {
            Ok(_) => None,
            Err(StoreError::Conflict(what)) => Some(what),
            Err(error) => panic!("{error}"),
        }
    }

    /// Everything committed so far is durable when this returns.
    pub async fn flush(&self) {
        self.kv.release_flushes();
        let commit = self.core.store.overview().await.unwrap().commit;
        self.core.store.durable(Ticket(commit)).await.unwrap();
        self.kv.hold_flushes();
    }

    /// The process is killed; another one opens what was durable.
    pub fn crash(&mut self, setup: &Setup) {
        *self = Self::open(self.kv.crash(), setup, Arc::clone(&self.clock));
    }

    /// The process ends well; another one starts.
    pub async fn restart(&mut self, setup: &Setup) {
        self.kv.release_flushes();
        self.core.store.close().await.unwrap();
        self.crash(setup);
    }

    pub async fn collection(&self, name: &str) -> CollectionState {
        let (source, name) = name.split_once('/').unwrap();
        let key = DocKey::Collection(CollectionId { source: source.to_owned(), name: name.to_owned() });
        match self.core.store.doc(&key).await.unwrap().as_deref() {
            Some(Doc::Collection(state)) => state.clone(),
            _ => CollectionState::default(),
        }
    }

    pub async fn is_stopped(&self, sink: &str) -> bool {
        let doc = self.core.store.doc(&DocKey::Sink(sink.to_owned())).await.unwrap();
        matches!(doc.as_deref(), Some(Doc::Sink(state)) if state.stopped.is_some())
    }

    /// Keys whose cost was not asked for since they came or were worked on, most recent first.
    pub async fn wanted(&self, source: &str) -> Vec<String> {
        let doc = self.core.store.doc(&DocKey::Wanted(source.to_owned())).await.unwrap();
        let Some(Doc::Wanted(wanted)) = doc.as_deref() else { return Vec::new() };
        let mut keys: Vec<(&String, &String)> =
            wanted.iter().filter(|(_, w)| w.asked.is_none()).map(|(k, w)| (&w.recency, k)).collect();
        keys.sort_unstable_by(|a, b| b.cmp(a));
        keys.into_iter().map(|(_, k)| k.clone()).collect()
    }
}
