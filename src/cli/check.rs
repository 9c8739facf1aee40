//! `ampbridge check`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{Failure, Outcome, output, timeline};
use crate::admin::client::Client;
use crate::admin::{Answer, Op, OpError, execute};
use crate::app::{Parts, event_types};
use crate::config::Problem;
use crate::domain::event::{glob_matches, highest_severity};
use crate::domain::routing::{Route, is_internal};
use crate::domain::rules::budget::limits::Own;
use crate::domain::rules::{Rule, RuleSpec};
use crate::domain::setting::Span;
use crate::source::quota::Quota;
use crate::source::{Allowance, Remembered, Source};
use crate::store::{self, Sync, sled};

/// Longest wait for one answer with `--connect`.
const CONNECT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Also sign in at each source and reach each sink, without sending.
    #[arg(long)]
    connect: bool,
}

/// Renders every template with every sample; what fails is a problem of the config, and nothing is started.
fn templates(parts: &Parts) -> Outcome {
    let problem = |message: String| Problem { path: "bridge.templates_dir".to_owned(), origin: None, message };
    let problems: Vec<Problem> = parts.renderer.check().iter().map(|error| problem(error.to_string())).collect();
    if problems.is_empty() { Ok(()) } else { Err(Failure::Config(problems)) }
}

pub(super) async fn run(parts: Parts, args: &CheckArgs) -> Outcome {
    templates(&parts)?;
    remind(&parts).await;
    print_plan(&parts);
    for warning in warnings(&parts) {
        output::warning(&warning);
    }
    if args.connect {
        return connect(&parts).await;
    }
    output::line("the configuration is right");
    Ok(())
}

fn print_plan(parts: &Parts) {
    let settings = &parts.settings;
    output::heading(&format!(
        "bridge {} ({}), {}",
        settings.bridge.name,
        settings.bridge.zone_name,
        settings.file.display()
    ));
    let survives = match settings.store.sync {
        Sync::Power => "a commit survives a power cut",
        Sync::Process => "a commit survives a killed process",
    };
    output::line(&format!("store {} ({survives})", settings.store.path.display()));
    output::line(&format!("admin http://{}", settings.admin.listen));
    output::heading("sources");
    for source in &parts.sources {
        output::line(&format!("  {} ({})", source.name(), source.kind()));
        let mut total = Some(0_u64);
        for collection in source.collections() {
            let calls = collection.calls_per_day;
            total = total.zip(calls).map(|(a, b)| a + b);
            let every = collection.schedule.head.unwrap_or(collection.schedule.full);
            let every = Span(every.try_into().unwrap_or_default());
            let count = calls.map_or_else(|| "calls depend on its size".to_owned(), |n| format!("{n} calls a day"));
            let note =
                if collection.calls_note.is_empty() { String::new() } else { format!(" ({})", collection.calls_note) };
            output::line(&format!("    {}: every {every}, {count}{note}", collection.spec.name));
        }
        if let Some(total) = total {
            output::line(&format!("    together {total} calls a day{}", allowed(source.as_ref())));
        }
        let allowance = source.allowance();
        if let Some(times) = allowance.stretched {
            output::line(&format!(
                "    stretched {times:.1} times to fit: what changes is seen that much later; a longer `every` does the same"
            ));
        }
        for line in learned(&allowance, source.collections().len()) {
            output::line(&format!("    {line}"));
        }
    }
    output::heading("rules");
    for rule in &settings.rules {
        let over = if rule.sources.is_empty() { "each source apart".to_owned() } else { rule.sources.join(" + ") };
        output::line(&format!("  {}: {} ({over})", rule.name, describe(&rule.rule)));
    }
    output::heading("routes");
    for (index, route) in settings.routes.iter().enumerate() {
        output::line(&format!("  {}. {}", index + 1, timeline::selection(route)));
        for sentence in timeline::sentences(&route.timing, parts.clock.now()) {
            output::line(&format!("     {sentence}"));
        }
    }
    output::heading("sinks");
    for (name, entry) in &settings.sinks {
        let retry = &entry.common.retry;
        output::line(&format!(
            "  {name} ({}): {}; {} an attempt, retries from {} to {} for {}",
            entry.kind,
            entry.config.summary(),
            Span(entry.common.timeout.try_into().unwrap_or_default()),
            Span(retry.min),
            Span(retry.max),
            Span(retry.horizon),
        ));
    }
}

