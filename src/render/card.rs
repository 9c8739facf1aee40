//! A message in plain parts, for receivers that have a form of their own: nothing is escaped, whoever writes the form
//! does that.

use jiff::tz::TimeZone;

use super::line::{self, Tone};
use super::scene::Scene;
use super::text::{brief, clean};
use super::{Context, show};

/// Longest value of a fact.
const FACT: usize = 200;

/// What a message says, part by part. Clean text, each part on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Complete by itself; never empty.
    pub title: String,
    /// Says more; may be empty.
    pub text: String,
    pub tone: Tone,
    /// Label and value.
    pub facts: Vec<(&'static str, String)>,
    /// One per event where there are several, the gravest first.
    pub lines: Vec<String>,
    /// Where to look at it: an http(s) address that is safe to link to.
    pub link: Option<String>,
}

impl Card {
    pub(super) fn new(context: &Context<'_>, zone: &TimeZone) -> Self {
        let scene = Scene::new(context, zone);
        let events: Vec<_> = context.events.iter().map(|stored| &stored.event).collect();
        let several = events.len() > 1 && !scene.event.is_some_and(|e| e.kind.starts_with("digest."));
        let mut said: Vec<_> = events.iter().map(|event| line::say(event, zone)).collect();
        said.sort_by_key(|said| said.tone);
        let one = scene.event.filter(|_| !several);
        let link = one.and_then(|event| event.data.get("link")?.as_str()).and_then(show::http_url);
        let fact = |label, text: &str| (label, brief(text, FACT));
        let facts = one.map_or_else(Vec::new, |event| {
            vec![
                fact("Source", line::origin(event)),
                fact("Type", &event.kind),
                fact("About", &event.subject),
                fact("Severity", event.severity.as_str()),
            ]
        });
        Self {
            title: scene.said.head.clone(),
            text: scene.said.tail.clone(),
            tone: scene.said.tone,
            facts,
            lines: if several { said.iter().map(|said| clean(&said.line())).collect() } else { Vec::new() },
            link,
        }
    }
}
