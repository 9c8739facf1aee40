//! How a day grew: how much of its spend is usually there by now, and when it left what was to be expected.
//!
//! A scope that spends most of a day before noon need not be waited for until midnight. Only days that were being
//! watched at this time of day tell something; history that was read afterwards does not.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::domain::money::Micros;
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{Members, Per, SLOTS, Scope, slot_of};
use crate::domain::time::{SignedDuration, Timestamp, minus_days, plus, start_of_utc_day};

/// Calendar days looked back on for active ones.
pub const DAYS: i64 = 42;
/// Newest active days used, and from how many on.
const NEWEST: usize = 28;
const LEAST: usize = 8;
/// Of these days, this part had spent no larger share by now.
const QUANTILE: f64 = 0.95;

/// The part of a day that is spent by now on all but the earliest days; 1 where too little is known.
pub fn usual_share(scene: &Scene<'_>, per: &Per, scope: &Scope, today: Date) -> f64 {
    if !is_by_user(per) {
        return 1.0;
    }
    let slot = slot_of(scene.now);
    let mut shares = Vec::new();
    let mut day = minus_days(today, 1);
    while shares.len() < NEWEST && day >= minus_days(today, DAYS) {
        let watched =
            scene.counted.iter().all(|s| scene.status.get(s.as_str()).is_some_and(|st| st.watched_at(day, slot)));
        if watched && let Some(share) = share_on(scene, scope, day, slot) {
            shares.push(share);
        }
        day = minus_days(day, 1);
    }
    if shares.len() < LEAST { 1.0 } else { quantile(shares, QUANTILE) }
}

/// When more had been spent on a day than was to be expected of all of it: after the last half-hour of which it is known that
/// this was not yet so. Where the day was not watched, its begin.
pub fn left_the_usual(scene: &Scene<'_>, per: &Per, scope: &Scope, day: Date, expected: Micros) -> Timestamp {
    let begin = start_of_utc_day(day);
    if !is_by_user(per) {
        return begin;
    }
    let watched = |slot: u32| {
        let bit = |s: &String| scene.status.get(s.as_str()).is_some_and(|st| st.looked_in(day, slot));
        scene.counted.iter().all(bit)
    };
    let mut since = begin;
    for slot in (0..SLOTS).filter(|slot| watched(*slot)) {
        if so_far(scene, scope, day, slot).0 > expected {
            return since;
        }
        since = plus(begin, SignedDuration::from_mins(30 * i64::from(slot + 1)));
    }
    // It came in when the day was over.
    begin
}

/// How a day grew is only known by user.
fn is_by_user(per: &Per) -> bool {
    matches!(per, Per::Workspace | Per::User | Per::Group)
}

/// `None` on an idle day.
fn share_on(scene: &Scene<'_>, scope: &Scope, day: Date, slot: u32) -> Option<f64> {
    let (by_now, all) = so_far(scene, scope, day, slot);
    (all > Micros::ZERO).then(|| (by_now.as_f64() / all.as_f64()).min(1.0))
}

/// What a scope had spent on a day by the end of a half-hour, and in all.
fn so_far(scene: &Scene<'_>, scope: &Scope, day: Date, slot: u32) -> (Micros, Micros) {
    let mut members = Members::new(scope, scene.groups, scene.people);
    let (mut by_now, mut all) = (Micros::ZERO, Micros::ZERO);
    for source in scene.counted {
        let Some(spend) = scene.ledger.days.get(&(source.clone(), day)) else { continue };
        if let Scope::User(id) = scope {
            by_now += spend.so_far(id, slot);
            all += spend.spent_by(id);
            continue;
        }
        let users: BTreeSet<&str> = spend.cells().map(|(user, ..)| user).collect();
        for user in users.into_iter().filter(|user| members.has_user(user)) {
            by_now += spend.so_far(user, slot);
            all += spend.spent_by(user);
        }
    }
    (by_now, all)
}

/// With linear interpolation between the two nearest.
fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "at most 28")]
    let at = q * (values.len().saturating_sub(1)) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 27")]
    let below = at.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (values[above] - values[below]) * (at - at.floor())
}
