//! The source systems: a fake of each, made from its document; its config; and for each collection where things are in
//! its answers and what a true change of it is told as.

pub mod amp;
mod amp_cli;
pub mod amp_missions;
pub mod amp_threads;
mod amply;
mod neighbours;

use std::sync::Arc;

use ampbridge::demo::{FakeWorkspace, Server};

use crate::bench::Watch;
use crate::fake::Fake;
use crate::fault::{Fault, Target};

/// A system that is up, and the config of a source that reads it.
pub struct System {
    pub fake: Fake,
    pub config: String,
    pub workspace: Option<(Arc<FakeWorkspace>, Server)>,
}

/// A collection of a source: what can be twisted, what can change, and what is told then.
#[derive(Clone, Copy)]
pub struct Cell {
    pub collection: &'static str,
    pub target: fn() -> Target,
    /// A true change, and the events of it.
    pub change: fn(&System),
    pub told: &'static [&'static str],
    /// Faults whose effect is a change like any other: null where null is a value.
    pub true_for: &'static [Fault],
}

pub type Start = fn(Watch) -> std::pin::Pin<Box<dyn Future<Output = System> + Send>>;

/// Every system: name, how to start it, its collections.
pub fn all() -> Vec<(&'static str, Start, &'static [Cell])> {
    vec![
        ("amp", |watch| Box::pin(amp::start(watch)), amp::CELLS),
        ("amp_missions", |watch| Box::pin(amp_missions::start(watch)), amp_missions::CELLS),
        ("amp_cli", |watch| Box::pin(amp_cli::start(watch)), amp_cli::CELLS),
        ("amply", |watch| Box::pin(amply::start(watch)), amply::CELLS),
        ("anthropic", |watch| Box::pin(neighbours::anthropic(watch)), neighbours::ANTHROPIC),
        ("cursor", |watch| Box::pin(neighbours::cursor(watch)), neighbours::CURSOR),
    ]
}

/// What every config has: a budget that a true change of money reaches.
pub const RULES: &str = r#"
[rules.daily]
kind = "budget"
limit_usd = 100
period = "day"
thresholds = [50]
"#;

/// Settings of a source for a test: no waiting.
pub const QUICK: &str = "max_rps = 10000\ntimeout = \"20s\"\n";
