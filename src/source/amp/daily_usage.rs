//! Money by day, user and model.
//!
//! Today's figures grow and earlier days are still corrected, so each look asks again for some days back; rows are
//! upserted by (day, user). The end of the range is always named and must be echoed (Amp External API v2,
//! `GET /api/v2/workspace/analytics/daily-usage`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use crate::domain::collection::CollectionState;
use crate::domain::money::Micros;
use crate::domain::record::{Evidence, Failure, Page, Person, Rows};
use crate::domain::spend::{SpendRow, Uncounted};
use crate::domain::time::{days_between, minus_days, utc_day};
use crate::source::prices::PriceBook;
use crate::source::{LookEnd, LookRequest, Pages};

use super::client::{ANALYTICS, Client, Get, Refusal};
use super::split::{Prices, split};
use crate::source::body::{take_key, take_text};

/// Path below the base URL.
pub(super) const PATH: [&str; 5] = ["api", "v2", "workspace", "analytics", "daily-usage"];
/// History read at the baseline, for forecasts and spikes.
const BASELINE_DAYS: i64 = 90;
/// Today and the three days that are still settling.
const SHORT_DAYS: i64 = 4;
/// Once a day: late corrections, and what a pause of ours has missed.
const LONG_DAYS: i64 = 35;
/// The most the server answers for.
const MOST_DAYS: i64 = 365;
/// What the amounts are called where they can't be read, and were.
const AMOUNTS: &str = "usage";
/// Rows after which a page goes out.
const PAGE_ROWS: usize = 2_000;

/// Looks at the money. `names` tells who has which name, by email.
pub(super) async fn look(
    client: &Client,
    book: &dyn PriceBook,
    names: &BTreeMap<String, String>,
    request: &LookRequest,
    pages: &Pages,
) -> LookEnd {
    let mut today = server_day(client, request);
    let mut reader =
        Reader { names, prices: Prices::new(book), seen: BTreeSet::new(), asked: (today, today), stray: 0 };
    let mut range = Range::new(today, days_back(&request.state, today));
    let mut calls = 0;
    let mut fault = None;
    let (mut shown, mut left_out) = (0, 0);
    while let Some((end, days)) = range.next() {
        let outcome = ask(client, end, days).await;
        calls += 1;
        let body = match outcome {
            Ok(body) => body,
            Err(Refusal::TooLarge(_)) if days > 1 => {
                range.narrow();
                continue;
            }
            Err(refusal) => return failed(calls, refusal.into_failure(&what())),
        };
        // Only an answer tells the server's day for sure; the first may show that it is another than was asked for.
        let day = server_day(client, request);
        if calls == 1 && day != today {
            today = day;
            range = Range::new(today, days_back(&request.state, today));
            continue;
        }
        fault = fault.or_else(|| echo_fault(&body, end, days));
        // Up to today: whatever day the server takes that for.
        let last = if end == today { end.max(utc_day(request.now)) } else { end };
        reader.asked = (first_day(&body, end, days), last);
        let Some(days_shown) = list(body, "data") else {
            return failed(calls, Failure::broken(format!("{} has no list `data`; check base_url", what())));
        };
        for mut page in reader.pages(days_shown) {
            shown += page.rows.len();
            left_out += page.quarantined.len();
            if !page.rows.is_empty() {
                page.understood.insert(AMOUNTS.to_owned());
            }
            if pages.send(page).await.is_err() {
                return failed(calls, Failure::broken("the look at the daily usage was stopped"));
            }
        }
        range.done();
    }
    if let Some(failure) = fault {
        return failed(calls, failure);
    }
    let odd = left_out - reader.stray.min(left_out);
    if shown == 0 && odd > 0 && pages.send(unreadable(odd)).await.is_err() {
        return failed(calls, Failure::broken("the look at the daily usage was stopped"));
    }
    let days = days_back(&request.state, today);
    let cursor = (days > SHORT_DAYS).then(|| json!({ "long": today.to_string() }));
    let asked_from = Some(minus_days(today, days - 1));
    // A start one day off is let through, so of the first day there may be nothing here.
    // Where the server's day is behind ours, it was not asked for the days between.
    let whole_from = (today >= utc_day(request.now)).then(|| minus_days(today, days - 2));
    LookEnd { asked_from, whole_from, ..LookEnd::new(Evidence::Complete, cursor, calls) }
}

