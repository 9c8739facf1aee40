//! `ampbridge incidents`, `ack`, `silence`.

use clap::{Args, Subcommand};

use super::data::{self, FieldArg};
use super::{Failure, Json, Outcome};
use crate::admin::Op;
use crate::app::Parts;
use crate::domain::event::Severity;
use crate::domain::setting::Span;
use crate::domain::silence::Silence;
use crate::domain::time::{Timestamp, plus};

#[derive(Debug, Subcommand)]
pub(super) enum IncidentsCommand {
    /// Levels that are bad now: budgets passed, spikes, sources and sinks that fail.
    List {
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Debug, Args)]
pub(super) struct AckArgs {
    /// An incident's id, or that of one of its events.
    id: String,
    /// Who looks after it.
    #[arg(long, value_name = "NAME", default_value = "the command line")]
    by: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum SilenceCommand {
    /// Do not tell what matches, for a while. It is recorded as suppressed, with the silence's id.
    Add(SilenceArgs),
    /// Silences that are on.
    List {
        #[command(flatten)]
        json: Json,
    },
    /// End a silence now.
    Expire { id: String },
}

#[derive(Debug, Args)]
pub(super) struct SilenceArgs {
    /// For how long: 30m, 2h, 3d.
    #[arg(long = "for", value_name = "DURATION", value_parser = Span::parse)]
    length: Span,
    /// Globs on the type, like `budget.*`.
    #[arg(long = "type", value_name = "GLOB", value_parser = data::type_glob)]
    events: Vec<String>,
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<String>,
    /// Globs on the subject.
    #[arg(long = "subject", value_name = "GLOB")]
    subjects: Vec<String>,
    /// A field of the event's data: `rule=daily`, `who.email=*@example.com`, `spend_usd>=100`.
    #[arg(long = "where", value_name = "TEST")]
    fields: Vec<FieldArg>,
    /// This sink only.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Hear what is worse than this all the same.
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    up_to: Option<Severity>,
    #[arg(long, default_value = "")]
    comment: String,
}

pub(super) async fn incidents(parts: Parts, command: IncidentsCommand) -> Outcome {
    let IncidentsCommand::List { json } = command;
    let list = data::data(parts, Op::IncidentsList).await?;
    let head = ["ID", "SEVERITY", "TYPE", "SUBJECT", "OPENED", "ACKNOWLEDGED BY"];
    data::print_list(&list, json, &head, &["id", "severity", "type", "subject", "opened", "acked_by"]);
    Ok(())
}

pub(super) async fn acknowledge(parts: Parts, args: AckArgs) -> Outcome {
    data::done(parts, Op::Acknowledge { id: args.id, by: args.by }).await
}

pub(super) async fn silence(parts: Parts, command: SilenceCommand) -> Outcome {
    match command {
        SilenceCommand::List { json } => {
            let list = data::data(parts, Op::SilenceList).await?;
            let head = ["ID", "STATE", "UNTIL", "TYPES", "SUBJECTS", "SINK", "COMMENT"];
            data::print_list(&list, json, &head, &["id", "state", "until", "events", "subjects", "sink", "comment"]);
            Ok(())
        }
        SilenceCommand::Expire { id } => data::done(parts, Op::SilenceExpire { id }).await,
        SilenceCommand::Add(args) => {
            let now = parts.clock.now();
            let silence = args.silence(now)?;
            data::done(parts, Op::SilenceAdd { silence: Box::new(silence) }).await
        }
    }
}

impl SilenceArgs {
    fn silence(self, now: Timestamp) -> Result<Silence, Failure> {
        let nothing = self.events.is_empty() && self.sources.is_empty() && self.subjects.is_empty();
        if nothing && self.fields.is_empty() && self.sink.is_none() {
            return Err(Failure::Usage(
                "say what to silence with --type, --source, --subject, --where or --sink; `--type '*'` is everything"
                    .to_owned(),
            ));
        }
        Ok(Silence {
            events: self.events,
            sources: self.sources,
            subjects: self.subjects,
            sink: self.sink,
            fields: self.fields.into_iter().map(|f| f.0).collect(),
            max_severity: self.up_to,
            until: plus(now, self.length.0),
            created: now,
            comment: self.comment,
        })
    }
}

fn severity(text: &str) -> Result<Severity, String> {
    match text {
        "info" => Ok(Severity::Info),
        "warning" => Ok(Severity::Warning),
        "critical" => Ok(Severity::Critical),
        _ => Err("one of info, warning, critical".to_owned()),
    }
}
