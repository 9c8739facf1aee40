//! What waited in a room goes out as one message.

use super::{Needs, Step, World, digest};
use crate::domain::delivery::{Delivery, DeliveryKind, EVENTS_MAX};
use crate::domain::doc::DocKey;
use crate::domain::event::{Severity, StoredEvent};
use crate::domain::time::Timestamp;
use crate::domain::timing::{self, Room, Timing, Why};

pub(super) fn needs(world: &World, now: Timestamp, sink: &str, rooms: &[String], needs: &mut Needs) {
    needs.docs.insert(DocKey::Rooms(sink.to_owned()));
    needs.rooms.extend(rooms.iter().map(|room| (sink.to_owned(), room.clone())));
    for room in rooms {
        digest::needs(world, now, sink, room, needs);
    }
}

/// Empties the rooms that are due. A room that is not due any more (it was released meanwhile) stays as it is, and what
/// may not go out now (quiet hours, a rate) stays until it may.
pub(super) fn release(step: &mut Step<'_>, sink: &str, rooms: &[String]) {
    for key in rooms {
        let now = step.now;
        let Some(room) = step.rooms(sink).rooms.get(key).filter(|room| room.due <= now).cloned() else {
            digest::of_money_alone(step, sink, key);
            continue;
        };
        let waiting = step.known.rooms.get(key).cloned().unwrap_or_default();
        let mut leaving: Vec<&(u64, StoredEvent)> = waiting.iter().collect();
        let until = held_back(step, sink, key, &room, &mut leaving);
        let gone = leaving.len() as u64;
        let is_empty = waiting.is_empty() || (gone == waiting.len() as u64 && gone >= room.count);
        if is_empty {
            step.rooms(sink).rooms.remove(key);
        } else if let Some(left) = step.rooms(sink).rooms.get_mut(key) {
            left.due = until.unwrap_or(left.due);
            if gone > 0 {
                // The rest goes out as another message.
                left.count = left.count.saturating_sub(gone).max(1);
                left.first = format!("{}+{gone}", left.first);
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
        let delivery = if let [only] = part {
            let internal = crate::domain::routing::is_internal(&only.event.kind);
            Delivery::single(&step.world.bridge, sink, &only.event, step.now, internal)
        } else {
            let mut room = room.clone();
            if number > 0 {
                room.first = format!("{}+{}", room.first, number * most);
            }
            together(step, sink, &room, part)
        };
        step.plan.deliveries.push(delivery);
        if let Some((route, _)) = found.filter(|(_, timing)| timing.rate.is_some()) {
            let now = step.now;
            step.rooms(sink).sent.entry(route).or_default().push(now);
        }
    }
}

/// One delivery for many events.
pub(super) fn together(step: &Step<'_>, sink: &str, room: &Room, events: &[&StoredEvent]) -> Delivery {
    let mut subjects: Vec<&str> = events.iter().map(|e| e.event.subject.as_str()).collect();
    subjects.dedup();
    let mut kinds: Vec<&str> = events.iter().map(|e| e.event.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let incident = events.first().and_then(|e| e.event.incident());
    let same_incident = events.iter().all(|e| e.event.incident() == incident);
    Delivery {
        event_ids: events.iter().map(|e| e.event.id.clone()).collect(),
        event_type: kinds.join(", "),
        subject: if let [subject] = subjects.as_slice() {
            (*subject).to_owned()
        } else {
            format!("{} events", events.len())
        },
        incident: incident.filter(|_| same_incident).map(str::to_owned),
        urgent: events.iter().any(|e| e.event.severity == Severity::Critical),
        ..Delivery::due(&step.world.bridge, sink, room.kind, &[&room.first], step.now)
    }
}
