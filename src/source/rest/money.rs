//! Money rows of one look, summed by day, person, model and whatever else tells them apart.
//!
//! Invariant: a sum is shown only when everything that belongs to it has been read; money is integer micro-dollars (of
//! priced tokens: pico-dollars until they are summed).

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::place::RowView;
use super::plan::Money;
use crate::domain::money::Micros;
use crate::domain::record::{Page, Person, Rows};
use crate::domain::spend::{Basis, SpendRow, Uncounted};
use crate::domain::time::{plus, start_of_utc_day};
use crate::source::prices::{Picos, PriceBook, Rates, Tokens};

/// Different sums of one look, at most: 10,000 people with five models on ten days.
const MOST_SUMS: usize = 500_000;
/// Rows of a page; those of one person and day stand in the same.
const PAGE_ROWS: usize = 500;
/// Sums remembered that never fall; of more, those of the oldest days go.
const REMEMBERED: usize = 20_000;
/// Longest name of a person, a model or a dimension's value, bytes.
const NAME_BYTES: usize = 256;
/// More tokens than any row can have: such a number is a mistake.
const MOST_TOKENS: u64 = 1_000_000_000_000_000;

/// What amounts are called where they can't be read, and were.
pub const AMOUNT: &str = "amount";

/// What tells sums apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    #[serde(rename = "d")]
    pub day: Date,
    #[serde(rename = "u", default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(rename = "m", default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    #[serde(rename = "x", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dims: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    picos: Picos,
    tokens: u64,
}

/// Sums in the making.
#[derive(Debug, Default)]
pub struct Sums {
    cells: BTreeMap<Cell, Sum>,
    people: BTreeMap<String, Person>,
    /// Tokens by model without a known price.
    unpriced: BTreeMap<String, u64>,
    /// Models that have one.
    priced: BTreeSet<String>,
    quarantined: Vec<String>,
    /// Rows that were left out without anything missing from a sum for it.
    left_out: Vec<String>,
    /// The first and the last day that are asked for, where days are. Of other days there may be a part only.
    pub asked: Option<(Date, Option<Date>)>,
    uncounted: Uncounted,
    /// Rows that were read, and those of them that have an amount.
    rows: u64,
    amounts: u64,
    /// Some row has an amount that is not among the sums.
    partial: bool,
    rates: BTreeMap<(String, Date), Option<Rates>>,
}

/// Sums that were shown before, for amounts that never fall.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered(Vec<(Cell, i64)>);

impl Sums {
    /// Books a row, or says in `quarantined` what is wrong with it. `at` says which row it is.
    pub fn take(&mut self, money: &Money, view: RowView<'_>, book: &dyn PriceBook, at: &str) {
        if money.date.day(view).is_some_and(|day| !self.is_asked_for(day)) {
            self.leave_out(format!("{at} is of a day that was not asked for"));
            return;
        }
        self.rows += 1;
        if let Err(what) = self.book(money, view, book) {
            self.quarantine(format!("{at} {what}"), money.date.day(view));
        }
    }

