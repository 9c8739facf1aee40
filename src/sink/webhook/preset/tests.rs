//! Every preset with every sample, held against the receiver's documented schema; and text from outside as data.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::{Event, StoredEvent};
use crate::render::samples;
use crate::sink::testkit;

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Presets by name, each with the schema its receiver documents.
fn presets() -> BTreeMap<&'static str, (Preset, Value)> {
    let all = [
        ("pagerduty", Preset::Pagerduty { routing_key: Secret::new(ROUTING_KEY) }),
        ("teams", Preset::Teams),
        ("discord", Preset::Discord),
        ("google_chat", Preset::GoogleChat),
        ("github", Preset::Github),
        ("ntfy", Preset::Ntfy { topic: Secret::new("ampbridge") }),
    ];
    all.into_iter().map(|(name, preset)| (name, (preset, documented(name)))).collect()
}

fn documented(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/presets/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn message(kind: DeliveryKind, events: Vec<Event>) -> Message {
    let mut message = testkit::message();
    message.delivery.kind = kind;
    message.events = events.into_iter().map(|event| Arc::new(StoredEvent::bare(event))).collect();
    message
}

/// Each sample in each variant by itself; all of a variant together, and many times over.
fn messages() -> Vec<(String, Message)> {
    let mut all = Vec::new();
    let mut together: BTreeMap<&str, Vec<Event>> = BTreeMap::new();
    for kind in samples::types() {
        for (variant, event) in samples::variants(kind) {
            all.push((format!("{kind} {variant}"), message(DeliveryKind::Single, vec![event.clone()])));
            together.entry(variant).or_default().push(event);
        }
    }
    for (variant, events) in together {
        for kind in [DeliveryKind::Group, DeliveryKind::Digest, DeliveryKind::Reminder, DeliveryKind::Update] {
            all.push((format!("{} {variant}", kind.as_str()), message(kind, events.clone())));
        }
        if variant == "hostile" {
            let many = events.iter().cycle().take(200).cloned().collect();
            all.push((format!("many {variant}"), message(DeliveryKind::Group, many)));
        }
    }
    all
}

fn renderer() -> Renderer {
    Renderer::load(None).unwrap()
}

fn sample(kind: &str) -> Event {
    samples::sample(kind).unwrap()
}

fn told(preset: &str, kind: DeliveryKind, events: Vec<Event>) -> Vec<Value> {
    let (preset, _) = presets().remove(preset).unwrap();
    preset.tell(&renderer(), &message(kind, events)).into_iter().map(|(_, body)| body).collect()
}

#[test]
fn every_message_has_the_form_its_receiver_documents() {
    let (renderer, messages) = (renderer(), messages());
    for (name, (preset, schema)) in presets() {
        jsonschema::meta::validate(&schema).unwrap_or_else(|e| panic!("{name}: {e}"));
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(!validator.is_valid(&json!({ "text": "hello" })), "{name} takes anything");
        for (what, message) in &messages {
            for (_, body) in preset.tell(&renderer, message) {
                let faults: Vec<String> =
                    validator.iter_errors(&body).map(|e| format!("{}: {e}", e.instance_path())).collect();
                assert_eq!(faults, Vec::<String>::new(), "{name}, {what}: {body}");
                fits(name, what, &body);
            }
        }
    }
}

/// Limits a schema can't say.
fn fits(name: &str, what: &str, body: &Value) {
    let bytes = body.to_string().len();
    let most = match name {
        "pagerduty" => 512 * 1000,
        "teams" => 28 * 1000,
        "google_chat" => 32_000,
        "github" => 64 * 1000,
        _ => usize::MAX,
    };
    assert!(bytes <= most, "{name}, {what}: {bytes} bytes");
    if name == "ntfy" {
        assert!(body["message"].as_str().unwrap().len() <= 4_096, "{what}");
    }
    if name == "discord" {
        let units = |text: &Value| text.as_str().unwrap_or_default().encode_utf16().count();
        let embed = &body["embeds"][0];
        let fields = embed["fields"].as_array().unwrap().iter().map(|f| units(&f["name"]) + units(&f["value"]));
        assert!(units(&embed["title"]) <= 256 && units(&embed["description"]) <= 4_096, "{what}");
        assert!(units(&embed["title"]) + units(&embed["description"]) + fields.sum::<usize>() <= 6_000, "{what}");
    }
}

#[test]
fn many_events_are_cut_and_the_rest_is_counted() {
    let many: Vec<Event> = std::iter::repeat_n(sample("thread.created"), 500).collect();
    for name in ["teams", "discord", "google_chat", "ntfy"] {
        let text = told(name, DeliveryKind::Group, many.clone())[0].to_string();
        assert!(text.contains("…and ") && text.contains(" more"), "{name}: {text}");
    }
    let dispatch = &told("github", DeliveryKind::Group, many.clone())[0]["client_payload"];
    let kept = dispatch["events"].as_array().unwrap().len();
    assert_eq!(dispatch["omitted"], 500 - kept);
    assert!(kept > 10);
    let mut dear = sample("thread.created");
    dear.data.insert("facts".to_owned(), json!({ "much": "x".repeat(600_000) }));
    assert_eq!(
        told("github", DeliveryKind::Single, vec![dear.clone()])[0]["client_payload"]["event"]["data"],
        json!({ "omitted": true })
    );
    assert!(told("pagerduty", DeliveryKind::Single, vec![dear])[0].to_string().contains("is too large"));
}

#[test]
fn an_incident_is_triggered_and_resolved_under_its_id() {
    let open = sample("cost.spike");
    let over = sample("cost.spike_resolved");
    let incident = open.incident().unwrap().to_owned();
    let mut resolved = over.clone();
    resolved.data.insert("incident".to_owned(), json!(incident));
    // All of a group, in its order: a resolution among other things is not lost.
    let bodies = told("pagerduty", DeliveryKind::Group, vec![open, sample("member.added"), resolved]);
    let actions: Vec<(&str, &str)> = bodies
        .iter()
        .map(|body| (body["event_action"].as_str().unwrap(), body["dedup_key"].as_str().unwrap()))
        .collect();
    let member = sample("member.added").id;
    assert_eq!(actions, [("trigger", &*incident), ("trigger", &*member), ("resolve", &*incident)]);
    assert_eq!(bodies[0]["payload"]["severity"], "warning");
    assert_eq!(bodies[0]["payload"]["custom_details"]["type"], "cost.spike");
}

/// A person or a thread called like that, in every form it is told in.
fn named(name: &str) -> Event {
    let mut event = sample("thread.created");
    event.data.insert("name".to_owned(), json!(name));
    event.data.insert("link".to_owned(), json!("javascript:alert(1)"));
    event.subject = name.to_owned();
    event
}

#[test]
fn text_from_outside_takes_no_effect_anywhere() {
    let name = "@everyone <@1> <users/all> **b** [x](https://e.example.com) <b>h</b> {{DATE(2017-01-01T00:00:00Z)}} <at>a</at>";
    for preset in presets().keys() {
        let text = told(preset, DeliveryKind::Single, vec![named(name)])[0].to_string();
        if *preset != "pagerduty" && *preset != "github" {
            assert!(!text.contains("javascript:"), "{preset}: {text}");
        }
    }
    let discord = told("discord", DeliveryKind::Single, vec![named(name)]).remove(0);
    assert_eq!(discord["allowed_mentions"], json!({ "parse": [] }));
    let title = discord["embeds"][0]["title"].as_str().unwrap();
    for escaped in [r"\@everyone", r"\<\@1\>", r"\*\*b\*\*", r"\[x\]\(https\:\/\/"] {
        assert!(title.contains(escaped), "{escaped} in {title}");
    }
    let chat = told("google_chat", DeliveryKind::Single, vec![named(name)]).remove(0);
    assert!(chat.get("text").is_none());
    let widgets = chat["cardsV2"][0]["card"]["sections"][0]["widgets"].to_string();
    assert!(
        widgets.contains("&lt;users/all&gt;") && !widgets.contains("<users") && !widgets.contains("<b>h"),
        "{widgets}"
    );
    let teams = told("teams", DeliveryKind::Single, vec![named(name)]).remove(0);
    let card = teams["attachments"][0]["content"].to_string();
    assert!(!card.contains("{{DATE") && !card.contains("<at>") && !card.contains("entities"), "{card}");
    let ntfy = told("ntfy", DeliveryKind::Single, vec![named("a\r\nb\u{202e}")]).remove(0);
    assert!(ntfy["title"].as_str().unwrap().contains("a b") && ntfy.get("markdown").is_none(), "{ntfy}");
    let details = &told("pagerduty", DeliveryKind::Single, vec![named(name)])[0]["payload"];
    assert_eq!(details["custom_details"]["data"]["name"], name, "data goes along as it is");
}

#[test]
fn settings_belong_to_their_preset() {
    let key = Secret::new(ROUTING_KEY);
    let spaced = Secret::new("two words");
    let none = || Given { routing_key: None, topic: None, repository: None, signs_in: false };
    let keys = |given: Given<'_>, preset| given.problems(preset).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(none(), Some(PresetName::Pagerduty)), ["routing_key"]);
    assert_eq!(keys(none(), Some(PresetName::Github)), ["repository", "auth"]);
    assert_eq!(keys(none(), Some(PresetName::Ntfy)), ["topic"]);
    assert_eq!(keys(Given { routing_key: Some(&key), ..none() }, None), ["routing_key"]);
    assert_eq!(keys(Given { topic: Some(&spaced), ..none() }, Some(PresetName::Ntfy)), ["topic"]);
    assert_eq!(keys(Given { routing_key: Some(&key), ..none() }, Some(PresetName::Pagerduty)), [""; 0]);
    let api = reqwest::Url::parse("https://ghe.example.com/api/v3/").unwrap();
    let at = github::dispatches(&api, "acme/infra").unwrap();
    assert_eq!(at.as_str(), "https://ghe.example.com/api/v3/repos/acme/infra/dispatches");
    for wrong in ["acme", "acme/", "a/b/c", "../x", "a b/c", "acme/.."] {
        assert!(github::dispatches(&api, wrong).is_err(), "{wrong}");
    }
}
