use super::*;
use proptest::prelude::*;

fn mrkdwn(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": mrkdwn(text) })
}

fn fitted(blocks: Value) -> Vec<Value> {
    match fit(blocks).unwrap() {
        Value::Array(blocks) => blocks,
        other => panic!("{other}"),
    }
}

#[test]
fn empty_things_go() {
    let blocks = fitted(json!([
        section(" \n"),
        { "type": "section", "fields": [mrkdwn("")] },
        { "type": "context", "elements": [] },
        { "type": "header", "text": { "type": "plain_text", "text": "" } },
        { "type": "actions", "elements": [{ "type": "button", "text": { "type": "plain_text", "text": "Open" }, "url": "" }] },
        { "type": "image", "image_url": "", "alt_text": "x" },
        section("here"),
    ]));
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0]["text"], json!({ "type": "mrkdwn", "text": "here", "verbatim": true }));
}

#[test]
fn long_things_are_cut() {
    let long = "x".repeat(20_000);
    let blocks = fitted(json!([
        section(&long),
        { "type": "header", "text": { "type": "plain_text", "text": long } },
        { "type": "section", "fields": [mrkdwn(&long)] },
        { "type": "actions", "block_id": long, "elements": [{
            "type": "button", "text": { "type": "plain_text", "text": long }, "url": "https://example.com/", "action_id": long,
        }] },
    ]));
    assert_eq!(length(blocks[0]["text"]["text"].as_str().unwrap()), SECTION_TEXT);
    assert_eq!(length(blocks[1]["text"]["text"].as_str().unwrap()), HEADER_TEXT);
    assert_eq!(length(blocks[2]["fields"][0]["text"].as_str().unwrap()), FIELD_TEXT);
    assert_eq!(length(blocks[3]["elements"][0]["text"]["text"].as_str().unwrap()), BUTTON_TEXT);
    assert_eq!(blocks[3]["elements"][0]["action_id"].as_str().unwrap().len(), ID);
    assert_eq!(blocks[3]["block_id"].as_str().unwrap().len(), ID);
}

