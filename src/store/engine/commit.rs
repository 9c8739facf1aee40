//! Loading what a plan needs, and applying it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::kv::{Batch, Kv};
use super::super::{Claimed, Probe, Result, StoreError, Ticket, codec, keys};
use super::ledger::Entries;
use super::read::decode_handed;
use super::{Shared, State, StoredDoc};
use crate::domain::cycle::{Known, Needs, Plan};
use crate::domain::delivery::Delivery;
use crate::domain::doc::Doc;
use crate::domain::spend::DaySpend;
use crate::domain::time::{Timestamp, plus_days};

/// Held rows handed out at once.
const HELD_ROWS: usize = 2_000;
/// Events handed to a sink with a delivery; a message that names more would not be read.
const CLAIM_EVENTS: usize = crate::domain::delivery::EVENTS_MAX;
/// Events that go into one message.
const ROOM_EVENTS: usize = 2_000;
/// Longest stretch of days one load reads.
const MAX_DAYS: i64 = 800;

impl<K: Kv> Shared<K> {
    pub(super) fn load(&self, needs: &Needs, probe: Option<Probe<'_>>) -> Result<Known> {
        let mut state = self.lock()?;
        let mut known = Known::default();
        for key in &needs.docs {
            let found = state.docs.get(key);
            let entry = found.map_or((0, None), |(version, doc)| (*version, Some(Arc::clone(doc))));
            known.docs.0.insert(key.clone(), entry);
        }
        for (source, from, to) in &needs.ledger {
            let mut day = *from;
            let mut left = MAX_DAYS;
            while day <= *to && left > 0 {
                if let Some(spend) = state.spend_day(&self.kv, source, day)? {
                    known.ledger.put(source, day, spend);
                }
                day = plus_days(day, 1);
                left -= 1;
            }
            if left > 0 {
                known.ledger.loaded_from(source, *from);
            }
        }
        for (sink, claim, seq) in &needs.claims {
            if !state.outbox.holds(sink, *claim, *seq) {
                known.void_claims.insert(*claim);
            }
        }
        if let Some(probe) = probe {
            known.matches = state.match_rows(&self.kv, probe.collection, probe.records)?;
        }
        let looked_at = probe.map(|p| p.collection).or(needs.missing.as_ref());
        let looked_at = looked_at.or(needs.still_missed.as_ref()).or(needs.held_rows.as_ref());
        if let Some(id) = looked_at {
            known.rows_version = Some(state.index(&self.kv, id)?.version());
        }
        if let Some(id) = &needs.missing {
            known.missing = Some(state.missing(&self.kv, id, needs.missed_once)?);
        }
        if let Some(id) = &needs.still_missed {
            known.still_missed = state.still_missed(&self.kv, id)?;
        }
        if let Some(id) = &needs.held_rows {
            let held = state.held_rows(&self.kv, id, HELD_ROWS)?;
            (known.held_rows, known.held_more, known.also_missed) = (held.rows, held.more, held.others);
        }
        drop(state);
        for (sink, room) in &needs.rooms {
            known.rooms.insert(room.clone(), self.waiting_in(sink, room, ROOM_EVENTS)?);
        }
        for (sink, subject) in &needs.waiting {
            let waiting = self.waiting_about(sink, subject)?;
            known.waiting.insert((sink.clone(), subject.clone()), waiting);
        }
        for id in &needs.deliveries {
            if let Some(listed) = self.delivery(id)? {
                known.deliveries.insert(id.clone(), listed.delivery);
            }
        }
        Ok(known)
    }

