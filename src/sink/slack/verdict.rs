//! What Slack's answers mean for a delivery.
//!
//! Sources: <https://docs.slack.dev/reference/methods/chat.postMessage> (error table),
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks> (webhook errors); DESIGN section 3.

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Map, Value};
use slack_morphism::errors::SlackClientError;

use crate::domain::delivery::{Outcome, cut};
use crate::http::HttpError;
use crate::render::slack_flatten;

use super::connector::Fault;

/// Slack had trouble of its own.
const RETRY: &[&str] =
    &["internal_error", "fatal_error", "service_unavailable", "rollup_error", "request_timeout", "team_added_to_org"];
/// The token or the channel is no good: no message will get through until a person mends it.
const CLOSED: &[&str] = &[
    "invalid_auth",
    "token_revoked",
    "token_expired",
    "account_inactive",
    "not_authed",
    "not_allowed_token_type",
    "missing_scope",
    "no_permission",
    "access_denied",
    "channel_not_found",
    "is_archived",
    "channel_is_archived",
    "not_in_channel",
    "restricted_action",
    "restricted_action_read_only_channel",
];
/// The message is too much for Slack as it is; its text alone may pass.
const TOO_RICH: &[&str] = &[
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_attachments",
    "too_many_attachments",
    "msg_blocks_too_long",
    "msg_too_long",
    "invalid_payload",
    "no_text",
];
/// The thread is gone or closed; the channel is not.
const NO_THREAD: &[&str] =
    &["thread_not_found", "message_not_found", "cannot_reply_to_message", "restricted_action_thread_locked"];
/// The message that was to be edited is gone, or can't be edited any more
/// (<https://docs.slack.dev/reference/methods/chat.update>).
const NO_EDIT: &[&str] = &[
    "message_not_found",
    "edit_window_closed",
    "cant_update_message",
    "update_failed",
    "is_inactive",
    "block_mismatch",
];
/// The mark with the event's id is not taken from this token.
const NO_METADATA: &[&str] =
    &["invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app"];
/// Bytes of a text sent alone after blocks were refused; Slack advises at most 4,000 characters.
const PLAIN_BYTES: usize = 4_000;

/// What came of one post.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Taken; where, if Slack said so.
    Posted {
        channel: Option<String>,
        ts: Option<String>,
        note: &'static str,
    },
    /// `ok: false` and why.
    Refused {
        code: String,
        body: String,
    },
    /// A status other than 2xx, or a web page.
    Status {
        status: StatusCode,
        after: Option<SignedDuration>,
        body: String,
    },
    /// A 200 that says anything but that it was taken.
    NotTaken {
        body: String,
    },
    RateLimited {
        after: Option<SignedDuration>,
    },
    /// No answer at all.
    Silence(HttpError),
}

