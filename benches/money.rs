//! Money: the detector, a poll's plan for a large workspace, the guard, a year in the store.
//!
//! `cargo bench --bench money`; `MONEY_USERS` and `MONEY_MODELS` say how large the workspace is.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, reads the clock, and stops where it cannot go on"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "support/on_disk.rs"]
mod on_disk;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use ampbridge::domain::backtest::Replay;
use ampbridge::domain::cycle::{Plan, World};
use ampbridge::domain::guard::{self, Question};
use ampbridge::domain::money::{Micros, Percent};
use ampbridge::domain::rules::budget::BudgetRule;
use ampbridge::domain::rules::detector::{Detector, Sensitivity};
use ampbridge::domain::rules::spike::SpikeRule;
use ampbridge::domain::rules::{Rule, RuleSpec};
use ampbridge::domain::spend::{Basis, DaySpend, Per, SpendRow};
use ampbridge::domain::time::{PeriodKind, SignedDuration, Timestamp, plus, plus_days, start_of_utc_day};

use ampbridge::store::{Store, Sync, sled};
use jiff::civil::{Date, date};
use support::{median, ms, print_head, print_row};

const TODAY: Date = date(2026, 11, 18);
const DAYS: i64 = 75;
const POLLS: i64 = 15;

fn main() {
    let users: usize = support::setting("MONEY_USERS", 10_000);
    let models: usize = support::setting("MONEY_MODELS", 5);
    if on_disk::is_part(users, models) {
        return;
    }
    println!("\n{}\n", support::machine());
    print_head(&["what", "figure"]);
    detector();
    poll(users, models);
    on_disk::measure();
    year(1_000, 5);
}

/// A cheap, repeatable number in `[0, 1)`.
fn noise(n: u64) -> f64 {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1_u64 << 53) as f64
}

fn detector() {
    const SCOPES: u64 = 1_000;
    const LENGTH: u64 = 180;
    let begun = Instant::now();
    for scope in 0..SCOPES {
        let mut detector = Detector::default();
        for n in 0..LENGTH {
            let usd = 10.0 + 10.0 * noise(scope * LENGTH + n);
            let day = plus_days(date(2026, 1, 1), i64::try_from(n).expect("small"));
            black_box(detector.fold(day, usd, 0.0, Sensitivity::default()));
        }
        black_box(&detector);
    }
    let each = begun.elapsed().as_secs_f64() / (SCOPES * LENGTH) as f64 * 1e6;
    print_row(&["detector, a scope and day", &format!("{each:.2} µs")]);
}

fn rows(day: Date, users: usize, models: usize, part: f64) -> Vec<SpendRow> {
    let mut rows = Vec::with_capacity(users * models);
    for user in 0..users {
        for model in 0..models {
            let seed = (user * 31 + model) as u64 + u64::from(day.day().unsigned_abs()) * 7919;
            rows.push(SpendRow {
                day,
                user: Some(format!("user_{user:06}")),
                model: Some(format!("model-{model}")),
                dims: BTreeMap::new(),
                amount: Micros::from_estimate((1.0 + noise(seed)) * part),
                tokens: 1_000,
                basis: Basis::Billed,
                whole_user: true,
            });
        }
    }
    rows
}

fn world() -> World {
    let budget = |dollars: i64, period, per| {
        let limit = Micros(dollars * Micros::PER_DOLLAR);
        Rule::Budget(BudgetRule::new(limit, period, per, [50, 80, 100].map(|t| Percent(t * 1000)).to_vec()))
    };
    let spikes = |per| Rule::Spike(SpikeRule { per, sensitivity: Sensitivity::default() });
    let rules = [
        ("daily", budget(1_000_000, PeriodKind::Day, Per::Workspace)),
        ("monthly", budget(10_000_000, PeriodKind::Month, Per::Workspace)),
        ("person", budget(500, PeriodKind::Day, Per::User)),
        ("spikes", spikes(Per::User)),
        ("all", spikes(Per::Workspace)),
    ];
    let spec = |(name, rule): (&str, Rule)| RuleSpec { name: name.to_owned(), sources: Vec::new(), rule };
    World { bridge: "b".into(), sources: vec!["acme".into()], rules: rules.map(spec).to_vec(), ..World::default() }
}