#[test]
fn loose_texts_become_fields_of_ten() {
    let mut items: Vec<Value> = (0..23).map(|n| mrkdwn(&format!("field {n}"))).collect();
    items.insert(0, section("first"));
    items.push(section("last"));
    let blocks = fitted(Value::Array(items));
    let counts: Vec<usize> = blocks.iter().map(|b| b["fields"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(counts, [0, 10, 10, 3, 0]);
}

#[test]
fn many_things_are_summed_up() {
    let blocks = fitted(Value::Array((0..80).map(|n| section(&n.to_string())).collect()));
    assert_eq!(blocks.len(), BLOCKS);
    assert_eq!(blocks[48]["elements"][0]["text"], "…and 31 more");
    assert_eq!(blocks[49]["text"]["text"], "79", "the last one stays");
    let context =
        fitted(json!([{ "type": "context", "elements": (0..14).map(|n| mrkdwn(&n.to_string())).collect::<Vec<_>>() }]));
    assert_eq!(context[0]["elements"].as_array().unwrap().len(), CONTEXT_ELEMENTS);
    assert_eq!(context[0]["elements"][9]["text"], "…and 5 more");
}

#[test]
fn the_budget_for_all_text_holds_and_the_buttons_stay() {
    let button = json!({ "type": "actions", "elements": [
        { "type": "button", "text": { "type": "plain_text", "text": "Open" }, "url": "https://example.com/" }] });
    let mut items: Vec<Value> = (0..8).map(|_| section(&"word ".repeat(560))).collect();
    items.push(button);
    let blocks = fitted(Value::Array(items));
    assert!(blocks.iter().map(text_length).sum::<usize>() <= TOTAL_TEXT);
    assert_eq!(blocks.last().unwrap()["type"], "actions");
    assert_eq!(blocks[blocks.len() - 2]["elements"][0]["text"], "…and 3 more");
}

#[test]
fn what_is_no_block_is_refused() {
    for (blocks, said) in [
        (json!({}), "array"),
        (json!([]), "no block"),
        (json!([{ "type": "divider" }]), "no block"),
        (json!(["x"]), "block 0"),
        (json!([section("a"), { "type": "sektion" }]), "sektion"),
        (json!([{ "text": "a" }]), "type"),
        (json!([{ "type": "header", "text": mrkdwn("a") }]), "plain_text"),
    ] {
        let error = fit(blocks.clone()).unwrap_err();
        assert!(error.contains(said), "{blocks}: {error}");
    }
}

#[test]
fn links_that_are_no_web_addresses_lose_their_button() {
    for url in ["javascript:alert(1)", "https", &format!("https://example.com/{}", "a".repeat(3_000))] {
        let blocks = fitted(json!([section("a"), { "type": "actions", "elements": [
            { "type": "button", "text": { "type": "plain_text", "text": "Open" }, "url": url }] }]));
        assert_eq!(blocks.len(), 1, "{url}");
    }
}

fn any_block() -> impl Strategy<Value = Value> {
    let text = prop_oneof![Just(String::new()), "[a-z&;<>`\n ]{0,40}", "(word &amp; ){1,900}"];
    prop_oneof![
        text.clone().prop_map(|t| section(&t)),
        prop::collection::vec(text.clone(), 0..13)
            .prop_map(|t| json!({ "type": "section", "fields": t.iter().map(|t| mrkdwn(t)).collect::<Vec<_>>() })),
        prop::collection::vec(text.clone(), 0..13)
            .prop_map(|t| json!({ "type": "context", "elements": t.iter().map(|t| mrkdwn(t)).collect::<Vec<_>>() })),
        text.clone().prop_map(|t| mrkdwn(&t)),
        Just(json!({ "type": "divider" })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_out_is_within_the_limits(items in prop::collection::vec(any_block(), 0..70)) {
        let Ok(Value::Array(blocks)) = fit(Value::Array(items)) else { return Ok(()) };
        prop_assert!(blocks.len() <= BLOCKS);
        prop_assert!(blocks.iter().map(text_length).sum::<usize>() <= TOTAL_TEXT);
        for block in &blocks {
            if let Some(text) = block.pointer("/text/text").and_then(Value::as_str) {
                prop_assert!(!text.trim().is_empty() && length(text) <= SECTION_TEXT);
            }
            for (key, most) in [("fields", FIELDS), ("elements", CONTEXT_ELEMENTS)] {
                let Some(list) = block.get(key).and_then(Value::as_array) else { continue };
                prop_assert!(!list.is_empty() && list.len() <= most);
                for item in list {
                    let text = item["text"].as_str().unwrap();
                    prop_assert!(!text.trim().is_empty() && length(text) <= FIELD_TEXT);
                }
            }
        }
        prop_assert_eq!(fit(Value::Array(blocks.clone())).unwrap(), Value::Array(blocks), "fitting twice changes nothing");
    }
}

#[test]
fn lines_left_out_are_counted_not_blocks() {
    let item = format!("• {}\n", "x".repeat(180));
    let items: Vec<Value> = (0..10).map(|_| section(&item.repeat(14))).collect();
    let blocks = fitted(Value::Array(items));
    let shown: usize =
        blocks.iter().filter_map(|b| b.pointer("/text/text")?.as_str()).map(|t| t.matches('•').count()).sum();
    assert!((50..=66).contains(&shown), "{shown}");
    assert_eq!(blocks.last().unwrap()["elements"][0]["text"], format!("…and {} more", 140 - shown));
}

#[test]
fn nothing_that_would_answer_is_sent() {
    let button = |extra: Value| {
        let mut button = json!({ "type": "button", "text": { "type": "plain_text", "text": "Mute" } });
        button.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        button
    };
    let blocks = fitted(json!([
        section("a"),
        { "type": "actions", "elements": [button(json!({ "action_id": "mute" })), { "type": "static_select", "options": [] }] },
        { "type": "section", "text": mrkdwn("b"), "accessory": button(json!({ "value": "1" })) },
        { "type": "actions", "elements": [button(json!({ "url": "https://example.com/" }))] },
    ]));
    assert_eq!(blocks.len(), 3, "{blocks:?}");
    assert!(blocks[1].get("accessory").is_none());
    assert_eq!(blocks[2]["elements"][0]["url"], "https://example.com/");
}

#[test]
fn blocks_as_text_say_the_same() {
    let text = flatten(&json!([
        section("*Acme spend today $212.40*"),
        { "type": "header", "text": { "type": "plain_text", "text": "a < b" } },
        { "type": "section", "fields": [mrkdwn("*By person*\nana $88"), mrkdwn("*By model*\ngpt-5 $120")] },
        { "type": "context", "elements": [mrkdwn("acme"), mrkdwn("rule daily")] },
        { "type": "actions", "elements": [{ "type": "button", "text": { "type": "plain_text", "text": "Open|it" },
            "url": "https://example.com/?a=1&b=2" }] },
    ]));
    assert_eq!(
        text,
        "*Acme spend today $212.40*\na &lt; b\n*By person*\nana $88\n*By model*\ngpt-5 $120\nacme · rule daily\n<https://example.com/?a=1&amp;b=2|Open¦it>"
    );
    assert_eq!(flatten(&json!([1])), "");
    assert!(length(&flatten(&json!([section(&"line\n".repeat(2_000))]))) <= MESSAGE_TEXT);
}
