//! A delivery: one message for one sink, and what becomes of it.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::event::Severity;
use super::ids;
use super::live::Moved;
use super::retry::RetryPolicy;
use super::time::{Timestamp, elapsed, plus};

/// Events of one message that a sink is handed.
pub const EVENTS_MAX: usize = 100;
/// Attempts kept with a delivery; older ones are counted only.
pub const ATTEMPTS_KEPT: usize = 10;
/// Bytes kept of what a receiver answered.
pub const EXCERPT_BYTES: usize = 1024;
/// Answers that blame the message itself after which later deliveries of the subject no longer wait.
pub const REFUSALS_UNTIL_RELEASE: u32 = 2;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryKind {
    #[default]
    Single,
    Group,
    Digest,
    Update,
    Reminder,
}

impl DeliveryKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Group => "group",
            Self::Digest => "digest",
            Self::Update => "update",
            Self::Reminder => "reminder",
        }
    }
}

/// Where a delivery stands. `Leased` is not here: a lease belongs to a running process, not to the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    Due { at: Timestamp },
    Delivered { at: Timestamp },
    Dead { at: Timestamp, reason: String },
    Suppressed { at: Timestamp, reason: String },
}

impl DeliveryState {
    /// What [`Self::as_str`] can say.
    pub const NAMES: [&str; 4] = ["due", "delivered", "dead", "suppressed"];

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Due { .. } => "due",
            Self::Delivered { .. } => "delivered",
            Self::Dead { .. } => "dead",
            Self::Suppressed { .. } => "suppressed",
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self, Self::Due { .. })
    }
}

/// Where the time of an attempt went, in milliseconds; of the last call where it took several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// Finding the receiver's addresses. Absent where a connection was open, or the address was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_ms: Option<u64>,
    /// Opening the connection: TCP and TLS; to a mail server also finding it, the greetings and signing in. Absent where
    /// one was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<u64>,
    /// From the start of the call to the head of the answer. Absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// From the start of the call to its end.
    pub total_ms: u64,
}

/// One try at sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub at: Timestamp,
    pub took_ms: u64,
    /// `accepted`, `throttled`, `transient`, `permanent`, `stop`.
    pub outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Absent where the sink can't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// What came back or went wrong, redacted, at most [`EXCERPT_BYTES`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// How one recipient of an email stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientState {
    Accepted,
    Refused(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: String,
    /// Order of creation, given by the store.
    #[serde(default)]
    pub seq: u64,
    pub kind: DeliveryKind,
    pub sink: String,
    pub event_ids: Vec<String>,
    /// Where the store has its events; set by the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_seqs: Vec<u64>,
    /// Type of its (first) event, for lists and filters.
    pub event_type: String,
    pub subject: String,
    /// What it is about, where that is several things; else `subject` says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    pub created: Timestamp,
    pub state: DeliveryState,
    /// Attempts that count against the sink's patience (a `429` does not).
    pub attempts: u32,
    /// All attempts.
    pub tries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt: Option<Timestamp>,
    /// Answers that blamed the message itself (4xx, not 408, 425, 429).
    #[serde(default, skip_serializing_if = "crate::domain::doc::is_zero")]
    pub refusals: u32,
    /// No longer holds later deliveries of its subject back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recipients: BTreeMap<String, RecipientState>,
    /// About ampbridge's own health, or an edit: its death makes no further event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Of an edit: what has moved since its event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
    /// Quiet hours do not keep it: it is critical, or a person sent it. Neither do they keep what goes before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub urgent: bool,
    /// Since when quiet hours keep it; until when, its state says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_since: Option<Timestamp>,
}

impl Delivery {
    pub fn single(bridge: &str, sink: &str, event: &super::event::Event, now: Timestamp, internal: bool) -> Self {
        Self {
            event_ids: vec![event.id.clone()],
            event_type: event.kind.clone(),
            subject: event.subject.clone(),
            incident: event.incident().map(str::to_owned),
            internal,
            urgent: event.severity == Severity::Critical,
            ..Self::due(bridge, sink, DeliveryKind::Single, &[&event.id], now)
        }
    }

