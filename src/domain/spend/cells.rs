//! The rows of a day, sixteen bytes each: a month of a large workspace is a million and a half of them.

use std::collections::BTreeMap;

use super::day::Cell;
use super::{Basis, Sum};
use crate::domain::money::Micros;

/// A row with its names as numbers of the day's tables. Ordered by user, then kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) user: u32,
    /// Number of the kind, and the basis in the lowest two bits.
    pub(super) kind_basis: u32,
    pub(super) amount: Micros,
    pub(super) tokens: u64,
}

impl Packed {
    pub(super) fn new(user: u32, kind: u32, cell: Cell) -> Self {
        let basis = match cell.basis {
            Basis::Billed => 0,
            Basis::Split => 1,
            Basis::Estimate => 2,
        };
        Self { user, kind_basis: (kind << 2) | basis, amount: cell.amount, tokens: cell.tokens }
    }

    pub(super) fn kind(self) -> u32 {
        self.kind_basis >> 2
    }

    pub(super) fn basis(self) -> Basis {
        match self.kind_basis & 3 {
            0 => Basis::Billed,
            1 => Basis::Split,
            _ => Basis::Estimate,
        }
    }

    pub(super) fn cell(self) -> Cell {
        Cell { amount: self.amount, tokens: self.tokens, basis: self.basis() }
    }

    pub(super) fn key(self) -> (u32, u32) {
        (self.user, self.kind())
    }
}

/// Rows in order. What each user has is a stretch of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cells {
    slim: Vec<Slim>,
    /// By user: where the next one's rows begin.
    ends: Vec<u32>,
    /// Tokens by row, where there are more than a row has room for.
    many: BTreeMap<u32, u64>,
    totals: Totals,
}

/// What all rows of each basis come to; `None` where there are none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    billed: Option<Micros>,
    split: Option<Micros>,
    estimate: Option<Micros>,
}

impl Totals {
    fn add(&mut self, row: Packed) {
        let total = match row.basis() {
            Basis::Billed => &mut self.billed,
            Basis::Split => &mut self.split,
            Basis::Estimate => &mut self.estimate,
        };
        *total = Some(total.unwrap_or_default() + row.amount);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slim {
    amount: Micros,
    kind_basis: u32,
    /// [`MANY`]: they are among the many.
    tokens: u32,
}

const MANY: u32 = u32::MAX;

impl Cells {
    /// `rows` are in order.
    pub(super) fn of(rows: &[Packed]) -> Self {
        let mut cells = Self { slim: Vec::with_capacity(rows.len()), ..Self::default() };
        for (at, row) in (0_u32..).zip(rows) {
            // Users in between have no row.
            cells.ends.resize(row.user as usize, at);
            cells.ends.push(at + 1);
            let tokens = u32::try_from(row.tokens).ok().filter(|tokens| *tokens != MANY);
            if tokens.is_none() {
                cells.many.insert(at, row.tokens);
            }
            let tokens = tokens.unwrap_or(MANY);
            cells.totals.add(*row);
            cells.slim.push(Slim { amount: row.amount, kind_basis: row.kind_basis, tokens });
        }
        cells.ends.shrink_to_fit();
        cells
    }

    pub(super) fn len(&self) -> usize {
        self.slim.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slim.is_empty()
    }

    pub(super) fn has_billed(&self) -> bool {
        self.totals.billed.is_some() || self.totals.split.is_some()
    }

    /// What everybody together has, of any basis or without estimates; `None` where that is no row at all. A share of a
    /// billed amount is exact where all shares are summed.
    pub(super) fn total(&self, billed_only: bool) -> Option<Sum> {
        let Totals { billed, split, estimate } = self.totals;
        let estimate = estimate.filter(|_| !billed_only);
        let parts = [billed, split, estimate];
        let estimated = estimate.is_some();
        parts.iter().any(Option::is_some).then(|| Sum { amount: parts.into_iter().flatten().sum(), estimated })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Packed> {
        let users = (0_u32..).take(self.ends.len());
        users.flat_map(|user| self.of_user(user))
    }

    /// What one user has.
    pub(super) fn of_user(&self, user: u32) -> impl Iterator<Item = Packed> {
        self.stretch(user).map(move |at| self.at(user, at))
    }

    pub(super) fn get(&self, user: u32, kind: u32) -> Option<Packed> {
        let stretch = self.stretch(user);
        let rows = &self.slim[stretch.start as usize..stretch.end as usize];
        let found = rows.binary_search_by_key(&kind, |row| row.kind_basis >> 2).ok()?;
        Some(self.at(user, stretch.start + u32::try_from(found).ok()?))
    }

    fn stretch(&self, user: u32) -> std::ops::Range<u32> {
        let end = |user: Option<u32>| user.and_then(|user| self.ends.get(user as usize)).copied().unwrap_or(0);
        let first = end(user.checked_sub(1));
        // A user after all that have rows has none.
        first..end(Some(user)).max(first)
    }

    /// Memory they take.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.slim.as_slice()) + size_of_val(self.ends.as_slice())
    }

    fn at(&self, user: u32, at: u32) -> Packed {
        let Slim { amount, kind_basis, tokens } = self.slim[at as usize];
        let tokens = if tokens == MANY { self.many.get(&at).copied().unwrap_or_default() } else { u64::from(tokens) };
        Packed { user, kind_basis, amount, tokens }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(
            rows in prop::collection::btree_map((0_u32..20, 0_u32..9), (0..1_i64 << 50, prop_oneof![0_u64..9, any::<u64>(), Just(u64::from(MANY))]), 0..60),
        ) {
            let rows: Vec<Packed> = rows
                .into_iter()
                .map(|((user, kind), (amount, tokens))| Packed { user, kind_basis: (kind << 2) | (kind % 3), amount: Micros(amount), tokens })
                .collect();
            let cells = Cells::of(&rows);
            prop_assert_eq!(cells.iter().collect::<Vec<_>>(), rows.clone());
            prop_assert_eq!((cells.len(), cells.is_empty()), (rows.len(), rows.is_empty()));
            prop_assert_eq!(cells.has_billed(), rows.iter().any(|row| row.basis() != Basis::Estimate));
            for billed_only in [false, true] {
                let counted = || rows.iter().filter(|row| !billed_only || row.basis() != Basis::Estimate);
                let estimated = counted().any(|row| row.basis() == Basis::Estimate);
                let sum = counted().next().map(|_| Sum { amount: counted().map(|row| row.amount).sum(), estimated });
                prop_assert_eq!(cells.total(billed_only), sum);
            }
            for user in 0..22 {
                let of_user: Vec<Packed> = rows.iter().copied().filter(|row| row.user == user).collect();
                prop_assert_eq!(cells.of_user(user).collect::<Vec<_>>(), of_user);
                for kind in 0..10 {
                    let row = rows.iter().copied().find(|row| row.key() == (user, kind));
                    prop_assert_eq!(cells.get(user, kind), row);
                }
            }
        }
    }

    #[test]
    fn a_row_takes_sixteen_bytes() {
        assert_eq!(size_of::<Slim>(), 16);
    }
}
