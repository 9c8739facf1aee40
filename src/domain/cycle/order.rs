//! The order of a subject at a sink, over what waits there: nothing goes out about something while older news of it waits
//! in a room. What is older leaves its room and goes right before, whatever it waits for; what quiet hours keep, they go on
//! to keep, and what comes after it with it, unless that is critical. Digests are told by themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Step, release};
use crate::domain::delivery::{Delivery, DeliveryKind, EVENTS_MAX};
use crate::domain::event::StoredEvent;
use crate::domain::timing;

/// When an event came: its number, or as which of this step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Stored(u64),
    Fresh(usize),
}

/// An event that leaves its room before its time.
struct Older {
    age: Age,
    room: String,
    event: StoredEvent,
}

/// Puts what is older before each message of this step.
pub(super) fn keep(step: &mut Step<'_>) {
    let sinks: BTreeSet<String> =
        step.plan.deliveries.iter().filter(|d| is_ordered(d)).map(|d| d.sink.clone()).collect();
    let sinks: BTreeSet<String> =
        sinks.into_iter().filter(|sink| step.rooms(sink).rooms.keys().any(|room| timing::keeps_order(room))).collect();
    if sinks.is_empty() {
        return;
    }
    let planned = std::mem::take(&mut step.plan.deliveries);
    let ages = ages(step);
    let limits: Vec<BTreeMap<String, Age>> = planned.iter().map(|delivery| limits(delivery, &ages)).collect();
    let mut news = news(&planned, &limits);
    let mut gone: BTreeSet<(String, u64)> = BTreeSet::new();
    for (sink, _, numbers) in &step.plan.released {
        gone.extend(numbers.iter().map(|number| (sink.clone(), *number)));
    }
    for (delivery, limits) in planned.into_iter().zip(limits) {
        let sink = &delivery.sink;
        let mut older = BTreeMap::new();
        for (subject, limit) in limits.iter().filter(|_| sinks.contains(sink)) {
            older.extend(waiting(step, sink, subject, *limit));
            // Whatever was there before this step is older than all that is new in it: one message is made of what has to
            // go before any of that.
            let all =
                if matches!(limit, Age::Fresh(_)) { news.remove(sink).unwrap_or_default() } else { BTreeSet::new() };
            for subject in all {
                older.extend(waiting(step, sink, &subject, Age::Fresh(0)));
            }
        }
        older.retain(|age, _| match age {
            Age::Stored(number) => gone.insert((sink.clone(), *number)),
            Age::Fresh(_) => true,
        });
        send(step, sink, older);
        step.plan.deliveries.push(delivery);
    }
}

fn is_ordered(delivery: &Delivery) -> bool {
    delivery.state.is_open() && delivery.kind != DeliveryKind::Digest
}

/// Events that leave a room in this step or are made in it, by id, with their subject.
fn ages(step: &Step<'_>) -> HashMap<String, (Age, String)> {
    let entry = |age, event: &StoredEvent| (event.event.id.clone(), (age, event.event.subject.clone()));
    let stored = step.known.rooms.values().flatten().map(|(number, event)| entry(Age::Stored(*number), event));
    let fresh = step.plan.events.iter().enumerate().map(|(at, event)| entry(Age::Fresh(at), event));
    stored.chain(fresh).collect()
}

/// What a delivery is about, and of each how new its news are. What it says again is as new as anything.
fn limits(delivery: &Delivery, ages: &HashMap<String, (Age, String)>) -> BTreeMap<String, Age> {
    let mut limits = BTreeMap::new();
    if !is_ordered(delivery) {
        return limits;
    }
    for (age, subject) in delivery.event_ids.iter().filter_map(|id| ages.get(id)) {
        let limit = limits.entry(subject.clone()).or_insert(*age);
        *limit = (*limit).max(*age);
    }
    for subject in delivery.about() {
        limits.entry(subject.clone()).or_insert(Age::Fresh(usize::MAX));
    }
    limits
}

/// By sink: what is told of anew.
fn news(planned: &[Delivery], limits: &[BTreeMap<String, Age>]) -> BTreeMap<String, BTreeSet<String>> {
    let mut news: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (delivery, limits) in planned.iter().zip(limits) {
        let fresh = limits.iter().filter(|(_, limit)| matches!(limit, Age::Fresh(_)));
        news.entry(delivery.sink.clone()).or_default().extend(fresh.map(|(subject, _)| subject.clone()));
    }
    news
}

/// What waits at a sink about something and is older than `limit`.
fn waiting(step: &mut Step<'_>, sink: &str, subject: &str, limit: Age) -> Vec<(Age, Older)> {
    let key = (sink.to_owned(), subject.to_owned());
    let mut found = Vec::new();
    match step.known.waiting.get(&key) {
        Some(list) => found.extend(list.iter().map(|waiting| Older {
            age: Age::Stored(waiting.seq),
            room: waiting.room.clone(),
            event: waiting.event.clone(),
        })),
        None => drop(step.plan.asks.insert(key)),
    }
    let here = step.plan.waits.iter().filter(|wait| wait.sink == sink && wait.about.as_deref() == Some(subject));
    for wait in here {
        let made = step.plan.events.iter().enumerate().find(|(_, stored)| stored.event.id == wait.event);
        found.extend(made.map(|(at, event)| Older {
            age: Age::Fresh(at),
            room: wait.room.clone(),
            event: event.clone(),
        }));
    }
    found.into_iter().filter(|older| older.age < limit).map(|older| (older.age, older)).collect()
}

/// Takes events out of their rooms, and makes messages of them, oldest first.
fn send(step: &mut Step<'_>, sink: &str, older: BTreeMap<Age, Older>) {
    let older: Vec<Older> = older.into_values().collect();
    let mut rooms: BTreeMap<&str, Vec<&Older>> = BTreeMap::new();
    for one in &older {
        rooms.entry(&one.room).or_default().push(one);
    }
    for (room, leaving) in rooms {
        let number = |older: &&Older| match older.age {
            Age::Stored(number) => Some(number),
            Age::Fresh(_) => None,
        };
        let numbers: Vec<u64> = leaving.iter().filter_map(number).collect();
        if !numbers.is_empty() {
            step.plan.released.push((sink.to_owned(), room.to_owned(), numbers));
        }
        step.plan.waits.retain(|wait| wait.sink != sink || leaving.iter().all(|one| one.event.event.id != wait.event));
        release::book(step, sink, room, leaving.len() as u64);
    }
    let (stored, fresh): (Vec<&Older>, Vec<&Older>) = older.iter().partition(|one| matches!(one.age, Age::Stored(_)));
    // What is made in this step may be known already, and is then dropped at commit: no other may be dropped with it.
    for part in stored.chunks(EVENTS_MAX).chain(fresh.chunks(1)) {
        let events: Vec<&StoredEvent> = part.iter().map(|one| &one.event).collect();
        let delivery = release::message(step, sink, DeliveryKind::Group, &events[0].event.id, &events);
        step.plan.deliveries.push(delivery);
    }
}
