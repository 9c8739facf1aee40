//! A ledger, rules and a clock.

use std::collections::BTreeMap;

use ampbridge::domain::backtest::Replay;
use ampbridge::domain::cycle::World;
use ampbridge::domain::event::{Event, Severity};
use ampbridge::domain::money::{Micros, Percent};
use ampbridge::domain::record::Person;
use ampbridge::domain::rules::budget::BudgetRule;
use ampbridge::domain::rules::detector::Sensitivity;
use ampbridge::domain::rules::spike::SpikeRule;
use ampbridge::domain::rules::{Rule, RuleSpec};
use ampbridge::domain::spend::{Basis, Groups, Per, SpendRow};
use ampbridge::domain::time::{PeriodKind, Timestamp, plus_days};
use jiff::civil::Date;

pub fn usd(dollars: i64) -> Micros {
    Micros(dollars * Micros::PER_DOLLAR)
}

pub fn day(text: &str) -> Date {
    text.parse().unwrap()
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A budget with the thresholds 50, 80 and 100 %.
pub fn budget(limit: i64, period: PeriodKind, per: Per) -> BudgetRule {
    BudgetRule::new(usd(limit), period, per, [50, 80, 100].map(|t| Percent(t * 1000)).to_vec())
}

pub fn spikes(per: Per) -> SpikeRule {
    SpikeRule { per, sensitivity: Sensitivity::default() }
}

pub fn row(day: Date, user: &str, dollars: i64) -> SpendRow {
    SpendRow {
        day,
        user: Some(user.to_owned()),
        model: Some("m".to_owned()),
        dims: BTreeMap::new(),
        amount: usd(dollars),
        tokens: 0,
        basis: Basis::Billed,
        whole_user: false,
    }
}

pub struct Play {
    pub world: World,
    pub replay: Replay,
    told: usize,
}

impl Play {
    /// Rules by name, each over these sources (none: each source apart).
    pub fn new(rules: Vec<(&str, &[&str], Rule)>) -> Self {
        Self::with_groups(rules, Groups::default())
    }

    pub fn with_groups(rules: Vec<(&str, &[&str], Rule)>, groups: Groups) -> Self {
        let spec = |(name, sources, rule): (&str, &[&str], Rule)| RuleSpec {
            name: name.to_owned(),
            sources: sources.iter().map(|s| (*s).to_owned()).collect(),
            rule,
        };
        let world = World {
            bridge: "b".to_owned(),
            sources: vec!["acme".to_owned(), "claude".to_owned()],
            rules: rules.into_iter().map(spec).collect(),
            groups,
            ..World::default()
        };
        Self { replay: Replay::new(&world, |_| true), world, told: 0 }
    }

    pub fn one(rule: Rule) -> Self {
        Self::new(vec![("rule", &["acme"], rule)])
    }

    pub fn name(&mut self, id: &str, email: &str) {
        let person = Person { email: Some(email.to_owned()), name: None };
        self.replay.learn_people("acme", BTreeMap::from([(id.to_owned(), person)]));
    }

    /// A complete look of one source. What was told.
    pub fn look(&mut self, source: &str, now: &str, rows: &[SpendRow]) -> Vec<Event> {
        self.replay.book(source, rows, at(now));
        self.evaluate(at(now))
    }

    pub fn acme(&mut self, now: &str, rows: &[SpendRow]) -> Vec<String> {
        self.look("acme", now, rows).iter().map(sentence).collect()
    }

    pub fn evaluate(&mut self, now: Timestamp) -> Vec<Event> {
        self.replay.evaluate(now);
        let events = self.replay.outcome.events[self.told..].iter().map(|e| e.event.clone()).collect();
        self.told = self.replay.outcome.events.len();
        events
    }

    /// `days` days of the same spend, up to and with `last`, read at noon of each. Nothing of it is looked at.
    pub fn history(&mut self, last: Date, days: i64, usd: impl Fn(Date) -> Vec<(&'static str, i64)>) -> &mut Self {
        for back in (0..days).rev() {
            let day = plus_days(last, -back);
            let rows: Vec<SpendRow> = usd(day).into_iter().map(|(user, dollars)| row(day, user, dollars)).collect();
            self.replay.book("acme", &rows, at(&format!("{day}T12:00:00Z")));
        }
        self
    }

    pub fn edit(&mut self, edit: impl FnOnce(&mut Vec<RuleSpec>)) {
        edit(&mut self.world.rules);
        self.replay.set_rules(self.world.rules.clone());
    }
}

/// `budget.exceeded workspace critical`.
pub fn sentence(event: &Event) -> String {
    let severity = match event.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    format!("{} {} {severity}", event.kind, event.subject)
}
