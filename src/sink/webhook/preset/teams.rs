//! Microsoft Teams: an adaptive card to an incoming webhook of a workflow.
//!
//! Sources: <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using> (the
//! message around the card, 28 KB), <https://adaptivecards.io/explorer/TextRun.html>: "Markdown is not supported", so that
//! text from outside stands in text runs only. A mention would need an entry in `msteams.entities`; there is none.

use serde_json::{Value, json};

use super::{cut, lines};
use crate::render::{Card, Tone};

/// Longest title and longest text, characters.
const TEXT: usize = 1_000;
/// Room for the lines of a group; with the JSON around each, the card stays below 28 KB.
const LINES: usize = 9 * 1024;

pub fn message(card: &Card) -> Value {
    let color = match card.tone {
        Tone::Critical => "Attention",
        Tone::Warning => "Warning",
        Tone::Resolved => "Good",
        Tone::Info => "Default",
    };
    let mut body = vec![text(&[
        json!({ "type": "TextRun", "text": plain(&cut(&card.title, TEXT)), "weight": "Bolder", "size": "Medium", "color": color }),
    ])];
    if !card.text.is_empty() {
        body.push(text(&[run(&cut(&card.text, TEXT))]));
    }
    body.extend(lines(card, LINES, |line| cut(line, 300)).iter().map(|line| text(&[run(&format!("• {line}"))])));
    for (label, value) in &card.facts {
        let label = json!({ "type": "TextRun", "text": format!("{label}: "), "isSubtle": true });
        body.push(text(&[label, run(value)]));
    }
    let mut content = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": plain(&cut(&card.title, TEXT)),
        "msteams": { "width": "Full" },
        "body": body,
    });
    if let Some(link) = &card.link {
        content["actions"] = json!([{ "type": "Action.OpenUrl", "title": "Open", "url": link }]);
    }
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": content }],
    })
}

fn run(words: &str) -> Value {
    json!({ "type": "TextRun", "text": plain(words) })
}

fn text(runs: &[Value]) -> Value {
    json!({ "type": "RichTextBlock", "inlines": runs, "spacing": "Small" })
}

/// Keeps `{{DATE(…)}}` from being worked out and `<at>` from looking like a mention, changing nothing that is seen.
fn plain(words: &str) -> String {
    words.replace("{{", "{\u{2060}{").replace("<at", "<\u{2060}at")
}
