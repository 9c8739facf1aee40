//! What becomes of deliveries: who may go when, and where each must end.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::delivery::{ATTEMPTS_KEPT, Delivery, DeliveryState, Outcome};
use ampbridge::domain::retry::RetryPolicy;
use ampbridge::domain::time::{SignedDuration, Timestamp, plus};

#[derive(Debug, Clone, Default)]
pub struct Outbox {
    pub items: BTreeMap<String, Item>,
}

#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Item {
    pub seq: u64,
    pub sink: String,
    pub event: String,
    pub subjects: BTreeSet<String>,
    pub state: DeliveryState,
    pub attempts: u32,
    pub tries: u32,
    pub first: Option<Timestamp>,
    pub refusals: u32,
    pub released: bool,
    pub internal: bool,
    /// The commit that made it due is durable.
    pub public: bool,
    /// A person has sent it again, so it may come after later ones.
    pub resent: bool,
    /// The times of its last attempts, while its patience lasts.
    pub since_first: Vec<Timestamp>,
    /// Its last attempt, or when it was made.
    pub tried: Timestamp,
    /// Critical, or sent by a person: quiet hours do not keep it, nor what goes before it.
    pub urgent: bool,
    /// Since when quiet hours keep it.
    pub kept: Option<Timestamp>,
}

/// Leases belong to the running process: (sink, claim) to delivery and end.
pub type Leases = BTreeMap<(String, u64), (String, Timestamp)>;

impl Item {
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            seq: delivery.seq,
            sink: delivery.sink.clone(),
            event: delivery.event_ids.concat(),
            subjects: delivery.about().iter().cloned().collect(),
            state: delivery.state.clone(),
            attempts: delivery.attempts,
            tries: delivery.tries,
            first: delivery.first_attempt,
            refusals: delivery.refusals,
            released: delivery.released,
            internal: delivery.internal,
            public: false,
            resent: false,
            since_first: Vec::new(),
            tried: delivery.log.last().map_or(delivery.created, |attempt| attempt.at),
            urgent: delivery.urgent,
            kept: delivery.quiet_since,
        }
    }

    /// How the same stands in the store: what only the model knows, and the rest as it is stored.
    pub fn as_kept(&self, stored: &Delivery) -> Self {
        let since_first = self.since_first.clone();
        Self { public: self.public, resent: self.resent, since_first, ..Self::of(stored) }
    }

    /// A night is no time of trying.
    fn wake(&mut self, now: Timestamp) {
        if let Some(since) = self.kept.take() {
            let night = now.duration_since(since).max(SignedDuration::ZERO);
            self.first = self.first.map(|first| plus(first, night));
        }
    }

    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            DeliveryState::Due { at } => Some(at),
            _ => None,
        }
    }
}

impl Outbox {
    /// What a claim must return: of each subject everything up to the first that holds the others back, the earliest
    /// due first. Of what is about several subjects, that must be so in each of them.
    pub fn claimable(&self, sink: &str, now: Timestamp, limit: usize, leases: &Leases) -> Vec<String> {
        let leased: BTreeSet<&str> = leases.values().map(|(id, _)| id.as_str()).collect();
        let mut open: Vec<(&String, &Item)> =
            self.items.iter().filter(|(_, i)| i.sink == sink && i.public && i.state.is_open()).collect();
        open.sort_by_key(|(_, i)| i.seq);
        let mut closed: BTreeSet<&str> = BTreeSet::new();
        let mut ready: Vec<(Timestamp, u64, &String, Timestamp)> = Vec::new();
        for (id, item) in open {
            let is_behind = item.subjects.iter().any(|subject| closed.contains(subject.as_str()));
            if !item.released {
                closed.extend(item.subjects.iter().map(String::as_str));
            }
            if is_behind {
                continue;
            }
            let pressed = item.kept.filter(|_| self.is_pressed(id));
            let due = item.due().map(|due| pressed.unwrap_or(due));
            if let Some(due) = due.filter(|_| !leased.contains(id.as_str())) {
                ready.push((due, item.seq, id, item.kept.unwrap_or(item.tried)));
            }
        }
        ready.sort();
        // A wait that began in the future was measured by a clock that was set back: it is over.
        let far = plus(now, SignedDuration::from_mins(1));
        let may =
            |(due, _, _, since): &(Timestamp, u64, &String, Timestamp)| *due <= now || (*due >= far && *since > now);
        ready.into_iter().filter(may).take(limit).map(|(_, _, id, _)| id.clone()).collect()
    }

    /// Something urgent waits behind it, or behind what waits behind it.
    pub fn is_pressed(&self, id: &str) -> bool {
        let mut open: Vec<&Item> =
            self.items.values().filter(|i| i.sink == self.items[id].sink && i.public && i.state.is_open()).collect();
        open.sort_by_key(|item| std::cmp::Reverse(item.seq));
        let mut pressed: BTreeSet<&str> = BTreeSet::new();
        for item in open {
            let is_pressed = item.subjects.iter().any(|subject| pressed.contains(subject.as_str()));
            if item.seq == self.items[id].seq {
                return is_pressed;
            }
            if item.urgent || is_pressed {
                pressed.extend(item.subjects.iter().map(String::as_str));
            }
        }
        false
    }

