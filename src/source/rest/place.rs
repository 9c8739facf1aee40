//! Where values of a row come from, and how they are read.

use std::borrow::Cow;

use jiff::civil::Date;
use serde_json::Value;

use super::manifest::References;
use super::pointer::Pointer;
use crate::domain::time::{Timestamp, utc_day};

/// Longest key of a record, in bytes.
const KEY_BYTES: usize = 512;
/// Numbers above this are milliseconds since 1970, not seconds: as seconds it is the year 5138.
const MILLIS_FROM: i64 = 100_000_000_000;

/// A place, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the row.
    Row(Pointer),
    /// A value lifted from above the row, by name.
    Lifted(String),
    /// What the last `*` of `records` stood for.
    Member,
    /// The text itself.
    Text(String),
}

/// Several places of which the first that has a value counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places(pub Vec<Place>);

/// A row with what stands above it.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'v> {
    pub row: &'v Value,
    /// The whole answer.
    pub document: &'v Value,
    /// What each `*` on the way to the row stood for.
    pub trail: &'v [Cow<'v, str>],
    pub lift: &'v [(String, Pointer)],
}

impl Place {
    /// # Errors
    /// Why the text names no place.
    pub fn parse(text: &str, lifted: &[String]) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Member);
        }
        if let Some(literal) = text.strip_prefix('=') {
            return Ok(Self::Text(literal.to_owned()));
        }
        if text.is_empty() || text.starts_with('/') {
            let pointer = Pointer::parse(text)?;
            if pointer.has_wildcard() {
                return Err(format!("{text:?} may lead to several values; `*` has its place in records and lift"));
            }
            return Ok(Self::Row(pointer));
        }
        if lifted.iter().any(|name| name == text) {
            return Ok(Self::Lifted(text.to_owned()));
        }
        let known =
            if lifted.is_empty() { "lift names none".to_owned() } else { format!("lift names {}", lifted.join(", ")) };
        Err(format!(
            "{text:?} is neither a pointer into the row, like \"/{text}\", nor the name of a lifted value ({known})"
        ))
    }

    pub fn get<'v>(&self, view: RowView<'v>) -> Option<Cow<'v, Value>> {
        match self {
            Self::Row(pointer) => pointer.get(view.row).map(Cow::Borrowed),
            Self::Lifted(name) => {
                let pointer = &view.lift.iter().find(|(known, _)| known == name)?.1;
                pointer.along(view.document, &mut view.trail.iter().map(AsRef::as_ref)).map(Cow::Borrowed)
            }
            Self::Member => view.trail.last().map(|name| Cow::Owned(Value::String(name.to_string()))),
            Self::Text(text) => Some(Cow::Owned(Value::String(text.clone()))),
        }
    }
}

impl Places {
    /// # Errors
    /// Why one of the texts names no place.
    pub fn parse(references: &References, lifted: &[String]) -> Result<Self, String> {
        references.0.iter().map(|r| Place::parse(&r.0, lifted)).collect::<Result<_, _>>().map(Self)
    }

    /// The first value there is that is not null.
    pub fn get<'v>(&self, view: RowView<'v>) -> Option<Cow<'v, Value>> {
        self.0.iter().filter_map(|place| place.get(view)).find(|value| !value.is_null())
    }

    /// As a text; numbers are written out, anything else is none.
    pub fn text(&self, view: RowView<'_>) -> Option<String> {
        self.0.iter().filter_map(|place| place.get(view)).find_map(|value| text_of(&value))
    }

    pub fn instant(&self, view: RowView<'_>) -> Option<Timestamp> {
        self.0.iter().filter_map(|place| place.get(view)).find_map(|value| instant_of(&value))
    }

    pub fn day(&self, view: RowView<'_>) -> Option<Date> {
        self.0.iter().filter_map(|place| place.get(view)).find_map(|value| day_of(&value))
    }
}

