//! `plan`, input by input, over a store of a few maps.

mod bench;
mod deliveries;
mod health;
mod holds;
mod looks;
mod money;
