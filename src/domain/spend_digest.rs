//! The money part of a digest: what was spent against what was to be expected, who moved, what nears its limit, what
//! is no longer heading past it, what was too small to wake anyone, and what is not known.
//!
//! Pure: [`needs`] says what must be known, [`money`] makes the part, `None` where there is nothing to say. A digest
//! (a room with the timing `digest`) calls both for its stretch when it is released, puts the part into its data as
//! `money`, and shows `render::digest_lines`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cycle::{self, Input, Known, Needs, World};
use super::doc::DocKey;
use super::money::Micros;
use super::payload::Who;
use super::rules::budget::{self, BudgetState};
use super::rules::forecast::{self, WINDOW_DAYS};
use super::rules::scene::Scene;
use super::rules::{Rule, group_name};
use super::spend::{Cut, Groups, Ledger, People, Per, Scope, SpendState, Sum};
use super::time::{Timestamp, minus_days, plus_days, start_of_utc_day};

/// Of each kind, so many are named.
const NAMED: usize = 5;
/// Who moved by less is not named.
const LEAST_MOVE: Micros = Micros(5 * Micros::PER_DOLLAR);

/// Spend of a stretch of days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoneyDigest {
    /// First day, YYYY-MM-DD.
    pub from: String,
    /// Last day.
    pub to: String,
    /// Spent in these days.
    pub total_usd: Micros,
    /// What was to be expected of them; null with too little history.
    pub expected_usd: Option<Micros>,
    /// Part of it is worked out from tokens or prices, not billed.
    pub estimated: bool,
    /// Who spent most above, or below, their usual.
    pub movers: Vec<Mover>,
    /// Budgets past their first threshold.
    pub near_limits: Vec<NearLimit>,
    /// Limits that will not hold as things are.
    pub ahead: Vec<Ahead>,
    /// The same that had been told, and no longer look so.
    pub withdrawn: Vec<Ahead>,
    /// Spikes that were too small to wake anyone.
    pub small_spikes: Vec<SmallSpike>,
    /// What is not known: a day nobody answered for, or a source that stands still.
    pub gaps: Vec<Gap>,
}

/// One who spent more, or less, than usual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mover {
    /// `user:<id>`.
    pub scope: String,
    /// The person.
    pub who: Option<Who>,
    /// Spent.
    pub actual_usd: Micros,
    /// Their usual.
    pub expected_usd: Micros,
}

/// A budget past its first threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NearLimit {
    /// The name of the rule in the config.
    pub rule: String,
    /// Whose budget.
    pub scope: String,
    /// The person, for a user's budget.
    pub who: Option<Who>,
    /// `day`, `week` or `month`.
    pub period: String,
    /// Spent in the period so far.
    pub spend_usd: Micros,
    /// The limit.
    pub limit_usd: Micros,
    /// Spend in percent of the limit.
    pub percent: Option<f64>,
    /// Passed again after it had been told as corrected.
    pub recrossed: bool,
}

/// Where a period is heading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ahead {
    /// The name of the rule in the config.
    pub rule: String,
    /// Whose budget.
    pub scope: String,
    /// First day of the period, YYYY-MM-DD.
    pub period_start: String,
    /// Expected by its end.
    pub forecast_usd: Micros,
    /// The limit.
    pub limit_usd: Micros,
}

/// A spike that woke nobody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SmallSpike {
    /// Whose.
    pub scope: String,
    /// The person.
    pub who: Option<Who>,
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// Spent on it.
    pub actual_usd: Micros,
    /// What was to be expected.
    pub expected_usd: Micros,
}

/// What is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// The source, by its name in the config.
    pub source: String,
    /// A day, or since when it stands still.
    pub since: String,
    /// `unknown` or `stale`.
    pub kind: String,
}

/// What must be known for the days `[from, to)`.
pub fn needs(world: &World, now: Timestamp, from: Date, to: Date) -> Needs {
    let mut needs = cycle::needs(world, now, &Input::Tick { sources: world.sources.clone() });
    for source in &world.sources {
        needs.ledger.push((source.clone(), minus_days(from, WINDOW_DAYS), to));
    }
    needs
}

