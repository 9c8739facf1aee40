//! What waited in a room goes out as one message.

use std::collections::BTreeSet;

use super::{Needs, Step, World, digest};
use crate::domain::delivery::{Delivery, DeliveryKind, EVENTS_MAX};
use crate::domain::doc::DocKey;
use crate::domain::event::{Severity, StoredEvent};
use crate::domain::time::{Timestamp, elapsed, plus};
use crate::domain::timing::{self, Group, Room, Timing, Why};

pub(super) fn needs(world: &World, now: Timestamp, sink: &str, rooms: &[String], needs: &mut Needs) {
    needs.docs.insert(DocKey::Rooms(sink.to_owned()));
    needs.rooms.extend(rooms.iter().map(|room| (sink.to_owned(), room.clone())));
    for room in rooms {
        digest::needs(world, now, sink, room, needs);
    }
}

/// Empties the rooms that are due. A room that is not due any more (it was released meanwhile) stays as it is, and what
/// may not go out now (quiet hours, a rate, the rest of a full group) stays until it may.
pub(super) fn release(step: &mut Step<'_>, sink: &str, rooms: &[String]) {
    for key in rooms {
        let now = step.now;
        let Some(room) = step.rooms(sink).rooms.get(key).filter(|room| room.due <= now).cloned() else {
            digest::of_money_alone(step, sink, key);
            continue;
        };
        let waiting = step.known.rooms.get(key).cloned().unwrap_or_default();
        let mut leaving: Vec<&(u64, StoredEvent)> = waiting.iter().collect();
        let full = whole_groups(step.world, key, &room, &mut leaving, now);
        let held = held_back(step, sink, key, &room, &mut leaving);
        let gone = leaving.len() as u64;
        let is_empty = waiting.is_empty() || (gone == waiting.len() as u64 && gone >= room.count);
        if is_empty {
            step.rooms(sink).rooms.remove(key);
        } else if let Some(left) = step.rooms(sink).rooms.get_mut(key) {
            if gone > 0 {
                left.leave(gone);
            }
            match (held, full) {
                (Some(until), _) => left.due = until,
                (None, Some(group)) => {
                    let first = waiting.get(leaving.len());
                    left.since = first.map_or(now, |(_, stored)| stored.seen.min(now));
                    left.due = if left.count >= group.max { now } else { plus(left.since, group.wait) };
                }
                (None, None) => {}
            }
        }
        if !leaving.is_empty() {
            let numbers = leaving.iter().map(|(seq, _)| *seq).collect();
            step.plan.released.push((sink.to_owned(), key.clone(), numbers));
            let events: Vec<&StoredEvent> = leaving.iter().map(|(_, event)| event).collect();
            send(step, sink, key, &room, &events);
        }
    }
}

/// Of a group that is due because it is full, the rest waits for more, or for its time. The group it is, then.
fn whole_groups<'w>(
    world: &'w World,
    key: &str,
    room: &Room,
    leaving: &mut Vec<&(u64, StoredEvent)>,
    now: Timestamp,
) -> Option<&'w Group> {
    let (_, timing) = timing_of(world, key)?;
    let group = timing.group.as_ref().filter(|_| room.why == Why::Group)?;
    if elapsed(room.since, now) >= group.wait || room.since > now {
        return None;
    }
    let most = usize::try_from(group.max).unwrap_or(usize::MAX).max(1);
    leaving.truncate(leaving.len() / most * most);
    Some(group)
}

/// Until when the room has to wait, and takes out of `leaving` what has to: at night all but what is critical, and over
/// the rate of its route all.
fn held_back(
    step: &mut Step<'_>,
    sink: &str,
    key: &str,
    room: &Room,
    leaving: &mut Vec<&(u64, StoredEvent)>,
) -> Option<Timestamp> {
    let (now, world) = (step.now, step.world);
    let (route, timing) = timing_of(world, key)?;
    if room.kind == DeliveryKind::Digest || leaving.is_empty() {
        return None;
    }
    let night = timing.quiet.as_ref().and_then(|quiet| timing::quiet_until(quiet, now));
    if night.is_some() {
        leaving.retain(|(_, stored)| stored.event.severity == Severity::Critical);
    }
    let Some(rate) = timing.rate.filter(|_| room.why == Why::Group && !leaving.is_empty()) else { return night };
    let over = timing::over_rate(rate, route, step.rooms(sink), now);
    if over.is_some() {
        leaving.clear();
    }
    over.or(night)
}

