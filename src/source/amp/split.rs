//! One user's dollars of one day, by model.
//!
//! Invariant: the parts sum to the user's total exactly. What no model accounts for is booked on no model.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::domain::money::{Micros, split_exact};
use crate::domain::spend::Basis;
use crate::domain::time::{plus, start_of_utc_day};
use crate::source::prices::{PriceBook, Rates, Tokens};

use crate::source::body::count;

/// More tokens than any model will see in a day; larger figures are cut to it, so that weights stay far from overflow.
const MOST_TOKENS: u64 = 1_000_000_000_000_000;
/// Weights are scaled down below this: a total in micro-dollars (under 2^63) times it stays inside 127 bits.
const LARGEST_WEIGHT: i128 = 1_000_000_000_000_000_000;

/// A part of the total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// `None` is what no model accounts for.
    pub model: Option<String>,
    pub amount: Micros,
    pub tokens: u64,
    pub basis: Basis,
}

/// Prices by model and day, each looked up once a look.
pub(super) struct Prices<'a> {
    book: &'a dyn PriceBook,
    known: BTreeMap<(String, Date), Option<Rates>>,
}

impl<'a> Prices<'a> {
    pub fn new(book: &'a dyn PriceBook) -> Self {
        Self { book, known: BTreeMap::new() }
    }

    fn rates(&mut self, model: &str, day: Date) -> Option<Rates> {
        let book = self.book;
        let noon = plus(start_of_utc_day(day), SignedDuration::from_hours(12));
        *self.known.entry((model.to_owned(), day)).or_insert_with(|| book.rates(model, noon))
    }
}

/// Splits `total` (not negative): by what the source says each model cost, where it says so; else by priced tokens;
/// else, of several models, not at all. `models` is the answer's map from model to its metrics.
pub(super) fn split(total: Micros, models: &Map<String, Value>, day: Date, prices: &mut Prices<'_>) -> Vec<Part> {
    // A row of the ledger without a model has the name "": a model that is called so is no model.
    let rows: Vec<Row<'_>> = models.iter().filter(|(name, _)| !name.is_empty()).filter_map(Row::of).collect();
    let all_tokens = models.values().filter_map(Value::as_object).map(total_tokens).fold(0, u64::saturating_add);
    let whole = Part { model: None, amount: total, tokens: all_tokens, basis: Basis::Billed };
    if total == Micros::ZERO {
        return vec![whole];
    }
    if let Some(parts) = billed(total, &rows) {
        return parts;
    }
    let weights = weights(&rows, day, prices);
    let weights = only_used(&rows).filter(|_| weights.iter().all(|weight| *weight == 0)).unwrap_or(weights);
    if weights.iter().all(|weight| *weight == 0) {
        return vec![whole];
    }
    let amounts = split_exact(total, &weights);
    rows.iter().zip(amounts).map(|(row, amount)| row.part(amount, Basis::Split)).collect()
}

/// The metrics of one model.
struct Row<'a> {
    name: &'a str,
    metrics: &'a Map<String, Value>,
}

impl<'a> Row<'a> {
    fn of((name, metrics): (&'a String, &'a Value)) -> Option<Self> {
        metrics.as_object().map(|metrics| Self { name, metrics })
    }

    fn part(&self, amount: Micros, basis: Basis) -> Part {
        Part { model: Some(self.name.to_owned()), amount, tokens: total_tokens(self.metrics), basis }
    }

    /// What the model cost, where the answer says so in a usable way.
    fn amount(&self) -> Option<Micros> {
        Micros::from_json(self.metrics.get("usage")?, 0).ok().filter(|amount| !amount.is_negative())
    }

    fn tokens(&self) -> Tokens {
        let bounded = |name| count(self.metrics, name).min(MOST_TOKENS);
        Tokens {
            input: bounded("inputTokens"),
            cache_read: bounded("cacheReadInputTokens"),
            cache_write: bounded("cacheCreationInputTokens"),
            output: bounded("outputTokens"),
        }
    }
}

