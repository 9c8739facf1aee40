//! What [`super::slack::fit`] would mend without a word, said aloud: for those who write templates.

use serde_json::Value;

use super::mrkdwn::length;
use super::slack::{
    ACTIONS, ALT_TEXT, BLOCKS, BUTTON_TEXT, CONTEXT_ELEMENTS, FIELD_TEXT, FIELDS, HEADER_TEXT, ID, MARKDOWN_TEXT,
    SECTION_TEXT, TOTAL_TEXT, URL, text_length,
};

/// The number of the block, the field, and what is wrong with it.
pub type Problem = (usize, String, String);

/// Everything about rendered blocks that does not go out as it was written.
pub fn lint(blocks: &[Value]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if blocks.len() > BLOCKS {
        problems.push((BLOCKS, "blocks".to_owned(), too_many(blocks.len(), BLOCKS)));
    }
    let total: usize = blocks.iter().map(text_length).sum();
    if total > TOTAL_TEXT {
        problems.push((0, "blocks".to_owned(), too_long(total, TOTAL_TEXT)));
    }
    for (at, block) in blocks.iter().enumerate() {
        let mut note = |field: &str, message: String| problems.push((at, format!("blocks[{at}]{field}"), message));
        judge(block, &mut note);
    }
    problems
}

fn judge(block: &Value, note: &mut dyn FnMut(&str, String)) {
    let list = |key: &str| block.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(id) = block.get("block_id").and_then(Value::as_str).filter(|id| length(id) > ID) {
        note(".block_id", too_long(length(id), ID));
    }
    let elements = list("elements");
    match block.get("type").and_then(Value::as_str).unwrap_or_default() {
        "section" => {
            text(".text", block.get("text"), SECTION_TEXT, note);
            if list("fields").len() > FIELDS {
                note(
                    ".fields",
                    format!("{} fields, {FIELDS} to a section; the rest goes into another", list("fields").len()),
                );
            }
            for (n, field) in list("fields").iter().enumerate() {
                text(&format!(".fields[{n}]"), Some(field), FIELD_TEXT, note);
            }
            if let Some(accessory) = block.get("accessory") {
                element(".accessory", accessory, note);
            }
        }
        "header" => text(".text", block.get("text"), HEADER_TEXT, note),
        "context" => {
            if elements.len() > CONTEXT_ELEMENTS {
                note(".elements", too_many(elements.len(), CONTEXT_ELEMENTS));
            }
            for (n, part) in elements.iter().enumerate() {
                text(&format!(".elements[{n}]"), Some(part), FIELD_TEXT, note);
            }
        }
        "actions" => {
            if elements.len() > ACTIONS {
                note(".elements", too_many(elements.len(), ACTIONS));
            }
            for (n, part) in elements.iter().enumerate() {
                element(&format!(".elements[{n}]"), part, note);
            }
        }
        "image" => match block.get("alt_text").and_then(Value::as_str) {
            None | Some("") => note(".alt_text", "is missing: Slack refuses an image without it".to_owned()),
            Some(alt) if length(alt) > ALT_TEXT => note(".alt_text", too_long(length(alt), ALT_TEXT)),
            Some(_) => {}
        },
        "markdown" => {
            let said = block.get("text").and_then(Value::as_str).unwrap_or_default();
            if length(said) > MARKDOWN_TEXT {
                note(".text", too_long(length(said), MARKDOWN_TEXT));
            }
        }
        // Between blocks: it becomes a field.
        "mrkdwn" | "plain_text" => text("", Some(block), FIELD_TEXT, note),
        _ => {}
    }
}

fn text(field: &str, object: Option<&Value>, most: usize, note: &mut dyn FnMut(&str, String)) {
    let Some(said) = object.and_then(|o| o.get("text")).and_then(Value::as_str) else { return };
    if length(said) > most {
        note(field, too_long(length(said), most));
    }
}

fn element(field: &str, element: &Value, note: &mut dyn FnMut(&str, String)) {
    let kind = element.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "image" => {}
        "button" => {
            let url = element.get("url").and_then(Value::as_str).unwrap_or_default();
            if !(url.starts_with("https://") || url.starts_with("http://")) || length(url) > URL {
                note(field, "a button without a link to the web is left out: nobody would answer it".to_owned());
            }
            let label = element.get("text");
            text(&format!("{field}.text"), label, BUTTON_TEXT, note);
        }
        _ => note(field, format!("an element of type {kind:?} is left out: nobody would answer it")),
    }
}

fn too_long(length: usize, most: usize) -> String {
    format!("{length} characters, {most} at most; the rest is cut")
}

fn too_many(count: usize, most: usize) -> String {
    format!("{count} items, {most} at most; the rest is left out")
}
