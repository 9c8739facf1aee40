//! The pure core: what changed, what it means, who hears of it, when to try again.
//!
//! Invariant: nothing here is async, does IO, asks a clock, draws a random number or logs. Time, jitter and ids come
//! in as values; decisions go out as values. `tests/tidy.rs` enforces it.

pub mod acklink;
pub mod backtest;
pub mod collection;
pub mod cycle;
pub mod delivery;
pub mod diff;
pub mod doc;
pub mod event;
pub mod freshness;
pub mod guard;
pub mod health;
pub mod hint;
pub mod ids;
pub mod incident;
pub mod json;
pub mod live;
pub mod money;
pub mod payload;
pub mod quota;
pub mod record;
pub mod retry;
pub mod roster;
pub mod routing;
pub mod rules;
pub mod setting;
pub mod signing;
pub mod silence;
pub mod spend;
pub mod spend_digest;
pub mod strict;
pub mod sweep;
pub mod time;
pub mod timing;
