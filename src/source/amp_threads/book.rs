//! Prices from the tables bundled with `genai-prices`: dated, with tiers, retired models kept.

use genai_prices::{Calculator, PriceRequest, Usage, UsageKey};

use super::usage::{Pico, PriceBook, Tokens};
use crate::domain::time::Timestamp;

/// The bundled tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bundled;

impl PriceBook for Bundled {
    fn price(&self, model: &str, tokens: Tokens, at: Timestamp) -> Option<Pico> {
        let dollars = dollars(model, tokens, at).or_else(|| {
            // Some providers' models come with a path: `accounts/…/models/kimi-k2`.
            let (_, last) = model.rsplit_once('/')?;
            dollars(last, tokens, at)
        })?;
        to_pico(dollars)
    }
}

fn dollars(model: &str, tokens: Tokens, at: Timestamp) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a call has far fewer than 2^53 tokens")]
    let usage = Usage::from([
        (UsageKey::INPUT_TOKENS, tokens.prompt() as f64),
        (UsageKey::CACHE_READ_TOKENS, tokens.cache_read as f64),
        (UsageKey::CACHE_WRITE_TOKENS, tokens.cache_creation as f64),
        (UsageKey::OUTPUT_TOKENS, tokens.output as f64),
    ]);
    let request = PriceRequest::new(model, &usage).with_timestamp(at);
    Calculator::bundled().calculate(&request).ok().map(|price| price.total_price)
}

/// A table without prices gives 0 for a model: that is not known either.
fn to_pico(dollars: f64) -> Option<Pico> {
    #[expect(clippy::cast_possible_truncation, reason = "float-to-int casts saturate")]
    let pico = (dollars * 1e12).round() as i64;
    (pico > 0).then_some(Pico(pico))
}
