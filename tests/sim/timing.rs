//! Time passes: rooms that are due, levels that stay bad; and what must have been made of it.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::cycle::{self, Command, Input, Plan};
use ampbridge::domain::delivery::{DeliveryKind, DeliveryState};
use ampbridge::domain::doc::{Doc, DocKey};
use ampbridge::domain::event::{Severity, StoredEvent};
use ampbridge::domain::routing::{FieldMatch, Test};
use ampbridge::domain::silence::Silence;
use ampbridge::domain::time::{SignedDuration, Timestamp, plus};
use ampbridge::domain::timing::{Rooms, Why};

use crate::digests::{check_spend, digest};
use crate::fact::Fact;
use crate::model::Model;
use crate::model::digest::Digests;
use crate::model::outbox::Item;
use crate::model::timing::{Fate, Going, HANDED, Hush, Message, night_end, rule_of};
use crate::setup::SINKS;
use crate::sim::Sim;

impl Sim {
    /// What the program's timekeeper does: empties what is due, looks at what stays bad.
    pub async fn pass(&mut self) {
        let now = self.bridge.now();
        let stored = self.stored_rooms().await;
        for sink in SINKS {
            let rooms = stored.get(sink).cloned().unwrap_or_default();
            let due = cycle::due_rooms(&self.setup.world(), sink, &rooms, now);
            assert_eq!(due.iter().cloned().collect::<BTreeSet<_>>(), self.due_rooms(sink, now), "due at {sink}");
            for name in due {
                self.release(sink, name, now).await;
            }
        }
        let messages = self.model.desk.watch(&self.setup, now);
        let escalations = messages.iter().filter(|m| m.kind == DeliveryKind::Single).count();
        *self.shapes.entry("escalated".to_owned()).or_default() += u32::try_from(escalations).unwrap();
        let plan = self.bridge.step(&Input::Incidents).await;
        let again = |message: &Message| Going::again(&message.sink, &self.model.events[&message.events[0]].subject);
        let going = messages.iter().map(again).collect();
        self.check_all(&plan, Vec::new(), messages, going).await;
    }

    async fn release(&mut self, sink: &str, name: String, now: Timestamp) {
        let waiting = self.model.desk.rooms.iter().find(|((s, room), waiting)| {
            s == sink && waiting.due <= now && self.model.desk.names[&(s.clone(), room.clone())] == name
        });
        let Some(room) = waiting.map(|((_, room), _)| room.clone()) else {
            return self.tell_of_spend_alone(sink, name, now).await;
        };
        let messages = self.model.desk.release(&self.setup, &self.model.events, sink, &room, now);
        self.say(&format!("{name} at {sink} is due: {messages:?}"));
        if self.model.desk.rooms.contains_key(&(sink.to_owned(), room.clone())) {
            *self.shapes.entry(format!("{} has to wait longer", room.why)).or_default() += 1;
        }
        let facts: Vec<Fact> = messages
            .iter()
            .filter(|m| m.kind == DeliveryKind::Digest)
            .map(|m| digest(&self.model.events, room.why, m))
            .collect();
        let spent = if facts.is_empty() { None } else { self.spend_of(sink, &name, now) };
        let plan = self.bridge.step(&Input::Release { sink: sink.to_owned(), rooms: vec![name] }).await;
        check_spend(&plan, spent.as_ref().map(|(_, spent)| spent));
        let news = |message: &Message| {
            let number = |id: &String| (self.model.events[id].subject.as_str(), self.model.desk.came[id].0);
            Going::of(sink, message.events.iter().map(number))
        };
        let going = messages.iter().filter(|m| m.kind != DeliveryKind::Digest).map(news).collect();
        self.check_all(&plan, facts, messages, going).await;
        if self.model.desk.rooms.contains_key(&(sink.to_owned(), room)) {
            self.compare_rooms().await;
        }
    }

    /// When the next of what waits is due.
    pub fn next_room(&self) -> Option<Timestamp> {
        self.model.desk.rooms.values().map(|waiting| waiting.due).min()
    }

