//! One thread document: what is taken from it, and what of it is never kept.
//!
//! The shape is that of Amp's local thread files (until March 2026) and of `amp threads export`, as seen in public
//! samples; there is no published schema. Everything but the id may be missing. Texts of messages are skipped while
//! they are read: no content reaches memory, a record or a log.

use std::io::Read;

use serde::Deserialize;

use super::lenient::{Field, Gather, List, Object, Scalar};
use super::progress::{self, LastMessage, Progress};
use super::usage::{self, Bill, Helper, LedgerEvent, MessageCall, RawUsage, Tally};
use crate::domain::time::Timestamp;
use crate::source::prices::PriceBook;

/// Longest id taken for one, in bytes. Real ones have 38.
pub const ID_BYTES: usize = 256;
/// Calls with usage, or ledger events, taken from one document. A thread of 800 messages has about 400.
const CALLS: usize = 20_000;
/// Repositories named of one thread.
const REPOSITORIES: usize = 8;

/// What a JSON file turned out to be.
#[derive(Debug)]
pub enum Document {
    Thread(Box<Thread>),
    /// Some other JSON: a list, settings, an export of something else.
    Other,
    /// A thread whose id can't be a key.
    BadId,
}

/// What is kept of a thread.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Thread {
    pub id: Box<str>,
    /// Name of the file it was read from; bytes that are not UTF-8 replaced.
    pub file: Box<str>,
    /// Counts revisions, not schema versions.
    pub v: Option<u64>,
    pub created: Option<Timestamp>,
    /// As the document says, else when its last message was.
    pub updated: Option<Timestamp>,
    pub creator: Option<Box<str>>,
    pub title: Field<Box<str>>,
    pub agent_mode: Field<Box<str>>,
    pub repository: Field<Box<str>>,
    pub message_count: Option<u32>,
    pub state: Field<Box<str>>,
    /// What the agent is doing, as far as the document tells.
    pub progress: Option<Progress>,
    /// It stopped because of a limit: the words the client knows such errors by.
    pub usage_limit: bool,
    pub visibility: Field<Box<str>>,
    pub archived: Field<bool>,
    /// The document itself says that the thread was deleted.
    pub deleted: bool,
    pub bill: Bill,
}

impl Thread {
    /// Orders documents of one id: the later one has the higher revision, else the later update.
    pub fn recency(&self) -> (Option<u64>, Option<Timestamp>) {
        (self.v, self.updated)
    }
}

/// Reads one document to its end.
///
/// # Errors
/// What `serde_json` found wrong: the file is torn, or no JSON. Its message names a place, never content.
pub fn read(reader: impl Read, book: &dyn PriceBook) -> serde_json::Result<Document> {
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let Object(raw) = Object::<Raw>::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(raw.map_or(Document::Other, |raw| classify(raw, book)))
}

fn classify(raw: Raw, book: &dyn PriceBook) -> Document {
    let Scalar::Text(id) = raw.id else { return Document::Other };
    if raw.messages.0.is_none() && raw.usage_ledger.0.is_none() {
        return Document::Other;
    }
    if id.trim().is_empty() || id.len() > ID_BYTES || id.chars().any(char::is_control) {
        return Document::BadId;
    }
    let meta = raw.meta.0.unwrap_or_default();
    let messages = raw.messages.0;
    let message_count = messages.as_ref().map(|m| m.count);
    let Messages { state, last, calls, helpers, latest, .. } = messages.unwrap_or_default();
    let created = raw.created.instant();
    let updated = raw.updated_at.instant();
    let agent_state = meta.last_known_agent_state.0.unwrap_or_default().state.text();
    let status = meta.status.text();
    let said = [&agent_state, &status].into_iter().find_map(|field| progress::of_agent(field.get()?));
    let ledger = raw.usage_ledger.0.unwrap_or_default().events.0.unwrap_or_default();
    let default_time = created.or_else(|| time_in_id(&id)).or(updated);
    let tally = Tally { messages: calls, ledger: ledger.0, helpers, default_time };
    Document::Thread(Box::new(Thread {
        id,
        file: Box::default(),
        v: raw.v.count(),
        created,
        updated: updated.or(latest),
        creator: raw.creator.word(),
        title: raw.title.text(),
        agent_mode: raw.agent_mode.text().or(meta.agent_mode.text()),
        repository: repository(raw.env),
        message_count,
        progress: progress::of(said, last),
        usage_limit: last.usage_limit,
        state: agent_state.or(status).or(state),
        visibility: meta.visibility.text().or(raw.visibility.text()),
        archived: raw.archived.bool().or(meta.archived.bool()),
        deleted: meta.deleted.bool() == Field::Is(true),
        bill: usage::bill(tally, book),
    }))
}

