//! A workspace that isn't there: a stateful fake of the Amp External API v2, a webhook receiver, and a story to play.
//!
//! `ampbridge demo` runs the real pipeline between the two; the end-to-end tests and scripts outside Rust drive the
//! same fake. Its API follows the document of the External API v2 to the letter unless a fault was asked for.
//!
//! Nothing here asks a clock: whoever starts a fake says what time it is there ([`Now`]), so that days may pass in
//! seconds.

mod api;
mod auth;
mod change;
mod clock;
mod control;
mod fault;
mod front;
mod journal;
mod model;
mod receiver;
mod rng;
mod seed;
mod server;
mod standalone;
mod story;
mod workspace;
mod world;

use std::sync::Arc;

use crate::domain::time::Timestamp;

pub use auth::{CLIENT_ID, CLIENT_SECRET, scope};
pub use change::Change;
pub use clock::DemoClock;
pub use fault::{Fault, FaultRule};
pub use journal::{Counters, LogEntry};
pub use model::{Model, NewThread, Repository, Role, ThreadEdit, Usd, User};
pub use receiver::{Received, Receiver, ReceiverOptions, Reply};
pub use seed::SeedOptions;
pub use server::{Peer, Server};
pub use standalone::{Standalone, StandaloneOptions, run_standalone, start_standalone};
pub use story::{Step, Story};
pub use workspace::{FakeWorkspace, serve};
pub use world::{CursorStyle, FakeError};

/// What time it is in the fake's world.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A client for tests. TLS needs a provider even where nothing is encrypted; a second installation is harmless.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the fake is asked as any client would, without our own client's guard")]
fn test_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
