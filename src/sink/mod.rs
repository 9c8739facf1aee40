//! Sinks: where deliveries go.
//!
//! Invariant: an attempt ends within its deadline with a [`Report`] whose outcome is a type; nothing a sink reports holds
//! a secret.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::domain::delivery::{Delivery, Report};
use crate::domain::event::StoredEvent;
use crate::domain::retry::RetryPolicy;
use crate::domain::time::Timestamp;

/// A delivery about to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    pub delivery: Delivery,
    /// At least one.
    pub events: Vec<Arc<StoredEvent>>,
    /// What an earlier delivery of the same incident left with this sink.
    pub reference: Option<Value>,
    /// The attempt's time.
    pub now: Timestamp,
}

/// How the dispatcher treats a sink.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Manners {
    /// Attempts at the same time.
    pub concurrency: usize,
    /// Shortest time between the starts of two attempts.
    pub pace: Duration,
    /// Deadline of one attempt; the lease is this and a margin.
    pub timeout: Duration,
    pub retry: RetryPolicy,
}

/// A place deliveries go to.
#[async_trait]
pub trait Sink: Send + Sync {
    fn name(&self) -> &str;
    fn kind(&self) -> &'static str;
    fn manners(&self) -> Manners;
    /// Sends once. Must return within the deadline; the dispatcher cuts it off a little later.
    async fn send(&self, message: &Message) -> Report;
    /// Reaches the other side without sending, for `check --connect`.
    async fn connect(&self) -> Result<String, String>;
}
