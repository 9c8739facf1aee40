//! Telling: from a draft to an event, and from an event to what each sink gets and when.

use std::collections::BTreeMap;

use super::{Needs, Step, Wait, World, live};
use crate::domain::delivery::{Delivery, DeliveryKind, DeliveryState};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::{Draft, Event, Severity, StoredEvent};
use crate::domain::incident::{self, Incident, Incidents, Told};
use crate::domain::routing::{self, Routed};
use crate::domain::silence;
use crate::domain::time::{Timestamp, elapsed};
use crate::domain::timing::{self, Place, Rooms, Timing};

/// What telling changes besides the plan; written back at its end.
#[derive(Debug, Default)]
pub(super) struct Telling {
    rooms: BTreeMap<String, Rooms>,
    incidents: Option<Incidents>,
}

/// Documents anything that may tell needs.
pub(super) fn needs(world: &World, needs: &mut Needs) {
    needs.docs.insert(DocKey::Silences);
    needs.docs.insert(DocKey::Incidents);
    // Of every sink: something may wait from before the routes were edited.
    needs.docs.extend(world.sinks.iter().map(|sink| DocKey::Rooms(sink.clone())));
}

impl Step<'_> {
    /// Makes an event of a draft and a delivery, or a place in a room, for each sink that is to hear of it. `about` is
    /// the sink it is about.
    pub(super) fn tell(&mut self, draft: Draft, about: Option<&str>) {
        let origin = draft.source.clone();
        let (event, why) = draft.into_event(&self.world.bridge);
        let mut routed = routing::route(&self.world.routes, &self.world.sinks, &event, &origin, about);
        self.tell_of_the_end(&event, &mut routed);
        let unheard = self.unheard(&event);
        self.book_incident(&event, &origin, &routed.sinks);
        let internal = routing::is_internal(&event.kind);
        for (sink, route) in &routed.sinks {
            let mut delivery = Delivery::single(&self.world.bridge, sink, &event, self.now, internal);
            let reason = self.silenced(&event, &origin, sink).or_else(|| unheard.get(sink).cloned());
            self.note_heard(&event, sink, reason.as_deref());
            if let Some(reason) = reason {
                routed.notes.push(format!("{sink} does not hear of it: {reason}"));
                delivery.state = DeliveryState::Suppressed { at: self.now, reason };
                self.plan.deliveries.push(delivery);
                continue;
            }
            match self.place(*route, &event, &origin, sink) {
                Place::Now => self.plan.deliveries.push(delivery),
                Place::Room(room) => {
                    routed.notes.push(format!("at {sink} it was put into {room}, to go out in its time"));
                    let about = timing::keeps_order(&room).then(|| event.subject.clone());
                    self.plan.waits.push(Wait { sink: sink.clone(), room, event: event.id.clone(), about });
                }
            }
        }
        self.plan.notes.events += 1;
        let sinks = routed.sinks.into_keys().collect();
        self.plan.events.push(StoredEvent { event, seen: self.now, why, origin, routing: routed.notes, sinks });
    }

    pub(super) fn tell_all(&mut self, drafts: impl IntoIterator<Item = Draft>) {
        for draft in drafts {
            self.tell(draft, None);
        }
    }

    /// Writes back what telling changed.
    pub(super) fn finish_telling(&mut self) {
        let told = std::mem::take(&mut self.told);
        for (sink, rooms) in told.rooms {
            self.put(DocKey::Rooms(sink), Doc::Rooms(rooms));
        }
        if let Some(incidents) = told.incidents {
            self.put(DocKey::Incidents, Doc::Incidents(incidents));
        }
    }

    fn place(&mut self, route: Option<usize>, event: &Event, origin: &str, sink: &str) -> Place {
        let Some((index, timing)) = route.and_then(|i| Some((i, &self.world.routes.get(i)?.timing))) else {
            return Place::Now;
        };
        if !timing.waits() {
            return Place::Now;
        }
        let now = self.now;
        timing::place(timing, index, event, origin, self.rooms(sink), now)
    }

    pub(super) fn rooms(&mut self, sink: &str) -> &mut Rooms {
        let known = self.known;
        self.told
            .rooms
            .entry(sink.to_owned())
            .or_insert_with(|| known.docs.rooms(&DocKey::Rooms(sink.to_owned())).cloned().unwrap_or_default())
    }

    pub(super) fn incidents(&mut self) -> &mut Incidents {
        let known = self.known;
        self.told.incidents.get_or_insert_with(|| known.docs.incidents(&DocKey::Incidents).cloned().unwrap_or_default())
    }

    /// Whoever a level was escalated to hears when it is over, whatever the routes say.
    fn tell_of_the_end(&mut self, event: &Event, routed: &mut Routed) {
        let Some(id) = event.incident().filter(|_| !incident::is_open(event)) else { return };
        let Some(incident) = self.incidents().get(id) else { return };
        for (sink, told) in incident.told.iter().filter(|(_, told)| told.escalated) {
            if !routed.sinks.contains_key(sink) {
                routed.sinks.insert(sink.clone(), told.route);
                routed.notes.push(format!("{sink} heard of it by escalation, and hears that it is over"));
            }
        }
    }

    fn book_incident(&mut self, event: &Event, origin: &str, sinks: &BTreeMap<String, Option<usize>>) {
        if event.incident().is_some() {
            let now = self.now;
            incident::book(self.incidents(), event, origin, sinks, now);
        }
    }

    /// Why the event is not told at a sink.
    fn silenced(&self, event: &Event, origin: &str, sink: &str) -> Option<String> {
        let silences = self.known.docs.silences(&DocKey::Silences)?;
        let (id, comment) = silence::covering(silences, event, origin, sink, self.now)?;
        Some(if comment.is_empty() { format!("silenced by {id}") } else { format!("silenced by {id}: {comment}") })
    }

    /// Sinks that heard nothing of what is over now, and why. Who never heard that it was bad needs not hear that it is
    /// good.
    fn unheard(&mut self, event: &Event) -> BTreeMap<String, String> {
        let Some(id) = event.incident().filter(|_| !incident::is_open(event)) else { return BTreeMap::new() };
        let told = self.incidents().get(id).map(|incident| &incident.told).into_iter().flatten();
        let why = |told: &Told| Some(format!("what is over was {}", told.unheard.as_ref()?));
        told.filter_map(|(sink, told)| Some((sink.clone(), why(told)?))).collect()
    }

    /// Takes down whether a sink hears of a level that is bad.
    fn note_heard(&mut self, event: &Event, sink: &str, silenced: Option<&str>) {
        let Some(id) = event.incident() else { return };
        let Some(told) = self.incidents().get_mut(id).and_then(|incident| incident.told.get_mut(sink)) else { return };
        told.unheard = match (told.unheard.take(), silenced) {
            (Some(_), Some(reason)) => Some(reason.to_owned()),
            _ => None,
        };
    }
}

