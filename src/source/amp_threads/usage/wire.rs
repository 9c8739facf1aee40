//! Usage as the documents write it.

use serde::Deserialize;

use super::super::lenient::{Object, Scalar};
use super::{LedgerEvent, Usage};
use crate::source::prices::Tokens;

/// `messages[].usage`. Neither `totalInputTokens` nor `maxInputTokens` is ever a part of a sum; `credits` is in a unit
/// nobody has documented, and is not read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawUsage {
    pub timestamp: Scalar,
    model: Scalar,
    input_tokens: Scalar,
    output_tokens: Scalar,
    cache_creation_input_tokens: Scalar,
    cache_read_input_tokens: Scalar,
    total_input_tokens: Scalar,
}

impl From<RawUsage> for Usage {
    fn from(raw: RawUsage) -> Self {
        let count = |scalar: &Scalar| scalar.count().unwrap_or(0);
        let mut tokens = Tokens {
            input: count(&raw.input_tokens),
            cache_read: count(&raw.cache_read_input_tokens),
            cache_write: count(&raw.cache_creation_input_tokens),
            output: count(&raw.output_tokens),
        };
        // Old files tell only the total: what no part accounts for was uncached input.
        tokens.input += count(&raw.total_input_tokens).saturating_sub(tokens.prompt());
        Self { model: raw.model.word(), tokens, vague: false }
    }
}

/// `usageLedger.events[]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawEvent {
    id: Scalar,
    timestamp: Scalar,
    model: Scalar,
    tokens: Object<RawTokens>,
    to_message_id: Scalar,
    #[serde(rename = "toolUseID")]
    tool_use: Scalar,
    #[serde(rename = "subagentThreadID")]
    sub_agent: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawTokens {
    input: Scalar,
    output: Scalar,
    total: Scalar,
    cache_read_input_tokens: Scalar,
    cache_creation_input_tokens: Scalar,
}

impl From<RawEvent> for LedgerEvent {
    fn from(raw: RawEvent) -> Self {
        let tokens = raw.tokens.0.unwrap_or_default();
        let count = |scalar: &Scalar| scalar.count().unwrap_or(0);
        let vague = tokens.input.count().is_none() && tokens.total.count().is_some();
        let mut known = Tokens {
            input: count(&tokens.input),
            cache_read: count(&tokens.cache_read_input_tokens),
            cache_write: count(&tokens.cache_creation_input_tokens),
            output: count(&tokens.output),
        };
        if vague {
            known.input = count(&tokens.total).saturating_sub(known.total());
        }
        Self {
            id: raw.id.label(),
            time: raw.timestamp.instant(),
            usage: Usage { model: raw.model.word(), tokens: known, vague },
            to_message: raw.to_message_id.label(),
            tool_use: raw.tool_use.word(),
            of_sub_agent: raw.sub_agent.word().is_some(),
        }
    }
}
