//! OAuth 2.0 client credentials (RFC 6749 section 4.4) on the wire: how a token is asked for, and what the answer means.
//! Sources and sinks share it; when to ask is theirs.

use std::collections::BTreeSet;

use http::{Method, StatusCode, header};
use jiff::SignedDuration;
use reqwest::Url;
use serde_json::{Map, Value};

use super::{HttpClient, Reply};
use crate::domain::json;
use crate::domain::record::{Failure, FailureKind};
use crate::domain::setting::Secret;
use crate::domain::time::{Timestamp, plus};

/// How the token endpoint is called in errors.
pub const WHAT: &str = "the token endpoint";
/// Lifetime of a token that comes without one.
const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// No token is kept longer.
const LONGEST_LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// A token is replaced this long before it ends, or a tenth of its lifetime where that is less.
const MARGIN: SignedDuration = SignedDuration::from_mins(1);

/// A bearer token. Prints as `…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(Secret);

impl Token {
    /// The token itself, for the `Authorization` header.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// What asking for a token came to.
#[derive(Debug)]
pub enum Answer {
    Token {
        token: Token,
        /// When it is to be replaced.
        until: Timestamp,
        /// Those of the scopes asked for that it is good for.
        granted: BTreeSet<String>,
    },
    InvalidScope,
}

/// Asks for a token; without scopes, for one that is good for whatever the client may do.
pub fn request(http: &HttpClient, url: Url, id: &Secret, secret: &Secret, scopes: &[&str]) -> reqwest::RequestBuilder {
    let scope = scopes.join(" ");
    let mut form = vec![("grant_type", "client_credentials")];
    if !scope.is_empty() {
        form.push(("scope", &scope));
    }
    http.request(Method::POST, url)
        .basic_auth(form_encoded(id), Some(form_encoded(secret)))
        .header(header::ACCEPT, "application/json")
        .form(&form)
}

/// Reads the answer to [`request`].
///
/// # Errors
/// Why there is no token; never with what the endpoint said beyond a code of the specification.
pub fn read(reply: &Reply, scopes: &[&str], now: Timestamp) -> Result<Answer, Failure> {
    let body = match json::read(&reply.body) {
        Ok(Value::Object(body)) => body,
        _ => Map::new(),
    };
    if !reply.status.is_success() || body.contains_key("error") {
        return refusal(reply, &body);
    }
    granted(&body, scopes, now)
}

/// The value of a Basic credential is form-encoded first (RFC 6749 section 2.3.1).
fn form_encoded(secret: &Secret) -> String {
    url::form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect()
}

/// RFC 6749 section 5.2.
fn refusal(reply: &Reply, body: &Map<String, Value>) -> Result<Answer, Failure> {
    let code = body.get("error").and_then(Value::as_str).unwrap_or_default();
    let named = match code {
        "" => String::new(),
        code if code.len() <= 40 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => format!(" ({code})"),
        _ => " (an unusual error)".to_owned(),
    };
    let status = reply.status.as_u16();
    let refused = matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    match code {
        "invalid_scope" => Ok(Answer::InvalidScope),
        "invalid_client" | "unauthorized_client" | "invalid_grant" | "access_denied" => {
            Err(unauthorized(status, &named))
        }
        _ if refused => Err(unauthorized(status, &named)),
        _ => Err(Failure::broken(format!("{WHAT} answered {status}{named}; check token_url"))),
    }
}

/// RFC 6749 section 5.1.
fn granted(body: &Map<String, Value>, asked: &[&str], now: Timestamp) -> Result<Answer, Failure> {
    let token = body.get("access_token").and_then(Value::as_str).unwrap_or_default();
    if token.is_empty() {
        return Err(Failure::broken(format!("{WHAT} answered without an access token; check token_url")));
    }
    let lifetime = match body.get("expires_in") {
        Some(Value::Number(n)) => n.as_i64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let lifetime = lifetime.map_or(DEFAULT_LIFETIME, SignedDuration::from_secs);
    let lifetime = lifetime.clamp(SignedDuration::from_secs(1), LONGEST_LIFETIME);
    let until = plus(now, lifetime - MARGIN.min(lifetime / 10));
    // No list of scopes means that all were granted.
    let listed = body.get("scope").and_then(Value::as_str).filter(|list| !list.trim().is_empty());
    let granted = asked
        .iter()
        .filter(|scope| listed.is_none_or(|list| list.split_whitespace().any(|s| s == **scope)))
        .map(|scope| (*scope).to_owned())
        .collect();
    Ok(Answer::Token { token: Token(Secret::new(token)), until, granted })
}

fn unauthorized(status: u16, named: &str) -> Failure {
    Failure {
        kind: FailureKind::Unauthorized,
        message: format!("{WHAT} refused the client with {status}{named}; check client_id and client_secret"),
    }
}