fn timing_of<'w>(world: &'w World, key: &str) -> Option<(usize, &'w Timing)> {
    let route = timing::route_of(key)?;
    Some((route, &world.routes.get(route)?.timing))
}

/// What leaves a room, as one message or as several of no more than a message may have.
fn send(step: &mut Step<'_>, sink: &str, key: &str, room: &Room, events: &[&StoredEvent]) {
    if room.kind == DeliveryKind::Digest {
        return digest::of_events(step, sink, key, room, events);
    }
    let found = timing_of(step.world, key).filter(|_| room.why == Why::Group);
    let most = found.and_then(|(_, timing)| usize::try_from(timing.group.as_ref()?.max).ok());
    // A sink is handed no more than so many of a message's events, and all of them are to be told.
    let most = most.unwrap_or(EVENTS_MAX).clamp(1, EVENTS_MAX);
    for (number, part) in events.chunks(most).enumerate() {
        let mut room = room.clone();
        if number > 0 {
            room.leave((number * most) as u64);
        }
        let delivery = message(step, sink, room.kind, &room.first, part);
        step.plan.deliveries.push(delivery);
        if let Some((route, _)) = found.filter(|(_, timing)| timing.rate.is_some()) {
            let now = step.now;
            step.rooms(sink).sent.entry(route).or_default().push(now);
        }
    }
}

/// Books that so many leave a room before its time. It counts against the rate of their route all the same.
pub(super) fn book(step: &mut Step<'_>, sink: &str, key: &str, gone: u64) {
    let now = step.now;
    let rated = timing_of(step.world, key).filter(|(_, timing)| timing.rate.is_some());
    let rooms = step.rooms(sink);
    match rooms.rooms.get_mut(key) {
        Some(room) if room.count > gone => room.leave(gone),
        _ => drop(rooms.rooms.remove(key)),
    }
    if let Some((route, _)) = rated {
        rooms.sent.entry(route).or_default().push(now);
    }
}

/// One delivery of these events; `first` makes its id, with its kind. One event is told as itself.
pub(super) fn message(
    step: &Step<'_>,
    sink: &str,
    kind: DeliveryKind,
    first: &str,
    events: &[&StoredEvent],
) -> Delivery {
    match events {
        [only] => {
            let internal = crate::domain::routing::is_internal(&only.event.kind);
            Delivery::single(&step.world.bridge, sink, &only.event, step.now, internal)
        }
        several => together(step, sink, kind, first, several),
    }
}

/// One delivery for many events.
pub(super) fn together(
    step: &Step<'_>,
    sink: &str,
    kind: DeliveryKind,
    first: &str,
    events: &[&StoredEvent],
) -> Delivery {
    let subjects: BTreeSet<&str> = events.iter().map(|e| e.event.subject.as_str()).collect();
    let mut subjects: Vec<String> = subjects.into_iter().map(str::to_owned).collect();
    let subject =
        if subjects.len() == 1 { subjects.pop().unwrap_or_default() } else { format!("{} events", events.len()) };
    let mut kinds: Vec<&str> = events.iter().map(|e| e.event.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let incident = events.first().and_then(|e| e.event.incident());
    let same_incident = events.iter().all(|e| e.event.incident() == incident);
    Delivery {
        event_ids: events.iter().map(|e| e.event.id.clone()).collect(),
        event_type: kinds.join(", "),
        subject,
        subjects,
        incident: incident.filter(|_| same_incident).map(str::to_owned),
        urgent: events.iter().any(|e| e.event.severity == Severity::Critical),
        ..Delivery::due(&step.world.bridge, sink, kind, &[first], step.now)
    }
}
