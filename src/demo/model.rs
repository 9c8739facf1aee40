//! What a workspace is made of.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

use crate::domain::money::{Micros, MoneyError};
use crate::domain::time::Timestamp;

/// Dollars: exact for sums, and as the digits that go over the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Usd {
    pub micros: Micros,
    pub wire: Number,
}

impl FromStr for Usd {
    type Err = MoneyError;

    /// Reads decimal text (`12.50`). A text that is a JSON number goes over the wire with the same digits, as far as a
    /// double holds them: `12.340000000000002` stays what it is.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let micros = Micros::parse_usd(text)?;
        let wire = serde_json::from_str(text.trim()).unwrap_or_else(|_| number(micros));
        Ok(Self { micros, wire })
    }
}

impl From<Micros> for Usd {
    fn from(micros: Micros) -> Self {
        Self { micros, wire: number(micros) }
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn number(micros: Micros) -> Number {
    serde_json::from_str(&micros.to_decimal()).unwrap_or_else(|_| Number::from(0))
}

/// Role in the workspace, as the API spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Admin,
    #[default]
    Member,
}

/// Someone who is, or was, a member.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    pub id: String,
    pub email: String,
    pub name: String,
    pub role: Role,
    /// Former members keep their usage and threads.
    pub active: bool,
}

/// Where a thread started working.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Repository {
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
}

/// A thread to be added. Only the creator is needed; the rest has defaults.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewThread {
    /// Default: made from the seed and the creation time.
    pub id: Option<String>,
    pub title: Option<String>,
    /// Email or id of a user.
    pub creator: String,
    /// Default: now.
    pub created_at: Option<Timestamp>,
    /// Default: as created.
    pub updated_at: Option<Timestamp>,
    /// Default: as created.
    pub first_synced_at: Option<Timestamp>,
    /// The thread this one is a part of.
    pub main_thread: Option<String>,
    pub repositories: Vec<Repository>,
    pub messages: u32,
    /// What it cost by itself, without its sub-threads; `None`: not known (yet).
    pub usage: Option<Usd>,
}

/// What changes about a thread; what is left out stays.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadEdit {
    pub title: Option<String>,
    pub repositories: Option<Vec<Repository>>,
    pub main_thread: Option<String>,
    pub messages: Option<u32>,
    /// Email or id of a user.
    pub creator: Option<String>,
    /// Default: now.
    pub updated_at: Option<Timestamp>,
}

/// A thread as it is kept. Small, because there may be a million.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    pub id: Arc<str>,
    pub title: Option<Box<str>>,
    /// User id.
    pub creator: Arc<str>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub first_synced_at: Timestamp,
    pub part_of: Option<Arc<str>>,
    pub repositories: Arc<[Repository]>,
    pub messages: u32,
    pub usage: Option<Usd>,
}

/// What one user did with one model on one day.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    pub requests: u64,
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_creation: u64,
    /// Seen in live answers though the document doesn't name it; left out where it is `None`.
    pub usd: Option<Usd>,
}

/// What one user did on one day.
#[derive(Debug, Clone, PartialEq)]
pub struct UserDay {
    pub usd: Usd,
    pub models: BTreeMap<String, Model>,
    pub lines_added: u64,
    pub lines_deleted: u64,
    pub lines_modified: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_keep_their_digits() {
        for (text, wire, micros) in [
            ("12.50", "12.5", 12_500_000),
            ("0.1", "0.1", 100_000),
            ("12.340000000000002", "12.340000000000002", 12_340_000),
            ("+3", "3.0", 3_000_000),
            ("7", "7", 7_000_000),
        ] {
            let usd: Usd = text.parse().unwrap();
            assert_eq!((usd.wire.to_string().as_str(), usd.micros.0), (wire, micros), "{text}");
        }
        assert!("a lot".parse::<Usd>().is_err());
        assert_eq!(Usd::from(Micros(12_340_000)).wire.to_string(), "12.34");
        assert_eq!(serde_json::from_str::<Usd>("2.5").unwrap(), serde_json::from_str("\"2.5\"").unwrap());
    }
}
