//! Every key of the config's schema, given what is of another type: one problem, at that key and its line, in words of
//! settings.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Problem, load_text, schema};
use crate::source::rest::manifest;

/// What users have not asked for: Rust, and its library's ways to put things.
const FOREIGN: [&str; 9] =
    ["untagged", "struct ", "enum ", "variant", "Option<", "::", "invalid type", "invalid length", "borrowed"];

/// Of every section and kind an entry that is right. The first member is what is tried.
const EXAMPLES: &[&str] = &[
    r#"{ "bridge": { "name": "bridge" } }"#,
    r#"{ "store": { "path": "data" } }"#,
    r#"{ "admin": { "listen": "127.0.0.1:0" } }"#,
    r#"{ "prices": { "our-*": { "input": 1, "output": 2 } } }"#,
    r#"{ "prices": { "our-*": [{ "input": 1, "output": 2 }] } }"#,
    r#"{ "groups": { "backend": ["ana@example.com"] } }"#,
    r#"{ "sources": { "x": { "kind": "amp", "client_id": "id", "client_secret": "secret" } } }"#,
    r#"{ "sources": { "x": { "kind": "amp_missions", "api_key": "key" } } }"#,
    r#"{ "sources": { "x": { "kind": "amp_cli", "api_key": "key" } } }"#,
    r#"{ "sources": { "x": { "kind": "amp_threads", "path": "threads" } } }"#,
    r#"{ "sources": { "x": { "kind": "amply", "api_key": "key" } } }"#,
    r#"{ "sources": { "x": { "kind": "http_json", "manifest": "anthropic", "api_key": "key" } } }"#,
    r#"{ "rules": { "x": { "kind": "budget", "limit_usd": 200, "period": "day" } } }"#,
    r#"{ "rules": { "x": { "kind": "budget", "limit_times_usual": 2, "period": "day" } } }"#,
    r#"{ "rules": { "x": { "kind": "spike" } } }"#,
    r#"{ "rules": { "x": { "kind": "thread_cost", "limits_usd": [5] } } }"#,
    r#"{ "sinks": { "x": { "kind": "slack", "webhook_url": "https://hooks.example.com/s" } } }"#,
    r#"{ "sinks": { "x": { "kind": "slack", "bot_token": "xoxb-1", "channel": "C1" } } }"#,
    r#"{ "sinks": { "x": { "kind": "webhook", "url": "https://example.com", "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] } } }"#,
    r#"{ "sinks": { "x": { "kind": "webhook", "preset": "pagerduty", "routing_key": "0123456789abcdef0123456789abcdef" } } }"#,
    r#"{ "sinks": { "x": { "kind": "email", "smtp_url": "smtp://127.0.0.1:25", "from": "a@example.com", "to": ["b@example.com"] } } }"#,
    r#"{ "sinks": { "x": { "kind": "console" } } }"#,
    r#"{ "routes": [{ "sinks": ["out"] }], "sinks": { "out": { "kind": "console" } } }"#,
    r#"{ "routes": [{ "sinks": ["out"], "where": { "field": "rule", "equals": "daily" } }], "sinks": { "out": { "kind": "console" } } }"#,
    r#"{ "routes": [{ "sinks": ["out"], "digest": { "every": "daily" } }], "sinks": { "out": { "kind": "console" } } }"#,
];

const MANIFEST: &str = r#"{ "base": "https://example.com", "collections": { "job": { "get": "/jobs", "records": "/data", "key": ["/id"] } } }"#;

/// A path, and what of another type is put there, in a config that is otherwise right.
struct Case {
    path: Vec<String>,
    right: Value,
    wrong: Value,
}

