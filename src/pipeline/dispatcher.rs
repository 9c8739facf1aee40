//! Sends what is due: a loop per sink, so that none waits for another.
//!
//! A permit is taken before a claim, and belongs to the attempt; an outcome is committed under the claim's id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use jiff::SignedDuration;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Core;
use super::breaker::{Breaker, Gate, LONGEST_PAUSE};
use super::progress::Noted;
use crate::domain::cycle::{Input, Settled};
use crate::domain::delivery::{Delivery, DeliveryState, Outcome, Report};
use crate::domain::event::StoredEvent;
use crate::domain::time::{Timestamp, elapsed};
use crate::sink::pace::{Pacer, Turn};
use crate::sink::{Message, Progress, Sink};
use crate::store::{Claimed, StoreError, sink_state};
use crate::telemetry::metrics::SinkMeter;

/// Outcomes committed in one transaction.
const SETTLE_BATCH: usize = 128;
/// How long the first outcome waits for others, so that a busy sink does not make a transaction and a flush of each; no
/// longer than [`FULL_BATCH`] are there. Whoever is killed in between sends them again.
const SETTLE_WAIT: Duration = Duration::from_millis(2);
const FULL_BATCH: usize = 32;
/// Lease beyond the deadline of the attempt.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// The dispatcher cuts an attempt off this long after its sink should have.
const CUT_MARGIN: Duration = Duration::from_secs(2);
/// Longest sleep without looking again.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What happened at one sink since the start, for summaries and exit codes.
#[derive(Debug, Default)]
pub struct Tally {
    pub delivered: AtomicU64,
    pub failed: AtomicU64,
    pub died: AtomicU64,
    pub in_flight: AtomicU64,
}

/// What keeps a sink that fails from being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rests {
    /// Whatever its failures make of it.
    Ever,
    /// What its receiver asks for, and nothing else: each delivery that is due has one attempt.
    WhenAsked,
}

/// The loop of one sink.
pub struct Dispatcher {
    core: Core,
    sink: Arc<dyn Sink>,
    tally: Arc<Tally>,
    permits: Arc<Semaphore>,
    outcomes: mpsc::Sender<Settled>,
    /// Attempts under way.
    attempts: TaskTracker,
    breaker: Arc<Breaker>,
    rests: Rests,
    /// Where it may not send as fast as it can.
    pacer: Option<Arc<Pacer>>,
    meter: Arc<SinkMeter>,
}

impl Dispatcher {
    /// Runs until `stop`, then lets what is under way finish. The error is the store's.
    pub async fn run(
        core: Core,
        sink: Arc<dyn Sink>,
        tally: Arc<Tally>,
        rests: Rests,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        let state = sink_state(core.store.as_ref(), sink.name()).await?;
        let held = state.held_until.and_then(|until| Duration::try_from(elapsed(core.clock.now(), until)).ok());
        let breaker = Breaker::new(state.failures, held.map(|wait| Instant::now() + wait));
        let pace = sink.manners().pace;
        let pacer = sink.pacer().or_else(|| (pace > Duration::ZERO).then(|| Arc::new(Pacer::new(pace))));
        if let Some(pacer) = &pacer {
            // Whatever was sent just before this start: the pace holds over a restart, too.
            pacer.hold(Instant::now() + pace.max(held.unwrap_or_default()));
        }
        let (outcomes, incoming) = mpsc::channel(SETTLE_BATCH * 4);
        let permits = Arc::new(Semaphore::new(sink.manners().concurrency.max(1)));
        let meter = Arc::new(SinkMeter::new(sink.name()));
        let dispatcher = Self {
            core: core.clone(),
            sink,
            tally: Arc::clone(&tally),
            permits,
            outcomes,
            attempts: TaskTracker::new(),
            breaker: Arc::new(breaker),
            rests,
            pacer,
            meter: Arc::clone(&meter),
        };
        // A task of its own: committing outcomes and claiming the next deliveries go on side by side.
        let settling = tokio::spawn(settle(core, tally, meter, incoming));
        let sent = dispatcher.send_all(&stop).await;
        dispatcher.attempts.close();
        dispatcher.attempts.wait().await;
        // Dropping the dispatcher closes the channel, which ends the settling.
        drop(dispatcher);
        match settling.await {
            Ok(settled) => sent.and(settled),
            Err(_) => Err(StoreError::Write("committing outcomes was cut short".to_owned())),
        }
    }

