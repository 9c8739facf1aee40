//! `GET /connect/status`: what is connected, in the shapes such answers have. The document shows none.

use serde_json::{Map, Value, json};

use crate::domain::record::{Page, Record, Rows};

/// Integrations of one answer, at most; more is no list of integrations.
const MOST: usize = 100;

/// The integrations, or `None` where the shape is none of those known: a list (by itself or under `data` or
/// `integrations`) of rows with a name, or an object of one member each.
pub fn page(document: &Value) -> Option<Page> {
    let inner = ["data", "integrations", "connections"].into_iter().find_map(|name| document.get(name));
    let rows: Vec<Record> = match inner.unwrap_or(document) {
        Value::Array(items) => items.iter().map(named_row).collect::<Option<_>>()?,
        Value::Object(members) => {
            // A word at the top may say anything, an error for one.
            let states = members.iter().filter(|(_, value)| is_state(value) && (inner.is_some() || value.is_object()));
            states.map(|(name, value)| record(name, value)).collect::<Option<_>>()?
        }
        _ => return None,
    };
    // An object without members is no list of none.
    let known = !rows.is_empty() || matches!(inner, Some(Value::Array(_)));
    (known && rows.len() <= MOST).then(|| Page::of(Rows::Records(rows)))
}

fn named_row(item: &Value) -> Option<Record> {
    let name = ["name", "id", "provider", "type"].into_iter().find_map(|n| item.get(n)?.as_str())?;
    record(name, item)
}

/// A member that says how a connection stands: a word, yes or no, or an object that has one of them.
fn is_state(value: &Value) -> bool {
    state_of(value).is_some()
}

fn state_of(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(connected) => Some(json!(if *connected { "connected" } else { "disconnected" })),
        Value::String(word) if !word.trim().is_empty() && word.len() <= 64 => Some(json!(word.trim())),
        Value::Object(members) => member_state(members),
        _ => None,
    }
}

fn member_state(members: &Map<String, Value>) -> Option<Value> {
    ["status", "state", "connected"].into_iter().find_map(|name| match members.get(name)? {
        inner @ (Value::Bool(_) | Value::String(_)) => state_of(inner),
        _ => None,
    })
}

fn record(name: &str, value: &Value) -> Option<Record> {
    let name = name.trim();
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        return None;
    }
    let status = state_of(value)?;
    Some(Record {
        key: name.to_owned(),
        name: Some(name.to_owned()),
        fields: [("status".to_owned(), status)].into(),
        ..Record::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &Value) -> Option<Vec<(String, Value)>> {
        let Rows::Records(rows) = page(document)?.rows else { panic!("records") };
        Some(rows.into_iter().map(|r| (r.key, r.fields["status"].clone())).collect())
    }

    #[test]
    fn shapes_that_are_known_and_one_that_is_not() {
        let connected = vec![("metricool".to_owned(), json!("connected"))];
        for known in [
            json!({"integrations": [{"name": "metricool", "status": "connected"}]}),
            json!({"metricool": {"connected": true, "accounts": 2}}),
            json!({"data": {"metricool": "connected"}}),
            json!([{"id": "metricool", "connected": true}]),
        ] {
            assert_eq!(read(&known), Some(connected.clone()), "{known}");
        }
        assert_eq!(read(&json!({"integrations": []})), Some(Vec::new()));
        for unknown in [
            json!({"total": 3}),
            json!([1, 2]),
            json!("ok"),
            json!({}),
            json!([{"status": "connected"}]),
            json!({"error": "no"}),
            json!({"integrations": {}}),
        ] {
            assert_eq!(read(&unknown), None, "{unknown}");
        }
    }
}
