//! The read side: events and deliveries, one or many, newest first.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::Value;

use super::super::kv::Kv;
use super::super::{DeliveryFilter, EventFilter, Listed, Result, codec, keys};
use super::{Shared, ledger, segments};
use crate::domain::delivery::Delivery;
use crate::domain::event::{Event, StoredEvent, glob_matches};
use crate::domain::time::Timestamp;

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
        segments::value(&self.kv, keys::EVENTS, seq)?.map(|value| decode_event(&value)).transpose()
    }

    pub(super) fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>> {
        let matches = |e: &StoredEvent| {
            filter.kind.as_ref().is_none_or(|glob| glob_matches(glob, &e.event.kind))
                && filter.source.as_ref().is_none_or(|s| *s == e.origin)
                && filter.subject.as_ref().is_none_or(|s| *s == e.event.subject)
                && filter.since.is_none_or(|since| e.seen >= since)
        };
        let all = self.segments(keys::EVENTS, self.lock()?.meta.next_event)?;
        self.newest(keys::EVENTS, all, filter.limit.unwrap_or(LIMIT), |value| {
            Ok(Some(decode_event(value)?).filter(matches))
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
        let mut found = Vec::new();
        for number in ledger::deliveries_of(&self.kv, seq)? {
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
        let open = matches!(wanted_state, Some("due" | "leased"));
        let wanted = if open {
            self.lock()?.ledger.open_segments()
        } else {
            self.segments(keys::DELIVERIES, self.lock()?.meta.next_delivery)?
        };
        self.newest(keys::DELIVERIES, wanted, filter.limit.unwrap_or(LIMIT), |value| {
            Ok(Some(self.listed(codec::from_json(value, "a delivery")?)).filter(matches))
        })
    }

    /// What waits in a room, oldest first.
    pub(super) fn waiting_in(&self, sink: &str, room: &str, limit: usize) -> Result<Vec<(u64, StoredEvent)>> {
        let mut numbers = Vec::new();
        self.kv.scan(&keys::room(sink, room), &mut |key, _| {
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
        self.kv.scan(&prefix, &mut |key, value| {
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
        let found = segments::value(&self.kv, keys::DELIVERIES, seq)?;
        found.map(|value| codec::from_json(&value, "a delivery")).transpose()
    }

    fn listed(&self, delivery: Delivery) -> Listed {
        let (sink, seq) = (&delivery.sink, delivery.seq);
        let open = delivery.state.is_open().then(|| self.lock().ok()).flatten();
        let found = open.map(|state| (state.outbox.is_leased(sink, seq), state.outbox.is_behind(sink, seq)));
        let (leased, behind) = found.unwrap_or_default();
        Listed { delivery, leased, behind }
    }

    /// Every segment up to that of a number, the newest first.
    fn segments(&self, family: &[u8], last: u64) -> Result<Vec<u64>> {
        let first = segments::first(&self.kv, family)?;
        Ok(first.map(|first| (first..=segments::of(last)).rev().collect()).unwrap_or_default())
    }

    fn newest<T>(
        &self,
        family: &[u8],
        segments: Vec<u64>,
        limit: usize,
        read: impl Fn(&[u8]) -> Result<Option<T>>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        for segment in segments {
            for value in segments::read(&self.kv, family, segment)?.values().rev() {
                if found.len() >= limit {
                    return Ok(found);
                }
                found.extend(read(value)?);
            }
        }
        Ok(found)
    }
}

pub(super) fn decode_event(value: &[u8]) -> Result<StoredEvent> {
    codec::from_json(value, "an event")
}

/// What a sink is handed of an event. Why it was made and where it was routed is most of what is stored, and for people
/// who ask.
#[derive(Deserialize)]
struct Handed {
    event: Event,
    seen: Timestamp,
    origin: String,
}

pub(super) fn decode_handed(value: &[u8]) -> Result<StoredEvent> {
    let Handed { event, seen, origin } = codec::from_json(value, "an event")?;
    Ok(StoredEvent { event, seen, why: Value::Null, origin, routing: Vec::new(), sinks: Vec::new() })
}
