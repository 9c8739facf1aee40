//! `ampbridge templates`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Json, Outcome, output};
use crate::app::event_types;
use crate::config::Settings;
use crate::render::{Finding, lint};

#[derive(Debug, Subcommand)]
pub(super) enum TemplatesCommand {
    /// Look through templates: unknown names, parts that are cut, blocks Slack refuses, missing fallbacks.
    Lint(LintArgs),
}

#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// The folder [default: `bridge.templates_dir`; without one, the built-in templates].
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

pub(super) fn run(command: TemplatesCommand, settings: impl Fn() -> Result<Settings, Failure>) -> Outcome {
    let TemplatesCommand::Lint(args) = command;
    let settings = settings().ok();
    let types = event_types(settings.as_ref());
    let folder = match args.dir {
        Some(dir) if !dir.is_dir() => return Err(Failure::Usage(format!("{} is no folder", dir.display()))),
        Some(dir) => Some(dir),
        // What is wrong with a config is `check`'s to say, and its templates may be what is wrong.
        None => settings.and_then(|settings| settings.bridge.templates_dir),
    };
    let findings = lint(folder.as_deref(), &types);
    let fatal = findings.iter().filter(|finding| finding.fatal).count();
    if args.json.json {
        output::json(&findings.iter().map(as_json).collect());
    } else {
        for finding in &findings {
            output::line(&told(finding));
        }
        let count = output::count(findings.len(), "finding");
        output::line(&format!("{count}, {fatal} of them fatal"));
    }
    if fatal == 0 {
        Ok(())
    } else {
        Err(Failure::Failed(vec![format!("{fatal} of the findings make templates unusable")]))
    }
}

fn as_json(finding: &Finding) -> serde_json::Value {
    json!({ "file": finding.file, "line": finding.line, "field": finding.field, "message": finding.message,
        "fatal": finding.fatal })
}

/// `slack/budget.blocks.json:3: blocks[1].text: 3001 characters, …`
fn told(finding: &Finding) -> String {
    let field = if finding.field.is_empty() { String::new() } else { format!("{}: ", finding.field) };
    format!("{}:{}: {field}{}", finding.file, finding.line, finding.message)
}