    /// A message of a kind that is due now and says nothing yet. `about` makes its id, with the bridge, the sink and the
    /// kind.
    pub fn due(bridge: &str, sink: &str, kind: DeliveryKind, about: &[&str], now: Timestamp) -> Self {
        Self {
            id: delivery_id(bridge, sink, kind, about),
            seq: 0,
            kind,
            sink: sink.to_owned(),
            event_ids: Vec::new(),
            event_seqs: Vec::new(),
            event_type: String::new(),
            subject: String::new(),
            subjects: Vec::new(),
            incident: None,
            created: now,
            state: DeliveryState::Due { at: now },
            attempts: 0,
            tries: 0,
            first_attempt: None,
            refusals: 0,
            released: false,
            log: Vec::new(),
            recipients: BTreeMap::new(),
            internal: false,
            moved: None,
            urgent: false,
            quiet_since: None,
        }
    }

    /// The things it is about. Of each of them deliveries go out in the order they were made.
    pub fn about(&self) -> &[String] {
        if self.subjects.is_empty() { std::slice::from_ref(&self.subject) } else { &self.subjects }
    }

    pub fn due_at(&self) -> Option<Timestamp> {
        match self.state {
            DeliveryState::Due { at } => Some(at),
            _ => None,
        }
    }

    /// Until when quiet hours keep it; `None` where they do not.
    pub fn kept_until(&self) -> Option<Timestamp> {
        self.quiet_since.and(self.due_at())
    }

    /// Kept by quiet hours until `until`. No attempt was made, so nothing else changes.
    #[must_use]
    pub fn kept(mut self, until: Timestamp, now: Timestamp) -> Self {
        self.wake(now);
        self.quiet_since = Some(now);
        self.state = DeliveryState::Due { at: until };
        self
    }

    /// The sink was switched on again then. While it was off nothing could be tried, so its patience begins anew.
    pub fn resumed(&mut self, on: Timestamp) {
        self.first_attempt = self.first_attempt.map(|first| first.max(on));
    }

    /// Attempts that failed in a row, as far as they are kept; those, too, that do not count against the sink's patience.
    fn failed_in_a_row(&self, first: Timestamp) -> u32 {
        let failed = self.log.iter().rev().take_while(|attempt| attempt.at >= first && attempt.outcome != "accepted");
        self.attempts.max(u32::try_from(failed.count()).unwrap_or(u32::MAX)).max(1)
    }

    /// No longer kept. The hours it was kept do not count against the sink's patience: a short one would else be over
    /// by the morning, after a single attempt.
    fn wake(&mut self, now: Timestamp) {
        if let Some(since) = self.quiet_since.take() {
            let kept = elapsed(since, now).max(SignedDuration::ZERO);
            self.first_attempt = self.first_attempt.map(|first| plus(first, kept));
        }
    }
}

/// The id of a message: known before it is made.
pub fn delivery_id(bridge: &str, sink: &str, kind: DeliveryKind, about: &[&str]) -> String {
    ids::derive("dlv", &[&[bridge, sink, kind.as_str()], about].concat())
}

/// What one attempt came to. The type decides retry or not; no string does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    /// Asked to slow down; not held against the delivery.
    Throttled {
        after: Option<SignedDuration>,
    },
    /// Worth another try. `refusal`: the receiver blamed the message (4xx).
    Transient {
        after: Option<SignedDuration>,
        refusal: bool,
    },
    /// Will never be taken.
    Permanent,
    /// The sink itself is closed (410, revoked token): the delivery waits, the sink stops.
    Stop,
}

impl Outcome {
    /// What [`Self::as_str`] can say.
    pub const NAMES: [&str; 5] = ["accepted", "throttled", "transient", "permanent", "stop"];

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Throttled { .. } => "throttled",
            Self::Transient { .. } => "transient",
            Self::Permanent => "permanent",
            Self::Stop => "stop",
        }
    }
}

/// What a sink reports of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub timings: Option<Timings>,
    /// Redacted, one line or an excerpt of the answer.
    pub detail: String,
    /// New states of recipients, merged into the delivery's.
    pub recipients: BTreeMap<String, RecipientState>,
    /// What later deliveries of the incident need (channel and ts, Message-ID).
    pub reference: Option<serde_json::Value>,
}

