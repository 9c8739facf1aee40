//! Settings taken as they are written: a number is no text, a text no number, 2.5 is no count.
//!
//! Environment variables and secret files have nothing but texts, so theirs are read as what they say. What stands in a
//! file is known by its origin, `line N`, which the loader gives it.

use std::fmt::Display;

use config::{ConfigError, Map, Value, ValueKind};
use serde::de::value::{MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Unexpected, Visitor};

/// A value that is not taken for one of another type.
pub struct Strict(pub Value);

/// The name under which a type asks for a secret: a text, whose value no message shows.
pub const SECRET: &str = "Secret";
/// The name under which a type asks for a number with all its digits.
pub const NUMBER: &str = "Number";
/// The name under which a type asks for a list: one item is a list of one, and a text is cut at its commas.
pub const LIST: &str = "List";
/// Stands in the origin of a text that an environment variable or a file was named for, after the line that names it.
pub const NAMED: &str = ", from ";

/// Characters of a wrong text that a message shows.
const SHOWN: usize = 40;

type Result<T> = std::result::Result<T, ConfigError>;

impl IntoDeserializer<'_, ConfigError> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Strict {
    fn wrong<T>(&self, expected: impl Display) -> Result<T> {
        Err(self.fault(expected))
    }

    fn fault(&self, expected: impl Display) -> ConfigError {
        let found = match &self.0.kind {
            ValueKind::Boolean(b) => Unexpected::Bool(*b).to_string(),
            ValueKind::Float(f) => Unexpected::Float(*f).to_string(),
            ValueKind::I64(n) => Unexpected::Signed(*n).to_string(),
            ValueKind::U64(n) => Unexpected::Unsigned(*n).to_string(),
            ValueKind::I128(_) | ValueKind::U128(_) => "a huge integer".to_owned(),
            ValueKind::Nil => "nothing".to_owned(),
            ValueKind::String(text) if !self.origin().contains(NAMED) => {
                let shown: String = text.chars().take(SHOWN).collect();
                format!("the text {shown:?}{}", if shown.len() < text.len() { "…" } else { "" })
            }
            ValueKind::String(_) => "a text".to_owned(),
            ValueKind::Table(_) => "a table".to_owned(),
            ValueKind::Array(items) => format!("a list of {}", items.len()),
        };
        ConfigError::Message(format!("is {found}, and must be {expected}"))
    }

    /// The same where a table or a list is to be: what stands there instead may be a secret that was meant for a member.
    fn shapeless<T>(&self, expected: impl Display) -> Result<T> {
        match self.0.kind {
            ValueKind::String(_) => Err(ConfigError::Message(format!("is a text, and must be {expected}"))),
            _ => self.wrong(expected),
        }
    }

    fn origin(&self) -> &str {
        self.0.origin().unwrap_or_default()
    }

    /// Whether it stands in a file, where TOML has types.
    fn is_written(&self) -> bool {
        let line = self.origin().rsplit_once("line ").map(|(_, line)| line);
        line.is_some_and(|line| !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()))
    }

    fn is_integer(&self) -> bool {
        matches!(self.0.kind, ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_))
    }

    /// A text that may say a number, or true or false.
    fn loose(&self) -> Option<&str> {
        match &self.0.kind {
            ValueKind::String(text) if !self.is_written() => Some(text.trim()),
            _ => None,
        }
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::String(text) => visitor.visit_string(text),
            ValueKind::Boolean(_) | ValueKind::Float(_) => self.wrong("a text, in quotes"),
            _ if self.is_integer() => self.wrong("a text, in quotes"),
            _ => self.wrong("a text"),
        }
    }

    fn whole(&self) -> Result<i128> {
        let number = match &self.0.kind {
            ValueKind::I64(n) => Some(i128::from(*n)),
            ValueKind::U64(n) => Some(i128::from(*n)),
            ValueKind::I128(n) => Some(*n),
            ValueKind::U128(n) => Some(i128::try_from(*n).unwrap_or(i128::MAX)),
            _ => self.loose().and_then(|text| text.parse().ok()),
        };
        number.map_or_else(|| self.wrong("a whole number"), Ok)
    }

    fn secret<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let found = match &self.0.kind {
            ValueKind::String(_) => return visitor.visit_newtype_struct(self),
            ValueKind::Table(table) => {
                for (key, what) in [("env", "an environment variable"), ("file", "a file")] {
                    if let (1, Some(named)) = (table.len(), table.get(key)) {
                        let fault = Self(named.clone()).fault(format!("the name of {what}, in quotes"));
                        return Err(ConfigError::Message(format!("`{key}` {fault}")));
                    }
                }
                "a table"
            }
            ValueKind::Boolean(_) => "true or false",
            ValueKind::Array(_) => "a list",
            _ => "a number",
        };
        let text = "must be a text in quotes, { env = \"NAME\" } or { file = \"PATH\" }";
        Err(ConfigError::Message(format!("is {found}, and {text}")))
    }

    /// Whatever it is, as a list.
    fn listed(self) -> Self {
        let origin = self.0.origin().map(str::to_owned);
        let items = match self.0.kind {
            ValueKind::Array(_) => return self,
            ValueKind::String(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| Value::new(origin.as_ref(), ValueKind::String(item.to_owned()))).collect()
            }
            _ => vec![self.0],
        };
        Self(Value::new(origin.as_ref(), ValueKind::Array(items)))
    }
}

