//! When to try again.
//!
//! Exponential backoff with full jitter: before retry n the wait is drawn between a floor and
//! `min(max, min × 2ⁿ⁻¹)`. Source of the scheme: AWS Architecture Blog, "Exponential Backoff And Jitter" ("full
//! jitter"). The floor (a tenth of the ceiling) keeps a retry from following its failure at once.

use jiff::SignedDuration;

use super::time::{Timestamp, plus};

/// Longest `Retry-After` that is obeyed; whoever asks for more is asked again after this.
pub const RETRY_AFTER_CAP: SignedDuration = SignedDuration::from_hours(24);

/// How one sink retries. Validated: `0 < min <= max <= horizon`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    pub min: SignedDuration,
    pub max: SignedDuration,
    /// From the first attempt; then the delivery is dead.
    pub horizon: SignedDuration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            min: SignedDuration::from_secs(5),
            max: SignedDuration::from_hours(1),
            horizon: SignedDuration::from_hours(72),
        }
    }
}

impl RetryPolicy {
    /// Makes a policy, or says what is wrong with it.
    pub fn new(min: SignedDuration, max: SignedDuration, horizon: SignedDuration) -> Result<Self, String> {
        if min <= SignedDuration::ZERO {
            return Err("`min` must be longer than 0".into());
        }
        if max < min {
            return Err("`max` must not be shorter than `min`".into());
        }
        if horizon < SignedDuration::ZERO {
            return Err("`for` must not be negative".into());
        }
        Ok(Self { min, max, horizon })
    }

    /// The longest wait before retry `n` (1 is the first retry).
    pub fn ceiling(&self, n: u32) -> SignedDuration {
        let doublings = n.saturating_sub(1).min(40);
        let factor = 1_i128 << doublings;
        let nanos = (self.min.as_nanos() * factor).min(self.max.as_nanos());
        SignedDuration::from_nanos_i128(nanos)
    }

    /// The wait before retry `n`; `unit` is uniform in `[0, 1)`.
    pub fn wait(&self, n: u32, unit: f64) -> SignedDuration {
        let ceiling = self.ceiling(n).as_secs_f64();
        let floor = ceiling / 10.0;
        SignedDuration::try_from_secs_f64(floor + (ceiling - floor) * unit.clamp(0.0, 1.0)).unwrap_or(self.max)
    }

    /// What a receiver asks for after the nth failure in a row, where that is a time at all: less than the shortest wait of
    /// our own would make `Retry-After: 0` a way to be asked at once, for ever.
    pub fn asked(&self, n: u32, after: Option<SignedDuration>) -> Option<SignedDuration> {
        after.filter(|after| *after >= self.wait(n, 0.0)).map(|after| after.min(RETRY_AFTER_CAP))
    }

    /// When to try again, or `None` when the horizon is used up. The last try is made at the horizon itself, or when the
    /// receiver asked for it.
    pub fn next_try(
        &self,
        n: u32,
        first_attempt: Timestamp,
        now: Timestamp,
        after: Option<SignedDuration>,
        unit: f64,
    ) -> Option<Timestamp> {
        let end = plus(first_attempt, self.horizon);
        if now >= end {
            return None;
        }
        match self.asked(n, after) {
            // What the receiver asks for is never undercut.
            Some(asked) => Some(plus(now, asked)),
            None => Some(plus(now, self.wait(n, unit)).min(end.max(plus(now, self.wait(1, 0.0))))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::elapsed;
    use proptest::prelude::*;

    #[test]
    fn the_last_try_is_at_the_horizon() {
        let policy = RetryPolicy::default();
        let start = Timestamp::UNIX_EPOCH;
        let late = plus(start, SignedDuration::from_hours(72) - SignedDuration::from_mins(30));
        let end = plus(start, SignedDuration::from_hours(72));
        assert_eq!(policy.next_try(30, start, late, None, 0.99), Some(end));
        assert_eq!(policy.next_try(31, start, end, None, 0.5), None);
    }

    #[test]
    fn what_the_receiver_asks_for_is_obeyed_up_to_a_day() {
        let (policy, start) = (RetryPolicy::default(), Timestamp::UNIX_EPOCH);
        for (asked, waited) in [(1, 1), (23, 23), (24, 24), (25, 24), (100_000, 24)] {
            let next = policy.next_try(1, start, start, Some(SignedDuration::from_hours(asked)), 0.5);
            assert_eq!(next, Some(plus(start, SignedDuration::from_hours(waited))), "{asked} hours");
        }
    }

    #[test]
    fn nobody_gives_up_before_the_horizon_has_passed() {
        let (policy, start) = (RetryPolicy::default(), Timestamp::UNIX_EPOCH);
        let end = plus(start, policy.horizon);
        let before = |secs: i64| plus(end, SignedDuration::from_secs(-secs));
        let asked = SignedDuration::from_hours(2);
        assert_eq!(policy.next_try(1, start, before(60), Some(asked), 0.5), Some(plus(before(60), asked)));
        assert_eq!(policy.next_try(30, start, before(60), None, 0.5), Some(end));
        let last = policy.next_try(30, start, before(0) - SignedDuration::from_millis(1), None, 0.5);
        assert!(last.is_some_and(|at| at > end));
        assert_eq!(policy.next_try(1, start, end, Some(asked), 0.5), None);
    }

    #[test]
    fn asking_for_no_time_does_not_turn_the_backoff_off() {
        let (policy, start) = (RetryPolicy::default(), Timestamp::UNIX_EPOCH);
        let wait = |n, secs| {
            let after = Some(SignedDuration::from_secs(secs));
            policy.next_try(n, start, start, after, 0.0).map(|at| elapsed(start, at).as_millis())
        };
        assert_eq!([1, 2, 3, 4].map(|n| wait(n, 0)), [500, 1_000, 2_000, 4_000].map(Some));
        assert_eq!([1, 2, 3, 4].map(|n| wait(n, 2)), [2_000, 2_000, 2_000, 4_000].map(Some));
    }

    proptest! {
        #[test]
        fn waits_are_bounded_and_their_ceiling_never_falls(n in 1_u32..200, unit in 0.0_f64..1.0) {
            let policy = RetryPolicy::default();
            let wait = policy.wait(n, unit);
            prop_assert!(wait <= policy.max && wait >= SignedDuration::from_millis(500));
            prop_assert!(policy.ceiling(n + 1) >= policy.ceiling(n));
        }

        #[test]
        fn what_the_receiver_asks_for_is_never_undercut(secs in 0_i64..86_000, unit in 0.0_f64..1.0) {
            let policy = RetryPolicy::default();
            let start = Timestamp::UNIX_EPOCH;
            let after = SignedDuration::from_secs(secs);
            let next = policy.next_try(1, start, start, Some(after), unit).unwrap();
            prop_assert!(elapsed(start, next) >= after);
        }
    }
}
