//! What waits in rooms, as the deliveries it will become.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Desk, OpError};
use crate::domain::delivery::{DeliveryKind, delivery_id};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::glob_matches;
use crate::domain::time::Timestamp;
use crate::domain::timing::Room;
use crate::store::DeliveryFilter;

/// Events named per room; as many go into one message.
const NAMED: usize = 2_000;

/// A row for each room that matches. Such a delivery is open and not due: its time is in `waits_until`.
pub(super) async fn rows(desk: &Desk, filter: &DeliveryFilter) -> Result<Vec<Value>, OpError> {
    if filter.state.as_ref().is_some_and(|state| state != "due") {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (sink, name, room) in rooms(desk).await? {
        let in_time = filter.since.is_none_or(|t| room.since >= t) && filter.until.is_none_or(|t| room.since < t);
        if !in_time || filter.sink.as_ref().is_some_and(|wanted| *wanted != sink) {
            continue;
        }
        let (row, kinds) = row(desk, &sink, &name, &room).await?;
        if filter.kind.as_ref().is_none_or(|glob| kinds.iter().any(|kind| glob_matches(glob, kind))) {
            found.push(row);
        }
    }
    Ok(found)
}

/// The message an event of a sink waits for.
pub(super) async fn row_of(desk: &Desk, sink: &str, room: &str) -> Result<Option<Value>, OpError> {
    for (in_sink, name, found) in rooms(desk).await? {
        if in_sink == sink && name == room {
            return Ok(Some(row(desk, &in_sink, &name, &found).await?.0));
        }
    }
    Ok(None)
}

/// The message that will have this id, and until when it waits.
pub(super) async fn by_id(desk: &Desk, id: &str) -> Result<Option<(Value, Timestamp)>, OpError> {
    for (sink, name, room) in rooms(desk).await? {
        let (row, _) = row(desk, &sink, &name, &room).await?;
        if row.get("id").and_then(Value::as_str) == Some(id) {
            return Ok(Some((row, room.due)));
        }
    }
    Ok(None)
}

async fn rooms(desk: &Desk) -> Result<Vec<(String, String, Room)>, OpError> {
    let mut all = Vec::new();
    for (key, doc) in desk.store.docs("rooms/").await? {
        if let (DocKey::Rooms(sink), Doc::Rooms(rooms)) = (key, doc.as_ref()) {
            all.extend(rooms.rooms.iter().map(|(name, room)| (sink.clone(), name.clone(), room.clone())));
        }
    }
    all.sort_by_key(|(_, _, room)| std::cmp::Reverse(room.since));
    Ok(all)
}

async fn row(desk: &Desk, sink: &str, name: &str, room: &Room) -> Result<(Value, BTreeSet<String>), OpError> {
    let events = desk.store.waiting_in(sink, name, NAMED).await?;
    let kinds: BTreeSet<String> = events.iter().map(|e| e.event.kind.clone()).collect();
    let single = match (events.as_slice(), room.kind) {
        ([only], DeliveryKind::Group) => Some(only),
        _ => None,
    };
    // One that waits alone goes out as itself, under the id it would have had at once.
    let (kind, first) = match single {
        Some(only) => (DeliveryKind::Single, &only.event.id),
        None => (room.kind, &room.first),
    };
    let id = delivery_id(&desk.world.bridge, sink, kind, &[first]);
    let subject = match events.as_slice() {
        [only] => only.event.subject.clone(),
        many => format!("{} events", many.len()),
    };
    let row = json!({
        "id": id, "event_ids": events.iter().map(|e| &e.event.id).collect::<Vec<_>>(), "sink": sink,
        "subject": subject, "state": "due", "attempts": 0, "due": Value::Null,
        "reason": format!("{}; goes out at {}", room.why.as_str(), room.due),
        "kind": room.kind.as_str(), "event_type": kinds.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        "created": room.since, "finished": Value::Null, "waits_until": room.due,
    });
    Ok((row, kinds))
}
