//! Records of the systems around Amp: missions and content, wallets and providers, the CLI's user.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Data, ana, fields, text};
use crate::domain::event::data_of;
use crate::domain::payload::ChangeData;

pub const MISSION: &str = "msn_0042";
pub const CONTENT: &str = "cnt_0815";

type Fields = BTreeMap<String, Value>;

fn record(
    noun: &str,
    key: &str,
    name: &str,
    before: Option<Fields>,
    after: Option<Fields>,
    changed: &str,
) -> ChangeData {
    ChangeData {
        key: text(key),
        noun: text(noun),
        name: text(name),
        who: None,
        link: None,
        changed: if changed.is_empty() { Vec::new() } else { vec![text(changed)] },
        before,
        after,
        facts: BTreeMap::new(),
    }
}

fn mission(before: Option<&str>, after: Option<&str>) -> Data {
    let side = |status: &str| {
        fields([("constraints.budget_cents", json!(50_000)), ("name", json!("Launch week")), ("status", json!(status))])
    };
    let changed = if before.is_some() && after.is_some() { "status" } else { "" };
    let facts = fields([("platforms", json!(["linkedin"])), ("updated_at", json!("2026-11-22T14:04:41Z"))]);
    data_of(&ChangeData {
        facts,
        ..record("mission", MISSION, "Launch week", before.map(side), after.map(side), changed)
    })
}

pub fn mission_created() -> Data {
    mission(None, Some("draft"))
}

pub fn mission_started() -> Data {
    mission(Some("draft"), Some("active"))
}

pub fn mission_paused() -> Data {
    mission(Some("active"), Some("paused"))
}

pub fn mission_resumed() -> Data {
    mission(Some("paused"), Some("active"))
}

pub fn mission_completed() -> Data {
    mission(Some("active"), Some("completed"))
}

pub fn mission_status_changed() -> Data {
    mission(Some("active"), Some("draft"))
}

pub fn mission_deleted() -> Data {
    mission(Some("paused"), None)
}

pub fn mission_updated() -> Data {
    let side = |name: &str| fields([("name", json!(name)), ("status", json!("active"))]);
    let (before, after) = (side("Launch"), side("Launch week"));
    data_of(&record("mission", MISSION, "Launch week", Some(before), Some(after), "name"))
}

const TITLE: &str = "Five things we learned";

/// A piece of content with this status and title.
fn piece(status: &str, title: &str) -> Fields {
    fields([
        ("mission_id", json!(MISSION)),
        ("needs_review", json!(status == "pending_review")),
        ("platform", json!("linkedin")),
        ("status", json!(status)),
        ("title", json!(title)),
        ("version", json!(2)),
    ])
}

fn pieces(before: Option<Fields>, after: Option<Fields>, changed: &str) -> Data {
    let facts = fields([("metadata.generation_cost_cents", json!(14))]);
    data_of(&ChangeData {
        link: Some(text("https://example.com/posts/815")),
        facts,
        ..record("content", CONTENT, TITLE, before, after, changed)
    })
}

fn content(before: Option<&str>, after: &str, changed: &str) -> Data {
    pieces(before.map(|status| piece(status, TITLE)), Some(piece(after, TITLE)), changed)
}

pub fn content_updated() -> Data {
    pieces(Some(piece("draft", "Four things we learned")), Some(piece("draft", TITLE)), "title")
}

pub fn content_deleted() -> Data {
    pieces(Some(piece("rejected", TITLE)), None, "")
}

pub fn content_created() -> Data {
    content(None, "draft", "")
}

pub fn content_approved() -> Data {
    content(Some("pending_review"), "approved", "status")
}

pub fn content_rejected() -> Data {
    content(Some("pending_review"), "rejected", "status")
}

pub fn content_scheduled() -> Data {
    content(Some("approved"), "scheduled", "status")
}

pub fn content_published() -> Data {
    content(Some("scheduled"), "published", "status")
}

pub fn content_failed() -> Data {
    content(Some("scheduled"), "failed", "status")
}

pub fn content_review_needed() -> Data {
    content(Some("draft"), "pending_review", "needs_review")
}

fn key(before: bool, after: bool) -> Data {
    let side = || fields([("name", json!("continuous integration")), ("scopes", json!(["missions:read"]))]);
    data_of(&record("key", "key_07", "continuous integration", before.then(side), after.then(side), ""))
}

pub fn key_created() -> Data {
    key(false, true)
}

pub fn key_revoked() -> Data {
    key(true, false)
}

pub fn key_changed() -> Data {
    let side = |scopes: Value| Some(fields([("name", json!("continuous integration")), ("scopes", scopes)]));
    let (before, after) = (side(json!(["missions:read"])), side(json!(["missions:read", "missions:write"])));
    data_of(&record("key", "key_07", "continuous integration", before, after, "scopes"))
}

pub fn integration_changed() -> Data {
    let side = |status: &str| Some(fields([("status", json!(status))]));
    data_of(&record("integration", "metricool", "metricool", side("connected"), side("disconnected"), "status"))
}

fn credential(before: Option<&str>, after: Option<&str>) -> Data {
    let side = |state: &str| fields([("provider_id", json!("qdrant")), ("state", json!(state))]);
    let changed = if before.is_some() && after.is_some() { "state" } else { "" };
    data_of(&record("credential", "crd_01", "production", before.map(side), after.map(side), changed))
}

pub fn credential_added() -> Data {
    credential(None, Some("active"))
}

pub fn credential_changed() -> Data {
    credential(Some("active"), Some("expired"))
}

pub fn credential_removed() -> Data {
    credential(Some("expired"), None)
}

fn provider(before: bool, after: bool) -> Data {
    let side = || fields([("catalog_listing", json!("listed")), ("display_name", json!("Qdrant"))]);
    let facts = fields([("cost_per_1m_dims_usd", json!(0.042)), ("p99_latency_ms", json!(38))]);
    data_of(&ChangeData { facts, ..record("provider", "qdrant", "Qdrant", before.then(side), after.then(side), "") })
}

pub fn provider_added() -> Data {
    provider(false, true)
}

pub fn provider_removed() -> Data {
    provider(true, false)
}

pub fn provider_changed() -> Data {
    let side = |listing: &str| Some(fields([("catalog_listing", json!(listing)), ("display_name", json!("Qdrant"))]));
    data_of(&record("provider", "qdrant", "Qdrant", side("listed"), side("delisted"), "catalog_listing"))
}

pub fn status_changed() -> Data {
    let side = |version: &str| {
        Some(fields([("auth_mode", json!("api_key")), ("data_mode", json!("catalog")), ("version", json!(version))]))
    };
    data_of(&record("status", "status", "status", side("3.1.12"), side("3.1.13"), "version"))
}

pub fn connection_changed() -> Data {
    let side = |on: bool| Some(fields([("authenticated", json!(on)), ("scopes", json!(["repo", "user"]))]));
    data_of(&record("connection", "github", "GitHub", side(true), side(false), "authenticated"))
}

pub fn user_changed() -> Data {
    let side = |email: &str| Some(fields([("email", json!(email)), ("name", json!("ana"))]));
    let user = record("user", "user_01ANA", "ana", side("ana@example.com"), side("ana@acme.example.com"), "email");
    data_of(&ChangeData { who: Some(ana()), ..user })
}
