//! Spend spikes: a day far above what its scope's own history leads one to expect.
//!
//! Judged on the open day as it grows and again while it settles, once per rule, scope and day; several at once are one
//! event, and so is a rise that all share; resolved when the episode ends. The memory (a detector per scope, folded up
//! to the last closed day) is a cache of the ledger: the days that may still be revised are folded anew each time.

mod children;
mod event;
mod resolve;
mod share;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::detector::{Judgement, Sensitivity};
use super::scene::Scene;
use super::sight::Met;
use crate::domain::event::Draft;
use crate::domain::money::Micros;
use crate::domain::spend::{Per, SETTLING_DAYS, Scope, Sum};
use crate::domain::time::{days_between, minus_days};

pub use children::Children;
use event::{Group, Spike};
pub use watch::Learned;
use watch::Watch;

/// Days of ledger a detector learns from at first: its window, and a margin for idle days and settling.
pub const DAYS_NEEDED: i64 = 100;
/// Days of ledger an evaluation looks at once that is done: the open day and the settling ones.
pub const DAYS_OPEN: i64 = SETTLING_DAYS + 1;
/// Days a told spike is remembered after it ended.
const REMEMBER_DAYS: i64 = 14;
/// Scopes that alert in one evaluation and are one event: three, or two that are a quarter of the active ones.
const GROUP: usize = 3;
const GROUP_PART: usize = 4;
/// A shared rise is told again only after so many days without one.
const SHARED_AGAIN: i64 = 7;
/// From this common factor on (a rise by 30 % of nearly everybody) the rise is itself news.
const SHARED_RISE: f64 = 1.3;
#[derive(Debug, Clone, PartialEq)]
pub struct SpikeRule {
    pub per: Per,
    pub sensitivity: Sensitivity,
}

/// What one rule has told of one group of sources.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpikeState {
    /// By scope, then day: what was told.
    pub told: BTreeMap<Scope, BTreeMap<Date, Told>>,
    /// The last day of a rise that all shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<Date>,
    /// Sources that were counted before; `None` in what was remembered before anybody took note of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<Met>,
    /// Whose money it was ([`Scene::account`]).
    #[serde(skip_serializing_if = "crate::domain::doc::is_zero")]
    pub account: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub actual: Micros,
    pub expected: Micros,
    pub open: bool,
    #[serde(default, skip_serializing_if = "Role::is_own")]
    pub role: Role,
    /// Of an event about several: who.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Scope>,
    /// The first of them, whose own day stands here too: an event about several that is not the day's first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<Lead>,
    /// Too small to wake anyone: for the digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub small: bool,
}

/// The own figures of a scope at which an event about several stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    pub actual: Micros,
    pub expected: Micros,
    pub open: bool,
}

/// In what way a scope's spike was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// By an event of its own.
    #[default]
    Own,
    /// In an event about several.
    Member,
    /// By the event of the one who caused it.
    Covered,
    /// An event about a rise that all share.
    Shared,
    /// Known at first sight, or from a change of the rule: never told.
    Silent,
}

