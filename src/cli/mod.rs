//! The command line: one file per command. stdout is for results, stderr for logs and errors.

mod audit;
mod backtest;
mod check;
mod completions;
mod data;
mod demo;
mod guard;
mod health;
mod notice;
mod once;
mod output;
mod render;
mod run;
mod schema;
mod secrets;
mod send_test;
mod source;
mod spend;
mod state;
mod templates;
mod timeline;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::admin::OpError;
use crate::app::{Parts, event_types};
use crate::config::{self, DEFAULT_FILES, Problem, Settings};
use crate::render::samples;
use crate::store::StoreError;
use crate::telemetry::logs;

/// Webhooks for systems that have none: polls, notices change, guards spend, delivers to Slack, webhooks and email.
#[derive(Debug, Parser)]
#[command(name = "ampbridge", version, max_term_width = 100, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// The config file [default: ./ampbridge.toml, then /etc/ampbridge/ampbridge.toml].
    #[arg(long, short, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    config: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace, or directives like `ampbridge=debug` [default: info for run,
    /// warn for everything else].
    #[arg(long, global = true, value_name = "LEVEL", env = "AMPBRIDGE_LOG", hide_env_values = true, help_heading = EVERYWHERE)]
    log: Option<String>,
    /// How logs look on stderr: auto is for people on a terminal, JSON otherwise.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "auto", help_heading = EVERYWHERE)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

/// Heading of the options that every command takes, below its own.
const EVERYWHERE: &str = "With every command";

const AFTER_HELP: &str = "\
Start here:  ampbridge demo            see it work, no account needed
             ampbridge check           is the config right, and what will happen
             ampbridge once            one round: poll, deliver, end
             ampbridge run             the service

Exit codes:  0 done   1 failed, or something failed that is kept and retried
             2 the config or the command line is wrong   3 the store can't be opened or written";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Auto,
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The service: poll, plan, deliver, serve health, metrics and the admin API, until told to stop.
    Run,
    /// Poll every collection now in full, commit, deliver all that is due, and end.
    Once(once::OnceArgs),
    /// Validate the config, render every template in use, and print the plan.
    Check(check::CheckArgs),
    /// See it work: a fake workspace, days passing in seconds, every event as it is delivered. No account, no config.
    Demo(demo::DemoArgs),
    /// Show what an event of a type, or one that happened, looks like for a sink.
    Render(render::RenderArgs),
    /// Templates: look through your own.
    #[command(subcommand)]
    Templates(templates::TemplatesCommand),
    /// Send one marked event (bridge.test) through a sink now, and say what came back.
    SendTest(send_test::SendTestArgs),
    /// Events that were made: list them, show one, explain why it was made and where it went.
    #[command(subcommand)]
    Events(data::EventsCommand),
    /// Deliveries: list them, show one, send again, or give up.
    #[command(subcommand)]
    Deliveries(data::DeliveriesCommand),
    /// May more be spent? Exit 0 below the limit, 20 at or past it, 30 where nobody can say. For CI jobs and hooks.
    Guard(guard::GuardArgs),
    /// What was spent, and why a day was dear.
    #[command(subcommand)]
    Spend(spend::SpendCommand),
    /// What the rules would have told over a history: stored, in a file, or asked of a source now.
    Backtest(backtest::BacktestArgs),
    /// Prove that every event is accounted for at every sink it was routed to.
    Audit(audit::AuditArgs),
    /// Send again what matches, oldest first, at a steady rate.
    Replay(audit::ReplayArgs),
    /// Levels that are bad now.
    #[command(subcommand)]
    Incidents(notice::IncidentsCommand),
    /// Say that someone looks after an incident: no more reminders, no escalation.
    Ack(notice::AckArgs),
    /// What is not to be told for a while.
    #[command(subcommand)]
    Silence(notice::SilenceCommand),
    /// Sources: try one without storing anything; propose a manifest for an API.
    #[command(subcommand)]
    Source(source::SourceCommand),
    /// What is stored: show, forget, export, import.
    #[command(subcommand)]
    State(state::StateCommand),
    /// Sinks: list them with how they stand, stop one, start it again.
    #[command(subcommand)]
    Sinks(data::SinksCommand),
    /// Changes too large to believe: list them and decide.
    #[command(subcommand)]
    Hold(data::HoldCommand),
    /// Ask the running service whether it is well: exit 0 if so, else 1. For health checks of containers.
    Health(health::HealthArgs),
    /// Secrets to sign webhooks with: make a new one.
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Check offline whether a captured webhook request was signed with a key.
    Verify(verify::VerifyArgs),
    /// The JSON Schema of the config, of an event, or of a connector manifest.
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
    /// Shell completions, printed to stdout.
    Completions(completions::CompletionsArgs),
    /// The demo's fake workspace by itself, with a control surface, for scripts.
    #[command(hide = true)]
    DemoWorkspace(demo::WorkspaceArgs),
}

/// Prints results as JSON.
#[derive(Debug, Clone, Copy, Args)]
struct Json {
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// How a command ended, if not well.
#[derive(Debug)]
enum Failure {
    /// Exit 1.
    Failed(Vec<String>),
    /// Exit 2.
    Config(Vec<Problem>),
    /// Exit 2.
    Usage(String),
    /// Exit 3.
    Store(String),
    /// An answer that is told by the exit code, and was printed.
    Verdict(u8),
}

type Outcome = Result<(), Failure>;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Import(_) | StoreError::Conflict(_) => Self::Failed(vec![error.to_string()]),
            _ => Self::Store(error.to_string()),
        }
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        match error {
            OpError::Store(error) => error.into(),
            OpError::Invalid(why) => Self::Usage(why),
            other => Self::Failed(vec![other.to_string()]),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<StoreError>() {
            Ok(error) => error.into(),
            Err(other) => Self::Failed(vec![format!("{other:#}")]),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(vec![error.to_string()])
    }
}

