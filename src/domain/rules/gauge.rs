//! Gauges: a level with bands, or a state with names. Two equal looks before it speaks.
//!
//! Invariant: a level that is no longer in its list counts as gone by the evidence that a record does: two successive
//! complete looks that miss it, and no loss that is too large to believe.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::collection::{CollectionSpec, GaugeSpec};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::ids;
use crate::domain::money::Micros;
use crate::domain::payload::LevelData;
use crate::domain::record::GaugeRow;
use crate::domain::sweep;
use crate::domain::time::Timestamp;

/// The band of a level that is in none of its bands, and of a good state.
pub const OK: &str = "ok";
/// What is told as the band of a level that has left its list.
const GONE: &str = "gone";
/// Equal looks in a row before a change is believed.
const LOOKS: u32 = 2;

/// What is known of all levels of one collection, by key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GaugeState {
    pub levels: BTreeMap<String, Level>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Level {
    /// The band that was told (or taken silently as the start).
    pub band: Option<String>,
    pub value: Value,
    /// Another band that was seen since, and how often in a row.
    pub candidate: Option<(String, u32)>,
    /// Times the band changed; part of ids.
    pub moves: u64,
    /// The move that left what is good; names the incident.
    #[serde(default)]
    pub opened: u64,
    /// Successive complete looks that missed it.
    #[serde(default, skip_serializing_if = "crate::domain::doc::is_zero")]
    pub missed: u32,
    /// It was there at the first look at its collection, and has not been good since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
}

impl Level {
    /// It is, or was when last shown, in a list.
    fn is_there(&self) -> bool {
        self.band.is_some() || self.candidate.is_some()
    }
}

/// Takes one look's levels in. `first_look`: no look at the collection has reached its end yet.
pub fn observe(
    spec: &CollectionSpec,
    state: &GaugeState,
    rows: &[GaugeRow],
    first_look: bool,
    epoch: u32,
    now: Timestamp,
) -> (GaugeState, Vec<Draft>) {
    let mut next = state.clone();
    let mut drafts = Vec::new();
    for row in rows {
        let Some(band) = row.band.clone().or_else(|| band_of(&spec.gauge, &row.value)) else { continue };
        let level =
            next.levels.entry(row.key.clone()).or_insert_with(|| Level { first: first_look, ..Level::default() });
        level.missed = 0;
        if level.band.as_deref() == Some(&band) {
            level.candidate = None;
            level.value = row.value.clone();
            continue;
        }
        if level.band.is_none() && band == OK {
            // Good at first sight is where it starts: what turns bad later has turned bad.
            *level = Level { band: Some(band), value: row.value.clone(), moves: level.moves + 1, ..Level::default() };
            continue;
        }
        let seen = match &level.candidate {
            Some((candidate, times)) if *candidate == band => times + 1,
            _ => 1,
        };
        if seen < LOOKS {
            level.candidate = Some((band, seen));
            continue;
        }
        if level.band.as_deref().is_none_or(|before| before == OK) {
            level.opened = level.moves + 1;
        }
        let before = level.band.replace(band.clone());
        let old_value = std::mem::replace(&mut level.value, row.value.clone());
        level.candidate = None;
        level.moves += 1;
        if let Some(draft) = draft(spec, row, (before, old_value), level, epoch, now) {
            drafts.push(draft);
        }
    }
    (next, drafts)
}

