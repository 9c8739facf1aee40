//! Quiet hours over what was due before them: a retry, what waited for a sink that was down, the edit of a message. What is
//! told in them waits in a room and never comes here.

use std::sync::Arc;

use super::{Step, World};
use crate::domain::delivery::{Delivery, DeliveryKind};
use crate::domain::event::{Severity, StoredEvent};
use crate::domain::routing;
use crate::domain::time::Timestamp;
use crate::domain::timing;

/// A delivery that was claimed and stays.
#[derive(Debug, Clone)]
pub struct Kept {
    pub delivery: Delivery,
    /// The lease it was claimed under.
    pub claim: u64,
    pub until: Timestamp,
}

/// Until when quiet hours keep a delivery that could go now; `None` where it goes. What is critical goes, and with it what
/// is older on its subject (`pressed`), so that the order holds. Digests go by a time of their own.
pub fn until(
    world: &World,
    delivery: &Delivery,
    events: &[Arc<StoredEvent>],
    pressed: bool,
    now: Timestamp,
) -> Option<Timestamp> {
    let has_quiet_hours = world.routes.iter().any(|route| route.timing.quiet.is_some());
    if !has_quiet_hours || pressed || delivery.urgent || delivery.kind == DeliveryKind::Digest {
        return None;
    }
    let mut latest = None;
    for stored in events {
        let timing = routing::timing_at(&world.routes, &stored.event, &stored.origin, &delivery.sink);
        let quiet = timing?.quiet.as_ref().filter(|_| stored.event.severity < Severity::Critical)?;
        latest = latest.max(Some(timing::quiet_until(quiet, now)?));
    }
    latest
}

/// Gives claims back until quiet hours end.
pub(super) fn keep(step: &mut Step<'_>, list: &[Kept]) {
    for one in list.iter().filter(|one| !step.known.void_claims.contains(&one.claim)) {
        step.plan.settled.push((one.claim, one.delivery.clone().kept(one.until, step.now)));
    }
}
