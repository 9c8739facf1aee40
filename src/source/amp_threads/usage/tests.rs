//! Usage of all three eras, counted once.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::domain::money::Micros;
use crate::source::amp_threads::document::{self, Document, Thread};
use crate::source::prices::BundledPrices;

/// A token costs a micro-dollar, of any model but `mystery`.
struct Flat;

impl PriceBook for Flat {
    fn call(&self, model: &str, tokens: &Tokens, _: Timestamp) -> Option<Picos> {
        (model != "mystery").then_some(Picos(i128::from(tokens.total()) * 1_000_000))
    }
}

/// Only uncached input costs anything: a dollar a token.
struct InputOnly;

impl PriceBook for InputOnly {
    fn call(&self, _: &str, tokens: &Tokens, _: Timestamp) -> Option<Picos> {
        Some(Picos(i128::from(tokens.input) * 1_000_000_000_000))
    }
}

fn read(document: &[u8], book: &dyn PriceBook) -> Thread {
    match document::read(document, book).unwrap() {
        Document::Thread(thread) => *thread,
        other => panic!("a thread, not {other:?}"),
    }
}

fn bill_of(messages: Value, events: Value) -> Bill {
    let mut document = json!({ "id": "T-x", "created": 1_760_000_000_000_i64, "usageLedger": {} });
    document["messages"] = messages;
    document["usageLedger"]["events"] = events;
    read(document.to_string().as_bytes(), &Flat).bill
}

/// (day, model, priced, unpriced) of every line.
fn lines(bill: &Bill) -> Vec<(String, &str, u64, u64)> {
    bill.lines.iter().map(|l| (l.day.to_string(), l.model.as_ref(), l.priced, l.unpriced)).collect()
}

fn total(bill: &Bill) -> u64 {
    bill.lines.iter().map(|l| l.priced + l.unpriced).sum()
}

#[test]
fn a_legacy_thread_counts_each_call_once() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/amp_threads");
    let thread = read(&std::fs::read(folder.join("legacy-ledger.v42.json")).unwrap(), &Flat);
    let model = "claude-sonnet-4-20250514";
    // Message 1 (1,010 + 50), the sub-agent (700 + 70) and message 3 (1,100 + 60) are on the ledger, message 5
    // (1,120 + 10), of the next day, is not.
    assert_eq!(
        lines(&thread.bill),
        [("2025-10-09".to_owned(), model, 1_060 + 770 + 1_160, 0), ("2025-10-10".to_owned(), model, 1_130, 0)]
    );
    assert!(!thread.bill.floor, "the sub-agent is on the ledger");
    assert_eq!(thread.bill.known_cost().map(Picos::micros), Some(Micros(4_120)));
}

#[test]
fn messages_are_upserted_by_their_stable_key() {
    let call = |id: Value, protocol: Value, version: Value, tokens: u64| json!({"messageId": id, "protocolMessageID": protocol, "protocolMessageVersion": version, "usage": {"model": "m", "inputTokens": tokens}});
    let cases = [
        // The same message twice: the later one, whatever it says.
        (vec![call(json!(1), json!("M-a"), json!(null), 5), call(json!(9), json!("M-a"), json!(null), 7)], 7),
        // An older version that comes later does not win.
        (vec![call(json!(1), json!("M-a"), json!(3), 5), call(json!(1), json!("M-a"), json!(2), 7)], 5),
        // Without the stable key, the number; a text counts as one.
        (vec![call(json!(1), json!(null), json!(null), 5), call(json!("1"), json!(null), json!(null), 7)], 7),
        // Without any key, each is its own.
        (vec![call(json!(null), json!(null), json!(null), 5), call(json!(null), json!(null), json!(null), 7)], 12),
        // Equal numbers of different messages.
        (vec![call(json!(1), json!("M-a"), json!(null), 5), call(json!(1), json!("M-b"), json!(null), 7)], 12),
    ];
    for (messages, expected) in cases {
        let shown = json!(messages).to_string();
        assert_eq!(total(&bill_of(json!(messages), json!([]))), expected, "{shown}");
    }
}

