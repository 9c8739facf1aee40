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

use super::delivery::cut;
use super::record::Person;

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

/// Longest name of a person, in bytes; what is longer is none that anybody reads.
const NAME_BYTES: usize = 1024;
/// Longest address of mail (RFC 5321, section 4.5.3.1).
const EMAIL_BYTES: usize = 64 + 1 + 255;

impl Who {
    /// Who a user id is, as far as known. Where there is no other id it is the email.
    pub fn of(id: &str, person: Option<&Person>) -> Self {
        let email = person.and_then(|p| p.email.as_deref()).or_else(|| is_email(id).then_some(id));
        let name = person.and_then(|p| p.name.as_deref());
        Self {
            id: id.to_owned(),
            email: email.map(|email| cut(email, NAME_BYTES)),
            name: name.map(|name| cut(name, NAME_BYTES)),
        }
    }

    /// With this name where none is known.
    #[must_use]
    pub fn or_named(self, name: Option<&str>) -> Self {
        Self { name: self.name.or_else(|| Some(cut(name?, NAME_BYTES))), ..self }
    }
}

fn is_email(text: &str) -> bool {
    let parts = text.split_once('@').filter(|_| text.len() <= EMAIL_BYTES && !text.contains(char::is_whitespace));
    parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_other_id_the_email_is_one() {
        let ana = Person { email: Some("ana@example.com".into()), name: Some("Ana".into()) };
        assert_eq!(Who::of("u1", Some(&ana)).email.as_deref(), Some("ana@example.com"));
        let email = |id: &str| Who::of(id, None).email;
        assert_eq!(email("Bo@example.com").as_deref(), Some("Bo@example.com"), "members are known by nothing else");
        let long = format!("{}@example.com", "a".repeat(400));
        for id in ["u2", "@handle", "a@", "a b@example.com", "a@b@c", "", &long] {
            assert_eq!(email(id), None, "{id}");
        }
    }

    #[test]
    fn nobody_is_named_by_the_megabyte() {
        let long = Person { name: Some("ä".repeat(1_000_000)), ..Person::default() };
        assert!(Who::of("u1", Some(&long)).name.is_some_and(|name| name.len() < 2_000));
        assert!(Who::of("u1", None).or_named(long.name.as_deref()).name.is_some_and(|name| name.len() < 2_000));
    }
}
