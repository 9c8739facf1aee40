//! From a message to its rendered parts, with what failed on the way told once.

use crate::render::{Context, Rendered};

use super::Message;

/// What templates see of a message.
pub fn context(message: &Message) -> Context<'_> {
    Context { kind: message.delivery.kind, events: &message.events }
}

/// The rendered value; every template that failed is logged and counted.
pub fn told<T>(sink: &str, message: &Message, rendered: Rendered<T>) -> T {
    for fallback in rendered.fallbacks {
        failed(sink, message, &fallback.template, &fallback.error);
    }
    rendered.value
}

/// Tells of a template that failed and was done without.
pub fn failed(sink: &str, message: &Message, template: &str, error: &str) {
    tracing::warn!(
        sink,
        delivery = message.delivery.id,
        template,
        error,
        "template failed; a simpler one was used for delivery {}",
        message.delivery.id
    );
    metrics::counter!("ampbridge_template_fallbacks_total", "sink" => sink.to_owned()).increment(1);
}