#[test]
fn ledger_and_messages_are_joined() {
    let message = |id: Value, model: &str, input: u64| json!({"messageId": id, "usage": {"model": model, "inputTokens": input, "cacheReadInputTokens": 10, "outputTokens": 1}});
    let event = |to: Value, model: &str, input: u64| json!({"toMessageId": to, "model": model, "tokens": {"input": input, "output": 1}});
    let cases = [
        ("by id", json!([message(json!(1), "m", 5)]), json!([event(json!(1), "m", 15)]), 16),
        ("by id, 0-based", json!([message(json!(0), "m", 5)]), json!([event(json!(0), "m", 15)]), 16),
        (
            "by id, though the ledger's name is another",
            json!([message(json!(1), "m-2026", 5)]),
            json!([event(json!(1), "m", 15)]),
            16,
        ),
        ("by prompt", json!([message(json!(null), "m", 5)]), json!([event(json!(null), "m", 15)]), 16),
        ("by input", json!([message(json!(1), "m", 5)]), json!([event(json!(null), "m", 5)]), 16),
        ("not by another model", json!([message(json!(1), "m", 5)]), json!([event(json!(null), "n", 15)]), 16 + 16),
        ("not by other tokens", json!([message(json!(1), "m", 5)]), json!([event(json!(null), "m", 99)]), 16 + 100),
        (
            "one event each",
            json!([message(json!(1), "m", 5), message(json!(2), "m", 5)]),
            json!([event(json!(null), "m", 15)]),
            32,
        ),
        (
            "two events of one message are two calls",
            json!([message(json!(1), "m", 5)]),
            json!([event(json!(1), "m", 3), event(json!(1), "m", 15)]),
            16 + 4,
        ),
        ("a gap in the messages", json!([]), json!([event(json!(4), "m", 15)]), 16),
        (
            "a gap in the ledger",
            json!([message(json!(1), "m", 5), message(json!(2), "m", 50)]),
            json!([event(json!(1), "m", 15)]),
            16 + 61,
        ),
        (
            "a message without usage of its own",
            json!([{"messageId": 1, "usage": {}}]),
            json!([event(json!(1), "m", 15)]),
            16,
        ),
    ];
    for (name, messages, events, expected) in cases {
        let bill = bill_of(messages, events);
        assert_eq!(total(&bill), expected, "{name}: {bill:?}");
    }
}

#[test]
fn only_what_is_known_of_the_prompt_is_counted() {
    let input = |model: &str, usage: Value| {
        let mut usage = usage;
        usage["model"] = json!(model);
        let document = json!({ "id": "T-x", "created": 1_760_000_000_000_i64, "messages": [{ "usage": usage }] });
        let bill = read(document.to_string().as_bytes(), &InputOnly).bill;
        bill.known_cost().map_or(0, |cost| cost.micros().0 / 1_000_000)
    };
    // (inputTokens, cacheCreation, cacheRead, total): what is billed at the input price, of Anthropic and of others.
    for (i, creation, read, total, anthropic, other) in [
        (json!(5), json!(100), json!(1000), json!(1105), 5, 105),
        (json!(0), json!(100), json!(1000), json!(1100), 0, 100),
        (json!(0), json!(null), json!(null), json!(4210), 4210, 4210),
        (json!(5), json!(100), json!(1000), json!(null), 5, 105),
        (json!(5), json!(100), json!(1000), json!(3), 5, 105),
        (json!(5), json!(100), json!(1000), json!(1110), 10, 110),
        (json!(-5), json!("x"), json!(1.5), json!(7), 7, 7),
    ] {
        let usage = json!({"inputTokens": i, "cacheCreationInputTokens": creation, "cacheReadInputTokens": read, "totalInputTokens": total, "maxInputTokens": 168_000, "outputTokens": 1, "credits": 0.75});
        assert_eq!(input("claude-opus-4-5-20251101", usage.clone()), anthropic, "{usage}");
        assert_eq!(input("gpt-5.6-sol", usage.clone()), other, "{usage}");
    }
}

#[test]
fn what_is_unknown_makes_the_cost_a_floor() {
    let call = json!({"messageId": 1, "usage": {"model": "m", "inputTokens": 5}});
    let task = json!({"messageId": 2, "content": [{"type": "tool_use", "id": "toolu_1", "name": "Task"}]});
    let ordinary = json!({"messageId": 2, "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash"}, {"type": "text", "name": "Task"}]});
    let own = json!({"messageId": 7, "parentToolUseId": "toolu_1", "usage": {"model": "m", "inputTokens": 5}});
    let unpriced = json!({"messageId": 3, "usage": {"model": "mystery", "inputTokens": 5}});
    let nameless = json!({"messageId": 3, "usage": {"inputTokens": 5}});
    let absurd = json!({"messageId": 3, "usage": {"model": "m", "inputTokens": 1_000_000_000_000_u64}});
    let on_ledger = json!([{"model": "m", "tokens": {"input": 9}, "subagentThreadID": "T-s", "toolUseID": "toolu_1"}]);
    for (name, messages, events, floor) in [
        ("nothing missing", json!([call]), json!([]), false),
        ("an ordinary tool", json!([call, ordinary]), json!([]), false),
        ("a sub-agent", json!([call, task]), json!([]), true),
        ("a sub-agent on the ledger", json!([call, task]), on_ledger, false),
        ("a sub-agent with messages", json!([call, task, own]), json!([]), false),
        ("an unknown model", json!([call, unpriced]), json!([]), true),
        ("no model", json!([call, nameless]), json!([]), true),
        ("more than any model takes", json!([call, absurd]), json!([]), true),
        ("only a sum", json!([]), json!([{"model": "m", "tokens": {"total": 345}}]), true),
    ] {
        assert_eq!(bill_of(messages, events).floor, floor, "{name}");
    }
}

