//! The data of the samples, built from the payload structs, so that it can't drift from them.

mod digest;
mod health;
mod levels;
mod money;
mod records;
mod systems;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::domain::ids;
use crate::domain::money::Micros;
use crate::domain::payload::Who;

pub use digest::*;
pub use health::*;
pub use levels::*;
pub use money::*;
pub use records::*;
pub use systems::*;

type Data = Map<String, Value>;

pub const THREAD: &str = "T-019aabcd-1234-7abc-8def-0123456789ab";
const LINK: &str = "https://ampcode.com/threads/T-019aabcd-1234-7abc-8def-0123456789ab";
const TODAY: &str = "2026-11-22";
const SINCE: &str = "2026-11-22T13:40:00Z";

fn cents(cents: i64) -> Micros {
    Micros(cents * 10_000)
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn person(id: &str, name: &str) -> Who {
    Who { id: text(id), email: Some(format!("{name}@example.com")), name: Some(text(name)) }
}

fn ana() -> Who {
    person("user_01ANA", "ana")
}

fn bo() -> Who {
    person("user_01BO", "bo")
}

fn incident(name: &str) -> String {
    ids::derive("inc", &["sample", name])
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> BTreeMap<String, Value> {
    fields.into_iter().map(|(name, value)| (text(name), value)).collect()
}
