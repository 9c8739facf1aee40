//! Values of settings: secrets that never print, durations people can read, lists that may be one item.

use std::fmt;
use std::marker::PhantomData;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::money::{Micros, MoneyError};
use super::strict::{LIST, NUMBER};

/// A secret (or a URL that may hold one). Prints as `…`; is never serialised.
///
/// In the config it is `"text"`, `{ env = "NAME" }` or `{ file = "PATH" }`; the loader has replaced the latter two by
/// their text before this type is read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename = "Secret")]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Call it where it is used and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret, or a URL that may hold one: the text itself, the name of an environment variable, or a file",
            "oneOf": [
                { "type": "string" },
                { "type": "object", "properties": { "env": { "type": "string" } }, "required": ["env"], "additionalProperties": false },
                { "type": "object", "properties": { "file": { "type": "string" } }, "required": ["file"], "additionalProperties": false }
            ]
        })
    }
}

/// A duration as people write it: `500ms`, `15s`, `10m`, `1h`, `3d`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub SignedDuration);

impl Span {
    pub const fn secs(secs: i64) -> Self {
        Self(SignedDuration::from_secs(secs))
    }

    /// For timers; negative never occurs.
    pub fn std(self) -> std::time::Duration {
        self.0.try_into().unwrap_or_default()
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is no duration; write it like \"500ms\", \"15s\", \"10m\", \"1h\" or \"3d\"");
        let mut rest = text.trim();
        let mut total = SignedDuration::ZERO;
        if rest.is_empty() {
            return Err(fault());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
            let number: i64 = rest[..digits].parse().map_err(|_| fault())?;
            rest = rest[digits..].trim_start();
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let millis = match &rest[..letters] {
                "ms" => 1,
                "s" | "sec" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => return Err(fault()),
            };
            let part = number.checked_mul(millis).ok_or_else(fault)?;
            total = total.checked_add(SignedDuration::from_millis(part)).ok_or_else(fault)?;
            rest = rest[letters..].trim_start();
        }
        if total > SignedDuration::from_hours(24 * 3660) {
            return Err(format!("{text:?} is longer than ten years"));
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if millis >= size && millis % size == 0 {
                return write!(f, "{}{unit}", millis / size);
            }
        }
        write!(f, "{millis}ms")
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(\s*\d+\s*(ms|s|sec|m|min|h|d|w))+\s*$", "examples": ["15s", "10m", "3d"] })
    }
}

/// A list; a single item may stand without brackets, and a text (as an environment variable gives it) is cut at commas.
/// [`Strict`](super::strict::Strict) makes a list of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Many<T>(pub Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = Many<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
                Vec::deserialize(d).map(Many)
            }
        }
        d.deserialize_newtype_struct(LIST, Items(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Many<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        let own = T::json_schema(generator);
        let kind = own.get("type").and_then(serde_json::Value::as_str);
        let list = json_schema!({ "type": "array", "items": item });
        if matches!(kind, Some("number" | "object")) {
            return json_schema!({ "anyOf": [list, item] });
        }
        // Texts may also stand in one text, between commas.
        json_schema!({ "anyOf": [list, item, { "type": "string" }] })
    }
}

/// A number of a limit or a threshold, kept as its text so that no decimal is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal(pub String);

impl Decimal {
    /// The number as dollars, which has no more digits than an amount holds.
    ///
    /// # Errors
    /// It is no amount, too large for one, or finer than a micro-dollar.
    pub fn usd(&self) -> Result<Micros, MoneyError> {
        Micros::parse_usd_exact(&self.0)
    }
}

/// What a number or a text says, as text.
struct Digits;

