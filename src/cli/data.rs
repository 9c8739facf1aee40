//! `ampbridge events`, `deliveries`, `sinks`, `hold`: what is stored, through the running service where there is one,
//! else in the store itself.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Failure, Json, Outcome, output};
use crate::admin::client::Client;
use crate::admin::{Answer, Op, OpError, execute};
use crate::app::{App, Parts};
use crate::domain::event::is_type_glob;
use crate::domain::money::Micros;
use crate::domain::routing::{FieldMatch, Test};
use crate::domain::setting::Span;
use crate::domain::time::{Timestamp, plus, start_of_utc_day};
use crate::store::{DeliveryFilter, EventFilter, LISTED_STATES, sled};

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// What happened, newest first.
    List {
        /// Glob on the type, like `budget.*`.
        #[arg(long = "type", value_name = "GLOB", value_parser = type_glob)]
        kind: Option<String>,
        /// Of this source; `bridge` for those about ampbridge itself.
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        /// About this: a thread's id, a member's email, `workspace`, `user:ID`, `model:NAME`.
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// Seen at or after this instant (2026-11-22T10:00:00Z) or day (2026-11-22), or not longer ago (1h).
        #[arg(long, value_name = "TIME")]
        since: Option<When>,
        /// This many at most [default: 50, with --json 10000].
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        #[command(flatten)]
        json: Json,
    },
    /// The event itself, as JSON.
    Show {
        /// Its id, `evt_…`.
        id: String,
    },
    /// Why it was made, and where it went or why not.
    Explain {
        /// Its id, `evt_…`.
        id: String,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct DeliverySelection {
    /// To this sink.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// In this state: leased is being sent, dead is given up, suppressed was not to be sent.
    #[arg(long, value_name = "STATE", value_parser = LISTED_STATES)]
    state: Option<String>,
    /// Glob on the event's type.
    #[arg(long = "type", value_name = "GLOB", value_parser = type_glob)]
    kind: Option<String>,
    /// Made at or after this instant (2026-11-22T10:00:00Z) or day (2026-11-22), or not longer ago (1h).
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Made before this instant or day, or longer ago.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
}

/// A test of a field of an event's data, as the command line has it.
#[derive(Debug, Clone)]
pub(super) struct FieldArg(pub FieldMatch);

impl std::str::FromStr for FieldArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((field, least)) = text.split_once(">=") {
            let least = Micros::parse_usd(least).map_err(|e| e.to_string())?;
            return Ok(Self(FieldMatch { field: field.trim().to_owned(), test: Test::AtLeast(least) }));
        }
        let Some((field, value)) = text.split_once('=') else {
            return Err("write it as FIELD=VALUE, FIELD=GLOB* or FIELD>=NUMBER".to_owned());
        };
        let test = if value.contains('*') { Test::Glob(value.to_owned()) } else { Test::Equals(value.to_owned()) };
        Ok(Self(FieldMatch { field: field.trim().to_owned(), test }))
    }
}

impl DeliverySelection {
    pub(super) fn filter(&self, now: Timestamp, limit: Option<usize>) -> DeliveryFilter {
        DeliveryFilter {
            sink: self.sink.clone(),
            state: self.state.clone(),
            kind: self.kind.clone(),
            since: self.since.map(|since| since.at(now)),
            until: self.until.map(|until| until.at(now)),
            limit,
        }
    }

    pub(super) fn names_state(&self) -> bool {
        self.state.is_some()
    }

