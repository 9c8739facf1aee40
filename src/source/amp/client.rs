//! Calls to the Amp External API v2: token, status table, the server's clock.

use std::sync::{Mutex, PoisonError};

use http::{Method, StatusCode, header};
use jiff::SignedDuration;
use reqwest::Url;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::domain::quota::Quota;
use crate::domain::record::{Failure, FailureKind};
use crate::domain::time::{Timestamp, plus};
use crate::http::Reply;
use crate::source::Remembered;
use crate::source::calls::{CallError, Caller};
use crate::source::oauth::ClientCredentials;

use crate::source::body;

/// Thread lists and thread usage.
pub(super) const META: &str = "amp.api:workspace.threads.meta:view";
/// Titles and repositories.
pub(super) const CONTENTS: &str = "amp.api:workspace.threads.contents:view";
pub(super) const ANALYTICS: &str = "amp.api:workspace.analytics:view";
/// Members, and the emails of users elsewhere.
pub(super) const MEMBERS: &str = "amp.api:workspace.members:view";

/// All scopes ampbridge has a use for; nothing it does needs one that ends in `:manage`.
pub(super) const SCOPES: [&str; 4] = [META, CONTENTS, ANALYTICS, MEMBERS];

/// Why a call brought no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 404, which says "unknown", not "deleted" and not "$0".
    NotFound,
    /// 400: the server does not like what was asked.
    Invalid(Failure),
    TooLarge(Failure),
    /// An answer that is no list that can be read to its end.
    Odd(Failure),
    Failed(Failure),
}

impl Refusal {
    /// As a failed look; `what` names the call.
    pub fn into_failure(self, what: &str) -> Failure {
        match self {
            Self::NotFound => Failure::broken(format!("{what} was answered 404; check base_url")),
            Self::Invalid(failure) | Self::TooLarge(failure) | Self::Odd(failure) | Self::Failed(failure) => failure,
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
        match error {
            CallError::TooLarge { .. } => Self::TooLarge(error.into()),
            other => Self::Failed(other.into()),
        }
    }
}

/// Whether a URL would swallow this segment of its path: what would be asked then is something else.
pub(super) fn is_swallowed(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// One GET of the API.
#[derive(Debug, Clone)]
pub(super) struct Get<'a> {
    /// Segments after the base URL; escaped here.
    pub path: &'a [&'a str],
    pub query: &'a [(&'a str, String)],
    pub scope: &'static str,
}

impl Get<'_> {
    /// For messages: never the query, never the host.
    pub fn what(&self) -> String {
        format!("GET {}", body::path_label(self.path))
    }
}

/// The API of one workspace.
#[derive(Debug)]
pub(super) struct Client {
    caller: Caller,
    auth: ClientCredentials,
    base: Url,
    /// The server's clock minus the local one, as of the last answer.
    ahead: Mutex<Option<SignedDuration>>,
}

impl Client {
    pub fn new(caller: Caller, auth: ClientCredentials, base: Url) -> Self {
        Self { caller, auth, base, ahead: Mutex::default() }
    }

    pub fn quota(&self) -> Option<Quota> {
        self.caller.quota()
    }

    pub fn asked_to_wait(&self) -> watch::Receiver<Option<Timestamp>> {
        self.caller.asked_to_wait()
    }

    pub fn remember(&self, remembered: Remembered) {
        self.caller.remember(remembered);
    }

    pub fn auth(&self) -> &ClientCredentials {
        &self.auth
    }

    /// The local time, for budgets of calls.
    pub fn local_now(&self) -> Timestamp {
        self.caller.now()
    }

    /// The server's clock: its last `Date`, carried on; `None` before the first answer.
    pub fn server_now(&self) -> Option<Timestamp> {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.map(|ahead| plus(self.caller.now(), ahead))
    }

    /// The address of a path below the base URL.
    pub fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only a URL that can't be a base has no path segments, and the config refuses those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Asks, with one new token after a 401.
    pub async fn get(&self, get: &Get<'_>) -> Result<Map<String, Value>, Refusal> {
        let what = get.what();
        let mut url = self.url(get.path);
        if !get.query.is_empty() {
            url.query_pairs_mut().extend_pairs(get.query);
        }
        self.caller.ready(&what).await?;
        let token = self.auth.token(get.scope).await?;
        let mut reply = self.send(&what, &url, token.expose()).await?;
        if reply.status == StatusCode::UNAUTHORIZED {
            let token = self.auth.renew(&token, get.scope).await?;
            reply = self.send(&what, &url, token.expose()).await?;
        }
        read(&what, &reply, get.scope)
    }

    async fn send(&self, what: &str, url: &Url, token: &str) -> Result<Reply, CallError> {
        let reply = self
            .caller
            .send(what, |http| {
                http.request(Method::GET, url.clone()).bearer_auth(token).header(header::ACCEPT, "application/json")
            })
            .await?;
        if let Some(date) = reply.date() {
            let ahead = date.duration_since(self.caller.now());
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        Ok(reply)
    }
}

fn read(what: &str, reply: &Reply, scope: &str) -> Result<Map<String, Value>, Refusal> {
    match reply.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => {
            return Err(Refusal::Failed(Failure {
                kind: FailureKind::Unauthorized,
                message: format!("{what} refused a fresh token; check that client_id belongs to this workspace"),
            }));
        }
        StatusCode::FORBIDDEN => {
            return Err(Refusal::Failed(Failure {
                kind: FailureKind::Forbidden { scope: scope.to_owned() },
                message: format!("{what} was answered 403; grant the client {scope}"),
            }));
        }
        StatusCode::NOT_FOUND => return Err(Refusal::NotFound),
        StatusCode::BAD_REQUEST => {
            return Err(Refusal::Invalid(Failure::broken(format!(
                "{what} was answered 400: the request was not understood"
            ))));
        }
        status => {
            let hint = if status.is_redirection() { "redirects are not followed; " } else { "" };
            let message = format!("{what} was answered {}; {hint}check base_url", status.as_u16());
            return Err(Refusal::Failed(Failure::broken(message)));
        }
    }
    let body = body::decode(&reply.body)
        .map_err(|instead| Failure::broken(format!("{what} was answered with {instead}; check base_url")))?;
    let blank = |error: &Value| matches!(error, Value::Null | Value::Bool(false)) || error.as_str() == Some("");
    if body.get("error").is_some_and(|error| !blank(error)) {
        return Err(Refusal::Failed(Failure::broken(format!("{what} answered 200 with an error inside"))));
    }
    Ok(body)
}
