//! Who and what a spike is made of.
//!
//! Invariant: the contributions of a spike sum to its excess exactly, to the micro-dollar.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Weekday};

use super::detector::median;
use super::who;
use crate::domain::money::{Micros, split_exact};
use crate::domain::payload::Contribution;
use crate::domain::record::Person;
use crate::domain::spend::{Basis, Ledger, Scope};
use crate::domain::time::minus_days;

/// Contributors named; the rest are summed as `others`.
const NAMED: usize = 5;
/// No more are named once this part of the rise is explained (percent).
const ENOUGH: f64 = 80.0;
/// Active days a contributor's own expectation is made of, out of this many calendar days.
const NEWEST: usize = 28;
const WINDOW_DAYS: i64 = 70;
/// A contributor whose price per token rose by this factor got dearer rather than busier.
const DEARER: f64 = 1.3;

#[derive(Default)]
struct Part {
    actual: Micros,
    tokens: u64,
    /// (weekend, dollars, tokens) of past active days, oldest first.
    past: Vec<(bool, f64, u64)>,
}

/// Splits the excess of `scope` on `day` over user × model.
pub fn attribute(
    ledger: &Ledger,
    sources: &[String],
    scope: &Scope,
    day: Date,
    expected: Micros,
    people: &BTreeMap<String, Person>,
) -> Vec<Contribution> {
    let parts = parts_of(ledger, sources, scope, day);
    let keys: Vec<&(String, String)> = parts.keys().collect();
    let usual: Vec<i128> = parts.values().map(|p| i128::from(usual_of(p, is_weekend(day)).0)).collect();
    // The parts' own expectations seldom sum to the scope's: they are scaled to it, so that the excesses sum.
    let mut expectations = split_exact(expected, &usual);
    if usual.iter().sum::<i128>() == 0 && !expectations.is_empty() {
        expectations[0] = expected;
    }
    let mut contributions: Vec<Contribution> = keys
        .into_iter()
        .zip(parts.values())
        .zip(expectations)
        .map(|(((user, model), part), expected_usd)| Contribution {
            who: (!user.is_empty()).then(|| who(people, user)),
            model: (!model.is_empty()).then(|| model.clone()),
            actual_usd: part.actual,
            expected_usd,
            excess_usd: part.actual - expected_usd,
            share: 0.0,
            reason: reason(part).to_owned(),
        })
        .collect();
    let rise: Micros = contributions.iter().map(|c| c.excess_usd.max(Micros::ZERO)).sum();
    for c in &mut contributions {
        c.share = c.excess_usd.max(Micros::ZERO).percent_of(rise).unwrap_or(0.0);
    }
    contributions.sort_by_key(|c| std::cmp::Reverse(c.excess_usd));
    sum_up_the_rest(contributions)
}

fn parts_of(ledger: &Ledger, sources: &[String], scope: &Scope, day: Date) -> BTreeMap<(String, String), Part> {
    let mut parts: BTreeMap<(String, String), Part> = BTreeMap::new();
    let from = minus_days(day, WINDOW_DAYS);
    let billed_only = ledger.has_billed(sources, day, crate::domain::time::plus_days(day, 1));
    let mut days: BTreeSet<Date> = BTreeSet::new();
    for source in sources {
        days.extend(ledger.range(source, from, crate::domain::time::plus_days(day, 1)).map(|(d, _)| d));
    }
    for at in days {
        for source in sources {
            let Some(spend) = ledger.days.get(&(source.clone(), at)) else { continue };
            for (user, model, cell) in spend.cells() {
                let in_scope = match scope {
                    Scope::User(id) => id == user,
                    Scope::Model(name) => name == model,
                    _ => true,
                };
                if !in_scope || (billed_only && cell.basis == Basis::Estimate) || cell.amount <= Micros::ZERO {
                    continue;
                }
                let part = parts.entry((user.to_owned(), model.to_owned())).or_default();
                if at == day {
                    part.actual += cell.amount;
                    part.tokens += cell.tokens;
                } else {
                    part.past.push((is_weekend(at), cell.amount.as_f64(), cell.tokens));
                }
            }
        }
    }
    parts
}

/// Median of the last active days of the same kind (weekend or not), or of all where there are fewer than three.
fn usual_of(part: &Part, weekend: bool) -> Micros {
    let newest: Vec<&(bool, f64, u64)> = part.past.iter().rev().take(NEWEST).collect();
    let alike: Vec<f64> = newest.iter().filter(|(w, ..)| *w == weekend).map(|(_, usd, _)| *usd).collect();
    if alike.len() >= 3 {
        Micros::from_estimate(median(alike.into_iter()))
    } else {
        Micros::from_estimate(median(newest.into_iter().map(|(_, usd, _)| *usd)))
    }
}

fn reason(part: &Part) -> &'static str {
    if part.past.is_empty() {
        return "new";
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let price = |usd: f64, tokens: u64| (tokens > 0).then(|| usd / tokens as f64);
    let before = median(part.past.iter().rev().take(NEWEST).filter_map(|(_, usd, t)| price(*usd, *t)));
    match price(part.actual.as_f64(), part.tokens) {
        Some(now) if before > 0.0 && now >= DEARER * before => "price",
        _ => "volume",
    }
}

fn sum_up_the_rest(mut contributions: Vec<Contribution>) -> Vec<Contribution> {
    let mut explained = 0.0;
    let mut keep = 0;
    for c in contributions.iter().take(NAMED) {
        if explained >= ENOUGH {
            break;
        }
        explained += c.share;
        keep += 1;
    }
    let rest = contributions.split_off(keep);
    if !rest.is_empty() {
        let sum = |f: fn(&Contribution) -> Micros| rest.iter().map(f).sum::<Micros>();
        contributions.push(Contribution {
            who: None,
            model: None,
            actual_usd: sum(|c| c.actual_usd),
            expected_usd: sum(|c| c.expected_usd),
            excess_usd: sum(|c| c.excess_usd),
            share: ((100.0 - explained).max(0.0) * 10.0).round() / 10.0,
            reason: "others".to_owned(),
        });
    }
    contributions
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}
