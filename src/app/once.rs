//! One full round: everything is looked at once, what is due is delivered, and that is the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{App, DRAIN_STEP, join_all};
use crate::domain::record::Evidence;
use crate::domain::time::Timestamp;
use crate::lifecycle::Lifecycle;
use crate::pipeline::dispatcher::{self, Tally};
use crate::pipeline::poller::{Looked, Poller};
use crate::pipeline::timekeeper::Patience;
use crate::pipeline::{keeper, timekeeper};
use crate::source::Reach;
use crate::store::{self, StoreError};

/// What `once` came to.
#[derive(Debug, Default)]
pub struct OnceReport {
    /// By source: what each look came to.
    pub looks: BTreeMap<String, Vec<Looked>>,
    pub sinks: BTreeMap<String, SinkReport>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SinkReport {
    pub delivered: u64,
    pub failed_attempts: u64,
    pub died: u64,
    /// Still waiting when it ended.
    pub waiting: usize,
    pub stopped: bool,
}

impl OnceReport {
    /// A look was cut short, an attempt failed and waits, or a delivery died.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (source, looks) in &self.looks {
            // What an account need not have is no failure once it was told, as long as there is anything it has.
            let some_good = looks.iter().any(|look| !matches!(look.evidence, Evidence::Partial(_)));
            for look in looks.iter().filter(|look| !(look.off && some_good)) {
                if let Evidence::Partial(failure) = &look.evidence {
                    failures.push(format!("source {source}: {}: {}", look.collection, failure.message));
                }
            }
        }
        for (sink, report) in &self.sinks {
            if report.died > 0 {
                failures.push(format!(
                    "sink {sink}: {} deliveries died; `ampbridge deliveries list --sink {sink} --state dead` shows why",
                    report.died
                ));
            }
            if report.failed_attempts > 0 && report.waiting > 0 {
                failures.push(format!(
                    "sink {sink}: {} deliveries wait after {} failed attempts",
                    report.waiting, report.failed_attempts
                ));
            }
        }
        failures
    }
}

impl App {
    /// Polls every collection of every (or one) source in full, delivers what is due, and waits at most `drain`.
    pub async fn once(&self, only: Option<&str>, drain_secs: u64, life: &Lifecycle) -> anyhow::Result<OnceReport> {
        let plausible = keeper::is_plausible(&self.core).await?;
        self.warn_of_gone_sinks().await?;
        self.tick().await?;
        // Not what waits for its time: a digest is to tell what the looks of this round show, too.
        timekeeper::watch_incidents(&self.core).await?;
        let stop = CancellationToken::new();
        let mut dispatchers = JoinSet::new();
        let tallies: BTreeMap<String, Arc<Tally>> = self.start_sinks(&mut dispatchers, &stop).into_iter().collect();
        let mut polls: JoinSet<Result<(String, Vec<Looked>), StoreError>> = JoinSet::new();
        for source in self.parts.sources.iter().filter(|s| only.is_none_or(|o| o == s.name())) {
            let (poller, source) = (Poller::new(self.core.clone(), Arc::clone(source)), Arc::clone(source));
            polls.spawn(async move {
                let mut looks = Vec::new();
                for collection in source.collections() {
                    looks.push(poller.look(collection, Reach::Full).await?);
                }
                Ok((source.name().to_owned(), looks))
            });
        }
        let mut report = OnceReport::default();
        let polled = life.until_hard(async {
            while let Some(ended) = polls.join_next().await {
                let ended = ended.map_err(|e| anyhow::anyhow!("a look ended abruptly: {e}; please report this"))?;
                let (source, looks) = ended?;
                report.looks.insert(source, looks);
            }
            self.flushed().await?;
            anyhow::Ok(self.drain(&tallies, drain_secs, life).await?)
        });
        let outcome = polled.await.unwrap_or(Ok(()));
        polls.abort_all();
        stop.cancel();
        join_all(&mut dispatchers, life).await?;
        outcome?;
        if plausible {
            keeper::prune(&self.core, &self.parts.settings.store).await?;
        }
        for (name, tally) in tallies {
            let mut depth = self.core.store.depth(&name).await?;
            depth.waiting += timekeeper::rooms(&self.core, &name).await?;
            let stopped = store::sink_state(self.core.store.as_ref(), &name).await?.stopped.is_some();
            report.sinks.insert(
                name,
                SinkReport {
                    delivered: tally.delivered.load(Ordering::Acquire),
                    failed_attempts: tally.failed.load(Ordering::Acquire),
                    died: tally.died.load(Ordering::Acquire),
                    waiting: depth.waiting,
                    stopped,
                },
            );
        }
        Ok(report)
    }

    /// Until nothing is due any more, nothing is under way, and nothing becomes due before the deadline; at the deadline
    /// in any case, for where several sinks fail there is always something under way.
    async fn drain(
        &self,
        tallies: &BTreeMap<String, Arc<Tally>>,
        secs: u64,
        life: &Lifecycle,
    ) -> Result<(), StoreError> {
        let deadline = dispatcher::drain_deadline(&self.core, secs);
        while !life.soft.is_cancelled() {
            timekeeper::release(&self.core, Patience::None).await?;
            let busy = self.busy(tallies).await?;
            let now = self.core.clock.now();
            if !busy && !self.comes_until(deadline).await? {
                // What was just settled or released may have made a delivery; it is claimable once durable.
                self.flushed().await?;
                if !self.comes_until(deadline).await? && !self.busy(tallies).await? {
                    return Ok(());
                }
            }
            if now >= deadline {
                return Ok(());
            }
            tokio::time::sleep(DRAIN_STEP).await;
        }
        Ok(())
    }

    /// Whether anything becomes due by then.
    async fn comes_until(&self, deadline: Timestamp) -> Result<bool, StoreError> {
        let due = dispatcher::earliest_due(&self.core, &self.parts.sinks).await?;
        let released = timekeeper::next_release(&self.core).await?;
        Ok(due.into_iter().chain(released).any(|at| at <= deadline))
    }

    /// Whether an attempt is under way or about to be.
    async fn busy(&self, tallies: &BTreeMap<String, Arc<Tally>>) -> Result<bool, StoreError> {
        for (name, tally) in tallies {
            if tally.in_flight.load(Ordering::Acquire) > 0 || self.core.store.depth(name).await?.leased > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
