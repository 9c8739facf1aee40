//! Open incidents: levels that stay bad. They are what reminders, escalations and acknowledgements are about.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Event, Severity};
use super::live::{self, Figures, Live};
use super::time::{Period, PeriodKind, Timestamp, WeekStart, start_of_utc_day};

/// Most incidents remembered as open; beyond it the oldest are let go.
pub const MAX: usize = 5_000;

/// One open incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The event that told it last.
    pub event: String,
    pub kind: String,
    pub subject: String,
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
    /// Its message there, where the sink can edit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
}

pub type Incidents = BTreeMap<String, Incident>;

/// Books what an event says of its incident.
pub fn book(incidents: &mut Incidents, event: &Event, sinks: &BTreeMap<String, Option<usize>>, now: Timestamp) {
    let Some(id) = event.incident() else { return };
    if event.data.get("state").and_then(Value::as_str) != Some("open") {
        incidents.remove(id);
        return;
    }
    let incident = incidents.entry(id.to_owned()).or_insert_with(|| Incident {
        event: event.id.clone(),
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        severity: event.severity,
        opened: now,
        ends: None,
        acked: None,
        figures: Figures::new(),
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
    for (sink, route) in sinks {
        let told = incident.told.entry(sink.clone()).or_insert(Told {
            route: *route,
            last: now,
            reminders: 0,
            escalated: false,
            live: None,
        });
        told.last = now;
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
