use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::render::samples;

/// The line of a sample with some fields of its data set.
fn line_with(kind: &str, fields: Value) -> String {
    let mut event = samples::sample(kind).unwrap();
    let Value::Object(fields) = fields else { panic!("{fields}") };
    event.data.edit(|data| data.extend(fields));
    say(&event, &TimeZone::UTC).line()
}

#[test]
fn periods_are_named_as_seen_from_the_event() {
    for (period, start, words) in [
        ("day", "2026-11-22", "spend today $"),
        ("day", "2026-11-21", "spend on 21 Nov $"),
        ("day", "2025-12-31", "spend on 31 Dec 2025 $"),
        ("week", "2026-11-16", "spend this week $"),
        ("week", "2026-11-09", "spend in the week of 9 Nov $"),
        ("month", "2026-11-01", "spend this month $"),
        ("month", "2026-10-01", "spend in October 2026 $"),
        ("quarter", "2026-10-01", "spend in the quarter of 1 Oct $"),
    ] {
        let line = line_with("budget.exceeded", json!({ "period": period, "period_start": start }));
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn a_share_is_rounded_down() {
    let line = line_with("budget.threshold_reached", json!({ "percent": 99.9 }));
    assert!(line.contains(", 99 % of $500."), "{line}");
}

#[test]
fn circumstances_are_said_in_words() {
    for (kind, fields, words) in [
        ("budget.exceeded", json!({ "baseline": true }), "today already $212.40"),
        ("budget.exceeded", json!({ "late": true }), "Rows came in late"),
        ("budget.exceeded", json!({ "estimated": true }), "est. $212.40"),
        ("budget.exceeded", json!({ "cause": "limit_changed" }), "of the changed limit of $200"),
        ("budget.exceeded", json!({ "cause": "thresholds_changed" }), "of $200 (its thresholds were changed)"),
        ("budget.exceeded", json!({ "unknown_sources": ["claude"] }), "Not known yet: claude"),
        ("budget.exceeded", json!({ "percent": null }), "$212.40, limit $200."),
        ("budget.exceeded", json!({ "also": ["user:a"] }), "The same for 1 other"),
        ("budget.exceeded", json!({ "sources": ["acme", "claude"] }), "Acme + claude spend today"),
        (
            "budget.exceeded",
            json!({ "scope": "model:gpt-5", "drivers": [] }),
            "gpt-5 spend today $212.40, 106 % of $200. Top: ana $88",
        ),
        ("budget.exceeded", json!({}), "of $200. ana $88 (gpt-5 volume, 4.1 × usual). Forecast for November $3,410"),
        ("budget.exceeded", json!({}), "Forecast for November $3,410 of $3,000, reached on the 24th"),
        ("budget.exceeded", json!({ "scope": "model:gpt-5" }), "ana $88 (volume, 4.1 × usual)"),
        ("budget.exceeded", json!({ "scope": "group:backend" }), "Group backend spend today"),
        (
            "budget.exceeded",
            json!({ "by_source": [{ "source": "acme", "spend_usd": "150.00" }, { "source": "claude", "spend_usd": "62.40" }] }),
            "acme $150, claude $62",
        ),
        ("cost.spike", json!({ "shared_percent": 35.0 }), "35 % more than usual for nearly everybody"),
        (
            "cost.spike",
            json!({ "member_count": 4, "members": [{ "scope": "user:ana", "who": null, "actual_usd": "60.00", "expected_usd": "10.00", "excess_usd": "50.00" }] }),
            "4 spikes at once today: together at least $96.40, 3.1 × the usual $31.10. ana +$50, …",
        ),
        ("cost.spike", json!({ "escalation": true }), "Told before; at least twice as high since"),
        ("budget.exceeded", json!({ "state": "resolved" }), "Resolved: Acme spend"),
        ("cost.spike", json!({ "lower_bound": false }), "today $96.40, 3.1 × the usual"),
        ("cost.spike_resolved", json!({ "resolution": "corrected" }), "No spike on 20 Nov after all"),
        ("cost.spike_resolved", json!({ "member_count": 3 }), "3 spikes of 20 Nov over: spend of all of them is back"),
        ("thread.cost_exceeded", json!({ "sub_threads": 1 }), "1 sub-thread counted in"),
        ("sink.failing", json!({ "stopped": true }), "Sink automation is stopped: HTTP 502"),
        ("source.failing", json!({ "failures": 1, "error": "" }), "can't be read. Since 13:40 UTC"),
        ("source.stale", json!({ "since": "2025-11-20" }), "since 20 Nov 2025"),
        ("wallet.low", json!({ "baseline": true, "band_before": null }), "Wallet is already low at $4.03"),
        ("thread.created", json!({ "who": null }), "New thread \"Fix the flaky"),
    ] {
        let line = line_with(kind, fields.clone());
        assert!(line.contains(words), "{kind} {fields}: {line}");
    }
}

#[test]
fn data_of_another_shape_is_still_said() {
    let line = line_with("budget.exceeded", json!({ "spend_usd": "much" }));
    assert_eq!(line, "Budget exceeded: workspace");
    let mut event = samples::sample("mission.paused").unwrap();
    event.data = crate::domain::event::Data::from_iter([("name".to_owned(), json!("Launch\nweek"))]);
    assert_eq!(say(&event, &TimeZone::UTC).line(), "Mission paused: Launch week");
}

#[test]
fn no_line_is_long_or_broken() {
    for kind in samples::types() {
        for (variant, event) in samples::variants(kind) {
            let line = say(&event, &TimeZone::UTC).line();
            assert!(line.chars().count() <= 2 * PART + 2, "{kind} {variant}: {line}");
            assert!(!line.contains(char::is_control), "{kind} {variant}: {line:?}");
            assert!(!line.contains("..") && !line.contains(" ,") && !line.contains("  "), "{kind} {variant}: {line}");
        }
    }
}

#[test]
fn several_events_are_counted_in_words() {
    let of = |kinds: &[&str]| {
        let events: Vec<Event> = kinds.iter().map(|kind| samples::sample(kind).unwrap()).collect();
        say_many(&events.iter().collect::<Vec<_>>())
    };
    assert_eq!(of(&["thread.created", "thread.created"]).head, "2 threads created");
    let mixed = of(&["cost.spike", "budget.exceeded", "thread.created", "cost.spike"]);
    assert_eq!(mixed.head, "4 events: 2 cost spikes, 1 budget exceeded, 1 thread created");
    assert_eq!(mixed.tone, Tone::Critical, "the gravest");
    assert_eq!(health::several("category.created", 3), "categories created");
    assert_eq!(health::several("status.changed", 2), "status changed");
}

#[test]
fn the_bridge_speaks_of_itself_by_its_name() {
    assert_eq!(origin(&samples::sample("sink.failing").unwrap()), "ampbridge");
    assert_eq!(origin(&samples::sample("thread.created").unwrap()), "acme");
}
