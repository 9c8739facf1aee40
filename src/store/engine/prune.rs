//! Letting go of what is old: events that every sink is done with, and their deliveries. What is open is never touched.

use std::ops::ControlFlow;

use super::super::kv::{Batch, Kv};
use super::super::{Keep, Pruned, Result, StoreError, codec, keys};
use super::Shared;
use crate::domain::delivery::{Delivery, DeliveryState};
use crate::domain::event::StoredEvent;

/// Keys removed in one transaction; the writer is held that long only.
const BATCH: usize = 4_000;

impl<K: Kv> Shared<K> {
    /// One transaction's worth; true in [`Pruned::more`] where more is left.
    pub(super) fn prune(&self, keep: &Keep) -> Result<Pruned> {
        let mut state = self.lock()?;
        let mut batch = Batch::default();
        let mut pruned = Pruned::default();
        let surplus = state.meta.next_event.saturating_sub(keep.newest);
        self.prune_deliveries(keep, surplus, &mut batch, &mut pruned)?;
        if !pruned.more {
            self.prune_events(keep, surplus, &mut batch, &mut pruned)?;
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

    fn prune_deliveries(&self, keep: &Keep, surplus: u64, batch: &mut Batch, pruned: &mut Pruned) -> Result<()> {
        self.oldest(keys::CLOSED, |key, value| {
            if batch.0.len() >= BATCH {
                pruned.more = true;
                return Ok(ControlFlow::Break(()));
            }
            let delivery: Delivery = codec::decode(value, "a delivery")?;
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
                batch.remove(key.to_vec());
                batch.remove(keys::by_id(keys::DELIVERY_IDS, &delivery.id));
                for event in &delivery.event_seqs {
                    batch.remove(keys::event_delivery(*event, delivery.seq));
                }
                pruned.deliveries += 1;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Events without a delivery, a wait or an open incident. Their deliveries went in an earlier transaction.
    fn prune_events(&self, keep: &Keep, surplus: u64, batch: &mut Batch, pruned: &mut Pruned) -> Result<()> {
        if pruned.deliveries > 0 {
            pruned.more = true;
            return Ok(());
        }
        self.oldest(keys::EVENTS, |key, value| {
            if batch.0.len() >= BATCH {
                pruned.more = true;
                return Ok(ControlFlow::Break(()));
            }
            let Some(seq) = keys::last_number(key) else { return Ok(ControlFlow::Continue(())) };
            let stored: StoredEvent = codec::decode(value, "an event")?;
            if stored.seen >= keep.since && seq >= surplus {
                return Ok(ControlFlow::Break(()));
            }
            let needed = keep.events.contains(&stored.event.id)
                || self.any(&keys::event_deliveries(seq))?
                || self.any(&keys::numbered(keys::WAITING_OF, seq))?;
            if !needed {
                // Its id stays, 26 bytes: the same fact is never told again, whatever a clock or a backup says.
                batch.remove(key.to_vec());
                pruned.events += 1;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn any(&self, prefix: &[u8]) -> Result<bool> {
        let mut found = false;
        self.kv.scan(prefix, false, &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn oldest(&self, family: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>) -> Result<()> {
        let mut failed: Option<StoreError> = None;
        self.kv.scan(family, false, &mut |key, value| match visit(key, value) {
            Ok(flow) => flow,
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)
    }
}
