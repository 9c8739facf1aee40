//! The program as people run it: the real binary as its own process, in a folder of its own, between a fake workspace
//! and receivers on real sockets.
//!
//! `AMPBRIDGE_E2E_BIN` names another binary to test, a released one for example.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says loudly what it had to leave out, and lives in the real surroundings"
)]

mod harness;
mod mailbox;
mod odd;
mod rogue;
mod service;
#[path = "../fakes/slack/mod.rs"]
mod slack;

mod answers;
mod changes;
mod clock;
mod crash;
mod delivery;
mod directory;
mod guard;
mod holds;
mod hostile;
mod live;
mod money;
mod notices;
mod outputs;
mod presets;
mod receivers;
mod running;
mod scopes;
mod settings;
mod state;
mod timing;
mod troubles;