/// Numbers: of the right kind and size, or a text that says one.
macro_rules! whole_numbers {
    ($($name:ident: $number:ident, $visit:ident),+ $(,)?) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match $number::try_from(self.whole()?) {
                Ok(number) => visitor.$visit(number),
                Err(_) => self.wrong(format!("a whole number from {} to {}", $number::MIN, $number::MAX)),
            }
        }
    )+};
}

/// What has no types that could be mistaken.
macro_rules! as_it_is {
    ($($name:ident),+ $(,)?) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.0.$name(visitor)
        }
    )+};
}

impl<'de> Deserializer<'de> for Strict {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Strict))),
            ValueKind::Table(table) => visitor.visit_map(members(table)),
            _ => self.0.deserialize_any(visitor),
        }
    }

    whole_numbers! {
        deserialize_i8: i8, visit_i8, deserialize_i16: i16, visit_i16,
        deserialize_i32: i32, visit_i32, deserialize_i64: i64, visit_i64,
        deserialize_u8: u8, visit_u8, deserialize_u16: u16, visit_u16,
        deserialize_u32: u32, visit_u32, deserialize_u64: u64, visit_u64,
    }

    as_it_is! { deserialize_char, deserialize_bytes, deserialize_byte_buf, deserialize_unit, deserialize_identifier }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::Float(number) => visitor.visit_f64(number),
            _ if self.is_integer() => self.0.deserialize_f64(visitor),
            _ => match self.loose().and_then(|text| text.parse().ok()) {
                Some(number) => visitor.visit_f64(number),
                None => self.wrong("a number"),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let said = match self.0.kind {
            ValueKind::Boolean(said) => Some(said),
            _ if self.loose().is_some() => self.0.clone().into_bool().ok(),
            _ => None,
        };
        match said {
            Some(said) => visitor.visit_bool(said),
            None => self.wrong("true or false"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        let is_number = |it: &Self| matches!(it.0.kind, ValueKind::Float(_)) || it.is_integer() || it.loose().is_some();
        match name {
            SECRET => self.secret(visitor),
            NUMBER if !is_number(&self) => self.wrong("a number"),
            LIST => visitor.visit_newtype_struct(self.listed()),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Strict))),
            _ => self.shapeless("a list, in brackets"),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        match &self.0.kind {
            ValueKind::Array(items) if items.len() == len => self.deserialize_seq(visitor),
            _ => self.shapeless(format!("a list of {len}, in brackets")),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::Table(table) => visitor.visit_map(members(table)),
            _ => self.shapeless("a table"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    /// Words only: settings have no variants that hold something.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::String(text) if words.contains(&text.as_str()) => {
                visitor.visit_enum(StringDeserializer::<ConfigError>::new(text))
            }
            _ => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                self.wrong(format!("{}{}", if words.len() > 1 { "one of " } else { "" }, words.join(", ")))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }
}

