//! GitHub: a `repository_dispatch`, which starts workflows.
//!
//! Source: <https://docs.github.com/rest/repos/repos#create-a-repository-dispatch-event>: `event_type` of at most 100
//! characters, `client_payload` of at most ten members at its top and 64 KB in all.

use reqwest::Url;
use serde_json::{Value, json};

use super::cut;
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::{Data, Event};
use crate::sink::Message;

pub const URL: &str = "https://api.github.com";
/// What `repository` looks like.
pub const REPOSITORY: &str = r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$";
/// Longest `event_type`, characters.
const EVENT_TYPE: usize = 100;
/// Room for the events in `client_payload`.
const PAYLOAD: usize = 60 * 1024;

/// The address of a repository's dispatches at an API.
pub fn dispatches(api: &Url, repository: &str) -> Result<Url, String> {
    let fault = || "is no repository; write it like \"owner/name\"".to_owned();
    let good = |part: &str| {
        let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        !part.is_empty() && plain && part != "." && part != ".."
    };
    let (owner, name) = repository.split_once('/').filter(|(o, n)| good(o) && good(n)).ok_or_else(fault)?;
    let mut url = api.clone();
    let mut segments = url.path_segments_mut().map_err(|()| fault())?;
    segments.pop_if_empty().extend(["repos", owner, name, "dispatches"]);
    drop(segments);
    Ok(url)
}

pub fn dispatch(message: &Message) -> Value {
    let events: Vec<&Event> = message.events.iter().map(|stored| &stored.event).collect();
    let digest = message.delivery.kind == DeliveryKind::Digest;
    if let [event, rest @ ..] = events.as_slice()
        && (digest || rest.is_empty())
    {
        return json!({ "event_type": cut(&event.kind, EVENT_TYPE), "client_payload": { "event": whole(event) } });
    }
    let (mut fitting, mut used) = (Vec::new(), 0);
    for event in &events {
        let value = json!(event);
        used += value.to_string().len() + 1;
        if used > PAYLOAD {
            break;
        }
        fitting.push(value);
    }
    let omitted = events.len() - fitting.len();
    json!({ "event_type": "ampbridge.events", "client_payload": { "events": fitting, "omitted": omitted } })
}

/// The event; without its data where that is too large.
fn whole(event: &Event) -> Value {
    let value = json!(event);
    if value.to_string().len() <= PAYLOAD {
        return value;
    }
    json!(Event { data: Data::from_iter([("omitted".to_owned(), Value::Bool(true))]), ..event.clone() })
}
