//! What all known threads cost together, by day, user and model; and each by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::Value;

use super::document::Thread;
use super::gone::Gone;
use super::record;
use crate::domain::record::CostRow;
use crate::domain::spend::{Basis, SpendRow};
use crate::source::prices::Picos;

/// What all threads, there or gone, cost from a day on.
#[derive(Debug, Default)]
pub struct Money {
    pub rows: Vec<SpendRow>,
    /// A line for each model without a price, and the days it was used on.
    pub unpriced: Vec<String>,
    pub unpriced_days: BTreeSet<Date>,
}

pub fn money(threads: &[Arc<Thread>], gone: &Gone, from: Option<Date>) -> Money {
    let mut sums = Sums::default();
    let mut unpriced: BTreeMap<&str, u64> = BTreeMap::new();
    let mut unpriced_days = BTreeSet::new();
    for thread in threads {
        let user = thread.creator.as_deref().unwrap_or_default();
        for line in thread.bill.lines.iter().filter(|line| from.is_none_or(|from| line.day >= from)) {
            if line.unpriced > 0 {
                let tokens = unpriced.entry(&line.model).or_default();
                *tokens = tokens.saturating_add(line.unpriced);
                unpriced_days.insert(line.day);
            }
            if let Some(cost) = line.known_cost() {
                add(&mut sums, (line.day, user, &line.model), cost, line.priced);
            }
        }
    }
    for line in gone.lines().filter(|line| from.is_none_or(|from| line.day >= from)) {
        add(&mut sums, (line.day, &line.user, &line.model), line.cost(), line.tokens);
    }
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let rows = sums.into_iter().map(|((day, user, model), (sum, tokens))| SpendRow {
        day,
        user: named(user),
        model: named(model),
        dims: BTreeMap::new(),
        amount: sum.micros(),
        tokens,
        basis: Basis::Estimate,
        whole_user: false,
    });
    let odd = unpriced.into_iter().map(|(model, tokens)| {
        let model = if model.is_empty() { "a call without a model".to_owned() } else { format!("{model:?}") };
        format!("{model} is in no price table: what its {tokens} tokens cost is unknown")
    });
    Money { rows: rows.collect(), unpriced: odd.collect(), unpriced_days }
}

/// What a thread has cost so far; `None` where nothing of it has a price.
pub fn cost_row(thread: &Thread) -> Option<CostRow> {
    let cost = thread.bill.known_cost()?;
    let facts = [
        ("name", record::name(thread).map(Value::String)),
        ("who", thread.creator.as_deref().map(Value::from)),
        ("link", record::link(&thread.id).map(Value::String)),
        ("createdAt", thread.created.map(record::iso)),
        // A sub-agent's usage is missing, or something has no price: it cost at least this.
        ("atLeast", thread.bill.floor.then_some(Value::Bool(true))),
    ];
    Some(CostRow {
        key: thread.id.to_string(),
        cost: cost.micros(),
        estimated: true,
        facts: facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
    })
}

/// Dearest first, then by id.
pub fn by_cost(rows: &mut [CostRow]) {
    rows.sort_by(|a, b| b.cost.cmp(&a.cost).then_with(|| a.key.cmp(&b.key)));
}

/// Cost and tokens by day, user and model.
type Sums<'a> = BTreeMap<(Date, &'a str, &'a str), (Picos, u64)>;

fn add<'a>(sums: &mut Sums<'a>, key: (Date, &'a str, &'a str), cost: Picos, priced: u64) {
    let (sum, tokens) = sums.entry(key).or_default();
    *sum = sum.plus(cost);
    *tokens = tokens.saturating_add(priced);
}