/// Time passes over open incidents: what ended by itself is let go, what stays bad is said again or told to others.
pub(super) fn watch_incidents(step: &mut Step<'_>) {
    let (now, world) = (step.now, step.world);
    let mut messages = Vec::new();
    let over = |incident: &Incident| incident.ends.is_some_and(|end| end <= now);
    let ended: Vec<String> = step.incidents().iter().filter(|(_, i)| over(i)).map(|(id, _)| id.clone()).collect();
    for id in ended {
        if let Some(incident) = step.incidents().remove(&id) {
            live::close(step, &id, &incident);
        }
    }
    let known = step.known;
    let silences = known.docs.silences(&DocKey::Silences);
    for (id, incident) in step.incidents().iter_mut().filter(|(_, i)| i.acked.is_none()) {
        let event = incident.as_event();
        let silenced = |sink: &str| {
            silences.is_some_and(|all| silence::covering(all, &event, &incident.origin, sink, now).is_some())
        };
        let critical = incident.severity == Severity::Critical;
        let mut escalated = BTreeMap::new();
        let mut reminded = Vec::new();
        let opened = incident.opened;
        for (sink, told) in &mut incident.told {
            let Some(timing) = told.route.and_then(|i| world.routes.get(i)).map(|r| &r.timing) else { continue };
            let quiet = timing.quiet.as_ref().filter(|_| !critical);
            if silenced(sink) || quiet.is_some_and(|quiet| timing::quiet_until(quiet, now).is_some()) {
                continue;
            }
            if timing.remind.is_some_and(|every| elapsed(told.last, now) >= every) {
                told.last = now;
                told.reminders += 1;
                told.unheard = None;
                reminded.push((sink.clone(), told.reminders.to_string()));
            }
            if let Some(others) = due_escalation(timing, told, opened, now) {
                let heard = others.iter().filter(|other| !silenced(other));
                escalated.extend(heard.map(|s| (s.clone(), told.route)));
                told.escalated = !others.iter().any(|other| silenced(other));
            }
        }
        for (sink, part) in reminded {
            messages.push(message(world, &sink, (id, incident), DeliveryKind::Reminder, &part, now));
        }
        for (sink, route) in escalated {
            // Of its own trouble a sink is told nothing: it would wait behind it.
            let is_about = incident.kind.starts_with("sink.") && incident.subject == sink;
            if !incident.told.contains_key(&sink) && !is_about {
                messages.push(message(world, &sink, (id, incident), DeliveryKind::Single, "", now));
                incident
                    .told
                    .insert(sink, Told { route, last: now, reminders: 0, escalated: true, unheard: None, live: None });
            }
        }
    }
    step.plan.deliveries.extend(messages);
}

fn due_escalation<'a>(timing: &'a Timing, told: &Told, opened: Timestamp, now: Timestamp) -> Option<&'a [String]> {
    let escalation = timing.escalate.as_ref()?;
    (!told.escalated && elapsed(opened, now) >= escalation.after).then_some(escalation.sinks.as_slice())
}

/// A further message about an incident's last event.
fn message(
    world: &World,
    sink: &str,
    (incident_id, incident): (&str, &Incident),
    kind: DeliveryKind,
    part: &str,
    now: Timestamp,
) -> Delivery {
    let about: &[&str] = match kind {
        DeliveryKind::Single => &[&incident.event],
        _ => &[&incident.event, part],
    };
    Delivery {
        event_ids: vec![incident.event.clone()],
        event_type: incident.kind.clone(),
        subject: incident.subject.clone(),
        incident: Some(incident_id.to_owned()),
        internal: routing::is_internal(&incident.kind),
        urgent: incident.severity == Severity::Critical,
        ..Delivery::due(&world.bridge, sink, kind, about, now)
    }
}
