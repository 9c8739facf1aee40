//! Which open delivery may go next: due times, order per subject, leases. In memory, rebuilt at start from the open
//! deliveries of the store.
//!
//! Invariants: of one subject at most one delivery is out at a time, the oldest first, unless older ones were released; one
//! about several subjects waits for its turn in each of them; a claim id is good for one settlement. About 100 bytes per
//! waiting delivery.

mod urgency;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::SignedDuration;
use xxhash_rust::xxh3::xxh3_64;

use super::QueueDepth;
use crate::domain::delivery::Delivery;
use crate::domain::time::{Timestamp, plus};

/// Waits that end later than this from now are looked at for a clock that was set back.
const FAR: SignedDuration = SignedDuration::from_mins(1);

#[derive(Debug, Default)]
pub struct Outbox {
    sinks: HashMap<String, Queue>,
    next_claim: u64,
}

#[derive(Debug, Default)]
struct Queue {
    entries: HashMap<u64, Entry>,
    /// Open deliveries of a subject, oldest first.
    chains: HashMap<u64, VecDeque<u64>>,
    /// What may be claimed, by due time.
    ready: BTreeSet<(Timestamp, u64)>,
    leases: BTreeMap<u64, Lease>,
    /// By subject: what quiet hours keep, and what they do not.
    quiet: BTreeSet<(u64, u64)>,
    urgent: BTreeSet<(u64, u64)>,
    /// By subject: what is about others as well.
    spanning: BTreeSet<(u64, u64)>,
    /// How many wait for another attempt.
    retrying: usize,
}

/// What a delivery is about, as hashes.
#[derive(Debug, Clone)]
enum Subjects {
    One(u64),
    Many(Arc<[u64]>),
}

#[derive(Debug, Clone)]
struct Entry {
    subjects: Subjects,
    due: Timestamp,
    /// When it last was where it is: its last attempt, or when it was made.
    since: Timestamp,
    released: bool,
    /// An attempt was made.
    tried: bool,
    /// Until when quiet hours keep it, unless something urgent waits behind it.
    quiet: Option<Timestamp>,
    /// The claim it is leased under.
    claim: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    seq: u64,
    until: Timestamp,
}

impl Outbox {
    /// A delivery waits (new, or back after an attempt).
    pub fn insert(&mut self, delivery: &Delivery) {
        let Some(due) = delivery.due_at() else { return };
        let subjects = Subjects::of(delivery);
        let queue = self.sinks.entry(delivery.sink.clone()).or_default();
        queue.forget_ready(delivery.seq);
        let last = delivery.log.last().map_or(delivery.created, |attempt| attempt.at);
        let since = delivery.quiet_since.unwrap_or(last);
        let quiet = delivery.kept_until();
        let tried = delivery.first_attempt.is_some();
        let entry =
            Entry { subjects: subjects.clone(), due, since, released: delivery.released, tried, quiet, claim: None };
        let known = queue.entries.insert(delivery.seq, entry);
        queue.retrying += usize::from(tried);
        queue.retrying -= known.as_ref().map_or(0, |known| usize::from(known.tried));
        for subject in subjects.as_slice() {
            let place = (*subject, delivery.seq);
            mark(&mut queue.quiet, place, quiet.is_some());
            mark(&mut queue.urgent, place, delivery.urgent);
            mark(&mut queue.spanning, place, matches!(subjects, Subjects::Many(_)));
            if known.is_none() {
                queue.link(*subject, delivery.seq, delivery.released);
            }
        }
        queue.changed(&subjects);
    }

    /// A delivery no longer waits.
    pub fn remove(&mut self, sink: &str, seq: u64) {
        let Some(queue) = self.sinks.get_mut(sink) else { return };
        queue.forget_ready(seq);
        let Some(entry) = queue.entries.remove(&seq) else { return };
        queue.retrying -= usize::from(entry.tried);
        for subject in entry.subjects.as_slice() {
            if let Some(chain) = queue.chains.get_mut(subject) {
                chain.retain(|s| *s != seq);
                if chain.is_empty() {
                    queue.chains.remove(subject);
                }
            }
            mark(&mut queue.quiet, (*subject, seq), false);
            mark(&mut queue.urgent, (*subject, seq), false);
            mark(&mut queue.spanning, (*subject, seq), false);
        }
        queue.changed(&entry.subjects);
    }

    /// Leases up to `limit` due deliveries until `until`: (claim id, seq).
    pub fn claim(&mut self, sink: &str, now: Timestamp, limit: usize, until: Timestamp) -> Vec<(u64, u64)> {
        let Some(queue) = self.sinks.get_mut(sink) else { return Vec::new() };
        queue.expire(now);
        let mut claims = Vec::new();
        while claims.len() < limit {
            let Some((due, seq)) = queue.next(now) else { break };
            queue.ready.remove(&(due, seq));
            self.next_claim += 1;
            if let Some(entry) = queue.entries.get_mut(&seq) {
                entry.claim = Some(self.next_claim);
            }
            queue.leases.insert(self.next_claim, Lease { seq, until });
            claims.push((self.next_claim, seq));
        }
        claims
    }

