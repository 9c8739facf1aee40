//! What waited in a room goes out as one message.

use super::{Needs, Step, World, digest};
use crate::domain::delivery::{Delivery, DeliveryKind, EVENTS_MAX};
use crate::domain::doc::DocKey;
use crate::domain::event::StoredEvent;
use crate::domain::time::Timestamp;
use crate::domain::timing::Room;

pub(super) fn needs(world: &World, now: Timestamp, sink: &str, rooms: &[String], needs: &mut Needs) {
    needs.docs.insert(DocKey::Rooms(sink.to_owned()));
    needs.rooms.extend(rooms.iter().map(|room| (sink.to_owned(), room.clone())));
    for room in rooms {
        digest::needs(world, now, sink, room, needs);
    }
}

/// Empties the rooms that are due. A room that is not due any more (it was released meanwhile) stays as it is.
pub(super) fn release(step: &mut Step<'_>, sink: &str, rooms: &[String]) {
    for key in rooms {
        let now = step.now;
        let Some(room) = step.rooms(sink).rooms.get(key).filter(|room| room.due <= now).cloned() else {
            digest::of_money_alone(step, sink, key);
            continue;
        };
        let waiting = step.known.rooms.get(key).cloned().unwrap_or_default();
        if waiting.len() as u64 >= room.count || waiting.is_empty() {
            step.rooms(sink).rooms.remove(key);
        } else if let Some(left) = step.rooms(sink).rooms.get_mut(key) {
            // More waits than goes into one message: the rest follows at once, as another.
            left.count -= waiting.len() as u64;
            left.first = format!("{}+{}", left.first, waiting.len());
        }
        step.plan.released.push((sink.to_owned(), key.clone(), waiting.iter().map(|(seq, _)| *seq).collect()));
        let events: Vec<&StoredEvent> = waiting.iter().map(|(_, event)| event).collect();
        match (events.as_slice(), room.kind) {
            ([], _) => {}
            ([only], DeliveryKind::Group) => {
                let internal = crate::domain::routing::is_internal(&only.event.kind);
                step.plan.deliveries.push(Delivery::single(&step.world.bridge, sink, &only.event, step.now, internal));
            }
            (many, DeliveryKind::Digest) => digest::of_events(step, sink, key, &room, many),
            (many, _) => {
                // A sink is handed no more than so many of a message's events, and all of them are to be told.
                for (number, part) in many.chunks(EVENTS_MAX).enumerate() {
                    let mut room = room.clone();
                    if number > 0 {
                        room.first = format!("{}+{}", room.first, number * EVENTS_MAX);
                    }
                    let delivery = together(step, sink, &room, part);
                    step.plan.deliveries.push(delivery);
                }
            }
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
        ..Delivery::due(&step.world.bridge, sink, room.kind, &[&room.first], step.now)
    }
}
