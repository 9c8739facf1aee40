//! Which sinks hear of an event, and which route sets the time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Event, Severity, glob_matches};
use super::money::Micros;
use super::timing::{Digest, Timing};

/// One `[[routes]]` entry, checked.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// Globs on the event type; empty means every type.
    pub events: Vec<String>,
    /// Names of sources; empty means every source.
    pub sources: Vec<String>,
    /// Globs on the subject; empty means every subject.
    pub subjects: Vec<String>,
    /// Fields of `data`; all must match.
    pub fields: Vec<FieldMatch>,
    pub min_severity: Severity,
    pub sinks: Vec<String>,
    pub timing: Timing,
}

/// A test of one field of an event's `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldMatch {
    /// Dotted path: `rule`, `who.email`.
    pub field: String,
    pub test: Test,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// The same text, number or truth.
    Equals(String),
    Glob(String),
    /// A number, or dollars as a decimal text, at or above this.
    AtLeast(Micros),
}

impl FieldMatch {
    /// A field that is not there matches nothing.
    pub fn matches(&self, event: &Event) -> bool {
        let mut parts = self.field.split('.');
        let first = parts.next().and_then(|name| event.data.get(name));
        let Some(value) = parts.try_fold(first, |value, name| value.map(|v| v.get(name))).flatten() else {
            return false;
        };
        match &self.test {
            Test::Equals(text) => plain(value) == *text,
            Test::Glob(glob) => glob_matches(glob, &plain(value)),
            Test::AtLeast(least) => Micros::from_json(value, 0).is_ok_and(|amount| amount >= *least),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl Route {
    pub fn matches(&self, event: &Event, origin: &str) -> bool {
        event.severity >= self.min_severity
            && any_glob(&self.events, &event.kind)
            && any_glob(&self.subjects, &event.subject)
            && (self.sources.is_empty() || self.sources.iter().any(|s| s == origin))
            && self.fields.iter().all(|field| field.matches(event))
    }
}

/// Types that speak of money.
const MONEY: [&str; 4] = ["budget.threshold_reached", "budget.exceeded", "budget.forecast_exceeded", "cost.spike"];

/// The routes whose digest tells `sink` of spend: of each stretch (a day, a week) the first in the file that lets
/// budgets or spikes through. A route that is narrowed to subjects or fields is for someone whom the whole is no
/// business of.
pub fn digests_of_money<'a>(routes: &'a [Route], sink: &str) -> Vec<(usize, &'a Digest)> {
    let mut found: Vec<(usize, &Digest)> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let Some(digest) = &route.timing.digest else { continue };
        let tells = route.sinks.iter().any(|s| s == sink)
            && route.subjects.is_empty()
            && route.fields.is_empty()
            && MONEY.iter().any(|kind| any_glob(&route.events, kind));
        if tells && found.iter().all(|(_, other)| other.every != digest.every) {
            found.push((index, digest));
        }
    }
    found
}

/// The timing that a sink's messages about an event follow: of the first route that names the sink, else of the first
/// that escalates to it.
pub fn timing_at<'a>(routes: &'a [Route], event: &Event, origin: &str, sink: &str) -> Option<&'a Timing> {
    let named = |route: &&Route| route.sinks.iter().any(|s| s == sink) && route.matches(event, origin);
    let escalates = |route: &&Route| {
        let others = route.timing.escalate.as_ref().map(|escalation| escalation.sinks.as_slice());
        others.unwrap_or_default().iter().any(|s| s == sink) && route.matches(event, origin)
    };
    routes.iter().find(named).or_else(|| routes.iter().find(escalates)).map(|route| &route.timing)
}

/// Whether any of the globs matches; no glob at all matches everything.
pub fn any_glob(globs: &[String], text: &str) -> bool {
    globs.is_empty() || globs.iter().any(|glob| glob_matches(glob, text))
}

/// Where an event goes, and a line for each decision (for `events explain`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routed {
    /// Each sink, with the route that sets its timing: the first in the file that reaches it. `None` where no route
    /// does and the event is about ampbridge's own health.
    pub sinks: BTreeMap<String, Option<usize>>,
    pub notes: Vec<String>,
}

/// Event types about ampbridge's own health: where no route takes them they go to every sink but the one they are about.
pub fn is_internal(kind: &str) -> bool {
    kind.starts_with("source.") || kind.starts_with("sink.") || kind == "delivery.dead"
}

