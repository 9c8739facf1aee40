//! The ledger of spend: what was spent on a day, by whom, on what.
//!
//! Invariant: rows are upserted by (day, user, model, dimensions); nothing is ever added on top of a row, so reading a
//! day twice changes nothing. A day holds its rows sorted, so equal days are equal values.

mod cells;
mod curve;
mod day;
mod groups;
mod index;
mod ledger;
mod limits;
mod scope;
mod status;
mod uncounted;
mod wire;

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::money::Micros;
use super::time::days_between;

pub use curve::{SLOTS, slot_of};
pub use day::{Cell, Corrected, DaySpend, Kind, Row};
pub use groups::{Groups, People};
pub use index::{Cut, Index};
pub use ledger::{Ledger, Members, Sum};
pub use limits::OwnLimits;
pub use scope::{Per, Scope};
pub use status::{DayState, SpendState, last_plausible};
pub use uncounted::{Gaps, Uncounted};

/// Days after its own during which a day may still be revised: open (0), settling (1 to 3), then closed.
pub const SETTLING_DAYS: i64 = 3;

/// Where an amount comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Basis {
    /// The source billed exactly this.
    #[default]
    #[serde(rename = "b")]
    Billed,
    /// A share of a billed amount, split by priced tokens. Sums of shares are exact; a single share is estimated.
    #[serde(rename = "s")]
    Split,
    /// Priced from tokens here. Never added to billed amounts.
    #[serde(rename = "e")]
    Estimate,
}

/// One money row as observed.
#[derive(Debug, Clone, PartialEq)]
pub struct SpendRow {
    pub day: Date,
    /// Id of the user, where the source tells.
    pub user: Option<String>,
    /// Model, where the source tells; `None` is what no model accounts for.
    pub model: Option<String>,
    /// What else the source names of the row (`mission`, `platform`): dimension to value.
    pub dims: BTreeMap<String, String>,
    pub amount: Micros,
    pub tokens: u64,
    pub basis: Basis,
    /// This look carries all rows of this (day, user): rows of theirs that are missing have moved elsewhere.
    pub whole_user: bool,
}

/// Whether rows of `day` can no longer change without being called a correction.
pub fn is_closed(day: Date, today: Date) -> bool {
    days_between(day, today) > SETTLING_DAYS
}

#[cfg(test)]
mod tests;
