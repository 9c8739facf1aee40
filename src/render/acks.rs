//! Links in messages that acknowledge what they are about.

use std::sync::{Arc, OnceLock};

use jiff::SignedDuration;

use super::Context;
use crate::domain::acklink::AckKey;
use crate::domain::delivery::DeliveryKind;
use crate::domain::incident;
use crate::domain::time::plus;

/// Makes the links. Shared by all copies of a renderer, and empty until [`Acks::offer`].
#[derive(Debug, Clone, Default)]
pub(super) struct Acks(Arc<OnceLock<AckLinks>>);

/// Where the page is, who signs, and how long a link is good.
#[derive(Debug, Clone)]
pub struct AckLinks {
    /// Without a slash at the end.
    pub base: String,
    pub key: AckKey,
    pub good_for: SignedDuration,
}

impl Acks {
    /// From now on messages have links. The first call counts.
    pub(super) fn offer(&self, links: AckLinks) {
        let _ = self.0.set(links);
    }

    /// The link of a message about one level that is bad. The same at every attempt: it counts from when the event was
    /// seen.
    pub(super) fn link(&self, context: &Context<'_>) -> Option<String> {
        let links = self.0.get()?;
        let stored = match (context.kind, context.events) {
            (DeliveryKind::Update | DeliveryKind::Reminder, [.., newest]) => newest,
            (_, [only]) => only,
            _ => return None,
        };
        let incident = stored.event.incident().filter(|_| incident::is_open(&stored.event))?;
        let path = links.key.path(incident, plus(stored.seen, links.good_for));
        Some(format!("{}{path}", links.base))
    }
}
