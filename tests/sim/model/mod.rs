//! The reference model: what must come out, said as plainly as possible. It knows the contract, not the code.
//!
//! A model is a value. It is copied when the bridge's commits become durable; a crash puts the copy back.

pub mod digest;
pub mod health;
pub mod money;
pub mod outbox;
pub mod records;
pub mod timing;

use std::collections::BTreeMap;

use ampbridge::domain::delivery::{Delivery, DeliveryKind};
use ampbridge::domain::event::Severity;
use ampbridge::domain::time::Timestamp;

use crate::fact::Fact;
use crate::setup::{COLLECTIONS, Plain, Setup};
use health::{SinkHealth, SourceHealth};
use money::Money;
use outbox::Outbox;
use records::Collection;
use timing::{Desk, night_end};

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

    /// Until when quiet hours keep a delivery that could go now.
    pub fn kept_until(&self, setup: &Setup, delivery: &Delivery, now: Timestamp) -> Option<Timestamp> {
        let item = &self.outbox.items[&delivery.id];
        if item.urgent || delivery.kind == DeliveryKind::Digest || self.outbox.is_pressed(&delivery.id) {
            return None;
        }
        let nights = delivery.event_ids.iter().map(|id| {
            let fact = &self.events[id];
            let escalates = |(number, route): &(usize, Plain)| {
                let to = setup.timed(*number).and_then(|timed| timed.escalate).map(|(_, sink)| sink);
                route.fits(fact) && to == Some(delivery.sink.as_str())
            };
            let named = Self::routed(setup, fact).get(&delivery.sink).copied().flatten();
            let route = named.or_else(|| setup.routing().into_iter().enumerate().find(escalates).map(|(n, _)| n));
            night_end(&setup.timed(route?)?.night?, now).filter(|_| fact.severity < Severity::Critical)
        });
        nights.collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
    }

    /// The sinks that must hear of a fact, each with the first route that reaches it.
    pub fn routed(setup: &Setup, fact: &Fact) -> BTreeMap<String, Option<usize>> {
        let mut sinks: BTreeMap<String, Option<usize>> = BTreeMap::new();
        for (number, route) in setup.routing().into_iter().enumerate() {
            for sink in route.sinks.iter().filter(|_| route.fits(fact)) {
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
