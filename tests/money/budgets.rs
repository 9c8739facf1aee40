use std::collections::BTreeMap;

use ampbridge::domain::money::Percent;
use ampbridge::domain::rules::Rule;
use ampbridge::domain::rules::budget::limits::{Override, Usual};
use ampbridge::domain::rules::budget::period::Zone;
use ampbridge::domain::spend::{Basis, Groups, Per, SpendRow};
use ampbridge::domain::time::PeriodKind;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::play::{Play, budget, day, row, sentence, usd};

const NOTHING: [&str; 0] = [];
const NOON: &str = "2026-11-18T12:00:00Z";

fn daily(limit: i64, per: Per) -> Rule {
    Rule::Budget(budget(limit, PeriodKind::Day, per))
}

fn today(user: &str, dollars: i64) -> SpendRow {
    row(day("2026-11-18"), user, dollars)
}

#[test]
fn b1_thresholds_are_passed_at_the_amount_rounded_up() {
    let mut play = Play::one(daily(200, Per::Workspace));
    play.acme(NOON, &[]);
    let almost = SpendRow { amount: ampbridge::domain::money::Micros(99_999_999), ..today("ana", 0) };
    assert_eq!(play.acme(NOON, &[almost]), NOTHING);
    assert_eq!(play.acme(NOON, &[today("ana", 100)]), ["budget.threshold_reached workspace warning"]);
}

#[test]
fn b2_b3_once_per_amount_and_one_event_for_several() {
    let mut play = Play::one(daily(100, Per::User));
    play.acme(NOON, &[]);
    let told = play.look("acme", NOON, &[today("ana", 150)]);
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["budget.exceeded user:ana critical"]);
    assert_eq!(told[0].data["thresholds_crossed"], json!([50.0, 80.0, 100.0]));
    for hour in 13..24 {
        assert_eq!(play.acme(&format!("2026-11-18T{hour}:00:00Z"), &[today("ana", 150 + hour)]), NOTHING);
    }
    assert_eq!(play.acme("2026-11-19T12:00:00Z", &[row(day("2026-11-19"), "ana", 150)]).len(), 1, "another day");
}

#[test]
fn b4_a_correction_is_told_once_when_settled_and_passing_again_wakes_nobody() {
    let mut play = Play::one(Rule::Budget(budget(100, PeriodKind::Month, Per::Workspace)));
    play.acme(NOON, &[]);
    assert_eq!(play.acme(NOON, &[today("ana", 100)]).len(), 1);
    assert_eq!(play.acme("2026-11-19T12:00:00Z", &[today("ana", 60)]), NOTHING, "still settling");
    assert_eq!(play.acme("2026-11-21T23:59:00Z", &[]), NOTHING, "its third day of settling");
    assert_eq!(play.acme("2026-11-22T00:10:00Z", &[]), ["budget.corrected workspace info"]);
    assert_eq!(play.acme("2026-11-22T12:00:00Z", &[row(day("2026-11-22"), "ana", 60)]), NOTHING, "shown as re-crossed");
    assert_eq!(play.acme("2026-11-26T12:00:00Z", &[row(day("2026-11-22"), "ana", 0)]), NOTHING);
}

#[test]
fn b4_a_correction_waits_for_a_bridge_that_was_down_while_it_settled() {
    for (period, back) in
        [(PeriodKind::Day, "2026-11-23"), (PeriodKind::Day, "2026-12-20"), (PeriodKind::Month, "2026-12-09")]
    {
        let mut play = Play::one(Rule::Budget(budget(100, period, Per::Workspace)));
        play.acme(NOON, &[]);
        assert_eq!(play.acme(NOON, &[today("ana", 100)]).len(), 1);
        assert_eq!(play.acme("2026-11-19T12:00:00Z", &[today("ana", 60)]), NOTHING);
        assert_eq!(
            play.acme(&format!("{back}T12:00:00Z"), &[]),
            ["budget.corrected workspace info"],
            "{period:?} {back}"
        );
        assert_eq!(play.acme(&format!("{back}T13:00:00Z"), &[]), NOTHING);
    }
}

