//! The layers of the configuration: embedded defaults, file, environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ::config::{Map, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::manifests;
use super::problem::{Problem, Problems};
use crate::domain::strict::NAMED;

const DEFAULTS: &str = include_str!("../../config/default.toml");
/// Environment variables that override keys begin with this.
pub const PREFIX: &str = "AMPBRIDGE__";
/// Largest configuration file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Largest secret file.
const MAX_SECRET: u64 = 64 * 1024;

/// Reads and merges everything. Of a file that is no TOML nothing is returned, and nothing but that is a problem.
pub fn load(file: &Path, env: &BTreeMap<String, String>, problems: &mut Problems) -> Option<Value> {
    match read_capped(file, MAX_BYTES) {
        Ok(text) => load_text(&text, file.parent().unwrap_or(Path::new(".")), env, problems),
        Err(why) => {
            problems.add("", format!("the config file {} can't be read: {why}", file.display()));
            None
        }
    }
}

/// The same from a text.
pub fn load_text(text: &str, folder: &Path, env: &BTreeMap<String, String>, problems: &mut Problems) -> Option<Value> {
    let defaults = Value::new(None, ValueKind::Table(parse(DEFAULTS, &mut Problems::default())));
    let tree = parse(text, problems);
    if problems.torn {
        return None;
    }
    let tree = Value::new(None, ValueKind::Table(tree));
    let overrides = overrides(env, &tree, problems);
    let mut value = without_places(defaults);
    merge(&mut value, tree);
    merge(&mut value, Value::new(None, ValueKind::Table(overrides)));
    manifests::fill(&mut value, folder, problems);
    resolve_secrets(&mut value, "", env, folder, problems);
    Some(value)
}

/// The lines of the embedded defaults are none of the user's.
fn without_places(value: Value) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(key, value)| (key, without_places(value))).collect())
        }
        ValueKind::Array(items) => ValueKind::Array(items.into_iter().map(without_places).collect()),
        other => other,
    };
    Value::new(None, kind)
}

/// Puts one layer over another, key by key as they stand. What stands in both is where the upper one says.
fn merge(into: &mut Value, from: Value) {
    let origin = from.origin().or(into.origin()).map(str::to_owned);
    match (&mut into.kind, from) {
        (ValueKind::Table(old), Value { kind: ValueKind::Table(new), .. }) => {
            for (key, value) in new {
                match old.get_mut(&key) {
                    Some(slot) => merge(slot, value),
                    None => drop(old.insert(key, value)),
                }
            }
            let kind = std::mem::replace(&mut into.kind, ValueKind::Nil);
            *into = Value::new(origin.as_ref(), kind);
        }
        (_, from) => *into = from,
    }
}

/// TOML to values that know their line. Syntax errors become problems; a key that stands twice leaves the rest as it is.
pub fn parse(text: &str, problems: &mut Problems) -> Map<String, Value> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = error.span().map(|span| {
            let (line, column) = position(text, span.start);
            format!("line {line}, column {column}")
        });
        let twice = error.span().filter(|_| error.message() == "duplicate key");
        problems.torn |= twice.is_none();
        let path = twice.map(|span| key_path(text, span.start)).unwrap_or_default();
        // The keys of a section that stands twice are no mistakes of their own.
        if !path.is_empty() && problems.found.iter().any(|p| is_within(&path, &p.path)) {
            continue;
        }
        problems.found.push(Problem { path, origin: place, message: error.message().to_owned() });
    }
    table_to_map(table.get_ref(), text)
}

