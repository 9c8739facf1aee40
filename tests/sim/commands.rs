//! What a person decides, at any time.

use std::collections::BTreeSet;

use ampbridge::domain::collection::{CollectionId, Role};
use ampbridge::domain::cycle::{Command, Input};
use ampbridge::domain::delivery::DeliveryState;
use ampbridge::domain::time::Timestamp;

use crate::fact::Fact;
use crate::model::outbox::Item;
use crate::setup::{COLLECTIONS, SINKS};
use crate::sim::Sim;

impl Sim {
    pub async fn command(&mut self) {
        let held: Vec<&'static str> =
            COLLECTIONS.iter().copied().filter(|c| self.model.collections[*c].hold.is_some()).collect();
        if !held.is_empty() && self.rng.percent(60) {
            let name = *self.rng.pick(&held);
            return self.decide(name).await;
        }
        let ids: Vec<String> = self.model.outbox.items.keys().cloned().collect();
        let sink = (*self.rng.pick(&SINKS)).to_owned();
        if self.rng.percent(35) {
            return self.attend().await;
        }
        if !ids.is_empty() && self.rng.percent(20) {
            return self.contest_delivery().await;
        }
        let command = match self.rng.below(10) {
            0..=2 if !ids.is_empty() => Command::RetryDelivery { id: self.rng.pick(&ids).clone(), in_order_at: None },
            3..=4 if !ids.is_empty() => Command::DropDelivery { id: self.rng.pick(&ids).clone() },
            5..=7 => Command::EnableSink { sink },
            8 => Command::DisableSink { sink },
            _ => {
                let name = *self.rng.pick(&COLLECTIONS);
                return self.decide(name).await;
            }
        };
        self.order(command).await;
    }

    /// At night a person sends something that comes after what quiet hours keep: that goes now, and before it.
    pub async fn press(&mut self) {
        let behind = self.behind_what_is_kept();
        if behind.is_empty() || self.rng.percent(50) {
            return;
        }
        let id = self.rng.pick(&behind).clone();
        let sink = self.model.outbox.items[&id].sink.clone();
        self.order(Command::RetryDelivery { id, in_order_at: None }).await;
        self.flush().await;
        self.claim(&sink, 4).await;
    }

    /// What comes after something that quiet hours keep, on its subject.
    fn behind_what_is_kept(&self) -> Vec<String> {
        let items = &self.model.outbox.items;
        let kept = || items.values().filter(|item| item.kept.is_some() && item.state.is_open());
        let is_behind = |item: &Item| {
            let same = |first: &Item| first.sink == item.sink && !first.subjects.is_disjoint(&item.subjects);
            kept().any(|first| same(first) && first.seq < item.seq)
        };
        items.iter().filter(|(_, item)| is_behind(item)).map(|(id, _)| id.clone()).collect()
    }

    /// About what is held of a collection; a reset where nothing is.
    pub async fn decide(&mut self, name: &'static str) {
        let spec = self.setup.spec(name);
        let Some(hold) = self.bridge.collection(name).await.hold.map(|h| h.id) else {
            if self.model.collections[name].epoch > 0 && self.rng.percent(20) {
                let command = Command::Reset { collection: spec.id(), spend: spec.role == Role::Spend };
                self.order(command).await;
            }
            return;
        };
        let command = match self.rng.below(3) {
            0 => Command::ApproveHold { spec: Box::new(spec.as_ref().clone()), hold },
            1 => Command::RejectHold { collection: spec.id(), hold },
            _ => Command::RebaselineHold { collection: spec.id(), hold },
        };
        self.contested(name, command).await;
    }

    /// Gives a command while a look goes on.
    async fn contested(&mut self, name: &'static str, command: Command) {
        let input = Input::Command(command);
        // Not while the look itself is being raced with: its page is on the way already.
        if self.looks.contains_key(name) && self.rng.percent(30) {
            self.race(name, &input).await;
        }
        let Input::Command(command) = input else { return };
        self.order(command).await;
    }

    /// A person decides about a delivery while its attempt ends.
    async fn contest_delivery(&mut self) {
        let Some(flight) = self.flights.first() else { return };
        let (id, sink) = (flight.delivery.id.clone(), flight.sink.clone());
        let command = if self.rng.percent(50) {
            Command::RetryDelivery { id, in_order_at: None }
        } else {
            Command::DropDelivery { id }
        };
        let input = Input::Command(command);
        let early = self.bridge.prepare(&input).await;
        self.settle(&sink, 1, false).await;
        self.late(&input, &early).await;
        let Input::Command(command) = input else { return };
        self.order(command).await;
    }