    /// Whether something urgent waits behind it.
    pub fn is_pressed(&self, sink: &str, seq: u64) -> bool {
        self.sinks.get(sink).is_some_and(|queue| queue.is_pressed(seq))
    }

    /// Whether a claim is still good for this delivery.
    pub fn holds(&self, sink: &str, claim: u64, seq: u64) -> bool {
        self.sinks.get(sink).and_then(|q| q.leases.get(&claim)).is_some_and(|lease| lease.seq == seq)
    }

    /// Gives a lease back; the delivery is as due as it was.
    pub fn release(&mut self, sink: &str, claim: u64) {
        let Some(queue) = self.sinks.get_mut(sink) else { return };
        let Some(lease) = queue.leases.remove(&claim) else { return };
        queue.give_back(lease.seq);
    }

    pub fn is_leased(&self, sink: &str, seq: u64) -> bool {
        self.sinks.get(sink).and_then(|q| q.entries.get(&seq)).is_some_and(|e| e.claim.is_some())
    }

    /// Whether it waits for an older one about the same.
    pub fn is_behind(&self, sink: &str, seq: u64) -> bool {
        let Some(queue) = self.sinks.get(sink) else { return false };
        queue.entries.get(&seq).is_some_and(|entry| !queue.is_first(seq, entry.subjects.as_slice()))
    }

    pub fn next_due(&self, sink: &str) -> Option<Timestamp> {
        let queue = self.sinks.get(sink)?;
        let ready = queue.ready.first().map(|(due, _)| *due);
        let lease = queue.leases.values().map(|l| l.until).min();
        ready.into_iter().chain(lease).min()
    }

    pub fn depth(&self, sink: &str) -> QueueDepth {
        self.sinks.get(sink).map_or_else(QueueDepth::default, |q| QueueDepth {
            waiting: q.entries.len(),
            leased: q.leases.len(),
            retrying: q.retrying,
        })
    }

    /// Sinks for which something waits.
    pub fn queues(&self) -> BTreeMap<String, QueueDepth> {
        let waiting = self.sinks.iter().filter(|(_, queue)| !queue.entries.is_empty());
        waiting.map(|(sink, _)| (sink.clone(), self.depth(sink))).collect()
    }

    /// Open deliveries at all sinks.
    pub fn waiting(&self) -> usize {
        self.sinks.values().map(|q| q.entries.len()).sum()
    }
}

impl Subjects {
    fn of(delivery: &Delivery) -> Self {
        let hash = |subject: &String| xxh3_64(subject.as_bytes());
        match delivery.about() {
            [only] => Self::One(hash(only)),
            several => Self::Many(several.iter().map(hash).collect::<BTreeSet<u64>>().into_iter().collect()),
        }
    }

    fn as_slice(&self) -> &[u64] {
        match self {
            Self::One(subject) => std::slice::from_ref(subject),
            Self::Many(subjects) => subjects,
        }
    }
}

impl Queue {
    /// Takes its place in the order of a subject.
    fn link(&mut self, subject: u64, seq: u64, released: bool) {
        let chain = self.chains.entry(subject).or_default();
        let at = chain.partition_point(|other| *other < seq);
        chain.insert(at, seq);
        if at + 1 < chain.len() && !released {
            // An old one is back: what could have gone now waits behind it.
            let later: Vec<u64> = chain.iter().skip(at + 1).copied().collect();
            self.unready(&later);
        }
    }

    /// Something about these subjects came, went, or stands otherwise.
    fn changed(&mut self, subjects: &Subjects) {
        self.press(subjects.as_slice());
        for subject in subjects.as_slice() {
            self.refresh(*subject);
        }
    }

    /// Puts what may go of a subject into `ready`: everything up to the first that still holds the rest back.
    fn refresh(&mut self, subject: u64) {
        let Some(chain) = self.chains.get(&subject) else { return };
        for seq in chain {
            let Some(entry) = self.entries.get(seq) else { continue };
            if entry.claim.is_none() && self.has_its_turn(*seq, &entry.subjects) {
                self.ready.insert((entry.due, *seq));
            }
            if !entry.released {
                break;
            }
        }
    }

    /// The same of what is found in the order of one of its subjects: there it has its turn.
    fn has_its_turn(&self, seq: u64, subjects: &Subjects) -> bool {
        matches!(subjects, Subjects::One(_)) || self.is_first(seq, subjects.as_slice())
    }

