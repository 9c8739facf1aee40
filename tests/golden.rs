//! What every built-in template makes of every sample, compared with the files in `tests/golden/`.
//!
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes them anew; look at the difference before committing it. Nothing
//! is scrubbed: samples have fixed times and ids.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking; the environment says whether to rewrite"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ampbridge::domain::delivery::DeliveryKind;
use ampbridge::domain::event::{Event, StoredEvent};
use ampbridge::render::{Context, EmailParts, Renderer, SUBJECT, SlackParts, samples};
use serde_json::{Value, json};

/// A message to render: its name in the golden files, the circumstance, and what it is made of.
struct Case {
    name: String,
    variant: &'static str,
    kind: DeliveryKind,
    events: Vec<Arc<StoredEvent>>,
}

impl Case {
    fn slack(&self, renderer: &Renderer) -> SlackParts {
        let outcome = renderer.slack(&Context { kind: self.kind, events: &self.events });
        assert_eq!(outcome.fallbacks, [], "{} {}", self.name, self.variant);
        outcome.value
    }

    fn email(&self, renderer: &Renderer) -> EmailParts {
        let outcome = renderer.email(&Context { kind: self.kind, events: &self.events });
        assert_eq!(outcome.fallbacks, [], "{} {}", self.name, self.variant);
        outcome.value
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in samples::types() {
        for (variant, event) in samples::variants(name) {
            cases.push(Case {
                name: name.to_owned(),
                variant,
                kind: DeliveryKind::Single,
                events: vec![stored(event)],
            });
        }
    }
    for kind in [DeliveryKind::Group, DeliveryKind::Digest, DeliveryKind::Update, DeliveryKind::Reminder] {
        for variant in ["sample", "hostile"] {
            let of_type = |name| samples::variants(name).into_iter().find(|(v, _)| *v == variant).unwrap().1;
            let names = match kind {
                DeliveryKind::Group => vec!["thread.created", "thread.created", "thread.deleted", "member.added"],
                DeliveryKind::Digest => samples::types(),
                _ => vec!["budget.threshold_reached", "budget.exceeded"],
            };
            let events = names.into_iter().map(|name| stored(of_type(name))).collect();
            cases.push(Case { name: format!("_{}", kind.as_str()), variant, kind, events });
        }
    }
    cases
}

fn stored(event: Event) -> Arc<StoredEvent> {
    Arc::new(StoredEvent::bare(event))
}

fn renderer() -> Renderer {
    Renderer::load(None).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// Golden files by path below `tests/golden/`.
fn rendered() -> BTreeMap<PathBuf, String> {
    let renderer = renderer();
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut slack: BTreeMap<String, serde_json::Map<String, Value>> = BTreeMap::new();
    for case in cases() {
        let parts = case.slack(&renderer);
        let payload = json!({ "text": parts.text, "blocks": parts.blocks.unwrap() });
        slack.entry(case.name.clone()).or_default().insert(case.variant.to_owned(), payload);

        let email = case.email(&renderer);
        let text = files.entry(format!("email/{}.txt", case.name).into()).or_default();
        write!(text, "=== {}\nSubject: {}\n\n{}\n", case.variant, email.subject, email.text).unwrap();
        if matches!(case.variant, "sample" | "hostile") {
            let variant = if case.variant == "sample" { "" } else { ".hostile" };
            files.insert(format!("email/{}{variant}.html", case.name).into(), email.html);
        }
        for stored in case.events.iter().take(usize::from(case.kind == DeliveryKind::Single)) {
            let line = renderer.line(&stored.event);
            writeln!(files.entry("lines.txt".into()).or_default(), "{} {}: {line}", case.name, case.variant).unwrap();
        }
    }
    for (name, variants) in slack {
        let text = serde_json::to_string_pretty(&Value::Object(variants)).unwrap() + "\n";
        files.insert(format!("slack/{name}.json").into(), text);
    }
    files
}

#[test]
fn golden_files_are_what_is_rendered() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let rendered = rendered();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        for folder in ["slack", "email"] {
            let _ = fs::remove_dir_all(root.join(folder));
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (path, text) in &rendered {
            fs::write(root.join(path), text).unwrap();
        }
        return;
    }
    let found = files_below(&root, &root);
    let unused: Vec<_> = found.iter().filter(|path| !rendered.contains_key(*path)).collect();
    assert!(unused.is_empty(), "golden files of nothing: {unused:?}");
    for (path, text) in &rendered {
        let golden = fs::read_to_string(root.join(path)).unwrap_or_default();
        let differs = golden.lines().zip(text.lines()).enumerate().find(|(_, (a, b))| a != b);
        assert!(
            golden == *text,
            "{} differs from what is rendered, first at {differs:?}; `UPDATE_GOLDEN=1 cargo test --test golden` rewrites it",
            path.display()
        );
    }
}

fn files_below(root: &Path, folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(root, &path));
        } else {
            found.insert(path.strip_prefix(root).unwrap().to_owned());
        }
    }
    found
}

