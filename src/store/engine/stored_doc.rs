//! A document as it is stored: its version, then itself.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::doc::Doc;

#[derive(Serialize)]
pub(super) struct StoredDoc<D> {
    pub(super) v: u64,
    #[serde(flatten)]
    pub(super) doc: D,
}

/// Read as it stands. A derived reading of what is flattened would hold all of it as loose values first, which take
/// many times the memory of the document itself.
impl<'de> Deserialize<'de> for StoredDoc<Doc> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(VersionFirst)
    }
}

struct VersionFirst;

impl<'de> Visitor<'de> for VersionFirst {
    type Value = StoredDoc<Doc>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document that begins with its version")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if map.next_key::<String>()?.as_deref() != Some("v") {
            return Err(A::Error::custom("it does not begin with its version"));
        }
        let v = map.next_value()?;
        Ok(StoredDoc { v, doc: Doc::deserialize(MapAccessDeserializer::new(map))? })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::collection::CollectionState;
    use crate::domain::time::Timestamp;
    use crate::domain::timing::Rooms;

    #[test]
    fn documents_come_back_as_they_were_and_anything_else_is_an_error() {
        let rooms = Rooms { digests: BTreeMap::from([(3, Timestamp::UNIX_EPOCH)]), ..Rooms::default() };
        for doc in [Doc::Rooms(rooms), Doc::Collection(CollectionState::default())] {
            let text = serde_json::to_string(&StoredDoc { v: 7, doc: &doc }).unwrap();
            let back: StoredDoc<Doc> = serde_json::from_str(&text).unwrap();
            assert_eq!((back.v, back.doc), (7, doc));
        }
        for odd in [r"{}", r#"{"v":1}"#, r#"{"doc":"rooms","value":{},"v":1}"#, r#"{"v":1,"doc":"what","value":{}}"#] {
            assert!(serde_json::from_str::<StoredDoc<Doc>>(odd).is_err(), "{odd}");
        }
    }
}
