//! Signing in at the receiver: bearer, basic, or a token by OAuth 2.0 client credentials.
//!
//! Invariant: what signs in goes to the receiver, the client's secret to the token endpoint, and neither over plain http
//! off this machine.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::domain::setting::{Many, Secret};
use crate::domain::time::Timestamp;
use crate::http::oauth::{self, Answer, Token, WHAT};
use crate::http::{Cap, HttpClient};
use crate::sink::target::{Problem, Target};

/// Bytes of a token endpoint's answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;

/// How to sign in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// How.
    kind: AuthKind,
    /// For `bearer`.
    #[serde(default)]
    token: Option<Secret>,
    /// For `basic`.
    #[serde(default)]
    user: Option<Secret>,
    /// For `basic`.
    #[serde(default)]
    password: Option<Secret>,
    /// For `oauth2_cc`: where tokens come from.
    #[serde(default)]
    token_url: Option<Secret>,
    /// For `oauth2_cc`.
    #[serde(default)]
    client_id: Option<Secret>,
    /// For `oauth2_cc`.
    #[serde(default)]
    client_secret: Option<Secret>,
    /// For `oauth2_cc`: the scopes to ask for, if any.
    #[serde(default)]
    scopes: Many<String>,
}

/// Ways to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    Bearer,
    Basic,
    /// OAuth 2.0 client credentials.
    Oauth2Cc,
}

impl AuthConfig {
    pub fn as_str(&self) -> &'static str {
        match self.kind {
            AuthKind::Bearer => "bearer token",
            AuthKind::Basic => "basic",
            AuthKind::Oauth2Cc => "OAuth 2.0 client credentials",
        }
    }

    pub fn secrets(&self) -> Vec<&Secret> {
        let all = [&self.token, &self.user, &self.password, &self.client_id, &self.client_secret];
        all.into_iter().flatten().collect()
    }

    pub fn problems(&self, networks: &Many<String>) -> Vec<Problem> {
        let settings = [
            ("token", &self.token, AuthKind::Bearer),
            ("user", &self.user, AuthKind::Basic),
            ("password", &self.password, AuthKind::Basic),
            ("token_url", &self.token_url, AuthKind::Oauth2Cc),
            ("client_id", &self.client_id, AuthKind::Oauth2Cc),
            ("client_secret", &self.client_secret, AuthKind::Oauth2Cc),
        ];
        let mut problems = Vec::new();
        let mut fault = |key: &str, text: &str| problems.push((format!("auth.{key}"), text.to_owned()));
        for (key, value, kind) in settings {
            match (value, kind == self.kind) {
                (None, true) => fault(key, "is missing"),
                (Some(_), false) => fault(key, "does not belong to this kind of `auth`"),
                _ => {}
            }
        }
        if !self.scopes.0.is_empty() && self.kind != AuthKind::Oauth2Cc {
            fault("scopes", "does not belong to this kind of `auth`");
        }
        if self.kind == AuthKind::Bearer
            && let Some(token) = &self.token
            && bearer(token.expose()).is_none()
        {
            fault("token", "can't stand in a header: visible ASCII characters can");
        }
        if let Some(Err(found)) = self.target(networks) {
            problems.extend(found);
        }
        problems
    }

    /// The token endpoint, where there is to be one.
    fn target(&self, networks: &Many<String>) -> Option<Result<Target, Vec<Problem>>> {
        let url = self.token_url.as_ref().filter(|_| self.kind == AuthKind::Oauth2Cc)?;
        Some(Target::parse("auth.token_url", url, networks).and_then(|target| {
            let open = "must begin with https:// (http:// is for a loopback address)";
            if target.keeps_secrets() { Ok(target) } else { Err(vec![("auth.token_url".to_owned(), open.to_owned())]) }
        }))
    }

    /// `client` makes a client for the token endpoint. [`Self::problems`] was empty.
    ///
    /// # Errors
    /// As for [`Self::problems`].
    pub fn build(
        &self,
        networks: &Many<String>,
        client: impl Fn(&Target) -> Result<HttpClient, Vec<Problem>>,
    ) -> Result<Auth, Vec<Problem>> {
        let text = |secret: &Option<Secret>| secret.as_ref().map(|s| s.expose().trim()).unwrap_or_default().to_owned();
        let secret = |secret: &Option<Secret>| Secret::new(text(secret));
        let target = match self.target(networks) {
            None => {
                let header = if self.kind == AuthKind::Bearer {
                    bearer(&text(&self.token))
                } else {
                    let pair = STANDARD.encode(format!("{}:{}", text(&self.user), text(&self.password)));
                    sensitive(&format!("Basic {pair}"))
                };
                return Ok(header.map_or(Auth::None, Auth::Fixed));
            }
            Some(target) => target?,
        };
        Ok(Auth::Oauth(Box::new(Oauth {
            client: client(&target)?,
            url: target.url,
            id: secret(&self.client_id),
            secret: secret(&self.client_secret),
            scopes: self.scopes.0.clone(),
            state: Mutex::default(),
        })))
    }
}

/// Signs requests in.
#[derive(Debug)]
pub enum Auth {
    None,
    Fixed(HeaderValue),
    Oauth(Box<Oauth>),
}

/// Gets tokens and keeps one.
#[derive(Debug)]
pub struct Oauth {
    client: HttpClient,
    url: Url,
    id: Secret,
    secret: Secret,
    scopes: Vec<String>,
    state: Mutex<Option<(Token, Timestamp)>>,
}

/// What signs one request in.
#[derive(Debug)]
pub struct Credential {
    pub header: HeaderValue,
    /// Where it can be replaced by another.
    pub token: Option<Token>,
}

impl Auth {
    /// The credential for a request made now.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn credential(&self, now: Timestamp, deadline: Duration) -> Result<Option<Credential>, String> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(header) => Ok(Some(Credential { header: header.clone(), token: None })),
            Self::Oauth(oauth) => {
                let token = oauth.token(now, deadline).await?;
                let header = bearer(token.expose()).ok_or_else(|| format!("{WHAT} gave a token that is none"))?;
                Ok(Some(Credential { header, token: Some(token) }))
            }
        }
    }

    /// Forgets a token that was refused, unless somebody else has already replaced it.
    pub async fn discard(&self, refused: &Token) {
        if let Self::Oauth(oauth) = self {
            let mut state = oauth.state.lock().await;
            if state.as_ref().is_some_and(|(token, _)| token == refused) {
                *state = None;
            }
        }
    }
}

impl Oauth {
    async fn token(&self, now: Timestamp, deadline: Duration) -> Result<Token, String> {
        // Attempts that go on side by side ask once.
        let mut state = self.state.lock().await;
        if let Some((token, _)) = state.as_ref().filter(|(_, until)| now < *until) {
            return Ok(token.clone());
        }
        let scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        let request = oauth::request(&self.client, self.url.clone(), &self.id, &self.secret, &scopes);
        let reply = self.client.send(request, deadline, Cap::Cut(ANSWER_BYTES)).await;
        let reply = reply.map_err(|error| format!("{WHAT}: {error}"))?;
        match oauth::read(&reply, &scopes, now) {
            Ok(Answer::Token { token, until, .. }) => {
                *state = Some((token.clone(), until));
                Ok(token)
            }
            Ok(Answer::InvalidScope) => Err(format!("{WHAT} does not grant the client what `scopes` asks for")),
            Err(failure) => Err(failure.message),
        }
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let token = token.trim();
    let good = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| sensitive(&format!("Bearer {token}"))).flatten()
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