/// When an id was made: `T-` and a UUID of version 7, whose first 48 bits are milliseconds (RFC 9562, section 5.7).
fn time_in_id(id: &str) -> Option<Timestamp> {
    let mut groups = id.strip_prefix("T-")?.split('-');
    let (high, low, version) = (groups.next()?, groups.next()?, groups.next()?);
    if high.len() != 8 || low.len() != 4 || !version.starts_with('7') {
        return None;
    }
    Timestamp::from_millisecond(i64::from_str_radix(&format!("{high}{low}"), 16).ok()?).ok()
}

/// The repositories a thread began in, else the names of its folders, joined by commas.
fn repository(env: Object<Env>) -> Field<Box<str>> {
    let initial = env.0.unwrap_or_default().initial.0.unwrap_or_default();
    let Some(Trees(names)) = initial.trees.0 else { return Field::Absent };
    if names.is_empty() { Field::Absent } else { Field::Is(names.join(", ").into()) }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Raw {
    v: Scalar,
    id: Scalar,
    created: Scalar,
    updated_at: Scalar,
    title: Scalar,
    agent_mode: Scalar,
    #[serde(rename = "creatorUserID")]
    creator: Scalar,
    archived: Scalar,
    visibility: Scalar,
    env: Object<Env>,
    meta: Object<Meta>,
    messages: List<Messages>,
    usage_ledger: Object<Ledger>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    visibility: Scalar,
    agent_mode: Scalar,
    archived: Scalar,
    deleted: Scalar,
    /// Where files of early 2026 have the agent's state.
    status: Scalar,
    last_known_agent_state: Object<AgentState>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AgentState {
    state: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Env {
    initial: Object<Initial>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Initial {
    trees: List<Trees>,
}

/// Names of the trees, each once, in their order.
#[derive(Debug, Default)]
struct Trees(Vec<String>);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tree {
    uri: Scalar,
    display_name: Scalar,
    repository: Object<Repository>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Repository {
    url: Scalar,
}

impl Gather for Trees {
    type Item = Object<Tree>;

    fn take(&mut self, tree: Object<Tree>) -> Result<(), &'static str> {
        let tree = tree.0.unwrap_or_default();
        let url = tree.repository.0.unwrap_or_default().url.word();
        let name = url
            .map(|url| without_credentials(&url))
            .or_else(|| tree.display_name.word().map(String::from))
            .or_else(|| tree.uri.word().map(|uri| folder_of(&uri)));
        if let Some(name) = name
            && self.0.len() < REPOSITORIES
            && !self.0.contains(&name)
        {
            self.0.push(name);
        }
        Ok(())
    }
}

/// A remote's address may carry a token before the `@`, or in its query.
fn without_credentials(address: &str) -> String {
    match url::Url::parse(address) {
        Ok(mut url) if url.has_host() => {
            // Both fail only for addresses that can't have credentials.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            url.to_string().trim_end_matches('/').to_owned()
        }
        // `git@host:path`, or something else that is no URL: nothing before the host but the login name.
        _ => address.rsplit_once('@').map_or(address, |(_, rest)| rest).to_owned(),
    }
}

fn folder_of(uri: &str) -> String {
    let path = url::Url::parse(uri).ok();
    let last = path.as_ref().and_then(|url| url.path_segments()?.rfind(|part| !part.is_empty()));
    last.unwrap_or(uri).to_owned()
}

/// What is gathered of the messages while they go by.
#[derive(Debug, Default)]
struct Messages {
    count: u32,
    /// Of the last message that has one.
    state: Field<Box<str>>,
    last: LastMessage,
    calls: Vec<MessageCall>,
    helpers: Vec<Helper>,
    /// The latest time any message carries.
    latest: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Message {
    role: Scalar,
    #[serde(rename = "messageId")]
    id: Scalar,
    #[serde(rename = "protocolMessageID")]
    protocol_id: Scalar,
    #[serde(rename = "protocolMessageVersion")]
    version: Scalar,
    parent_tool_use_id: Scalar,
    state: Object<MessageState>,
    meta: Object<MessageMeta>,
    usage: Object<RawUsage>,
    content: List<Blocks>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MessageState {
    r#type: Scalar,
    #[serde(rename = "stopReason")]
    stop_reason: Scalar,
    error: Object<MessageError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MessageError {
    message: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MessageMeta {
    sent_at: Scalar,
}

impl Gather for Messages {
    type Item = Object<Message>;

    fn take(&mut self, message: Object<Message>) -> Result<(), &'static str> {
        self.count = self.count.saturating_add(1);
        let Some(message) = message.0 else { return Ok(()) };
        let state = message.state.0.unwrap_or_default();
        let (kind, stop) = (state.r#type.text(), state.stop_reason.word());
        self.last.take(message.role.word().as_deref(), kind.get(), stop.as_deref());
        // Read for what it is, and dropped.
        let error = state.error.0.unwrap_or_default().message.word();
        self.last.usage_limit = error.is_some_and(|text| progress::is_usage_limit(&text));
        self.state = kind.or(std::mem::take(&mut self.state));
        let sent = message.meta.0.unwrap_or_default().sent_at.instant();
        let id = message.id.label();
        if let Some(usage) = message.usage.0 {
            let own = usage.timestamp.instant();
            self.latest = self.latest.max(own).max(sent);
            self.calls.push(MessageCall {
                protocol_id: message.protocol_id.word(),
                version: message.version.count(),
                id: id.clone(),
                parent_tool_use: message.parent_tool_use_id.word(),
                time: own.or(sent),
                // What came before it is the best guess at when a message without a time was.
                guessed_time: self.latest,
                usage: usage.into(),
            });
        }
        self.latest = self.latest.max(sent);
        for tool_use in message.content.0.unwrap_or_default().0 {
            self.helpers.push(Helper { tool_use, message: id.clone() });
        }
        if self.calls.len() > CALLS || self.helpers.len() > CALLS {
            return Err("more model calls than a thread can have");
        }
        Ok(())
    }
}

/// Tool calls among a message's blocks that run an agent of their own; by id, `None` where it has none.
#[derive(Debug, Default)]
struct Blocks(Vec<Option<Box<str>>>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    r#type: Scalar,
    name: Scalar,
    id: Scalar,
}

impl Gather for Blocks {
    type Item = Object<Block>;

    fn take(&mut self, block: Object<Block>) -> Result<(), &'static str> {
        let Some(block) = block.0 else { return Ok(()) };
        let is_tool_use = block.r#type.text() == Field::Is("tool_use".into());
        if is_tool_use && block.name.word().is_some_and(|name| usage::runs_an_agent(&name)) {
            self.0.push(block.id.word());
        }
        if self.0.len() > CALLS { Err("more tool calls than a message can have") } else { Ok(()) }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ledger {
    events: List<Events>,
}

#[derive(Debug, Default)]
struct Events(Vec<LedgerEvent>);

impl Gather for Events {
    type Item = Object<usage::RawEvent>;

    fn take(&mut self, event: Object<usage::RawEvent>) -> Result<(), &'static str> {
        self.0.extend(event.0.map(LedgerEvent::from));
        if self.0.len() > CALLS { Err("more ledger events than a thread can have") } else { Ok(()) }
    }
}