/// Decides. `about` is the sink an event is about: it never hears of its own trouble, which would wait behind it.
pub fn route(routes: &[Route], all_sinks: &[String], event: &Event, origin: &str, about: Option<&str>) -> Routed {
    let mut routed = Routed::default();
    for (index, candidate) in routes.iter().enumerate() {
        if !candidate.matches(event, origin) {
            continue;
        }
        for sink in &candidate.sinks {
            if Some(sink.as_str()) == about {
                let left_out = format!("route {} names sink {sink}, which this event is about: left out", index + 1);
                routed.notes.push(left_out);
            } else if !routed.sinks.contains_key(sink) {
                routed.sinks.insert(sink.clone(), Some(index));
                routed.notes.push(format!("route {} sends it to {sink}", index + 1));
            }
        }
    }
    if routed.sinks.is_empty() && is_internal(&event.kind) {
        for sink in all_sinks.iter().filter(|s| Some(s.as_str()) != about) {
            routed.sinks.insert(sink.clone(), None);
            let why = format!("no route takes {}: it is about ampbridge's own health, so {sink} gets it", event.kind);
            routed.notes.push(why);
        }
    }
    if routed.sinks.is_empty() {
        routed.notes.push("no route matches: kept, sent nowhere".to_owned());
    }
    routed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{ContentType, SpecVersion};
    use serde_json::json;

    fn event(kind: &str, severity: Severity) -> Event {
        Event {
            specversion: SpecVersion::V1,
            id: "evt_1".into(),
            source: "ampbridge://b/acme".into(),
            kind: kind.into(),
            subject: "user:ana".into(),
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
            datacontenttype: ContentType::Json,
            severity,
            data: crate::domain::event::Data::default(),
        }
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn one_delivery_per_sink_however_many_routes_match() {
        let route_to = |sinks: &[&str], globs: &[&str], min_severity| Route {
            events: names(globs),
            min_severity,
            sinks: names(sinks),
            ..Route::default()
        };
        let routes =
            [route_to(&["a", "b"], &["budget.*"], Severity::Info), route_to(&["b", "c"], &["*"], Severity::Warning)];
        let all = names(&["a", "b", "c"]);
        let hit = |e: &Event| route(&routes, &all, e, "acme", None).sinks.into_iter().collect::<Vec<_>>();
        let both = [("a".to_owned(), Some(0)), ("b".to_owned(), Some(0)), ("c".to_owned(), Some(1))];
        assert_eq!(hit(&event("budget.exceeded", Severity::Critical)), both, "the first route sets the timing");
        assert_eq!(hit(&event("budget.corrected", Severity::Info)), both[..2]);
        assert!(hit(&event("thread.created", Severity::Info)).is_empty());
    }

    #[test]
    fn trouble_of_a_sink_is_told_elsewhere() {
        let all = names(&["a", "b", "c"]);
        let failing = event("sink.failing", Severity::Critical);
        let routed = route(&[], &all, &failing, "bridge", Some("a"));
        assert_eq!(routed.sinks.into_keys().collect::<Vec<_>>(), ["b", "c"]);
        let only_itself = [Route { sinks: names(&["a"]), ..Route::default() }];
        assert_eq!(route(&only_itself, &all, &failing, "bridge", Some("a")).sinks.len(), 2);
    }

    #[test]
    fn subjects_and_fields_narrow_a_route() {
        let mut told = event("budget.exceeded", Severity::Critical);
        told.data.insert("rule".into(), json!("daily"));
        told.data.insert("spend_usd".into(), json!("212.40"));
        told.data.insert("who".into(), json!({ "email": "ana@example.com" }));
        let matches = |field: &str, test: Test| FieldMatch { field: field.into(), test }.matches(&told);
        assert!(matches("rule", Test::Equals("daily".into())));
        assert!(matches("who.email", Test::Glob("*@example.com".into())));
        assert!(matches("spend_usd", Test::AtLeast(Micros::parse_usd("200").unwrap())));
        assert!(!matches("spend_usd", Test::AtLeast(Micros::parse_usd("212.41").unwrap())));
        assert!(!matches("who.phone", Test::Glob("*".into())), "what is not there matches nothing");
        let by_subject = |glob: &str| Route { subjects: names(&[glob]), ..Route::default() }.matches(&told, "acme");
        assert!(by_subject("user:*") && !by_subject("model:*"));
    }
}
