//! What limits and what preset would suit a history, each with the number of alerts it would have given.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::{History, play_days};
use crate::domain::cycle::World;
use crate::domain::money::{Micros, Percent};
use crate::domain::record::Person;
use crate::domain::rules::budget::BudgetRule;
use crate::domain::rules::detector::Sensitivity;
use crate::domain::rules::settings::Preset;
use crate::domain::rules::spike::SpikeRule;
use crate::domain::rules::{Rule, RuleSpec};
use crate::domain::spend::{Per, SpendRow};
use crate::domain::time::{Period, PeriodKind, WeekStart, plus_days};

/// Of its days, a limit is meant to be passed on about one in a hundred.
const RARELY: f64 = 0.99;
/// A month's limit stands this much above the dearest month.
const ROOM: f64 = 1.15;
/// Alerts a week that a team still reads.
const READ_A_WEEK: f64 = 2.0;
/// First digits of limits that people would choose.
const ROUND: [i64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];

/// A rule as it could stand in the config, and what it would have told.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    pub name: &'static str,
    /// Lines of the config.
    pub toml: String,
    /// Messages it would have made over the history.
    pub alerts: usize,
    /// Of the presets of one rule: the one that suits.
    pub chosen: bool,
}

/// Suggests, playing every candidate through the live code.
pub fn suggest(
    world: &World,
    history: &History,
    people: &BTreeMap<String, BTreeMap<String, Person>>,
) -> Vec<Suggestion> {
    let rows = || history.values().flat_map(BTreeMap::values).flatten();
    let by_day = totals(rows(), |row| (row.day, String::new()));
    let by_user = totals(rows().filter(|r| r.user.is_some()), |row| (row.day, row.user.clone().unwrap_or_default()));
    let Some(((first, _), ((last, _), _))) = by_day.keys().next().zip(by_day.last_key_value()) else {
        return Vec::new();
    };
    let months = whole_months(&by_day, *first, *last);
    let mut found = Vec::new();
    let mut budget = |name, period, per: Per, limit: Micros| {
        let rule = BudgetRule::new(limit, period, per.clone(), vec![Percent::WHOLE]);
        let toml = format!(
            "[rules.{name}]\nkind = \"budget\"\nlimit_usd = {}\nperiod = \"{period}\"\nper = \"{per}\"\nthresholds = [100]",
            limit.0 / Micros::PER_DOLLAR
        );
        let alerts = count(world, history, people, Rule::Budget(rule));
        found.push(Suggestion { name, toml, alerts, chosen: true });
    };
    if let Some(limit) = quantile(by_day.values()) {
        budget("daily-budget", PeriodKind::Day, Per::Workspace, round_up(limit.as_f64()));
    }
    if let Some(most) = months.iter().max() {
        budget("monthly-budget", PeriodKind::Month, Per::Workspace, round_up(most.as_f64() * ROOM));
    }
    if let Some(limit) = quantile(by_user.values()) {
        budget("person-a-day", PeriodKind::Day, Per::User, round_up(limit.as_f64()));
    }
    #[expect(clippy::cast_precision_loss, reason = "days of a history")]
    let weeks = (crate::domain::time::days_between(*first, *last) as f64 / 7.0).max(1.0);
    let mut chosen = false;
    for preset in [Preset::Eager, Preset::Default, Preset::Calm] {
        let rule = SpikeRule { per: Per::User, sensitivity: preset.sensitivity(Sensitivity::default().floor_usd) };
        let alerts = count(world, history, people, Rule::Spike(rule));
        #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
        let suits =
            !chosen && preset != Preset::Eager && (alerts as f64 / weeks <= READ_A_WEEK || preset == Preset::Calm);
        chosen |= suits;
        let toml = format!("[rules.spend-spike]\nkind = \"spike\"\nper = \"user\"\npreset = \"{}\"", preset.as_str());
        found.push(Suggestion { name: "spend-spike", toml, alerts, chosen: suits });
    }
    found
}

fn count(world: &World, history: &History, people: &BTreeMap<String, BTreeMap<String, Person>>, rule: Rule) -> usize {
    let sources = if world.sources.len() > 1 { world.sources.clone() } else { Vec::new() };
    let world = World { rules: vec![RuleSpec { name: "candidate".to_owned(), sources, rule }], ..world.clone() };
    let told = |kind: &str| ["budget.exceeded", "cost.spike"].contains(&kind);
    play_days(&world, history, people).events.iter().filter(|e| told(&e.event.kind)).count()
}

fn totals<'a>(
    rows: impl Iterator<Item = &'a SpendRow>,
    key: impl Fn(&SpendRow) -> (Date, String),
) -> BTreeMap<(Date, String), Micros> {
    let mut sums: BTreeMap<(Date, String), Micros> = BTreeMap::new();
    for row in rows {
        *sums.entry(key(row)).or_default() += row.amount;
    }
    sums.retain(|_, sum| *sum > Micros::ZERO);
    sums
}

fn whole_months(by_day: &BTreeMap<(Date, String), Micros>, first: Date, last: Date) -> Vec<Micros> {
    let mut month = Period::containing(PeriodKind::Month, first, WeekStart::Monday);
    let mut totals = Vec::new();
    while month.end <= plus_days(last, 1) {
        if month.start >= first {
            let days = by_day.range((month.start, String::new())..(month.end, String::new()));
            totals.push(days.map(|(_, sum)| *sum).sum());
        }
        month = month.next(WeekStart::Monday);
    }
    totals
}

fn quantile<'a>(values: impl Iterator<Item = &'a Micros>) -> Option<Micros> {
    let mut sorted: Vec<Micros> = values.copied().collect();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into the list"
    )]
    let at = (sorted.len() as f64 * RARELY) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied()
}

/// The next round number of dollars.
fn round_up(usd: f64) -> Micros {
    let mut unit = 1;
    loop {
        for digits in ROUND {
            let dollars = digits * unit;
            // The list counts in tens: 10 is 1 of the unit.
            let limit = Micros(dollars.saturating_mul(Micros::PER_DOLLAR) / 10);
            if limit.as_f64() >= usd && limit.0 % Micros::PER_DOLLAR == 0 {
                return limit;
            }
        }
        if unit > 1_000_000_000 {
            return Micros::from_estimate(usd);
        }
        unit *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_round() {
        for (usd, dollars) in [(0.2, 1), (1.0, 1), (1.3, 2), (11.0, 12), (101.0, 120), (820.0, 1_000), (3_100.0, 4_000)]
        {
            assert_eq!(round_up(usd), Micros(dollars * Micros::PER_DOLLAR), "{usd}");
        }
    }
}
