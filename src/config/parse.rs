//! From a tree of values to typed settings, collecting every problem on the way.

use ::config::{ConfigError, Value, ValueKind};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Error as PathError, Path, Segment};

use super::problem::Problems;
use crate::domain::hint::hint;
use crate::domain::strict::Strict;

/// No section has more problems than a person would read.
const MOST: usize = 64;
/// Most tries; each problem takes one, and one for each thing that could stand in for it.
const ROUNDS: usize = 512;

/// Words that say which other keys belong beside them. Where one is wrong, nothing else can be said of its section.
const STEERING: [&str; 4] = ["kind", "manifest", "preset", "role"];

/// Reads `value` as a `T`; everything that was wrong is in `problems`. What comes back then has stand-ins for it, so
/// that more can be found out about the rest; `None` where not enough is left for that.
pub fn read<T: DeserializeOwned>(value: Value, base: &str, problems: &mut Problems) -> Option<T> {
    collect(value, base, &|v| serde_path_to_error::deserialize(Strict(v)), &[], problems)
}

/// What stands where something is missing or wrong.
struct StandIn {
    path: Vec<String>,
    /// The word that is expected there, where it is known.
    word: Option<String>,
    tried: usize,
}

/// Tries again and again: each round finds one problem, puts something in its place, and goes on. `beside` are keys that
/// belong to the section as well and are read elsewhere.
pub fn collect<T>(
    mut value: Value,
    base: &str,
    parse: &dyn Fn(Value) -> Result<T, PathError<ConfigError>>,
    beside: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    let mut stand_ins: Vec<StandIn> = Vec::new();
    let mut told = 0;
    for _ in 0..ROUNDS {
        let error = match parse(value.clone()) {
            Ok(parsed) => {
                let steers = |s: &StandIn| s.path.last().is_some_and(|key| STEERING.contains(&key.as_str()));
                return (!stand_ins.iter().any(steers)).then_some(parsed);
            }
            Err(error) => error,
        };
        let text = plain(error.inner());
        let mut path = existing(&value, segments(error.path()));
        if let Some(name) = quoted_after(&text, "unknown field ") {
            if node(&value, &path).is_none_or(|n| !has(n, &name)) {
                path.pop();
            }
            let origin = take(&mut value, &path, &name).and_then(|v| v.origin().map(str::to_owned));
            let known = between_ticks(&text, "expected ");
            let beside = beside.iter().copied().filter(|_| path.is_empty());
            let hint = hint(&name, known.iter().map(String::as_str).chain(beside));
            problems.add_at(join(base, &path, Some(&name)), origin.as_deref(), format!("unknown key{hint}"));
            told += 1;
        } else {
            let missing = missing(&text);
            path.extend(missing.clone());
            let inside = stand_ins.iter_mut().rev().find(|s| path.starts_with(&s.path));
            if let (Some(stand_in), None) = (inside, &missing) {
                let word = between_ticks(&text, "must be ").into_iter().next();
                if stand_in.word.is_none() && word.is_some() {
                    (stand_in.word, stand_in.tried) = (word, 0);
                } else {
                    stand_in.tried += 1;
                }
                let next = kind(stand_in)?;
                let at = stand_in.path.clone();
                put(&mut value, &at, next)?;
                continue;
            }
            // What is missing in a stand-in is no news.
            if !stand_ins.iter().any(|s| path.starts_with(&s.path)) {
                told += 1;
                if missing.is_some() {
                    problems.stand_in(join(base, &path, None), None, "is missing");
                } else {
                    let origin = node(&value, &path).and_then(origin);
                    problems.stand_in(
                        join(base, &path, None),
                        origin,
                        format!("{text}{}", nearest(&value, &path, &text)),
                    );
                }
            }
            let stand_in = StandIn { path, word: between_ticks(&text, "must be ").into_iter().next(), tried: 0 };
            put(&mut value, &stand_in.path, kind(&stand_in)?)?;
            stand_ins.push(stand_in);
        }
        if told >= MOST {
            return None;
        }
    }
    None
}

/// What can stand where something is missing, most likely first.
fn kind(stand_in: &StandIn) -> Option<ValueKind> {
    let kinds = [
        ValueKind::String(stand_in.word.clone().unwrap_or_default()),
        ValueKind::String("1".to_owned()),
        ValueKind::Boolean(false),
        ValueKind::String("1d".to_owned()),
        ValueKind::Array(Vec::new()),
        ValueKind::Table(::config::Map::new()),
    ];
    kinds.into_iter().nth(stand_in.tried)
}

/// A hint where a word was expected and another one found.
fn nearest(value: &Value, path: &[String], text: &str) -> String {
    match node(value, path).map(|v| &v.kind) {
        Some(ValueKind::String(found)) => {
            hint(found, between_ticks(text, "must be one of ").iter().map(String::as_str))
        }
        _ => String::new(),
    }
}

/// The innermost message, in words of settings instead of the reader's.
fn plain(error: &ConfigError) -> String {
    let text = match error {
        ConfigError::At { error, .. } => return plain(error),
        ConfigError::Type { unexpected, expected, .. } => format!("is {unexpected}, and must be {expected}"),
        ConfigError::Message(text) => text.clone(),
        other => other.to_string(),
    };
    let told = ["invalid type: ", "invalid value: "].iter().find_map(|intro| text.strip_prefix(intro));
    let Some((found, expected)) = told.and_then(|rest| rest.split_once(", expected ")) else { return text };
    let found = match found {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "unit value" => "nothing".to_owned(),
        other => other.replacen("string ", "the text ", 1),
    };
    format!("is {found}, and must be {expected}")
}

