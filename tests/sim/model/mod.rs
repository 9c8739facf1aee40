//! The reference model: what must come out, said as plainly as possible. It knows the contract, not the code.
//!
//! A model is a value. It is copied when the bridge's commits become durable; a crash puts the copy back.

pub mod health;
pub mod money;
pub mod outbox;
pub mod records;

use std::collections::BTreeMap;

use crate::fact::Fact;
use crate::setup::{COLLECTIONS, Setup};
use health::{SinkHealth, SourceHealth};
use money::Money;
use outbox::Outbox;
use records::Collection;

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub collections: BTreeMap<String, Collection>,
    pub sources: BTreeMap<String, SourceHealth>,
    pub sinks: BTreeMap<String, SinkHealth>,
    pub money: Money,
    pub outbox: Outbox,
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

    /// The sinks that must hear of a fact.
    pub fn routed(setup: &Setup, fact: &Fact) -> Vec<String> {
        let mut sinks: Vec<String> = Vec::new();
        for route in setup.routing() {
            let fits = fact.kind.starts_with(route.prefix)
                && route.source.is_none_or(|s| s == fact.origin)
                && fact.severity >= route.least;
            if fits {
                sinks.extend(route.sinks.iter().map(|s| (*s).to_owned()));
            }
        }
        sinks.retain(|s| fact.about.as_ref() != Some(s));
        if sinks.is_empty() && is_internal(&fact.kind) {
            sinks = crate::setup::SINKS.iter().map(|s| (*s).to_owned()).collect();
            sinks.retain(|s| fact.about.as_ref() != Some(s));
        }
        sinks.sort();
        sinks.dedup();
        sinks
    }
}

pub fn is_internal(kind: &str) -> bool {
    kind == "delivery.dead" || kind.starts_with("source.") || kind.starts_with("sink.")
}
