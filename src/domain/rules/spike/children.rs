//! What rules that look closer have told, so that what is larger is not told again of the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::{Role, SpikeState};
use crate::domain::spend::Scope;

/// A parent's spike is told by its child's, where the child explains this much of the rise (percent).
const EXPLAINS: f64 = 60.0;

/// By day: the users each event was about.
#[derive(Debug, Clone, Default)]
pub struct Children(BTreeMap<Date, Vec<BTreeSet<String>>>);

impl Children {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes note of what one rule has told.
    pub fn note(&mut self, state: &SpikeState) {
        for (scope, days) in &state.told {
            // Who was told in an event about several is in that event.
            for (day, told) in days.iter().filter(|(_, told)| told.role != Role::Member) {
                let about = if told.members.is_empty() { std::slice::from_ref(scope) } else { &told.members };
                let users: BTreeSet<String> = about.iter().filter_map(Scope::user).map(str::to_owned).collect();
                if !users.is_empty() {
                    self.0.entry(*day).or_default().push(users);
                }
            }
        }
    }

    /// Whether one event of the day is about users who together have most of a rise, by their shares of it in percent.
    pub(super) fn explain(&self, day: Date, shares: &BTreeMap<String, f64>) -> bool {
        let share = |users: &BTreeSet<String>| users.iter().filter_map(|id| shares.get(id)).sum::<f64>();
        self.0.get(&day).is_some_and(|told| told.iter().any(|users| share(users) >= EXPLAINS))
    }
}
