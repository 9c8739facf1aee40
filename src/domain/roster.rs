//! Threads whose cost is asked for one by one, and when each is asked again.
//!
//! A thread's cost grows while nothing else of it changes, so having been asked once is not enough: what came or was
//! worked on is asked at once, what brought no answer again after a while, and what was worked on lately in a slow turn.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::time::{Timestamp, elapsed, plus};

/// The newest threads, as many as are kept in mind once they were asked, and as many as one look at all of them asks.
pub const KEPT: usize = 500;
/// Threads that wait to be asked for the first time since they came or were worked on, at most; the oldest go first.
pub const WAITING: usize = 2_000;
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
    #[serde(default, skip_serializing_if = "is_zero")]
    pub misses: u32,
    /// It was there before anybody kept an eye on it, and has not been asked for yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub earlier: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(misses: &u32) -> bool {
    *misses == 0
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
    let mut again: Vec<(Timestamp, &String)> =
        roster.iter().filter_map(|(key, wanted)| Some((wanted.asked.filter(|_| wanted.is_due(now))?, key))).collect();
    again.sort_unstable();
    Round { wanted: newest(waiting), again: again.into_iter().map(|(_, key)| key.clone()).collect() }
}

/// What a look at all of them asks for, whatever the schedule: the newest.
pub fn all(roster: &Roster) -> Round {
    let mut wanted = newest(roster.iter());
    wanted.truncate(KEPT);
    Round { wanted, again: Vec::new() }
}

/// Takes note of what was asked. `answered` says whether there was an answer.
pub fn settle(roster: &mut Roster, asked: &[String], answered: impl Fn(&str) -> bool, now: Timestamp) {
    for key in asked {
        let Some(wanted) = roster.get_mut(key) else { continue };
        wanted.asked = Some(now);
        wanted.earlier = false;
        wanted.misses = if answered(key) { 0 } else { wanted.misses.saturating_add(1) };
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

/// Lets go of the oldest where there are too many.
pub fn trim(roster: &mut Roster) {
    if roster.len() <= KEPT {
        return;
    }
    for (rank, key) in newest(roster.iter()).into_iter().enumerate().skip(KEPT) {
        if rank >= WAITING || roster.get(&key).is_some_and(|wanted| wanted.asked.is_some()) {
            roster.remove(&key);
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
        let round = all(&roster);
        assert_eq!(round.wanted[..3], ["newer", "new", "just-asked"]);
        assert_eq!((round.wanted.len(), round.again.len()), (7, 0), "whatever the schedule");
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
        assert_eq!(all(&roster).wanted, both);
        for misses in [40, u32::MAX] {
            assert_eq!(pause(misses), LONGEST_PAUSE);
        }
    }

    #[test]
    fn the_newest_are_kept_and_of_what_waits_some_more() {
        let entry =
            |n: usize, asked| (format!("T-{n:05}"), Wanted { recency: format!("{n:05}"), asked, ..Wanted::default() });
        let mut asked: Roster = (0..600).map(|n| entry(n, Some(now()))).collect();
        trim(&mut asked);
        assert_eq!((asked.len(), asked.keys().next().unwrap().as_str()), (KEPT, "T-00100"));
        let mut waiting: Roster = (0..2_100).map(|n| entry(n, (n % 2 == 0).then(now))).collect();
        trim(&mut waiting);
        assert_eq!(waiting.len(), KEPT + (WAITING - KEPT) / 2);
    }
}
