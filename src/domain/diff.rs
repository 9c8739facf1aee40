//! What differs between a record as known and as just observed.
//!
//! Invariants: absent is not null is not changed (an absent field keeps its old value, and so does one whose value has
//! become of another type); equal records give nothing; applying the outcome to what was known gives what is known
//! next.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::record::{Record, StoredRow, are_equal};

/// What the store knows of an observed record.
#[derive(Debug, Clone, PartialEq)]
pub enum Match {
    /// Never seen.
    New,
    /// Seen, and its last observation was exactly this one.
    Same,
    /// Seen, and different (or removed since).
    Known(Box<StoredRow>),
}

/// Facts about the collection that decide how a field is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Fields that some record of the collection has carried in a complete look.
    pub known_fields: &'a BTreeSet<String>,
    /// Fields known to be lost at present.
    pub degraded: &'a BTreeMap<String, super::time::Timestamp>,
}

/// The outcome for one record.
#[derive(Debug, Clone, PartialEq)]
pub struct RowDiff {
    /// What to store; `None` where nothing is new.
    pub row: Option<StoredRow>,
    pub change: Change,
    /// Watched fields that were there at the last observation and are absent now.
    pub vanished: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    None,
    Created,
    /// Watched fields that differ, with what they were.
    Updated {
        before: BTreeMap<String, Value>,
        fields: Vec<String>,
    },
}

/// Compares. Pure.
pub fn diff(known: &Match, observed: &Record, reading: Reading<'_>) -> RowDiff {
    match known {
        Match::Same => RowDiff { row: None, change: Change::None, vanished: Vec::new() },
        Match::New => RowDiff {
            row: Some(store(observed, observed.fields.clone(), 1)),
            change: Change::Created,
            vanished: Vec::new(),
        },
        Match::Known(old) if old.gone => RowDiff {
            row: Some(store(observed, observed.fields.clone(), old.version + 1)),
            change: Change::Created,
            vanished: Vec::new(),
        },
        Match::Known(old) => compare(old, observed, reading),
    }
}

/// A removed record's tombstone: keeps the count of changes and nothing else.
pub fn tombstone(row: &StoredRow) -> StoredRow {
    StoredRow { key: row.key.clone(), version: row.version + 1, gone: true, ..StoredRow::default() }
}

