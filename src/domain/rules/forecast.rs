//! Where spend is heading: the days left of a period at the winsorised mean of their weekdays, times the recent level.
//!
//! Of the methods compared (docs/spikes.md) this had the least error at half and three quarters of a month. Pure: known
//! days in, days to come out.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::detector::median;
use crate::domain::money::Micros;
use crate::domain::spend::Scope;
use crate::domain::time::{days_between, minus_days, plus_days};

/// Days looked back on: four of each weekday.
pub const WINDOW_DAYS: i64 = 28;
/// Days that must be known, and passed since the scope's first spend.
pub const LEAST_DAYS: i64 = 14;
/// Days above this many spreads are cut to it: a spike of last week is no forecast for the next.
const CLIP: f64 = 2.5;
/// No history is so regular that less spread is believed (log units).
const LEAST_SPREAD: f64 = 0.3;
/// What the last seven days say of the level, at most.
const LEVEL: (f64, f64) = (0.5, 2.0);
/// A forecast above the limit is told when this part of what is still expected is enough for it.
pub const CAUTION: f64 = 0.8;
/// In 80 of 100 cases of the development set the rest of a month came to this many times the forecast rest: of a whole
/// workspace, and of anything smaller.
const BAND_WHOLE: (f64, f64) = (0.75, 1.7);
const BAND_PART: (f64, f64) = (0.55, 2.6);

/// So many spreads to each side of a day's forecast hold 80 of 100 days, and no spread is believed to be less: measured
/// on the development sets (.76 of a workspace's days, .83 of single series').
const DAY_BAND: f64 = 1.6;
const LEAST_DAY_SPREAD: f64 = 0.25;

/// Spend expected on each day to come, US dollars, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Rest {
    pub days: Vec<(Date, f64)>,
    /// Days known of the last 28.
    pub known: usize,
}

/// Where a period ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heading {
    pub point: Micros,
    pub low: Micros,
    pub high: Micros,
    /// The day the limit is reached at this rate.
    pub reached_on: Option<Date>,
}

/// The days `[from, end)`, from the known days before them: a day that was idle is known to be zero, a day that nobody
/// asked about is missing. `None` with too little history.
pub fn rest(past: &BTreeMap<Date, f64>, from: Date, end: Date) -> Option<Rest> {
    let window: Vec<(Date, f64)> =
        past.range(minus_days(from, WINDOW_DAYS)..from).map(|(day, usd)| (*day, usd.max(0.0))).collect();
    let first_active = window.iter().find(|(_, usd)| *usd > 0.0).map(|(day, _)| *day)?;
    if i64::try_from(window.len()).unwrap_or(0) < LEAST_DAYS || days_between(first_active, from) < LEAST_DAYS {
        return None;
    }
    let logs = || window.iter().filter(|(_, usd)| *usd > 0.0).map(|(_, usd)| usd.ln());
    let middle = median(logs());
    let spread = (1.4826 * median(logs().map(|y| (y - middle).abs()))).max(LEAST_SPREAD);
    let cap = (middle + CLIP * spread).exp();
    let clipped: Vec<(Date, f64)> = window.iter().map(|(day, usd)| (*day, usd.min(cap))).collect();
    let overall = mean(clipped.iter().map(|(_, usd)| *usd))?;
    let recent = mean(clipped.iter().filter(|(d, _)| days_between(*d, from) <= 7).map(|(_, usd)| *usd));
    let level = (recent.unwrap_or(overall) / overall).clamp(LEVEL.0, LEVEL.1).sqrt();
    let of_weekday = |day: Date| {
        let alike = clipped.iter().filter(|(d, _)| d.weekday() == day.weekday()).map(|(_, usd)| *usd);
        mean(alike).unwrap_or(overall) * level
    };
    let mut days = Vec::new();
    let mut day = from;
    while day < end {
        days.push((day, of_weekday(day)));
        day = plus_days(day, 1);
    }
    Some(Rest { days, known: clipped.len() })
}

/// What the days `[from, end)` were to be expected to cost. Of who is too new for a forecast, the mean of the days known
/// before, which are zero before the first spend; `None` where too few days are known at all.
pub fn expected(past: &BTreeMap<Date, f64>, from: Date, end: Date) -> Option<Micros> {
    if let Some(rest) = rest(past, from, end) {
        return Some(rest.amount());
    }
    let window = || past.range(minus_days(from, WINDOW_DAYS)..from).map(|(_, usd)| usd.max(0.0));
    let enough = i64::try_from(window().count()).unwrap_or(0) >= LEAST_DAYS;
    let day = mean(window()).filter(|_| enough)?;
    let days = i32::try_from(days_between(from, end)).unwrap_or(i32::MAX);
    Some(Micros::from_estimate(day * f64::from(days)))
}

impl Rest {
    pub fn amount(&self) -> Micros {
        Micros::from_estimate(self.usd())
    }

    pub fn usd(&self) -> f64 {
        self.days.iter().map(|(_, usd)| usd).sum()
    }

    /// Whether `so_far` and a cautious part of the rest reach the limit.
    pub fn reaches(&self, so_far: Micros, limit: Micros, caution: f64) -> bool {
        so_far + Micros::from_estimate(caution * self.usd()) >= limit
    }

