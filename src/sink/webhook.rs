//! Webhooks: the event itself, signed, sent by POST; or the form of the receiver's own.
//!
//! Formats: `CloudEvents` 1.0 HTTP binding, all three modes
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>); Standard Webhooks
//! 1.0 headers (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

mod auth;
mod body;
mod config;
mod preset;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::domain::delivery::{Outcome, Report, Timings};
use crate::domain::signing::{SigningSecret, signature_header};
use crate::env::{Clock as _, SystemClock};
use crate::http::{Cap, HttpClient, HttpError, Reply, built};
use crate::render::Renderer;

use super::redact::Redactor;
use super::target::Target;
use super::{Common, Manners, Message, Sink};
use auth::{Auth, Credential};
use body::{Body, Mode, Shape};

pub use config::{WebhookConfig, preset_schema};

/// Bytes of an answer that are read.
const RESPONSE_BYTES: usize = 64 * 1024;
/// Attempts at the same time.
const CONCURRENCY: usize = 32;

/// A webhook.
struct Webhook {
    name: String,
    common: Common,
    method: Method,
    target: Target,
    secrets: Vec<SigningSecret>,
    auth: Auth,
    /// The receiver's own.
    headers: HeaderMap,
    shape: Shape,
    client: HttpClient,
    redact: Redactor,
    renderer: Arc<Renderer>,
}

#[async_trait]
impl Sink for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn manners(&self) -> Manners {
        let (concurrency, pace) = match &self.shape {
            Shape::Preset(preset) => preset.manners(),
            Shape::Events(_) | Shape::Own(..) => (CONCURRENCY, Duration::ZERO),
        };
        Manners { concurrency, pace, timeout: self.common.timeout, retry: self.common.retry }
    }

    async fn send(&self, message: &Message) -> Report {
        let bodies = match self.shape.bodies(&self.name, &self.renderer, message) {
            Ok(bodies) => bodies,
            Err(error) => return Report::new(Outcome::Permanent, None, format!("can't be written as JSON: {error}")),
        };
        let end = Instant::now() + self.common.timeout;
        let mut report = Report::new(Outcome::Permanent, None, "there is nothing to send");
        for body in &bodies {
            report = self.post(body, message, end).await;
            if report.outcome != Outcome::Accepted {
                break;
            }
        }
        report
    }

    fn preview(&self, message: &Message) -> Option<Value> {
        if matches!(self.shape, Shape::Events(Mode::Structured)) {
            return None;
        }
        let bodies = self.shape.bodies(&self.name, &self.renderer, message).ok()?;
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes())))
        };
        let shown = bodies.iter().map(|body| {
            let text = String::from_utf8_lossy(&body.bytes);
            let content = serde_json::from_slice(&body.bytes).unwrap_or_else(|_| Value::from(text));
            let headers: serde_json::Map<String, Value> = body.headers.iter().map(header).collect();
            json!({ "method": self.method.as_str(), "headers": headers, "body": self.without_keys(content) })
        });
        let mut shown: Vec<Value> = shown.collect();
        if shown.len() == 1 { shown.pop() } else { Some(Value::Array(shown)) }
    }

    async fn connect(&self) -> Result<String, String> {
        let guard = self.target.guard(&format!("sinks.{}.allow_networks", self.name));
        let reached = self.target.reach(&guard, self.common.timeout).await?;
        // A token is asked for where one is needed; the others sign in with the delivery itself.
        match self.auth.credential(SystemClock.now(), self.common.timeout).await {
            Ok(Some(Credential { token: Some(_), .. })) => Ok(format!("{reached}; the token endpoint gives a token")),
            Ok(_) => Ok(reached),
            Err(why) => Err(self.redact.clean(&why)),
        }
    }
}

