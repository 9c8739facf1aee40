//! The HTTP side: health, readiness, metrics, and the operations behind a token.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Answer, Desk, Op, OpError, ackpage, execute};
use crate::domain::acklink::AckKey;
use crate::domain::guard::{FailOn, OnUnknown, Verdict};
use crate::domain::setting::Secret;
use crate::store::{DeliveryFilter, EventFilter};

/// Where the service's address is written, inside the store's folder, for the command line to find.
pub const ADDRESS_FILE: &str = "admin.json";
/// Where the token is kept that is made at the first start.
pub const TOKEN_FILE: &str = "admin.token";
/// Largest request body.
const MAX_BODY: usize = 256 * 1024;

/// The contents of [`ADDRESS_FILE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub listen: SocketAddr,
    pub pid: u32,
}

/// What the API serves.
#[derive(Clone)]
pub struct Service {
    pub desk: Desk,
    pub token: Secret,
    /// Checks the links that acknowledge.
    pub ack: AckKey,
    pub metrics: Option<PrometheusHandle>,
    /// Set once everything is running; cleared when stopping.
    pub ready: Arc<AtomicBool>,
    /// Called before metrics are rendered.
    pub refresh: Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>,
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, service: Service, stop: CancellationToken) -> std::io::Result<()> {
    let guarded = Router::new()
        .route("/guard", get(guard))
        .route("/api/v1/op", post(op))
        .route("/api/v1/export", get(export))
        .route("/api/v1/events", get(events))
        .route("/api/v1/deliveries", get(deliveries))
        .route("/api/v1/sinks", get(sinks))
        .route("/api/v1/holds", get(holds))
        .route("/api/v1/state", get(state))
        .route_layer(middleware::from_fn_with_state(service.clone(), authorize));
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/ack/{incident}/{until}/{signature}", get(ackpage::show).post(ackpage::take))
        .merge(guarded)
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .with_state(service);
    axum::serve(listener, app).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

/// The Host check stops a web page from reaching the API through a name it controls (DNS rebinding); the token does
/// the rest.
async fn authorize(State(service): State<Service>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    if !is_plain_host(host) {
        return refuse(StatusCode::MISDIRECTED_REQUEST, "the Host header must be an IP address or localhost");
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|h| h.to_str().ok()).and_then(bearer);
    if !given.is_some_and(|given| same(given.trim(), service.token.expose().trim())) {
        return refuse(StatusCode::UNAUTHORIZED, "send the admin token as `Authorization: Bearer …`");
    }
    next.run(request).await
}

/// The token of an `Authorization` header. A scheme's name has no case (RFC 9110 section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn is_plain_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

/// Compares in time that depends on the length alone.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

async fn ready(State(service): State<Service>) -> Response {
    let open = service.desk.store.overview().await.is_ok();
    if open && service.ready.load(Ordering::Acquire) {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    }
}

async fn metrics(State(service): State<Service>) -> Response {
    (service.refresh)().await;
    match &service.metrics {
        Some(handle) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()).into_response()
        }
        None => refuse(StatusCode::NOT_FOUND, "metrics are not collected"),
    }
}

async fn op(State(service): State<Service>, body: Bytes) -> Response {
    match serde_json::from_slice::<Op>(&body) {
        Ok(op) => answer(execute(&service.desk, op).await),
        Err(error) => refuse(StatusCode::BAD_REQUEST, &format!("no such operation: {error}")),
    }
}

async fn events(State(service): State<Service>, Query(filter): Query<EventFilter>) -> Response {
    data(execute(&service.desk, Op::EventsList { filter }).await)
}

async fn deliveries(State(service): State<Service>, Query(filter): Query<DeliveryFilter>) -> Response {
    data(execute(&service.desk, Op::DeliveriesList { filter }).await)
}

async fn sinks(State(service): State<Service>) -> Response {
    data(execute(&service.desk, Op::SinksList).await)
}

async fn holds(State(service): State<Service>) -> Response {
    data(execute(&service.desk, Op::HoldList).await)
}

async fn state(State(service): State<Service>) -> Response {
    data(execute(&service.desk, Op::StateShow { collection: None, limit: 0 }).await)
}

/// A query string. One that can't be read is refused like everything else.
struct Query<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        read.map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejected| refuse(StatusCode::BAD_REQUEST, &rejected.body_text()))
    }
}

/// What a proxy or a hook asks: `/guard?scope=user:ana@example.com`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardQuery {
    /// Several separated by commas.
    scope: Option<String>,
    rule: Option<String>,
    max_age_seconds: Option<i64>,
    #[serde(default)]
    fail_on: FailOn,
    on_unknown: Option<OnUnknown>,
}

