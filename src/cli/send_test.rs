//! `ampbridge send-test`.

use std::sync::Arc;

use clap::Args;

use super::{Failure, Outcome, output};
use crate::app::Parts;
use crate::domain::delivery::{Delivery, Outcome as Sent};
use crate::domain::event::{Draft, Severity, StoredEvent, data_of};
use crate::domain::health::BRIDGE;
use crate::domain::payload::TestData;
use crate::sink::Message;

#[derive(Debug, Args)]
pub(super) struct SendTestArgs {
    /// The sink, as the config names it.
    #[arg(long, value_name = "NAME")]
    sink: String,
}

pub(super) async fn run(parts: &Parts, args: &SendTestArgs) -> Outcome {
    let Some(sink) = parts.sinks.iter().find(|s| s.name() == args.sink) else {
        let known: Vec<&str> = parts.sinks.iter().map(|s| s.name()).collect();
        let hint = crate::config::hint(&args.sink, known.iter().copied());
        return Err(Failure::Usage(format!(
            "there is no sink {:?}{hint}; the config has {}",
            args.sink,
            known.join(", ")
        )));
    };
    let now = parts.clock.now();
    let data = TestData {
        message: "This is a test from ampbridge. Nothing has happened.".to_owned(),
        sink: args.sink.clone(),
    };
    let draft = Draft {
        source: BRIDGE.to_owned(),
        kind: "bridge.test".to_owned(),
        subject: args.sink.clone(),
        time: now,
        severity: Severity::Info,
        identity: vec!["bridge.test".to_owned(), args.sink.clone(), now.to_string()],
        why: serde_json::json!({ "command": "send-test" }),
        data: data_of(&data),
    };
    let (event, _) = draft.into_event(&parts.world.bridge);
    let delivery = Delivery::single(&parts.world.bridge, &args.sink, &event, now, true);
    let stored = StoredEvent::bare(event);
    let message = Message { delivery, events: vec![Arc::new(stored)], reference: None, now, progress: None };
    let report = sink.send(&message).await;
    let status = report.status.map(|s| format!(" (HTTP {s})")).unwrap_or_default();
    let detail = if report.detail.is_empty() { String::new() } else { format!(": {}", report.detail.trim()) };
    let line = format!("{} {}{status}{detail}", args.sink, report.outcome.as_str());
    if report.outcome == Sent::Accepted {
        output::line(&line);
        Ok(())
    } else {
        Err(Failure::Failed(vec![line]))
    }
}
