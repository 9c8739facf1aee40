//! One call: who asks, for what, and what comes back.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{Answer, BOT_TOKEN, CHANNEL, Message, Post, State, WEBHOOK_PATH, files, limits, lock};

/// Parameters that come as JSON inside a form.
const STRUCTURED: [&str; 4] = ["blocks", "attachments", "metadata", "files"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Webhook,
    Post,
    Edit,
}

pub(super) async fn take(
    Shared(state): Shared<Arc<Mutex<State>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = match uri.path() {
        WEBHOOK_PATH => Call::Webhook,
        path if path.starts_with(files::UPLOADS) => return files::bytes(&mut lock(&state), &uri, &headers, &body),
        path => {
            let form = parameters(&headers, &body).unwrap_or_default();
            let bearer = headers.get("authorization").and_then(|h| h.to_str().ok());
            if bearer != Some(&format!("Bearer {BOT_TOKEN}")) && form["token"] != BOT_TOKEN {
                return refusal("invalid_auth", &[]);
            }
            match path {
                "/api/chat.postMessage" => Call::Post,
                "/api/chat.update" => Call::Edit,
                "/api/files.getUploadURLExternal" => return files::place(&mut lock(&state), &uri, &headers, &form),
                "/api/files.completeUploadExternal" => return files::share(&mut lock(&state), &form),
                "/api/auth.test" => {
                    let who = json!({ "ok": true, "url": "https://acme.slack.com/", "user": "bridge", "team": "acme",
                        "user_id": "U0", "team_id": "T0", "bot_id": "B0" });
                    return answer(200, None, who.to_string());
                }
                _ => return refusal("unknown_method", &[]),
            }
        }
    };
    let verdict = judge(&mut lock(&state), call, parameters(&headers, &body));
    match verdict {
        Verdict::Taken(_) if call == Call::Webhook => answer(200, None, "ok".to_owned()),
        Verdict::Taken(message) => {
            let text = message.body["text"].clone();
            let shown = json!({ "type": "message", "ts": message.ts, "text": text, "blocks": message.body["blocks"],
                "bot_id": "B0", "thread_ts": message.thread });
            let ok = json!({ "ok": true, "channel": CHANNEL, "ts": message.ts, "text": text, "message": shown });
            answer(200, None, ok.to_string())
        }
        Verdict::Faulty(code, _) if call == Call::Webhook => answer(400, None, code.to_owned()),
        Verdict::Faulty(code, faults) => refusal(code, &faults),
        Verdict::TooFast(after) => {
            answer(429, Some(&after.to_string()), json!({ "ok": false, "error": "ratelimited" }).to_string())
        }
        Verdict::Scripted(Answer::Status(status, after, body)) => answer(status, after, body.to_owned()),
        Verdict::Scripted(Answer::Refused(code)) => refusal(code, &[]),
        Verdict::Scripted(Answer::Silence) => std::future::pending().await,
    }
}

enum Verdict {
    Taken(Message),
    /// The error code, and what was wrong.
    Faulty(&'static str, Vec<String>),
    TooFast(u64),
    Scripted(Answer),
}

fn judge(state: &mut State, call: Call, parsed: Result<Value, String>) -> Verdict {
    let now = Instant::now();
    let (body, faults) = match parsed {
        Ok(body) => {
            let faults = limits::faults(&body, call == Call::Edit);
            (body, faults)
        }
        Err(error) => (Value::Null, vec![("invalid_payload", error)]),
    };
    let addressed = call == Call::Webhook || body["channel"].as_str().is_some_and(|c| !c.is_empty());
    let scripted = if call == Call::Edit { None } else { state.script.pop_front().or_else(|| state.usual.clone()) };
    let paced = if call == Call::Edit { state.rates.edit(now) } else { state.rates.post(now) };
    let place = state.channel.iter().position(|m| Some(m.ts.as_str()) == body["ts"].as_str());
    let thread = body["thread_ts"].as_str().map(str::to_owned);
    let verdict = if let Some(answer) = scripted {
        Verdict::Scripted(answer)
    } else if let Err(after) = paced {
        state.throttled += 1;
        Verdict::TooFast(after)
    } else if !addressed {
        Verdict::Faulty("channel_not_found", vec!["no channel".to_owned()])
    } else if let Some((code, _)) = faults.first() {
        Verdict::Faulty(code, faults.iter().map(|(_, fault)| fault.clone()).collect())
    } else if call == Call::Edit && place.is_none() {
        Verdict::Faulty("message_not_found", Vec::new())
    } else if thread.as_ref().is_some_and(|ts| state.channel.iter().all(|m| m.ts != *ts)) {
        Verdict::Faulty("thread_not_found", Vec::new())
    } else if let Some(there) = place.and_then(|at| state.channel.get_mut(at)).filter(|_| call == Call::Edit) {
        // What an edit leaves out stays.
        if let (Some(old), Some(new)) = (there.body.as_object_mut(), body.as_object()) {
            old.extend(new.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        there.edits += 1;
        Verdict::Taken(there.clone())
    } else {
        let ts = format!("1800000000.{:06}", state.posts.len() + 1);
        let message = Message { ts, thread, body: body.clone(), edits: 0 };
        state.channel.push(message.clone());
        Verdict::Taken(message)
    };
    let post = Post { body, at: now, taken: matches!(verdict, Verdict::Taken(_)) };
    state.faults.extend(faults.into_iter().map(|(_, fault)| fault));
    if call == Call::Edit { &mut state.edits } else { &mut state.posts }.push(post);
    verdict
}

/// What was asked for, as JSON or as a form.
fn parameters(headers: &HeaderMap, body: &[u8]) -> Result<Value, String> {
    let kind = headers.get("content-type").and_then(|h| h.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return if body.is_empty() {
            Ok(json!({}))
        } else {
            serde_json::from_slice(body).map_err(|e| format!("no JSON: {e}"))
        };
    }
    let mut found = Map::new();
    for (name, text) in url::form_urlencoded::parse(body) {
        let value = match text.as_ref() {
            text if STRUCTURED.contains(&name.as_ref()) => {
                serde_json::from_str(text).map_err(|e| format!("{name}: no JSON: {e}"))?
            }
            "true" | "1" => Value::Bool(true),
            "false" | "0" => Value::Bool(false),
            text => Value::from(text),
        };
        found.insert(name.into_owned(), value);
    }
    Ok(Value::Object(found))
}

pub(super) fn answer(status: u16, after: Option<&str>, body: String) -> Response {
    let kind = if body.starts_with('{') { "application/json; charset=utf-8" } else { "text/html" };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", kind.parse().unwrap());
    if let Some(after) = after {
        response.headers_mut().insert("retry-after", after.parse().unwrap());
    }
    response
}

pub(super) fn refusal(code: &str, faults: &[String]) -> Response {
    let mut body = json!({ "ok": false, "error": code });
    if !faults.is_empty() {
        body["errors"] = json!(faults);
        body["response_metadata"] =
            json!({ "messages": faults.iter().map(|f| format!("[ERROR] {f}")).collect::<Vec<_>>() });
    }
    answer(200, None, body.to_string())
}