    /// Nothing was sent: it stays until then.
    pub fn keep(&mut self, id: &str, until: Timestamp, now: Timestamp) {
        let item = self.items.get_mut(id).unwrap();
        item.wake(now);
        (item.state, item.kept) = (DeliveryState::Due { at: until }, Some(now));
    }

    /// Earlier deliveries of the same sink and subject that should have gone first.
    pub fn overtaken(&self, id: &str) -> Vec<String> {
        let item = &self.items[id];
        let earlier = |other: &Item| {
            other.sink == item.sink
                && !other.subjects.is_disjoint(&item.subjects)
                && other.seq < item.seq
                && other.state.is_open()
                && !other.released
                && !other.resent
        };
        self.items.iter().filter(|(_, other)| earlier(other)).map(|(id, _)| id.clone()).collect()
    }

    /// Takes an attempt's outcome in. The time of the next try is drawn by the bridge; it must be one the policy allows.
    pub fn settle(
        &mut self,
        id: &str,
        outcome: &Outcome,
        (started, now): (Timestamp, Timestamp),
        on: Option<Timestamp>,
        policy: &RetryPolicy,
        after: &Delivery,
    ) -> Result<(), String> {
        let item = self.items.get_mut(id).ok_or_else(|| format!("{id} is not known"))?;
        // Neither is a time in which the sink was off.
        item.first = item.first.map(|first| on.map_or(first, |on| first.max(on.min(started))));
        item.wake(started);
        item.tries += 1;
        item.tried = started;
        let first = *item.first.get_or_insert(started);
        let end = plus(first, policy.horizon);
        item.since_first.push(started);
        let surplus = item.since_first.len().saturating_sub(ATTEMPTS_KEPT);
        item.since_first.drain(..surplus);
        let counts = !matches!(outcome, Outcome::Throttled { .. });
        item.attempts += u32::from(counts);
        if let Outcome::Transient { refusal: true, .. } = outcome {
            item.refusals += 1;
            item.released |= item.refusals >= 2;
        }
        match outcome {
            Outcome::Accepted => item.state = DeliveryState::Delivered { at: now },
            // As due as it was.
            Outcome::Stop => {}
            Outcome::Permanent => require(&after.state, "dead")?,
            Outcome::Throttled { after: asked } | Outcome::Transient { after: asked, .. } => {
                // To be asked to slow down does not count, but is no reason to come back faster each time.
                let in_a_row = item.since_first.iter().rev().take_while(|at| **at >= first).count();
                let attempt = match outcome {
                    Outcome::Throttled { .. } => item.attempts.max(u32::try_from(in_a_row).unwrap()),
                    _ => item.attempts,
                };
                next_try(*asked, attempt, now, end, policy, &after.state)?;
            }
        }
        if !matches!(outcome, Outcome::Accepted | Outcome::Stop) {
            item.state = after.state.clone();
        }
        let expected = item.as_kept(after);
        if *item != expected {
            return Err(format!("{id} stands at {expected:?}, expected {item:?}"));
        }
        Ok(())
    }
}

fn require(state: &DeliveryState, name: &str) -> Result<(), String> {
    match state {
        DeliveryState::Dead { reason, .. } if reason.is_empty() => Err("dead without a reason".to_owned()),
        _ if state.as_str() == name => Ok(()),
        _ => Err(format!("is {state:?}, expected {name}")),
    }
}

/// Whether the policy allows this state after a failed attempt.
fn next_try(
    asked: Option<SignedDuration>,
    attempt: u32,
    now: Timestamp,
    end: Timestamp,
    policy: &RetryPolicy,
    state: &DeliveryState,
) -> Result<(), String> {
    let ceiling = policy.ceiling(attempt);
    let floor = SignedDuration::from_secs_f64(ceiling.as_secs_f64() / 10.01);
    // Less than the shortest wait is not asking for time.
    let asked = asked.filter(|asked| *asked > floor).map(|asked| asked.min(SignedDuration::from_hours(24)));
    let fault =
        || Err(format!("{state:?} at {now}, attempt {attempt}, asked {asked:?}, ceiling {ceiling:?}, horizon {end}"));
    let DeliveryState::Due { at } = state else {
        return if now >= end { require(state, "dead") } else { fault() };
    };
    let wait = at.duration_since(now);
    let is_good = match asked {
        Some(asked) => wait == asked,
        None if *at <= end => wait <= ceiling && (wait >= floor || *at == end),
        // So near to the horizon that the shortest wait passes it.
        None => wait <= policy.min,
    };
    if now < end && is_good { Ok(()) } else { fault() }
}
