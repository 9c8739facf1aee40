//! Slack's formatting marks in text from outside: shown, and without effect.
//!
//! Slack documents no escape for them (<https://docs.slack.dev/messaging/formatting-message-text#escaping> knows `&`, `<` and
//! `>` only). What it does document is that a date it can't format is shown as its fallback, and a fallback is plain text
//! (<https://docs.slack.dev/messaging/formatting-message-text#date-formatting>). So a mark that could format becomes the
//! fallback of a date without a format; it reads, and is copied, as the mark it is.
//!
//! Only when a text is whole is it known where a mark stands, so printing a value puts a stand-in for the mark, a
//! noncharacter of Unicode, and [`settle`] replaces it.

use serde_json::{Map, Value};

use super::text::escape_slack;

/// A mark, its stand-in, and what looks like it where no date can stand: in the label of a link.
const MARKS: [(char, char, char); 4] =
    [('*', '\u{fdd0}', '∗'), ('_', '\u{fdd1}', 'ˍ'), ('~', '\u{fdd2}', '∼'), ('`', '\u{fdd3}', 'ˋ')];
/// Stands before a `>` that would begin a quotation.
const QUOTE: char = '\u{fdd4}';
/// Shown as nothing, and no beginning of a line.
const SOFT_HYPHEN: char = '\u{ad}';
const FENCE: &str = "```";

/// Text from outside, escaped for mrkdwn, with stand-ins for what could format. Between letters and digits (`snake_case`,
/// `2*3`), or between blanks, nothing but a backtick can.
pub fn outside(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before: Option<char> = None;
    let mut chars = text.chars().filter(|c| !is_stand_in(*c)).peekable();
    while let Some(c) = chars.next() {
        let stand_in = MARKS.iter().find(|(mark, ..)| *mark == c).map(|(_, stand_in, _)| *stand_in);
        let around = [before, chars.peek().copied()];
        let between = |these: fn(char) -> bool| around.iter().all(|c| c.is_some_and(these));
        let harmless = c != '`' && (between(|c| c.is_ascii_alphanumeric()) || between(|c| c == ' '));
        if c == '>' && before.is_none_or(|c| c == '\n') {
            out.push(QUOTE);
        }
        out.push(stand_in.filter(|_| !harmless).unwrap_or(c));
        before = Some(c);
    }
    escape_slack(&out)
}

/// A whole mrkdwn text: marks from outside are shown and format nothing.
pub fn settle(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut fence, mut code, mut angle) = (false, false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with(FENCE) {
            fence = !fence;
            out.push_str(FENCE);
            rest = rest.get(FENCE.len()..).unwrap_or_default();
            continue;
        }
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '\n' => (code, angle) = (false, false),
            '`' if !angle && !fence => code = !code && after.split('\n').next().is_some_and(|line| line.contains('`')),
            '<' => angle = true,
            '>' => angle = false,
            _ => {}
        }
        let end = if is_stand_in(c) { rest.find(|c| !is_stand_in(c)).unwrap_or(rest.len()) } else { c.len_utf8() };
        let (these, after) = rest.split_at(end);
        if !is_stand_in(c) {
            out.push_str(these);
        } else if fence || code {
            // The template's own code: in it nothing formats, and only a backtick would end it.
            out.push_str(&plain(these).replace('`', "'"));
        } else if angle {
            out.extend(these.chars().filter_map(|c| MARKS.iter().find(|(_, s, _)| *s == c)).map(|(.., like)| *like));
        } else {
            if these.contains(QUOTE) {
                out.push(SOFT_HYPHEN);
            }
            let marks = plain(these);
            if !marks.is_empty() {
                out.push_str(&format!("<!date^00000000^{{_}}|{marks}>"));
            }
        }
        rest = after;
    }
    out
}

/// The same for every text in a message: where marks mean nothing they are themselves again.
pub fn settle_all(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(settle_all).collect()),
        Value::Object(object) => {
            let kind = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            let settled = object.into_iter().map(|(name, value)| match (kind.as_str(), value) {
                ("mrkdwn", Value::String(text)) if name == "text" => (name, Value::String(settle(&text))),
                ("markdown", Value::String(text)) if name == "text" => (name, Value::String(markdown(&text))),
                (_, value) => (name, settle_all(value)),
            });
            Value::Object(settled.collect::<Map<String, Value>>())
        }
        other => other,
    }
}

