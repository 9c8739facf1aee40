//! Calls as a polite client makes them: in turn, with a deadline, later where asked, again where that helps.
//!
//! Invariant: once a server has asked to wait, nobody who shares the [`Caller`] calls it before that time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use jiff::SignedDuration;
use tokio::sync::watch;

use crate::domain::record::{Failure, FailureKind};
use crate::domain::retry::RetryPolicy;
use crate::domain::time::{Timestamp, plus};
use crate::env::{Clock, Dice};
use crate::http::{Cap, HttpClient, HttpError, Reply};

use super::Remembered;
use super::limiter::HostLimiter;
use super::quota::{self, Quota};

/// Largest answer that is read.
pub const BODY: usize = 16 * 1024 * 1024;
/// Waits for one call, at most.
const WAITS: u32 = 3;
/// A wait that is asked for without naming a time is up to so many first pauses.
const UNNAMED: i32 = 10;
/// A wait longer than this ends the look instead.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(60);
/// No server makes us wait longer than this.
const LONGEST_OBEYED: SignedDuration = SignedDuration::from_hours(1);
/// Repetitions of one call after a fault, at most.
const RETRIES: u32 = 2;
/// The first pause between repetitions is up to this; each further one up to twice as long.
pub const PAUSE: Duration = Duration::from_secs(1);

/// Why a call brought no answer that could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("{what} was answered with a request to wait {after_secs} s; it is asked again then")]
    Throttled { what: String, after_secs: u64 },
    #[error("{what} was not asked: its host wants to be left alone for another {after_secs} s")]
    Waiting { what: String, after_secs: u64 },
    #[error("{what} was answered with more than {limit} bytes")]
    TooLarge { what: String, limit: usize },
    #[error("{what} failed: {reason}")]
    Broken { what: String, reason: String },
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        let kind = match error {
            CallError::Throttled { after_secs, .. } => FailureKind::Throttled { after_secs },
            CallError::Waiting { after_secs, .. } => FailureKind::Waiting { after_secs },
            CallError::TooLarge { .. } | CallError::Broken { .. } => FailureKind::Broken,
        };
        Self { kind, message }
    }
}

/// Makes the calls to one host. Cheap to clone; clones share the rate and the waiting.
#[derive(Clone)]
pub struct Caller {
    http: HttpClient,
    limiter: HostLimiter,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
    pause: Duration,
    body: usize,
    /// What the answers say is allowed.
    quota: Arc<Mutex<Option<Quota>>>,
    /// When the host may be called again.
    resume: Arc<Mutex<Option<Timestamp>>>,
    told: Told,
}

/// Until when a system has asked to be left alone, for whoever is to remember it. Clones tell the same listeners: all
/// callers of one source share one.
#[derive(Debug, Clone)]
pub struct Told(watch::Sender<Option<Timestamp>>);

