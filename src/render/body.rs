//! A body of a user's own, written in the config rather than in a folder of templates.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::engine::{Dialect, Engine};
use super::scene::{self, Scene};
use super::{Context, samples};
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::{Event, StoredEvent};

/// The one template of the engine.
const NAME: &str = "body";

/// A template of a whole body.
#[derive(Debug, Clone)]
pub struct BodyTemplate {
    engine: Engine,
    json: bool,
    zone: TimeZone,
}

impl BodyTemplate {
    /// Reads a template whose output is of `content_type`, which decides how data is escaped, for readers in `zone`.
    ///
    /// # Errors
    /// What is wrong with the template, or that nothing is known of how to escape for the type.
    pub fn parse(text: &str, content_type: &str, zone: &TimeZone) -> Result<Self, String> {
        let dialect = dialect(content_type).ok_or_else(|| {
            format!("{content_type:?} is no type a body can be written in; JSON, text/plain, HTML and XML are")
        })?;
        let mut engine = Engine::new(dialect, zone);
        engine.add([(NAME, text)])?;
        Ok(Self { engine, json: dialect == Dialect::Json, zone: zone.clone() })
    }

    /// The body of a message.
    ///
    /// # Errors
    /// What failed, with the line.
    pub fn render(&self, context: &Context<'_>) -> Result<Vec<u8>, String> {
        let printed = self.engine.render(NAME, &Scene::new(context, &self.zone).context)?;
        if !self.json {
            return Ok(printed.into_bytes());
        }
        serde_json::to_vec(&scene::json(&printed)?).map_err(|e| e.to_string())
    }

    /// Renders every type's sample in every variant, and several at once.
    ///
    /// # Errors
    /// The first failure.
    pub fn check(&self) -> Result<(), String> {
        let stored = |event: Event| Arc::new(StoredEvent::bare(event));
        let mut all = Vec::new();
        for kind in samples::types() {
            for (variant, event) in samples::variants(kind) {
                let events = [stored(event)];
                let context = Context { kind: DeliveryKind::Single, events: &events };
                self.render(&context).map_err(|why| format!("{why} (with the {variant} of {kind})"))?;
                all.extend(events);
            }
        }
        let context = Context { kind: DeliveryKind::Group, events: &all };
        self.render(&context).map(drop).map_err(|why| format!("{why} (with several events at once)"))
    }
}

/// How data is escaped in a type of content.
fn dialect(content_type: &str) -> Option<Dialect> {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/plain" => Some(Dialect::Text),
        "text/html" | "text/xml" | "application/xml" | "application/xhtml+xml" => Some(Dialect::Html),
        "application/json" => Some(Dialect::Json),
        other if other.ends_with("+json") => Some(Dialect::Json),
        other if other.ends_with("+xml") => Some(Dialect::Html),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, content_type: &str) -> Result<BodyTemplate, String> {
        BodyTemplate::parse(text, content_type, &TimeZone::UTC)
    }

    #[test]
    fn a_body_is_checked_with_every_sample_and_escaped_for_its_type() {
        let good = parse(r#"{ "text": "{{ head }}", "type": "{{ event.type }}", }"#, "application/json");
        good.unwrap().check().unwrap();
        let wrong = parse(r#"{ "text": "{{ event.data.spend_usd }}" }"#, "application/json").unwrap();
        assert!(wrong.check().unwrap_err().contains("line 1"), "not every event has one");
        assert!(parse("{{ head", "text/plain").unwrap_err().contains("line 1"));
        assert!(parse("{ \"a\": {{ head }} }", "application/json").unwrap().check().is_err());
        assert!(parse("x={{ head }}", "application/x-www-form-urlencoded").is_err());
        let event = Arc::new(StoredEvent::bare(samples::hostile("thread.created").unwrap()));
        let context = Context { kind: DeliveryKind::Single, events: &[event] };
        for (kind, never) in [("text/plain", "\u{1b}"), ("application/xml; charset=utf-8", "<!channel>")] {
            let body = parse("{{ head }} {{ event.subject }}", kind).unwrap().render(&context).unwrap();
            assert!(!String::from_utf8(body).unwrap().contains(never), "{kind}");
        }
    }
}