/// The marks themselves.
fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != QUOTE).map(|c| mark(c).unwrap_or(c)).collect()
}

/// A `markdown` block has the escapes of Markdown.
fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| *c != QUOTE) {
        if mark(c).is_some() {
            out.push('\\');
        }
        out.push(mark(c).unwrap_or(c));
    }
    out
}

fn mark(stand_in: char) -> Option<char> {
    MARKS.iter().find(|(_, s, _)| *s == stand_in).map(|(mark, ..)| *mark)
}

fn is_stand_in(c: char) -> bool {
    (MARKS[0].1..=QUOTE).contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn shown(marks: &str) -> String {
        format!("<!date^00000000^{{_}}|{marks}>")
    }

    #[test]
    fn marks_from_outside_are_shown_and_ours_take_effect() {
        for (template, title, expected) in [
            ("*$*", "plain", "*plain*".to_owned()),
            ("*$*", "*b*", format!("*{0}b{0}*", shown("*"))),
            ("$", "_it_ ~x~", format!("{0}it{0} {1}x{1}", shown("_"), shown("~"))),
            ("$", "**both**", format!("{0}both{0}", shown("**"))),
            ("$", "snake_case 2*3 a~b 2 * 3", "snake_case 2*3 a~b 2 * 3".to_owned()),
            ("$", "a`b`c", format!("a{0}b{0}c", shown("`"))),
            ("run `$` now", "stop `it` *now*", "run `stop 'it' *now*` now".to_owned()),
            ("```\n$\n```", "*now*", "```\n*now*\n```".to_owned()),
            ("don`t\n$", "*b*", format!("don`t\n{0}b{0}", shown("*"))),
            ("<https://example.com/a_b|$>", "*b*", "<https://example.com/a_b|∗b∗>".to_owned()),
            ("$", "> said\n> so", "\u{ad}&gt; said\n\u{ad}&gt; so".to_owned()),
            ("$", "a > b", "a &gt; b".to_owned()),
        ] {
            assert_eq!(settle(&template.replace('$', &outside(title))), expected, "{template} {title}");
        }
    }

    #[test]
    fn where_marks_mean_nothing_they_are_themselves() {
        let title = outside("*b* `c`");
        let blocks = json!([
            { "type": "header", "text": { "type": "plain_text", "text": title } },
            { "type": "markdown", "text": title },
            { "type": "image", "alt_text": title },
        ]);
        let settled = settle_all(blocks);
        assert_eq!(settled[0]["text"]["text"], "*b* `c`");
        assert_eq!(settled[1]["text"], r"\*b\* \`c\`");
        assert_eq!(settled[2]["alt_text"], "*b* `c`");
    }

    proptest! {
        #[test]
        fn nothing_from_outside_is_a_mark_and_nothing_is_lost(text in r"[a-c *_~`>\n\u{fdd0}-\u{fdd4}]{0,40}") {
            let settled = settle(&outside(&text));
            let mut bare = settled.clone();
            for (from, to) in [("<!date^00000000^{_}|", "\u{1}"), (">", "\u{2}"), ("\u{ad}", "")] {
                bare = bare.replace(from, to);
            }
            let (mut seen, mut before, mut hidden) = (String::new(), 'x', false);
            let mut chars = bare.chars().peekable();
            while let Some(c) = chars.next() {
                match c {
                    '\u{1}' => hidden = true,
                    '\u{2}' => hidden = false,
                    c => {
                        let next = chars.peek().copied().unwrap_or('x');
                        let word = before.is_ascii_alphanumeric() && next.is_ascii_alphanumeric();
                        let alone = before == ' ' && next == ' ';
                        prop_assert!(hidden || c != '`' && (word || alone || !"*_~".contains(c)), "{settled:?}");
                        seen.push(c);
                    }
                }
                before = c;
            }
            let told: String = text.chars().filter(|c| !is_stand_in(*c)).collect();
            prop_assert_eq!(seen.replace("&gt;", ">"), told);
        }
    }
}
