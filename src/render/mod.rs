//! Templates: from a stored event to what a person reads.
//!
//! Invariant: a template can never lose an event. What fails falls back to the default template, then to plain text.

mod acks;
mod body;
mod card;
pub mod chart;
mod engine;
mod filters;
mod gallery;
mod lenient;
mod library;
mod line;
mod marks;
mod mrkdwn;
pub mod samples;
mod scene;
mod show;
mod slack;
mod slack_lint;
mod text;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::domain::delivery::DeliveryKind;
use crate::domain::event::{Event, StoredEvent};
pub use acks::AckLinks;
use acks::Acks;
pub use body::BodyTemplate;
pub use card::Card;
use chart::Chart;
pub use gallery::gallery;
pub use library::{Finding, lint};
use library::{Library, Part};
pub use line::Tone;
pub use line::digest::{lines as digest_lines, total as digest_total};
use scene::Scene;
pub use slack::flatten as slack_flatten;

/// Longest subject of an email, in characters.
pub const SUBJECT: usize = 120;

/// How a letter's HTML names the spend chart: `<img src="cid:spend-chart">`.
pub const CHART_CID: &str = "cid:spend-chart";

/// What templates see.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    pub kind: DeliveryKind,
    /// At least one.
    pub events: &'a [Arc<StoredEvent>],
}

/// A template that failed, and what was used instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    pub template: String,
    pub error: String,
}

/// A rendered part, with the failures on the way to it.
#[derive(Debug, Clone)]
pub struct Rendered<T> {
    pub value: T,
    pub fallbacks: Vec<Fallback>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SlackParts {
    /// An array of Block Kit blocks; `None` where only the text could be rendered.
    pub blocks: Option<Value>,
    /// mrkdwn; never empty.
    pub text: String,
    /// How it is meant, for its colour.
    pub tone: Tone,
}

#[derive(Debug, Clone, PartialEq)]
pub struct EmailParts {
    /// One line of at most [`SUBJECT`] characters.
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The picture that the HTML shows as [`CHART_CID`], if it does.
    pub chart: Option<Chart>,
}

/// A template that can't be used, found when loading or checking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("template {template}: {message}")]
pub struct TemplateError {
    pub template: String,
    pub message: String,
}

/// All template engines, one per output kind.
#[derive(Debug, Clone)]
pub struct Renderer {
    library: Arc<Library>,
    acks: Acks,
}

impl Renderer {
    /// Loads the built-in templates and, over them, those of a folder. All problems at once.
    pub fn load(templates_dir: Option<&Path>) -> Result<Self, Vec<TemplateError>> {
        Self::load_for(templates_dir, &TimeZone::UTC)
    }

    /// The same for readers in `zone`.
    pub fn load_for(templates_dir: Option<&Path>, zone: &TimeZone) -> Result<Self, Vec<TemplateError>> {
        Library::load(templates_dir, zone).map(|library| Self { library: Arc::new(library), acks: Acks::default() })
    }

    /// From now on messages about a level that stays bad have a link to acknowledge it with.
    pub fn offer_acks(&self, links: AckLinks) {
        self.acks.offer(links);
    }

    fn scene<'a>(&self, context: &Context<'a>) -> Scene<'a> {
        let mut scene = Scene::new(context, self.library.zone());
        if let Some(link) = self.acks.link(context) {
            scene.context.insert("ack", &link);
        }
        scene
    }

    /// Renders every template with every type's sample, a hostile one included, with no fallback; reports all failures.
    pub fn check(&self) -> Vec<TemplateError> {
        library::check(&self.library)
    }

    /// The user's templates that are for none of these types of events: path, and what is probably meant.
    pub fn strangers(&self, types: &BTreeSet<String>) -> Vec<(String, String)> {
        library::strangers(self.library.users(), types)
    }

    pub fn slack(&self, context: &Context<'_>) -> Rendered<SlackParts> {
        let scene = self.scene(context);
        let mut fallbacks = Vec::new();
        let text = self.part(Part::SLACK_TEXT, &scene, &mut fallbacks, scene::slack_text);
        let blocks = self.part(Part::SLACK_BLOCKS, &scene, &mut fallbacks, scene::slack_blocks);
        let text = text.unwrap_or_else(|| marks::settle(&marks::outside(&scene.said.line())));
        Rendered { value: SlackParts { blocks, text, tone: scene.said.tone }, fallbacks }
    }

    pub fn email(&self, context: &Context<'_>) -> Rendered<EmailParts> {
        let scene = self.scene(context);
        let mut fallbacks = Vec::new();
        let subject = self.part(Part::EMAIL_SUBJECT, &scene, &mut fallbacks, scene::subject);
        let body = self.part(Part::EMAIL_TEXT, &scene, &mut fallbacks, scene::plain);
        let html = self.part(Part::EMAIL_HTML, &scene, &mut fallbacks, scene::html);
        let html = html.unwrap_or_else(|| scene.plain_html());
        let value = EmailParts {
            subject: subject.unwrap_or_else(|| text::brief(&scene.said.head, SUBJECT)),
            text: body.unwrap_or_else(|| scene.plain_text()),
            chart: scene.event.filter(|_| html.contains(CHART_CID)).and_then(Chart::of_event),
            html,
        };
        Rendered { value, fallbacks }
    }

    /// The body a user's template makes of the event; `None` where there is no such template. Where it fails, the body
    /// is the event itself (a list of several), and the failure is told.
    pub fn webhook(&self, context: &Context<'_>) -> Option<Rendered<Value>> {
        if !self.library.has_any(Part::WEBHOOK_BODY) {
            return None;
        }
        let scene = self.scene(context);
        if self.library.chain(Part::WEBHOOK_BODY, &scene).is_empty() {
            return None;
        }
        let mut fallbacks = Vec::new();
        let body = self.part(Part::WEBHOOK_BODY, &scene, &mut fallbacks, scene::json);
        Some(Rendered { value: body.unwrap_or_else(|| scene.body()), fallbacks })
    }

    /// What the message says in plain parts, for receivers that have a form of their own.
    pub fn card(&self, context: &Context<'_>) -> Card {
        Card::new(context, self.library.zone())
    }

    /// The zone of those who read.
    pub fn zone(&self) -> &TimeZone {
        self.library.zone()
    }

    /// One line of plain text, for the console and for fallbacks.
    pub fn line(&self, event: &Event) -> String {
        line::say(event, self.library.zone()).line()
    }

    /// The first template of the chain that renders to something usable; the others are noted as failed.
    fn part<T>(
        &self,
        part: Part,
        scene: &Scene<'_>,
        fallbacks: &mut Vec<Fallback>,
        finish: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        for template in self.library.chain(part, scene) {
            match template.render(&scene.context).and_then(|out| finish(&out)) {
                Ok(value) => return Some(value),
                Err(error) => fallbacks.push(Fallback { template: template.name, error }),
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
