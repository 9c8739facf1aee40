//! The ledger of spend: what was spent on a day, by whom, on which model.
//!
//! Invariant: rows are upserted by (day, user, model); nothing is ever added on top of a row, so reading a day twice
//! changes nothing. A day holds its rows sorted, so equal days are equal values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::money::Micros;
use super::time::{Timestamp, days_between};

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

/// One row of a stored day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    #[serde(rename = "a")]
    pub amount: Micros,
    #[serde(rename = "t", default)]
    pub tokens: u64,
    #[serde(rename = "b", default)]
    pub basis: Basis,
}

/// All rows of one day of one source, by user, then model (`""` where the source names none).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DaySpend {
    pub users: BTreeMap<String, BTreeMap<String, Cell>>,
    /// When a row of this day last changed.
    #[serde(default)]
    pub changed: Option<Timestamp>,
}

impl DaySpend {
    /// Books rows of this day. True where anything changed.
    pub fn upsert(&mut self, rows: &[SpendRow], now: Timestamp) -> bool {
        let mut changed = false;
        let mut whole: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for row in rows {
            let (user, model) = (row.user.as_deref().unwrap_or(""), row.model.as_deref().unwrap_or(""));
            let cell = Cell { amount: row.amount, tokens: row.tokens, basis: row.basis };
            let models = self.users.entry(user.to_owned()).or_default();
            if models.get(model) != Some(&cell) {
                models.insert(model.to_owned(), cell);
                changed = true;
            }
            if row.whole_user {
                whole.entry(user).or_default().insert(model);
            }
        }
        for (user, kept) in whole {
            if let Some(models) = self.users.get_mut(user) {
                let before = models.len();
                models.retain(|model, _| kept.contains(model.as_str()));
                changed |= models.len() != before;
            }
        }
        if changed {
            self.changed = Some(now);
        }
        changed
    }

    /// Every (user, model, cell).
    pub fn cells(&self) -> impl Iterator<Item = (&str, &str, &Cell)> {
        self.users
            .iter()
            .flat_map(|(user, models)| models.iter().map(move |(model, cell)| (user.as_str(), model.as_str(), cell)))
    }
}

/// What a budget or a detector counts: everything, one user, one model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Scope {
    Workspace,
    User(String),
    Model(String),
    /// Any other dimension a source names (`mission`, `platform`).
    Other(String, String),
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workspace => f.write_str("workspace"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Model(name) => write!(f, "model:{name}"),
            Self::Other(dimension, value) => write!(f, "{dimension}:{value}"),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl From<String> for Scope {
    fn from(text: String) -> Self {
        match text.split_once(':') {
            Some(("user", id)) => Self::User(id.to_owned()),
            Some(("model", name)) => Self::Model(name.to_owned()),
            Some((dimension, value)) => Self::Other(dimension.to_owned(), value.to_owned()),
            None => Self::Workspace,
        }
    }
}

/// How spend is cut into scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    #[default]
    Workspace,
    User,
    Model,
}

impl Per {
    pub fn scope(self, user: &str, model: &str) -> Scope {
        match self {
            Self::Workspace => Scope::Workspace,
            Self::User => Scope::User(user.to_owned()),
            Self::Model => Scope::Model(model.to_owned()),
        }
    }
}

/// The part of the ledger a decision needs: days by source. Shared, never copied.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub days: BTreeMap<(String, Date), Arc<DaySpend>>,
}

/// Money of one scope in one stretch of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    pub amount: Micros,
    /// Some of it is estimated or split.
    pub estimated: bool,
}

impl Ledger {
    /// Replaces a day, as it is after this plan.
    pub fn put(&mut self, source: &str, day: Date, spend: Arc<DaySpend>) {
        self.days.insert((source.to_owned(), day), spend);
    }

