//! Input that should not be: each with one outcome, none with a second page.

use ampbridge::domain::money::Micros;
use ampbridge::domain::rules::Rule;
use ampbridge::domain::rules::budget::BudgetRule;
use ampbridge::domain::rules::budget::period::Zone;
use ampbridge::domain::spend::{Per, SpendRow};
use ampbridge::domain::time::{Period, PeriodKind, WeekStart, plus_days};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::play::{Play, at, budget, day, row, sentence, spikes};

const NOTHING: [&str; 0] = [];

fn daily() -> Play {
    let mut play = Play::one(Rule::Budget(budget(100, PeriodKind::Day, Per::Workspace)));
    play.acme("2026-11-18T01:00:00Z", &[]);
    play
}

fn today(user: &str, dollars: i64) -> SpendRow {
    row(day("2026-11-18"), user, dollars)
}

#[test]
fn rows_twice_or_out_of_order_count_once() {
    let mut play = daily();
    let rows =
        [today("bo", 60), today("ana", 60), today("bo", 60), row(day("2026-11-17"), "ana", 90), today("ana", 60)];
    let told = play.look("acme", "2026-11-18T10:00:00Z", &rows);
    let of_today: Vec<_> = told.iter().filter(|e| e.data["period_start"] == json!("2026-11-18")).collect();
    assert_eq!(of_today.len(), 1);
    assert_eq!(of_today[0].data["spend_usd"], json!("120.00"));
    assert_eq!(play.acme("2026-11-18T10:01:00Z", &rows), NOTHING);
}

#[test]
fn a_row_that_moves_to_another_user_is_not_counted_twice() {
    let mut play = daily();
    let whole = |user: &str, dollars| SpendRow { whole_user: true, ..today(user, dollars) };
    assert_eq!(play.acme("2026-11-18T10:00:00Z", &[whole("ana", 60)]).len(), 1);
    // ana was renamed: the same money under another name, and ana at nothing.
    assert_eq!(play.acme("2026-11-18T11:00:00Z", &[whole("ana", 0), whole("anna", 60)]), NOTHING);
    assert_eq!(play.acme("2026-11-18T12:00:00Z", &[whole("anna", 79)]), NOTHING, "$79 in all");
}

#[test]
fn a_row_that_moves_to_another_day_takes_its_money_along() {
    let mut play = daily();
    assert_eq!(play.acme("2026-11-18T10:00:00Z", &[today("ana", 110)]), ["budget.exceeded workspace critical"]);
    let moved = [today("ana", 0), row(day("2026-11-17"), "ana", 110)];
    assert_eq!(
        play.acme("2026-11-18T11:00:00Z", &moved),
        ["budget.exceeded workspace warning"],
        "late, for the day before"
    );
    assert_eq!(play.acme("2026-11-18T12:00:00Z", &[today("ana", 110)]), NOTHING, "told for today already");
}

#[test]
fn someone_who_left_keeps_what_they_spent() {
    let mut play = daily();
    play.acme("2026-11-18T10:00:00Z", &[today("gone", 60)]);
    let told = play.look("acme", "2026-11-18T12:00:00Z", &[today("ana", 25)]);
    assert_eq!(
        (sentence(&told[0]).as_str(), &told[0].data["spend_usd"]),
        ("budget.threshold_reached workspace warning", &json!("85.00"))
    );
}

#[test]
fn amounts_beyond_belief_do_not_wrap() {
    let mut play = daily();
    let huge = SpendRow { amount: Micros(i64::MAX), ..today("ana", 0) };
    assert_eq!(
        play.acme("2026-11-18T10:00:00Z", &[huge.clone(), SpendRow { user: Some("bo".into()), ..huge }]).len(),
        1
    );
    assert!(Micros::parse_usd("1e300").is_err() && Micros::parse_usd("NaN").is_err());
}

#[test]
fn a_limit_of_nothing_is_passed_by_anything_once() {
    let mut play = Play::one(Rule::Budget(budget(0, PeriodKind::Day, Per::Workspace)));
    assert_eq!(play.acme("2026-11-18T01:00:00Z", &[]), NOTHING);
    assert_eq!(play.acme("2026-11-18T10:00:00Z", &[today("ana", 1)]), ["budget.exceeded workspace critical"]);
    assert_eq!(play.acme("2026-11-18T11:00:00Z", &[today("ana", 2)]), NOTHING);
}

