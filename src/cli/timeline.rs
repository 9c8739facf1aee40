//! What a route's settings of time come to, in words.

use crate::domain::routing::{Route, Test};
use crate::domain::setting::Span;
use crate::domain::time::{Timestamp, WeekStart};
use crate::domain::timing::{Digest, DigestEvery, GroupBy, Quiet, Timing, next_digest, quiet_until};

/// What a route takes.
pub(super) fn selection(route: &Route) -> String {
    let list = |items: &[String], all: &str| if items.is_empty() { all.to_owned() } else { items.join(", ") };
    let mut text = format!(
        "{} of {}, {} and above",
        list(&route.events, "every event"),
        list(&route.sources, "every source"),
        route.min_severity
    );
    if !route.subjects.is_empty() {
        text.push_str(&format!(", about {}", route.subjects.join(", ")));
    }
    for test in &route.fields {
        text.push_str(&match &test.test {
            Test::Equals(value) => format!(", where {} is {value:?}", test.field),
            Test::Glob(glob) => format!(", where {} is like {glob:?}", test.field),
            Test::AtLeast(least) => format!(", where {} is {least} or more", test.field),
        });
    }
    format!("{text}, to {}", route.sinks.join(", "))
}

/// What happens when, one sentence each; nothing where everything goes out at once.
pub(super) fn sentences(timing: &Timing, now: Timestamp) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(digest) = &timing.digest {
        said.push(said_of_digest(digest, now));
    }
    if let Some(quiet) = &timing.quiet {
        said.push(said_of_quiet(quiet, now));
    }
    if let Some(group) = &timing.group {
        let by: Vec<&str> = group
            .by
            .iter()
            .map(|by| match by {
                GroupBy::Type => "type",
                GroupBy::Source => "source",
                GroupBy::Subject => "subject",
                GroupBy::Severity => "severity",
            })
            .collect();
        let of_one = if by.is_empty() { String::new() } else { format!(" of one {}", by.join(" and ")) };
        said.push(format!(
            "the first event waits {} for others{of_one}; {} go out without waiting longer; all as one message",
            Span(group.wait),
            group.max
        ));
    }
    if let Some(rate) = &timing.rate {
        said.push(format!(
            "at most {} messages in {}; what is more goes out as one message when the first of them is that old",
            rate.max,
            Span(rate.per)
        ));
    }
    if timing.remind.is_some() || timing.escalate.is_some() {
        said.push(said_of_attention(timing));
    }
    said
}

fn said_of_digest(digest: &Digest, now: Timestamp) -> String {
    let zone = digest.zone.iana_name().unwrap_or("UTC");
    let next = next_digest(digest, now);
    match digest.every {
        DigestEvery::Daily => format!("one message a day at {} {zone}, next {next}", hours(digest.at)),
        DigestEvery::Weekly => {
            let day = match digest.week_start {
                WeekStart::Monday => "Monday",
                WeekStart::Saturday => "Saturday",
                WeekStart::Sunday => "Sunday",
            };
            format!("one message a week, {day} at {} {zone}, next {next}", hours(digest.at))
        }
    }
}

fn said_of_quiet(quiet: &Quiet, now: Timestamp) -> String {
    let zone = quiet.zone.iana_name().unwrap_or("UTC");
    let days: Vec<String> = quiet.days.iter().map(|day| format!("{day:?}")).collect();
    let nights = if days.is_empty() { "every day".to_owned() } else { format!("on {}", days.join(", ")) };
    let running = quiet_until(quiet, now).map_or_else(String::new, |end| format!(" (now, until {end})"));
    format!(
        "from {} to {} {zone} {nights}{running} only critical events go out; the rest follows as one message at {}",
        hours(quiet.from),
        hours(quiet.to),
        hours(quiet.to)
    )
}

fn said_of_attention(timing: &Timing) -> String {
    let mut steps: Vec<(jiff::SignedDuration, String)> = Vec::new();
    if let Some(every) = timing.remind {
        steps.push((every, format!("after {} it is said again, and every {} after that", Span(every), Span(every))));
    }
    if let Some(escalation) = &timing.escalate {
        let to = escalation.sinks.join(", ");
        steps.push((escalation.after, format!("after {} it is told to {to} too", Span(escalation.after))));
    }
    steps.sort_by_key(|(after, _)| *after);
    let steps: Vec<String> = steps.into_iter().map(|(_, step)| step).collect();
    format!("while a level stays bad and nobody has acknowledged it: {}", steps.join("; "))
}

fn hours(time: jiff::civil::Time) -> String {
    time.strftime("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::domain::timing::{Escalation, Group, Rate};

    #[test]
    fn a_timeline_reads_as_it_will_happen() {
        let now: Timestamp = "2026-11-22T23:00:00Z".parse().unwrap();
        let timing = Timing {
            group: Some(Group { by: vec![GroupBy::Type], wait: SignedDuration::from_mins(2), max: 50 }),
            rate: Some(Rate { max: 20, per: SignedDuration::from_hours(1) }),
            quiet: Some(Quiet {
                from: jiff::civil::time(22, 0, 0, 0),
                to: jiff::civil::time(7, 0, 0, 0),
                days: std::collections::BTreeSet::new(),
                zone: TimeZone::get("Europe/Berlin").unwrap(),
            }),
            digest: None,
            remind: Some(SignedDuration::from_hours(2)),
            escalate: Some(Escalation { after: SignedDuration::from_mins(30), sinks: vec!["oncall".into()] }),
        };
        let said = sentences(&timing, now);
        assert_eq!(
            said,
            [
                "from 22:00 to 07:00 Europe/Berlin every day (now, until 2026-11-23T06:00:00Z) only critical events go out; the rest follows as one message at 07:00",
                "the first event waits 2m for others of one type; 50 go out without waiting longer; all as one message",
                "at most 20 messages in 1h; what is more goes out as one message when the first of them is that old",
                "while a level stays bad and nobody has acknowledged it: after 30m it is told to oncall too; after 2h it is said again, and every 2h after that",
            ]
        );
        assert!(sentences(&Timing::default(), now).is_empty());
    }
}
