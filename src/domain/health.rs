//! Whether sources can be read and sinks take what they are sent.
//!
//! Invariant: an episode speaks once when it opens and once when it ends, however long it lasts and however often the
//! process restarts in between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::collection::{CollectionSpec, CollectionState, LONGEST_WAIT};
use super::delivery::{Delivery, DeliveryState, Outcome, Report};
use super::event::{Draft, Severity, data_of};
use super::ids;
use super::payload::{DeadData, DegradedData, SinkHealthData, SourceHealthData};
use super::record::{Failure, FailureKind};
use super::retry::RETRY_AFTER_CAP;
use super::time::{SignedDuration, Timestamp, elapsed, humanize, plus};

/// Failed polls, or attempts, in a row from which it is news.
pub const FAILURES_UNTIL_NEWS: u32 = 3;
/// Failed attempts in a row from which a sink is only asked whether it takes one again.
pub const FAILURES_UNTIL_PROBES: u32 = 5;
/// A sink that was told as failing this often within [`FLAPPING`] needs twice as many failures for each further time: one
/// that takes two messages of three would else be news every minute.
const FLAPS_FREE: usize = 2;
const FLAPPING: SignedDuration = SignedDuration::from_hours(1);
/// Most doublings, and episodes remembered for it.
const FLAPS_MOST: usize = 6;
/// Longest time between two good looks that is no gap.
const GAP: SignedDuration = SignedDuration::from_hours(1);
/// Gaps remembered per collection.
const GAPS: usize = 50;
/// Episodes of a sink that start closer to each other than this may come from one batch of outcomes.
const SAME_READING: SignedDuration = SignedDuration::from_secs(1);
/// The `source` part of events about ampbridge itself.
pub const BRIDGE: &str = "bridge";

/// How a source stands, over all its collections.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceHealth {
    /// Collections that failed often enough to matter, since when.
    pub failing: BTreeMap<String, Timestamp>,
    /// Start of the episode that was told.
    pub told_since: Option<Timestamp>,
}

/// How a sink stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkState {
    /// Why nothing is sent, and since when: 410, a revoked token, or `sinks disable`.
    pub stopped: Option<(String, Timestamp)>,
    pub failures: u32,
    pub failing_since: Option<Timestamp>,
    pub last_error: Option<String>,
    /// Start of the episode that was told.
    pub told_since: Option<Timestamp>,
    /// Start of the newest episode or stop, running or over.
    pub last_since: Option<Timestamp>,
    /// It was told that it was stopped; until it is switched on again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stop_told: bool,
    /// It asked to be left alone until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Timestamp>,
    /// When it was last switched on again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_since: Option<Timestamp>,
    /// What was made before goes out one after the other, in order: since it was switched on again, or sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_order_until: Option<Timestamp>,
    /// When it was last told as failing; as many as count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub told_at: Vec<Timestamp>,
}

impl SinkState {
    /// Failed attempts in a row from which it is news: three, and more where it was news just now.
    fn failures_until_news(&mut self, now: Timestamp) -> u32 {
        self.told_at.retain(|at| *at <= now && elapsed(*at, now) < FLAPPING);
        let surplus = self.told_at.len().min(FLAPS_MOST);
        self.told_at.drain(..self.told_at.len() - surplus);
        FAILURES_UNTIL_NEWS << surplus.saturating_sub(FLAPS_FREE - 1)
    }

    /// Start of the running episode, a new one where none runs.
    fn episode(&mut self, now: Timestamp) -> Timestamp {
        if let Some(since) = self.failing_since {
            return since;
        }
        let since = self.start(now);
        self.failing_since = Some(since);
        since
    }

    /// A start that none had before. Outcomes are booked many at once, so that several episodes may fit into one reading of
    /// the clock; each still has a start of its own, for ids are made of it.
    fn start(&mut self, now: Timestamp) -> Timestamp {
        let just_now = self.last_since.filter(|last| *last >= now && elapsed(now, *last) < SAME_READING);
        let start = just_now.map_or(now, |last| plus(last, SignedDuration::from_nanos(1)));
        self.last_since = Some(start);
        start
    }
}