#[test]
fn overlapping_budgets_are_told_each_by_its_own_name() {
    let day_rule = || Rule::Budget(budget(100, PeriodKind::Day, Per::Workspace));
    let mut play = Play::new(vec![("one", &["acme"], day_rule()), ("two", &["acme"], day_rule())]);
    play.acme("2026-11-18T01:00:00Z", &[]);
    let told = play.look("acme", "2026-11-18T10:00:00Z", &[today("ana", 100)]);
    let rules: Vec<_> = told.iter().map(|e| e.data["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["one", "two"]);
    assert_ne!(told[0].id, told[1].id);
}

#[test]
fn the_29th_of_february_is_a_day_of_its_month() {
    let mut play = Play::one(Rule::Budget(budget(100, PeriodKind::Month, Per::Workspace)));
    play.acme("2028-02-28T12:00:00Z", &[row(day("2028-02-28"), "ana", 49)]);
    let told = play.look("acme", "2028-02-29T12:00:00Z", &[row(day("2028-02-29"), "ana", 40)]);
    assert_eq!((&told[0].data["period_start"], &told[0].data["spend_usd"]), (&json!("2028-02-01"), &json!("89.00")));
}

#[test]
fn days_of_23_and_25_hours_are_one_day_each() {
    let zone = Zone { name: "Europe/Berlin".to_owned(), zone: TimeZone::get("Europe/Berlin").unwrap() };
    // The clocks go back on 25 October 2026, and forward on 28 March 2027.
    for (first, midnight_before, midnight_after) in [("2026-10-25", "21", "23"), ("2027-03-28", "22", "22")] {
        let rule = BudgetRule { zone: Some(zone.clone()), ..budget(100, PeriodKind::Day, Per::Workspace) };
        let mut play = Play::one(Rule::Budget(rule));
        let before = plus_days(day(first), -1);
        play.acme(&format!("{before}T12:00:00Z"), &[]);
        // $10 before local midnight, then $90 of the local day, the last of it in its last hour.
        play.acme(&format!("{before}T{midnight_before}:45:00Z"), &[row(before, "ana", 10)]);
        play.acme(&format!("{first}T12:00:00Z"), &[row(day(first), "ana", 40)]);
        let hour: u32 = midnight_after.parse().unwrap();
        let told = play.look("acme", &format!("{first}T{:02}:45:00Z", hour - 1), &[row(day(first), "ana", 85)]);
        assert_eq!(told.len(), 1, "{first}");
        assert_eq!(told[0].data["period_start"], json!(first));
        assert_eq!(
            (&told[0].data["period_alignment"], &told[0].data["spend_usd"]),
            (&json!("local-day"), &json!("85.00"))
        );
    }
}

#[test]
fn weeks_can_start_on_sunday() {
    let week = Period::containing(PeriodKind::Week, day("2026-11-18"), WeekStart::Sunday);
    assert_eq!((week.start, week.end), (day("2026-11-15"), day("2026-11-22")));
}

#[test]
fn a_clock_a_day_off_neither_hides_today_nor_tells_it_twice() {
    let mut play = Play::one(Rule::Budget(budget(100, PeriodKind::Day, Per::Workspace)));
    play.acme("2026-11-17T01:00:00Z", &[]);
    assert_eq!(
        play.acme("2026-11-17T10:00:00Z", &[today("ana", 100)]),
        ["budget.exceeded workspace critical"],
        "a clock that lags, or a source whose day has begun"
    );
    assert_eq!(play.acme("2026-11-18T10:00:00Z", &[today("ana", 100)]), NOTHING, "set right");
    assert_eq!(play.acme("2026-11-19T10:00:00Z", &[today("ana", 101)]), NOTHING, "a clock that leads");
}

#[test]
fn a_clock_set_back_a_day_or_two_judges_no_day_by_it() {
    for back in ["2026-11-17T23:00:00Z", "2026-11-16T12:00:00Z"] {
        let mut play = daily();
        assert_eq!(play.acme("2026-11-18T12:00:00Z", &[today("ana", 40)]), NOTHING);
        let shown = [today("ana", 120), row(day(&back[..10]), "ana", 130)];
        assert_eq!(play.acme(back, &shown), NOTHING, "{back}");
        assert_eq!(play.evaluate(at(back)), [], "as at the start of a process");
        let told = play.acme("2026-11-18T13:00:00Z", &shown);
        assert_eq!(told, ["budget.exceeded workspace warning", "budget.exceeded workspace critical"], "set right");
        assert_eq!(play.acme("2026-11-18T14:00:00Z", &shown), NOTHING);
    }
}

#[test]
fn a_clock_set_back_ten_days_judges_no_day_by_it() {
    let mut play = Play::one(Rule::Budget(budget(100, PeriodKind::Day, Per::Workspace)));
    play.history(day("2026-11-17"), 20, |_| vec![("ana", 150)]);
    assert_eq!(play.acme("2026-11-18T01:00:00Z", &[today("ana", 10)]), NOTHING, "what is past stays silent");
    // A source that asks by this clock shows days that were over long ago, raised a little.
    let shown: Vec<SpendRow> = (5..=8).map(|d| row(day(&format!("2026-11-{d:02}")), "ana", 160)).collect();
    assert_eq!(play.acme("2026-11-08T12:00:00Z", &shown), NOTHING);
    assert_eq!(play.evaluate(at("2026-11-08T12:05:00Z")), [], "as at the start of a process");
    assert_eq!(play.evaluate(at("2026-11-15T12:05:00Z")), [], "set right by steps");
    assert_eq!(play.acme("2026-11-18T13:00:00Z", &[today("ana", 20)]), NOTHING, "set right");
    assert_eq!(play.acme("2026-11-18T14:00:00Z", &[today("ana", 120)]), ["budget.exceeded workspace critical"]);
}

#[test]
fn down_over_midnight_and_over_month_end_tells_what_was_missed_once() {
    let mut play = Play::new(vec![
        ("day", &["acme"], Rule::Budget(budget(100, PeriodKind::Day, Per::Workspace))),
        ("month", &["acme"], Rule::Budget(budget(150, PeriodKind::Month, Per::Workspace))),
    ]);
    play.acme("2026-11-30T20:00:00Z", &[row(day("2026-11-30"), "ana", 40)]);
    let missed = [row(day("2026-11-30"), "ana", 160), row(day("2026-12-01"), "ana", 10)];
    let told = play.look("acme", "2026-12-01T08:00:00Z", &missed);
    let said: Vec<_> = told.iter().map(|e| format!("{} {}", e.data["rule"].as_str().unwrap(), sentence(e))).collect();
    assert_eq!(said, ["day budget.exceeded workspace warning", "month budget.exceeded workspace warning"]);
    assert_eq!(play.acme("2026-12-01T09:00:00Z", &missed), NOTHING);
}

#[test]
fn a_day_that_shrinks_resolves_its_spike_as_corrected() {
    let mut play = Play::one(Rule::Spike(spikes(Per::User)));
    play.history(day("2026-11-17"), 60, |_| vec![("ana", 10)]);
    play.acme("2026-11-17T23:00:00Z", &[]);
    assert_eq!(play.acme("2026-11-18T12:00:00Z", &[today("ana", 100)]).len(), 1);
    let told = play.look("acme", "2026-11-19T12:00:00Z", &[today("ana", 9)]);
    assert_eq!((told[0].kind.as_str(), &told[0].data["resolution"]), ("cost.spike_resolved", &json!("corrected")));
    assert_eq!(play.acme("2026-11-19T13:00:00Z", &[today("ana", 100)]), NOTHING, "once per day");
}

#[test]
fn a_history_with_holes_expects_what_the_known_days_say() {
    let mut play = Play::one(Rule::Spike(spikes(Per::User)));
    play.history(day("2026-11-17"), 60, |at| if at.day() % 3 == 0 { vec![("ana", 10)] } else { vec![] });
    play.acme("2026-11-17T23:00:00Z", &[]);
    let told = play.look("acme", "2026-11-18T12:00:00Z", &[today("ana", 100)]);
    assert_eq!(told[0].data["expected_usd"], json!("10.00"));
}

#[test]
fn a_process_killed_anywhere_tells_the_same_once() {
    let rule = || Rule::Spike(spikes(Per::User));
    let mut one = Play::one(rule());
    one.history(day("2026-11-17"), 60, |_| vec![("ana", 10)]);
    one.acme("2026-11-17T23:00:00Z", &[]);
    let before = one.replay.clone();
    let first = one.look("acme", "2026-11-18T12:00:00Z", &[today("ana", 100)]);
    // What was not committed is read again, a little later.
    one.replay = before;
    one.replay.book("acme", &[today("ana", 104)], at("2026-11-18T12:05:00Z"));
    let mut again = Play::one(rule());
    again.replay = one.replay.clone();
    let second = again.evaluate(at("2026-11-18T12:05:00Z"));
    assert_eq!(first[0].id, second[0].id);
}
