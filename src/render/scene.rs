//! What a template sees, and what is made of its output.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::chart::Chart;
use super::line::{self, Said, Tone};
use super::text::{brief, cut, escape_html, tidy};
use super::{Context, SUBJECT, lenient, marks, mrkdwn, show, slack};
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::{Event, StoredEvent};
use crate::domain::payload::MoneyDigest;

/// Longest plain-text body of an email.
pub const BODY: usize = 200_000;
/// Most events a template sees one by one.
const EVENTS: usize = 100;

/// One message: its events, what they say in a line, and both as templates see them.
pub struct Scene<'a> {
    pub kind: DeliveryKind,
    /// The event that names the template: the newest of an update or a reminder, else the first.
    pub event: Option<&'a Event>,
    events: Vec<&'a Event>,
    pub said: Said,
    pub context: tera::Context,
    zone: TimeZone,
}

impl<'a> Scene<'a> {
    pub fn new(context: &Context<'a>, zone: &TimeZone) -> Self {
        let events = context.events.iter().map(Arc::as_ref).map(|stored: &StoredEvent| &stored.event).collect();
        Self::of(context.kind, events, zone)
    }

    pub fn of(kind: DeliveryKind, events: Vec<&'a Event>, zone: &TimeZone) -> Self {
        let event = match kind {
            DeliveryKind::Update | DeliveryKind::Reminder => events.last(),
            _ => events.first(),
        };
        let event = event.copied();
        let mut said = match (event, events.len(), kind) {
            (Some(event), _, DeliveryKind::Digest) if is_digest(event) => line::say(event, zone),
            (Some(event), 1, _) | (Some(event), _, DeliveryKind::Update | DeliveryKind::Reminder) => {
                line::say(event, zone)
            }
            _ => line::say_many(&events),
        };
        if kind == DeliveryKind::Reminder {
            said.head = format!("Still open: {}", said.head);
        }
        let mut shown = events.clone();
        if several(kind, &events) {
            shown.sort_by_cached_key(|event| line::say(event, zone).tone);
        }
        shown.truncate(EVENTS);
        let context = template_context(kind, event, &shown, events.len(), &said, zone);
        Self { kind, event, events, said, context, zone: zone.clone() }
    }

    /// The message in plain text, when every template failed.
    pub fn plain_text(&self) -> String {
        let mut lines = vec![self.said.line()];
        if self.events.len() > 1 {
            lines.extend(
                self.events.iter().take(EVENTS).map(|event| format!("- {}", line::say(event, &self.zone).line())),
            );
        }
        lines.extend(self.event.map(|event| format!("\n{} {}", event.kind, brief(&event.id, 80))));
        cut(&lines.join("\n"), BODY)
    }

    /// The same in HTML.
    pub fn plain_html(&self) -> String {
        format!(
            "<!doctype html>\n<html><body><pre style=\"white-space:pre-wrap\">{}</pre></body></html>\n",
            escape_html(&self.plain_text())
        )
    }

    /// The event as JSON, or the list of several.
    pub fn body(&self) -> Value {
        match self.events.as_slice() {
            [event] => json!(event),
            events => json!(events),
        }
    }
}

/// Whether a message is about several events rather than about the one that names its template.
fn several(kind: DeliveryKind, events: &[&Event]) -> bool {
    let own = events.first().is_some_and(|event| is_digest(event));
    events.len() > 1 && !own && matches!(kind, DeliveryKind::Group | DeliveryKind::Digest)
}

/// A digest speaks for the events that go along with it.
fn is_digest(event: &Event) -> bool {
    event.kind.starts_with("digest.")
}

/// The lines of what a digest names, as far as the events are at hand.
fn top_lines(event: Option<&Event>, events: &[&Event], zone: &TimeZone) -> Vec<String> {
    let items = event.and_then(|e| e.data.get("top")).and_then(Value::as_array);
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    items
        .into_iter()
        .flatten()
        .map(|item| match events.iter().find(|event| event.id == text(item, "id")) {
            Some(event) => line::say(event, zone).line(),
            None => brief(&format!("{} {}", text(item, "type"), text(item, "subject")), 200),
        })
        .collect()
}

