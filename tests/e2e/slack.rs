//! A Slack that isn't there: an incoming webhook and `chat.postMessage`, with Slack's limits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ampbridge::demo::Server;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

/// The path of the incoming webhook, which is a secret.
pub const WEBHOOK_PATH: &str = "/services/T0/B0/slack-path-that-nobody-may-see";
/// The bot's token.
pub const BOT_TOKEN: &str = "xoxb-token-that-nobody-may-see";
/// Messages taken within one second; Slack takes one, with short bursts.
const BURST: usize = 4;

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

#[derive(Default)]
struct Channel {
    posts: Vec<Post>,
    script: VecDeque<Answer>,
    usual: Option<Answer>,
    /// Breaches of Slack's rules; a message with one is refused.
    faults: Vec<String>,
}

/// A running fake; ends when dropped.
pub struct FakeSlack {
    server: Server,
    channel: Arc<Mutex<Channel>>,
}

impl FakeSlack {
    pub async fn start() -> Self {
        let channel: Arc<Mutex<Channel>> = Arc::default();
        let router = Router::new().fallback(take).with_state(Arc::clone(&channel));
        Self { server: Server::start(router, "127.0.0.1:0".parse().unwrap()).await.unwrap(), channel }
    }

    pub fn webhook_url(&self) -> String {
        format!("{}{WEBHOOK_PATH}", self.server.base_url())
    }

    pub fn api_url(&self) -> String {
        format!("{}/api", self.server.base_url())
    }

    /// Answers for the next messages, one each.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.channel).script.extend(answers);
    }

    /// The answer where the script is silent; `None`: messages are taken.
    pub fn set_usual(&self, answer: Option<Answer>) {
        lock(&self.channel).usual = answer;
    }

    /// All messages so far, oldest first.
    pub fn posts(&self) -> Vec<Post> {
        lock(&self.channel).posts.clone()
    }

    /// Messages that were taken.
    pub fn taken(&self) -> Vec<Post> {
        self.posts().into_iter().filter(|post| post.taken).collect()
    }

    /// Breaches of Slack's rules so far.
    pub fn faults(&self) -> Vec<String> {
        lock(&self.channel).faults.clone()
    }
}

fn lock(channel: &Mutex<Channel>) -> MutexGuard<'_, Channel> {
    channel.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(State(channel): State<Arc<Mutex<Channel>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let is_webhook = uri.path() == WEBHOOK_PATH;
    if !is_webhook {
        let bearer = headers.get("authorization").and_then(|h| h.to_str().ok());
        if bearer != Some(&format!("Bearer {BOT_TOKEN}")) {
            return refusal("invalid_auth");
        }
        if uri.path() == "/api/auth.test" {
            return answer(200, None, json!({ "ok": true, "user": "bridge", "team": "acme" }).to_string());
        }
        if uri.path() != "/api/chat.postMessage" {
            return refusal("unknown_method");
        }
    }
    let verdict = judge(&mut lock(&channel), is_webhook, &body);
    match verdict {
        Verdict::Taken(number) if is_webhook => {
            let _ = number;
            answer(200, None, "ok".to_owned())
        }
        Verdict::Taken(number) => {
            let ts = format!("1800000000.{number:06}");
            answer(200, None, json!({ "ok": true, "channel": "C0", "ts": ts }).to_string())
        }
        Verdict::Faulty if is_webhook => answer(400, None, "invalid_blocks".to_owned()),
        Verdict::Faulty => refusal("invalid_blocks"),
        Verdict::Scripted(Answer::Status(status, after, body)) => answer(status, after, body.to_owned()),
        Verdict::Scripted(Answer::Refused(code)) => refusal(code),
        Verdict::Scripted(Answer::Silence) => std::future::pending().await,
    }
}

enum Verdict {
    /// As which message.
    Taken(usize),
    Faulty,
    Scripted(Answer),
}

