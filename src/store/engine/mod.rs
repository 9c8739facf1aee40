//! The store over any ordered key-value space: one writer at a time, group commit, deliveries published once durable.

mod commit;
mod export;
mod flusher;
mod ledger;
mod migrate;
mod prune;
mod read;
mod rows;
mod segments;
mod spend_cache;
mod stored_doc;
mod waits;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::kv::Kv;
use super::outbox::Outbox;
use super::{
    Claimed, DeliveryFilter, EventFilter, Keep, Listed, Overview, Probe, Pruned, QueueDepth, Result, Store, StoreError,
    Ticket, codec, keys,
};
use crate::domain::collection::CollectionId;
use crate::domain::cycle::{Known, Needs, Plan};
use crate::domain::delivery::Delivery;
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::StoredEvent;
use crate::domain::record::StoredRow;
use crate::domain::time::{Timestamp, plus};
use ledger::Ledger;
use rows::RowIndex;
use spend_cache::SpendCache;
use stored_doc::StoredDoc;
use waits::Waits;

/// The format this version writes, and the newest it reads. Older ones are migrated forward when opened.
pub const FORMAT: u32 = 2;

/// What is stored under the meta key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub format: u32,
    /// The format it is being brought forward from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u32>,
    pub commit: u64,
    pub next_event: u64,
    pub next_delivery: u64,
}

impl Default for Meta {
    fn default() -> Self {
        Self { format: FORMAT, from: None, commit: 0, next_event: 1, next_delivery: 1 }
    }
}

/// The engine. Cheap to clone; all clones are one store.
pub struct Engine<K: Kv>(Arc<Shared<K>>);

impl<K: Kv> Clone for Engine<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<K: Kv> {
    kv: K,
    /// One writer at a time; also guards everything in memory. Held for microseconds to a few milliseconds.
    state: Mutex<State>,
    flusher: flusher::Flusher,
    wakeups: watch::Sender<u64>,
}

struct State {
    meta: Meta,
    docs: BTreeMap<DocKey, (u64, Arc<Doc>)>,
    indexes: HashMap<CollectionId, RowIndex>,
    spend: SpendCache,
    ledger: Ledger,
    outbox: Outbox,
    waits: Waits,
    /// New deliveries whose commit is not durable yet.
    unpublished: Vec<(u64, Delivery)>,
    /// A failed write leaves memory and disk in doubt: nothing more is done.
    broken: Option<String>,
}

impl<K: Kv> Engine<K> {
    /// Reads what must be in memory and starts the flusher.
    pub fn open(kv: K) -> Result<Self> {
        let mut meta = match kv.get(keys::META)? {
            Some(bytes) => codec::decode::<Meta>(&bytes, "the store's description")?,
            None => Meta::default(),
        };
        if meta.format > FORMAT {
            let path = kv.path().unwrap_or_default();
            return Err(StoreError::Newer { path, found: meta.format, known: FORMAT });
        }
        migrate::forward(&kv, &mut meta)?;
        let mut outbox = Outbox::default();
        let ledger = Ledger::load(&kv, |delivery| outbox.insert(delivery))?;
        let mut state = State {
            meta,
            docs: BTreeMap::new(),
            indexes: HashMap::new(),
            spend: SpendCache::default(),
            ledger,
            outbox,
            waits: Waits::load(&kv)?,
            unpublished: Vec::new(),
            broken: None,
        };
        scan_all(&kv, keys::DOCS, |key, value| {
            let text = String::from_utf8_lossy(&key[keys::DOCS.len()..]).into_owned();
            let key: DocKey = text.parse().map_err(|e| StoreError::Read(format!("{e}")))?;
            let stored: StoredDoc<Doc> = codec::decode(value, &text)?;
            state.docs.insert(key, (stored.v, Arc::new(stored.doc)));
            Ok(())
        })?;
        let commit = state.meta.commit;
        let shared = Arc::new(Shared {
            kv,
            state: Mutex::new(state),
            flusher: flusher::Flusher::new(commit),
            wakeups: watch::channel(0).0,
        });
        flusher::start(&shared)?;
        Ok(Self(shared))
    }
}

