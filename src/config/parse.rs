//! From a tree of values to typed settings, collecting every problem on the way.

use ::config::{ConfigError, Value, ValueKind};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Error as PathError, Path, Segment};

use super::problem::{Problems, hint};
use crate::domain::strict::Strict;

/// No section has more problems than a person would read.
const ROUNDS: usize = 64;

/// Reads `value` as a `T`; everything that was wrong is in `problems`. What comes back then stands for the rest, so
/// that more can be found out about it; `None` where not enough is left for that.
pub fn read<T: DeserializeOwned>(value: Value, base: &str, problems: &mut Problems) -> Option<T> {
    collect(value, base, &|v| serde_path_to_error::deserialize(Strict(v)), problems)
}

/// Tries again and again: each round finds one problem, cuts it out of the tree, and goes on.
pub fn collect<T>(
    mut value: Value,
    base: &str,
    parse: &dyn Fn(Value) -> Result<T, PathError<ConfigError>>,
    problems: &mut Problems,
) -> Option<T> {
    let mut filled: Vec<(Vec<String>, usize)> = Vec::new();
    let mut cut: Vec<Vec<String>> = Vec::new();
    for _ in 0..ROUNDS {
        let error = match parse(value.clone()) {
            // Nothing can be said of a section with stand-ins in it.
            Ok(parsed) => return filled.is_empty().then_some(parsed),
            Err(error) => error,
        };
        let mut path = segments(error.path());
        let text = plain(error.inner());
        if let Some(name) = quoted_after(&text, "unknown field ") {
            if node(&mut value, &path).is_none_or(|n| !has(n, &name)) {
                path.pop();
            }
            let origin = take(&mut value, &path, &name).and_then(|v| v.origin().map(str::to_owned));
            let known = expected(&text);
            let hint = hint(&name, known.iter().map(String::as_str));
            problems.add_at(join(base, &path, Some(&name)), origin.as_deref(), format!("unknown key{hint}"));
        } else if let Some(name) = missing(&text) {
            let mut full = path.clone();
            full.push(name.clone());
            // A stand-in, so that the search for problems can go on; another one where that is of the wrong type.
            let tried = if let Some((_, tried)) = filled.iter_mut().find(|(path, _)| *path == full) {
                *tried += 1;
                *tried
            } else {
                let inside = filled.iter().any(|(f, _)| path.starts_with(f));
                if !inside && !cut.contains(&full) {
                    problems.add(join(base, &full, None), "is missing");
                }
                filled.push((full, 0));
                0
            };
            let stand_in = stand_in(tried)?;
            if let Some(Value { kind: ValueKind::Table(table), .. }) = node(&mut value, &path) {
                table.insert(name, Value::new(None, stand_in));
            }
        } else {
            let stand_in = filled.iter().any(|(f, _)| path.starts_with(f));
            let origin = node(&mut value, &path).and_then(|v| v.origin().map(str::to_owned));
            if !stand_in {
                problems.add_at(join(base, &path, None), origin.as_deref(), text);
            }
            cut.push(path.clone());
            let last = path.pop()?;
            take(&mut value, &path, &last)?;
        }
    }
    None
}

/// What can stand where something is missing, most likely first.
fn stand_in(tried: usize) -> Option<ValueKind> {
    let kinds = [
        ValueKind::String(String::new()),
        ValueKind::String("1".to_owned()),
        ValueKind::Boolean(false),
        ValueKind::Array(Vec::new()),
        ValueKind::Table(::config::Map::new()),
    ];
    kinds.into_iter().nth(tried)
}

/// The innermost message, without what the path says anyway.
fn plain(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, .. } => plain(error),
        ConfigError::Type { unexpected, expected, .. } => format!("is {unexpected}, and must be {expected}"),
        ConfigError::Message(text) => match text.split_once(" does not have variant constructor ") {
            Some((_, variant)) => {
                format!("there is no {variant:?} here; `ampbridge schema config` lists what there is")
            }
            None => text.clone(),
        },
        other => other.to_string(),
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

fn node<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    let child = match &mut value.kind {
        ValueKind::Table(table) => table.get_mut(first),
        ValueKind::Array(items) => items.get_mut(index(first)?),
        _ => None,
    };
    node(child?, rest)
}

fn index(segment: &str) -> Option<usize> {
    segment.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn has(value: &Value, name: &str) -> bool {
    matches!(&value.kind, ValueKind::Table(table) if table.contains_key(name))
}

fn take(value: &mut Value, path: &[String], name: &str) -> Option<Value> {
    match &mut node(value, path)?.kind {
        ValueKind::Table(table) => table.remove(name),
        ValueKind::Array(items) => {
            let at = index(name)?;
            (at < items.len()).then(|| items.remove(at))
        }
        _ => None,
    }
}

fn quoted_after(text: &str, intro: &str) -> Option<String> {
    let rest = text.split_once(intro)?.1;
    let mut parts = rest.split(['`', '"']);
    parts.next()?;
    parts.next().map(str::to_owned)
}

fn missing(text: &str) -> Option<String> {
    quoted_after(text, "missing field ").or_else(|| quoted_after(text, "missing configuration field "))
}

/// The names serde says it expected.
fn expected(text: &str) -> Vec<String> {
    let Some((_, list)) = text.split_once("expected ") else { return Vec::new() };
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
        assert!(section.is_some() || !problems.0.is_empty());
        problems.0.iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn every_problem_at_once() {
        let found =
            problems("urll = 1\ncount = \"x\"\nlist = [1, 300, \"y\"]\n[inner]\ndeep = 7\nextra = 1\n").join("\n");
        for part in [
            "s.urll: unknown key; did you mean \"url\"?",
            "s.url: is missing",
            "s.count: ",
            "s.list[1]: ",
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
        assert_eq!((found.0.len(), section.map(|s| s.url)), (1, Some("u".to_owned())));
    }
}