    async fn send_all(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let manners = self.sink.manners();
        let name = self.sink.name().to_owned();
        let lease = SignedDuration::try_from(manners.timeout + LEASE_MARGIN).unwrap_or(SignedDuration::from_mins(2));
        let mut wakeups = self.core.store.wakeups();
        // Whose backlog has gone out, by when the sink was switched on again.
        let mut drained: Option<Timestamp> = None;
        loop {
            if stop.is_cancelled() || self.outcomes.is_closed() {
                return Ok(());
            }
            wakeups.borrow_and_update();
            let state = sink_state(self.core.store.as_ref(), &name).await?;
            if state.stopped.is_some() {
                self.idle(&mut wakeups, None, stop).await;
                continue;
            }
            let backlog = state.in_order_until.filter(|until| drained != Some(*until));
            let gate = match self.rests {
                Rests::Ever => self.breaker.gate(Instant::now()),
                Rests::WhenAsked => self.breaker.gate_for_one_each(Instant::now()),
            };
            if let Gate::Open(until) = gate {
                self.nap(until, stop).await;
                continue;
            }
            let one_by_one = gate == Gate::HalfOpen || backlog.is_some();
            let Some(permit) = self.permit(one_by_one, stop).await else { return Ok(()) };
            let turn = match &self.pacer {
                None => None,
                Some(pacer) => match self.turn(pacer, stop).await? {
                    None => continue,
                    turn => turn,
                },
            };
            let paced = turn.is_some() || one_by_one;
            let more = if paced { 0 } else { self.permits.available_permits() };
            let claimed = self.core.store.claim(&name, self.core.clock.now(), 1 + more, lease).await?;
            let past = claimed.first().is_some_and(|one| backlog.is_some_and(|until| one.delivery.created > until));
            let found = !claimed.is_empty();
            let claimed = self.core.awake(claimed).await?;
            if past {
                drained = backlog;
            }
            if claimed.is_empty() {
                drop((turn, permit));
                if found {
                    continue;
                }
                let due = self.core.store.next_due(&name).await?;
                // What waits for a retry, or for the morning, is of the backlog still.
                drained = backlog.filter(|_| due.is_none()).or(drained);
                self.idle(&mut wakeups, due, stop).await;
                continue;
            }
            if let Some(turn) = turn {
                turn.take();
            }
            let mut first = Some(permit);
            for one in claimed {
                let permit = match first.take() {
                    Some(permit) => permit,
                    None => match Arc::clone(&self.permits).acquire_owned().await {
                        Ok(permit) => permit,
                        Err(_) => return Ok(()),
                    },
                };
                self.start(one, permit);
            }
        }
    }

