//! One day of one source: its rows, packed so that a year of a large workspace stays small.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::cells::{Cells, Packed};
use super::curve::{Curve, slot_of};
use super::{Basis, SpendRow, is_closed};
use crate::domain::money::Micros;
use crate::domain::time::{Timestamp, utc_day};

/// One row's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub amount: Micros,
    pub tokens: u64,
    pub basis: Basis,
}

/// What a row is about besides its user: the model (`""` where the source names none) and further dimensions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Kind {
    pub model: Arc<str>,
    pub dims: BTreeMap<String, String>,
}

/// One row of a day.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub user: &'a str,
    pub kind: &'a Kind,
    pub cell: Cell,
}

/// What was changed after the fact, kept apart from new spend: by how much amounts rose after the day had closed, and
/// fell at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Corrected {
    #[serde(rename = "u")]
    pub up: Micros,
    #[serde(rename = "d")]
    pub down: Micros,
    #[serde(rename = "t")]
    pub last: Option<Timestamp>,
}

/// All rows of one day of one source, in order of user, model, dimensions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DaySpend {
    /// In order. Days that have the same users may hold one list in common.
    pub(super) users: Arc<[Arc<str>]>,
    pub(super) kinds: Vec<Kind>,
    pub(super) cells: Cells,
    pub(super) curve: Curve,
    /// When a row of this day last changed.
    pub changed: Option<Timestamp>,
    pub corrected: Corrected,
}

/// A kind that is only looked at.
type KindRef<'a> = (&'a str, &'a BTreeMap<String, String>);

/// Rows to be booked, the last of each key.
struct Incoming<'a> {
    rows: BTreeMap<(&'a str, KindRef<'a>), Cell>,
    /// Users all of whose rows these are.
    whole: BTreeSet<&'a str>,
}

impl<'a> Incoming<'a> {
    fn of<R: Borrow<SpendRow>>(rows: &'a [R]) -> Self {
        let mut incoming = Self { rows: BTreeMap::new(), whole: BTreeSet::new() };
        for row in rows {
            let row: &SpendRow = row.borrow();
            let user = row.user.as_deref().unwrap_or("");
            let kind = (row.model.as_deref().unwrap_or(""), &row.dims);
            incoming.rows.insert((user, kind), Cell { amount: row.amount, tokens: row.tokens, basis: row.basis });
            if row.whole_user {
                incoming.whole.insert(user);
            }
        }
        incoming
    }

    fn users(&self) -> BTreeSet<&'a str> {
        self.rows.keys().map(|(user, _)| *user).collect()
    }
}

impl DaySpend {
    /// Books rows of this day. True where anything changed.
    pub fn upsert<R: Borrow<SpendRow>>(&mut self, rows: &[R], now: Timestamp) -> bool {
        let Some(day) = rows.first().map(|r| r.borrow().day) else { return false };
        let incoming = Incoming::of(rows);
        let differs = self.differs(&incoming);
        if differs {
            self.book(&incoming, day, now);
        }
        differs
    }

    fn book(&mut self, incoming: &Incoming<'_>, day: Date, now: Timestamp) {
        let users = incoming.users();
        let before: Vec<Micros> = users.iter().map(|user| self.spent_by(user)).collect();
        self.merge(incoming);
        let after: Vec<(u32, Micros)> =
            users.iter().filter_map(|user| Some((self.user(user)?, self.spent_by(user)))).collect();
        let today = utc_day(now);
        if day == today {
            self.curve.book(slot_of(now), &after);
        }
        let spent: Vec<Micros> = users.iter().map(|user| self.spent_by(user)).collect();
        for (old, new) in before.into_iter().zip(spent) {
            if new < old {
                self.corrected.down += old - new;
                self.corrected.last = Some(now);
            } else if new > old && is_closed(day, today) {
                self.corrected.up += new - old;
                self.corrected.last = Some(now);
            }
        }
        self.changed = Some(now);
    }

