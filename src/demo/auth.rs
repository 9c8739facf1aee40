//! OAuth 2.0 client credentials (RFC 6749, section 4.4) as the workspace's authorization server grants them.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::rng::SplitMix;
use crate::domain::time::{SignedDuration, Timestamp, plus};

/// The client every fake workspace knows at first.
pub const CLIENT_ID: &str = "demo-client";
/// Its secret, which guards nothing.
pub const CLIENT_SECRET: &str = "demo-secret-that-guards-nothing";
/// Tokens kept at once; a new one more replaces the oldest.
const TOKENS: usize = 10_000;

/// The scopes of the External API.
pub mod scope {
    pub const THREADS_META: &str = "amp.api:workspace.threads.meta:view";
    pub const THREADS_CONTENTS: &str = "amp.api:workspace.threads.contents:view";
    pub const THREADS_MANAGE: &str = "amp.api:workspace.threads:manage";
    pub const ANALYTICS: &str = "amp.api:workspace.analytics:view";
    pub const MEMBERS: &str = "amp.api:workspace.members:view";
    /// What a client is granted unless a test says otherwise: all that reads.
    pub const READING: [&str; 4] = [THREADS_META, THREADS_CONTENTS, ANALYTICS, MEMBERS];
}

/// The one client of a workspace and the tokens it holds.
#[derive(Debug, Clone)]
pub struct Auth {
    secret: String,
    revoked: bool,
    granted: BTreeSet<String>,
    ttl: SignedDuration,
    tokens: BTreeMap<String, Token>,
    issued: u64,
    rng: SplitMix,
}

#[derive(Debug, Clone)]
struct Token {
    number: u64,
    expires: Timestamp,
    scopes: BTreeSet<String>,
}

/// What a request's bearer token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Counts the tokens issued, for the log.
    pub number: u64,
    pub scopes: BTreeSet<String>,
}

/// A token just issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub token: String,
    pub expires_in: i64,
    pub scope: String,
}

/// Why there is no token (RFC 6749, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    InvalidRequest,
    InvalidClient,
    UnsupportedGrantType,
    InvalidScope,
}

impl Refusal {
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
        }
    }
}

impl Auth {
    pub fn new(seed: u64) -> Self {
        Self {
            secret: CLIENT_SECRET.to_owned(),
            revoked: false,
            granted: scope::READING.iter().map(|s| (*s).to_owned()).collect(),
            ttl: SignedDuration::from_hours(1),
            tokens: BTreeMap::new(),
            issued: 0,
            rng: SplitMix::of(&[seed, 0x00a0_74b0]),
        }
    }

    /// Answers a token request. `authorization` is the header, `form` the decoded body.
    pub fn grant(
        &mut self,
        authorization: Option<&str>,
        form: &[(String, String)],
        now: Timestamp,
    ) -> Result<Grant, Refusal> {
        let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let from_form = || Some((field("client_id")?.to_owned(), field("client_secret")?.to_owned()));
        let (id, secret) = match authorization {
            Some(header) => basic(header).ok_or(Refusal::InvalidClient)?,
            None => from_form().ok_or(Refusal::InvalidClient)?,
        };
        if self.revoked || id != CLIENT_ID || secret != self.secret {
            return Err(Refusal::InvalidClient);
        }
        match field("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Err(Refusal::UnsupportedGrantType),
            None => return Err(Refusal::InvalidRequest),
        }
        let scopes: BTreeSet<String> = match field("scope") {
            Some(list) => list.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
            None => self.granted.clone(),
        };
        if scopes.is_empty() || !scopes.is_subset(&self.granted) {
            return Err(Refusal::InvalidScope);
        }
        Ok(self.issue(scopes, now))
    }

