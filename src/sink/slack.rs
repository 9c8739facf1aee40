//! Slack: through an incoming webhook, or with a bot token through the Web API.
//!
//! Invariants: `text` is always set, so that notifications and screen readers have something to say, and nothing from
//! outside in it or in the blocks makes Slack look names up, call somebody or unfold links. With a bot an incident is
//! one message: it is edited as things move, and its important steps stand in its thread. A digest's chart hangs in
//! its thread.

mod connector;
mod picture;
mod post;
mod settings;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use slack_morphism::{SlackClient, SlackClientApiCallContext, SlackClientHttpConnector};
use tokio::time::{Instant, timeout_at};

use crate::domain::delivery::{DeliveryKind, Outcome, Report};
use crate::domain::time::Timestamp;
use crate::http::{HttpClient, HttpError};
use crate::render::{Renderer, SlackParts};

use super::pace::{Pacer, Pacers};
use super::redact::Redactor;
use super::{Common, Manners, Message, Sink, rendering};
use connector::{Connector, LastCall};
use post::Root;
use settings::{Mentions, Way};
use verdict::Answer;

pub use settings::SlackConfig;

/// Slack takes one message a second from an app in a channel (<https://docs.slack.dev/apis/web-api/rate-limits>).
const PACE: Duration = Duration::from_secs(1);
/// Posts in one attempt: the message, and again without what was refused.
const POSTS_MAX: usize = 3;

/// A Slack channel.
struct Slack {
    name: String,
    common: Common,
    way: Way,
    mentions: Mentions,
    http: HttpClient,
    redact: Redactor,
    renderer: Arc<Renderer>,
    /// It has been said that the token may not upload pictures.
    told_no_pictures: AtomicBool,
    pacers: Arc<Pacers>,
    pacer: Arc<Pacer>,
}

#[async_trait]
impl Sink for Slack {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "slack"
    }

    fn manners(&self) -> Manners {
        Manners { concurrency: 1, pace: PACE, timeout: self.common.timeout, retry: self.common.retry }
    }

    fn pacer(&self) -> Option<Arc<Pacer>> {
        Some(Arc::clone(&self.pacer))
    }

    /// An incoming webhook does not say what it posted.
    fn edits(&self) -> bool {
        matches!(self.way, Way::Bot { .. })
    }

    async fn send(&self, message: &Message) -> Report {
        let until = Instant::now() + self.common.timeout;
        let timings = LastCall::default();
        let Ok(report) = timeout_at(until, self.tell(message, &timings)).await else {
            let silence = self.report(&Answer::Silence(HttpError::Timeout(self.common.timeout)), None);
            return silence.timed(timings.read());
        };
        // Only in what is left of the attempt's time: a message that was taken is never reported as one that was not.
        if report.outcome == Outcome::Accepted
            && let Some(posted) = &report.reference
            && let Some(chart) = picture::of(message)
            && timeout_at(until, self.illustrate(message, &chart, posted)).await.is_err()
        {
            let id = message.delivery.id.as_str();
            tracing::warn!(sink = self.name, delivery = id, "no time was left for the chart of delivery {id}");
        }
        report.timed(timings.read())
    }

    async fn connect(&self) -> Result<String, String> {
        let target = self.way.target();
        let guard = target.guard(&format!("sinks.{}.allow_networks", self.name));
        let Way::Bot { token, channel, .. } = &self.way else {
            return target.reach(&guard, self.common.timeout).await;
        };
        let client = self.client(Timestamp::UNIX_EPOCH, &LastCall::default());
        let session = client.open_session(token);
        match session.http_session_api.http_post::<_, Value>("auth.test", &json!({}), None).await {
            Ok(who) => {
                let text = |key| who.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
                let said = format!("signed in as {} of {}, posts to {channel}", text("user"), text("team"));
                Ok(self.redact.clean(&said))
            }
            Err(error) => Err(self.redact.clean(&Answer::of(Err(error)).short())),
        }
    }
}

impl Slack {
    /// Edits the incident's message where there is one, and posts what is news: in its thread, or by itself.
    async fn tell(&self, message: &Message, timings: &LastCall) -> Report {
        let parts = rendering::told(&self.name, message, self.renderer.slack(&rendering::context(message)));
        let mut root = self.root(message);
        let edit = message.delivery.kind == DeliveryKind::Update;
        if edit && root.is_none() {
            return Report::new(Outcome::Accepted, None, "no message of this incident stands here; nothing to edit");
        }
        let live = root.filter(|_| message.delivery.incident.is_some());
        if let Some(there) = live.filter(|_| message.delivery.kind == DeliveryKind::Reminder) {
            return self.exchange(message, timings, self.step(message, &parts, there)).await;
        }
        if let Some(there) = live {
            let answer = self.say(message, timings, "chat.update", &mut self.edited(message, &parts, there)).await;
            match answer {
                Answer::Posted { .. } if edit => return self.report(&answer, message.reference.clone()),
                Answer::Posted { .. } => {
                    return self.exchange(message, timings, self.step(message, &parts, there)).await;
                }
                // Deleted, or too old to be edited: a new message takes its place.
                _ if answer.is_beyond_editing() => root = None,
                _ => return self.report(&answer, None),
            }
        }
        let mut post = self.post(message, &parts);
        if let Some(root) = root {
            root.reply(&mut post, true);
        }
        self.exchange(message, timings, post).await
    }

