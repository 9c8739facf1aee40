//! The thin loops: poll, plan, commit, deliver.

mod breaker;
pub mod dispatcher;
pub mod keeper;
pub mod poller;
pub mod schedule;
pub mod timekeeper;

use std::sync::Arc;

use crate::domain::cycle::{self, Input, Plan, World};
use crate::domain::record::Rows;
use crate::env::{Clock, Dice};
use crate::store::{Probe, Result, Store, StoreError, Ticket};

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
            let now = self.clock.now();
            let needs = cycle::needs(&self.world, now, input);
            let known = self
                .store
                .load(&needs, probe(input).as_ref().map(|(id, rows)| Probe { collection: id, records: rows }))
                .await?;
            let plan = cycle::plan(&self.world, now, &known, input);
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

fn probe(input: &Input) -> Option<(crate::domain::collection::CollectionId, &[crate::domain::record::Record])> {
    match input {
        Input::Page { spec, page } => match &page.rows {
            Rows::Records(records) => Some((spec.id(), records)),
            _ => None,
        },
        _ => None,
    }
}
