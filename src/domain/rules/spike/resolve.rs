//! When a told spike is over.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::json;

use super::watch::{SharedRise, Watch};
use super::{Role, SHARED_AGAIN, SHARED_RISE, SpikeState, Told};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::money::Micros;
use crate::domain::payload::SpikeResolvedData;
use crate::domain::rules::detector::HIGH;
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{SETTLING_DAYS, Scope, Sum};
use crate::domain::time::{days_between, minus_days, plus_days};

/// Days without any spend after which an episode counts as over.
const QUIET_DAYS: i64 = 3;

/// Ends what is over: the day after was low, the level was adopted, nothing was spent for days, or the spike itself
/// was corrected away. Of days after which no look was good nothing is said: a source that fails ends nothing. Who was told
/// in an event about several ends with that event, once the last of them is over.
pub(super) fn resolve(state: &mut SpikeState, watch: &Watch<'_>, scene: &Scene<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let last_shared = state.shared;
    let Some(seen) = scene.seen_through() else { return drafts };
    for (scope, days) in &mut state.told {
        for (day, told) in days.iter_mut().filter(|(day, t)| t.open && **day < watch.today) {
            if told.role == Role::Shared {
                let Some(resolution) = shared_resolution(*day, told, last_shared, seen, watch) else { continue };
                told.open = false;
                drafts.push(draft(scope, *day, told, None, resolution, watch, scene));
                continue;
            }
            let open_days = watch.open_days(scope);
            if let Some(lead) = &mut told.lead {
                lead.open &= resolution(scope, *day, lead.expected, &open_days, seen, watch).is_none();
                continue;
            }
            if !told.members.is_empty() {
                continue;
            }
            let Some(resolution) = resolution(scope, *day, told.expected, &open_days, seen, watch) else { continue };
            told.open = false;
            if told.role == Role::Own {
                let now_at = open_days.get(day).copied();
                drafts.push(draft(scope, *day, told, now_at, resolution, watch, scene));
            }
        }
    }
    for (scope, day) in ended_groups(state) {
        if let Some(told) = state.told.get_mut(&scope).and_then(|days| days.get_mut(&day)) {
            told.open = false;
            drafts.push(draft(&scope, day, told, None, "back_to_normal", watch, scene));
        }
    }
    drafts
}

/// Events about several all of whom are over.
fn ended_groups(state: &SpikeState) -> Vec<(Scope, Date)> {
    let is_open = |scope: &Scope, day: &Date| {
        let told = state.told.get(scope).and_then(|days| days.get(day));
        told.is_some_and(|t| t.lead.map_or(t.open && t.members.is_empty(), |lead| lead.open))
    };
    let told = state.told.iter().flat_map(|(scope, days)| days.iter().map(move |(day, told)| (scope, day, told)));
    told.filter(|(_, day, told)| {
        told.open && !told.members.is_empty() && !told.members.iter().any(|member| is_open(member, day))
    })
    .map(|(scope, day, _)| (scope.clone(), *day))
    .collect()
}

/// A rise that all shared is over when it was corrected away, or on the first finished day after it on which they do not
/// stand out together any more: they are back, or it has become what is usual.
fn shared_resolution(
    day: Date,
    told: &Told,
    last: Option<Date>,
    seen: Date,
    watch: &Watch<'_>,
) -> Option<&'static str> {
    let rises = watch.shared_rises();
    let is_calm = |rise: &&SharedRise| rise.factor < SHARED_RISE.ln();
    if rises.iter().filter(is_calm).any(|rise| rise.day == day) {
        return Some("corrected");
    }
    if let Some(calm) = rises.iter().filter(is_calm).find(|rise| day < rise.day && rise.day <= seen) {
        // Held against the same weekday before the rise: which of the two is nearer?
        let mut before = minus_days(calm.day, 7);
        while before >= day {
            before = minus_days(before, 7);
        }
        let (now, usual) = (watch.total(calm.day)?.as_f64(), watch.total(before).map_or(0.0, Micros::as_f64));
        let risen = (told.actual.as_f64() / told.expected.as_f64().max(f64::MIN_POSITIVE)).sqrt();
        return Some(if usual > 0.0 && now >= risen * usual { "new_level" } else { "back_to_normal" });
    }
    let since = last.max(Some(day)).map_or(0, |last| days_between(last, seen));
    (since >= SHARED_AGAIN).then_some("back_to_normal")
}

fn resolution(
    scope: &Scope,
    day: Date,
    expected: Micros,
    open_days: &BTreeMap<Date, Sum>,
    seen: Date,
    watch: &Watch<'_>,
) -> Option<&'static str> {
    let settles = days_between(day, watch.today) <= SETTLING_DAYS;
    let now_at = open_days.get(&day).map(|s| s.amount).unwrap_or_default();
    let corrected = settles && open_days.contains_key(&day) && now_at.as_f64() < HIGH * expected.as_f64();
    let detector = watch.detector(scope);
    // The open day proves nothing yet.
    let last = open_days.range(..watch.today).map(|(d, _)| *d).next_back();
    let last = last.max(detector.and_then(crate::domain::rules::detector::Detector::last_active));
    let idle = last.is_none_or(|d| d <= day) && days_between(day, seen) >= QUIET_DAYS;
    let moved_on = last.is_some_and(|d| day < d && d <= seen) && detector.is_some_and(|d| d.episode_base().is_none());
    match (corrected, moved_on, idle) {
        (true, ..) => Some("corrected"),
        (_, true, _) => {
            let next = last.map(|d| plus_days(d, 1));
            let level = next.and_then(|d| detector?.expect(d)).map_or(0.0, |e| e.usd);
            Some(if level >= HIGH * expected.as_f64() { "new_level" } else { "back_to_normal" })
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
        member_count: u32::try_from(told.members.len()).ok().filter(|n| *n > 0),
        resolution: resolution.to_owned(),
        incident: scene.incident(scope, day),
        state: "resolved".to_owned(),
    };
    let why = json!({ "rule": scene.rule, "date": data.date, "resolution": resolution });
    let identity = scene.identity(scope, day, 0, "spike_resolved");
    scene.draft("cost.spike_resolved", scope, Severity::Info).with(identity, why, data_of(&data))
}
