//! The configuration: layered, typed, checked as a whole.
//!
//! Invariant: either everything is right and there is a [`Settings`], or every problem is listed and nothing starts.

mod groups;
mod layers;
mod manifests;
mod parse;
mod problem;
mod routes;
mod sections;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};
use jiff::tz::TimeZone;

pub use problem::{Problem, hint};
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
    let Some(mut tree) = layers::load(file, env, &mut problems) else { return Err(problems.0) };
    finish(&mut tree, file, &folder, problems)
}

/// Loads a config text, as if it stood in `folder`; nothing overrides it.
pub fn load_text(text: &str, folder: &Path) -> Result<Settings, Vec<Problem>> {
    let mut problems = Problems::default();
    let Some(mut tree) = layers::load_text(text, folder, &BTreeMap::new(), &mut problems) else {
        return Err(problems.0);
    };
    finish(&mut tree, &folder.join("ampbridge.toml"), folder, problems)
}

fn finish(tree: &mut Value, file: &Path, folder: &Path, mut problems: Problems) -> Result<Settings, Vec<Problem>> {
    // What has a path by now is a secret that can't be had. What is wrong with the text that stands in for it is no
    // news.
    let told = problems.0.len();
    let unresolved: BTreeSet<String> = problems.0.iter().map(|p| p.path.clone()).filter(|p| !p.is_empty()).collect();
    let settings = read(tree, file, folder, &mut problems);
    let mut index = 0;
    problems.0.retain(|problem| {
        index += 1;
        index <= told || !unresolved.contains(&problem.path)
    });
    match settings {
        Some(settings) if problems.0.is_empty() => Ok(settings),
        rest => {
            let templates = rest.and_then(|settings| settings.bridge.templates_dir);
            problems.0.extend(templates.iter().flat_map(|dir| template_problems(dir)));
            Err(problems.0)
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
    let ValueKind::Table(table) = section.kind else {
        problems.add_at(what, origin.as_deref(), format!("must be a table of {what}, like [{what}.NAME]"));
        return BTreeMap::new();
    };
    if table.len() > MAX_ENTRIES {
        problems.add(what, format!("more than {MAX_ENTRIES} entries"));
    }
    for name in table.keys() {
        if let Err(why) = sections::check_name(name) {
            problems.add(format!("{what}.{name}"), why);
        }
    }
    table.into_iter().collect()
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
    let origin = kind.origin().map(str::to_owned);
    let text = kind.into_string().unwrap_or_default();
    let found = known.iter().find(|k| **k == text).copied();
    if found.is_none() {
        let hint = hint(&text, known.iter().copied());
        let list = known.join(", ");
        problems.add_at(
            format!("{path}.kind"),
            origin.as_deref(),
            format!("there is no kind {text:?}; known are {list}{hint}"),
        );
    }
    found
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
            let config = parse::collect(entry, &path, &kind.parse, problems)?;
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
            let config = parse::collect(entry, &path, &kind.parse, problems)?;
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
        let Some(kind) = take_kind(&mut entry, &path, &kinds, problems) else { continue };
        let Some(kind) = rules::KINDS.iter().find(|k| k.name == kind) else { continue };
        let Some(config) = parse::collect(entry, &path, &kind.parse, problems) else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sinks_ca_file_counts_from_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let pem = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap().cert.pem();
        std::fs::write(folder.path().join("own-ca.pem"), pem).unwrap();
        let text = r#"
[sinks.mail]
kind = "email"
smtp_url = "smtps://mail.example.com"
from = "a@example.com"
to = "b@example.com"
ca_file = "own-ca.pem"
"#;
        assert!(load_text(text, folder.path()).is_ok());
        let problems = load_text(&text.replace("own-ca", "no-ca"), folder.path()).unwrap_err();
        assert!(problems[0].to_string().starts_with("sinks.mail.ca_file: /"), "{problems:?}");
    }

    #[test]
    fn a_secret_that_can_not_be_had_is_one_problem_each() {
        let text = r#"
[sinks.ops]
kind = "slack"
webhook_url = { env = "NOPE" }
[sinks.hook]
kind = "webhook"
url = { env = "NOPE" }
secrets = [{ env = "NOPE" }, "whsec_c2hvcnQ="]
[sinks.mail]
kind = "email"
smtp_url = { file = "nope" }
from = "a@example.com"
to = ["b@example.com"]
"#;
        let problems = load_text(text, Path::new("/nonexistent")).unwrap_err();
        let mut paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        paths.sort_unstable();
        let expected = [
            "sinks.hook.secrets[0]",
            "sinks.hook.secrets[1]",
            "sinks.hook.url",
            "sinks.mail.smtp_url",
            "sinks.ops.webhook_url",
        ];
        assert_eq!(paths, expected, "{problems:?}");
    }
}