/// The end of a complete look: what it did not show is missing, and gone at the second such look; then nothing more is to
/// be expected of it, and what was open about it is over. `None` where nothing is to be kept in mind.
pub fn swept(
    spec: &CollectionSpec,
    state: &GaugeState,
    shown: &BTreeSet<String>,
    epoch: u32,
    now: Timestamp,
) -> Option<(GaugeState, Vec<Draft>)> {
    let there = state.levels.iter().filter(|(_, level)| level.is_there());
    let known = there.clone().count() as u64;
    let missing: Vec<&String> = there.map(|(key, _)| key).filter(|key| !shown.contains(*key)).collect();
    if missing.is_empty() {
        return None;
    }
    let believed = !shown.is_empty() && missing.len() as u64 <= sweep::believable(known);
    let mut next = state.clone();
    let mut drafts = Vec::new();
    for key in missing {
        let Some(level) = next.levels.get_mut(key) else { continue };
        level.missed = level.missed.saturating_add(1);
        if level.missed < LOOKS || !believed {
            continue;
        }
        let (band, value) = (level.band.take(), std::mem::take(&mut level.value));
        // How often it moved stays: should it come back, what it does then is another fact.
        *level = Level { moves: level.moves, opened: level.opened, ..Level::default() };
        if band.as_deref().is_none_or(|band| band == OK) {
            continue;
        }
        level.moves += 1;
        let row = GaugeRow { key: key.clone(), name: None, value: Value::Null, band: None, facts: BTreeMap::new() };
        let told = Level { band: Some(GONE.to_owned()), ..level.clone() };
        drafts.extend(draft(spec, &row, (band, value), &told, epoch, now));
    }
    Some((next, drafts))
}

/// The band a value lies in: the lowest bound it does not exceed, or whether its state is a bad one.
pub fn band_of(gauge: &GaugeSpec, value: &Value) -> Option<String> {
    if !gauge.bands.is_empty() {
        let level = Micros::from_json(value, 0).ok()?;
        let lowest = gauge.bands.iter().filter(|(_, bound)| level.0 <= **bound).min_by_key(|(_, bound)| **bound);
        return Some(lowest.map_or_else(|| OK.to_owned(), |(name, _)| name.clone()));
    }
    let state = match value {
        Value::String(s) => s.to_lowercase(),
        Value::Bool(b) => b.to_string(),
        _ => return None,
    };
    let named = |states: &[String]| states.iter().any(|s| s.eq_ignore_ascii_case(&state));
    let bad = if gauge.bad.is_empty() { !named(&gauge.good) } else { named(&gauge.bad) };
    Some(if bad { state } else { OK.to_owned() })
}

