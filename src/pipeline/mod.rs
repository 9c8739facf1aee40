//! The thin loops: poll, plan, commit, deliver.

mod breaker;
pub mod dispatcher;
pub mod keeper;
pub mod poller;
mod progress;
pub mod schedule;
pub mod timekeeper;

use std::sync::Arc;

use crate::domain::cycle::{self, Input, Kept, Plan, World};
use crate::domain::record::Rows;
use crate::env::{Clock, Dice};
use crate::store::{self, Claimed, Probe, Result, Store, StoreError, Ticket};

/// Times a step is planned anew because someone else committed in between.
const CONFLICTS: u32 = 20;

/// What every loop works with. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    pub store: Arc<dyn Store>,
    pub world: Arc<World>,
    pub clock: Arc<dyn Clock>,
    pub dice: Arc<dyn Dice>,
}

impl Core {
    /// One step of the walk: load what the input needs, plan, commit. Planned anew where a document changed meanwhile.
    pub async fn step(&self, input: &Input) -> Result<(Plan, Ticket)> {
        let mut left = CONFLICTS;
        loop {
            let probe = probe(input);
            let probe = probe.as_ref().map(|(id, rows)| Probe { collection: id, records: rows });
            let plan = store::plan(self.store.as_ref(), &self.world, self.clock.now(), input, probe).await?;
            match self.store.commit(&plan).await {
                Ok(ticket) => return Ok((plan, ticket)),
                Err(StoreError::Conflict(what)) if left > 0 => {
                    left -= 1;
                    tracing::debug!(what, "planned from an older version; planning again");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Core {
    /// Of what was claimed, what may go now. What quiet hours keep is put back until they end.
    pub async fn awake(&self, claimed: Vec<Claimed>) -> Result<Vec<Claimed>> {
        let now = self.clock.now();
        let (mut going, mut kept) = (Vec::with_capacity(claimed.len()), Vec::new());
        for one in claimed {
            match cycle::kept_until(&self.world, &one.delivery, &one.events, one.pressed, now) {
                Some(until) => kept.push(Kept { delivery: one.delivery, claim: one.claim, until }),
                None => going.push(one),
            }
        }
        if !kept.is_empty() {
            self.step(&Input::Quiet(kept)).await?;
        }
        Ok(going)
    }
}

fn probe(input: &Input) -> Option<(crate::domain::collection::CollectionId, &[crate::domain::record::Record])> {
    match input {
        Input::Page { spec, page } => match &page.rows {
            Rows::Records(records) => Some((spec.id(), records)),
            _ => None,
        },
        _ => None,
    }
}
