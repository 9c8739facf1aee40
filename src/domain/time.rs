//! Instants, days and periods. Time comes in as a value; nothing here asks a clock.

use std::fmt;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
pub use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The length of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PeriodKind {
    Day,
    Week,
    Month,
}

impl fmt::Display for PeriodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        })
    }
}

/// First day of the week, for weekly budgets and digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WeekStart {
    #[default]
    Monday,
    Saturday,
    Sunday,
}

impl WeekStart {
    fn weekday(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Saturday => Weekday::Saturday,
            Self::Sunday => Weekday::Sunday,
        }
    }
}

/// A run of whole days, `start` up to and not including `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    pub kind: PeriodKind,
    pub start: Date,
    pub end: Date,
}

impl Period {
    /// The period of this kind that `day` lies in.
    pub fn containing(kind: PeriodKind, day: Date, week_start: WeekStart) -> Self {
        let start = match kind {
            PeriodKind::Day => day,
            PeriodKind::Week => {
                let back = day.weekday().since(week_start.weekday());
                minus_days(day, i64::from(back))
            }
            PeriodKind::Month => day.first_of_month(),
        };
        let end = match kind {
            PeriodKind::Day => plus_days(day, 1),
            PeriodKind::Week => plus_days(start, 7),
            PeriodKind::Month => plus_days(day.last_of_month(), 1),
        };
        Self { kind, start, end }
    }

    pub fn contains(&self, day: Date) -> bool {
        self.start <= day && day < self.end
    }

    #[must_use]
    pub fn next(&self, week_start: WeekStart) -> Self {
        Self::containing(self.kind, self.end, week_start)
    }

    /// Number of days, 1 to 31.
    pub fn days(&self) -> i64 {
        days_between(self.start, self.end)
    }
}

/// The civil day of an instant in a zone.
pub fn day_in(at: Timestamp, zone: &TimeZone) -> Date {
    at.to_zoned(zone.clone()).date()
}

/// The UTC day of an instant.
pub fn utc_day(at: Timestamp) -> Date {
    day_in(at, &TimeZone::UTC)
}

/// `day` plus `n` days, staying inside the calendar's range.
pub fn plus_days(day: Date, n: i64) -> Date {
    day.saturating_add(jiff::Span::new().days(n))
}

pub fn minus_days(day: Date, n: i64) -> Date {
    plus_days(day, -n)
}

/// Whole days from `a` to `b`; negative where `b` is earlier.
pub fn days_between(a: Date, b: Date) -> i64 {
    a.until(b).map_or(0, |span| i64::from(span.get_days()))
}

/// `at` plus a duration, clamped to the range of timestamps.
pub fn plus(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

/// `b - a`, never negative.
pub fn elapsed(a: Timestamp, b: Timestamp) -> SignedDuration {
    b.duration_since(a).max(SignedDuration::ZERO)
}

/// The instant a UTC day begins.
pub fn start_of_utc_day(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::UNIX_EPOCH, |z| z.timestamp())
}

/// `2 h 5 min`, for people.
pub fn humanize(d: SignedDuration) -> String {
    let total = d.as_secs().max(0);
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, m) => format!("{m} min"),
        (0, h, 0) => format!("{h} h"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, 0, _) => format!("{d} d"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn periods_follow_the_calendar() {
        let p = Period::containing(PeriodKind::Month, date(2028, 2, 29), WeekStart::Monday);
        assert_eq!((p.start, p.end, p.days()), (date(2028, 2, 1), date(2028, 3, 1), 29));
        let p = Period::containing(PeriodKind::Week, date(2026, 11, 22), WeekStart::Monday);
        assert_eq!((p.start, p.end), (date(2026, 11, 16), date(2026, 11, 23)));
        let p = Period::containing(PeriodKind::Week, date(2026, 11, 22), WeekStart::Sunday);
        assert_eq!((p.start, p.end), (date(2026, 11, 22), date(2026, 11, 29)));
        assert_eq!(p.next(WeekStart::Sunday).start, date(2026, 11, 29));
    }

    #[test]
    fn durations_read_well() {
        for (secs, text) in [(5, "5 s"), (65, "1 min"), (7500, "2 h 5 min"), (90_000, "1 d 1 h")] {
            assert_eq!(humanize(SignedDuration::from_secs(secs)), text);
        }
    }
}
