//! May more be spent? What a CI job, a hook or a proxy asks before it does.
//!
//! Invariant: what is not known is never called fine. A limit that was seen passed stays passed, however old the data is.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::cycle::{self, Input, Known, Needs, World};
use super::doc::DocKey;
use super::money::Micros;
use super::payload::ForecastBrief;
use super::rules::budget::{self, BudgetRule};
use super::rules::scene::Scene;
use super::rules::{Rule, RuleSpec, group_name};
use super::spend::{Groups, People, Per, Scope, SpendState};
use super::time::{Period, SignedDuration, Timestamp, elapsed, humanize, minus_days};

/// Data older than this is unknown, unless asked otherwise: the slowest look at money is hourly.
pub const MAX_AGE: SignedDuration = SignedDuration::from_hours(2);

/// From best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// From where on it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailOn {
    /// The first threshold.
    Warn,
    #[default]
    Over,
}

/// What unknown means to whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    Allow,
    Deny,
}

/// What to do, as exit codes and HTTP statuses say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// Past the first threshold, and that was to count.
    Warned,
    Stop,
    Unknown,
}

impl State {
    pub fn verdict(self, fail_on: FailOn, on_unknown: Option<OnUnknown>) -> Verdict {
        match (self, fail_on, on_unknown) {
            (Self::Under, ..) | (Self::Warn, FailOn::Over, _) | (Self::Unknown, _, Some(OnUnknown::Allow)) => {
                Verdict::Go
            }
            (Self::Warn, FailOn::Warn, _) => Verdict::Warned,
            (Self::Over, ..) | (Self::Unknown, _, Some(OnUnknown::Deny)) => Verdict::Stop,
            (Self::Unknown, _, None) => Verdict::Unknown,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose budgets; none means the workspace's. Users by id or email.
    pub scopes: Vec<Scope>,
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
    /// As far as it was seen; `None` where nothing was, and nobody knows that nothing was spent.
    pub spend_usd: Option<Micros>,
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
    /// What nothing could be checked of, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What must be known to answer.
pub fn needs(world: &World, now: Timestamp) -> Needs {
    cycle::needs(world, now, &Input::Tick { sources: world.sources.clone() })
}

/// Answers from what is known.
pub fn answer(world: &World, known: &Known, now: Timestamp, question: &Question) -> Answer {
    let workspace = [Scope::Workspace];
    let asked = if question.scopes.is_empty() { &workspace } else { question.scopes.as_slice() };
    let mut checks = Vec::new();
    let mut uncovered = Vec::new();
    for scope in asked {
        let before = checks.len();
        for rule in world.rules.iter().filter(|rule| question.rule.as_ref().is_none_or(|name| *name == rule.name)) {
            let Rule::Budget(budget) = &rule.rule else { continue };
            let groups: BTreeSet<Vec<String>> = world.sources.iter().filter_map(|s| rule.group_of(s)).collect();
            for sources in groups {
                checks.extend(check(world, known, now, question, &Asked { rule, budget, sources: &sources, scope }));
            }
        }
        if checks.len() == before {
            uncovered.push(why_uncovered(world, scope));
        }
    }
    // What nothing covers is not known, whatever is known of the others.
    let nothing = (!uncovered.is_empty()).then_some(State::Unknown);
    let state = checks.iter().map(|c| c.state).chain(nothing).max().unwrap_or(State::Unknown);
    let reason = (!uncovered.is_empty()).then(|| uncovered.join("; "));
    Answer { state, checks, reason }
}

fn why_uncovered(world: &World, scope: &Scope) -> String {
    match scope {
        Scope::Group(name) if !world.groups.0.contains_key(name) => format!("there is no group {name:?} in the config"),
        _ => format!("no budget covers {scope}"),
    }
}

struct Asked<'a> {
    rule: &'a RuleSpec,
    budget: &'a BudgetRule,
    sources: &'a [String],
    scope: &'a Scope,
}

fn check(world: &World, known: &Known, now: Timestamp, question: &Question, asked: &Asked<'_>) -> Option<Check> {
    let Asked { rule, budget, sources, scope } = asked;
    let people =
        People(sources.iter().filter_map(|source| known.docs.people(&DocKey::People(source.clone()))).collect());
    let scope = scope_of(scope, &budget.per, &people, &world.groups)?;
    let status: BTreeMap<&str, &SpendState> =
        sources.iter().filter_map(|s| Some((s.as_str(), known.docs.spend(&DocKey::Spend(s.clone()))?))).collect();
    let scene = Scene {
        now,
        rule: &rule.name,
        sources,
        // Whatever was seen is spent: a limit may be passed before a source has been read to its end.
        counted: sources,
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
    let unknown = unknown.or_else(|| uncounted(&status, standing.period, scene.today()));
    let spend = standing.sum.amount;
    let over = standing.limit.is_some_and(|limit| spend >= limit && spend > Micros::ZERO);
    let warns = standing.warns_at.is_some_and(|amount| spend >= amount && spend > Micros::ZERO);
    let verdict = match (over, &unknown, warns) {
        (true, ..) => State::Over,
        (_, Some(_), _) => State::Unknown,
        (_, _, true) => State::Warn,
        _ => State::Under,
    };
    let seen = (unknown.is_none() || spend > Micros::ZERO).then_some(spend);
    Some(Check {
        rule: rule.name.clone(),
        sources: sources.to_vec(),
        scope: scope.to_string(),
        state: verdict,
        period: budget.period.to_string(),
        period_start: standing.period.start.to_string(),
        spend_usd: seen,
        limit_usd: standing.limit,
        remaining_usd: standing.limit.zip(seen).map(|(limit, spend)| (limit - spend).max(Micros::ZERO)),
        percent: standing.limit.zip(seen).and_then(|(limit, spend)| spend.percent_of(limit)),
        estimated: standing.sum.estimated,
        recrossed: standing.recrossed,
        // Of old data there is no forecast either.
        forecast: standing.forecast.filter(|_| unknown.is_none()),
        data_age_seconds: age.map(|age| age.as_secs()),
        reason: unknown,
    })
}

/// The scope that is meant, where the rule counts such scopes. Users are named by id or email. A user or a model that is not
/// known has spent nothing; a group that the config does not have is none.
fn scope_of(asked: &Scope, per: &Per, people: &People<'_>, groups: &Groups) -> Option<Scope> {
    let id_of = |name: &String| people.id_of(name).unwrap_or_else(|| name.clone());
    match (asked, per) {
        (Scope::Workspace, Per::Workspace) | (Scope::Model(_), Per::Model) => Some(asked.clone()),
        (Scope::User(name), Per::User) => Some(Scope::User(id_of(name))),
        (Scope::UserModel(name, model), Per::UserModel) => Some(Scope::UserModel(id_of(name), model.clone())),
        (Scope::Group(name), Per::Group) => groups.0.contains_key(name).then(|| asked.clone()),
        (Scope::Other(dimension, _), Per::Other(of)) => (dimension == of).then(|| asked.clone()),
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
        if let Some(day) = state.and_then(|s| s.is_ahead_of(now)) {
            return (
                None,
                Some(format!("{source} has figures of {day}, which this machine's clock has yet to come to")),
            );
        }
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

/// Why the sum of a period lacks something.
fn uncounted(status: &BTreeMap<&str, &SpendState>, period: Period, today: Date) -> Option<String> {
    status.iter().find_map(|(source, state)| {
        let day = state.uncounted(period.start, today.min(minus_days(period.end, 1)))?;
        let what = if state.left_out(day) { "rows that can't be read" } else { "tokens that have no price" };
        Some(format!("{source} has {what} on {day}, so nobody knows what was spent"))
    })
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