impl Webhook {
    /// Sends once; once more, with a new token, where the one there was is refused.
    async fn post(&self, body: &Body, message: &Message, end: Instant) -> Report {
        let mut renewed = false;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let credential = match self.auth.credential(message.now, left).await {
                Ok(credential) => credential,
                Err(why) => {
                    let outcome = Outcome::Transient { after: None, refusal: false };
                    return Report::new(outcome, None, self.redact.clean(&why));
                }
            };
            let (reply, timings) = self.exchange(body, message, credential.as_ref(), end).await;
            let token = credential.and_then(|credential| credential.token);
            let refused = matches!(&reply, Ok(reply) if reply.status == StatusCode::UNAUTHORIZED);
            if let (true, false, Some(token)) = (refused, renewed, &token) {
                self.auth.discard(token).await;
                renewed = true;
                continue;
            }
            let redact = match token {
                Some(token) => Cow::Owned(self.redact.clone().secret(token.expose())),
                None => Cow::Borrowed(&self.redact),
            };
            let report = match reply {
                Ok(reply) => answered(&reply, message, &redact),
                // The deadline of the whole, not what was left of it.
                Err(HttpError::Timeout(_)) => unanswered(&HttpError::Timeout(self.common.timeout), &redact),
                Err(error) => unanswered(&error, &redact),
            };
            return report.timed(Some(timings));
        }
    }

    async fn exchange(
        &self,
        body: &Body,
        message: &Message,
        credential: Option<&Credential>,
        end: Instant,
    ) -> (Result<Reply, HttpError>, Timings) {
        // Credentials in the URL become a header here.
        let request = self.client.request(self.method.clone(), self.target.url.clone()).body(body.bytes.clone());
        let mut request = match built(request) {
            Ok(request) => request,
            Err(error) => return (Err(error), Timings::default()),
        };
        let headers = request.headers_mut();
        headers.extend(body.headers.clone());
        headers.extend(self.headers.clone());
        if !self.secrets.is_empty() {
            let timestamp = message.now.as_second();
            let signature = signature_header(&self.secrets, &body.id, timestamp, &body.bytes);
            headers.insert("webhook-timestamp", timestamp.into());
            for (name, value) in [("webhook-id", &body.id), ("webhook-signature", &signature)] {
                match HeaderValue::from_str(value) {
                    Ok(value) => headers.insert(name, value),
                    Err(_) => return (Err(HttpError::Request(format!("{name} is no header"))), Timings::default()),
                };
            }
        }
        if let Some(credential) = credential {
            headers.insert(http::header::AUTHORIZATION, credential.header.clone());
        }
        let left = end.saturating_duration_since(Instant::now());
        self.client.send_timed(request, left, Cap::Cut(RESPONSE_BYTES)).await
    }

    /// A body for people to see: keys of a preset stand in it as well.
    fn without_keys(&self, mut content: Value) -> Value {
        for key in ["routing_key", "topic"] {
            if let (Shape::Preset(_), Some(value)) = (&self.shape, content.get_mut(key)) {
                *value = Value::from("…");
            }
        }
        content
    }
}

fn answered(reply: &Reply, message: &Message, redact: &Redactor) -> Report {
    let outcome = outcome(reply.status, reply.retry_after(message.now));
    let said = redact.body(reply, RESPONSE_BYTES);
    let detail = match (&outcome, reply.status.canonical_reason()) {
        (Outcome::Accepted, _) => said,
        _ if reply.status.is_redirection() => {
            "redirects are not followed: put the address it leads to into `url`".to_owned()
        }
        (Outcome::Stop, _) if said.is_empty() => "the receiver says it is gone for good".to_owned(),
        (_, Some(reason)) if said.is_empty() => reason.to_owned(),
        _ => said,
    };
    Report::new(outcome, Some(reply.status.as_u16()), detail)
}

fn unanswered(error: &HttpError, redact: &Redactor) -> Report {
    let outcome = match error {
        HttpError::Request(_) => Outcome::Permanent,
        _ => Outcome::Transient { after: None, refusal: false },
    };
    Report::new(outcome, None, redact.clean(&error.to_string()))
}

/// DESIGN section 3, "Webhook delivery".
fn outcome(status: StatusCode, after: Option<SignedDuration>) -> Outcome {
    match status.as_u16() {
        200..=299 => Outcome::Accepted,
        410 => Outcome::Stop,
        429 => Outcome::Throttled { after },
        503 => Outcome::Transient { after, refusal: false },
        408 | 425 => Outcome::Transient { after: None, refusal: false },
        400..=499 => Outcome::Transient { after: None, refusal: true },
        _ => Outcome::Transient { after: None, refusal: false },
    }
}

#[cfg(test)]
mod tests;
