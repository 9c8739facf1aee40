//! Stores of older formats, brought forward when they are opened.
//!
//! Format 1 had a key for each event, each delivery (another family for those that were closed), and each event of a
//! delivery. What is brought forward in one transaction is gone from its old place in the same; so a process that is
//! killed on the way leaves a store that the next one goes on with.

use std::ops::ControlFlow;

use super::super::kv::{Batch, Kv};
use super::super::{Result, codec, keys};
use super::ledger::{Entries, Ledger};
use super::{FORMAT, Meta};
use crate::domain::delivery::Delivery;
use crate::domain::event::StoredEvent;

/// Families of format 1: the number is the rest of the key; of a link it is the event's, then the delivery's.
const EVENTS: &[u8] = b"e";
const OPEN: &[u8] = b"a";
const CLOSED: &[u8] = b"h";
const LINKS: &[u8] = b"l";
/// Old keys brought forward in one transaction.
const BATCH: usize = 1_000;

/// Does nothing to a store that is of this format already.
pub(super) fn forward(kv: &dyn Kv, meta: &mut Meta) -> Result<()> {
    forward_by(BATCH, kv, meta)
}

fn forward_by(many: usize, kv: &dyn Kv, meta: &mut Meta) -> Result<()> {
    if meta.format == FORMAT && meta.from.is_none() {
        return Ok(());
    }
    // First of all, so that an older ampbridge refuses what is half of each.
    meta.from = Some(meta.from.unwrap_or(meta.format));
    meta.format = FORMAT;
    put_meta(kv, meta)?;
    let mut ledger = Ledger::load(kv, |_| ())?;
    for family in [EVENTS, CLOSED, OPEN, LINKS] {
        while some(many, kv, family, &mut ledger, meta.next_event)? {}
    }
    meta.from = None;
    put_meta(kv, meta)
}

fn put_meta(kv: &dyn Kv, meta: &Meta) -> Result<()> {
    let mut batch = Batch::default();
    batch.put(keys::META.to_vec(), codec::encode(meta)?);
    kv.apply(batch)?;
    kv.flush(meta.commit)
}

