//! The configuration: layered, typed, checked as a whole.
//!
//! Invariant: either everything is right and there is a [`Settings`], or every problem is listed and nothing starts.

mod groups;
#[cfg(test)]
mod keys_tests;
mod layers;
mod manifests;
mod parse;
mod problem;
mod routes;
mod sections;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};
use jiff::tz::TimeZone;

pub use crate::domain::hint::hint;
pub use problem::Problem;
pub use sections::{Admin, Bridge, schema};

use crate::domain::routing::Route;
use crate::domain::rules::{self, Rule, RuleSpec};
use crate::domain::spend::{Groups, Per};
use crate::render::{Renderer, TemplateError};
use crate::sink::{self, SinkConfig};
use crate::source::prices::OwnPrices;
use crate::source::{self, SourceConfig};
use crate::store::StoreConfig;
use problem::Problems;

/// Where the config file is looked for.
pub const DEFAULT_FILES: [&str; 2] = ["./ampbridge.toml", "/etc/ampbridge/ampbridge.toml"];
/// Most sources, sinks, rules or routes.
const MAX_ENTRIES: usize = 500;

/// A whole, checked configuration.
#[derive(Debug)]
pub struct Settings {
    pub file: PathBuf,
    /// Relative paths count from here.
    pub folder: PathBuf,
    pub bridge: Bridge,
    pub store: StoreConfig,
    pub admin: Admin,
    /// Prices that go before those of the built-in tables.
    pub prices: OwnPrices,
    pub sources: BTreeMap<String, SourceEntry>,
    pub groups: Groups,
    pub rules: Vec<RuleSpec>,
    pub sinks: BTreeMap<String, SinkEntry>,
    pub routes: Vec<Route>,
}

#[derive(Debug)]
pub struct SourceEntry {
    pub kind: &'static str,
    pub common: source::Common,
    pub config: Box<dyn SourceConfig>,
}

#[derive(Debug)]
pub struct SinkEntry {
    pub kind: &'static str,
    pub common: sink::Common,
    pub config: Box<dyn SinkConfig>,
}

/// Loads `file`, overridden by `env`. All problems at once, in the order of the file's sections.
pub fn load(file: &Path, env: &BTreeMap<String, String>) -> Result<Settings, Vec<Problem>> {
    let mut problems = Problems::default();
    let folder = match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("."),
    };
    let Some(mut tree) = layers::load(file, env, &mut problems) else { return Err(problems.found) };
    finish(&mut tree, file, &folder, problems)
}

/// Loads a config text, as if it stood in `folder`; nothing overrides it.
pub fn load_text(text: &str, folder: &Path) -> Result<Settings, Vec<Problem>> {
    let mut problems = Problems::default();
    let Some(mut tree) = layers::load_text(text, folder, &BTreeMap::new(), &mut problems) else {
        return Err(problems.found);
    };
    finish(&mut tree, &folder.join("ampbridge.toml"), folder, problems)
}

fn finish(tree: &mut Value, file: &Path, folder: &Path, mut problems: Problems) -> Result<Settings, Vec<Problem>> {
    let whole = tree.clone();
    let settings = read(tree, file, folder, &mut problems);
    let mut problems = problems.placed(&whole);
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        rest => {
            let templates = rest.and_then(|settings| settings.bridge.templates_dir);
            problems.extend(templates.iter().flat_map(|dir| template_problems(dir)));
            Err(problems)
        }
    }
}

/// What is wrong with templates of one's own: those that can't be read, and those that fail with a sample.
pub fn template_problems(dir: &Path) -> Vec<Problem> {
    let errors = match Renderer::load(Some(dir)) {
        Ok(renderer) => renderer.check(),
        Err(errors) => errors,
    };
    let problem = |error: TemplateError| Problem {
        path: "bridge.templates_dir".to_owned(),
        origin: None,
        message: error.to_string(),
    };
    errors.into_iter().map(problem).collect()
}

