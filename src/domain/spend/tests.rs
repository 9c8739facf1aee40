use std::sync::Arc;

use jiff::civil::date;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::time::{Timestamp, plus_days};

const DAY: Date = date(2026, 11, 22);

fn row(user: &str, model: &str, micros: i64) -> SpendRow {
    SpendRow {
        day: DAY,
        user: Some(user.into()),
        model: Some(model.into()),
        dims: BTreeMap::new(),
        amount: Micros(micros),
        tokens: 0,
        basis: Basis::Billed,
        whole_user: true,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cells(day: &DaySpend) -> Vec<(&str, &str, i64)> {
    day.cells().map(|(u, m, c)| (u, m, c.amount.0)).collect()
}

fn round_trip(day: &DaySpend) -> DaySpend {
    serde_json::from_str(&serde_json::to_string(day).unwrap()).unwrap()
}

fn sums(ledger: &Ledger, sources: &[String], per: &Per, to: Date) -> BTreeMap<Scope, Sum> {
    let groups = Groups(BTreeMap::from([("team".to_owned(), vec!["ana".to_owned(), "bo".to_owned()])]));
    let people = People::default();
    ledger.sums(Cut { sources, per, groups: &groups, people: &people }, DAY, to)
}

#[test]
fn rows_are_upserted_never_added() {
    let now = Timestamp::UNIX_EPOCH;
    let mut day = DaySpend::default();
    assert!(day.upsert(&[row("ana", "a", 5), row("ana", "b", 7), row("bo", "a", 1)], now));
    assert!(!day.upsert(&[row("ana", "a", 5), row("ana", "b", 7)], now), "the same again is no change");
    assert!(day.upsert(&[row("ana", "c", 12)], now), "the split moved to another model");
    assert_eq!(cells(&day), [("ana", "c", 12), ("bo", "a", 1)]);
    let mut same = DaySpend::default();
    same.upsert(&[row("bo", "a", 1), row("ana", "c", 12)], now);
    assert_eq!(day.kinds, same.kinds, "no trace of models that are gone");
}

#[test]
fn rows_of_other_dimensions_stand_side_by_side() {
    let with = |mission: &str, micros| SpendRow {
        dims: BTreeMap::from([("mission".to_owned(), mission.to_owned())]),
        ..row("ana", "a", micros)
    };
    let mut day = DaySpend::default();
    day.upsert(&[with("m1", 5), with("m2", 7), row("bo", "a", 1)], Timestamp::UNIX_EPOCH);
    assert_eq!(round_trip(&day), day);
    let mut ledger = Ledger::default();
    ledger.put("api", DAY, Arc::new(day));
    let sources = ["api".to_owned()];
    let by = |per: &Per| -> Vec<(String, i64)> {
        let sums = sums(&ledger, &sources, per, plus_days(DAY, 1));
        sums.into_iter().map(|(scope, sum)| (scope.to_string(), sum.amount.0)).collect()
    };
    assert_eq!(by(&Per::Other("mission".into())), [("mission:m1".into(), 5), ("mission:m2".into(), 7)]);
    assert_eq!(by(&Per::User), [("user:ana".into(), 12), ("user:bo".into(), 1)]);
    assert_eq!(by(&Per::UserModel), [("user+model:ana/a".into(), 12), ("user+model:bo/a".into(), 1)]);
    assert_eq!(by(&Per::Group), [("group:team".into(), 13)]);
    assert_eq!(by(&Per::Workspace), [("workspace".into(), 13)]);
    assert_eq!(by(&Per::Model), [("model:a".into(), 13)]);
}

#[test]
fn estimates_are_never_added_to_billed_amounts() {
    let mut ledger = Ledger::default();
    let mut billed = DaySpend::default();
    billed.upsert(&[row("ana", "a", 5)], Timestamp::UNIX_EPOCH);
    let mut guessed = DaySpend::default();
    guessed.upsert(&[SpendRow { basis: Basis::Estimate, ..row("ana", "a", 100) }], Timestamp::UNIX_EPOCH);
    ledger.put("api", DAY, Arc::new(billed));
    ledger.put("files", DAY, Arc::new(guessed));
    let both = ["api".to_owned(), "files".to_owned()];
    let next = date(2026, 11, 23);
    assert_eq!(sums(&ledger, &both, &Per::Workspace, next)[&Scope::Workspace].amount, Micros(5));
    let files = sums(&ledger, &both[1..], &Per::User, next);
    assert_eq!(files[&Scope::User("ana".into())], Sum { amount: Micros(100), estimated: true });
}

#[test]
fn corrections_are_kept_apart_from_new_spend() {
    let mut day = DaySpend::default();
    day.upsert(&[row("ana", "a", 100)], at("2026-11-22T10:00:00Z"));
    day.upsert(&[row("ana", "a", 150)], at("2026-11-23T10:00:00Z"));
    assert_eq!(day.corrected, Corrected::default(), "late, but the day is not closed: new spend");
    day.upsert(&[row("ana", "a", 120)], at("2026-11-24T10:00:00Z"));
    assert_eq!(day.corrected.down, Micros(30));
    day.upsert(&[row("ana", "b", 120)], at("2026-11-24T11:00:00Z"));
    assert_eq!(day.corrected.down, Micros(30), "moved between models is no correction");
    day.upsert(&[row("ana", "b", 125)], at("2026-11-26T10:00:00Z"));
    let last = Some(at("2026-11-26T10:00:00Z"));
    assert_eq!(day.corrected, Corrected { up: Micros(5), down: Micros(30), last });
    assert_eq!(round_trip(&day), day);
}

#[test]
fn the_open_day_remembers_how_it_grew() {
    let mut day = DaySpend::default();
    day.upsert(&[row("bo", "a", 10)], at("2026-11-22T09:10:00Z"));
    day.upsert(&[row("ana", "a", 4), row("bo", "a", 20)], at("2026-11-22T11:40:00Z"));
    day.upsert(&[row("bo", "a", 90)], at("2026-11-23T00:10:00Z"));
    assert_eq!([17, 18, 22, 23, 47].map(|slot| day.so_far("bo", slot).0), [0, 10, 10, 20, 20]);
    assert_eq!((day.so_far("ana", 23).0, day.spent_by("bo").0), (4, 90));
    assert_eq!(round_trip(&day), day);
}

#[test]
fn days_of_earlier_versions_are_read() {
    let old = json!({
        "users": { "ana": { "gpt-5": { "a": "1.50", "t": 7, "b": "s" }, "": { "a": "0.25" } }, "bo": { "gpt-5": { "a": "2.00" } } },
        "changed": "2026-11-22T10:00:00Z"
    });
    let day: DaySpend = serde_json::from_value(old).unwrap();
    assert_eq!(cells(&day), [("ana", "", 250_000), ("ana", "gpt-5", 1_500_000), ("bo", "gpt-5", 2_000_000)]);
    assert_eq!(day.rows().nth(1).unwrap().cell, Cell { amount: Micros(1_500_000), tokens: 7, basis: Basis::Split });
    assert_eq!(day.changed, Some(at("2026-11-22T10:00:00Z")));
    assert_eq!(round_trip(&day), day);
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    for broken in [
        json!({ "u": ["a"], "k": [{ "m": "" }], "cu": [1], "ck": [0], "ca": [5], "ct": [0] }),
        json!({ "u": ["a"], "k": [{ "m": "" }], "cu": [0], "ck": [4], "ca": [5], "ct": [0] }),
        json!({ "u": ["a"], "k": [{ "m": "" }], "cu": [0], "ck": [0], "ca": [], "ct": [0] }),
        json!({ "u": ["a"], "k": [{ "m": "" }], "cu": [0, 0], "ck": [0, 1], "ca": [5, 6], "ct": [0, 0] }),
        json!({ "u": ["b", "a"], "k": [], "cu": [], "ck": [], "ca": [], "ct": [] }),
        json!({ "u": ["a"], "k": [], "cu": [], "ck": [], "ca": [], "ct": [], "s": [64], "st": [1] }),
    ] {
        assert!(serde_json::from_value::<DaySpend>(broken.clone()).is_err(), "{broken}");
    }
}

#[test]
fn days_that_were_never_answered_for_are_unknown() {
    let mut state = SpendState::default();
    state.answered("usage", Some(date(2026, 11, 1)), &Uncounted::default(), at("2026-11-10T12:00:00Z"));
    state.answered("usage", None, &Uncounted::default(), at("2026-11-11T12:00:00Z"));
    state.answered("usage", Some(date(2026, 11, 20)), &Uncounted::default(), at("2026-11-21T00:30:00Z"));
    assert_eq!(state.known, [(date(2026, 11, 1), date(2026, 11, 11)), (date(2026, 11, 20), date(2026, 11, 21))]);
    assert!(state.knows(date(2026, 11, 5)) && !state.knows(date(2026, 11, 15)));
    assert!(state.is_whole(date(2026, 11, 20)), "looked at after midnight");
    assert!(!state.is_whole(date(2026, 11, 11)) && !state.is_whole(date(2026, 11, 21)));
    assert!(state.is_whole(date(2026, 11, 9)));
}

#[test]
fn a_day_with_rows_left_out_is_not_known_until_a_look_counts_all_of_it() {
    let mut state = SpendState::default();
    let (first, day) = (date(2026, 11, 18), |d| date(2026, 11, d));
    let of = |days: &[i8]| Uncounted { days: days.iter().map(|d| day(*d)).collect(), ..Uncounted::default() };
    state.answered("usage", Some(first), &of(&[20]), at("2026-11-22T12:00:00Z"));
    assert!(state.is_read() && state.knows(day(19)) && !state.knows(day(20)) && state.knows(day(22)));
    assert!(state.is_whole(day(19)) && !state.is_whole(day(20)));
    assert_eq!((state.uncounted(first, day(22)), state.uncounted(day(21), day(22))), (Some(day(20)), None));
    let anywhere = Uncounted { until: Some(Date::MAX), ..Uncounted::default() };
    state.answered("usage", Some(day(20)), &anywhere, at("2026-11-22T13:00:00Z"));
    assert!(state.knows(day(19)) && !state.knows(day(21)) && !state.knows(day(22)), "it may be of any day asked for");
    let unpriced = Uncounted { unpriced: [day(22)].into(), ..Uncounted::default() };
    state.answered("usage", Some(day(20)), &unpriced, at("2026-11-22T14:00:00Z"));
    assert!(state.knows(day(20)) && !state.knows(day(22)), "tokens that nobody has a price for are not nothing");
    assert!(state.is_whole(day(20)));
    state.answered("usage", Some(day(20)), &Uncounted::default(), at("2026-11-22T15:00:00Z"));
    assert!(state.knows(day(22)) && state.uncounted(first, day(22)).is_none());
}

#[test]
fn a_look_is_near_for_an_hour() {
    let mut state = SpendState::default();
    state.looked(false, at("2026-11-22T10:05:00Z"));
    state.looked(true, at("2026-11-22T23:55:00Z"));
    let near: Vec<u32> = (0..SLOTS).filter(|slot| state.watched_at(DAY, *slot)).collect();
    assert_eq!(near, [20, 21, 22, 47]);
    assert!(state.moved_within(DAY, 0, 47) && !state.moved_within(DAY, 0, 46));
    assert_eq!(state.moved_at, Some(at("2026-11-22T23:55:00Z")));
}

proptest! {
    /// A scope asked for by itself comes to what it comes to among all others, and to what its rows come to.
    #[test]
    fn one_scope_is_summed_as_all_are(
        rows in prop::collection::vec((0_i64..3, 0_usize..4, 0_usize..3, 0_i64..50, 0_usize..3), 0..40)
    ) {
        let mut ledger = Ledger::default();
        for offset in 0..3 {
            let of_day: Vec<SpendRow> = rows
                .iter()
                .filter(|(day, ..)| *day == offset)
                .map(|(_, user, model, micros, basis)| SpendRow {
                    day: plus_days(DAY, offset),
                    basis: [Basis::Billed, Basis::Split, Basis::Estimate][*basis],
                    whole_user: false,
                    ..row(["", "ana", "bo", "cy"][*user], ["", "a", "b"][*model], *micros)
                })
                .collect();
            let mut spend = DaySpend::default();
            spend.upsert(&of_day, Timestamp::UNIX_EPOCH);
            ledger.put("api", plus_days(DAY, offset), Arc::new(spend));
        }
        let sources = ["api".to_owned()];
        let to = plus_days(DAY, 3);
        let groups = Groups(BTreeMap::from([("team".to_owned(), vec!["ana".to_owned(), "bo".to_owned()])]));
        let people = People::default();
        for per in [Per::Workspace, Per::User, Per::Model, Per::UserModel, Per::Group] {
            let cut = Cut { sources: &sources, per: &per, groups: &groups, people: &people };
            for (scope, sum) in ledger.sums(cut, DAY, to) {
                prop_assert_eq!(ledger.sum_of(&scope, cut, DAY, to), sum, "{}", &scope);
                let amount: Micros = ledger.rows_of(&scope, cut, DAY, to).map(|(.., row)| row.cell.amount).sum();
                prop_assert_eq!(amount, sum.amount, "{}", &scope);
            }
        }
    }
    /// A day is what a plain map would be, whatever is booked in whatever order, and survives being stored.
    #[test]
    fn a_day_is_a_map(steps in prop::collection::vec(prop::collection::vec((0_usize..4, 0_usize..3, 0_i64..5), 1..6), 1..12), whole in any::<bool>()) {
        let mut day = DaySpend::default();
        let mut model: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            let rows: Vec<SpendRow> = step.iter().map(|(user, kind, micros)| SpendRow {
                whole_user: whole,
                ..row(["ana", "bo", "cy", "dee"][*user], ["x", "y", "z"][*kind], *micros)
            }).collect();
            if whole {
                let users: std::collections::BTreeSet<usize> = step.iter().map(|(user, ..)| *user).collect();
                model.retain(|(user, _), _| !users.contains(user));
            }
            let before = day.clone();
            for (user, kind, micros) in step {
                model.insert((*user, *kind), *micros);
            }
            let now = plus_days(DAY, i64::try_from(number / 3).unwrap());
            let changed = day.upsert(&rows, crate::domain::time::start_of_utc_day(now));
            prop_assert_eq!(changed, day != before);
            let expected: Vec<(&str, &str, i64)> = model.iter().map(|((user, kind), micros)| (["ana", "bo", "cy", "dee"][*user], ["x", "y", "z"][*kind], *micros)).collect();
            prop_assert_eq!(cells(&day), expected);
            prop_assert_eq!(round_trip(&day), day.clone());
        }
    }
}
