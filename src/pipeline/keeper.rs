//! Letting go of what is old and done with.

use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::Core;
use crate::domain::doc::{Doc, DocKey};
use crate::domain::time::{elapsed, plus};
use crate::store::{Keep, Pruned, StoreConfig, StoreError};

const EVERY: Duration = Duration::from_hours(1);

/// A clock that is this far ahead of when anything was last seen may be wrong: nothing is let go of by it.
const JUMP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Whether the clock goes on from where the last good look was. Asked before anything is looked at by this clock.
pub async fn is_plausible(core: &Core) -> Result<bool, StoreError> {
    let mut last = None;
    for (_, doc) in core.store.docs("collection/").await? {
        if let Doc::Collection(state) = doc.as_ref() {
            last = last.max(state.last_good);
        }
    }
    let plausible = last.is_none_or(|last| elapsed(last, core.clock.now()) < JUMP);
    if !plausible {
        tracing::warn!("the clock is more than a week ahead of the last good look: nothing old is let go of for now");
    }
    Ok(plausible)
}

/// Lets go of what is old at once and every hour, until `stop`. `plausible`: as [`is_plausible`] said at the start.
pub async fn run(core: Core, config: StoreConfig, plausible: bool, stop: CancellationToken) -> Result<(), StoreError> {
    let mut before = core.clock.now();
    let mut plausible = plausible;
    while !stop.is_cancelled() {
        let now = core.clock.now();
        // A jump while it runs counts like one before its start; after an hour of looks by the new clock it is believed.
        plausible &= elapsed(before, now) < JUMP;
        let pruned = if plausible { prune(&core, &config).await? } else { Pruned::default() };
        (before, plausible) = (now, true);
        if pruned.events + pruned.deliveries > 0 {
            tracing::info!(events = pruned.events, deliveries = pruned.deliveries, "let go of what was old");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Once, whole.
pub async fn prune(core: &Core, config: &StoreConfig) -> Result<Pruned, StoreError> {
    let now = core.clock.now();
    let before = |span: SignedDuration| plus(now, -span);
    let events = match core.store.doc(&DocKey::Incidents).await?.as_deref() {
        Some(Doc::Incidents(incidents)) => incidents.values().map(|incident| incident.event.clone()).collect(),
        _ => std::collections::BTreeSet::new(),
    };
    let keep = Keep {
        since: before(config.keep.0),
        dead_since: before(config.keep_dead.0),
        newest: config.keep_events,
        events,
    };
    let mut total = Pruned::default();
    loop {
        let pruned = core.store.prune(&keep).await?;
        total.events += pruned.events;
        total.deliveries += pruned.deliveries;
        if !pruned.more {
            return Ok(total);
        }
    }
}
