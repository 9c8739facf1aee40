//! From a row of an answer to a record or a level.

use std::collections::BTreeMap;

use serde_json::Value;

use super::place::{RowView, key_of};
use super::plan::{Link, Plan, Rows};
use crate::domain::collection::GaugeSpec;
use crate::domain::money::Micros;
use crate::domain::record::{GaugeRow, Record};

/// Longest address of a record, bytes.
const LINK_BYTES: usize = 2_048;
/// Longest name of a record, bytes.
const NAME_BYTES: usize = 4_096;

/// The record in a row; `None` where it has no usable key.
pub fn record(rows: &Rows, view: RowView<'_>) -> Option<Record> {
    let key = key_of(&rows.key, view)?;
    let mut facts: BTreeMap<String, Value> = BTreeMap::new();
    for field in &rows.facts {
        facts.extend(field.pointer.get(view.row).map(|value| (field.label.clone(), value.clone())));
    }
    let (created_at, updated_at) = (rows.created.instant(view), rows.updated.instant(view));
    for (name, at) in [("created_at", created_at), ("updated_at", updated_at)] {
        if let Some(at) = at {
            facts.entry(name.to_owned()).or_insert_with(|| Value::String(at.to_string()));
        }
    }
    Some(Record {
        fields: fields(rows, view.row),
        facts,
        name: rows.name.text(view).map(|name| crate::domain::delivery::cut(&name, NAME_BYTES)),
        who: rows.who.text(view),
        link: link(&rows.link, &key, view),
        created_at,
        updated_at,
        key,
    })
}

/// Watched fields: absent stays absent, and so does a null where null can't be.
fn fields(rows: &Rows, row: &Value) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    let mut watch = |label: &str, value: &Value| {
        if !(value.is_null() && rows.required.contains(label)) {
            fields.insert(label.to_owned(), value.clone());
        }
    };
    if let Some(list) = &rows.watch {
        for field in list {
            if let Some(value) = field.pointer.get(row) {
                watch(&field.label, value);
            }
        }
        return fields;
    }
    let mut rest = row.clone();
    for pointer in &rows.ignore {
        pointer.remove(&mut rest);
    }
    // The key never changes, and the instants of a change are no change by themselves.
    let instants = rows.created.0.iter().chain(&rows.updated.0);
    for place in rows.key.iter().chain(instants) {
        if let super::place::Place::Row(pointer) = place {
            pointer.remove(&mut rest);
        }
    }
    for (name, value) in rest.as_object().into_iter().flatten() {
        watch(name, value);
    }
    fields
}

fn link(link: &Link, key: &str, view: RowView<'_>) -> Option<String> {
    let text = match link {
        Link::None => None,
        Link::In(places) => places.text(view),
        Link::Made(address) => {
            let escaped = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
            Some(address.replace("{key}", &escaped))
        }
    };
    text.filter(|t| t.len() <= LINK_BYTES && (t.starts_with("https://") || t.starts_with("http://")))
}

/// The level in a row, or what is strange about it.
pub enum Level {
    Row(GaugeRow),
    /// No usable key.
    Keyless,
    /// It has a key and nothing to judge by.
    Unclear(String),
}

pub fn level(plan: &Plan, view: RowView<'_>) -> Level {
    let Some(key) = key_of(&plan.rows.key, view) else { return Level::Keyless };
    let Some(value) = plan.rows.value.get(view).and_then(|value| judgeable(&plan.gauge, &value)) else {
        return Level::Unclear(key);
    };
    let facts = plan.rows.facts.iter().filter_map(|f| Some((f.label.clone(), f.pointer.get(view.row)?.clone())));
    Level::Row(GaugeRow { facts: facts.collect(), name: plan.rows.name.text(view), value, band: None, key })
}

/// A number where bands are judged, a state where states are.
fn judgeable(gauge: &GaugeSpec, value: &Value) -> Option<Value> {
    if !gauge.bands.is_empty() {
        return Micros::from_json(value, 0).is_ok().then(|| value.clone());
    }
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(Value::String(text.trim().to_owned())),
        Value::Bool(_) => Some(value.clone()),
        Value::Number(number) => Some(Value::String(number.to_string())),
        _ => None,
    }
}