    /// Whether nothing holds it back in the order of any of its subjects.
    fn is_first(&self, seq: u64, subjects: &[u64]) -> bool {
        let is_released = |other: &u64| self.entries.get(other).is_none_or(|entry| entry.released);
        let first_in = |subject| {
            self.chains
                .get(subject)
                .is_none_or(|chain: &VecDeque<u64>| chain.iter().take_while(|other| **other != seq).all(is_released))
        };
        subjects.iter().all(first_in)
    }

    fn unready(&mut self, seqs: &[u64]) {
        for seq in seqs {
            if let Some(entry) = self.entries.get(seq) {
                self.ready.remove(&(entry.due, *seq));
            }
        }
    }

    fn forget_ready(&mut self, seq: u64) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            self.ready.remove(&(entry.due, seq));
            if let Some(claim) = entry.claim.take() {
                self.leases.remove(&claim);
            }
        }
    }

    fn give_back(&mut self, seq: u64) {
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        entry.claim = None;
        let subjects = entry.subjects.clone();
        for subject in subjects.as_slice() {
            self.refresh(*subject);
        }
    }

    /// What may be claimed first. A wait that began in the future was measured by a clock that was set back since: it is
    /// over.
    fn next(&self, now: Timestamp) -> Option<(Timestamp, u64)> {
        let due = self.ready.first().filter(|(due, _)| *due <= now);
        let set_back = |(_, seq): &&(Timestamp, u64)| self.entries.get(seq).is_some_and(|entry| entry.since > now);
        due.or_else(|| self.ready.range((plus(now, FAR), 0)..).find(set_back)).copied()
    }

    /// Leases whose holder did not come back.
    fn expire(&mut self, now: Timestamp) {
        let over: Vec<(u64, u64)> =
            self.leases.iter().filter(|(_, l)| l.until <= now).map(|(c, l)| (*c, l.seq)).collect();
        for (claim, seq) in over {
            self.leases.remove(&claim);
            self.give_back(seq);
        }
    }
}

