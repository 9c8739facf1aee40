//! Records that came, changed or went: threads, members, and any other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Data, LINK, THREAD, ana, fields, text};
use crate::domain::event::data_of;
use crate::domain::payload::{ChangeData, Who};

fn thread() -> ChangeData {
    ChangeData {
        key: text(THREAD),
        noun: text("thread"),
        name: text("Fix the flaky integration tests"),
        who: Some(ana()),
        link: Some(text(LINK)),
        before: None,
        after: None,
        changed: Vec::new(),
        facts: fields([
            ("createdAt", json!("2026-11-22T13:58:12Z")),
            ("firstSyncedAt", json!("2026-11-22T13:58:20Z")),
            ("updatedAt", json!("2026-11-22T14:04:41Z")),
        ]),
    }
}

fn thread_fields(title: &str) -> BTreeMap<String, Value> {
    fields([
        ("creatorUserID", json!("user_01ANA")),
        ("mainThreadID", Value::Null),
        ("repositories", json!([{ "url": "https://github.com/example/web", "dir": "services/api" }])),
        ("title", json!(title)),
    ])
}

pub fn thread_created() -> Data {
    let thread = thread();
    data_of(&ChangeData { after: Some(thread_fields(&thread.name)), ..thread })
}

pub fn thread_updated() -> Data {
    let thread = thread();
    let (before, after) = (thread_fields("Fix tests"), thread_fields(&thread.name));
    data_of(&ChangeData { before: Some(before), after: Some(after), changed: vec![text("title")], ..thread })
}

pub fn thread_deleted() -> Data {
    let thread = thread();
    data_of(&ChangeData { before: Some(thread_fields(&thread.name)), ..thread })
}

fn member(name: &str, before: Option<&str>, after: Option<&str>) -> ChangeData {
    let email = format!("{name}@example.com");
    let side = |role: &str| fields([("name", json!(name)), ("role", json!(role))]);
    let changed = if before.is_some() && after.is_some() { vec![text("role")] } else { Vec::new() };
    ChangeData {
        key: email.clone(),
        noun: text("member"),
        name: text(name),
        who: Some(Who { id: email.clone(), email: Some(email), name: Some(text(name)) }),
        link: None,
        before: before.map(side),
        after: after.map(side),
        changed,
        facts: BTreeMap::new(),
    }
}

pub fn member_added() -> Data {
    data_of(&member("cy", None, Some("member")))
}

pub fn member_removed() -> Data {
    data_of(&member("cy", Some("member"), None))
}

pub fn role_changed() -> Data {
    data_of(&member("bo", Some("member"), Some("admin")))
}

pub fn member_updated() -> Data {
    let renamed = ChangeData {
        before: Some(fields([("name", json!("Bo")), ("role", json!("member"))])),
        ..member("bo", None, Some("member"))
    };
    data_of(&ChangeData { changed: vec![text("name")], ..renamed })
}

fn thread_moved(field: &str, before: &str, after: &str) -> Data {
    let side = |value: &str| {
        fields([
            (field, json!(value)),
            ("messageCount", json!(24)),
            ("title", json!("Fix the flaky integration tests")),
        ])
    };
    let thread = thread();
    let mut facts = thread.facts.clone();
    facts.extend(fields([("cost_usd", json!("0.26")), ("cost_at_least", json!(true)), ("v", json!(33))]));
    data_of(&ChangeData {
        before: Some(side(before)),
        after: Some(side(after)),
        changed: vec![text(field)],
        facts,
        ..thread
    })
}

pub fn thread_finished() -> Data {
    thread_moved("progress", "running", "finished")
}

pub fn thread_failed() -> Data {
    let mut data = thread_moved("progress", "running", "failed");
    if let Some(Value::Object(facts)) = data.get_mut("facts") {
        facts.insert(text("failure"), json!("usage limit"));
    }
    data
}

pub fn thread_stalled() -> Data {
    thread_moved("progress", "running", "stalled")
}

pub fn visibility_widened() -> Data {
    thread_moved("visibility", "private", "public")
}

/// A record of another source; one that changed where the type says neither `created` nor `deleted`.
pub fn any_change(noun: &str, verb: &str) -> Data {
    let side = |status: &str| fields([("name", json!("Launch week")), ("status", json!(status))]);
    let changed = !matches!(verb, "created" | "deleted");
    data_of(&ChangeData {
        key: text("msn_0042"),
        noun: text(noun),
        name: text("Launch week"),
        who: None,
        link: Some(text("https://example.com/missions/msn_0042")),
        before: (verb != "created").then(|| side("active")),
        after: (verb != "deleted").then(|| side("paused")),
        changed: if changed { vec![text("status")] } else { Vec::new() },
        facts: fields([("budget_cents", json!(50_000)), ("updated_at", json!("2026-11-22T14:04:41Z"))]),
    })
}
