//! Small versioned documents: everything ampbridge remembers besides rows, money, events and deliveries.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::collection::{CollectionId, CollectionState};
use super::health::{SinkState, SourceHealth};
use super::incident::Incidents;
use super::record::Person;
use super::roster::Roster;
use super::rules::budget::BudgetState;
use super::rules::gauge::GaugeState;
use super::rules::spike::{Learned, SpikeState};
use super::rules::thread_cost::ThreadCostState;
use super::silence::Silences;
use super::spend::SpendState;
use super::timing::Rooms;

/// For serde: a count of nothing is not written.
pub fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Names a document. The text form is the stored key and never changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocKey {
    Collection(CollectionId),
    Gauge(CollectionId),
    /// Threads of a source whose cost is asked for.
    Wanted(String),
    /// Records of another collection that this one should ask about.
    Queue(CollectionId),
    People(String),
    SourceHealth(String),
    Sink(String),
    /// How the money of a source stands.
    Spend(String),
    /// What a source says of itself, for digests to quote.
    Quotes(String),
    /// A rule's memory of one group of sources: (rule, group).
    Budget(String, String),
    Spike(String, String),
    /// What a spike rule has learned of one group of sources: large, and written once a day.
    Learned(String, String),
    ThreadCost(String, String),
    /// What waits at a sink.
    Rooms(String),
    Silences,
    Incidents,
}

impl fmt::Display for DocKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collection(id) => write!(f, "collection/{id}"),
            Self::Gauge(id) => write!(f, "gauge/{id}"),
            Self::Wanted(source) => write!(f, "wanted/{source}"),
            Self::Queue(id) => write!(f, "queue/{id}"),
            Self::People(source) => write!(f, "people/{source}"),
            Self::SourceHealth(source) => write!(f, "source/{source}"),
            Self::Sink(sink) => write!(f, "sink/{sink}"),
            Self::Budget(rule, group) => write!(f, "budget/{rule}/{group}"),
            Self::Spike(rule, group) => write!(f, "spike/{rule}/{group}"),
            Self::Learned(rule, group) => write!(f, "learned/{rule}/{group}"),
            Self::Spend(source) => write!(f, "spend/{source}"),
            Self::Quotes(source) => write!(f, "quotes/{source}"),
            Self::ThreadCost(rule, group) => write!(f, "thread_cost/{rule}/{group}"),
            Self::Rooms(sink) => write!(f, "rooms/{sink}"),
            Self::Silences => f.write_str("silences"),
            Self::Incidents => f.write_str("incidents"),
        }
    }
}

/// A text that names no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no document this version knows")]
pub struct UnknownDoc(String);

impl FromStr for DocKey {
    type Err = UnknownDoc;

    fn from_str(text: &str) -> Result<Self, UnknownDoc> {
        let fault = || UnknownDoc(text.to_owned());
        let mut parts = text.split('/');
        let kind = parts.next().unwrap_or("");
        let mut part = || parts.next().map(str::to_owned).ok_or_else(fault);
        let key = match kind {
            "collection" => Self::Collection(CollectionId { source: part()?, name: part()? }),
            "gauge" => Self::Gauge(CollectionId { source: part()?, name: part()? }),
            "wanted" => Self::Wanted(part()?),
            "queue" => Self::Queue(CollectionId { source: part()?, name: part()? }),
            "people" => Self::People(part()?),
            "source" => Self::SourceHealth(part()?),
            "sink" => Self::Sink(part()?),
            "budget" => Self::Budget(part()?, part()?),
            "spike" => Self::Spike(part()?, part()?),
            "learned" => Self::Learned(part()?, part()?),
            "spend" => Self::Spend(part()?),
            "quotes" => Self::Quotes(part()?),
            "thread_cost" => Self::ThreadCost(part()?, part()?),
            "rooms" => Self::Rooms(part()?),
            "silences" => Self::Silences,
            "incidents" => Self::Incidents,
            _ => return Err(fault()),
        };
        if parts.next().is_some() { Err(fault()) } else { Ok(key) }
    }
}

/// A sentence of a source about itself, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    pub text: String,
    /// The day (UTC) it was last said.
    pub seen: Date,
}

/// A document. The tag is part of the stored form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "doc", content = "value", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "always behind an `Arc`")]
pub enum Doc {
    Collection(CollectionState),
    Gauge(GaugeState),
    Wanted(Roster),
    People(BTreeMap<String, Person>),
    SourceHealth(SourceHealth),
    Sink(SinkState),
    Budget(BudgetState),
    Spike(SpikeState),
    Learned(Learned),
    Spend(SpendState),
    /// By collection.
    Quotes(BTreeMap<String, Quote>),
    ThreadCost(ThreadCostState),
    Rooms(Rooms),
    Silences(Silences),
    Incidents(Incidents),
}

/// Documents as read, each with the version a commit must find again. Version 0 is a document that is not there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Docs(pub BTreeMap<DocKey, (u64, Option<Arc<Doc>>)>);

macro_rules! reader {
    ($name:ident, $variant:ident, $type:ty) => {
        /// The document under this key, if it is there.
        pub fn $name(&self, key: &DocKey) -> Option<&$type> {
            match self.0.get(key) {
                Some((_, Some(doc))) => match doc.as_ref() {
                    Doc::$variant(value) => Some(value),
                    _ => None,
                },
                _ => None,
            }
        }
    };
}

impl Docs {
    reader!(collection, Collection, CollectionState);
    reader!(gauge, Gauge, GaugeState);
    reader!(wanted, Wanted, Roster);
    reader!(quotes, Quotes, BTreeMap<String, Quote>);
    reader!(people, People, BTreeMap<String, Person>);
    reader!(source_health, SourceHealth, SourceHealth);
    reader!(sink, Sink, SinkState);
    reader!(budget, Budget, BudgetState);
    reader!(spike, Spike, SpikeState);
    reader!(learned, Learned, Learned);
    reader!(spend, Spend, SpendState);
    reader!(thread_cost, ThreadCost, ThreadCostState);
    reader!(rooms, Rooms, Rooms);
    reader!(silences, Silences, Silences);
    reader!(incidents, Incidents, Incidents);

    pub fn version(&self, key: &DocKey) -> u64 {
        self.0.get(key).map_or(0, |(version, _)| *version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip() {
        for text in [
            "collection/acme/threads",
            "sink/ops",
            "budget/daily/acme+claude",
            "wanted/acme",
            "queue/acme/messages",
            "learned/a/b",
            "spend/acme",
            "rooms/ops",
            "silences",
        ] {
            assert_eq!(text.parse::<DocKey>().unwrap().to_string(), text);
        }
        for text in ["", "nope/x", "sink", "sink/a/b"] {
            assert!(text.parse::<DocKey>().is_err(), "{text}");
        }
    }
}
