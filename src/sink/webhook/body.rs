//! What is sent: the three modes of the `CloudEvents` HTTP binding, and forms of the receiver's own.
//!
//! Source: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::delivery::DeliveryKind;
use crate::domain::event::Event;
use crate::render::{BodyTemplate, Renderer};
use crate::sink::{Message, rendering};

use super::preset::Preset;

pub const EVENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";
pub const BATCH_TYPE: &str = "application/cloudevents-batch+json; charset=utf-8";
pub const OTHER_TYPE: &str = "application/json; charset=utf-8";
/// The `datacontenttype` of every event.
pub const JSON: &str = "application/json";
/// Attributes longer than this together go into the body instead: many servers take 8 KiB of headers in all.
const ATTRIBUTES: usize = 4 * 1024;
/// What a header value must not hold as it is (HTTP binding, section 3.1.3.2): space, `"`, `%`, and all that is not
/// visible ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// How an event is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The event is the body.
    #[default]
    Structured,
    /// The attributes are headers, the data is the body.
    Binary,
    /// A list of events is the body, even of one.
    Batch,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Structured => "structured",
            Self::Binary => "binary",
            Self::Batch => "batch",
        }
    }
}

/// What a message is made into.
#[derive(Debug)]
pub enum Shape {
    Events(Mode),
    /// A template's output, and what it is called.
    Own(Box<BodyTemplate>, HeaderValue),
    Preset(Preset),
}

/// One request's content.
#[derive(Debug)]
pub struct Body {
    /// `webhook-id`.
    pub id: String,
    /// The content type, and attributes in binary mode.
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Body {
    fn new(id: &str, content_type: HeaderValue, bytes: Vec<u8>) -> Self {
        Self {
            id: id.to_owned(),
            headers: HeaderMap::from_iter([(http::header::CONTENT_TYPE, content_type)]),
            bytes: bytes.into(),
        }
    }
}

impl Shape {
    /// The requests a message takes; one, except where a receiver has no form for several events at once.
    pub fn bodies(&self, sink: &str, renderer: &Renderer, message: &Message) -> Result<Vec<Body>, serde_json::Error> {
        let json = |value: &Value| serde_json::to_vec(value);
        Ok(match self {
            Self::Events(mode) => {
                let own = events(*mode, message)?;
                let Some(rendered) = renderer.webhook(&rendering::context(message)) else { return Ok(vec![own]) };
                let value = rendering::told(sink, message, rendered);
                vec![Body::new(&own.id, HeaderValue::from_static(type_of(&value)), json(&value)?)]
            }
            Self::Own(template, content_type) => match template.render(&rendering::context(message)) {
                Ok(bytes) => vec![Body::new(id_of(message), content_type.clone(), bytes)],
                Err(error) => {
                    rendering::failed(sink, message, "body", &error);
                    vec![events(Mode::Structured, message)?]
                }
            },
            Self::Preset(preset) => {
                let told = preset.tell(renderer, message).into_iter();
                let body = |(id, value): (String, Value)| {
                    json(&value).map(|bytes| Body::new(&id, HeaderValue::from_static(JSON), bytes))
                };
                told.map(body).collect::<Result<_, _>>()?
            }
        })
    }
}

/// A digest speaks for the events that go along with it.
fn only(message: &Message) -> Option<&Event> {
    match message.events.as_slice() {
        [digest, ..] if message.delivery.kind == DeliveryKind::Digest => Some(&digest.event),
        [only] => Some(&only.event),
        _ => None,
    }
}

/// The event's id, or the delivery's where there are several. A reminder says an event again and is news all the same:
/// under the event's id it would be dropped as a repeat.
pub fn id_of(message: &Message) -> &str {
    only(message)
        .filter(|_| message.delivery.kind != DeliveryKind::Reminder)
        .map_or(&message.delivery.id, |event| &event.id)
}

fn events(mode: Mode, message: &Message) -> Result<Body, serde_json::Error> {
    let id = id_of(message);
    let (kind, bytes) = match only(message) {
        Some(event) if mode == Mode::Binary => match attributes(event) {
            Some(headers) => {
                let mut body = Body::new(id, HeaderValue::from_static(JSON), serde_json::to_vec(&event.data)?);
                body.headers.extend(headers);
                return Ok(body);
            }
            None => (EVENT_TYPE, serde_json::to_vec(event)?),
        },
        Some(event) if mode == Mode::Batch => (BATCH_TYPE, serde_json::to_vec(&[event])?),
        Some(event) => (EVENT_TYPE, serde_json::to_vec(event)?),
        None => {
            let events: Vec<_> = message.events.iter().map(|stored| &stored.event).collect();
            (BATCH_TYPE, serde_json::to_vec(&events)?)
        }
    };
    Ok(Body::new(id, HeaderValue::from_static(kind), bytes))
}

/// The attributes as headers; `None` where they are too long for that.
fn attributes(event: &Event) -> Option<HeaderMap> {
    let Ok(Value::Object(whole)) = serde_json::to_value(event) else { return None };
    let mut headers = HeaderMap::new();
    let mut length = 0;
    for (name, value) in whole.iter().filter(|(name, _)| !matches!(name.as_str(), "data" | "datacontenttype")) {
        let value = utf8_percent_encode(value.as_str()?, ENCODED).to_string();
        length += name.len() + value.len();
        let name = HeaderName::from_bytes(format!("ce-{name}").as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    (length <= ATTRIBUTES).then_some(headers)
}

/// A template may make an event, a batch or something else of an event; each is called what it is.
pub fn type_of(value: &Value) -> &'static str {
    let is_event = |v: &Value| ["specversion", "id", "source", "type"].iter().all(|key| v.get(key).is_some());
    match value {
        Value::Array(items) if !items.is_empty() && items.iter().all(is_event) => BATCH_TYPE,
        event if is_event(event) => EVENT_TYPE,
        _ => OTHER_TYPE,
    }
}