    /// The message as Slack's JSON.
    fn post(&self, message: &Message, parts: &SlackParts) -> Map<String, Value> {
        // A figure that moved is no news, even where its message has to be posted anew.
        let mention = post::mention(message, parts.tone, &self.mentions);
        let mut post = post::body(parts, mention.filter(|_| message.delivery.kind != DeliveryKind::Update));
        self.address(message, &mut post);
        post
    }

    /// The whole message as it is now, in the place of what stands there.
    fn edited(&self, message: &Message, parts: &SlackParts, root: Root<'_>) -> Map<String, Value> {
        let mut post = post::body(parts, None);
        self.address(message, &mut post);
        root.replace(&mut post);
        post
    }

    /// A line in the incident's thread; the whole stands in the message above it.
    fn step(&self, message: &Message, parts: &SlackParts, root: Root<'_>) -> Map<String, Value> {
        let mention = post::mention(message, parts.tone, &self.mentions);
        let mut post = post::line(&parts.text, mention);
        self.address(message, &mut post);
        root.reply(&mut post, post::is_grave(message));
        post
    }

    fn address(&self, message: &Message, post: &mut Map<String, Value>) {
        let Way::Bot { channel, .. } = &self.way else { return };
        post.insert("channel".to_owned(), channel.as_str().into());
        let id = message.events.first().map_or(message.delivery.id.as_str(), |stored| stored.event.id.as_str());
        // Slack has no idempotency key; this lets a person tell a repeat from a second event.
        let mark = json!({ "event_type": "ampbridge_event", "event_payload": { "id": id } });
        post.insert("metadata".to_owned(), mark);
    }

    /// An earlier post of the incident, unless the sink has been pointed elsewhere since.
    fn root<'m>(&self, message: &'m Message) -> Option<Root<'m>> {
        let Way::Bot { channel, .. } = &self.way else { return None };
        Root::of(message.reference.as_ref()?, channel)
    }

    /// Posts, and posts again without what was refused.
    async fn exchange(&self, message: &Message, timings: &LastCall, mut post: Map<String, Value>) -> Report {
        let answer = self.say(message, timings, "chat.postMessage", &mut post).await;
        let Way::Bot { channel: to, .. } = &self.way else { return self.report(&answer, None) };
        if let Answer::Posted { channel: Some(id), .. } = &answer {
            self.way.goes_to(id, &self.pacers);
        }
        let reference = match (&answer, &message.reference) {
            // The thread's root stays what later replies hang on.
            (_, Some(root)) if post.contains_key("thread_ts") => Some(root.clone()),
            (Answer::Posted { channel: Some(channel), ts: Some(ts), .. }, _) => {
                Some(json!({ "channel": channel, "ts": ts, "to": to }))
            }
            _ => None,
        };
        self.report(&answer, reference)
    }

    /// One call, and again without what was refused.
    async fn say(&self, message: &Message, timings: &LastCall, method: &str, post: &mut Map<String, Value>) -> Answer {
        let client = self.client(message.now, timings);
        let mut answer = self.call(&client, method, post).await;
        for _ in 1..POSTS_MAX {
            if !answer.mend(post) {
                break;
            }
            let id = message.delivery.id.as_str();
            tracing::warn!(sink = self.name, delivery = id, "{}; sending delivery {id} simpler", answer.short());
            answer = self.call(&client, method, post).await;
        }
        answer
    }

    fn client(&self, now: Timestamp, timings: &LastCall) -> SlackClient<Connector> {
        let (http, api) = (self.http.clone(), self.way.target().url.clone());
        SlackClient::new(Connector { http, api, deadline: self.common.timeout, now, timings: timings.clone() })
    }

    async fn call(&self, client: &SlackClient<Connector>, method: &str, post: &Map<String, Value>) -> Answer {
        Answer::of(match &self.way {
            Way::Bot { token, .. } => {
                client.open_session(token).http_session_api.http_post::<_, Value>(method, post, None).await
            }
            Way::Webhook { target } => {
                let span = tracing::Span::none();
                let context = SlackClientApiCallContext {
                    rate_control_params: None,
                    token: None,
                    tracing_span: &span,
                    is_sensitive_url: true,
                };
                client.http_api.connector.http_post_uri::<_, Value>(target.url.clone(), post, context).await
            }
        })
    }

    fn report(&self, answer: &Answer, reference: Option<Value>) -> Report {
        let mut report = Report::new(answer.outcome(), answer.status(), self.redact.clean(&answer.detail()));
        report.reference = reference.filter(|_| report.outcome == Outcome::Accepted);
        report
    }
}

#[cfg(test)]
mod tests;
