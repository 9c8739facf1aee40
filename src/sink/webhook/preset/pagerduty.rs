//! `PagerDuty`, Events API v2.
//!
//! Source: <https://developer.pagerduty.com/docs/send-alert-event>. An incident of ours is one of theirs: its id is the
//! `dedup_key`, what resolves ours resolves theirs. Every event of a group is told by itself, so that none is left open.

use serde_json::{Value, json};

use super::cut;
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::{Event, Severity};
use crate::domain::setting::Secret;
use crate::render::{Context, Renderer};
use crate::sink::Message;

pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Longest `summary`, characters.
const SUMMARY: usize = 1024;
/// Longest `dedup_key`, characters.
const DEDUP_KEY: usize = 255;
/// An event may have 512 KB; larger data is left out, and that is said.
const DETAILS: usize = 400 * 1024;

pub fn tell(routing_key: &Secret, renderer: &Renderer, message: &Message) -> Vec<(String, Value)> {
    // A digest speaks for the events that go along with it.
    let told = if message.delivery.kind == DeliveryKind::Digest { &message.events[..1] } else { &message.events[..] };
    told.iter()
        .map(|stored| {
            let events = std::slice::from_ref(stored);
            let card = renderer.card(&Context { kind: message.delivery.kind, events });
            let summary = if card.text.is_empty() { card.title } else { format!("{} — {}", card.title, card.text) };
            (stored.event.id.clone(), enqueue(routing_key, &stored.event, &summary, card.link.as_deref()))
        })
        .collect()
}

fn enqueue(routing_key: &Secret, event: &Event, summary: &str, link: Option<&str>) -> Value {
    let dedup_key = cut(event.incident().unwrap_or(&event.id), DEDUP_KEY);
    let key = routing_key.expose();
    if event.data.get("state").and_then(Value::as_str) == Some("resolved") {
        return json!({ "routing_key": key, "event_action": "resolve", "dedup_key": dedup_key });
    }
    let whole = json!({ "id": event.id, "type": event.kind, "subject": event.subject, "data": event.data });
    let details = if whole.to_string().len() <= DETAILS {
        whole
    } else {
        json!({ "id": event.id, "type": event.kind, "note": "the data is too large; `ampbridge events show` has it" })
    };
    let mut body = json!({
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "payload": {
            "summary": cut(summary, SUMMARY),
            "source": event.source,
            "severity": match event.severity {
                Severity::Critical => "critical",
                Severity::Warning => "warning",
                Severity::Info => "info",
            },
            "timestamp": event.time.to_string(),
            "component": cut(&event.subject, 255),
            "class": event.kind,
            "custom_details": details,
        },
        "client": "ampbridge",
    });
    if let Some(link) = link {
        body["links"] = json!([{ "href": link, "text": "Open" }]);
    }
    body
}
