//! The handles of a fake workspace over HTTP, for scripts in other languages: `POST /control/OP` with the change's
//! fields as JSON, where `OP` is a [`Change`] or one of the questions below.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::change::Change;
use super::seed::SeedOptions;
use super::workspace::FakeWorkspace;

/// What can be asked besides changes.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    /// `entries`: requests with a number above `since`.
    Log {
        #[serde(default)]
        since: u64,
    },
    ClearLog,
    Counters,
    /// `now`, `today`, `threads` (count).
    Summary,
    /// `ids` of all threads, in the order of the list.
    ThreadIds,
    User {
        who: String,
    },
    /// Begins anew with made-up data.
    Reset {
        #[serde(default)]
        options: SeedOptions,
    },
}

const QUESTIONS: [&str; 6] = ["log", "clear_log", "counters", "summary", "thread_ids", "user"];

/// Routes of the control surface.
pub fn router(workspace: Arc<FakeWorkspace>) -> Router {
    Router::new().route("/control/{op}", post(control).get(control)).with_state(workspace)
}

async fn control(State(workspace): State<Arc<FakeWorkspace>>, Path(op): Path<String>, body: Bytes) -> Response {
    let (status, answer) = match act(&workspace, op, &body) {
        Ok(answer) => (StatusCode::OK, answer),
        Err(reason) => (StatusCode::BAD_REQUEST, json!({ "error": reason })),
    };
    let mut response = Response::new(Body::from(answer.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn act(workspace: &FakeWorkspace, op: String, body: &[u8]) -> Result<Value, String> {
    let mut fields: Map<String, Value> =
        if body.is_empty() { Map::new() } else { serde_json::from_slice(body).map_err(|e| e.to_string())? };
    let is_question = op == "reset" || QUESTIONS.contains(&op.as_str());
    fields.insert("op".to_owned(), op.into());
    let fields = Value::Object(fields);
    if is_question {
        return Ok(answer(workspace, serde_json::from_value(fields).map_err(|e| e.to_string())?));
    }
    let change: Change = serde_json::from_value(fields).map_err(|e| e.to_string())?;
    workspace.apply(change).map_err(|e| e.to_string())
}

fn answer(workspace: &FakeWorkspace, question: Question) -> Value {
    match question {
        Question::Log { since } => json!({ "entries": workspace.log_since(since) }),
        Question::ClearLog => {
            workspace.clear_log();
            json!({})
        }
        Question::Counters => json!(workspace.counters()),
        Question::Summary => json!({
            "now": workspace.now(), "today": workspace.today(), "threads": workspace.thread_count(),
        }),
        Question::ThreadIds => json!({ "ids": workspace.thread_ids() }),
        Question::User { who } => workspace.user(&who).map_or(
            Value::Null,
            |u| json!({ "id": u.id, "email": u.email, "name": u.name, "role": u.role, "active": u.active }),
        ),
        Question::Reset { options } => {
            workspace.reset(&options);
            json!({})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn workspace() -> FakeWorkspace {
        FakeWorkspace::empty(Arc::new(|| Timestamp::from_second(1_800_000_000).unwrap()))
    }

    #[test]
    fn every_change_can_be_made_from_outside() {
        let workspace = workspace();
        let mut thread = String::new();
        for (op, body) in [
            ("add_member", json!({ "name": "Ana", "email": "ana@example.com", "role": "admin" })),
            ("set_role", json!({ "who": "ana@example.com", "role": "member" })),
            ("rename_member", json!({ "who": "ana@example.com", "name": "Ana B" })),
            ("change_email", json!({ "who": "ana@example.com", "email": "a@example.com" })),
            ("add_thread", json!({ "thread": { "creator": "a@example.com", "title": "x", "usage": "1.50" } })),
            ("edit_thread", json!({ "id": "$T", "edit": { "title": "y" } })),
            ("set_thread_usage", json!({ "id": "$T", "usd": "3.10" })),
            ("set_thread_usage", json!({ "id": "$T", "usd": null })),
            (
                "set_usage",
                json!({ "date": "2027-01-15", "who": "a@example.com", "usd": "4.20",
                        "models": { "m": { "requests": 3, "usd": "4.20" } } }),
            ),
            ("clear_usage", json!({ "date": "2027-01-15", "who": "a@example.com" })),
            ("remove_thread", json!({ "id": "$T" })),
            ("remove_member", json!({ "who": "a@example.com" })),
            ("set_scopes", json!({ "scopes": ["amp.api:workspace.members:view"] })),
            ("set_token_ttl", json!({ "secs": 60 })),
            ("rotate_secret", json!({ "secret": "new" })),
            ("revoke_client", json!({})),
            ("revoke_tokens", json!({})),
            ("set_clock_skew", json!({ "secs": -90 })),
            ("set_cursor_style", json!({ "style": "offset" })),
            ("add_fault", json!({ "rule": { "prefix": "/api", "fault": { "status": { "code": 503 } }, "count": 2 } })),
            ("add_fault", json!({ "rule": { "fault": "hang", "skip": 3 } })),
            ("add_fault", json!({ "rule": { "fault": { "cut_body": 10 } } })),
            ("clear_faults", json!({})),
            ("log", json!({ "since": 3 })),
            ("counters", json!({})),
            ("summary", json!({})),
            ("thread_ids", json!({})),
            ("user", json!({ "who": "a@example.com" })),
            ("clear_log", json!({})),
            ("reset", json!({ "options": { "seed": 3, "threads": 10, "members": 2, "days": 5 } })),
        ] {
            let body = body.to_string().replace("$T", &thread);
            let answer = act(&workspace, op.to_owned(), body.as_bytes()).unwrap_or_else(|e| panic!("{op}: {e}"));
            if op == "add_thread" {
                thread = answer["id"].as_str().unwrap().to_owned();
            }
        }
        assert_eq!(workspace.thread_count(), 10);
    }

    #[test]
    fn mistakes_are_answered_with_what_is_wrong() {
        let workspace = workspace();
        let error = |op: &str, body: &str| act(&workspace, op.to_owned(), body.as_bytes()).unwrap_err();
        assert!(error("add_tread", "").contains("add_thread"));
        assert!(error("remove_thread", "").contains("id"));
        assert!(error("remove_thread", r#"{"id":"T-0"}"#).contains("T-0"));
        assert!(error("revoke_tokens", "{").contains("EOF"));
        assert!(error("add_member", r#"{"name":"a","email":"b","age":3}"#).contains("age"));
    }
}
