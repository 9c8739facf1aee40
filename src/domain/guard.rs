//! May more be spent? What a CI job, a hook or a proxy asks before it does.
//!
//! Invariant: what is not known is never called fine. A limit that was seen passed stays passed, however old the data is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cycle::{self, Input, Known, Needs, World};
use super::doc::DocKey;
use super::money::Micros;
use super::payload::ForecastBrief;
use super::rules::budget::{self, BudgetRule};
use super::rules::scene::Scene;
use super::rules::{Rule, RuleSpec, group_name};
use super::spend::{People, Per, Scope, SpendState};
use super::time::{SignedDuration, Timestamp, elapsed, humanize};

/// Data older than this is unknown, unless asked otherwise: the slowest look at money is hourly.
pub const MAX_AGE: SignedDuration = SignedDuration::from_hours(2);

/// From best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Below the first threshold.
    Under,
    /// At or above the first threshold, below the limit.
    Warn,
    /// Nobody can say.
    Unknown,
    /// At or above the limit.
    Over,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Scopes as people write them: `workspace`, `user:ana@example.com`, `model:gpt-5`, `group:backend`.
    pub scopes: Vec<String>,
    /// Only this rule.
    pub rule: Option<String>,
    pub max_age: SignedDuration,
}

/// One budget and one scope.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    pub rule: String,
    pub sources: Vec<String>,
    pub scope: String,
    pub state: State,
    pub period: String,
    pub period_start: String,
    pub spend_usd: Micros,
    pub limit_usd: Option<Micros>,
    pub remaining_usd: Option<Micros>,
    pub percent: Option<f64>,
    pub estimated: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recrossed: bool,
    pub forecast: Option<ForecastBrief>,
    /// Seconds since the figures were last complete.
    pub data_age_seconds: Option<i64>,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer: the worst of its checks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    pub state: State,
    pub checks: Vec<Check>,
    /// Why there is nothing to check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What must be known to answer.
pub fn needs(world: &World, now: Timestamp) -> Needs {
    cycle::needs(world, now, &Input::Tick { sources: world.sources.clone() })
}

/// Answers from what is known.
pub fn answer(world: &World, known: &Known, now: Timestamp, question: &Question) -> Answer {
    let asked: Vec<&str> = match question.scopes.as_slice() {
        [] => vec!["workspace"],
        scopes => scopes.iter().map(String::as_str).collect(),
    };
    let mut checks = Vec::new();
    for rule in &world.rules {
        let Rule::Budget(budget) = &rule.rule else { continue };
        if question.rule.as_ref().is_some_and(|name| *name != rule.name) {
            continue;
        }
        let groups: BTreeSet<Vec<String>> = world.sources.iter().filter_map(|s| rule.group_of(s)).collect();
        for sources in groups {
            for scope in &asked {
                checks.extend(check(world, known, now, question, &Asked { rule, budget, sources: &sources, scope }));
            }
        }
    }
    let state = checks.iter().map(|c| c.state).max().unwrap_or(State::Unknown);
    let reason = checks.is_empty().then(|| format!("no budget covers {}", asked.join(", ")));
    Answer { state, checks, reason }
}

struct Asked<'a> {
    rule: &'a RuleSpec,
    budget: &'a BudgetRule,
    sources: &'a [String],
    scope: &'a str,
}

fn check(world: &World, known: &Known, now: Timestamp, question: &Question, asked: &Asked<'_>) -> Option<Check> {
    let Asked { rule, budget, sources, scope } = asked;
    let people =
        People(sources.iter().filter_map(|source| known.docs.people(&DocKey::People(source.clone()))).collect());
    let scope = scope_of(scope, &budget.per, &people)?;
    let status: BTreeMap<&str, &SpendState> =
        sources.iter().filter_map(|s| Some((s.as_str(), known.docs.spend(&DocKey::Spend(s.clone()))?))).collect();
    let scene = Scene {
        now,
        rule: &rule.name,
        sources,
        week_start: world.week_start,
        ledger: &known.ledger,
        people: &people,
        groups: &world.groups,
        status: &status,
        complete: true,
    };
    let state = known.docs.budget(&DocKey::Budget(rule.name.clone(), group_name(sources)));
    let standing = budget::standing::standing(budget, state, &scene, &scope);
    let (age, unknown) = age_of(sources, &status, now, question.max_age);
    let spend = standing.sum.amount;
    let over = standing.limit.is_some_and(|limit| spend >= limit && spend > Micros::ZERO);
    let warns = standing.warns_at.is_some_and(|amount| spend >= amount && spend > Micros::ZERO);
    let verdict = match (over, &unknown, warns) {
        (true, ..) => State::Over,
        (_, Some(_), _) => State::Unknown,
        (_, _, true) => State::Warn,
        _ => State::Under,
    };
    Some(Check {
        rule: rule.name.clone(),
        sources: sources.to_vec(),
        scope: scope.to_string(),
        state: verdict,
        period: budget.period.to_string(),
        period_start: standing.period.start.to_string(),
        spend_usd: spend,
        limit_usd: standing.limit,
        remaining_usd: standing.limit.map(|limit| (limit - spend).max(Micros::ZERO)),
        percent: standing.limit.and_then(|limit| spend.percent_of(limit)),
        estimated: standing.sum.estimated,
        recrossed: standing.recrossed,
        // Of old data there is no forecast either.
        forecast: standing.forecast.filter(|_| unknown.is_none()),
        data_age_seconds: age.map(|age| age.as_secs()),
        reason: unknown,
    })
}

/// The scope a person means, where the rule counts such scopes. Users are named by id or email.
fn scope_of(text: &str, per: &Per, people: &People<'_>) -> Option<Scope> {
    let id_of = |name: &str| people.id_of(name).unwrap_or_else(|| name.to_owned());
    match (Scope::from(text.to_owned()), per) {
        (Scope::Workspace, Per::Workspace) => Some(Scope::Workspace),
        (Scope::User(name), Per::User) => Some(Scope::User(id_of(&name))),
        (Scope::UserModel(name, model), Per::UserModel) => Some(Scope::UserModel(id_of(&name), model)),
        (scope @ Scope::Model(_), Per::Model) | (scope @ Scope::Group(_), Per::Group) => Some(scope),
        (Scope::Other(dimension, value), Per::Other(of)) if dimension == *of => Some(Scope::Other(dimension, value)),
        _ => None,
    }
}

/// How old the oldest source's figures are, and why that makes them unknown.
fn age_of(
    sources: &[String],
    status: &BTreeMap<&str, &SpendState>,
    now: Timestamp,
    max_age: SignedDuration,
) -> (Option<SignedDuration>, Option<String>) {
    let mut oldest: Option<SignedDuration> = None;
    for source in sources {
        let state = status.get(source.as_str());
        let Some(at) = state.and_then(|s| s.complete.values().max()) else {
            return (None, Some(format!("{source} has never been read in full")));
        };
        let age = elapsed(*at, now).max(SignedDuration::ZERO);
        oldest = oldest.max(Some(age));
        if age > max_age {
            return (oldest, Some(format!("{source} was last read {} ago", humanize(age))));
        }
        if let Some(since) = state.and_then(|s| s.stale) {
            return (oldest, Some(format!("{source} shows nothing new since {since}")));
        }
    }
    (oldest, None)
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
