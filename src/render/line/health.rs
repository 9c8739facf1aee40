//! Lines of ampbridge's own state: sources, sinks, deliveries, digests.

use jiff::tz::TimeZone;

use super::{NAME, Words, because};
use crate::domain::event::{Event, highest_severity};
use crate::domain::payload::{
    DeadData, DegradedData, DigestData, HeldData, SinkHealthData, SourceHealthData, StaleData, TestData,
};
use crate::render::show::{count, list, recent};
use crate::render::text::brief;

/// Characters of an error in a line.
const ERROR: usize = 200;
/// Kinds of events told one by one.
const KINDS: usize = 4;
/// Fields told one by one.
const FIELDS: usize = 5;

pub fn source_failing(event: &Event, data: &SourceHealthData, zone: &TimeZone) -> Words {
    // What is done about it comes after what is wrong.
    let (wrong, then) = data.error.split_once("; ").unwrap_or((&data.error, ""));
    let head = format!("Source {} can't be read{}", brief(&data.source, NAME), because(wrong, ERROR));
    let tail = in_a_row(data.failures, "poll", &data.since, event, zone);
    (head, if then.is_empty() { tail } else { format!("{tail}; {}", brief(then, ERROR)) })
}

pub fn source_recovered(data: &SourceHealthData) -> Words {
    let source = brief(&data.source, NAME);
    (format!("Source {source} can be read again{}", after(data.lasted.as_deref())), String::new())
}

pub fn source_degraded(data: &DegradedData) -> Words {
    let (source, collection) = (brief(&data.source, NAME), brief(&data.collection, NAME));
    let head = match &data.scope {
        Some(scope) => format!("Source {source} may not read {collection} any more: {} is missing", brief(scope, NAME)),
        None if data.fields.is_empty() => format!("Source {source} shows less of {collection} than before"),
        None => {
            let fields = list(data.fields.iter().map(|f| brief(f, NAME)), FIELDS);
            format!("Source {source} no longer shows {fields} of {collection}")
        }
    };
    (head, String::new())
}

pub fn change_held(data: &HeldData) -> Words {
    let head = format!(
        "{} of {} {} vanished from {} at once; none counts as removed until you decide",
        count(data.count),
        count(data.known),
        plural(&brief(&data.noun, NAME), 2),
        brief(&data.source, NAME),
    );
    (head, format!("Hold {}", brief(&data.hold, NAME)))
}

pub fn stale(event: &Event, data: &StaleData, zone: &TimeZone) -> Words {
    let what = format!("{} of {}", brief(&data.collection, NAME), brief(&data.source, NAME));
    if event.kind == "source.fresh" {
        (format!("Data moves again: {what}{}", after(data.lasted.as_deref())), String::new())
    } else {
        let since = recent(&data.since, event.time, zone);
        (format!("Data stands still: {what} since {since}"), "Polls succeed, but show nothing new".to_owned())
    }
}

pub fn sink(event: &Event, data: &SinkHealthData, zone: &TimeZone) -> Words {
    let name = brief(&data.sink, NAME);
    let because = because(&data.error, ERROR);
    if event.kind == "sink.recovered" {
        (format!("Sink {name} takes deliveries again{}", after(data.lasted.as_deref())), String::new())
    } else if data.stopped {
        (format!("Sink {name} is stopped{because}"), "Its deliveries wait until it is enabled again".to_owned())
    } else {
        let tail = in_a_row(data.failures, "attempt", &data.since, event, zone);
        (format!("Sink {name} takes no deliveries{because}"), tail)
    }
}

pub fn dead(data: &DeadData) -> Words {
    let what = match data.events.len() {
        0 | 1 => brief(&data.event_type, NAME),
        n => format!("{n} events"),
    };
    let (sink, subject) = (brief(&data.sink, NAME), brief(&data.subject, NAME));
    let attempts = if data.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", data.attempts) };
    let head = format!("Undeliverable to {sink}: {what} about {subject}");
    (head, format!("Given up after {attempts}{}", because(&data.reason, ERROR)))
}

pub fn test(data: &TestData) -> Words {
    (format!("Test for sink {}", brief(&data.sink, NAME)), brief(&data.message, ERROR))
}

pub fn digest(event: &Event, data: &DigestData, zone: &TimeZone) -> Words {
    let events = if data.events == 1 { "1 event".to_owned() } else { format!("{} events", count(data.events)) };
    let counts = counted(data.counts.iter().map(|(kind, n)| (kind.as_str(), *n)));
    if let Some(money) = &data.money {
        let tail = match (data.events, counts.is_empty()) {
            (0, _) => String::new(),
            (_, true) => events,
            (_, false) => format!("{events}: {counts}"),
        };
        return (super::digest::total(money, event.time.to_zoned(zone.clone()).date()), tail);
    }
    let of = if data.period == "week" { "Week from" } else { "Digest of" };
    (format!("{of} {}: {events}", recent(&data.from, event.time, zone)), counts)
}

/// `9 threads created, 2 budgets exceeded`, most frequent first, and of those the gravest.
pub fn counted<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut counts: Vec<(&str, u64)> = counts.filter(|(_, n)| *n > 0).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(highest_severity(b.0).cmp(&highest_severity(a.0))).then(a.0.cmp(b.0)));
    list(counts.into_iter().map(|(kind, n)| format!("{} {}", count(n), several(kind, n))), KINDS)
}

/// An event type as the name of `n` of its events.
pub fn several(kind: &str, n: u64) -> String {
    let (noun, rest) = kind.split_once('.').unwrap_or((kind, ""));
    let rest = rest.replace(['_', '.'], " ");
    match kind {
        "budget.threshold_reached" => format!("budget {} reached", plural("threshold", n)),
        "budget.forecast_exceeded" => format!("budget {} exceeded", plural("forecast", n)),
        "cost.spike" => format!("cost {}", plural("spike", n)),
        "cost.spike_resolved" => format!("cost {} resolved", plural("spike", n)),
        "thread.cost_exceeded" => format!("{} over a cost limit", plural("thread", n)),
        "member.role_changed" => format!("{} changed", plural("role", n)),
        "source.change_held" => format!("{} held", plural("change", n)),
        "delivery.dead" => format!("{} undeliverable", plural("message", n)),
        "bridge.test" => plural("test", n),
        _ => brief(format!("{} {rest}", plural(noun, n)).trim(), NAME),
    }
}

fn plural(noun: &str, n: u64) -> String {
    let noun = if noun.is_empty() { "record" } else { noun };
    match noun {
        _ if n == 1 => noun.to_owned(),
        "content" | "status" => noun.to_owned(),
        _ => match noun.strip_suffix('y') {
            Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
            _ => format!("{noun}s"),
        },
    }
}

/// `3 failed polls in a row since 13:40 UTC`.
fn in_a_row(failures: u32, what: &str, since: &str, event: &Event, zone: &TimeZone) -> String {
    let since = recent(since, event.time, zone);
    if failures > 1 { format!("{failures} failed {what}s in a row since {since}") } else { format!("Since {since}") }
}

fn after(lasted: Option<&str>) -> String {
    lasted.map(|l| format!(" after {}", brief(l, 40))).unwrap_or_default()
}
