//! The rules: each a pure function from what is known to drafts of events. A new rule is a file here, a variant of
//! [`Rule`] and an arm where the compiler asks for one.

pub mod attribution;
pub mod budget;
pub mod change;
pub mod detector;
pub mod figures;
pub mod forecast;
pub mod gauge;
pub mod scene;
mod series;
pub mod settings;
pub mod sight;
pub mod spike;
pub mod thread_cost;

use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

/// One `[rules.NAME]` entry, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSpec {
    pub name: String,
    /// Sources it counts together; empty means each source apart.
    pub sources: Vec<String>,
    pub rule: Rule,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    Budget(budget::BudgetRule),
    Spike(spike::SpikeRule),
    ThreadCost(thread_cost::ThreadCostRule),
}

impl Rule {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Budget(_) => "budget",
            Self::Spike(_) => "spike",
            Self::ThreadCost(_) => "thread_cost",
        }
    }

    /// The event types this kind of rule can make.
    pub fn event_types(&self) -> &'static [&'static str] {
        match self {
            Self::Budget(rule) if rule.looks_ahead() => {
                &["budget.threshold_reached", "budget.exceeded", "budget.corrected", "budget.forecast_exceeded"]
            }
            Self::Budget(_) => &["budget.threshold_reached", "budget.exceeded", "budget.corrected"],
            Self::Spike(_) => &["cost.spike", "cost.spike_resolved"],
            Self::ThreadCost(_) => &["thread.cost_exceeded"],
        }
    }
}

/// The settings of one kind of rule.
pub trait RuleConfig: std::fmt::Debug {
    /// The rule, or what is wrong: key path inside the rule, and what to do. `zone` is the bridge's, whose days count
    /// where the rule names none.
    fn build(&self, zone: &TimeZone) -> Result<Rule, Vec<(String, String)>>;
}

/// Settings as read, or the path to what is wrong in them.
pub type Parsed<T> = Result<T, serde_path_to_error::Error<::config::ConfigError>>;

/// A kind of rule, as the config names it.
pub struct Kind {
    pub name: &'static str,
    pub parse: fn(::config::Value) -> Parsed<Box<dyn RuleConfig>>,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

const fn kind<C: RuleConfig + DeserializeOwned + JsonSchema + 'static>(name: &'static str) -> Kind {
    Kind {
        name,
        parse: |value| {
            serde_path_to_error::deserialize::<_, C>(crate::domain::strict::Strict(value))
                .map(|c| Box::new(c) as Box<dyn RuleConfig>)
        },
        schema: |generator| generator.subschema_for::<C>(),
    }
}

/// Every kind of rule.
pub const KINDS: &[Kind] = &[
    kind::<settings::BudgetConfig>("budget"),
    kind::<settings::SpikeConfig>("spike"),
    kind::<settings::ThreadCostConfig>("thread_cost"),
];

impl RuleSpec {
    /// The sources this rule counts together when rows of `source` change, each once; `None` where it does not look there.
    pub fn group_of(&self, source: &str) -> Option<Vec<String>> {
        if self.sources.is_empty() {
            return Some(vec![source.to_owned()]);
        }
        let mut group: Vec<String> = Vec::new();
        for name in &self.sources {
            if !group.contains(name) {
                group.push(name.clone());
            }
        }
        group.iter().any(|name| name == source).then_some(group)
    }
}

/// `acme+claude`: a group of sources as part of ids and keys.
pub fn group_name(sources: &[String]) -> String {
    sources.join("+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_named_twice_counts_once() {
        let rule = Rule::ThreadCost(thread_cost::ThreadCostRule { limits: Vec::new() });
        let rule = RuleSpec { name: "r".into(), sources: ["b", "a", "b"].map(str::to_owned).to_vec(), rule };
        assert_eq!(rule.group_of("a"), Some(vec!["b".to_owned(), "a".to_owned()]), "in the order of the config");
        assert_eq!(rule.group_of("c"), None);
    }
}