/// `, of 86400 allowed (60 calls a minute)`.
fn allowed(source: &dyn Source) -> String {
    let allowance = source.allowance();
    let quota = allowance.declared.into_iter().chain(allowance.learned).reduce(Quota::stricter);
    quota.map(|quota| format!(", of {} allowed ({quota})", quota.per_day())).unwrap_or_default()
}

/// What the answers so far said, and what that does.
fn learned(allowance: &Allowance, collections: usize) -> Vec<String> {
    let Some(quota) = allowance.learned else { return Vec::new() };
    let mut lines = vec![format!("its answers so far say that it allows {quota}")];
    if quota.per_day() < collections as u64 {
        lines.push(format!(
            "that is not enough for one look a day at each of {collections} collections: leave some out, or look from \
             elsewhere with credentials that may call more"
        ));
    } else if let Some(times) = allowance.slower {
        lines.push(format!(
            "so looks are {times:.1} times further apart than said: what changes is seen that much later; a longer \
             `every` does the same"
        ));
    }
    lines
}

/// Tells the sources what is stored of them, where anything is: what their answers said so far.
async fn remind(parts: &Parts) {
    let folder = &parts.settings.store.path;
    if !sled::exists(folder) {
        return;
    }
    let rows = match stored(parts).await {
        Ok(rows) => rows,
        Err(why) => {
            output::warning(&format!("what is stored can't be read, so learned limits are not shown: {why}"));
            return;
        }
    };
    for source in &parts.sources {
        let prefix = format!("{}/", source.name());
        // What another host has said, before `base_url` was changed, is nothing to this one.
        let hosts: Vec<Option<&str>> = source.collections().iter().map(|c| c.spec.host.as_deref()).collect();
        let own = |row: &&Value| {
            row["collection"].as_str().is_some_and(|name| name.starts_with(&prefix))
                && hosts.contains(&row["host"].as_str())
        };
        let quota = rows.iter().filter(own).find_map(|row| serde_json::from_value::<Quota>(row["quota"].clone()).ok());
        source.remember(Remembered { quota, not_before: None });
    }
}

/// What is known of all collections, through the running service where there is one.
async fn stored(parts: &Parts) -> Result<Vec<Value>, OpError> {
    let settings = &parts.settings;
    let op = Op::StateShow { collection: None, limit: 0 };
    let answer = if sled::holder(&settings.store.path).is_some() {
        Client::find(&settings.store.path, settings.admin.token.as_ref())?.execute(&op).await?
    } else {
        let note = format!("process {} (ampbridge check)", std::process::id());
        let store = store::open(&settings.store, &settings.store.path, &note)?;
        let answer = execute(&parts.desk(Arc::clone(&store)), op).await;
        store.close().await?;
        answer?
    };
    let rows = match answer {
        Answer::Data(mut all) => all["collections"].take(),
        Answer::Done(_) => Value::Null,
    };
    serde_json::from_value(rows).map_err(|e| OpError::Service(format!("the answer names no collections: {e}")))
}

fn describe(rule: &Rule) -> String {
    match rule {
        Rule::Budget(b) => {
            let thresholds: Vec<String> = b.thresholds.iter().map(|t| format!("{t} %")).collect();
            let limit = match b.own {
                None => b.limit.to_string(),
                Some(Own::Only) => "what the source says".to_owned(),
                Some(Own::OrLimit) => format!("what the source says, else {}", b.limit),
            };
            format!(
                "{limit} a {} per {}, told at {}",
                b.period,
                format!("{:?}", b.per).to_lowercase(),
                thresholds.join(", ")
            )
        }
        Rule::Spike(s) => format!("spend far above the usual, per {}", format!("{:?}", s.per).to_lowercase()),
        Rule::ThreadCost(t) => {
            let limits: Vec<String> = t.limits.iter().map(ToString::to_string).collect();
            format!("a thread that costs {}", limits.join(", "))
        }
    }
}

