//! Open incidents: levels that stay bad. They are what reminders, escalations and acknowledgements are about.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::event::{ContentType, Event, Severity, SpecVersion};
use super::live::{self, Figures, Live};
use super::time::{Period, PeriodKind, Timestamp, WeekStart, start_of_utc_day};

/// Most incidents remembered as open; beyond it the oldest are let go.
pub const MAX: usize = 5_000;

/// Longest text, in bytes, that is kept of an incident's facts.
const FACT_BYTES: usize = 200;
/// Most members of an object that is kept of them.
const FACT_MEMBERS: usize = 8;

/// One open incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The event that told it last.
    pub event: String,
    pub kind: String,
    pub subject: String,
    /// The name of the source (or `bridge`) it came from.
    #[serde(default)]
    pub origin: String,
    pub severity: Severity,
    pub opened: Timestamp,
    /// When it ends by itself: the end of a budget's period.
    #[serde(default)]
    pub ends: Option<Timestamp>,
    #[serde(default)]
    pub acked: Option<Ack>,
    /// Its figures as last told.
    #[serde(default, skip_serializing_if = "Figures::is_empty")]
    pub figures: Figures,
    /// What else its last event says, as far as it is short: what a silence may ask for.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
    /// By sink: what was told there.
    #[serde(default)]
    pub told: BTreeMap<String, Told>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub at: Timestamp,
    pub by: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The route that sets the timing there.
    pub route: Option<usize>,
    pub last: Timestamp,
    #[serde(default)]
    pub reminders: u32,
    #[serde(default)]
    pub escalated: bool,
    /// Nothing of it was heard there so far, and why: it was silenced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<String>,
    /// Its message there, where the sink can edit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
}

pub type Incidents = BTreeMap<String, Incident>;

impl Incident {
    /// Its last event as far as it is known here: enough for a silence to be held against.
    pub fn as_event(&self) -> Event {
        Event {
            specversion: SpecVersion::V1,
            id: self.event.clone(),
            source: String::new(),
            kind: self.kind.clone(),
            subject: self.subject.clone(),
            time: self.opened,
            datacontenttype: ContentType::Json,
            severity: self.severity,
            data: self.facts.iter().chain(&self.figures).map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}

/// Books what an event says of its incident.
pub fn book(
    incidents: &mut Incidents,
    event: &Event,
    origin: &str,
    sinks: &BTreeMap<String, Option<usize>>,
    now: Timestamp,
) {
    let Some(id) = event.incident() else { return };
    if !is_open(event) {
        incidents.remove(id);
        return;
    }
    let incident = incidents.entry(id.to_owned()).or_insert_with(|| Incident {
        event: event.id.clone(),
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        origin: origin.to_owned(),
        severity: event.severity,
        opened: now,
        ends: None,
        acked: None,
        figures: Figures::new(),
        facts: Map::new(),
        told: BTreeMap::new(),
    });
    // Worse than what was acknowledged: someone has to look again.
    if event.severity > incident.severity {
        incident.acked = None;
    }
    incident.event.clone_from(&event.id);
    incident.kind.clone_from(&event.kind);
    incident.severity = event.severity;
    incident.ends = period_end(event);
    incident.figures = live::figures(&event.data);
    incident.facts =
        event.data.iter().filter(|(_, value)| is_short(value)).map(|(n, v)| (n.clone(), v.clone())).collect();
    origin.clone_into(&mut incident.origin);
    for (sink, route) in sinks {
        let told = incident.told.entry(sink.clone()).or_insert(Told {
            route: *route,
            last: now,
            reminders: 0,
            escalated: false,
            unheard: Some(String::new()),
            live: None,
        });
        (told.route, told.last) = (*route, now);
        if let Some(live) = &mut told.live {
            // The event itself brings the message up to date.
            live.at = now;
            live.figures.clone_from(&incident.figures);
        }
    }
    while incidents.len() > MAX {
        let oldest = incidents.iter().min_by_key(|(_, i)| i.opened).map(|(id, _)| id.clone());
        match oldest {
            Some(id) => incidents.remove(&id),
            None => break,
        };
    }
}

/// Whether an event of an incident says that it goes on.
pub fn is_open(event: &Event) -> bool {
    event.data.get("state").and_then(Value::as_str) == Some("open")
}

/// Whether a value is worth keeping with the incident: no list, no long text, nothing that is deep.
fn is_short(value: &Value) -> bool {
    let is_plain = |value: &Value| match value {
        Value::String(text) => text.len() <= FACT_BYTES,
        Value::Array(_) | Value::Object(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    };
    match value {
        Value::Object(members) => members.len() <= FACT_MEMBERS && members.values().all(is_plain),
        plain => is_plain(plain),
    }
}

/// The end of the period a budget event is about.
fn period_end(event: &Event) -> Option<Timestamp> {
    let kind = match event.data.get("period")?.as_str()? {
        "day" => PeriodKind::Day,
        "week" => PeriodKind::Week,
        "month" => PeriodKind::Month,
        _ => return None,
    };
    let start: Date = event.data.get("period_start")?.as_str()?.parse().ok()?;
    let end = match kind {
        PeriodKind::Week => super::time::plus_days(start, 7),
        other => Period::containing(other, start, WeekStart::Monday).end,
    };
    Some(start_of_utc_day(end))
}