    /// Days of `source` in `[from, to)`, oldest first.
    pub fn range<'a>(&'a self, source: &str, from: Date, to: Date) -> impl Iterator<Item = (Date, &'a DaySpend)> {
        let owned = source.to_owned();
        self.days.range((owned.clone(), from)..(owned, to)).map(|((_, day), spend)| (*day, spend.as_ref()))
    }

    /// Whether any of `sources` has billed rows in `[from, to)`: then estimates do not count there.
    pub fn has_billed(&self, sources: &[String], from: Date, to: Date) -> bool {
        sources
            .iter()
            .any(|s| self.range(s, from, to).any(|(_, d)| d.cells().any(|(_, _, c)| c.basis != Basis::Estimate)))
    }

    /// Money by scope over several sources in `[from, to)`.
    pub fn sums(&self, sources: &[String], from: Date, to: Date, per: Per) -> BTreeMap<Scope, Sum> {
        let billed_only = self.has_billed(sources, from, to);
        let mut sums: BTreeMap<Scope, Sum> = BTreeMap::new();
        for source in sources {
            for (_, day) in self.range(source, from, to) {
                for (user, model, cell) in day.cells() {
                    if billed_only && cell.basis == Basis::Estimate {
                        continue;
                    }
                    if (per == Per::User && user.is_empty()) || (per == Per::Model && model.is_empty()) {
                        continue;
                    }
                    let sum = sums.entry(per.scope(user, model)).or_default();
                    sum.amount += cell.amount;
                    sum.estimated |= cell.basis == Basis::Estimate || (per == Per::Model && cell.basis == Basis::Split);
                }
            }
        }
        sums
    }

    /// Newest day any of `sources` has a row for.
    pub fn newest_day(&self, sources: &[String]) -> Option<Date> {
        self.days.keys().filter(|(s, _)| sources.contains(s)).map(|(_, d)| *d).max()
    }
}

/// Whether rows of `day` can no longer change without being called a correction.
pub fn is_closed(day: Date, today: Date) -> bool {
    days_between(day, today) > SETTLING_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn row(user: &str, model: &str, micros: i64) -> SpendRow {
        SpendRow {
            day: date(2026, 11, 22),
            user: Some(user.into()),
            model: Some(model.into()),
            dims: BTreeMap::new(),
            amount: Micros(micros),
            tokens: 0,
            basis: Basis::Billed,
            whole_user: true,
        }
    }

    #[test]
    fn rows_are_upserted_never_added() {
        let now = Timestamp::UNIX_EPOCH;
        let mut day = DaySpend::default();
        assert!(day.upsert(&[row("ana", "a", 5), row("ana", "b", 7), row("bo", "a", 1)], now));
        assert!(!day.upsert(&[row("ana", "a", 5), row("ana", "b", 7)], now), "the same again is no change");
        assert!(day.upsert(&[row("ana", "c", 12)], now), "the split moved to another model");
        let left: Vec<_> = day.cells().map(|(u, m, c)| (u, m, c.amount.0)).collect();
        assert_eq!(left, [("ana", "c", 12), ("bo", "a", 1)]);
    }

    #[test]
    fn estimates_are_never_added_to_billed_amounts() {
        let mut ledger = Ledger::default();
        let mut billed = DaySpend::default();
        billed.upsert(&[row("ana", "a", 5)], Timestamp::UNIX_EPOCH);
        let mut guessed = DaySpend::default();
        guessed.upsert(&[SpendRow { basis: Basis::Estimate, ..row("ana", "a", 100) }], Timestamp::UNIX_EPOCH);
        let day = date(2026, 11, 22);
        ledger.put("api", day, Arc::new(billed));
        ledger.put("files", day, Arc::new(guessed));
        let both = ["api".to_owned(), "files".to_owned()];
        let next = date(2026, 11, 23);
        assert_eq!(ledger.sums(&both, day, next, Per::Workspace)[&Scope::Workspace].amount, Micros(5));
        let files = ledger.sums(&both[1..], day, next, Per::User);
        assert_eq!(files[&Scope::User("ana".into())], Sum { amount: Micros(100), estimated: true });
    }
}
