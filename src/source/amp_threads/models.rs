//! Whether each model that threads used has a price: one that has none costs what nobody knows, and that is told once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::document::Thread;
use crate::domain::collection::GaugeSpec;
use crate::domain::record::{GaugeRow, Page, Rows};

/// Models in one look, at most.
const MOST: usize = 500;
const PRICED: &str = "priced";
const UNPRICED: &str = "unpriced";

pub fn gauge() -> GaugeSpec {
    GaugeSpec {
        good: vec![PRICED.to_owned()],
        events: BTreeMap::from([("*".to_owned(), "model.unpriced".to_owned())]),
        ..GaugeSpec::default()
    }
}

/// A level for each model that has a name.
pub fn page(threads: &[Arc<Thread>]) -> Page {
    let mut tokens: BTreeMap<&str, u64> = BTreeMap::new();
    let lines = threads.iter().flat_map(|thread| thread.bill.lines.iter());
    for line in lines.filter(|line| !line.model.is_empty()) {
        let unpriced = tokens.entry(&line.model).or_default();
        *unpriced = unpriced.saturating_add(line.unpriced);
    }
    let row = |(model, unpriced): (&str, u64)| GaugeRow {
        key: model.to_owned(),
        name: None,
        band: None,
        value: json!(if unpriced > 0 { UNPRICED } else { PRICED }),
        facts: if unpriced > 0 { [("tokens".to_owned(), json!(unpriced))].into() } else { BTreeMap::new() },
    };
    Page::of(Rows::Gauges(tokens.into_iter().take(MOST).map(row).collect()))
}
