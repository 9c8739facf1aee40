//! Sources against stateful fakes on loopback: every collection of every source, with every fault.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its table"
)]

mod bench;
mod binary;
mod budgets;
mod delivered;
mod fake;
mod fault;
mod files;
mod inferred;
mod limits;
mod manifests;
mod matrix;
mod model;
mod odd_rows;
mod own;
mod owners;
mod places;
mod systems;
mod thread_costs;
mod twenty;