    /// The right to one attempt; alone, all rights at once, so that nothing else is under way.
    async fn permit(&self, alone: bool, stop: &CancellationToken) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let all = u32::try_from(self.sink.manners().concurrency.max(1)).unwrap_or(u32::MAX);
        let wanted = if alone { all } else { 1 };
        tokio::select! {
            permit = Arc::clone(&self.permits).acquire_many_owned(wanted) => permit.ok(),
            () = stop.cancelled() => None,
        }
    }

    /// Its turn at a place that has a pace; `None` where it has to look again first.
    async fn turn<'p>(&self, pacer: &'p Pacer, stop: &CancellationToken) -> Result<Option<Turn<'p>>, StoreError> {
        let turn = tokio::select! {
            turn = pacer.turn() => turn,
            () = stop.cancelled() => return Ok(None),
        };
        if let Some(until) = turn.not_before() {
            self.nap(until, stop).await;
        }
        // Somebody may have stopped the sink, or the receiver may have asked for more time, while it waited.
        let state = sink_state(self.core.store.as_ref(), self.sink.name()).await?;
        let ready = state.stopped.is_none() && turn.not_before().is_none() && !stop.is_cancelled();
        Ok(ready.then_some(turn))
    }

    fn start(&self, claimed: Claimed, permit: tokio::sync::OwnedSemaphorePermit) {
        let (sink, core, outcomes) = (Arc::clone(&self.sink), self.core.clone(), self.outcomes.clone());
        let (tally, breaker, pacer) = (Arc::clone(&self.tally), Arc::clone(&self.breaker), self.pacer.clone());
        let meter = Arc::clone(&self.meter);
        tally.in_flight.fetch_add(1, Ordering::AcqRel);
        self.attempts.spawn(async move {
            let started = core.clock.now();
            let stopwatch = Instant::now();
            let Claimed { claim, delivery, events, .. } = claimed;
            let (delivery, report) = attempt(&sink, &core, claim, delivery, events, started).await;
            meter.attempt(&report.outcome, stopwatch.elapsed());
            breaker.note(&report, &sink.manners().retry, Instant::now(), core.dice.unit());
            // What a receiver asks for, it asks of everybody who sends there.
            if let (Some(pacer), Some(asked)) = (pacer, asked(&report.outcome)) {
                pacer.hold(Instant::now() + asked.min(LONGEST_PAUSE));
            }
            log_attempt(sink.name(), &delivery, &report);
            let settled =
                Settled { delivery, claim, report, started, policy: sink.manners().retry, unit: core.dice.unit() };
            // A closed channel means the store has failed; the process is ending, and the delivery stays due.
            let _ = outcomes.send(settled).await;
            drop(permit);
        });
    }

    async fn nap(&self, until: Instant, stop: &CancellationToken) {
        let wait = until.saturating_duration_since(Instant::now()).min(LONGEST_SLEEP);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }

    async fn idle(
        &self,
        wakeups: &mut tokio::sync::watch::Receiver<u64>,
        due: Option<Timestamp>,
        stop: &CancellationToken,
    ) {
        let until_due = due.map(|at| Duration::try_from(elapsed(self.core.clock.now(), at)).unwrap_or_default());
        let wait = until_due.unwrap_or(LONGEST_SLEEP).clamp(Duration::from_millis(1), LONGEST_SLEEP);
        tokio::select! {
            _ = wakeups.changed() => {}
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// How long the receiver asks to be left alone.
fn asked(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Throttled { after } | Outcome::Transient { after, .. } => Duration::try_from((*after)?).ok(),
        Outcome::Accepted | Outcome::Permanent | Outcome::Stop => None,
    }
}

/// One attempt, whatever the sink does: it ends in time and with a report.
async fn attempt(
    sink: &Arc<dyn Sink>,
    core: &Core,
    claim: u64,
    delivery: Delivery,
    mut events: Vec<Arc<StoredEvent>>,
    now: Timestamp,
) -> (Delivery, Report) {
    if events.is_empty() {
        return (delivery, Report::new(Outcome::Permanent, None, "its event is no longer stored"));
    }
    let reference = match &delivery.incident {
        Some(incident) => core.store.reference(sink.name(), incident).await.unwrap_or_default(),
        None => None,
    };
    if let (Some(moved), Some(last)) = (&delivery.moved, events.last_mut()) {
        let event = moved.over(&last.event);
        *last = Arc::new(StoredEvent { event, ..StoredEvent::clone(last) });
    }
    let noted = sink.goes_one_by_one().then(|| Arc::new(Noted::of(core, claim, &delivery)));
    let progress = noted.clone().map(|noted| noted as Arc<dyn Progress>);
    let message = Message { delivery, events, reference, now, progress };
    let deadline = sink.manners().timeout + CUT_MARGIN;
    let failed = |why: String| Report::new(Outcome::Transient { after: None, refusal: false }, None, why);
    // A panic in a sink is an outcome and not the end of the loop.
    let sending = std::panic::AssertUnwindSafe(sink.send(&message)).catch_unwind();
    let mut report = match tokio::time::timeout(deadline, sending).await {
        Ok(Ok(report)) => report,
        Ok(Err(_)) => failed("the sink failed inside ampbridge; please report this".to_owned()),
        Err(_) => failed(format!("no outcome within {deadline:?}")),
    };
    if let Some(noted) = noted {
        // However the attempt ended, what it has noted is so.
        noted.add_to(&mut report.recipients);
    }
    (message.delivery, report)
}

/// Commits outcomes, as many at once as have come in.
async fn settle(
    core: Core,
    tally: Arc<Tally>,
    meter: Arc<SinkMeter>,
    mut incoming: mpsc::Receiver<Settled>,
) -> Result<(), StoreError> {
    let mut batch = Vec::with_capacity(SETTLE_BATCH);
    while incoming.recv_many(&mut batch, SETTLE_BATCH).await > 0 {
        gather(&mut incoming, &mut batch).await;
        let count = batch.len() as u64;
        let (plan, _) = core.step(&Input::Settled(std::mem::take(&mut batch))).await?;
        for (_, delivery) in &plan.settled {
            let counter = match delivery.state {
                DeliveryState::Delivered { .. } => &tally.delivered,
                DeliveryState::Dead { .. } => &tally.died,
                _ => &tally.failed,
            };
            counter.fetch_add(1, Ordering::AcqRel);
            meter.settled(&delivery.state, elapsed(delivery.created, core.clock.now()));
        }
        tally.in_flight.fetch_sub(count, Ordering::AcqRel);
    }
    Ok(())
}

/// Waits a moment for further outcomes.
async fn gather(incoming: &mut mpsc::Receiver<Settled>, batch: &mut Vec<Settled>) {
    let late = tokio::time::sleep(SETTLE_WAIT);
    tokio::pin!(late);
    while batch.len() < FULL_BATCH {
        let room = SETTLE_BATCH - batch.len();
        tokio::select! {
            more = incoming.recv_many(batch, room) => if more == 0 { return },
            () = &mut late => return,
        }
    }
}

fn log_attempt(sink: &str, delivery: &Delivery, report: &Report) {
    let (id, event) = (&delivery.id, &delivery.event_type);
    if report.outcome == Outcome::Accepted {
        tracing::debug!(sink, delivery = id, event, "{id} ({event}) delivered to {sink}");
    } else {
        tracing::warn!(
            sink,
            delivery = id,
            event,
            status = report.status,
            outcome = report.outcome.as_str(),
            "{id} ({event}) to {sink}: {}: {}",
            report.outcome.as_str(),
            report.detail.lines().next().unwrap_or("")
        );
    }
}
