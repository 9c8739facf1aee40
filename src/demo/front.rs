//! From sockets to the fake's API and back, through whatever fault was asked for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::api::{self, Answer, Call};
use super::fault::{CURSOR, Fault};
use super::journal::LogEntry;
use super::server::Peer;
use super::workspace::FakeWorkspace;
use crate::domain::time::{SignedDuration, Timestamp, plus};

/// Time between the last byte of a cut body and the cut, for the byte to arrive.
const CUT_PAUSE: Duration = Duration::from_millis(30);
const PAGE: &str = "<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>";
/// Last second that an HTTP date can say (9999-12-31).
const LAST_DATE: i64 = 253_402_300_799;

pub fn router(workspace: Arc<FakeWorkspace>) -> Router {
    Router::new().fallback(handle).with_state(workspace)
}

/// What is about to happen to a request.
struct Plan {
    answer: Answer,
    fault: Option<Fault>,
    date: HeaderValue,
}

async fn handle(
    State(workspace): State<Arc<FakeWorkspace>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _flight = Flight::begin(&workspace);
    let plan = plan(&workspace, &method, &uri, &headers, &body);
    perform(plan, &peer).await
}

/// Counts a request as in flight until it is answered, or its client gone.
struct Flight<'a>(&'a FakeWorkspace);

impl<'a> Flight<'a> {
    fn begin(workspace: &'a FakeWorkspace) -> Self {
        workspace.lock().journal.begin();
        Self(workspace)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.lock().journal.end();
    }
}

fn plan(workspace: &FakeWorkspace, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Plan {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let raw_query = uri.query().unwrap_or_default();
    let mut call = Call {
        method,
        path: uri.path(),
        query: url::form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect(),
        authorization: text(AUTHORIZATION),
        content_type: text(CONTENT_TYPE),
        body,
    };
    let (now, at_ms) = (workspace.now(), workspace.age_ms());
    let mut state = workspace.lock();
    let fault = state.faults.pick(call.path);
    if let Some(fault) = &fault {
        forget_cursors(fault, &mut call);
    }
    let (mut answer, who) = api::answer(&mut state.tenant, &call, now);
    if let Some(fault) = &fault {
        if answer.status == StatusCode::OK {
            state.faults.twist(fault, &mut answer.body);
        }
        answer.status = status_under(fault, answer.status);
    }
    let silent = matches!(fault, Some(Fault::Hang | Fault::DropConnection));
    state.journal.enter(LogEntry {
        number: 0,
        at_ms,
        method: method.to_string(),
        path: call.path.to_owned(),
        query: raw_query.to_owned(),
        authorization: who,
        status: if silent { 0 } else { answer.status.as_u16() },
    });
    Plan { answer, fault, date: date(now, state.skew) }
}

/// Paging faults know no cursor but their own, and for those every page is the first.
fn forget_cursors(fault: &Fault, call: &mut Call<'_>) {
    match fault {
        Fault::EndlessPaging | Fault::RepeatCursor => call.query.retain(|(name, _)| name != "cursor"),
        Fault::EmptyPageWithMore => call.query.retain(|(name, v)| name != "cursor" || !v.starts_with(CURSOR)),
        _ => {}
    }
}

fn status_under(fault: &Fault, status: StatusCode) -> StatusCode {
    match fault {
        Fault::Status { code, .. } => StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Redirect(_) => StatusCode::FOUND,
        Fault::Html | Fault::ErrorInside200 => StatusCode::OK,
        _ => status,
    }
}

fn date(now: Timestamp, skew: SignedDuration) -> HeaderValue {
    let secs = plus(now, skew).as_second().clamp(0, LAST_DATE);
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(secs.unsigned_abs());
    HeaderValue::from_str(&httpdate::fmt_http_date(at)).unwrap_or(HeaderValue::from_static(""))
}

async fn perform(plan: Plan, peer: &Peer) -> Response {
    let Plan { answer, fault, date } = plan;
    let mut headers = HeaderMap::new();
    headers.insert(DATE, date);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(answer.headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))));
    let body = encode(&answer.body);
    let body = match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::DropConnection) => {
            peer.cut();
            Body::empty()
        }
        Some(Fault::DelayMs(ms)) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            body.into()
        }
        Some(Fault::Status { retry_after, .. }) => {
            let value = retry_after.and_then(|text| HeaderValue::from_str(&text).ok());
            headers.extend(value.map(|v| (RETRY_AFTER, v)));
            encode(&json!({ "error": "this fault was asked for" })).into()
        }
        Some(Fault::Redirect(to)) => {
            headers.extend(HeaderValue::from_str(&to).ok().map(|v| (LOCATION, v)));
            Body::empty()
        }
        Some(Fault::Html) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            PAGE.into()
        }
        Some(Fault::InvalidUtf8) => with_invalid_utf8(&body).into(),
        Some(Fault::CutBody(bytes)) => {
            headers.insert(CONTENT_LENGTH, body.len().into());
            cut_after(&body, bytes, peer.clone())
        }
        Some(Fault::DripMs(ms)) => {
            headers.insert(CONTENT_LENGTH, body.len().into());
            drip(body, Duration::from_millis(ms))
        }
        _ => body.into(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

fn encode(body: &Value) -> Bytes {
    serde_json::to_vec(body).unwrap_or_default().into()
}

/// The body with two bytes no UTF-8 has, at the beginning of its first string value.
fn with_invalid_utf8(body: &[u8]) -> Bytes {
    let at = body.windows(2).position(|pair| pair == b":\"").map_or(0, |p| p + 2);
    let (head, tail) = body.split_at(at);
    [head, b"\xff\xfe", tail].concat().into()
}

/// The first bytes, then the end of the connection.
fn cut_after(body: &Bytes, bytes: usize, peer: Peer) -> Body {
    let head = body.slice(..bytes.min(body.len()));
    Body::from_stream(stream::unfold((Some(head), peer), |(head, peer)| async move {
        if let Some(head) = head {
            return Some((Ok::<_, std::io::Error>(head), (None, peer)));
        }
        tokio::time::sleep(CUT_PAUSE).await;
        peer.cut();
        Some((Err(std::io::ErrorKind::ConnectionReset.into()), (None, peer)))
    }))
}

fn drip(body: Bytes, pause: Duration) -> Body {
    Body::from_stream(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let byte = rest.split_to(1);
        Some((Ok::<_, Infallible>(byte), rest))
    }))
}

#[cfg(test)]
mod tests;