#[test]
fn b5_late_rows_are_of_low_urgency_and_closed_days_silent() {
    let mut play = Play::one(daily(100, Per::Workspace));
    play.acme("2026-11-18T12:00:00Z", &[today("ana", 10)]);
    let told = play.look("acme", "2026-11-20T12:00:00Z", &[today("ana", 120)]);
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["budget.exceeded workspace warning"]);
    assert_eq!(told[0].data["late"], json!(true));
    assert_eq!(play.acme("2026-11-23T12:00:00Z", &[row(day("2026-11-17"), "ana", 500)]), NOTHING);
}

#[test]
fn b6_a_zone_west_of_utc_counts_its_own_days_where_they_were_watched() {
    let zone = Zone { name: "America/Los_Angeles".to_owned(), zone: TimeZone::get("America/Los_Angeles").unwrap() };
    let rule = ampbridge::domain::rules::budget::BudgetRule {
        zone: Some(zone),
        ..budget(100, PeriodKind::Day, Per::Workspace)
    };
    let mut play = Play::one(Rule::Budget(rule));
    // Local midnight is 08:00 UTC. By then $60 of the UTC day were spent, which are yesterday's there.
    play.acme("2026-11-17T07:45:00Z", &[]);
    for (hour, dollars) in [("00", 10), ("02", 30), ("04", 40), ("06", 60), ("07", 60)] {
        assert_eq!(
            play.acme(&format!("2026-11-18T{hour}:45:00Z"), &[today("ana", dollars)]).len(),
            usize::from(hour == "06")
        );
    }
    assert_eq!(play.acme("2026-11-18T09:00:00Z", &[today("ana", 90)]), NOTHING, "$30 of the local day");
    let told = play.look("acme", "2026-11-18T15:00:00Z", &[today("ana", 115)]);
    assert_eq!(told[0].data["spend_usd"], json!("55.00"));
    assert_eq!(told[0].data["period_alignment"], json!("local-day"));
}

#[test]
fn b6_without_watching_utc_days_are_counted_and_said_so() {
    let zone = Zone { name: "Asia/Kolkata".to_owned(), zone: TimeZone::get("Asia/Kolkata").unwrap() };
    let rule = ampbridge::domain::rules::budget::BudgetRule {
        zone: Some(zone),
        ..budget(100, PeriodKind::Day, Per::Workspace)
    };
    let mut play = Play::one(Rule::Budget(rule));
    play.acme("2026-11-17T12:00:00Z", &[]);
    let told = play.look("acme", "2026-11-18T15:00:00Z", &[today("ana", 115)]);
    assert_eq!(told[0].data["period_alignment"], json!("utc-day"));
}

/// A day's budget of $100 in Los Angeles, where midnight is 08:00 UTC.
fn west() -> Play {
    let zone = Zone { name: "America/Los_Angeles".to_owned(), zone: TimeZone::get("America/Los_Angeles").unwrap() };
    Play::one(Rule::Budget(ampbridge::domain::rules::budget::BudgetRule {
        zone: Some(zone),
        ..budget(100, PeriodKind::Day, Per::Workspace)
    }))
}

#[test]
fn b6_a_utc_day_counted_for_want_of_better_is_told_while_it_is_open() {
    let mut play = west();
    play.acme("2026-11-17T22:00:00Z", &[]);
    let told = play.look("acme", "2026-11-18T02:00:00Z", &[today("ana", 115)]);
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["budget.exceeded workspace critical"]);
    assert_eq!((&told[0].data["period_start"], &told[0].data["late"]), (&json!("2026-11-18"), &json!(false)));
}

