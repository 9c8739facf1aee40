//! One collection of one source: its description, and what is known of it between looks.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::Severity;
use super::quota::Quota;
use super::record::key_hash;
use super::spend::Uncounted;
use super::time::{SignedDuration, Timestamp, plus};

/// What kind of rows a collection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Things that change.
    #[default]
    Record,
    /// Money rows.
    Spend,
    /// A level with bands.
    Gauge,
    /// What single things have cost so far.
    Cost,
}

/// What makes a missing record count as deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deletes {
    /// Two successive complete looks miss it.
    #[default]
    TwoSweeps,
    /// A complete look misses it, and its own address answers 404.
    ConfirmGet,
    /// Nothing does.
    Never,
}

/// Which event a change of a watched field makes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateRule {
    /// The field; `None` is any watched field no earlier rule took.
    pub field: Option<String>,
    /// Only when it changes to this value.
    pub to: Option<Value>,
    /// Only when it changes from this value.
    pub from: Option<Value>,
    /// Only when it changes to a value that stands later in this list than the one before.
    pub rising: Vec<String>,
    /// Also when a record that is new already has the value `to`.
    pub at_birth: bool,
    /// Only where nothing else of the change is told: what goes along with every change says nothing beside it.
    pub alone: bool,
    /// Event type; `None` learns the change silently.
    pub event: Option<String>,
}

/// The event types of a record collection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventNames {
    pub created: Option<String>,
    pub updated: Vec<UpdateRule>,
    pub deleted: Option<String>,
    /// Severities that differ from `info`.
    pub severities: BTreeMap<String, Severity>,
}

/// The bands or states of a gauge.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GaugeSpec {
    /// Named lower bounds: at or below `low` the level is `low`. Values are micro-units.
    pub bands: BTreeMap<String, i64>,
    /// States that are good; anything else is bad.
    pub good: Vec<String>,
    pub bad: Vec<String>,
    /// Event types: entered a bad band or state, and back.
    pub events: BTreeMap<String, String>,
}

/// What the engine needs to know of a collection; made by its source.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CollectionSpec {
    pub source: String,
    pub name: String,
    pub role: Role,
    /// Base URL, tenant and key definition. Another fingerprint means a new quiet baseline.
    pub fingerprint: String,
    /// Names whose it is, where the system tells. Another owner means a new quiet baseline, too; one that is not told means
    /// nothing.
    pub owner: Option<String>,
    /// Names the host that is called, without telling it; `None` where nothing is called.
    pub host: Option<String>,
    pub events: EventNames,
    pub deletes: Deletes,
    /// Any loss waits for a person, however small: the system is known to lose data (test workspaces).
    pub hold_all: bool,
    pub gauge: GaugeSpec,
    /// Not every account has it: that it is missing is told once, and is no failure from then on.
    pub optional: bool,
    /// A word for one record: `thread`, `member`.
    pub noun: String,
    /// Another collection of the source, which asks one by one for those records of this one that came or changed.
    pub followed_by: Option<String>,
    /// Its records are asked for one by one, because another collection says that they came or changed: there is no
    /// list of them.
    pub one_by_one: bool,
    /// Where a record says what it may spend itself.
    pub budget: Option<OwnBudget>,
    /// A field whose text digests quote: what a savings report says.
    pub quoted: Option<String>,
}

/// A budget that records carry: `constraints.budget_cents` of a mission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnBudget {
    /// The dimension of money rows whose values are the keys of these records.
    pub dimension: String,
    /// The watched field or fact with the amount.
    pub field: String,
    /// Decimal places between its unit and a dollar.
    pub scale: u32,
}

impl CollectionSpec {
    pub fn id(&self) -> CollectionId {
        CollectionId { source: self.source.clone(), name: self.name.clone() }
    }

    /// Whether a look needs to be told what to ask for.
    pub fn is_asked_one_by_one(&self) -> bool {
        self.one_by_one || self.role == Role::Cost
    }

    /// The document with what is to be asked for, where it is asked for one by one.
    pub fn wanted(&self) -> Option<super::doc::DocKey> {
        match self.role {
            Role::Cost => Some(super::doc::DocKey::Wanted(self.source.clone())),
            _ => self.one_by_one.then(|| super::doc::DocKey::Queue(self.id())),
        }
    }

    /// The event types this collection can make, apart from those about its health.
    pub fn event_types(&self) -> std::collections::BTreeSet<String> {
        let updates = self.events.updated.iter().filter_map(|u| u.event.clone());
        let gauges = self.gauge.events.values().cloned();
        self.events.created.iter().chain(&self.events.deleted).cloned().chain(updates).chain(gauges).collect()
    }
}

/// `source/collection`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CollectionId {
    pub source: String,
    pub name: String,
}

impl std::fmt::Display for CollectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.source, self.name)
    }
}

