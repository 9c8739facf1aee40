//! Where the time of a call goes: names, connection, first byte.
//!
//! The resolver and the connector run inside the call they are needed for, so what they take is noted in a value that
//! belongs to the task's current call. A connection that hyper goes on opening in the background, because another one
//! became free first, belongs to no call and is noted nowhere.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tower_layer::Layer;
use tower_service::Service;

use crate::domain::delivery::Timings;

tokio::task_local! {
    static CURRENT: Stopwatch;
}

/// Times one call. Clones share what was noted.
#[derive(Debug, Clone)]
pub(super) struct Stopwatch {
    begun: Instant,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Noted {
    names: Option<Duration>,
    /// With the names.
    connector: Option<Duration>,
    first_byte: Option<Duration>,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { begun: Instant::now(), noted: Arc::default() }
    }

    /// Runs a call; what is resolved and connected for it is noted here.
    pub async fn over<F: Future>(&self, call: F) -> F::Output {
        CURRENT.scope(self.clone(), call).await
    }

    /// The head of the answer is here.
    pub fn first_byte(&self) {
        let after = self.begun.elapsed();
        self.note(|noted| noted.first_byte = Some(after));
    }

    /// What is known by now.
    pub fn read(&self) -> Timings {
        let noted = *self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let connect = noted.connector.map(|all| all.saturating_sub(noted.names.unwrap_or_default()));
        Timings {
            dns_ms: noted.names.map(millis),
            connect_ms: connect.map(millis),
            first_byte_ms: noted.first_byte.map(millis),
            total_ms: millis(self.begun.elapsed()),
        }
    }

    fn note(&self, set: impl FnOnce(&mut Noted)) {
        set(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Whole milliseconds.
pub fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// Notes how long names took, if this is part of a call.
pub(super) async fn names<F: Future>(asking: F) -> F::Output {
    let begun = Instant::now();
    let answer = asking.await;
    // Outside of a call nobody asked.
    let _ = CURRENT.try_with(|watch| watch.note(|noted| noted.names = Some(begun.elapsed())));
    answer
}

/// Times what opens connections: names, TCP and TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connecting;

impl<S> Layer<S> for Connecting {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed(inner)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Timed<S>(S);

impl<S, R> Service<R> for Timed<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.0.call(request);
        Box::pin(async move {
            let begun = Instant::now();
            let outcome = connecting.await;
            let _ = CURRENT.try_with(|watch| watch.note(|noted| noted.connector = Some(begun.elapsed())));
            outcome
        })
    }
}
