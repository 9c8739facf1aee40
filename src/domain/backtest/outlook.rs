//! How far forecasts of a month were off, and how well "the limit will not hold" was told ahead.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::domain::money::Micros;
use crate::domain::rules::budget::outlook::{AGREEING, days_before};
use crate::domain::rules::forecast::{self, CAUTION};
use crate::domain::time::{Period, PeriodKind, WeekStart, days_between, minus_days, plus_days};

/// Parts of a month (quarters) at which its total is forecast.
const QUARTERS: [i64; 3] = [1, 2, 3];
/// Limits tried for the alert, as multiples of the month before.
const LIMITS: [f64; 3] = [1.0, 1.25, 1.5];

/// Known days of each scope, US dollars; idle days as zero.
pub type Days = BTreeMap<String, BTreeMap<Date, f64>>;

/// Mean absolute errors in percent at a quarter, half and three quarters of the month.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Errors {
    pub run_rate: [f64; 3],
    pub forecast: [f64; 3],
    /// Forecasts each figure is the mean of.
    pub months: usize,
}

/// How well it was told ahead that a limit will not hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ahead {
    pub told: usize,
    pub right: usize,
    /// Months that did pass the limit.
    pub passed: usize,
    /// Days from the telling to the day the limit was passed, where it was.
    pub lead_days: Vec<i64>,
}

#[expect(clippy::cast_precision_loss, reason = "counts of months")]
impl Ahead {
    pub fn precision(&self) -> f64 {
        if self.told == 0 { 0.0 } else { self.right as f64 / self.told as f64 }
    }

    pub fn recall(&self) -> f64 {
        if self.passed == 0 { 0.0 } else { self.right as f64 / self.passed as f64 }
    }

    pub fn median_lead(&self) -> Option<i64> {
        let mut days = self.lead_days.clone();
        days.sort_unstable();
        days.get(days.len() / 2).copied()
    }
}

/// Errors over every whole month with enough history.
pub fn errors(scopes: &Days) -> Errors {
    let mut sums = ([0.0; 3], [0.0; 3]);
    let mut months = 0;
    for (past, month) in scopes.values().flat_map(|days| whole_months(days).map(move |month| (days, month))) {
        let total = spent(past, month.start, month.end);
        let at = |quarter: i64| plus_days(month.start, month.days() * quarter / 4);
        let forecasts: Option<Vec<(f64, f64)>> =
            QUARTERS.iter().map(|quarter| predict(past, month, at(*quarter))).collect();
        let Some(forecasts) = forecasts.filter(|_| total > 0.0) else { continue };
        months += 1;
        for (index, (rate, forecast)) in forecasts.into_iter().enumerate() {
            sums.0[index] += 100.0 * (rate - total).abs() / total;
            sums.1[index] += 100.0 * (forecast - total).abs() / total;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of months")]
    let n = months.max(1) as f64;
    Errors { run_rate: sums.0.map(|s| s / n), forecast: sums.1.map(|s| s / n), months }
}

/// The alert over every whole month and several limits, judged daily.
pub fn ahead(scopes: &Days) -> Ahead {
    let mut ahead = Ahead::default();
    for days in scopes.values() {
        for month in whole_months(days) {
            let before = Period::containing(PeriodKind::Month, minus_days(month.start, 1), WeekStart::Monday);
            if days.keys().next().is_none_or(|first| *first > before.start) {
                continue;
            }
            let last_month = spent(days, before.start, before.end);
            for limit in LIMITS.iter().map(|times| times * last_month).filter(|limit| *limit > 0.0) {
                judge(days, month, limit, &mut ahead);
            }
        }
    }
    ahead
}

fn judge(days: &BTreeMap<Date, f64>, month: Period, limit: f64, ahead: &mut Ahead) {
    let passed_on = passed_on(days, month, limit);
    ahead.passed += usize::from(passed_on.is_some());
    let mut agreeing = 0;
    let mut day = plus_days(month.start, days_before(PeriodKind::Month));
    while day < month.end && passed_on.is_none_or(|passed| day <= passed) {
        let so_far = Micros::from_estimate(spent(days, month.start, day));
        let reaches = forecast::rest(days, day, month.end)
            .is_some_and(|rest| rest.reaches(so_far, Micros::from_estimate(limit), CAUTION));
        agreeing = if reaches { agreeing + 1 } else { 0 };
        if agreeing == AGREEING {
            ahead.told += 1;
            if let Some(passed) = passed_on {
                ahead.right += 1;
                ahead.lead_days.push(days_between(day, passed));
            }
            return;
        }
        day = plus_days(day, 1);
    }
}

/// By running on at the mean so far, and by the forecast.
fn predict(days: &BTreeMap<Date, f64>, month: Period, at: Date) -> Option<(f64, f64)> {
    let so_far = spent(days, month.start, at);
    #[expect(clippy::cast_precision_loss, reason = "days of a month")]
    let rate = so_far * month.days() as f64 / days_between(month.start, at).max(1) as f64;
    let rest = forecast::rest(days, at, month.end)?;
    Some((rate, so_far + rest.usd()))
}

fn passed_on(days: &BTreeMap<Date, f64>, month: Period, limit: f64) -> Option<Date> {
    let mut sum = 0.0;
    days.range(month.start..month.end).find_map(|(day, usd)| {
        sum += usd;
        (sum >= limit).then_some(*day)
    })
}

fn spent(days: &BTreeMap<Date, f64>, from: Date, to: Date) -> f64 {
    if from < to { days.range(from..to).map(|(_, usd)| usd).sum() } else { 0.0 }
}

/// Months from whose first to last day everything is known.
fn whole_months(days: &BTreeMap<Date, f64>) -> impl Iterator<Item = Period> {
    let first = days.keys().next().copied();
    let last = days.keys().next_back().copied();
    let mut month = first.map(|day| Period::containing(PeriodKind::Month, day, WeekStart::Monday));
    std::iter::from_fn(move || {
        let this = month?;
        month = Some(this.next(WeekStart::Monday));
        (this.end <= plus_days(last?, 1)).then_some(this)
    })
    .filter(move |month| first.is_some_and(|first| first <= month.start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn days(usd: impl Fn(Date) -> f64) -> Days {
        let first = date(2026, 1, 5);
        let days = (0..180).map(|n| plus_days(first, n)).map(|day| (day, usd(day))).collect();
        Days::from([("workspace".to_owned(), days)])
    }

    #[test]
    fn what_goes_on_as_it_was_is_forecast_without_error() {
        let got = errors(&days(|_| 10.0));
        assert_eq!(got.months, 5, "February to June");
        assert!(got.forecast.iter().chain(&got.run_rate).all(|e| *e < 1e-9), "{got:?}");
    }

    #[test]
    fn weekends_confuse_the_run_rate_alone() {
        let got = errors(&days(|day| if crate::domain::rules::detector::is_weekend(day) { 0.0 } else { 10.0 }));
        assert!(got.run_rate[0] > 2.0 && got.forecast[0] < 0.5, "{got:?}");
    }

    #[test]
    fn a_month_twice_as_dear_is_told_days_ahead_and_a_steady_one_is_not() {
        let got = ahead(&days(|day| if day >= date(2026, 5, 1) { 25.0 } else { 10.0 }));
        assert!(got.passed >= 3 && got.recall() > 0.9 && got.precision() > 0.9, "{got:?}");
        assert!(got.median_lead() >= Some(5), "{got:?}");
        let steady = ahead(&days(|_| 10.0));
        assert_eq!(steady.told - steady.right, 0);
    }
}
