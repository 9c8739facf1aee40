//! ntfy: a notification to a topic.
//!
//! Source: <https://docs.ntfy.sh/publish/#publish-as-json>. Text is plain (`markdown` stays off); a message has 4096 bytes,
//! beyond which it would become an attachment.

use serde_json::{Value, json};

use super::{cut, lines};
use crate::domain::delivery;
use crate::domain::setting::Secret;
use crate::render::{Card, Tone};

pub const URL: &str = "https://ntfy.sh/";
/// Longest title, characters.
const TITLE: usize = 200;
/// Longest message, bytes, with room to spare.
const MESSAGE: usize = 3_900;

pub fn message(topic: &Secret, card: &Card) -> Value {
    let (priority, tag) = match card.tone {
        Tone::Critical => (5, "rotating_light"),
        Tone::Warning => (4, "warning"),
        Tone::Resolved => (3, "white_check_mark"),
        Tone::Info => (3, "information_source"),
    };
    let mut parts = vec![card.text.clone()];
    parts.extend(lines(card, MESSAGE - 1_000, |line| format!("• {}", cut(line, 400))));
    parts.extend(card.facts.iter().take(1).map(|(label, value)| format!("{label}: {value}")));
    parts.retain(|part| !part.is_empty());
    let mut body = json!({
        "topic": topic.expose(),
        "title": cut(&card.title, TITLE),
        "message": delivery::cut(&parts.join("\n"), MESSAGE),
        "priority": priority,
        "tags": [tag],
    });
    if let Some(link) = &card.link {
        body["click"] = json!(link);
    }
    body
}
