//! What a person can decide.

use super::{Needs, Step, look, spending};
use crate::domain::collection::{CollectionId, CollectionSpec, CollectionState};
use crate::domain::delivery::DeliveryState;
use crate::domain::doc::{Doc, DocKey};
use crate::domain::incident::Ack;
use crate::domain::silence::{self, Silence};

/// A decision, as given by a command or the admin API.
#[derive(Debug, Clone)]
pub enum Command {
    /// The held removals happen.
    ApproveHold {
        spec: Box<CollectionSpec>,
        hold: String,
    },
    /// Quiet until the set of missing records changes.
    RejectHold {
        collection: CollectionId,
        hold: String,
    },
    /// The missing records are forgotten silently.
    RebaselineHold {
        collection: CollectionId,
        hold: String,
    },
    /// Send again, dead or not, with a fresh horizon.
    RetryDelivery {
        id: String,
        /// Its sink, where it is to keep the order in which it is sent again: one after the other.
        in_order_at: Option<String>,
    },
    /// Give up by hand.
    DropDelivery {
        id: String,
    },
    EnableSink {
        sink: String,
    },
    DisableSink {
        sink: String,
    },
    /// Someone looks after an incident: no more reminders, no escalation.
    Acknowledge {
        incident: String,
        by: String,
    },
    /// Do not tell what this covers, until it ends.
    AddSilence {
        id: String,
        silence: Box<Silence>,
    },
    /// A silence ends now.
    ExpireSilence {
        id: String,
    },
    /// Forget a collection: a new quiet baseline.
    Reset {
        collection: CollectionId,
        spend: bool,
    },
}

impl Command {
    pub(super) fn needs(&self, needs: &mut Needs) {
        match self {
            Self::ApproveHold { spec, .. } => {
                needs.docs.insert(DocKey::Collection(spec.id()));
                needs.docs.insert(DocKey::People(spec.source.clone()));
                needs.held_rows = Some(spec.id());
            }
            Self::RebaselineHold { collection, .. } => {
                needs.docs.insert(DocKey::Collection(collection.clone()));
                needs.held_rows = Some(collection.clone());
            }
            Self::RejectHold { collection, .. } => {
                needs.docs.insert(DocKey::Collection(collection.clone()));
            }
            Self::Reset { collection, .. } => {
                needs.docs.insert(DocKey::Collection(collection.clone()));
                needs.docs.insert(DocKey::Gauge(collection.clone()));
                needs.docs.insert(DocKey::Spend(collection.source.clone()));
            }
            Self::RetryDelivery { id, in_order_at } => {
                needs.deliveries.insert(id.clone());
                needs.docs.extend(in_order_at.clone().map(DocKey::Sink));
            }
            Self::DropDelivery { id } => {
                needs.deliveries.insert(id.clone());
            }
            Self::EnableSink { sink } | Self::DisableSink { sink } => {
                needs.docs.insert(DocKey::Sink(sink.clone()));
            }
            // Incidents and silences are known to whatever may tell.
            Self::Acknowledge { .. } | Self::AddSilence { .. } | Self::ExpireSilence { .. } => {}
        }
    }

    pub(super) fn plan(&self, step: &mut Step<'_>) {
        let answer = match self {
            Self::ApproveHold { spec, hold } => remove_held(step, &spec.id(), hold, Some(spec)),
            Self::RebaselineHold { collection, hold } => remove_held(step, collection, hold, None),
            Self::RejectHold { collection, hold } => reject(step, collection, hold),
            Self::RetryDelivery { id, in_order_at } => retry(step, id, in_order_at.as_deref()),
            Self::DropDelivery { id } => drop_delivery(step, id),
            Self::EnableSink { sink } => enable(step, sink),
            Self::DisableSink { sink } => disable(step, sink),
            Self::Acknowledge { incident, by } => acknowledge(step, incident, by),
            Self::AddSilence { id, silence } => add_silence(step, id, silence),
            Self::ExpireSilence { id } => expire_silence(step, id),
            Self::Reset { collection, spend } => reset(step, collection, *spend),
        };
        step.plan.answer = Some(answer);
    }
}

