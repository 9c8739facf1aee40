//! How many calls a system allows.

use serde::{Deserialize, Serialize};

const DAY_SECS: u64 = 86_400;

/// So many calls in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub calls: u64,
    pub secs: u64,
}

impl Quota {
    pub fn per_minute(calls: u32) -> Self {
        Self { calls: u64::from(calls), secs: 60 }
    }

    /// Calls a day.
    pub fn per_day(self) -> u64 {
        self.calls.saturating_mul(DAY_SECS) / self.secs.max(1)
    }

    /// Calls a second.
    #[expect(clippy::cast_precision_loss, reason = "quotas are small numbers")]
    pub fn per_second(self) -> f64 {
        self.calls as f64 / self.secs.max(1) as f64
    }

    /// How many times longer intervals have to be for so many calls a day to fit, with a tenth to spare for lists that are
    /// longer than a page; `None` where they fit.
    #[expect(clippy::cast_precision_loss, reason = "calls a day are small numbers")]
    pub fn stretch(self, calls_a_day: u64) -> Option<f64> {
        let allowed = self.per_day();
        if calls_a_day.saturating_mul(10) <= allowed.saturating_mul(9) {
            return None;
        }
        Some((calls_a_day as f64 / (allowed.max(1) as f64 * 0.9)).max(1.0))
    }

    /// The one that allows less in a day.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        if other.per_day() < self.per_day() { other } else { self }
    }
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.secs {
            1 => write!(f, "{} calls a second", self.calls),
            60 => write!(f, "{} calls a minute", self.calls),
            3_600 => write!(f, "{} calls an hour", self.calls),
            DAY_SECS => write!(f, "{} calls a day", self.calls),
            secs => write!(f, "{} calls in {secs} s", self.calls),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_stretched_until_their_calls_fit() {
        let hourly = Quota { calls: 100, secs: 3_600 };
        assert_eq!((hourly.per_day(), hourly.stretch(2_160)), (2_400, None));
        let times = hourly.stretch(4_320).unwrap();
        assert!((times - 2.0).abs() < 1e-9, "{times}");
        assert!(Quota { calls: 1, secs: 1_000_000 }.stretch(10).unwrap() > 10.0, "less than one a day");
    }
}
