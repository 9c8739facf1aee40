//! The `data` of an event: as it was written down until somebody looks into it.
//!
//! Most of what a webhook is sent goes out as it lies in the store. Reading that into a map and writing it again took a
//! sixth of what a delivery costs.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A map of names to values.
///
/// Invariant: where there is a text, it says what the map says.
#[derive(Clone, Default)]
pub struct Data {
    text: Option<Box<RawValue>>,
    map: OnceLock<Map<String, Value>>,
}

impl Data {
    /// Whether all of it can be read. What comes from elsewhere may hold a number that is none of ours (`1e999`), or be nested
    /// without end; such a text reads as empty.
    pub fn is_readable(&self) -> bool {
        self.map.get().is_some() || self.read().is_some()
    }

    pub fn into_map(self) -> Map<String, Value> {
        let known = self.map.into_inner();
        known.or_else(|| serde_json::from_str(self.text?.get()).ok()).unwrap_or_default()
    }

    /// Changes it.
    pub fn edit(&mut self, change: impl FnOnce(&mut Map<String, Value>)) {
        let mut map = std::mem::take(self).into_map();
        change(&mut map);
        *self = Self::from(map);
    }

    pub fn insert(&mut self, name: String, value: Value) {
        self.edit(|map| drop(map.insert(name, value)));
    }

    fn read(&self) -> Option<Map<String, Value>> {
        self.text.as_ref().and_then(|text| serde_json::from_str(text.get()).ok())
    }
}

impl Deref for Data {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        self.map.get_or_init(|| self.read().unwrap_or_default())
    }
}

impl From<Map<String, Value>> for Data {
    fn from(map: Map<String, Value>) -> Self {
        Self { text: None, map: OnceLock::from(map) }
    }
}

impl FromIterator<(String, Value)> for Data {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        Self::from(pairs.into_iter().collect::<Map<String, Value>>())
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.text {
            Some(text) => text.serialize(serializer),
            None => (**self).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if !text.get().starts_with('{') {
            return Err(D::Error::custom("the data of an event is a map"));
        }
        Ok(Self { text: Some(text), map: OnceLock::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"b":1,"a":{"x":[null,"\u00e4"]}}"#;

    #[test]
    fn it_is_what_was_written_until_it_is_changed() {
        let mut data: Data = serde_json::from_str(TEXT).unwrap();
        assert_eq!(serde_json::to_string(&data).unwrap(), TEXT, "to the byte");
        assert_eq!(data["a"]["x"][1], "ä");
        assert_eq!(serde_json::to_value(&data).unwrap(), serde_json::from_str::<Value>(TEXT).unwrap());
        let from_value: Data = serde_json::from_value(serde_json::from_str(TEXT).unwrap()).unwrap();
        assert_eq!(data, from_value);
        data.insert("b".to_owned(), Value::from(2));
        assert_eq!(serde_json::to_string(&data).unwrap(), r#"{"b":2,"a":{"x":[null,"ä"]}}"#);
        assert_ne!(data, from_value);
    }

    #[test]
    fn what_is_no_map_is_refused_and_what_cannot_be_read_says_so() {
        for text in ["[]", "1", "null", "\"{}\"", "{"] {
            assert!(serde_json::from_str::<Data>(text).is_err(), "{text}");
        }
        let odd: Data = serde_json::from_str(r#"{"a":1e999}"#).unwrap();
        assert!(!odd.is_readable() && odd.is_empty());
        assert!(serde_json::from_str::<Data>(TEXT).unwrap().is_readable());
    }
}
