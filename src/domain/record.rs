//! What a source shows: records, money rows, gauges, and how complete the look was.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::spend::{SpendRow, Uncounted};
use super::time::Timestamp;

/// Floats below this are whole numbers that an `i128` holds.
const LARGE: f64 = 1e38;

/// One row of a `record` collection as just observed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    pub key: String,
    /// Watched fields: present or null. A field that is missing from this map was absent on the wire.
    pub fields: BTreeMap<String, Value>,
    /// What is worth telling but makes no event by itself (`createdAt`, `updatedAt`, client, …).
    pub facts: BTreeMap<String, Value>,
    /// What a person calls it: a title or a name.
    pub name: Option<String>,
    /// Id or email of the person behind it.
    pub who: Option<String>,
    pub link: Option<String>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
}

impl Record {
    /// 64 bits over everything observed: equal fingerprints mean nothing to compare and nothing to write.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for (tag, map) in [(1_u8, &self.fields), (2, &self.facts)] {
            hasher.update(&[tag]);
            for (name, value) in map {
                hasher.update(&(name.len() as u64).to_le_bytes());
                hasher.update(name.as_bytes());
                hash_value(&mut hasher, value);
            }
        }
        hasher.digest()
    }

    pub fn key_hash(&self) -> u64 {
        key_hash(&self.key)
    }
}

/// Hash by which the store finds a row. Seed-free XXH3, so it means the same after a restart.
pub fn key_hash(key: &str) -> u64 {
    xxh3_64(key.as_bytes())
}

/// Whether two values say the same: numbers that are equal do, however they are written.
pub fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => Amount::of(one) == Amount::of(other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| are_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, member): (&String, &Value)| other.get(name).is_some_and(|o| are_equal(member, o));
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

/// How much a number is: 1, 1.0 and 1e0 are as much.
#[derive(PartialEq)]
enum Amount {
    Whole(i128),
    /// Bits of what is no whole number, or too large to be told from one.
    Broken(u64),
}

impl Amount {
    fn of(number: &Number) -> Self {
        let float = || number.as_f64().unwrap_or(f64::NAN);
        match number.as_i128() {
            Some(whole) => Self::Whole(whole),
            None if float().fract() == 0.0 && float().abs() < LARGE =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "a whole number below the largest")]
                Self::Whole(float() as i128)
            }
            None => Self::Broken(float().to_bits()),
        }
    }
}

fn hash_value(hasher: &mut Xxh3, value: &Value) {
    match value {
        Value::Null => hasher.update(&[0]),
        Value::Bool(b) => hasher.update(&[1, u8::from(*b)]),
        Value::Number(n) => {
            hasher.update(&[2]);
            match Amount::of(n) {
                Amount::Whole(whole) => match i64::try_from(whole) {
                    Ok(small) => hasher.update(&small.to_le_bytes()),
                    Err(_) => hasher.update(&whole.to_le_bytes()),
                },
                Amount::Broken(bits) => hasher.update(&bits.to_le_bytes()),
            }
        }
        Value::String(s) => {
            hasher.update(&[3]);
            hasher.update(&(s.len() as u64).to_le_bytes());
            hasher.update(s.as_bytes());
        }
        Value::Array(items) => {
            hasher.update(&[4]);
            hasher.update(&(items.len() as u64).to_le_bytes());
            for item in items {
                hash_value(hasher, item);
            }
        }
        Value::Object(map) => {
            hasher.update(&[5]);
            hasher.update(&(map.len() as u64).to_le_bytes());
            // The order of an object's members means nothing; summing the members' hashes ignores it.
            let mut sum = 0_u64;
            for (name, member) in map {
                let mut inner = Xxh3::new();
                inner.update(name.as_bytes());
                inner.update(&[0]);
                hash_value(&mut inner, member);
                sum = sum.wrapping_add(inner.digest());
            }
            hasher.update(&sum.to_le_bytes());
        }
    }
}

/// A record as the store keeps it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StoredRow {
    #[serde(rename = "k")]
    pub key: String,
    /// Counts the changes of this key, its removals and returns included; part of event ids. Never goes back.
    #[serde(rename = "v")]
    pub version: u64,
    /// Fingerprint of the last observation.
    #[serde(rename = "p")]
    pub print: u64,
    /// Removed: kept as a tombstone so that a return under the same key is a different fact.
    #[serde(rename = "g", default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Watched fields that were absent at the last observation; their kept values stand in `fields`.
    #[serde(rename = "o", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost: BTreeSet<String>,
    #[serde(rename = "f", default)]
    pub fields: BTreeMap<String, Value>,
    #[serde(rename = "x", default)]
    pub facts: BTreeMap<String, Value>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A level of a `gauge` collection: a number with bands, or a state with names.
#[derive(Debug, Clone, PartialEq)]
pub struct GaugeRow {
    pub key: String,
    pub name: Option<String>,
    /// The level; null where it is not known and something else says which band it is in.
    pub value: Value,
    /// The band it is in whatever its value says: a wallet that can't call is depleted.
    pub band: Option<String>,
    pub facts: BTreeMap<String, Value>,
}

