//! What an attempt has achieved, committed while it goes on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::Core;
use crate::domain::cycle::{Input, Noted as Note};
use crate::domain::delivery::{Delivery, RecipientState};
use crate::sink::Progress;

/// The note of one attempt: under its claim, which goes on.
pub(super) struct Noted {
    core: Core,
    claim: u64,
    sink: String,
    id: String,
    seq: u64,
    recipients: Mutex<BTreeMap<String, RecipientState>>,
}

impl Noted {
    pub(super) fn of(core: &Core, claim: u64, delivery: &Delivery) -> Self {
        let (sink, id) = (delivery.sink.clone(), delivery.id.clone());
        Self { core: core.clone(), claim, sink, id, seq: delivery.seq, recipients: Mutex::default() }
    }

    /// What was noted and is not said there.
    pub(super) fn add_to(&self, recipients: &mut BTreeMap<String, RecipientState>) {
        let noted = std::mem::take(&mut *self.recipients.lock().unwrap_or_else(PoisonError::into_inner));
        for (address, state) in noted {
            recipients.entry(address).or_insert(state);
        }
    }
}

impl std::fmt::Debug for Noted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Noted({})", self.id)
    }
}

#[async_trait]
impl Progress for Noted {
    async fn recipient(&self, address: &str, state: RecipientState) {
        self.recipients.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned(), state.clone());
        let recipients = BTreeMap::from([(address.to_owned(), state)]);
        let (sink, id) = (self.sink.clone(), self.id.clone());
        let input = Input::Noted(Note { sink, id, seq: self.seq, claim: self.claim, recipients });
        let noted = async {
            let (_, ticket) = self.core.step(&input).await?;
            self.core.store.durable(ticket).await
        };
        if let Err(error) = noted.await {
            // The store has failed, and the process is ending. What was achieved may be repeated.
            tracing::warn!(delivery = self.id, "what {} has achieved can't be noted: {error}", self.id);
        }
    }
}
