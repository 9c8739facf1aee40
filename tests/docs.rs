//! What is written for people and editors, held against the program: the example config, the schemas kept in the
//! repository, the events of the documentation, the configs of the README and of `deploy/`.
//!
//! `UPDATE_SCHEMAS=1 cargo test --test docs` writes the schemas and the reference part of `docs/events.md` anew.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

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
            || (line.contains(" = ")
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && !name.is_empty())
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
    let made = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    fs::write(folder.path().join("company-ca.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("client.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("client.key"), made.signing_key.serialize_pem()).unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    fs::write(folder.path().join("dkim.pem"), key.serialize_pem()).unwrap();
    let text = with_optional_keys(&read("config/ampbridge.toml"));
    assert!(text.contains("\ntemplates_dir = ") && text.contains("\n[sinks.ops-bot]"), "{text}");
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
                .filter(|key| !shown.contains(key))
                .filter(|key| !shared.contains(key) || !all_shown.contains(key))
                .collect();
            assert!(missing.is_empty(), "{section} of kind {name} lack {missing:?}");
        }
    }
    let routes: BTreeSet<String> = example["routes"].as_array().unwrap().iter().flat_map(keys).collect();
    assert_eq!(properties(&schema, &schema["properties"]["routes"]["items"]), routes);
}

#[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
fn updating() -> bool {
    std::env::var_os("UPDATE_SCHEMAS").is_some()
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
    let mut current = BTreeMap::from([
        (folder.join("config.json"), config::schema().to_value()),
        (folder.join("asyncapi.json"), samples::asyncapi()),
    ]);
    for kind in samples::types() {
        current.insert(folder.join(format!("events/{kind}.json")), samples::event_schema(kind).unwrap().to_value());
    }
    let text = |value: &Value| format!("{}\n", serde_json::to_string_pretty(value).unwrap());
    let kept: BTreeSet<PathBuf> = fs::read_dir(folder.join("events"))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    if updating() {
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

/// What stands in `docs/events.md` from here on is made of schemas and samples.
const GENERATED: &str =
    "<!-- From here on made by UPDATE_SCHEMAS=1 cargo test --test docs; change src/domain/payload.rs instead. -->";

#[test]
fn the_events_page_describes_every_type() {
    let page = read("docs/events.md");
    let (written, found) = page.split_once(GENERATED).unwrap();
    let made: String = samples::types().into_iter().map(event_section).collect();
    if updating() {
        fs::write(root().join("docs/events.md"), format!("{written}{GENERATED}\n{made}")).unwrap();
    } else {
        assert!(found == format!("\n{made}"), "docs/events.md is out of date: UPDATE_SCHEMAS=1 cargo test --test docs");
    }
}

fn event_section(kind: &str) -> String {
    let schema = samples::event_schema(kind).unwrap().to_value();
    let sample = serde_json::to_value(samples::sample(kind).unwrap()).unwrap();
    let data = &schema["properties"]["data"];
    let mut nested = BTreeSet::new();
    let mut text = format!("\n### {kind}\n\n{} `{}`.\n\n", sentence(data), sample["severity"].as_str().unwrap());
    text.push_str(&fields(data, &mut nested));
    // Described once, above.
    let mut known = BTreeSet::from(["Who".to_owned()]);
    while let Some(name) = nested.difference(&known).next().cloned() {
        let definition = &schema["$defs"][&name];
        if definition["properties"].is_object() {
            text.push_str(&format!("\n`{name}`: {}\n\n", sentence(definition)));
            text.push_str(&fields(definition, &mut nested));
        }
        known.insert(name);
    }
    let sample = serde_json::to_string_pretty(&sample).unwrap();
    text.push_str(&format!("\n<details><summary>A sample</summary>\n\n```json\n{sample}\n```\n\n</details>\n"));
    text
}

fn fields(schema: &Value, nested: &mut BTreeSet<String>) -> String {
    let mut text = String::from("| field | is | |\n| --- | --- | --- |\n");
    for (name, field) in schema["properties"].as_object().unwrap() {
        text.push_str(&format!("| `{name}` | {} | {} |\n", shape(field, nested), sentence(field)));
    }
    text
}

fn sentence(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

/// The type of a field in a word or two.
fn shape(schema: &Value, nested: &mut BTreeSet<String>) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        if name == "Usd" {
            return "dollars".to_owned();
        }
        nested.insert(name.to_owned());
        return format!("`{name}`");
    }
    if let Some(options) = schema["anyOf"].as_array() {
        return options.iter().map(|option| shape(option, nested)).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", shape(&schema["items"], nested)),
        Value::String(name) if name == "object" && schema["additionalProperties"].is_object() => {
            format!("map to {}", shape(&schema["additionalProperties"], nested))
        }
        Value::String(name) if name == "string" => "text".to_owned(),
        Value::String(name) if name == "boolean" => "true or false".to_owned(),
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).map(|n| if n == "string" { "text" } else { n });
            names.collect::<Vec<_>>().join(" or ")
        }
        _ => "anything".to_owned(),
    }
}

