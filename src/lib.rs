/// Half of what a delivery costs is short-lived memory, taken on one thread and given back on another; the system's
/// allocator spent a third of all processor time on it (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod env;
pub mod http;
pub mod lifecycle;
pub mod pipeline;
pub mod render;
pub mod sink;
pub mod source;
pub mod store;
pub mod telemetry;
