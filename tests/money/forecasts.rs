use ampbridge::domain::rules::Rule;
use ampbridge::domain::spend::Per;
use ampbridge::domain::spend_digest;
use ampbridge::domain::time::{PeriodKind, plus_days};
use jiff::civil::Date;
use serde_json::json;

use crate::play::{Play, budget, day, row, sentence};

const NOTHING: [&str; 0] = [];

/// A month's budget, and $10 a day for two months up to the end of October.
fn month(limit: i64) -> Play {
    let mut play = Play::one(Rule::Budget(budget(limit, PeriodKind::Month, Per::Workspace)));
    play.history(day("2026-10-31"), 60, |_| vec![("ana", 10)]);
    play.acme("2026-10-31T23:00:00Z", &[]);
    play
}

/// The forecasts told while `dollars` a day are spent from the first of November on.
fn told_from_november(play: &mut Play, days: i64, dollars: impl Fn(Date) -> i64) -> Vec<(Date, serde_json::Value)> {
    let mut told = Vec::new();
    for n in 0..days {
        let today = plus_days(day("2026-11-01"), n);
        for hour in ["00", "12", "23"] {
            let spent = if hour == "00" { 0 } else { dollars(today) };
            let events = play.look("acme", &format!("{today}T{hour}:30:00Z"), &[row(today, "ana", spent)]);
            told.extend(
                events
                    .into_iter()
                    .filter(|e| e.kind == "budget.forecast_exceeded")
                    .map(|e| (today, serde_json::to_value(e.data).unwrap())),
            );
        }
    }
    told
}

#[test]
fn b10_a_month_that_will_not_hold_is_told_once_days_ahead() {
    let mut play = month(250);
    let told = told_from_november(&mut play, 20, |_| 10);
    assert_eq!(told.len(), 1, "{told:?}");
    let (on, data) = &told[0];
    assert_eq!(
        *on,
        day("2026-11-07"),
        "from the sixth day on four fifths of the rest are enough: two evaluations that agree"
    );
    assert_eq!(
        (&data["forecast_usd"], &data["limit_usd"], &data["reached_on"]),
        (&json!("300.00"), &json!("250.00"), &json!("2026-11-25"))
    );
    let number = |key: &str| data[key].as_str().unwrap().parse::<f64>().unwrap();
    assert!(number("low_usd") < 300.0 && number("high_usd") > 300.0);
}

#[test]
fn b10_a_month_that_holds_says_nothing_and_nor_does_a_day() {
    assert!(told_from_november(&mut month(400), 30, |_| 10).is_empty());
    let mut play = Play::one(Rule::Budget(budget(11, PeriodKind::Day, Per::Workspace)));
    play.history(day("2026-10-31"), 60, |_| vec![("ana", 10)]);
    assert!(told_from_november(&mut play, 10, |_| 10).is_empty());
}

#[test]
fn b10_nothing_is_said_before_the_fifth_day_however_plain_it_is() {
    let mut play = month(70);
    let told = told_from_november(&mut play, 10, |_| 10);
    assert_eq!(told.iter().map(|(on, _)| *on).collect::<Vec<_>>(), [day("2026-11-05")]);
}

#[test]
fn b19_a_digest_lists_no_limit_as_not_holding_that_holds_by_its_last_forecast() {
    let mut play = month(240);
    assert_eq!(told_from_november(&mut play, 6, |_| 10).len(), 1);
    let (mut ahead, mut withdrawn) = (0, 0);
    for n in 6..16 {
        let today = plus_days(day("2026-11-01"), n);
        for hour in ["00", "23"] {
            play.acme(&format!("{today}T{hour}:30:00Z"), &[row(today, "ana", 0)]);
        }
        let (now, from) = (format!("{today}T23:40:00Z").parse().unwrap(), plus_days(today, -1));
        let sources = ["acme".to_owned()];
        let known = play.replay.load(&spend_digest::needs(&play.world, &sources, now, from, today));
        let digest = spend_digest::money(&play.world, &sources, &known, now, from, today).unwrap();
        assert!(digest.ahead.iter().all(|a| a.forecast_usd >= a.limit_usd), "{today}: {:?}", digest.ahead);
        (ahead, withdrawn) = (ahead + digest.ahead.len(), withdrawn + digest.withdrawn.len());
    }
    assert!(ahead > 0 && withdrawn > 0, "{ahead} {withdrawn}");
}

#[test]
fn b10_two_weeks_of_history_are_needed() {
    let mut play = Play::one(Rule::Budget(budget(100, PeriodKind::Month, Per::Workspace)));
    play.history(day("2026-10-31"), 6, |_| vec![("ana", 10)]);
    play.acme("2026-10-31T23:00:00Z", &[]);
    let told = told_from_november(&mut play, 9, |_| 10);
    assert!(told.iter().all(|(on, _)| *on >= day("2026-11-09")), "{told:?}");
}

#[test]
fn b10_nothing_is_forecast_once_the_limit_is_passed() {
    let told = told_from_november(&mut month(40), 25, |_| 10);
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn b9_forecasts_pause_while_a_day_is_not_whole() {
    let mut play = month(250);
    for n in 0..6 {
        let today = plus_days(day("2026-11-01"), n);
        play.look("acme", &format!("{today}T12:30:00Z"), &[row(today, "ana", 10)]);
    }
    // The bridge was down over midnight: nobody knows the rest of the sixth yet.
    let events = play.evaluate("2026-11-07T00:30:00Z".parse().unwrap());
    assert!(events.is_empty(), "{:?}", events.iter().map(sentence).collect::<Vec<_>>());
}

/// What a week's budget tells while $10 a day are spent, after two months of the same: the day, and what.
fn told_in_a_week(limit: i64) -> (Play, Vec<(Date, String)>) {
    let mut play = Play::one(Rule::Budget(budget(limit, PeriodKind::Week, Per::Workspace)));
    play.history(day("2026-11-01"), 60, |_| vec![("ana", 10)]);
    play.acme("2026-11-01T23:00:00Z", &[]);
    let mut told = Vec::new();
    for n in 0..7 {
        let today = plus_days(day("2026-11-02"), n);
        for hour in ["00", "23"] {
            let rows = [row(today, "ana", if hour == "00" { 0 } else { 10 })];
            told.extend(play.acme(&format!("{today}T{hour}:30:00Z"), &rows).into_iter().map(|s| (today, s)));
        }
    }
    told.retain(|(_, s)| s.starts_with("budget.forecast"));
    (play, told)
}

#[test]
fn b10_a_week_speaks_from_its_third_day() {
    let (mut play, told) = told_in_a_week(60);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, day("2026-11-05"), "the third day and the one after agree");
    assert_eq!(play.acme("2026-11-08T23:40:00Z", &[]), NOTHING);
    let (_, told) = told_in_a_week(40);
    assert_eq!(told.iter().map(|(on, _)| *on).collect::<Vec<_>>(), [day("2026-11-04")], "no sooner, however plain");
}