/// Takes away what was announced with a hold and is still missing: with events where the change is approved (`spec`), silently where it is rebaselined.
fn remove_held(
    step: &mut Step<'_>,
    id: &CollectionId,
    hold: &str,
    spec: Option<&CollectionSpec>,
) -> Result<String, String> {
    let mut state = held_state(step, id, hold)?;
    let rows = step.known.held_rows.clone();
    step.plan.collection = Some(id.clone());
    if let Some(spec) = spec {
        look::remove(step, spec, &mut state, &rows);
    } else {
        state.rows = state.rows.saturating_sub(rows.len() as u64);
        step.plan.rows.extend(rows.iter().map(crate::domain::diff::tombstone));
    }
    step.plan.more = step.known.held_more;
    if !step.plan.more {
        state.hold = None;
        // What nobody was told of goes its own way: missed so far, and gone once the next complete look misses it too.
        step.plan.missed = Some(step.known.also_missed.clone());
        step.plan.announced = Some(Vec::new());
    }
    step.put(DocKey::Collection(id.clone()), Doc::Collection(state));
    let how = if spec.is_some() { "removed, and told" } else { "forgotten silently" };
    Ok(format!("{} records of {id} {how}", rows.len()))
}

fn reject(step: &mut Step<'_>, id: &CollectionId, hold: &str) -> Result<String, String> {
    let mut state = held_state(step, id, hold)?;
    let Some(held) = &mut state.hold else { return Err(no_such_hold(hold)) };
    held.rejected = Some(held.count);
    let count = held.count;
    step.put(DocKey::Collection(id.clone()), Doc::Collection(state));
    Ok(format!("{count} missing records of {id} are kept as they are; quiet until others are missing as well"))
}

fn held_state(step: &Step<'_>, id: &CollectionId, hold: &str) -> Result<CollectionState, String> {
    let state = step.known.docs.collection(&DocKey::Collection(id.clone())).cloned().unwrap_or_default();
    match &state.hold {
        Some(held) if held.id == hold && !held.announced => Err(format!(
            "only one look has missed the records of {hold} so far; once a second one does, this can be decided"
        )),
        Some(held) if held.id == hold => Ok(state),
        _ => Err(no_such_hold(hold)),
    }
}

fn no_such_hold(hold: &str) -> String {
    format!("no change is held under {hold}; `ampbridge hold list` shows what is")
}

fn retry(step: &mut Step<'_>, id: &str, in_order_at: Option<&str>) -> Result<String, String> {
    let mut delivery = step.known.deliveries.get(id).cloned().ok_or_else(|| no_such_delivery(id))?;
    let was = delivery.state.as_str();
    delivery.state = DeliveryState::Due { at: step.now };
    delivery.attempts = 0;
    delivery.first_attempt = None;
    delivery.refusals = 0;
    delivery.released = false;
    delivery.urgent = true;
    delivery.quiet_since = None;
    if was == "delivered" {
        // Sent again under the same id; recipients that have it are asked again too, for that is what was asked for.
        delivery.recipients.clear();
    } else {
        delivery.recipients.retain(|_, state| *state == crate::domain::delivery::RecipientState::Accepted);
    }
    step.plan.changed.push(delivery);
    if let Some(sink) = in_order_at {
        let key = DocKey::Sink(sink.to_owned());
        let mut state = step.known.docs.sink(&key).cloned().unwrap_or_default();
        state.in_order_until = Some(step.now);
        step.put(key, Doc::Sink(state));
    }
    Ok(format!("{id} was {was}; it is due now, under the same id"))
}

fn drop_delivery(step: &mut Step<'_>, id: &str) -> Result<String, String> {
    let mut delivery = step.known.deliveries.get(id).cloned().ok_or_else(|| no_such_delivery(id))?;
    if !delivery.state.is_open() {
        return Err(format!(
            "{id} is {} already; only a delivery that still waits can be dropped",
            delivery.state.as_str()
        ));
    }
    delivery.state = DeliveryState::Suppressed { at: step.now, reason: "dropped by command".to_owned() };
    step.plan.changed.push(delivery);
    Ok(format!("{id} is dropped: suppressed, kept in the list"))
}

