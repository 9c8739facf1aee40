//! What tells rows apart, and what in them never stands still.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::place::text_of;
use super::places::Rows;

/// Names that keys have, best first; a name that ends in one of the last two is a guess.
const LIKELY: [&str; 10] = ["id", "uuid", "guid", "key", "slug", "number", "email", "login", "name", "code"];
/// Parts of names whose values change all the time and mean nothing.
const RESTLESS: [&str; 20] = [
    "updated_at",
    "updatedat",
    "last_seen",
    "lastseen",
    "last_used",
    "lastused",
    "checked_at",
    "measured_at",
    "modified_at",
    "request_id",
    "requestid",
    "compute_ms",
    "latency",
    "duration_ms",
    "fetched_at",
    "age_hours",
    "uptime",
    "_ms",
    "etag",
    "timestamp",
];

type Row<'v> = (String, &'v Value);

/// Names of members that some row has.
pub fn fields(rows: &[Row<'_>]) -> BTreeSet<String> {
    rows.iter().filter_map(|(_, row)| row.as_object()).flat_map(|members| members.keys().cloned()).collect()
}

/// Pointers whose values tell all rows apart and are the same in both answers.
pub fn key(place: &Rows, first: &[Row<'_>], second: &[Row<'_>]) -> Vec<String> {
    if place.by_name {
        return vec!["*".to_owned()];
    }
    let mut candidates: Vec<String> = fields(first).into_iter().filter(|field| is_unique(&[field], first)).collect();
    candidates.sort_by_key(|field| rank(field));
    let lasting = |field: &&String| {
        let values =
            |rows: &[Row<'_>]| -> BTreeSet<String> { rows.iter().filter_map(|(_, r)| text(r, field)).collect() };
        second.is_empty() || !values(first).is_disjoint(&values(second))
    };
    if let Some(field) = candidates.iter().find(lasting) {
        return vec![format!("/{field}")];
    }
    // Two together, where one alone does not.
    let mut all: Vec<String> =
        fields(first).into_iter().filter(|f| first.iter().all(|(_, r)| text(r, f).is_some())).collect();
    all.sort_by_key(|field| rank(field));
    all.truncate(8);
    for (index, one) in all.iter().enumerate() {
        for other in all.iter().skip(index + 1) {
            if is_unique(&[one, other], first) {
                return vec![format!("/{one}"), format!("/{other}")];
            }
        }
    }
    Vec::new()
}

fn rank(field: &str) -> (usize, String) {
    let lower = field.to_lowercase();
    let exact = LIKELY.iter().position(|name| *name == lower);
    let ends = || (lower.ends_with("id") || lower.ends_with("key")).then_some(LIKELY.len());
    let moves = is_restless(field).then_some(LIKELY.len() + 2);
    (moves.or(exact).or_else(ends).unwrap_or(LIKELY.len() + 1), lower)
}

fn text(row: &Value, field: &str) -> Option<String> {
    text_of(row.get(field)?)
}

fn is_unique(names: &[&String], rows: &[Row<'_>]) -> bool {
    let mut seen = BTreeSet::new();
    !rows.is_empty()
        && rows.iter().all(|(_, row)| {
            let values: Option<Vec<String>> = names.iter().map(|name| text(row, name)).collect();
            values.is_some_and(|values| seen.insert(values))
        })
}

/// Pointers to what differs between the answers for the same row, and to what has a name of that sort.
pub fn restless(place: &Rows, key: &[String], first: &[Row<'_>], second: &[Row<'_>]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, row) in first {
        named(row, "", 0, &mut found);
    }
    let by_key: BTreeMap<String, &Value> = second.iter().map(|row| (label(place, key, row), row.1)).collect();
    for row in first {
        if let Some(after) = by_key.get(&label(place, key, row)) {
            differing(row.1, after, "", &mut found);
        }
    }
    // What is above another needs no word of its own.
    let all = found.clone();
    found.retain(|path| !all.iter().any(|other| other != path && path.starts_with(&format!("{other}/"))));
    found.retain(|path| !key.contains(path));
    found
}

fn label(place: &Rows, key: &[String], row: &Row<'_>) -> String {
    if place.single {
        return String::new();
    }
    if place.by_name {
        return row.0.clone();
    }
    key.iter().filter_map(|path| text(row.1, path.trim_start_matches('/'))).collect::<Vec<_>>().join("/")
}

fn named(value: &Value, path: &str, depth: usize, found: &mut BTreeSet<String>) {
    let Value::Object(members) = value else { return };
    for (name, member) in members {
        let path = below(path, name);
        if is_restless(name) && !member.is_object() && !member.is_array() {
            found.insert(path);
        } else if depth < 2 {
            named(member, &path, depth + 1, found);
        }
    }
}

fn differing(before: &Value, after: &Value, path: &str, found: &mut BTreeSet<String>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after && !path.is_empty() {
            found.insert(path.to_owned());
        }
        return;
    };
    for (name, value) in old {
        if let Some(now) = new.get(name) {
            differing(value, now, &below(path, name), found);
        }
    }
}

fn below(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn is_restless(name: &str) -> bool {
    let lower = name.to_lowercase();
    RESTLESS.iter().any(|part| {
        lower == *part || (part.len() > 3 && lower.contains(part)) || (*part == "_ms" && lower.ends_with(part))
    })
}
