//! Signed webhooks: the event itself, sent by POST.
//!
//! Formats: `CloudEvents` 1.0 HTTP binding, structured and batched mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>); Standard Webhooks
//! 1.0 headers (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::delivery::{DeliveryKind, Outcome, Report};
use crate::domain::setting::{Many, Secret};
use crate::domain::signing::{SigningSecret, signature_header};
use crate::http::{Cap, ClientOptions, HttpClient, HttpError, Reply};
use crate::render::Renderer;

use super::redact::Redactor;
use super::target::{Problem, Target, joined};
use super::{Common, Context, Manners, Message, Sink, SinkConfig, rendering};

/// Bytes of an answer that are read.
const RESPONSE_BYTES: usize = 64 * 1024;
/// Attempts at the same time.
const CONCURRENCY: usize = 32;
/// More secrets than a rotation ever needs.
const SECRETS_MAX: usize = 8;
const EVENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";
const BATCH_TYPE: &str = "application/cloudevents-batch+json; charset=utf-8";
const OTHER_TYPE: &str = "application/json; charset=utf-8";

/// Settings of a signed webhook.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where events are sent.
    #[schemars(required)]
    url: Option<Secret>,
    /// `whsec_…` secrets the deliveries are signed with: one, or several while rotating.
    #[schemars(required)]
    secrets: Option<Many<Secret>>,
    /// Networks the target may lie in besides the public ones, as CIDR.
    #[serde(default)]
    allow_networks: Many<String>,
}

impl WebhookConfig {
    fn target(&self) -> Result<Target, Vec<Problem>> {
        let missing = || vec![("url".to_owned(), "is missing: where are the events to go?".to_owned())];
        Target::parse("url", self.url.as_ref().ok_or_else(missing)?, &self.allow_networks)
    }

    fn given_secrets(&self) -> &[Secret] {
        self.secrets.as_ref().map_or(&[], |many| &many.0)
    }

    fn secrets(&self) -> Result<Vec<SigningSecret>, Vec<Problem>> {
        let given = self.given_secrets();
        if given.is_empty() {
            let text = "at least one is needed to sign with: `whsec_` and the output of `openssl rand -base64 32`";
            return Err(vec![("secrets".to_owned(), text.to_owned())]);
        }
        if given.len() > SECRETS_MAX {
            let text = format!("{} are too many; {SECRETS_MAX} at most", given.len());
            return Err(vec![("secrets".to_owned(), text)]);
        }
        let (mut secrets, mut problems) = (Vec::new(), Vec::new());
        for (at, text) in given.iter().enumerate() {
            match SigningSecret::parse(text.expose()) {
                Ok(secret) => secrets.push(secret),
                Err(error) => problems.push((format!("secrets[{at}]"), error.to_string())),
            }
        }
        if problems.is_empty() { Ok(secrets) } else { Err(problems) }
    }
}

impl SinkConfig for WebhookConfig {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.target().err().unwrap_or_default();
        problems.extend(self.secrets().err().unwrap_or_default());
        problems
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Sink>, String> {
        let target = self.target().map_err(|p| joined(&p))?;
        let secrets = self.secrets().map_err(|p| joined(&p))?;
        let guard = target.guard(&format!("sinks.{name}.allow_networks"));
        let client = HttpClient::new(ClientOptions { guard: Some(guard), ..ClientOptions::default() })
            .map_err(|e| e.to_string())?;
        let redact =
            self.given_secrets().iter().fold(Redactor::default().url(&target.url), |r, s| r.secret(s.expose()));
        let renderer = Arc::clone(&context.renderer);
        Ok(Arc::new(Webhook { name: name.to_owned(), common: *common, target, secrets, client, redact, renderer }))
    }

    fn summary(&self) -> String {
        let secrets = self.given_secrets().len();
        match self.target() {
            Ok(target) => format!("POST to {}, signed with {secrets} secret(s)", target.origin()),
            Err(_) => "POST to a URL that can't be used".to_owned(),
        }
    }
}

/// A signed webhook.
struct Webhook {
    name: String,
    common: Common,
    target: Target,
    secrets: Vec<SigningSecret>,
    client: HttpClient,
    redact: Redactor,
    renderer: Arc<Renderer>,
}

/// What is sent.
struct Body {
    id: String,
    content_type: &'static str,
    bytes: Vec<u8>,
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
        Manners {
            concurrency: CONCURRENCY,
            pace: Duration::ZERO,
            timeout: self.common.timeout,
            retry: self.common.retry,
        }
    }

    async fn send(&self, message: &Message) -> Report {
        let body = match self.body(message) {
            Ok(body) => body,
            Err(error) => return Report::new(Outcome::Permanent, None, format!("can't be written as JSON: {error}")),
        };
        let timestamp = message.now.as_second();
        let request = self
            .client
            .request(Method::POST, self.target.url.clone())
            .header(http::header::CONTENT_TYPE, body.content_type)
            .header("webhook-id", &body.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature_header(&self.secrets, &body.id, timestamp, &body.bytes))
            .body(body.bytes);
        match self.client.send(request, self.common.timeout, Cap::Cut(RESPONSE_BYTES)).await {
            Ok(reply) => self.answered(&reply, message),
            Err(error) => self.unanswered(&error),
        }
    }

    async fn connect(&self) -> Result<String, String> {
        let guard = self.target.guard(&format!("sinks.{}.allow_networks", self.name));
        self.target.reach(&guard, self.common.timeout).await
    }
}

impl Webhook {
    fn body(&self, message: &Message) -> Result<Body, serde_json::Error> {
        let (id, own_type, own) = match message.events.as_slice() {
            // A digest speaks for the events that go along with it.
            [digest, ..] if message.delivery.kind == DeliveryKind::Digest => {
                (digest.event.id.clone(), EVENT_TYPE, serde_json::to_vec(&digest.event)?)
            }
            [only] => (only.event.id.clone(), EVENT_TYPE, serde_json::to_vec(&only.event)?),
            several => {
                let events: Vec<_> = several.iter().map(|stored| &stored.event).collect();
                (message.delivery.id.clone(), BATCH_TYPE, serde_json::to_vec(&events)?)
            }
        };
        let Some(rendered) = self.renderer.webhook(&rendering::context(message)) else {
            return Ok(Body { id, content_type: own_type, bytes: own });
        };
        let value = rendering::told(&self.name, message, rendered);
        Ok(Body { id, content_type: type_of(&value), bytes: serde_json::to_vec(&value)? })
    }

    fn answered(&self, reply: &Reply, message: &Message) -> Report {
        let outcome = outcome(reply.status, reply.retry_after(message.now));
        let said = self.redact.body(reply, RESPONSE_BYTES);
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

    fn unanswered(&self, error: &HttpError) -> Report {
        let outcome = match error {
            HttpError::Request(_) => Outcome::Permanent,
            _ => Outcome::Transient { after: None, refusal: false },
        };
        Report::new(outcome, None, self.redact.clean(&error.to_string()))
    }
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

/// A template may make an event, a batch or something else of an event; each is called what it is.
fn type_of(value: &Value) -> &'static str {
    let is_event = |v: &Value| ["specversion", "id", "source", "type"].iter().all(|key| v.get(key).is_some());
    match value {
        Value::Array(items) if !items.is_empty() && items.iter().all(is_event) => BATCH_TYPE,
        event if is_event(event) => EVENT_TYPE,
        _ => OTHER_TYPE,
    }
}

#[cfg(test)]
mod tests;
