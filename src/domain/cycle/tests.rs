//! `plan`, input by input, over a store of a few maps.

mod bench;
mod deliveries;
mod health;
mod holds;
mod live;
mod looks;
mod money;
mod order;
mod own_limits;
mod quiet;
mod timing;
