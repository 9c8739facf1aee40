//! The pace of a place that takes only so many messages in a time, whichever sink sends them.
//!
//! Invariant: between two turns taken at one place lies at least its pace, however many sinks share it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::MutexGuard as TurnGuard;

use crate::domain::ids;

/// When the next message may go to one place.
#[derive(Debug)]
pub struct Pacer {
    /// Shortest time between the starts of two attempts.
    pace: Duration,
    /// First come, first served: no sink that shares the place is passed over for ever.
    line: tokio::sync::Mutex<()>,
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    pub fn new(pace: Duration) -> Self {
        Self { pace, line: tokio::sync::Mutex::new(()), next: Mutex::new(None) }
    }

    /// Nothing goes before `until`.
    pub fn hold(&self, until: Instant) {
        let mut next = self.next();
        *next = next.max(Some(until));
    }

    /// Waits in line for the right to send next. Whoever has it may wait for its time, or let it be.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { pacer: self, _line: self.line.lock().await }
    }

    fn next(&self) -> MutexGuard<'_, Option<Instant>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send next.
pub struct Turn<'p> {
    pacer: &'p Pacer,
    _line: TurnGuard<'p, ()>,
}

impl Turn<'_> {
    /// When it begins, where that is still to come.
    pub fn not_before(&self) -> Option<Instant> {
        self.pacer.next().filter(|at| *at > Instant::now())
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
    async fn a_hold_is_never_shortened() {
        let pacer = Pacer::new(Duration::from_millis(1));
        let until = Instant::now() + LONG;
        pacer.hold(until);
        pacer.hold(Instant::now());
        pacer.turn().await.take();
        assert_eq!(pacer.turn().await.not_before(), Some(until));
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
