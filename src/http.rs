//! HTTP as ampbridge does it: one builder, one deadline per call, capped bodies, no redirects, no ambient proxy, and
//! for targets from outside an address guard.
//!
//! Invariant: an address is checked before a socket is opened to it, and the socket goes to the address that was
//! checked.

mod guard;
pub mod oauth;
mod timing;

use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use jiff::SignedDuration;
use reqwest::Url;

use crate::domain::delivery::Timings;
use crate::domain::retry::RETRY_AFTER_CAP;
use crate::domain::setting::Secret;
use crate::domain::time::Timestamp;

pub use guard::{AddressGuard, GuardError, Lookup, is_loopback};
pub use timing::millis;

/// Longest connect, whatever the call's deadline.
const CONNECT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("ampbridge/", env!("CARGO_PKG_VERSION"));

/// How a client is built.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// An `http://` or `https://` proxy; none is taken from the environment.
    pub proxy: Option<Url>,
    /// A PEM file with certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Refuses addresses; `None` for targets the operator named as their own API.
    pub guard: Option<AddressGuard>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("ca_file {path} can't be used: {reason}")]
    CaFile { path: PathBuf, reason: String },
    #[error("the client certificate and its key can't be used; both must be PEM, and the key PKCS#8, PKCS#1 or SEC1")]
    Identity,
    #[error("the HTTP client can't be built: {0}. Is the package `ca-certificates` installed?")]
    Client(String),
}

/// Why there is no answer. Never holds a URL: they may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("no complete answer within {0:?}")]
    Timeout(Duration),
    #[error("can't connect: {0}")]
    Connect(String),
    #[error("{0}")]
    Refused(GuardError),
    #[error("the answer broke off: {0}")]
    Body(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the request can't be made: {0}")]
    Request(String),
}

/// What to do with a body larger than the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// It is an error.
    Fail(usize),
    /// The first bytes are enough; the rest is not read.
    Cut(usize),
}

/// An answer, read to its end or to the cap.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), [`RETRY_AFTER_CAP`] at most, however far it is
    /// away. `now` is the local clock, used only for a date where the answer has no `Date` of its own.
    pub fn retry_after(&self, now: Timestamp) -> Option<SignedDuration> {
        let text = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            let secs = text.parse().unwrap_or(i64::MAX);
            return Some(SignedDuration::from_secs(secs).min(RETRY_AFTER_CAP));
        }
        // A fraction is not in the specification, but Discord and others send it.
        if text.contains('.')
            && let Ok(secs) = text.parse::<f64>()
            && secs >= 0.0
        {
            return Some(
                SignedDuration::try_from_secs_f64(secs.ceil()).unwrap_or(RETRY_AFTER_CAP).min(RETRY_AFTER_CAP),
            );
        }
        let at = http_date(text)?;
        let reference = self.date().unwrap_or(now);
        Some(at.duration_since(reference).clamp(SignedDuration::ZERO, RETRY_AFTER_CAP))
    }

    /// The server's clock.
    pub fn date(&self) -> Option<Timestamp> {
        http_date(self.headers.get(http::header::DATE)?.to_str().ok()?)
    }

    /// The body as text, at most `bytes` of it.
    pub fn excerpt(&self, bytes: usize) -> String {
        crate::domain::delivery::cut(&String::from_utf8_lossy(&self.body[..self.body.len().min(bytes)]), bytes)
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    let at = httpdate::parse_http_date(text).ok()?;
    // The last day that can be written is no longer in the range.
    Some(Timestamp::try_from(at).unwrap_or(Timestamp::MAX))
}

/// A client with its manners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    guard: Option<Arc<AddressGuard>>,
}

impl HttpClient {
    pub fn new(options: ClientOptions) -> Result<Self, BuildError> {
        Self::with_identity(options, None)
    }