/// What is allowed and probably not meant.
fn warnings(parts: &Parts) -> Vec<String> {
    let mut warnings = Vec::new();
    let settings = &parts.settings;
    if settings.sources.is_empty() {
        warnings.push("there is no source, so nothing will ever be observed".to_owned());
    }
    if settings.sinks.is_empty() {
        warnings.push("there is no sink, so nothing will ever be delivered".to_owned());
    }
    for (kind, sources) in possible_events(parts) {
        let lost: Vec<&str> =
            sources.iter().filter(|s| !is_routed(&settings.routes, &kind, s)).map(String::as_str).collect();
        if !lost.is_empty() && !is_internal(&kind) {
            warnings.push(format!("no route can match {kind} of {}; it is kept and sent nowhere", lost.join(", ")));
        }
    }
    warnings.extend(parts.settings.rules.iter().filter_map(|rule| without_own_limits(parts, rule)));
    for (template, why) in parts.renderer.strangers(&event_types(Some(settings))) {
        warnings.push(format!("template {template}: {why}"));
    }
    let used: BTreeSet<&String> = settings.routes.iter().flat_map(|r| &r.sinks).collect();
    for name in settings.sinks.keys().filter(|name| !used.contains(name)) {
        warnings.push(format!("no route names sink {name}; it only hears of ampbridge's own health"));
    }
    for route in &settings.routes {
        for glob in &route.events {
            let known = possible_events(parts).keys().any(|kind| glob_matches(glob, kind))
                || INTERNAL.iter().any(|k| glob_matches(glob, k));
            if !known {
                warnings
                    .push(format!("the glob {glob:?} of a route matches no event that this configuration can make"));
            }
        }
    }
    warnings
}

/// A budget whose limits no source names would never speak.
fn without_own_limits(parts: &Parts, rule: &RuleSpec) -> Option<String> {
    let Rule::Budget(budget) = &rule.rule else { return None };
    budget.own?;
    let mut of_it = parts.sources.iter().filter(|source| rule.group_of(source.name()).is_some());
    let names = |source: &Arc<dyn Source>| {
        let own = source.collections().iter().filter_map(|c| c.spec.budget.clone());
        own.into_iter().any(|own| own.dimension == budget.per.as_str())
    };
    let named = of_it.any(names);
    let per = budget.per.as_str();
    (!named)
        .then(|| format!("rule {}: no source says what a {per} may spend, so limit = \"own\" never speaks", rule.name))
}

const INTERNAL: [&str; 9] = [
    "source.failing",
    "source.recovered",
    "source.degraded",
    "source.change_held",
    "sink.failing",
    "sink.recovered",
    "delivery.dead",
    "bridge.test",
    "source.stale",
];

/// Event types with the sources they can come from.
fn possible_events(parts: &Parts) -> BTreeMap<String, BTreeSet<String>> {
    let mut possible: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in &parts.sources {
        let mut kinds: BTreeSet<String> = source.collections().iter().flat_map(|c| c.spec.event_types()).collect();
        for rule in parts.settings.rules.iter().filter(|r| r.group_of(source.name()).is_some()) {
            kinds.extend(rule.rule.event_types().iter().map(|k| (*k).to_owned()));
        }
        for kind in kinds {
            possible.entry(kind).or_default().insert(source.name().to_owned());
        }
    }
    possible
}

fn is_routed(routes: &[Route], kind: &str, source: &str) -> bool {
    routes.iter().any(|route| {
        (route.events.is_empty() || route.events.iter().any(|glob| glob_matches(glob, kind)))
            && (route.sources.is_empty() || route.sources.iter().any(|s| s == source))
            && highest_severity(kind) >= route.min_severity
    })
}

async fn connect(parts: &Parts) -> Outcome {
    output::heading("connections");
    let mut failures = Vec::new();
    for source in &parts.sources {
        match tokio::time::timeout(CONNECT, source.connect()).await {
            Ok(Ok(line)) => {
                let learned = source.allowance().learned.map(|quota| format!("; it allows {quota}"));
                output::line(&format!("  source {}: {line}{}", source.name(), learned.unwrap_or_default()));
            }
            Ok(Err(failure)) => failures.push(format!("source {}: {}", source.name(), failure.message)),
            Err(_) => failures.push(format!("source {}: no answer within {CONNECT:?}", source.name())),
        }
    }
    for sink in &parts.sinks {
        match tokio::time::timeout(CONNECT, sink.connect()).await {
            Ok(Ok(line)) => output::line(&format!("  sink {}: {line}", sink.name())),
            Ok(Err(why)) => failures.push(format!("sink {}: {why}", sink.name())),
            Err(_) => failures.push(format!("sink {}: no answer within {CONNECT:?}", sink.name())),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::Failed(failures)) }
}
