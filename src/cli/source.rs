//! `ampbridge source`.

pub(super) mod infer;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Failure, Outcome, output};
use crate::app::Parts;
use crate::config;
use crate::domain::collection::{Deletes, Role};
use crate::domain::setting::Span;
use crate::source::{Collection, Source};
use trial::Seen;

/// Longest look.
const LOOK: Duration = Duration::from_mins(5);
/// Rows shown of a collection.
const SHOWN: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum SourceCommand {
    /// Sign in, look twice without storing anything, and say what is seen, what would be told, and what never can be.
    Check(CheckArgs),
    /// Propose a manifest for an API from two of its answers. It goes to stdout, remarks to stderr.
    Infer(infer::InferArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The source, as the config names it.
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) async fn run(parts: Parts, args: &CheckArgs) -> Outcome {
    let Some(source) = parts.sources.iter().find(|source| source.name() == args.name) else {
        let hint = config::hint(&args.name, parts.sources.iter().map(|s| s.name()));
        return Err(Failure::Usage(format!("there is no source {:?}{hint}", args.name)));
    };
    output::heading(&format!("source {} ({}), looked at twice, nothing stored", source.name(), source.kind()));
    let mut failures = Vec::new();
    for collection in source.collections() {
        if collection.spec.is_asked_one_by_one() {
            let when = if collection.spec.one_by_one { "a record changes" } else { "a rule wants it" };
            output::line(&format!("{}: asked for when {when}, not here", collection.spec.name));
            continue;
        }
        match looks(source, collection, parts.clock.now()).await {
            Ok((first, second)) => print(collection, &first, &second),
            Err(why) => failures.push(format!("{}: {why}", collection.spec.name)),
        }
    }
    if let Some(quota) = source.allowance().learned {
        output::line(&format!("the answers say that it allows {quota}"));
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::Failed(failures)) }
}

async fn looks(
    source: &Arc<dyn Source>,
    collection: &Collection,
    now: crate::domain::time::Timestamp,
) -> Result<(Seen, Seen), String> {
    let one = async |known: Option<&Seen>| {
        let look = Seen::look(source, collection, now, known);
        match tokio::time::timeout(LOOK, look).await {
            Ok(seen) => seen,
            Err(_) => Err(format!("no end within {LOOK:?}")),
        }
    };
    let first = one(None).await?;
    let second = one(Some(&first)).await?;
    Ok((first, second))
}

fn print(collection: &Collection, first: &Seen, second: &Seen) {
    let spec = &collection.spec;
    output::heading(&format!("{} ({})", spec.name, format!("{:?}", spec.role).to_lowercase()));
    output::line(&format!("  {}", first.summary()));
    for line in first.sample.iter().take(SHOWN) {
        output::line(&format!("    {line}"));
    }
    for line in first.odd.iter().take(SHOWN) {
        output::line(&format!("  left out: {line}"));
    }
    if first.passed_over > 0 {
        output::line(&format!("  passed over: {} that are something else", first.passed_over));
    }
    match spec.role {
        Role::Record => print_events(collection, second),
        Role::Gauge => {
            let kinds: Vec<String> = spec.event_types().into_iter().collect();
            output::line(&format!("  would tell, after two equal looks: {}", kinds.join(", ")));
        }
        _ => output::line("  tells nothing by itself: budgets, spikes and digests read it"),
    }
    let every = Span(collection.schedule.head.unwrap_or(collection.schedule.full).try_into().unwrap_or_default());
    let calls = collection.calls_per_day.map_or_else(|| "as many as it needs".to_owned(), |n| n.to_string());
    output::line(&format!("  every {every}, {calls} calls a day ({})", collection.calls_note));
}

fn print_events(collection: &Collection, second: &Seen) {
    let spec = &collection.spec;
    let mut updates: Vec<&str> = spec.events.updated.iter().filter_map(|rule| rule.event.as_deref()).collect();
    updates.dedup();
    let told = [
        spec.events.created.as_deref().map(|kind| format!("{kind} for a new one")),
        (!updates.is_empty()).then(|| format!("{} for a change", updates.join(", "))),
        spec.events.deleted.as_deref().filter(|_| spec.deletes != Deletes::Never).map(|kind| match spec.deletes {
            Deletes::ConfirmGet => format!("{kind} for one that a look misses and whose own address answers 404"),
            _ => format!("{kind} for one that two full looks miss"),
        }),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    output::line(&format!("  would tell: {}", if told.is_empty() { "nothing".to_owned() } else { told.join("; ") }));
    let mut never = Vec::new();
    if spec.deletes == Deletes::Never {
        never.push("that one is gone: nothing proves that a list was read to its end, or deletes = \"never\"");
    }
    if updates.is_empty() {
        never.push("that one changed: `updated` is off");
    }
    if spec.events.created.is_none() {
        never.push("that one is new: `created` is off");
    }
    for what in never {
        output::line(&format!("  never seen: {what}"));
    }
    for (field, rows) in &second.changed {
        output::warning(&format!(
            "{}: {field:?} changed in {rows} rows between two looks; if that means nothing, add it to ignore, or name \
             what counts under watch",
            spec.name
        ));
    }
}
