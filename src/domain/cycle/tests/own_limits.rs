//! Budgets whose limits are what the source says: held against the limits that were read after the money was.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::bench::{Bench, collection, record};
use super::money::{row, today};
use crate::domain::collection::{CollectionSpec, OwnBudget, Role};
use crate::domain::money::{Micros, Percent};
use crate::domain::record::{Evidence, Failure, Rows};
use crate::domain::rules::budget::BudgetRule;
use crate::domain::rules::budget::limits::Own;
use crate::domain::rules::{Rule, RuleSpec};
use crate::domain::spend::{Per, SpendRow};
use crate::domain::time::PeriodKind;

const NOTHING: [&str; 0] = [];
const EXCEEDED: [&str; 1] = ["budget.exceeded mission:m"];

/// A list of missions with budgets, what they cost, and a rule that goes by them.
struct Missions {
    bench: Bench,
    list: Arc<CollectionSpec>,
    costs: Arc<CollectionSpec>,
}

impl Missions {
    fn new() -> Self {
        let mut bench = Bench::new();
        let per = Per::Other("mission".into());
        let rule = BudgetRule::new(Micros::ZERO, PeriodKind::Month, per, vec![Percent::WHOLE]);
        let rule = Rule::Budget(BudgetRule { own: Some(Own::Only), forecast: false, ..rule });
        bench.world.rules = vec![RuleSpec { name: "own".into(), sources: Vec::new(), rule }];
        let budget = OwnBudget { dimension: "mission".into(), field: "cents".into(), scale: 2 };
        let list = collection("acme", "missions", Role::Record);
        let list = Arc::new(CollectionSpec { budget: Some(budget), ..list.as_ref().clone() });
        Self { bench, list, costs: collection("acme", "costs", Role::Spend) }
    }

    fn cost(&mut self, dollars: i64) -> Vec<String> {
        let dims = BTreeMap::from([("mission".to_owned(), "m".to_owned())]);
        let rows = vec![SpendRow { dims, ..row(today(&self.bench), "ana", dollars) }];
        self.bench.look(&self.costs, vec![Rows::Spend(rows)], Evidence::Complete)
    }

    fn may(&mut self, dollars: i64) -> Vec<String> {
        self.bench.sweep(&self.list, &[record("m", &[("cents", json!(dollars * 100))])])
    }

    fn list_fails(&mut self) -> Vec<String> {
        self.bench.look(&self.list, Vec::new(), Evidence::Partial(Failure::broken("m")))
    }
}

#[test]
fn money_and_limits_that_change_together_are_judged_together() {
    let mut missions = Missions::new();
    missions.cost(10);
    missions.may(40);
    assert_eq!(missions.cost(45), NOTHING, "what it may spend by now is yet to be read");
    assert_eq!(missions.may(100), NOTHING);
    assert_eq!(missions.cost(105), NOTHING);
    assert_eq!(missions.may(100), EXCEEDED);
}

#[test]
fn limits_that_cannot_be_read_count_as_they_were() {
    let mut missions = Missions::new();
    missions.cost(10);
    missions.may(40);
    assert_eq!(missions.cost(45), NOTHING);
    assert_eq!(missions.list_fails(), EXCEEDED, "of the same round");
    let mut missions = Missions::new();
    missions.cost(10);
    missions.may(40);
    missions.list_fails();
    assert_eq!(missions.cost(45), EXCEEDED, "at once, for it may be long until they can be");
}

#[test]
fn limits_alone_are_no_first_sight() {
    let mut missions = Missions::new();
    assert_eq!(missions.may(40), NOTHING);
    missions.cost(45);
    assert_eq!(missions.may(40), EXCEEDED);
    assert_eq!(missions.bench.last_event().event.data["baseline"], json!(true), "what was so before is one event");
}
