//! How the ledger of one source stands: which days were answered for, when they were watched, when they moved.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::limits::OwnLimits;
use super::{Gaps, SETTLING_DAYS, SLOTS, Uncounted, slot_of};
use crate::domain::time::{Timestamp, days_between, minus_days, plus_days, utc_day};

/// Days whose watching is remembered: what "usually" looks back on, and some.
const WATCHED_DAYS: i64 = 40;
/// Stretches of answered days kept; a bridge that is down once a week makes fifty a year.
const STRETCHES: usize = 60;
/// Days that rows can be of beyond today: a source may be a day ahead, and a clock a day behind.
const DAYS_AHEAD: i64 = 2;
/// Half-hours before an instant within which a look counts as one at that instant.
const NEAR: u32 = 2;

/// What is known of a source's money besides the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpendState {
    /// When a look first reached its end, by collection; whatever it had to leave out, from then on its money counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub read: BTreeMap<String, Timestamp>,
    /// A look was cut short before that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tried: bool,
    /// Stretches of days a complete look has answered for, first and last day. Days outside are unknown, not zero.
    pub known: Vec<(Date, Date)>,
    /// By collection: days whose sums lack something that was seen and could not be counted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gaps: BTreeMap<String, Gaps>,
    /// The oldest and the newest day there has been money of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<(Date, Date)>,
    /// When recent days were last complete.
    pub complete: BTreeMap<Date, Timestamp>,
    /// Half-hours in which a look was good, by day; one bit each.
    pub watched: BTreeMap<Date, u64>,
    /// Half-hours in which some amount changed.
    pub moved: BTreeMap<Date, u64>,
    /// When some amount last changed.
    pub moved_at: Option<Timestamp>,
    /// Counts how often all money was forgotten; what was learned before counts no more.
    pub generation: u32,
    /// Counts the accounts there were before this one, under the same name. The same day of another account is another fact.
    #[serde(skip_serializing_if = "crate::domain::doc::is_zero")]
    pub account: u32,
    /// The data stands still: since when, as told.
    pub stale: Option<Timestamp>,
    /// What single things may spend, as the source says.
    #[serde(skip_serializing_if = "OwnLimits::is_unknown")]
    pub limits: OwnLimits,
}

/// The last day money rows can be of, by a clock.
pub fn last_plausible(now: Timestamp) -> Date {
    plus_days(utc_day(now), DAYS_AHEAD)
}

/// How far a day's figures are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DayState {
    /// Today: it grows.
    Open,
    /// The three days after: still corrected.
    Settling,
    Closed,
}

impl DayState {
    pub fn of(day: Date, today: Date) -> Self {
        match days_between(day, today) {
            ..=0 => Self::Open,
            1..=SETTLING_DAYS => Self::Settling,
            _ => Self::Closed,
        }
    }
}

impl SpendState {
    /// Books the days that money was shown of, from the first to the last.
    pub fn showed(&mut self, days: Option<(Date, Date)>) {
        let Some((first, last)) = days else { return };
        let (oldest, newest) = self.span.unwrap_or((first, last));
        self.span = Some((oldest.min(first), newest.max(last)));
    }

    /// Books a complete look at a collection that answered for the days from `first` on, but for what it could not count.
    pub fn answered(&mut self, collection: &str, first: Option<Date>, uncounted: &Uncounted, now: Timestamp) {
        let today = utc_day(now);
        let first = first.unwrap_or(today).min(today);
        self.read.entry(collection.to_owned()).or_insert(now);
        self.add_known(first, today);
        let gaps = self.gaps.entry(collection.to_owned()).or_default();
        gaps.replace(first, today, uncounted);
        let mut day = first.max(minus_days(today, WATCHED_DAYS));
        while day <= today {
            if !gaps.left_out.contains(&day) {
                // By a clock that was set back, a day that had been read whole is not over yet.
                let at = self.complete.entry(day).or_insert(now);
                *at = now.max(*at);
            }
            day = plus_days(day, 1);
        }
        self.gaps.retain(|_, gaps| !gaps.is_empty());
    }

    /// Whether a look has ever reached its end. Until then nothing is known of the source, not even that it has spent
    /// nothing.
    pub fn is_read(&self) -> bool {
        !self.read.is_empty() || !self.known.is_empty()
    }

