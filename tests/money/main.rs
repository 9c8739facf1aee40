//! Money as a whole: what rows, time and edits of the config make of budgets, forecasts and spikes. Played through the
//! live code path in virtual time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod budgets;
mod digest;
mod forecasts;
mod month;
mod odd;
mod play;
mod properties;
mod spikes;