    pub(super) fn sink(&self) -> Option<&str> {
        self.sink.as_deref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sink.is_none()
            && self.state.is_none()
            && self.kind.is_none()
            && self.since.is_none()
            && self.until.is_none()
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum DeliveriesCommand {
    /// What was sent, waits or died, newest first.
    List {
        #[command(flatten)]
        selection: DeliverySelection,
        /// This many at most [default: 50, with --json 10000].
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        #[command(flatten)]
        json: Json,
    },
    /// One delivery with its attempts, as JSON.
    Show {
        /// Its id, `dlv_…`.
        id: String,
    },
    /// Send again now, under the same id, with all of its time to retry. Ids, or a selection of dead ones.
    Retry {
        /// Their ids, `dlv_…`.
        ids: Vec<String>,
        #[command(flatten)]
        selection: DeliverySelection,
    },
    /// Give up on deliveries that still wait; they stay in the list as suppressed. Ids, or a selection.
    Drop {
        /// Their ids, `dlv_…`.
        ids: Vec<String>,
        #[command(flatten)]
        selection: DeliverySelection,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SinksCommand {
    /// How each sink stands.
    List {
        #[command(flatten)]
        json: Json,
    },
    /// Start a stopped sink again; what waits goes out in order.
    Enable {
        /// The sink, as the config names it.
        name: String,
    },
    /// Stop a sink; its deliveries wait.
    Disable {
        /// The sink, as the config names it.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum HoldCommand {
    /// What is held, with sample keys.
    List {
        #[command(flatten)]
        json: Json,
    },
    /// They are gone: the removals happen, with their events.
    Approve {
        /// The hold's id, `hold_…`.
        id: String,
    },
    /// They are not: keep the records, and be quiet until another set is missing.
    Reject {
        /// The hold's id, `hold_…`.
        id: String,
    },
    /// They are gone and nobody needs to hear of it: forget them silently.
    Rebaseline {
        /// The hold's id, `hold_…`.
        id: String,
    },
}

pub(super) async fn events(parts: Parts, command: EventsCommand) -> Outcome {
    match command {
        EventsCommand::List { kind, source, subject, since, limit, json } => {
            let (most, since) = (most(limit, json), since.map(|since| since.at(parts.clock.now())));
            let filter = EventFilter { kind, source, subject, since, limit: Some(most.saturating_add(1)) };
            let list = shortened(data(parts, Op::EventsList { filter }).await?, most);
            let head = ["TIME", "SEVERITY", "TYPE", "SUBJECT", "ID"];
            print_list(&list, json, &head, &["time", "severity", "type", "subject", "id"]);
        }
        EventsCommand::Show { id } => output::json(&data(parts, Op::EventShow { id }).await?),
        EventsCommand::Explain { id, json } => {
            let told = data(parts, Op::EventExplain { id }).await?;
            if json.json { output::json(&told) } else { explain(&told) }
        }
    }
    Ok(())
}

pub(super) async fn deliveries(parts: Parts, command: DeliveriesCommand) -> Outcome {
    match command {
        DeliveriesCommand::List { selection, limit, json } => {
            let most = most(limit, json);
            let filter = selection.filter(parts.clock.now(), Some(most.saturating_add(1)));
            let list = shortened(data(parts, Op::DeliveriesList { filter }).await?, most);
            let head = ["STATE", "SINK", "TYPE", "SUBJECT", "ATTEMPTS", "DUE", "ID", "REASON"];
            print_list(
                &list,
                json,
                &head,
                &["state", "sink", "event_type", "subject", "attempts", "due", "id", "reason"],
            );
            Ok(())
        }
        DeliveriesCommand::Show { id } => {
            output::json(&data(parts, Op::DeliveryShow { id }).await?);
            Ok(())
        }
        DeliveriesCommand::Retry { ids, selection } => {
            let filter = chosen(&ids, &selection, parts.clock.now(), "dead")?;
            done(parts, Op::DeliveriesRetry { ids, filter, in_order: false }).await
        }
        DeliveriesCommand::Drop { ids, selection } => {
            let filter = chosen(&ids, &selection, parts.clock.now(), "due")?;
            done(parts, Op::DeliveriesDrop { ids, filter }).await
        }
    }
}

pub(super) async fn sinks(parts: Parts, command: SinksCommand) -> Outcome {
    match command {
        SinksCommand::List { json } => {
            let list = data(parts, Op::SinksList).await?;
            let head = ["NAME", "KIND", "STATE", "WAITING", "FAILURES", "SINCE", "REASON"];
            print_list(&list, json, &head, &["name", "kind", "state", "waiting", "failures", "since", "reason"]);
            Ok(())
        }
        SinksCommand::Enable { name } => done(parts, Op::SinkEnable { name }).await,
        SinksCommand::Disable { name } => done(parts, Op::SinkDisable { name }).await,
    }
}

pub(super) async fn hold(parts: Parts, command: HoldCommand) -> Outcome {
    match command {
        HoldCommand::List { json } => {
            let list = data(parts, Op::HoldList).await?;
            let head = ["ID", "STATE", "SOURCE", "COLLECTION", "MISSING", "KNOWN", "SINCE", "SAMPLE"];
            print_list(
                &list,
                json,
                &head,
                &["id", "state", "source", "collection", "count", "known", "opened", "sample"],
            );
            Ok(())
        }
        HoldCommand::Approve { id } => done(parts, Op::HoldApprove { id }).await,
        HoldCommand::Reject { id } => done(parts, Op::HoldReject { id }).await,
        HoldCommand::Rebaseline { id } => done(parts, Op::HoldRebaseline { id }).await,
    }
}

/// Where operations are done: the running service where there is one, else the store itself.
pub(super) enum Desktop {
    Service(Client),
    Store(Box<App>),
}

impl Desktop {
    pub(super) fn open(parts: Parts) -> Result<Self, Failure> {
        let folder = parts.settings.store.path.clone();
        let Some(holder) = sled::holder(&folder) else { return Ok(Self::Store(Box::new(parts.open("command")?))) };
        Client::find(&folder, parts.settings.admin.token.as_ref())
            .map(Self::Service)
            .map_err(|why| Failure::Store(format!("the store {} is in use by {holder}, and {why}", folder.display())))
    }

    pub(super) async fn operate(&mut self, op: Op) -> Result<Answer, Failure> {
        match self {
            Self::Service(client) => client.execute(&op).await.map_err(Failure::from),
            Self::Store(app) => Ok(execute(&app.parts.desk(app.core.store.clone()), op).await?),
        }
    }

    pub(super) async fn close(self) -> Outcome {
        match self {
            Self::Service(_) => Ok(()),
            Self::Store(app) => Ok(app.core.store.close().await?),
        }
    }
}

/// Does one operation.
pub(super) async fn operate(parts: Parts, op: Op) -> Result<Answer, Failure> {
    let mut desk = Desktop::open(parts)?;
    let answer = desk.operate(op).await;
    let closed = desk.close().await;
    let answer = answer?;
    closed?;
    Ok(answer)
}

pub(super) async fn data(parts: Parts, op: Op) -> Result<Value, Failure> {
    match operate(parts, op).await? {
        Answer::Data(value) => Ok(value),
        Answer::Done(lines) => Err(OpError::Service(lines.join("; ")).into()),
    }
}

pub(super) async fn done(parts: Parts, op: Op) -> Outcome {
    match operate(parts, op).await? {
        Answer::Done(lines) => lines.iter().for_each(|l| output::line(l)),
        Answer::Data(value) => output::json(&value),
    }
    Ok(())
}

/// Ids, or a selection; never everything by accident.
fn chosen(
    ids: &[String],
    selection: &DeliverySelection,
    now: Timestamp,
    usual_state: &str,
) -> Result<Option<DeliveryFilter>, Failure> {
    match (ids.is_empty(), selection.is_empty()) {
        (true, true) => Err(Failure::Usage(format!(
            "name delivery ids, or choose with --sink, --state, --type or --since (state {usual_state} where none is given)"
        ))),
        (false, true) => Ok(None),
        (false, false) => Err(Failure::Usage("name ids or a selection, not both".to_owned())),
        (true, false) => {
            let mut filter = selection.filter(now, Some(100_000));
            filter.state.get_or_insert_with(|| usual_state.to_owned());
            Ok(Some(filter))
        }
    }
}

/// How many rows of a list are shown.
fn most(limit: Option<usize>, json: Json) -> usize {
    limit.unwrap_or(if json.json { 10_000 } else { 50 })
}

/// So many of a list that was asked for one more. Where there are more, that is said.
fn shortened(mut list: Value, most: usize) -> Value {
    if let Some(rows) = list.as_array_mut().filter(|rows| rows.len() > most) {
        rows.truncate(most);
        output::warning(&format!(
            "these are the newest {most}, and there are more; --limit N shows as many as you say"
        ));
    }
    list
}

pub(super) fn print_list(list: &Value, json: Json, head: &[&str], keys: &[&str]) {
    if json.json {
        output::json(list);
        return;
    }
    let rows: Vec<Vec<String>> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| keys.iter().map(|k| row.get(*k).map(output::cell).unwrap_or_default()).collect())
        .collect();
    if rows.is_empty() {
        output::line("none");
    } else {
        output::table(head, &rows);
    }
}

fn explain(told: &Value) {
    let text = |path: &str| told.pointer(path).map(output::cell).unwrap_or_default();
    output::heading(&format!("{} {}", text("/event/type"), text("/event/subject")));
    output::line(&format!("id        {}", text("/event/id")));
    output::line(&format!("severity  {}", text("/event/severity")));
    output::line(&format!("time      {} (seen {})", text("/event/time"), text("/seen")));
    output::line(&format!("from      {}", text("/origin")));
    output::heading("why");
    if let Some(Value::Object(why)) = told.get("why") {
        for (key, value) in why {
            output::line(&format!("  {key}: {}", output::cell(value)));
        }
    }
    output::heading("where");
    for note in told.get("routing").and_then(Value::as_array).into_iter().flatten() {
        output::line(&format!("  {}", output::cell(note)));
    }
    for delivery in told.get("deliveries").and_then(Value::as_array).into_iter().flatten() {
        let part = |key: &str| delivery.get(key).map(output::cell).unwrap_or_default();
        let reason = part("reason");
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        output::line(&format!(
            "  {} {} after {} attempts ({}){reason}",
            part("sink"),
            part("state"),
            part("attempts"),
            part("id")
        ));
    }
}

/// A point in time, as the command line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    At(Timestamp),
    Ago(Span),
}

impl When {
    pub(super) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => plus(now, -span.0),
        }
    }
}

/// An instant, the start of a UTC day, or so long ago.
impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        if let Ok(day) = text.parse() {
            return Ok(Self::At(start_of_utc_day(day)));
        }
        Span::parse(text).map(Self::Ago).map_err(|_| {
            format!("{text:?} is no instant like 2026-11-22T10:00:00Z, no day like 2026-11-22, and no time ago like 1h")
        })
    }
}

/// A glob on types of events, as routes have it.
pub(super) fn type_glob(text: &str) -> Result<String, String> {
    if is_type_glob(text) {
        Ok(text.to_owned())
    } else {
        Err("is no glob on event types: letters, digits, `_`, `-`, `.` and `*`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_a_day_or_so_long_ago() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<When>().map(|when| when.at(now).to_string());
        assert_eq!(at("2026-11-21T10:00:00Z").unwrap(), "2026-11-21T10:00:00Z");
        assert_eq!(at("2026-11-21").unwrap(), "2026-11-21T00:00:00Z");
        assert_eq!(at("1h30m").unwrap(), "2026-11-22T08:30:00Z");
        assert!(at("yesterday").is_err() && at("").is_err());
        assert!(type_glob("budget.*").is_ok() && type_glob("[").is_err() && type_glob("").is_err());
    }
}