    /// The end of the period: point and 80 % band, and when the limit falls.
    pub fn heading(&self, so_far: Micros, limit: Option<Micros>, scope: &Scope) -> Heading {
        let (low, high) = if *scope == Scope::Workspace { BAND_WHOLE } else { BAND_PART };
        let rest = self.usd();
        let at = |part: f64| so_far + Micros::from_estimate(part * rest);
        let mut sum = so_far;
        let mut reached_on = None;
        for (day, usd) in &self.days {
            sum += Micros::from_estimate(*usd);
            if limit.is_some_and(|limit| sum >= limit) {
                reached_on = Some(*day);
                break;
            }
        }
        Heading { point: at(1.0), low: at(low), high: at(high), reached_on }
    }
}

/// What one day was to be expected to cost, with its 80 % band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRange {
    pub point: Micros,
    pub low: Micros,
    pub high: Micros,
}

/// `day`, from the known days before it. `None` with too little history.
pub fn day_range(past: &BTreeMap<Date, f64>, day: Date) -> Option<DayRange> {
    let point = rest(past, day, plus_days(day, 1))?.usd();
    let window = || past.range(minus_days(day, WINDOW_DAYS)..day).filter(|(_, usd)| **usd > 0.0);
    // How far days were off what is usual on their weekday, in log units.
    let off = |d: Date, usd: f64| {
        let alike = window().filter(|(other, _)| other.weekday() == d.weekday()).map(|(_, usd)| usd.ln());
        usd.ln() - median(alike)
    };
    let spread = 1.4826 * median(window().map(|(d, usd)| off(*d, *usd).abs()));
    let factor = (DAY_BAND * spread.max(LEAST_DAY_SPREAD)).exp();
    let at = Micros::from_estimate;
    Some(DayRange { point: at(point), low: at(point / factor), high: at(point * factor) })
}

/// The winsorised mean of a scope's active days, US dollars: what an active day usually costs.
pub fn usual_day(past: &BTreeMap<Date, f64>, before: Date) -> Option<f64> {
    let active: Vec<f64> =
        past.range(minus_days(before, WINDOW_DAYS)..before).map(|(_, usd)| *usd).filter(|usd| *usd > 0.0).collect();
    let middle = median(active.iter().map(|usd| usd.ln()));
    let spread = (1.4826 * median(active.iter().map(|usd| (usd.ln() - middle).abs()))).max(LEAST_SPREAD);
    let cap = (middle + CLIP * spread).exp();
    mean(active.iter().map(|usd| usd.min(cap)))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn history(days: i64, usd: impl Fn(Date) -> f64) -> BTreeMap<Date, f64> {
        let end = date(2026, 11, 11);
        (1..=days).map(|back| minus_days(end, back)).map(|day| (day, usd(day))).collect()
    }

    fn weekday(day: Date) -> f64 {
        if super::super::detector::is_weekend(day) { 0.0 } else { 10.0 }
    }

    #[test]
    fn weekdays_go_on_as_they_were() {
        let rest = rest(&history(40, weekday), date(2026, 11, 11), date(2026, 12, 1)).unwrap();
        assert_eq!(rest.days.len(), 20);
        assert!((rest.usd() - 140.0).abs() < 1e-6, "fourteen working days are left: {}", rest.usd());
        let so_far = Micros(70_000_000);
        assert!(
            rest.reaches(so_far, Micros(180_000_000), CAUTION) && !rest.reaches(so_far, Micros(183_000_000), CAUTION)
        );
        let heading = rest.heading(so_far, Micros::parse_usd("95").ok(), &Scope::Workspace);
        assert_eq!((heading.point, heading.reached_on), (Micros(210_000_000), Some(date(2026, 11, 13))));
        assert!(heading.low < heading.point && heading.point < heading.high);
    }

    #[test]
    fn a_spike_is_no_forecast() {
        let mut past = history(28, |_| 10.0);
        past.insert(date(2026, 11, 4), 1_000.0);
        let rest = rest(&past, date(2026, 11, 11), date(2026, 11, 18)).unwrap();
        assert!(rest.usd() < 90.0, "{}", rest.usd());
    }

    #[test]
    fn unknown_days_are_not_zero() {
        let mut past = history(28, |_| 10.0);
        for back in 1..=5 {
            past.remove(&minus_days(date(2026, 11, 11), back));
        }
        let forecast = rest(&past, date(2026, 11, 11), date(2026, 11, 18)).unwrap();
        assert!((forecast.usd() - 70.0).abs() < 1e-6, "{}", forecast.usd());
        let idle: BTreeMap<Date, f64> = history(28, |_| 10.0)
            .into_iter()
            .map(|(d, usd)| (d, if d >= date(2026, 11, 6) { 0.0 } else { usd }))
            .collect();
        assert!(rest(&idle, date(2026, 11, 11), date(2026, 11, 18)).unwrap().usd() < 55.0, "but idle days are");
    }

    #[test]
    fn two_weeks_must_be_known() {
        let (from, end) = (date(2026, 11, 11), date(2026, 12, 1));
        assert_eq!(rest(&history(13, |_| 10.0), from, end), None);
        assert!(rest(&history(14, |_| 10.0), from, end).is_some());
        let newcomer = history(28, |day| if day >= date(2026, 11, 5) { 10.0 } else { 0.0 });
        assert_eq!(rest(&newcomer, from, end), None, "someone new has no two weeks either");
        assert_eq!(rest(&history(28, |_| 0.0), from, end), None);
    }
}
