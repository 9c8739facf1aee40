//! The ordered key-value space both engines offer.

use std::ops::ControlFlow;

use super::Result;

/// Puts and removals that happen together.
#[derive(Debug, Default)]
pub struct Batch(pub Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Batch {
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.push((key, Some(value)));
    }

    pub fn remove(&mut self, key: Vec<u8>) {
        self.0.push((key, None));
    }
}

/// Called for each key and value of a scan; `Break` ends it.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered map from bytes to bytes. Blocking; calls are short except `flush`.
pub trait Kv: Send + Sync + 'static {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Keys that begin with `prefix`, ascending. What is written meanwhile may be seen or not, key by key.
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<()>;
    /// All of it or none, also after a crash.
    fn apply(&self, batch: Batch) -> Result<()>;
    /// Everything applied so far survives what the engine promises. `commit` is the number of the last commit.
    fn flush(&self, commit: u64) -> Result<()>;
    /// The last call.
    fn close(&self, commit: u64) -> Result<()>;
    fn path(&self) -> Option<std::path::PathBuf>;
}
