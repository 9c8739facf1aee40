//! Pictures of messages: Slack's look, and a mail client's.

use base64::Engine as _;
use serde_json::Value;

use crate::render::chart::{Chart, Theme};
use crate::render::text::escape_html;
use crate::render::{CHART_CID, EmailParts, SlackParts};

/// A message as Slack shows it.
pub fn slack(parts: &SlackParts) -> String {
    let blocks = parts.blocks.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let shown = match (blocks.split_first(), parts.tone.colour()) {
        (None, _) => format!("<div class=\"section\">{}</div>", mrkdwn(&parts.text)),
        (Some((first, rest)), Some(colour)) if !rest.is_empty() => {
            let rest: String = rest.iter().map(block).collect();
            format!("{}<div class=\"bar\" style=\"border-color:{colour}\">{rest}</div>", block(first))
        }
        _ => blocks.iter().map(block).collect(),
    };
    format!(
        "<div class=\"slack\"><div class=\"face\">a</div><div><span class=\"who\">ampbridge</span>\
         <span class=\"app\">APP</span> <span class=\"when\">2:05 PM</span>{shown}</div></div>\n"
    )
}

/// A letter as a mail client shows it. Its styles are shut in with it.
pub fn mail(parts: &EmailParts) -> String {
    let mut inside = parts.html.replace("<body", "<div").replace("</body>", "</div>");
    if let Some(chart) = &parts.chart {
        inside = inside.replace(CHART_CID, &data_uri(chart, Theme::Light));
    }
    format!(
        "<div class=\"mail\"><div class=\"head\"><h3 class=\"subject\">{}</h3><div class=\"from\">\
         <div class=\"face\">B</div><div><b>Bridge</b> &lt;bridge@example.com&gt;<br>to finance@example.com</div></div></div>\
         <div><template shadowrootmode=\"open\">{inside}</template></div></div>\n",
        escape_html(&parts.subject),
    )
}

/// The spend chart as Slack shows it in a message's thread, and as `spend chart --dark` draws it.
pub fn chart(chart: &Chart) -> String {
    let show = |theme| {
        let alt = escape_html(&chart.alt());
        format!("<img class=\"chart\" src=\"{}\" alt=\"{alt}\">", data_uri(chart, theme))
    };
    format!("<div class=\"pair\">{}{}</div>\n", show(Theme::Light), show(Theme::Dark))
}

/// The picture inside the page.
fn data_uri(chart: &Chart, theme: Theme) -> String {
    let png = chart.png(theme).unwrap_or_default();
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}

fn block(block: &Value) -> String {
    let list = |key: &str| block.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match block.get("type").and_then(Value::as_str).unwrap_or_default() {
        "header" => format!("<div class=\"header\">{}</div>", text(block.get("text"))),
        "divider" => "<hr>".to_owned(),
        "context" => {
            let parts: Vec<String> =
                list("elements").iter().map(|e| format!("<span>{}</span>", text(Some(e)))).collect();
            format!("<div class=\"context\">{}</div>", parts.concat())
        }
        "actions" => {
            let buttons: String = list("elements").iter().map(button).collect();
            format!("<div class=\"actions\">{buttons}</div>")
        }
        "image" => format!("<div class=\"context\">[{}]</div>", escape_html(string(block.get("alt_text")))),
        "markdown" => format!("<div class=\"section\">{}</div>", mrkdwn(string(block.get("text")))),
        _ => {
            let mut shown = String::new();
            if let Some(said) = block.get("text") {
                shown.push_str(&format!("<div class=\"section\">{}</div>", text(Some(said))));
            }
            if !list("fields").is_empty() {
                let fields: Vec<String> =
                    list("fields").iter().map(|f| format!("<div>{}</div>", text(Some(f)))).collect();
                shown.push_str(&format!("<div class=\"fields\">{}</div>", fields.concat()));
            }
            shown
        }
    }
}

fn button(element: &Value) -> String {
    let url = escape_html(string(element.get("url")));
    format!("<a class=\"button\" href=\"{url}\">{}</a>", text(element.get("text")))
}

fn text(object: Option<&Value>) -> String {
    let Some(object) = object else { return String::new() };
    let said = string(object.get("text"));
    match object.get("type").and_then(Value::as_str) {
        Some("mrkdwn") => mrkdwn(said),
        _ => escape_html(said).replace('\n', "<br>"),
    }
}