    pub async fn approve(&mut self, name: &str) {
        if let Some(hold) = self.bridge.collection(name).await.hold {
            let spec = Box::new(self.setup.spec(name).as_ref().clone());
            self.order(Command::ApproveHold { spec, hold: hold.id }).await;
        }
    }

    /// Gives a command to the bridge and to the model.
    pub async fn order(&mut self, command: Command) {
        let now = self.bridge.now();
        self.say(&format!("command {}", brief(&command)));
        let expected = self.obey(&command, now);
        let plan = self.bridge.step(&Input::Command(command)).await;
        assert_eq!(plan.answer.as_ref().map(Result::is_ok), Some(expected.is_ok()), "{:?}", plan.answer);
        assert!(!plan.more, "few enough for one go");
        self.check(&plan, expected.unwrap_or_default()).await;
    }

    /// What the command must come to; an error where it must be refused.
    fn obey(&mut self, command: &Command, now: Timestamp) -> Result<Vec<Fact>, ()> {
        let held = |id: CollectionId, hold: &String| {
            let known = &self.model.collections[&id.to_string()].hold;
            if known.as_ref().is_some_and(|h| h.id == *hold && h.told.is_some()) { Ok(()) } else { Err(()) }
        };
        match command {
            Command::ApproveHold { spec, hold } => held(spec.id(), hold)?,
            Command::RebaselineHold { collection, hold } | Command::RejectHold { collection, hold } => {
                held(collection.clone(), hold)?;
            }
            _ => {}
        }
        match command {
            Command::ApproveHold { spec, .. } => {
                let gone = self.let_go(&spec.id().to_string());
                let known = self.model.collections.get_mut(&spec.id().to_string()).unwrap();
                return Ok(known.remove(spec, &gone));
            }
            Command::RebaselineHold { collection, .. } => {
                let gone = self.let_go(&collection.to_string());
                let known = self.model.collections.get_mut(&collection.to_string()).unwrap();
                known.rows.retain(|key, _| !gone.contains(key));
            }
            Command::RejectHold { collection, .. } => {
                let known = self.model.collections.get_mut(&collection.to_string()).unwrap();
                let hold = known.hold.as_mut().unwrap();
                hold.rejected = true;
            }
            Command::RetryDelivery { id, .. } => {
                self.receivers.excuse(id);
                self.leases.retain(|_, (leased, _)| leased != id);
                let item = self.model.outbox.items.get_mut(id).unwrap();
                item.state = DeliveryState::Due { at: now };
                (item.attempts, item.first, item.refusals, item.released) = (0, None, 0, false);
                item.since_first.clear();
                (item.public, item.resent) = (false, true);
                (item.urgent, item.kept) = (true, None);
            }
            Command::Acknowledge { incident, .. } => {
                self.model.desk.troubles.get_mut(incident).ok_or(())?.acked = true;
            }
            // Whoever gives the command notes it as well.
            Command::AddSilence { .. } => {}
            Command::ExpireSilence { id } => {
                self.model.desk.silences.remove(id).ok_or(())?;
            }
            Command::DropDelivery { id } => {
                let item = self.model.outbox.items.get_mut(id).unwrap();
                if !item.state.is_open() {
                    return Err(());
                }
                item.state = DeliveryState::Suppressed { at: now, reason: "dropped by command".to_owned() };
                self.leases.retain(|_, (leased, _)| leased != id);
            }
            Command::EnableSink { sink } => {
                let health = self.model.sinks.entry(sink.clone()).or_default();
                if std::mem::take(&mut health.stopped) {
                    health.on = Some(now);
                }
                (health.stop_told, health.failures) = (false, 0);
            }
            Command::DisableSink { sink } => self.model.sinks.entry(sink.clone()).or_default().stopped = true,
            Command::Reset { collection, spend } => {
                self.model.collections.get_mut(&collection.to_string()).unwrap().forget();
                if *spend {
                    self.model.money.forget(&collection.source);
                }
            }
        }
        Ok(Vec::new())
    }

    /// The hold ends. What has been shown since the look that missed it is not missing; what nobody was told of is missing
    /// as before.
    fn let_go(&mut self, name: &str) -> BTreeSet<String> {
        let known = self.model.collections.get_mut(name).unwrap();
        let told = known.hold.take().and_then(|hold| hold.told).unwrap_or_default();
        let marks = self.marks.entry(name.to_owned()).or_default();
        known.missed.retain(|key| !marks.contains(key));
        let (gone, left) = std::mem::take(&mut known.missed).into_iter().partition(|key| told.contains(key));
        known.missed = left;
        gone
    }
}

fn brief(command: &Command) -> String {
    match command {
        Command::ApproveHold { spec, hold } => format!("approve {hold} of {}", spec.id()),
        other => format!("{other:?}"),
    }
}
