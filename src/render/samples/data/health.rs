//! Sources, sinks, deliveries, digests.

use super::{Data, SINCE, THREAD, incident, text};
use crate::domain::event::Severity;
use crate::domain::event::data_of;
use crate::domain::ids;
use crate::domain::payload::{
    DeadData, DegradedData, DigestData, DigestItem, HeldData, SinkHealthData, SourceHealthData, StaleData, TestData,
};

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

pub fn daily() -> Data {
    digest(
        "day",
        "2026-11-21",
        "2026-11-21",
        &[
            ("thread.created", 9),
            ("member.added", 2),
            ("budget.exceeded", 1),
            ("cost.spike", 1),
            ("source.recovered", 1),
        ],
    )
}

pub fn weekly() -> Data {
    digest(
        "week",
        "2026-11-16",
        "2026-11-22",
        &[("thread.created", 61), ("thread.deleted", 4), ("budget.threshold_reached", 3), ("budget.exceeded", 1)],
    )
}

fn digest(period: &str, from: &str, to: &str, counts: &[(&str, u64)]) -> Data {
    data_of(&DigestData {
        period: text(period),
        from: text(from),
        to: text(to),
        counts: counts.iter().map(|(kind, n)| (text(kind), *n)).collect(),
        events: counts.iter().map(|(_, n)| n).sum(),
        top: vec![
            item("budget.exceeded", "workspace", Severity::Critical),
            item("cost.spike", "user:user_01J5ANA", Severity::Warning),
            item("member.added", "cy@example.com", Severity::Info),
        ],
    })
}

fn item(kind: &str, subject: &str, severity: Severity) -> DigestItem {
    let id = crate::domain::ids::derive("evt", &["sample", kind]);
    DigestItem { id, kind: text(kind), subject: text(subject), severity, time: text("2026-11-21T15:04:00Z") }
}