impl Attempt {
    /// What came back or went wrong, in a line that names the status of an answer.
    pub fn said(&self) -> String {
        one_line(&self.detail, self.status)
    }
}

impl Report {
    pub fn new(outcome: Outcome, status: Option<u16>, detail: impl Into<String>) -> Self {
        Self { outcome, status, detail: detail.into(), timings: None, recipients: BTreeMap::new(), reference: None }
    }

    /// What came back or went wrong, in a line that names the status of an answer.
    pub fn said(&self) -> String {
        one_line(&self.detail, self.status)
    }

    /// With where its time went.
    #[must_use]
    pub fn timed(self, timings: Option<Timings>) -> Self {
        Self { timings, ..self }
    }
}

/// Moves a delivery on after an attempt. Pure; `unit` is the jitter in `[0, 1)`.
pub fn settle(
    mut delivery: Delivery,
    report: &Report,
    started: Timestamp,
    now: Timestamp,
    policy: &RetryPolicy,
    unit: f64,
) -> Delivery {
    delivery.wake(started);
    delivery.tries = delivery.tries.saturating_add(1);
    let first = *delivery.first_attempt.get_or_insert(started);
    delivery.recipients.extend(report.recipients.clone());
    delivery.log.push(Attempt {
        at: started,
        took_ms: u64::try_from(now.duration_since(started).as_millis()).unwrap_or(0),
        outcome: report.outcome.as_str().to_owned(),
        status: report.status,
        timings: report.timings,
        detail: cut(&report.detail, EXCERPT_BYTES),
    });
    if delivery.log.len() > ATTEMPTS_KEPT {
        let surplus = delivery.log.len() - ATTEMPTS_KEPT;
        delivery.log.drain(..surplus);
    }
    let summary = report.said();
    let failed = delivery.failed_in_a_row(first);
    match &report.outcome {
        Outcome::Accepted => delivery.state = DeliveryState::Delivered { at: now },
        // Its due time stays: once the sink is on again, it goes before what came after it.
        Outcome::Stop => {}
        Outcome::Permanent => delivery.state = DeliveryState::Dead { at: now, reason: summary },
        Outcome::Throttled { after } => {
            let next = policy.next_try(failed, first, now, *after, unit);
            delivery.state = due_or_dead(next, now, &summary);
        }
        Outcome::Transient { after, refusal } => {
            delivery.attempts = delivery.attempts.saturating_add(1);
            if *refusal {
                delivery.refusals = delivery.refusals.saturating_add(1);
                delivery.released |= delivery.refusals >= REFUSALS_UNTIL_RELEASE;
            }
            let next = policy.next_try(delivery.attempts, first, now, *after, unit);
            delivery.state = due_or_dead(next, now, &summary);
        }
    }
    if matches!(report.outcome, Outcome::Accepted | Outcome::Permanent | Outcome::Stop) {
        delivery.attempts = delivery.attempts.saturating_add(1);
    }
    delivery
}

fn due_or_dead(next: Option<Timestamp>, now: Timestamp, summary: &str) -> DeliveryState {
    match next {
        Some(at) => DeliveryState::Due { at },
        None => DeliveryState::Dead { at: now, reason: format!("retries used up; last answer: {summary}") },
    }
}

/// The first line of what was said; of HTTP with the status before it, where it is no success and not named already.
fn one_line(detail: &str, status: Option<u16>) -> String {
    let line = cut(detail.lines().next().unwrap_or(""), 200);
    let failed = status.filter(|code| !(200..300).contains(code) && !line.contains(&code.to_string()));
    let Some(code) = failed else {
        return if line.is_empty() { "no detail".to_owned() } else { line };
    };
    let named = http::StatusCode::from_u16(code).map_or_else(|_| code.to_string(), |status| status.to_string());
    if line.is_empty() || named.ends_with(&line) { named } else { format!("{named}: {line}") }
}

