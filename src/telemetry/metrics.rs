//! Metrics, in the Prometheus text format. Names and labels are bounded: sources, collections, sinks, outcomes.

use std::time::Duration;

use jiff::SignedDuration;
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::domain::collection::LookNotes;
use crate::domain::delivery::{DeliveryState, Outcome};
use crate::domain::record::Evidence;
use crate::domain::time::Timestamp;

const SECONDS: &[f64] = &[0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const LONG_SECONDS: &[f64] = &[0.1, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 14_400.0, 86_400.0];

/// How often samples are put into their buckets.
const UPKEEP: Duration = Duration::from_secs(10);

/// Starts collecting; `None` where something else already does (in tests).
pub fn start() -> Option<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("ampbridge_attempt_seconds".to_owned()), SECONDS)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Full("ampbridge_delivery_seconds".to_owned()), LONG_SECONDS));
    let handle = builder.ok()?.install_recorder().ok()?;
    describe();
    Some(handle)
}

/// Keeps what was recorded small, until `stop`: samples are kept one by one until somebody reads them, or this does.
pub async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    while !stop.is_cancelled() {
        handle.run_upkeep();
        tokio::select! {
            () = tokio::time::sleep(UPKEEP) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// The help text of each metric.
fn describe() {
    describe_counter!("ampbridge_looks_total", "Looks at a collection that ended, by how complete they were");
    describe_counter!("ampbridge_rows_total", "Rows that looks brought");
    describe_counter!("ampbridge_rows_quarantined_total", "Rows that were left out because their key or amount is bad");
    describe_counter!("ampbridge_events_total", "Events made");
    describe_gauge!("ampbridge_last_good_look_timestamp_seconds", "When a look at the collection last ended well");
    describe_counter!("ampbridge_attempts_total", "Attempts to send that ended, by what they came to");
    describe_histogram!("ampbridge_attempt_seconds", Unit::Seconds, "How long attempts took");
    describe_counter!("ampbridge_settled_total", "Deliveries that moved on, by the state they are in now");
    describe_histogram!(
        "ampbridge_delivery_seconds",
        Unit::Seconds,
        "From when a delivery was made until it was taken"
    );
    describe_gauge!("ampbridge_deliveries_waiting", "Open deliveries of a sink");
    describe_gauge!("ampbridge_deliveries_leased", "Deliveries being sent");
    describe_gauge!("ampbridge_sink_stopped", "1 while the sink takes nothing until `sinks enable`");
    describe_counter!("ampbridge_template_fallbacks_total", "Times a template failed and another was used");
}

/// A look has ended; `last_good` is when one last ended well.
pub fn look(source: &str, collection: &str, evidence: &Evidence, notes: &LookNotes, last_good: Option<Timestamp>) {
    let outcome = match evidence {
        Evidence::Complete => "complete",
        Evidence::Window => "window",
        Evidence::Partial(_) => "partial",
    };
    let labels = [("source", source.to_owned()), ("collection", collection.to_owned())];
    counter!("ampbridge_looks_total", "source" => source.to_owned(), "collection" => collection.to_owned(), "outcome" => outcome).increment(1);
    counter!("ampbridge_rows_total", &labels).increment(notes.rows);
    counter!("ampbridge_rows_quarantined_total", &labels).increment(notes.quarantined);
    counter!("ampbridge_events_total", "source" => source.to_owned()).increment(notes.events);
    if let Some(at) = last_good {
        #[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact")]
        let secs = at.as_second() as f64;
        gauge!("ampbridge_last_good_look_timestamp_seconds", &labels).set(secs);
    }
}

/// What is counted of one sink's deliveries. Made once, since a busy sink counts thousands a second; from then on every
/// series is there, at zero.
pub struct SinkMeter {
    attempts: Vec<(&'static str, Counter)>,
    attempt_seconds: Histogram,
    settled: Vec<(&'static str, Counter)>,
    delivery_seconds: Histogram,
}

impl SinkMeter {
    pub fn new(sink: &str) -> Self {
        let sink = sink.to_owned();
        let attempts = |outcome| {
            let name = sink.clone();
            (outcome, counter!("ampbridge_attempts_total", "sink" => name, "outcome" => outcome))
        };
        let settled = |state| {
            let name = sink.clone();
            (state, counter!("ampbridge_settled_total", "sink" => name, "state" => state))
        };
        Self {
            attempts: Outcome::NAMES.map(attempts).to_vec(),
            attempt_seconds: histogram!("ampbridge_attempt_seconds", "sink" => sink.clone()),
            settled: DeliveryState::NAMES.map(settled).to_vec(),
            delivery_seconds: histogram!("ampbridge_delivery_seconds", "sink" => sink.clone()),
        }
    }

    /// An attempt has ended.
    pub fn attempt(&self, outcome: &Outcome, took: Duration) {
        count(&self.attempts, outcome.as_str());
        self.attempt_seconds.record(took.as_secs_f64());
    }

    /// A delivery has moved on; `age` is since it was made.
    pub fn settled(&self, state: &DeliveryState, age: SignedDuration) {
        count(&self.settled, state.as_str());
        if matches!(state, DeliveryState::Delivered { .. }) {
            self.delivery_seconds.record(age.as_secs_f64());
        }
    }
}

fn count(counters: &[(&'static str, Counter)], name: &str) {
    if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == name) {
        counter.increment(1);
    }
}

/// How many deliveries wait at a sink, and whether it is stopped.
pub fn depth(sink: &str, waiting: usize, leased: usize, stopped: bool) {
    #[expect(clippy::cast_precision_loss, reason = "a count for a chart")]
    let as_f64 = |n: usize| n as f64;
    gauge!("ampbridge_deliveries_waiting", "sink" => sink.to_owned()).set(as_f64(waiting));
    gauge!("ampbridge_deliveries_leased", "sink" => sink.to_owned()).set(as_f64(leased));
    gauge!("ampbridge_sink_stopped", "sink" => sink.to_owned()).set(if stopped { 1.0 } else { 0.0 });
}

/// A template failed and another was used.
pub fn template_fallback(sink: &str) {
    counter!("ampbridge_template_fallbacks_total", "sink" => sink.to_owned()).increment(1);
}