impl<'de> Visitor<'de> for Digits {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<String, D::Error> {
        d.deserialize_any(self)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<String, E> {
        Ok(n.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<String, E> {
        Ok(n.to_string())
    }

    fn visit_i128<E: serde::de::Error>(self, n: i128) -> Result<String, E> {
        Ok(n.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<String, E> {
        Ok(n.to_string())
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_newtype_struct(NUMBER, Digits).map(Self)
    }
}

impl JsonSchema for Decimal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

/// A text, a number, true or false, kept as its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Plain(pub String);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Plain;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Plain, E> {
                Ok(Plain(text.to_owned()))
            }
            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Plain, E> {
                Ok(Plain(value.to_string()))
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Plain, E> {
                Ok(Plain(value.to_string()))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Plain, E> {
                Ok(Plain(value.to_string()))
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Plain, E> {
                Ok(Plain(value.to_string()))
            }
        }
        d.deserialize_any(Any)
    }
}

impl JsonSchema for Plain {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Plain".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use config::{Value, ValueKind};

    use super::super::strict::Strict;
    use super::*;

    #[test]
    fn durations() {
        for (text, secs) in [("15s", 15), ("10m", 600), ("1h30m", 5400), ("3d", 259_200), (" 1 h ", 3600)] {
            assert_eq!(Span::parse(text).unwrap().0.as_secs(), secs, "{text}");
        }
        for text in ["", "15", "s", "-5s", "5 parsecs", "1.5h", "99999999999999999999s", "999999d"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
        assert_eq!(Span::parse("90s").unwrap().to_string(), "90s");
        assert_eq!(Span::parse("120s").unwrap().to_string(), "2m");
    }

    fn read<'de, T: Deserialize<'de>>(value: impl Into<ValueKind>) -> Result<T, String> {
        T::deserialize(Strict(Value::new(Some(&"AMPBRIDGE__X".to_owned()), value))).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_from_one_item_and_from_text() {
        let many = |value: ValueKind| read::<Many<String>>(value).unwrap().0;
        assert_eq!(many(vec!["a", "b"].into()), ["a", "b"]);
        assert_eq!(many("a, b".into()), ["a", "b"]);
        assert_eq!(many("".into()), [""; 0]);
        let numbers = |value: ValueKind| read::<Many<Decimal>>(value).unwrap().0;
        assert_eq!(numbers(vec![50.0, 80.5].into()), [Decimal("50".into()), Decimal("80.5".into())]);
        assert_eq!(numbers("50,80.5".into()), [Decimal("50".into()), Decimal("80.5".into())]);
        assert_eq!(numbers(50.into()), [Decimal("50".into())]);
        assert_eq!(read::<Many<u8>>("1,2").unwrap().0, [1, 2]);
        let table = ValueKind::Table([("a".to_owned(), Value::from("b"))].into());
        assert_eq!(read::<Many<BTreeMap<String, String>>>(table).unwrap().0.len(), 1, "one table is a list of one");
    }

    #[test]
    fn a_number_of_a_file_is_no_text() {
        let of_file = |text: &str| Decimal::deserialize(Strict(Value::new(Some(&"line 7".to_owned()), text)));
        let error = of_file("200").unwrap_err().to_string();
        assert_eq!(error, "is the text \"200\", and must be a number");
        assert_eq!(read::<Decimal>("200"), Ok(Decimal("200".into())));
        assert_eq!(
            read::<Decimal>(0.000_000_1).map(|d| d.usd().unwrap_err().to_string()).unwrap(),
            "0.0000001 has more than six decimal places; a millionth of a dollar is the least there is"
        );
        assert_eq!(read::<Decimal>(0.1).map(|d| d.usd()), Ok(Ok(Micros(100_000))));
    }

    #[test]
    fn a_plain_value_is_a_text_a_number_or_a_truth() {
        let plain = |value: ValueKind| read::<Plain>(value).map(|plain| plain.0);
        assert_eq!(
            (plain("a".into()), plain(2.into()), plain(true.into())),
            (Ok("a".into()), Ok("2".into()), Ok("true".into()))
        );
        assert!(plain(vec![1].into()).is_err());
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "…");
    }
}