#[test]
fn b6_days_counted_otherwise_by_now_correct_nothing() {
    let mut play = west();
    play.acme("2026-11-18T07:45:00Z", &[today("ana", 5)]);
    let tomorrow = |dollars| row(day("2026-11-19"), "ana", dollars);
    play.acme("2026-11-18T12:00:00Z", &[today("ana", 20)]);
    let told = play.look("acme", "2026-11-19T06:45:00Z", &[today("ana", 20), tomorrow(90)]);
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["budget.exceeded workspace critical"]);
    assert_eq!(told[0].data["period_alignment"], json!("local-day"), "$15 and $90");
    // Nobody watched at local midnight, so the day is the UTC one from now on: $20.
    for day in ["2026-11-19T20:00:00Z", "2026-11-22T12:00:00Z", "2026-11-24T12:00:00Z"] {
        let told = play.acme(day, &[today("ana", 20), tomorrow(90)]);
        assert!(told.iter().all(|t| !t.starts_with("budget.corrected")), "{day}: {told:?}");
    }
}

#[test]
fn b7_an_edited_limit_speaks_at_once_and_a_raised_one_arms_again() {
    let mut play = Play::one(daily(100, Per::Workspace));
    play.acme(NOON, &[]);
    assert_eq!(play.acme(NOON, &[today("ana", 60)]), ["budget.threshold_reached workspace warning"]);
    let limit = |limit| {
        move |rules: &mut Vec<ampbridge::domain::rules::RuleSpec>| {
            if let Rule::Budget(budget) = &mut rules[0].rule {
                budget.limit = usd(limit);
            }
        }
    };
    play.edit(limit(50));
    let told = play.evaluate(NOON.parse().unwrap());
    assert_eq!(
        (sentence(&told[0]).as_str(), &told[0].data["cause"]),
        ("budget.exceeded workspace critical", &json!("limit_changed"))
    );
    play.edit(limit(200));
    assert!(play.evaluate(NOON.parse().unwrap()).is_empty());
    assert_eq!(play.acme(NOON, &[today("ana", 200)]), ["budget.exceeded workspace critical"]);
}

#[test]
fn b8_a_new_rule_is_one_baseline_event_and_a_new_user_speaks_normally() {
    let mut play = Play::one(daily(100, Per::User));
    let told = play.look("acme", NOON, &[today("ana", 300), today("bo", 200), today("cy", 10)]);
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["budget.exceeded user:ana warning"]);
    assert_eq!((&told[0].data["baseline"], &told[0].data["also"]), (&json!(true), &json!(["user:bo"])));
    assert_eq!(play.acme(NOON, &[today("di", 100)]), ["budget.exceeded user:di critical"]);
}

#[test]
fn b9_nothing_is_resolved_by_silence() {
    let mut play = Play::one(daily(100, Per::User));
    play.acme(NOON, &[]);
    assert_eq!(play.acme(NOON, &[today("ana", 100)]).len(), 1);
    for hour in 13..24 {
        assert_eq!(play.acme(&format!("2026-11-18T{hour}:00:00Z"), &[]), NOTHING, "a shrunk list is not zero");
    }
}

#[test]
fn scopes_are_users_on_models_and_groups() {
    let groups = Groups(BTreeMap::from([("backend".to_owned(), vec!["ana@example.com".to_owned(), "bo".to_owned()])]));
    let mut play = Play::with_groups(
        vec![("pairs", &["acme"], daily(100, Per::UserModel)), ("groups", &["acme"], daily(250, Per::Group))],
        groups,
    );
    play.name("ana", "Ana@Example.com");
    play.acme(NOON, &[]);
    let on = |user: &str, model: &str, dollars| SpendRow { model: Some(model.to_owned()), ..today(user, dollars) };
    let told =
        play.acme(NOON, &[on("ana", "big", 120), on("ana", "small", 20), on("bo", "big", 40), on("cy", "big", 99)]);
    let told: std::collections::BTreeSet<&str> = told.iter().map(String::as_str).collect();
    let expected = [
        "budget.exceeded user+model:ana/big critical",
        "budget.threshold_reached user+model:cy/big warning",
        "budget.threshold_reached group:backend warning",
    ];
    assert_eq!(told, expected.into());
}

