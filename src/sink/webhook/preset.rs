//! Receivers with a form of their own that is known.
//!
//! Invariant: text from outside is data in every form: it mentions nobody, formats nothing, and leads nowhere. Limits of
//! a form are held by cutting, never by leaving an event out without saying so.

pub mod discord;
pub mod github;
pub mod google_chat;
pub mod ntfy;
pub mod pagerduty;
pub mod teams;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::setting::Secret;
use crate::render::{Card, Renderer};
use crate::sink::target::Problem;
use crate::sink::{Message, rendering};

use super::body::id_of;

/// Names of presets in the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresetName {
    Pagerduty,
    Teams,
    Discord,
    GoogleChat,
    Github,
    Ntfy,
    /// A `body` of your own, not signed unless there are `secrets`.
    Custom,
}

/// A preset with its settings.
#[derive(Debug, Clone)]
pub enum Preset {
    Pagerduty { routing_key: Secret },
    Teams,
    Discord,
    GoogleChat,
    Github,
    Ntfy { topic: Secret },
}

/// What the config gives that only some presets take.
pub struct Given<'a> {
    pub routing_key: Option<&'a Secret>,
    pub topic: Option<&'a Secret>,
    pub repository: Option<&'a str>,
    /// Whether there is `auth`, or a header in its place.
    pub signs_in: bool,
}

impl PresetName {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pagerduty => "PagerDuty",
            Self::Teams => "Microsoft Teams",
            Self::Discord => "Discord",
            Self::GoogleChat => "Google Chat",
            Self::Github => "GitHub",
            Self::Ntfy => "ntfy",
            Self::Custom => "its own",
        }
    }

    /// Where it is, if it is in one place for everybody.
    pub fn usual_url(self) -> Option<&'static str> {
        match self {
            Self::Pagerduty => Some(pagerduty::URL),
            Self::Github => Some(github::URL),
            Self::Ntfy => Some(ntfy::URL),
            Self::Teams | Self::Discord | Self::GoogleChat | Self::Custom => None,
        }
    }
}

impl Given<'_> {
    /// What is missing for a preset, or is of no use to it.
    pub fn problems(&self, preset: Option<PresetName>) -> Vec<Problem> {
        let settings = [
            ("routing_key", self.routing_key.is_some(), PresetName::Pagerduty),
            ("topic", self.topic.is_some(), PresetName::Ntfy),
            ("repository", self.repository.is_some(), PresetName::Github),
        ];
        let mut problems = Vec::new();
        let mut fault = |key: &str, text: String| problems.push((key.to_owned(), text));
        for (key, given, name) in settings {
            match (given, preset == Some(name)) {
                (false, true) => fault(key, format!("is missing: {} needs it", name.as_str())),
                (true, false) => fault(key, format!("is for the preset of {}", name.as_str())),
                _ => {}
            }
        }
        if preset == Some(PresetName::Github) && !self.signs_in {
            fault("auth", "is missing: GitHub wants a token, { kind = \"bearer\", token = … }".to_owned());
        }
        let fits = |secret: &Secret, good: fn(char) -> bool, max: usize| {
            let text = secret.expose().trim();
            !text.is_empty() && text.len() <= max && text.chars().all(good)
        };
        if self.routing_key.is_some_and(|key| !fits(key, |c| c.is_ascii_alphanumeric(), 64)) {
            fault("routing_key", "is no integration key: those are letters and digits".to_owned());
        }
        if self.topic.is_some_and(|topic| !fits(topic, |c| c.is_ascii_alphanumeric() || "_-".contains(c), 64)) {
            fault("topic", "is no topic of ntfy: 1 to 64 letters, digits, `_` or `-`".to_owned());
        }
        problems
    }
}

impl Preset {
    /// `None` for `custom`, and where [`Given::problems`] was not empty.
    pub fn new(name: PresetName, given: &Given<'_>) -> Option<Self> {
        let trimmed = |secret: &Secret| Secret::new(secret.expose().trim());
        Some(match name {
            PresetName::Pagerduty => Self::Pagerduty { routing_key: trimmed(given.routing_key?) },
            PresetName::Teams => Self::Teams,
            PresetName::Discord => Self::Discord,
            PresetName::GoogleChat => Self::GoogleChat,
            PresetName::Github => Self::Github,
            PresetName::Ntfy => Self::Ntfy { topic: trimmed(given.topic?) },
            PresetName::Custom => return None,
        })
    }

    /// Attempts at the same time, and the time between the starts of two, as the receiver's documentation allows.
    pub fn manners(&self) -> (usize, Duration) {
        let pace = match self {
            // No published limit that a single integration meets at this rate.
            Self::Pagerduty { .. } => 100,
            // "Four requests per second": https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
            Self::Teams => 300,
            // Five in two seconds per webhook, as the answer's X-RateLimit headers say.
            Self::Discord => 500,
            // "1 request per second" per space: https://developers.google.com/workspace/chat/limits
            Self::GoogleChat => 1_100,
            // GitHub: "wait at least one second between each request"
            // (https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api). ntfy: 60 at once,
            // then one every five seconds (https://docs.ntfy.sh/publish/#limitations); 429 does the rest.
            Self::Github | Self::Ntfy { .. } => 1_000,
        };
        (1, Duration::from_millis(pace))
    }

    /// The requests that tell a message: id and body each.
    pub fn tell(&self, renderer: &Renderer, message: &Message) -> Vec<(String, Value)> {
        let card = || renderer.card(&rendering::context(message));
        let one = |body: Value| vec![(id_of(message).to_owned(), body)];
        match self {
            Self::Pagerduty { routing_key } => pagerduty::tell(routing_key, renderer, message),
            Self::Teams => one(teams::message(&card())),
            Self::Discord => one(discord::message(&card())),
            Self::GoogleChat => one(google_chat::message(&card())),
            Self::Github => one(github::dispatch(message)),
            Self::Ntfy { topic } => one(ntfy::message(topic, &card())),
        }
    }
}

/// The lines of a card that fit into `bytes`, and a last one that says how many more there are.
fn lines(card: &Card, bytes: usize, write: impl Fn(&str) -> String) -> Vec<String> {
    let (mut fitting, mut used) = (Vec::new(), 0);
    for line in &card.lines {
        let line = write(line);
        used += line.len() + 1;
        if used > bytes {
            break;
        }
        fitting.push(line);
    }
    let more = card.lines.len() - fitting.len();
    if more > 0 {
        fitting.push(format!("…and {more} more"));
    }
    fitting
}

/// At most `max` characters, the last of them `…` where something was cut off.
fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests;
