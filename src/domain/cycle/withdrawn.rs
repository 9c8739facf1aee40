//! Money that a source no longer shows: what somebody spent on a day is no longer among the rows of that day.
//!
//! Invariant: it goes by the evidence that a record goes by: two successive complete looks that were to show all of that day
//! and do not, and no loss that is too large to believe. What goes is a correction, never new spend.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;

use crate::domain::collection::{CollectionSpec, LookNotes};
use crate::domain::money::Micros;
use crate::domain::record::key_hash;
use crate::domain::spend::{DaySpend, Ledger, SpendRow};
use crate::domain::sweep::believable;
use crate::domain::time::{Timestamp, plus_days, utc_day};

/// What a loss of money that can't be believed is called in `source.degraded`.
pub const MISSING: &str = "missing money";

/// What a complete look says of money it did not show.
#[derive(Debug, Default)]
pub struct Withdrawn {
    /// Days without what is gone.
    pub days: BTreeMap<Date, Arc<DaySpend>>,
    /// Who was missed by this look, and on which day: hashes, sorted.
    pub missed: Vec<u64>,
    /// Why nothing is believed to be gone though more is missing than can be.
    pub doubt: Option<String>,
}

/// One person's money of one day, as a look notes it and a later one misses it.
pub fn mark(day: Date, user: &str) -> u64 {
    key_hash(&format!("{day} {user}"))
}

/// What of a source's known money the look did not show, of the days of which it was to show all. `before`: what the complete
/// look before it missed.
pub fn withdrawn(
    known: &Ledger,
    spec: &CollectionSpec,
    notes: &LookNotes,
    before: &[u64],
    now: Timestamp,
) -> Withdrawn {
    let Some(from) = notes.whole_from else { return Withdrawn::default() };
    let shown: BTreeSet<u64> = notes.spenders.iter().copied().collect();
    let (mut spenders, mut missing) = (0, BTreeMap::new());
    for (day, spend) in known.range(&spec.source, from, plus_days(utc_day(now), 1)) {
        let users: BTreeSet<&str> =
            spend.rows().filter(|row| row.cell.amount != Micros::ZERO).map(|r| r.user).collect();
        spenders += users.len() as u64;
        missing.extend(users.into_iter().map(|user| (mark(day, user), (day, user))));
    }
    missing.retain(|mark, _| !shown.contains(mark));
    let lost = missing.len() as u64;
    if lost > believable(spenders) || (shown.is_empty() && lost > 0) {
        let doubt = format!(
            "{lost} of {spenders} money rows (one a day and person) are no longer shown, which is more than can be believed, so \
             they still count. Where they are gone for good, `ampbridge state reset {}` reads the money anew.",
            spec.id()
        );
        return Withdrawn { doubt: Some(doubt), ..Withdrawn::default() };
    }
    let mut gone: BTreeMap<Date, Vec<&str>> = BTreeMap::new();
    for (_, (day, user)) in missing.iter().filter(|(mark, _)| before.binary_search(mark).is_ok()) {
        gone.entry(*day).or_default().push(user);
    }
    let without = |(day, users): (Date, Vec<&str>)| {
        let spend = known.days.get(&(spec.source.clone(), day))?;
        let rows: Vec<SpendRow> = users.iter().filter_map(|user| nothing(spend, day, user)).collect();
        Some((day, Arc::new(DaySpend::upserted(Some(spend), &rows, now)?)))
    };
    Withdrawn {
        days: gone.into_iter().filter_map(without).collect(),
        missed: missing.into_keys().collect(),
        doubt: None,
    }
}

/// All that somebody spent on a day, come to nothing.
fn nothing(spend: &DaySpend, day: Date, user: &str) -> Option<SpendRow> {
    let row = spend.rows().find(|row| row.user == user)?;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(SpendRow {
        day,
        user: text(user),
        model: text(&row.kind.model),
        dims: row.kind.dims.clone(),
        amount: Micros::ZERO,
        tokens: 0,
        basis: row.cell.basis,
        whole_user: true,
    })
}