    /// Where an event must go at each sink, and the deliveries that must have been made of it at once.
    pub fn tell(
        &mut self,
        stored: &StoredEvent,
        fact: &Fact,
        again: bool,
        number: u64,
        plan: &Plan,
        going: &mut Vec<Going>,
    ) -> Vec<Message> {
        let (now, id) = (self.bridge.now(), &stored.event.id);
        let mut routed = Model::routed(&self.setup, fact);
        let desk = &mut self.model.desk;
        desk.hear_the_end(stored, &mut routed);
        let unheard = desk.unheard(stored);
        desk.book(stored, &routed, now);
        if !again {
            let sinks: Vec<&String> = routed.keys().collect();
            assert_eq!(stored.sinks.iter().collect::<Vec<_>>(), sinks, "sinks that hear of {fact:?}");
        }
        let mut messages = Vec::new();
        for (sink, route) in &routed {
            let mut hushed = desk.covering(fact, rule_of(stored).as_deref(), sink, now);
            if hushed.is_empty() {
                hushed = unheard.get(sink).cloned().unwrap_or_default();
            }
            desk.heard(stored, sink, &hushed);
            let timed = route.and_then(|route| Some((route, self.setup.timed(route)?)));
            let (fate, room) = if !hushed.is_empty() {
                (Fate::Suppressed(hushed), None)
            } else if let Some(room) = timed.and_then(|(route, timed)| desk.place(&timed, route, fact, sink, now)) {
                (Fate::Waits, Some(room))
            } else {
                messages.push(Message::new(sink, DeliveryKind::Single, std::slice::from_ref(id)));
                going.push(Going::of(sink, [(fact.subject.as_str(), number)].into_iter()));
                (Fate::Alone(String::new()), None)
            };
            let waits: Vec<&str> =
                plan.waits.iter().filter(|w| w.event == *id && w.sink == *sink).map(|w| w.room.as_str()).collect();
            // It leaves again at once, where something about the same goes out in the same step.
            let left = plan.deliveries.iter().any(|d| d.sink == *sink && d.event_ids.contains(id));
            let must = usize::from(room.is_some() && !left);
            assert_eq!(waits.len(), must, "{id} waits at {sink}: {waits:?}, must: {room:?}");
            let key = room.map(|room| (sink.clone(), room));
            if let (Some(key), false) = (&key, again) {
                desk.rooms.get_mut(key).unwrap().events.push(id.clone());
            }
            if let (Some(key), [name]) = (key, waits.as_slice()) {
                let other = desk.names.iter().find(|((s, other), n)| s == sink && n == name && *other != key.1);
                assert_eq!(other, None, "{name} is one room for two groups");
                let known = desk.names.entry(key.clone()).or_insert_with(|| (*name).to_owned());
                assert_eq!(known, name, "what belongs together is in two rooms");
            }
            if again {
                // It was told, or waits, or was silenced when it was first made.
                messages.clear();
                continue;
            }
            desk.routes.insert((id.clone(), sink.clone()), *route);
            let before = desk.fates.insert((id.clone(), sink.clone()), fate);
            assert_eq!(before, None, "{id} has a fate at {sink} already");
        }
        messages
    }