impl Answer {
    pub fn of(result: Result<Value, SlackClientError>) -> Self {
        match result {
            Ok(value) => {
                let text = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
                Self::Posted { channel: text("channel"), ts: text("ts"), note: "" }
            }
            Err(SlackClientError::ApiError(e)) => {
                Self::Refused { code: e.code, body: e.http_response_body.unwrap_or_default() }
            }
            Err(SlackClientError::RateLimitError(e)) => {
                Self::RateLimited { after: e.retry_after.and_then(|d| SignedDuration::try_from(d).ok()) }
            }
            // Slack took it before it answered; a retry would double it.
            Err(SlackClientError::ProtocolError(_)) => {
                Self::Posted { channel: None, ts: None, note: "the answer can't be read" }
            }
            Err(SlackClientError::SystemError(e)) => match e.cause.and_then(|cause| cause.downcast::<Fault>().ok()) {
                Some(fault) => Self::from(*fault),
                None => Self::Silence(HttpError::Request("the Slack client failed".to_owned())),
            },
            Err(_) => Self::Silence(HttpError::Request("api_url makes no usable address".to_owned())),
        }
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Posted { .. } | Self::Refused { .. } | Self::NotTaken { .. } => Some(200),
            Self::Status { status, .. } => Some(status.as_u16()),
            Self::RateLimited { .. } => Some(429),
            Self::Silence(_) => None,
        }
    }

    /// For the ledger; to be redacted.
    pub fn detail(&self) -> String {
        match self {
            Self::Posted { note, .. } => (*note).to_owned(),
            Self::Refused { code, body } => format!("Slack refused it: {code}\n{body}"),
            Self::Status { status, body, .. } if body.trim_start().starts_with('<') => {
                format!("HTTP {status} with a web page: is something between ampbridge and Slack?")
            }
            Self::Status { status, body, .. } => format!("HTTP {status}: {body}"),
            Self::NotTaken { body } => format!("it was answered 200, but not that it was taken: {body}"),
            Self::RateLimited { .. } => "Slack asks to slow down".to_owned(),
            // Slack has no idempotency key: the next attempt may post it a second time.
            Self::Silence(error @ (HttpError::Timeout(_) | HttpError::Body(_))) => {
                format!("{error}; it may have been posted all the same")
            }
            Self::Silence(error) => error.to_string(),
        }
    }

    /// The first line of the detail.
    pub fn short(&self) -> String {
        self.detail().lines().next().unwrap_or_default().to_owned()
    }

    /// What it means.
    pub fn outcome(&self) -> Outcome {
        let transient = |after| Outcome::Transient { after, refusal: false };
        match self {
            Self::Posted { .. } => Outcome::Accepted,
            Self::RateLimited { after } => Outcome::Throttled { after: *after },
            Self::Refused { code, .. } if RETRY.contains(&code.as_str()) => transient(None),
            Self::Refused { code, .. } if CLOSED.contains(&code.as_str()) => Outcome::Stop,
            Self::Refused { .. } | Self::Silence(HttpError::Request(_)) => Outcome::Permanent,
            Self::Status { status, after, .. } => match status.as_u16() {
                410 => Outcome::Stop,
                400 | 403 | 404 => Outcome::Permanent,
                503 => transient(*after),
                408 | 425 => transient(None),
                400..=499 => Outcome::Transient { after: None, refusal: true },
                _ => transient(None),
            },
            Self::NotTaken { .. } | Self::Silence(_) => transient(None),
        }
    }

    /// Whether the message that was to be edited can't be.
    pub fn is_beyond_editing(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if NO_EDIT.contains(&code.as_str()))
    }

    /// Takes out of `post` what was refused. Whether there is anything new to send.
    pub fn mend(&self, post: &mut Map<String, Value>) -> bool {
        let code = match self {
            Self::Refused { code, .. } => code.as_str(),
            Self::Status { status, body, .. } if status.as_u16() == 400 => body.trim(),
            _ => return false,
        };
        if TOO_RICH.contains(&code) {
            let rich = take_blocks(post);
            // The text is but a headline while there are blocks; alone it has to say what they said.
            let whole = slack_flatten(&Value::Array(rich.clone().unwrap_or_default()));
            if !whole.is_empty() {
                post.insert("text".to_owned(), whole.into());
            }
            let shortened = post.get("text").and_then(Value::as_str).filter(|text| text.len() > PLAIN_BYTES);
            let shortened = shortened.map(|text| Value::from(cut(text, PLAIN_BYTES)));
            let mended = rich.is_some() || shortened.is_some();
            if let Some(text) = shortened {
                post.insert("text".to_owned(), text);
            }
            return mended;
        }
        if NO_THREAD.contains(&code) {
            post.remove("reply_broadcast");
            return post.remove("thread_ts").is_some();
        }
        NO_METADATA.contains(&code) && post.remove("metadata").is_some()
    }
}

/// Takes blocks and attachments out of a post; `None` where there were none. An edit is told that they are gone, or
/// Slack would keep the old ones.
fn take_blocks(post: &mut Map<String, Value>) -> Option<Vec<Value>> {
    let mut taken = Vec::new();
    let mut found = false;
    for part in ["blocks", "attachments"] {
        let Some(Value::Array(items)) = post.remove(part) else { continue };
        found |= !items.is_empty();
        if post.contains_key("ts") {
            post.insert(part.to_owned(), Value::Array(Vec::new()));
        }
        for item in items {
            match item.get("blocks").and_then(Value::as_array) {
                Some(blocks) => taken.extend(blocks.iter().cloned()),
                None => taken.push(item),
            }
        }
    }
    found.then_some(taken)
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoAnswer(error) => Self::Silence(error),
            Fault::NotTaken { body } => Self::NotTaken { body },
            Fault::Status { status, after, body } => Self::Status { status, after, body },
        }
    }
}
