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
    assert_eq!(data["since"], json!("2026-11-18T00:00:00Z"), "the day was not watched before");
}

#[test]
fn b11_a_spike_says_when_the_rise_began() {
    let mut play = per_user();
    for (hour, dollars) in [("08", 2), ("09", 8), ("10", 14)] {
        for half in ["10", "40"] {
            let at = format!("2026-11-18T{hour}:{half}:00Z");
            assert_eq!(play.acme(&at, &[today("ana", if half == "10" { dollars } else { dollars + 1 })]), NOTHING);
        }
    }
    let told = play.look("acme", "2026-11-18T11:10:00Z", &[today("ana", 80)]);
    assert_eq!(told[0].data["since"], json!("2026-11-18T10:00:00Z"), "when $10 had been spent");
    // Told again, because it has doubled since: it has been going on from the first day.
    play.acme("2026-11-19T01:00:00Z", &[]);
    let told = play.look("acme", "2026-11-19T22:00:00Z", &but("2026-11-19", &[("ana", 200)]));
    assert_eq!((&told[0].data["escalation"], &told[0].data["since"]), (&json!(true), &json!("2026-11-18T00:00:00Z")));
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

/// Each user's part of what an event about several lists.
fn members(event: &Event) -> Vec<&str> {
    event.data["members"].as_array().unwrap().iter().map(|m| m["scope"].as_str().unwrap()).collect()
}

#[test]
fn b13_three_more_on_the_same_day_are_one_event_again() {
    let mut play = per_user();
    let first = [("ana", 90), ("bo", 70), ("cy", 80)];
    assert_eq!(play.acme("2026-11-18T10:00:00Z", &but("2026-11-18", &first)), ["cost.spike workspace warning"]);
    let all = [first.as_slice(), &[("ed", 90), ("flo", 95), ("gus", 60)]].concat();
    let told = play.look("acme", "2026-11-18T15:00:00Z", &but("2026-11-18", &all));
    assert_eq!(
        told.iter().map(sentence).collect::<Vec<_>>(),
        ["cost.spike user:flo warning"],
        "once per scope and day"
    );
    assert_eq!(
        (members(&told[0]), &told[0].data["member_count"]),
        (vec!["user:flo", "user:ed", "user:gus"], &json!(3))
    );
    assert_eq!(micros(&told[0], "actual_usd"), usd(245));
    assert_eq!(play.replay.outcome.detections.len(), 6, "each of them was told");
    assert_eq!(play.acme("2026-11-18T16:00:00Z", &but("2026-11-18", &all)), NOTHING);
    // Each of the two ends with the last of those it is about.
    play.acme("2026-11-19T22:00:00Z", &but("2026-11-19", &[("gus", 70)]));
    assert_eq!(play.acme("2026-11-20T01:00:00Z", &[]), ["cost.spike_resolved workspace info"]);
    play.acme("2026-11-20T22:00:00Z", &but("2026-11-20", &[]));
    assert_eq!(play.acme("2026-11-21T01:00:00Z", &[]), ["cost.spike_resolved user:flo info"]);
    assert_eq!(play.replay.outcome.events.last().unwrap().event.data["member_count"], json!(3));
}

#[test]
fn b13_the_first_of_several_ends_them_when_it_is_the_last() {
    let mut play = per_user();
    let first = [("ana", 90), ("bo", 70), ("cy", 80)];
    play.acme("2026-11-18T10:00:00Z", &but("2026-11-18", &first));
    let all = [first.as_slice(), &[("ed", 90), ("flo", 95), ("gus", 60)]].concat();
    play.acme("2026-11-18T15:00:00Z", &but("2026-11-18", &all));
    play.acme("2026-11-19T22:00:00Z", &but("2026-11-19", &[("flo", 70)]));
    assert_eq!(play.acme("2026-11-20T01:00:00Z", &[]), ["cost.spike_resolved workspace info"]);
    play.acme("2026-11-20T22:00:00Z", &but("2026-11-20", &[]));
    assert_eq!(play.acme("2026-11-21T01:00:00Z", &[]), ["cost.spike_resolved user:flo info"]);
}

#[test]
fn b13_several_childrens_spikes_are_not_told_again_for_their_parent() {
    let mut play = office(vec![
        ("all", &["acme"][..], Rule::Spike(spikes(Per::Workspace))),
        ("each", &["acme"][..], Rule::Spike(spikes(Per::User))),
    ]);
    let many = [("ana", 200), ("bo", 220), ("cy", 240)];
    let told = play.look("acme", "2026-11-18T10:00:00Z", &but("2026-11-18", &many));
    assert_eq!(told.iter().map(sentence).collect::<Vec<_>>(), ["cost.spike workspace warning"]);
    assert_eq!(told[0].data["rule"], json!("each"));
}

#[test]
fn b14_a_rise_that_all_shared_ends_when_they_do_not_stand_out_any_more() {
    let told = |after: i64| {
        let mut play = per_user();
        let all: Vec<(&str, i64)> = USERS.iter().map(|user| (*user, 17)).collect();
        let mut told = play.acme("2026-11-18T23:30:00Z", &but("2026-11-18", &all));
        for n in 1..20 {
            let at = plus_days(day("2026-11-18"), n).to_string();
            told.extend(play.acme(&format!("{at}T01:00:00Z"), &[]));
            let all: Vec<(&str, i64)> = USERS.iter().map(|user| (*user, after)).collect();
            told.extend(play.acme(&format!("{at}T23:30:00Z"), &but(&at, &all)));
        }
        let last = &play.replay.outcome.events.last().unwrap().event;
        assert_eq!(last.data["incident"], play.replay.outcome.events[0].event.data["incident"]);
        (told, last.data["resolution"].as_str().map(str::to_owned), last.time)
    };
    let both = ["cost.spike workspace warning", "cost.spike_resolved workspace info"];
    let (back, resolution, at) = told(10);
    assert_eq!((back.as_slice(), resolution.as_deref()), (both.map(str::to_owned).as_slice(), Some("back_to_normal")));
    assert_eq!(at.to_string(), "2026-11-20T01:00:00Z", "once the next day is over");
    let (stays, resolution, _) = told(17);
    assert_eq!((stays.as_slice(), resolution.as_deref()), (both.map(str::to_owned).as_slice(), Some("new_level")));
}

#[test]
fn b14_a_shared_rise_that_was_corrected_away_is_over() {
    let mut play = per_user();
    let all = |dollars| USERS.iter().map(|user| (*user, dollars)).collect::<Vec<(&str, i64)>>();
    play.acme("2026-11-18T23:30:00Z", &but("2026-11-18", &all(17)));
    assert_eq!(play.acme("2026-11-19T01:00:00Z", &[]), ["cost.spike workspace warning"]);
    let told = play.look("acme", "2026-11-19T09:00:00Z", &but("2026-11-18", &all(10)));
    assert_eq!((told[0].kind.as_str(), &told[0].data["resolution"]), ("cost.spike_resolved", &json!("corrected")));
}

#[test]
fn b16_a_source_that_is_first_read_is_no_spike() {
    let mut play = Play::new(vec![("all", &["acme", "claude"], Rule::Spike(spikes(Per::Workspace)))]);
    play.history(day("2026-11-17"), 60, |_| vec![("ana", 10)]);
    play.acme("2026-11-17T23:00:00Z", &[]);
    assert_eq!(play.acme("2026-11-18T10:00:00Z", &[today("ana", 10)]), NOTHING);
    let old: Vec<SpendRow> = (0..60).map(|n| row(plus_days(day("2026-11-18"), -n), "bo", 90)).collect();
    assert!(play.look("claude", "2026-11-18T11:00:00Z", &old).is_empty(), "its history came with it");
    let told = play.look("claude", "2026-11-18T12:00:00Z", &[today("bo", 900)]);
    assert_eq!(told[0].data["baseline"], json!(false));
    let mut play = Play::new(vec![("all", &["acme", "claude"], Rule::Spike(spikes(Per::Workspace)))]);
    play.history(day("2026-11-17"), 60, |_| vec![("ana", 10)]);
    play.acme("2026-11-17T23:00:00Z", &[]);
    let told = play.look("claude", "2026-11-18T11:00:00Z", &[today("bo", 90)]);
    assert_eq!(told[0].data["baseline"], json!(true), "without any it was there at first sight");
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
