//! What an event says in one line: who, what, how much, against what. The first line of every message, the whole of a
//! log line, and what is left when every template fails.
//!
//! Invariant: this never fails, whatever the data holds; it is plain text on one line of at most twice [`PART`] characters
//! (and what joins them).

mod change;
pub mod digest;
mod health;
mod money;

use jiff::tz::TimeZone;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::show;
use super::text::brief;
use crate::domain::event::{Event, Severity};
use crate::domain::health::BRIDGE;
use crate::domain::payload::{ChangeData, LevelData};

/// Longest head or tail.
pub const PART: usize = 300;
/// Types whose words say that something is wrong; where it is over, that is said before them.
const OPENING: [&str; 6] =
    ["budget.exceeded", "budget.threshold_reached", "cost.spike", "sink.failing", "source.failing", "source.stale"];
/// Longest name (a title, a key) inside a line.
const NAME: usize = 80;

/// How a message looks: one colour, one mark. The gravest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    Critical,
    Warning,
    /// Something is over.
    Resolved,
    Info,
}

impl Tone {
    /// The colour of its bar, that of the letters, too. Mere information has none.
    pub fn colour(self) -> Option<&'static str> {
        match self {
            Self::Critical => Some("#c0392b"),
            Self::Warning => Some("#d68910"),
            Self::Resolved => Some("#2e8b57"),
            Self::Info => None,
        }
    }
}

/// One line in two parts: `head` is complete by itself, `tail` says more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    pub head: String,
    pub tail: String,
    pub tone: Tone,
}

impl Said {
    /// `head. tail`
    pub fn line(&self) -> String {
        if self.tail.is_empty() {
            return self.head.clone();
        }
        let stop = if self.head.ends_with(['.', '!', '?', '…']) { " " } else { ". " };
        format!("{}{stop}{}", self.head, self.tail)
    }
}

/// Head and tail.
type Words = (String, String);

/// Says an event; times are those of `zone`.
pub fn say(event: &Event, zone: &TimeZone) -> Said {
    let (mut head, mut tail) = words(event, zone).unwrap_or_else(|| generic(event));
    if let Some(period) = ended(event) {
        tail = if tail.is_empty() { format!("The {period} is over") } else { format!("The {period} is over. {tail}") };
    }
    if is_resolved(event) && OPENING.contains(&event.kind.as_str()) {
        head = format!("Resolved: {head}");
    }
    Said { head: brief(&head, PART), tail: brief(&tail, PART), tone: tone(event) }
}

/// Says several events at once.
pub fn say_many(events: &[&Event]) -> Said {
    let mut counts: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for event in events {
        *counts.entry(&event.kind).or_default() += 1;
    }
    let words = health::counted(counts.iter().map(|(kind, n)| (*kind, *n)));
    let total = show::count(events.len() as u64);
    let head = if counts.len() == 1 { words } else { format!("{total} events: {words}") };
    let worst = events.iter().map(|event| tone(event)).min();
    Said { head: brief(&head, PART), tail: String::new(), tone: worst.unwrap_or(Tone::Info) }
}

fn tone(event: &Event) -> Tone {
    match event.severity {
        _ if is_resolved(event) => Tone::Resolved,
        _ if ended(event).is_some() => Tone::Info,
        Severity::Critical => Tone::Critical,
        Severity::Warning => Tone::Warning,
        Severity::Info => Tone::Info,
    }
}

/// The period of an event that is shown once more after that has ended.
fn ended(event: &Event) -> Option<String> {
    let text = |name| event.data.get(name).and_then(Value::as_str);
    (text("state")? == "ended").then(|| brief(text("period").unwrap_or("period"), NAME))
}

fn is_resolved(event: &Event) -> bool {
    event.data.get("state").and_then(Value::as_str) == Some("resolved")
}

/// The words for a known type; `None` where the data is not of the type's shape.
fn words(event: &Event, zone: &TimeZone) -> Option<Words> {
    Some(match event.kind.as_str() {
        "budget.threshold_reached" | "budget.exceeded" => money::budget(event, &data(event)?),
        "budget.corrected" => money::corrected(event, &data(event)?),
        "budget.forecast_exceeded" => money::forecast(event, &data(event)?),
        "cost.spike" => money::spike(event, &data(event)?),
        "cost.spike_resolved" => money::spike_resolved(event, &data(event)?),
        "thread.cost_exceeded" => money::thread_cost(&data(event)?),
        "source.failing" => health::source_failing(event, &data(event)?, zone),
        "source.recovered" => health::source_recovered(&data(event)?),
        "source.degraded" => health::source_degraded(&data(event)?),
        "source.change_held" => health::change_held(&data(event)?),
        "source.stale" | "source.fresh" => health::stale(event, &data(event)?, zone),
        "sink.failing" | "sink.recovered" => health::sink(event, &data(event)?, zone),
        "delivery.dead" => health::dead(&data(event)?),
        "bridge.test" => health::test(&data(event)?),
        "digest.daily" | "digest.weekly" => health::digest(event, &data(event)?, zone),
        _ => match data::<ChangeData>(event) {
            Some(record) => change::change(event, &record, zone),
            None => change::level(&data::<LevelData>(event)?, zone),
        },
    })
}

/// For data of no known shape: the type in words, and what it is about.
fn generic(event: &Event) -> Words {
    let what = event.kind.replace(['.', '_'], " ");
    let name = event.data.get("name").and_then(Value::as_str).unwrap_or(&event.subject);
    (show::capitalize(&format!("{what}: {}", brief(name, NAME))), String::new())
}

fn data<T: DeserializeOwned>(event: &Event) -> Option<T> {
    serde_json::from_value(Value::Object(event.data.clone().into_map())).ok()
}

/// `"a title"`, cut.
fn quoted(name: &str) -> String {
    format!("\"{}\"", brief(name, NAME))
}

/// `: what went wrong`, where that is known.
fn because(error: &str, max: usize) -> String {
    let error = brief(error, max);
    if error.is_empty() { error } else { format!(": {error}") }
}

/// Where an event comes from: the last part of `ampbridge://<bridge>/<source>`, and the bridge's own name for what is
/// about the bridge itself.
pub fn origin(event: &Event) -> &str {
    let mut parts = event.source.rsplit('/');
    match (parts.next(), parts.next()) {
        (Some(BRIDGE), Some(bridge)) => bridge,
        (source, _) => source.unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "../line_tests.rs"]
mod tests;
