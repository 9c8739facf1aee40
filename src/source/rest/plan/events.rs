//! Which events a collection makes.

use super::super::faults::{Faults, check_event, hint};
use super::super::manifest::{CollectionManifest, EventName};
use crate::domain::collection::{EventNames, GaugeSpec, Role, UpdateRule};
use crate::domain::rules::gauge::OK;

/// What stands for every band or state that is not good.
const ANY: &str = "*";

pub(super) fn compile(noun: &str, manifest: &CollectionManifest, faults: &mut Faults) -> (EventNames, GaugeSpec) {
    let mut names = EventNames::default();
    let mut gauge = GaugeSpec::default();
    match manifest.role {
        Role::Record => names = records(noun, manifest, faults),
        Role::Gauge => gauge = levels(noun, manifest, faults),
        Role::Spend | Role::Cost => {
            for key in manifest.events.keys() {
                faults.add(format!("events.{key}"), "money rows make no events of their own; rules do");
            }
        }
    }
    for (kind, severity) in &manifest.severity {
        faults.take(format!("severity.{kind}"), check_event(kind));
        names.severities.insert(kind.clone(), *severity);
    }
    let made: Vec<String> = made(&names, &gauge);
    for kind in manifest.severity.keys().filter(|kind| !made.contains(kind)) {
        let hint = hint(kind, made.iter().map(String::as_str));
        faults.add(format!("severity.{kind}"), format!("this collection makes no event of that type{hint}"));
    }
    (names, gauge)
}

fn made(names: &EventNames, gauge: &GaugeSpec) -> Vec<String> {
    let updates = names.updated.iter().filter_map(|rule| rule.event.clone());
    names.created.iter().chain(&names.deleted).cloned().chain(updates).chain(gauge.events.values().cloned()).collect()
}

fn records(noun: &str, manifest: &CollectionManifest, faults: &mut Faults) -> EventNames {
    let known = ["created", "updated", "deleted"];
    check_keys(manifest, &known, faults);
    let mut named = |key: &str| match manifest.events.get(key) {
        None => Some(format!("{noun}.{key}")),
        Some(name) => checked(name, &format!("events.{key}"), faults),
    };
    let (created, updated, deleted) = (named("created"), named("updated"), named("deleted"));
    let mut rules = Vec::new();
    for (index, rule) in manifest.on.iter().enumerate() {
        let path = format!("on[{index}]");
        let event = checked(&rule.event, &format!("{path}.event"), faults);
        let Some(field) = faults.one(format!("{path}.field"), &rule.field) else { continue };
        let watched = manifest.watch.as_ref().is_none_or(|list| list.contains(&rule.field));
        if !watched {
            faults.add(
                format!("{path}.field"),
                format!("{:?} is not in watch, so its changes are never seen", rule.field),
            );
        }
        if rule.new && rule.to.is_none() {
            faults.add(format!("{path}.new"), "needs `to`: what a new record has to be");
        }
        rules.push(UpdateRule {
            field: Some(field.label()),
            to: rule.to.clone(),
            from: rule.from.clone(),
            rising: rule.rising.clone(),
            at_birth: rule.new,
            alone: rule.alone,
            event,
        });
    }
    rules.push(UpdateRule { event: updated, ..UpdateRule::default() });
    EventNames { created, updated: rules, deleted, ..EventNames::default() }
}

fn levels(noun: &str, manifest: &CollectionManifest, faults: &mut Faults) -> GaugeSpec {
    let mut gauge = GaugeSpec::default();
    if manifest.value.is_none() {
        faults.add("value", "is missing: where the level or the state is, like \"/balance\"");
    }
    for (name, bound) in &manifest.bands {
        match bound.usd() {
            Ok(bound) => drop(gauge.bands.insert(name.clone(), bound.0)),
            Err(error) => faults.add(format!("bands.{name}"), error.to_string()),
        }
    }
    if manifest.bands.contains_key(OK) {
        faults.add("bands.ok", "is what a level in no band is called; choose another name");
    }
    match (&manifest.states, manifest.bands.is_empty()) {
        (None, true) => faults.add("bands", "is missing: name bands of a number, or states that are good or bad"),
        (Some(_), false) => faults.add("states", "stands beside bands; a gauge has one or the other"),
        (Some(states), true) if states.good.is_empty() == states.bad.is_empty() => {
            faults.add("states", "name those that are good, or those that are bad; the others are the opposite");
        }
        (Some(states), true) => {
            gauge.good.clone_from(&states.good);
            gauge.bad.clone_from(&states.bad);
        }
        (None, false) => {}
    }
    let bands: Vec<&str> = manifest.bands.keys().map(String::as_str).collect();
    let bad = if manifest.states.is_some() { vec!["bad"] } else { bands };
    let known: Vec<&str> = bad.iter().copied().chain([OK]).collect();
    check_keys(manifest, &known, faults);
    for key in known {
        let default = match key {
            "bad" => format!("{noun}.degraded"),
            OK if manifest.states.is_some() => format!("{noun}.recovered"),
            band => format!("{noun}.{band}"),
        };
        let event = match manifest.events.get(key) {
            None => Some(default),
            Some(name) => checked(name, &format!("events.{key}"), faults),
        };
        let band = if key == "bad" { ANY } else { key };
        gauge.events.extend(event.map(|event| (band.to_owned(), event)));
    }
    gauge
}

fn check_keys(manifest: &CollectionManifest, known: &[&str], faults: &mut Faults) {
    for key in manifest.events.keys().filter(|key| !known.contains(&key.as_str())) {
        let hint = hint(key, known.iter().copied());
        faults
            .add(format!("events.{key}"), format!("there is no such event here; known are {}{hint}", known.join(", ")));
    }
}

fn checked(name: &EventName, path: &str, faults: &mut Faults) -> Option<String> {
    let name = name.0.as_ref()?;
    faults.take(path, check_event(name))?;
    Some(name.clone())
}
