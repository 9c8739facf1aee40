//! Templates: from a stored event to what a person reads.
//!
//! Invariant: a template can never lose an event. What fails falls back to the default template, then to plain text.

pub mod samples;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::delivery::DeliveryKind;
use crate::domain::event::{Event, StoredEvent};

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
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailParts {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// A template that can't be used, found when loading or checking.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template}: {message}")]
pub struct TemplateError {
    pub template: String,
    pub message: String,
}

/// All template engines, one per output kind.
#[derive(Debug, Clone)]
pub struct Renderer {}

impl Renderer {
    /// Loads the built-in templates and, over them, those of a folder. All problems at once.
    pub fn load(_templates_dir: Option<&Path>) -> Result<Self, Vec<TemplateError>> {
        Ok(Self {})
    }

    pub fn slack(&self, context: &Context<'_>) -> Rendered<SlackParts> {
        Rendered {
            value: SlackParts { blocks: None, text: context.events[0].event.kind.clone() },
            fallbacks: Vec::new(),
        }
    }

    pub fn email(&self, context: &Context<'_>) -> Rendered<EmailParts> {
        let text = context.events[0].event.kind.clone();
        Rendered { value: EmailParts { subject: text.clone(), html: text.clone(), text }, fallbacks: Vec::new() }
    }

    /// The body a user's template makes of the event; `None` where there is no such template.
    pub fn webhook(&self, _context: &Context<'_>) -> Option<Rendered<Value>> {
        None
    }

    /// One line of plain text, for the console and for fallbacks.
    pub fn line(&self, event: &Event) -> String {
        event.kind.clone()
    }
}