impl<K: Kv> Shared<K> {
    /// The state, unless a write has failed.
    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.broken {
            Some(why) => Err(StoreError::Write(why.clone())),
            None => Ok(state),
        }
    }

    fn wake(&self) {
        self.wakeups.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// Visits every value of a family; the first error ends it.
fn scan_all(kv: &dyn Kv, prefix: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    let mut failed = None;
    kv.scan(prefix, &mut |key, value| match visit(key, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

#[async_trait]
impl<K: Kv> Store for Engine<K> {
    async fn load(&self, needs: &Needs, probe: Option<Probe<'_>>) -> Result<Known> {
        self.0.load(needs, probe)
    }

    async fn begin_look(&self, collection: &CollectionId) -> Result<()> {
        let mut state = self.0.lock()?;
        state.index(&self.0.kv, collection)?.begin_look();
        Ok(())
    }

    async fn commit(&self, plan: &Plan) -> Result<Ticket> {
        self.0.commit(plan)
    }

    async fn durable(&self, ticket: Ticket) -> Result<()> {
        self.0.flusher.wait(ticket).await
    }

    async fn claim(&self, sink: &str, now: Timestamp, limit: usize, lease: SignedDuration) -> Result<Vec<Claimed>> {
        self.0.claim(sink, now, limit, plus(now, lease))
    }

    async fn release(&self, sink: &str, claims: &[u64]) -> Result<()> {
        let mut state = self.0.lock()?;
        for claim in claims {
            state.outbox.release(sink, *claim);
        }
        drop(state);
        self.0.wake();
        Ok(())
    }

    async fn next_due(&self, sink: &str) -> Result<Option<Timestamp>> {
        Ok(self.0.lock()?.outbox.next_due(sink))
    }

    fn wakeups(&self) -> watch::Receiver<u64> {
        self.0.wakeups.subscribe()
    }

    async fn depth(&self, sink: &str) -> Result<QueueDepth> {
        Ok(self.0.lock()?.outbox.depth(sink))
    }

    async fn queues(&self) -> Result<BTreeMap<String, QueueDepth>> {
        Ok(self.0.lock()?.outbox.queues())
    }

    async fn hold_source(&self, _: &str, _: &str, _: Timestamp, _: SignedDuration) -> Result<bool> {
        // One process owns the whole store, and its poller never looks twice at once.
        Ok(true)
    }

    async fn doc(&self, key: &DocKey) -> Result<Option<Arc<Doc>>> {
        Ok(self.0.lock()?.docs.get(key).map(|(_, doc)| Arc::clone(doc)))
    }

    async fn docs(&self, prefix: &str) -> Result<Vec<(DocKey, Arc<Doc>)>> {
        let state = self.0.lock()?;
        let matching = state.docs.iter().filter(|(key, _)| key.to_string().starts_with(prefix));
        Ok(matching.map(|(key, (_, doc))| (key.clone(), Arc::clone(doc))).collect())
    }

    async fn reference(&self, sink: &str, incident: &str) -> Result<Option<Value>> {
        match self.0.kv.get(&keys::reference(sink, incident))? {
            Some(bytes) => Ok(Some(codec::decode(&bytes, "a reference")?)),
            None => Ok(None),
        }
    }

    async fn event(&self, id: &str) -> Result<Option<StoredEvent>> {
        self.0.event(id)
    }

    async fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>> {
        self.0.events(filter)
    }

    async fn delivery(&self, id: &str) -> Result<Option<Listed>> {
        self.0.delivery(id)
    }

    async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<Listed>> {
        self.0.deliveries(filter)
    }

    async fn deliveries_of(&self, event_id: &str) -> Result<Vec<Listed>> {
        self.0.deliveries_of(event_id)
    }

    async fn waits_of(&self, event_id: &str) -> Result<Vec<(String, String)>> {
        self.0.waits_of(event_id)
    }

    async fn waiting_in(&self, sink: &str, room: &str, limit: usize) -> Result<Vec<StoredEvent>> {
        Ok(self.0.waiting_in(sink, room, limit)?.into_iter().map(|(_, event)| event).collect())
    }

    async fn rows(&self, collection: &CollectionId, limit: usize) -> Result<Vec<StoredRow>> {
        let mut rows = Vec::new();
        self.0.each_row(collection, |row| {
            if !row.gone {
                rows.push(row);
            }
            Ok(())
        })?;
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn overview(&self) -> Result<Overview> {
        let state = self.0.lock()?;
        Ok(Overview {
            path: self.0.kv.path(),
            format: state.meta.format,
            commit: state.meta.commit,
            events: state.meta.next_event - 1,
            open_deliveries: (state.outbox.waiting() + state.unpublished.len()) as u64,
        })
    }

    async fn prune(&self, keep: &Keep) -> Result<Pruned> {
        let (shared, keep) = (Arc::clone(&self.0), keep.clone());
        blocking(move || shared.prune(&keep)).await
    }

    async fn export(&self, out: Box<dyn Write + Send>) -> Result<u64> {
        let shared = Arc::clone(&self.0);
        blocking(move || export::write(&shared, out)).await
    }

    async fn import(&self, lines: Box<dyn BufRead + Send>) -> Result<u64> {
        let shared = Arc::clone(&self.0);
        blocking(move || export::read(&shared, lines)).await
    }

    async fn close(&self) -> Result<()> {
        let shared = Arc::clone(&self.0);
        blocking(move || {
            let commit = shared.state.lock().unwrap_or_else(PoisonError::into_inner).meta.commit;
            shared.flusher.stop();
            shared.kv.close(commit)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Read(format!("a store task was cut short: {error}"))),
    }
}