/// The part for the days `[from, to)`.
pub fn money(world: &World, known: &Known, now: Timestamp, from: Date, to: Date) -> Option<MoneyDigest> {
    let people = People(world.sources.iter().filter_map(|s| known.docs.people(&DocKey::People(s.clone()))).collect());
    let view = View { world, known, now, from, to, people };
    let all = view.days(&Per::Workspace, from, to);
    let total: Micros = all.values().flat_map(BTreeMap::values).map(|s| s.amount).sum();
    let estimated = all.values().flat_map(BTreeMap::values).any(|s| s.estimated);
    let (mut near_limits, mut ahead, mut withdrawn, mut small_spikes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for rule in &world.rules {
        let groups: BTreeSet<Vec<String>> = world.sources.iter().filter_map(|s| rule.group_of(s)).collect();
        for sources in groups {
            match &rule.rule {
                Rule::Budget(budget) => {
                    let key = DocKey::Budget(rule.name.clone(), group_name(&sources));
                    let Some(state) = known.docs.budget(&key) else { continue };
                    near_limits.extend(view.near_limits(&rule.name, budget, state, &sources));
                    let (open, gone) = view.outlooks(&rule.name, state);
                    ahead.extend(open);
                    withdrawn.extend(gone);
                }
                Rule::Spike(_) => small_spikes.extend(view.small_spikes(&rule.name, &sources)),
                Rule::ThreadCost(_) => {}
            }
        }
    }
    near_limits.sort_by(|a, b| b.percent.unwrap_or(0.0).total_cmp(&a.percent.unwrap_or(0.0)));
    near_limits.truncate(NAMED);
    small_spikes.truncate(NAMED);
    let digest = MoneyDigest {
        from: from.to_string(),
        to: minus_days(to, 1).to_string(),
        total_usd: total,
        expected_usd: view
            .expected(&Scope::Workspace, &view.days(&Per::Workspace, minus_days(from, WINDOW_DAYS), from)),
        estimated,
        movers: view.movers(),
        near_limits,
        ahead,
        withdrawn,
        small_spikes,
        gaps: view.gaps(),
    };
    (digest != empty(&digest)).then_some(digest)
}

/// The same stretch with nothing to say.
fn empty(digest: &MoneyDigest) -> MoneyDigest {
    MoneyDigest {
        from: digest.from.clone(),
        to: digest.to.clone(),
        total_usd: Micros::ZERO,
        expected_usd: digest.expected_usd.filter(|usd| *usd == Micros::ZERO),
        estimated: false,
        movers: Vec::new(),
        near_limits: Vec::new(),
        ahead: Vec::new(),
        withdrawn: Vec::new(),
        small_spikes: Vec::new(),
        gaps: Vec::new(),
    }
}

/// Sums by day, then scope.
type Days = BTreeMap<Date, BTreeMap<Scope, Sum>>;

struct View<'a> {
    world: &'a World,
    known: &'a Known,
    now: Timestamp,
    from: Date,
    to: Date,
    people: People<'a>,
}

