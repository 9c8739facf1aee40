//! The pace of a place that takes only so many messages in a time, whichever sink sends them.
//!
//! Invariant: between two turns taken at one place lies at least its pace, however many sinks share it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

use crate::domain::ids;

/// When the next message may go to one place.
#[derive(Debug)]
pub struct Pacer {
    /// Shortest time between the starts of two attempts.
    pace: Duration,
    place: Mutex<Arc<Place>>,
}

/// What everybody who sends to one place shares, under whatever name each knows it.
#[derive(Debug, Default)]
struct Place {
    /// First come, first served: no sink that shares the place is passed over for ever.
    line: Arc<tokio::sync::Mutex<()>>,
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    pub fn new(pace: Duration) -> Self {
        Self { pace, place: Mutex::default() }
    }

    /// Nothing goes before `until`.
    pub fn hold(&self, until: Instant) {
        let place = self.place();
        let mut next = place.next();
        *next = next.max(Some(until));
    }

    /// For how long nothing goes, where that is longer than the pace: somebody asked for it.
    pub fn rest(&self) -> Option<Duration> {
        let next = *self.place().next();
        let left = next?.saturating_duration_since(Instant::now());
        (left > self.pace).then_some(left)
    }

    /// Waits in line for the right to send next. Whoever has it may wait for its time, or let it be.
    pub async fn turn(&self) -> Turn<'_> {
        loop {
            let place = self.place();
            let line = Arc::clone(&place.line).lock_owned().await;
            // It may have turned out to be another place by the time it was this one's turn.
            if Arc::ptr_eq(&place, &self.place()) {
                return Turn { pacer: self, _line: line };
            }
        }
    }

    /// This is another name of `other`'s place: from now on they take turns.
    fn join(&self, other: &Self) {
        let (place, there) = (self.place(), other.place());
        if Arc::ptr_eq(&place, &there) {
            return;
        }
        let held = *place.next();
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = there;
        if let Some(until) = held {
            self.hold(until);
        }
    }

    fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    fn next(&self) -> MutexGuard<'_, Option<Instant>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send next.
pub struct Turn<'p> {
    pacer: &'p Pacer,
    _line: OwnedMutexGuard<()>,
}

impl Turn<'_> {
    /// When it begins, where that is still to come.
    pub fn not_before(&self) -> Option<Instant> {
        let place = self.pacer.place();
        let next = *place.next();
        next.filter(|at| *at > Instant::now())
    }

    /// Something goes now; whoever is next waits for the pace.
    pub fn take(self) {
        self.pacer.hold(Instant::now() + self.pacer.pace);
    }
}

/// All places by what makes them one.
#[derive(Debug, Default)]
pub struct Pacers(Mutex<BTreeMap<String, Arc<Pacer>>>);

impl Pacers {
    /// The pacer of the place these parts name; the same for the same parts. Parts may be secrets: a hash is kept.
    pub fn of(&self, place: &[&str], pace: Duration) -> Arc<Pacer> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(ids::derive("place", place)).or_insert_with(|| Arc::new(Pacer::new(pace))))
    }

    /// The first is another name of the second: whoever sends to either shares its pace from now on.
    pub fn are_one(&self, name: &[&str], place: &[&str], pace: Duration) {
        self.of(name, pace).join(&self.of(place, pace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_turn_that_is_taken_holds_everybody_and_one_that_is_let_be_nobody() {
        let pacers = Pacers::default();
        let (mine, yours) = (pacers.of(&["token", "C1"], LONG), pacers.of(&["token", "C1"], LONG));
        let elsewhere = pacers.of(&["token", "C2"], LONG);
        drop(mine.turn().await);
        assert_eq!(yours.turn().await.not_before(), None);
        mine.turn().await.take();
        assert!(yours.turn().await.not_before().is_some());
        assert_eq!(elsewhere.turn().await.not_before(), None);
    }

    #[tokio::test]
    async fn two_names_of_a_place_take_turns_once_that_is_known() {
        let pacers = Pacers::default();
        let (by_name, by_id) = (pacers.of(&["token", "ops"], LONG), pacers.of(&["token", "C1"], LONG));
        by_name.turn().await.take();
        assert_eq!(by_id.turn().await.not_before(), None, "nobody knows yet");
        pacers.are_one(&["token", "ops"], &["token", "C1"], LONG);
        assert!(by_id.turn().await.not_before().is_some(), "what was sent by the name counts");
        let mine = by_id.turn().await;
        let yours = tokio::time::timeout(Duration::from_millis(20), by_name.turn()).await;
        assert!(yours.is_err(), "there is one line");
        mine.take();
        let by_name = by_name.turn().await.not_before();
        assert_eq!(by_name, by_id.turn().await.not_before());
        pacers.are_one(&["token", "ops"], &["token", "C1"], LONG);
    }

    #[tokio::test]
    async fn whoever_waited_under_a_name_waits_in_the_line_of_the_place() {
        let pacers = Pacers::default();
        let (by_name, by_id) = (pacers.of(&["token", "ops"], LONG), pacers.of(&["token", "C1"], LONG));
        let first = by_name.turn().await;
        let waiting = Arc::clone(&by_name);
        let next = tokio::spawn(async move { waiting.turn().await.not_before() });
        tokio::task::yield_now().await;
        pacers.are_one(&["token", "ops"], &["token", "C1"], LONG);
        let there = by_id.turn().await;
        first.take();
        there.take();
        assert!(next.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_hold_is_never_shortened() {
        let pacer = Pacer::new(Duration::from_millis(1));
        let until = Instant::now() + LONG;
        pacer.hold(until);
        pacer.hold(Instant::now());
        pacer.turn().await.take();
        assert_eq!(pacer.turn().await.not_before(), Some(until));
        assert!(pacer.rest().is_some_and(|rest| rest <= LONG));
        let paced = Pacer::new(LONG);
        paced.turn().await.take();
        assert_eq!(paced.rest(), None, "it is its pace");
    }

    #[tokio::test]
    async fn whoever_waits_longest_is_next() {
        let pacer = Arc::new(Pacer::new(LONG));
        let first = pacer.turn().await;
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let (pacer, said) = (Arc::clone(&pacer), said.clone());
            tokio::spawn(async move {
                drop(pacer.turn().await);
                said.send(number).unwrap();
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        for number in 0..3 {
            assert_eq!(heard.recv().await, Some(number));
        }
    }

    #[test]
    fn no_secret_is_kept() {
        let pacers = Pacers::default();
        pacers.of(&["xoxb-s3cret", "C1"], LONG);
        assert!(!format!("{pacers:?}").contains("s3cret"));
    }
}