/// Not one row of the look can be used: it is the API that changed, and no money went away.
fn unreadable(rows: usize) -> Page {
    let mut page = Page::of(Rows::Spend(Vec::new()));
    let sentence = format!("none of {rows} rows of {} can be read; what was known stays as it is.", what());
    page.strange.insert(AMOUNTS.to_owned(), sentence);
    page
}

/// One call for the `days` days that end with `end`.
pub(super) async fn ask(client: &Client, end: Date, days: i64) -> Result<Map<String, Value>, Refusal> {
    let query = [("endDate", end.to_string()), ("lookbackDays", days.to_string())];
    client.get(&Get { path: &PATH, query: &query, scope: ANALYTICS }).await
}

fn what() -> String {
    Get { path: &PATH, query: &[], scope: ANALYTICS }.what()
}

fn failed(calls: u32, failure: Failure) -> LookEnd {
    LookEnd { pages: calls, ..LookEnd::failed(failure) }
}

/// Today by the server's clock; by ours before the server has answered anything.
fn server_day(client: &Client, request: &LookRequest) -> Date {
    utc_day(client.server_now().unwrap_or(request.now))
}

/// How many days a look asks for. The cursor remembers the day of the last long look.
fn days_back(state: &CollectionState, today: Date) -> i64 {
    if state.baseline.is_none() {
        return BASELINE_DAYS;
    }
    let long: Option<Date> = state.cursor.get("long").and_then(Value::as_str).and_then(|day| day.parse().ok());
    match long.map(|long| days_between(long, today)) {
        Some(0) => SHORT_DAYS,
        Some(passed) => (passed + SHORT_DAYS).clamp(LONG_DAYS, MOST_DAYS),
        None => LONG_DAYS,
    }
}

/// The days still to be asked for, newest first, in one call where the answer is small enough.
struct Range {
    end: Date,
    left: i64,
    span: i64,
}

impl Range {
    fn new(end: Date, days: i64) -> Self {
        Self { end, left: days, span: days }
    }

    fn next(&self) -> Option<(Date, i64)> {
        (self.left > 0).then(|| (self.end, self.span.min(self.left)))
    }

    fn narrow(&mut self) {
        self.span = (self.span.min(self.left) / 2).max(1);
    }

    fn done(&mut self) {
        let days = self.span.min(self.left);
        self.end = minus_days(self.end, days);
        self.left -= days;
    }
}

/// A day of the range that an answer says it covers.
fn echoed(body: &Map<String, Value>, name: &str) -> Option<Date> {
    body.get("metadata")?.get(name)?.as_str()?.get(..10)?.parse().ok()
}

/// The first of the `days` days that end with `end`, as the server counts them: a start one day off is a matter of counting.
fn first_day(body: &Map<String, Value>, end: Date, days: i64) -> Date {
    let start = minus_days(end, days - 1);
    echoed(body, "startDate").filter(|date| *date == minus_days(start, 1)).unwrap_or(start)
}

/// What is wrong with the range an answer says it covers.
fn echo_fault(body: &Map<String, Value>, end: Date, days: i64) -> Option<Failure> {
    let echoed = |name| echoed(body, name);
    if echoed("endDate") != Some(end) {
        let said = echoed("endDate").map_or("none".to_owned(), |date| date.to_string());
        return Some(Failure::broken(format!(
            "{} was asked for days up to {end} and names {said} as the last",
            what()
        )));
    }
    let start = minus_days(end, days - 1);
    let late = echoed("startDate").filter(|date| days_between(start, *date) > 1)?;
    Some(Failure::broken(format!("{} was asked for days from {start} and begins with {late}", what())))
}

