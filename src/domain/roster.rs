//! Threads whose cost is asked for one by one, and when each is asked again.
//!
//! A thread's cost grows while nothing else of it changes, so having been asked once is not enough: what came or was
//! worked on is asked at once, what brought no answer again after a while, and what was worked on lately in a slow turn.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::time::{Timestamp, elapsed, plus};

/// Threads that are kept in mind, the newest.
pub const KEPT: usize = 2_000;
/// Of these one look at all of them asks so many, in turn; and the newest so many are asked again and again.
pub const ROUND: usize = 500;
/// A thread that was worked on within this long is asked again and again.
pub const LATELY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long after an answer.
pub const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// How long after the first question that brought no answer; twice as long after each further one.
pub const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// The longest such pause.
pub const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(24);
/// Questions without an answer after which a thread that was not worked on lately is let be.
const PATIENCE: u32 = 6;

/// Threads by key. Also the records of any other collection that are to be asked about; those leave once they were.
pub type Roster = BTreeMap<String, Wanted>;

/// A record that is to be asked about, with what an event about it would tell.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// Text that orders by recency (the server's `updatedAt`).
    pub recency: String,
    pub facts: BTreeMap<String, Value>,
    /// When it was last asked for; `None` since it came or was worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Timestamp>,
    /// Questions in a row without an answer.
    #[serde(default, skip_serializing_if = "crate::domain::doc::is_zero")]
    pub misses: u32,
    /// It was there before anybody kept an eye on it, and has not been asked for yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub earlier: bool,
}

/// What one look asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Round {
    /// What came or was worked on, most recent first.
    pub wanted: Vec<String>,
    /// What was asked before and may have changed unseen, longest ago first; where calls are left.
    pub again: Vec<String>,
}

/// What a look is to ask for by the schedule.
pub fn due(roster: &Roster, now: Timestamp) -> Round {
    let waiting = roster.iter().filter(|(_, wanted)| wanted.asked.is_none());
    let mut recent: Vec<&str> = roster.values().map(|wanted| wanted.recency.as_str()).collect();
    recent.sort_unstable_by(|a, b| b.cmp(a));
    let oldest = recent.get(ROUND - 1).copied().unwrap_or_default();
    let takes_turns = |wanted: &Wanted| wanted.is_due(now) && (wanted.misses > 0 || wanted.recency.as_str() >= oldest);
    let mut again: Vec<(Timestamp, &String)> =
        roster.iter().filter_map(|(key, wanted)| Some((wanted.asked.filter(|_| takes_turns(wanted))?, key))).collect();
    again.sort_unstable();
    Round { wanted: newest(waiting), again: again.into_iter().map(|(_, key)| key.clone()).collect() }
}

/// What a look at all of them asks for, whatever the schedule: what waits, then what was asked longest ago, so that
/// several such looks go round. What brought no answer just now comes last.
pub fn all(roster: &Roster, now: Timestamp) -> Round {
    let rests = |wanted: &Wanted| wanted.asked.is_some() && wanted.misses > 0 && !wanted.is_due(now);
    let place = |(key, wanted): (&'_ String, &'_ Wanted)| {
        (rests(wanted), wanted.asked, Reverse((wanted.recency.clone(), key.clone())))
    };
    let mut order: Vec<_> = roster.iter().map(place).collect();
    order.sort_unstable();
    Round { wanted: order.into_iter().take(ROUND).map(|(.., Reverse((_, key)))| key).collect(), again: Vec::new() }
}

/// Takes note of what was asked. `answered` says whether there was an answer.
pub fn settle(roster: &mut Roster, asked: &[String], answered: impl Fn(&str) -> bool, now: Timestamp) {
    for key in asked {
        let Some(wanted) = roster.get_mut(key) else { continue };
        wanted.asked = Some(now);
        if answered(key) {
            (wanted.earlier, wanted.misses) = (false, 0);
        } else {
            wanted.misses = wanted.misses.saturating_add(1);
        }
    }
}

/// Keeps only so many, the newest.
pub fn keep_newest(roster: &mut Roster, most: usize) {
    if roster.len() > most {
        for oldest in newest(roster.iter()).into_iter().skip(most) {
            roster.remove(&oldest);
        }
    }
}

impl Wanted {
    fn is_due(&self, now: Timestamp) -> bool {
        let Some(asked) = self.asked else { return true };
        // A clock that was set back must not put everything off.
        let since = elapsed(asked, now).abs();
        let lately = self.is_lately(now);
        match self.misses {
            0 => lately && since >= AGAIN,
            misses => (lately || misses < PATIENCE) && since >= pause(misses),
        }
    }

    /// Whether it was worked on lately; what does not say when may have been.
    fn is_lately(&self, now: Timestamp) -> bool {
        self.recency.parse::<Timestamp>().map_or(true, |at| plus(at, LATELY) >= now)
    }
}

