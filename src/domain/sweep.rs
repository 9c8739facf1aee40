//! The end of a complete look: what has gone, and whether that is believable.
//!
//! Invariants: a removal needs two successive complete looks that miss the record, or one and its own address saying so
//! where the list alone proves nothing; a loss that is too large to believe removes nothing until a person says so.

use std::collections::BTreeSet;

use super::collection::{CollectionSpec, CollectionState, Deletes, Hold};
use super::event::{Draft, Severity, data_of};
use super::ids;
use super::payload::HeldData;
use super::record::{StoredRow, key_hash};
use super::time::Timestamp;

/// Removals in one look that are always believed.
pub const ALWAYS_BELIEVED: u64 = 5;
/// Keys named in a hold.
pub const SAMPLE: usize = 10;

/// What a look did not show. Keys are hashes, sorted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Missing {
    pub now: Vec<u64>,
    /// Missed already by the complete look before this one.
    pub before: Vec<u64>,
    /// Of these what was announced with the hold. A subset of `before`.
    pub announced: Vec<u64>,
    /// Live records known.
    pub known: u64,
    /// Rows missed twice (once, where their own address is asked): all of them where there are at most [`believable`],
    /// else some.
    pub rows: Vec<StoredRow>,
}

/// What the last complete look missed and nothing has shown since.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StillMissed {
    pub keys: Vec<u64>,
    /// Of these what was announced with the hold.
    pub announced: Vec<u64>,
    /// Live records known.
    pub known: u64,
}

/// Records that were missed have been shown, by a look that proves nothing else: they are not missing, and a loss that is
/// small enough to believe now needs no person any more.
pub fn found_again(spec: &CollectionSpec, state: &mut CollectionState, still: &StillMissed) {
    let too_much = is_too_much(spec, state, still.keys.len() as u64, still.known);
    match &mut state.hold {
        Some(hold) if too_much || (hold.rejected.is_some() && !still.announced.is_empty()) => {
            hold.shrink(if hold.announced { &still.announced } else { &still.keys });
        }
        hold => *hold = None,
    }
}

/// What follows.
#[derive(Debug, Clone, Default)]
pub struct Removals {
    pub rows: Vec<StoredRow>,
    /// To be remembered as missed by this look.
    pub missed: Vec<u64>,
    /// Of these what a person was told of and may approve.
    pub announced: Vec<u64>,
    pub held: Option<Draft>,
}

/// Removals in one look that need no person.
pub fn believable(known: u64) -> u64 {
    ALWAYS_BELIEVED.max(known / 10)
}

/// Decides. `shown` is the number of rows the look brought, `confirmed` the keys whose own address says they are gone.
pub fn decide(
    spec: &CollectionSpec,
    state: &mut CollectionState,
    missing: &Missing,
    shown: u64,
    confirmed: &BTreeSet<String>,
    now: Timestamp,
) -> Removals {
    if spec.deletes == Deletes::Never {
        state.hold = None;
        return Removals::default();
    }
    if !is_doubtful(spec, state, missing, shown) {
        let kept = kept(state, missing);
        match &mut state.hold {
            Some(hold) if !kept.is_empty() => hold.shrink(&kept),
            hold => *hold = None,
        }
        state.doubted &= !missing.now.is_empty();
        let proven = |row: &&StoredRow| spec.deletes != Deletes::ConfirmGet || confirmed.contains(&row.key);
        let is_kept = |row: &&StoredRow| kept.binary_search(&key_hash(&row.key)).is_ok();
        let rows: Vec<StoredRow> = missing.rows.iter().filter(|row| proven(row) && !is_kept(row)).cloned().collect();
        let gone: BTreeSet<u64> = rows.iter().map(|r| key_hash(&r.key)).collect();
        let missed = missing.now.iter().copied().filter(|h| !gone.contains(h)).collect();
        return Removals { rows, missed, announced: kept, held: None };
    }
    let (announced, held) = hold(spec, state, missing, now);
    Removals { rows: Vec::new(), missed: missing.now.clone(), announced, held }
}

/// Whether a loss needs a person.
pub fn is_doubtful(spec: &CollectionSpec, state: &CollectionState, missing: &Missing, shown: u64) -> bool {
    let lost = missing.now.len() as u64;
    let emptied = shown == 0 && missing.known > 0;
    emptied || is_too_much(spec, state, lost, missing.known)
}

