//! Events and deliveries: where they lie, which deliveries are open, and which belong to an event.

use std::collections::{BTreeMap, BTreeSet};

use super::super::kv::{Batch, Kv};
use super::super::{Result, codec, keys};
use super::scan_all;
use super::segments::{self, Segments};
use crate::domain::delivery::Delivery;
use crate::domain::event::StoredEvent;

/// Bytes of an event's and a delivery's number.
const LINK: usize = 16;

/// What the store's only writer knows of them. Belongs behind the store's lock.
pub(super) struct Ledger {
    events: Segments,
    deliveries: Segments,
    /// Segments with open deliveries: a bit for each of them.
    open: BTreeMap<u64, u32>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { events: Segments::new(keys::EVENTS), deliveries: Segments::new(keys::DELIVERIES), open: BTreeMap::new() }
    }
}

/// What a commit adds or changes.
#[derive(Default)]
pub(super) struct Entries {
    events: BTreeMap<u64, Vec<u8>>,
    deliveries: BTreeMap<u64, (bool, Vec<u8>)>,
    /// By segment of the event: its number and the delivery's.
    links: BTreeMap<u64, Vec<(u64, u64)>>,
}

impl Entries {
    pub(super) fn event(&mut self, number: u64, event: &StoredEvent) -> Result<()> {
        self.events.insert(number, codec::to_json(event)?);
        Ok(())
    }

    pub(super) fn delivery(&mut self, delivery: &Delivery) -> Result<()> {
        self.deliveries.insert(delivery.seq, (delivery.state.is_open(), codec::to_json(delivery)?));
        Ok(())
    }

    pub(super) fn link(&mut self, event: u64, delivery: u64) {
        self.links.entry(segments::of(event)).or_default().push((event, delivery));
    }
}

impl Ledger {
    /// Reads which deliveries are open, and hands each of them over.
    pub(super) fn load(kv: &dyn Kv, mut visit: impl FnMut(&Delivery)) -> Result<Self> {
        let mut ledger = Self::default();
        let mut marked = Vec::new();
        scan_all(kv, keys::OPEN, |key, _| {
            marked.extend(keys::last_number(key));
            Ok(())
        })?;
        for segment in marked {
            for (number, value) in segments::read(kv, keys::DELIVERIES, segment)? {
                let delivery: Delivery = codec::from_json(&value, "a delivery")?;
                if delivery.state.is_open() {
                    *ledger.open.entry(segment).or_default() |= bit(number);
                    visit(&delivery);
                }
            }
        }
        Ok(ledger)
    }

    /// `next_event` is the number of the first event that is not made yet.
    pub(super) fn write(&mut self, kv: &dyn Kv, entries: Entries, next_event: u64, batch: &mut Batch) -> Result<()> {
        let Entries { events, deliveries, links } = entries;
        let mut values = BTreeMap::new();
        for (number, (is_open, value)) in deliveries {
            self.mark(number, is_open, batch);
            values.insert(number, value);
        }
        self.events.write(kv, events, |segment| *segments::numbers(segment).end() < next_event, batch)?;
        let open = &self.open;
        self.deliveries.write(kv, values, |segment| !open.contains_key(&segment), batch)?;
        for (segment, added) in links {
            let key = keys::numbered(keys::DELIVERIES_OF, segment);
            let mut known = kv.get(&key)?.unwrap_or_default();
            for (event, delivery) in added {
                known.extend(event.to_be_bytes());
                known.extend(delivery.to_be_bytes());
            }
            batch.put(key, known);
        }
        Ok(())
    }

    pub(super) fn event(&mut self, kv: &dyn Kv, number: u64) -> Result<Option<bytes::Bytes>> {
        self.events.value(kv, number)
    }

    pub(super) fn delivery(&mut self, kv: &dyn Kv, number: u64) -> Result<Option<Delivery>> {
        self.deliveries.value(kv, number)?.map(|value| codec::from_json(&value, "a delivery")).transpose()
    }

    /// Segments with open deliveries, the newest first.
    pub(super) fn open_segments(&self) -> Vec<u64> {
        self.open.keys().rev().copied().collect()
    }

    pub(super) fn forget_events(&mut self, kv: &dyn Kv, gone: &BTreeSet<u64>, batch: &mut Batch) -> Result<()> {
        self.events.remove(kv, gone, batch)
    }

    /// Lets go of closed deliveries.
    pub(super) fn forget_deliveries(&mut self, kv: &dyn Kv, gone: &[Delivery], batch: &mut Batch) -> Result<()> {
        let numbers: BTreeSet<u64> = gone.iter().map(|delivery| delivery.seq).collect();
        let events: BTreeSet<u64> = gone.iter().flat_map(|delivery| &delivery.event_seqs).copied().collect();
        let touched: BTreeSet<u64> = events.iter().map(|event| segments::of(*event)).collect();
        for segment in touched {
            let key = keys::numbered(keys::DELIVERIES_OF, segment);
            let mut known = kv.get(&key)?.unwrap_or_default();
            let left: Vec<u8> =
                links(&known).filter(|(_, delivery)| !numbers.contains(delivery)).flat_map(bytes).collect();
            if left.is_empty() {
                batch.remove(key);
            } else if left.len() < known.len() {
                known = left;
                batch.put(key, known);
            }
        }
        for delivery in gone {
            batch.remove(keys::by_id(keys::DELIVERY_IDS, &delivery.id));
        }
        self.deliveries.remove(kv, &numbers, batch)
    }

    fn mark(&mut self, number: u64, is_open: bool, batch: &mut Batch) {
        let segment = segments::of(number);
        let before = self.open.get(&segment).copied().unwrap_or_default();
        let after = if is_open { before | bit(number) } else { before & !bit(number) };
        let key = || keys::numbered(keys::OPEN, segment);
        match (before, after) {
            (0, 0) => {}
            (0, _) => batch.put(key(), Vec::new()),
            (_, 0) => batch.remove(key()),
            _ => {}
        }
        if after == 0 {
            self.open.remove(&segment);
        } else {
            self.open.insert(segment, after);
        }
    }
}

/// Numbers of the deliveries of an event.
pub(super) fn deliveries_of(kv: &dyn Kv, event: u64) -> Result<Vec<u64>> {
    let known = kv.get(&keys::numbered(keys::DELIVERIES_OF, segments::of(event)))?.unwrap_or_default();
    Ok(links(&known).filter(|(of, _)| *of == event).map(|(_, delivery)| delivery).collect())
}

/// Visits every link: numbers of an event and of a delivery.
pub(super) fn each_link(kv: &dyn Kv, mut visit: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    scan_all(kv, keys::DELIVERIES_OF, |_, known| links(known).try_for_each(|(event, delivery)| visit(event, delivery)))
}

fn links(known: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    known.chunks_exact(LINK).filter_map(|link| {
        let (event, delivery) = link.split_first_chunk()?;
        Some((u64::from_be_bytes(*event), u64::from_be_bytes(delivery.try_into().ok()?)))
    })
}

fn bytes((event, delivery): (u64, u64)) -> [u8; LINK] {
    (u128::from(event) << 64 | u128::from(delivery)).to_be_bytes()
}

fn bit(number: u64) -> u32 {
    1 << (number % segments::SPAN)
}
