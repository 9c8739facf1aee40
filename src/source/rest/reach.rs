//! Whether the credentials are good for what is to be read.

use serde_json::json;

use super::Rest;
use crate::domain::collection::{CollectionState, Role};
use crate::domain::record::{Evidence, Failure};
use crate::domain::time::utc_day;
use crate::source::{Collection, LookRequest, Pages, Source};

impl Rest {
    /// Reads the first page of a collection and drops it.
    pub(super) async fn reach(&self, collection: &Collection) -> Result<(), Failure> {
        let spec = self.identify(collection).await?;
        // As if the history were known: a few days of money show as well as many that the key is good for it.
        let now = self.client.now();
        let state = CollectionState {
            fingerprint: spec.fingerprint.clone(),
            baseline: (spec.role == Role::Spend).then_some(now),
            cursor: json!({ "long": utc_day(now).to_string() }),
            ..CollectionState::default()
        };
        let request = LookRequest::full(&spec.name, state, now);
        let (pages, mut first) = Pages::channel();
        let looking = async {
            let end = self.look(&request, &pages).await;
            drop(pages);
            end
        };
        tokio::pin!(looking);
        let end = tokio::select! {
            end = &mut looking => end,
            _ = first.recv() => return Ok(()),
        };
        match end.evidence {
            Evidence::Partial(failure) => Err(failure),
            _ => Ok(()),
        }
    }
}