#[test]
fn an_unknown_model_has_no_cost_rather_than_none() {
    let bill = bill_of(json!([{"usage": {"model": "mystery", "inputTokens": 5}}]), json!([]));
    assert_eq!(bill.lines[0].known_cost(), None);
    assert_eq!((bill.known_cost(), bill.lines[0].unpriced), (None, 5));
    assert_eq!(bill_of(json!([]), json!([])), Bill::default());
}

#[test]
fn a_call_is_of_the_day_it_was_made() {
    let usage = |timestamp: Value| json!({"model": "m", "inputTokens": 1, "timestamp": timestamp});
    let day = |document: Value| {
        let thread = read(document.to_string().as_bytes(), &Flat);
        thread.bill.lines.last().map(|l| l.day.to_string())
    };
    let some = |text: &str| Some(text.to_owned());
    let created = 1_760_000_000_000_i64;
    assert_eq!(
        day(json!({"id": "T", "created": created, "messages": [{"usage": usage(json!("2026-01-31T23:59:59.999Z"))}]})),
        some("2026-01-31")
    );
    assert_eq!(
        day(json!({"id": "T", "created": created, "messages": [{"usage": usage(json!("2026-02-01T01:00:00+02:00"))}]})),
        some("2026-01-31")
    );
    let before = json!({"role": "user", "meta": {"sentAt": 1_772_463_377_111_i64}});
    assert_eq!(
        day(json!({"id": "T", "created": created, "messages": [before, {"usage": usage(json!(null))}]})),
        some("2026-03-02")
    );
    assert_eq!(
        day(json!({"id": "T", "created": created, "messages": [{"usage": usage(json!("soon"))}]})),
        some("2025-10-09")
    );
    assert_eq!(
        day(json!({"id": "T-019ca6da-0000-7000-8000-000000000000", "messages": [{"usage": usage(json!(null))}]})),
        some("2026-03-01")
    );
    let undated = read(json!({"id": "T", "messages": [{"usage": usage(json!(null))}]}).to_string().as_bytes(), &Flat);
    assert_eq!((undated.bill.lines.len(), undated.bill.floor), (0, true));
}

#[test]
fn many_small_amounts_add_up() {
    assert_eq!(Picos(499_999).micros(), Micros(0));
    assert_eq!(Picos(500_000).micros(), Micros(1));
    assert_eq!(Picos(i128::MAX).plus(Picos(1)), Picos(i128::MAX));
    let calls: Vec<Value> = (0..3_000).map(|_| json!({"usage": {"model": "claude-haiku-4-5", "cacheReadInputTokens": 1, "timestamp": "2026-01-19T00:00:00Z"}})).collect();
    let thread = read(json!({"id": "T", "messages": calls}).to_string().as_bytes(), &BundledPrices);
    assert_eq!(thread.bill.known_cost().map(Picos::micros), Some(Micros(300)), "a tenth of a micro-dollar each");
}

#[test]
fn the_billed_thread_comes_out_as_billed() {
    // The twelve calls of July 2026 for which Amp's own charge is known; the rest of it was a sub-agent.
    let Some(shared) = crate::env::variables().remove("AMPBRIDGE_SHARED") else {
        eprintln!("SKIPPED: set AMPBRIDGE_SHARED to the folder with the public samples to run this test");
        return;
    };
    let path = Path::new(&shared).join("data/amp-threads/usage-ground-truth.json");
    let truth: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let messages: Vec<Value> = truth["usage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let mut usage = row.clone();
            usage["model"] = truth["model"].clone();
            usage["timestamp"] = json!(format!("{}T12:00:00Z", truth["captured"].as_str().unwrap()));
            json!({ "usage": usage })
        })
        .collect();
    let thread = read(json!({"id": truth["threadID"], "messages": messages}).to_string().as_bytes(), &BundledPrices);
    let cost = thread.bill.known_cost().unwrap().micros();
    assert!((254_000..=256_000).contains(&cost.0), "{cost}");
}
