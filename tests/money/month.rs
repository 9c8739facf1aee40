//! A month of a small company, hour by hour: outages, corrections, a price change, restarts. The year is in
//! `examples/money_year.rs`.

use std::collections::BTreeMap;

use ampbridge::domain::rules::Rule;
use ampbridge::domain::spend::Per;
use ampbridge::domain::time::PeriodKind;

use crate::play::{budget, spikes};

#[path = "../../examples/money_year/company.rs"]
mod company;

#[test]
fn a_month_tells_each_spike_and_each_passed_budget_once_and_little_else() {
    let rules = vec![
        ("month", Rule::Budget(budget(30_000, PeriodKind::Month, Per::Workspace))),
        ("person", Rule::Budget(budget(400, PeriodKind::Day, Per::User))),
        ("spikes", Rule::Spike(spikes(Per::User))),
    ];
    let told = company::play(&company::Options { users: 40, days: 30, learned: 45, seed: 3 }, rules);
    assert_eq!(told.twice, 0, "nothing is told twice");
    let missed: Vec<_> = told.spikes.iter().filter(|s| !s.found).collect();
    assert!(missed.len() * 5 <= told.spikes.len(), "{missed:?}");
    assert_eq!(told.budgets_missed, BTreeMap::new());
    assert!(told.messages_a_week <= 12.0, "{} messages a week", told.messages_a_week);
}