    /// The day with rows booked; `None` where they change nothing, which then costs nothing.
    pub fn upserted<R: Borrow<SpendRow>>(known: Option<&Self>, rows: &[R], now: Timestamp) -> Option<Self> {
        let day = rows.first().map(|r| r.borrow().day)?;
        let incoming = Incoming::of(rows);
        if known.is_some_and(|known| !known.differs(&incoming)) {
            return None;
        }
        let mut spend = known.cloned().unwrap_or_default();
        spend.book(&incoming, day, now);
        Some(spend)
    }

    /// Memory the day takes, roughly; its names are counted as if it held them in common with other days.
    pub fn bytes(&self) -> usize {
        self.cells.bytes() + size_of_val(&*self.users) + self.curve.bytes()
    }

    /// Whether the names of users are held in common with another day.
    pub fn shares_names(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.users, &other.users)
    }

    /// The same day, with those names of users held in common with another day's that both have.
    #[must_use]
    pub fn with_names_of(self, other: &Self) -> Self {
        let users = if self.users == other.users {
            Arc::clone(&other.users)
        } else {
            let known = |name: &Arc<str>| other.users.binary_search(name).map(|at| &other.users[at]);
            self.users.iter().map(|name| Arc::clone(known(name).unwrap_or(name))).collect()
        };
        Self { users, ..self }
    }

    /// Every row.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.cells.iter().map(|c| self.row(c))
    }

    /// One user's rows.
    pub(super) fn rows_of(&self, user: &str) -> impl Iterator<Item = Row<'_>> {
        let number = self.user(user);
        number.into_iter().flat_map(|number| self.cells.of_user(number)).map(|c| self.row(c))
    }

    fn row(&self, c: Packed) -> Row<'_> {
        Row { user: &self.users[c.user as usize], kind: &self.kinds[c.kind() as usize], cell: c.cell() }
    }

    /// The rows as they would come in.
    pub fn as_rows(&self, day: Date) -> Vec<SpendRow> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let row = |row: Row<'_>| SpendRow {
            day,
            user: text(row.user),
            model: text(&row.kind.model),
            dims: row.kind.dims.clone(),
            amount: row.cell.amount,
            tokens: row.cell.tokens,
            basis: row.cell.basis,
            whole_user: false,
        };
        self.rows().map(row).collect()
    }

    /// Every (user, model, cell).
    pub fn cells(&self) -> impl Iterator<Item = (&str, &str, Cell)> {
        self.rows().map(|row| (row.user, row.kind.model.as_ref(), row.cell))
    }

    /// Number of rows, as a measure of size.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Whether some row is not an estimate: then estimates do not count.
    pub fn has_billed(&self) -> bool {
        self.cells.has_billed()
    }

    /// The day was watched while it grew.
    pub fn has_curve(&self) -> bool {
        !self.curve.is_empty()
    }

    /// What a user had spent by the end of a half-hour, as far as it was watched.
    pub fn so_far(&self, user: &str, slot: u32) -> Micros {
        self.user(user).map_or(Micros::ZERO, |user| self.curve.so_far(user, slot))
    }

    /// What a user spent on this day. Estimates beside billed amounts do not count.
    pub fn spent_by(&self, user: &str) -> Micros {
        let Some(user) = self.user(user) else { return Micros::ZERO };
        let rows = || self.cells.of_user(user);
        let billed = rows().any(|c| c.basis() != Basis::Estimate);
        rows().filter(|c| !billed || c.basis() != Basis::Estimate).map(|c| c.amount).sum()
    }

    fn user(&self, name: &str) -> Option<u32> {
        let at = self.users.binary_search_by(|known| known.as_ref().cmp(name)).ok()?;
        u32::try_from(at).ok()
    }

    fn kind(&self, kind: KindRef<'_>) -> Option<u32> {
        let at = self.kinds.binary_search_by(|known| (known.model.as_ref(), &known.dims).cmp(&kind)).ok()?;
        u32::try_from(at).ok()
    }

    fn differs(&self, incoming: &Incoming<'_>) -> bool {
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for ((user, kind), cell) in &incoming.rows {
            *shown.entry(user).or_default() += 1;
            let (Some(user), Some(kind)) = (self.user(user), self.kind(*kind)) else { return true };
            if self.cells.get(user, kind).is_none_or(|known| known.cell() != *cell) {
                return true;
            }
        }
        incoming.whole.iter().any(|name| {
            let known = self.user(name).map_or(0, |user| self.cells.of_user(user).count());
            known != shown.get(name).copied().unwrap_or(0)
        })
    }

    /// Makes the incoming rows part of the day. One pass over what is there.
    fn merge(&mut self, incoming: &Incoming<'_>) {
        let mut known: Vec<Packed> = self.cells.iter().collect();
        self.learn_names(incoming, &mut known);
        let mut fresh: Vec<Packed> = incoming
            .rows
            .iter()
            .filter_map(|((user, kind), cell)| Some(Packed::new(self.user(user)?, self.kind(*kind)?, *cell)))
            .collect();
        fresh.sort_unstable_by_key(|c| c.key());
        let whole: BTreeSet<u32> = incoming.whole.iter().filter_map(|user| self.user(user)).collect();
        let mut cells = Vec::with_capacity(known.len() + fresh.len());
        let mut fresh = fresh.into_iter().peekable();
        for old in known {
            while let Some(new) = fresh.next_if(|new| new.key() < old.key()) {
                cells.push(new);
            }
            match fresh.next_if(|new| new.key() == old.key()) {
                Some(new) => cells.push(new),
                None if whole.contains(&old.user) => {}
                None => cells.push(old),
            }
        }
        cells.extend(fresh);
        self.forget_unused_kinds(&mut cells);
        self.cells = Cells::of(&cells);
    }

    fn learn_names(&mut self, incoming: &Incoming<'_>, cells: &mut [Packed]) {
        let new_users: BTreeSet<&str> = incoming.users().into_iter().filter(|u| self.user(u).is_none()).collect();
        if !new_users.is_empty() {
            let (users, map) = merged(&self.users, new_users.into_iter().map(Arc::from));
            for cell in cells.iter_mut() {
                cell.user = map[cell.user as usize];
            }
            let map: Vec<Option<u32>> = map.into_iter().map(Some).collect();
            self.curve.renumber(&map);
            self.users = users.into();
        }
        let new_kinds: BTreeSet<KindRef<'_>> =
            incoming.rows.keys().map(|(_, kind)| *kind).filter(|k| self.kind(*k).is_none()).collect();
        if !new_kinds.is_empty() {
            let fresh = new_kinds.into_iter().map(|(model, dims)| Kind { model: model.into(), dims: dims.clone() });
            let (kinds, map) = merged(&self.kinds, fresh);
            for cell in cells {
                cell.kind_basis = (map[cell.kind() as usize] << 2) | (cell.kind_basis & 3);
            }
            self.kinds = kinds;
        }
    }

    /// A split that moved to another model leaves names behind that no row has. (Users never lose their last row.)
    fn forget_unused_kinds(&mut self, cells: &mut [Packed]) {
        let mut used = vec![false; self.kinds.len()];
        for cell in cells.iter() {
            used[cell.kind() as usize] = true;
        }
        if used.iter().all(|used| *used) {
            return;
        }
        let mut map = Vec::with_capacity(used.len());
        let mut next = 0;
        for used in &used {
            map.push(next);
            next += u32::from(*used);
        }
        let mut keep = used.into_iter();
        self.kinds.retain(|_| keep.next().unwrap_or(false));
        for cell in cells {
            cell.kind_basis = (map[cell.kind() as usize] << 2) | (cell.kind_basis & 3);
        }
    }
}

/// A sorted list with further, sorted items, and the new number of each old one.
fn merged<T: Ord + Clone>(old: &[T], fresh: impl Iterator<Item = T>) -> (Vec<T>, Vec<u32>) {
    let mut fresh = fresh.peekable();
    let mut all = Vec::with_capacity(old.len());
    let mut map = Vec::with_capacity(old.len());
    for item in old {
        while let Some(new) = fresh.next_if(|new| new < item) {
            all.push(new);
        }
        map.push(u32::try_from(all.len()).unwrap_or(u32::MAX));
        all.push(item.clone());
    }
    all.extend(fresh);
    (all, map)
}