fn pause(misses: u32) -> SignedDuration {
    let times = 1_i32.checked_shl(misses.saturating_sub(1).min(16)).unwrap_or(1);
    FIRST_PAUSE.saturating_mul(times).min(LONGEST_PAUSE)
}

/// Most recent first.
fn newest<'a>(entries: impl Iterator<Item = (&'a String, &'a Wanted)>) -> Vec<String> {
    let mut order: Vec<(&String, &String)> = entries.map(|(key, wanted)| (&wanted.recency, key)).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    order.into_iter().map(|(_, key)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T10:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    /// By key: when it was worked on, and hours since it was asked.
    fn roster(entries: &[(&str, &str, Option<i64>)]) -> Roster {
        let entry = |(key, recency, hours): &(&str, &str, Option<i64>)| {
            let asked = hours.map(|hours| plus(now(), SignedDuration::from_hours(-hours)));
            ((*key).to_owned(), Wanted { recency: (*recency).to_owned(), asked, ..Wanted::default() })
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn what_moved_comes_first_and_the_last_week_takes_turns() {
        let roster = roster(&[
            ("new", "2026-11-22T09:00:00Z", None),
            ("newer", "2026-11-22T09:30:00Z", None),
            ("just-asked", "2026-11-22T09:00:00Z", Some(0)),
            ("this-week", "2026-11-20T09:00:00Z", Some(2)),
            ("longer-ago", "2026-11-20T09:00:00Z", Some(3)),
            ("undated", "", Some(1)),
            ("old", "2026-11-10T09:00:00Z", Some(200)),
        ]);
        let round = due(&roster, now());
        assert_eq!(round.wanted, ["newer", "new"]);
        assert_eq!(round.again, ["longer-ago", "this-week", "undated"]);
        let round = all(&roster, now());
        let expected = ["newer", "new", "old", "longer-ago", "this-week", "undated", "just-asked"];
        assert_eq!(
            (round.wanted, round.again.len()),
            (expected.map(str::to_owned).to_vec(), 0),
            "whatever the schedule"
        );
    }

    #[test]
    fn no_answer_is_asked_for_again_at_longer_and_longer_intervals() {
        let mut roster = roster(&[("T-1", "2026-11-22T09:00:00Z", None), ("T-2", "2026-10-01T00:00:00Z", None)]);
        let both = ["T-1".to_owned(), "T-2".to_owned()];
        let mut at = now();
        for mins in [5, 10, 20, 40, 80] {
            settle(&mut roster, &both, |_| false, at);
            assert_eq!(due(&roster, plus(at, SignedDuration::from_mins(mins - 1))).again, [""; 0], "{mins}");
            at = plus(at, SignedDuration::from_mins(mins));
            assert_eq!(due(&roster, at).again, both, "{mins}");
        }
        settle(&mut roster, &both, |key| key == "T-1", at);
        assert_eq!(due(&roster, plus(at, AGAIN)).again, ["T-1"], "the old one is let be");
        assert_eq!(all(&roster, at).wanted, both);
        for misses in [40, u32::MAX] {
            assert_eq!(pause(misses), LONGEST_PAUSE);
        }
    }

    /// So many threads, the last the newest, all of which were asked now.
    fn many(count: usize) -> Roster {
        let wanted = |n| Wanted { recency: format!("2026-11-22T{n:05}"), asked: Some(now()), ..Wanted::default() };
        (0..count).map(|n| (format!("T-{n:05}"), wanted(n))).collect()
    }

    #[test]
    fn looks_at_all_of_them_go_round() {
        let mut roster = many(KEPT - 300);
        let mut asked = std::collections::BTreeSet::new();
        for hour in 1..=4 {
            let at = plus(now(), SignedDuration::from_hours(hour));
            let round = all(&roster, at).wanted;
            assert_eq!(round.len(), ROUND);
            settle(&mut roster, &round, |key| key != "T-00007", at);
            asked.extend(round);
        }
        assert_eq!(asked.len(), KEPT - 300);
    }

    #[test]
    fn what_brought_no_answer_just_now_comes_last() {
        let mut roster = many(4);
        settle(&mut roster, &["T-00003".to_owned(), "T-00001".to_owned()], |_| false, now());
        roster.get_mut("T-00002").unwrap().asked = None;
        assert_eq!(all(&roster, now()).wanted, ["T-00002", "T-00000", "T-00003", "T-00001"]);
    }

    #[test]
    fn only_the_newest_take_turns_and_the_oldest_are_let_go_of() {
        let mut roster = many(KEPT + 100);
        keep_newest(&mut roster, KEPT);
        assert_eq!((roster.len(), roster.keys().next().unwrap().as_str()), (KEPT, "T-00100"));
        let again = due(&roster, plus(now(), AGAIN)).again;
        assert_eq!((again.len(), again[0].as_str()), (ROUND, "T-01600"));
    }
}