/// A look at a workspace whose every row moved, every five minutes.
fn poll(users: usize, models: usize) {
    let world = world();
    let mut replay = Replay::new(&world, |_| true);
    for back in (1..=DAYS).rev() {
        let day = plus_days(TODAY, -back);
        replay.book(
            "acme",
            &rows(day, users, models, 1.0),
            plus(start_of_utc_day(day), SignedDuration::from_hours(23)),
        );
    }
    let booked_only = support::rss();
    let begun = Instant::now();
    replay.evaluate(start_of_utc_day(TODAY));
    let first = begun.elapsed();
    let (mut booked, mut planned) = (Vec::new(), Vec::new());
    let mut now = start_of_utc_day(TODAY);
    for n in 1..=POLLS {
        now = plus(now, SignedDuration::from_mins(5));
        let rows = rows(TODAY, users, models, n as f64 / POLLS as f64);
        let begun = Instant::now();
        replay.book("acme", &rows, now);
        booked.push(begun.elapsed());
        let begun = Instant::now();
        replay.evaluate(now);
        planned.push(begun.elapsed());
    }
    let name = |what: &str| format!("{what}, {users} users x {models} models");
    print_row(&[&name("first evaluation (learns)"), &ms(first)]);
    print_row(&[&name("rows of a look booked"), &ms(median(booked.iter().copied()))]);
    print_row(&[&name("evaluation after a look"), &ms(median(planned.iter().copied()))]);
    let both = booked.iter().zip(&planned).map(|(a, b)| *a + *b);
    print_row(&[&name("a poll's plan"), &ms(median(both))]);
    print_row(&[&format!("resident memory, {DAYS} days booked"), &booked_only]);
    print_row(&["the same after all polls and their plans", &support::rss()]);
    guard_of(&world, &replay, now);
}

fn guard_of(world: &World, replay: &Replay, now: Timestamp) {
    let question = Question { scopes: Vec::new(), rule: None, max_age: guard::MAX_AGE };
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            let known = replay.load(&guard::needs(world, now));
            black_box(guard::answer(world, &known, now, &question));
            begun.elapsed()
        })
        .collect();
    times.sort();
    print_row(&[
        "guard, workspace: median, p99",
        &format!("{} µs, {} µs", times[100].as_micros(), times[197].as_micros()),
    ]);
}

/// A year in the store: how large, how long to read.
fn year(users: usize, models: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    runtime.block_on(async {
        let store = sled::open(folder.path(), Sync::Process, "bench").expect("a store");
        fill(&store, users, models).await;
        store.close().await.expect("closed");
        let size = support::folder_bytes(folder.path()) as f64 / 1e6;
        print_row(&[&format!("a year of {users} users x {models} models on disk"), &format!("{size:.0} MB")]);
        let store = sled::open(folder.path(), Sync::Process, "bench").expect("a store");
        let needs = ampbridge::domain::cycle::Needs {
            ledger: vec![("acme".to_owned(), plus_days(TODAY, -364), TODAY)],
            ..Default::default()
        };
        let begun = Instant::now();
        let known = store.load(&needs, None).await.expect("loaded");
        print_row(&["  the same read whole", &format!("{} ({} days)", ms(begun.elapsed()), known.ledger.days.len())]);
        store.close().await.expect("closed");
    });
}

async fn fill(store: &dyn Store, users: usize, models: usize) {
    for back in (0..365).rev() {
        let day = plus_days(TODAY, -back);
        let spend = DaySpend::upserted(None, &rows(day, users, models, 1.0), start_of_utc_day(TODAY)).expect("rows");
        let plan = Plan { spend: BTreeMap::from([(("acme".to_owned(), day), Arc::new(spend))]), ..Plan::default() };
        store.commit(&plan).await.expect("committed");
    }
}
