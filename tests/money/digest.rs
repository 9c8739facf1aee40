use ampbridge::domain::rules::Rule;
use ampbridge::domain::spend::Per;
use ampbridge::domain::spend_digest::{self, MoneyDigest};
use ampbridge::domain::time::PeriodKind;
use ampbridge::render::digest_lines as lines;

use crate::play::{Play, at, budget, day, row, spikes, usd};

fn office() -> Play {
    let mut play = Play::new(vec![
        ("person", &["acme"], Rule::Budget(budget(40, PeriodKind::Day, Per::User))),
        ("spikes", &["acme"], Rule::Spike(spikes(Per::User))),
    ]);
    play.world.sources = vec!["acme".to_owned()];
    play.history(day("2026-11-17"), 60, |_| vec![("ana", 10), ("bo", 20)]);
    play.acme("2026-11-17T23:00:00Z", &[]);
    play
}

fn digest(play: &Play, now: &str) -> Option<MoneyDigest> {
    let (now, from, to) = (at(now), day("2026-11-18"), day("2026-11-19"));
    let known = play.replay.load(&spend_digest::needs(&play.world, now, from, to));
    spend_digest::money(&play.world, &known, now, from, to)
}

#[test]
fn b19_a_day_against_its_usual_who_moved_and_what_nears_its_limit() {
    let mut play = office();
    play.acme("2026-11-18T22:00:00Z", &[row(day("2026-11-18"), "ana", 35), row(day("2026-11-18"), "bo", 2)]);
    let digest = digest(&play, "2026-11-18T22:30:00Z").unwrap();
    assert_eq!((digest.total_usd, digest.expected_usd), (usd(37), Some(usd(30))));
    let movers: Vec<_> = digest.movers.iter().map(|m| (m.scope.as_str(), m.actual_usd, m.expected_usd)).collect();
    assert_eq!(movers, [("user:ana", usd(35), usd(10)), ("user:bo", usd(2), usd(20))]);
    let near: Vec<_> = digest.near_limits.iter().map(|n| (n.scope.as_str(), n.percent)).collect();
    assert_eq!(near, [("user:ana", Some(87.5))]);
    assert_eq!(
        lines(&digest),
        [
            "Spent $37 on 2026-11-18, expected $30",
            "ana $35, $25 more than usual",
            "bo $2, $18 less than usual",
            "ana $35 of $40 a day, 87 %",
        ]
    );
}

#[test]
fn b19_days_nobody_answered_for_are_gaps_and_not_zero() {
    let play = office();
    let digest = digest(&play, "2026-11-19T12:00:00Z").unwrap();
    assert_eq!(digest.gaps.len(), 1);
    assert!(lines(&digest).iter().any(|l| l.contains("unknown")), "{:?}", lines(&digest));
}

#[test]
fn b19_nothing_to_say_is_nothing_sent() {
    let mut play = Play::new(Vec::new());
    play.world.sources = vec!["acme".to_owned()];
    play.replay.book("acme", &[], at("2026-11-18T22:00:00Z"));
    assert_eq!(digest(&play, "2026-11-18T22:30:00Z"), None);
}