/// The longest prefix of at most `bytes` bytes that ends on a character boundary.
pub fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> Delivery {
        Delivery {
            seq: 1,
            event_ids: vec!["evt_1".into()],
            event_type: "thread.created".into(),
            subject: "T-1".into(),
            ..Delivery::due("bridge", "ops", DeliveryKind::Single, &["evt_1"], Timestamp::UNIX_EPOCH)
        }
    }

    fn step(d: Delivery, outcome: Outcome, at_secs: i64) -> Delivery {
        let now = plus(Timestamp::UNIX_EPOCH, SignedDuration::from_secs(at_secs));
        settle(d, &Report::new(outcome, Some(500), "boom"), now, now, &RetryPolicy::default(), 0.5)
    }

    #[test]
    fn an_attempt_of_an_older_version_is_read_and_a_timed_one_says_what_is_known() {
        let old = r#"{"at":"2026-01-01T00:00:00Z","took_ms":7,"outcome":"accepted","status":200}"#;
        let mut attempt: Attempt = serde_json::from_str(old).unwrap();
        assert_eq!((attempt.timings, serde_json::to_string(&attempt).unwrap().as_str()), (None, old));
        attempt.timings = Some(Timings { connect_ms: Some(3), total_ms: 7, ..Timings::default() });
        let said = serde_json::to_value(&attempt).unwrap();
        assert_eq!(said["timings"], serde_json::json!({ "connect_ms": 3, "total_ms": 7 }));
    }

    #[test]
    fn two_refusals_let_later_ones_pass() {
        let refusal = || Outcome::Transient { after: None, refusal: true };
        let once = step(delivery(), refusal(), 0);
        assert!(!once.released && once.state.is_open());
        assert!(step(once, refusal(), 10).released);
    }

    #[test]
    fn a_throttled_attempt_is_not_counted_but_the_horizon_holds() {
        let d = step(delivery(), Outcome::Throttled { after: Some(SignedDuration::from_secs(30)) }, 0);
        assert_eq!((d.attempts, d.tries), (0, 1));
        assert_eq!(d.due_at(), Some(plus(Timestamp::UNIX_EPOCH, SignedDuration::from_secs(30))));
        let late = step(d, Outcome::Throttled { after: Some(SignedDuration::from_secs(30)) }, 4 * 86_400);
        assert!(matches!(late.state, DeliveryState::Dead { .. }));
    }

    #[test]
    fn a_stop_leaves_the_delivery_waiting() {
        assert!(step(delivery(), Outcome::Stop, 0).state.is_open());
        assert!(matches!(step(delivery(), Outcome::Permanent, 0).state, DeliveryState::Dead { .. }));
    }

    #[test]
    fn a_line_names_the_status_of_an_answer() {
        for (detail, status, said) in [
            ("ok", Some(410), "410 Gone: ok"),
            ("", Some(500), "500 Internal Server Error"),
            ("Not Found", Some(404), "404 Not Found"),
            ("550 5.1.1 nobody", Some(550), "550 5.1.1 nobody"),
            ("Slack refused it: no_text\n{}", Some(200), "Slack refused it: no_text"),
            ("nothing came", None, "nothing came"),
            ("", None, "no detail"),
        ] {
            assert_eq!(Report::new(Outcome::Permanent, status, detail).said(), said);
        }
    }

    #[test]
    fn being_asked_to_slow_down_again_and_again_for_no_time_waits_ever_longer() {
        let none = || Outcome::Throttled { after: Some(SignedDuration::ZERO) };
        let (mut waiting, mut at, mut waits) = (delivery(), 0, Vec::new());
        for _ in 0..4 {
            waiting = step(waiting, none(), at);
            let due = waiting.due_at().unwrap().as_second();
            waits.push(due - at);
            at = due;
        }
        assert_eq!((waits.as_slice(), waiting.attempts), ([2, 5, 11, 22].as_slice(), 0));
    }

    #[test]
    fn a_sink_that_was_off_has_all_its_patience_again() {
        let mut failed = step(delivery(), Outcome::Transient { after: None, refusal: false }, 0);
        let on = plus(Timestamp::UNIX_EPOCH, SignedDuration::from_hours(100));
        failed.resumed(on);
        let again = step(failed, Outcome::Transient { after: None, refusal: false }, 100 * 3600 + 60);
        assert!(again.state.is_open() && again.first_attempt == Some(on));
        let mut untried = delivery();
        untried.resumed(on);
        assert_eq!(untried.first_attempt, None, "it begins with its first attempt");
    }

    #[test]
    fn cuts_on_character_boundaries() {
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("aä", 3), "aä");
    }
}
