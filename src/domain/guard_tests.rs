use std::sync::Arc;

use jiff::civil::date;

use super::*;
use crate::domain::doc::Doc;
use crate::domain::money::Percent;
use crate::domain::record::Person;
use crate::domain::spend::{Basis, DaySpend, SpendRow, Uncounted};
use crate::domain::time::{PeriodKind, plus, start_of_utc_day};

fn usd(dollars: i64) -> Micros {
    Micros(dollars * Micros::PER_DOLLAR)
}

fn now() -> Timestamp {
    plus(start_of_utc_day(date(2026, 11, 18)), SignedDuration::from_hours(12))
}

fn world(per: Per) -> World {
    let budget = BudgetRule::new(usd(100), PeriodKind::Day, per, vec![Percent(80_000), Percent::WHOLE]);
    World {
        sources: vec!["acme".to_owned()],
        rules: vec![RuleSpec { name: "daily".into(), sources: Vec::new(), rule: Rule::Budget(budget) }],
        ..World::default()
    }
}

/// A ledger with one row of today, read in full at `read`.
fn known(dollars: i64, read: Option<Timestamp>) -> Known {
    let row = SpendRow {
        day: date(2026, 11, 18),
        user: Some("u1".into()),
        model: None,
        dims: BTreeMap::new(),
        amount: usd(dollars),
        tokens: 0,
        basis: Basis::Billed,
        whole_user: true,
    };
    let mut known = Known::default();
    let spend = DaySpend::upserted(None, &[row], now()).unwrap();
    known.ledger.put("acme", date(2026, 11, 18), Arc::new(spend));
    let people = BTreeMap::from([("u1".to_owned(), Person { email: Some("Ana@example.com".into()), name: None })]);
    known.docs.0.insert(DocKey::People("acme".into()), (1, Some(Arc::new(Doc::People(people)))));
    if let Some(read) = read {
        let mut state = SpendState::default();
        state.answered("usage", None, &Uncounted::default(), read);
        known.docs.0.insert(DocKey::Spend("acme".into()), (1, Some(Arc::new(Doc::Spend(state)))));
    }
    known
}

fn ask(world: &World, known: &Known, scopes: &[&str]) -> Answer {
    let scopes = scopes.iter().map(|s| Scope::parse(s).unwrap()).collect();
    answer(world, known, now(), &Question { scopes, rule: None, max_age: MAX_AGE })
}

#[test]
fn below_past_the_first_threshold_and_at_the_limit() {
    let world = world(Per::Workspace);
    for (dollars, state, remaining) in [
        (79, State::Under, 21),
        (80, State::Warn, 20),
        (99, State::Warn, 1),
        (100, State::Over, 0),
        (300, State::Over, 0),
    ] {
        let answer = ask(&world, &known(dollars, Some(now())), &[]);
        assert_eq!((answer.state, answer.checks[0].remaining_usd), (state, Some(usd(remaining))), "{dollars}");
    }
}

#[test]
fn what_is_not_known_is_never_fine_and_what_was_passed_stays_so() {
    let world = world(Per::Workspace);
    let old = plus(now(), -SignedDuration::from_hours(3));
    for read in [None, Some(old)] {
        let answer = ask(&world, &known(1, read), &[]);
        assert_eq!(answer.state, State::Unknown);
        assert!(answer.checks[0].reason.is_some() && answer.checks[0].forecast.is_none());
        assert_eq!(ask(&world, &known(100, read), &[]).state, State::Over);
    }
    let nothing = ask(&world, &known(0, None), &[]);
    assert_eq!((nothing.checks[0].spend_usd, nothing.checks[0].percent), (None, None), "unknown is not nothing");
    let patient = Question { scopes: vec![], rule: None, max_age: SignedDuration::from_hours(4) };
    assert_eq!(super::answer(&world, &known(1, Some(old)), now(), &patient).state, State::Under);
}

#[test]
fn a_source_that_stands_still_is_unknown() {
    let mut known = known(1, None);
    let mut state = SpendState { stale: Some(now()), ..SpendState::default() };
    state.answered("usage", None, &Uncounted::default(), now());
    known.docs.0.insert(DocKey::Spend("acme".into()), (1, Some(Arc::new(Doc::Spend(state)))));
    assert_eq!(ask(&world(Per::Workspace), &known, &[]).state, State::Unknown);
}