/// The key of a row from its parts: one part is the key, several are joined by `/`. `None` where a part can be none:
/// missing, empty, endless, unprintable.
pub fn key_of(places: &[Place], view: RowView<'_>) -> Option<String> {
    let mut parts = Vec::with_capacity(places.len());
    for place in places {
        let text = text_of(place.get(view)?.as_ref())?;
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            return None;
        }
        parts.push(text);
    }
    let key = match parts.as_mut_slice() {
        [] => return None,
        [only] => std::mem::take(only),
        several => {
            let escaped: Vec<String> = several.iter().map(|p| p.replace('%', "%25").replace('/', "%2F")).collect();
            escaped.join("/")
        }
    };
    (key.len() <= KEY_BYTES).then_some(key)
}

/// A text or a whole number, as text.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// RFC 3339, or seconds or milliseconds since 1970, as a number or a text.
pub fn instant_of(value: &Value) -> Option<Timestamp> {
    let number = match value {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => {
            let text = text.trim();
            match text.parse::<i64>() {
                Ok(number) => number,
                Err(_) => return text.parse().ok(),
            }
        }
        _ => return None,
    };
    if number >= MILLIS_FROM { Timestamp::from_millisecond(number).ok() } else { Timestamp::from_second(number).ok() }
}

/// A day as written, or the UTC day of an instant.
pub fn day_of(value: &Value) -> Option<Date> {
    if let Some(text) = value.as_str() {
        let text = text.trim();
        if text.len() == 10 {
            return text.parse().ok();
        }
    }
    instant_of(value).map(utc_day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use serde_json::json;

    #[test]
    fn keys_never_run_together() {
        let key = |row: Value, places: &[&str]| {
            let places: Vec<Place> = places.iter().map(|p| Place::parse(p, &[]).unwrap()).collect();
            key_of(&places, RowView { row: &row, document: &row, trail: &[], lift: &[] })
        };
        assert_eq!(key(json!({"id": 7}), &["/id"]).as_deref(), Some("7"));
        assert_eq!(key(json!({"a": "x/y", "b": "z"}), &["/a"]).as_deref(), Some("x/y"));
        assert_eq!(key(json!({"a": "x/y", "b": "z"}), &["/a", "/b"]).as_deref(), Some("x%2Fy/z"));
        assert_ne!(
            key(json!({"a": "x", "b": "y/z"}), &["/a", "/b"]),
            key(json!({"a": "x/y", "b": "z"}), &["/a", "/b"])
        );
        for bad in [
            json!({}),
            json!({"id": null}),
            json!({"id": " "}),
            json!({"id": 1.5}),
            json!({"id": []}),
            json!({"id": "a\nb"}),
        ] {
            assert_eq!(key(bad, &["/id"]), None);
        }
        assert_eq!(key(json!({"id": "x".repeat(600)}), &["/id"]), None);
    }

    #[test]
    fn instants_and_days_as_systems_write_them() {
        for value in [
            json!("2026-11-22T10:00:00Z"),
            json!(1_795_341_600),
            json!("1795341600000"),
            json!("2026-11-22T11:00:00+01:00"),
        ] {
            assert_eq!(instant_of(&value).unwrap().to_string(), "2026-11-22T10:00:00Z", "{value}");
        }
        assert_eq!(day_of(&json!("2026-11-22")), Some(date(2026, 11, 22)));
        assert_eq!(day_of(&json!("2026-11-22T23:30:00-02:00")), Some(date(2026, 11, 23)), "the UTC day");
        for bad in [json!("soon"), json!(1.5), json!(null), json!("2026-13-01")] {
            assert_eq!(day_of(&bad), None);
        }
    }

    #[test]
    fn mistakes_say_what_was_meant() {
        let said = Place::parse("user", &["date".into()]).unwrap_err();
        assert!(said.contains("\"/user\"") && said.contains("date"), "{said}");
        assert!(Place::parse("/users/*/id", &[]).is_err());
    }
}
