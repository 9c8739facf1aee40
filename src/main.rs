//! The `ampbridge` program: parse, run, exit code.

/// Half of what a delivery costs is allocations that one thread makes and another frees, for which the system's
/// allocator makes threads wait for each other (docs/benchmarks.md has both).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ampbridge::cli::main().into()
}
