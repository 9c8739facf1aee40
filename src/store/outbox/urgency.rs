//! What is urgent goes at any hour, and so does what has to go before it: what is older on one of its subjects, and what is
//! older on one of theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::Queue;

impl Queue {
    /// What quiet hours keep goes now where something urgent waits behind it, and stays where nothing does any more.
    pub(super) fn press(&mut self, changed: &[u64]) {
        if self.quiet.is_empty() {
            return;
        }
        let subjects = self.tied_to(changed);
        let latest = self.latest_urgent(&subjects);
        let kept: BTreeSet<u64> = subjects.iter().flat_map(|subject| in_order(&self.quiet, *subject)).collect();
        for seq in kept {
            let Some(entry) = self.entries.get_mut(&seq) else { continue };
            let Some(until) = entry.quiet else { continue };
            let due = if is_before(&latest, entry.subjects.as_slice(), seq) { entry.since } else { until };
            if self.ready.remove(&(entry.due, seq)) {
                self.ready.insert((due, seq));
            }
            entry.due = due;
        }
    }

    /// Whether something urgent waits behind it.
    pub(super) fn is_pressed(&self, seq: u64) -> bool {
        // Nearly always nothing is urgent, and this is asked of each delivery that is claimed.
        let Some(entry) = self.entries.get(&seq).filter(|_| !self.urgent.is_empty()) else { return false };
        let latest = self.latest_urgent(&self.tied_to(entry.subjects.as_slice()));
        is_before(&latest, entry.subjects.as_slice(), seq)
    }

    /// These subjects, and those that deliveries about several tie to them.
    fn tied_to(&self, subjects: &[u64]) -> BTreeSet<u64> {
        let mut found: BTreeSet<u64> = subjects.iter().copied().collect();
        let mut open = subjects.to_vec();
        while let Some(subject) = open.pop() {
            let spanning = in_order(&self.spanning, subject).filter_map(|seq| self.entries.get(&seq));
            open.extend(spanning.flat_map(|entry| entry.subjects.as_slice()).filter(|other| found.insert(**other)));
        }
        found
    }

    /// By subject: the last delivery that is urgent, or has to go before one that is.
    fn latest_urgent(&self, subjects: &BTreeSet<u64>) -> BTreeMap<u64, u64> {
        let last = |subject: &u64| Some((*subject, in_order(&self.urgent, *subject).next_back()?));
        let mut latest: BTreeMap<u64, u64> = subjects.iter().filter_map(last).collect();
        let spanning: BTreeSet<u64> = subjects.iter().flat_map(|subject| in_order(&self.spanning, *subject)).collect();
        // The newest first: whatever may press one is known by then.
        for seq in spanning.into_iter().rev() {
            let Some(entry) = self.entries.get(&seq) else { continue };
            let own = entry.subjects.as_slice();
            if is_before(&latest, own, seq) {
                for subject in own {
                    let last = latest.entry(*subject).or_insert(seq);
                    *last = (*last).max(seq);
                }
            }
        }
        latest
    }
}

fn is_before(latest: &BTreeMap<u64, u64>, subjects: &[u64], seq: u64) -> bool {
    subjects.iter().any(|subject| latest.get(subject).is_some_and(|last| seq < *last))
}

fn in_order(marks: &BTreeSet<(u64, u64)>, subject: u64) -> impl DoubleEndedIterator<Item = u64> {
    marks.range((subject, 0)..=(subject, u64::MAX)).map(|(_, seq)| *seq)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::Outbox;
    use crate::domain::delivery::{Delivery, DeliveryKind, DeliveryState};
    use crate::domain::time::{Timestamp, plus};

    fn at(secs: i64) -> Timestamp {
        plus(Timestamp::UNIX_EPOCH, SignedDuration::from_secs(secs))
    }

    fn about(seq: u64, subjects: &[&str]) -> Delivery {
        Delivery {
            seq,
            subject: subjects.concat(),
            subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
            state: DeliveryState::Due { at: at(0) },
            ..Delivery::due("bridge", "ops", DeliveryKind::Group, &[&seq.to_string()], at(0))
        }
    }

    fn kept(seq: u64, subjects: &[&str]) -> Delivery {
        let state = DeliveryState::Due { at: at(900) };
        Delivery { state, quiet_since: Some(at(1)), ..about(seq, subjects) }
    }

    #[test]
    fn what_goes_before_what_goes_before_something_urgent_goes_as_well() {
        let mut outbox = Outbox::default();
        outbox.insert(&kept(1, &["a", "b"]));
        outbox.insert(&about(2, &["b", "c"]));
        outbox.insert(&kept(3, &["a"]));
        let claims = |outbox: &mut Outbox| -> Vec<u64> {
            outbox.claim("ops", at(5), 9, at(60)).into_iter().map(|(_, seq)| seq).collect()
        };
        assert!(claims(&mut outbox).is_empty(), "2 comes after 1, which stays until the morning");
        outbox.insert(&Delivery { urgent: true, ..about(4, &["c"]) });
        assert!(outbox.is_pressed("ops", 1) && outbox.is_pressed("ops", 2) && !outbox.is_pressed("ops", 3));
        for seq in [1, 2, 4] {
            assert_eq!(claims(&mut outbox), [seq]);
            outbox.remove("ops", seq);
        }
        assert!(claims(&mut outbox).is_empty(), "nobody waits for 3");
        outbox.insert(&kept(5, &["d"]));
        outbox.insert(&Delivery { urgent: true, ..about(6, &["d", "e"]) });
        assert!(outbox.is_pressed("ops", 5));
        outbox.remove("ops", 6);
        assert!(!outbox.is_pressed("ops", 5) && claims(&mut outbox).is_empty(), "a person dropped it");
    }
}
