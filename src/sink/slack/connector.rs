//! slack-morphism over our own HTTP client: one deadline, capped answers, no redirects, the address guard.
//!
//! Made anew for each attempt, so that it can carry the attempt's time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use http::{Method, StatusCode};
use jiff::SignedDuration;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slack_morphism::errors::{
    SlackClientApiError, SlackClientError, SlackClientProtocolError, SlackClientSystemError, SlackRateLimitError,
};
use slack_morphism::multipart_form::FileMultipartData;
use slack_morphism::{
    ClientResult, SlackClientApiCallContext, SlackClientHttpConnector, SlackClientId, SlackClientSecret,
};
use url::Url;

use crate::domain::delivery::Timings;
use crate::domain::time::Timestamp;
use crate::http::{Cap, HttpClient, HttpError, Reply, built};

/// Bytes of an answer that are read.
const RESPONSE_BYTES: usize = 64 * 1024;

/// Calls Slack for one attempt.
#[derive(Debug, Clone)]
pub struct Connector {
    pub http: HttpClient,
    /// Where the Web API is, without a slash at the end.
    pub api: Url,
    pub deadline: Duration,
    /// The attempt's time, for a `Retry-After` that is a date.
    pub now: Timestamp,
    /// Where the time of its last call went.
    pub timings: LastCall,
}

/// Where the time of an attempt's last call went. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LastCall(Arc<Mutex<Option<Timings>>>);

impl LastCall {
    pub fn read(&self) -> Option<Timings> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, timings: Timings) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(timings);
    }
}

/// What a good answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    /// Incoming webhooks say `ok`, workflow ones nothing.
    Word,
    /// The Web API says `"ok": true` in JSON.
    Json,
    /// Where files go, they say something in plain words: the status counts.
    Status,
}

impl Good {
    fn of(context: &SlackClientApiCallContext<'_>) -> Self {
        if context.token.is_some() { Self::Json } else { Self::Word }
    }
}

/// What the crate's own errors have no room for. Travels as the cause of a `SystemError`.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{0}")]
    NoAnswer(HttpError),
    #[error("the answer does not say that it was taken")]
    NotTaken { body: String },
    #[error("HTTP {status}")]
    Status { status: StatusCode, after: Option<SignedDuration>, body: String },
}

impl From<Fault> for SlackClientError {
    fn from(fault: Fault) -> Self {
        Self::SystemError(SlackClientSystemError::new().with_cause(Box::new(fault)))
    }
}

impl Connector {
    async fn call<RS: DeserializeOwned>(&self, request: reqwest::RequestBuilder, good: Good) -> ClientResult<RS> {
        let cap = Cap::Cut(RESPONSE_BYTES);
        let request = built(request).map_err(Fault::NoAnswer)?;
        let (reply, timings) = self.http.send_timed(request, self.deadline, cap).await;
        self.timings.note(timings);
        self.read(&reply.map_err(Fault::NoAnswer)?, good)
    }

    fn read<RS: DeserializeOwned>(&self, reply: &Reply, good: Good) -> ClientResult<RS> {
        let after = reply.retry_after(self.now);
        let body = reply.excerpt(RESPONSE_BYTES);
        let text = body.trim();
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            let after = after.and_then(|d| Duration::try_from(d).ok());
            return Err(SlackClientError::RateLimitError(SlackRateLimitError::new().opt_retry_after(after)));
        }
        // A web page with status 200 comes from something before Slack: nothing was posted.
        if !reply.status.is_success() || text.starts_with('<') {
            return Err(Fault::Status { status: reply.status, after, body }.into());
        }
        if good == Good::Status || (good == Good::Word && (text.is_empty() || text == "ok")) {
            return serde_json::from_value(json!({})).map_err(|e| undecodable(e, text));
        }
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) if good == Good::Json && !is_refused(text) => return Err(undecodable(error, text)),
            Err(_) => return Err(Fault::NotTaken { body }.into()),
        };
        match value.get("ok").and_then(Value::as_bool) {
            Some(true) => serde_json::from_value(value).map_err(|e| undecodable(e, text)),
            Some(false) => {
                let code = value.get("error").and_then(Value::as_str).unwrap_or("no error code").to_owned();
                if matches!(code.as_str(), "ratelimited" | "rate_limited") {
                    let after = after.and_then(|d| Duration::try_from(d).ok());
                    return Err(SlackClientError::RateLimitError(SlackRateLimitError::new().opt_retry_after(after)));
                }
                Err(SlackClientError::ApiError(SlackClientApiError::new(code).with_http_response_body(body)))
            }
            None => Err(Fault::NotTaken { body }.into()),
        }
    }
}

