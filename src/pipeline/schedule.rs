//! When a collection is looked at next, and how far. Pure.

use std::time::Duration;

use jiff::SignedDuration;

use crate::domain::collection::CollectionState;
use crate::domain::time::{Timestamp, plus};
use crate::source::{Reach, Schedule};

/// A sweep of a small collection costs little: it may come this many times more often per page it needs.
const SWEEP_PAGES: u32 = 20;
/// A collection whose right is missing is asked again this often.
const FROZEN: Duration = Duration::from_hours(1);
/// Longest wait between two tries of a failing collection.
const BACKOFF_MAX: Duration = Duration::from_mins(15);

/// When what was last done, in this process or before.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Past {
    pub head: Option<Timestamp>,
    pub hot: Option<Timestamp>,
    pub full: Option<Timestamp>,
    /// Pages of the last sweep.
    pub pages: u32,
}

impl Past {
    /// Books a look; a wider one covers the narrower ones.
    pub fn book(&mut self, reach: Reach, at: Timestamp, pages: u32) {
        self.head = Some(at);
        if reach >= Reach::Hot {
            self.hot = Some(at);
        }
        if reach == Reach::Full {
            self.full = Some(at);
            self.pages = pages;
        }
    }
}

/// The next look: its reach and its time. `unit` is the jitter in `[0, 1)`: up to a tenth of the interval.
pub fn next(
    schedule: &Schedule,
    state: &CollectionState,
    past: &Past,
    now: Timestamp,
    unit: f64,
) -> (Reach, Timestamp) {
    let full_every = sweep_interval(schedule, past.pages);
    let mut best = (Reach::Full, due(past.full.or(state.last_complete), full_every, now, unit));
    if state.baseline.is_some() {
        for (reach, every, last) in [(Reach::Hot, schedule.hot, past.hot), (Reach::Head, schedule.head, past.head)] {
            let Some(every) = every else { continue };
            let at = due(last, every, now, unit);
            // Of two looks due at about the same time the wider one is enough.
            if at < best.1 && at.duration_since(best.1) < SignedDuration::ZERO && best.1 > now {
                best = (reach, at);
            }
        }
    }
    let at = delayed(best.1, schedule, state, now, unit);
    (best.0, state.asked_to_wait_until(now).map_or(at, |t| at.max(t)))
}

/// Sweeps of small collections come more often: at most every twenty base intervals per page, never rarer than said.
fn sweep_interval(schedule: &Schedule, pages: u32) -> Duration {
    let Some(head) = schedule.head else { return schedule.full };
    let adapted = head.saturating_mul(SWEEP_PAGES).saturating_mul(pages.max(1));
    adapted.min(schedule.full)
}

fn due(last: Option<Timestamp>, every: Duration, now: Timestamp, unit: f64) -> Timestamp {
    let Some(last) = last else { return now };
    let jittered = every.mul_f64(1.0 + unit.clamp(0.0, 1.0) / 10.0);
    // A clock that was set back must not stall the polling: no wait is longer than the interval from now.
    let wait = SignedDuration::try_from(jittered).unwrap_or(SignedDuration::ZERO);
    plus(last, wait).min(plus(now, wait))
}

