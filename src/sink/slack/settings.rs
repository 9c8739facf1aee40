//! Settings of a Slack sink.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use schemars::JsonSchema;
use serde::Deserialize;
use slack_morphism::{SlackApiToken, SlackApiTokenValue, SlackClientHttpApiUri};

use super::{PACE, Slack};
use crate::domain::event::Severity;
use crate::domain::setting::{Many, Secret};
use crate::http::{ClientOptions, HttpClient};
use crate::sink::pace::Pacers;
use crate::sink::redact::Redactor;
use crate::sink::target::{Problem, Target, joined};
use crate::sink::{Common, Context, Sink, SinkConfig};

/// Settings of a Slack sink: `webhook_url`, or `bot_token` and `channel`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackConfig {
    /// An incoming webhook.
    webhook_url: Option<Secret>,
    /// A bot's token (`xoxb-…`) with the right `chat:write`; with `files:write`, digests come with a chart of spend.
    bot_token: Option<Secret>,
    /// Where the bot posts: a channel's id, or `#name`.
    channel: Option<String>,
    /// Where the Web API is, if not at Slack's own address.
    api_url: Option<Secret>,
    /// Networks the target may lie in besides the public ones, as CIDR.
    #[serde(default)]
    allow_networks: Many<String>,
    /// Whom a message calls, by severity.
    #[serde(default)]
    mention: Mentions,
}

/// Whom messages call: `<!here>`, `<!channel>`, `<@U…>` or `<!subteam^S…>`, several with spaces between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mentions {
    info: Option<String>,
    warning: Option<String>,
    critical: Option<String>,
}

impl Mentions {
    pub fn of(&self, severity: Severity) -> Option<&str> {
        match severity {
            Severity::Info => self.info.as_deref(),
            Severity::Warning => self.warning.as_deref(),
            Severity::Critical => self.critical.as_deref(),
        }
        .map(str::trim)
        .filter(|mention| !mention.is_empty())
    }

    fn problems(&self) -> Vec<Problem> {
        [("info", &self.info), ("warning", &self.warning), ("critical", &self.critical)]
            .into_iter()
            .filter_map(|(key, mention)| Some((key, mention.as_deref()?)))
            .filter(|(_, text)| text.len() > MENTION_MAX || !text.split_whitespace().all(is_mention))
            .map(|(key, _)| {
                let text = "calls nobody Slack knows; write \"<!here>\", \"<!channel>\", \"<@U012AB3CD>\" (a member's id) or \"<!subteam^S012AB3CD>\" (a group's), with spaces between several";
                (format!("mention.{key}"), text.to_owned())
            })
            .collect()
    }
}

/// Longest mention of one severity.
const MENTION_MAX: usize = 200;

/// Slack's own forms (<https://docs.slack.dev/messaging/formatting-message-text#advanced>).
fn is_mention(text: &str) -> bool {
    let Some(inside) = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')) else { return false };
    let is_id = |id: &str, first: &[char]| {
        id.starts_with(first) && id.len() > 2 && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    match inside.strip_prefix('@') {
        Some(member) => is_id(member, &['U', 'W']),
        None => {
            ["!here", "!channel", "!everyone"].contains(&inside)
                || inside.strip_prefix("!subteam^").is_some_and(|group| is_id(group, &['S']))
        }
    }
}

/// Checked settings.
#[derive(Clone)]
pub enum Way {
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

    pub(super) fn open(&self, name: &str, common: &Common, context: &Context) -> Result<Slack, String> {
        let way = self.way().map_err(|p| joined(&p))?;
        let guard = way.target().guard(&format!("sinks.{name}.allow_networks"));
        let http = HttpClient::new(ClientOptions { guard: Some(guard), ..ClientOptions::default() })
            .map_err(|e| e.to_string())?;
        let redact = match &way {
            Way::Webhook { target } => Redactor::default().url(&target.url),
            Way::Bot { target, token, .. } => Redactor::default().url(&target.url).secret(&token.token_value.0),
        };
        let renderer = Arc::clone(&context.renderer);
        let pacer = context.pacers.of(&way.place(), PACE);
        let mentions = self.mention.clone();
        Ok(Slack {
            name: name.to_owned(),
            common: *common,
            way,
            mentions,
            http,
            redact,
            renderer,
            pacers: Arc::clone(&context.pacers),
            pacer,
            told_no_pictures: AtomicBool::new(false),
        })
    }
}

impl SinkConfig for SlackConfig {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.way().err().unwrap_or_default();
        problems.extend(self.mention.problems());
        problems
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
    /// What Slack counts messages by: the app and the channel. Sinks that share it share its pace.
    fn place(&self) -> Vec<&str> {
        match self {
            Self::Webhook { target } => vec!["webhook", target.url.as_str()],
            Self::Bot { channel, .. } => self.place_of(channel),
        }
    }

    /// The same where Slack has told the channel's id.
    pub(super) fn place_of<'a>(&'a self, channel: &'a str) -> Vec<&'a str> {
        match self {
            Self::Webhook { .. } => self.place(),
            Self::Bot { target, token, .. } => {
                vec!["bot", target.url.as_str(), &token.token_value.0, channel.trim_start_matches('#')]
            }
        }
    }

    /// What Slack called the channel that this posts to: another sink may know it by that id.
    pub(super) fn goes_to(&self, id: &str, pacers: &Pacers) {
        if let Self::Bot { channel, .. } = self
            && channel != id
        {
            pacers.are_one(&self.place(), &self.place_of(id), PACE);
        }
    }

    pub fn target(&self) -> &Target {
        match self {
            Self::Webhook { target } | Self::Bot { target, .. } => target,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_slack_knows_is_a_mention() {
        for (text, good) in [
            ("<!here>", true),
            ("<@U012AB3CD>", true),
            ("<!subteam^S012AB3CD>", true),
            ("@here", false),
            ("<!here|x>", false),
            ("<@ana>", false),
            ("<https://example.com>", false),
            ("here", false),
        ] {
            assert_eq!(is_mention(text), good, "{text}");
        }
        let mentions = Mentions { critical: Some("<!here> @ana".into()), ..Mentions::default() };
        assert_eq!(mentions.problems()[0].0, "mention.critical");
    }
}
