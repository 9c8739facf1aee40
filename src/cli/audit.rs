//! `ampbridge audit` and `ampbridge replay`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::data::{self, DeliverySelection, When};
use super::{Failure, Json, Outcome, output};
use crate::admin::{Answer, Op};
use crate::app::Parts;

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// Events seen at or after this instant or day, or not longer ago (1h).
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    selection: DeliverySelection,
    /// Only say what would be sent again.
    #[arg(long)]
    dry_run: bool,
    /// Deliveries a second.
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    rate: f64,
    /// Go on after this delivery; an interrupted replay says which.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

/// Exit 1 where an event is unaccounted for.
pub(super) async fn audit(parts: Parts, args: &AuditArgs) -> Outcome {
    let since = args.since.map(|since| since.at(parts.clock.now()));
    let found = data::data(parts, Op::Audit { since }).await?;
    let number = |key: &str| found.get(key).and_then(Value::as_u64).unwrap_or(0);
    if args.json.json {
        output::json(&found);
    } else {
        output::line(&format!("{} events, {} of them routed nowhere", number("events"), number("unrouted")));
        for (sink, counts) in found.get("sinks").and_then(Value::as_object).into_iter().flatten() {
            let counts: Vec<String> = counts
                .as_object()
                .into_iter()
                .flatten()
                .map(|(state, n)| format!("{} {state}", output::cell(n)))
                .collect();
            output::line(&format!("sink {sink}: {}", counts.join(", ")));
        }
        for gap in found.get("gaps").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| gap.get(key).map(output::cell).unwrap_or_default();
            output::line(&format!("no good look at {} from {} to {}", text("collection"), text("from"), text("to")));
        }
    }
    match number("unaccounted") {
        0 => Ok(()),
        n => Err(Failure::Failed(vec![format!(
            "{n} events are unaccounted for; this is a defect of ampbridge, please report it"
        )])),
    }
}

/// Sends again what matches, oldest first, in small steps: an interruption loses nothing and doubles nothing.
pub(super) async fn replay(parts: Parts, args: &ReplayArgs) -> Outcome {
    if args.selection.is_empty() {
        return Err(Failure::Usage(
            "choose what to send again with --sink, --state, --type, --since or --until".to_owned(),
        ));
    }
    if let Some(sink) = args.selection.sink().filter(|sink| !parts.settings.sinks.contains_key(*sink)) {
        return Err(Failure::Usage(format!("--sink {sink}: the config has no such sink")));
    }
    if !(args.rate.is_finite() && args.rate > 0.0) {
        return Err(Failure::Usage("--rate must be a number above 0".to_owned()));
    }
    let filter = args.selection.filter(parts.clock.now(), Some(1_000_000));
    let mut desk = data::Desktop::open(parts)?;
    let mut rows = match desk.operate(Op::DeliveriesList { filter }).await? {
        Answer::Data(list) => oldest_first(&list, args.selection.names_state()),
        Answer::Done(_) => Vec::new(),
    };
    if let Some(after) = &args.after {
        match rows.iter().position(|row| row[0] == *after) {
            Some(at) => drop(rows.drain(..=at)),
            None => return Err(Failure::Usage(format!("--after {after}: no such delivery among those chosen"))),
        }
    }
    if args.dry_run {
        if !rows.is_empty() {
            output::table(&["ID", "SINK", "TYPE", "SUBJECT", "STATE"], &rows);
        }
        output::line(&format!(
            "{} would be sent again",
            output::count(rows.len(), "delivery").replace("deliverys", "deliveries")
        ));
        return desk.close().await;
    }
    let pause = Duration::from_secs_f64(1.0 / args.rate);
    let mut done = 0;
    for row in &rows {
        let retry = Op::DeliveriesRetry { ids: vec![row[0].clone()], filter: None, in_order: true };
        let sent = tokio::select! {
            sent = desk.operate(retry) => sent,
            _ = tokio::signal::ctrl_c() => {
                let last = if done == 0 { String::new() } else { format!("; go on with --after {}", rows[done - 1][0]) };
                desk.close().await?;
                return Err(Failure::Failed(vec![format!("stopped after {done} of {}{last}", rows.len())]));
            }
        };
        sent?;
        done += 1;
        tokio::time::sleep(pause).await;
    }
    output::line(&format!("{done} of {} are due again, under their own ids", rows.len()));
    desk.close().await
}

/// Those that ended: id, and what there is to tell of each. What was silenced or given up by a person is among them only
/// where that state is asked for.
fn oldest_first(list: &Value, any_state: bool) -> Vec<Vec<String>> {
    let text = |row: &Value, key: &str| row.get(key).map(output::cell).unwrap_or_default();
    let chosen = |row: &&Value| any_state || matches!(text(row, "state").as_str(), "delivered" | "dead");
    let told = |row: &Value| ["id", "sink", "event_type", "subject", "state"].map(|key| text(row, key)).to_vec();
    let mut rows: Vec<Vec<String>> = list.as_array().into_iter().flatten().filter(chosen).map(told).collect();
    rows.reverse();
    rows
}
