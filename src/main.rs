//! The `ampbridge` program: parse, run, exit code.

fn main() -> std::process::ExitCode {
    ampbridge::cli::main().into()
}
