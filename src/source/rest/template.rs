//! Texts with `$name` in them, and what the names stand for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What names stand for: texts, and numbers that stay numbers in a body.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vars(BTreeMap<String, Value>);

impl Vars {
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.clone());
    }

    /// The text a name stands for.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// A text in which `$name` stands for a value. A `$` before anything but a name is itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(String);

impl Template {
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names in it.
    pub fn names(&self) -> BTreeSet<String> {
        pieces(&self.0)
            .filter_map(|piece| if let Piece::Name(name) = piece { Some(name.to_owned()) } else { None })
            .collect()
    }

    /// The text with every name replaced; one that stands for nothing is left out.
    pub fn render(&self, vars: &Vars) -> String {
        pieces(&self.0)
            .map(|piece| match piece {
                Piece::Text(text) => text.to_owned(),
                Piece::Name(name) => vars.text(name).unwrap_or_default(),
            })
            .collect()
    }
}

/// The names in the texts of a JSON value.
pub fn names_in(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => Template::new(text).names(),
        Value::Array(items) => items.iter().flat_map(names_in).collect(),
        Value::Object(members) => members.values().flat_map(names_in).collect(),
        _ => BTreeSet::new(),
    }
}

/// A JSON value with the names in its texts replaced. A text that is one name and nothing else becomes what the name
/// stands for, number or text.
pub fn render_in(value: &Value, vars: &Vars) -> Value {
    match value {
        Value::String(text) => {
            let whole = text.strip_prefix('$').and_then(|name| vars.0.get(name));
            whole.cloned().unwrap_or_else(|| Value::String(Template::new(text).render(vars)))
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| render_in(item, vars)).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, member)| (name.clone(), render_in(member, vars))).collect())
        }
        other => other.clone(),
    }
}

enum Piece<'t> {
    Text(&'t str),
    Name(&'t str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let name = |text: &str| text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        if let Some(after) = rest.strip_prefix('$') {
            let length = name(after);
            if length > 0 {
                let (found, left) = after.split_at(length);
                rest = left;
                return Some(Piece::Name(found));
            }
        }
        let length = rest.char_indices().skip(1).find(|(_, c)| *c == '$').map_or(rest.len(), |(at, _)| at);
        let (found, left) = rest.split_at(length);
        rest = left;
        Some(Piece::Text(found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_replaced_and_dollars_stay() {
        let mut vars = Vars::default();
        vars.set("uid", "u 1");
        vars.set("from", 1_700_000_000_000_i64);
        let render = |text: &str| Template::new(text).render(&vars);
        assert_eq!(render("/users/$uid/x$"), "/users/u 1/x$");
        assert_eq!(render("$$uid costs $ 5"), "$u 1 costs $ 5");
        assert_eq!(render("$nobody."), ".");
        assert_eq!(Template::new("$a/$b_c-$").names(), ["a".to_owned(), "b_c".to_owned()].into());
        let body = json!({"startDate": "$from", "who": ["$uid", "x-$from"], "page": 1});
        assert_eq!(
            render_in(&body, &vars),
            json!({"startDate": 1_700_000_000_000_i64, "who": ["u 1", "x-1700000000000"], "page": 1})
        );
        assert_eq!(names_in(&body), ["from".to_owned(), "uid".to_owned()].into());
    }
}
