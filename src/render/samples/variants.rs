//! Samples in other circumstances: with hostile text, with nothing optional, with every mark set.

use serde_json::{Map, Value, json};

use super::sample;
use crate::domain::event::Event;

/// Strings that try to be more than text. Each ends up in some field of every hostile sample.
const HOSTILE: [&str; 9] = [
    "<!channel> <!here|now> <@U123> <#C123|general> @here #general",
    "\"quoted\" 'single' \\back\\slash \\u0041 `code` ```fence``` *bold* _it_ ~gone~",
    "line one\r\nBcc: evil@example.com\r\n\r\nline two\u{2028}three\u{0}\u{7}\u{1b}[31m",
    "</script><script>alert(1)</script><img src=x onerror=alert(1)> &amp; &lt; \"><b>",
    "{{ 7*7 }} {% raw %} {% include \"x\" %} {{ event.id | safe }} {# gone",
    "\u{202e}desrever\u{202c} \u{2066}isolated\u{2069} \u{200f}mark\u{200f} \u{5e9}\u{5dc}\u{5d5}\u{5dd}",
    "\u{1f980}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{1f3fd} e\u{301}\u{308} \u{fdfd} \u{feff}",
    "https://example.com/a?b=1&c=<d>|e\"f'g javascript:alert(1)",
    "=HYPERLINK(1) -- <http://example.com|label> <mailto:a@example.com> %0a%0d ]]> */",
];
/// Fields that hold words of ours: from a fixed list, a number, a day or an instant.
const OURS: [&str; 16] = [
    "severity",
    "period",
    "period_start",
    "period_alignment",
    "state",
    "incident",
    "cause",
    "date",
    "since",
    "from",
    "to",
    "resolution",
    "reached_on",
    "hold",
    "delivery",
    "changed",
];

/// The sample of a type with hostile strings in every field whose text comes from outside, titles of 5,000 characters
/// among them. `None` where there is no sample.
pub fn hostile(kind: &str) -> Option<Event> {
    let mut event = sample(kind)?;
    let mut next = 0;
    event.data.edit(|data| {
        for (name, value) in data {
            poison(name, value, &mut next);
        }
    });
    event.subject = format!("{}<!channel>\r\n</td>", event.subject);
    Some(event)
}

/// The sample of a type in every circumstance, by name: `sample`; `sparse`, where nothing optional is known; `marked`,
/// where every mark is set and the incident is over; `hostile`.
pub fn variants(kind: &str) -> Vec<(&'static str, Event)> {
    let Some(sample) = sample(kind) else { return Vec::new() };
    let mut all = vec![("sample", sample.clone()), ("sparse", sparse(sample.clone())), ("marked", marked(sample))];
    all.extend(hostile(kind).map(|event| ("hostile", event)));
    all
}

fn sparse(mut event: Event) -> Event {
    let key = event.data.get("key").cloned();
    event.data.edit(|data| {
        for (name, value) in data {
            match (name.as_str(), &mut *value) {
                ("who" | "link" | "percent" | "lasted" | "reached_on" | "band_before", v) => *v = Value::Null,
                ("sources" | "thresholds_crossed" | "limits_crossed", _) => {}
                ("name", v) => *v = key.clone().unwrap_or(Value::Null),
                ("before" | "after", Value::Object(fields)) => fields.values_mut().for_each(|v| *v = Value::Null),
                ("facts" | "counts", Value::Object(fields)) => fields.clear(),
                ("top", Value::Object(lists)) => lists.values_mut().for_each(|list| *list = json!([])),
                ("error" | "detail" | "message" | "reason", v) => *v = json!(""),
                (_, Value::Array(list)) => list.clear(),
                _ => {}
            }
        }
    });
    event
}

fn marked(mut event: Event) -> Event {
    let kind = event.kind.clone();
    event.data.edit(|data| mark(&kind, data));
    event
}

fn mark(kind: &str, data: &mut Map<String, Value>) {
    for mark in ["baseline", "late", "estimated", "stopped"] {
        set(data, mark, json!(true));
    }
    set(data, "lower_bound", json!(false));
    set(data, "cause", json!("limit_changed"));
    set(data, "state", json!("resolved"));
    if data.contains_key("baseline") && !data.contains_key("band_after") {
        data.insert("also".to_owned(), json!(["user:user_01BO", "user:user_01CY"]));
    }
    if let Some(start) = data.get("period_start").and_then(Value::as_str).map(str::to_owned) {
        set(data, "period_start", json!(start.replace("-11-", "-10-")));
    }
    if kind == "source.degraded" {
        data.insert("scope".to_owned(), json!("amp.api:workspace.members:view"));
        data.remove("fields");
    }
    if kind == "cost.spike_resolved" {
        set(data, "resolution", json!("new_level"));
    }
}

fn set(data: &mut Map<String, Value>, name: &str, value: Value) {
    if let Some(field) = data.get_mut(name) {
        *field = value;
    }
}

fn poison(name: &str, value: &mut Value, next: &mut usize) {
    match value {
        Value::String(_) if OURS.contains(&name) || name.ends_with("_usd") || name == "limits_crossed" => {}
        Value::String(text) if name == "reason" && matches!(text.as_str(), "new" | "price" | "volume" | "others") => {}
        Value::String(text) => {
            let poison = HOSTILE.into_iter().cycle().nth(*next).unwrap_or_default();
            *next += 1;
            *text = match name {
                // The prefix is ours, the rest is not.
                "scope" if text.starts_with("user:") => format!("user:{poison}"),
                "scope" => text.clone(),
                "link" => format!("https://example.com/{poison}"),
                "name" | "title" => long(poison),
                _ => poison.to_owned(),
            };
        }
        Value::Array(items) => items.iter_mut().for_each(|item| poison(name, item, next)),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| poison(name, value, next)),
        _ => {}
    }
}

/// The text again and again, up to 5,000 characters.
fn long(text: &str) -> String {
    text.chars().chain(std::iter::once(' ')).cycle().take(5_000).collect()
}

#[cfg(test)]
mod tests {
    use super::super::types;
    use super::*;
    use crate::render::{line::say, show};
    use jiff::tz::TimeZone;

    #[test]
    fn hostile_samples_hold_hostile_text_and_keep_their_shape() {
        for kind in types() {
            let (sample, hostile) = (sample(kind).unwrap(), hostile(kind).unwrap());
            let text = serde_json::to_string(&hostile.data).unwrap();
            assert!(HOSTILE.iter().any(|h| text.contains(&json!(h).to_string()[1..20])), "{kind}: {text}");
            let shape = |event: &Event| event.data.keys().cloned().collect::<Vec<_>>();
            assert_eq!(shape(&sample), shape(&hostile));
            // Said in the words of its type, not as something of unknown shape.
            let unknown = show::capitalize(&kind.replace(['.', '_'], " ")) + ":";
            assert!(
                !say(&hostile, &TimeZone::UTC).head.starts_with(&unknown),
                "{kind}: {}",
                say(&hostile, &TimeZone::UTC).head
            );
        }
    }
}
