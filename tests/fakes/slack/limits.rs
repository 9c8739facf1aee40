//! What Slack would not like about a message (<https://docs.slack.dev/reference/block-kit/blocks>), and mentions that
//! would take effect.

use serde_json::Value;

/// Characters of all blocks together from which Slack refuses a message. Undocumented; seen in its SDKs' issues.
const ALL_BLOCKS: usize = 13_200;
/// Slack cuts texts here.
const TEXT: usize = 40_000;
const BLOCKS: usize = 50;
const ATTACHMENTS: usize = 100;

/// An error code and what is wrong.
pub type Fault = (&'static str, String);

pub fn faults(post: &Value, is_edit: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let text = post["text"].as_str().unwrap_or_default();
    let blocks = list(post.get("blocks"));
    let attachments = list(post.get("attachments"));
    if text.trim().is_empty() {
        faults.push(("no_text", "no text".to_owned()));
    }
    if text.chars().count() > TEXT {
        faults.push(("msg_too_long", format!("text: {} characters", text.chars().count())));
    }
    if is_edit && post["ts"].as_str().is_none_or(str::is_empty) {
        faults.push(("message_not_found", "no ts".to_owned()));
    }
    if is_edit && (post.get("blocks").is_none() || post.get("attachments").is_none()) {
        faults.push(("block_mismatch", "an edit that leaves blocks or attachments out keeps the old ones".to_owned()));
    }
    if post["link_names"] == true || post["unfurl_links"] == true || post["unfurl_media"] == true {
        faults.push(("invalid_arguments", "links unfold, or names are looked up".to_owned()));
    }
    let mut said = Vec::new();
    check_mentions("text", text, &mut said);
    if attachments.len() > ATTACHMENTS {
        faults.push(("too_many_attachments", format!("{} attachments", attachments.len())));
    }
    let mut all: Vec<(String, &Value)> =
        blocks.iter().enumerate().map(|(n, block)| (format!("blocks[{n}]"), block)).collect();
    for (at, attachment) in attachments.iter().enumerate() {
        let inside = list(attachment.get("blocks"));
        all.extend(inside.iter().enumerate().map(|(n, block)| (format!("attachments[{at}].blocks[{n}]"), block)));
    }
    if all.len() > BLOCKS {
        said.push(format!("{} blocks", all.len()));
    }
    for (at, block) in &all {
        check_block(at, block, &mut said);
    }
    faults.extend(said.into_iter().map(|fault| ("invalid_blocks", fault)));
    let length: usize = all.iter().map(|(_, block)| text_length(block)).sum();
    if length > ALL_BLOCKS {
        faults.push(("msg_blocks_too_long", format!("{length} characters in blocks")));
    }
    faults
}

fn check_block(at: &str, block: &Value, faults: &mut Vec<String>) {
    check_length(&format!("{at}.block_id"), block["block_id"].as_str().unwrap_or_default(), 255, faults);
    let elements = list(block.get("elements"));
    match block["type"].as_str() {
        Some("section") => {
            let fields = list(block.get("fields"));
            if block.get("text").is_none() && fields.is_empty() {
                faults.push(format!("{at}: neither text nor fields"));
            }
            if let Some(text) = block.get("text") {
                check_text(at, text, 3_000, faults);
            }
            check_count(&format!("{at}.fields"), fields.len(), 10, faults);
            for field in fields {
                check_text(&format!("{at}.fields"), field, 2_000, faults);
            }
        }
        Some("header") => {
            if block["text"]["type"] != "plain_text" {
                faults.push(format!("{at}: a header is plain_text"));
            }
            check_text(at, &block["text"], 150, faults);
        }
        Some("context") => {
            check_count(at, elements.len(), 10, faults);
            for element in elements {
                check_text(at, element, 3_000, faults);
            }
        }
        Some("actions") => {
            check_count(at, elements.len(), 25, faults);
            for element in elements {
                if element["type"] != "button" {
                    faults.push(format!("{at}: element {:?}", element["type"]));
                    continue;
                }
                if element["text"]["type"] != "plain_text" {
                    faults.push(format!("{at}: a button's label is plain_text"));
                }
                check_text(at, &element["text"], 75, faults);
                check_length(at, element["url"].as_str().unwrap_or_default(), 3_000, faults);
            }
        }
        Some("image") => check_length(at, block["alt_text"].as_str().unwrap_or_default(), 2_000, faults),
        Some("divider") => {}
        other => faults.push(format!("{at}: type {other:?}")),
    }
}

fn check_count(at: &str, count: usize, most: usize, faults: &mut Vec<String>) {
    if count > most {
        faults.push(format!("{at}: {count} items, {most} at most"));
    }
}

fn check_text(at: &str, object: &Value, limit: usize, faults: &mut Vec<String>) {
    let text = object["text"].as_str().unwrap_or_default();
    match object["type"].as_str() {
        Some("mrkdwn") => check_mentions(at, text, faults),
        Some("plain_text") => {}
        other => faults.push(format!("{at}: text of type {other:?}")),
    }
    if text.is_empty() {
        faults.push(format!("{at}: empty text"));
    }
    check_length(at, text, limit, faults);
}

fn check_length(at: &str, text: &str, limit: usize, faults: &mut Vec<String>) {
    let length = text.chars().count();
    if length > limit {
        faults.push(format!("{at}: {length} characters, {limit} at most"));
    }
}

/// `<!channel>`, `<@U…>` and `<#C…>` take effect in text that comes in unescaped. `<!here>` is what the tests' configs
/// say, and nothing from outside may.
fn check_mentions(at: &str, text: &str, faults: &mut Vec<String>) {
    let mut outside = text.replace(" <!here>", "");
    // A mark from outside, shown in place of a date that is none.
    while let Some((before, (marks, after))) =
        outside.split_once("<!date^00000000^{_}|").and_then(|(before, rest)| Some((before, rest.split_once('>')?)))
    {
        if marks.is_empty() || !marks.chars().all(|c| "*_~`".contains(c)) {
            faults.push(format!("{at}: {marks:?} in place of a date"));
        }
        outside = format!("{before}{after}");
    }
    for live in ["<!", "<@", "<#"] {
        if outside.contains(live) {
            faults.push(format!("{at}: {live} takes effect"));
        }
    }
}

fn text_length(value: &Value) -> usize {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) if key == "text" => text.chars().count(),
                other => text_length(other),
            })
            .sum(),
        Value::Array(items) => items.iter().map(text_length).sum(),
        _ => 0,
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