/// What one thing has cost so far, a level that only grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostRow {
    pub key: String,
    pub cost: super::money::Micros,
    pub estimated: bool,
    pub facts: BTreeMap<String, Value>,
}

/// The rows of one page, by the collection's role.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    Records(Vec<Record>),
    Spend(Vec<SpendRow>),
    Gauges(Vec<GaugeRow>),
    Costs(Vec<CostRow>),
}

impl Rows {
    pub fn len(&self) -> usize {
        match self {
            Self::Records(rows) => rows.len(),
            Self::Spend(rows) => rows.len(),
            Self::Gauges(rows) => rows.len(),
            Self::Costs(rows) => rows.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One bounded piece of a look.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub rows: Rows,
    /// Rows that could not be used: one line each, what was wrong with which.
    pub quarantined: Vec<String>,
    /// Of money: the days that these rows, and tokens without a price, may be of.
    pub uncounted: Uncounted,
    /// Who is who, where this page tells: user id to email or name.
    pub people: BTreeMap<String, Person>,
    /// Keys that were asked about one by one, whatever the answer was.
    pub asked: Vec<String>,
    /// Those of them about which there was none: they are asked about again, ever later.
    pub failed: Vec<String>,
    /// Parts of the page that could not be understood, each told once until it is understood again: a short name, and
    /// a sentence that says what is wrong and what it costs.
    pub strange: BTreeMap<String, String>,
    /// Names that could be in `strange` and were understood.
    pub understood: BTreeSet<String>,
}

impl Page {
    pub fn of(rows: Rows) -> Self {
        Self {
            rows,
            quarantined: Vec::new(),
            uncounted: Uncounted::default(),
            people: BTreeMap::new(),
            asked: Vec::new(),
            failed: Vec::new(),
            strange: BTreeMap::new(),
            understood: BTreeSet::new(),
        }
    }
}

/// What is known of a person besides their id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Person {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How much of a collection a look has shown. Upserts come from all three; removals only from `Complete`.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// From page 1, in this process, to the explicit end, no repeated cursor. Quarantined rows (the pages count them)
    /// bar removals but not the baseline.
    Complete,
    /// A bounded part (newest rows, some days, some keys), read to its end.
    Window,
    /// Something went wrong on the way.
    Partial(Failure),
}

/// Why a look failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// What failed, on what, and what to do. No secrets, no bodies.
    pub message: String,
}

/// Kinds of failed looks that are treated differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// Credentials were refused: told at once.
    Unauthorized,
    /// The named scope (or right) is missing: freezes this collection only.
    Forbidden { scope: String },
    /// Asked to slow down, for so many seconds.
    Throttled { after_secs: u64 },
    /// It asked to be left alone before, for so many seconds yet: nothing was asked.
    Waiting { after_secs: u64 },
    /// The system does not offer this, or not in any shape that is known: freezes this collection only.
    Unsupported { what: String },
    /// Everything else: network, status, body, paging.
    Broken,
}

impl Failure {
    pub fn broken(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Broken, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fingerprints_tell_absent_null_and_value_apart() {
        let with = |v: Option<Value>| {
            let mut r = Record { key: "k".into(), ..Record::default() };
            if let Some(v) = v {
                r.fields.insert("title".into(), v);
            }
            r.fingerprint()
        };
        let prints = [with(None), with(Some(Value::Null)), with(Some(json!(""))), with(Some(json!("a")))];
        for (i, a) in prints.iter().enumerate() {
            for b in &prints[i + 1..] {
                assert_ne!(a, b);
            }
        }
        assert_eq!(with(Some(json!({"a": 1, "b": 2}))), with(Some(json!({"b": 2, "a": 1}))));
        for text in ["1", "1.0", "10e-1"] {
            let value = serde_json::from_str(text).unwrap();
            assert_eq!(with(Some(value)), with(Some(json!(1))), "{text}: an unchanged row costs no write");
        }
        assert_ne!(with(Some(json!(u64::MAX))), with(Some(json!(u64::MAX - 1))));
    }

    #[test]
    fn numbers_are_equal_where_they_are_as_much() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        for (one, other, equal) in [
            ("1", "1.0", true),
            ("-0.0", "0", true),
            ("[{\"a\": 2}]", "[{\"a\": 2.0}]", true),
            ("18446744073709551615", "18446744073709551615", true),
            ("10000000000000000000", "1e19", true),
            ("1e300", "1.0e300", true),
            ("1", "1.5", false),
            ("9007199254740993", "9007199254740992.0", false),
            ("18446744073709551615", "18446744073709551614", false),
            ("1", "\"1\"", false),
            ("{\"a\": 1}", "{\"b\": 1}", false),
            ("[1]", "[1, 1]", false),
        ] {
            assert_eq!(are_equal(&read(one), &read(other)), equal, "{one} and {other}");
        }
    }
}
