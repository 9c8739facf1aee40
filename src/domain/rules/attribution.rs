//! Who and what a rise is made of.
//!
//! Invariant: the contributions to a rise sum to its excess exactly, to the micro-dollar.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::detector::{is_weekend, median};
use crate::domain::money::{Micros, split_exact};
use crate::domain::payload::Contribution;
use crate::domain::spend::{Cut, Ledger, Scope};
use crate::domain::time::{minus_days, plus_days};

/// Calendar days before the rise that tell what was usual.
pub const WINDOW_DAYS: i64 = 70;
/// Contributors named; the rest are summed as `others`.
const NAMED: usize = 5;
/// No more are named once this part of the rise is explained (percent).
const ENOUGH: f64 = 80.0;
/// Active days a contributor's own expectation is made of.
const NEWEST: usize = 28;
/// Weekend days of its own from which a contributor's weekends are judged by weekends.
const WEEKENDS: usize = 3;
/// A contributor whose price per token rose by this factor got dearer rather than busier; one whose user's tokens
/// altogether rose by less did not work more but moved to another model.
const NOTABLE: f64 = 1.3;

/// The reason of what stands for the rest.
pub const OTHERS: &str = "others";

/// The stretch of days that rose: `[from, to)`.
#[derive(Debug, Clone, Copy)]
pub struct Rise<'a> {
    pub scope: &'a Scope,
    pub from: Date,
    pub to: Date,
    /// What the scope was expected to spend; without it each contributor's own usual counts, unscaled.
    pub expected: Option<Micros>,
}

#[derive(Default)]
struct Part {
    actual: Micros,
    tokens: u64,
    days: BTreeSet<Date>,
    /// Past active days, oldest first: dollars and tokens.
    past: BTreeMap<Date, (f64, u64)>,
}

/// Splits a rise over user × model, largest part first.
pub fn attribute(ledger: &Ledger, cut: Cut<'_>, rise: Rise<'_>) -> Vec<Contribution> {
    let parts = parts_of(ledger, cut, rise);
    let usual: Vec<Micros> = parts.values().map(|p| usual_of(p, rise)).collect();
    let expectations = match rise.expected {
        // The parts' own expectations seldom sum to the scope's: they are scaled to it, so that the excesses sum.
        Some(expected) => scaled(expected, &usual),
        None => usual,
    };
    let moved = moved_users(&parts);
    let mut contributions: Vec<Contribution> = parts
        .iter()
        .zip(expectations)
        .map(|(((user, model), part), expected_usd)| Contribution {
            who: (!user.is_empty()).then(|| cut.people.who(user)),
            model: (!model.is_empty()).then(|| (*model).to_owned()),
            actual_usd: part.actual,
            expected_usd,
            excess_usd: part.actual - expected_usd,
            share: 0.0,
            reason: reason(part, moved.contains(user)).to_owned(),
        })
        .collect();
    let rise: Micros = contributions.iter().map(|c| c.excess_usd.max(Micros::ZERO)).sum();
    for c in &mut contributions {
        c.share = c.excess_usd.max(Micros::ZERO).percent_of(rise).unwrap_or(0.0);
    }
    contributions.sort_by_key(|c| std::cmp::Reverse(c.excess_usd));
    sum_up_the_rest(contributions)
}

/// Several lists of contributions as one, to a rise from `expected` to `actual`. Sums exactly, whatever is left out.
pub fn together(lists: Vec<Contribution>, actual: Micros, expected: Micros) -> Vec<Contribution> {
    let mut parts: Vec<Contribution> = lists.into_iter().filter(|c| c.reason != OTHERS).collect();
    parts.sort_by_key(|c| std::cmp::Reverse(c.excess_usd));
    parts.truncate(NAMED);
    let excess = actual - expected;
    for c in &mut parts {
        c.share = c.excess_usd.max(Micros::ZERO).percent_of(excess).unwrap_or(0.0);
    }
    let sum = |f: fn(&Contribution) -> Micros| parts.iter().map(f).sum::<Micros>();
    let (actual_usd, expected_usd) = (actual - sum(|c| c.actual_usd), expected - sum(|c| c.expected_usd));
    if actual_usd != Micros::ZERO || expected_usd != Micros::ZERO {
        let named: f64 = parts.iter().map(|c| c.share).sum();
        parts.push(Contribution {
            who: None,
            model: None,
            actual_usd,
            expected_usd,
            excess_usd: actual_usd - expected_usd,
            share: ((100.0 - named).max(0.0) * 10.0).round() / 10.0,
            reason: OTHERS.to_owned(),
        });
    }
    parts
}

