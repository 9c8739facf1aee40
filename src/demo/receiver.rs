//! A webhook receiver: verifies Standard Webhooks signatures, keeps what it got, answers as it was told to.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::watch;

use super::Now;
use super::server::{Peer, Server};
use crate::domain::signing::{self, SigningSecret};
use crate::domain::time::Timestamp;

/// Largest body taken, bytes.
const BODY: usize = 1 << 20;
/// Deliveries kept; the oldest go first.
const KEPT: usize = 100_000;

/// How a receiver is set up.
pub struct ReceiverOptions {
    /// `127.0.0.1:0` for any free port.
    pub addr: SocketAddr,
    /// Any of them may have signed; none: nothing is verified, everything is taken.
    pub secrets: Vec<SigningSecret>,
    /// How old a signature may be, seconds of `now`. The specification suggests 300; where days pass in seconds it has
    /// to be more.
    pub tolerance_secs: i64,
    pub now: Now,
}

/// How to answer one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: String,
    /// Time before the answer.
    pub delay: Duration,
    pub end: End,
}

/// Whether there is an answer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Answered,
    /// Never.
    Silent,
    /// The connection is closed instead.
    Dropped,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, retry_after: None, body: String::new(), delay: Duration::ZERO, end: End::Answered }
    }

    pub fn silence() -> Self {
        Self { end: End::Silent, ..Self::status(0) }
    }

    pub fn hang_up() -> Self {
        Self { end: End::Dropped, ..Self::status(0) }
    }

    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    #[must_use]
    pub fn retry_after(self, value: &str) -> Self {
        Self { retry_after: Some(value.to_owned()), ..self }
    }
}

/// A delivery as it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// Counts from 1.
    pub number: u64,
    pub at: Timestamp,
    pub method: String,
    pub path: String,
    /// `webhook-id`.
    pub id: Option<String>,
    /// `webhook-timestamp`, Unix seconds.
    pub timestamp: Option<i64>,
    /// Names in lower case; of several with one name, the last.
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
    /// The signature was made with one of the secrets, over these bytes, recently.
    pub verified: bool,
    /// What was answered; 0 for no answer.
    pub status: u16,
}

impl Received {
    /// The body as JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A text member of the event: `type`, `subject`, ….
    pub fn text(&self, name: &str) -> Option<String> {
        self.json()?.get(name)?.as_str().map(str::to_owned)
    }
}

/// A running receiver; ends when dropped.
pub struct Receiver {
    server: Server,
    desk: Arc<Desk>,
}

struct Desk {
    secrets: Vec<SigningSecret>,
    tolerance_secs: i64,
    now: Now,
    state: Mutex<DeskState>,
    count: watch::Sender<u64>,
}

#[derive(Default)]
struct DeskState {
    received: VecDeque<Received>,
    script: VecDeque<Reply>,
    usual: Option<Reply>,
    count: u64,
}

