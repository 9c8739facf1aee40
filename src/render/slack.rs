//! Making any array of Block Kit blocks one that Slack takes.
//!
//! Source of the limits: <https://docs.slack.dev/reference/block-kit/blocks>; the budget for all text of a message is
//! undocumented (`msg_blocks_too_long` from about 13,200 characters on). Lengths are in code points.
//!
//! Beyond Slack's own format, text objects may stand between blocks: they are gathered into the fields of sections, so
//! that templates need not count to ten.

use serde_json::{Map, Value, json};

use super::marks::{outside, settle, settle_all};
use super::mrkdwn::{self, cut, length};

pub const BLOCKS: usize = 50;
pub const TOTAL_TEXT: usize = 12_000;
pub const SECTION_TEXT: usize = 3_000;
pub const FIELDS: usize = 10;
pub const FIELD_TEXT: usize = 2_000;
pub const HEADER_TEXT: usize = 150;
pub const CONTEXT_ELEMENTS: usize = 10;
pub const ACTIONS: usize = 25;
pub const BUTTON_TEXT: usize = 75;
pub const BUTTON_VALUE: usize = 2_000;
pub const MARKDOWN_TEXT: usize = 12_000;
pub const URL: usize = 3_000;
pub const ALT_TEXT: usize = 2_000;
pub const ID: usize = 255;
/// What `text` beside the blocks is cut to; Slack itself cuts at 40,000.
pub const MESSAGE_TEXT: usize = 4_000;
/// Kept free in the budget for saying how much was left out.
const RESERVE: usize = 40;
/// A text is dropped rather than cut to less than this.
const WORTH_KEEPING: usize = 40;

/// Blocks as rendered to blocks within Slack's limits. What is empty is dropped, what is too long is cut, what is too
/// many is summed up as `…and N more`. An error where something is no block at all or nothing is left.
pub fn fit(rendered: Value) -> Result<Value, String> {
    let Value::Array(items) = settle_all(rendered) else { return Err("blocks must be a JSON array".to_owned()) };
    let mut blocks = Vec::with_capacity(items.len());
    let mut loose: Vec<Value> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let Value::Object(block) = item else { return Err(format!("block {index} is no JSON object")) };
        if is_text(&block) {
            loose.push(Value::Object(block));
            continue;
        }
        gather(&mut loose, &mut blocks);
        blocks.extend(fit_block(block).map_err(|e| format!("block {index}: {e}"))?);
    }
    gather(&mut loose, &mut blocks);
    let blocks = within_count(within_budget(blocks));
    if blocks.iter().all(|b| b.get("type").and_then(Value::as_str) == Some("divider")) {
        return Err("no block holds any text".to_owned());
    }
    Ok(Value::Array(blocks))
}

fn is_text(object: &Map<String, Value>) -> bool {
    matches!(object.get("type").and_then(Value::as_str), Some("mrkdwn" | "plain_text"))
}

/// Turns loose text objects into sections of fields.
fn gather(loose: &mut Vec<Value>, blocks: &mut Vec<Value>) {
    let fields: Vec<Value> = loose.drain(..).filter_map(|field| fit_text(field, FIELD_TEXT)).collect();
    blocks.extend(fields.chunks(FIELDS).map(|chunk| json!({ "type": "section", "fields": chunk })));
}

fn fit_block(mut block: Map<String, Value>) -> Result<Vec<Value>, String> {
    if let Some(id) = block.get_mut("block_id") {
        shorten(id, ID);
    }
    let kind = block.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "section" => fit_section(block),
        "header" => {
            let text = block.remove("text").and_then(|t| fit_text(t, HEADER_TEXT));
            let Some(mut text) = text else { return Ok(Vec::new()) };
            if text.get("type").and_then(Value::as_str) != Some("plain_text") {
                return Err("the text of a header must be plain_text".to_owned());
            }
            if let Some(object) = text.as_object_mut() {
                object.remove("verbatim");
            }
            block.insert("text".to_owned(), text);
            Ok(vec![Value::Object(block)])
        }
        "context" => Ok(fit_context(block)),
        "actions" => fit_actions(block),
        "image" => {
            let usable = ["image_url", "slack_file"].iter().any(|key| block.get(*key).is_some_and(|v| !is_blank(v)));
            if let Some(alt) = block.get_mut("alt_text") {
                shorten(alt, ALT_TEXT);
            }
            let short = block.get("image_url").and_then(Value::as_str).is_none_or(|url| length(url) <= URL);
            Ok(if usable && short { vec![Value::Object(block)] } else { Vec::new() })
        }
        "markdown" => {
            let text = block.get("text").and_then(Value::as_str).unwrap_or_default().trim_end().to_owned();
            block.insert("text".to_owned(), Value::String(cut(&text, MARKDOWN_TEXT)));
            Ok(if text.is_empty() { Vec::new() } else { vec![Value::Object(block)] })
        }
        "divider" | "rich_text" | "table" | "video" | "file" => Ok(vec![Value::Object(block)]),
        "" => Err("it has no \"type\"".to_owned()),
        other => Err(format!("Slack has no block of type {other:?}")),
    }
}