/// Failing collections are asked ever more rarely, frozen ones once an hour.
fn delayed(at: Timestamp, schedule: &Schedule, state: &CollectionState, now: Timestamp, unit: f64) -> Timestamp {
    let base = schedule.head.unwrap_or(schedule.full);
    if let Some((_, since)) = &state.frozen {
        let wait = SignedDuration::try_from(FROZEN.min(base.saturating_mul(60))).unwrap_or(SignedDuration::ZERO);
        let passed = now.duration_since(*since);
        // Frozen in the future: the clock was set back since.
        let waits = SignedDuration::ZERO <= passed && passed < wait;
        return if waits { plus(*since, wait) } else { at.max(plus(now, wait)) };
    }
    if state.failures == 0 {
        return at;
    }
    // The first failures are retried at the usual pace, so that an outage is known after three of them.
    let doublings = state.failures.saturating_sub(3).min(10);
    let ceiling = base.saturating_mul(1 << doublings).min(BACKOFF_MAX.max(base)).min(schedule.full.max(base));
    let wait = if doublings == 0 { ceiling } else { ceiling.mul_f64(0.5 + unit / 2.0) };
    plus(now, SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        plus(Timestamp::UNIX_EPOCH, SignedDuration::from_secs(secs))
    }

    fn schedule() -> Schedule {
        Schedule {
            head: Some(Duration::from_secs(60)),
            hot: Some(Duration::from_secs(900)),
            full: Duration::from_secs(86_400),
        }
    }

    #[test]
    fn the_first_look_is_full_and_at_once() {
        let (reach, when) = next(&schedule(), &CollectionState::default(), &Past::default(), at(100), 0.5);
        assert_eq!((reach, when), (Reach::Full, at(100)));
    }

    #[test]
    fn heads_between_sweeps() {
        let state = CollectionState { baseline: Some(at(0)), last_complete: Some(at(0)), ..CollectionState::default() };
        let mut past = Past::default();
        past.book(Reach::Full, at(0), 1000);
        assert_eq!(next(&schedule(), &state, &past, at(1), 0.0), (Reach::Head, at(60)));
        past.book(Reach::Head, at(890), 1);
        assert_eq!(next(&schedule(), &state, &past, at(891), 0.0), (Reach::Hot, at(900)));
        past.book(Reach::Head, at(86_390), 1);
        past.hot = Some(at(86_390));
        assert_eq!(next(&schedule(), &state, &past, at(86_401), 0.0).0, Reach::Full);
    }

    #[test]
    fn small_collections_are_swept_more_often() {
        assert_eq!(sweep_interval(&schedule(), 1), Duration::from_secs(1200));
        assert_eq!(sweep_interval(&schedule(), 1000), Duration::from_secs(86_400));
    }

    #[test]
    fn a_clock_set_back_does_not_stall() {
        let state =
            CollectionState { baseline: Some(at(0)), last_complete: Some(at(90_000)), ..CollectionState::default() };
        let mut past = Past::default();
        past.book(Reach::Full, at(90_000), 1);
        let (_, when) = next(&schedule(), &state, &past, at(0), 0.0);
        assert!(when <= at(60));
    }

    #[test]
    fn what_was_frozen_by_a_clock_that_was_set_back_is_asked_within_the_hour() {
        let frozen = |since| Some(("a.scope".to_owned(), at(since)));
        let when = |since| {
            let state = CollectionState { frozen: frozen(since), ..CollectionState::default() };
            next(&schedule(), &state, &Past::default(), at(0), 0.0).1
        };
        assert_eq!((when(-600), when(90_000)), (at(3_000), at(3_600)));
    }

    #[test]
    fn what_asked_to_be_left_alone_is_for_an_hour_at_most() {
        let when = |not_before| {
            let state = CollectionState { not_before: Some(at(not_before)), ..CollectionState::default() };
            next(&schedule(), &state, &Past::default(), at(100), 0.0).1
        };
        assert_eq!((when(50), when(2_000)), (at(100), at(2_000)), "whichever process was asked");
        assert_eq!(when(90_000), at(100), "written by a clock that has been set back since");
    }

    #[test]
    fn an_outage_is_asked_three_times_at_the_usual_pace_then_ever_more_rarely() {
        let wait = |failures| {
            let state = CollectionState { baseline: Some(at(0)), failures, ..CollectionState::default() };
            next(&schedule(), &state, &Past::default(), at(0), 0.0).1.duration_since(at(0)).as_secs()
        };
        assert_eq!((wait(1), wait(2), wait(3)), (60, 60, 60));
        assert!(wait(4) >= 60 && wait(20) <= 900);
    }
}