impl Default for Told {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Told {
    pub fn listen(&self) -> watch::Receiver<Option<Timestamp>> {
        self.0.subscribe()
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Caller {
    /// `timeout` is the deadline of one call; `dice` spread the pauses between repetitions.
    pub fn new(
        http: HttpClient,
        limiter: HostLimiter,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        dice: Arc<dyn Dice>,
    ) -> Self {
        Self {
            http,
            limiter,
            timeout,
            clock,
            dice,
            pause: PAUSE,
            body: BODY,
            quota: Arc::default(),
            resume: Arc::default(),
            told: Told::default(),
        }
    }

    /// Tells these listeners when it is asked to wait.
    #[must_use]
    pub fn telling(self, told: &Told) -> Self {
        Self { told: told.clone(), ..self }
    }

    /// Listens to when it is asked to wait.
    pub fn asked_to_wait(&self) -> watch::Receiver<Option<Timestamp>> {
        self.told.listen()
    }

    /// Another first pause than [`PAUSE`].
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Another largest answer than [`BODY`].
    #[must_use]
    pub fn with_body(self, bytes: usize) -> Self {
        Self { body: bytes, ..self }
    }

    /// What the answers so far say is allowed.
    pub fn quota(&self) -> Option<Quota> {
        *self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what an earlier process found out: newer answers count for more.
    pub fn remember(&self, remembered: Remembered) {
        if let Some(quota) = remembered.quota {
            self.quota.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(quota);
        }
        if let Some(at) = remembered.not_before {
            self.resume_in(at.duration_since(self.clock.now()).min(LONGEST_OBEYED));
        }
    }

    /// The local clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Calls until there is an answer that waiting or asking again would not better. `what` names the call in errors.
    ///
    /// # Errors
    /// Why there is no such answer. Any status but 429, 5xx and 408 is an answer.
    pub async fn send(
        &self,
        what: &str,
        request: impl Fn(&HttpClient) -> reqwest::RequestBuilder + Send,
    ) -> Result<Reply, CallError> {
        let (mut waits, mut retries) = (0, 0);
        loop {
            self.ready(what).await?;
            self.limiter.turn().await;
            let outcome = self.http.send(request(&self.http), self.timeout, Cap::Fail(self.body)).await;
            let reason = match outcome {
                Ok(reply) => match self.wait_for(&reply, waits) {
                    Some(wait) => {
                        self.rest(wait);
                        waits += 1;
                        if waits > WAITS || wait > LONGEST_WAIT {
                            return Err(CallError::Throttled { what: what.to_owned(), after_secs: secs(wait) });
                        }
                        continue;
                    }
                    None if is_fault(reply.status) => format!("it was answered {}", reply.status.as_u16()),
                    None => {
                        self.note_quota(&reply);
                        return Ok(reply);
                    }
                },
                Err(HttpError::TooLarge(limit)) => return Err(CallError::TooLarge { what: what.to_owned(), limit }),
                Err(error @ (HttpError::Refused(_) | HttpError::Request(_))) => return Err(broken(what, &error)),
                Err(error) => error.to_string(),
            };
            if retries == RETRIES {
                let reason = format!("{reason} ({} tries)", RETRIES + 1);
                return Err(CallError::Broken { what: what.to_owned(), reason });
            }
            tokio::time::sleep(self.pause.saturating_mul(1 << retries).mul_f64(self.dice.unit().clamp(0.0, 1.0))).await;
            retries += 1;
        }
    }

    /// Nobody calls for so long, and whoever listens is told.
    fn rest(&self, wait: SignedDuration) {
        self.resume_in(wait);
        if wait.is_positive() {
            self.told.0.send_replace(Some(plus(self.clock.now(), wait)));
        }
    }

    /// How long the server wants to be left alone; 429 always, 503 where it says so (RFC 6585 section 4, RFC 9110
    /// section 15.6.4).
    fn wait_for(&self, reply: &Reply, waits: u32) -> Option<SignedDuration> {
        let named = reply.retry_after(self.clock.now());
        let wait = match reply.status {
            StatusCode::TOO_MANY_REQUESTS => Some(named.unwrap_or_else(|| self.unnamed_wait(waits))),
            StatusCode::SERVICE_UNAVAILABLE => named,
            _ => None,
        };
        wait.map(|wait| wait.min(LONGEST_OBEYED))
    }

    /// How long to wait where no time is named, the `waits`th time in a row: each further one up to twice as long.
    fn unnamed_wait(&self, waits: u32) -> SignedDuration {
        let pause = SignedDuration::try_from(self.pause).unwrap_or(SignedDuration::MAX);
        let (min, max) = (pause.saturating_mul(UNNAMED), pause.saturating_mul(UNNAMED << WAITS));
        RetryPolicy { min, max, horizon: max }.wait(waits + 1, self.dice.unit())
    }

    /// Takes note of the quota; where nothing of it is left, nobody calls until it is there again.
    fn note_quota(&self, reply: &Reply) {
        let told = quota::read(&reply.headers, reply.date().unwrap_or_else(|| self.clock.now()));
        if let Some(quota) = told.quota {
            *self.quota.lock().unwrap_or_else(PoisonError::into_inner) = Some(quota);
            self.limiter.tighten(quota.per_second());
        }
        if let Some(left) = told.spent_for {
            self.resume_in(left.min(LONGEST_OBEYED));
        }
    }

    fn resume_in(&self, wait: SignedDuration) {
        if !wait.is_positive() {
            return;
        }
        let at = plus(self.clock.now(), wait);
        let mut resume = self.resume.lock().unwrap_or_else(PoisonError::into_inner);
        *resume = Some(resume.map_or(at, |known| known.max(at)));
    }

    /// Waits until the host may be called again, or gives up at once where that is too far off. Asked also before anything is
    /// done for the sake of a call: signing in is a call, too.
    pub async fn ready(&self, what: &str) -> Result<(), CallError> {
        let resume = *self.resume.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = resume else { return Ok(()) };
        let wait = at.duration_since(self.clock.now()).min(LONGEST_OBEYED);
        if wait > LONGEST_WAIT {
            return Err(CallError::Waiting { what: what.to_owned(), after_secs: secs(wait) });
        }
        if let Ok(wait) = Duration::try_from(wait) {
            tokio::time::sleep(wait).await;
        }
        let mut resume = self.resume.lock().unwrap_or_else(PoisonError::into_inner);
        if *resume == Some(at) {
            *resume = None;
        }
        Ok(())
    }
}

/// Faults that may be gone a moment later.
fn is_fault(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}

fn secs(wait: SignedDuration) -> u64 {
    u64::try_from(wait.as_secs()).unwrap_or(0).max(1)
}

fn broken(what: &str, error: &HttpError) -> CallError {
    CallError::Broken { what: what.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{SeededDice, SystemClock};
    use crate::http::ClientOptions;
    use crate::source::limiter::Limiters;

    #[test]
    fn waits_without_a_time_are_spread_and_grow() {
        let caller = |seed| {
            let (http, limiter) =
                (HttpClient::new(ClientOptions::default()).unwrap(), Limiters::default().host("h", 1.0));
            let dice = Arc::new(SeededDice::new(seed));
            Caller::new(http, limiter, Duration::from_secs(1), Arc::new(SystemClock), dice)
        };
        let waits: Vec<Vec<f64>> =
            (0..50).map(caller).map(|caller| (0..3).map(|n| caller.unnamed_wait(n).as_secs_f64()).collect()).collect();
        for (n, most) in [10.0, 20.0, 40.0].into_iter().enumerate() {
            let of: Vec<f64> = waits.iter().map(|waits| waits[n]).collect();
            assert!(of.iter().all(|wait| (most / 10.0..=most).contains(wait)), "{of:?}");
            assert!(of.iter().any(|wait| *wait < most * 0.4) && of.iter().any(|wait| *wait > most * 0.7), "{of:?}");
        }
    }
}
