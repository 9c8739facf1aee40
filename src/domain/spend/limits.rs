//! What single things of a source may spend, as the source itself says: the budgets of missions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::domain::collection::OwnBudget;
use crate::domain::money::Micros;
use crate::domain::record::Record;
use serde_json::Value;

/// Things whose limits are remembered, at most; of any further one nothing is known.
const MOST: usize = 10_000;

/// Limits by scope. What is not in here is unknown; what is in here without an amount has no budget of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnLimits {
    /// All of them have been read once.
    pub whole: bool,
    /// The last look at them failed: what was known before counts until they can be read again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    pub by: BTreeMap<Scope, Option<Micros>>,
}

impl OwnLimits {
    pub fn is_unknown(&self) -> bool {
        !self.whole && self.by.is_empty()
    }

    /// Whether they are read again after each look at the money, so that it need not be held against old ones.
    pub fn are_read(&self) -> bool {
        self.whole && !self.unread
    }

    /// Takes over what a record says. An amount that is none, or is not there any more, changes nothing.
    pub fn learn(&mut self, budget: &OwnBudget, record: &Record) {
        let scope = Scope::Other(budget.dimension.clone(), record.key.clone());
        if self.by.len() >= MOST && !self.by.contains_key(&scope) {
            return;
        }
        let said = record.fields.get(&budget.field).or_else(|| record.facts.get(&budget.field));
        let amount = said.and_then(|value| Micros::from_json(value, budget.scale).ok()).filter(|a| !a.is_negative());
        match (said, amount) {
            (_, Some(amount)) => drop(self.by.insert(scope, Some(amount))),
            (Some(Value::Null), None) => drop(self.by.insert(scope, None)),
            _ => drop(self.by.entry(scope).or_insert(None)),
        }
    }

    /// It is gone; nothing is known of it any more.
    pub fn forget(&mut self, budget: &OwnBudget, key: &str) {
        self.by.remove(&Scope::Other(budget.dimension.clone(), key.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_record_says_of_its_budget() {
        let budget = OwnBudget { dimension: "mission".into(), field: "cents".into(), scale: 2 };
        let scope = Scope::Other("mission".into(), "m".into());
        let mut limits = OwnLimits::default();
        let mut after = |value: Option<Value>| {
            let fields = value.map(|v| ("cents".to_owned(), v)).into_iter().collect();
            limits.learn(&budget, &Record { key: "m".into(), fields, ..Record::default() });
            limits.by.get(&scope).copied()
        };
        let cents = |n: i64| Some(Some(Micros(n * 10_000)));
        assert_eq!(after(None), Some(None), "a thing without a budget");
        assert_eq!(after(Some(json!(50_000))), cents(50_000));
        assert_eq!(after(None), cents(50_000), "absent is not null");
        assert_eq!(after(Some(json!("many"))), cents(50_000));
        assert_eq!(after(Some(json!(-1))), cents(50_000));
        assert_eq!(after(Some(json!(0))), cents(0));
        assert_eq!(after(Some(Value::Null)), Some(None));
        limits.forget(&budget, "m");
        assert!(limits.is_unknown());
    }
}
