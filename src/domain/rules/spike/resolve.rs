//! When a told spike is over.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::json;

use super::watch::Watch;
use super::{Role, SpikeState, Told};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::payload::SpikeResolvedData;
use crate::domain::rules::detector::HIGH;
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{SETTLING_DAYS, Scope, Sum};
use crate::domain::time::{days_between, plus_days};

/// Days without any spend after which an episode counts as over.
const QUIET_DAYS: i64 = 3;

/// Ends what is over: the day after was low, the level was adopted, nothing was spent for days, or the spike itself
/// was corrected away. Who was told in an event about several ends with that event, once the last of them is over.
pub(super) fn resolve(state: &mut SpikeState, watch: &Watch<'_>, scene: &Scene<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (scope, days) in &mut state.told {
        for (day, told) in days.iter_mut().filter(|(day, t)| t.open && t.members.is_empty() && **day < watch.today) {
            let open_days = watch.open_days(scope);
            let Some(resolution) = resolution(scope, *day, told, &open_days, watch) else { continue };
            told.open = false;
            if told.role == Role::Own {
                let now_at = open_days.get(day).copied();
                drafts.push(draft(scope, *day, told, now_at, resolution, watch, scene));
            }
        }
    }
    let ended: Vec<(Scope, Date)> = state
        .told
        .iter()
        .flat_map(|(scope, days)| days.iter().map(move |(day, told)| (scope, day, told)))
        .filter(|(_, day, told)| {
            let open = |member: &Scope| state.told.get(member).and_then(|d| d.get(day)).is_some_and(|t| t.open);
            told.open && !told.members.is_empty() && !told.members.iter().any(open)
        })
        .map(|(scope, day, _)| (scope.clone(), *day))
        .collect();
    for (scope, day) in ended {
        if let Some(told) = state.told.get_mut(&scope).and_then(|days| days.get_mut(&day)) {
            told.open = false;
            drafts.push(draft(&scope, day, told, None, "back_to_normal", watch, scene));
        }
    }
    drafts
}

fn resolution(
    scope: &Scope,
    day: Date,
    told: &Told,
    open_days: &BTreeMap<Date, Sum>,
    watch: &Watch<'_>,
) -> Option<&'static str> {
    let settles = days_between(day, watch.today) <= SETTLING_DAYS;
    let now_at = open_days.get(&day).map(|s| s.amount).unwrap_or_default();
    let corrected = settles && open_days.contains_key(&day) && now_at.as_f64() < HIGH * told.expected.as_f64();
    let detector = watch.detector(scope);
    // The open day proves nothing yet.
    let last = open_days.range(..watch.today).map(|(d, _)| *d).next_back();
    let last = last.max(detector.and_then(crate::domain::rules::detector::Detector::last_active));
    let idle = last.is_none_or(|d| d <= day) && days_between(day, watch.today) > QUIET_DAYS;
    let moved_on = last.is_some_and(|d| d > day) && detector.is_some_and(|d| d.episode_base().is_none());
    match (corrected, moved_on, idle) {
        (true, ..) => Some("corrected"),
        (_, true, _) => {
            let next = last.map(|d| plus_days(d, 1));
            let level = next.and_then(|d| detector?.expect(d)).map_or(0.0, |e| e.usd);
            Some(if level >= HIGH * told.expected.as_f64() { "new_level" } else { "back_to_normal" })
        }
        (_, _, true) => Some("back_to_normal"),
        _ => None,
    }
}

fn draft(
    scope: &Scope,
    day: Date,
    told: &Told,
    now_at: Option<Sum>,
    resolution: &str,
    watch: &Watch<'_>,
    scene: &Scene<'_>,
) -> Draft {
    let settles = days_between(day, watch.today) <= SETTLING_DAYS;
    let data = SpikeResolvedData {
        rule: scene.rule.to_owned(),
        scope: scope.to_string(),
        who: scene.person(scope),
        sources: scene.sources.to_vec(),
        date: day.to_string(),
        actual_usd: now_at.filter(|_| settles).map_or(told.actual, |s| s.amount),
        expected_usd: told.expected,
        resolution: resolution.to_owned(),
        incident: scene.incident(scope, day),
        state: "resolved".to_owned(),
    };
    let why = json!({ "rule": scene.rule, "date": data.date, "resolution": resolution });
    let identity = scene.identity(scope, day, 0, "spike_resolved");
    scene.draft("cost.spike_resolved", scope, Severity::Info).with(identity, why, data_of(&data))
}
