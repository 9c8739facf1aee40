//! Demo time: days that pass in seconds.

use std::time::Duration;

use crate::domain::time::{SignedDuration, Timestamp, plus, start_of_utc_day};
use jiff::civil::Date;

const DAY: Duration = Duration::from_hours(24);
/// When people come to work in the demo: its first day begins here, so that the first seconds aren't night.
const MORNING: SignedDuration = SignedDuration::from_hours(6);

/// Maps time since the demo began to time in the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoClock {
    start: Timestamp,
    day: Duration,
}

impl DemoClock {
    /// How long a demo day takes unless something else is asked for.
    pub const DAY_LENGTH: Duration = Duration::from_secs(4);

    /// Starts at `start`; a day takes `day_length`, at least a millisecond.
    pub fn new(start: Timestamp, day_length: Duration) -> Self {
        Self { start, day: day_length.max(Duration::from_millis(1)) }
    }

    /// Starts at six in the morning (UTC) of `day`, with days of the usual length.
    pub fn starting_on(day: Date) -> Self {
        Self::new(plus(start_of_utc_day(day), MORNING), Self::DAY_LENGTH)
    }

    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// What a demo day takes of real time.
    pub fn day_length(&self) -> Duration {
        self.day
    }

    /// The time in the demo, this long after it began.
    pub fn demo_now(&self, elapsed: Duration) -> Timestamp {
        plus(self.start, signed(scaled(elapsed, DAY, self.day)))
    }

    /// How long after the beginning the demo reaches `at`; zero for what lies before.
    pub fn elapsed_at(&self, at: Timestamp) -> Duration {
        let demo = Duration::try_from(at.duration_since(self.start)).unwrap_or(Duration::ZERO);
        scaled(demo, self.day, DAY)
    }
}

/// `time * numerator / denominator`, rounded up so that going there and back never lands before `time`.
fn scaled(time: Duration, numerator: Duration, denominator: Duration) -> Duration {
    let nanos = time.as_nanos().saturating_mul(numerator.as_nanos()).div_ceil(denominator.as_nanos().max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn days_pass_in_seconds() {
        let clock = DemoClock::starting_on(date(2026, 11, 22));
        let at = |secs: f64| clock.demo_now(Duration::from_secs_f64(secs)).to_string();
        assert_eq!(at(0.0), "2026-11-22T06:00:00Z");
        assert_eq!(at(1.0), "2026-11-22T12:00:00Z");
        assert_eq!(at(3.0), "2026-11-23T00:00:00Z");
        assert_eq!(at(20.0), "2026-11-27T06:00:00Z");
    }

    #[test]
    fn there_and_back_again_is_never_early() {
        let clock = DemoClock::new("2026-11-22T00:00:00Z".parse().unwrap(), Duration::from_millis(3_571));
        for minute in 0..5_000 {
            let at = plus(clock.start(), SignedDuration::from_mins(minute));
            assert!(clock.demo_now(clock.elapsed_at(at)) >= at, "{at}");
        }
        assert_eq!(clock.elapsed_at("2020-01-01T00:00:00Z".parse().unwrap()), Duration::ZERO);
    }
}
