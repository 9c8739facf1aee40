//! Claims, attempts, and what receivers make of them.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::cycle::{Input, Settled};
use ampbridge::domain::delivery::{Delivery, DeliveryKind, DeliveryState, Outcome, Report};
use ampbridge::domain::time::{SignedDuration, Timestamp, plus};
use ampbridge::store::Claimed;
use serde_json::json;

use crate::fact::Fact;
use crate::model::health::Word;
use crate::model::timing::HANDED;
use crate::sim::Sim;

const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// An attempt under way.
pub struct Flight {
    pub sink: String,
    pub claim: u64,
    pub delivery: Delivery,
    started: Timestamp,
}

/// What has arrived, by delivery, and which deliveries told of an event: by event and sink. Reminders are no news.
#[derive(Debug, Default)]
pub struct Receivers(BTreeMap<String, Arrivals>, Told);

type Told = BTreeMap<(String, String), BTreeSet<String>>;

#[derive(Debug, Default)]
struct Arrivals {
    times: u32,
    /// One more for each crash, lost answer, lease that ran out and person who sent it again.
    excuses: u32,
}

impl Receivers {
    fn take(&mut self, delivery: &Delivery) {
        let arrivals = self.0.entry(delivery.id.clone()).or_default();
        arrivals.times += 1;
        assert!(arrivals.times <= 1 + arrivals.excuses, "{} arrived too often: {arrivals:?}", delivery.id);
        for event in delivery.event_ids.iter().filter(|_| delivery.kind != DeliveryKind::Reminder) {
            let told = self.1.entry((event.clone(), delivery.sink.clone())).or_default();
            told.insert(delivery.id.clone());
        }
    }

    pub fn told(&self) -> &Told {
        &self.1
    }

    /// Something happened that allows one arrival more.
    pub fn excuse(&mut self, delivery: &str) {
        self.0.entry(delivery.to_owned()).or_default().excuses += 1;
    }

    /// The process died; what had arrived without this being durable may arrive once more.
    pub fn excuse_all_but(&mut self, durable: &BTreeSet<String>) {
        for (_, arrivals) in self.0.iter_mut().filter(|(id, a)| a.times > 0 && !durable.contains(*id)) {
            arrivals.excuses += 1;
        }
    }

    pub fn has(&self, delivery: &str) -> bool {
        self.0.get(delivery).is_some_and(|a| a.times > 0)
    }

    /// All, and those after the first.
    pub fn arrivals(&self) -> (u32, u32) {
        let all = self.0.values().map(|a| a.times);
        (all.clone().sum(), all.map(|n| n.saturating_sub(1)).sum())
    }
}

impl Sim {
    pub async fn claim(&mut self, sink: &str, limit: usize) {
        assert_eq!(self.bridge.is_stopped(sink).await, self.model.sinks.entry(sink.to_owned()).or_default().stopped);
        if self.model.sinks[sink].stopped {
            return;
        }
        let now = self.bridge.now();
        let over: Vec<(String, u64)> = self
            .leases
            .iter()
            .filter(|((s, _), (_, until))| s == sink && *until <= now)
            .map(|(k, _)| k.clone())
            .collect();
        for key in over {
            if let Some((id, _)) = self.leases.remove(&key) {
                self.receivers.excuse(&id);
            }
        }
        let expected = self.model.outbox.claimable(sink, now, limit, &self.leases);
        let claimed = self.bridge.store().claim(sink, now, limit, LEASE).await.unwrap();
        let ids: Vec<&String> = claimed.iter().map(|c| &c.delivery.id).collect();
        assert_eq!(ids, expected.iter().collect::<Vec<_>>(), "claimed at {sink}");
        let claimed = self.keep(claimed, now).await;
        for one in claimed {
            let id = one.delivery.id.clone();
            assert_eq!(one.delivery.event_ids.len().min(HANDED), one.events.len(), "{id} without its events");
            for event in &one.events {
                assert!(self.durable.events.contains_key(&event.event.id), "{id} leaves before it is durable");
                assert_eq!(Fact::of(event), self.model.events[&event.event.id]);
            }
            assert_eq!(self.model.outbox.overtaken(&id), Vec::<String>::new(), "{id} goes before these");
            self.say(&format!("{id} ({}) goes to {sink}", one.delivery.event_type));
            self.leases.insert((sink.to_owned(), one.claim), (id, plus(now, LEASE)));
            let flight = Flight { sink: sink.to_owned(), claim: one.claim, delivery: one.delivery, started: now };
            self.flights.push(flight);
        }
    }

