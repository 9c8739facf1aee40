//! What is posted: text, blocks, the coloured bar, whom it calls, and where it hangs.

use serde_json::{Map, Value, json};

use super::settings::Mentions;
use crate::domain::event::Severity;
use crate::render::{SlackParts, Tone};
use crate::sink::Message;

/// Longest text of a section (<https://docs.slack.dev/reference/block-kit/blocks/section-block>).
const SECTION_TEXT: usize = 3_000;

/// An earlier post of the incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root<'m> {
    channel: &'m str,
    ts: &'m str,
}

impl<'m> Root<'m> {
    /// Reads what an earlier delivery left; `None` where the sink posts to another channel now.
    pub fn of(reference: &'m Value, channel: &str) -> Option<Self> {
        let text = |key| reference.get(key).and_then(Value::as_str);
        (text("to") == Some(channel)).then_some(Self { channel: text("channel")?, ts: text("ts")? })
    }

    /// Hangs a post on it.
    pub fn reply(self, post: &mut Map<String, Value>, broadcast: bool) {
        post.insert("channel".to_owned(), self.channel.into());
        post.insert("thread_ts".to_owned(), self.ts.into());
        if broadcast {
            // Replies alone are easily missed.
            post.insert("reply_broadcast".to_owned(), Value::Bool(true));
        }
    }

    /// Makes a post an edit of it. What an edit leaves out stays as it was, so nothing is left out.
    pub fn replace(self, post: &mut Map<String, Value>) {
        post.insert("channel".to_owned(), self.channel.into());
        post.insert("ts".to_owned(), self.ts.into());
        for part in ["blocks", "attachments"] {
            post.entry(part).or_insert_with(|| json!([]));
        }
        for off in ["unfurl_links", "unfurl_media"] {
            post.remove(off);
        }
    }
}

/// A whole message. The first block stands by itself; the rest has a bar in the colour of the message's tone.
pub fn body(parts: &SlackParts, mention: Option<&str>) -> Map<String, Value> {
    let mut post = line(&parts.text, mention);
    let Some(Value::Array(mut blocks)) = parts.blocks.clone() else { return post };
    if let Some(mention) = mention {
        call(&mut blocks, mention);
    }
    if let Some(colour) = parts.tone.colour()
        && blocks.len() > 1
    {
        let rest = blocks.split_off(1);
        post.insert("attachments".to_owned(), json!([{ "color": colour, "blocks": rest }]));
    }
    post.insert("blocks".to_owned(), Value::Array(blocks));
    post
}

/// A message of text alone.
pub fn line(text: &str, mention: Option<&str>) -> Map<String, Value> {
    let mut post = Map::new();
    let text = mention.map_or_else(|| text.to_owned(), |mention| after_first_line(text, mention));
    post.insert("text".to_owned(), text.into());
    for off in ["unfurl_links", "unfurl_media", "link_names"] {
        post.insert(off.to_owned(), Value::Bool(false));
    }
    post
}

/// Whom the message calls: what the config names for its severity, unless it says that something is over.
pub fn mention<'a>(message: &Message, tone: Tone, mentions: &'a Mentions) -> Option<&'a str> {
    let severity = severity(message)?;
    mentions.of(severity).filter(|_| tone != Tone::Resolved)
}

/// Whether everybody in the channel should see it, and not only who follows the thread.
pub fn is_grave(message: &Message) -> bool {
    severity(message) >= Some(Severity::Warning)
}

fn severity(message: &Message) -> Option<Severity> {
    message.events.iter().map(|stored| stored.event.severity).max()
}

/// The number stays first: the call stands at the end of the first line.
fn call(blocks: &mut Vec<Value>, mention: &str) {
    let first = blocks.first_mut().filter(|b| b.get("type").and_then(Value::as_str) == Some("section"));
    if let Some(text) = first.and_then(|block| block.get_mut("text")).and_then(Value::as_object_mut)
        && text.get("type").and_then(Value::as_str) == Some("mrkdwn")
        && let Some(said) = text.get("text").and_then(Value::as_str)
    {
        let called = after_first_line(said, mention);
        if called.chars().count() <= SECTION_TEXT {
            text.insert("text".to_owned(), called.into());
            return;
        }
    }
    blocks.insert(0, json!({ "type": "section", "text": { "type": "mrkdwn", "text": mention, "verbatim": true } }));
}

fn after_first_line(text: &str, mention: &str) -> String {
    match text.split_once('\n') {
        Some((first, rest)) => format!("{first} {mention}\n{rest}"),
        None => format!("{text} {mention}"),
    }
}
