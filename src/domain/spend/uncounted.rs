//! Money that a look showed and could not count: rows it had to leave out, tokens nobody has a price for.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::domain::time::plus_days;

/// Days remembered of which something was not counted.
const REMEMBERED: usize = 800;

/// Days whose sums lack something. What is missing from them is not zero.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uncounted {
    /// Days of rows that could not be used.
    pub days: BTreeSet<Date>,
    /// Rows of which not even the day is known: it may be any up to this one.
    pub until: Option<Date>,
    /// Days with tokens that have no price.
    pub unpriced: BTreeSet<Date>,
}

impl Uncounted {
    /// A row that could not be used; where its day is not known, it may be of any.
    pub fn leave_out(&mut self, day: Option<Date>) {
        match day {
            Some(day) => drop(self.days.insert(day)),
            None => self.leave_out_until(Date::MAX),
        }
    }

    /// Rows that can't be used, of any day up to this one.
    pub fn leave_out_until(&mut self, last: Date) {
        self.until = self.until.max(Some(last));
    }

    pub fn extend(&mut self, other: Self) {
        self.days.extend(other.days);
        self.unpriced.extend(other.unpriced);
        self.until = self.until.max(other.until);
    }

    /// Whether some row of this day may have been left out.
    pub fn left_out(&self, day: Date) -> bool {
        self.days.contains(&day) || self.until.is_some_and(|last| day <= last)
    }
}

/// The same as remembered of one collection, up to its last complete look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gaps {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<Date>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unpriced: BTreeSet<Date>,
}

impl Gaps {
    /// Takes over what a look at the days `[first, last]` could not count; of other days what was known stays.
    pub fn replace(&mut self, first: Date, last: Date, uncounted: &Uncounted) {
        let within = |day: &Date| first <= *day && *day <= last;
        self.left_out.retain(|day| !within(day));
        self.unpriced.retain(|day| !within(day));
        self.left_out.extend(&uncounted.days);
        self.unpriced.extend(&uncounted.unpriced);
        if uncounted.until.is_some() {
            let mut day = first;
            while day <= last && uncounted.left_out(day) {
                self.left_out.insert(day);
                day = plus_days(day, 1);
            }
        }
        for days in [&mut self.left_out, &mut self.unpriced] {
            while days.len() > REMEMBERED {
                days.pop_first();
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.left_out.is_empty() && self.unpriced.is_empty()
    }

    /// The first day in `[from, to]`.
    pub fn first(&self, from: Date, to: Date) -> Option<Date> {
        let first = |days: &BTreeSet<Date>| days.range(from..=to.max(from)).next().copied();
        first(&self.left_out).into_iter().chain(first(&self.unpriced)).min()
    }
}