/// Whether a key stands in a section.
fn is_within(path: &str, section: &str) -> bool {
    !section.is_empty() && path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

fn table_to_map(table: &DeTable<'_>, text: &str) -> Map<String, Value> {
    table
        .iter()
        .map(|(key, value)| {
            let (line, _) = position(text, key.span().start);
            (key.get_ref().to_string(), to_value(value.get_ref(), line, text))
        })
        .collect()
}

fn to_value(value: &DeValue<'_>, line: usize, text: &str) -> Value {
    let kind = match value {
        DeValue::String(s) => ValueKind::String(s.to_string()),
        DeValue::Integer(n) => integer(n.as_str(), n.radix()),
        DeValue::Float(f) => ValueKind::Float(f.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => ValueKind::Boolean(*b),
        DeValue::Datetime(d) => ValueKind::String(d.to_string()),
        DeValue::Array(items) => ValueKind::Array(
            items.iter().map(|i| to_value(i.get_ref(), position(text, i.span().start).0, text)).collect(),
        ),
        DeValue::Table(table) => ValueKind::Table(table_to_map(table, text)),
    };
    Value::new(Some(&format!("line {line}")), kind)
}

/// Numbers too large for anything stay numbers, so that nobody is told of a text.
fn integer(digits: &str, radix: u32) -> ValueKind {
    let small = i64::from_str_radix(digits, radix).map(ValueKind::I64);
    small.unwrap_or_else(|_| ValueKind::I128(i128::from_str_radix(digits, radix).unwrap_or(i128::MAX)))
}

/// The key path of the line at `at`: the table it names, or its own key within the table above it.
fn key_path(text: &str, at: usize) -> String {
    let (number, _) = position(text, at);
    let mut lines: Vec<&str> = text.lines().take(number).map(str::trim).collect();
    let last = lines.pop().unwrap_or_default();
    let table = |line: &str| line.strip_prefix('[').map(|l| l.split(']').next().unwrap_or_default().trim().to_owned());
    if let Some(name) = table(last) {
        return name;
    }
    let key = last.split('=').next().unwrap_or_default().trim();
    lines.into_iter().rev().find_map(table).map_or_else(|| key.to_owned(), |name| format!("{name}.{key}"))
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.split(|b| *b == b'\n').count();
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    (line, column)
}

/// `AMPBRIDGE__SINKS__AUTOMATION__URL` to `sinks.automation.url`: cases and `-` are those of the file where it has the
/// key. A number names an item of a list, from 0. A variable that names nothing there can be is a problem.
fn overrides(env: &BTreeMap<String, String>, tree: &Value, problems: &mut Problems) -> Map<String, Value> {
    let mut layer = Value::new(None, ValueKind::Table(Map::new()));
    for (name, text) in env.iter().filter_map(|(n, t)| n.strip_prefix(PREFIX).map(|rest| (rest, t))) {
        let origin = format!("{PREFIX}{name}");
        let segments: Vec<&str> = name.split("__").collect();
        let kind = list_or_table(text).unwrap_or_else(|| ValueKind::String(text.clone()));
        let value = Value::new(Some(&origin), kind);
        let done = if segments.iter().any(|s| s.is_empty()) {
            Err("names no key: its parts are separated by two underscores each".to_owned())
        } else {
            put(&mut layer, Some(tree), &segments, value)
        };
        if let Err(why) = done {
            problems.add("", format!("the environment variable {origin} {why}"));
        }
    }
    match layer.kind {
        ValueKind::Table(map) => map,
        _ => Map::new(),
    }
}

/// A variable may hold a whole list or table, written as in the file. Anything else is a text.
fn list_or_table(text: &str) -> Option<ValueKind> {
    if !text.trim_start().starts_with(['[', '{']) {
        return None;
    }
    let mut faults = Problems::default();
    let parsed = parse(&format!("value = {}", text.trim()), &mut faults).remove("value")?;
    let kind = without_places(parsed).kind;
    (faults.found.is_empty() && matches!(kind, ValueKind::Array(_) | ValueKind::Table(_))).then_some(kind)
}

fn put(into: &mut Value, shape: Option<&Value>, segments: &[&str], value: Value) -> Result<(), String> {
    let Some((first, rest)) = segments.split_first() else {
        *into = value;
        return Ok(());
    };
    if let (Some(ValueKind::Array(items)), Ok(index)) = (shape.map(|s| &s.kind), first.parse::<usize>()) {
        if !matches!(into.kind, ValueKind::Array(_)) {
            into.kind = ValueKind::Array(items.clone());
        }
        if let ValueKind::Array(list) = &mut into.kind
            && let Some(slot) = list.get_mut(index)
        {
            return put(slot, items.get(index), rest, value);
        }
        return Err(format!("names item {index} of a list of {}; they are counted from 0", items.len()));
    }
    if !matches!(into.kind, ValueKind::Table(_)) {
        into.kind = ValueKind::Table(Map::new());
    }
    let table_of = |v: &Value| match &v.kind {
        ValueKind::Table(t) => Some(t.clone()),
        _ => None,
    };
    let known = shape.and_then(table_of).unwrap_or_default();
    let same = |key: &&String| key.to_lowercase().replace('-', "_") == first.to_lowercase();
    if let ValueKind::Table(table) = &mut into.kind {
        // Of several that are alike, in any process the same.
        let key = known
            .keys()
            .filter(same)
            .min()
            .or_else(|| table.keys().filter(same).min())
            .cloned()
            .unwrap_or_else(|| first.to_lowercase());
        let slot = table.entry(key.clone()).or_insert_with(|| Value::new(None, ValueKind::Nil));
        return put(slot, known.get(&key), rest, value);
    }
    Ok(())
}

/// Replaces `{ env = "…" }` and `{ file = "…" }` by the text they stand for.
fn resolve_secrets(
    value: &mut Value,
    path: &str,
    env: &BTreeMap<String, String>,
    folder: &Path,
    problems: &mut Problems,
) {
    // A reference stands where its one member does.
    let origin = match &value.kind {
        ValueKind::Table(table) if table.len() == 1 => {
            table.values().next().and_then(|v| v.origin()).map(str::to_owned)
        }
        _ => value.origin().map(str::to_owned),
    };
    let replacement = match &mut value.kind {
        ValueKind::Table(table) => {
            if let Some(reference) = secret_of(table) {
                let text = lookup(&reference, env, folder).unwrap_or_else(|why| {
                    problems.stand_in(path.to_owned(), origin.as_deref(), why);
                    // Something that is not empty, so that nothing else complains about it.
                    "unresolved".to_owned()
                });
                Some((text, reference.to_string()))
            } else {
                for (key, child) in sorted(table) {
                    let child_path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    resolve_secrets(child, &child_path, env, folder, problems);
                }
                None
            }
        }
        ValueKind::Array(items) => {
            for (index, child) in items.iter_mut().enumerate() {
                resolve_secrets(child, &format!("{path}[{index}]"), env, folder, problems);
            }
            None
        }
        _ => None,
    };
    if let Some((text, named)) = replacement {
        let origin = format!("{}{NAMED}{named}", origin.unwrap_or_default());
        *value = Value::new(Some(&origin), ValueKind::String(text));
    }
}

enum Reference {
    Env(String),
    File(String),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(name) => write!(f, "the file {name}"),
        }
    }
}