    pub(super) fn commit(&self, plan: &Plan) -> Result<Ticket> {
        let mut state = self.lock()?;
        for (key, expected) in &plan.expect {
            let found = state.docs.get(key).map_or(0, |(version, _)| *version);
            if found != *expected {
                return Err(StoreError::Conflict(key.to_string()));
            }
        }
        if let (Some(id), Some(expected)) = (&plan.collection, plan.expect_rows)
            && state.index(&self.kv, id)?.version() != expected
        {
            return Err(StoreError::Conflict(format!("the rows of {id}")));
        }
        for expected in &plan.expect_deliveries {
            if self.stored_delivery(expected.seq)?.as_ref() != Some(expected) {
                return Err(StoreError::Conflict(format!("delivery {}", expected.id)));
            }
        }
        let under_claims = plan.settled.iter().chain(&plan.noted);
        if let Some((_, late)) = under_claims.into_iter().find(|(claim, d)| !state.outbox.holds(&d.sink, *claim, d.seq))
        {
            return Err(StoreError::Conflict(format!("the lease of {}", late.id)));
        }
        let mut batch = Batch::default();
        let applied = self.fill(&mut state, plan, &mut batch);
        let published = match applied {
            Ok(published) => published,
            Err(error) => {
                state.broken = Some(error.to_string());
                return Err(error);
            }
        };
        if batch.0.is_empty() {
            return Ok(Ticket(state.meta.commit));
        }
        state.meta.commit += 1;
        let commit = state.meta.commit;
        batch.put(keys::META.to_vec(), codec::encode(&state.meta)?);
        if let Err(error) = self.kv.apply(batch) {
            // Memory is ahead of the disk now; only a restart makes them one again.
            state.broken = Some(error.to_string());
            return Err(error);
        }
        state.unpublished.extend(published.into_iter().map(|d| (commit, d)));
        drop(state);
        self.flusher.ask(commit);
        if plan.merge {
            self.merge(plan)?;
        }
        Ok(Ticket(commit))
    }

    /// Fills the batch and the memory. Returns the deliveries to publish once durable.
    fn fill(&self, state: &mut State, plan: &Plan, batch: &mut Batch) -> Result<Vec<Delivery>> {
        for (key, doc) in &plan.docs {
            let version = state.docs.get(key).map_or(0, |(v, _)| *v) + 1;
            batch.put(keys::doc(key), codec::encode(&StoredDoc::<&Doc> { v: version, doc })?);
            state.docs.insert(key.clone(), (version, Arc::clone(doc)));
        }
        if let Some(id) = &plan.collection {
            if plan.clear_rows {
                state.clear_rows(&self.kv, id, batch)?;
            }
            if !plan.rows.is_empty() {
                state.write_rows(&self.kv, id, &plan.rows, batch)?;
            }
            for (key, hashes) in [(keys::missed(id), &plan.missed), (keys::announced(id), &plan.announced)] {
                let Some(hashes) = hashes else { continue };
                let before = self.kv.get(&key)?.unwrap_or_default();
                let bytes = codec::encode_hashes(hashes);
                if bytes.is_empty() && !before.is_empty() {
                    batch.remove(key);
                } else if bytes != before {
                    batch.put(key, bytes);
                }
            }
        }
        if let Some(source) = &plan.clear_spend {
            super::scan_all(&self.kv, &keys::spend_of(source), |key, _| {
                batch.remove(key.to_vec());
                Ok(())
            })?;
            state.spend.forget(source);
        }
        for ((source, day), spend) in &plan.spend {
            batch.put(keys::spend(source, *day), codec::encode(spend.as_ref())?);
            state.spend.put(source, *day, Arc::clone(spend));
        }
        for (sink, incident, reference) in &plan.references {
            batch.put(keys::reference(sink, incident), codec::encode(reference)?);
        }
        self.fill_outbox(state, plan, batch)
    }