/// Books a failed look.
pub fn look_failed(
    spec: &CollectionSpec,
    state: &mut CollectionState,
    health: &mut SourceHealth,
    failure: &Failure,
    now: Timestamp,
) -> Vec<Draft> {
    state.last_error = Some(failure.message.clone());
    if let FailureKind::Throttled { after_secs } | FailureKind::Waiting { after_secs } = failure.kind {
        let wait = SignedDuration::from_secs(i64::try_from(after_secs).unwrap_or(i64::MAX)).min(LONGEST_WAIT);
        state.not_before = Some(plus(now, wait));
    }
    if let FailureKind::Waiting { .. } = failure.kind {
        // Nothing was asked, so nothing failed.
        return Vec::new();
    }
    if let FailureKind::Forbidden { scope } = &failure.kind {
        return freeze(spec, state, scope, (Vec::new(), Some(scope.clone())), failure, now).into_iter().collect();
    }
    if let FailureKind::Unsupported { what } = &failure.kind {
        return freeze(spec, state, what, (vec![what.clone()], None), failure, now).into_iter().collect();
    }
    state.failures = state.failures.saturating_add(1);
    let since = *state.failing_since.get_or_insert(now);
    let refused = failure.kind == FailureKind::Unauthorized;
    if state.failures < FAILURES_UNTIL_NEWS && !refused {
        return Vec::new();
    }
    health.failing.entry(spec.name.clone()).or_insert(since);
    if health.told_since.is_some() {
        return Vec::new();
    }
    health.told_since = Some(since);
    vec![source_draft(spec, "source.failing", Severity::Warning, state.failures, since, &failure.message, None, now)]
}

/// Books a good look.
pub fn look_succeeded(
    spec: &CollectionSpec,
    state: &mut CollectionState,
    health: &mut SourceHealth,
    now: Timestamp,
) -> Vec<Draft> {
    let failures = std::mem::take(&mut state.failures);
    let error = state.last_error.take().unwrap_or_default();
    state.failing_since = None;
    state.frozen = None;
    state.not_before = None;
    was_good(state, now);
    if health.failing.remove(&spec.name).is_none() || !health.failing.is_empty() {
        return Vec::new();
    }
    let Some(since) = health.told_since.take() else { return Vec::new() };
    let lasted = humanize(elapsed(since, now));
    vec![source_draft(spec, "source.recovered", Severity::Info, failures, since, &error, Some(lasted), now)]
}

/// Books a look that had nothing to ask. It mends nothing: where the last answer was a good one all is still well, and that
/// is all there is to say.
pub fn nothing_asked(state: &mut CollectionState, now: Timestamp) {
    if state.failures == 0 && state.frozen.is_none() {
        was_good(state, now);
    }
}

fn was_good(state: &mut CollectionState, now: Timestamp) {
    if let Some(last) = state.last_good.filter(|last| elapsed(*last, now) > GAP) {
        state.gaps.push((last, now));
        let surplus = state.gaps.len().saturating_sub(GAPS);
        state.gaps.drain(..surplus);
    }
    state.last_good = Some(now);
}

/// Fields that vanished in a look, told once each until they are back.
pub fn fields_lost(
    spec: &CollectionSpec,
    state: &mut CollectionState,
    vanished: &BTreeMap<String, u64>,
    strange: &BTreeMap<String, String>,
    now: Timestamp,
) -> Option<Draft> {
    let fresh: Vec<String> = vanished.keys().filter(|f| !state.degraded.contains_key(*f)).cloned().collect();
    let odd: Vec<&String> = strange.keys().filter(|name| !state.degraded.contains_key(*name)).collect();
    if fresh.is_empty() && odd.is_empty() {
        return None;
    }
    for field in fresh.iter().chain(odd.iter().copied()) {
        state.degraded.insert(field.clone(), now);
    }
    let mut sentences: Vec<String> = odd.iter().filter_map(|name| strange.get(*name)).cloned().collect();
    if !fresh.is_empty() {
        sentences.insert(0, gone_sentence(spec, &fresh, vanished));
    }
    let fields = fresh.iter().chain(odd).cloned().collect();
    Some(degraded(spec, fields, None, sentences.join(" "), now))
}

