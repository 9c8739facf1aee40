//! What is wrong with the configuration: every problem, with its key path and line.

use std::fmt;

use ::config::{Value, ValueKind};

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Dotted key path; empty for the file as a whole.
    pub path: String,
    /// Where the value stands: `line 12` or the name of an environment variable.
    pub origin: Option<String>,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}", self.path)?;
        }
        match (&self.origin, self.path.is_empty()) {
            (Some(origin), false) => write!(f, " ({origin}): ")?,
            (Some(origin), true) => write!(f, "{origin}: ")?,
            (None, false) => write!(f, ": ")?,
            (None, true) => {}
        }
        f.write_str(&self.message)
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub struct Problems {
    pub found: Vec<Problem>,
    /// The text is no TOML: what was made of the rest of it means nothing.
    pub torn: bool,
    /// Paths where something stands in for what was missing or wrong, and told.
    stand_ins: Vec<String>,
}

impl Problems {
    /// What a check of values found. Of a value that only stands in for another there is nothing to say.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let path = path.into();
        if !self.stand_ins.iter().any(|s| related(s, &path)) {
            self.found.push(Problem { path, origin: None, message: message.into() });
        }
    }

    /// Tells what is wrong at a path, and that from now on something else stands there. What is wrong with a stand-in
    /// is no news.
    pub fn stand_in(&mut self, path: String, origin: Option<&str>, message: impl Into<String>) {
        if !self.stand_ins.iter().any(|s| related(s, &path)) {
            self.add_at(path.clone(), origin, message);
            self.stand_ins.push(path);
        }
    }

    /// Something else stands at a path of which everything was told.
    pub fn stand_in_for(&mut self, path: String) {
        self.stand_ins.push(path);
    }

    /// All of them, each once and with its place in the config they were found in, where that is known.
    pub fn placed(self, config: &Value) -> Vec<Problem> {
        let mut placed: Vec<Problem> = Vec::new();
        for mut problem in self.found {
            if problem.origin.is_none() && !problem.path.is_empty() {
                problem.origin = place(config, &problem.path).map(str::to_owned);
            }
            if !placed.contains(&problem) {
                placed.push(problem);
            }
        }
        placed
    }

    pub fn add_at(&mut self, path: impl Into<String>, origin: Option<&str>, message: impl Into<String>) {
        self.found.push(Problem { path: path.into(), origin: origin.map(str::to_owned), message: message.into() });
    }
}

/// Where the value at `path` stands, or what is nearest above it.
fn place<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    let inner = match &value.kind {
        // Names may have dots in them; the longest that fits is meant.
        ValueKind::Table(table) => {
            let named = table.iter().filter_map(|(key, value)| Some((key, value, path.strip_prefix(key.as_str())?)));
            let whole = named.filter(|(.., rest)| rest.is_empty() || rest.starts_with(['.', '[']));
            whole
                .max_by_key(|(key, ..)| key.len())
                .map(|(_, value, rest)| (value, rest.strip_prefix('.').unwrap_or(rest)))
        }
        ValueKind::Array(items) => {
            path.strip_prefix('[').and_then(|path| path.split_once(']')).and_then(|(index, rest)| {
                Some((items.get(index.parse::<usize>().ok()?)?, rest.strip_prefix('.').unwrap_or(rest)))
            })
        }
        _ => None,
    };
    inner.and_then(|(value, rest)| if rest.is_empty() { value.origin() } else { place(value, rest) }).or(value.origin())
}

/// Whether one of two paths lies in the other. An item that stands without brackets is item 0.
fn related(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split(['.', '[']).peekable(), other.split(['.', '[']).peekable());
    while let (Some(a), Some(b)) = (one.peek(), other.peek()) {
        match (*a, *b) {
            (a, b) if a == b => {
                one.next();
                other.next();
            }
            ("0]", b) if !b.ends_with(']') => drop(one.next()),
            (a, "0]") if !a.ends_with(']') => drop(other.next()),
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_placed_as_near_to_its_value_as_there_is_a_line() {
        let at = |line: &str, kind: ValueKind| Value::new(Some(&line.to_owned()), kind);
        let table = |line: &str, members: Vec<(&str, Value)>| {
            at(line, ValueKind::Table(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
        };
        let routes =
            ValueKind::Array(vec![table("line 1", vec![]), table("line 2", vec![("where", table("line 3", vec![]))])]);
        let prices = table(
            "line 4",
            vec![
                ("gpt-5", at("line 5", 1.into())),
                ("gpt-5.1", table("line 6", vec![("input", at("line 7", 1.into()))])),
            ],
        );
        let config = Value::new(
            None,
            ValueKind::Table([("routes".to_owned(), at("line 1", routes)), ("prices".to_owned(), prices)].into()),
        );
        for (path, line) in [
            ("routes[1].where[0].field", Some("line 3")),
            ("routes[1].sinks", Some("line 2")),
            ("routes[7].sinks", Some("line 1")),
            ("prices.gpt-5.1.input", Some("line 7")),
            ("prices.gpt-5.1.output", Some("line 6")),
            ("prices.gpt-5", Some("line 5")),
            ("price", None),
            ("store.path", None),
        ] {
            assert_eq!(place(&config, path), line, "{path}");
        }
    }

    #[test]
    fn of_what_stands_in_for_something_nothing_is_said() {
        let mut problems = Problems::default();
        problems.stand_in("routes[0].where.field".to_owned(), None, "is missing");
        for (path, told) in [
            ("routes[0].where[0].field", false),
            ("routes[0].where[0]", false),
            ("routes[0].where[1].field", true),
            ("routes[0].where[0].glob", true),
            ("routes[1].where[0].field", true),
            ("routes[0].sinks", true),
            ("rules.where.field", true),
        ] {
            let before = problems.found.len();
            problems.add(path, "is odd");
            assert_eq!(problems.found.len() - before, usize::from(told), "{path}");
        }
    }
}
