//! JSON as others write it, tolerant where a text of theirs would cost everything beside it.
//!
//! Half of a surrogate pair (`"\ud83d"`: JavaScript writes a title so that was cut inside an emoji) becomes U+FFFD, a number
//! that is none (`NaN`, `1e999`) becomes null. Both are looked for only where a strict reading has failed.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// What some programs write in front of it.
const BOM: &[u8] = b"\xEF\xBB\xBF";
/// Length of `\uXXXX`.
const ESCAPE: usize = 6;

/// Reads a whole text.
///
/// # Errors
/// What a strict reading has found, where nothing helps.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    serde_json::from_slice(text).or_else(|error| match mended(text).filter(|_| error.is_syntax()) {
        Some(mended) => serde_json::from_slice(&mended),
        None => Err(error),
    })
}

/// The text as it can be read; `None` where nothing of it is known to be mendable.
pub fn mended(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    let (mut mended, mut rest, mut found) = (Vec::with_capacity(text.len()), text, false);
    while let Some(first) = rest.first() {
        let length = match first {
            b'"' => string_length(rest),
            byte if is_word(*byte) => rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len()),
            _ => 1,
        };
        let (token, after) = rest.split_at(length);
        let better = match first {
            b'"' => with_whole_characters(token),
            _ => finite(token),
        };
        found |= better != token;
        mended.extend_from_slice(&better);
        rest = after;
    }
    found.then_some(mended)
}

/// Letters of numbers and names.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Length of the string that `text` begins with, quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Some servers write numbers JSON does not know: one such amount must not cost the whole answer.
fn finite(token: &[u8]) -> Cow<'_, [u8]> {
    let number =
        token.first().filter(|byte| is_word(**byte)).and_then(|_| std::str::from_utf8(token).ok()?.parse().ok());
    let odd = number.is_some_and(|number: f64| !number.is_finite());
    Cow::Borrowed(if odd { b"null" } else { token })
}

/// Each escaped half of a surrogate pair replaced.
fn with_whole_characters(string: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = Cow::Borrowed(string);
    let mut at = 0;
    while let Some(byte) = string.get(at) {
        at += match (byte, code_unit(string, at), code_unit(string, at + ESCAPE)) {
            (b'\\', Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 2 * ESCAPE,
            (b'\\', Some(0xD800..=0xDFFF), _) => {
                if let Some(digits) = mended.to_mut().get_mut(at + 2..at + ESCAPE) {
                    digits.copy_from_slice(b"fffd");
                }
                ESCAPE
            }
            // Any other escape: its second byte may be a backslash of its own.
            (b'\\', ..) => 2,
            _ => 1,
        };
    }
    mended
}

/// That of the `\uXXXX` at this place.
fn code_unit(string: &[u8], at: usize) -> Option<u16> {
    let digits = string.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn half_a_character_is_one_that_is_unknown() {
        for (text, read_as) in [
            (r#"{"a":"party \ud83d","b":1}"#, json!({"a": "party \u{fffd}", "b": 1})),
            (r#"["\udc00\ud83d\ude00\uD83D\ud83d\ude00"]"#, json!(["\u{fffd}😀\u{fffd}😀"])),
            (r#"{"\ud800":"\\ud800 \\\ud800x"}"#, json!({"\u{fffd}": "\\ud800 \\\u{fffd}x"})),
            (r#"["\ud800","\ud83d\u0041"]"#, json!(["\u{fffd}", "\u{fffd}A"])),
            (r#"["\udfff\"", NaN]"#, json!(["\u{fffd}\"", null])),
        ] {
            assert_eq!(read::<Value>(text.as_bytes()).unwrap(), read_as, "{text}");
        }
        assert_eq!(read::<Value>(b"\xEF\xBB\xBF[1]").unwrap(), json!([1]));
    }

    #[test]
    fn numbers_json_does_not_know_become_null() {
        let text = br#"{"a": NaN, "b": [-Infinity, 1e999, 2.5e3], "c": "NaN \" 1e999", "d": true}"#;
        let expected = json!({"a": null, "b": [null, null, 2500.0], "c": "NaN \" 1e999", "d": true});
        assert_eq!(read::<Value>(text).unwrap(), expected);
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in ["", "{\"a\": 1", "{\"a\": \"NaN", "[\"\\ud800", "[\"\\ud8", "<html>NaN</html>", "\\ud800", "[NaN"]
        {
            assert!(read::<Value>(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_what_cannot_be_read_is_touched(text in "[\"\\\\ud8c0NaIn1e9.,:\\[\\]{} -]{0,40}") {
            if serde_json::from_str::<Value>(&text).is_ok() {
                prop_assert_eq!(mended(text.as_bytes()), None);
            }
        }
    }
}
