//! The read side: events and deliveries, one or many, newest first.

use std::ops::ControlFlow;

use super::super::kv::Kv;
use super::super::{DeliveryFilter, EventFilter, Listed, Result, StoreError, codec, keys};
use super::Shared;
use crate::domain::delivery::Delivery;
use crate::domain::event::{StoredEvent, glob_matches};

/// Rows a list returns where no limit is given.
const LIMIT: usize = 10_000;

impl<K: Kv> Shared<K> {
    pub(super) fn sequence_of(&self, family: &[u8], id: &str) -> Result<Option<u64>> {
        Ok(self.kv.get(&keys::by_id(family, id))?.and_then(|bytes| keys::last_number(&bytes)))
    }

    pub(super) fn event(&self, id: &str) -> Result<Option<StoredEvent>> {
        match self.sequence_of(keys::EVENT_IDS, id)? {
            Some(seq) => self.event_at(seq),
            None => Ok(None),
        }
    }

    pub(super) fn event_at(&self, seq: u64) -> Result<Option<StoredEvent>> {
        match self.kv.get(&keys::numbered(keys::EVENTS, seq))? {
            Some(bytes) => Ok(Some(codec::decode(&bytes, "an event")?)),
            None => Ok(None),
        }
    }

    pub(super) fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>> {
        let matches = |e: &StoredEvent| {
            filter.kind.as_ref().is_none_or(|glob| glob_matches(glob, &e.event.kind))
                && filter.source.as_ref().is_none_or(|s| *s == e.origin)
                && filter.subject.as_ref().is_none_or(|s| *s == e.event.subject)
                && filter.since.is_none_or(|since| e.seen >= since)
        };
        self.newest(keys::EVENTS, filter.limit.unwrap_or(LIMIT), |bytes| {
            let event: StoredEvent = codec::decode(bytes, "an event")?;
            Ok(matches(&event).then_some(event))
        })
    }

    pub(super) fn delivery(&self, id: &str) -> Result<Option<Listed>> {
        match self.sequence_of(keys::DELIVERY_IDS, id)? {
            Some(seq) => self.delivery_at(seq),
            None => Ok(None),
        }
    }

    pub(super) fn deliveries_of(&self, event_id: &str) -> Result<Vec<Listed>> {
        let Some(seq) = self.sequence_of(keys::EVENT_IDS, event_id)? else { return Ok(Vec::new()) };
        let mut numbers = Vec::new();
        self.kv.scan(&keys::event_deliveries(seq), false, &mut |key, _| {
            numbers.extend(keys::last_number(key));
            ControlFlow::Continue(())
        })?;
        let mut found = Vec::new();
        for number in numbers {
            found.extend(self.delivery_at(number)?);
        }
        Ok(found)
    }

    pub(super) fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<Listed>> {
        let wanted_state = filter.state.as_deref();
        let matches = |listed: &Listed| {
            let d = &listed.delivery;
            filter.sink.as_ref().is_none_or(|s| *s == d.sink)
                && wanted_state.is_none_or(|s| s == listed.state())
                && filter.kind.as_ref().is_none_or(|glob| glob_matches(glob, &d.event_type))
                && filter.since.is_none_or(|since| d.created >= since)
                && filter.until.is_none_or(|until| d.created < until)
        };
        let limit = filter.limit.unwrap_or(LIMIT);
        let read = |bytes: &[u8]| {
            let listed = self.listed(codec::decode(bytes, "a delivery")?);
            Ok(matches(&listed).then_some(listed))
        };
        let mut all: Vec<Listed> = Vec::new();
        if wanted_state.is_none_or(|s| s == "due" || s == "leased") {
            all.extend(self.newest(keys::OPEN, limit, read)?);
        }
        if wanted_state.is_none_or(|s| s != "due" && s != "leased") {
            all.extend(self.newest(keys::CLOSED, limit, read)?);
        }
        all.sort_by_key(|listed| std::cmp::Reverse(listed.delivery.seq));
        all.truncate(limit);
        Ok(all)
    }

    /// What waits in a room, oldest first.
    pub(super) fn waiting_in(&self, sink: &str, room: &str, limit: usize) -> Result<Vec<(u64, StoredEvent)>> {
        let mut numbers = Vec::new();
        self.kv.scan(&keys::room(sink, room), false, &mut |key, _| {
            numbers.extend(keys::last_number(key));
            if numbers.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let mut found = Vec::with_capacity(numbers.len());
        for number in numbers {
            found.extend(self.event_at(number)?.map(|event| (number, event)));
        }
        Ok(found)
    }

    /// Where an event waits: sink and room.
    pub(super) fn waits_of(&self, event_id: &str) -> Result<Vec<(String, String)>> {
        let Some(seq) = self.sequence_of(keys::EVENT_IDS, event_id)? else { return Ok(Vec::new()) };
        let prefix = keys::numbered(keys::WAITING_OF, seq);
        let mut found = Vec::new();
        self.kv.scan(&prefix, false, &mut |key, value| {
            let sink = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            found.push((sink, String::from_utf8_lossy(value).into_owned()));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn delivery_at(&self, seq: u64) -> Result<Option<Listed>> {
        let found = self.stored_delivery(seq)?;
        Ok(found.map(|delivery| self.listed(delivery)))
    }

    /// As it is written; whether it is leased is not.
    pub(super) fn stored_delivery(&self, seq: u64) -> Result<Option<Delivery>> {
        for family in [keys::OPEN, keys::CLOSED] {
            if let Some(bytes) = self.kv.get(&keys::numbered(family, seq))? {
                return Ok(Some(codec::decode(&bytes, "a delivery")?));
            }
        }
        Ok(None)
    }

    fn listed(&self, delivery: Delivery) -> Listed {
        let leased =
            delivery.state.is_open() && self.lock().is_ok_and(|s| s.outbox.is_leased(&delivery.sink, delivery.seq));
        Listed { delivery, leased }
    }

    fn newest<T>(&self, family: &[u8], limit: usize, read: impl Fn(&[u8]) -> Result<Option<T>>) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let mut failed: Option<StoreError> = None;
        self.kv.scan(family, true, &mut |_, value| match read(value) {
            Ok(item) => {
                found.extend(item);
                if found.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(found), Err)
    }
}