#[test]
fn users_are_named_by_id_or_email_and_others_have_spent_nothing() {
    let world = world(Per::User);
    let known = known(100, Some(now()));
    for (scope, state) in [("user:u1", State::Over), ("user:ana@example.com", State::Over), ("user:bo", State::Under)] {
        assert_eq!(ask(&world, &known, &[scope]).state, state, "{scope}");
    }
    assert_eq!(ask(&world, &known, &["user:bo", "user:u1"]).state, State::Over, "the worst of several");
}

#[test]
fn a_scope_without_a_budget_is_unknown() {
    let answer = ask(&world(Per::User), &known(1, Some(now())), &[]);
    assert_eq!((answer.state, answer.checks.len()), (State::Unknown, 0));
    assert!(answer.reason.unwrap().contains("workspace"));
}

#[test]
fn a_group_that_the_config_does_not_have_is_unknown_and_so_is_all_that_is_asked_with_it() {
    let groups = Groups(BTreeMap::from([("team".to_owned(), vec!["u1".to_owned()])]));
    let world = World { groups, ..world(Per::Group) };
    let known = known(10, Some(now()));
    assert_eq!(ask(&world, &known, &["group:team"]).state, State::Under);
    let answer = ask(&world, &known, &["group:teams"]);
    assert_eq!((answer.state, answer.checks.len()), (State::Unknown, 0));
    assert!(answer.reason.unwrap().contains("no group \"teams\""));
    assert_eq!(ask(&world, &known, &["group:team", "model:x"]).state, State::Unknown, "one of two is not known");
    assert_eq!(ask(&world, &self::known(100, Some(now())), &["group:team", "group:teams"]).state, State::Over);
}

#[test]
fn what_an_answer_means_depends_on_who_asks() {
    use {FailOn as F, OnUnknown as U, Verdict as V};
    for (state, fail_on, on_unknown, verdict) in [
        (State::Under, F::Over, None, V::Go),
        (State::Under, F::Warn, Some(U::Deny), V::Go),
        (State::Warn, F::Over, None, V::Go),
        (State::Warn, F::Warn, None, V::Warned),
        (State::Over, F::Over, None, V::Stop),
        (State::Over, F::Warn, Some(U::Allow), V::Stop),
        (State::Unknown, F::Over, None, V::Unknown),
        (State::Unknown, F::Warn, Some(U::Allow), V::Go),
        (State::Unknown, F::Over, Some(U::Deny), V::Stop),
    ] {
        assert_eq!(state.verdict(fail_on, on_unknown), verdict, "{state:?}");
    }
}

#[test]
fn a_day_with_rows_that_could_not_be_counted_is_unknown() {
    let day = |back| minus_days(date(2026, 11, 18), back);
    let mut known = known(1, None);
    let mut read = |uncounted: Uncounted| {
        let mut state = SpendState::default();
        state.answered("usage", Some(day(5)), &Uncounted::default(), plus(now(), -SignedDuration::from_hours(1)));
        state.answered("usage", Some(day(3)), &uncounted, now());
        known.docs.0.insert(DocKey::Spend("acme".into()), (1, Some(Arc::new(Doc::Spend(state)))));
        ask(&world(Per::Workspace), &known, &[])
    };
    let of = |days: &[i64]| days.iter().map(|back| day(*back)).collect();
    assert_eq!(read(Uncounted::default()).state, State::Under);
    let answer = read(Uncounted { days: of(&[0]), ..Uncounted::default() });
    assert_eq!((answer.state, answer.checks[0].spend_usd), (State::Unknown, Some(usd(1))));
    assert!(answer.checks[0].reason.as_ref().unwrap().contains("rows that can't be read on 2026-11-18"));
    let answer = read(Uncounted { unpriced: of(&[0]), ..Uncounted::default() });
    assert!(answer.checks[0].reason.as_ref().unwrap().contains("no price"));
    assert_eq!(read(Uncounted { until: Some(Date::MAX), ..Uncounted::default() }).state, State::Unknown, "any day");
    assert_eq!(read(Uncounted { days: of(&[1]), ..Uncounted::default() }).state, State::Under, "of another day");
}
