//! Slack: through an incoming webhook, or with a bot token through the Web API.
//!
//! Invariant: `text` is always set, so that notifications and screen readers have something to say, and nothing in it
//! or in the blocks makes Slack look names up or unfold links.

mod connector;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use slack_morphism::{
    SlackApiToken, SlackApiTokenValue, SlackClient, SlackClientApiCallContext, SlackClientHttpApiUri,
    SlackClientHttpConnector,
};

use crate::domain::delivery::{Outcome, Report};
use crate::domain::setting::{Many, Secret};
use crate::domain::time::Timestamp;
use crate::http::{ClientOptions, HttpClient, HttpError};
use crate::render::Renderer;

use super::redact::Redactor;
use super::target::{Problem, Target, joined};
use super::{Common, Context, Manners, Message, Sink, SinkConfig, rendering};
use connector::Connector;
use verdict::Answer;

/// Slack takes one message a second and channel (<https://docs.slack.dev/apis/web-api/rate-limits>).
const PACE: Duration = Duration::from_secs(1);
/// Posts in one attempt: the message, and again without what was refused.
const POSTS_MAX: usize = 3;

/// Settings of a Slack sink: `webhook_url`, or `bot_token` and `channel`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackConfig {
    /// An incoming webhook.
    webhook_url: Option<Secret>,
    /// A bot's token (`xoxb-…`) with the right `chat:write`.
    bot_token: Option<Secret>,
    /// Where the bot posts: a channel's id, or `#name`.
    channel: Option<String>,
    /// Where the Web API is, if not at Slack's own address.
    api_url: Option<Secret>,
    /// Networks the target may lie in besides the public ones, as CIDR.
    #[serde(default)]
    allow_networks: Many<String>,
}

/// Checked settings.
#[derive(Clone)]
enum Way {
    Webhook { target: Target },
    Bot { target: Target, token: SlackApiToken, channel: String },
}

impl SlackConfig {
    fn way(&self) -> Result<Way, Vec<Problem>> {
        match (&self.webhook_url, &self.bot_token) {
            (Some(url), None) => self.webhook(url),
            (None, Some(token)) => self.bot(token),
            (Some(_), Some(_)) => {
                Err(vec![("bot_token".to_owned(), "stands beside webhook_url; keep one of the two".to_owned())])
            }
            (None, None) => Err(vec![(
                "webhook_url".to_owned(),
                "is missing: give an incoming webhook, or bot_token and channel".to_owned(),
            )]),
        }
    }

    fn webhook(&self, url: &Secret) -> Result<Way, Vec<Problem>> {
        let mut problems = Vec::new();
        if self.channel.is_some() {
            let text = "has no effect with webhook_url, which belongs to a channel already; remove it";
            problems.push(("channel".to_owned(), text.to_owned()));
        }
        match Target::parse("webhook_url", url, &self.allow_networks) {
            Ok(target) if problems.is_empty() => Ok(Way::Webhook { target }),
            parsed => {
                problems.extend(parsed.err().unwrap_or_default());
                Err(problems)
            }
        }
    }

    fn bot(&self, token: &Secret) -> Result<Way, Vec<Problem>> {
        let mut problems = Vec::new();
        let text = token.expose().trim();
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
            problems.push(("bot_token".to_owned(), "is no token; a bot's begins with xoxb-".to_owned()));
        }
        let channel = self.channel.as_deref().map(str::trim).unwrap_or_default();
        if channel.is_empty() {
            problems.push(("channel".to_owned(), "is missing: where is the bot to post?".to_owned()));
        }
        let standard = Secret::new(SlackClientHttpApiUri::SLACK_API_URI_STR);
        match Target::parse("api_url", self.api_url.as_ref().unwrap_or(&standard), &self.allow_networks) {
            Ok(target) if !target.keeps_secrets() => {
                let text = "must begin with https://, or the token would travel in the clear";
                problems.push(("api_url".to_owned(), text.to_owned()));
                Err(problems)
            }
            Ok(target) if problems.is_empty() => {
                let token = SlackApiToken::new(SlackApiTokenValue(text.to_owned()));
                Ok(Way::Bot { target, token, channel: channel.to_owned() })
            }
            parsed => {
                problems.extend(parsed.err().unwrap_or_default());
                Err(problems)
            }
        }
    }

    fn open(&self, name: &str, common: &Common, context: &Context) -> Result<Slack, String> {
        let way = self.way().map_err(|p| joined(&p))?;
        let guard = way.target().guard(&format!("sinks.{name}.allow_networks"));
        let http = HttpClient::new(ClientOptions { guard: Some(guard), ..ClientOptions::default() })
            .map_err(|e| e.to_string())?;
        let redact = match &way {
            Way::Webhook { target } => Redactor::default().url(&target.url),
            Way::Bot { target, token, .. } => Redactor::default().url(&target.url).secret(&token.token_value.0),
        };
        let renderer = Arc::clone(&context.renderer);
        Ok(Slack { name: name.to_owned(), common: *common, way, http, redact, renderer })
    }
}

