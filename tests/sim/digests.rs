//! Digests: what must be in them, and those of spend alone, for which no event has to wait.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::cycle::{Input, Plan};
use ampbridge::domain::delivery::DeliveryKind;
use ampbridge::domain::event::Severity;
use ampbridge::domain::money::Micros;
use ampbridge::domain::time::{Timestamp, minus_days};
use serde_json::json;

use crate::fact::{Fact, detail_of};
use crate::model::digest::{self as model, MoneyDigest, Spent};
use crate::model::timing::Message;
use crate::sim::Sim;

impl Sim {
    /// Rooms that must be emptied: those in which something waits that is due, and digests of spend whose time has come.
    pub fn due_rooms(&self, sink: &str, now: Timestamp) -> BTreeSet<String> {
        let desk = &self.model.desk;
        let waiting = desk.rooms.iter().filter(|((s, _), waiting)| s == sink && waiting.due <= now);
        let rooms = waiting.map(|(key, _)| desk.names[key].clone());
        let digests = model::of_sink(&self.setup, sink).into_iter().filter(|d| d.is_due(sink, &desk.digests, now));
        rooms.chain(digests.map(|digest| room_of(&digest))).collect()
    }

    /// Whether the digest of a room was told of before, and the spend it must tell of, which counts as told of now; nothing
    /// where a clock that has been set back since told of it.
    pub fn spend_of(&mut self, sink: &str, room: &str, now: Timestamp) -> Option<(bool, Spent)> {
        let digest = model::of_sink(&self.setup, sink).into_iter().find(|digest| room_of(digest) == room)?;
        digest.tell(sink, &mut self.model.desk.digests, &self.model.money, now)
    }

    /// No event waited for it. What was spent is told by itself; what else there may be to say of money (a forecast,
    /// a day that is not known) statistics decide.
    pub async fn tell_of_spend_alone(&mut self, sink: &str, room: String, now: Timestamp) {
        let digests = model::of_sink(&self.setup, sink);
        let weekly = digests.iter().any(|digest| digest.weekly && room_of(digest) == room);
        let spent = self.spend_of(sink, &room, now);
        self.say(&format!("{room} at {sink} is due for spend alone: {spent:?}"));
        let plan = self.bridge.step(&Input::Release { sink: sink.to_owned(), rooms: vec![room] }).await;
        let told = !plan.events.is_empty();
        let spent = spent.filter(|(before, _)| *before).map(|(_, spent)| spent);
        assert!(spent.is_some() || !told, "there is no stretch to tell of");
        assert!(told || spent.iter().all(|spent| spent.total == Micros::ZERO), "{spent:?} is not told at {sink}");
        let messages = if told { vec![Message::new(sink, DeliveryKind::Digest, &[])] } else { Vec::new() };
        let why = if weekly { "weekly" } else { "daily" };
        let facts = messages.iter().map(|message| digest(&self.model.events, why, message)).collect();
        check_spend(&plan, spent.as_ref());
        *self.shapes.entry("digest of spend alone".to_owned()).or_default() += u32::from(told);
        self.check_all(&plan, facts, messages, Vec::new()).await;
    }
}

/// What the event of a digest must say of the events in it.
pub fn digest(events: &BTreeMap<String, Fact>, why: &str, message: &Message) -> Fact {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for id in &message.events {
        *counts.entry(&events[id].kind).or_default() += 1;
    }
    let detail = detail_of(&[("counts", json!(counts)), ("events", json!(message.events.len()))]);
    Fact::new(&format!("digest.{why}"), "bridge", &message.sink, Severity::Info, &detail)
}

/// The spend that the digest of a plan tells of is that of these days; with nothing spent it may say nothing of it.
pub fn check_spend(plan: &Plan, spent: Option<&Spent>) {
    for stored in plan.events.iter().filter(|stored| stored.event.kind.starts_with("digest.")) {
        let told = stored.event.data.get("money").filter(|money| !money.is_null());
        let Some(spent) = spent else {
            assert_eq!(told, None, "nobody asked for it");
            continue;
        };
        let Some(told) = told else {
            assert_eq!(spent.total, Micros::ZERO, "not told: {spent:?}");
            continue;
        };
        let said = (&told["from"], &told["to"], &told["total_usd"]);
        let (from, to) = (json!(spent.from.to_string()), json!(minus_days(spent.to, 1).to_string()));
        assert_eq!(said, (&from, &to, &json!(spent.total)), "{spent:?}");
    }
}

fn room_of(digest: &MoneyDigest) -> String {
    format!("digest:{}", digest.route)
}
