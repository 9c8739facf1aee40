//! Calls to one API: credentials, statuses, bodies, the server's clock.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::SignedDuration;
use reqwest::Url;
use serde_json::Value;
use tokio::sync::watch;

use crate::domain::record::{Failure, FailureKind};
use crate::domain::setting::Secret;
use crate::domain::time::{Timestamp, plus};
use crate::http::Reply;
use crate::source::Remembered;
use crate::source::body;
use crate::source::calls::{CallError, Caller};
use crate::source::oauth::ClientCredentials;
use crate::source::quota::Quota;

/// A server's clock this far from ours is wrong, not ahead: it decides nothing.
const BELIEVABLE_SKEW: SignedDuration = SignedDuration::from_hours(36);

/// How calls prove who makes them.
#[derive(Debug)]
pub enum Credentials {
    None,
    /// A header, made once.
    Header(HeaderName, HeaderValue),
    OAuth(Box<ClientCredentials>),
}

impl Credentials {
    pub fn bearer(token: &Secret) -> Result<Self, String> {
        Self::header(header::AUTHORIZATION, &format!("Bearer {}", token.expose().trim()))
    }

    pub fn basic(user: &Secret, password: Option<&Secret>) -> Result<Self, String> {
        let password = password.map_or("", Secret::expose);
        let pair = STANDARD.encode(format!("{}:{password}", user.expose()));
        Self::header(header::AUTHORIZATION, &format!("Basic {pair}"))
    }

    pub fn header(name: HeaderName, value: &str) -> Result<Self, String> {
        let mut value = HeaderValue::try_from(value).map_err(|_| "holds characters no header can carry".to_owned())?;
        value.set_sensitive(true);
        Ok(Self::Header(name, value))
    }
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// How it is called in errors: method and path, never query or host.
    pub what: String,
    pub method: Method,
    pub url: Url,
    pub body: Option<Value>,
    pub headers: HeaderMap,
    /// What the credentials need for it, in the API's words.
    pub needs: Option<String>,
    /// Statuses besides 200 whose body says something.
    pub accepts: &'static [u16],
}

/// An answer that was understood.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub document: Value,
}

/// Why a call brought no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 404, 405 or 410: there is no such address.
    NotFound(Failure),
    Failed(Failure),
}

impl Refusal {
    pub fn into_failure(self) -> Failure {
        match self {
            Self::NotFound(failure) | Self::Failed(failure) => failure,
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self::Failed(error.into())
    }
}

/// The API of one owner.
#[derive(Debug)]
pub struct Client {
    caller: Caller,
    credentials: Credentials,
    /// Of every call.
    headers: HeaderMap,
    /// The server's clock minus the local one, as of the last answer.
    ahead: Mutex<Option<SignedDuration>>,
}

impl Client {
    pub fn new(caller: Caller, credentials: Credentials, headers: HeaderMap) -> Self {
        Self { caller, credentials, headers, ahead: Mutex::default() }
    }

    /// What the answers so far say is allowed.
    pub fn quota(&self) -> Option<Quota> {
        self.caller.quota()
    }

    pub fn asked_to_wait(&self) -> watch::Receiver<Option<Timestamp>> {
        self.caller.asked_to_wait()
    }

    pub fn remember(&self, remembered: Remembered) {
        self.caller.remember(remembered);
    }

    /// The server's clock: its last `Date`, carried on; ours before the first answer, and where theirs is absurd.
    pub fn now(&self) -> Timestamp {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = ahead.filter(|ahead| ahead.abs() <= BELIEVABLE_SKEW).unwrap_or_default();
        plus(self.caller.now(), ahead)
    }

    /// Calls, with one new token after a 401 where tokens can be had.
    ///
    /// # Errors
    /// Why there is no answer that can be read.
    pub async fn call(&self, call: &Call) -> Result<Answer, Refusal> {
        let reply = match &self.credentials {
            Credentials::None => self.send(call, None).await?,
            Credentials::Header(name, value) => self.send(call, Some((name, value.clone()))).await?,
            Credentials::OAuth(tokens) => {
                self.caller.ready(&call.what).await?;
                let token = tokens.any_token().await?;
                let reply = self.send(call, Some((&header::AUTHORIZATION, bearer(token.expose())?))).await?;
                if reply.status == StatusCode::UNAUTHORIZED {
                    tokens.discard(&token).await;
                    let fresh = tokens.any_token().await?;
                    self.send(call, Some((&header::AUTHORIZATION, bearer(fresh.expose())?))).await?
                } else {
                    reply
                }
            }
        };
        read(call, reply)
    }

    async fn send(&self, call: &Call, credentials: Option<(&HeaderName, HeaderValue)>) -> Result<Reply, CallError> {
        let reply = self
            .caller
            .send(&call.what, |http| {
                let mut request = http
                    .request(call.method.clone(), call.url.clone())
                    .header(header::ACCEPT, "application/json")
                    .headers(self.headers.clone())
                    .headers(call.headers.clone());
                if let Some((name, value)) = &credentials {
                    request = request.header(*name, value.clone());
                }
                match &call.body {
                    Some(body) => request.json(body),
                    None => request,
                }
            })
            .await?;
        if let Some(date) = reply.date() {
            let ahead = date.duration_since(self.caller.now());
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        Ok(reply)
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Failure::broken("the token endpoint gave a token that no header can carry; check token_url"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(call: &Call, reply: Reply) -> Result<Answer, Refusal> {
    let what = &call.what;
    if !is_whole(call, reply.status) && !call.accepts.contains(&reply.status.as_u16()) {
        return Err(refused(call, reply.status));
    }
    let document = body::decode_any(&reply.body)
        .map_err(|instead| Failure::broken(format!("{what} was answered with {instead}; check base_url")))?;
    Ok(Answer { status: reply.status.as_u16(), headers: reply.headers, document })
}

/// Whether an answer with this status is all there is to say: 206 is a part, 202 a promise, 204 nothing. Frameworks answer
/// 201 to any POST.
fn is_whole(call: &Call, status: StatusCode) -> bool {
    status == StatusCode::OK || (status == StatusCode::CREATED && call.method == Method::POST)
}

fn refused(call: &Call, status: StatusCode) -> Refusal {
    let what = &call.what;
    match status {
        StatusCode::UNAUTHORIZED => Refusal::Failed(Failure {
            kind: FailureKind::Unauthorized,
            message: format!("{what} refused the credentials with 401; check them"),
        }),
        StatusCode::FORBIDDEN => {
            let scope = call.needs.clone().unwrap_or_else(|| format!("the right to {what}"));
            Refusal::Failed(Failure {
                message: format!("{what} was answered 403; grant {scope}, then it is used within the hour"),
                kind: FailureKind::Forbidden { scope },
            })
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => Refusal::NotFound(
            Failure::broken(format!("{what} was answered {}; check base_url and the path", status.as_u16())),
        ),
        status => {
            let hint = match status.as_u16() {
                200..300 => "that is no whole answer; ",
                300..400 => "redirects are not followed; ",
                _ => "",
            };
            Refusal::Failed(Failure::broken(format!("{what} was answered {}; {hint}check base_url", status.as_u16())))
        }
    }
}
