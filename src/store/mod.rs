//! What ampbridge remembers, behind one semantic trait.
//!
//! Invariants: a plan is committed whole or not at all; nothing is claimed before the commit that made it is durable;
//! an event id is stored once. Nothing outside this folder knows the engine.

mod codec;
pub mod engine;
mod keys;
mod kv;
mod marker;
pub mod memory;
pub mod outbox;
pub mod sled;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::collection::CollectionId;
use crate::domain::cycle::{self, Input, Known, Needs, Plan, World};
use crate::domain::delivery::Delivery;
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::StoredEvent;
use crate::domain::health::SinkState;
use crate::domain::record::{Record, StoredRow};
use crate::domain::setting::Span;
use crate::domain::time::Timestamp;

/// The `[store]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The storage engine.
    pub engine: EngineKind,
    /// Folder of the store; relative paths count from the config file.
    pub path: PathBuf,
    /// What a commit survives.
    pub sync: Sync,
    /// How long an event and its deliveries are kept once every sink is done with it. At least 35 days: longer than
    /// the longest budget period and the last retry.
    pub keep: Span,
    /// How long a delivery that was given up is kept, with its events.
    pub keep_dead: Span,
    /// Of more events than these the oldest go sooner, once every sink is done with them.
    pub keep_events: u64,
}

/// The shortest [`StoreConfig::keep`]: no event may be forgotten while the same fact could be seen again.
pub const KEEP_AT_LEAST: SignedDuration = SignedDuration::from_hours(35 * 24);
const KEEP: SignedDuration = SignedDuration::from_hours(90 * 24);
const KEEP_DEAD: SignedDuration = SignedDuration::from_hours(365 * 24);
const KEEP_EVENTS: u64 = 1_000_000;

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            engine: EngineKind::Sled,
            path: "ampbridge-data".into(),
            sync: Sync::Power,
            keep: Span(KEEP),
            keep_dead: Span(KEEP_DEAD),
            keep_events: KEEP_EVENTS,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    #[default]
    Sled,
}

/// What a commit survives: a killed process, or a power cut too (slower by one `fdatasync` per group of commits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    #[default]
    Power,
    Process,
}

/// Why the store can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store {path} is in use by {holder}; stop that process, or use its admin API")]
    InUse { path: PathBuf, holder: String },
    #[error("the store {path} can't be opened: {reason}")]
    Open { path: PathBuf, reason: String },
    #[error(
        "the store {path} is damaged: {reason}. Nothing was changed. Restore the folder from a backup, or move it away and start anew with `ampbridge state import` of an export"
    )]
    Corrupt { path: PathBuf, reason: String },
    #[error(
        "the store {path} was written by a newer ampbridge (format {found}, this one reads up to {known}); use that version"
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error(
        "the store can't be written: {0}. Nothing observed is lost: what was not committed is read again at the next start"
    )]
    Write(String),
    #[error("the store can't be read: {0}")]
    Read(String),
    #[error("someone else changed {0} in between")]
    Conflict(String),
    #[error("import: {0}")]
    Import(String),
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The number of a commit; [`Store::durable`] waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Records a page brought, to be matched with what is known. Matching marks them as shown by the running look.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    pub collection: &'a CollectionId,
    pub records: &'a [Record],
}

/// A delivery under lease, with the events it carries.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub claim: u64,
    pub delivery: Delivery,
    /// Without why they were made and where they were routed.
    pub events: Vec<Arc<StoredEvent>>,
    /// Something urgent waits behind it on its subject.
    pub pressed: bool,
}

/// What to list. Empty fields match everything; newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventFilter {
    /// Glob on the type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub source: Option<String>,
    pub subject: Option<String>,
    pub since: Option<Timestamp>,
    pub limit: Option<usize>,
}

/// The states deliveries are listed by.
pub const LISTED_STATES: [&str; 5] = ["due", "leased", "delivered", "dead", "suppressed"];

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryFilter {
    pub sink: Option<String>,
    /// One of [`LISTED_STATES`].
    pub state: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub limit: Option<usize>,
}

/// A delivery as listed: with whether it is leased right now.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub delivery: Delivery,
    pub leased: bool,
    /// It waits for an older one about the same.
    pub behind: bool,
}

impl Listed {
    /// One of [`LISTED_STATES`].
    pub fn state(&self) -> &'static str {
        if self.leased { "leased" } else { self.delivery.state.as_str() }
    }
}

/// Counts for `state show`, health and metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Overview {
    pub path: Option<PathBuf>,
    pub format: u32,
    pub commit: u64,
    pub events: u64,
    pub open_deliveries: u64,
}

/// What is not to be let go of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// Events seen, and deliveries ended, at or after this.
    pub since: Timestamp,
    /// Dead deliveries ended at or after this, with their events.
    pub dead_since: Timestamp,
    /// As many of the newest events; older ones may go before their time.
    pub newest: u64,
    /// Events that open incidents name.
    pub events: BTreeSet<String>,
}

/// What was let go of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub events: u64,
    pub deliveries: u64,
    /// There is more; ask again.
    pub more: bool,
}