    /// Compares what a plan made with the messages that had to be, and books them. `repeats` are events that were
    /// known: nothing comes of them.
    pub async fn check_messages(
        &mut self,
        plan: &Plan,
        mut expected: Vec<Message>,
        early: &[Message],
        repeats: &BTreeSet<String>,
    ) {
        let mut made = Vec::new();
        for delivery in &plan.deliveries {
            if delivery.event_ids.iter().any(|id| repeats.contains(id)) {
                continue;
            }
            let mut events = delivery.event_ids.clone();
            if delivery.kind == DeliveryKind::Digest {
                let digest = events.remove(0);
                let fate = Fate::Alone(delivery.id.clone());
                self.model.desk.fates.insert((digest, delivery.sink.clone()), fate);
            }
            if let DeliveryState::Suppressed { reason, .. } = &delivery.state {
                let [event] = events.as_slice() else { panic!("silenced together: {delivery:?}") };
                let fate = &self.model.desk.fates[&(event.clone(), delivery.sink.clone())];
                let Fate::Suppressed(by) = fate else { panic!("{event} is silenced at {}: {fate:?}", delivery.sink) };
                let said = reason.trim_start_matches("what is over was ");
                assert!(by.iter().any(|id| said == format!("silenced by {id}: hush")), "{reason}: {by:?}");
            } else {
                let message = Message::new(&delivery.sink, delivery.kind, &events);
                self.check_message(&message, &delivery.id, early.contains(&message));
                *self.shapes.entry(message.kind.as_str().to_owned()).or_default() += 1;
                made.push(message);
            }
            let listed = self.bridge.store().delivery(&delivery.id).await.unwrap().expect("it was committed");
            let grave = delivery.event_ids.iter().any(|id| self.model.events[id].severity == Severity::Critical);
            let urgent = grave && delivery.kind != DeliveryKind::Digest;
            assert_eq!(listed.delivery.urgent, urgent, "whether {delivery:?} may wait for the morning");
            let other = self.model.outbox.items.insert(delivery.id.clone(), Item::of(&listed.delivery));
            assert!(other.is_none(), "{} stands for two deliveries", delivery.id);
        }
        made.sort();
        expected.sort();
        assert_eq!(made, expected, "messages that were made (left) and that had to be");
        for event in plan.events.iter().filter(|e| !repeats.contains(&e.event.id)) {
            for sink in SINKS {
                let fate = self.model.desk.fates.get(&(event.event.id.clone(), sink.to_owned()));
                let silent = plan.deliveries.iter().all(|d| d.sink != sink || !d.event_ids.contains(&event.event.id));
                assert!(!matches!(fate, Some(Fate::Suppressed(_))) || !silent, "silenced without a record: {event:?}");
            }
        }
    }

    /// One message that is made now. What leaves a room early stays until the morning all the same.
    fn check_message(&mut self, message: &Message, delivery: &str, early: bool) {
        let now = self.bridge.now();
        let desk = &mut self.model.desk;
        for id in &message.events {
            let key = (id.clone(), message.sink.clone());
            let fact = &self.model.events[id];
            let route = desk.routes.get(&key).copied().flatten();
            let night = route.and_then(|route| self.setup.timed(route)).and_then(|timed| timed.night);
            let at_night = night.is_some_and(|night| night_end(&night, now).is_some());
            let may = fact.severity == Severity::Critical || message.kind == DeliveryKind::Digest || early;
            assert!(may || !at_night, "{id} goes to {} at night: {message:?}", message.sink);
            if message.kind == DeliveryKind::Reminder {
                continue;
            }
            let alone = message.events.len() == 1 && message.kind == DeliveryKind::Single;
            let fate = if alone { Fate::Alone(delivery.to_owned()) } else { Fate::With(delivery.to_owned()) };
            let before = desk.fates.insert(key, fate);
            let good = matches!(&before, None | Some(Fate::Waits)) || before == Some(Fate::Alone(String::new()));
            assert!(good, "{id} at {}: was {before:?}, now in {delivery}", message.sink);
        }
        assert!(message.kind == DeliveryKind::Digest || message.events.len() <= HANDED, "{message:?}");
    }

    /// What waits in the store is what waits in the model.
    pub async fn compare_rooms(&self) {
        let stored = self.stored_rooms().await;
        let count: usize = stored.values().map(|rooms| rooms.rooms.len()).sum();
        let told =
            stored.iter().flat_map(|(sink, rooms)| rooms.digests.iter().map(|(n, at)| ((sink.clone(), *n), *at)));
        assert_eq!(told.collect::<Digests>(), self.model.desk.digests, "when digests last told of spend");
        assert_eq!(count, self.model.desk.rooms.len(), "rooms: {stored:?} and {:?}", self.model.desk.rooms);
        for ((sink, room), waiting) in &self.model.desk.rooms {
            let name = &self.model.desk.names[&(sink.clone(), room.clone())];
            let found = &stored[sink].rooms[name];
            let why = match found.why {
                Why::Group => "group",
                Why::Rate => "rate",
                Why::Quiet => "quiet",
                Why::Daily => "daily",
                Why::Weekly => "weekly",
            };
            let known = (room.why, waiting.since, waiting.due, waiting.count);
            assert_eq!((why, found.since, found.due, found.count), known, "{name} at {sink}");
            let events = self.bridge.store().waiting_in(sink, name, 10_000).await.unwrap();
            let ids: BTreeSet<&String> = events.iter().map(|e| &e.event.id).collect();
            assert_eq!(ids, waiting.events.iter().collect(), "what waits in {name} at {sink}");
        }
    }