    fn book(&mut self, money: &Money, view: RowView<'_>, book: &dyn PriceBook) -> Result<(), &'static str> {
        // Where a row need not have an amount, one without is no money row, whatever else it lacks.
        if money.optional && money.scale.is_some() && money.amount.get(view).is_none() {
            // It may have had one.
            self.partial = true;
            return Ok(());
        }
        let day = money.date.day(view).ok_or("has no usable day")?;
        let name = |text: String| crate::domain::delivery::cut(text.trim(), NAME_BYTES);
        let user = money.user.text(view).map(name).unwrap_or_default();
        let model = money.model.text(view).map(name).unwrap_or_default();
        let dims = money.dims.iter().filter_map(|(d, places)| Some((d.clone(), name(places.text(view)?)))).collect();
        let sum = match money.scale {
            Some(scale) => match money.amount.get(view) {
                None => return Err("has no amount"),
                Some(amount) => {
                    let picos = amount_of(&amount, scale)?;
                    self.amounts += 1;
                    Sum { picos, tokens: 0 }
                }
            },
            None => match self.price(money, view, book, &model, day)? {
                Some(sum) => sum,
                None => return Ok(()),
            },
        };
        if !user.is_empty() {
            self.learn(money, view, &user);
        }
        let cell = Cell { day, user, model, dims };
        if self.cells.len() >= MOST_SUMS && !self.cells.contains_key(&cell) {
            return Err("is one too many: a look takes half a million different sums");
        }
        let known = self.cells.entry(cell).or_default();
        known.picos = known.picos.plus(sum.picos);
        known.tokens = known.tokens.saturating_add(sum.tokens);
        Ok(())
    }

    /// What the tokens of a row cost; `None` where there are none, or their model has no price.
    fn price(
        &mut self,
        money: &Money,
        view: RowView<'_>,
        book: &dyn PriceBook,
        model: &str,
        day: Date,
    ) -> Result<Option<Sum>, &'static str> {
        let count = |places: &super::place::Places| match places.get(view) {
            None => Ok(0),
            Some(value) => value.as_u64().filter(|n| *n <= MOST_TOKENS).ok_or("has a token count that is none"),
        };
        let places = &money.tokens;
        let tokens = Tokens {
            input: count(&places.input)?,
            output: count(&places.output)?,
            cache_read: count(&places.cache_read)?,
            cache_write: count(&places.cache_write)?,
        };
        if tokens.total() == 0 {
            return Ok(None);
        }
        self.amounts += 1;
        let noon = plus(start_of_utc_day(day), SignedDuration::from_hours(12));
        let rates = *self.rates.entry((model.to_owned(), day)).or_insert_with(|| book.rates(model, noon));
        let Some(rates) = rates else {
            let unpriced = self.unpriced.entry(model.to_owned()).or_default();
            *unpriced = unpriced.saturating_add(tokens.total());
            self.partial = true;
            self.uncounted.unpriced.insert(day);
            return Ok(None);
        };
        self.priced.insert(model.to_owned());
        Ok(Some(Sum { picos: rates.cost(&tokens), tokens: tokens.total() }))
    }

    fn learn(&mut self, money: &Money, view: RowView<'_>, user: &str) {
        let email = money.email.text(view).or_else(|| user.contains('@').then(|| user.to_owned()));
        let name = money.name.text(view);
        if email.is_some() || name.is_some() {
            self.people.insert(user.to_owned(), Person { email, name });
        }
    }

    fn is_asked_for(&self, day: Date) -> bool {
        self.asked.is_none_or(|(first, last)| first <= day && last.is_none_or(|last| day <= last))
    }

    /// Notes what can't be used, and of which day it is, where that can be told.
    pub fn quarantine(&mut self, what: String, day: Option<Date>) {
        self.quarantined.push(what);
        self.uncounted.leave_out(day);
    }

    /// Leaves a row out that belongs to none of the sums.
    pub fn leave_out(&mut self, what: String) {
        self.left_out.push(what);
    }

    /// What is wrong where not one of the rows has an amount that can be read, though they used to have one: then it is
    /// the API that changed, and no money went away.
    pub fn drifted(&self, used_to: bool) -> Option<String> {
        let lost = self.rows > 0 && self.amounts == 0 && (used_to || !self.quarantined.is_empty());
        lost.then(|| {
            let first = self.quarantined.first().map(|what| format!(" ({what})")).unwrap_or_default();
            format!("none of {} rows has an amount that can be read{first}; what was known stays as it is.", self.rows)
        })
    }

    /// The page of a look whose amounts can't be read.
    pub fn unreadable(self, sentence: String) -> Page {
        let mut page = Page::of(Rows::Spend(Vec::new()));
        page.quarantined = [self.quarantined, self.left_out].concat();
        page.uncounted = self.uncounted;
        page.strange.insert(AMOUNT.to_owned(), sentence);
        page
    }

