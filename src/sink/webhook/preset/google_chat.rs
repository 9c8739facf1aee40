//! Google Chat: a card through an incoming webhook of a space.
//!
//! Sources: <https://developers.google.com/workspace/chat/quickstart/webhooks>,
//! <https://developers.google.com/workspace/chat/api/reference/rest/v1/cards>. Text from outside stands in the card only:
//! the message's own `text` takes mentions (`<users/all>`), a card's paragraphs a little HTML, which is escaped.

use serde_json::{Value, json};

use super::{cut, lines};
use crate::render::{Card, Tone};

/// Longest title and longest text, characters.
const TEXT: usize = 1_000;
/// Room for the lines of a group; a message has 32,000 bytes.
const LINES: usize = 20 * 1024;

pub fn message(card: &Card) -> Value {
    let state = match card.tone {
        Tone::Critical => "Critical",
        Tone::Warning => "Warning",
        Tone::Resolved => "Resolved",
        Tone::Info => "Information",
    };
    let paragraph = |text: String| json!({ "textParagraph": { "text": text } });
    let mut widgets = vec![paragraph(format!("<b>{}</b>", escape(&cut(&card.title, TEXT))))];
    if !card.text.is_empty() {
        widgets.push(paragraph(escape(&cut(&card.text, TEXT))));
    }
    let lines = lines(card, LINES, |line| format!("• {}", escape(&cut(line, 600))));
    if !lines.is_empty() {
        widgets.push(paragraph(lines.join("<br>")));
    }
    widgets.extend(card.facts.iter().filter(|(_, value)| !value.is_empty()).map(
        |(label, value)| json!({ "decoratedText": { "topLabel": label, "text": escape(value), "wrapText": true } }),
    ));
    if let Some(link) = &card.link {
        widgets.push(
            json!({ "buttonList": { "buttons": [{ "text": "Open", "onClick": { "openLink": { "url": link } } }] } }),
        );
    }
    json!({
        "cardsV2": [{
            "cardId": "ampbridge",
            "card": { "header": { "title": "ampbridge", "subtitle": state }, "sections": [{ "widgets": widgets }] },
        }],
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
