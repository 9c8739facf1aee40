use jiff::civil::date;

use super::*;
use crate::domain::money::{Micros, Percent};
use crate::domain::rules::budget::BudgetRule;
use crate::domain::rules::detector::Sensitivity;
use crate::domain::rules::spike::SpikeRule;
use crate::domain::spend::{Basis, Per};
use crate::domain::time::PeriodKind;

const FIRST: Date = date(2026, 8, 3);

fn world() -> World {
    let rule = |name: &str, rule| RuleSpec { name: name.into(), sources: Vec::new(), rule };
    let limit = Micros(60 * Micros::PER_DOLLAR);
    let budget = BudgetRule::new(limit, PeriodKind::Day, Per::Workspace, vec![Percent::WHOLE]);
    World {
        bridge: "b".into(),
        sources: vec!["acme".into()],
        rules: vec![
            rule("daily", Rule::Budget(budget)),
            rule("spikes", Rule::Spike(SpikeRule { per: Per::User, sensitivity: Sensitivity::default() })),
        ],
        ..World::default()
    }
}

fn row(day: Date, user: &str, dollars: i64) -> SpendRow {
    SpendRow {
        day,
        user: Some(user.into()),
        model: None,
        dims: BTreeMap::new(),
        amount: Micros(dollars * Micros::PER_DOLLAR),
        tokens: 0,
        basis: Basis::Billed,
        whole_user: true,
    }
}

/// Two users, $10 a day each; ana spends $100 on the 50th day.
fn history() -> History {
    let day = |n: i64| plus_days(FIRST, n);
    let spent = |n: i64, user: &str| if n == 50 && user == "ana" { 100 } else { 10 };
    let days = (0..60).map(|n| (day(n), ["ana", "bo"].map(|user| row(day(n), user, spent(n, user))).to_vec()));
    History::from([("acme".to_owned(), days.collect())])
}

#[test]
fn a_history_tells_what_it_would_have_told() {
    let outcome = play_days(&world(), &history(), &BTreeMap::new());
    let told: Vec<String> = outcome.events.iter().map(|e| format!("{} {}", e.event.kind, e.event.subject)).collect();
    assert_eq!(told, ["budget.exceeded workspace", "cost.spike user:ana", "cost.spike_resolved user:ana"]);
    let spike = &outcome.detections[0];
    assert_eq!(
        (outcome.detections.len(), &spike.scope, spike.day),
        (1, &Scope::User("ana".into()), plus_days(FIRST, 50))
    );
}

#[test]
fn ids_are_those_of_the_live_path_however_often_it_was_polled() {
    let ids = |outcome: &Outcome| -> BTreeSet<String> {
        outcome.events.iter().filter(|e| e.event.kind != "cost.spike_resolved").map(|e| e.event.id.clone()).collect()
    };
    let whole = play_days(&world(), &history(), &BTreeMap::new());
    let mut polls: BTreeMap<Timestamp, Vec<SpendRow>> = BTreeMap::new();
    for (day, rows) in &history()["acme"] {
        for hour in [6, 12, 18, 23] {
            let so_far = |row: &SpendRow| SpendRow { amount: Micros(row.amount.0 / 24 * (hour + 1)), ..row.clone() };
            polls.insert(
                plus(start_of_utc_day(*day), SignedDuration::from_hours(hour)),
                rows.iter().map(so_far).collect(),
            );
        }
    }
    let polled = play_polls(&world(), "acme", &BTreeMap::new(), &polls);
    assert_eq!(ids(&whole), ids(&polled));
    assert_eq!(ids(&whole).len(), 2);
}

#[test]
fn suggestions_count_what_they_would_tell() {
    let found = suggest::suggest(&world(), &history(), &BTreeMap::new());
    let daily = found.iter().find(|s| s.name == "daily-budget").unwrap();
    assert!(daily.toml.contains("limit_usd = 120") && daily.alerts == 0, "{daily:?}");
    let presets: Vec<(bool, usize)> =
        found.iter().filter(|s| s.name == "spend-spike").map(|s| (s.chosen, s.alerts)).collect();
    assert_eq!(presets, [(false, 1), (true, 1), (false, 1)]);
}