    /// Another one where money came to count that did not before: of another account, read anew, or of one more collection.
    pub fn edition(&self) -> (u32, usize) {
        (self.generation, self.read.len().max(1))
    }

    /// The first day in `[from, to]` whose sum lacks something that was seen and not counted.
    pub fn uncounted(&self, from: Date, to: Date) -> Option<Date> {
        self.gaps.values().filter_map(|gaps| gaps.first(from, to)).min()
    }

    /// Whether rows of this day had to be left out.
    pub fn left_out(&self, day: Date) -> bool {
        self.gaps.values().any(|gaps| gaps.left_out.contains(&day))
    }

    /// Books a look that was not cut short; `moved`: it changed some amount.
    pub fn looked(&mut self, moved: bool, now: Timestamp) {
        let today = utc_day(now);
        let bit = 1_u64 << slot_of(now);
        *self.watched.entry(today).or_default() |= bit;
        if moved {
            *self.moved.entry(today).or_default() |= bit;
            self.moved_at = Some(now);
        }
        let oldest = minus_days(today, WATCHED_DAYS);
        self.watched.retain(|day, _| *day >= oldest);
        self.moved.retain(|day, _| *day >= oldest);
        self.complete.retain(|day, _| *day >= oldest);
    }

    /// Whether a missing row of this day means zero.
    pub fn knows(&self, day: Date) -> bool {
        let answered = self.known.iter().any(|(first, last)| *first <= day && day <= *last);
        answered && self.uncounted(day, day).is_none()
    }

    /// Whether a missing row of this day says something of what is usual: days before there was any money do not.
    pub fn is_history(&self, day: Date) -> bool {
        self.knows(day) && self.span.is_none_or(|(oldest, _)| oldest <= day)
    }

    /// The newest day there is money of, where no clock that is right could have it yet: it is days ahead, or this clock had
    /// come to it before. (The days of a source may begin a day before ours.)
    pub fn is_ahead_of(&self, now: Timestamp) -> Option<Date> {
        let come_to = self.complete.values().max().map(|at| utc_day(*at));
        let was_there = |newest: Date| newest > utc_day(now) && come_to.is_some_and(|day| newest <= day);
        self.span.map(|(_, newest)| newest).filter(|newest| *newest > last_plausible(now) || was_there(*newest))
    }

    /// Whether the day was looked at once it was over, so that its figures are whole.
    pub fn is_whole(&self, day: Date) -> bool {
        let over = crate::domain::time::start_of_utc_day(plus_days(day, 1));
        self.complete.get(&day).is_some_and(|at| *at >= over) && !self.left_out(day)
    }

    /// The last day after whose end there was a good look: how things went up to there is known, later is not.
    pub fn seen_through(&self) -> Option<Date> {
        self.watched.keys().next_back().map(|day| minus_days(*day, 1))
    }

    /// Whether a look fell into a half-hour of a day.
    pub fn looked_in(&self, day: Date, slot: u32) -> bool {
        self.watched.get(&day).copied().unwrap_or(0) & window(slot, slot) != 0
    }

    /// Whether the day was being watched around a half-hour.
    pub fn watched_at(&self, day: Date, slot: u32) -> bool {
        let bits = self.watched.get(&day).copied().unwrap_or(0);
        bits & window(slot.saturating_sub(NEAR), slot) != 0
    }

    /// Whether some amount of the day changed in `[from, to]`.
    pub fn moved_within(&self, day: Date, from: u32, to: u32) -> bool {
        self.moved.get(&day).copied().unwrap_or(0) & window(from, to) != 0
    }

    fn add_known(&mut self, first: Date, last: Date) {
        self.known.push((first, last));
        self.known.sort_unstable();
        let mut merged: Vec<(Date, Date)> = Vec::new();
        for (first, last) in self.known.drain(..) {
            match merged.last_mut() {
                Some(before) if first <= plus_days(before.1, 1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        let surplus = merged.len().saturating_sub(STRETCHES);
        self.known = merged.split_off(surplus);
    }
}

/// Bits of the half-hours `from` to `to`, both counted in.
fn window(from: u32, to: u32) -> u64 {
    let (from, to) = (from.min(SLOTS - 1), to.min(SLOTS - 1));
    if from > to {
        return 0;
    }
    (u64::MAX >> (63 - (to - from))) << from
}
