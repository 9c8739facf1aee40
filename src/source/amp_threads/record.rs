//! A thread as a record: what is watched, what is only told.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::Value;

use super::document::Thread;
use super::lenient::Field;
use crate::domain::record::Record;
use crate::domain::time::Timestamp;

/// The record of a thread. The revision, the times and the cost are facts: they make no event by themselves.
pub fn record(thread: &Thread, now: Timestamp, stalled_after: SignedDuration) -> Record {
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
    let progress = thread.progress.map(|progress| progress.word(thread.updated, now, stalled_after));
    watch("progress", progress.map_or(Field::Absent, |word| Field::Is(word.into())));
    watch("visibility", visibility(&thread.visibility));
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
        ("failure", thread.usage_limit.then(|| Value::from("usage limit"))),
        ("cost_usd", thread.bill.known_cost().map(|cost| Value::from(cost.micros().to_decimal()))),
        ("cost_at_least", (thread.bill.floor && thread.bill.known_cost().is_some()).then_some(Value::Bool(true))),
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

/// Who may see it, narrowest first; other words are told as they stand.
pub const VISIBILITIES: [&str; 5] = ["private", "group", "workspace", "unlisted", "public"];

/// One word for each degree: Amp has had several.
fn visibility(field: &Field<Box<str>>) -> Field<Value> {
    match field.get().map(AsRef::as_ref) {
        Some("thread_workspace_shared") => Field::Is("workspace".into()),
        Some("public_unlisted") => Field::Is("unlisted".into()),
        Some("public_discoverable") => Field::Is("public".into()),
        _ => text(field),
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
