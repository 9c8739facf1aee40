//! What is written for people and editors, held against the program: the example config, the schemas kept in the
//! repository, the events of the documentation, the configs of the README and of `deploy/`.
//!
//! `UPDATE_SCHEMAS=1 cargo test --test docs` writes the schemas anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ampbridge::config;
use ampbridge::render::samples;
use serde_json::{Value, json};

/// A secret that `openssl rand -base64 32` could have made.
const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Something usable for every variable a config text names.
fn variables(text: &str) -> BTreeMap<String, String> {
    text.split("env = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|name| {
            let value = match name {
                n if n.contains("WEBHOOK_SECRET") => SIGNING_SECRET,
                n if n.contains("SMTP") => "smtps://user:password@mail.example.com:465",
                n if n.contains("URL") => "https://hooks.example.com/services/T/B/X",
                _ => "dummy",
            };
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// Problems of a config text that stands in `folder`.
fn problems(folder: &Path, text: &str) -> Vec<String> {
    let file = folder.join("ampbridge.toml");
    fs::write(&file, text).unwrap();
    match config::load(&file, &variables(text)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// The example with its optional keys taken in: `#key = value` and `#[section]` lose their `#`.
fn with_optional_keys(text: &str) -> String {
    let key = |line: &str| {
        let name = line.split(" = ").next().unwrap_or_default();
        line.starts_with('[')
            || (line.contains(" = ") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !name.is_empty())
    };
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if key(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_config_has_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let text = read("config/ampbridge.toml");
    assert_eq!(problems(folder.path(), &text), Vec::<String>::new());
}

#[test]
fn every_optional_key_of_the_example_works_once_it_is_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("my-templates")).unwrap();
    fs::write(folder.path().join("admin.token"), "0123456789abcdef0123\n").unwrap();
    let pem = folder.path().join("company-ca.pem");
    fs::write(&pem, rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap().cert.pem()).unwrap();
    let text = with_optional_keys(&read("config/ampbridge.toml"));
    assert!(text.contains("\ntemplates_dir = ") && text.contains("\n[sinks.ops-bot]"), "{text}");
    let text = text.replace("/etc/ssl/company-ca.pem", pem.to_str().unwrap());
    assert_eq!(problems(folder.path(), &text), Vec::<String>::new());
}

#[test]
fn a_wrong_example_would_be_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let text = read("config/ampbridge.toml").replace("limit_usd = 200", "limit_us = 200");
    let found = problems(folder.path(), &text).join("\n");
    assert!(found.contains("rules.daily-budget.limit_us") && found.contains("did you mean"), "{found}");
}

#[test]
fn the_example_shows_every_key_of_the_schema() {
    let text = with_optional_keys(&read("config/ampbridge.toml"));
    let example: Value = serde_json::to_value(toml::from_str::<toml::Table>(&text).unwrap()).unwrap();
    let schema = config::schema().to_value();
    for section in ["bridge", "store", "admin"] {
        let shown = keys(&example[section]);
        let missing: Vec<_> = properties(&schema, &schema["properties"][section]).difference(&shown).cloned().collect();
        assert!(missing.is_empty(), "[{section}] lacks {missing:?}");
    }
    for section in ["sources", "rules", "sinks"] {
        let kinds = schema["properties"][section]["additionalProperties"]["oneOf"].as_array().unwrap();
        // What every kind has is shown once for all.
        let shared: BTreeSet<String> = kinds
            .iter()
            .map(|kind| properties(&schema, kind))
            .reduce(|a, b| a.intersection(&b).cloned().collect())
            .unwrap();
        let all_shown: BTreeSet<String> = entries(&example[section]).flat_map(keys).collect();
        for kind in kinds {
            let name = &kind["properties"]["kind"]["const"];
            let shown: BTreeSet<String> =
                entries(&example[section]).filter(|entry| &entry["kind"] == name).flat_map(keys).collect();
            let missing: Vec<String> = properties(&schema, kind)
                .into_iter()
                .filter(|key| !shown.contains(key) && !(shared.contains(key) && all_shown.contains(key)))
                .collect();
            assert!(missing.is_empty(), "{section} of kind {name} lack {missing:?}");
        }
    }
    let routes: BTreeSet<String> = example["routes"].as_array().unwrap().iter().flat_map(keys).collect();
    assert_eq!(properties(&schema, &schema["properties"]["routes"]["items"]), routes);
}

fn keys(table: &Value) -> BTreeSet<String> {
    table.as_object().map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

fn entries(table: &Value) -> impl Iterator<Item = &Value> {
    table.as_object().into_iter().flat_map(|t| t.values())
}

fn properties(root: &Value, schema: &Value) -> BTreeSet<String> {
    let named = schema["$ref"].as_str().and_then(|r| root.pointer(r.trim_start_matches('#')));
    keys(&named.unwrap_or(schema)["properties"])
}

#[test]
fn editors_accept_the_example() {
    let text = read("config/ampbridge.toml");
    assert!(text.starts_with("#:schema ../schemas/config.json\n"));
    let validator = jsonschema::validator_for(&config::schema().to_value()).unwrap();
    for text in [text.clone(), with_optional_keys(&text)] {
        let example: Value = serde_json::to_value(toml::from_str::<toml::Table>(&text).unwrap()).unwrap();
        let faults: Vec<String> =
            validator.iter_errors(&example).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(faults, Vec::<String>::new());
    }
    assert!(!validator.is_valid(&json!({ "bridge": { "nmae": "x" } })));
    assert!(!validator.is_valid(&json!({ "sinks": { "x": { "kind": "webhook" } } })));
}

#[test]
fn schemas_kept_in_the_repository_are_those_of_the_program() {
    let folder = root().join("schemas");
    let mut current = BTreeMap::from([(folder.join("config.json"), config::schema().to_value())]);
    for kind in samples::types() {
        current.insert(folder.join(format!("events/{kind}.json")), samples::event_schema(kind).unwrap().to_value());
    }
    let text = |value: &Value| format!("{}\n", serde_json::to_string_pretty(value).unwrap());
    let kept: BTreeSet<PathBuf> = fs::read_dir(folder.join("events"))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::create_dir_all(folder.join("events")).unwrap();
        for stale in kept.iter().filter(|path| !current.contains_key(*path)) {
            fs::remove_file(stale).unwrap();
        }
        for (path, value) in &current {
            fs::write(path, text(value)).unwrap();
        }
        return;
    }
    for (path, value) in &current {
        let found = fs::read_to_string(path).unwrap_or_default();
        assert!(found == text(value), "{} is out of date: UPDATE_SCHEMAS=1 cargo test --test docs", path.display());
    }
    let stale: Vec<_> = kept.iter().filter(|path| !current.contains_key(*path)).collect();
    assert!(stale.is_empty(), "no event type has these schemas any more: {stale:?}");
}

#[test]
fn samples_are_valid_and_other_things_are_not() {
    for kind in samples::types() {
        let schema = samples::event_schema(kind).unwrap().to_value();
        jsonschema::meta::validate(&schema).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let validator = jsonschema::validator_for(&schema).unwrap();
        let sample = serde_json::to_value(samples::sample(kind).unwrap()).unwrap();
        let faults: Vec<String> =
            validator.iter_errors(&sample).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(faults, Vec::<String>::new(), "{kind}");
        for key in ["id", "type", "data", "severity"] {
            let mut broken = sample.clone();
            broken[key] = json!(7);
            assert!(!validator.is_valid(&broken), "{kind} with a wrong {key} passes");
        }
        let mut other = sample.clone();
        other["type"] = json!("something.else");
        assert!(!validator.is_valid(&other), "the schema of {kind} takes other types");
    }
}
