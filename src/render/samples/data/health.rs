//! Sources, sinks, deliveries.

use super::{Data, SINCE, THREAD, incident, text};
use crate::domain::event::data_of;
use crate::domain::ids;
use crate::domain::payload::{DeadData, DegradedData, HeldData, SinkHealthData, SourceHealthData, StaleData, TestData};

fn source_health(failures: u32, lasted: Option<&str>) -> Data {
    data_of(&SourceHealthData {
        source: text("acme"),
        collection: text("threads"),
        failures,
        since: text(SINCE),
        error: text("GET /api/v2/threads answered 503 (service unavailable); it is tried again at the next poll"),
        lasted: lasted.map(text),
        incident: incident("source"),
        state: text(if lasted.is_some() { "resolved" } else { "open" }),
    })
}

pub fn failing() -> Data {
    source_health(3, None)
}

pub fn recovered() -> Data {
    source_health(7, Some("25 min"))
}

pub fn degraded() -> Data {
    data_of(&DegradedData {
        source: text("acme"),
        collection: text("threads"),
        fields: vec![text("repositories"), text("title")],
        scope: None,
        detail: text(
            "repositories, title no longer come with 100 of the rows threads; the last known values are kept and nothing counts as changed. A scope of the credentials may have been withdrawn.",
        ),
    })
}

pub fn held() -> Data {
    data_of(&HeldData {
        hold: text("hold_3f9a1c07de"),
        source: text("acme"),
        collection: text("threads"),
        noun: text("thread"),
        count: 240,
        known: 1_200,
        sample: vec![
            text(THREAD),
            text("T-019aabce-0002-7abc-8def-0123456789ab"),
            text("T-019aabce-0003-7abc-8def-0123456789ab"),
        ],
    })
}

fn staleness(lasted: Option<&str>) -> Data {
    data_of(&StaleData {
        source: text("acme"),
        collection: text("daily_usage"),
        since: text("2026-11-20T09:00:00Z"),
        lasted: lasted.map(text),
        incident: incident("stale"),
        state: text(if lasted.is_some() { "resolved" } else { "open" }),
    })
}

pub fn stale() -> Data {
    staleness(None)
}

pub fn fresh() -> Data {
    staleness(Some("2 d 5 h"))
}

fn sink_health(failures: u32, lasted: Option<&str>) -> Data {
    data_of(&SinkHealthData {
        sink: text("automation"),
        failures,
        since: text(SINCE),
        error: text("HTTP 502: bad gateway"),
        stopped: false,
        lasted: lasted.map(text),
        incident: incident("sink"),
        state: text(if lasted.is_some() { "resolved" } else { "open" }),
    })
}

pub fn sink_failing() -> Data {
    sink_health(3, None)
}

pub fn sink_recovered() -> Data {
    sink_health(9, Some("25 min"))
}

pub fn dead() -> Data {
    data_of(&DeadData {
        delivery: ids::derive("dlv", &["sample"]),
        sink: text("finance"),
        events: vec![ids::derive("evt", &["sample", "budget.exceeded"])],
        event_type: text("budget.exceeded"),
        subject: text("workspace"),
        reason: text("550 5.1.1 finance@example.com: mailbox unavailable"),
        attempts: 1,
    })
}

pub fn test() -> Data {
    data_of(&TestData { message: text("If you can read this, messages to this sink arrive."), sink: text("ops") })
}
