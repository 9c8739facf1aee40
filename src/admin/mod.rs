//! Operations on what is stored: one [`execute`] that the command line and the HTTP API share.

mod ackpage;
pub mod api;
mod audit;
pub mod client;
mod notice;
mod operations;
mod rows;
pub mod spend;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::collection::CollectionSpec;
use crate::domain::cycle::{self, Input, World};
use crate::domain::silence::Silence;
use crate::domain::time::Timestamp;
use crate::env::Clock;
use crate::store::{self, DeliveryFilter, EventFilter, Store, StoreError};

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    EventsList {
        filter: EventFilter,
    },
    EventShow {
        id: String,
    },
    EventExplain {
        id: String,
    },
    DeliveriesList {
        filter: DeliveryFilter,
    },
    DeliveryShow {
        id: String,
    },
    DeliveriesRetry {
        ids: Vec<String>,
        filter: Option<DeliveryFilter>,
        /// One after the other, in the order they are named.
        #[serde(default)]
        in_order: bool,
    },
    DeliveriesDrop {
        ids: Vec<String>,
        filter: Option<DeliveryFilter>,
    },
    StateShow {
        collection: Option<String>,
        limit: usize,
    },
    StateReset {
        collections: Vec<String>,
    },
    SinksList,
    SinkEnable {
        name: String,
    },
    SinkDisable {
        name: String,
    },
    HoldList,
    HoldApprove {
        id: String,
    },
    HoldReject {
        id: String,
    },
    HoldRebaseline {
        id: String,
    },
    IncidentsList,
    /// An incident's id, or that of one of its events.
    Acknowledge {
        id: String,
        by: String,
    },
    SilenceList,
    SilenceAdd {
        silence: Box<Silence>,
    },
    SilenceExpire {
        id: String,
    },
    Audit {
        since: Option<Timestamp>,
    },
    /// May more be spent?
    Guard {
        scopes: Vec<String>,
        rule: Option<String>,
        max_age_seconds: Option<i64>,
    },
    /// Days of money.
    Ledger {
        from: Option<Date>,
        to: Date,
    },
}

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One JSON document: a list or an object.
    Data(Value),
    /// A sentence for each thing done.
    Done(Vec<String>),
}

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Refused(String),
    /// What was asked for can't be meant.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The running service could not be asked.
    #[error("{0}")]
    Service(String),
}

/// What operations work on: the store, and as much of the configuration as they need.
#[derive(Clone)]
pub struct Desk {
    pub store: Arc<dyn Store>,
    pub world: Arc<World>,
    pub clock: Arc<dyn Clock>,
    /// Collections as configured, by `source/name`.
    pub specs: Arc<BTreeMap<String, Arc<CollectionSpec>>>,
    /// Sinks as configured: name, kind.
    pub sinks: Arc<Vec<(String, String)>>,
}

impl Desk {
    /// Plans and commits one input, and waits until it is durable.
    async fn step(&self, input: &Input) -> Result<cycle::Plan, StoreError> {
        loop {
            let plan = store::plan(self.store.as_ref(), &self.world, self.clock.now(), input, None).await?;
            match self.store.commit(&plan).await {
                Ok(ticket) => {
                    self.store.durable(ticket).await?;
                    return Ok(plan);
                }
                Err(StoreError::Conflict(_)) => tokio::task::yield_now().await,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Does one operation.
pub async fn execute(desk: &Desk, op: Op) -> Result<Answer, OpError> {
    match op {
        Op::EventsList { filter } => operations::events(desk, &filter).await,
        Op::EventShow { id } => operations::event(desk, &id).await,
        Op::EventExplain { id } => operations::explain(desk, &id).await,
        Op::DeliveriesList { filter } => operations::deliveries(desk, &filter).await,
        Op::DeliveryShow { id } => operations::delivery(desk, &id).await,
        Op::DeliveriesRetry { ids, filter, in_order } => {
            let retry =
                |id, sink: &str| cycle::Command::RetryDelivery { id, in_order_at: in_order.then(|| sink.to_owned()) };
            operations::each_delivery(desk, ids, filter, retry).await
        }
        Op::DeliveriesDrop { ids, filter } => {
            operations::each_delivery(desk, ids, filter, |id, _| cycle::Command::DropDelivery { id }).await
        }
        Op::StateShow { collection, limit } => operations::state(desk, collection.as_deref(), limit).await,
        Op::StateReset { collections } => operations::reset(desk, collections).await,
        Op::SinksList => operations::sinks(desk).await,
        Op::SinkEnable { name } => operations::sink(desk, &name, true).await,
        Op::SinkDisable { name } => operations::sink(desk, &name, false).await,
        Op::HoldList => operations::holds(desk).await,
        Op::HoldApprove { id } => operations::decide(desk, &id, operations::Decision::Approve).await,
        Op::HoldReject { id } => operations::decide(desk, &id, operations::Decision::Reject).await,
        Op::HoldRebaseline { id } => operations::decide(desk, &id, operations::Decision::Rebaseline).await,
        Op::IncidentsList => notice::incidents(desk).await,
        Op::Acknowledge { id, by } => notice::acknowledge(desk, &id, &by).await,
        Op::SilenceList => notice::silences(desk).await,
        Op::SilenceAdd { silence } => notice::add_silence(desk, *silence).await,
        Op::SilenceExpire { id } => notice::expire_silence(desk, id).await,
        Op::Audit { since } => audit::audit(desk, since).await,
        Op::Guard { scopes, rule, max_age_seconds } => {
            let answer = spend::guard(desk, scopes, rule, max_age_seconds).await?;
            Ok(Answer::Data(serde_json::to_value(answer).unwrap_or_default()))
        }
        Op::Ledger { from, to } => spend::ledger(desk, from, to).await,
    }
}
