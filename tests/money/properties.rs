use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::backtest::{History, play_days};
use ampbridge::domain::cycle::World;
use ampbridge::domain::money::Micros;
use ampbridge::domain::rules::detector::Sensitivity;
use ampbridge::domain::rules::spike::SpikeRule;
use ampbridge::domain::rules::{Rule, RuleSpec};
use ampbridge::domain::spend::{Per, SpendRow};
use ampbridge::domain::time::{PeriodKind, SignedDuration, Timestamp, plus, plus_days};
use jiff::civil::Date;
use proptest::prelude::*;

use crate::play::{Play, at, budget, day, row, spikes};

const USERS: [&str; 4] = ["ana", "bo", "cy", "di"];

/// One thing that happens: rows of a day near today, a jump of the clock, an edited limit, a restart, or nothing.
#[derive(Debug, Clone)]
enum Step {
    Rows(Vec<(i64, usize, i64)>),
    Clock(i64),
    Limit(i64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = prop::collection::vec((0_i64..5, 0_usize..4, 0_i64..400), 1..6).prop_map(Step::Rows);
    let step = prop_oneof![
        6 => rows,
        3 => (-20_i64..60).prop_map(Step::Clock),
        1 => (20_i64..300).prop_map(Step::Limit),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

fn rules() -> Vec<(&'static str, &'static [&'static str], Rule)> {
    vec![
        ("day", &["acme"], Rule::Budget(budget(100, PeriodKind::Day, Per::User))),
        ("month", &["acme"], Rule::Budget(budget(900, PeriodKind::Month, Per::Workspace))),
        ("spike", &["acme"], Rule::Spike(spikes(Per::User))),
        ("all", &["acme"], Rule::Spike(spikes(Per::Workspace))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn at_most_one_event_per_fact_whatever_happens(steps in steps()) {
        let mut play = Play::new(rules());
        play.history(day("2026-11-01"), 30, |_| USERS.map(|user| (user, 20)).to_vec());
        let mut now: Timestamp = at("2026-11-02T06:00:00Z");
        let mut ids: BTreeSet<String> = BTreeSet::new();
        for step in steps {
            now = plus(now, SignedDuration::from_mins(20));
            match step {
                Step::Rows(rows) => {
                    let today = ampbridge::domain::time::utc_day(now);
                    let rows: Vec<SpendRow> = rows.iter().map(|(back, user, usd)| row(plus_days(today, -back), USERS[*user], *usd)).collect();
                    play.replay.book("acme", &rows, now);
                }
                Step::Clock(hours) => now = plus(now, SignedDuration::from_hours(hours)),
                Step::Limit(limit) => play.edit(|rules| {
                    if let Rule::Budget(budget) = &mut rules[0].rule {
                        budget.limit = Micros(limit * Micros::PER_DOLLAR);
                    }
                }),
                // Everything that is remembered is in documents and the ledger.
                Step::Restart => {
                    let kept = play.replay.clone();
                    play.replay = kept;
                }
            }
            for event in play.evaluate(now) {
                prop_assert!(ids.insert(event.id.clone()), "{} {} twice", event.kind, event.subject);
                if let Some(parts) = event.data.get("attribution").and_then(|p| p.as_array()) {
                    let usd = |v: &serde_json::Value| Micros::parse_usd(v.as_str().unwrap()).unwrap();
                    let sum: Micros = parts.iter().map(|p| usd(&p["excess_usd"])).sum();
                    prop_assert_eq!(sum, usd(&event.data["excess_usd"]), "{}", event.id);
                }
            }
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(mut rows in prop::collection::vec((0_usize..4, 0_i64..200), 1..12), turn in 0_usize..12) {
        let told = |rows: &[(usize, i64)]| {
            let mut play = Play::new(rules());
            play.history(day("2026-11-17"), 30, |_| USERS.map(|user| (user, 20)).to_vec());
            play.acme("2026-11-17T23:00:00Z", &[]);
            // One row for each user: of two with one key the last counts.
            let rows: BTreeMap<usize, i64> = rows.iter().copied().collect();
            let rows: Vec<SpendRow> = rows.iter().map(|(user, usd)| row(day("2026-11-18"), USERS[*user], *usd)).collect();
            play.acme("2026-11-18T10:00:00Z", &rows)
        };
        let of_each: BTreeMap<usize, i64> = rows.iter().copied().collect();
        rows = of_each.into_iter().collect();
        let before = told(&rows);
        let n = rows.len();
        rows.rotate_left(turn % n);
        prop_assert_eq!(before, told(&rows));
    }

    #[test]
    fn scaling_all_money_scales_all_amounts(seed in 0_u64..500, k in 2_i64..50) {
        let history = noisy(seed);
        let one = play_days(&world(1.0), &history, &BTreeMap::new());
        let scaled: History = history
            .iter()
            .map(|(source, days)| {
                let times = |row: &SpendRow| SpendRow { amount: Micros(row.amount.0 * k), ..row.clone() };
                (source.clone(), days.iter().map(|(day, rows)| (*day, rows.iter().map(times).collect())).collect())
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let many = play_days(&world(k as f64), &scaled, &BTreeMap::new());
        let facts = |outcome: &ampbridge::domain::backtest::Outcome, k: i64| -> Vec<(String, String, i64)> {
            let spikes = outcome.events.iter().filter(|e| e.event.kind == "cost.spike");
            spikes
                .map(|e| {
                    let usd = Micros::parse_usd(e.event.data["actual_usd"].as_str().unwrap()).unwrap();
                    (e.event.id.clone(), e.event.severity.to_string(), usd.0 * k)
                })
                .collect()
        };
        prop_assert_eq!(facts(&one, k), facts(&many, 1));
    }

    #[test]
    fn a_replay_gives_the_same_events(seed in 0_u64..500) {
        let history = noisy(seed);
        let text = || format!("{:?}", play_days(&world(1.0), &history, &BTreeMap::new()).events);
        prop_assert_eq!(text(), text());
    }
}

fn world(scale: f64) -> World {
    let sensitivity = Sensitivity { floor_usd: 5.0 * scale, ..Sensitivity::default() };
    let rule = Rule::Spike(SpikeRule { per: Per::User, sensitivity });
    let rules = vec![RuleSpec { name: "spikes".into(), sources: Vec::new(), rule }];
    World { bridge: "b".into(), sources: vec!["acme".into()], rules, ..World::default() }
}

/// Two months of four users with noise, and some days far above the rest.
fn noisy(seed: u64) -> History {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        i64::try_from(state % below).unwrap()
    };
    let mut days: BTreeMap<Date, Vec<SpendRow>> = BTreeMap::new();
    for n in 0..60 {
        let day = plus_days(day("2026-09-01"), n);
        let rows = USERS.map(|user| {
            let usual = 8_000_000 + next(4_000_000);
            let amount = if next(40) == 0 { usual * (3 + next(9)) } else { usual };
            SpendRow { amount: Micros(amount), ..row(day, user, 0) }
        });
        days.insert(day, rows.to_vec());
    }
    History::from([("acme".to_owned(), days)])
}
