//! Uploads: a place is asked for, bytes go there, and only then is the file shared.
//!
//! Source: <https://docs.slack.dev/messaging/working-with-files/#upload>.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::call::{answer, refusal};
use super::{CHANNEL, State};

/// Where bytes go; a secret address in Slack, too.
pub const UPLOADS: &str = "/upload/v1/";
/// Characters of the words beside a picture.
const ALT_MAX: usize = 1_000;

/// A file on its way into the channel.
#[derive(Debug, Clone, Default)]
pub struct Upload {
    pub id: String,
    pub name: String,
    pub alt: String,
    length: usize,
    pub bytes: Option<Vec<u8>>,
    /// The thread it hangs in, once it is shared.
    pub thread: Option<String>,
    pub shared: bool,
}

/// `files.getUploadURLExternal`: its parameters come in the query.
pub(super) fn place(state: &mut State, uri: &Uri, headers: &HeaderMap, form: &Value) -> Response {
    if state.no_files {
        return refusal("missing_scope", &[]);
    }
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let asked =
        |key: &str| query.get(key).cloned().or_else(|| form[key].as_str().map(str::to_owned)).unwrap_or_default();
    let (name, alt) = (asked("filename"), asked("alt_txt"));
    let length = asked("length").parse().unwrap_or(0_usize);
    if name.is_empty() || length == 0 || alt.chars().count() > ALT_MAX {
        state
            .faults
            .push(format!("an upload of {length} bytes named {name:?}, with {} characters of words", alt.len()));
        return refusal("invalid_arguments", &[]);
    }
    let id = format!("F{}", state.uploads.len() + 1);
    state.uploads.push(Upload { id: id.clone(), name, alt, length, ..Upload::default() });
    let host = headers.get("host").and_then(|h| h.to_str().ok()).unwrap_or_default();
    let place = format!("http://{host}{UPLOADS}{id}");
    answer(200, None, json!({ "ok": true, "upload_url": place, "file_id": id }).to_string())
}

/// The bytes themselves. Whoever knows the address may; a token is none of its business.
pub(super) fn bytes(state: &mut State, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
    let id = uri.path().strip_prefix(UPLOADS).unwrap_or_default();
    if headers.get("authorization").is_some_and(|h| h.to_str().is_ok_and(|h| h.contains("nobody-may-see"))) {
        state.stray_tokens += 1;
    }
    match state.uploads.iter_mut().find(|upload| upload.id == id) {
        Some(upload) if upload.length == body.len() => {
            upload.bytes = Some(body.to_vec());
            answer(200, None, format!("OK - {}", body.len()))
        }
        Some(upload) => {
            let fault = format!("{} bytes where {} were announced", body.len(), upload.length);
            state.faults.push(fault);
            answer(400, None, "length".to_owned())
        }
        None => answer(404, None, "no such place".to_owned()),
    }
}

/// `files.completeUploadExternal`.
pub(super) fn share(state: &mut State, form: &Value) -> Response {
    let (channel, thread) = (form["channel_id"].as_str(), form["thread_ts"].as_str());
    if channel.is_some_and(|channel| channel != CHANNEL) {
        return refusal("channel_not_found", &[]);
    }
    if thread.is_some_and(|ts| state.channel.iter().all(|message| message.ts != ts)) {
        return refusal("thread_not_found", &[]);
    }
    let files: Vec<&Value> = form["files"].as_array().into_iter().flatten().collect();
    let mut shown = Vec::new();
    for file in &files {
        let known = state.uploads.iter_mut().find(|upload| Some(upload.id.as_str()) == file["id"].as_str());
        let Some(upload) = known.filter(|upload| upload.bytes.is_some()) else {
            return refusal("file_not_found", &[]);
        };
        upload.shared = channel.is_some();
        upload.thread = thread.map(str::to_owned);
        shown.push(json!({ "id": upload.id, "title": file["title"], "name": upload.name, "alt_txt": upload.alt }));
    }
    if files.is_empty() {
        return refusal("invalid_arguments", &[]);
    }
    answer(200, None, json!({ "ok": true, "files": shown }).to_string())
}
