//! What a manifest can't say, said in Rust by the built-in source it belongs to.

use async_trait::async_trait;
use serde_json::Value;

use super::Rest;
use super::money::Sums;
use super::place::RowView;
use crate::domain::record::{Page, Record};
use crate::source::{LookEnd, LookRequest, Pages};

/// Typed additions to the engine. Every method has a default that leaves things to the manifest.
#[async_trait]
pub trait Hook: Send + Sync {
    /// Statuses besides 200 that a collection's calls may be answered with and whose body says something.
    fn accepts(&self, _collection: &str) -> &'static [u16] {
        &[]
    }

    /// Has the last word on a record: derived fields, names, links. `None` leaves the row out without a word.
    fn record(&self, _collection: &str, _row: RowView<'_>, record: Record) -> Option<Record> {
        Some(record)
    }

    /// Reads a whole answer instead of the manifest's `records` and `value`; the page's rows are of the collection's
    /// role. `None` leaves it to the manifest.
    fn page(&self, _collection: &str, _status: u16, _document: &Value) -> Option<Page> {
        None
    }

    /// Looks at what all money rows of a complete look add up to, before they are shown, and may say what is strange
    /// about them: a short name, and a sentence.
    async fn review(&self, _rest: &Rest, _collection: &str, _sums: &Sums) -> Vec<(String, Result<(), String>)> {
        Vec::new()
    }

    /// Makes the whole look. `None` leaves it to the engine.
    async fn look(&self, _rest: &Rest, _request: &LookRequest, _pages: &Pages) -> Option<LookEnd> {
        None
    }
}