    /// Of what was claimed, what goes now; the rest stays until the night is over.
    async fn keep(&mut self, claimed: Vec<Claimed>, now: Timestamp) -> Vec<Claimed> {
        let mut going = Vec::new();
        for one in &claimed {
            let id = &one.delivery.id;
            if let Some(until) = self.model.kept_until(&self.setup, &one.delivery, now) {
                self.say(&format!("{id} stays until {until}"));
                self.model.outbox.keep(id, until, now);
                *self.shapes.entry("kept".to_owned()).or_default() += 1;
            } else {
                let pressed = self.model.outbox.items[id].kept.is_some() && self.model.outbox.is_pressed(id);
                *self.shapes.entry("goes with what is critical".to_owned()).or_default() += u32::from(pressed);
                going.push(id.clone());
            }
        }
        let awake = self.bridge.awake(claimed).await;
        assert_eq!(awake.iter().map(|one| &one.delivery.id).collect::<Vec<_>>(), going.iter().collect::<Vec<_>>());
        awake
    }

    /// Up to `most` attempts at one sink end. With `calm` all are accepted.
    pub async fn settle(&mut self, sink: &str, most: usize, calm: bool) {
        let now = self.bridge.now();
        let mut batch = Vec::new();
        for _ in 0..most {
            let Some(at) = self.flights.iter().position(|f| f.sink == sink) else { break };
            let flight = self.flights.remove(at);
            let report = self.attempt(&flight, calm);
            batch.push(Settled {
                delivery: flight.delivery,
                claim: flight.claim,
                report,
                started: flight.started,
                policy: self.setup.policy,
                unit: self.rng.unit(),
            });
        }
        if batch.is_empty() {
            return;
        }
        let input = Input::Settled(batch.clone());
        let plan = self.bridge.step(&input).await;
        let mut settled = plan.settled.iter();
        let mut expected = Vec::new();
        for one in &batch {
            let id = &one.delivery.id;
            let key = (sink.to_owned(), one.claim);
            if self.leases.remove(&key).is_none() {
                // The lease ran out, or a person took it away: this outcome does not count.
                continue;
            }
            let (claim, after) = settled.next().expect("an outcome was not booked");
            assert_eq!((claim, &after.id), (&one.claim, id));
            let outcome = &one.report.outcome;
            let was_internal = self.model.outbox.items[id].internal;
            let on = self.model.sinks.get(sink).and_then(|health| health.on);
            let times = (one.started, now);
            if let Err(why) = self.model.outbox.settle(id, outcome, times, on, &self.setup.policy, after) {
                panic!("{outcome:?}: {why}");
            }
            if let (Some(reference), Some(incident)) = (&one.report.reference, &one.delivery.incident) {
                self.model.references.insert((sink.to_owned(), incident.clone()), reference.clone());
            }
            let word = match outcome {
                Outcome::Accepted => Word::Accepted,
                Outcome::Throttled { .. } => Word::Throttled,
                Outcome::Stop => Word::Stop,
                _ => Word::Failed,
            };
            let died = matches!(after.state, DeliveryState::Dead { .. }).then_some((id.as_str(), after.tries));
            expected.extend(self.model.sinks.entry(sink.to_owned()).or_default().settled(
                sink,
                word,
                died,
                was_internal,
                now,
            ));
            self.say(&format!("{id} at {sink}: {outcome:?}, now {}", after.state.as_str()));
        }
        assert!(settled.next().is_none(), "an outcome was booked that does not count");
        self.check(&plan, expected).await;
    }

    /// What the receiver does, and what the sink reports of it.
    fn attempt(&mut self, flight: &Flight, calm: bool) -> Report {
        let id = &flight.delivery.id;
        let after = self.rng.percent(40).then(|| SignedDuration::from_secs(self.rng.between(1, 7200)));
        let roll = if calm { 0 } else { self.rng.below(100) };
        let outcome = match roll {
            0..=54 => {
                self.receivers.take(&flight.delivery);
                let mut report = Report::new(Outcome::Accepted, Some(200), "ok");
                report.reference =
                    flight.delivery.incident.as_ref().map(|_| json!({ "ts": self.rng.below(1_000_000) }));
                return report;
            }
            55..=64 => {
                self.receivers.take(&flight.delivery);
                self.receivers.excuse(id);
                Outcome::Transient { after: None, refusal: false }
            }
            65..=71 => Outcome::Throttled { after },
            72..=81 => Outcome::Transient { after, refusal: false },
            82..=91 => Outcome::Transient { after: None, refusal: true },
            92..=96 => Outcome::Permanent,
            _ => Outcome::Stop,
        };
        Report::new(outcome, Some(500), "no")
    }

    /// The process dies: of what was under way, some had arrived.
    pub fn lose_flights(&mut self) {
        for flight in std::mem::take(&mut self.flights) {
            if self.rng.percent(50) {
                self.receivers.take(&flight.delivery);
            }
        }
        self.leases.clear();
    }
}