fn fit_section(mut block: Map<String, Value>) -> Result<Vec<Value>, String> {
    let text = block.remove("text").and_then(|t| fit_text(t, SECTION_TEXT));
    let fields: Vec<Value> = match block.remove("fields") {
        Some(Value::Array(fields)) => fields.into_iter().filter_map(|f| fit_text(f, FIELD_TEXT)).collect(),
        Some(_) => return Err("\"fields\" must be an array".to_owned()),
        None => Vec::new(),
    };
    if let Some(accessory) = block.remove("accessory").and_then(fit_element) {
        block.insert("accessory".to_owned(), accessory);
    }
    let mut chunks = fields.chunks(FIELDS);
    let first = chunks.next();
    if text.is_none() && first.is_none() {
        return Ok(Vec::new());
    }
    if let Some(text) = text {
        block.insert("text".to_owned(), text);
    }
    if let Some(first) = first {
        block.insert("fields".to_owned(), Value::Array(first.to_vec()));
    }
    let mut out = vec![Value::Object(block)];
    out.extend(chunks.map(|chunk| json!({ "type": "section", "fields": chunk })));
    Ok(out)
}

fn fit_context(mut block: Map<String, Value>) -> Vec<Value> {
    let Some(Value::Array(elements)) = block.remove("elements") else { return Vec::new() };
    let mut kept: Vec<Value> = elements
        .into_iter()
        .filter_map(|e| if e.get("text").is_some() { fit_text(e, FIELD_TEXT) } else { Some(e) })
        .collect();
    if kept.is_empty() {
        return Vec::new();
    }
    if kept.len() > CONTEXT_ELEMENTS {
        let more = kept.len() - (CONTEXT_ELEMENTS - 1);
        kept.truncate(CONTEXT_ELEMENTS - 1);
        kept.push(and_more(more));
    }
    block.insert("elements".to_owned(), Value::Array(kept));
    vec![Value::Object(block)]
}

fn fit_actions(mut block: Map<String, Value>) -> Result<Vec<Value>, String> {
    let Some(Value::Array(elements)) = block.remove("elements") else {
        return Err("\"elements\" must be an array".to_owned());
    };
    let kept: Vec<Value> = elements.into_iter().filter_map(fit_element).take(ACTIONS).collect();
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    block.insert("elements".to_owned(), Value::Array(kept));
    Ok(vec![Value::Object(block)])
}

/// A button that is a link, or an image; `None` for one without a usable address or a label, and for everything that
/// would send something back: nobody listens there.
fn fit_element(mut element: Value) -> Option<Value> {
    let object = element.as_object_mut()?;
    for key in ["action_id", "block_id"] {
        if let Some(id) = object.get_mut(key) {
            shorten(id, ID);
        }
    }
    match object.get("type").and_then(Value::as_str) {
        Some("button") => {}
        Some("image") => return Some(element),
        _ => return None,
    }
    let url = object.get("url").and_then(Value::as_str).unwrap_or_default();
    if length(url) > URL || !(url.starts_with("https://") || url.starts_with("http://")) {
        return None;
    }
    if let Some(value) = object.get_mut("value") {
        shorten(value, BUTTON_VALUE);
    }
    let mut label = fit_text(object.remove("text")?, BUTTON_TEXT)?;
    label.as_object_mut()?.remove("verbatim");
    object.insert("text".to_owned(), label);
    Some(element)
}

/// A text object cut to `max`; `None` where it is empty. Channel names, `@here` and bare addresses in mrkdwn stay mere
/// text (`verbatim`) unless the template says otherwise: they may come from a title.
fn fit_text(mut text: Value, max: usize) -> Option<Value> {
    let object = text.as_object_mut()?;
    if !is_text(object) {
        return Some(text);
    }
    let content = object.get("text").and_then(Value::as_str).unwrap_or_default().trim_end();
    if content.trim().is_empty() {
        return None;
    }
    let content = cut(content, max);
    if object.get("type").and_then(Value::as_str) == Some("mrkdwn") {
        object.entry("verbatim").or_insert(Value::Bool(true));
    }
    object.insert("text".to_owned(), Value::String(content));
    Some(text)
}

