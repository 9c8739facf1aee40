//! OAuth 2.0 client credentials (RFC 6749 section 4.4): one token for all scopes that are granted, kept until shortly
//! before it ends.
//!
//! Invariant: a missing scope costs what needs that scope and nothing else; the secret goes to the token endpoint only.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use reqwest::Url;
use tokio::sync::Mutex;

use crate::domain::record::{Failure, FailureKind};
use crate::domain::setting::Secret;
use crate::domain::time::{Timestamp, elapsed};
use crate::http::oauth::{self, Answer, WHAT};

use super::calls::Caller;

pub use crate::http::oauth::Token;

/// Scopes that were refused are asked for again after this long.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// Who signs in where, for what.
#[derive(Debug, Clone)]
pub struct Client {
    pub token_url: Url,
    pub id: Secret,
    pub secret: Secret,
    /// All scopes there is a use for; none: the token is good for whatever the client may do.
    pub scopes: Vec<String>,
}

/// Gets tokens and keeps them. Looks that run side by side share one.
#[derive(Debug)]
pub struct ClientCredentials {
    caller: Caller,
    client: Client,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<(Token, Timestamp)>,
    /// Scopes this client has; `None` before the first answer.
    granted: Option<BTreeSet<String>>,
    /// When it was last found out which those are.
    asked: Option<Timestamp>,
}

impl ClientCredentials {
    pub fn new(caller: Caller, client: Client) -> Self {
        Self { caller, client, state: Mutex::default() }
    }

    /// A token that is good for `scope`.
    ///
    /// # Errors
    /// `Forbidden` without any call where the scope is known not to be granted; otherwise why there is no token.
    pub async fn token(&self, scope: &str) -> Result<Token, Failure> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        let granted = state.granted.as_ref().is_some_and(|granted| granted.contains(scope));
        match &state.token {
            Some((token, _)) if granted => Ok(token.clone()),
            _ => Err(missing_scope(scope)),
        }
    }

    /// A token, whatever it is good for.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn any_token(&self) -> Result<Token, Failure> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        match &state.token {
            Some((token, _)) => Ok(token.clone()),
            None => Err(missing_scope(&self.client.scopes.join(" "))),
        }
    }

    /// Forgets a token that was refused, unless somebody else has already replaced it.
    pub async fn discard(&self, refused: &Token) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|(token, _)| token == refused) {
            state.token = None;
        }
    }

    /// A new token in place of one that was refused; the current one where somebody else has already replaced it.
    ///
    /// # Errors
    /// As for [`Self::token`].
    pub async fn renew(&self, refused: &Token, scope: &str) -> Result<Token, Failure> {
        self.discard(refused).await;
        self.token(scope).await
    }

    /// The scopes this client has.
    ///
    /// # Errors
    /// Why that can't be told.
    pub async fn granted(&self) -> Result<BTreeSet<String>, Failure> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        Ok(state.granted.clone().unwrap_or_default())
    }

    /// Sees to it that there is a token, unless no scope is granted.
    async fn refresh(&self, state: &mut State) -> Result<(), Failure> {
        let now = self.caller.now();
        let narrow = state.granted.as_ref().filter(|granted| granted.len() < self.client.scopes.len());
        let ask_again = narrow.is_some() && state.asked.is_none_or(|asked| elapsed(asked, now) >= ASK_AGAIN);
        let usable = state.token.as_ref().is_some_and(|(_, until)| now < *until);
        let nothing_granted = narrow.is_some_and(BTreeSet::is_empty);
        if !ask_again && (usable || nothing_granted) {
            return Ok(());
        }
        let mut scopes: Vec<&str> = self.client.scopes.iter().map(String::as_str).collect();
        if let Some(granted) = narrow.filter(|_| !ask_again) {
            scopes.retain(|scope| granted.contains(*scope));
        }
        let mut found_out = scopes.len() == self.client.scopes.len();
        let mut outcome = self.ask(&scopes, now).await;
        if matches!(outcome, Ok(Answer::InvalidScope)) {
            found_out = true;
            outcome = self.probe(now).await;
        }
        if found_out {
            state.asked = Some(now);
        }
        match outcome {
            Ok(Answer::Token { token, until, granted }) => {
                state.token = Some((token, until));
                state.granted = Some(granted);
                Ok(())
            }
            Ok(Answer::InvalidScope) => {
                state.token = None;
                state.granted = Some(BTreeSet::new());
                Ok(())
            }
            // Asking for more must not cost what there is.
            Err(_) if usable => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Finds out which scopes are granted by asking for each alone, then asks for those together.
    async fn probe(&self, now: Timestamp) -> Result<Answer, Failure> {
        let mut granted: Vec<&str> = Vec::new();
        for scope in &self.client.scopes {
            if let Answer::Token { granted: answered, .. } = self.ask(&[scope], now).await?
                && answered.contains(scope)
            {
                granted.push(scope);
            }
        }
        if granted.is_empty() {
            return Ok(Answer::InvalidScope);
        }
        match self.ask(&granted, now).await? {
            Answer::InvalidScope => Err(Failure::broken(format!(
                "{WHAT} grants {} one by one but not together; grant them to the client as a whole",
                granted.join(" ")
            ))),
            answer @ Answer::Token { .. } => Ok(answer),
        }
    }

    async fn ask(&self, scopes: &[&str], now: Timestamp) -> Result<Answer, Failure> {
        let Client { token_url, id, secret, .. } = &self.client;
        let reply = self.caller.send(WHAT, |http| oauth::request(http, token_url.clone(), id, secret, scopes)).await?;
        oauth::read(&reply, scopes, now)
    }
}

/// What a call that needs a scope the client hasn't got comes to.
pub fn missing_scope(scope: &str) -> Failure {
    Failure {
        kind: FailureKind::Forbidden { scope: scope.to_owned() },
        message: format!("the client has not been granted {scope}; grant it, then it is used within the hour"),
    }
}
