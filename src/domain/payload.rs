//! The `data` of every event type, as Rust types: what is sent, what the JSON Schemas say, what templates may use.
//!
//! A type once published never changes its meaning; fields are only ever added.

mod digest;
mod health;
mod money;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use digest::*;
pub use health::*;
pub use money::*;

/// A person, as far as the source tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Who {
    /// Id at the source; the email where there is no other.
    pub id: String,
    /// Where the source tells it.
    #[serde(default)]
    pub email: Option<String>,
    /// Where the source tells it.
    #[serde(default)]
    pub name: Option<String>,
}

/// A record came, changed or went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeData {
    /// The record's key at its source.
    pub key: String,
    /// What kind of thing it is: `thread`, `member`, `mission`.
    pub noun: String,
    /// Title or name, else the key.
    pub name: String,
    /// Who is behind it, where known.
    pub who: Option<Who>,
    /// Where to look at it.
    pub link: Option<String>,
    /// Watched fields before; null for something new.
    pub before: Option<BTreeMap<String, Value>>,
    /// Watched fields after; null for something removed.
    pub after: Option<BTreeMap<String, Value>>,
    /// Names of the watched fields that differ.
    pub changed: Vec<String>,
    /// What else the source said of it.
    pub facts: BTreeMap<String, Value>,
}

/// A marked event to try a sink with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestData {
    /// Says that this is a test.
    pub message: String,
    /// The sink, by its name in the config.
    pub sink: String,
}

/// A gauge moved into another band or state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LevelData {
    /// The level's key at its source.
    pub key: String,
    /// What kind of thing it is.
    pub noun: String,
    /// What a person calls it, else the key.
    pub name: String,
    /// The value before.
    pub before: Value,
    /// The value now; null where there is none.
    pub after: Value,
    /// The band or state left; null at first sight.
    pub band_before: Option<String>,
    /// The band or state entered; `gone` where it has left its list for good.
    pub band_after: String,
    /// What else the source said of it.
    pub facts: BTreeMap<String, Value>,
    /// Already so when first seen.
    pub baseline: bool,
    /// The same for everything about this episode.
    pub incident: String,
    /// `open` or `resolved`.
    pub state: String,
}