/// Whether an answer that is cut off says at its beginning that it is a refusal.
fn is_refused(text: &str) -> bool {
    let start: String = text.chars().filter(|c| !c.is_whitespace()).take(11).collect();
    start == "{\"ok\":false"
}

fn undecodable(error: serde_json::Error, body: &str) -> SlackClientError {
    SlackClientError::ProtocolError(SlackClientProtocolError::new(error).with_json_body(body.to_owned()))
}

fn unused<'a, RS: Send + 'a>() -> BoxFuture<'a, ClientResult<RS>> {
    let text = "this call is not made by ampbridge".to_owned();
    ready(Err(SlackClientError::SystemError(SlackClientSystemError::new().with_message(text)))).boxed()
}

impl SlackClientHttpConnector for Connector {
    fn http_get_uri<'a, RS>(
        &'a self,
        uri: Url,
        context: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> serde::de::Deserialize<'de> + Send + 'a,
    {
        let (mut request, good) = (self.http.request(Method::GET, uri), Good::of(&context));
        if let Some(token) = context.token {
            request = request.bearer_auth(&token.token_value.0);
        }
        self.call(request, good).boxed()
    }

    fn http_post_uri<'a, RQ, RS>(
        &'a self,
        uri: Url,
        body: &'a RQ,
        context: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RQ: Serialize + Send + Sync,
        RS: for<'de> serde::de::Deserialize<'de> + Send + 'a,
    {
        let (mut request, good) = (self.http.request(Method::POST, uri), Good::of(&context));
        if let Some(token) = context.token {
            request = request.bearer_auth(&token.token_value.0);
        }
        match serde_json::to_vec(body) {
            Ok(bytes) => {
                let json = "application/json; charset=utf-8";
                self.call(request.header(http::header::CONTENT_TYPE, json).body(bytes), good).boxed()
            }
            Err(error) => ready(Err(Fault::NoAnswer(HttpError::Request(error.to_string())).into())).boxed(),
        }
    }

    fn create_method_uri_path(&self, method: &str) -> ClientResult<Url> {
        let base = self.api.as_str().trim_end_matches('/');
        Ok(format!("{base}/{method}").parse()?)
    }

    fn http_get_with_client_secret<'a, RS>(
        &'a self,
        _: Url,
        _: &'a SlackClientId,
        _: &'a SlackClientSecret,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> serde::de::Deserialize<'de> + Send + 'a,
    {
        unused()
    }

    fn http_post_uri_multipart_form<'a, 'p, RS, PT, TS>(
        &'a self,
        _: Url,
        _: Option<FileMultipartData<'p>>,
        _: &'p PT,
        _: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> serde::de::Deserialize<'de> + Send + 'a,
        PT: IntoIterator<Item = (&'p str, Option<TS>)> + Clone,
        TS: AsRef<str> + 'p + Send,
    {
        unused()
    }

    /// A file. It goes to a place that an answer named, so the token stays here.
    fn http_post_uri_binary<'a, 'p, RS>(
        &'a self,
        uri: Url,
        kind: String,
        bytes: &'a [u8],
        _: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> serde::de::Deserialize<'de> + Send + 'a,
    {
        let request =
            self.http.request(Method::POST, uri).header(http::header::CONTENT_TYPE, kind).body(bytes.to_vec());
        async move {
            let reply =
                self.http.send(request, self.deadline, Cap::Cut(RESPONSE_BYTES)).await.map_err(Fault::NoAnswer)?;
            self.read(&reply, Good::Status)
        }
        .boxed()
    }
}
