//! Settings taken as they are written: a number is no text, true is no number, 2.5 is no count.
//!
//! Texts are still read as what they say, because environment variables and secret files have nothing else.

use config::{ConfigError, Map, Value, ValueKind};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Unexpected, Visitor};

/// A value that is not taken for one of another type.
pub struct Strict(pub Value);

type Result<T> = std::result::Result<T, ConfigError>;

impl IntoDeserializer<'_, ConfigError> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Strict {
    fn wrong<T>(&self, expected: &str) -> Result<T> {
        let found = match &self.0.kind {
            ValueKind::Boolean(b) => Unexpected::Bool(*b).to_string(),
            ValueKind::Float(f) => Unexpected::Float(*f).to_string(),
            ValueKind::I64(n) => Unexpected::Signed(*n).to_string(),
            ValueKind::U64(n) => Unexpected::Unsigned(*n).to_string(),
            ValueKind::I128(_) | ValueKind::U128(_) => "a huge integer".to_owned(),
            ValueKind::Nil => "nothing".to_owned(),
            ValueKind::String(_) => "a text".to_owned(),
            ValueKind::Table(_) => "a table".to_owned(),
            ValueKind::Array(_) => "a list".to_owned(),
        };
        Err(ConfigError::Message(format!("is {found}, and must be {expected}")))
    }

    fn is_integer(&self) -> bool {
        matches!(self.0.kind, ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_))
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::String(text) => visitor.visit_string(text),
            ValueKind::Boolean(_) | ValueKind::Float(_) => self.wrong("a text, in quotes"),
            _ if self.is_integer() => self.wrong("a text, in quotes"),
            _ => self.wrong("a text"),
        }
    }
}

/// Numbers: of the right kind, or a text that says one.
macro_rules! numbers {
    ($($name:ident: $whole:literal),+ $(,)?) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match (&self.0.kind, $whole) {
                (ValueKind::Float(_) | ValueKind::Boolean(_), true) => self.wrong("a whole number"),
                (ValueKind::Boolean(_), false) => self.wrong("a number"),
                _ => self.0.$name(visitor),
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

    numbers! {
        deserialize_i8: true, deserialize_i16: true, deserialize_i32: true, deserialize_i64: true,
        deserialize_u8: true, deserialize_u16: true, deserialize_u32: true, deserialize_u64: true,
        deserialize_f32: false, deserialize_f64: false,
    }

    as_it_is! { deserialize_char, deserialize_bytes, deserialize_byte_buf, deserialize_unit, deserialize_identifier }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::Boolean(_) | ValueKind::String(_) => self.0.deserialize_bool(visitor),
            _ => self.wrong("true or false"),
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

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Strict))),
            _ => self.0.deserialize_seq(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::Table(table) => visitor.visit_map(members(table)),
            _ => self.0.deserialize_map(visitor),
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

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }
}

type Members = MapDeserializer<'static, std::vec::IntoIter<(String, Strict)>, ConfigError>;

fn members(table: Map<String, Value>) -> Members {
    let members: Vec<(String, Strict)> = table.into_iter().map(|(key, value)| (key, Strict(value))).collect();
    MapDeserializer::new(members.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn read<'de, T: Deserialize<'de>>(kind: impl Into<ValueKind>) -> std::result::Result<T, String> {
        T::deserialize(Strict(Value::new(None, kind.into()))).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_is_taken_for_something_of_another_type() {
        assert_eq!(read::<String>(7).unwrap_err(), "is integer `7`, and must be a text, in quotes");
        assert_eq!(read::<Option<String>>(true).unwrap_err(), "is boolean `true`, and must be a text, in quotes");
        assert_eq!(
            read::<Vec<String>>(vec![1.5]).unwrap_err(),
            "is floating point `1.5`, and must be a text, in quotes"
        );
        assert_eq!(read::<u32>(2.5).unwrap_err(), "is floating point `2.5`, and must be a whole number");
        assert_eq!(read::<u32>(true).unwrap_err(), "is boolean `true`, and must be a whole number");
        assert_eq!(read::<bool>(1).unwrap_err(), "is integer `1`, and must be true or false");
    }

    #[test]
    fn texts_say_numbers_as_the_environment_has_them() {
        assert_eq!((read::<u32>("7"), read::<f64>("2.5"), read::<bool>("true")), (Ok(7), Ok(2.5), Ok(true)));
        assert_eq!((read::<f64>(2), read::<String>("7")), (Ok(2.0), Ok("7".to_owned())));
    }
}
