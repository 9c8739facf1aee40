//! Which days a look at money asks for, and how days and instants are written.
//!
//! Today's figures grow and earlier days are still corrected, so a look asks again for some days back: for a few in
//! most looks, for many once a day, for all there is at the first.

use jiff::SignedDuration;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::manifest::{Window, WindowFormat};
use super::template::Vars;
use crate::domain::time::{Timestamp, days_between, minus_days, plus, plus_days, start_of_utc_day, utc_day};
use crate::source::LookRequest;

/// Days for which sums that never fall are remembered where no window says how many.
pub const REMEMBERED: i64 = 90;
/// The most days a pause of ours is made up for.
const MOST_DAYS: i64 = 400;

/// Days still to be asked for, newest first.
#[derive(Debug)]
pub struct Days {
    format: WindowFormat,
    exclusive: bool,
    today: Date,
    end: Date,
    left: i64,
    step: i64,
    first: Date,
    long: bool,
}

/// The days of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    format: WindowFormat,
    exclusive: bool,
    from: Date,
    last: Date,
}

impl Days {
    /// `now` is the server's clock.
    pub fn new(window: &Window, request: &LookRequest, now: Timestamp) -> Self {
        let today = utc_day(now);
        let days = days_back(window, request, today);
        Self {
            format: window.format,
            exclusive: window.exclusive,
            today,
            end: today,
            left: days,
            step: i64::from(window.step.max(1)),
            first: minus_days(today, days - 1),
            long: days > i64::from(window.days),
        }
    }

    /// The oldest day of the look.
    pub fn first(&self) -> Date {
        self.first
    }

    /// The newest day of the look.
    pub fn last(&self) -> Date {
        self.today
    }

    pub fn next(&mut self) -> Option<Step> {
        if self.left <= 0 {
            return None;
        }
        let days = self.step.min(self.left);
        let step = Step {
            format: self.format,
            exclusive: self.exclusive,
            from: minus_days(self.end, days - 1),
            last: self.end,
        };
        self.end = minus_days(self.end, days);
        self.left -= days;
        Some(step)
    }

    /// What the next look must know: the day of the last long one.
    pub fn cursor(&self) -> Option<Value> {
        self.long.then(|| json!({ "long": self.today.to_string() }))
    }
}

impl Step {
    /// Gives `$from`, `$to`, `$day` and `$days` their values.
    pub fn set(self, vars: &mut Vars) {
        let to = if self.exclusive { plus_days(self.last, 1) } else { self.last };
        vars.set("from", start(self.format, self.from));
        vars.set("to", if self.exclusive { start(self.format, to) } else { end(self.format, to) });
        vars.set("day", self.last.to_string());
        vars.set("days", days_between(self.from, self.last) + 1);
    }
}

fn days_back(window: &Window, request: &LookRequest, today: Date) -> i64 {
    let [days, history, long] = [window.days, window.history, window.long].map(i64::from);
    if request.state.baseline.is_none() {
        return history.max(days);
    }
    let last_long = request.state.cursor.get("long").and_then(Value::as_str).and_then(|day| day.parse().ok());
    match last_long.map(|day| days_between(day, today)) {
        Some(0) => days,
        Some(passed) => (passed + days).clamp(long.max(days), MOST_DAYS),
        None => long.max(days),
    }
}

/// The first instant of a day, as the API writes it.
fn start(format: WindowFormat, day: Date) -> Value {
    match format {
        WindowFormat::Date => Value::String(day.to_string()),
        _ => instant(format, start_of_utc_day(day)),
    }
}

/// The last instant of a day.
fn end(format: WindowFormat, day: Date) -> Value {
    let next = start_of_utc_day(plus_days(day, 1));
    match format {
        WindowFormat::Date => Value::String(day.to_string()),
        WindowFormat::UnixMs => instant(format, plus(next, -SignedDuration::from_millis(1))),
        _ => instant(format, plus(next, -SignedDuration::from_secs(1))),
    }
}

/// An instant as the API writes it.
pub fn instant(format: WindowFormat, at: Timestamp) -> Value {
    match format {
        WindowFormat::Date | WindowFormat::Rfc3339 => Value::String(at.to_string()),
        WindowFormat::Unix => Value::from(at.as_second()),
        WindowFormat::UnixMs => Value::from(at.as_millisecond()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::collection::CollectionState;

    fn window(json: Value) -> Window {
        serde_json::from_value(json).unwrap()
    }

    fn request(baseline: bool, cursor: Value) -> LookRequest {
        let baseline = baseline.then_some(Timestamp::UNIX_EPOCH);
        let state = CollectionState { baseline, cursor, ..CollectionState::default() };
        LookRequest::full("c", state, Timestamp::UNIX_EPOCH)
    }

    fn asked(window: &Window, request: &LookRequest) -> Vec<(String, String)> {
        let mut days = Days::new(window, request, "2026-11-22T10:00:00Z".parse().unwrap());
        let mut asked = Vec::new();
        while let Some(step) = days.next() {
            let mut vars = Vars::default();
            step.set(&mut vars);
            asked.push((vars.text("from").unwrap(), vars.text("to").unwrap()));
        }
        asked
    }

    fn pair(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn few_days_mostly_many_once_a_day_all_at_first() {
        let window = window(json!({"days": 3, "history": 40, "long": 10, "step": 31}));
        let first = asked(&window, &request(false, Value::Null));
        assert_eq!(first, [pair("2026-10-23", "2026-11-22"), pair("2026-10-14", "2026-10-22")]);
        assert_eq!(asked(&window, &request(true, Value::Null)), [pair("2026-11-13", "2026-11-22")]);
        let today = request(true, json!({"long": "2026-11-22"}));
        assert_eq!(asked(&window, &today), [pair("2026-11-20", "2026-11-22")]);
        let after_a_pause = request(true, json!({"long": "2026-11-02"}));
        assert_eq!(asked(&window, &after_a_pause), [pair("2026-10-31", "2026-11-22")]);
    }

    #[test]
    fn days_are_written_as_the_api_wants_them() {
        let one = |format: &str, exclusive: bool| {
            let window = window(json!({"days": 1, "history": 1, "format": format, "exclusive": exclusive}));
            asked(&window, &request(true, json!({"long": "2026-11-22"})))[0].clone()
        };
        assert_eq!(one("date", true), pair("2026-11-22", "2026-11-23"));
        assert_eq!(one("rfc3339", true), pair("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"));
        assert_eq!(one("rfc3339", false), pair("2026-11-22T00:00:00Z", "2026-11-22T23:59:59Z"));
        assert_eq!(one("unix", false), pair("1795305600", "1795391999"));
        assert_eq!(one("unix_ms", false), pair("1795305600000", "1795391999999"));
    }
}