/// What is known of a collection between looks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CollectionState {
    /// Counts the baselines: part of event ids, so that a reset never reuses one.
    pub epoch: u32,
    pub fingerprint: String,
    /// Whose it was when that was last told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When the quiet baseline was complete; `None` while it is still being read.
    pub baseline: Option<Timestamp>,
    /// Whatever the source wants to find again; from server values only.
    pub cursor: Value,
    /// Live records.
    pub rows: u64,
    pub last_good: Option<Timestamp>,
    pub last_complete: Option<Timestamp>,
    /// Watched fields that some record of this collection has carried.
    pub known_fields: BTreeSet<String>,
    /// Fields that vanished, since when. Told once each, until they are back.
    pub degraded: BTreeMap<String, Timestamp>,
    /// Fields that rows were stored without, and in how many; told at the end of the next look that is not cut short.
    /// Kept here because the rows themselves no longer show that anything is new.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vanishing: BTreeMap<String, u64>,
    /// A right is missing: scope and since when.
    pub frozen: Option<(String, Timestamp)>,
    pub failures: u32,
    pub failing_since: Option<Timestamp>,
    pub last_error: Option<String>,
    pub hold: Option<Hold>,
    /// Whose money the last complete look missed, of which days: hashes, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub money_missed: Vec<u64>,
    /// It was read where something else stood before: any loss waits for a person, however small, until there is none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub doubted: bool,
    /// Rows the last look had to leave out.
    pub quarantined: u64,
    /// Stretches of over an hour without a good look, the newest last.
    pub gaps: Vec<(Timestamp, Timestamp)>,
    /// The host that what follows is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The system asked to be left alone until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What its answers say that it allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
}

/// No system is left alone longer than this because it asked for it. An instant further ahead was written by a clock that
/// has been set back since.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);

impl CollectionState {
    /// As it is at this host: what another one allows, and when it wants to be left alone, is nothing to it.
    #[must_use]
    pub fn at_host(mut self, host: Option<&String>) -> Self {
        if self.host.as_ref() != host {
            self.host = host.cloned();
            self.not_before = None;
            self.quota = None;
        }
        self
    }

    /// Whether what is known is of the place, and the account, that a look at it would be at now.
    pub fn is_of(&self, spec: &CollectionSpec) -> bool {
        let anothers = self.owner.is_some() && spec.owner.is_some() && self.owner != spec.owner;
        self.fingerprint == spec.fingerprint && !anothers
    }

    /// Whether what is known is of another place or account.
    pub fn is_elsewhere(&self, spec: &CollectionSpec) -> bool {
        !self.fingerprint.is_empty() && !self.is_of(spec)
    }

    /// Knowing nothing yet but how the looks have gone, in another epoch.
    #[must_use]
    pub fn anew(self, epoch: u32, fingerprint: String) -> Self {
        let Self { failures, failing_since, last_error, .. } = self;
        Self { epoch, fingerprint, failures, failing_since, last_error, ..Self::default() }
    }

    /// Until when the system wants to be left alone, where that has not passed.
    pub fn asked_to_wait_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.not_before.filter(|at| *at > now && *at <= plus(now, LONGEST_WAIT))
    }
}

/// Removals that wait for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    pub id: String,
    pub opened: Timestamp,
    /// Complete looks in a row with such a loss.
    pub looks: u32,
    pub announced: bool,
    /// A person has said that what was announced stays: how many that were then (in older stores another number). Quiet
    /// until others are missing as well.
    pub rejected: Option<u64>,
    /// Records that a word about it is about: once it is announced those that were announced and are still missing.
    pub count: u64,
    pub known: u64,
    /// Keys of some of them.
    pub sample: Vec<String>,
}

impl Hold {
    /// Only these hashes of keys, sorted, are still missing.
    pub fn shrink(&mut self, keys: &[u64]) {
        self.count = self.count.min(keys.len() as u64);
        self.sample.retain(|key| keys.binary_search(&key_hash(key)).is_ok());
    }
}

/// What was noticed while the pages of one look went by; starts empty, ends in `SweepEnd`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LookNotes {
    pub rows: u64,
    /// Things that were asked about one by one.
    pub asked: u64,
    /// The first and the last day money rows were of, tomorrow at the latest.
    pub days: Option<(jiff::civil::Date, jiff::civil::Date)>,
    /// The first day of money that was asked for, where the answer was read to its end.
    pub asked_from: Option<jiff::civil::Date>,
    /// What was read stands where something else stood at the last look.
    pub replaced: bool,
    /// The first day of which, and of those after it, all money was shown.
    pub whole_from: Option<jiff::civil::Date>,
    /// Whose money was shown, of which days: hashes.
    pub spenders: Vec<u64>,
    /// Days whose money was not counted in full.
    pub uncounted: Uncounted,
    /// Days of money rows that this machine's clock has yet to come to, the next few.
    pub ahead: BTreeSet<jiff::civil::Date>,
    pub created: u64,
    pub changed: u64,
    /// Watched fields seen on some row.
    pub carried: BTreeSet<String>,
    /// Keys of the levels that were shown, whatever could be read of them.
    pub levels: BTreeSet<String>,
    /// Watched fields missing on a row that once had them, with how many rows.
    pub vanished: BTreeMap<String, u64>,
    /// What the source did not understand: a short name, and a sentence.
    pub strange: BTreeMap<String, String>,
    pub quarantined: u64,
    /// The first few, for the log.
    pub quarantine_samples: Vec<String>,
    pub events: u64,
}
