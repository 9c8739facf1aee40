//! One full round: everything is looked at once, what is due is delivered, and that is the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{App, DRAIN_STEP, join_all};
use crate::domain::health::SinkState;
use crate::domain::record::Evidence;
use crate::domain::time::{Timestamp, plus};
use crate::lifecycle::Lifecycle;
use crate::pipeline::dispatcher::{Rests, Tally};
use crate::pipeline::poller::{Looked, Poller};
use crate::pipeline::timekeeper::Patience;
use crate::pipeline::{keeper, timekeeper};
use crate::sink::Sink;
use crate::source::Reach;
use crate::store::{self, StoreError};

/// Longest drain, seconds.
const DAY: i64 = 86_400;

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
    /// Of these: an attempt failed, in this run or before it.
    pub retrying: usize,
    /// Something is due, and the receiver asked to be left alone until then.
    pub rests_until: Option<Timestamp>,
    pub stopped: bool,
}

impl OnceReport {
    /// A look was cut short, an attempt failed and waits for its retry, something that is due may not be tried, or a
    /// delivery died.
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
            if report.stopped {
                // By this round, or before it: of that it was told then.
                if report.failed_attempts > 0 {
                    failures.push(format!(
                        "sink {sink} is stopped, and {} deliveries wait; `ampbridge sinks list` says why, `ampbridge sinks enable {sink}` sets it going",
                        report.waiting
                    ));
                }
                continue;
            }
            if report.retrying > 0 {
                failures.push(format!(
                    "sink {sink}: {} of {} deliveries that wait have failed; `ampbridge deliveries list --sink {sink} --state due` shows why, and when they are tried again",
                    report.retrying, report.waiting
                ));
            }
            if let Some(until) = report.rests_until {
                failures
                    .push(format!("sink {sink}: its receiver asked to be left alone until {until}; what is due waits"));
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
        let started = self.start_dispatchers(&mut dispatchers, Rests::WhenAsked, &stop);
        let tallies: BTreeMap<String, Arc<Tally>> = started.into_iter().collect();
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
        for sink in &self.parts.sinks {
            let Some(tally) = tallies.get(sink.name()) else { continue };
            report.sinks.insert(sink.name().to_owned(), self.report_of(sink.as_ref(), tally).await?);
        }
        Ok(report)
    }

    /// Until everything that is due now has had its attempt, however long the pace of its sink takes; and what becomes due
    /// meanwhile, as far as that is before the deadline.
    async fn drain(
        &self,
        tallies: &BTreeMap<String, Arc<Tally>>,
        secs: u64,
        life: &Lifecycle,
    ) -> Result<(), StoreError> {
        timekeeper::release(&self.core, Patience::None).await?;
        self.flushed().await?;
        let begun = self.core.clock.now();
        let deadline = plus(begun, SignedDuration::from_secs(i64::try_from(secs).unwrap_or(DAY).min(DAY)));
        while !life.soft.is_cancelled() {
            // After the deadline only what was due before it is waited for: each of that is tried once, so this ends.
            let until = if self.core.clock.now() < deadline { deadline } else { begun };
            if !self.comes_until(tallies, until, deadline).await? {
                // What was just settled or released may have made a delivery; it is claimable once durable.
                self.flushed().await?;
                if !self.comes_until(tallies, until, deadline).await? {
                    return Ok(());
                }
            }
            tokio::time::sleep(DRAIN_STEP).await;
            timekeeper::release(&self.core, Patience::None).await?;
        }
        Ok(())
    }

    /// Whether an attempt is under way, or anything becomes due by `until` at a sink that may be asked by the deadline.
    async fn comes_until(
        &self,
        tallies: &BTreeMap<String, Arc<Tally>>,
        until: Timestamp,
        deadline: Timestamp,
    ) -> Result<bool, StoreError> {
        for sink in &self.parts.sinks {
            let in_flight = tallies.get(sink.name()).map_or(0, |tally| tally.in_flight.load(Ordering::Acquire));
            if in_flight > 0 || self.core.store.depth(sink.name()).await?.leased > 0 {
                return Ok(true);
            }
            let state = store::sink_state(self.core.store.as_ref(), sink.name()).await?;
            let rests = self.rests_until(sink.as_ref(), &state).is_some_and(|rest| rest > deadline);
            let due = self.core.store.next_due(sink.name()).await?;
            if state.stopped.is_none() && !rests && due.is_some_and(|at| at <= until) {
                return Ok(true);
            }
        }
        Ok(timekeeper::next_release(&self.core).await?.is_some_and(|at| at <= until))
    }

    /// Until when the receiver of a sink asked to be left alone, by this sink or by one that shares its place.
    fn rests_until(&self, sink: &dyn Sink, state: &SinkState) -> Option<Timestamp> {
        let now = self.core.clock.now();
        let shared = sink.pacer().and_then(|pacer| pacer.rest()).and_then(|rest| SignedDuration::try_from(rest).ok());
        shared.map(|rest| plus(now, rest)).max(state.held_until).filter(|until| *until > now)
    }

    /// What became of a sink's deliveries.
    async fn report_of(&self, sink: &dyn Sink, tally: &Tally) -> Result<SinkReport, StoreError> {
        let (name, store) = (sink.name(), self.core.store.as_ref());
        let depth = store.depth(name).await?;
        let state = store::sink_state(store, name).await?;
        let now = self.core.clock.now();
        let is_due = store.next_due(name).await?.is_some_and(|at| at <= now);
        Ok(SinkReport {
            delivered: tally.delivered.load(Ordering::Acquire),
            failed_attempts: tally.failed.load(Ordering::Acquire),
            died: tally.died.load(Ordering::Acquire),
            waiting: depth.waiting + timekeeper::rooms(&self.core, name).await?,
            retrying: depth.retrying,
            rests_until: self.rests_until(sink, &state).filter(|_| is_due),
            stopped: state.stopped.is_some(),
        })
    }
}