/// Keeps blocks from the front while their text fits, cuts the one that does not, and says how many are left out. A
/// last block of buttons is kept: it is where the reader goes next.
fn within_budget(mut blocks: Vec<Value>) -> Vec<Value> {
    if blocks.iter().map(text_length).sum::<usize>() <= TOTAL_TEXT {
        return blocks;
    }
    let buttons = blocks.pop_if(|b| b.get("type").and_then(Value::as_str) == Some("actions"));
    let mut left = TOTAL_TEXT.saturating_sub(RESERVE + buttons.as_ref().map_or(0, text_length));
    let mut kept = Vec::new();
    let mut dropped = 0;
    for mut block in blocks {
        let needed = text_length(&block);
        if dropped == 0 && needed <= left {
            left -= needed;
            kept.push(block);
        } else if dropped == 0
            && left >= WORTH_KEEPING
            && let Some(lost) = shorten_section(&mut block, left)
        {
            left = 0;
            dropped += lost;
            kept.push(block);
        } else {
            dropped += things(&block);
        }
    }
    if dropped > 0 {
        kept.push(json!({ "type": "context", "elements": [and_more(dropped)] }));
    }
    kept.extend(buttons);
    kept
}

/// Cuts a section or markdown block that has nothing but text; how many of its lines went.
fn shorten_section(block: &mut Value, max: usize) -> Option<usize> {
    if block.get("fields").is_some() {
        return None;
    }
    let text = match block.get("type").and_then(Value::as_str) {
        Some("section") => block.pointer_mut("/text/text"),
        Some("markdown") => block.get_mut("text"),
        _ => None,
    };
    let Some(Value::String(text)) = text else { return None };
    let (kept, lost) = mrkdwn::keep_lines(text, max);
    *text = if lost > 0 { kept.to_owned() } else { mrkdwn::cut_anywhere(text, max) };
    Some(lost)
}

/// What a block counts for when it is left out: the lines of a list, else one.
fn things(block: &Value) -> usize {
    let text = block.pointer("/text/text").and_then(Value::as_str);
    text.map_or(1, |text| mrkdwn::lines(text).max(1))
}

fn within_count(mut blocks: Vec<Value>) -> Vec<Value> {
    if blocks.len() <= BLOCKS {
        return blocks;
    }
    let last = blocks.pop();
    let dropped = blocks.iter().skip(BLOCKS - 2).map(things).sum();
    blocks.truncate(BLOCKS - 2);
    blocks.push(json!({ "type": "context", "elements": [and_more(dropped)] }));
    blocks.extend(last);
    blocks
}

fn and_more(n: usize) -> Value {
    json!({ "type": "mrkdwn", "text": mrkdwn::and_more(n), "verbatim": true })
}

/// What blocks say, as mrkdwn of at most [`MESSAGE_TEXT`] characters: for a message whose blocks are not taken.
pub fn flatten(blocks: &Value) -> String {
    let mut lines: Vec<String> = Vec::new();
    for block in blocks.as_array().into_iter().flatten() {
        let list = |key: &str| block.get(key).and_then(Value::as_array).into_iter().flatten();
        match block.get("type").and_then(Value::as_str) {
            Some("context") => {
                let parts: Vec<String> = list("elements").filter_map(as_mrkdwn).collect();
                lines.push(parts.join(" · "));
            }
            Some("actions") => lines.extend(list("elements").filter_map(as_link)),
            Some("markdown") => lines.extend(block.get("text").and_then(Value::as_str).map(str::to_owned)),
            _ => {
                lines.extend(block.get("text").and_then(as_mrkdwn));
                lines.extend(list("fields").filter_map(as_mrkdwn));
            }
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    cut(&lines.join("\n"), MESSAGE_TEXT)
}

fn as_mrkdwn(text: &Value) -> Option<String> {
    let content = text.get("text")?.as_str()?;
    Some(if text.get("type")?.as_str()? == "mrkdwn" { content.to_owned() } else { settle(&outside(content)) })
}

fn as_link(button: &Value) -> Option<String> {
    let label = outside(button.pointer("/text/text")?.as_str()?).replace('|', "¦");
    Some(settle(&format!("<{}|{label}>", button.get("url")?.as_str()?.replace('&', "&amp;"))))
}

/// Characters of everything under a `text` key, however deep.
pub fn text_length(value: &Value) -> usize {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) if key == "text" => length(text),
                other => text_length(other),
            })
            .sum(),
        Value::Array(items) => items.iter().map(text_length).sum(),
        _ => 0,
    }
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|s| s.trim().is_empty())
}

/// Cuts a string where it stands, without a mark.
fn shorten(value: &mut Value, max: usize) {
    if let Value::String(text) = value
        && length(text) > max
    {
        *text = text.chars().take(max).collect();
    }
}

#[cfg(test)]
#[path = "slack_tests.rs"]
mod tests;
