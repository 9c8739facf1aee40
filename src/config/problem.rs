//! What is wrong with the configuration: every problem, with its key path and line.

use std::fmt;

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
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), origin: None, message: message.into() });
    }

    pub fn add_at(&mut self, path: impl Into<String>, origin: Option<&str>, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), origin: origin.map(str::to_owned), message: message.into() });
    }
}

/// `, did you mean "x"?` where a known name is near enough.
pub fn hint<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, name)) if distance <= given.len().max(name.len()).div_ceil(2).min(4) => {
            format!("; did you mean {name:?}?")
        }
        _ => String::new(),
    }
}
