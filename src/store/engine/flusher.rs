//! One thread that makes commits durable, many at once, and publishes what waited for it.
//!
//! Sled's own `flush_async` deadlocks with eight or more callers at once, so one thread flushes for everybody.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::super::kv::Kv;
use super::super::{Result, StoreError, Ticket};
use super::Shared;

pub(super) struct Flusher {
    asked: Mutex<Asked>,
    wake: Condvar,
    done: watch::Sender<Done>,
}

#[derive(Default)]
struct Asked {
    commit: u64,
    stop: bool,
}

#[derive(Clone)]
struct Done {
    commit: u64,
    failed: Option<String>,
    stopped: bool,
}

impl Flusher {
    pub(super) fn new(commit: u64) -> Self {
        Self {
            asked: Mutex::new(Asked { commit, stop: false }),
            wake: Condvar::new(),
            done: watch::channel(Done { commit, failed: None, stopped: false }).0,
        }
    }

    /// There is a commit to flush.
    pub(super) fn ask(&self, commit: u64) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.commit = asked.commit.max(commit);
        self.wake.notify_one();
    }

    /// Flushes what is left and ends the thread.
    pub(super) fn stop(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wake.notify_one();
        while !self.done.borrow().stopped {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) async fn wait(&self, ticket: Ticket) -> Result<()> {
        let mut done = self.done.subscribe();
        let reached = done.wait_for(|d| d.commit >= ticket.0 || d.failed.is_some() || d.stopped).await;
        match reached {
            Ok(state) if state.commit >= ticket.0 => Ok(()),
            Ok(state) => {
                Err(StoreError::Write(state.failed.clone().unwrap_or_else(|| "the store is closed".to_owned())))
            }
            Err(_) => Err(StoreError::Write("the store is closed".to_owned())),
        }
    }
}

/// Starts the thread. It ends with the store, or when told to.
pub(super) fn start<K: Kv>(shared: &Arc<Shared<K>>) -> Result<()> {
    let weak = Arc::downgrade(shared);
    std::thread::Builder::new()
        .name("store-flush".to_owned())
        .spawn(move || run(&weak))
        .map(drop)
        .map_err(|e| StoreError::Write(format!("the flush thread can't be started: {e}")))
}

fn run<K: Kv>(weak: &Weak<Shared<K>>) {
    let mut flushed = weak.upgrade().map_or(0, |s| s.flusher.done.borrow().commit);
    while let Some(shared) = weak.upgrade() {
        let (target, stop) = next(&shared, flushed);
        if target > flushed {
            match shared.kv.flush(target) {
                Ok(()) => {
                    flushed = target;
                    shared.publish(target);
                    shared.flusher.done.send_modify(|d| d.commit = target);
                    shared.wake();
                }
                Err(error) => {
                    let why = error.to_string();
                    shared.state.lock().unwrap_or_else(PoisonError::into_inner).broken = Some(why.clone());
                    shared.flusher.done.send_modify(|d| {
                        d.failed = Some(why);
                        d.stopped = true;
                    });
                    shared.wake();
                    return;
                }
            }
        }
        if stop {
            shared.flusher.done.send_modify(|d| d.stopped = true);
            return;
        }
    }
}

/// Waits a while for a commit to flush; returns often, so that a dropped store ends the thread.
fn next<K: Kv>(shared: &Shared<K>, flushed: u64) -> (u64, bool) {
    let mut asked = shared.flusher.asked.lock().unwrap_or_else(PoisonError::into_inner);
    if asked.commit <= flushed && !asked.stop {
        let waited = shared.flusher.wake.wait_timeout(asked, Duration::from_millis(500));
        asked = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    (asked.commit, asked.stop)
}

impl<K: Kv> Shared<K> {
    /// Deliveries of durable commits may be claimed.
    fn publish(&self, durable: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut state.unpublished);
        for (commit, delivery) in waiting {
            if commit <= durable {
                state.outbox.insert(&delivery);
            } else {
                state.unpublished.push((commit, delivery));
            }
        }
    }
}