/// The program: parses, runs, and returns the exit code.
pub fn main() -> u8 {
    let env = crate::env::variables();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results; everything else is a wrong command line.
            let _ = error.print();
            return u8::from(error.use_stderr()) * 2;
        }
    };
    let usual = if matches!(cli.command, Command::Run) { "info" } else { "warn" };
    logs::start(
        cli.log.as_deref().unwrap_or(usual),
        match cli.log_format {
            LogFormat::Auto => logs::Format::Auto,
            LogFormat::Human => logs::Format::Human,
            LogFormat::Json => logs::Format::Json,
        },
    );
    logs::install_panic_hook();
    crate::http::install_tls();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Failure::Failed(vec![format!("the runtime can't be started: {error}")])),
    };
    let outcome = runtime.block_on(dispatch(cli, &env));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match outcome {
        Ok(()) => 0,
        Err(failure) => report(failure),
    }
}

async fn dispatch(cli: Cli, env: &BTreeMap<String, String>) -> Outcome {
    let settings = || settings(cli.config.as_deref(), env);
    match cli.command {
        Command::Schema(command) => schema::run(&command, settings),
        Command::Secrets(command) => secrets::run(&command),
        Command::Verify(args) => verify::run(&args, env),
        Command::Completions(args) => completions::run(&args),
        Command::Demo(args) => demo::run(&args).await,
        Command::DemoWorkspace(args) => demo::workspace(&args).await,
        Command::Render(args) => render::run(&args, settings).await,
        Command::Templates(command) => templates::run(command, settings),
        Command::Health(args) => health::run(&settings()?, &args).await,
        Command::Check(args) => check::run(checked(settings()?)?, &args).await,
        Command::Run => run::run(checked(settings()?)?).await,
        Command::Once(args) => once::run(checked(settings()?)?, &args).await,
        Command::SendTest(args) => send_test::run(&checked(settings()?)?, &args).await,
        Command::Events(command) => data::events(parts(settings()?)?, command).await,
        Command::Deliveries(command) => data::deliveries(parts(settings()?)?, command).await,
        Command::Sinks(command) => data::sinks(parts(settings()?)?, command).await,
        Command::Hold(command) => data::hold(parts(settings()?)?, command).await,
        Command::Guard(args) => guard::run(parts(settings()?)?, &args).await,
        Command::Spend(command) => spend::run(parts(settings()?)?, command).await,
        Command::Backtest(args) => backtest::run(&args, settings).await,
        Command::Audit(args) => audit::audit(parts(settings()?)?, &args).await,
        Command::Replay(args) => audit::replay(parts(settings()?)?, &args).await,
        Command::Incidents(command) => notice::incidents(parts(settings()?)?, command).await,
        Command::Ack(args) => notice::acknowledge(parts(settings()?)?, args).await,
        Command::Silence(command) => notice::silence(parts(settings()?)?, command).await,
        Command::Source(source::SourceCommand::Infer(args)) => source::infer::run(&args, env).await,
        Command::Source(source::SourceCommand::Check(args)) => source::run(parts(settings()?)?, &args).await,
        Command::State(command) => state::run(parts(settings()?)?, command).await,
    }
}

fn settings(named: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Settings, Failure> {
    let file = match named {
        Some(file) => file.to_owned(),
        None => match DEFAULT_FILES.iter().map(Path::new).find(|f| f.exists()) {
            Some(file) => file.to_owned(),
            None => {
                return Err(Failure::Usage(format!(
                    "there is no config file ({} do not exist); name one with --config FILE, or try `ampbridge demo`, which needs none",
                    DEFAULT_FILES.join(" and ")
                )));
            }
        },
    };
    config::load(&file, env).map_err(Failure::Config)
}

/// Refuses what no event has as its type. A config is asked only where the type does not come with ampbridge.
fn known_type(kind: &str, settings: impl Fn() -> Result<Settings, Failure>) -> Outcome {
    if samples::types().contains(&kind) {
        return Ok(());
    }
    let settings = settings().ok();
    let known = event_types(settings.as_ref());
    if known.contains(kind) {
        return Ok(());
    }
    let hint = config::hint(kind, known.iter().map(String::as_str));
    let whose = if settings.is_some() {
        "ampbridge and the configured sources make none"
    } else {
        "ampbridge makes none, and there is no config whose sources might"
    };
    Err(Failure::Usage(format!("there is no event type {kind:?}: {whose}{hint}")))
}

fn parts(settings: Settings) -> Result<Parts, Failure> {
    Parts::assemble(settings).map_err(Failure::Config)
}

/// The same for what sends: templates of one's own are tried first, so that none fails when it is needed.
fn checked(settings: Settings) -> Result<Parts, Failure> {
    let problems = settings.bridge.templates_dir.as_deref().map(config::template_problems).unwrap_or_default();
    if problems.is_empty() { parts(settings) } else { Err(Failure::Config(problems)) }
}

fn report(failure: Failure) -> u8 {
    match failure {
        Failure::Failed(lines) => {
            for line in lines {
                output::error(&line);
            }
            1
        }
        Failure::Config(problems) => {
            output::error(&format!("the configuration has {}:", output::count(problems.len(), "problem")));
            for problem in problems {
                output::error_detail(&problem.to_string());
            }
            2
        }
        Failure::Usage(line) => {
            output::error(&line);
            2
        }
        Failure::Verdict(code) => code,
        Failure::Store(line) => {
            output::error(&line);
            3
        }
    }
}
