//! `ampbridge schema`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use schemars::Schema;
use serde_json::Value;

use super::{Failure, Outcome, known_type, output};
use crate::config::{self, Settings};
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
    /// The `AsyncAPI` 3 document of all events. Its references are to the events' schemas beside it, `events/TYPE.json`.
    Asyncapi {
        /// Write it into this folder instead, and those schemas with it.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

pub(super) fn run(command: &SchemaCommand, settings: impl Fn() -> Result<Settings, Failure>) -> Outcome {
    let value = match command {
        SchemaCommand::Config => config::schema().to_value(),
        SchemaCommand::Manifest => crate::source::rest::manifest::schema().to_value(),
        SchemaCommand::Event { kind: Some(kind) } => {
            known_type(kind, settings)?;
            samples::event_schema(kind)
                .map(Schema::to_value)
                .ok_or_else(|| Failure::Usage(format!("there is no schema of {kind:?}")))?
        }
        SchemaCommand::Event { kind: None } => samples::types()
            .into_iter()
            .filter_map(|k| Some((k.to_owned(), samples::event_schema(k)?.to_value())))
            .collect(),
        SchemaCommand::Asyncapi { out: None } => samples::asyncapi(),
        SchemaCommand::Asyncapi { out: Some(folder) } => return Ok(write(folder)?),
    };
    output::json(&value);
    Ok(())
}

/// The document and all it refers to.
fn write(folder: &Path) -> std::io::Result<()> {
    let put = |path: PathBuf, value: &Value| {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        std::fs::write(path, format!("{text}\n"))
    };
    std::fs::create_dir_all(folder.join("events"))?;
    for kind in samples::types() {
        if let Some(schema) = samples::event_schema(kind) {
            put(folder.join(format!("events/{kind}.json")), &schema.to_value())?;
        }
    }
    put(folder.join("asyncapi.json"), &samples::asyncapi())
}