    /// The first day there is money of.
    pub fn first_day(&self) -> Option<Date> {
        self.cells.keys().next().map(|cell| cell.day)
    }

    /// Whether every row that was read counts.
    pub fn is_whole(&self) -> bool {
        !self.partial && self.quarantined.is_empty()
    }

    /// What was spent from a day on.
    pub fn total_from(&self, day: Date) -> Micros {
        self.cells
            .iter()
            .filter(|(cell, _)| cell.day >= day)
            .fold(Picos::default(), |sum, (_, s)| sum.plus(s.picos))
            .micros()
    }

    /// Whether there is anything from before or on a day, so that sums from it on are whole.
    pub fn reaches(&self, day: Date) -> bool {
        self.cells.keys().next().is_some_and(|cell| cell.day <= day)
    }

    /// Raises sums to what they were when they were last shown, from a day on, and remembers them.
    pub fn never_fall(&mut self, before: &Remembered, from: Date) -> Remembered {
        for (cell, micros) in before.0.iter().filter(|(cell, _)| cell.day >= from) {
            let known = self.cells.entry(cell.clone()).or_default();
            known.picos = known.picos.max(Picos(i128::from(*micros) * 1_000_000));
        }
        let kept = self.cells.iter().filter(|(cell, _)| cell.day >= from);
        let mut kept: Vec<(Cell, i64)> = kept.map(|(cell, sum)| (cell.clone(), sum.picos.micros().0)).collect();
        kept.drain(..kept.len().saturating_sub(REMEMBERED));
        Remembered(kept)
    }

    /// The rows, in pages, with what was strange. `whole`: everything of each person and day shown is here.
    pub fn pages(self, money: &Money, whole: bool, reviewed: Vec<(String, Result<(), String>)>) -> Vec<Page> {
        let basis = if money.estimate { Basis::Estimate } else { Basis::Billed };
        let named = |text: &String| (!text.is_empty()).then(|| text.clone());
        let mut pages = Vec::new();
        let mut rows: Vec<SpendRow> = Vec::new();
        for (cell, sum) in &self.cells {
            let next = rows.last().is_some_and(|last| last.day != cell.day || last.user != named(&cell.user));
            if next && rows.len() >= PAGE_ROWS {
                pages.push(Page::of(Rows::Spend(std::mem::take(&mut rows))));
            }
            rows.push(SpendRow {
                day: cell.day,
                user: named(&cell.user),
                model: named(&cell.model),
                dims: cell.dims.clone(),
                amount: sum.picos.micros(),
                tokens: sum.tokens,
                basis,
                whole_user: whole && !money.never_falls && self.quarantined.is_empty(),
            });
        }
        let mut last = Page::of(Rows::Spend(rows));
        last.people = self.people;
        last.quarantined = [self.quarantined, self.left_out].concat();
        last.uncounted = self.uncounted;
        last.understood = self.priced.into_iter().map(|model| price_name(&model)).collect();
        if self.amounts > 0 {
            last.understood.insert(AMOUNT.to_owned());
        }
        for (model, tokens) in self.unpriced {
            let sentence = format!(
                "{model:?} is in no price table: what its {tokens} tokens cost is unknown and counts nowhere. Give its \
                 prices under [prices.\"{model}\"]."
            );
            last.strange.insert(price_name(&model), sentence);
        }
        for (name, outcome) in reviewed {
            last.understood.insert(name.clone());
            if let Err(sentence) = outcome {
                last.strange.insert(name, sentence);
            }
        }
        pages.push(last);
        pages
    }
}

fn price_name(model: &str) -> String {
    format!("price of {}", if model.is_empty() { "no model" } else { model })
}

fn amount_of(value: &Value, scale: u32) -> Result<Picos, &'static str> {
    let amount = Micros::from_json(value, scale).map_err(|_| "has an amount that is none")?;
    if amount.is_negative() { Err("has a negative amount") } else { Ok(Picos(i128::from(amount.0) * 1_000_000)) }
}