fn secret_of(table: &Map<String, Value>) -> Option<Reference> {
    if table.len() != 1 {
        return None;
    }
    let (key, value) = table.iter().next()?;
    match (key.as_str(), &value.kind) {
        ("env", ValueKind::String(name)) => Some(Reference::Env(name.clone())),
        ("file", ValueKind::String(name)) => Some(Reference::File(name.clone())),
        _ => None,
    }
}

fn lookup(reference: &Reference, env: &BTreeMap<String, String>, folder: &Path) -> Result<String, String> {
    match reference {
        Reference::Env(name) | Reference::File(name) if name.trim().is_empty() => {
            Err("names nothing: write the name between the quotes".to_owned())
        }
        Reference::Env(name) => match env.get(name) {
            Some(text) if !text.trim().is_empty() => Ok(text.clone()),
            Some(_) => Err(format!("the environment variable {name} is empty")),
            None => Err(format!("the environment variable {name} is not set")),
        },
        Reference::File(name) => {
            let path = folder.join(name);
            match read_capped(&path, MAX_SECRET) {
                Ok(text) if !text.trim().is_empty() => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Ok(_) => Err(format!("the secret file {} is empty", path.display())),
                Err(why) => Err(format!("the secret file {} can't be read: {why}", path.display())),
            }
        }
    }
}

/// The members of a table in order of their names, so that what is told of them comes in the same order in any process.
pub fn sorted(table: &mut Map<String, Value>) -> Vec<(&String, &mut Value)> {
    let mut members: Vec<(&String, &mut Value)> = table.iter_mut().collect();
    members.sort_by_key(|(key, _)| *key);
    members
}

