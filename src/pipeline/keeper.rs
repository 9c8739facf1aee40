//! Letting go of what is old and done with.

use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::Core;
use crate::domain::doc::{Doc, DocKey};
use crate::domain::time::plus;
use crate::store::{Keep, Pruned, StoreConfig, StoreError};

const EVERY: Duration = Duration::from_hours(1);

/// Lets go of what is old at once and every hour, until `stop`.
pub async fn run(core: Core, config: StoreConfig, stop: CancellationToken) -> Result<(), StoreError> {
    while !stop.is_cancelled() {
        let pruned = prune(&core, &config).await?;
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