/// 200: go on. 402: the limit is reached. 503: nobody can say.
async fn guard(State(service): State<Service>, Query(query): Query<GuardQuery>) -> Response {
    let scopes = query.scope.iter().flat_map(|s| s.split(',')).map(|scope| scope.trim().to_owned()).collect();
    match super::spend::guard(&service.desk, scopes, query.rule, query.max_age_seconds).await {
        Ok(answer) => {
            let status = match answer.state.verdict(query.fail_on, query.on_unknown) {
                Verdict::Go => StatusCode::OK,
                Verdict::Warned | Verdict::Stop => StatusCode::PAYMENT_REQUIRED,
                Verdict::Unknown => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, axum::Json(answer)).into_response()
        }
        Err(error @ OpError::Invalid(_)) => fault(&error),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// Streams an export; lines go out as they are written.
async fn export(State(service): State<Service>) -> Response {
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(16);
    let store = Arc::clone(&service.desk.store);
    tokio::spawn(async move {
        let failed = sender.clone();
        if let Err(error) = store.export(Box::new(ChannelWriter { sender, buffer: Vec::new() })).await {
            let _ = failed.send(Err(std::io::Error::other(error.to_string()))).await;
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    Body::from_stream(stream).into_response()
}

struct ChannelWriter {
    sender: tokio::sync::mpsc::Sender<std::io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 64 * 1024 {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| std::io::Error::other("the reader is gone"))
    }
}

/// For the command line: the answer as it is.
fn answer(outcome: Result<Answer, OpError>) -> Response {
    match outcome {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(error) => fault(&error),
    }
}

/// For people with curl: the data alone.
fn data(outcome: Result<Answer, OpError>) -> Response {
    match outcome {
        Ok(Answer::Data(value)) => axum::Json(value).into_response(),
        Ok(Answer::Done(lines)) => axum::Json(lines).into_response(),
        Err(error) => fault(&error),
    }
}

fn fault(error: &OpError) -> Response {
    let status = match error {
        OpError::Invalid(_) => StatusCode::BAD_REQUEST,
        OpError::NotFound(_) => StatusCode::NOT_FOUND,
        OpError::Refused(_) => StatusCode::CONFLICT,
        OpError::Store(_) | OpError::Service(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refuse(status, &error.to_string())
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(json!({ "error": why }))).into_response()
}

/// The token of the config, or the one kept in the store's folder, made where there is none (mode 0600).
pub fn token(configured: Option<&Secret>, store: &Path) -> Result<Secret, String> {
    if let Some(token) = configured {
        return Ok(token.clone());
    }
    let path = store.join(TOKEN_FILE);
    if let Some(token) = read_token(&path) {
        return Ok(token);
    }
    let bytes = crate::env::random_bytes::<24>().ok_or("the operating system gives no random bytes")?;
    let text = crate::domain::ids::hex(&bytes);
    write_private(&path, &text).map_err(|e| format!("{} can't be written: {e}", path.display()))?;
    Ok(Secret::new(text))
}

/// The token in a file, if there is one.
pub fn read_token(path: &Path) -> Option<Secret> {
    let text = std::fs::read_to_string(path).ok()?;
    (text.trim().len() >= 16).then(|| Secret::new(text.trim()))
}

/// Tells the command line where the service is.
pub fn announce(store: &Path, listen: SocketAddr) -> std::io::Result<PathBuf> {
    let path = store.join(ADDRESS_FILE);
    let address = Address { listen, pid: std::process::id() };
    write_private(&path, &serde_json::to_string(&address).map_err(std::io::Error::other)?)?;
    Ok(path)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    std::fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_a_web_page_can_own_are_refused() {
        for good in ["127.0.0.1:8484", "localhost", "LOCALHOST:1", "[::1]:8484", "10.0.0.5:80"] {
            assert!(is_plain_host(good), "{good}");
        }
        for bad in ["", "evil.example.com", "evil.example.com:8484", "127.0.0.1.example.com", "localhost.example.com:1"]
        {
            assert!(!is_plain_host(bad), "{bad}");
        }
    }

    #[test]
    fn a_scheme_has_no_case() {
        for given in ["Bearer t", "bearer t", "BEARER t"] {
            assert_eq!(bearer(given), Some("t"), "{given}");
        }
        for given in ["Basic t", "Bearert", "t", ""] {
            assert_eq!(bearer(given), None, "{given}");
        }
    }

    #[test]
    fn the_token_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let first = token(None, dir.path()).unwrap();
        assert_eq!(token(None, dir.path()).unwrap(), first);
        assert_eq!(first.expose().len(), 48);
        let mode = std::fs::metadata(dir.path().join(TOKEN_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
