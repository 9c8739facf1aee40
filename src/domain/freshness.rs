//! Data that stands still: polls succeed, but nothing newer comes, where there usually is something.
//!
//! Invariant: one word when it begins and one when it ends. A quiet night, a quiet weekend or a source that is not being
//! read says nothing.

use jiff::SignedDuration;
use serde_json::json;

use super::collection::CollectionSpec;
use super::event::{Draft, Severity, data_of};
use super::ids;
use super::payload::StaleData;
use super::rules::detector::is_weekend;
use super::spend::{SpendState, slot_of};
use super::time::{Timestamp, elapsed, humanize, minus_days, utc_day};

/// How long nothing must have moved.
const STILL: SignedDuration = SignedDuration::from_hours(2);
/// Days of the same kind (weekend or not) that were watched at this time, from which "usually" can be said, out of how
/// many.
const LEAST_DAYS: usize = 8;
const DAYS_BACK: i64 = 28;
/// Of those days, this many in a hundred must have moved within the same hours.
const USUALLY: usize = 95;

/// Books a look that was not cut short, and says if the data has come to a stop, or moves again.
pub fn looked(spec: &CollectionSpec, state: &mut SpendState, moved: bool, now: Timestamp) -> Vec<Draft> {
    let known_until_now = state.moved_at;
    state.looked(moved, now);
    if moved {
        let Some(since) = state.stale.take() else { return Vec::new() };
        let lasted = humanize(elapsed(since, now));
        return vec![draft(spec, "source.fresh", Severity::Info, since, Some(lasted), now)];
    }
    let Some(since) = known_until_now else { return Vec::new() };
    if state.stale.is_some() || elapsed(since, now) < STILL || !usually_moves(state, since, now) {
        return Vec::new();
    }
    state.stale = Some(since);
    vec![draft(spec, "source.stale", Severity::Warning, since, None, now)]
}

/// Whether on nearly all days like today something had moved in the hours that now stand still.
fn usually_moves(state: &SpendState, since: Timestamp, now: Timestamp) -> bool {
    let (today, to) = (utc_day(now), slot_of(now));
    let from = if utc_day(since) == today { slot_of(since) + 1 } else { 0 };
    // The stretch must have been watched, or it is the bridge that stood still.
    if (from..=to).any(|slot| !state.watched_at(today, slot)) {
        return false;
    }
    let alike = (1..=DAYS_BACK).map(|back| minus_days(today, back)).filter(|day| {
        is_weekend(*day) == is_weekend(today) && state.watched_at(*day, to) && state.watched_at(*day, from)
    });
    let (mut days, mut moved) = (0, 0);
    for day in alike {
        days += 1;
        moved += usize::from(state.moved_within(day, from, to));
    }
    days >= LEAST_DAYS && moved * 100 >= days * USUALLY
}

fn draft(
    spec: &CollectionSpec,
    kind: &str,
    severity: Severity,
    since: Timestamp,
    lasted: Option<String>,
    now: Timestamp,
) -> Draft {
    let over = lasted.is_some();
    let data = StaleData {
        source: spec.source.clone(),
        collection: spec.name.clone(),
        since: since.to_string(),
        lasted,
        incident: ids::derive("inc", &["stale", &spec.source, &spec.name, &since.to_string()]),
        state: if over { "resolved" } else { "open" }.to_owned(),
    };
    Draft {
        source: spec.source.clone(),
        kind: kind.to_owned(),
        subject: spec.source.clone(),
        time: now,
        severity,
        identity: vec![spec.source.clone(), kind.to_owned(), spec.name.clone(), since.to_string()],
        why: json!({ "collection": spec.name, "last_change": since.to_string() }),
        data: data_of(&data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::plus;

    fn spec() -> CollectionSpec {
        CollectionSpec { source: "acme".into(), name: "daily-usage".into(), ..CollectionSpec::default() }
    }

    /// Looks every ten minutes from `from` on; moves whenever `moves` says so. What was told, with the time.
    fn watch(
        state: &mut SpendState,
        from: &str,
        hours: i64,
        moves: impl Fn(Timestamp) -> bool,
    ) -> Vec<(String, String)> {
        let mut at: Timestamp = from.parse().unwrap();
        let mut told = Vec::new();
        for _ in 0..hours * 6 {
            told.extend(looked(&spec(), state, moves(at), at).into_iter().map(|d| (d.kind, at.to_string())));
            at = plus(at, SignedDuration::from_mins(10));
        }
        told
    }

    fn office(at: Timestamp) -> bool {
        (8..18).contains(&(at.as_second().rem_euclid(86_400) / 3600)) && !is_weekend(utc_day(at))
    }

    #[test]
    fn nights_and_weekends_are_quiet() {
        let mut state = SpendState::default();
        assert!(watch(&mut state, "2026-10-05T00:00:00Z", 24 * 42, office).is_empty());
    }

    #[test]
    fn a_working_day_that_stands_still_is_told_once_and_so_is_its_end() {
        let mut state = SpendState::default();
        assert!(watch(&mut state, "2026-10-05T00:00:00Z", 24 * 28, office).is_empty());
        let told =
            watch(&mut state, "2026-11-02T00:00:00Z", 24, |at| office(at) && at.as_second() % 86_400 < 11 * 3600);
        assert_eq!(told, [("source.stale".to_owned(), "2026-11-02T12:50:00Z".to_owned())]);
        let told = watch(&mut state, "2026-11-03T00:00:00Z", 24, office);
        assert_eq!(told, [("source.fresh".to_owned(), "2026-11-03T08:00:00Z".to_owned())]);
    }

    #[test]
    fn without_two_weeks_nothing_is_usual() {
        let mut state = SpendState::default();
        watch(&mut state, "2026-10-05T00:00:00Z", 24 * 7, office);
        assert!(watch(&mut state, "2026-10-12T00:00:00Z", 24, |_| false).is_empty());
    }

    #[test]
    fn a_bridge_that_slept_says_nothing_of_the_source() {
        let mut state = SpendState::default();
        watch(&mut state, "2026-10-05T00:00:00Z", 24 * 28 + 11, office);
        let at = "2026-11-02T15:00:00Z".parse().unwrap();
        assert!(looked(&spec(), &mut state, false, at).is_empty());
    }
}