/// How deliveries of one sink stand, from memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    pub waiting: usize,
    pub leased: usize,
    /// Of those that wait: an attempt was made and did not get through.
    pub retrying: usize,
}

/// The store. Implementations pass `tests/store_conformance.rs`.
#[async_trait]
pub trait Store: Send + std::marker::Sync {
    /// Everything [`crate::domain::cycle::needs`] asked for.
    async fn load(&self, needs: &Needs, probe: Option<Probe<'_>>) -> Result<Known>;
    /// A look at a collection begins: nothing of it has been shown yet.
    async fn begin_look(&self, collection: &CollectionId) -> Result<()>;
    /// Applies a plan in one transaction; [`StoreError::Conflict`] where a document it was made from has changed.
    async fn commit(&self, plan: &Plan) -> Result<Ticket>;
    /// Waits until a commit survives what `store.sync` says.
    async fn durable(&self, ticket: Ticket) -> Result<()>;

    /// Takes up to `limit` deliveries that are due, oldest first, one at a time per subject.
    async fn claim(&self, sink: &str, now: Timestamp, limit: usize, lease: SignedDuration) -> Result<Vec<Claimed>>;
    /// Gives claims back unsent.
    async fn release(&self, sink: &str, claims: &[u64]) -> Result<()>;
    /// When the next delivery of the sink is due that is neither leased nor held back.
    async fn next_due(&self, sink: &str) -> Result<Option<Timestamp>>;
    /// Changes whenever deliveries may have become claimable.
    fn wakeups(&self) -> tokio::sync::watch::Receiver<u64>;
    async fn depth(&self, sink: &str) -> Result<QueueDepth>;
    /// The same of every sink for which something waits, whether it is still configured or not.
    async fn queues(&self) -> Result<BTreeMap<String, QueueDepth>>;
    /// One holder polls a source at a time, for `ttl`; true where it is (still) this one.
    async fn hold_source(&self, source: &str, holder: &str, now: Timestamp, ttl: SignedDuration) -> Result<bool>;

    async fn doc(&self, key: &DocKey) -> Result<Option<Arc<Doc>>>;
    /// Documents whose key text begins with `prefix`.
    async fn docs(&self, prefix: &str) -> Result<Vec<(DocKey, Arc<Doc>)>>;
    async fn reference(&self, sink: &str, incident: &str) -> Result<Option<Value>>;
    async fn event(&self, id: &str) -> Result<Option<StoredEvent>>;
    async fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>>;
    async fn delivery(&self, id: &str) -> Result<Option<Listed>>;
    async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<Listed>>;
    async fn deliveries_of(&self, event_id: &str) -> Result<Vec<Listed>>;
    /// Where an event waits for others or for its time: sink and room.
    async fn waits_of(&self, event_id: &str) -> Result<Vec<(String, String)>>;
    /// What waits in a room, oldest first.
    async fn waiting_in(&self, sink: &str, room: &str, limit: usize) -> Result<Vec<StoredEvent>>;
    /// Live rows of a collection, by key, up to `limit`.
    async fn rows(&self, collection: &CollectionId, limit: usize) -> Result<Vec<StoredRow>>;
    async fn overview(&self) -> Result<Overview>;
    /// Lets go of what is old and done with, a bounded number at a time.
    async fn prune(&self, keep: &Keep) -> Result<Pruned>;

    /// Writes everything as versioned JSON Lines.
    async fn export(&self, out: Box<dyn Write + Send>) -> Result<u64>;
    /// Reads an export into this store, which must be empty. All or nothing.
    async fn import(&self, lines: Box<dyn BufRead + Send>) -> Result<u64>;
    /// Flushes and gives everything back.
    async fn close(&self) -> Result<()>;
}

/// Loads what an input needs and plans it; anew with what the plan finds lacking.
pub async fn plan(
    store: &dyn Store,
    world: &World,
    now: Timestamp,
    input: &Input,
    probe: Option<Probe<'_>>,
) -> Result<Plan> {
    let mut needs = cycle::needs(world, now, input);
    loop {
        let known = store.load(&needs, probe).await?;
        let plan = cycle::plan(world, now, &known, input);
        if !needs.extend_by(&plan) {
            return Ok(plan);
        }
    }
}

/// How a sink stands; as at its beginning where nothing is known of it.
pub async fn sink_state(store: &dyn Store, sink: &str) -> Result<SinkState> {
    match store.doc(&DocKey::Sink(sink.to_owned())).await?.as_deref() {
        Some(Doc::Sink(state)) => Ok(state.clone()),
        _ => Ok(SinkState::default()),
    }
}

/// Sinks for which something waits and which are not among `known`, the configured ones: nothing will send it.
pub async fn gone_sinks<'a>(
    store: &dyn Store,
    known: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, QueueDepth>> {
    let mut queues = store.queues().await?;
    for sink in known {
        queues.remove(sink);
    }
    Ok(queues)
}

/// Opens the configured store, taking over whatever its last owner left.
pub fn open(config: &StoreConfig, path: &Path, note: &str) -> Result<Arc<dyn Store>> {
    match config.engine {
        EngineKind::Sled => Ok(Arc::new(sled::open(path, config.sync, note)?)),
    }
}