fn read(tree: &mut Value, file: &Path, folder: &Path, problems: &mut Problems) -> Option<Settings> {
    let known = ["bridge", "store", "admin", "sources", "prices", "groups", "rules", "sinks", "routes"];
    let ValueKind::Table(top) = &mut tree.kind else { return None };
    let mut unknown: Vec<&String> = top.keys().filter(|k| !known.contains(&k.as_str())).collect();
    unknown.sort();
    for key in unknown {
        let origin = top.get(key).and_then(|v| v.origin());
        problems.add_at(key.clone(), origin, format!("unknown section{}", hint(key, known)));
    }
    let mut section = |name: &str| top.remove(name);
    let bridge = sections::bridge(section("bridge"), folder, problems);
    let store = sections::store(section("store"), folder, problems);
    let admin = sections::admin(section("admin"), problems);
    let prices = sections::prices(section("prices"), problems);
    let sources = sources(section("sources"), problems);
    let groups = groups::read(section("groups"), problems);
    let zone = bridge.as_ref().map_or(TimeZone::UTC, |bridge| bridge.zone.clone());
    let rule_specs = rule_specs(section("rules"), sources.keys(), &groups, &zone, problems);
    let sinks = sinks(section("sinks"), folder, problems);
    let names = (sources.keys().cloned().collect(), sinks.keys().cloned().collect());
    let scene = routes::Scene { sources: &names.0, sinks: &names.1, bridge: bridge.as_ref() };
    let routes = routes::read(section("routes"), &scene, problems);
    Some(Settings {
        file: file.to_owned(),
        folder: folder.to_owned(),
        bridge: bridge?,
        store: store?,
        admin: admin?,
        prices,
        sources: sources.into_iter().filter_map(|(name, entry)| Some((name, entry?))).collect(),
        groups,
        rules: rule_specs,
        sinks: sinks.into_iter().filter_map(|(name, entry)| Some((name, entry?))).collect(),
        routes,
    })
}

/// The entries of a section by name, in order of their names; names are checked.
fn entries(section: Option<Value>, what: &str, problems: &mut Problems) -> BTreeMap<String, Value> {
    let Some(section) = section else { return BTreeMap::new() };
    let origin = section.origin().map(str::to_owned);
    let table: BTreeMap<String, Value> = match section.kind {
        ValueKind::Table(table) => table.into_iter().collect(),
        ValueKind::Array(items) => {
            for (index, item) in items.iter().take(MAX_ENTRIES).enumerate() {
                let message = format!("has no name: write [{what}.{}] instead of [[{what}]]", name_in(item));
                problems.add_at(format!("{what}[{index}]"), item.origin(), message);
            }
            return BTreeMap::new();
        }
        _ => {
            problems.add_at(what, origin.as_deref(), format!("must be a table of {what}, like [{what}.NAME]"));
            return BTreeMap::new();
        }
    };
    if table.len() > MAX_ENTRIES {
        problems.add(what, format!("more than {MAX_ENTRIES} entries"));
    }
    for name in table.keys() {
        if let Err(why) = sections::check_name(name) {
            problems.add(format!("{what}.{name}"), why);
        }
    }
    table
}

/// The name that an item of a list gives itself, where it can be the name of an entry.
fn name_in(item: &Value) -> &str {
    let ValueKind::Table(table) = &item.kind else { return "NAME" };
    match table.get("name").map(|name| &name.kind) {
        Some(ValueKind::String(name)) if sections::check_name(name).is_ok() => name,
        _ => "NAME",
    }
}

/// Takes `kind` out of an entry; a problem where it is missing or unknown.
fn take_kind<'a>(entry: &mut Value, path: &str, known: &[&'a str], problems: &mut Problems) -> Option<&'a str> {
    let origin = entry.origin().map(str::to_owned);
    let ValueKind::Table(table) = &mut entry.kind else {
        problems.add_at(path, origin.as_deref(), "must be a table");
        return None;
    };
    let Some(kind) = table.remove("kind") else {
        problems.add(format!("{path}.kind"), format!("is missing; one of {}", known.join(", ")));
        return None;
    };
    let list = known.join(", ");
    let found = match &kind.kind {
        ValueKind::String(text) => known.iter().find(|k| *k == text).copied().ok_or_else(|| {
            let hint = hint(text, known.iter().copied());
            format!("there is no kind {text:?}; known are {list}{hint}")
        }),
        _ => Err(format!("must be a text, in quotes: one of {list}")),
    };
    found.map_err(|why| problems.add_at(format!("{path}.kind"), kind.origin(), why)).ok()
}

