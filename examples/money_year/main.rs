//! A year of a company of 200 users and three sources in virtual time: what a channel would have heard.
//!
//! `cargo run --release --example money_year [USERS] [DAYS] [SEED]`; its figures stand in `docs/spikes.md`. A month of it
//! runs with the tests.

#![expect(clippy::print_stdout, reason = "prints its figures")]

mod company;

use ampbridge::domain::money::{Micros, Percent};
use ampbridge::domain::rules::Rule;
use ampbridge::domain::rules::budget::BudgetRule;
use ampbridge::domain::rules::detector::Sensitivity;
use ampbridge::domain::rules::spike::SpikeRule;
use ampbridge::domain::spend::Per;
use ampbridge::domain::time::PeriodKind;

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|a| a.parse::<u64>().ok());
    let mut next = |default: u64| args.next().unwrap_or(default);
    let (users, days, seed) = (next(200), next(365), next(1));
    let options = company::Options {
        users: usize::try_from(users).unwrap_or(200),
        days: i64::try_from(days).unwrap_or(365),
        learned: 90,
        seed,
    };
    let budget = |dollars: i64, period, per| {
        let limit = Micros(dollars * Micros::PER_DOLLAR);
        Rule::Budget(BudgetRule::new(limit, period, per, [80, 100].map(|t| Percent(t * 1000)).to_vec()))
    };
    let spikes = |per| Rule::Spike(SpikeRule { per, sensitivity: Sensitivity::default() });
    // A month costs some $75 a user with the price rise, now and then $100.
    let month = 230 * i64::try_from(users).unwrap_or(200);
    let rules = vec![
        ("month", budget(month, PeriodKind::Month, Per::Workspace)),
        ("person", budget(300, PeriodKind::Day, Per::User)),
        ("spikes", spikes(Per::User)),
        ("all", spikes(Per::Workspace)),
    ];
    let told = company::play(&options, rules);
    let found = told.spikes.iter().filter(|s| s.found).count();
    println!("{users} users, {days} days, {} polls, {} outages, {} kills", told.polls, told.outages, told.kills);
    println!("messages: {} ({:.1} a week), for the digest: {}", told.messages, told.messages_a_week, told.digest);
    println!("spikes: {found} of {} found, {} days told without one", told.spikes.len(), told.false_alarms);
    println!("told twice: {}; budgets passed and not told: {}", told.twice, told.budgets_missed.len());
    for (kind, count) in &told.by_type {
        println!("  {count:5} {kind}");
    }
}
