//! Prices from the tables bundled with `genai-prices`: dated, with tiers, retired models kept.

use genai_prices::{Calculator, PriceRequest, Usage, UsageKey};

use super::usage::{Picos, PriceBook, Tokens};
use crate::domain::time::Timestamp;

/// The bundled tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bundled;

impl PriceBook for Bundled {
    fn call(&self, model: &str, tokens: &Tokens, at: Timestamp) -> Option<Picos> {
        let dollars = dollars(model, tokens, at).or_else(|| {
            // Some providers' models come with a path: `accounts/…/models/kimi-k2`.
            let (_, last) = model.rsplit_once('/')?;
            dollars(last, tokens, at)
        })?;
        picos(dollars)
    }
}

fn dollars(model: &str, tokens: &Tokens, at: Timestamp) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a call has far fewer than 2^53 tokens")]
    let usage = Usage::from([
        (UsageKey::INPUT_TOKENS, tokens.prompt() as f64),
        (UsageKey::CACHE_READ_TOKENS, tokens.cache_read as f64),
        (UsageKey::CACHE_WRITE_TOKENS, tokens.cache_write as f64),
        (UsageKey::OUTPUT_TOKENS, tokens.output as f64),
    ]);
    let request = PriceRequest::new(model, &usage).with_timestamp(at);
    Calculator::bundled().calculate(&request).ok().map(|price| price.total_price)
}

/// A table without prices gives 0 for a model: that is not known either.
fn picos(dollars: f64) -> Option<Picos> {
    #[expect(clippy::cast_possible_truncation, reason = "float-to-int casts saturate")]
    let pico = (dollars * 1e12).round() as i128;
    (pico > 0).then_some(Picos(pico))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(model: &str, [input, cache_read, cache_write, output]: [u64; 4], at: &str) -> Option<i128> {
        let tokens = Tokens { input, cache_read, cache_write, output };
        Bundled.call(model, &tokens, at.parse().unwrap()).map(|pico| pico.0)
    }

    #[test]
    fn parts_of_a_prompt_have_their_own_prices() {
        let at = "2026-01-19T00:00:00Z";
        // Claude Haiku 4.5: $1 input, $0.10 cache read, $1.25 cache write, $5 output, each per million tokens.
        assert_eq!(price("claude-haiku-4-5-20251001", [1000, 0, 0, 0], at), Some(1_000_000_000));
        assert_eq!(price("claude-haiku-4-5-20251001", [0, 1000, 0, 0], at), Some(100_000_000));
        assert_eq!(price("claude-haiku-4-5-20251001", [0, 0, 1000, 0], at), Some(1_250_000_000));
        assert_eq!(price("claude-haiku-4-5-20251001", [0, 0, 0, 1000], at), Some(5_000_000_000));
    }

    #[test]
    fn prices_are_those_of_the_day() {
        let july = price("gpt-5.6-sol", [1_000, 0, 0, 0], "2026-07-27T12:00:00Z");
        let november = price("gpt-5.6-sol", [1_000, 0, 0, 0], "2026-11-20T12:00:00Z");
        assert!(july > november, "{july:?} then, {november:?} now");
    }

    #[test]
    fn what_is_in_no_table_has_no_price() {
        let at = "2026-01-19T00:00:00Z";
        for model in ["no-such-model", "", "/", "anthropic/no-such-model"] {
            assert_eq!(price(model, [1000, 0, 0, 10], at), None, "{model:?}");
        }
        assert!(price("anthropic/claude-opus-4-5", [1000, 0, 0, 10], at).is_some());
    }
}
