//! A Slack that isn't there: an incoming webhook, `auth.test`, `chat.postMessage`, `chat.update` and the upload of files,
//! with Slack's limits and its rates. Slack's own clients are its judges (`tests/judges/fakeslack.py`).
//!
//! Sources: <https://docs.slack.dev/reference/methods/chat.postMessage>, <https://docs.slack.dev/reference/methods/chat.update>,
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.

mod call;
mod files;
mod limits;
mod rate;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ampbridge::demo::Server;
use axum::Router;
use serde_json::Value;

pub use files::Upload;
use rate::Rates;

/// The path of the incoming webhook, which is a secret.
pub const WEBHOOK_PATH: &str = "/services/T0/B0/slack-path-that-nobody-may-see";
/// The bot's token.
pub const BOT_TOKEN: &str = "xoxb-token-that-nobody-may-see";
/// The one channel there is.
pub const CHANNEL: &str = "C0";

/// What to answer instead of taking a message.
#[derive(Debug, Clone)]
pub enum Answer {
    /// HTTP status, `Retry-After`, body.
    Status(u16, Option<&'static str>, &'static str),
    /// `{"ok": false, "error": …}`.
    Refused(&'static str),
    /// Never.
    Silence,
}

/// A message that was taken or not.
#[derive(Debug, Clone)]
pub struct Post {
    pub body: Value,
    pub at: Instant,
    pub taken: bool,
}

impl Post {
    pub fn text(&self) -> &str {
        self.body["text"].as_str().unwrap_or_default()
    }

    /// The event's id, which a bot puts into the metadata.
    pub fn event_id(&self) -> Option<&str> {
        self.body.pointer("/metadata/event_payload/id")?.as_str()
    }
}

/// A message as it stands in the channel now.
#[derive(Debug, Clone)]
pub struct Message {
    pub ts: String,
    pub thread: Option<String>,
    pub body: Value,
    /// How often it was edited.
    pub edits: usize,
}

#[derive(Default)]
struct State {
    posts: Vec<Post>,
    /// Edits, taken or not.
    edits: Vec<Post>,
    channel: Vec<Message>,
    script: VecDeque<Answer>,
    usual: Option<Answer>,
    /// Breaches of Slack's rules; a message with one is refused.
    faults: Vec<String>,
    rates: Rates,
    /// Answers that asked to slow down.
    throttled: usize,
    uploads: Vec<Upload>,
    /// The token lacks `files:write`.
    no_files: bool,
    /// Tokens that were sent where they do not belong.
    stray_tokens: usize,
}

/// A running fake; ends when dropped.
pub struct FakeSlack {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl FakeSlack {
    pub async fn start() -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn listen(address: SocketAddr) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let router = Router::new().fallback(call::take).with_state(Arc::clone(&state));
        Self { server: Server::start(router, address).await.unwrap(), state }
    }

    pub fn webhook_url(&self) -> String {
        format!("{}{WEBHOOK_PATH}", self.server.base_url())
    }

    pub fn api_url(&self) -> String {
        format!("{}/api", self.server.base_url())
    }

    /// Answers for the next messages, one each.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.lock().script.extend(answers);
    }

    /// The answer where the script is silent; `None`: messages are taken.
    pub fn set_usual(&self, answer: Option<Answer>) {
        self.lock().usual = answer;
    }

    /// All messages so far, oldest first.
    pub fn posts(&self) -> Vec<Post> {
        self.lock().posts.clone()
    }

    /// Messages that were taken.
    pub fn taken(&self) -> Vec<Post> {
        self.posts().into_iter().filter(|post| post.taken).collect()
    }

    /// The channel as its readers see it.
    pub fn channel(&self) -> Vec<Message> {
        self.lock().channel.clone()
    }

    /// Somebody deletes a message.
    pub fn delete(&self, ts: &str) {
        self.lock().channel.retain(|message| message.ts != ts);
    }

    /// Breaches of Slack's rules so far.
    pub fn faults(&self) -> Vec<String> {
        self.lock().faults.clone()
    }

    /// How often it had to ask to slow down.
    pub fn throttled(&self) -> usize {
        self.lock().throttled
    }

    /// Takes the right to upload from the token.
    pub fn forbid_files(&self) {
        self.lock().no_files = true;
    }

    /// Files, shared or not.
    pub fn uploads(&self) -> Vec<Upload> {
        self.lock().uploads.clone()
    }

    /// Uploads that came with the bot's token.
    pub fn stray_tokens(&self) -> usize {
        self.lock().stray_tokens
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
