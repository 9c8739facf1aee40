use std::collections::BTreeMap;

use ampbridge::domain::event::Event;
use ampbridge::domain::money::Micros;
use ampbridge::domain::rules::Rule;
use ampbridge::domain::spend::{Per, SpendRow};
use ampbridge::domain::time::plus_days;
use serde_json::json;

use crate::play::{Play, day, row, sentence, spikes, usd};

const NOTHING: [&str; 0] = [];
const USERS: [&str; 12] = ["ana", "bo", "cy", "di", "ed", "flo", "gus", "hal", "ida", "jo", "kim", "lea"];

/// Twelve users at some $10 a day for sixty days up to the 17th, looked at once.
fn office(rules: Vec<(&str, &[&str], Rule)>) -> Play {
    let mut play = Play::new(rules);
    play.history(day("2026-11-17"), 60, |at| {
        USERS.iter().zip(0_i64..).map(|(user, n)| (*user, 9 + (i64::from(at.day()) + n * 7) % 3)).collect()
    });
    assert!(play.acme("2026-11-17T23:00:00Z", &[]).is_empty());
    play
}

fn per_user() -> Play {
    office(vec![("spikes", &["acme"], Rule::Spike(spikes(Per::User)))])
}

fn today(user: &str, dollars: i64) -> SpendRow {
    row(day("2026-11-18"), user, dollars)
}

/// Everybody at $10, but for these.
fn but(at: &str, spent: &[(&'static str, i64)]) -> Vec<SpendRow> {
    let special: BTreeMap<&str, i64> = spent.iter().copied().collect();
    USERS.iter().map(|user| row(day(at), user, special.get(user).copied().unwrap_or(10))).collect()
}

fn micros(event: &Event, key: &str) -> Micros {
    Micros::parse_usd(event.data[key].as_str().unwrap()).unwrap()
}

#[test]
fn b11_a_spike_says_how_much_how_unusual_and_how_far_it_is_known() {
    let mut play = per_user();
    let told = play.look("acme", "2026-11-18T10:00:00Z", &[today("ana", 80)]);
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["cost.spike user:ana warning"]);
    let data = &told[0].data;
    assert_eq!(
        (&data["lower_bound"], &data["date"], &data["baseline"]),
        (&json!(true), &json!("2026-11-18"), &json!(false))
    );
    assert!(data["score"].as_f64() > data["score_needed"].as_f64() && data["history_days"].as_u64() == Some(28));
    assert_eq!(micros(&told[0], "actual_usd") - micros(&told[0], "expected_usd"), micros(&told[0], "excess_usd"));
}

#[test]
fn b12_the_parts_of_a_rise_sum_to_it_exactly_and_say_why() {
    let mut play = office(vec![("spikes", &["acme"], Rule::Spike(spikes(Per::Workspace)))]);
    let odd = |user: &str, model: &str, micros: i64| SpendRow {
        model: Some(model.to_owned()),
        amount: Micros(micros),
        ..today(user, 0)
    };
    let mut rows = but("2026-11-18", &[]);
    rows.extend([odd("ana", "new", 333_333_337), odd("bo", "new", 41_000_001), odd("cy", "x", 7_777_777)]);
    let told = play.look("acme", "2026-11-18T10:00:00Z", &rows);
    assert_eq!(told.len(), 1, "{:?}", told.iter().map(sentence).collect::<Vec<_>>());
    let parts = told[0].data["attribution"].as_array().unwrap();
    let sum: Micros = parts.iter().map(|p| Micros::parse_usd(p["excess_usd"].as_str().unwrap()).unwrap()).sum();
    assert_eq!(sum, micros(&told[0], "excess_usd"));
    assert_eq!(
        (&parts[0]["who"]["id"], &parts[0]["model"], &parts[0]["reason"]),
        (&json!("ana"), &json!("new"), &json!("new"))
    );
    assert!(parts.len() <= 6 && parts.last().unwrap()["reason"] == json!("others"));
}

#[test]
fn b13_three_at_once_are_one_event_that_lists_them() {
    let mut play = per_user();
    let told = play.look("acme", "2026-11-18T10:00:00Z", &but("2026-11-18", &[("ana", 90), ("bo", 70), ("cy", 80)]));
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["cost.spike workspace warning"]);
    let members: Vec<&str> =
        told[0].data["members"].as_array().unwrap().iter().map(|m| m["scope"].as_str().unwrap()).collect();
    assert_eq!(members, ["user:ana", "user:cy", "user:bo"]);
    let sum: Micros = told[0].data["attribution"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| Micros::parse_usd(p["excess_usd"].as_str().unwrap()).unwrap())
        .sum();
    assert_eq!(sum, micros(&told[0], "excess_usd"));
    assert_eq!(play.acme("2026-11-18T11:00:00Z", &but("2026-11-18", &[("ana", 95), ("bo", 75), ("cy", 85)])), NOTHING);
}

#[test]
fn b13_a_rise_that_all_share_is_one_event_and_nobodys_spike() {
    let mut play = per_user();
    let all: Vec<(&str, i64)> = USERS.iter().map(|user| (*user, 17)).collect();
    assert_eq!(play.acme("2026-11-18T23:30:00Z", &but("2026-11-18", &all)), NOTHING, "nobody doubled");
    assert_eq!(play.acme("2026-11-19T01:00:00Z", &[]), ["cost.spike workspace warning"]);
    let event = &play.replay.outcome.events.last().unwrap().event;
    assert!(event.data["shared_percent"].as_f64().unwrap() >= 30.0);
    assert_eq!(play.acme("2026-11-19T23:30:00Z", &but("2026-11-19", &all)), NOTHING, "the same rise");
    assert_eq!(play.acme("2026-11-20T01:00:00Z", &[]), NOTHING);
}

