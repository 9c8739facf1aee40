//! What time alone brings: rooms that are due, incidents that stay open.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Core;
use crate::domain::cycle::{self, Input};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::spend::SpendState;
use crate::domain::time::{Timestamp, elapsed};
use crate::domain::timing::Rooms;
use crate::store::StoreError;

/// How often it looks; nothing it does is more urgent than that.
const STEP: Duration = Duration::from_millis(500);
/// Incidents are looked at less often: their waits are minutes.
const INCIDENTS_EVERY: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub async fn run(core: Core, stop: CancellationToken) -> Result<(), StoreError> {
    let mut incidents_at: Option<Timestamp> = None;
    while !stop.is_cancelled() {
        release(&core, Patience::UntilRead).await?;
        let now = core.clock.now();
        let due = incidents_at
            .is_none_or(|at| elapsed(at, now) >= INCIDENTS_EVERY.try_into().unwrap_or_default() || at > now);
        if due {
            incidents_at = Some(now);
            watch_incidents(&core).await?;
        }
        tokio::select! {
            () = tokio::time::sleep(STEP) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Whether a digest waits a little for sources that have yet to be read to the end of its last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    UntilRead,
    /// Everything has just been looked at.
    None,
}

/// Sends what waits and is due, and digests. Returns the number of rooms that were emptied.
pub async fn release(core: &Core, patience: Patience) -> Result<usize, StoreError> {
    let mut emptied = 0;
    let mut without = core.world.timed_sinks();
    // What waits goes out even where no route makes anything wait any more.
    for (key, doc) in core.store.docs("rooms/").await? {
        if let (DocKey::Rooms(sink), Doc::Rooms(rooms)) = (key, doc.as_ref()) {
            without.remove(&sink);
            emptied += release_at(core, &sink, rooms, patience).await?;
        }
    }
    for sink in without {
        emptied += release_at(core, &sink, &Rooms::default(), patience).await?;
    }
    Ok(emptied)
}

async fn release_at(core: &Core, sink: &str, rooms: &Rooms, patience: Patience) -> Result<usize, StoreError> {
    let now = core.clock.now();
    let mut emptied = 0;
    for room in cycle::due_rooms(&core.world, sink, rooms, now) {
        if patience == Patience::UntilRead {
            let states = spend_states(core, sink, &room).await?;
            if cycle::digest_should_wait(&core.world, sink, &room, rooms, &states, now) {
                continue;
            }
        }
        core.step(&Input::Release { sink: sink.to_owned(), rooms: vec![room] }).await?;
        emptied += 1;
    }
    Ok(emptied)
}

/// How the money stands that a digest tells of.
async fn spend_states(core: &Core, sink: &str, room: &str) -> Result<Vec<SpendState>, StoreError> {
    let mut states = Vec::new();
    for key in cycle::digest_asks_about(&core.world, sink, room) {
        if let Some(Doc::Spend(state)) = core.store.doc(&key).await?.as_deref() {
            states.push(state.clone());
        }
    }
    Ok(states)
}

/// When the next of what waits is due.
pub async fn next_release(core: &Core) -> Result<Option<Timestamp>, StoreError> {
    let mut next = None;
    for (_, doc) in core.store.docs("rooms/").await? {
        if let Doc::Rooms(rooms) = doc.as_ref() {
            next = next.into_iter().chain(rooms.rooms.values().map(|room| room.due)).min();
        }
    }
    Ok(next)
}

/// Messages that wait at a sink for others or for their time.
pub async fn rooms(core: &Core, sink: &str) -> Result<usize, StoreError> {
    match core.store.doc(&DocKey::Rooms(sink.to_owned())).await?.as_deref() {
        Some(Doc::Rooms(rooms)) => Ok(rooms.rooms.len()),
        _ => Ok(0),
    }
}

/// Reminds, escalates, and lets go what ended by itself.
pub async fn watch_incidents(core: &Core) -> Result<(), StoreError> {
    match core.store.doc(&DocKey::Incidents).await?.as_deref() {
        Some(Doc::Incidents(incidents)) if !incidents.is_empty() => core.step(&Input::Incidents).await.map(drop),
        _ => Ok(()),
    }
}