    /// With a client certificate for mutual TLS: PEM text of it, its chain and its key.
    pub fn with_identity(options: ClientOptions, identity: Option<&Secret>) -> Result<Self, BuildError> {
        install_tls();
        let guard = options.guard.map(Arc::new);
        #[expect(clippy::disallowed_methods, reason = "the one place where a client is built")]
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true);
        if let Some(guard) = &guard {
            builder = builder.dns_resolver(guard::Resolver(Arc::clone(guard))).connector_layer(timing::Connecting);
        }
        if let Some(proxy) = options.proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|e| BuildError::Client(e.without_url().to_string()))?;
            builder = builder.proxy(proxy);
        }
        if let Some(path) = options.ca_file {
            let fault = |reason: String| BuildError::CaFile { path: path.clone(), reason };
            let pem = std::fs::read(&path).map_err(|e| fault(e.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| fault(e.to_string()))?;
            if certificates.is_empty() {
                return Err(fault("it holds no certificate".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some(pem) = identity {
            let identity = reqwest::Identity::from_pem(pem.expose().as_bytes()).map_err(|_| BuildError::Identity)?;
            builder = builder.identity(identity);
        }
        let inner = builder.build().map_err(|e| BuildError::Client(e.without_url().to_string()))?;
        Ok(Self { inner, guard })
    }

    pub fn request(&self, method: http::Method, url: Url) -> reqwest::RequestBuilder {
        self.inner.request(method, url)
    }

    /// Sends and reads the answer, all within `deadline`.
    pub async fn send(
        &self,
        request: reqwest::RequestBuilder,
        deadline: Duration,
        cap: Cap,
    ) -> Result<Reply, HttpError> {
        self.send_timed(built(request)?, deadline, cap).await.0
    }

    /// The same, and where the time went, whatever came of it. Names and connections are timed where there is a guard.
    pub async fn send_timed(
        &self,
        request: reqwest::Request,
        deadline: Duration,
        cap: Cap,
    ) -> (Result<Reply, HttpError>, Timings) {
        let watch = timing::Stopwatch::start();
        let sent = watch.over(self.send_watched(request, deadline, cap, &watch)).await;
        (sent, watch.read())
    }

    async fn send_watched(
        &self,
        request: reqwest::Request,
        deadline: Duration,
        cap: Cap,
        watch: &timing::Stopwatch,
    ) -> Result<Reply, HttpError> {
        if let Some(guard) = &self.guard {
            guard.check_literal(request.url()).map_err(HttpError::Refused)?;
        }
        match tokio::time::timeout(deadline, self.exchange(request, cap, watch)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HttpError::Timeout(deadline)),
        }
    }

    /// Sends, and hands a successful answer's body over piece by piece; any other answer is read as by [`Self::send`].
    /// Only for peers of our own: the whole exchange has no deadline but the one between two pieces.
    pub async fn stream(
        &self,
        request: reqwest::RequestBuilder,
        idle: Duration,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<Option<Reply>, HttpError> {
        let request = built(request)?;
        let late = |_| HttpError::Timeout(idle);
        let executed = tokio::time::timeout(idle, self.inner.execute(request)).await.map_err(late)?;
        let mut response = executed.map_err(|e| classify(&e))?;
        if !response.status().is_success() {
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes().await.map_err(|e| HttpError::Body(describe(&e)))?;
            return Ok(Some(Reply { status, headers, body }));
        }
        while let Some(chunk) = tokio::time::timeout(idle, response.chunk())
            .await
            .map_err(late)?
            .map_err(|e| HttpError::Body(describe(&e)))?
        {
            take(&chunk).map_err(|e| HttpError::Body(format!("it can't be written: {e}")))?;
        }
        Ok(None)
    }

    async fn exchange(
        &self,
        request: reqwest::Request,
        cap: Cap,
        watch: &timing::Stopwatch,
    ) -> Result<Reply, HttpError> {
        let mut response = self.inner.execute(request).await.map_err(|e| classify(&e))?;
        watch.first_byte();
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = match cap {
            Cap::Fail(n) | Cap::Cut(n) => n,
        };
        let mut body = BytesMut::new();
        loop {
            let chunk = match (response.chunk().await, cap) {
                (Ok(Some(chunk)), _) => chunk,
                // Of a body that is cut anyway the status counts; the rest was for the log only.
                (Ok(None), _) | (Err(_), Cap::Cut(_)) => break,
                (Err(error), Cap::Fail(_)) => return Err(HttpError::Body(describe(&error))),
            };
            if body.len() + chunk.len() > limit {
                if cap == Cap::Fail(limit) {
                    return Err(HttpError::TooLarge(limit));
                }
                body.extend_from_slice(&chunk[..limit - body.len()]);
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: body.freeze() })
    }
}

/// A request as it goes out.
pub fn built(request: reqwest::RequestBuilder) -> Result<reqwest::Request, HttpError> {
    request.build().map_err(|e| HttpError::Request(e.without_url().to_string()))
}

/// rustls needs a provider before the first client; a second installation is harmless.
pub fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn classify(error: &reqwest::Error) -> HttpError {
    if let Some(refused) = guard::refusal_in(error) {
        return HttpError::Refused(refused);
    }
    if error.is_timeout() {
        return HttpError::Timeout(CONNECT);
    }
    if error.is_connect() { HttpError::Connect(describe(error)) } else { HttpError::Body(describe(error)) }
}

/// The innermost causes of an error, without any URL.
fn describe(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let text = inner.to_string();
        if texts.last() != Some(&text) && !text.contains("://") {
            texts.push(text);
        }
        source = inner.source();
    }
    if texts.is_empty() {
        "unknown error".to_owned()
    } else {
        texts.split_off(texts.len().saturating_sub(2)).join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(header: &str, date: Option<&str>) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::RETRY_AFTER, header.parse().unwrap());
        if let Some(date) = date {
            headers.insert(http::header::DATE, date.parse().unwrap());
        }
        Reply { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() }
    }

    #[test]
    fn retry_after_in_both_forms() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let secs = |r: Reply| r.retry_after(now).map(|d| d.as_secs());
        assert_eq!(secs(reply("120", None)), Some(120));
        assert_eq!(secs(reply("Sun, 22 Nov 2026 10:00:30 GMT", None)), Some(30));
        assert_eq!(secs(reply("Sun, 22 Nov 2026 10:00:30 GMT", Some("Sun, 22 Nov 2026 10:00:10 GMT"))), Some(20));
        assert_eq!(secs(reply("Sun, 22 Nov 2020 10:00:30 GMT", None)), Some(0));
        assert_eq!(secs(reply("soon", None)), None);
        assert_eq!(secs(reply("1.25", None)), Some(2));
        assert_eq!(secs(reply("-1.5", None)), None);
        assert_eq!(secs(reply("-3", None)), None);
        for far in [
            "86401",
            "9223372036854775808",
            "99999999999999999999999",
            "1000000000000000000000.5",
            "Thu, 22 Nov 2300 10:00:30 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            assert_eq!(secs(reply(far, None)), Some(86_400), "{far} is long, not nothing");
        }
    }
}
