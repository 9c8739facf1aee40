//! Sinks: where deliveries go.
//!
//! Invariant: an attempt ends within its deadline with a [`Report`] whose outcome is a type; nothing a sink reports holds
//! a secret.

pub mod console;
pub mod email;
pub mod pace;
mod redact;
mod rendering;
pub mod slack;
mod target;
#[cfg(test)]
mod testkit;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::domain::delivery::{Delivery, RecipientState, Report};
use crate::domain::event::StoredEvent;
use crate::domain::retry::RetryPolicy;
use crate::domain::time::Timestamp;
use crate::render::Renderer;

use pace::{Pacer, Pacers};

/// Takes down what an attempt has achieved for good, before it ends.
#[async_trait]
pub trait Progress: std::fmt::Debug + Send + Sync {
    /// A recipient's copy was taken, or refused for good. Returns once that survives the process, or can't.
    async fn recipient(&self, address: &str, state: RecipientState);
}

/// A delivery about to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    pub delivery: Delivery,
    /// At least one.
    pub events: Vec<Arc<StoredEvent>>,
    /// What an earlier delivery of the same incident left with this sink.
    pub reference: Option<Value>,
    /// The attempt's time.
    pub now: Timestamp,
    /// Where a sink that [goes one by one](Sink::goes_one_by_one) says how far it has come.
    pub progress: Option<Arc<dyn Progress>>,
}

/// How the dispatcher treats a sink.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Manners {
    /// Attempts at the same time.
    pub concurrency: usize,
    /// Shortest time between the starts of two attempts.
    pub pace: Duration,
    /// Deadline of one attempt; the lease is this and a margin.
    pub timeout: Duration,
    pub retry: RetryPolicy,
}

/// A place deliveries go to.
#[async_trait]
pub trait Sink: Send + Sync {
    fn name(&self) -> &str;
    fn kind(&self) -> &'static str;
    fn manners(&self) -> Manners;
    /// What keeps the pace of its manners, where it shares the place it sends to with other sinks.
    fn pacer(&self) -> Option<Arc<Pacer>> {
        None
    }
    /// Sends once. Must return within the deadline; the dispatcher cuts it off a little later.
    async fn send(&self, message: &Message) -> Report;
    /// What [`Self::send`] would send, where the rendered parts alone don't show it; without secrets.
    fn preview(&self, _: &Message) -> Option<Value> {
        None
    }
    /// Whether one attempt may take several steps that each count for themselves.
    fn goes_one_by_one(&self) -> bool {
        false
    }
    /// Whether it can edit what it sent, by the reference it left.
    fn edits(&self) -> bool {
        false
    }
    /// Reaches the other side without sending, for `check --connect`.
    async fn connect(&self) -> Result<String, String>;
}

/// Settings every sink has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Common {
    /// Deadline of one attempt.
    pub timeout: Duration,
    pub retry: RetryPolicy,
}

/// What a sink is built with besides its settings.
#[derive(Clone)]
pub struct Context {
    pub bridge: String,
    pub renderer: Arc<Renderer>,
    /// The places that all sinks send to.
    pub pacers: Arc<Pacers>,
}

/// The settings of one kind of sink.
pub trait SinkConfig: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings: key path inside the sink, and what to do.
    fn problems(&self) -> Vec<(String, String)>;
    /// Builds the sink; nothing is connected to yet. `problems` was empty.
    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Sink>, String>;
    /// A line for `check`: where it goes, without secrets.
    fn summary(&self) -> String;
}

/// Settings as read, or the path to what is wrong in them.
pub type Parsed<T> = Result<T, serde_path_to_error::Error<::config::ConfigError>>;

/// A kind of sink, as the config names it.
pub struct Kind {
    pub name: &'static str,
    pub parse: fn(::config::Value) -> Parsed<Box<dyn SinkConfig>>,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Of settings that need other keys, where there is a second way to write them.
    pub other_schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

const fn kind<C: SinkConfig + DeserializeOwned + JsonSchema + 'static>(name: &'static str) -> Kind {
    Kind {
        name,
        parse: |value| {
            serde_path_to_error::deserialize::<_, C>(crate::domain::strict::Strict(value))
                .map(|c| Box::new(c) as Box<dyn SinkConfig>)
        },
        schema: |generator| generator.subschema_for::<C>(),
        other_schema: None,
    }
}

/// Every kind of sink. A new one is its file and a line here.
pub const KINDS: &[Kind] = &[
    kind::<slack::SlackConfig>("slack"),
    Kind { other_schema: Some(webhook::preset_schema), ..kind::<webhook::WebhookConfig>("webhook") },
    kind::<email::EmailConfig>("email"),
    kind::<console::ConsoleConfig>("console"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, toml: &str) -> Result<Box<dyn SinkConfig>, String> {
        let file = ::config::File::from_str(toml, ::config::FileFormat::Toml);
        let value = ::config::Config::builder().add_source(file).build().unwrap().get("sink").unwrap();
        let kind = KINDS.iter().find(|known| known.name == kind).unwrap();
        (kind.parse)(value).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_reads_its_settings_as_the_example_writes_them() {
        for (kind, toml, summary) in [
            ("slack", r#"sink = { webhook_url = "https://hooks.example.com/s/T/B/X" }"#, "https://hooks.example.com"),
            ("slack", r#"sink = { bot_token = "xoxb-1", channel = "C1" }"#, "https://slack.com"),
            (
                "webhook",
                r#"sink = { url = "https://example.com/amp", secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], allow_networks = ["10.0.0.0/8"] }"#,
                "https://example.com",
            ),
            (
                "email",
                r#"sink = { smtp_url = "smtp://127.0.0.1:25", from = "a@example.com", to = ["b@example.com"], allow_plaintext = true }"#,
                "b@example.com",
            ),
            ("console", r#"sink = { format = "json" }"#, "stdout"),
        ] {
            let config = parse(kind, toml).unwrap();
            assert_eq!(config.problems(), [], "{kind}");
            assert!(config.summary().contains(summary), "{}", config.summary());
        }
    }

    #[test]
    fn unknown_keys_are_errors_and_every_kind_has_a_schema() {
        let mut generator = SchemaGenerator::default();
        for kind in KINDS {
            let error = parse(kind.name, "sink = { colour = \"red\" }").unwrap_err();
            assert!(error.contains("colour"), "{error}");
            (kind.schema)(&mut generator);
        }
        let schemas = serde_json::to_value(generator.definitions()).unwrap();
        assert_eq!(schemas["WebhookConfig"]["required"], serde_json::json!(["url", "secrets"]));
        assert_eq!(schemas["EmailConfig"]["required"], serde_json::json!(["smtp_url", "from", "to"]));
    }
}