    async fn stored_rooms(&self) -> BTreeMap<String, Rooms> {
        let docs = self.bridge.store().docs("rooms/").await.unwrap();
        let rooms = docs.into_iter().filter_map(|(key, doc)| match (key, doc.as_ref()) {
            (DocKey::Rooms(sink), Doc::Rooms(rooms)) => Some((sink, rooms.clone())),
            _ => None,
        });
        rooms.collect()
    }

    /// A person silences something, lets a silence end, or looks after a level that is bad.
    pub async fn attend(&mut self) {
        let now = self.bridge.now();
        let silences: Vec<String> = self.model.desk.silences.keys().cloned().collect();
        let troubles: Vec<String> = self.model.desk.troubles.keys().cloned().collect();
        match self.rng.below(6) {
            0 if !silences.is_empty() => {
                let id = self.rng.pick(&silences).clone();
                self.order(Command::ExpireSilence { id }).await;
            }
            1..=2 => {
                let unknown = ["inc_unknown".to_owned()];
                let incident = self.rng.pick(if troubles.is_empty() { &unknown } else { &troubles }).clone();
                self.order(Command::Acknowledge { incident, by: "ana".to_owned() }).await;
            }
            _ => {
                let hush = self.hush(now);
                let id = format!("sil_{:04}", self.rng.below(10_000));
                let silence = Box::new(silence_of(&hush, now));
                self.model.desk.silences.retain(|_, s| s.until > now);
                self.model.desk.silences.insert(id.clone(), hush);
                self.order(Command::AddSilence { id, silence }).await;
            }
        }
    }

    fn hush(&mut self, now: Timestamp) -> Hush {
        let until = plus(now, SignedDuration::from_mins(self.rng.between(5, 600)));
        Hush {
            prefix: self.rng.pick::<&str>(&["", "thread.", "budget.", "source.", "doc."]),
            source: *self.rng.pick(&[None, None, Some("acme"), Some("files")]),
            sink: *self.rng.pick(&[None, Some("a"), Some("b"), Some("c")]),
            most: *self.rng.pick(&[None, Some(Severity::Info), Some(Severity::Warning)]),
            rule: *self.rng.pick(&[None, None, None, Some("daily"), Some("weekly")]),
            until,
        }
    }

    /// Every event ended at every sink as it had to, and no sink was told of anything twice.
    pub fn compare_fates(&self) {
        for ((event, sink), told) in self.receivers.told() {
            let fate = &self.model.desk.fates[&(event.clone(), sink.clone())];
            for delivery in told {
                let by = match fate {
                    Fate::Alone(id) | Fate::With(id) => id == delivery,
                    // A person may have it sent all the same.
                    Fate::Suppressed(_) => self.model.outbox.items[delivery].resent,
                    Fate::Waits => false,
                };
                assert!(by, "{event} at {sink} came in {delivery}: {fate:?}");
            }
        }
        for ((event, sink), fate) in &self.model.desk.fates {
            match fate {
                Fate::Alone(id) | Fate::With(id) => {
                    let item = &self.model.outbox.items[id];
                    assert!(!item.state.is_open(), "{event} at {sink}: {item:?}");
                }
                Fate::Suppressed(_) => {}
                Fate::Waits => panic!("{event} still waits at {sink}"),
            }
        }
    }
}

fn silence_of(hush: &Hush, now: Timestamp) -> Silence {
    let rule = |name: &str| FieldMatch { field: "rule".to_owned(), test: Test::Equals(name.to_owned()) };
    Silence {
        events: vec![format!("{}*", hush.prefix)],
        sources: hush.source.iter().map(|s| (*s).to_owned()).collect(),
        subjects: Vec::new(),
        sink: hush.sink.map(str::to_owned),
        fields: hush.rule.into_iter().map(rule).collect(),
        max_severity: hush.most,
        until: hush.until,
        created: now,
        comment: "hush".to_owned(),
    }
}