impl Receiver {
    pub async fn start(options: ReceiverOptions) -> std::io::Result<Self> {
        let desk = Arc::new(Desk {
            secrets: options.secrets,
            tolerance_secs: options.tolerance_secs,
            now: options.now,
            state: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let router = Router::new().fallback(receive).layer(DefaultBodyLimit::max(BODY)).with_state(Arc::clone(&desk));
        Ok(Self { server: Server::start(router, options.addr).await?, desk })
    }

    /// `http://127.0.0.1:PORT/hook`; any path is taken.
    pub fn url(&self) -> String {
        format!("{}/hook", self.server.base_url())
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Answers for the next deliveries, one each; after them the usual one.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.desk.lock().script.extend(replies);
    }

    /// The answer where the script is silent. At first: 204, or 401 where the signature is wrong.
    pub fn set_usual(&self, reply: Option<Reply>) {
        self.desk.lock().usual = reply;
    }

    /// All deliveries so far (the newest 100,000), oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.received_since(0)
    }

    /// Deliveries with a number above `since`.
    pub fn received_since(&self, since: u64) -> Vec<Received> {
        self.desk.lock().received.iter().filter(|r| r.number > since).cloned().collect()
    }

    /// Waits for a state of the deliveries; `false` where it didn't come in time.
    pub async fn wait_until(&self, deadline: Duration, state: impl Fn(&[Received]) -> bool) -> bool {
        let mut count = self.desk.count.subscribe();
        let wait = async {
            while !state(&self.received()) {
                // The sender lives as long as `self`.
                if count.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(deadline, wait).await.is_ok()
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a delivery and picks its answer.
    fn take(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Reply {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers: BTreeMap<String, String> = headers.iter().map(|(n, v)| (n.to_string(), text(v))).collect();
        let id = headers.get("webhook-id").cloned();
        let timestamp = headers.get("webhook-timestamp").and_then(|t| t.parse::<i64>().ok());
        let now = (self.now)();
        let verified = id.as_ref().zip(timestamp).zip(headers.get("webhook-signature")).is_some_and(
            |((id, timestamp), signature)| {
                let (now, tolerance) = (now.as_second(), self.tolerance_secs);
                signing::verify(&self.secrets, id, timestamp, &body, signature, now, tolerance)
            },
        );
        let mut state = self.lock();
        let reply = state.script.pop_front().or_else(|| state.usual.clone()).unwrap_or_else(|| {
            let welcome = verified || self.secrets.is_empty();
            Reply::status(if welcome { 204 } else { 401 })
        });
        state.count += 1;
        let received = Received {
            number: state.count,
            at: now,
            method: method.to_string(),
            path: uri.path().to_owned(),
            id,
            timestamp,
            headers,
            body,
            verified,
            status: if reply.end == End::Answered { reply.status } else { 0 },
        };
        if state.received.len() >= KEPT {
            state.received.pop_front();
        }
        state.received.push_back(received);
        self.count.send_replace(state.count);
        reply
    }
}

async fn receive(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reply = desk.take(&method, &uri, &headers, body);
    tokio::time::sleep(reply.delay).await;
    match reply.end {
        End::Answered => {}
        End::Silent => std::future::pending().await,
        End::Dropped => peer.cut(),
    }
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let retry_after = reply.retry_after.and_then(|text| HeaderValue::from_str(&text).ok());
    response.headers_mut().extend(retry_after.map(|value| (RETRY_AFTER, value)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NOW: i64 = 1_800_000_000;

    async fn receiver() -> Receiver {
        let now: Now = Arc::new(|| Timestamp::from_second(NOW).unwrap());
        let secrets = vec![SigningSecret::parse(SECRET).unwrap()];
        let addr = "127.0.0.1:0".parse().unwrap();
        Receiver::start(ReceiverOptions { addr, secrets, tolerance_secs: 300, now }).await.unwrap()
    }

    async fn post(receiver: &Receiver, body: &str, signed_body: &str, at: i64) -> reqwest::Result<reqwest::Response> {
        let secret = SigningSecret::parse(SECRET).unwrap();
        let signature = signing::signature_header(&[secret], "evt_1", at, signed_body.as_bytes());
        crate::demo::test_client()
            .post(receiver.url())
            .header("webhook-id", "evt_1")
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", signature)
            .body(body.to_owned())
            .send()
            .await
    }

    #[tokio::test]
    async fn only_what_was_signed_is_welcome() {
        let receiver = receiver().await;
        for (body, signed, at, status) in
            [("{}", "{}", NOW, 204), ("{}", "{ }", NOW, 401), ("{}", "{}", NOW - 400, 401)]
        {
            assert_eq!(post(&receiver, body, signed, at).await.unwrap().status(), status);
        }
        let verified: Vec<bool> = receiver.received().iter().map(|r| r.verified).collect();
        assert_eq!(verified, [true, false, false]);
        let first = &receiver.received()[0];
        assert_eq!((first.id.as_deref(), first.timestamp, first.path.as_str()), (Some("evt_1"), Some(NOW), "/hook"));
        assert_eq!(receiver.received_since(2).len(), 1);
    }

    #[tokio::test]
    async fn answers_follow_the_script() {
        let receiver = receiver().await;
        receiver.script([Reply::status(503).retry_after("7"), Reply::hang_up(), Reply::status(410)]);
        let first = post(&receiver, "{}", "{}", NOW).await.unwrap();
        assert_eq!((first.status().as_u16(), &first.headers()[RETRY_AFTER]), (503, &HeaderValue::from_static("7")));
        assert!(post(&receiver, "{}", "{}", NOW).await.is_err());
        assert_eq!(post(&receiver, "{}", "{}", NOW).await.unwrap().status(), 410);
        assert_eq!(post(&receiver, "{}", "{}", NOW).await.unwrap().status(), 204);
        let statuses: Vec<u16> = receiver.received().iter().map(|r| r.status).collect();
        assert_eq!(statuses, [503, 0, 410, 204]);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_delivery_is_there() {
        let receiver = receiver().await;
        let waiting = receiver.wait_until(Duration::from_mins(1), |got| got.len() == 2);
        let posting = async {
            post(&receiver, "1", "1", NOW).await.unwrap();
            post(&receiver, "2", "2", NOW).await.unwrap();
        };
        assert!(tokio::join!(waiting, posting).0);
        assert!(!receiver.wait_until(Duration::from_millis(20), |got| got.len() == 3).await);
    }
}