impl View<'_> {
    fn ledger(&self) -> &Ledger {
        &self.known.ledger
    }

    fn status(&self, source: &str) -> Option<&SpendState> {
        self.known.docs.spend(&DocKey::Spend(source.to_owned()))
    }

    /// Known days only.
    fn days(&self, per: &Per, from: Date, to: Date) -> Days {
        let groups = Groups::default();
        let cut = Cut { sources: &self.world.sources, per, groups: &groups, people: &self.people };
        let mut days = Days::new();
        let mut day = from;
        while day < to {
            if self.world.sources.iter().any(|s| self.is_known(s, day)) {
                days.insert(day, self.ledger().sums(cut, day, plus_days(day, 1)));
            }
            day = plus_days(day, 1);
        }
        days
    }

    fn is_known(&self, source: &str, day: Date) -> bool {
        self.status(source).is_some_and(|s| s.knows(day)) || self.ledger().days.contains_key(&(source.to_owned(), day))
    }

    fn expected(&self, scope: &Scope, before: &Days) -> Option<Micros> {
        let past =
            before.iter().map(|(day, sums)| (*day, sums.get(scope).map_or(0.0, |sum| sum.amount.as_f64()))).collect();
        forecast::rest(&past, self.from, self.to).map(|rest| Micros::from_estimate(rest.usd()))
    }

    fn movers(&self) -> Vec<Mover> {
        let before = self.days(&Per::User, minus_days(self.from, WINDOW_DAYS), self.from);
        let mut spent: BTreeMap<Scope, Micros> = BTreeMap::new();
        for (scope, sum) in self.days(&Per::User, self.from, self.to).into_values().flatten() {
            *spent.entry(scope).or_default() += sum.amount;
        }
        for scope in before.values().flat_map(BTreeMap::keys) {
            spent.entry(scope.clone()).or_default();
        }
        let mut movers: Vec<Mover> = spent
            .into_iter()
            .filter_map(|(scope, actual_usd)| {
                let expected_usd = self.expected(&scope, &before)?;
                let moved = Micros((actual_usd - expected_usd).0.saturating_abs());
                let who = scope.user().map(|id| self.people.who(id));
                (moved >= LEAST_MOVE).then(|| Mover { scope: scope.to_string(), who, actual_usd, expected_usd })
            })
            .collect();
        movers.sort_by_key(|m| std::cmp::Reverse((m.actual_usd - m.expected_usd).0.saturating_abs()));
        movers.truncate(NAMED);
        movers
    }

    fn near_limits(
        &self,
        name: &str,
        rule: &budget::BudgetRule,
        state: &BudgetState,
        sources: &[String],
    ) -> Vec<NearLimit> {
        let status: BTreeMap<&str, &SpendState> =
            sources.iter().filter_map(|s| Some((s.as_str(), self.status(s)?))).collect();
        let scene = Scene {
            now: self.now,
            rule: name,
            sources,
            week_start: self.world.week_start,
            ledger: self.ledger(),
            people: &self.people,
            groups: &self.world.groups,
            status: &status,
            complete: true,
        };
        // Whatever is past a threshold has been noted as told, silently or not.
        let scopes = state.told.keys();
        scopes
            .filter_map(|scope| {
                let standing = budget::standing::standing(rule, Some(state), &scene, scope);
                let limit_usd = standing.limit?;
                (standing.sum.amount >= standing.warns_at?).then(|| NearLimit {
                    rule: name.to_owned(),
                    scope: scope.to_string(),
                    who: scene.person(scope),
                    period: rule.period.to_string(),
                    spend_usd: standing.sum.amount,
                    limit_usd,
                    percent: standing.sum.amount.percent_of(limit_usd),
                    recrossed: standing.recrossed,
                })
            })
            .collect()
    }

    fn outlooks(&self, rule: &str, state: &BudgetState) -> (Vec<Ahead>, Vec<Ahead>) {
        let (mut open, mut gone) = (Vec::new(), Vec::new());
        for (scope, outlook) in state.ahead.iter().filter(|(_, o)| !o.told.is_empty()) {
            let ahead = Ahead {
                rule: rule.to_owned(),
                scope: scope.to_string(),
                period_start: outlook.period.to_string(),
                forecast_usd: outlook.point,
                limit_usd: outlook.limit,
            };
            match outlook.withdrawn {
                None => open.push(ahead),
                Some(day) if self.from <= day && day <= self.to => gone.push(ahead),
                Some(_) => {}
            }
        }
        (open, gone)
    }

    fn small_spikes(&self, rule: &str, sources: &[String]) -> Vec<SmallSpike> {
        let key = DocKey::Spike(rule.to_owned(), group_name(sources));
        let Some(state) = self.known.docs.spike(&key) else { return Vec::new() };
        let days = state.told.iter().flat_map(|(scope, days)| days.iter().map(move |(day, told)| (scope, day, told)));
        days.filter(|(_, day, told)| told.small && self.from <= **day && **day < self.to)
            .map(|(scope, day, told)| SmallSpike {
                scope: scope.to_string(),
                who: scope.user().map(|id| self.people.who(id)),
                date: day.to_string(),
                actual_usd: told.actual,
                expected_usd: told.expected,
            })
            .collect()
    }

    fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for source in &self.world.sources {
            // A source that has no money says nothing of it.
            let Some(status) = self.status(source) else { continue };
            let mut day = self.from;
            while day < self.to && start_of_utc_day(day) <= self.now {
                if !self.is_known(source, day) {
                    gaps.push(Gap { source: source.clone(), since: day.to_string(), kind: "unknown".to_owned() });
                }
                day = plus_days(day, 1);
            }
            if let Some(since) = status.stale {
                gaps.push(Gap { source: source.clone(), since: since.to_string(), kind: "stale".to_owned() });
            }
        }
        gaps.truncate(NAMED);
        gaps
    }
}