/// What a person has said is not gone, and is missing still.
fn kept(state: &CollectionState, missing: &Missing) -> Vec<u64> {
    let is_rejected = state.hold.as_ref().is_some_and(|hold| hold.rejected.is_some());
    if is_rejected { both(&missing.now, &missing.announced) } else { Vec::new() }
}

fn is_too_much(spec: &CollectionSpec, state: &CollectionState, lost: u64, known: u64) -> bool {
    // That a collection grows makes nothing believable that somebody was asked about.
    let asked_of = state.hold.as_ref().filter(|hold| hold.announced).map(|hold| hold.known);
    let known = asked_of.map_or(known, |asked_of| asked_of.min(known));
    lost > believable(known) || ((spec.hold_all || state.doubted) && lost > 0)
}

/// What waits for a person, and the news of it. What was announced only ever shrinks: a record that goes missing later was
/// shown to nobody, so no word about this hold is about it.
fn hold(
    spec: &CollectionSpec,
    state: &mut CollectionState,
    missing: &Missing,
    now: Timestamp,
) -> (Vec<u64>, Option<Draft>) {
    let epoch = state.epoch;
    let twice = both(&missing.now, &missing.before);
    let announced = both(&twice, &missing.announced);
    // Of what a person has said stays, less may be missing than then, and nothing else.
    let is_other = announced.len() < missing.now.len();
    let is_over = |h: &Hold| (h.rejected.is_some() && is_other) || (h.announced && announced.is_empty());
    if state.hold.as_ref().is_some_and(is_over) {
        state.hold = None;
    }
    let hold = state.hold.get_or_insert_with(|| Hold {
        id: ids::derive_short("hold", &[&spec.source, &spec.name, &epoch.to_string(), &now.to_string()]),
        opened: now,
        looks: 0,
        announced: false,
        rejected: None,
        count: 0,
        known: missing.known,
        sample: Vec::new(),
    });
    hold.looks = hold.looks.saturating_add(1);
    if hold.announced {
        hold.shrink(&announced);
        return (announced, None);
    }
    hold.known = missing.known;
    hold.count = if twice.is_empty() { missing.now.len() } else { twice.len() } as u64;
    if !missing.rows.is_empty() {
        let is_meant = |r: &&StoredRow| twice.is_empty() || twice.binary_search(&key_hash(&r.key)).is_ok();
        hold.sample = missing.rows.iter().filter(is_meant).take(SAMPLE).map(|r| r.key.clone()).collect();
        hold.sample.sort();
    }
    if hold.looks < 2 || twice.is_empty() {
        return (Vec::new(), None);
    }
    hold.announced = true;
    let data = HeldData {
        hold: hold.id.clone(),
        source: spec.source.clone(),
        collection: spec.name.clone(),
        noun: spec.noun.clone(),
        count: hold.count,
        known: hold.known,
        sample: hold.sample.clone(),
    };
    let draft = Draft {
        source: spec.source.clone(),
        kind: "source.change_held".to_owned(),
        subject: spec.source.clone(),
        time: now,
        severity: Severity::Warning,
        identity: vec![spec.source.clone(), "source.change_held".to_owned(), spec.name.clone(), hold.id.clone()],
        why: serde_json::json!({ "missing": hold.count, "known": hold.known, "believable": believable(hold.known) }),
        data: data_of(&data),
    };
    (twice, Some(draft))
}