fn parts_of<'a>(ledger: &'a Ledger, cut: Cut<'a>, rise: Rise<'a>) -> BTreeMap<(&'a str, &'a str), Part> {
    let mut parts: BTreeMap<(&str, &str), Part> = BTreeMap::new();
    let mut day = minus_days(rise.from, WINDOW_DAYS);
    while day < rise.to {
        // Day by day, so that estimates of days without billed amounts count and others do not.
        let next = plus_days(day, 1);
        for (_, _, row) in ledger.rows_of(rise.scope, cut, day, next).filter(|(.., row)| row.cell.amount > Micros::ZERO)
        {
            let part = parts.entry((row.user, row.kind.model.as_ref())).or_default();
            if day >= rise.from {
                part.actual += row.cell.amount;
                part.tokens += row.cell.tokens;
                part.days.insert(day);
            } else {
                let (usd, tokens) = part.past.entry(day).or_default();
                *usd += row.cell.amount.as_f64();
                *tokens += row.cell.tokens;
            }
        }
        day = next;
    }
    parts
}

/// Median of the last active days of the same kind (weekend or not), or of all where there are too few; for each day of
/// the rise with spend, and for one at least.
fn usual_of(part: &Part, rise: Rise<'_>) -> Micros {
    let newest: Vec<(Date, f64)> = part.past.iter().rev().take(NEWEST).map(|(day, (usd, _))| (*day, *usd)).collect();
    let one = |weekend: bool| {
        let alike: Vec<f64> = newest.iter().filter(|(d, _)| is_weekend(*d) == weekend).map(|(_, usd)| *usd).collect();
        if alike.len() >= WEEKENDS { median(alike.into_iter()) } else { median(newest.iter().map(|(_, usd)| *usd)) }
    };
    if part.days.is_empty() {
        return Micros::from_estimate(one(is_weekend(rise.from)));
    }
    Micros::from_estimate(part.days.iter().map(|day| one(is_weekend(*day))).sum())
}

fn scaled(expected: Micros, usual: &[Micros]) -> Vec<Micros> {
    let weights: Vec<i128> = usual.iter().map(|u| i128::from(u.0)).collect();
    let mut parts = split_exact(expected, &weights);
    if weights.iter().sum::<i128>() == 0
        && let Some(first) = parts.first_mut()
    {
        *first = expected;
    }
    parts
}

/// Users who did not use notably more tokens a day than usual, all their models together.
fn moved_users<'a>(parts: &BTreeMap<(&'a str, &'a str), Part>) -> BTreeSet<&'a str> {
    let mut tokens: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for ((user, _), part) in parts {
        let (now, before) = tokens.entry(user).or_default();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let per_day = |tokens: u64, days: usize| tokens as f64 / days.max(1) as f64;
        *now += per_day(part.tokens, part.days.len());
        let past = part.past.values().rev().take(NEWEST);
        *before += per_day(past.clone().map(|(_, t)| *t).sum(), past.count());
    }
    tokens.retain(|_, (now, before)| *before > 0.0 && *now > 0.0 && *now < NOTABLE * *before);
    tokens.into_keys().collect()
}

fn reason(part: &Part, user_moved: bool) -> &'static str {
    if part.past.is_empty() {
        return "new";
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let price = |usd: f64, tokens: u64| (tokens > 0).then(|| usd / tokens as f64);
    let before = median(part.past.values().rev().take(NEWEST).filter_map(|(usd, t)| price(*usd, *t)));
    match price(part.actual.as_f64(), part.tokens) {
        Some(now) if before > 0.0 && now >= NOTABLE * before => "price",
        Some(_) if user_moved => "mix",
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
            reason: OTHERS.to_owned(),
        });
    }
    contributions
}