/// Takes a list out of an object.
fn list(mut object: Map<String, Value>, name: &str) -> Option<Vec<Value>> {
    match object.remove(name) {
        Some(Value::Array(items)) => Some(items),
        _ => None,
    }
}

/// Turns days of an answer into pages of rows.
struct Reader<'a> {
    names: &'a BTreeMap<String, String>,
    prices: Prices<'a>,
    /// (day, user) pairs that have had their rows.
    seen: BTreeSet<(Date, String)>,
    /// The first and the last day that were asked for.
    asked: (Date, Date),
    /// Rows of other days.
    stray: usize,
}

impl Reader<'_> {
    /// All rows of one (day, user) stand in the same page.
    fn pages(&mut self, days: Vec<Value>) -> Vec<Page> {
        let mut pages = Vec::new();
        let mut page = Draft::default();
        for (index, day) in days.into_iter().enumerate() {
            self.day(index + 1, day, &mut page);
            if page.rows.len() >= PAGE_ROWS {
                pages.push(std::mem::take(&mut page).finish());
            }
        }
        pages.push(page.finish());
        pages
    }

    fn day(&mut self, number: usize, day: Value, page: &mut Draft) {
        let Value::Object(mut day) = day else {
            page.leave_out(format!("day {number} is no object"), None);
            return;
        };
        let Some(date) = take_text(&mut day, "date").and_then(|text| text.get(..10)?.parse::<Date>().ok()) else {
            page.leave_out(format!("day {number} has no usable date"), None);
            return;
        };
        let Some(users) = list(day, "users") else {
            page.leave_out(format!("{date} has no list of users"), Some(date));
            return;
        };
        let (first, last) = self.asked;
        if date < first || last < date {
            self.stray += users.len();
            page.quarantined
                .extend(users.iter().map(|_| format!("a row of {date} is of a day that was not asked for")));
            return;
        }
        for (index, user) in users.into_iter().enumerate() {
            if let Err(why) = self.user(date, user, page) {
                page.leave_out(format!("row {} of {date} {why}", index + 1), Some(date));
            }
        }
    }

    fn user(&mut self, day: Date, row: Value, page: &mut Draft) -> Result<(), &'static str> {
        let Value::Object(mut row) = row else { return Err("is no object") };
        let Some(Value::Object(mut user)) = row.remove("user") else { return Err("has no user") };
        let id = take_key(&mut user, "id").ok_or("has no usable user id")?;
        let amount = row.get("metrics").and_then(|metrics| metrics.get("usage")).ok_or("has no amount")?;
        let amount = Micros::from_json(amount, 0).map_err(|_| "has an amount that is none")?;
        if amount.is_negative() {
            return Err("has a negative amount");
        }
        if !self.seen.insert((day, id.clone())) {
            return Err("is of a user who has had a row of that day");
        }
        if let Some(email) = take_key(&mut user, "email") {
            let name = self.names.get(&email.to_lowercase()).cloned();
            page.people.insert(id.clone(), Person { email: Some(email), name });
        }
        let nothing = Map::new();
        let models = row.get("models").and_then(Value::as_object).unwrap_or(&nothing);
        page.rows.extend(split(amount, models, day, &mut self.prices).into_iter().map(|part| SpendRow {
            day,
            user: Some(id.clone()),
            model: part.model,
            dims: BTreeMap::new(),
            amount: part.amount,
            tokens: part.tokens,
            basis: part.basis,
            whole_user: true,
        }));
        Ok(())
    }
}

/// A page in the making.
#[derive(Default)]
struct Draft {
    rows: Vec<SpendRow>,
    quarantined: Vec<String>,
    uncounted: Uncounted,
    people: BTreeMap<String, Person>,
}

impl Draft {
    fn leave_out(&mut self, what: String, day: Option<Date>) {
        self.quarantined.push(what);
        self.uncounted.leave_out(day);
    }

    fn finish(self) -> Page {
        let Self { rows, quarantined, uncounted, people } = self;
        Page { quarantined, uncounted, people, ..Page::of(Rows::Spend(rows)) }
    }
}
