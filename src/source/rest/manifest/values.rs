//! Small values of manifests.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The name of an event type, or `false` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName(pub Option<String>);

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = EventName;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an event type, or false for no event")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<EventName, E> {
                Ok(EventName(Some(text.to_owned())))
            }
            fn visit_bool<E: Error>(self, on: bool) -> Result<EventName, E> {
                if on {
                    Err(E::custom("true names no event type; write its name, or false for no event"))
                } else {
                    Ok(EventName(None))
                }
            }
        }
        d.deserialize_any(Any)
    }
}

impl JsonSchema for EventName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of an event type, like \"mission.created\", or false for no event",
            "oneOf": [{ "type": "string", "pattern": "^[a-z0-9_-]+(\\.[a-z0-9_-]+)+$" }, { "const": false }]
        })
    }
}

/// A place a value comes from: `/pointer` into the row, `name` of a lifted value, `*` for what the last `*` of
/// `records` stood for, `=text` for the text itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Reference(pub String);

impl JsonSchema for Reference {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a value comes from: \"/pointer\" into the row, the name of a lifted value, \"*\" for the member's name or index that the last * of `records` stood for, or \"=text\" for the text itself",
            "type": "string"
        })
    }
}

/// One place, or several of which the first that has a value counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct References(pub Vec<Reference>);

impl<'de> Deserialize<'de> for References {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = References;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a place like \"/user/id\", or a list of places")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<References, E> {
                Ok(References(vec![Reference(text.to_owned())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<References, A::Error> {
                let mut places = Vec::new();
                while let Some(place) = seq.next_element()? {
                    places.push(place);
                }
                Ok(References(places))
            }
        }
        d.deserialize_any(Any)
    }
}

impl JsonSchema for References {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "References".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Reference>();
        json_schema!({
            "description": "One place, or several of which the first that has a value counts",
            "oneOf": [one, { "type": "array", "items": one }]
        })
    }
}