/// The part of a path that the value has: one item without brackets is a list of one, and the items of a text have no
/// place of their own.
fn existing(value: &Value, path: Vec<String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for segment in path {
        let is_list = node(value, &found).is_some_and(|v| matches!(v.kind, ValueKind::Array(_)));
        if is_list || index(&segment).is_none() {
            found.push(segment);
        }
    }
    found
}

/// Where a value stands; of a table put together from several, the first line of its members.
fn origin(value: &Value) -> Option<&str> {
    match (&value.kind, value.origin()) {
        (ValueKind::Table(table), None) => table.values().filter_map(origin).min_by_key(|o| (o.len(), (*o).to_owned())),
        (_, own) => own,
    }
}

fn segments(path: &Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("[{index}]")),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect()
}

fn join(base: &str, path: &[String], last: Option<&str>) -> String {
    let mut joined = base.to_owned();
    for part in path.iter().map(String::as_str).chain(last) {
        if !joined.is_empty() && !part.starts_with('[') {
            joined.push('.');
        }
        joined.push_str(part);
    }
    joined
}

fn node<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match &value.kind {
        ValueKind::Table(table) => table.get(segment),
        ValueKind::Array(items) => items.get(index(segment)?),
        _ => None,
    })
}

fn node_mut<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, segment| match &mut value.kind {
        ValueKind::Table(table) => table.get_mut(segment),
        ValueKind::Array(items) => items.get_mut(index(segment)?),
        _ => None,
    })
}

/// Puts a stand-in at `path`; it has no origin, so that a text may say a number.
fn put(value: &mut Value, path: &[String], kind: ValueKind) -> Option<()> {
    let stand_in = Value::new(None, kind);
    let Some((last, parent)) = path.split_last() else {
        *value = stand_in;
        return Some(());
    };
    match &mut node_mut(value, parent)?.kind {
        ValueKind::Table(table) => drop(table.insert(last.clone(), stand_in)),
        ValueKind::Array(items) => *items.get_mut(index(last)?)? = stand_in,
        _ => return None,
    }
    Some(())
}

fn index(segment: &str) -> Option<usize> {
    segment.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn has(value: &Value, name: &str) -> bool {
    matches!(&value.kind, ValueKind::Table(table) if table.contains_key(name))
}

fn take(value: &mut Value, path: &[String], name: &str) -> Option<Value> {
    match &mut node_mut(value, path)?.kind {
        ValueKind::Table(table) => table.remove(name),
        _ => None,
    }
}

fn quoted_after(text: &str, intro: &str) -> Option<String> {
    let rest = text.strip_prefix(intro)?;
    let mut parts = rest.split(['`', '"']);
    parts.next()?;
    parts.next().map(str::to_owned)
}

fn missing(text: &str) -> Option<String> {
    quoted_after(text, "missing field ").or_else(|| quoted_after(text, "missing configuration field "))
}

/// The names between ticks after `intro`.
fn between_ticks(text: &str, intro: &str) -> Vec<String> {
    let Some((_, list)) = text.split_once(intro) else { return Vec::new() };
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Section {
        url: String,
        count: u32,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Inner {
        deep: bool,
    }

    fn problems(toml: &str) -> Vec<String> {
        let value = ::config::Config::builder()
            .add_source(::config::File::from_str(toml, ::config::FileFormat::Toml))
            .build()
            .unwrap()
            .cache;
        let mut problems = Problems::default();
        let section: Option<Section> = read(value, "s", &mut problems);
        assert!(section.is_some() || !problems.found.is_empty());
        problems.found.iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn every_problem_at_once() {
        let found =
            problems("urll = 1\ncount = \"x\"\nlist = [1, 300, \"y\"]\n[inner]\ndeep = 7\nextra = 1\n").join("\n");
        for part in [
            "s.urll: unknown key; did you mean \"url\"?",
            "s.url: is missing",
            "s.count: ",
            "s.list[1]: is integer `300`, and must be a whole number from 0 to 255",
            "s.list[2]: is the text \"y\", and must be a whole number",
            "s.inner.extra: unknown key",
            "s.inner.deep: is integer `7`, and must be true or false",
        ] {
            assert!(found.contains(part), "{part} not in\n{found}");
        }
        assert!(problems("url = \"u\"\ncount = \"7\"").is_empty(), "a number given as text, as the environment does");
    }

    #[test]
    fn what_is_wrong_is_told_once_and_the_rest_can_be_looked_at() {
        let wrong = problems("url = \"u\"\ncount = \"x\"");
        assert_eq!(wrong.len(), 1, "a wrong value is not missing as well: {wrong:?}");
        let mut found = Problems::default();
        let table = [("url", "u"), ("count", "7"), ("colour", "red")];
        let table = table.map(|(key, text)| (key.to_owned(), Value::from(text))).into_iter().collect();
        let section: Option<Section> = read(Value::new(None, ValueKind::Table(table)), "s", &mut found);
        assert_eq!((found.found.len(), section.map(|s| s.url)), (1, Some("u".to_owned())));
    }
}
