//! The proof that nothing was lost: every event is accounted for at every sink it was routed to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Answer, Desk, OpError};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::time::Timestamp;
use crate::store::EventFilter;

/// Events looked at; the rest is said to have been left out.
const MOST: usize = 1_000_000;
/// Unaccounted events named.
const NAMED: usize = 100;

/// Counts, per sink, what became of each event; names what is unaccounted for, and gaps in polling.
pub(super) async fn audit(desk: &Desk, since: Option<Timestamp>) -> Result<Answer, OpError> {
    let filter = EventFilter { since, limit: Some(MOST), ..EventFilter::default() };
    let events = desk.store.events(&filter).await?;
    let mut counts: BTreeMap<String, BTreeMap<&'static str, u64>> = BTreeMap::new();
    let mut lost = Vec::new();
    let mut unrouted = 0_u64;
    for stored in &events {
        if stored.sinks.is_empty() {
            unrouted += 1;
        }
        let deliveries = desk.store.deliveries_of(&stored.event.id).await?;
        let mut here: BTreeSet<String> = BTreeSet::new();
        for listed in &deliveries {
            let kept = !listed.leased && listed.delivery.kept_until().is_some();
            let state = if kept { "waiting" } else { listed.state() };
            if here.insert(listed.delivery.sink.clone()) {
                *counts.entry(listed.delivery.sink.clone()).or_default().entry(state).or_default() += 1;
            }
        }
        for (sink, _) in desk.store.waits_of(&stored.event.id).await? {
            if here.insert(sink.clone()) {
                *counts.entry(sink).or_default().entry("waiting").or_default() += 1;
            }
        }
        for sink in stored.sinks.iter().filter(|sink| !here.contains(*sink)) {
            *counts.entry(sink.clone()).or_default().entry("unaccounted").or_default() += 1;
            lost.push(json!({ "event": stored.event.id, "type": stored.event.kind, "sink": sink }));
        }
    }
    let unaccounted = lost.len();
    lost.truncate(NAMED);
    Ok(Answer::Data(json!({
        "since": since, "events": events.len(), "unrouted": unrouted, "sinks": counts,
        "unaccounted": unaccounted, "unaccounted_sample": lost, "gaps": gaps(desk, since).await?,
        "complete": events.len() < MOST,
    })))
}

/// Stretches in which a collection had no good look.
async fn gaps(desk: &Desk, since: Option<Timestamp>) -> Result<Vec<Value>, OpError> {
    let mut found = Vec::new();
    for (key, doc) in desk.store.docs("collection/").await? {
        let (DocKey::Collection(id), Doc::Collection(state)) = (&key, doc.as_ref()) else { continue };
        for (from, to) in state.gaps.iter().filter(|(_, to)| since.is_none_or(|s| *to >= s)) {
            found.push(json!({ "collection": id.to_string(), "from": from, "to": to }));
        }
    }
    Ok(found)
}
