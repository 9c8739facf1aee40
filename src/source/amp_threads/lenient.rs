//! JSON read for what fits: a member of another type than expected counts as absent, and nothing else is kept.
//!
//! Invariant: no value nests deeper here than the types that name it; what is skipped is skipped without recursion
//! (`serde_json` skips with an explicit stack), so a hostile document can't exhaust the thread's stack.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::domain::time::Timestamp;

/// Longest text kept of one value, in bytes.
pub const TEXT_BYTES: usize = 4096;

/// A member that may be missing, null, or there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Field<T> {
    #[default]
    Absent,
    Null,
    Is(T),
}

impl<T> Field<T> {
    /// The value, where there is one.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            _ => None,
        }
    }

    /// This one where it is there, else the other; null where only one of them is at all.
    pub fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Is(_), _) | (Self::Null, Self::Absent) => self,
            _ => other,
        }
    }
}

/// One value without parts. Texts are cut at [`TEXT_BYTES`].
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Scalar {
    #[default]
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    /// A list or an object, skipped.
    Compound,
}

impl Scalar {
    /// The text; anything but a text or null counts as absent.
    pub fn text(self) -> Field<Box<str>> {
        match self {
            Self::Text(text) => Field::Is(text),
            Self::Null => Field::Null,
            _ => Field::Absent,
        }
    }

    /// The text where it is one and not blank.
    pub fn word(self) -> Option<Box<str>> {
        match self {
            Self::Text(text) if !text.trim().is_empty() => Some(text),
            _ => None,
        }
    }

    pub fn bool(self) -> Field<bool> {
        match self {
            Self::Bool(value) => Field::Is(value),
            Self::Null => Field::Null,
            _ => Field::Absent,
        }
    }

    /// A count: a whole number, not negative. Older files write some as `12.0`.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Int(n) => u64::try_from(*n).ok(),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
            Self::Float(f) if f.fract() == 0.0 && (0.0..9.0e15).contains(f) => Some(*f as u64),
            _ => None,
        }
    }

    /// An instant: milliseconds since the epoch, or RFC 3339.
    pub fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            number => Timestamp::from_millisecond(i64::try_from(number.count()?).ok()?).ok(),
        }
    }

    /// An id that some files write as a number and others as a text.
    pub fn label(&self) -> Option<Box<str>> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.clone()),
            number => number.count().map(|n| n.to_string().into_boxed_str()),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar::Null)
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Int(value))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                // Nothing in a thread counts beyond 2^63: such a number is of no use here.
                Ok(i64::try_from(value).map_or(Scalar::Compound, Scalar::Int))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(value))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(cut(text).into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Scalar, A::Error> {
                skip_seq(seq).map(|()| Scalar::Compound)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar, A::Error> {
                skip_map(map).map(|()| Scalar::Compound)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// The visits of a visitor for which every value without parts is nothing.
macro_rules! nothing_from_scalars {
    ($nothing:expr) => {
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok($nothing)
        }
    };
}

/// An object read as `T`; `None` where there is none, or something else.
#[derive(Debug, Clone, PartialEq)]
pub struct Object<T>(pub Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|value| Object(Some(value)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Object<T>, A::Error> {
                skip_seq(seq).map(|()| Object(None))
            }
            nothing_from_scalars!(Object(None));
        }
        deserializer.deserialize_any(Only(PhantomData))
    }
}

/// What is made of the items of a list while they go by.
pub trait Gather: Default {
    type Item: for<'de> Deserialize<'de>;
    /// Takes the next item; an error ends the reading.
    fn take(&mut self, item: Self::Item) -> Result<(), &'static str>;
}

/// A list, gathered item by item; `None` where there is none, or something else.
#[derive(Debug, Clone, PartialEq)]
pub struct List<G>(pub Option<G>);

impl<G> Default for List<G> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, G: Gather> Deserialize<'de> for List<G> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<G>(PhantomData<G>);
        impl<'de, G: Gather> Visitor<'de> for Only<G> {
            type Value = List<G>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<G>, A::Error> {
                let mut gathered = G::default();
                while let Some(item) = seq.next_element()? {
                    gathered.take(item).map_err(A::Error::custom)?;
                }
                Ok(List(Some(gathered)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<List<G>, A::Error> {
                skip_map(map).map(|()| List(None))
            }
            nothing_from_scalars!(List(None));
        }
        deserializer.deserialize_any(Only(PhantomData))
    }
}

fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Sample {
        name: Scalar,
        inner: Object<Inner>,
        list: List<Count>,
    }

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Inner {
        n: Scalar,
    }

    #[derive(Debug, Default, PartialEq)]
    struct Count(u32);

    impl Gather for Count {
        type Item = IgnoredAny;
        fn take(&mut self, _: IgnoredAny) -> Result<(), &'static str> {
            self.0 += 1;
            Ok(())
        }
    }

    fn read(json: &str) -> Sample {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_of_another_type_counts_as_absent() {
        let wrong = ["1", "-1", "18446744073709551615", "1.5", "true", "null", "\"x\"", "[[1],{}]", "{\"a\":[{}]}"];
        for json in wrong {
            let sample = read(&format!(r#"{{"name":{json},"inner":{json},"list":{json}}}"#));
            assert_eq!(matches!(sample.name.text(), Field::Is(_)), json == "\"x\"", "{json}");
            assert_eq!(sample.inner.0.is_some(), json.starts_with('{'), "{json}");
            assert_eq!(sample.list.0, json.starts_with('[').then_some(Count(2)), "{json}");
        }
        assert_eq!(read("{}").name.text(), Field::Absent);
        assert_eq!(read(r#"{"name":null}"#).name.text(), Field::Null);
        assert_eq!(read(r#"{"inner":{"n":3,"x":[]}}"#).inner.0, Some(Inner { n: Scalar::Int(3) }));
    }

    #[test]
    fn numbers_instants_and_ids() {
        let scalar = |json: &str| serde_json::from_str::<Scalar>(json).unwrap();
        assert_eq!(scalar("12.0").count(), Some(12));
        assert_eq!(scalar("-1").count(), None);
        assert_eq!(scalar("0.5").count(), None);
        assert_eq!(scalar("1e300").count(), None);
        assert_eq!(scalar("1788064264680").instant().unwrap().to_string(), "2026-08-30T04:31:04.68Z");
        assert_eq!(scalar("\"2026-08-30T04:31:04.68Z\"").instant(), scalar("1788064264680").instant());
        assert_eq!(scalar("\"yesterday\"").instant(), None);
        assert_eq!(scalar("9223372036854775807").instant(), None);
        assert_eq!(scalar("7").label(), scalar("\"7\"").label());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = format!("\"a{}\"", "é".repeat(TEXT_BYTES));
        let Scalar::Text(text) = serde_json::from_str(&long).unwrap() else { panic!("a text") };
        assert_eq!(text.len(), TEXT_BYTES - 1);
    }
}
