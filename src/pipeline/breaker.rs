//! A sink that fails is asked ever more rarely, one delivery at a time, until it takes one again.
//!
//! Closed: everything goes. Open: nothing goes until a time. Half open: one delivery goes as a probe; its outcome
//! closes or opens the breaker. Answers that blame the message (4xx) say nothing about the sink and do not count.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::delivery::{Outcome, Report};
use crate::domain::health::FAILURES_UNTIL_PROBES as FAILURES;
use crate::domain::retry::RetryPolicy;

/// Longest pause a receiver can ask for.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// Whether deliveries may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Closed,
    /// Not before this.
    Open(Instant),
    HalfOpen,
}

/// The breaker of one sink.
#[derive(Debug)]
pub struct Breaker(Mutex<State>);

#[derive(Debug)]
struct State {
    failures: u32,
    not_before: Option<Instant>,
    /// As far as the receiver asked for it.
    asked: Option<Instant>,
}

impl Breaker {
    /// `failures` in a row, and what the receiver asked for, are remembered from before the start.
    pub fn new(failures: u32, not_before: Option<Instant>) -> Self {
        Self(Mutex::new(State { failures, not_before, asked: not_before }))
    }

    pub fn gate(&self, now: Instant) -> Gate {
        let state = self.lock();
        match state.not_before {
            Some(at) if at > now => Gate::Open(at),
            _ if state.failures >= FAILURES => Gate::HalfOpen,
            _ => Gate::Closed,
        }
    }

    /// The same for whoever makes one attempt of each delivery: there is no storm to hold back, and only what the receiver
    /// itself asked for counts.
    pub fn gate_for_one_each(&self, now: Instant) -> Gate {
        self.lock().asked.filter(|at| *at > now).map_or(Gate::Closed, Gate::Open)
    }

    /// Takes an outcome in. `unit` is the jitter in `[0, 1)`.
    pub fn note(&self, report: &Report, policy: &RetryPolicy, now: Instant, unit: f64) {
        let mut state = self.lock();
        let wait = |n: u32| Duration::try_from(policy.wait(n, unit)).unwrap_or_default();
        match &report.outcome {
            Outcome::Accepted => *state = State { failures: 0, not_before: None, asked: None },
            Outcome::Throttled { after } => match policy.asked(1, *after).and_then(|a| Duration::try_from(a).ok()) {
                Some(asked) => state.ask(now + asked.min(LONGEST_PAUSE)),
                None => state.hold(now + wait(1)),
            },
            Outcome::Transient { refusal: false, after } => {
                state.failures = state.failures.saturating_add(1);
                if state.failures >= FAILURES {
                    let until = now + wait(state.failures - FAILURES + 1);
                    state.hold(until);
                }
                // A gateway without its receiver, or a receiver that names a time: nothing else will get through before.
                let gateway = matches!(report.status, Some(502 | 504));
                if let Some(asked) = after.and_then(|a| Duration::try_from(a).ok()) {
                    state.ask(now + asked.min(LONGEST_PAUSE));
                } else if gateway {
                    state.hold(now + wait(1));
                }
            }
            Outcome::Transient { refusal: true, .. } | Outcome::Permanent | Outcome::Stop => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The receiver asks to be left alone.
    fn ask(&mut self, until: Instant) {
        self.asked = self.asked.max(Some(until));
        self.hold(until);
    }

    fn hold(&mut self, until: Instant) {
        self.not_before = Some(self.not_before.map_or(until, |at| at.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn report(outcome: Outcome, status: u16) -> Report {
        Report::new(outcome, Some(status), "")
    }

    fn failed() -> Report {
        report(Outcome::Transient { after: None, refusal: false }, 500)
    }

    #[test]
    fn five_failures_open_it_and_a_probe_closes_it() {
        let (breaker, policy, now) = (Breaker::new(0, None), RetryPolicy::default(), Instant::now());
        for _ in 0..4 {
            breaker.note(&failed(), &policy, now, 0.5);
        }
        assert_eq!(breaker.gate(now), Gate::Closed);
        breaker.note(&failed(), &policy, now, 0.5);
        let Gate::Open(until) = breaker.gate(now) else { panic!("open") };
        assert_eq!(breaker.gate(until), Gate::HalfOpen);
        breaker.note(&failed(), &policy, until, 0.5);
        let Gate::Open(later) = breaker.gate(until) else { panic!("open again") };
        assert!(later - until > until - now, "ever more rarely");
        breaker.note(&report(Outcome::Accepted, 200), &policy, later, 0.5);
        assert_eq!(breaker.gate(later), Gate::Closed);
    }

    #[test]
    fn what_blames_the_message_does_not_count() {
        let (breaker, policy, now) = (Breaker::new(0, None), RetryPolicy::default(), Instant::now());
        for _ in 0..20 {
            breaker.note(&report(Outcome::Transient { after: None, refusal: true }, 400), &policy, now, 0.5);
            breaker.note(&report(Outcome::Permanent, 400), &policy, now, 0.5);
        }
        assert_eq!(breaker.gate(now), Gate::Closed);
    }

    #[test]
    fn whoever_tries_each_once_waits_for_nothing_but_what_was_asked_for() {
        let (breaker, policy, now) = (Breaker::new(9, None), RetryPolicy::default(), Instant::now());
        breaker.note(&failed(), &policy, now, 0.5);
        breaker.note(&report(Outcome::Throttled { after: None }, 429), &policy, now, 0.5);
        breaker.note(&report(Outcome::Throttled { after: Some(SignedDuration::ZERO) }, 429), &policy, now, 0.5);
        assert!(matches!(breaker.gate(now), Gate::Open(until) if until > now + Duration::from_millis(400)));
        assert_eq!(breaker.gate_for_one_each(now), Gate::Closed);
        let after = Some(SignedDuration::from_secs(40));
        breaker.note(&report(Outcome::Throttled { after }, 429), &policy, now, 0.5);
        assert_eq!(breaker.gate_for_one_each(now), Gate::Open(now + Duration::from_secs(40)));
    }

    #[test]
    fn what_the_receiver_asks_for_is_kept() {
        let (breaker, policy, now) = (Breaker::new(0, None), RetryPolicy::default(), Instant::now());
        let after = Some(SignedDuration::from_secs(40));
        breaker.note(&report(Outcome::Throttled { after }, 429), &policy, now, 0.5);
        assert_eq!(breaker.gate(now), Gate::Open(now + Duration::from_secs(40)));
        let breaker = Breaker::new(0, None);
        breaker.note(&report(Outcome::Transient { after: None, refusal: false }, 502), &policy, now, 0.5);
        assert!(matches!(breaker.gate(now), Gate::Open(_)));
    }
}