/// The amounts the source names, where it names all of them and they fit the total: each may be off by the rounding
/// to a micro-dollar. What they leave over was not spent on a model; what they are over is taken from the largest.
fn billed(total: Micros, rows: &[Row<'_>]) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> =
        rows.iter().map(|row| Some(row.part(row.amount()?, Basis::Billed))).collect::<Option<_>>()?;
    let sum: Micros = parts.iter().map(|part| part.amount).sum();
    let rounding = Micros(i64::try_from(rows.len()).unwrap_or(i64::MAX));
    if sum == Micros::ZERO || sum > total + rounding {
        return None;
    }
    if sum < total {
        parts.push(Part { model: None, amount: total - sum, tokens: 0, basis: Basis::Billed });
    } else if let Some(largest) = parts.iter_mut().max_by_key(|part| part.amount) {
        largest.amount = largest.amount - (sum - total);
    }
    // The largest of many tiny parts may be smaller than what is over.
    parts.iter().all(|part| !part.amount.is_negative()).then_some(parts)
}

/// Priced tokens of each model; 0 for one without a price.
fn weights(rows: &[Row<'_>], day: Date, prices: &mut Prices<'_>) -> Vec<i128> {
    let mut weight = |row: &Row<'_>| prices.rates(row.name, day).map_or(0, |rates| rates.cost(&row.tokens()).0.max(0));
    let weights: Vec<i128> = rows.iter().map(&mut weight).collect();
    let largest = weights.iter().copied().max().unwrap_or(0);
    let divisor = largest / LARGEST_WEIGHT + 1;
    weights.into_iter().map(|weight| weight / divisor).collect()
}

/// Where one model alone was used, all is its, whatever its price.
fn only_used(rows: &[Row<'_>]) -> Option<Vec<i128>> {
    let used: Vec<i128> = rows.iter().map(|row| i128::from(total_tokens(row.metrics) > 0)).collect();
    (used.iter().sum::<i128>() == 1).then_some(used)
}

fn total_tokens(metrics: &Map<String, Value>) -> u64 {
    match metrics.get("totalTokens") {
        Some(Value::Number(_)) => count(metrics, "totalTokens"),
        _ => ["inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens"]
            .iter()
            .map(|name| count(metrics, name))
            .fold(0, u64::saturating_add),
    }
    .min(MOST_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::source::prices::Picos;
    use jiff::civil::date;
    use proptest::prelude::*;
    use serde_json::json;

    /// `cheap` costs 1, `dear` 10 pico-dollars a token, `max` as much as fits; nothing else has a price.
    struct Book;
    impl PriceBook for Book {
        fn call(&self, model: &str, tokens: &Tokens, _: Timestamp) -> Option<Picos> {
            let all = tokens.input + tokens.cache_read + tokens.cache_write + tokens.output;
            let rate = match model {
                "cheap" => 1,
                "dear" => 10,
                "max" => i128::from(u32::MAX),
                _ => return None,
            };
            Some(Picos(rate * i128::from(all)))
        }
    }

    fn run(total: i64, models: &Value) -> Vec<(String, i64, Basis)> {
        let mut prices = Prices::new(&Book);
        let parts = split(Micros(total), models.as_object().unwrap(), date(2026, 11, 22), &mut prices);
        assert_eq!(parts.iter().map(|p| p.amount.0).sum::<i64>(), total, "parts sum to the total");
        parts.into_iter().map(|p| (p.model.unwrap_or_default(), p.amount.0, p.basis)).collect()
    }

    fn owned(rows: &[(&str, i64, Basis)]) -> Vec<(String, i64, Basis)> {
        rows.iter().map(|(name, amount, basis)| ((*name).to_owned(), *amount, *basis)).collect()
    }

    #[test]
    fn named_amounts_are_taken_as_they_are() {
        let models = json!({"a": {"usage": 1.5}, "b": {"usage": "0.25"}, "c": {"usage": 0}});
        let named = [("a", 1_500_000, Basis::Billed), ("b", 250_000, Basis::Billed), ("c", 0, Basis::Billed)];
        assert_eq!(run(1_750_000, &models), owned(&named));
        let left = [named[0], named[1], named[2], ("", 50_000, Basis::Billed)];
        assert_eq!(run(1_800_000, &models), owned(&left), "what no model accounts for");
        let over = [("a", 1_499_998, Basis::Billed), named[1], named[2]];
        assert_eq!(run(1_749_998, &models), owned(&over), "rounding is taken from the largest");
    }

    #[test]
    fn amounts_that_cannot_be_are_not_taken() {
        for models in [
            json!({"cheap": {"usage": 2, "totalTokens": 5, "outputTokens": 10}, "dear": {"usage": 2, "inputTokens": 9}}),
            json!({"cheap": {"usage": 1, "outputTokens": 10}, "dear": {"inputTokens": 9}}),
            json!({"cheap": {"usage": -1, "outputTokens": 10}, "dear": {"usage": 2, "inputTokens": 9}}),
            json!({"cheap": {"usage": 0, "outputTokens": 10}, "dear": {"usage": 0, "inputTokens": 9}}),
        ] {
            let split = [("cheap", 100_000, Basis::Split), ("dear", 900_000, Basis::Split)];
            assert_eq!(run(1_000_000, &models), owned(&split), "{models}");
        }
    }

    #[test]
    fn models_without_a_price_get_nothing_and_none_priced_is_no_split() {
        let models = json!({"cheap": {"inputTokens": 1}, "odd": {"inputTokens": 999}, "": {"outputTokens": 5}, "x": 7});
        assert_eq!(run(10, &models), owned(&[("cheap", 10, Basis::Split), ("odd", 0, Basis::Split)]));
        assert_eq!(
            run(10, &json!({"odd": {"inputTokens": 9}})),
            owned(&[("odd", 10, Basis::Split)]),
            "there is no other"
        );
        let two = json!({"odd": {"inputTokens": 9}, "odder": {"inputTokens": 9}});
        assert_eq!(run(10, &two), owned(&[("", 10, Basis::Billed)]));
        assert_eq!(run(10, &json!({})), owned(&[("", 10, Basis::Billed)]));
        assert_eq!(run(0, &models), owned(&[("", 0, Basis::Billed)]));
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let models = json!({"max": {"inputTokens": 1e300, "outputTokens": u64::MAX}, "cheap": {"inputTokens": 1}});
        let parts = run(i64::MAX, &models);
        assert_eq!(parts[1].1, 0);
    }

    proptest! {
        #[test]
        fn every_split_is_exact(total in 0..1_000_000_000_i64, tokens in prop::collection::vec(0..1_000_000_000_u64, 1..9)) {
            let names = ["cheap", "dear", "max", "odd", "cheap2"];
            let models: Map<String, Value> = tokens
                .iter()
                .enumerate()
                .map(|(i, n)| (names.get(i).map_or(format!("m{i}"), |n| (*n).to_owned()), json!({ "inputTokens": n })))
                .collect();
            run(total, &Value::Object(models));
        }
    }
}
