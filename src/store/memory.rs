//! An engine in memory, for tests: it can lose what was not flushed, and fail on demand.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::engine::Engine;
use super::kv::{Batch, Kv, Visit};
use super::{Result, StoreError};

/// The space, shared by the engine and the test that breaks it.
#[derive(Debug, Clone, Default)]
pub struct MemoryKv(Arc<Cell>);

#[derive(Debug, Default)]
struct Cell {
    space: Mutex<Space>,
    /// Flushes that wait until they are let through.
    gate: Condvar,
}

#[derive(Debug, Default)]
struct Space {
    live: BTreeMap<Vec<u8>, Vec<u8>>,
    durable: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Operations until the next failure; then one operation fails.
    fail_after: Option<u32>,
    /// Flushes wait.
    held: bool,
}

impl MemoryKv {
    fn lock(&self) -> MutexGuard<'_, Space> {
        self.0.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses everything that was not flushed. The old space goes on by itself, for nobody.
    #[must_use]
    pub fn crash(&self) -> Self {
        let durable = self.lock().durable.clone();
        self.release_flushes();
        let space = Space { live: durable.clone(), durable, ..Space::default() };
        Self(Arc::new(Cell { space: Mutex::new(space), gate: Condvar::new() }))
    }

    /// A disk that takes its time: flushes wait, so that nothing becomes durable until [`Self::release_flushes`].
    pub fn hold_flushes(&self) {
        self.lock().held = true;
    }

    pub fn release_flushes(&self) {
        self.lock().held = false;
        self.0.gate.notify_all();
    }

    /// Lets `n` more operations through; the one after them fails, once.
    pub fn fail_after(&self, n: u32) {
        self.lock().fail_after = Some(n);
    }

    fn step(&self) -> Result<MutexGuard<'_, Space>> {
        Self::count(self.lock())
    }

    fn count(mut space: MutexGuard<'_, Space>) -> Result<MutexGuard<'_, Space>> {
        match space.fail_after {
            Some(0) => {
                space.fail_after = None;
                Err(StoreError::Write("the memory engine was told to fail here".to_owned()))
            }
            Some(n) => {
                space.fail_after = Some(n - 1);
                Ok(space)
            }
            None => Ok(space),
        }
    }
}

impl Kv for MemoryKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.lock().live.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        // A copy of the range, so that the visitor may write.
        let range: Vec<(Vec<u8>, Vec<u8>)> = {
            let space = self.lock();
            let from = space.live.range(prefix.to_vec()..);
            from.take_while(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        for (key, value) in range {
            if visit(&key, &value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, batch: Batch) -> Result<()> {
        let mut space = self.step()?;
        for (key, value) in batch.0 {
            match value {
                Some(value) => space.live.insert(key, value),
                None => space.live.remove(&key),
            };
        }
        Ok(())
    }

    fn flush(&self, _: u64) -> Result<()> {
        let waited = self.0.gate.wait_while(self.lock(), |space| space.held);
        let mut space = Self::count(waited.unwrap_or_else(PoisonError::into_inner))?;
        space.durable = space.live.clone();
        Ok(())
    }

    fn close(&self, commit: u64) -> Result<()> {
        self.flush(commit)
    }

    fn path(&self) -> Option<std::path::PathBuf> {
        None
    }
}

/// A store over a memory space.
pub fn open(kv: MemoryKv) -> Result<Engine<MemoryKv>> {
    Engine::open(kv)
}
