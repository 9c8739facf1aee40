//! `ampbridge schema`.

use clap::Subcommand;

use super::{Failure, Outcome, output};
use crate::config;
use crate::render::samples;

#[derive(Debug, Subcommand)]
pub(super) enum SchemaCommand {
    /// Of the config file; editors complete it with a first line `#:schema FILE`.
    Config,
    /// Of a connector manifest (docs/sources/manifest.md).
    Manifest,
    /// Of an event of a type; without a type, of all of them by type.
    Event {
        #[arg(value_name = "TYPE")]
        kind: Option<String>,
    },
}

pub(super) fn run(command: &SchemaCommand) -> Outcome {
    let value = match command {
        SchemaCommand::Config => config::schema().to_value(),
        SchemaCommand::Manifest => crate::source::rest::manifest::schema().to_value(),
        SchemaCommand::Event { kind: Some(kind) } => {
            if let Some(schema) = samples::event_schema(kind) {
                schema.to_value()
            } else {
                let hint = config::hint(kind, samples::types());
                return Err(Failure::Usage(format!("there is no event type {kind:?}{hint}")));
            }
        }
        SchemaCommand::Event { kind: None } => samples::types()
            .into_iter()
            .filter_map(|k| Some((k.to_owned(), samples::event_schema(k)?.to_value())))
            .collect(),
    };
    output::json(&value);
    Ok(())
}
