//! The External API v2, as its document describes it (info version `v2`, `https://ampcode.com`), and the token endpoint
//! before it (RFC 6749). A request in, an answer out; sockets and faults are elsewhere.

mod threads;
mod token;
mod usage;

use http::header::{ALLOW, CACHE_CONTROL, HeaderName, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::auth::{Auth, Bearer, scope};
use super::world::{CursorStyle, World};
use crate::domain::time::Timestamp;

pub const TOKEN_PATH: &str = "/oauth2/token";

/// All that an answer depends on besides the request and the time.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub world: World,
    pub auth: Auth,
    pub cursors: CursorStyle,
}

/// A request, read.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    /// Decoded pairs, in order.
    pub query: Vec<(String, String)>,
    pub authorization: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub body: &'a [u8],
}

impl Call<'_> {
    /// The first parameter of this name.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A whole number in a range; 400 for anything else.
    fn number(&self, name: &str, range: std::ops::RangeInclusive<usize>, default: usize) -> Result<usize, Answer> {
        let Some(text) = self.parameter(name) else { return Ok(default) };
        text.parse().ok().filter(|n| range.contains(n)).ok_or_else(|| {
            Answer::bad(&format!("{name} must be a whole number from {} to {}", range.start(), range.end()))
        })
    }
}

/// What goes back: a status, headers and JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, &'static str)>,
    pub body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body }
    }

    /// An error as the API words it: one string.
    pub fn error(status: StatusCode, text: &str) -> Self {
        Self { status, headers: Vec::new(), body: json!({ "error": text }) }
    }

    fn bad(text: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, text)
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Answers a request; also says who asked, for the log, without saying what they know.
pub fn answer(tenant: &mut Tenant, call: &Call<'_>, now: Timestamp) -> (Answer, Option<String>) {
    if call.path == TOKEN_PATH {
        return (token::grant(&mut tenant.auth, call, now), call.authorization.map(scheme));
    }
    let bearer = tenant.auth.bearer(call.authorization, now);
    let who = match &bearer {
        Some(bearer) => Some(format!("Bearer #{}", bearer.number)),
        None => call.authorization.map(scheme),
    };
    (route(tenant, call, bearer, now).unwrap_or_else(|refusal| refusal), who)
}

fn route(tenant: &Tenant, call: &Call<'_>, bearer: Option<Bearer>, now: Timestamp) -> Result<Answer, Answer> {
    let rest = call.path.strip_prefix("/api/v2/").ok_or_else(no_such_path)?;
    let parts: Vec<&str> = rest.split('/').collect();
    let reading = call.method == Method::GET || call.method == Method::HEAD;
    let needed = match parts.as_slice() {
        ["threads", _] => scope::THREADS_MANAGE,
        ["threads"] | ["threads", _, "usage"] => scope::THREADS_META,
        ["threads", _, "messages"] => scope::THREADS_CONTENTS,
        ["workspace", "members"] => scope::MEMBERS,
        ["workspace", "analytics", "daily-usage"] => scope::ANALYTICS,
        _ => return Err(no_such_path()),
    };
    let bearer = bearer.ok_or_else(|| {
        Answer::error(StatusCode::UNAUTHORIZED, "missing, unknown or expired access token")
            .with(WWW_AUTHENTICATE, "Bearer")
    })?;
    if !reading && needed != scope::THREADS_MANAGE {
        return Err(Answer::error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed").with(ALLOW, "GET"));
    }
    if !bearer.scopes.contains(needed) {
        return Err(Answer::error(StatusCode::FORBIDDEN, &format!("missing client scope(s): {needed}")));
    }
    match parts.as_slice() {
        ["threads"] => threads::list(tenant, call, &bearer),
        ["threads", id, "messages"] => threads::messages(tenant, call, id),
        ["threads", id, "usage"] => threads::usage(tenant, id, now),
        ["workspace", "members"] => Ok(usage::members(tenant)),
        ["workspace", "analytics", "daily-usage"] => usage::daily(tenant, call, &bearer, now),
        // Deleting is documented, but nothing here is ever deleted by a client, whatever scope it was given.
        _ => Err(Answer::error(StatusCode::FORBIDDEN, "this workspace doesn't let clients delete")),
    }
}

fn no_such_path() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "not found").with(CACHE_CONTROL, "no-store")
}

fn scheme(header: &str) -> String {
    match header.split_once(' ') {
        Some((scheme @ ("Basic" | "Bearer"), _)) => format!("{scheme} ?"),
        _ => "?".to_owned(),
    }
}