    fn fill_outbox(&self, state: &mut State, plan: &Plan, batch: &mut Batch) -> Result<Vec<Delivery>> {
        let mut entries = Entries::default();
        let mut fresh: BTreeMap<&str, u64> = BTreeMap::new();
        for stored in &plan.events {
            let id_key = keys::by_id(keys::EVENT_IDS, &stored.event.id);
            // The same fact again (a clock that jumped, a restored backup): it was told, it is not told twice.
            if fresh.contains_key(stored.event.id.as_str()) || self.kv.get(&id_key)?.is_some() {
                continue;
            }
            let seq = state.meta.next_event;
            state.meta.next_event += 1;
            fresh.insert(&stored.event.id, seq);
            entries.event(seq, stored)?;
            batch.put(id_key, seq.to_be_bytes().to_vec());
        }
        for wait in &plan.waits {
            // Nothing waits twice: of an event that was told before, what waited then is what counts.
            let Some(event) = fresh.get(wait.event.as_str()) else { continue };
            state.waits.add(&wait.sink, &wait.room, *event, wait.about.as_deref(), batch);
        }
        for (sink, room, events) in &plan.released {
            for event in events {
                state.waits.remove(&self.kv, sink, room, *event, batch)?;
            }
        }
        let mut published = Vec::new();
        let mut planned: BTreeSet<&str> = BTreeSet::new();
        for delivery in &plan.deliveries {
            let Some(first) = delivery.event_ids.first() else { continue };
            let of_this_plan = plan.events.iter().any(|e| e.event.id == *first);
            let id_key = keys::by_id(keys::DELIVERY_IDS, &delivery.id);
            if (of_this_plan && !fresh.contains_key(first.as_str()))
                || !planned.insert(&delivery.id)
                || self.kv.get(&id_key)?.is_some()
            {
                continue;
            }
            let mut delivery = delivery.clone();
            delivery.seq = state.meta.next_delivery;
            state.meta.next_delivery += 1;
            delivery.event_seqs.clear();
            for id in &delivery.event_ids {
                let event = match fresh.get(id.as_str()) {
                    Some(seq) => Some(*seq),
                    None => self.sequence_of(keys::EVENT_IDS, id)?,
                };
                if let Some(event) = event {
                    entries.link(event, delivery.seq);
                    delivery.event_seqs.push(event);
                }
            }
            batch.put(id_key, delivery.seq.to_be_bytes().to_vec());
            entries.delivery(&delivery)?;
            if delivery.state.is_open() {
                published.push(delivery);
            }
        }
        write_attempts(state, plan, &mut entries)?;
        for delivery in &plan.changed {
            // By command, perhaps in the same breath as the event: like a new one it leaves once it is durable.
            entries.delivery(delivery)?;
            state.outbox.remove(&delivery.sink, delivery.seq);
            state.unpublished.retain(|(_, waiting)| waiting.seq != delivery.seq);
            if delivery.state.is_open() {
                published.push(delivery.clone());
            }
        }
        state.ledger.write(&self.kv, entries, state.meta.next_event, batch)?;
        Ok(published)
    }

    /// Rewrites packs until few small ones are left, a batch at a time.
    fn merge(&self, plan: &Plan) -> Result<()> {
        let Some(id) = &plan.collection else { return Ok(()) };
        loop {
            let mut state = self.lock()?;
            let mut batch = Batch::default();
            let more = state.merge_packs(&self.kv, id, &mut batch)?;
            if batch.0.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.kv.apply(batch) {
                state.broken = Some(error.to_string());
                return Err(error);
            }
            if !more {
                return Ok(());
            }
        }
    }

    pub(super) fn claim(&self, sink: &str, now: Timestamp, limit: usize, until: Timestamp) -> Result<Vec<Claimed>> {
        let mut state = self.lock()?;
        let mut found = Vec::new();
        for (claim, seq) in state.outbox.claim(sink, now, limit, until) {
            let Some(delivery) = state.ledger.delivery(&self.kv, seq)? else {
                state.outbox.remove(sink, seq);
                continue;
            };
            let mut events = Vec::with_capacity(delivery.event_seqs.len().min(CLAIM_EVENTS));
            for event in delivery.event_seqs.iter().take(CLAIM_EVENTS) {
                events.extend(state.ledger.event(&self.kv, *event)?);
            }
            found.push((claim, state.outbox.is_pressed(sink, seq), delivery, events));
        }
        drop(state);
        let mut claimed = Vec::with_capacity(found.len());
        for (claim, pressed, delivery, events) in found {
            let events: Result<_> = events.iter().map(|event| decode_handed(event).map(Arc::new)).collect();
            claimed.push(Claimed { claim, delivery, events: events?, pressed });
        }
        Ok(claimed)
    }
}

impl State {
    fn spend_day(&mut self, kv: &dyn Kv, source: &str, day: jiff::civil::Date) -> Result<Option<Arc<DaySpend>>> {
        if let Some(spend) = self.spend.get(source, day) {
            return Ok(Some(spend));
        }
        let Some(bytes) = kv.get(&keys::spend(source, day))? else { return Ok(None) };
        let spend: Arc<DaySpend> = Arc::new(codec::decode(&bytes, "a day of spend")?);
        Ok(Some(self.spend.put(source, day, spend)))
    }
}

/// What attempts have come to.
fn write_attempts(state: &mut State, plan: &Plan, entries: &mut Entries) -> Result<()> {
    for (_, delivery) in &plan.noted {
        // Its lease goes on, and so does its place in the outbox.
        entries.delivery(delivery)?;
    }
    for (_, delivery) in &plan.settled {
        entries.delivery(delivery)?;
        if delivery.state.is_open() {
            state.outbox.insert(delivery);
        } else {
            state.outbox.remove(&delivery.sink, delivery.seq);
        }
    }
    Ok(())
}
