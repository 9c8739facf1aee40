//! The `AsyncAPI` 3 document of all events: what a receiver is sent, and how.
//!
//! Source: <https://www.asyncapi.com/docs/reference/specification/v3.0.0>. Payloads are references to the events' own
//! schemas, which lie beside the document: `events/TYPE.json`.

use serde_json::{Map, Value, json};

use super::{sample, types};

/// What `webhook-signature` holds, as a pattern.
const SIGNATURES: &str = r"^v1a?,[A-Za-z0-9+/]+=*( v1a?,[A-Za-z0-9+/]+=*)*$";

/// The document. References count from where it is kept.
pub fn asyncapi() -> Value {
    let kinds = types();
    let mut messages: Map<String, Value> = kinds.iter().map(|kind| ((*kind).to_owned(), message(kind))).collect();
    messages.insert("batch".to_owned(), batch(&kinds));
    let references = |under: &str| -> Map<String, Value> {
        messages.keys().map(|name| (name.clone(), json!({ "$ref": format!("{under}{name}") }))).collect()
    };
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "ampbridge events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What ampbridge delivers to signed webhooks: one CloudEvents 1.0 event, or a batch of several. Delivery is at least once; an event has the same id at every attempt, and a type once published never changes its meaning.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            "webhook": {
                "address": Value::Null,
                "title": "A webhook",
                "description": "The `url` of a sink of kind webhook. 2xx takes the event; 410 stops the sink; anything else is tried again.",
                "messages": references("#/components/messages/"),
            },
        },
        "operations": {
            "deliver": {
                "action": "send",
                "channel": { "$ref": "#/channels/webhook" },
                "summary": "Deliver an event, or several.",
                "bindings": { "http": { "method": "POST", "bindingVersion": "0.3.0" } },
            },
        },
        "components": { "messages": messages, "schemas": { "headers": headers() } },
    })
}

fn message(kind: &str) -> Value {
    let sample = sample(kind);
    let summary = super::event_schema(kind)
        .and_then(|schema| schema.to_value().pointer("/properties/data/description")?.as_str().map(str::to_owned));
    json!({
        "name": kind,
        "title": kind,
        "summary": summary.unwrap_or_default(),
        "contentType": "application/cloudevents+json",
        "headers": { "$ref": "#/components/schemas/headers" },
        "payload": { "$ref": format!("events/{kind}.json") },
        "examples": [{ "name": "sample", "payload": sample }],
    })
}

fn batch(kinds: &[&str]) -> Value {
    let any: Vec<Value> = kinds.iter().map(|kind| json!({ "$ref": format!("events/{kind}.json") })).collect();
    json!({
        "name": "batch",
        "title": "Several events",
        "summary": "Events that a route put together; in batch mode, one event too.",
        "contentType": "application/cloudevents-batch+json",
        "headers": { "$ref": "#/components/schemas/headers" },
        "payload": { "type": "array", "minItems": 1, "items": { "anyOf": any } },
    })
}

/// Standard Webhooks 1.0.
fn headers() -> Value {
    json!({
        "type": "object",
        "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
        "properties": {
            "webhook-id": { "type": "string", "description": "The event's id, or the delivery's for several events; the same at every attempt." },
            "webhook-timestamp": { "type": "string", "pattern": "^[0-9]+$", "description": "When this attempt was made, Unix seconds." },
            "webhook-signature": { "type": "string", "pattern": SIGNATURES, "description": "One signature per secret, with a space between." },
        },
    })
}