/// The lines of what a digest says of spend, besides its headline.
fn money_lines(event: &Event, zone: &TimeZone) -> Vec<String> {
    let money = event.data.get("money").and_then(|money| MoneyDigest::deserialize(money).ok());
    let lines = money.map(|money| line::digest::lines(&money, event.time.to_zoned(zone.clone()).date()));
    lines.unwrap_or_default()
}

fn template_context(
    kind: DeliveryKind,
    event: Option<&Event>,
    shown: &[&Event],
    total: usize,
    said: &Said,
    zone: &TimeZone,
) -> tera::Context {
    let several = several(kind, shown);
    let origins: BTreeSet<&str> = if several {
        shown.iter().map(|event| line::origin(event)).collect()
    } else {
        event.iter().map(|event| line::origin(event)).collect()
    };
    let mut context = tera::Context::new();
    context.insert("ack", "");
    context.insert("kind", kind.as_str());
    context.insert("event", &event);
    context.insert("events", shown);
    context.insert("more", &total.saturating_sub(shown.len()));
    context.insert("several", &several);
    context.insert("head", &said.head);
    context.insert("tail", &said.tail);
    context.insert("line", &said.line());
    context.insert("tone", &said.tone);
    context.insert("mark", mark(said.tone));
    context.insert("origin", &show::list(origins.into_iter().map(str::to_owned).collect::<Vec<_>>().into_iter(), 5));
    // A link belongs to one event; the lines of several have theirs.
    context.insert("link", &event.filter(|_| !several).map(link).unwrap_or_default());
    let lines: Vec<Value> = shown
        .iter()
        .map(|event| {
            let said = line::say(event, zone);
            json!({ "head": said.head, "tail": said.tail, "line": said.line(), "tone": said.tone, "mark": mark(said.tone), "link": link(event) })
        })
        .collect();
    context.insert("lines", &lines);
    context.insert("top_lines", &top_lines(event, shown, zone));
    // What the chart shows, in words; nothing where there is none.
    let chart = event.filter(|_| !several).and_then(Chart::of_event);
    context.insert("chart", &chart.map_or_else(String::new, |chart| chart.alt()));
    context.insert("money_lines", &event.map_or_else(Vec::new, |event| money_lines(event, zone)));
    context
}

/// A sober sign for how a message is meant; nothing for mere information.
fn mark(tone: Tone) -> &'static str {
    match tone {
        Tone::Critical => "🔴",
        Tone::Warning => "🟠",
        Tone::Resolved => "✅",
        Tone::Info => "",
    }
}

/// Where to look at what an event is about; empty where that is no web address.
fn link(event: &Event) -> String {
    event.data.get("link").and_then(Value::as_str).and_then(show::http_url).unwrap_or_default()
}

pub fn slack_text(out: &str) -> Result<String, String> {
    let text = mrkdwn::cut(&marks::settle(&tidy(out)), slack::MESSAGE_TEXT);
    if text.is_empty() { Err("it printed nothing".to_owned()) } else { Ok(text) }
}

pub fn slack_blocks(out: &str) -> Result<Value, String> {
    slack::fit(json(out)?)
}

pub fn json(out: &str) -> Result<Value, String> {
    lenient::parse(out).map_err(|e| format!("what it printed is no JSON: {e}"))
}

pub fn subject(out: &str) -> Result<String, String> {
    let subject = brief(out, SUBJECT);
    if subject.is_empty() { Err("it printed nothing".to_owned()) } else { Ok(subject) }
}

pub fn plain(out: &str) -> Result<String, String> {
    let text = cut(&tidy(out), BODY);
    if text.is_empty() { Err("it printed nothing".to_owned()) } else { Ok(text + "\n") }
}

pub fn html(out: &str) -> Result<String, String> {
    let html = tidy(out);
    if html.is_empty() { Err("it printed nothing".to_owned()) } else { Ok(html + "\n") }
}
