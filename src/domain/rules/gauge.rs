//! Gauges: a level with bands, or a state with names. Two equal looks before it speaks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::collection::{CollectionSpec, GaugeSpec};
use crate::domain::event::{Draft, Severity, data_of};
use crate::domain::ids;
use crate::domain::money::Micros;
use crate::domain::payload::LevelData;
use crate::domain::record::GaugeRow;
use crate::domain::time::Timestamp;

/// The band of a level that is in none of its bands, and of a good state.
pub const OK: &str = "ok";
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
    /// It was there at the first look at its collection, and has not been good since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
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
        let Some(band) = band_of(&spec.gauge, &row.value) else { continue };
        let level =
            next.levels.entry(row.key.clone()).or_insert_with(|| Level { first: first_look, ..Level::default() });
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
    let kind = spec.gauge.events.get(band).or_else(|| spec.gauge.events.get("*"))?.clone();
    // One that came later speaks like any other.
    let baseline = before.is_none() && level.first;
    let severity = spec.events.severities.get(&kind).copied().unwrap_or(if band == OK {
        Severity::Info
    } else {
        Severity::Warning
    });
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
        state: if band == OK { "resolved" } else { "open" }.to_owned(),
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
            let row = GaugeRow { key: "wallet".into(), name: None, value: value.clone(), facts: BTreeMap::new() };
            let (next, drafts) = observe(spec, &state, &[row], look + before == 0, 1, Timestamp::UNIX_EPOCH);
            state = next;
            told.extend(drafts);
        }
        told
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