fn gone_sentence(spec: &CollectionSpec, fresh: &[String], vanished: &BTreeMap<String, u64>) -> String {
    let rows = fresh.iter().filter_map(|f| vanished.get(f)).max().copied().unwrap_or(0);
    let why = match spec.host {
        Some(_) => "A scope of the credentials may have been withdrawn.",
        None => "What writes the files may have begun to write them otherwise.",
    };
    format!(
        "{} no longer {} with {} of {rows} {}; the last known values are kept and nothing counts as changed. {why}",
        fresh.join(", "),
        if fresh.len() == 1 { "comes" } else { "come" },
        if rows == 1 { "the row" } else { "the rows" },
        spec.name,
    )
}

fn freeze(
    spec: &CollectionSpec,
    state: &mut CollectionState,
    scope: &str,
    lost: (Vec<String>, Option<String>),
    failure: &Failure,
    now: Timestamp,
) -> Option<Draft> {
    if state.frozen.as_ref().is_some_and(|(known, _)| known == scope) {
        return None;
    }
    state.frozen = Some((scope.to_owned(), now));
    let (fields, scope) = lost;
    Some(degraded(spec, fields, scope, failure.message.clone(), now))
}

fn degraded(
    spec: &CollectionSpec,
    fields: Vec<String>,
    scope: Option<String>,
    detail: String,
    now: Timestamp,
) -> Draft {
    let lost = if fields.is_empty() { scope.clone().unwrap_or_default() } else { fields.join(",") };
    let data = DegradedData { source: spec.source.clone(), collection: spec.name.clone(), fields, scope, detail };
    Draft {
        source: spec.source.clone(),
        kind: "source.degraded".to_owned(),
        subject: spec.source.clone(),
        time: now,
        severity: Severity::Warning,
        identity: vec![spec.source.clone(), "source.degraded".to_owned(), spec.name.clone(), lost, now.to_string()],
        why: json!({ "collection": spec.name, "fields": data.fields, "scope": data.scope }),
        data: data_of(&data),
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one sentence")]
fn source_draft(
    spec: &CollectionSpec,
    kind: &str,
    severity: Severity,
    failures: u32,
    since: Timestamp,
    error: &str,
    lasted: Option<String>,
    now: Timestamp,
) -> Draft {
    let over = lasted.is_some();
    let data = SourceHealthData {
        source: spec.source.clone(),
        collection: spec.name.clone(),
        failures,
        since: since.to_string(),
        error: error.to_owned(),
        lasted,
        incident: ids::derive("inc", &["source", &spec.source, &since.to_string()]),
        state: if over { "resolved" } else { "open" }.to_owned(),
    };
    Draft {
        source: spec.source.clone(),
        kind: kind.to_owned(),
        subject: spec.source.clone(),
        time: now,
        severity,
        identity: vec![spec.source.clone(), kind.to_owned(), since.to_string()],
        why: json!({ "collection": spec.name, "failures": failures, "error": error }),
        data: data_of(&data),
    }
}

/// Books the outcome of an attempt on the sink. `after` is the delivery as settled.
pub fn sink_settled(state: &mut SinkState, after: &Delivery, report: &Report, now: Timestamp) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let died = matches!(after.state, DeliveryState::Dead { .. });
    if let Outcome::Throttled { after: Some(asked) } | Outcome::Transient { after: Some(asked), .. } = &report.outcome {
        state.held_until = Some(plus(now, (*asked).clamp(SignedDuration::ZERO, RETRY_AFTER_CAP)));
    }
    match &report.outcome {
        Outcome::Accepted => {
            let failures = std::mem::take(&mut state.failures);
            state.failing_since = None;
            state.held_until = None;
            let error = state.last_error.take().unwrap_or_default();
            if let Some(since) = state.told_since.take() {
                let lasted = humanize(elapsed(since, now));
                let told = Told { since, start: since, failures, error: &error, stopped: false, lasted: Some(lasted) };
                drafts.push(sink_draft(&after.sink, told, now));
            }
            return drafts;
        }
        Outcome::Throttled { .. } if !died => return drafts,
        Outcome::Stop => {
            state.stopped = Some((report.said(), now));
        }
        _ => {}
    }
    state.failures = state.failures.saturating_add(1);
    let since = state.episode(now);
    state.last_error = Some(report.said());
    // That nothing goes out any more until a person mends it is news whatever was told of its trouble before.
    let stopped = matches!(report.outcome, Outcome::Stop) && !std::mem::replace(&mut state.stop_told, true);
    let news = state.failures >= state.failures_until_news(now) || (died && !after.internal);
    if stopped || (news && state.told_since.is_none()) {
        // A stop in a running episode is a fact with a start of its own, and part of the episode's incident.
        let start = if state.told_since.is_some() { state.start(now) } else { since };
        let since = *state.told_since.get_or_insert(since);
        state.told_at.push(now);
        let error = state.last_error.clone().unwrap_or_default();
        let told = Told { since, start, failures: state.failures, error: &error, stopped, lasted: None };
        drafts.push(sink_draft(&after.sink, told, now));
    }
    if died && !after.internal {
        drafts.push(dead_draft(after, now));
    }
    drafts
}

fn dead_draft(delivery: &Delivery, now: Timestamp) -> Draft {
    let reason = match &delivery.state {
        DeliveryState::Dead { reason, .. } => reason.clone(),
        _ => String::new(),
    };
    let data = DeadData {
        delivery: delivery.id.clone(),
        sink: delivery.sink.clone(),
        events: delivery.event_ids.clone(),
        event_type: delivery.event_type.clone(),
        subject: delivery.subject.clone(),
        reason,
        attempts: delivery.tries,
    };
    Draft {
        source: BRIDGE.to_owned(),
        kind: "delivery.dead".to_owned(),
        subject: delivery.sink.clone(),
        time: now,
        severity: Severity::Critical,
        identity: vec![
            delivery.sink.clone(),
            "delivery.dead".to_owned(),
            delivery.id.clone(),
            delivery.tries.to_string(),
        ],
        why: json!({ "delivery": delivery.id, "attempts": delivery.tries }),
        data: data_of(&data),
    }
}

/// What is told of a sink's health.
struct Told<'a> {
    /// Start of the episode.
    since: Timestamp,
    /// Start of what is told: of the episode, or of a stop in it.
    start: Timestamp,
    failures: u32,
    error: &'a str,
    stopped: bool,
    /// For how long, where it is over.
    lasted: Option<String>,
}

fn sink_draft(sink: &str, told: Told<'_>, now: Timestamp) -> Draft {
    let Told { since, start, failures, error, stopped, lasted } = told;
    let over = lasted.is_some();
    let kind = if over { "sink.recovered" } else { "sink.failing" };
    let data = SinkHealthData {
        sink: sink.to_owned(),
        failures,
        since: since.to_string(),
        error: error.to_owned(),
        stopped,
        lasted,
        incident: ids::derive("inc", &["sink", sink, &since.to_string()]),
        state: if over { "resolved" } else { "open" }.to_owned(),
    };
    Draft {
        source: BRIDGE.to_owned(),
        kind: kind.to_owned(),
        subject: sink.to_owned(),
        time: now,
        severity: if over { Severity::Info } else { Severity::Critical },
        identity: vec![sink.to_owned(), kind.to_owned(), start.to_string()],
        why: json!({ "failures": failures, "error": error }),
        data: data_of(&data),
    }
}
