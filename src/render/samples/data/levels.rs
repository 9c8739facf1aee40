//! Levels: numbers with bands, states that are good or bad.

use serde_json::{Value, json};

use super::{Data, fields, incident, text};
use crate::domain::event::data_of;
use crate::domain::payload::LevelData;

fn level(noun: &str, before: (&str, Value), after: (&str, Value)) -> Data {
    data_of(&LevelData {
        key: text(noun),
        noun: text(noun),
        name: text(noun),
        before: before.1,
        after: after.1,
        band_before: Some(text(before.0)),
        state: text(if after.0 == "ok" { "resolved" } else { "open" }),
        band_after: text(after.0),
        facts: fields([("can_call", json!(true)), ("currency", json!("usd"))]),
        baseline: false,
        incident: incident(noun),
    })
}

pub fn wallet_low() -> Data {
    level("wallet", ("ok", json!(9.1)), ("low", json!(4.03)))
}

pub fn wallet_depleted() -> Data {
    level("wallet", ("low", json!(0.4)), ("depleted", json!(-0.02)))
}

pub fn wallet_topped_up() -> Data {
    level("wallet", ("low", json!(4.03)), ("ok", json!(54.03)))
}

pub fn any_level(noun: &str) -> Data {
    level(noun, ("ok", json!("operational")), ("degraded", json!("degraded")))
}

fn named(mut data: Data, key: &str, name: &str, facts: Value) -> Data {
    data.insert(text("key"), json!(key));
    data.insert(text("name"), json!(name));
    data.insert(text("facts"), facts);
    data
}

fn credits(before: (&str, Value), after: (&str, Value)) -> Data {
    let line = format!("Individual credits: ${} remaining", after.1.as_str().unwrap_or_default());
    let data = level("balance", before, after);
    named(data, "balance:individual-credits", "Individual credits", json!({ "line": line }))
}

pub fn balance_low() -> Data {
    credits(("ok", json!("6.10")), ("low", json!("4.03")))
}

pub fn balance_restored() -> Data {
    credits(("low", json!("4.03")), ("ok", json!("54.03")))
}

pub fn provider_degraded() -> Data {
    named(level("provider", ("ok", json!("healthy")), ("degraded", json!("degraded"))), "qdrant", "Qdrant", json!({}))
}

pub fn provider_recovered() -> Data {
    named(level("provider", ("degraded", json!("degraded")), ("ok", json!("healthy"))), "qdrant", "Qdrant", json!({}))
}

pub fn model_unpriced() -> Data {
    let data = level("model", ("ok", json!("priced")), ("unpriced", json!("unpriced")));
    let mut data = named(data, "our-own-model", "our-own-model", json!({ "tokens": 48_210 }));
    data.insert(text("before"), Value::Null);
    data.insert(text("band_before"), Value::Null);
    data
}
