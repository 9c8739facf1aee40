//! The chart of a digest.

use jiff::civil::Date;
use serde::Deserialize as _;

use super::{Chart, Day, Moved, writable_name};
use crate::domain::event::Event;
use crate::domain::payload::{DayLine, MoneyDigest, Mover};
use crate::domain::spend::Scope;

impl Chart {
    /// What a digest says of spend, as a picture; `None` for any other event and for a digest without days.
    pub fn of_event(event: &Event) -> Option<Self> {
        if !event.kind.starts_with("digest.") {
            return None;
        }
        Self::of_digest(&MoneyDigest::deserialize(event.data.get("money")?).ok()?)
    }

    pub fn of_digest(digest: &MoneyDigest) -> Option<Self> {
        let days: Vec<Day> = digest.days.iter().map(day).collect::<Option<_>>()?;
        let last = days.last()?.date;
        Some(Self {
            whose: None,
            from: digest.from.parse().ok()?,
            to: digest.to.parse::<Date>().ok()?.max(last),
            total: digest.total_usd,
            expected: digest.expected_usd,
            estimated: digest.estimated,
            open: digest.open,
            days,
            daily_limit: digest.daily_limit_usd,
            movers: digest.movers.iter().map(moved).collect(),
        })
    }
}

fn day(line: &DayLine) -> Option<Day> {
    Some(Day {
        date: line.date.parse().ok()?,
        spend: line.spend_usd,
        expected: line.expected_usd,
        range: line.low_usd.zip(line.high_usd),
    })
}

fn moved(mover: &Mover) -> Moved {
    let scope = match Scope::from(mover.scope.clone()) {
        Scope::User(name) | Scope::Model(name) | Scope::Group(name) => name,
        other => other.to_string(),
    };
    let who = mover.who.iter().flat_map(|who| [who.name.as_deref(), who.email.as_deref(), Some(who.id.as_str())]);
    let name = writable_name(who.flatten().chain([scope.as_str()]));
    Moved { name, actual: mover.actual_usd, expected: mover.expected_usd }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::chart::Theme;
    use crate::render::samples;

    #[test]
    fn every_digest_has_its_chart_and_nothing_else_has() {
        for kind in samples::types() {
            for (variant, event) in samples::variants(kind) {
                let chart = Chart::of_event(&event);
                // What is missing in one variant or another is the payload's business; a plain sample has it all.
                assert!(chart.is_none() || kind.starts_with("digest."), "{kind}");
                assert!(chart.is_some() || !kind.starts_with("digest.") || variant != "sample", "{kind}");
                if let Some(chart) = chart {
                    assert!(chart.svg(Theme::Light).is_ok(), "{kind} {variant}");
                }
            }
        }
        let mut event = samples::sample("digest.weekly").unwrap();
        let chart = Chart::of_event(&event).unwrap();
        assert_eq!((chart.days.len(), chart.movers.len()), (28, 2));
        event.data.edit(|data| data["money"]["days"] = serde_json::json!([]));
        assert_eq!(Chart::of_event(&event), None, "nothing to draw");
        event.data.insert("money".to_owned(), serde_json::json!("gone"));
        assert_eq!(Chart::of_event(&event), None);
    }
}
