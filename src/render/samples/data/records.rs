//! Records that came, changed or went, and levels.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Data, LINK, THREAD, ana, fields, incident, text};
use crate::domain::event::data_of;
use crate::domain::payload::{ChangeData, LevelData, Who};

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

pub fn mission_paused() -> Data {
    any_change("mission", "paused")
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

fn level(noun: &str, before: (&str, Value), after: (&str, Value)) -> Data {
    data_of(&LevelData {
        key: text(noun),
        noun: text(noun),
        name: text(noun),
        before: before.1,
        after: after.1,
        band_before: Some(text(before.0)),
        state: text(if after.0 == "ok" { "resolved" } else { "open" }),
        band_after: text(after.0),
        facts: fields([("can_call", json!(true)), ("currency", json!("usd"))]),
        baseline: false,
        incident: incident(noun),
    })
}

pub fn wallet_low() -> Data {
    level("wallet", ("ok", json!(9.1)), ("low", json!(4.03)))
}

pub fn wallet_depleted() -> Data {
    level("wallet", ("low", json!(0.4)), ("depleted", json!(-0.02)))
}

pub fn wallet_topped_up() -> Data {
    level("wallet", ("low", json!(4.03)), ("ok", json!(54.03)))
}

pub fn any_level(noun: &str) -> Data {
    level(noun, ("ok", json!("operational")), ("degraded", json!("degraded")))
}