impl SinkConfig for SlackConfig {
    fn problems(&self) -> Vec<Problem> {
        self.way().err().unwrap_or_default()
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Sink>, String> {
        Ok(Arc::new(self.open(name, common, context)?))
    }

    fn summary(&self) -> String {
        match self.way() {
            Ok(Way::Webhook { target }) => format!("Slack, incoming webhook at {}", target.origin()),
            Ok(Way::Bot { target, channel, .. }) => format!("Slack, bot to {channel} through {}", target.origin()),
            Err(_) => "Slack, with settings that can't be used".to_owned(),
        }
    }
}
impl Way {
    fn target(&self) -> &Target {
        match self {
            Self::Webhook { target } | Self::Bot { target, .. } => target,
        }
    }
}

/// A Slack channel.
struct Slack {
    name: String,
    common: Common,
    way: Way,
    http: HttpClient,
    redact: Redactor,
    renderer: Arc<Renderer>,
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

    async fn send(&self, message: &Message) -> Report {
        self.exchange(message, self.post(message)).await
    }

    async fn connect(&self) -> Result<String, String> {
        let target = self.way.target();
        let guard = target.guard(&format!("sinks.{}.allow_networks", self.name));
        let Way::Bot { token, channel, .. } = &self.way else {
            return target.reach(&guard, self.common.timeout).await;
        };
        let client = self.client(Timestamp::UNIX_EPOCH);
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
    /// The message as Slack's JSON.
    fn post(&self, message: &Message) -> Map<String, Value> {
        let parts = rendering::told(&self.name, message, self.renderer.slack(&rendering::context(message)));
        let mut post = Map::new();
        post.insert("text".to_owned(), parts.text.into());
        if let Some(blocks) = parts.blocks {
            post.insert("blocks".to_owned(), blocks);
        }
        for off in ["unfurl_links", "unfurl_media", "link_names"] {
            post.insert(off.to_owned(), Value::Bool(false));
        }
        let Way::Bot { channel, .. } = &self.way else { return post };
        post.insert("channel".to_owned(), channel.as_str().into());
        let id = message.events.first().map_or(message.delivery.id.as_str(), |stored| stored.event.id.as_str());
        // Slack has no idempotency key; this lets a person tell a repeat from a second event.
        let mark = json!({ "event_type": "ampbridge_event", "event_payload": { "id": id } });
        post.insert("metadata".to_owned(), mark);
        if let Some((into, ts)) = self.thread(message) {
            post.insert("channel".to_owned(), into.into());
            post.insert("thread_ts".to_owned(), ts.into());
            // Replies alone are easily missed.
            post.insert("reply_broadcast".to_owned(), Value::Bool(true));
        }
        post
    }

    /// Channel and message of an earlier post of the incident, unless the sink has been pointed elsewhere since.
    fn thread<'m>(&self, message: &'m Message) -> Option<(&'m str, &'m str)> {
        let Way::Bot { channel, .. } = &self.way else { return None };
        let reference = message.reference.as_ref()?;
        let text = |key| reference.get(key).and_then(Value::as_str);
        (text("to") == Some(channel)).then_some((text("channel")?, text("ts")?))
    }

    /// Posts, and posts again without what was refused, all within the deadline.
    async fn exchange(&self, message: &Message, mut post: Map<String, Value>) -> Report {
        let client = self.client(message.now);
        let exchange = async {
            let mut answer = self.say(&client, &post).await;
            for _ in 1..POSTS_MAX {
                if !answer.mend(&mut post) {
                    break;
                }
                let id = message.delivery.id.as_str();
                tracing::warn!(sink = self.name, delivery = id, "{}; sending delivery {id} simpler", answer.short());
                answer = self.say(&client, &post).await;
            }
            answer
        };
        let answer = tokio::time::timeout(self.common.timeout, exchange).await;
        let answer = answer.unwrap_or(Answer::Silence(HttpError::Timeout(self.common.timeout)));
        self.report(&answer, post.contains_key("thread_ts"), message)
    }

    fn client(&self, now: Timestamp) -> SlackClient<Connector> {
        let (http, api) = (self.http.clone(), self.way.target().url.clone());
        SlackClient::new(Connector { http, api, deadline: self.common.timeout, now })
    }

    async fn say(&self, client: &SlackClient<Connector>, post: &Map<String, Value>) -> Answer {
        Answer::of(match &self.way {
            Way::Bot { token, .. } => {
                let session = client.open_session(token);
                session.http_session_api.http_post::<_, Value>("chat.postMessage", post, None).await
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

    fn report(&self, answer: &Answer, threaded: bool, message: &Message) -> Report {
        let outcome = answer.outcome();
        let mut report = Report::new(outcome, answer.status(), self.redact.clean(&answer.detail()));
        if report.outcome == Outcome::Accepted
            && let Way::Bot { channel: to, .. } = &self.way
        {
            report.reference = match (answer, &message.reference) {
                // The thread's root stays what later replies hang on.
                (_, Some(root)) if threaded => Some(root.clone()),
                (Answer::Posted { channel: Some(channel), ts: Some(ts), .. }, _) => {
                    Some(json!({ "channel": channel, "ts": ts, "to": to }))
                }
                _ => None,
            };
        }
        report
    }
}

#[cfg(test)]
mod tests;
