//! `ampbridge completions`.

use clap::{Args, CommandFactory as _};

use super::{Cli, Outcome};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Outcome {
    clap_complete::generate(args.shell, &mut Cli::command(), "ampbridge", &mut std::io::stdout());
    Ok(())
}