fn string(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

/// mrkdwn as HTML. Its entities are those of HTML, its links become links, marks take effect at the edges of words.
fn mrkdwn(text: &str) -> String {
    let mut out = String::new();
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 1 {
            out.push_str(&format!("<div class=\"fence\">{}</div>", safe(part.trim_matches('\n'))));
        } else {
            let lines: Vec<String> = part.split('\n').map(|line| marks(line, &['`', '*', '_', '~'])).collect();
            out.push_str(&lines.join("<br>"));
        }
    }
    out
}

/// One line, with the outermost of these marks first.
fn marks(line: &str, left: &[char]) -> String {
    let Some((mark, inner)) = left.split_first() else { return links(line) };
    let (open, close) = match mark {
        '`' => ("<code>", "</code>"),
        '*' => ("<b>", "</b>"),
        '_' => ("<i>", "</i>"),
        _ => ("<s>", "</s>"),
    };
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, within, after)) = marked(rest, *mark) {
        let shown = if *mark == '`' { safe(within) } else { marks(within, inner) };
        out.push_str(&format!("{}{open}{shown}{close}", marks(before, inner)));
        rest = after;
    }
    out.push_str(&marks(rest, inner));
    out
}

/// The first pair of a mark that stands at the edges of words, outside of links.
fn marked(text: &str, mark: char) -> Option<(&str, &str, &str)> {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    for (start, _) in text.match_indices(mark) {
        let before = text.get(..start)?;
        let inside = text.get(start + 1..)?;
        let in_link = before.rfind('<').is_some_and(|at| !before.get(at..).unwrap_or_default().contains('>'));
        if in_link || !edge(before.chars().next_back()) || inside.starts_with([' ', mark]) {
            continue;
        }
        for (end, _) in inside.match_indices(mark) {
            let (within, after) = (inside.get(..end)?, inside.get(end + 1..)?);
            if !within.is_empty() && !within.ends_with(' ') && edge(after.chars().next()) {
                return Some((before, within, after));
            }
        }
    }
    None
}

/// `<https://…|label>`, mentions, and dates, of which only what is shown in place of one is known here.
fn links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('<') {
        out.push_str(&safe(before));
        let Some((inside, after)) = from.split_once('>') else {
            out.push_str(&safe(rest.get(before.len()..).unwrap_or_default()));
            return out;
        };
        let (target, label) = inside.split_once('|').unwrap_or((inside, inside));
        if target.starts_with("https://") || target.starts_with("http://") {
            out.push_str(&format!("<a href=\"{}\">{}</a>", safe(target), safe(label)));
        } else if target.starts_with("!date^") {
            out.push_str(&safe(label));
        } else {
            let shown = format!("@{}", label.trim_start_matches(['!', '@', '#']));
            out.push_str(&format!("<span class=\"mention\">{}</span>", safe(&shown)));
        }
        rest = after;
    }
    out.push_str(&safe(rest));
    out
}

/// mrkdwn has escaped `&`, `<` and `>` already; whatever else would be HTML is escaped here.
fn safe(text: &str) -> String {
    text.replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mrkdwn_looks_as_in_slack() {
        for (text, html) in [
            ("*bold* and _it_", "<b>bold</b> and <i>it</i>"),
            ("2*3*4 snake_case_name", "2*3*4 snake_case_name"),
            ("a &lt;b&gt; &amp; \"c\"", "a &lt;b&gt; &amp; &quot;c&quot;"),
            ("<https://example.com/a_b_c|see _it_>", "<a href=\"https://example.com/a_b_c\">see _it_</a>"),
            ("one\ntwo", "one<br>two"),
            ("`ampbridge *x*`", "<code>ampbridge *x*</code>"),
            ("a <!date^00000000^{_}|`*>b<!date^00000000^{_}|*`>", "a `*b*`"),
            ("<!here> now", "<span class=\"mention\">@here</span> now"),
            ("a ```\nx *y*\n``` b", "a <div class=\"fence\">x *y*</div> b"),
            ("<script>alert(1)", "<span class=\"mention\">@script</span>alert(1)"),
        ] {
            assert_eq!(mrkdwn(text), html, "{text}");
        }
    }
}
