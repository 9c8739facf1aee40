//! Money of threads whose files went away: it was spent all the same, and a budget must not shrink because someone
//! tidied up.
//!
//! Invariant: a thread counts once, as long as its file is there by its file, afterwards by what is kept of it here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::Thread;
use crate::source::prices::Picos;

/// Lines kept at most; of more, those of the oldest days go.
const LINES: usize = 5_000;

/// What is kept, by thread id. Its stored form is the cursor of the spend collection.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Gone {
    #[serde(rename = "gone", default)]
    threads: BTreeMap<String, Vec<Kept>>,
}

/// What a thread spent on one model on one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub day: Date,
    pub user: String,
    pub model: String,
    /// Pico-dollars, at most 9.2 million dollars.
    picos: i64,
    pub tokens: u64,
}

impl Kept {
    pub fn cost(&self) -> Picos {
        Picos(i128::from(self.picos))
    }
}

impl Gone {
    /// Reads a cursor; anything else is an empty one.
    pub fn from_cursor(cursor: &Value) -> Self {
        Self::deserialize(cursor).unwrap_or_default()
    }

    pub fn to_cursor(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }

    pub fn holds(&self, id: &str) -> bool {
        self.threads.contains_key(id)
    }

    pub fn lines(&self) -> impl Iterator<Item = &Kept> {
        self.threads.values().flatten()
    }

    /// Takes in threads that vanished and lets go of those that are back (`there`) and of days before `from`.
    pub fn update(&mut self, vanished: &[Arc<Thread>], there: &BTreeSet<&str>, from: Date) {
        for thread in vanished {
            self.threads.insert(thread.id.to_string(), kept(thread));
        }
        self.threads.retain(|id, lines| {
            lines.retain(|line| line.day >= from);
            !lines.is_empty() && !there.contains(id.as_str())
        });
        let mut days: Vec<Date> = self.lines().map(|line| line.day).collect();
        if days.len() > LINES {
            days.sort_unstable_by(|a, b| b.cmp(a));
            let oldest = days.get(LINES).copied().unwrap_or(from);
            for lines in self.threads.values_mut() {
                lines.retain(|line| line.day > oldest);
            }
        }
    }
}

fn kept(thread: &Thread) -> Vec<Kept> {
    let lines = thread.bill.lines.iter().filter_map(|line| {
        Some(Kept {
            day: line.day,
            user: thread.creator.as_deref().unwrap_or_default().to_owned(),
            model: line.model.to_string(),
            picos: i64::try_from(line.known_cost()?.0).unwrap_or(i64::MAX),
            tokens: line.priced,
        })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::usage::{Bill, Line};
    use super::*;

    fn thread(id: &str, days: &[Date]) -> Arc<Thread> {
        let line = |day: &Date| Line { day: *day, model: "m".into(), priced: 3, cost: Picos(5), unpriced: 0 };
        let bill = Bill { lines: days.iter().map(line).collect(), floor: false };
        Arc::new(Thread { id: id.into(), bill, ..Thread::default() })
    }

    #[test]
    fn what_is_kept_survives_its_stored_form_until_it_is_back_or_too_old() {
        let (old, new) = (date(2026, 7, 1), date(2026, 11, 1));
        let mut gone = Gone::default();
        gone.update(&[thread("a", &[old, new]), thread("b", &[new]), thread("c", &[])], &BTreeSet::new(), old);
        let mut again = Gone::from_cursor(&gone.to_cursor().unwrap());
        assert_eq!(again, gone);
        assert_eq!((again.lines().count(), again.holds("a"), again.holds("c")), (3, true, false));
        again.update(&[], &["b"].into(), new);
        assert_eq!(again.lines().map(|l| (l.day, l.cost(), l.tokens)).collect::<Vec<_>>(), [(new, Picos(5), 3)]);
        assert_eq!(Gone::from_cursor(&Value::Null), Gone::default());
        assert_eq!(Gone::from_cursor(&serde_json::json!({ "gone": 7 })), Gone::default());
    }

    #[test]
    fn of_too_much_the_oldest_days_go() {
        let days: Vec<Date> = (0..31).map(|n| crate::domain::time::plus_days(date(2026, 10, 1), n)).collect();
        let threads: Vec<Arc<Thread>> = (0..200).map(|n| thread(&format!("T-{n}"), &days)).collect();
        let mut gone = Gone::default();
        gone.update(&threads, &BTreeSet::new(), date(2026, 1, 1));
        assert_eq!(gone.lines().count(), 5_000);
        assert_eq!(gone.lines().map(|l| l.day).min(), Some(date(2026, 10, 7)));
    }
}