type Members = MapDeserializer<'static, std::vec::IntoIter<(String, Strict)>, ConfigError>;

/// In order of their names. A table has an order of its own, another one in each process, and what is read in it may end
/// up in what tells one epoch from another, or in what is sent.
fn members(table: Map<String, Value>) -> Members {
    let mut members: Vec<(String, Strict)> = table.into_iter().map(|(key, value)| (key, Strict(value))).collect();
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    MapDeserializer::new(members.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn read<'de, T: Deserialize<'de>>(kind: impl Into<ValueKind>) -> std::result::Result<T, String> {
        T::deserialize(Strict(Value::new(None, kind.into()))).map_err(|e| e.to_string())
    }

    /// As the loader makes it of a file.
    fn written<'de, T: Deserialize<'de>>(kind: impl Into<ValueKind>) -> std::result::Result<T, String> {
        T::deserialize(Strict(Value::new(Some(&"line 3".to_owned()), kind.into()))).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_is_taken_for_something_of_another_type() {
        for (found, expected) in [
            (written::<String>(7).unwrap_err(), "is integer `7`, and must be a text, in quotes"),
            (written::<Option<String>>(true).unwrap_err(), "is boolean `true`, and must be a text, in quotes"),
            (written::<u32>(2.5).unwrap_err(), "is floating point `2.5`, and must be a whole number"),
            (written::<u32>(true).unwrap_err(), "is boolean `true`, and must be a whole number"),
            (written::<u8>(300).unwrap_err(), "is integer `300`, and must be a whole number from 0 to 255"),
            (written::<u32>("7").unwrap_err(), "is the text \"7\", and must be a whole number"),
            (written::<f64>("2.5").unwrap_err(), "is the text \"2.5\", and must be a number"),
            (written::<bool>(1).unwrap_err(), "is integer `1`, and must be true or false"),
            (written::<bool>("true").unwrap_err(), "is the text \"true\", and must be true or false"),
            (written::<(u8, u8)>(vec![1]).unwrap_err(), "is a list of 1, and must be a list of 2, in brackets"),
        ] {
            assert_eq!(found, expected);
        }
        let list = read::<Vec<String>>(vec![1.5]).unwrap_err();
        assert_eq!(list, "is floating point `1.5`, and must be a text, in quotes");
        let long = written::<bool>("x".repeat(50)).unwrap_err();
        assert!(long.contains(&format!("the text \"{}\"…,", "x".repeat(SHOWN))), "{long}");
    }

    #[test]
    fn texts_say_numbers_as_the_environment_has_them() {
        assert_eq!((read::<u32>("7"), read::<f64>("2.5"), read::<bool>("true")), (Ok(7), Ok(2.5), Ok(true)));
        assert_eq!((read::<f64>(2), read::<String>("7")), (Ok(2.0), Ok("7".to_owned())));
        assert_eq!(read::<u8>("256").unwrap_err(), "is the text \"256\", and must be a whole number from 0 to 255");
    }

    #[test]
    fn a_text_that_something_was_named_for_is_not_shown() {
        let origin = format!("line 3{NAMED}the environment variable TOKEN");
        let value = Value::new(Some(&origin), ValueKind::String("hunter2".to_owned()));
        assert_eq!(u32::deserialize(Strict(value)).unwrap_err().to_string(), "is a text, and must be a whole number");
    }
}
