//! Prices of the user's own: `[prices."glob"]` in the config, and a factor on list prices.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Picos, PriceBook, Rates, Tokens};
use crate::domain::event::glob_matches;
use crate::domain::money::Micros;
use crate::domain::setting::Decimal;
use crate::domain::time::{Timestamp, utc_day};

/// Decimal places of a factor.
const PLACES: u32 = 6;
const ONE: i128 = 1_000_000;
/// The largest factor: more is a slip of the pen.
const MOST: i128 = 1_000 * ONE;

/// What a million tokens cost, in dollars, from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnPrice {
    /// Uncached input.
    pub input: Decimal,
    pub output: Decimal,
    /// Read from a cache; left out: as input.
    #[serde(default)]
    pub cache_read: Option<Decimal>,
    /// Written to a cache; left out: as input.
    #[serde(default)]
    pub cache_write: Option<Decimal>,
    /// The first day (UTC) of this price; left out: it was always so.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub from: Option<Date>,
}

/// The prices of one glob: one, or a list of several that hold from different days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated(pub Vec<OwnPrice>);

/// Prices by glob on the model's name.
pub type OwnPrices = BTreeMap<String, Dated>;

impl<'de> Deserialize<'de> for Dated {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Dated;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("prices like { input = 3, output = 15 }, or a list of them with `from`")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Dated, A::Error> {
                Ok(Dated(vec![OwnPrice::deserialize(MapAccessDeserializer::new(map))?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dated, A::Error> {
                let mut prices = Vec::new();
                while let Some(price) = seq.next_element()? {
                    prices.push(price);
                }
                Ok(Dated(prices))
            }
        }
        d.deserialize_any(Either)
    }
}

impl JsonSchema for Dated {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Dated".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<OwnPrice>();
        json_schema!({ "oneOf": [one, { "type": "array", "items": one }] })
    }
}

/// The user's own prices before those of another book.
pub struct WithOwn {
    /// Glob, first day, rates; the more exact glob first, then the later day.
    own: Vec<(String, Option<Date>, Rates)>,
    rest: Arc<dyn PriceBook>,
}

/// Puts the user's prices before a book's.
///
/// # Errors
/// Every mistake: key path below `prices`, and what to do.
pub fn with_own(prices: &OwnPrices, rest: Arc<dyn PriceBook>) -> Result<Arc<dyn PriceBook>, Vec<(String, String)>> {
    let mut own = Vec::new();
    let mut faults = Vec::new();
    for (glob, several) in prices {
        for (index, price) in several.0.iter().enumerate() {
            let path = if several.0.len() > 1 { format!("{glob}[{index}]") } else { glob.clone() };
            match rates(price) {
                Ok(rates) => own.push((glob.clone(), price.from, rates)),
                Err(found) => faults.extend(found.into_iter().map(|(key, what)| (format!("{path}.{key}"), what))),
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if own.is_empty() {
        return Ok(rest);
    }
    let exact = |glob: &str| glob.chars().filter(|c| *c != '*').count();
    own.sort_by(|a, b| exact(&b.0).cmp(&exact(&a.0)).then_with(|| b.1.cmp(&a.1)).then_with(|| a.0.cmp(&b.0)));
    Ok(Arc::new(WithOwn { own, rest }))
}

fn rates(price: &OwnPrice) -> Result<Rates, Vec<(String, String)>> {
    let mut faults = Vec::new();
    // A micro-dollar a million tokens is a pico-dollar a token.
    let mut rate = |key: &str, value: &Decimal| match value.usd() {
        Ok(micros) if !micros.is_negative() => i128::from(micros.0),
        Ok(_) => {
            faults.push((key.to_owned(), "must not be below 0".to_owned()));
            0
        }
        Err(error) => {
            faults.push((key.to_owned(), error.to_string()));
            0
        }
    };
    let (input, output) = (rate("input", &price.input), rate("output", &price.output));
    let cache_read = price.cache_read.as_ref().map_or(input, |price| rate("cache_read", price));
    let cache_write = price.cache_write.as_ref().map_or(input, |price| rate("cache_write", price));
    let rates = Rates { input, cache_read, cache_write, output };
    if faults.is_empty() { Ok(rates) } else { Err(faults) }
}

impl WithOwn {
    fn own(&self, model: &str, at: Timestamp) -> Option<Rates> {
        let day = utc_day(at);
        let fits = |(glob, from, _): &&(String, Option<Date>, Rates)| {
            glob_matches(glob, model) && from.is_none_or(|from| from <= day)
        };
        self.own.iter().find(fits).map(|(_, _, rates)| *rates)
    }
}

impl PriceBook for WithOwn {
    fn call(&self, model: &str, tokens: &Tokens, at: Timestamp) -> Option<Picos> {
        match self.own(model, at) {
            Some(rates) => Some(rates.cost(tokens)),
            None => self.rest.call(model, tokens, at),
        }
    }

    fn rates(&self, model: &str, at: Timestamp) -> Option<Rates> {
        self.own(model, at).or_else(|| self.rest.rates(model, at))
    }
}

/// A book whose every price is multiplied.
struct Multiplied {
    millionths: i128,
    book: Arc<dyn PriceBook>,
}

impl PriceBook for Multiplied {
    fn call(&self, model: &str, tokens: &Tokens, at: Timestamp) -> Option<Picos> {
        let picos = self.book.call(model, tokens, at)?;
        Some(Picos(picos.0.saturating_mul(self.millionths) / ONE))
    }

    fn rates(&self, model: &str, at: Timestamp) -> Option<Rates> {
        let Rates { input, cache_read, cache_write, output } = self.book.rates(model, at)?;
        let times = |rate: i128| rate.saturating_mul(self.millionths) / ONE;
        Some(Rates {
            input: times(input),
            cache_read: times(cache_read),
            cache_write: times(cache_write),
            output: times(output),
        })
    }
}

/// Reads a factor, in millionths.
///
/// # Errors
/// What is wrong with it.
pub fn multiplier(factor: &Decimal) -> Result<i128, String> {
    match Micros::parse_usd_exact(&factor.0).map(|micros| i128::from(micros.0)) {
        Ok(millionths) if (1..=MOST).contains(&millionths) => Ok(millionths),
        _ => Err(format!("must be a number above 0, at most 1000, with at most {PLACES} decimal places")),
    }
}

/// The same prices, each times a factor.
pub fn multiplied(book: &Arc<dyn PriceBook>, millionths: i128) -> Arc<dyn PriceBook> {
    if millionths == ONE {
        return Arc::clone(book);
    }
    Arc::new(Multiplied { millionths, book: Arc::clone(book) })
}

#[cfg(test)]
mod tests {
    use super::super::BundledPrices;
    use super::*;

    fn book(toml: &str) -> Result<Arc<dyn PriceBook>, Vec<(String, String)>> {
        with_own(&toml::from_str(toml).unwrap(), Arc::new(BundledPrices))
    }

    const TOML: &str = r#"
["our-*"]
input = 2
output = "10.5"
["our-big"]
input = 4
output = 20
cache_read = 0.4
["claude-opus-4-5"]
input = 1
output = 1
from = "2026-06-01"
"#;

    #[test]
    fn the_most_exact_glob_counts_from_its_day_on_and_the_tables_otherwise() {
        let book = book(TOML).unwrap();
        let rates = |model: &str, day: &str| book.rates(model, format!("{day}T12:00:00Z").parse().unwrap());
        let small = rates("our-small", "2026-11-22").unwrap();
        assert_eq!((small.input, small.output, small.cache_read), (2_000_000, 10_500_000, 2_000_000));
        assert_eq!(rates("our-big", "2026-11-22").unwrap().cache_read, 400_000);
        assert_eq!(rates("claude-opus-4-5", "2026-06-01").unwrap().input, 1_000_000);
        assert_eq!(rates("claude-opus-4-5", "2026-05-31").unwrap().input, 5_000_000, "the tables' price");
        assert_eq!(rates("somebody-elses", "2026-11-22"), None);
        let tokens = Tokens { input: 1_000_000, output: 1_000_000, ..Tokens::default() };
        let at = "2026-11-22T12:00:00Z".parse().unwrap();
        assert_eq!(book.call("our-small", &tokens, at).unwrap().micros(), Micros(12_500_000));
        let half_more = multiplied(&book, multiplier(&Decimal("1.5".into())).unwrap());
        assert_eq!(half_more.call("our-small", &tokens, at).unwrap().micros(), Micros(18_750_000));
    }

    #[test]
    fn mistakes_have_their_place() {
        let faults = book("[a]\ninput = -1\noutput = \"x\"\n").err().unwrap();
        let keys: Vec<&str> = faults.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a.input", "a.output"]);
        for bad in ["0", "-1", "x", "1001"] {
            assert!(multiplier(&Decimal(bad.into())).is_err(), "{bad}");
        }
    }
}
