//! Days with a logarithm each, as they are stored: the day as a number, the value to nine decimals, so that what is read
//! back is what was written. Dates as text, from earlier versions, are read too.

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serializer};

use crate::domain::time::{days_between, plus_days};

/// Day 0.
const EPOCH: Date = jiff::civil::date(1970, 1, 1);

#[derive(Deserialize)]
#[serde(untagged)]
enum Day {
    Number(i64),
    Text(Date),
}

/// To nine decimals: far below any noise, and short when written.
pub fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

pub fn serialize<S: Serializer>(series: &[(Date, f64)], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(series.iter().map(|(day, value)| (days_between(EPOCH, *day), *value)))
}

pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<(Date, f64)>, D::Error> {
    let read: Vec<(Day, f64)> = Vec::deserialize(d)?;
    let day = |day| match day {
        Day::Number(number) => plus_days(EPOCH, number),
        Day::Text(date) => date,
    };
    // Not in the place of what was read, which takes twice the room.
    let mut series = Vec::with_capacity(read.len());
    series.extend(read.into_iter().map(|(at, value)| (day(at), value)));
    Ok(series)
}
