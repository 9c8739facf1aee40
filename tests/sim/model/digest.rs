//! When a digest tells of spend, of which days, and how much that was.

use std::collections::BTreeMap;

use ampbridge::domain::money::Micros;
use ampbridge::domain::spend::Per;
use ampbridge::domain::time::{SignedDuration, Timestamp, minus_days, plus_days, utc_day};
use jiff::civil::Date;

use super::money::Money;
use super::timing::next_digest;
use crate::setup::{ACME, FILES, Setup};

/// What was told no further ahead of the clock than this was told by a clock that has been set back since.
const NEAR: SignedDuration = SignedDuration::from_hours(72);
/// No digest looks further back.
const LONGEST: i64 = 28;

/// By sink and route: when spend was last told of, or first would have been.
pub type Digests = BTreeMap<(String, usize), Timestamp>;

/// A digest that tells of spend.
#[derive(Debug, Clone)]
pub struct MoneyDigest {
    pub route: usize,
    pub weekly: bool,
    hour: i64,
    sources: Vec<String>,
}

/// Whole days, the last one excluded, and what was spent in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Spent {
    pub from: Date,
    pub to: Date,
    pub total: Micros,
}

/// Of each length the first route of a sink that lets budgets or spikes through.
pub fn of_sink(setup: &Setup, sink: &str) -> Vec<MoneyDigest> {
    let mut found: Vec<MoneyDigest> = Vec::new();
    for (route, plain) in setup.routing().into_iter().enumerate() {
        let Some((weekly, hour)) = setup.timed(route).and_then(|timed| timed.digest) else { continue };
        let of_money = ["budget.exceeded", "cost.spike"].iter().any(|kind| kind.starts_with(plain.prefix));
        if plain.sinks.contains(&sink) && of_money && found.iter().all(|other| other.weekly != weekly) {
            let sources = plain.source.map_or_else(|| vec![ACME.to_owned(), FILES.to_owned()], |s| vec![s.to_owned()]);
            found.push(MoneyDigest { route, weekly, hour, sources });
        }
    }
    found
}

impl MoneyDigest {
    /// Whether its time has come, events or not. The first time is now: from then on its days count.
    pub fn is_due(&self, sink: &str, told: &Digests, now: Timestamp) -> bool {
        let is_time = |last| next_digest(self.weekly, self.hour, last) <= now;
        !self.was_told(sink, told, now) && last(told, sink, self.route, now).is_none_or(is_time)
    }

    fn was_told(&self, sink: &str, told: &Digests, now: Timestamp) -> bool {
        told.get(&(sink.to_owned(), self.route)).is_some_and(|at| *at > now && at.duration_since(now) <= NEAR)
    }

    /// Notes that it is told, and says of what, and whether it was ever told before. Nothing where it was told already.
    pub fn tell(&self, sink: &str, told: &mut Digests, money: &Money, now: Timestamp) -> Option<(bool, Spent)> {
        if self.was_told(sink, told, now) {
            return None;
        }
        let last = last(told, sink, self.route, now);
        told.insert((sink.to_owned(), self.route), now);
        let to = utc_day(now);
        let least = if self.weekly { 7 } else { 1 };
        let from = last.map_or(to, utc_day).clamp(minus_days(to, LONGEST), minus_days(to, least));
        let (mut day, mut total) = (from, Micros::ZERO);
        while day < to {
            total += money.sums(&self.sources, day, plus_days(day, 1), &Per::Workspace).into_values().sum();
            day = plus_days(day, 1);
        }
        Some((last.is_some(), Spent { from, to, total }))
    }
}

/// A time that has not come yet is the word of a clock that was wrong.
fn last(told: &Digests, sink: &str, route: usize, now: Timestamp) -> Option<Timestamp> {
    told.get(&(sink.to_owned(), route)).copied().filter(|at| *at <= now)
}