/// Brings some of a family forward; false where there was nothing left.
fn some(many: usize, kv: &dyn Kv, family: &[u8], ledger: &mut Ledger, next_event: u64) -> Result<bool> {
    let mut old: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    kv.scan(family, &mut |key, value| {
        old.push((key.to_vec(), value.to_vec()));
        if old.len() < many { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if old.is_empty() {
        return Ok(false);
    }
    let (mut entries, mut batch) = (Entries::default(), Batch::default());
    for (key, value) in old {
        let number = keys::last_number(&key).unwrap_or_default();
        match family {
            EVENTS => entries.event(number, &codec::decode::<StoredEvent>(&value, "an event")?)?,
            LINKS => entries.link(keys::last_number(&key[..key.len() - 8]).unwrap_or_default(), number),
            _ => entries.delivery(&codec::decode::<Delivery>(&value, "a delivery")?)?,
        }
        batch.remove(key);
    }
    ledger.write(kv, entries, next_event, &mut batch)?;
    kv.apply(batch)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::super::memory::{self, MemoryKv};
    use super::super::super::{DeliveryFilter, EventFilter, Store};
    use super::*;
    use crate::domain::delivery::DeliveryState;
    use crate::domain::event::{ContentType, Event, Severity, SpecVersion};
    use crate::domain::time::Timestamp;
    use jiff::SignedDuration;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn event(number: u64) -> StoredEvent {
        let event = Event {
            specversion: SpecVersion::V1,
            id: format!("evt_{number}"),
            source: "ampbridge://bridge/acme".into(),
            kind: "thread.created".into(),
            subject: format!("T-{number}"),
            time: AT,
            datacontenttype: ContentType::Json,
            severity: Severity::Info,
            data: crate::domain::event::Data::from_iter([("title".to_owned(), "Fix the importer".into())]),
        };
        StoredEvent {
            event,
            seen: AT,
            why: serde_json::Value::Null,
            origin: "acme".into(),
            routing: vec![],
            sinks: vec!["ops".into()],
        }
    }

    /// Every third delivery is open.
    fn delivery(number: u64) -> Delivery {
        let mut delivery = Delivery::single("bridge", "ops", &event(number).event, AT, false);
        (delivery.seq, delivery.event_seqs) = (number, vec![number]);
        if !number.is_multiple_of(3) {
            delivery.state = DeliveryState::Delivered { at: AT };
        }
        delivery
    }

    /// As the first version wrote it.
    fn old_store(count: u64) -> MemoryKv {
        let kv = MemoryKv::default();
        let mut batch = Batch::default();
        for number in 1..=count {
            let (event, delivery) = (event(number), delivery(number));
            let family = if delivery.state.is_open() { OPEN } else { CLOSED };
            batch.put(keys::numbered(EVENTS, number), codec::encode(&event).unwrap());
            batch.put(keys::by_id(keys::EVENT_IDS, &event.event.id), number.to_be_bytes().to_vec());
            batch.put(keys::numbered(family, number), codec::encode(&delivery).unwrap());
            batch.put(keys::by_id(keys::DELIVERY_IDS, &delivery.id), number.to_be_bytes().to_vec());
            batch.put(keys::piece(LINKS, number, number), Vec::new());
        }
        let meta = serde_json::json!({ "format": 1, "commit": 7, "next_event": count + 1, "next_delivery": count + 1 });
        batch.put(keys::META.to_vec(), codec::encode(&meta).unwrap());
        kv.apply(batch).unwrap();
        kv.flush(7).unwrap();
        kv
    }

    async fn holds_all(kv: &MemoryKv, count: u64) {
        let store = memory::open(kv.clone()).unwrap();
        let overview = store.overview().await.unwrap();
        assert_eq!((overview.format, overview.commit, overview.events), (FORMAT, 7, count));
        let events = store.events(&EventFilter::default()).await.unwrap();
        assert!(events.iter().rev().cloned().eq((1..=count).map(event)));
        let deliveries = store.deliveries(&DeliveryFilter::default()).await.unwrap();
        assert!(deliveries.iter().rev().map(|listed| listed.delivery.clone()).eq((1..=count).map(delivery)));
        for number in 1..=count {
            let of = store.deliveries_of(&format!("evt_{number}")).await.unwrap();
            assert_eq!(of.len(), 1, "{number}");
            assert_eq!(store.delivery(&of[0].delivery.id).await.unwrap(), Some(of[0].clone()));
        }
        let claimed = store.claim("ops", AT, usize::MAX, SignedDuration::from_secs(9)).await.unwrap();
        assert!(claimed.iter().map(|one| one.delivery.seq).eq((3..=count).step_by(3)));
        assert!(claimed.iter().all(|one| one.events[0].event == event(one.delivery.seq).event));
        for family in [EVENTS, OPEN, CLOSED, LINKS] {
            kv.scan(family, &mut |key, _| panic!("{key:?} is left")).unwrap();
        }
    }

    #[tokio::test]
    async fn a_store_of_the_first_format_gives_the_same_answers() {
        let kv = old_store(150);
        holds_all(&kv, 150).await;
        holds_all(&kv, 150).await;
    }

    #[tokio::test]
    async fn whoever_is_killed_on_the_way_leaves_a_store_that_the_next_one_goes_on_with() {
        for steps in 0.. {
            let kv = old_store(100);
            let mut meta: Meta = codec::decode(&kv.get(keys::META).unwrap().unwrap(), "meta").unwrap();
            kv.fail_after(steps);
            let killed = forward_by(20, &kv, &mut meta).is_err();
            holds_all(&kv.clone(), 100).await;
            if !killed {
                assert!(steps > 12, "{steps}");
                return;
            }
        }
    }
}
