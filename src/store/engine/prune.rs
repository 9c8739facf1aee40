//! Letting go of what is old: events that every sink is done with, and their deliveries. What is open is never touched.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::super::kv::{Batch, Kv};
use super::super::{Keep, Pruned, Result, codec, keys};
use super::read::decode_event;
use super::{Shared, ledger, segments};
use crate::domain::delivery::{Delivery, DeliveryState};

/// Events or deliveries let go of in one transaction; the writer is held that long only.
const BATCH: usize = 1_000;

impl<K: Kv> Shared<K> {
    /// One transaction's worth; true in [`Pruned::more`] where more is left.
    pub(super) fn prune(&self, keep: &Keep) -> Result<Pruned> {
        let mut state = self.lock()?;
        let mut batch = Batch::default();
        let surplus = state.meta.next_event.saturating_sub(keep.newest);
        let deliveries = self.old_deliveries(keep, surplus, state.meta.next_delivery)?;
        let mut pruned = Pruned { deliveries: deliveries.len() as u64, ..Pruned::default() };
        if deliveries.is_empty() {
            let events = self.old_events(keep, surplus, state.meta.next_event)?;
            (pruned.events, pruned.more) = (events.len() as u64, events.len() >= BATCH);
            state.ledger.forget_events(&self.kv, &events, &mut batch)?;
        } else {
            // Events whose deliveries are gone follow in another transaction.
            pruned.more = true;
            state.ledger.forget_deliveries(&self.kv, &deliveries, &mut batch)?;
        }
        if batch.0.is_empty() {
            return Ok(pruned);
        }
        if let Err(error) = self.kv.apply(batch) {
            state.broken = Some(error.to_string());
            return Err(error);
        }
        Ok(pruned)
    }

    fn old_deliveries(&self, keep: &Keep, surplus: u64, next: u64) -> Result<Vec<Delivery>> {
        let mut found = Vec::new();
        self.oldest(keys::DELIVERIES, next, |_, value| {
            let delivery: Delivery = codec::from_json(value, "a delivery")?;
            let crowded = delivery.event_seqs.iter().all(|seq| *seq < surplus);
            // Deliveries lie in the order in which they were made, and none ends before it is made.
            if delivery.created >= keep.since && !crowded {
                return Ok(ControlFlow::Break(()));
            }
            let over = match &delivery.state {
                DeliveryState::Due { .. } => false,
                DeliveryState::Dead { at, .. } => *at < keep.dead_since,
                DeliveryState::Delivered { at } | DeliveryState::Suppressed { at, .. } => *at < keep.since || crowded,
            };
            if over {
                found.push(delivery);
            }
            Ok(if found.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }

    /// Numbers of events without a delivery, a wait or an open incident. Their ids stay, 26 bytes each: the same fact is
    /// never told again, whatever a clock or a backup says.
    fn old_events(&self, keep: &Keep, surplus: u64, next: u64) -> Result<BTreeSet<u64>> {
        let mut found = BTreeSet::new();
        self.oldest(keys::EVENTS, next, |seq, value| {
            let stored = decode_event(value)?;
            if stored.seen >= keep.since && seq >= surplus {
                return Ok(ControlFlow::Break(()));
            }
            let needed = keep.events.contains(&stored.event.id)
                || !ledger::deliveries_of(&self.kv, seq)?.is_empty()
                || self.any(&keys::numbered(keys::WAITING_OF, seq))?;
            if !needed {
                found.insert(seq);
            }
            Ok(if found.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }

    fn any(&self, prefix: &[u8]) -> Result<bool> {
        let mut found = false;
        self.kv.scan(prefix, &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn oldest(
        &self,
        family: &[u8],
        next: u64,
        mut visit: impl FnMut(u64, &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let Some(first) = segments::first(&self.kv, family)? else { return Ok(()) };
        for segment in first..=segments::of(next) {
            for (number, value) in segments::read(&self.kv, family, segment)? {
                if visit(number, &value)? == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
