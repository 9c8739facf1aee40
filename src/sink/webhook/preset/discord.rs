//! Discord: an embed through a webhook of a channel.
//!
//! Sources: <https://discord.com/developers/docs/resources/webhook#execute-webhook>,
//! <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>. Nobody is mentioned
//! (`allowed_mentions` is empty), and markdown in text from outside is escaped.

use serde_json::{Value, json};

use super::{cut, lines};
use crate::render::{Card, Tone};

/// Longest title of an embed.
const TITLE: usize = 256;
/// Room for the description: 4096 characters, and 6000 for all of an embed together.
const DESCRIPTION: usize = 3_600;
/// Longest value of a field; 1024 are allowed.
const FIELD: usize = 400;

pub fn message(card: &Card) -> Value {
    let mut description = vec![escape(&card.text, DESCRIPTION)];
    description.extend(lines(card, DESCRIPTION, |line| format!("• {}", escape(line, 600))));
    description.retain(|part| !part.is_empty());
    let fields: Vec<Value> = card
        .facts
        .iter()
        .map(|(label, value)| json!({ "name": label, "value": escape(value, FIELD), "inline": true }))
        .filter(|field| field["value"] != "")
        .collect();
    let mut embed = json!({
        "title": escape(&card.title, TITLE),
        "description": description.join("\n"),
        "color": match card.tone {
            Tone::Critical => 0x00E0_1E5A,
            Tone::Warning => 0x00EC_B22E,
            Tone::Resolved => 0x002E_B67D,
            Tone::Info => 0x0036_C5F0,
        },
        "fields": fields,
    });
    if let Some(link) = &card.link {
        embed["url"] = json!(link);
    }
    json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } })
}

/// A backslash makes any ASCII punctuation literal; it is added only while the whole stays within `max`.
fn escape(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in text.chars() {
        let width = if c.is_ascii_punctuation() { 2 } else { 1 };
        // Length in UTF-16 units is what a JavaScript service counts.
        length += width - 1 + c.len_utf16();
        if length >= max {
            out.push('…');
            break;
        }
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    cut(&out, max)
}