fn compare(old: &StoredRow, observed: &Record, reading: Reading<'_>) -> RowDiff {
    let mut fields = observed.fields.clone();
    let mut vanished = Vec::new();
    let mut lost = BTreeSet::new();
    let mut changed = Vec::new();
    for (name, value) in &old.fields {
        match fields.get(name) {
            Some(now) if !is_of_another_type(value, now) => {
                if !are_equal(now, value) {
                    changed.push(name.clone());
                }
            }
            _ => {
                lost.insert(name.clone());
                if !old.lost.contains(name) {
                    vanished.push(name.clone());
                }
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    for (name, value) in &observed.fields {
        // A field this record never had: news where the collection has long carried it, learned silently where it
        // is newly watched, newly granted, or just back.
        let usual = reading.known_fields.contains(name) && !reading.degraded.contains_key(name);
        if !old.fields.contains_key(name) && usual && !value.is_null() {
            changed.push(name.clone());
        }
    }
    changed.sort();
    let version = if changed.is_empty() { old.version } else { old.version + 1 };
    let row = StoredRow {
        name: observed.name.clone().or_else(|| old.name.clone()),
        who: observed.who.clone().or_else(|| old.who.clone()),
        link: observed.link.clone().or_else(|| old.link.clone()),
        lost,
        ..store(observed, fields, version)
    };
    let change =
        if changed.is_empty() { Change::None } else { Change::Updated { before: old.fields.clone(), fields: changed } };
    RowDiff { row: (row != *old).then_some(row), change, vanished }
}

/// A text that has become a list is no news about the record but about the system.
fn is_of_another_type(before: &Value, now: &Value) -> bool {
    !before.is_null() && !now.is_null() && std::mem::discriminant(before) != std::mem::discriminant(now)
}

fn store(observed: &Record, fields: BTreeMap<String, Value>, version: u64) -> StoredRow {
    StoredRow {
        key: observed.key.clone(),
        version,
        print: observed.fingerprint(),
        gone: false,
        lost: BTreeSet::new(),
        fields,
        facts: observed.facts.clone(),
        name: observed.name.clone(),
        who: observed.who.clone(),
        link: observed.link.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn record(fields: &[(&str, Option<Value>)]) -> Record {
        Record {
            key: "k".into(),
            fields: fields.iter().filter_map(|(n, v)| v.clone().map(|v| ((*n).to_owned(), v))).collect(),
            ..Record::default()
        }
    }

    fn reading<'a>(
        known: &'a BTreeSet<String>,
        degraded: &'a BTreeMap<String, super::super::time::Timestamp>,
    ) -> Reading<'a> {
        Reading { known_fields: known, degraded }
    }

    #[test]
    fn absent_null_and_value_are_three_things() {
        let known: BTreeSet<String> = ["title".to_owned()].into();
        let none = BTreeMap::new();
        let old = diff(&Match::New, &record(&[("title", Some(json!("a")))]), reading(&known, &none)).row.unwrap();
        let against = |r: &Record| diff(&Match::Known(Box::new(old.clone())), r, reading(&known, &none));

        let absent = against(&record(&[]));
        assert_eq!((absent.change, absent.vanished), (Change::None, vec!["title".to_owned()]));
        assert_eq!(absent.row.unwrap().fields["title"], json!("a"), "keeps its old value");

        let null = against(&record(&[("title", Some(Value::Null))]));
        assert!(matches!(null.change, Change::Updated { .. }));
        assert_eq!(null.row.unwrap().fields["title"], Value::Null);
    }

    #[test]
    fn a_newly_watched_field_is_learned_silently() {
        let none = BTreeMap::new();
        let empty = BTreeSet::new();
        let old = diff(&Match::New, &record(&[]), reading(&empty, &none)).row.unwrap();
        let seen = record(&[("title", Some(json!("a")))]);
        let silent = diff(&Match::Known(Box::new(old.clone())), &seen, reading(&empty, &none));
        assert_eq!(silent.change, Change::None);
        let usual: BTreeSet<String> = ["title".to_owned()].into();
        let told = diff(&Match::Known(Box::new(old)), &seen, reading(&usual, &none));
        assert!(matches!(told.change, Change::Updated { .. }));
    }

    #[test]
    fn another_type_is_no_change() {
        let (none, known) = (BTreeMap::new(), ["title".to_owned()].into());
        let old = diff(&Match::New, &record(&[("title", Some(json!("a")))]), reading(&known, &none)).row.unwrap();
        let drifted = record(&[("title", Some(json!({"text": "a"})))]);
        let out = diff(&Match::Known(Box::new(old)), &drifted, reading(&known, &none));
        assert_eq!((out.change, out.vanished), (Change::None, vec!["title".to_owned()]));
        let kept = out.row.unwrap();
        assert_eq!(kept.fields["title"], json!("a"));
        let back = record(&[("title", Some(json!("b")))]);
        let out = diff(&Match::Known(Box::new(kept)), &back, reading(&known, &none));
        assert!(matches!(out.change, Change::Updated { .. }), "what changed meanwhile is told once it can be read");
    }

    #[test]
    fn a_number_written_otherwise_is_no_change() {
        let (none, known) = (BTreeMap::new(), ["seats".to_owned()].into());
        let old = diff(&Match::New, &record(&[("seats", Some(json!(1)))]), reading(&known, &none)).row.unwrap();
        let against = |value: Value| {
            let now = record(&[("seats", Some(value))]);
            diff(&Match::Known(Box::new(old.clone())), &now, reading(&known, &none)).change
        };
        assert_eq!(against(json!(1.0)), Change::None);
        assert!(matches!(against(json!(1.5)), Change::Updated { .. }));
    }

    #[test]
    fn a_return_after_removal_is_another_fact() {
        let none = BTreeMap::new();
        let empty = BTreeSet::new();
        let seen = record(&[("title", Some(json!("a")))]);
        let first = diff(&Match::New, &seen, reading(&empty, &none)).row.unwrap();
        let back = diff(&Match::Known(Box::new(tombstone(&first))), &seen, reading(&empty, &none));
        assert_eq!(back.change, Change::Created);
        assert_eq!(back.row.unwrap().version, 3);
    }

    fn values() -> impl Strategy<Value = Option<Value>> {
        prop_oneof![Just(None), Just(Some(Value::Null)), (0..3_i32).prop_map(|n| Some(json!(n)))]
    }

    proptest! {
        #[test]
        fn diff_then_apply_is_next_and_equals_give_nothing(a in values(), b in values(), c in values(), d in values()) {
            let known: BTreeSet<String> = ["x".to_owned(), "y".to_owned()].into();
            let none = BTreeMap::new();
            let first = record(&[("x", a), ("y", b)]);
            let second = record(&[("x", c), ("y", d)]);
            let old = diff(&Match::New, &first, reading(&known, &none)).row.unwrap();
            let out = diff(&Match::Known(Box::new(old.clone())), &second, reading(&known, &none));
            let next = out.row.unwrap_or(old.clone());
            for (name, value) in &second.fields {
                prop_assert_eq!(&next.fields[name], value);
            }
            for (name, value) in &old.fields {
                if !second.fields.contains_key(name) {
                    prop_assert_eq!(&next.fields[name], value);
                }
            }
            let again = diff(&Match::Known(Box::new(next)), &second, reading(&known, &none));
            prop_assert_eq!(again.change, Change::None);
            prop_assert_eq!(again.row, None);
        }
    }
}