#[test]
fn a_value_of_another_type_is_told_at_its_key_in_the_words_of_settings() {
    let (schema, mut tried) = (schema().to_value(), BTreeSet::new());
    let mut faults = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    for example in EXAMPLES {
        let right: Value = serde_json::from_str(example).unwrap();
        let load = |config: &Value| load_text(&toml(config), folder.path()).err().unwrap_or_default();
        assert_eq!(load(&right), [], "{example}");
        let section = right.as_object().unwrap().keys().next().unwrap().clone();
        let mut cases = Cases { root: &schema, found: Vec::new() };
        cases.visit(&schema["properties"][&section], &right, &[section]);
        assert!(cases.found.len() > 4, "{example}");
        let mut before = (Value::Null, Vec::new());
        for case in cases.found {
            if before.0 != case.right {
                before = (case.right.clone(), load(&case.right));
            }
            faults.extend(fault(&case, &before.1, &load, "", ""));
            tried.insert(
                case.path.iter().map(|part| if part == "[0]" { "[]" } else { part }.to_owned()).collect::<Vec<_>>(),
            );
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(tried.len() > 200, "the schema has many more keys than {}", tried.len());
}

#[test]
fn so_it_is_in_a_manifest() {
    let schema = manifest::schema().to_value();
    let mut faults = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    let config = "[sources.x]\nkind = \"http_json\"\nmanifest = \"x.toml\"\n";
    let right: Value = serde_json::from_str(MANIFEST).unwrap();
    let load = |manifest: &Value| {
        std::fs::write(folder.path().join("x.toml"), toml(manifest)).unwrap();
        load_text(config, folder.path()).err().unwrap_or_default()
    };
    assert_eq!(load(&right), []);
    let mut cases = Cases { root: &schema, found: Vec::new() };
    cases.visit(&schema, &right, &[]);
    assert!(cases.found.len() > 300, "a manifest has many more keys");
    let mut before = (Value::Null, Vec::new());
    for case in cases.found.iter().filter(|case| !case.path.is_empty()) {
        if before.0 != case.right {
            before = (case.right.clone(), load(&case.right));
        }
        faults.extend(fault(case, &before.1, &load, "sources.x.manifest.", "x.toml "));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// What is wrong with what is told of a case.
fn fault(
    case: &Case,
    before: &[Problem],
    load: &dyn Fn(&Value) -> Vec<Problem>,
    prefix: &str,
    file: &str,
) -> Option<String> {
    let mut config = case.right.clone();
    set(&mut config, &case.path, case.wrong.clone());
    let told = load(&config);
    let news: Vec<&Problem> =
        told.iter().filter(|p| !before.iter().any(|b| b.path == p.path && b.message == p.message)).collect();
    let all = news.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    let place = |what: &str| Some(format!("{what}: {} = {}: {all}", case.path.join("."), case.wrong));
    let [problem] = news[..] else { return place("one mistake, not one problem") };
    let key = format!("{prefix}{}", case.path.join(".")).replace(".[", "[");
    if problem.path.replace("[0]", "") != key.replace("[0]", "") {
        return place("not at its key");
    }
    if let Some(word) = FOREIGN.iter().find(|word| all.contains(**word)) {
        return place(&format!("{word:?} is no word of settings"));
    }
    let at = lines(&config).iter().position(|(at, _)| at.starts_with(&case.path) || case.path.starts_with(at));
    let origin = at.map(|at| format!("{file}line {}", at + 1));
    if problem.origin == origin { None } else { place("not at its line") }
}

/// Walks a schema, and finds for each key what it does not take.
struct Cases<'a> {
    root: &'a Value,
    found: Vec<Case>,
}

impl Cases<'_> {
    fn visit(&mut self, schema: &Value, right: &Value, path: &[String]) {
        let alternatives = self.alternatives(schema);
        if alternatives.iter().any(|a| {
            *a == json!(true) || a.as_object().is_some_and(|a| !a.keys().any(|k| k != "description" && k != "default"))
        }) {
            return;
        }
        let mut candidates = vec![json!(true), json!(7), json!("☂"), json!([[1]]), json!({ "odd": true })];
        if alternatives.iter().any(|alternative| takes(alternative, &json!(7))) {
            candidates.extend([json!(-7), json!(2.5)]);
        }
        // What a right value asks of other keys is no news of a wrong one.
        let mut given = right.clone();
        if get(right, path).is_none() {
            set(&mut given, path, self.sample(schema));
        }
        for wrong in candidates {
            if !alternatives.iter().any(|alternative| takes(alternative, &wrong)) {
                self.found.push(Case { path: path.to_vec(), right: given.clone(), wrong });
            }
        }
        let here = get(right, path).cloned();
        for alternative in &alternatives {
            if alternative.get("properties").is_some()
                || alternative.get("additionalProperties").is_some_and(Value::is_object)
            {
                self.members(alternative, right, here.as_ref(), path);
            }
            let items = alternative.get("prefixItems").and_then(|items| items.get(0)).or(alternative.get("items"));
            if let Some(items) = items.filter(|_| !here.as_ref().is_some_and(Value::is_object)) {
                let mut right = right.clone();
                if !here.as_ref().is_some_and(Value::is_array) {
                    set(&mut right, path, self.sample(alternative));
                }
                self.visit(items, &right, &[path, &["[0]".to_owned()]].concat());
            }
        }
    }

    fn members(&mut self, schema: &Value, right: &Value, here: Option<&Value>, path: &[String]) {
        if here.is_some_and(Value::is_array) {
            return;
        }
        let is_ours = |here: &Map<String, Value>| {
            let kind = schema.pointer("/properties/kind/const");
            let known = |key: &String| {
                schema["additionalProperties"] != json!(false) || schema["properties"].get(key).is_some()
            };
            (kind.is_none() || here.get("kind") == kind) && here.keys().all(known)
        };
        let mut right = right.clone();
        match here.and_then(Value::as_object) {
            Some(here) if !is_ours(here) => return,
            Some(_) => {}
            None => set(&mut right, path, self.sample(schema)),
        }
        for (key, member) in schema["properties"].as_object().into_iter().flatten() {
            self.visit(member, &right, &[path, std::slice::from_ref(key)].concat());
        }
        if schema["additionalProperties"].is_object() {
            let names = here
                .and_then(Value::as_object)
                .filter(|h| !h.is_empty())
                .map_or(vec!["x".to_owned()], |h| h.keys().cloned().collect());
            for name in names {
                self.visit(&schema["additionalProperties"], &right, &[path, &[name]].concat());
            }
        }
        if schema["additionalProperties"] == json!(false) && schema.get("properties").is_some() && !is_secret(schema) {
            let path = [path, &["odd_key".to_owned()]].concat();
            self.found.push(Case { path, right, wrong: json!(1) });
        }
    }

    /// What a schema allows, one form each.
    fn alternatives(&self, schema: &Value) -> Vec<Value> {
        let mut found = Vec::new();
        let several = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array());
        if let Some(name) = schema.get("$ref").and_then(|r| r.as_str()?.rsplit('/').next()) {
            return self.alternatives(&self.root["$defs"][name]);
        }
        match several {
            Some(several) => several.iter().for_each(|schema| found.extend(self.alternatives(schema))),
            None if is_secret(schema) => {}
            None => found.push(schema.clone()),
        }
        found
    }

    /// The least that a schema allows.
    fn sample(&self, schema: &Value) -> Value {
        let alternatives = self.alternatives(schema);
        let Some(schema) = alternatives.first() else { return json!("x") };
        if let Some(fixed) =
            schema.get("const").or_else(|| schema.pointer("/enum/0")).or_else(|| schema.pointer("/examples/0"))
        {
            return fixed.clone();
        }
        if let Some(items) = schema["prefixItems"].as_array() {
            return items.iter().map(|item| self.sample(item)).collect();
        }
        match kinds(schema).first().map(String::as_str) {
            Some("object") => {
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                required
                    .map(|key| (key.to_owned(), self.sample(&schema["properties"][key])))
                    .collect::<Map<_, _>>()
                    .into()
            }
            Some("array") => json!([self.sample(&schema["items"])]),
            Some("boolean") => json!(false),
            Some("integer" | "number") => json!(1),
            _ => json!("x"),
        }
    }
}

/// `{ env = "…" }` and `{ file = "…" }`, which the loader puts a text in the place of.
fn is_secret(schema: &Value) -> bool {
    ["env", "file"].iter().any(|key| schema["required"] == json!([key]))
}

fn kinds(schema: &Value) -> Vec<String> {
    match &schema["type"] {
        Value::String(kind) => vec![kind.clone()],
        Value::Array(kinds) => kinds.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

fn takes(schema: &Value, value: &Value) -> bool {
    if let Some(fixed) = schema.get("const") {
        return fixed == value;
    }
    kinds(schema).iter().any(|kind| match (kind.as_str(), value) {
        ("boolean", Value::Bool(_))
        | ("number", Value::Number(_))
        | ("object", Value::Object(_))
        | ("array", Value::Array(_)) => true,
        ("integer", Value::Number(n)) => n.as_i64().is_some_and(|n| n >= 0 || schema.get("minimum").is_none()),
        ("string", Value::String(_)) => {
            // Of a form with an example there is one that is right; of others nobody knows.
            !(schema.get("enum").is_some() || (schema.get("pattern").is_some() && schema.get("examples").is_some()))
        }
        _ => false,
    })
}

fn get<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, part| match index(part) {
        Some(index) => value.get(index),
        None => value.get(part),
    })
}

fn set(value: &mut Value, path: &[String], new: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    match index(first) {
        Some(index) => set(&mut value[index], rest, new),
        None => set(&mut value[first], rest, new),
    }
}

fn index(part: &str) -> Option<usize> {
    part.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// A line for each value that is no table, with its path.
fn lines(config: &Value) -> Vec<(Vec<String>, String)> {
    fn add(value: &Value, path: &[String], lines: &mut Vec<(Vec<String>, String)>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (key, value) in members {
                    add(value, &[path, std::slice::from_ref(key)].concat(), lines);
                }
            }
            _ => {
                let key = path.iter().map(|part| format!("{part:?}")).collect::<Vec<_>>().join(".");
                lines.push((path.to_vec(), format!("{key} = {}", inline(value))));
            }
        }
    }
    let mut found = Vec::new();
    add(config, &[], &mut found);
    found
}

fn toml(config: &Value) -> String {
    lines(config).into_iter().map(|(_, line)| line + "\n").collect()
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{key:?} = {}", inline(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