fn no_such_delivery(id: &str) -> String {
    format!("no delivery has the id {id}; `ampbridge deliveries list` shows them")
}

fn enable(step: &mut Step<'_>, sink: &str) -> Result<String, String> {
    let key = DocKey::Sink(sink.to_owned());
    let mut state = step.known.docs.sink(&key).cloned().unwrap_or_default();
    let was = state.stopped.take();
    state.failures = 0;
    state.stop_told = false;
    if was.is_some() {
        state.in_order_until = Some(step.now);
        state.on_since = Some(step.now);
    }
    step.put(key, Doc::Sink(state));
    Ok(match was {
        Some((reason, _)) => {
            format!("sink {sink} is on again (it was stopped: {reason}); what waits goes out in order")
        }
        None => format!("sink {sink} was on"),
    })
}

fn disable(step: &mut Step<'_>, sink: &str) -> Result<String, String> {
    let key = DocKey::Sink(sink.to_owned());
    let mut state = step.known.docs.sink(&key).cloned().unwrap_or_default();
    if state.stopped.is_none() {
        state.stopped = Some(("stopped by command".to_owned(), step.now));
    }
    step.put(key, Doc::Sink(state));
    Ok(format!("sink {sink} is stopped; its deliveries wait until `ampbridge sinks enable {sink}`"))
}

fn acknowledge(step: &mut Step<'_>, id: &str, by: &str) -> Result<String, String> {
    let now = step.now;
    let Some(incident) = step.incidents().get_mut(id) else {
        return Err(format!("no incident {id} is open; `ampbridge incidents list` shows them"));
    };
    if let Some(ack) = &incident.acked {
        return Ok(format!("{} ({}) was acknowledged by {} already", incident.kind, incident.subject, ack.by));
    }
    incident.acked = Some(Ack { at: now, by: by.to_owned() });
    Ok(format!(
        "{} ({}) is acknowledged by {by}: no reminders, no escalation, until it gets worse",
        incident.kind, incident.subject
    ))
}

fn add_silence(step: &mut Step<'_>, id: &str, silence: &Silence) -> Result<String, String> {
    let mut silences = step.known.docs.silences(&DocKey::Silences).cloned().unwrap_or_default();
    // What ended a while ago is only clutter; the deliveries it suppressed name it all the same.
    silences.retain(|_, s| s.until > step.now);
    if silences.len() >= silence::MAX {
        return Err(format!("there are {} silences already; expire some first", silence::MAX));
    }
    silences.insert(id.to_owned(), silence.clone());
    step.put(DocKey::Silences, Doc::Silences(silences));
    Ok(format!("{id} is on until {}", silence.until))
}

fn expire_silence(step: &mut Step<'_>, id: &str) -> Result<String, String> {
    let mut silences = step.known.docs.silences(&DocKey::Silences).cloned().unwrap_or_default();
    if silences.remove(id).is_none() {
        return Err(format!("there is no silence {id}; `ampbridge silence list` shows them"));
    }
    step.put(DocKey::Silences, Doc::Silences(silences));
    Ok(format!("{id} is over"))
}

/// The next look is a new quiet baseline. The epoch goes on counting, so no event id is ever used twice.
fn reset(step: &mut Step<'_>, id: &CollectionId, spend: bool) -> Result<String, String> {
    let key = DocKey::Collection(id.clone());
    let old = step
        .known
        .docs
        .collection(&key)
        .cloned()
        .ok_or_else(|| format!("nothing is known of {id}; `ampbridge state show` lists the collections"))?;
    let rows = old.rows;
    let (epoch, fingerprint) = (old.epoch + 1, old.fingerprint.clone());
    let fresh = old.anew(epoch, fingerprint);
    step.plan.collection = Some(id.clone());
    step.plan.clear_rows = true;
    if spend {
        spending::forget(step, &id.source, false);
    }
    look::forget_levels(step, id);
    step.put(key, Doc::Collection(fresh));
    Ok(format!("{id} is forgotten ({rows} records); the next complete look is a quiet baseline"))
}
