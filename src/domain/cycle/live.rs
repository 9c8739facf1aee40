//! Edits of live messages: due when figures move, the last one when the period ends.

use std::collections::{BTreeMap, BTreeSet};

use super::{Step, World};
use crate::domain::delivery::{Delivery, DeliveryKind, Outcome, Report};
use crate::domain::event::Severity;
use crate::domain::incident::Incident;
use crate::domain::live::{Figures, Live, Moved, WAITING_MAX};
use crate::domain::time::Timestamp;

/// Incidents that some message follows.
pub(super) fn followed(step: &mut Step<'_>) -> BTreeSet<String> {
    if step.world.live.is_empty() {
        return BTreeSet::new();
    }
    let live = |incident: &Incident| incident.told.values().any(|told| told.live.is_some());
    step.incidents().iter().filter(|(_, incident)| live(incident)).map(|(id, _)| id.clone()).collect()
}

/// Takes in what figures are now, and edits the messages that show others.
pub(super) fn follow(step: &mut Step<'_>, moves: Vec<(String, Figures)>) {
    if moves.is_empty() {
        return;
    }
    let (world, now) = (step.world, step.now);
    let mut edits = Vec::new();
    let mut waiting = waiting(step);
    for (id, figures) in moves {
        let Some(incident) = step.incidents().get_mut(&id) else { continue };
        incident.figures.extend(figures);
        let figures = incident.figures.clone();
        for (sink, live) in
            incident.told.iter_mut().filter_map(|(sink, told)| Some((sink.clone(), told.live.as_mut()?)))
        {
            let queue = waiting.entry(sink.clone()).or_default();
            if world.live.contains(&sink) && *queue < WAITING_MAX && live.is_due(&figures, now) {
                *queue += 1;
                edits.push((id.clone(), sink, figures.clone()));
            }
        }
    }
    for (id, sink, figures) in edits {
        edit(step, &id, &sink, Moved { at: now, ended: false, figures });
    }
}

/// The last edit of every message about an incident that ended by itself.
pub(super) fn close(step: &mut Step<'_>, id: &str, incident: &Incident) {
    let (world, now) = (step.world, step.now);
    for (sink, told) in incident.told.iter().filter(|(sink, _)| world.live.contains(*sink)) {
        let Some(live) = &told.live else { continue };
        let moved = Moved { at: now, ended: true, figures: incident.figures.clone() };
        let delivery = delivery(world, id, incident, sink, live.edits + 1, moved, now);
        step.plan.deliveries.push(delivery);
    }
}

/// Books what became of a delivery: what a sink left to be edited is a live message from then on.
pub(super) fn settled(step: &mut Step<'_>, after: &Delivery, report: &Report) {
    if !step.world.live.contains(&after.sink) || after.state.is_open() {
        return;
    }
    let now = step.now;
    let Some(incident) = after.incident.as_ref().and_then(|id| step.incidents().get_mut(id)) else { return };
    let figures = incident.figures.clone();
    let Some(told) = incident.told.get_mut(&after.sink) else { return };
    if after.kind == DeliveryKind::Update {
        if let Some(live) = &mut told.live {
            live.waiting = false;
        }
    } else if report.outcome == Outcome::Accepted && report.reference.is_some() {
        told.live.get_or_insert_with(|| Live::new(now, figures));
    }
}

fn edit(step: &mut Step<'_>, id: &str, sink: &str, moved: Moved) {
    let (world, now) = (step.world, step.now);
    let Some(incident) = step.incidents().get_mut(id) else { return };
    let Some(live) = incident.told.get_mut(sink).and_then(|told| told.live.as_mut()) else { return };
    live.edits += 1;
    live.waiting = true;
    live.at = now;
    live.figures.clone_from(&moved.figures);
    let number = live.edits;
    let delivery = delivery(world, id, incident, sink, number, moved, now);
    step.plan.deliveries.push(delivery);
}

/// Edits under way, by sink.
fn waiting(step: &mut Step<'_>) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (sink, told) in step.incidents().values().flat_map(|incident| &incident.told) {
        if told.live.as_ref().is_some_and(|live| live.waiting) {
            *counts.entry(sink.clone()).or_default() += 1;
        }
    }
    counts
}

fn delivery(
    world: &World,
    id: &str,
    incident: &Incident,
    sink: &str,
    number: u32,
    moved: Moved,
    now: Timestamp,
) -> Delivery {
    Delivery {
        event_ids: vec![incident.event.clone()],
        event_type: incident.kind.clone(),
        subject: incident.subject.clone(),
        incident: Some(id.to_owned()),
        // An edit that fails takes nothing from anybody: the event itself was delivered.
        internal: true,
        moved: Some(moved),
        urgent: incident.severity == Severity::Critical,
        ..Delivery::due(&world.bridge, sink, DeliveryKind::Update, &[id, &number.to_string()], now)
    }
}