#[test]
fn b13_when_all_double_it_is_one_event_too() {
    let mut play = per_user();
    let all: Vec<(&str, i64)> = USERS.iter().map(|user| (*user, 30)).collect();
    let told = play.look("acme", "2026-11-18T23:30:00Z", &but("2026-11-18", &all));
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["cost.spike workspace warning"]);
    assert_eq!(told[0].data["member_count"], json!(12));
    let again = play.acme("2026-11-19T01:00:00Z", &[]);
    assert_eq!(again, NOTHING);
}

#[test]
fn b13_a_childs_spike_is_not_told_again_for_its_parent() {
    let rules = || {
        vec![
            ("all", &["acme"][..], Rule::Spike(spikes(Per::Workspace))),
            ("each", &["acme"][..], Rule::Spike(spikes(Per::User))),
        ]
    };
    let mut play = office(rules());
    assert_eq!(play.acme("2026-11-18T10:00:00Z", &but("2026-11-18", &[("ana", 600)])), ["cost.spike user:ana warning"]);
    assert_eq!(play.acme("2026-11-18T11:00:00Z", &but("2026-11-18", &[("ana", 700)])), NOTHING);
}

#[test]
fn b14_inside_an_episode_only_twice_the_peak_is_news() {
    let mut play = per_user();
    assert_eq!(play.acme("2026-11-18T22:00:00Z", &but("2026-11-18", &[("ana", 80)])), ["cost.spike user:ana warning"]);
    assert_eq!(play.acme("2026-11-19T22:00:00Z", &but("2026-11-19", &[("ana", 90)])), NOTHING);
    let told = play.look("acme", "2026-11-20T22:00:00Z", &but("2026-11-20", &[("ana", 200)]));
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["cost.spike user:ana warning"]);
    assert_eq!(told[0].data["escalation"], json!(true));
}

#[test]
fn b14_an_episode_ends_when_spend_falls_and_can_begin_again() {
    let mut play = per_user();
    assert_eq!(play.acme("2026-11-18T22:00:00Z", &but("2026-11-18", &[("ana", 80)])).len(), 1);
    play.acme("2026-11-19T22:00:00Z", &but("2026-11-19", &[]));
    assert_eq!(play.acme("2026-11-20T01:00:00Z", &[]), ["cost.spike_resolved user:ana info"]);
    assert_eq!(play.acme("2026-11-20T22:00:00Z", &but("2026-11-20", &[("ana", 80)])), ["cost.spike user:ana warning"]);
}

#[test]
fn b14_a_level_that_stays_is_told_once_and_then_usual() {
    let mut play = per_user();
    let mut told = Vec::new();
    for n in 0..14 {
        let at = plus_days(day("2026-11-18"), n).to_string();
        told.extend(play.acme(&format!("{at}T22:00:00Z"), &but(&at, &[("ana", 60)])));
    }
    assert_eq!(told, ["cost.spike user:ana warning", "cost.spike_resolved user:ana info"]);
    let resolved = &play.replay.outcome.events.last().unwrap().event;
    assert_eq!(resolved.data["resolution"], json!("new_level"));
}

#[test]
fn b15_what_is_small_beside_the_month_wakes_nobody() {
    let mut play = per_user();
    // Twelve users at $10 are $3,600 a month: a hundredth of it is $36.
    assert_eq!(play.acme("2026-11-18T22:00:00Z", &[today("ana", 40)]), ["cost.spike user:ana info"]);
    assert_eq!(play.acme("2026-11-18T22:30:00Z", &[today("bo", 60)]), ["cost.spike user:bo warning"]);
}

#[test]
fn b16_history_is_learned_silently_and_a_backfill_never_pages() {
    let mut play = Play::one(Rule::Spike(spikes(Per::User)));
    play.history(day("2026-11-17"), 60, |at| vec![("ana", if at.day() == 10 { 500 } else { 10 })]);
    assert_eq!(play.acme("2026-11-17T23:00:00Z", &[]), NOTHING);
    let old: Vec<SpendRow> =
        (1..9).map(|n| row(day("2026-10-01").saturating_add(jiff::Span::new().days(n)), "bo", 900)).collect();
    assert_eq!(play.acme("2026-11-18T10:00:00Z", &old), NOTHING);
}

#[test]
fn a_spike_of_the_hour_is_told_in_the_hour_where_it_is_usual_to_spend_early() {
    let mut play = Play::one(Rule::Spike(spikes(Per::User)));
    play.history(day("2026-10-28"), 40, |_| vec![("ana", 20)]);
    play.acme("2026-10-28T23:00:00Z", &[]);
    // Three weeks of days whose half is spent by ten.
    for n in 0..20 {
        let at = plus_days(day("2026-10-29"), n);
        for (hour, dollars) in [("02", 2), ("06", 5), ("10", 10), ("16", 16), ("22", 20)] {
            play.replay.book("acme", &[row(at, "ana", dollars)], format!("{at}T{hour}:10:00Z").parse().unwrap());
        }
        assert!(play.evaluate(format!("{at}T22:20:00Z").parse().unwrap()).is_empty());
    }
    let needed = |hour: &str| {
        // The least that alerts, by trying.
        (20..200).find(|dollars| {
            let mut again = Play::one(Rule::Spike(spikes(Per::User)));
            again.replay = play.replay.clone();
            !again.acme(&format!("2026-11-18T{hour}:10:00Z"), &[row(day("2026-11-18"), "ana", *dollars)]).is_empty()
        })
    };
    let (early, late) = (needed("10").unwrap(), needed("22").unwrap());
    assert!(early < late && usd(early) >= usd(25), "{early} {late}");
}