#[test]
fn dimensions_of_a_source_can_have_budgets() {
    let mut play = Play::one(daily(100, Per::Other("mission".to_owned())));
    play.acme(NOON, &[]);
    let of = |mission: &str, dollars| SpendRow {
        dims: BTreeMap::from([("mission".to_owned(), mission.to_owned())]),
        ..today("ana", dollars)
    };
    assert_eq!(
        play.acme(NOON, &[of("m-1", 100), of("m-2", 40), today("ana", 500)]),
        ["budget.exceeded mission:m-1 critical"]
    );
}

#[test]
fn overrides_are_globs_on_the_scope_or_the_email_and_the_first_counts() {
    let overrides = [("user:ci-*", 900), ("user:*@example.com", 500), ("user:*", 50)];
    let overrides = overrides.map(|(scope, limit)| Override { scope: scope.to_owned(), limit: usd(limit) }).to_vec();
    let rule = ampbridge::domain::rules::budget::BudgetRule { overrides, ..budget(100, PeriodKind::Day, Per::User) };
    let mut play = Play::one(Rule::Budget(rule));
    play.name("ana", "ana@example.com");
    play.acme(NOON, &[]);
    let told = play.look("acme", NOON, &[today("ci-7", 800), today("ana", 260), today("bo", 60)]);
    let limits: Vec<_> =
        told.iter().map(|e| (e.subject.as_str(), e.data["limit_usd"].clone(), e.data["threshold"].clone())).collect();
    assert_eq!(
        limits,
        [
            ("user:ana", json!("500.00"), json!(50.0)),
            ("user:bo", json!("50.00"), json!(100.0)),
            ("user:ci-7", json!("900.00"), json!(80.0))
        ]
    );
}

#[test]
fn a_limit_can_be_a_multiple_of_what_is_usual() {
    let rule = ampbridge::domain::rules::budget::BudgetRule {
        usual: Some(Usual { times: Percent(200_000) }),
        ..budget(15, PeriodKind::Day, Per::User)
    };
    let mut play = Play::one(Rule::Budget(rule));
    play.history(day("2026-11-17"), 40, |_| vec![("ana", 20), ("bo", 3)]);
    play.acme("2026-11-17T20:00:00Z", &[]);
    let told = play.look("acme", NOON, &[today("ana", 39), today("bo", 14), today("new", 500)]);
    let limits: Vec<_> = told.iter().map(|e| (e.subject.as_str(), e.data["limit_usd"].clone())).collect();
    assert_eq!(limits, [("user:ana", json!("40.00")), ("user:bo", json!("15.00"))], "nothing is usual for someone new");
}

#[test]
fn several_sources_are_one_sum_with_each_ones_share() {
    let mut play = Play::new(vec![("both", &["acme", "claude"], daily(100, Per::Workspace))]);
    play.acme(NOON, &[]);
    assert_eq!(play.acme(NOON, &[today("ana", 40)]), NOTHING);
    let told = play.look("claude", NOON, &[today("bo", 20)]);
    assert_eq!(
        told[0].data["by_source"],
        json!([
            { "source": "acme", "spend_usd": "40.00", "percent": 66.6 }, { "source": "claude", "spend_usd": "20.00", "percent": 33.3 }
        ])
    );
    assert_eq!(told[0].data["baseline"], json!(true), "it was first read just now");
    assert_eq!(play.acme(NOON, &[today("ana", 80)]), ["budget.exceeded workspace critical"]);
}

#[test]
fn estimates_are_never_added_to_billed_amounts() {
    let mut play = Play::new(vec![("both", &["acme", "claude"], daily(100, Per::Workspace))]);
    play.acme(NOON, &[]);
    let guess = SpendRow { basis: Basis::Estimate, ..today("ana", 90) };
    let told = play.look("claude", NOON, &[guess]);
    assert_eq!((told[0].kind.as_str(), &told[0].data["estimated"]), ("budget.threshold_reached", &json!(true)));
    assert_eq!(play.acme(NOON, &[today("ana", 20)]), NOTHING, "billed: $20, and the estimate does not count");
}
