//! Which sinks hear of an event.

use std::collections::BTreeSet;

use super::event::{Event, Severity, glob_matches};

/// One `[[routes]]` entry, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Globs on the event type; empty means every type.
    pub events: Vec<String>,
    /// Names of sources; empty means every source.
    pub sources: Vec<String>,
    pub min_severity: Severity,
    pub sinks: Vec<String>,
}

impl Route {
    pub fn matches(&self, event: &Event, origin: &str) -> bool {
        event.severity >= self.min_severity
            && (self.events.is_empty() || self.events.iter().any(|glob| glob_matches(glob, &event.kind)))
            && (self.sources.is_empty() || self.sources.iter().any(|s| s == origin))
    }
}

/// Where an event goes, and a line for each decision (for `events explain`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routed {
    pub sinks: BTreeSet<String>,
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
                routed
                    .notes
                    .push(format!("route {} names sink {sink}, which this event is about: left out", index + 1));
            } else if routed.sinks.insert(sink.clone()) {
                routed.notes.push(format!("route {} sends it to {sink}", index + 1));
            }
        }
    }
    if routed.sinks.is_empty() && is_internal(&event.kind) {
        for sink in all_sinks.iter().filter(|s| Some(s.as_str()) != about) {
            routed.sinks.insert(sink.clone());
            routed
                .notes
                .push(format!("no route takes {}: it is about ampbridge's own health, so {sink} gets it", event.kind));
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

    fn event(kind: &str, severity: Severity) -> Event {
        Event {
            specversion: SpecVersion::V1,
            id: "evt_1".into(),
            source: "ampbridge://b/acme".into(),
            kind: kind.into(),
            subject: "s".into(),
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
            datacontenttype: ContentType::Json,
            severity,
            data: serde_json::Map::new(),
        }
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn one_delivery_per_sink_however_many_routes_match() {
        let route_to = |sinks: &[&str], globs: &[&str], min| Route {
            events: names(globs),
            sources: vec![],
            min_severity: min,
            sinks: names(sinks),
        };
        let routes =
            [route_to(&["a", "b"], &["budget.*"], Severity::Info), route_to(&["b", "c"], &["*"], Severity::Warning)];
        let all = names(&["a", "b", "c"]);
        let hit = |e: &Event| route(&routes, &all, e, "acme", None).sinks.into_iter().collect::<Vec<_>>();
        assert_eq!(hit(&event("budget.exceeded", Severity::Critical)), ["a", "b", "c"]);
        assert_eq!(hit(&event("budget.corrected", Severity::Info)), ["a", "b"]);
        assert!(hit(&event("thread.created", Severity::Info)).is_empty());
    }

    #[test]
    fn trouble_of_a_sink_is_told_elsewhere() {
        let all = names(&["a", "b", "c"]);
        let routed = route(&[], &all, &event("sink.failing", Severity::Critical), "bridge", Some("a"));
        assert_eq!(routed.sinks.into_iter().collect::<Vec<_>>(), ["b", "c"]);
        let only_itself =
            [Route { events: vec![], sources: vec![], min_severity: Severity::Info, sinks: names(&["a"]) }];
        let routed = route(&only_itself, &all, &event("sink.failing", Severity::Critical), "bridge", Some("a"));
        assert_eq!(routed.sinks.len(), 2);
    }
}