/// A text file of no more than `cap` bytes.
pub fn read_capped(path: &Path, cap: u64) -> Result<String, String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(cap + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > cap {
        return Err(format!("it is larger than {cap} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str, env: &[(&str, &str)]) -> (Option<Value>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ampbridge.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(dir.path().join("token"), "from-file\n").unwrap();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut problems = Problems::default();
        let value = load(&file, &env, &mut problems);
        (value, problems.found.iter().map(ToString::to_string).collect())
    }

    fn get<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
        path.split('.').try_fold(value, |v, key| match &v.kind {
            ValueKind::Table(t) => t.get(key),
            ValueKind::Array(a) => a.get(key.parse::<usize>().ok()?),
            _ => None,
        })
    }

    #[test]
    fn the_environment_overrides_any_key() {
        let text = "[sinks.my-hook]\nurl = \"a\"\n[[routes]]\nsinks = [\"x\"]\n";
        let env = [
            ("AMPBRIDGE__SINKS__MY_HOOK__URL", "b"),
            ("AMPBRIDGE__ROUTES__0__SINKS", "y,z"),
            ("AMPBRIDGE__SINKS__OTHER__KIND", "slack"),
            ("AMPBRIDGE__SINKS__OTHER__WEBHOOK_URL__ENV", "HOOK"),
            ("HOOK", "00123"),
        ];
        let (value, problems) = load_text(text, &env);
        assert!(problems.is_empty(), "{problems:?}");
        let value = value.unwrap();
        let text_at = |path: &str| get(&value, path).map(|v| v.clone().into_string().unwrap());
        assert_eq!(text_at("sinks.my-hook.url").as_deref(), Some("b"));
        assert_eq!(text_at("routes.0.sinks").as_deref(), Some("y,z"));
        assert_eq!(text_at("sinks.other.kind").as_deref(), Some("slack"));
        assert_eq!(text_at("sinks.other.webhook_url").as_deref(), Some("00123"), "never taken for a number");
    }

    #[test]
    fn a_variable_may_hold_a_whole_list_or_table() {
        let env = [
            ("AMPBRIDGE__SINKS__HOOK__SECRETS", r#"["a", { env = "OTHER" }]"#),
            ("AMPBRIDGE__SINKS__HOOK__RETRY", "{ min = \"1s\" }"),
            ("AMPBRIDGE__SINKS__HOOK__BODY", "{\"text\": {{ event.subject }}}"),
            ("OTHER", "b"),
        ];
        let (value, problems) = load_text("[sinks.hook]\nkind = \"webhook\"\n", &env);
        assert!(problems.is_empty(), "{problems:?}");
        let value = value.unwrap();
        let text_at = |path: &str| get(&value, path).map(|v| v.clone().into_string().unwrap());
        assert_eq!(text_at("sinks.hook.secrets.1").as_deref(), Some("b"));
        assert_eq!(text_at("sinks.hook.retry.min").as_deref(), Some("1s"));
        assert_eq!(text_at("sinks.hook.body").as_deref(), Some("{\"text\": {{ event.subject }}}"), "a text stays one");
    }

    #[test]
    fn a_variable_that_names_nothing_is_told() {
        let env = [("AMPBRIDGE__ROUTES__1__SINKS", "x"), ("AMPBRIDGE__BRIDGE____NAME", "x")];
        let (_, problems) = load_text("[[routes]]\nsinks = [\"x\"]\n", &env);
        let all = problems.join("\n");
        assert!(all.contains("AMPBRIDGE__ROUTES__1__SINKS names item 1 of a list of 1"), "{all}");
        assert!(all.contains("AMPBRIDGE__BRIDGE____NAME names no key"), "{all}");
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn all_missing_secrets_are_told_and_what_is_no_toml_by_itself() {
        let text = "[rules.x]\nk = 1\n[rules.x]\nk = 2\n\n[s]\nt = { env = \"NOPE\" }\nu = { file = \"nope\" }\nv = { file = \"token\" }\n";
        let (value, problems) = load_text(&format!("a = \n{text}"), &[]);
        assert!(value.is_none() && problems.len() == 2, "{problems:?}");
        assert!(problems[0].starts_with("line 1, ") && problems[1].ends_with("duplicate key"), "{problems:?}");
        let (value, problems) = load_text(text, &[]);
        assert_eq!(get(&value.unwrap(), "s.v").unwrap().clone().into_string().unwrap(), "from-file");
        let all = problems.join("\n");
        for part in [
            "rules.x (line 3, column 8): duplicate key",
            "s.t (line 7): the environment variable NOPE is not set",
            "s.u (line 8): the secret file",
        ] {
            assert!(all.contains(part), "{part} not in:\n{all}");
        }
    }
}
