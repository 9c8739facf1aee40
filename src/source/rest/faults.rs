//! Mistakes in a manifest, all of them at once: key path and what to do.

use std::fmt::Display;

use super::pointer::Pointer;

/// Mistakes as they are found, below one place of the manifest.
#[derive(Debug, Default)]
pub struct Faults {
    found: Vec<(String, String)>,
}

impl Faults {
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.found.push((path.into(), message.into()));
    }

    /// Takes over what was found below a place.
    pub fn below(&mut self, path: &str, inner: Self) {
        self.found.extend(inner.found.into_iter().map(|(key, message)| (format!("{path}.{key}"), message)));
    }

    /// The value, or its mistake and nothing.
    pub fn take<T>(&mut self, path: impl Into<String>, outcome: Result<T, impl Display>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(message) => {
                self.add(path, message.to_string());
                None
            }
        }
    }

    /// A pointer, or its mistake and nothing.
    pub fn pointer(&mut self, path: impl Into<String>, text: &str) -> Option<Pointer> {
        self.take(path, Pointer::parse(text))
    }

    /// A pointer to one value.
    pub fn one(&mut self, path: impl Into<String>, text: &str) -> Option<Pointer> {
        let path = path.into();
        let pointer = self.pointer(path.clone(), text)?;
        if pointer.has_wildcard() {
            self.add(
                path,
                format!("{text:?} may lead to several values; `*` has its place in records, lift and ignore"),
            );
            return None;
        }
        Some(pointer)
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub fn into_inner(self) -> Vec<(String, String)> {
        self.found
    }
}

/// `; did you mean "x"?` where a known name is near enough.
pub fn hint<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = known.into_iter().map(|name| (strsim::damerau_levenshtein(given, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= given.len().max(name.len()).div_ceil(2).min(4) => {
            format!("; did you mean {name:?}?")
        }
        _ => String::new(),
    }
}

/// Names that become parts of keys, ids and event types.
pub fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
        return Err("a name here is 1 to 64 lower-case letters, digits, `_` or `-`".to_owned());
    }
    Ok(())
}

/// Event types have two parts at least: `mission.paused`.
pub fn check_event(name: &str) -> Result<(), String> {
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
    };
    if name.len() > 100 || !name.contains('.') || !name.split('.').all(part) {
        return Err(format!(
            "{name:?} is no event type; write it like \"mission.paused\": lower-case letters, digits, `_`, `-`, and a dot"
        ));
    }
    let ours = ["source", "sink", "delivery", "digest", "bridge", "budget", "cost"];
    match name.split('.').next() {
        Some(family) if ours.contains(&family) => {
            Err(format!("{name:?} is an event of ampbridge's own; sources may not make those"))
        }
        _ => Ok(()),
    }
}