impl Role {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// What an evaluation came to.
#[derive(Debug, Clone)]
pub struct SpikeVerdict {
    pub state: SpikeState,
    /// What was learned; `None` where nothing was.
    pub learned: Option<Learned>,
    pub drafts: Vec<Draft>,
    pub lacks: Vec<(String, Date)>,
}

/// A scope whose day is news.
#[derive(Debug, Clone)]
struct Candidate {
    scope: Scope,
    day: Date,
    sum: Sum,
    judged: Judgement,
    /// The first day of the episode it belongs to.
    since: Date,
}

/// Evaluates one rule over one group. `state` is `None` at first sight. When a source is first counted its history is learned
/// silently, and what spikes on the open day speaks once, marked `baseline`.
pub fn evaluate(
    rule: &SpikeRule,
    state: Option<&SpikeState>,
    learned: Option<&Learned>,
    children: &Children,
    scene: &Scene<'_>,
) -> SpikeVerdict {
    let state = state.filter(|state| state.account == scene.account());
    let mut next = state.cloned().unwrap_or_default();
    next.account = scene.account();
    let mut met = next.met.take().unwrap_or_else(|| if state.is_some() { Met::all(scene) } else { Met::default() });
    let first_sight = !met.meet(scene).fresh.is_empty();
    next.met = Some(met);
    let today = scene.today();
    let mut watch = Watch::new(rule, learned, scene, today);
    let lacks = scene.lacking(watch.needs_from());
    let anew = watch.learns_anew();
    watch.fold_closed_days();
    let candidates = watch.judge_open_days();
    if !next.told.is_empty() {
        watch.name_scopes();
    }
    let mut verdict = SpikeVerdict { state: SpikeState::default(), learned: None, drafts: Vec::new(), lacks };
    verdict.lacks.extend(watch.lacks.iter().cloned());
    let days: BTreeSet<Date> = candidates.iter().map(|c| c.day).collect();
    let mut at_first_sight = Vec::new();
    for day in days {
        let news: Vec<Spike> = candidates
            .iter()
            .filter(|c| c.day == day && !is_told(&next, &c.scope, day))
            .map(|c| Spike::of(c, rule, &watch, scene))
            .collect();
        let quiet = first_sight || (anew && day < today);
        if quiet {
            for spike in news {
                let seen = first_sight && day == today;
                next.note(&spike, if seen { Role::Own } else { Role::Silent }, seen);
                if seen {
                    at_first_sight.push(spike);
                }
            }
            continue;
        }
        verdict.drafts.extend(tell(rule, news, &mut next, children, &watch, scene));
    }
    if !first_sight && !anew {
        verdict.drafts.extend(shared_rise(rule, &mut next, &watch, scene));
    }
    if scene.complete && !first_sight {
        verdict.drafts.extend(resolve::resolve(&mut next, &watch, scene));
    }
    verdict.drafts.extend(event::first_sight(rule, at_first_sight, &watch, scene));
    if verdict.drafts.iter().any(|d| d.kind == "cost.spike") {
        let from = minus_days(today, SETTLING_DAYS + super::attribution::WINDOW_DAYS);
        verdict.lacks.extend(scene.lacking(from));
    }
    for days in next.told.values_mut() {
        days.retain(|day, told| told.open || days_between(*day, today) <= REMEMBER_DAYS);
    }
    next.told.retain(|_, days| !days.is_empty());
    verdict.state = next;
    verdict.learned = watch.learned();
    verdict
}

impl SpikeState {
    fn note(&mut self, spike: &Spike, role: Role, open: bool) {
        let told = Told {
            actual: spike.actual,
            expected: spike.expected,
            open,
            role,
            members: spike.members.clone(),
            lead: None,
            small: spike.is_small,
        };
        self.told.entry(spike.scope.clone()).or_default().insert(spike.day, told);
    }
}

fn is_told(state: &SpikeState, scope: &Scope, day: Date) -> bool {
    state.told.get(scope).is_some_and(|days| days.contains_key(&day))
}

/// Tells the news of one day: one by one, or all in one where they are many.
fn tell(
    rule: &SpikeRule,
    news: Vec<Spike>,
    state: &mut SpikeState,
    children: &Children,
    watch: &Watch<'_>,
    scene: &Scene<'_>,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let mut own = Vec::new();
    for spike in news {
        if is_covered(&spike, children, scene) {
            state.note(&spike, Role::Covered, false);
        } else {
            own.push(spike);
        }
    }
    let Some(day) = own.first().map(|s| s.day) else { return drafts };
    let parts = !matches!(rule.per, Per::Workspace | Per::Group);
    let many = own.len() >= GROUP || (own.len() >= 2 && own.len() * GROUP_PART >= watch.active_on(day));
    if parts && many {
        let group = Group::of(own);
        for member in &group.members {
            state.note(member, Role::Member, true);
        }
        // One event a day stands at the workspace. Those who come later on the same day stand at the first of them.
        let lead = if is_told(state, &Scope::Workspace, day) { group.members.first() } else { None };
        let spike = group.spike(lead.map_or(Scope::Workspace, |s| s.scope.clone()), rule, scene, watch);
        state.note(&spike, Role::Own, true);
        if let (Some(lead), Some(told)) = (lead, state.told.get_mut(&spike.scope).and_then(|days| days.get_mut(&day))) {
            told.lead = Some(Lead { actual: lead.actual, expected: lead.expected, open: true });
        }
        drafts.push(spike.draft(rule, scene, watch, None));
        return drafts;
    }
    for spike in own {
        state.note(&spike, Role::Own, true);
        drafts.push(spike.draft(rule, scene, watch, None));
    }
    drafts
}

/// Whether those who explain most of it were told by one event of a rule that looks closer.
fn is_covered(spike: &Spike, children: &Children, scene: &Scene<'_>) -> bool {
    if children.is_empty() || matches!(spike.scope, Scope::User(_) | Scope::UserModel(..)) {
        return false;
    }
    let mut by_user: BTreeMap<String, f64> = BTreeMap::new();
    for part in spike.attribution(scene) {
        if let Some(who) = part.who {
            *by_user.entry(who.id).or_default() += part.share;
        }
    }
    children.explain(spike.day, &by_user)
}

/// A rise of nearly everybody on a finished day, once per rise.
fn shared_rise(rule: &SpikeRule, state: &mut SpikeState, watch: &Watch<'_>, scene: &Scene<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for rise in watch.shared_rises().iter().filter(|r| r.factor >= SHARED_RISE.ln()) {
        let known = state.shared.is_some_and(|last| days_between(last, rise.day) <= SHARED_AGAIN);
        state.shared = state.shared.max(Some(rise.day));
        let excess = rise.actual - rise.expected;
        let floor = Micros::from_estimate(rule.sensitivity.floor_usd);
        if known || excess < floor || is_told(state, &Scope::Workspace, rise.day) {
            continue;
        }
        let spike = Spike::shared(rise, watch);
        state.note(&spike, Role::Shared, true);
        drafts.push(spike.draft(rule, scene, watch, None));
    }
    drafts
}

#[cfg(test)]
#[path = "spike_tests.rs"]
mod tests;
