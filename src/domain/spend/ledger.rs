//! The part of the ledger a decision needs. The one read model of budgets, forecasts, spikes, digests and the guard.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;

use super::{Basis, Cut, DaySpend, Groups, Index, People, Row, Scope};
use crate::domain::money::Micros;

/// Days by source. Shared, never copied.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub days: BTreeMap<(String, Date), Arc<DaySpend>>,
    /// From when on each source's days were loaded, where that is known.
    pub loaded: BTreeMap<String, Date>,
}

/// Money of one scope in one stretch of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    pub amount: Micros,
    /// Some of it is estimated or split.
    pub estimated: bool,
}

impl Sum {
    pub(super) fn add(&mut self, other: Self) {
        self.amount += other.amount;
        self.estimated |= other.estimated;
    }
}

impl Ledger {
    /// Replaces a day, as it is after this plan.
    pub fn put(&mut self, source: &str, day: Date, spend: Arc<DaySpend>) {
        self.days.insert((source.to_owned(), day), spend);
    }

    /// Notes that all days of `source` from `day` on are here.
    pub fn loaded_from(&mut self, source: &str, day: Date) {
        let known = self.loaded.entry(source.to_owned()).or_insert(day);
        *known = day.min(*known);
    }

    /// The sources whose days from `from` on were not all loaded.
    pub fn lacking<'a>(&self, sources: &'a [String], from: Date) -> Vec<&'a String> {
        sources.iter().filter(|s| self.loaded.get(*s).is_none_or(|day| *day > from)).collect()
    }

    /// Days of `source` in `[from, to)`, oldest first.
    pub fn range<'a>(&'a self, source: &str, from: Date, to: Date) -> impl Iterator<Item = (Date, &'a DaySpend)> {
        let owned = source.to_owned();
        // A period before the first day there is would be an empty range the wrong way round.
        let to = to.max(from);
        self.days.range((owned.clone(), from)..(owned, to)).map(|((_, day), spend)| (*day, spend.as_ref()))
    }

    /// Whether any of `sources` has billed rows in `[from, to)`: then estimates do not count there.
    pub fn has_billed(&self, sources: &[String], from: Date, to: Date) -> bool {
        sources.iter().any(|s| self.range(s, from, to).any(|(_, d)| d.has_billed()))
    }

    /// Money by scope over several sources in `[from, to)`.
    pub fn sums(&self, cut: Cut<'_>, from: Date, to: Date) -> BTreeMap<Scope, Sum> {
        let mut index = Index::new(self, cut);
        let mut sums = Vec::new();
        index.add_range(from, to, self.has_billed(cut.sources, from, to), &mut sums);
        sums.into_iter().enumerate().map(|(number, sum)| (index.scope(number), sum)).collect()
    }

    /// Money of one scope in `[from, to)`.
    pub fn sum_of(&self, scope: &Scope, cut: Cut<'_>, from: Date, to: Date) -> Sum {
        let billed_only = self.has_billed(cut.sources, from, to);
        let mut members = Members::new(scope, cut.groups, cut.people);
        let mut sum = Sum::default();
        for source in cut.sources {
            for (_, day) in self.range(source, from, to) {
                match scope {
                    Scope::Workspace => sum.add(day.cells.total(billed_only).unwrap_or_default()),
                    Scope::User(id) | Scope::UserModel(id, _) => {
                        sum.add(members.sum_of(day.rows_of(id), billed_only));
                    }
                    _ => sum.add(members.sum_of(day.rows(), billed_only)),
                }
            }
        }
        sum
    }

    /// Rows of one scope in `[from, to)`, with their source and day. Estimates count only where nothing was billed.
    pub fn rows_of<'a>(
        &'a self,
        scope: &'a Scope,
        cut: Cut<'a>,
        from: Date,
        to: Date,
    ) -> impl Iterator<Item = (&'a str, Date, Row<'a>)> {
        let billed_only = self.has_billed(cut.sources, from, to);
        let mut members = Members::new(scope, cut.groups, cut.people);
        cut.sources
            .iter()
            .flat_map(move |source| {
                self.range(source, from, to)
                    .flat_map(move |(day, spend)| spend.rows().map(move |row| (source.as_str(), day, row)))
            })
            .filter(move |(_, _, row)| !(billed_only && row.cell.basis == Basis::Estimate) && members.has(row))
    }

    /// Newest day any of `sources` has a row for.
    pub fn newest_day(&self, sources: &[String]) -> Option<Date> {
        let newest = |source: &String| {
            let range = (source.clone(), Date::MIN)..=(source.clone(), Date::MAX);
            self.days.range(range).next_back().map(|((_, day), _)| *day)
        };
        sources.iter().filter_map(newest).max()
    }
}

/// Which rows belong to a scope.
pub struct Members<'a> {
    scope: &'a Scope,
    groups: &'a Groups,
    people: &'a People<'a>,
    known: BTreeMap<String, bool>,
}

impl<'a> Members<'a> {
    pub fn new(scope: &'a Scope, groups: &'a Groups, people: &'a People<'a>) -> Self {
        Self { scope, groups, people, known: BTreeMap::new() }
    }

    pub fn has(&mut self, row: &Row<'_>) -> bool {
        match self.scope {
            Scope::Workspace => true,
            Scope::User(id) => id == row.user,
            Scope::Model(model) => **model == *row.kind.model,
            Scope::UserModel(id, model) => id == row.user && **model == *row.kind.model,
            Scope::Other(dimension, value) => row.kind.dims.get(dimension) == Some(value),
            Scope::Group(name) => self.is_in(name, row.user),
        }
    }

    fn sum_of<'r>(&mut self, rows: impl Iterator<Item = Row<'r>>, billed_only: bool) -> Sum {
        let shares_are_guesses = matches!(self.scope, Scope::Model(_) | Scope::UserModel(..) | Scope::Other(..));
        let mut sum = Sum::default();
        for row in rows {
            let basis = row.cell.basis;
            if !(billed_only && basis == Basis::Estimate) && self.has(&row) {
                let estimated = basis == Basis::Estimate || (shares_are_guesses && basis == Basis::Split);
                sum.add(Sum { amount: row.cell.amount, estimated });
            }
        }
        sum
    }

    /// Whether a user belongs to the scope with all they spend.
    pub fn has_user(&mut self, user: &str) -> bool {
        match self.scope {
            Scope::Workspace => true,
            Scope::User(id) => id == user,
            Scope::Group(name) => self.is_in(name, user),
            _ => false,
        }
    }

    fn is_in(&mut self, group: &str, user: &str) -> bool {
        if let Some(known) = self.known.get(user) {
            return *known;
        }
        let found = self.groups.of(user, self.people.get(user)).contains(&group);
        self.known.insert(user.to_owned(), found);
        found
    }
}
