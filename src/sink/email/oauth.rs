//! Tokens in a password's place: `XOAUTH2`, which Google and Microsoft ask for.

use std::time::Duration;

use http::Method;
use lettre::transport::smtp::authentication::Credentials;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::session::{Blame, Fault};
use crate::domain::record::FailureKind;
use crate::domain::setting::{Many, Secret};
use crate::domain::time::Timestamp;
use crate::http::oauth::{self, Answer, WHAT};
use crate::http::{Cap, ClientOptions, HttpClient};
use crate::sink::target::{Problem, Target, joined};

/// Bytes of a token endpoint's answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;

/// Where tokens come from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OauthConfig {
    /// The mailbox that is signed in.
    user: String,
    /// The token endpoint.
    token_url: Secret,
    client_id: Secret,
    client_secret: Secret,
    /// What the mailbox's owner has granted; without it, the client's own credentials are used.
    refresh_token: Option<Secret>,
    #[serde(default)]
    scopes: Many<String>,
    /// Networks the token endpoint may lie in besides the public ones, as CIDR.
    #[serde(default)]
    allow_networks: Many<String>,
}

impl OauthConfig {
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        [Some(&self.client_secret), self.refresh_token.as_ref()].into_iter().flatten()
    }

    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.target().err().unwrap_or_default();
        if self.user.trim().is_empty() || self.user.chars().any(char::is_control) {
            problems.push(("oauth2.user".to_owned(), "is no mailbox".to_owned()));
        }
        for (key, secret) in [("oauth2.client_id", &self.client_id), ("oauth2.client_secret", &self.client_secret)] {
            if secret.is_empty() {
                problems.push((key.to_owned(), "is empty".to_owned()));
            }
        }
        problems
    }

    fn target(&self) -> Result<Target, Vec<Problem>> {
        let target = Target::parse("token_url", &self.token_url, &self.allow_networks);
        let ours = |(key, text): Problem| (format!("oauth2.{key}"), text);
        let target = target.map_err(|problems| problems.into_iter().map(ours).collect::<Vec<_>>())?;
        let open = "must begin with https:// (http:// is for a loopback address)";
        if target.keeps_secrets() { Ok(target) } else { Err(vec![("oauth2.token_url".to_owned(), open.to_owned())]) }
    }
}

/// Fetches tokens and keeps the last one while it is good.
pub struct Oauth {
    config: OauthConfig,
    target: Target,
    http: HttpClient,
    kept: Mutex<Option<(Credentials, Timestamp)>>,
}

impl Oauth {
    pub fn new(config: &OauthConfig, sink: &str) -> Result<Self, String> {
        let target = config.target().map_err(|p| joined(&p))?;
        let guard = target.guard(&format!("sinks.{sink}.oauth2.allow_networks"));
        let http = HttpClient::new(ClientOptions { guard: Some(guard), ..ClientOptions::default() })
            .map_err(|e| e.to_string())?;
        Ok(Self { config: config.clone(), target, http, kept: Mutex::default() })
    }

    /// What to sign in with at `now`.
    pub async fn credentials(&self, now: Timestamp, deadline: Duration) -> Result<Credentials, Fault> {
        let mut kept = self.kept.lock().await;
        if let Some((credentials, until)) = &*kept
            && now < *until
        {
            return Ok(credentials.clone());
        }
        let scopes: Vec<&str> = self.config.scopes.0.iter().map(String::as_str).collect();
        let (id, secret) = (&self.config.client_id, &self.config.client_secret);
        let url = self.target.url.clone();
        let request = match &self.config.refresh_token {
            None => oauth::request(&self.http, url, id, secret, &scopes),
            // RFC 6749, section 6.
            Some(refresh) => self.http.request(Method::POST, url).form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh.expose()),
                ("client_id", id.expose()),
                ("client_secret", secret.expose()),
            ]),
        };
        let fault = |blame, text: String| Fault { blame, code: None, text };
        let reply = self.http.send(request, deadline, Cap::Fail(ANSWER_BYTES)).await;
        let reply = reply.map_err(|error| fault(Blame::Trouble, format!("{WHAT}: {error}")))?;
        match oauth::read(&reply, &scopes, now) {
            Ok(Answer::Token { token, until, .. }) => {
                let credentials = Credentials::new(self.config.user.clone(), token.expose().to_owned());
                *kept = Some((credentials.clone(), until));
                Ok(credentials)
            }
            Ok(Answer::InvalidScope) => {
                Err(fault(Blame::SignIn, format!("{WHAT} grants none of these scopes; check oauth2.scopes")))
            }
            Err(failure) => {
                let refused = failure.kind == FailureKind::Unauthorized;
                Err(fault(if refused { Blame::SignIn } else { Blame::Trouble }, failure.message))
            }
        }
    }

    /// The next attempt asks for a new token.
    pub async fn forget(&self) {
        *self.kept.lock().await = None;
    }
}