#[test]
fn no_data_becomes_a_mention_a_link_or_a_format_in_slack() {
    const MARKS: [&str; 5] = ["`code`", "```fence```", "*bold*", "_it_", "~gone~"];
    let ours = ["https://", "!date^00000000^{_}|"];
    let renderer = renderer();
    for case in cases() {
        let parts = case.slack(&renderer);
        let plain = |text: &str| MARKS.iter().all(|marks| !text.contains(marks));
        assert!(plain(&parts.text), "{} {}: {}", case.name, case.variant, parts.text);
        mrkdwn_objects(parts.blocks.as_ref().unwrap(), &mut |object| {
            assert!(object["text"].as_str().is_none_or(plain), "{} {}: {object:?}", case.name, case.variant);
        });
        let mut texts = vec![parts.text];
        strings(parts.blocks.as_ref().unwrap(), &mut texts);
        for text in texts {
            for (at, _) in text.match_indices('<') {
                let begins = ours.iter().any(|ours| text[at + 1..].starts_with(ours));
                assert!(begins, "{} {}: {text}", case.name, case.variant);
            }
            assert!(
                !text.contains(|c| ('\u{fdd0}'..='\u{fdd4}').contains(&c)),
                "{} {}: {text:?}",
                case.name,
                case.variant
            );
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{} {}: {text:?}", case.name, case.variant);
            assert!(!text.contains(['\u{202e}', '\u{2066}']), "{} {}: {text:?}", case.name, case.variant);
        }
    }
}

#[test]
fn mrkdwn_is_taken_as_it_stands() {
    let renderer = renderer();
    for case in cases() {
        mrkdwn_objects(&case.slack(&renderer).blocks.unwrap(), &mut |object| {
            assert_eq!(object["verbatim"], true, "{} {}: {object:?}", case.name, case.variant);
        });
    }
}

#[test]
fn no_data_becomes_markup_or_a_header_in_email() {
    const TAGS: [&str; 21] = [
        "!doctype", "a", "body", "br", "code", "head", "html", "img", "li", "meta", "p", "span", "strong", "style",
        "table", "td", "title", "tr", "ul", "tbody", "thead",
    ];
    let renderer = renderer();
    for case in cases() {
        let (name, variant) = (&case.name, case.variant);
        let email = case.email(&renderer);
        assert_eq!(email.subject.lines().count(), 1, "{name} {variant}: {}", email.subject);
        assert!(email.subject.chars().count() <= SUBJECT, "{name} {variant}: {}", email.subject);
        assert!(!email.subject.contains(char::is_control), "{name} {variant}: {}", email.subject);
        assert!(!email.text.contains(|c: char| c.is_control() && c != '\n'), "{name} {variant}: {:?}", email.text);
        for (at, _) in email.html.match_indices('<') {
            let tag: String = email.html[at + 1..]
                .trim_start_matches('/')
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '!')
                .collect();
            assert!(TAGS.contains(&tag.as_str()), "{name} {variant}: <{tag}");
        }
        for (at, _) in email.html.match_indices("<img ") {
            assert!(email.html[at..].starts_with("<img src=\"cid:spend-chart\" width"), "{name} {variant}: a picture");
        }
        for (at, _) in email.html.match_indices("href=\"") {
            let address = email.html[at + 6..].split('"').next().unwrap();
            assert!(address.starts_with("https://") && !address.contains(['<', '\'']), "{name} {variant}: {address}");
        }
    }
}

#[test]
fn every_message_begins_with_its_line() {
    let renderer = renderer();
    for case in cases().iter().filter(|case| case.kind == DeliveryKind::Single && case.variant == "sample") {
        let line = renderer.line(&case.events[0].event);
        let slack = case.slack(&renderer).text;
        assert!(slack.lines().next().unwrap().ends_with(&line), "{slack}");
        let first = case.email(&renderer).text.lines().next().unwrap().to_owned();
        assert!(line.starts_with(&first), "{line}: {first}");
    }
}

#[test]
fn no_template_syntax_in_data_takes_effect() {
    let renderer = renderer();
    for case in cases().iter().filter(|case| case.variant == "hostile") {
        let email = case.email(&renderer);
        let all = format!("{} {} {}", email.subject, email.text, case.slack(&renderer).text);
        assert!(!all.contains("{49}") && !all.contains(" 49 "), "{}: {all}", case.name);
    }
}

fn strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(fields) => fields.values().for_each(|item| strings(item, out)),
        _ => {}
    }
}

fn mrkdwn_objects(value: &Value, check: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| mrkdwn_objects(item, check)),
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|t| t == "mrkdwn") {
                check(fields);
            }
            fields.values().for_each(|item| mrkdwn_objects(item, check));
        }
        _ => {}
    }
}