    fn issue(&mut self, scopes: BTreeSet<String>, now: Timestamp) -> Grant {
        self.tokens.retain(|_, t| t.expires > now);
        if self.tokens.len() >= TOKENS
            && let Some(oldest) = self.tokens.values().map(|t| t.number).min()
        {
            self.tokens.retain(|_, t| t.number != oldest);
        }
        self.issued += 1;
        let token = format!("amp_at_{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        let scope = scopes.iter().cloned().collect::<Vec<_>>().join(" ");
        let held = Token { number: self.issued, expires: plus(now, self.ttl), scopes };
        self.tokens.insert(token.clone(), held);
        Grant { token, expires_in: self.ttl.as_secs(), scope }
    }

    /// What the token of an `Authorization` header is good for: the scopes it was issued with that are still granted.
    pub fn bearer(&self, authorization: Option<&str>, now: Timestamp) -> Option<Bearer> {
        let token = self.tokens.get(after_scheme(authorization?, "bearer")?)?;
        let scopes = token.scopes.intersection(&self.granted).cloned().collect();
        (token.expires > now).then_some(Bearer { number: token.number, scopes })
    }

    pub fn set_scopes(&mut self, granted: impl IntoIterator<Item = String>) {
        self.granted = granted.into_iter().collect();
    }

    pub fn set_ttl(&mut self, ttl: SignedDuration) {
        self.ttl = ttl;
    }

    pub fn rotate_secret(&mut self, secret: &str) {
        secret.clone_into(&mut self.secret);
        self.revoked = false;
    }

    /// Refuses the client until its secret is rotated, and its tokens at once.
    pub fn revoke_client(&mut self) {
        self.revoked = true;
        self.tokens.clear();
    }

    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    pub fn issued(&self) -> u64 {
        self.issued
    }
}

/// Id and secret of an HTTP Basic header. Both may be form-encoded inside (RFC 6749, section 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(after_scheme(header, "basic")?).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id), form_decoded(secret)))
}

/// What follows the scheme of an `Authorization` header, whose name has no case (RFC 9110, section 11.1).
fn after_scheme<'h>(header: &'h str, scheme: &str) -> Option<&'h str> {
    let (given, rest) = header.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn form_decoded(text: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    match (pairs.next(), pairs.next()) {
        (Some((name, value)), None) if value.is_empty() => name.into_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(auth: &mut Auth, fields: &[(&str, &str)]) -> Result<Grant, Refusal> {
        let header = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
        let form: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        auth.grant(Some(&header), &form, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn refusals_name_the_rule_that_was_broken() {
        let mut auth = Auth::new(1);
        assert_eq!(ask(&mut auth, &[]), Err(Refusal::InvalidRequest));
        assert_eq!(ask(&mut auth, &[("grant_type", "password")]), Err(Refusal::UnsupportedGrantType));
        let manage = [("grant_type", "client_credentials"), ("scope", scope::THREADS_MANAGE)];
        assert_eq!(ask(&mut auth, &manage), Err(Refusal::InvalidScope));
        auth.rotate_secret("another");
        assert_eq!(ask(&mut auth, &[("grant_type", "client_credentials")]), Err(Refusal::InvalidClient));
    }

    #[test]
    fn a_token_lives_its_time_and_loses_what_the_client_loses() {
        let mut auth = Auth::new(1);
        let both = format!("{} {}", scope::MEMBERS, scope::THREADS_META);
        let grant = ask(&mut auth, &[("grant_type", "client_credentials"), ("scope", &both)]).unwrap();
        assert_eq!((grant.expires_in, grant.scope), (3600, both));
        let header = format!("Bearer {}", grant.token);
        let at = |secs| Timestamp::from_second(secs).unwrap();
        assert_eq!(auth.bearer(Some(&header), at(3599)).unwrap().scopes.len(), 2);
        assert_eq!(auth.bearer(Some(&header), at(3600)), None);
        auth.set_scopes([scope::MEMBERS.to_owned()]);
        let left = auth.bearer(Some(&header), at(0)).unwrap().scopes;
        assert_eq!(left.into_iter().collect::<Vec<_>>(), [scope::MEMBERS]);
        auth.revoke_tokens();
        assert_eq!(auth.bearer(Some(&header), at(0)), None);
    }

    #[test]
    fn basic_credentials_may_be_form_encoded() {
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(basic(&header("a%3Ab:c%2Bd")), Some(("a:b".to_owned(), "c+d".to_owned())));
        assert_eq!(basic(&header("id:a&b")), Some(("id".to_owned(), "a&b".to_owned())));
        assert_eq!(basic("Basic !"), None);
    }
}