/// What is in both; both are sorted.
fn both(some: &[u64], others: &[u64]) -> Vec<u64> {
    some.iter().copied().filter(|key| others.binary_search(key).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(now: std::ops::Range<u64>, before: std::ops::Range<u64>, known: u64) -> Missing {
        let rows = now
            .clone()
            .filter(|h| before.contains(h))
            .take(SAMPLE)
            .map(|h| StoredRow { key: format!("k{h}"), ..StoredRow::default() })
            .collect();
        Missing { now: now.collect(), before: before.collect(), announced: Vec::new(), known, rows }
    }

    fn look(state: &mut CollectionState, m: &Missing, shown: u64) -> (usize, Option<String>) {
        let spec = CollectionSpec { source: "acme".into(), name: "threads".into(), ..CollectionSpec::default() };
        // As the store has it: whatever is held was announced when it was missed.
        let announced = if state.hold.as_ref().is_some_and(|h| h.announced) { m.before.clone() } else { Vec::new() };
        let m = Missing { announced, ..m.clone() };
        let out = decide(&spec, state, &m, shown, &BTreeSet::new(), Timestamp::UNIX_EPOCH);
        (out.rows.len(), out.held.map(|d| d.kind))
    }

    #[test]
    fn an_emptied_list_is_held_at_the_second_look_and_dissolves() {
        let mut state = CollectionState::default();
        assert_eq!(look(&mut state, &missing(0..3, 0..0, 3), 0), (0, None));
        assert_eq!(look(&mut state, &missing(0..3, 0..3, 3), 0), (0, Some("source.change_held".into())));
        assert_eq!(look(&mut state, &missing(0..3, 0..3, 3), 0), (0, None), "told once");
        assert_eq!(look(&mut state, &missing(0..0, 0..3, 3), 3), (0, None));
        assert!(state.hold.is_none());
    }

    #[test]
    fn more_than_a_tenth_is_held_and_a_tenth_is_not() {
        for (lost, known, held) in [(5, 6, false), (6, 7, true), (10, 100, false), (11, 100, true)] {
            let mut state = CollectionState::default();
            look(&mut state, &missing(0..lost, 0..0, known), known - lost);
            let (_, event) = look(&mut state, &missing(0..lost, 0..lost, known), known - lost);
            assert_eq!(event.is_some(), held, "{lost} of {known}");
        }
    }

    #[test]
    fn the_first_loss_that_is_too_large_is_silent_whatever_the_look_before_missed() {
        let mut state = CollectionState::default();
        assert_eq!(look(&mut state, &missing(0..5, 0..0, 20), 15), (0, None), "small enough to believe");
        assert_eq!(
            look(&mut state, &missing(0..10, 0..5, 20), 10),
            (0, None),
            "five of them twice, ten for the first time"
        );
        assert_eq!(look(&mut state, &missing(0..10, 0..10, 20), 10), (0, Some("source.change_held".into())));
    }

    #[test]
    fn a_rejected_loss_is_quiet_until_the_set_changes() {
        let mut state = CollectionState::default();
        for _ in 0..2 {
            look(&mut state, &missing(0..20, 0..20, 100), 80);
        }
        let hold = state.hold.as_mut().unwrap();
        hold.rejected = Some(hold.count);
        assert_eq!(look(&mut state, &missing(0..20, 0..20, 100), 80).1, None);
        assert_eq!(look(&mut state, &missing(0..21, 0..20, 100), 79).1, None, "first look at another set");
        assert!(look(&mut state, &missing(0..21, 0..21, 100), 79).1.is_some());
    }

    #[test]
    fn where_the_list_proves_nothing_only_what_says_so_itself_is_gone() {
        let spec = CollectionSpec { deletes: Deletes::ConfirmGet, ..CollectionSpec::default() };
        let out = |confirmed: &[&str]| {
            let confirmed = confirmed.iter().map(|k| (*k).to_owned()).collect();
            let mut state = CollectionState::default();
            let out = decide(&spec, &mut state, &missing(0..2, 0..2, 40), 38, &confirmed, Timestamp::UNIX_EPOCH);
            (out.rows.len(), out.missed)
        };
        assert_eq!(out(&[]).0, 0);
        assert_eq!(out(&["k1"]).0, 1);
    }

    #[test]
    fn a_workspace_known_to_lose_data_loses_nothing_without_a_person() {
        let spec = CollectionSpec { hold_all: true, ..CollectionSpec::default() };
        let mut state = CollectionState::default();
        let none = BTreeSet::new();
        for held in [false, true, false] {
            let out = decide(&spec, &mut state, &missing(0..1, 0..1, 40), 39, &none, Timestamp::UNIX_EPOCH);
            assert_eq!((out.rows.len(), out.held.is_some()), (0, held));
        }
        let place = CollectionSpec::default();
        let mut state = CollectionState { doubted: true, ..CollectionState::default() };
        for held in [false, true, false] {
            let out = decide(&place, &mut state, &missing(0..1, 0..1, 40), 39, &none, Timestamp::UNIX_EPOCH);
            assert_eq!((out.rows.len(), out.held.is_some()), (0, held), "so it is where something else stands");
        }
        let back = decide(&place, &mut state, &missing(0..0, 0..1, 40), 40, &none, Timestamp::UNIX_EPOCH);
        assert!(back.rows.is_empty() && state.hold.is_none() && !state.doubted, "it has all that is known");
        let never = CollectionSpec { deletes: Deletes::Never, ..CollectionSpec::default() };
        let out = decide(&never, &mut state, &missing(0..40, 0..40, 40), 0, &none, Timestamp::UNIX_EPOCH);
        assert!(out.rows.is_empty() && out.held.is_none() && state.hold.is_none());
    }
}