fn mark(marks: &mut BTreeSet<(u64, u64)>, of: (u64, u64), on: bool) {
    if on {
        marks.insert(of);
    } else {
        marks.remove(&of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::{DeliveryKind, DeliveryState};

    fn at(secs: i64) -> Timestamp {
        plus(Timestamp::UNIX_EPOCH, SignedDuration::from_secs(secs))
    }

    fn delivery(seq: u64, subject: &str, due: i64) -> Delivery {
        Delivery {
            seq,
            event_type: "t".into(),
            subject: subject.into(),
            state: DeliveryState::Due { at: at(due) },
            ..Delivery::due("bridge", "ops", DeliveryKind::Single, &[&seq.to_string()], at(0))
        }
    }

    fn seqs(claims: &[(u64, u64)]) -> Vec<u64> {
        claims.iter().map(|(_, seq)| *seq).collect()
    }

    #[test]
    fn one_at_a_time_per_subject_oldest_first() {
        let mut outbox = Outbox::default();
        for (seq, subject) in [(1, "a"), (2, "a"), (3, "b")] {
            outbox.insert(&delivery(seq, subject, 0));
        }
        let first = outbox.claim("ops", at(1), 9, at(60));
        assert_eq!(seqs(&first), [1, 3]);
        outbox.remove("ops", 1);
        assert_eq!(seqs(&outbox.claim("ops", at(1), 9, at(60))), [2]);
    }

    #[test]
    fn a_waiting_retry_holds_its_subject_until_released() {
        let mut outbox = Outbox::default();
        outbox.insert(&delivery(1, "a", 0));
        outbox.insert(&delivery(2, "a", 0));
        outbox.claim("ops", at(1), 9, at(60));
        outbox.insert(&delivery(1, "a", 100));
        assert!(outbox.claim("ops", at(2), 9, at(60)).is_empty());
        let depth = |outbox: &Outbox| (outbox.depth("ops").waiting, outbox.depth("ops").retrying);
        assert_eq!(depth(&outbox), (2, 0));
        outbox.insert(&Delivery { first_attempt: Some(at(1)), ..delivery(1, "a", 100) });
        outbox.insert(&Delivery { first_attempt: Some(at(1)), ..delivery(1, "a", 100) });
        assert_eq!(depth(&outbox), (2, 1), "counted once");
        outbox.insert(&Delivery { released: true, ..delivery(1, "a", 100) });
        assert_eq!(seqs(&outbox.claim("ops", at(3), 9, at(60))), [2]);
        assert_eq!(outbox.next_due("ops"), Some(at(60)), "the lease comes before the retry");
    }

    #[test]
    fn a_lease_that_ran_out_is_claimed_again_and_its_claim_is_void() {
        let mut outbox = Outbox::default();
        outbox.insert(&delivery(1, "a", 0));
        let first = outbox.claim("ops", at(1), 1, at(10));
        assert!(outbox.holds("ops", first[0].0, 1));
        let second = outbox.claim("ops", at(11), 1, at(20));
        assert_eq!(seqs(&second), [1]);
        assert!(!outbox.holds("ops", first[0].0, 1));
        outbox.release("ops", second[0].0);
        assert_eq!(seqs(&outbox.claim("ops", at(12), 1, at(20))), [1]);
    }

    #[test]
    fn a_wait_by_a_clock_that_was_set_back_is_over() {
        let mut outbox = Outbox::default();
        outbox.insert(&Delivery { created: at(900_000), ..delivery(1, "a", 900_500) });
        outbox.insert(&delivery(2, "b", 900_500));
        assert_eq!(seqs(&outbox.claim("ops", at(10), 9, at(60))), [1], "the other waits as long as it was told to");
    }

    fn about(seq: u64, subjects: &[&str], due: i64) -> Delivery {
        let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        Delivery { subjects, ..delivery(seq, "2 events", due) }
    }

    #[test]
    fn what_is_about_several_things_waits_for_its_turn_in_each_and_holds_back_what_comes_after_it() {
        let mut outbox = Outbox::default();
        for delivery in [delivery(1, "a", 0), about(2, &["a", "b"], 0), delivery(3, "b", 0), delivery(4, "c", 0)] {
            outbox.insert(&delivery);
        }
        assert!([2, 3].into_iter().all(|seq| outbox.is_behind("ops", seq)) && !outbox.is_behind("ops", 1));
        assert_eq!(seqs(&outbox.claim("ops", at(1), 9, at(60))), [1, 4], "3 comes after 2, and that after 1");
        outbox.insert(&delivery(1, "a", 100));
        assert!(outbox.claim("ops", at(2), 9, at(60)).is_empty());
        outbox.remove("ops", 1);
        let claimed = outbox.claim("ops", at(2), 9, at(60));
        assert_eq!(seqs(&claimed), [2]);
        outbox.release("ops", claimed[0].0);
        assert_eq!(seqs(&outbox.claim("ops", at(2), 9, at(60))), [2]);
        outbox.insert(&Delivery { released: true, ..about(2, &["a", "b"], 100) });
        assert_eq!(seqs(&outbox.claim("ops", at(3), 9, at(60))), [3]);
        outbox.remove("ops", 3);
        outbox.insert(&about(5, &["b", "c"], 0));
        assert!(outbox.claim("ops", at(3), 9, at(60)).is_empty(), "4 is out");
        outbox.remove("ops", 4);
        assert_eq!(seqs(&outbox.claim("ops", at(3), 9, at(60))), [5]);
    }

    #[test]
    fn what_quiet_hours_keep_goes_before_something_urgent_and_stays_where_that_is_gone() {
        let mut outbox = Outbox::default();
        let kept = |seq| Delivery { quiet_since: Some(at(1)), ..delivery(seq, "a", 900) };
        let urgent = |seq, subject| Delivery { urgent: true, ..delivery(seq, subject, 2) };
        outbox.insert(&kept(1));
        outbox.insert(&kept(2));
        outbox.insert(&urgent(3, "b"));
        assert_eq!(seqs(&outbox.claim("ops", at(3), 9, at(60))), [3], "of another subject");
        outbox.remove("ops", 3);
        outbox.insert(&urgent(4, "a"));
        assert!(outbox.is_pressed("ops", 1) && outbox.is_pressed("ops", 2) && !outbox.is_pressed("ops", 4));
        outbox.remove("ops", 4);
        assert!(outbox.claim("ops", at(3), 9, at(60)).is_empty(), "a person dropped it");
        outbox.insert(&urgent(5, "a"));
        for seq in [1, 2, 5] {
            assert_eq!(seqs(&outbox.claim("ops", at(3), 9, at(60))), [seq]);
            outbox.remove("ops", seq);
        }
        outbox.insert(&kept(6));
        assert_eq!(seqs(&outbox.claim("ops", at(900), 9, at(960))), [6], "it is morning");
    }

    #[test]
    fn an_old_one_that_is_back_goes_before_what_came_after_it() {
        let mut outbox = Outbox::default();
        outbox.insert(&delivery(2, "a", 0));
        outbox.insert(&delivery(3, "b", 0));
        outbox.insert(&delivery(1, "a", 100));
        assert_eq!(seqs(&outbox.claim("ops", at(1), 9, at(60))), [3], "2 waits behind 1 now");
        outbox.remove("ops", 1);
        assert_eq!(seqs(&outbox.claim("ops", at(2), 9, at(60))), [2]);
    }
}
