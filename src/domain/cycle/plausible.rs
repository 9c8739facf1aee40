//! Which days of money rows can be, by this machine's clock; and whether it is the clock that can't be.

use jiff::civil::{Date, date};

use crate::domain::collection::LookNotes;
use crate::domain::record::Failure;
use crate::domain::spend::{SpendRow, SpendState, last_plausible};
use crate::domain::time::{Timestamp, days_between, utc_day};

/// Days ahead that a clock is believed to be behind by, where other rows fit it.
const FAR: i64 = 62;

/// The rows whose days and amounts can be, and what is wrong with each of the others, by its day.
pub fn plausible_days(rows: &[SpendRow], now: Timestamp) -> (Vec<&SpendRow>, Vec<(Date, String)>) {
    let (first, last) = (date(2000, 1, 1), last_plausible(now));
    let can_be = |r: &&SpendRow| first <= r.day && r.day <= last && !r.amount.is_negative();
    let (plausible, odd): (Vec<&SpendRow>, Vec<&SpendRow>) = rows.iter().partition(can_be);
    let why = |r: &&SpendRow| {
        let what = if r.amount.is_negative() { "has a negative amount" } else { "is not of any day that can be" };
        (r.day, format!("a money row of {} {what}", r.day))
    };
    (plausible, odd.iter().map(why).collect())
}

/// Whether it is this machine's clock that is behind: it has come to days that are over by what was shown before, or the
/// look shows rows of several days to come, or of nothing else. One odd row among others is the source's. What such a look
/// showed is kept, and judged once the clock is right.
pub fn clock_is_behind(notes: &LookNotes, known: &SpendState, now: Timestamp) -> Option<Failure> {
    let today = utc_day(now);
    let near = notes.ahead.iter().filter(|day| days_between(today, **day) <= FAR).count();
    let shown = notes.ahead.first().copied().filter(|_| near > 1 || notes.days.is_none());
    let next = shown.or_else(|| known.is_ahead_of(now))?;
    Some(Failure::broken(format!(
        "its figures are of {next}, and this machine's clock says it is {today}; nothing is judged by that clock, set it right"
    )))
}