#[test]
fn the_readme_names_every_event_every_command_and_every_exit_code() {
    use clap::CommandFactory as _;
    let readme = read("README.md");
    for kind in samples::types() {
        assert!(readme.contains(&format!("`{kind}`")), "{kind} is missing in the README");
    }
    let cli = ampbridge::cli::Cli::command();
    for command in cli.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        let name = command.get_name();
        assert!(
            readme.lines().any(|l| l.starts_with(&format!("| `{name}"))),
            "{name} is missing in the commands table"
        );
        for part in command.get_subcommands().filter(|c| c.get_name() != "help") {
            let row = readme.lines().find(|l| l.starts_with(&format!("| `{name}"))).unwrap();
            assert!(row.contains(part.get_name()), "{name} {} is missing", part.get_name());
        }
    }
    for code in 0..=3 {
        assert!(readme.contains(&format!("| {code} | ")), "exit code {code}");
    }
}

/// The block of a marked file in the README.
fn block(readme: &str, name: &str) -> String {
    let (_, rest) = readme.split_once(&format!("<!-- test: file {name} -->\n```")).unwrap_or_else(|| panic!("{name}"));
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("\n```\n").unwrap().0.to_owned() + "\n"
}

#[test]
fn the_readmes_files_are_those_of_deploy_and_they_work() {
    let readme = read("README.md");
    let config = block(&readme, "ampbridge.toml");
    assert_eq!(config, read("deploy/compose/ampbridge.toml"));
    assert_eq!(config, read("deploy/kubernetes/ampbridge.toml"));
    assert_eq!(block(&readme, "receiver.py"), read("deploy/compose/receiver.py"));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(problems(folder.path(), &config), Vec::<String>::new());
    let compose = read("deploy/compose/compose.yaml");
    for name in variables(&config).keys() {
        assert!(readme.contains(&format!("export {name}=")), "the walkthrough does not set {name}");
        assert!(compose.contains(&format!("\n      {name}: ")), "the compose file does not set {name}");
    }
}

/// `AMPBRIDGE__…` variables name keys that exist, wherever they are shown.
#[test]
fn variables_that_override_keys_name_keys() {
    for path in ["README.md", "deploy/Dockerfile", "deploy/compose/compose.yaml", "deploy/kubernetes/statefulset.yaml"]
    {
        let text = read(path);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ampbridge.toml");
        let config = read("deploy/compose/ampbridge.toml");
        fs::write(&file, &config).unwrap();
        let mut env = variables(&config);
        let name = |rest: &str| rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap().to_owned();
        for found in text.split("AMPBRIDGE__").skip(1).map(name).filter(|name| !name.is_empty()) {
            let value = match found.rsplit("__").next().unwrap() {
                "LISTEN" => "127.0.0.1:1",
                "EVERY" => "1s",
                _ => "http://127.0.0.1:1",
            };
            env.insert(format!("AMPBRIDGE__{found}"), value.to_owned());
        }
        let faults: Vec<String> =
            config::load(&file, &env).err().unwrap_or_default().iter().map(ToString::to_string).collect();
        assert_eq!(faults, Vec::<String>::new(), "{path}");
    }
}

#[test]
fn every_metric_is_in_the_operations_page() {
    let page = read("docs/operations.md");
    let source = read("src/telemetry/metrics.rs") + &read("src/sink/rendering.rs");
    let names: BTreeSet<&str> =
        source.split('"').filter(|part| part.starts_with("ampbridge_") && !part.contains(' ')).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
}

#[test]
fn every_key_is_in_the_configuration_page() {
    let page = read("docs/configuration.md");
    let schema = config::schema().to_value();
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for section in ["bridge", "store", "admin"] {
        wanted.insert(format!("[{section}]"), properties(&schema, &schema["properties"][section]));
    }
    for section in ["sources", "rules", "sinks"] {
        let kinds = schema["properties"][section]["additionalProperties"]["oneOf"].as_array().unwrap();
        for kind in kinds {
            let name = kind["properties"]["kind"]["const"].as_str().unwrap();
            assert!(page.contains(&format!("`{name}`")), "kind {name}");
            wanted.entry(format!("[{section}.NAME]")).or_default().extend(properties(&schema, kind));
        }
    }
    wanted.insert("[[routes]]".to_owned(), properties(&schema, &schema["properties"]["routes"]["items"]));
    for (heading, keys) in wanted {
        let (_, rest) = page.split_once(&format!("\n## `{heading}`")).unwrap_or_else(|| panic!("{heading}"));
        let section = rest.split("\n## ").next().unwrap();
        for key in keys {
            assert!(section.contains(&format!("| `{key}`")), "{heading} lacks {key}");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("ARCHITECTURE.md"), PathBuf::from("CHANGELOG.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let name = folder.join(entry.unwrap().file_name());
            if root().join(&name).is_dir() {
                folders.push(name);
            } else if name.extension().is_some_and(|e| e == "md") {
                pages.push(name);
            }
        }
    }
    assert!(pages.len() > 7, "{pages:?}");
    let mut dead = Vec::new();
    for page in pages {
        let text = read(page.to_str().unwrap());
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|t| !t.contains("://") && !t.starts_with('#')) {
            let path = target.split('#').next().unwrap();
            if !root().join(page.parent().unwrap()).join(path).exists() {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:?}");
}