fn judge(channel: &mut Channel, is_webhook: bool, body: &[u8]) -> Verdict {
    let at = Instant::now();
    let parsed = serde_json::from_slice::<Value>(body);
    let mut faults = match &parsed {
        Ok(post) => faults_of(post),
        Err(error) => vec![format!("no JSON: {error}")],
    };
    let post = parsed.unwrap_or_default();
    if !is_webhook && post["channel"].as_str().is_none_or(str::is_empty) {
        faults.push("no channel".to_owned());
    }
    let scripted = channel.script.pop_front().or_else(|| channel.usual.clone());
    let recent = channel.posts.iter().filter(|p| p.taken && at - p.at < Duration::from_secs(1)).count();
    let scripted = scripted.or((recent >= BURST).then_some(Answer::Status(429, Some("1"), "")));
    let taken = scripted.is_none() && faults.is_empty();
    channel.posts.push(Post { body: post, at, taken });
    channel.faults.extend(faults.iter().cloned());
    match scripted {
        Some(answer) => Verdict::Scripted(answer),
        None if taken => Verdict::Taken(channel.posts.len()),
        None => Verdict::Faulty,
    }
}

fn answer(status: u16, after: Option<&str>, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(after) = after {
        response.headers_mut().insert("retry-after", after.parse().unwrap());
    }
    response
}

fn refusal(code: &str) -> Response {
    answer(200, None, json!({ "ok": false, "error": code }).to_string())
}

/// What Slack would not like about a message (<https://docs.slack.dev/reference/block-kit/blocks>), and mentions that
/// would take effect.
fn faults_of(post: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let text = post["text"].as_str().unwrap_or_default();
    if text.trim().is_empty() {
        faults.push("no text".to_owned());
    }
    check_text("text", text, 40_000, &mut faults);
    check_mentions("text", text, &mut faults);
    let blocks = post["blocks"].as_array().map_or(&[][..], Vec::as_slice);
    if blocks.len() > 50 {
        faults.push(format!("{} blocks", blocks.len()));
    }
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("blocks[{index}]");
        let limit = match block["type"].as_str() {
            Some("header") => 150,
            Some("section") => 3_000,
            Some("divider" | "context" | "actions" | "image") => 0,
            other => {
                faults.push(format!("{at}: type {other:?}"));
                continue;
            }
        };
        if limit > 0 && block.get("fields").is_none() {
            check_object(&at, &block["text"], limit, &mut faults);
        }
        check_list(&format!("{at}.fields"), block.get("fields"), 10, 2_000, &mut faults);
        let most = if block["type"] == "actions" { 25 } else { 10 };
        let elements = block["elements"].as_array().map_or(&[][..], Vec::as_slice);
        if elements.len() > most {
            faults.push(format!("{at}: {} elements", elements.len()));
        }
        for element in elements {
            match element["type"].as_str() {
                Some("button") => {
                    check_object(&at, &element["text"], 75, &mut faults);
                    check_text(&at, element["url"].as_str().unwrap_or("-"), 3_000, &mut faults);
                }
                Some("mrkdwn" | "plain_text") => check_object(&at, element, 3_000, &mut faults),
                other => faults.push(format!("{at}: element {other:?}")),
            }
        }
    }
    faults
}

fn check_list(at: &str, list: Option<&Value>, most: usize, length: usize, faults: &mut Vec<String>) {
    let items = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if items.len() > most {
        faults.push(format!("{at}: {} items", items.len()));
    }
    for item in items {
        check_object(at, item, length, faults);
    }
}

fn check_object(at: &str, object: &Value, limit: usize, faults: &mut Vec<String>) {
    let text = object["text"].as_str().unwrap_or_default();
    match object["type"].as_str() {
        Some("mrkdwn") => check_mentions(at, text, faults),
        Some("plain_text") => {}
        other => faults.push(format!("{at}: text of type {other:?}")),
    }
    if text.is_empty() {
        faults.push(format!("{at}: empty text"));
    }
    check_text(at, text, limit, faults);
}

fn check_text(at: &str, text: &str, limit: usize, faults: &mut Vec<String>) {
    let length = text.chars().count();
    if length > limit {
        faults.push(format!("{at}: {length} characters, {limit} at most"));
    }
}

/// `<!channel>`, `<@U…>` and `<#C…>` take effect in text that comes in unescaped.
fn check_mentions(at: &str, text: &str, faults: &mut Vec<String>) {
    for live in ["<!", "<@", "<#"] {
        if text.contains(live) {
            faults.push(format!("{at}: {live} takes effect"));
        }
    }
}
