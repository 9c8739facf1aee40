//! `ampbridge once`.

use clap::Args;

use super::{Failure, Outcome, output};
use crate::app::{OnceReport, Parts};
use crate::domain::record::Evidence;
use crate::domain::roster;
use crate::lifecycle::Lifecycle;

#[derive(Debug, Args)]
pub(super) struct OnceArgs {
    /// Poll this source only.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Longest wait for what becomes due meanwhile (retries, groups), seconds. What is due is sent whatever it takes.
    #[arg(long, value_name = "SECS", default_value_t = 30)]
    drain: u64,
}

pub(super) async fn run(parts: Parts, args: &OnceArgs) -> Outcome {
    if let Some(name) = args.source.as_ref().filter(|name| !parts.settings.sources.contains_key(*name)) {
        let known: Vec<&str> = parts.settings.sources.keys().map(String::as_str).collect();
        let hint = crate::config::hint(name, known.iter().copied());
        return Err(Failure::Usage(format!("there is no source {name:?}{hint}; the config has {}", known.join(", "))));
    }
    let life = Lifecycle::default();
    life.listen(parts.settings.bridge.shutdown_grace)?;
    let app = parts.open("once")?;
    let outcome = app.once(args.source.as_deref(), args.drain, &life).await;
    let closed = app.core.store.close().await;
    let report = outcome?;
    print(&report);
    closed?;
    let failures = report.failures();
    if failures.is_empty() { Ok(()) } else { Err(Failure::Failed(failures)) }
}

/// One line per source and sink.
fn print(report: &OnceReport) {
    for (source, looks) in &report.looks {
        let events: u64 = looks.iter().map(|l| l.notes.events).sum();
        let parts: Vec<String> = looks
            .iter()
            .map(|look| {
                let mut text = format!("{} {} rows", look.collection, look.notes.rows);
                if look.baseline && look.evidence == Evidence::Complete {
                    text.push_str(" (baseline)");
                }
                if let Some(of) = look.of {
                    let newest = if of == roster::KEPT as u64 { "the newest " } else { "" };
                    text.push_str(&format!(", {} of {newest}{of} asked", look.notes.asked));
                }
                if look.notes.quarantined > 0 {
                    text.push_str(&format!(", {} left out", look.notes.quarantined));
                }
                if let Some(hold) = &look.held {
                    text.push_str(&format!(", removals held as {hold}"));
                }
                if matches!(look.evidence, Evidence::Partial(_)) {
                    text.push_str(if look.off { ", still not there" } else { ", cut short" });
                }
                text
            })
            .collect();
        output::line(&format!(
            "source {source}: {}: {}",
            output::count(usize::try_from(events).unwrap_or(0), "event"),
            parts.join("; ")
        ));
    }
    for (sink, r) in &report.sinks {
        let mut text = format!("sink {sink}: {} delivered", r.delivered);
        if r.failed_attempts > 0 {
            text.push_str(&format!(", {} failed attempts", r.failed_attempts));
        }
        if r.died > 0 {
            text.push_str(&format!(", {} dead", r.died));
        }
        text.push_str(&format!(", {} waiting", r.waiting));
        if r.stopped {
            text.push_str(" (stopped)");
        }
        output::line(&text);
    }
}
