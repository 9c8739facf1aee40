//! Reading answers: tolerant in what does not matter, strict in what does.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::domain::json;
use crate::domain::time::Timestamp;

/// Longest key of a record, in bytes.
const KEY_BYTES: usize = 512;

/// Reads an answer's body, a JSON object.
///
/// # Errors
/// What it is instead, without quoting it.
pub fn decode(body: &[u8]) -> Result<Map<String, Value>, &'static str> {
    match decode_any(body)? {
        Value::Object(map) => Ok(map),
        _ => Err("JSON that is no object"),
    }
}

/// Reads an answer's body, any JSON.
///
/// # Errors
/// What it is instead, without quoting it.
pub fn decode_any(body: &[u8]) -> Result<Value, &'static str> {
    match json::read(body) {
        Ok(value) => Ok(value),
        Err(_) if std::str::from_utf8(body).is_err() => Err("text that is not UTF-8"),
        Err(_) if body.trim_ascii_start().starts_with(b"<") => Err("a web page"),
        Err(_) => Err("something that is not JSON"),
    }
}

/// Takes a text out of a row; any other type counts as absent.
pub fn take_text(row: &mut Map<String, Value>, name: &str) -> Option<String> {
    match row.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Takes a text that can be a key: not empty, not endless.
pub fn take_key(row: &mut Map<String, Value>, name: &str) -> Option<String> {
    take_text(row, name).filter(|key| !key.trim().is_empty() && key.len() <= KEY_BYTES)
}

/// A count, as far as it is one: fractions are cut, anything else is 0.
pub fn count(row: &Map<String, Value>, name: &str) -> u64 {
    let Some(Value::Number(number)) = row.get(name) else { return 0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float-to-int casts saturate")]
    number.as_u64().or_else(|| number.as_f64().map(|float| float as u64)).unwrap_or(0)
}

pub fn timestamp(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// A path for error messages, with nothing in it that could be more than a path.
pub fn path_label(path: &[&str]) -> String {
    let parts: Vec<Cow<'_, str>> = path
        .iter()
        .map(|part| {
            let plain = part.chars().all(|c| c.is_ascii_graphic());
            if plain { Cow::Borrowed(*part) } else { Cow::Owned(part.escape_debug().to_string()) }
        })
        .collect();
    crate::domain::delivery::cut(&format!("/{}", parts.join("/")), 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_object_is_named() {
        for (body, what) in [
            (&b"<html>NaN</html>"[..], "a web page"),
            (b"\xff\xfe{}", "text that is not UTF-8"),
            (b"[]", "JSON that is no object"),
            (b"{\"a\": 1", "something that is not JSON"),
            (b"{\"a\": \"NaN", "something that is not JSON"),
            (b"", "something that is not JSON"),
        ] {
            assert_eq!(decode(body), Err(what));
        }
        let deep = "[".repeat(100_000);
        assert!(decode(format!("{{\"a\":{deep}").as_bytes()).is_err());
    }

    #[test]
    fn counts_and_keys() {
        let Value::Object(mut row) = json!({"a": 3, "b": 2.9, "c": -4, "d": "7", "e": 1e30, "k": " ", "n": 5}) else {
            panic!()
        };
        let counts: Vec<u64> = ["a", "b", "c", "d", "e", "x"].iter().map(|name| count(&row, name)).collect();
        assert_eq!(counts, [3, 2, 0, 0, u64::MAX, 0]);
        assert_eq!((take_key(&mut row, "k"), take_key(&mut row, "n")), (None, None));
    }

    #[test]
    fn labels_hold_no_control_characters() {
        assert_eq!(path_label(&["api", "T-1\n", "usage"]), "/api/T-1\\n/usage");
        assert_eq!(path_label(&["x".repeat(999).as_str()]).len(), 200);
    }
}
