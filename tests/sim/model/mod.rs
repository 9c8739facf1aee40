//! The reference model: what must come out, said as plainly as possible. It knows the contract, not the code.
//!
//! A model is a value. It is copied when the bridge's commits become durable; a crash puts the copy back.

pub mod health;
pub mod money;
pub mod outbox;
pub mod records;
pub mod timing;

use std::collections::BTreeMap;

use crate::fact::Fact;
use crate::setup::{COLLECTIONS, Setup};
use health::{SinkHealth, SourceHealth};
use money::Money;
use outbox::Outbox;
use records::Collection;
use timing::Desk;

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub collections: BTreeMap<String, Collection>,
    pub sources: BTreeMap<String, SourceHealth>,
    pub sinks: BTreeMap<String, SinkHealth>,
    pub money: Money,
    pub outbox: Outbox,
    pub desk: Desk,
    /// Every event that was made, by id.
    pub events: BTreeMap<String, Fact>,
    /// (sink, incident) to what the sink left.
    pub references: BTreeMap<(String, String), serde_json::Value>,
}

impl Model {
    pub fn new() -> Self {
        let collections = COLLECTIONS.iter().map(|c| ((*c).to_owned(), Collection::default())).collect();
        Self { collections, ..Self::default() }
    }

    /// The sinks that must hear of a fact, each with the first route that reaches it.
    pub fn routed(setup: &Setup, fact: &Fact) -> BTreeMap<String, Option<usize>> {
        let mut sinks: BTreeMap<String, Option<usize>> = BTreeMap::new();
        for (number, route) in setup.routing().into_iter().enumerate() {
            let fits = fact.kind.starts_with(route.prefix)
                && route.source.is_none_or(|s| s == fact.origin)
                && fact.severity >= route.least;
            for sink in route.sinks.iter().filter(|_| fits) {
                sinks.entry((*sink).to_owned()).or_insert(Some(number));
            }
        }
        sinks.retain(|s, _| fact.about.as_ref() != Some(s));
        if sinks.is_empty() && is_internal(&fact.kind) {
            sinks = crate::setup::SINKS.iter().map(|s| ((*s).to_owned(), None)).collect();
            sinks.retain(|s, _| fact.about.as_ref() != Some(s));
        }
        sinks
    }
}

pub fn is_internal(kind: &str) -> bool {
    kind == "delivery.dead" || kind.starts_with("source.") || kind.starts_with("sink.")
}