/// Sources by name; `None` for one with a problem.
fn sources(section: Option<Value>, problems: &mut Problems) -> BTreeMap<String, Option<SourceEntry>> {
    let kinds: Vec<&str> = source::KINDS.iter().map(|k| k.name).collect();
    let mut found = BTreeMap::new();
    for (name, mut entry) in entries(section, "sources", problems) {
        let path = format!("sources.{name}");
        let common = sections::source_common(&mut entry, &path, problems);
        let kind = take_kind(&mut entry, &path, &kinds, problems);
        let parsed = kind.and_then(|kind| {
            let kind = source::KINDS.iter().find(|k| k.name == kind)?;
            let config = parse::collect(entry, &path, &kind.parse, &sections::OF_SOURCES, problems)?;
            for (key, message) in config.problems() {
                problems.add(format!("{path}.{key}"), message);
            }
            Some(SourceEntry { kind: kind.name, common: common?, config })
        });
        found.insert(name, parsed);
    }
    found
}

/// Sinks by name; `None` for one with a problem.
fn sinks(section: Option<Value>, folder: &Path, problems: &mut Problems) -> BTreeMap<String, Option<SinkEntry>> {
    let kinds: Vec<&str> = sink::KINDS.iter().map(|k| k.name).collect();
    let mut found = BTreeMap::new();
    for (name, mut entry) in entries(section, "sinks", problems) {
        let path = format!("sinks.{name}");
        count_from(folder, &mut entry, "ca_file");
        let common = sections::sink_common(&mut entry, &path, problems);
        let kind = take_kind(&mut entry, &path, &kinds, problems);
        let parsed = kind.and_then(|kind| {
            let kind = sink::KINDS.iter().find(|k| k.name == kind)?;
            let config = parse::collect(entry, &path, &kind.parse, &sections::OF_SINKS, problems)?;
            for (key, message) in config.problems() {
                problems.add(format!("{path}.{key}"), message);
            }
            Some(SinkEntry { kind: kind.name, common: common?, config })
        });
        found.insert(name, parsed);
    }
    found
}

fn counts_groups(rule: &Rule) -> bool {
    match rule {
        Rule::Budget(budget) => budget.per == Per::Group,
        Rule::Spike(spike) => spike.per == Per::Group,
        Rule::ThreadCost(_) => false,
    }
}

/// Makes a relative path of an entry count from the config file's folder.
fn count_from(folder: &Path, entry: &mut Value, key: &str) {
    let ValueKind::Table(table) = &mut entry.kind else { return };
    if let Some(ValueKind::String(path)) = table.get_mut(key).map(|value| &mut value.kind)
        && !path.is_empty()
    {
        *path = folder.join(&*path).to_string_lossy().into_owned();
    }
}

fn rule_specs<'a>(
    section: Option<Value>,
    sources: impl Iterator<Item = &'a String>,
    groups: &Groups,
    zone: &TimeZone,
    problems: &mut Problems,
) -> Vec<RuleSpec> {
    let known: BTreeSet<&str> = sources.map(String::as_str).collect();
    let kinds: Vec<&str> = rules::KINDS.iter().map(|k| k.name).collect();
    let mut specs = Vec::new();
    for (name, mut entry) in entries(section, "rules", problems) {
        let path = format!("rules.{name}");
        let named = sections::take_list(&mut entry, "sources", &path, problems);
        for source in named.iter().filter(|s| !known.contains(s.as_str())) {
            let hint = hint(source, known.iter().copied());
            problems.add(format!("{path}.sources"), format!("there is no source {source:?}{hint}"));
        }
        let mut seen = BTreeSet::new();
        for (index, source) in named.iter().enumerate().filter(|(_, source)| !seen.insert(source.as_str())) {
            problems.add(format!("{path}.sources[{index}]"), format!("names {source:?} again; a source counts once"));
        }
        let Some(kind) = take_kind(&mut entry, &path, &kinds, problems) else { continue };
        let Some(kind) = rules::KINDS.iter().find(|k| k.name == kind) else { continue };
        let Some(config) = parse::collect(entry, &path, &kind.parse, &sections::OF_RULES, problems) else { continue };
        match config.build(zone) {
            Ok(rule) => {
                if groups.0.is_empty() && counts_groups(&rule) {
                    problems.add(format!("{path}.per"), "is \"group\", and there are no [groups]");
                }
                specs.push(RuleSpec { name, sources: named, rule });
            }
            Err(faults) => {
                for (key, message) in faults {
                    problems.add(format!("{path}.{key}"), message);
                }
            }
        }
    }
    specs
}
