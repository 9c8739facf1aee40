//! How things look in lists and as JSON.

use serde_json::{Value, json};

use crate::domain::collection::{CollectionId, CollectionState};
use crate::domain::delivery::{Attempt, Delivery, DeliveryState};
use crate::domain::event::StoredEvent;
use crate::domain::health::{FAILURES_UNTIL_PROBES, SinkState};
use crate::domain::time::Timestamp;
use crate::store::Listed;

/// An event row is the event.
pub(super) fn event(stored: &StoredEvent) -> Value {
    serde_json::to_value(&stored.event).unwrap_or_default()
}

/// `sink` is how the delivery's sink stands.
pub(super) fn delivery(listed: &Listed, sink: &SinkState, now: Timestamp) -> Value {
    let Delivery { id, event_ids, subject, tries, created, event_type, kind, .. } = &listed.delivery;
    let kept = listed.delivery.kept_until().filter(|_| sink.stopped.is_none());
    let (due, reason) = match &listed.delivery.state {
        DeliveryState::Due { at } => open(listed, *at, sink, now),
        DeliveryState::Delivered { .. } => (None, None),
        DeliveryState::Dead { reason, .. } | DeliveryState::Suppressed { reason, .. } => (None, Some(reason.clone())),
    };
    let mut row = json!({
        "id": id, "event_ids": event_ids, "sink": listed.delivery.sink, "subject": subject, "state": listed.state(),
        "attempts": tries, "due": due, "reason": reason, "kind": kind.as_str(), "event_type": event_type,
        "created": created, "finished": finished(&listed.delivery.state),
    });
    if let (Some(until), Value::Object(map)) = (kept, &mut row) {
        map.insert("waits_until".to_owned(), json!(until));
    }
    row
}

/// When an open delivery is due, and why it has not gone. It is not due while its sink is stopped, while quiet hours keep it,
/// or while it is not its turn.
fn open(listed: &Listed, at: Timestamp, sink: &SinkState, now: Timestamp) -> (Option<Timestamp>, Option<String>) {
    let failed = listed.delivery.log.last().map(Attempt::said);
    if listed.leased {
        return (Some(at), failed);
    }
    if let Some((why, _)) = &sink.stopped {
        return (None, Some(format!("the sink is stopped: {why}")));
    }
    if let Some(until) = listed.delivery.kept_until() {
        return (None, Some(format!("quiet hours; goes out at {until}")));
    }
    let (due, waits) = match sink.held_until.filter(|until| *until > now.max(at)) {
        _ if listed.behind => (None, Some("goes after an older one about the same".to_owned())),
        Some(until) => (Some(until), Some(format!("the receiver asked to be left alone until {until}"))),
        None if at <= now && sink.failures >= FAILURES_UNTIL_PROBES => {
            let failures = sink.failures;
            (
                Some(at),
                Some(format!(
                    "the sink failed {failures} times in a row, and is asked one at a time, ever more rarely"
                )),
            )
        }
        None => (Some(at), None),
    };
    let reasons: Vec<String> = failed.into_iter().chain(waits).collect();
    (due, (!reasons.is_empty()).then(|| reasons.join("; ")))
}

/// A row with everything kept of its attempts.
pub(super) fn delivery_whole(listed: &Listed, sink: &SinkState, now: Timestamp) -> Value {
    let mut row = delivery(listed, sink, now);
    if let Value::Object(map) = &mut row {
        map.insert("counted".to_owned(), json!(listed.delivery.attempts));
        map.insert("incident".to_owned(), json!(listed.delivery.incident));
        map.insert("first_attempt".to_owned(), json!(listed.delivery.first_attempt));
        map.insert("recipients".to_owned(), json!(listed.delivery.recipients));
        map.insert("log".to_owned(), json!(listed.delivery.log));
    }
    row
}

fn finished(state: &DeliveryState) -> Value {
    match state {
        DeliveryState::Due { .. } => Value::Null,
        DeliveryState::Delivered { at } | DeliveryState::Dead { at, .. } | DeliveryState::Suppressed { at, .. } => {
            json!(at)
        }
    }
}

/// `money`: its rows of money and the days they are of, where that is what it has.
pub(super) fn collection(id: &CollectionId, state: &CollectionState, money: Option<(usize, usize)>) -> Value {
    let rows = money.map_or(json!(state.rows), |(rows, _)| json!(rows));
    json!({
        "collection": id.to_string(), "rows": rows, "days": money.map(|(_, days)| days), "epoch": state.epoch, "baseline": state.baseline,
        "last_good": state.last_good, "last_complete": state.last_complete, "failures": state.failures,
        "last_error": state.last_error, "frozen": state.frozen.as_ref().map(|(scope, since)| json!({ "scope": scope, "since": since })),
        "degraded": state.degraded, "quarantined": state.quarantined, "hold": state.hold.as_ref().map(|h| &h.id),
        "host": state.host, "not_before": state.not_before, "quota": state.quota,
    })
}

pub(super) fn sink(name: &str, kind: &str, state: &SinkState, waiting: usize, leased: usize) -> Value {
    json!({
        "name": name, "kind": kind, "state": if state.stopped.is_some() { "stopped" } else if state.told_since.is_some() { "failing" } else { "on" },
        "reason": state.stopped.as_ref().map(|(why, _)| why).or(state.last_error.as_ref()),
        "since": state.stopped.as_ref().map(|(_, at)| at).or(state.failing_since.as_ref()),
        "failures": state.failures, "waiting": waiting, "leased": leased,
    })
}

/// A sink the config no longer has, for which something still waits.
pub(super) fn gone_sink(name: &str, waiting: usize) -> Value {
    json!({
        "name": name, "kind": Value::Null, "state": "not in the config",
        "reason": format!("put it back into the config, or `ampbridge deliveries drop --sink {name}`"),
        "since": Value::Null, "failures": 0, "waiting": waiting, "leased": 0,
    })
}

pub(super) fn hold(id: &CollectionId, hold: &crate::domain::collection::Hold) -> Value {
    json!({
        "id": hold.id, "source": id.source, "collection": id.name, "opened": hold.opened, "looks": hold.looks,
        "state": if hold.rejected.is_some() { "rejected" } else if hold.announced { "waiting" } else { "seen once" },
        "count": hold.count, "known": hold.known, "sample": hold.sample,
    })
}
