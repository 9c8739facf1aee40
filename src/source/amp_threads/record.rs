//! A thread as a record: what is watched, what is only told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::Thread;
use super::lenient::Field;
use crate::domain::record::Record;
use crate::domain::time::Timestamp;

/// The record of a thread. The revision and the times are facts: they make no event by themselves.
pub fn record(thread: &Thread) -> Record {
    let mut fields = BTreeMap::new();
    let mut watch = |name: &str, value: Field<Value>| match value {
        Field::Absent => {}
        Field::Null => drop(fields.insert(name.to_owned(), Value::Null)),
        Field::Is(value) => drop(fields.insert(name.to_owned(), value)),
    };
    watch("title", text(&thread.title));
    watch("agentMode", text(&thread.agent_mode));
    watch("repository", text(&thread.repository));
    watch("messageCount", thread.message_count.map_or(Field::Absent, |count| Field::Is(count.into())));
    watch("state", text(&thread.state));
    watch("visibility", text(&thread.visibility));
    watch(
        "archived",
        match thread.archived {
            Field::Absent => Field::Absent,
            Field::Null => Field::Null,
            Field::Is(archived) => Field::Is(archived.into()),
        },
    );
    let facts = [
        ("createdAt", thread.created.map(iso)),
        ("updatedAt", thread.updated.map(iso)),
        ("v", thread.v.map(Value::from)),
        ("file", Some(Value::from(thread.file.as_ref()))),
    ];
    Record {
        key: thread.id.to_string(),
        fields,
        facts: facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
        name: name(thread),
        who: thread.creator.as_deref().map(str::to_owned),
        link: link(&thread.id),
        created_at: thread.created,
        updated_at: thread.updated,
    }
}

/// The title, where there is one.
pub fn name(thread: &Thread) -> Option<String> {
    match &thread.title {
        Field::Is(title) if !title.trim().is_empty() => Some(title.to_string()),
        _ => None,
    }
}

/// Where a thread can be read; only for ids of Amp's own form, so that no id of a made-up file becomes an address.
pub fn link(id: &str) -> Option<String> {
    let uuid = id.strip_prefix("T-")?;
    let plausible = uuid.len() == 36 && uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    plausible.then(|| format!("https://ampcode.com/threads/{id}"))
}

/// An instant as JSON has it.
pub fn iso(at: Timestamp) -> Value {
    Value::String(at.to_string())
}

fn text(field: &Field<Box<str>>) -> Field<Value> {
    match field {
        Field::Absent => Field::Absent,
        Field::Null => Field::Null,
        Field::Is(text) => Field::Is(Value::from(text.as_ref())),
    }
}