/// The event of a level that has just moved, from a band (`None` at first sight) and a value.
fn draft(
    spec: &CollectionSpec,
    row: &GaugeRow,
    (before, old_value): (Option<String>, Value),
    level: &Level,
    epoch: u32,
    now: Timestamp,
) -> Option<Draft> {
    let band = level.band.as_deref()?;
    let over = matches!(band, OK | GONE);
    let named = spec.gauge.events.get(if over { OK } else { band });
    let kind = named.or_else(|| spec.gauge.events.get("*"))?.clone();
    // One that came later speaks like any other.
    let baseline = before.is_none() && level.first;
    let usual = if over { Severity::Info } else { Severity::Warning };
    let severity = spec.events.severities.get(&kind).copied().unwrap_or(usual);
    let (moves, opened, epoch) = (level.moves.to_string(), level.opened.to_string(), epoch.to_string());
    let incident = ids::derive("inc", &[&spec.source, &spec.name, &row.key, &epoch, &opened]);
    let data = LevelData {
        key: row.key.clone(),
        noun: spec.noun.clone(),
        name: row.name.clone().unwrap_or_else(|| row.key.clone()),
        before: old_value,
        after: row.value.clone(),
        band_before: before,
        band_after: band.to_owned(),
        facts: row.facts.clone(),
        baseline,
        incident,
        state: if over { "resolved" } else { "open" }.to_owned(),
    };
    Some(Draft {
        source: spec.source.clone(),
        subject: row.key.clone(),
        time: now,
        severity: if baseline { severity.min(Severity::Warning) } else { severity },
        identity: vec![
            spec.source.clone(),
            spec.name.clone(),
            row.key.clone(),
            epoch,
            moves,
            kind.clone(),
            band.to_owned(),
        ],
        why: json!({ "collection": spec.name, "value": row.value, "band": band, "looks": LOOKS }),
        kind,
        data: data_of(&data),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [&str; 0] = [];

    fn spec() -> CollectionSpec {
        let mut spec = CollectionSpec {
            source: "amply".into(),
            name: "wallet".into(),
            noun: "wallet".into(),
            ..CollectionSpec::default()
        };
        spec.gauge.bands = [("low".to_owned(), 5_000_000), ("depleted".to_owned(), 0)].into();
        for (band, kind) in [("low", "wallet.low"), ("depleted", "wallet.depleted"), (OK, "wallet.topped_up")] {
            spec.gauge.events.insert(band.into(), kind.into());
        }
        spec
    }

    fn run(spec: &CollectionSpec, values: &[Value]) -> Vec<Draft> {
        run_after(spec, values, 0)
    }

    /// The level is there from a look on.
    fn run_after(spec: &CollectionSpec, values: &[Value], before: usize) -> Vec<Draft> {
        let mut state = GaugeState::default();
        let mut told = Vec::new();
        for (look, value) in values.iter().enumerate() {
            let row = row("wallet", value.clone());
            let (next, drafts) = observe(spec, &state, &[row], look + before == 0, 1, Timestamp::UNIX_EPOCH);
            state = next;
            told.extend(drafts);
        }
        told
    }

    fn row(key: &str, value: Value) -> GaugeRow {
        GaugeRow { key: key.into(), name: None, value, band: None, facts: BTreeMap::new() }
    }

    /// Complete looks at levels by key; what each told.
    fn looks(spec: &CollectionSpec, shown: &[&[(&str, i64)]]) -> Vec<Vec<Draft>> {
        let (mut state, mut first) = (GaugeState::default(), true);
        let look = |levels: &&[(&str, i64)]| {
            let rows: Vec<GaugeRow> = levels.iter().map(|(key, value)| row(key, json!(value))).collect();
            let (next, mut told) = observe(spec, &state, &rows, first, 1, Timestamp::UNIX_EPOCH);
            (state, first) = (next, false);
            let shown = levels.iter().map(|(key, _)| (*key).to_owned()).collect();
            if let Some((next, more)) = swept(spec, &state, &shown, 1, Timestamp::UNIX_EPOCH) {
                state = next;
                told.extend(more);
            }
            told
        };
        shown.iter().map(look).collect()
    }

    #[test]
    fn a_level_that_left_its_list_for_good_is_over() {
        let (both, one): (&[_], &[_]) = (&[("a", 1), ("b", 9)], &[("b", 9)]);
        let told = looks(&spec(), &[both, both, one, both, one, one, one, both, both]);
        let kinds: Vec<Vec<&str>> = told.iter().map(|drafts| kinds(drafts)).collect();
        let low = vec!["wallet.low"];
        let over = vec!["wallet.topped_up"];
        let none = Vec::new();
        let (n, l, o) = (|| none.clone(), || low.clone(), || over.clone());
        assert_eq!(kinds, [n(), l(), n(), n(), n(), o(), n(), n(), l()], "missed once, and back, is not gone");
        let (opened, closed, again) = (&told[1][0], &told[5][0], &told[8][0]);
        assert_eq!((&closed.data["state"], &closed.data["band_after"]), (&json!("resolved"), &json!("gone")));
        assert_eq!((&closed.data["after"], &closed.data["before"]), (&Value::Null, &json!(1)));
        assert_eq!(opened.data["incident"], closed.data["incident"]);
        assert_ne!((&opened.identity, &opened.data["incident"]), (&again.identity, &again.data["incident"]));
    }

    #[test]
    fn a_loss_that_is_too_large_to_believe_closes_nothing() {
        let emptied: [&[(&str, i64)]; 5] = [&[("a", 1)], &[("a", 1)], &[], &[], &[]];
        assert_eq!(looks(&spec(), &emptied).concat().len(), 1, "it went low, and that is all that is known");
        let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
        let many: Vec<(&str, i64)> = keys.iter().map(|key| (key.as_str(), 1)).collect();
        let few = &many[..10];
        assert_eq!(looks(&spec(), &[&many, &many, few, few, few]).concat().len(), 20);
    }

    fn kinds(drafts: &[Draft]) -> Vec<&str> {
        drafts.iter().map(|d| d.kind.as_str()).collect()
    }

    #[test]
    fn two_equal_looks_before_it_speaks() {
        let values = [9, 9, 4, 9, 4, 4, -1, -1, 50, 50].map(|v| json!(v));
        assert_eq!(kinds(&run(&spec(), &values)), ["wallet.low", "wallet.depleted", "wallet.topped_up"]);
    }

    #[test]
    fn an_incident_lasts_from_leaving_what_is_good_until_it_is_back() {
        let told = run(&spec(), &[9, 9, 4, 4, 0, 0, 9, 9, 4, 4].map(|v| json!(v)));
        let incidents: Vec<&Value> = told.iter().map(|d| &d.data["incident"]).collect();
        assert_eq!(kinds(&told), ["wallet.low", "wallet.depleted", "wallet.topped_up", "wallet.low"]);
        assert!(incidents[0] == incidents[1] && incidents[1] == incidents[2] && incidents[2] != incidents[3]);
        let states: Vec<_> = told.iter().map(|d| d.data["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["open", "open", "resolved", "open"]);
    }

    #[test]
    fn a_bad_level_at_first_sight_speaks_as_baseline_and_at_most_as_a_warning() {
        let mut spec = spec();
        spec.events.severities.insert("wallet.depleted".into(), Severity::Critical);
        let told = run(&spec, &[json!(0), json!(0), json!(0)]);
        assert_eq!(kinds(&told), ["wallet.depleted"]);
        assert_eq!((told[0].severity, &told[0].data["baseline"]), (Severity::Warning, &json!(true)));
    }

    #[test]
    fn a_bad_level_that_came_after_the_first_look_speaks_like_any_other() {
        let mut spec = spec();
        spec.events.severities.insert("wallet.depleted".into(), Severity::Critical);
        let told = run_after(&spec, &[json!(0), json!(0)], 1);
        assert_eq!(kinds(&told), ["wallet.depleted"]);
        let data = &told[0].data;
        assert_eq!((told[0].severity, &data["baseline"]), (Severity::Critical, &json!(false)));
        assert_eq!((&data["before"], &data["band_before"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn what_was_good_at_first_sight_is_no_baseline_when_it_turns_bad() {
        let mut spec = spec();
        spec.events.severities.insert("wallet.depleted".into(), Severity::Critical);
        for values in [[json!("50.00"), json!(0), json!(0)].as_slice(), &[json!(0), json!("50.00"), json!(0), json!(0)]]
        {
            let told = run(&spec, values);
            assert_eq!(kinds(&told), ["wallet.depleted"], "{values:?}");
            let data = &told[0].data;
            assert_eq!((told[0].severity, &data["baseline"]), (Severity::Critical, &json!(false)), "{values:?}");
            assert_eq!((&data["before"], &data["band_before"]), (&json!("50.00"), &json!(OK)), "{values:?}");
        }
        assert_eq!(kinds(&run(&spec, &[json!(0), json!(50), json!(50)])), NOTHING, "bad for one look: never told");
    }

    #[test]
    fn states_are_good_bad_or_nothing_to_judge() {
        let mut spec = CollectionSpec { name: "health".into(), ..spec() };
        spec.gauge = GaugeSpec { good: vec!["healthy".into(), "ok".into()], ..GaugeSpec::default() };
        spec.gauge.events =
            [(OK, "provider.recovered"), ("*", "provider.degraded")].map(|(b, k)| (b.into(), k.into())).into();
        let values =
            [json!("Healthy"), json!("ok"), json!("down"), json!(null), json!("down"), json!("OK"), json!("ok")];
        assert_eq!(kinds(&run(&spec, &values)), ["provider.degraded", "provider.recovered"]);
    }
}
