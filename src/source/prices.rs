//! Prices of tokens.
//!
//! Invariant: what has no known price is unknown, never zero; money is integer pico-dollars, never a float sum.

mod own;

use std::time::SystemTime;

use genai_prices::{Calculator, PriceRequest, Usage, UsageKey};

use crate::domain::money::Micros;
use crate::domain::time::Timestamp;

pub use own::{OwnPrice, OwnPrices, multiplied, multiplier, with_own};

/// Tokens of the small calls from which [`PriceBook::rates`] reads a price: below every long-context tier.
const SAMPLE: u64 = 1_000;

/// Millionths of a micro-dollar (10^-12 US dollars).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Picos(pub i128);

impl Picos {
    /// The sum; saturates.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The nearest micro-dollar, half up; saturates.
    pub fn micros(self) -> Micros {
        let rounded = self.0.saturating_add(500_000).div_euclid(1_000_000);
        Micros(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// Tokens of a model, each counted in exactly one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Input that no cache had anything to do with.
    pub input: u64,
    pub cache_read: u64,
    /// Input written to a cache. Amp reports the whole uncached prompt here for makers other than Anthropic.
    pub cache_write: u64,
    pub output: u64,
}

impl Tokens {
    /// Everything that went in.
    pub fn prompt(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    pub fn total(&self) -> u64 {
        self.prompt().saturating_add(self.output)
    }
}

/// Pico-dollars per token, at the rates of a short call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    pub input: i128,
    pub cache_read: i128,
    pub cache_write: i128,
    pub output: i128,
}

impl Rates {
    /// What `tokens` come to; saturates.
    pub fn cost(&self, tokens: &Tokens) -> Picos {
        let part = |rate: i128, count: u64| rate.saturating_mul(i128::from(count));
        let parts = [
            part(self.input, tokens.input),
            part(self.cache_read, tokens.cache_read),
            part(self.cache_write, tokens.cache_write),
            part(self.output, tokens.output),
        ];
        Picos(parts.into_iter().fold(0, i128::saturating_add))
    }
}

/// Where prices come from.
pub trait PriceBook: Send + Sync {
    /// What one call cost at the prices of `at`; `None` where the model, or anything it used, has no known price.
    fn call(&self, model: &str, tokens: &Tokens, at: Timestamp) -> Option<Picos>;

    /// Prices per token, for sums over many calls: long-context tiers hold for single calls, so a sum must never be
    /// priced as if it were one.
    fn rates(&self, model: &str, at: Timestamp) -> Option<Rates> {
        let rate = |tokens: Tokens| Some(self.call(model, &tokens, at)?.0 / i128::from(SAMPLE));
        Some(Rates {
            input: rate(Tokens { input: SAMPLE, ..Tokens::default() })?,
            cache_read: rate(Tokens { cache_read: SAMPLE, ..Tokens::default() })?,
            cache_write: rate(Tokens { cache_write: SAMPLE, ..Tokens::default() })?,
            output: rate(Tokens { output: SAMPLE, ..Tokens::default() })?,
        })
    }
}

/// The dated prices that come with the crate `genai-prices` (<https://github.com/pydantic/genai-prices>). Nothing is
/// downloaded. The first use decodes the tables, which takes tens of milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct BundledPrices;

impl PriceBook for BundledPrices {
    fn call(&self, model: &str, tokens: &Tokens, at: Timestamp) -> Option<Picos> {
        let (maker, name) = maker_of(model);
        // Other makers have no separate charge in what Amp bills: their uncached prompt is reported as a cache write.
        let cache_write = if maker == Some("anthropic") { tokens.cache_write } else { 0 };
        // The crate wants cache tokens inside the input tokens as well.
        let mut usage = Usage::from([
            (UsageKey::INPUT_TOKENS, float(tokens.prompt())),
            (UsageKey::CACHE_READ_TOKENS, float(tokens.cache_read)),
            (UsageKey::OUTPUT_TOKENS, float(tokens.output)),
        ]);
        if cache_write > 0 {
            usage.insert(UsageKey::CACHE_WRITE_TOKENS, float(cache_write));
        }
        let mut request = PriceRequest::new(name, &usage).with_timestamp(SystemTime::from(at));
        if let Some(maker) = maker {
            request = request.with_provider_id(maker);
        }
        let price = Calculator::bundled().calculate(&request).ok()?;
        // A warning says that part of it was priced at nothing; so does a total of nothing for tokens that were used.
        let cost = if price.warnings.is_empty() { picos(price.total_price)? } else { return None };
        (cost > Picos::default() || tokens.total() == 0).then_some(cost)
    }
}

/// Who makes a model, as the price tables call them, and its name there. Amp names models bare (`claude-…`, `gpt-…`);
/// a maker in front (`anthropic/claude-…`) counts too.
fn maker_of(model: &str) -> (Option<&'static str>, &str) {
    const MAKERS: [(&str, &str); 12] = [
        ("claude", "anthropic"),
        ("gpt", "openai"),
        ("chatgpt", "openai"),
        ("codex", "openai"),
        ("o1", "openai"),
        ("o3", "openai"),
        ("o4", "openai"),
        ("gemini", "google"),
        ("grok", "x-ai"),
        ("kimi", "moonshotai"),
        ("deepseek", "deepseek"),
        ("glm", "zai"),
    ];
    let name = model.rsplit('/').next().unwrap_or(model);
    let lower = name.to_ascii_lowercase();
    let maker = MAKERS.iter().find(|(prefix, _)| lower.starts_with(prefix)).map(|(_, maker)| *maker);
    (maker, name)
}

#[expect(clippy::cast_precision_loss, reason = "the crate counts in floats; 2^53 tokens are beyond any bill")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be finite; float-to-int casts saturate")]
fn picos(dollars: f64) -> Option<Picos> {
    dollars.is_finite().then(|| Picos((dollars * 1e12).round() as i128))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn cache_tokens_are_priced_as_what_they_are() {
        let rates = BundledPrices.rates("claude-opus-4-5", at("2026-10-01T00:00:00Z")).unwrap();
        let expected = Rates { input: 5_000_000, cache_read: 500_000, cache_write: 6_250_000, output: 25_000_000 };
        assert_eq!(rates, expected);
        let tokens = Tokens { input: 1_000, cache_read: 10_000, cache_write: 2_000, output: 100 };
        let whole = BundledPrices.call("claude-opus-4-5", &tokens, at("2026-10-01T00:00:00Z")).unwrap();
        assert_eq!(whole, rates.cost(&tokens));
        assert_eq!(whole.micros(), Micros(5_000 + 5_000 + 12_500 + 2_500));
    }

    #[test]
    fn prices_are_those_of_the_day() {
        let input = |day| BundledPrices.rates("o3", at(day)).unwrap().input;
        assert_eq!((input("2025-06-01T12:00:00Z"), input("2025-06-15T12:00:00Z")), (10_000_000, 2_000_000));
    }

    #[test]
    fn a_sum_is_not_priced_as_one_long_call() {
        let tokens = Tokens { input: 10_000_000, ..Tokens::default() };
        let day = at("2026-01-10T12:00:00Z");
        let (one_call, sum) = (
            BundledPrices.call("claude-sonnet-4-5", &tokens, day).unwrap(),
            BundledPrices.rates("claude-sonnet-4-5", day).unwrap().cost(&tokens),
        );
        assert_eq!(sum.micros(), Micros(30_000_000));
        assert!(one_call > sum, "the table has a tier that this must avoid");
    }

    #[test]
    fn other_makers_cache_writes_cost_what_input_costs() {
        let rates = BundledPrices.rates("gpt-5.6-sol", at("2026-10-20T12:00:00Z")).unwrap();
        assert_eq!(rates.cache_write, rates.input);
        assert!(rates.input > rates.cache_read);
    }

    #[test]
    fn unknown_is_not_free() {
        for model in ["", "our-own-model", "claude-of-the-future-99", "gpt"] {
            assert_eq!(BundledPrices.rates(model, at("2026-10-20T12:00:00Z")), None, "{model}");
        }
        let prefixed = BundledPrices.rates("anthropic/claude-opus-4-5", at("2026-10-01T00:00:00Z"));
        assert!(prefixed.is_some());
    }

    #[test]
    fn picos_round_to_the_nearest_micro() {
        for (picos, micros) in [(0, 0), (499_999, 0), (500_000, 1), (1_499_999, 1), (i128::MAX, i64::MAX)] {
            assert_eq!(Picos(picos).micros(), Micros(micros), "{picos}");
        }
    }
}
