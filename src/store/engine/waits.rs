//! Which events wait at a sink, by what they are about. In memory, rebuilt at start; about 50 bytes each.

use std::collections::{BTreeSet, HashMap};

use xxhash_rust::xxh3::xxh3_64;

use super::super::kv::{Batch, Kv};
use super::super::{Result, keys};
use super::{Shared, scan_all};
use crate::domain::cycle::Waiting;

/// Belongs behind the store's lock.
#[derive(Default)]
pub(super) struct Waits(HashMap<(u64, u64), BTreeSet<u64>>);

impl Waits {
    pub(super) fn load(kv: &dyn Kv) -> Result<Self> {
        let mut waits = Self::default();
        scan_all(kv, keys::WAITING, |key, subject| {
            if let (Some((sink, _, event)), false) = (keys::parse_waiting(key), subject.is_empty()) {
                waits.0.entry(place(&sink, subject)).or_default().insert(event);
            }
            Ok(())
        })?;
        Ok(waits)
    }

    /// An event waits; `about` is its subject, where its order counts.
    pub(super) fn add(&mut self, sink: &str, room: &str, event: u64, about: Option<&str>, batch: &mut Batch) {
        let about = about.unwrap_or_default().as_bytes();
        if !about.is_empty() {
            self.0.entry(place(sink, about)).or_default().insert(event);
        }
        put(batch, sink, room, event, about);
    }

    /// It waits no longer.
    pub(super) fn remove(&mut self, kv: &dyn Kv, sink: &str, room: &str, event: u64, batch: &mut Batch) -> Result<()> {
        let key = keys::waiting(sink, room, event);
        let place = place(sink, &kv.get(&key)?.unwrap_or_default());
        if let Some(events) = self.0.get_mut(&place) {
            events.remove(&event);
            if events.is_empty() {
                self.0.remove(&place);
            }
        }
        batch.remove(key);
        batch.remove(keys::waiting_of(event, sink));
        Ok(())
    }

    fn about(&self, sink: &str, subject: &str) -> Vec<u64> {
        self.0.get(&place(sink, subject.as_bytes())).into_iter().flatten().copied().collect()
    }
}

/// Writes where an event waits.
pub(super) fn put(batch: &mut Batch, sink: &str, room: &str, event: u64, about: &[u8]) {
    batch.put(keys::waiting(sink, room, event), about.to_vec());
    batch.put(keys::waiting_of(event, sink), room.as_bytes().to_vec());
}

fn place(sink: &str, subject: &[u8]) -> (u64, u64) {
    (xxh3_64(sink.as_bytes()), xxh3_64(subject))
}

impl<K: Kv> Shared<K> {
    /// What waits at a sink about something, oldest first.
    pub(super) fn waiting_about(&self, sink: &str, subject: &str) -> Result<Vec<Waiting>> {
        let numbers = self.lock()?.waits.about(sink, subject);
        let mut found = Vec::with_capacity(numbers.len());
        for seq in numbers {
            let room = self.kv.get(&keys::waiting_of(seq, sink))?;
            let event = self.event_at(seq)?.filter(|stored| stored.event.subject == subject);
            if let (Some(room), Some(event)) = (room, event) {
                found.push(Waiting { seq, room: String::from_utf8_lossy(&room).into_owned(), event });
            }
        }
        Ok(found)
    }
}
