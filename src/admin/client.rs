//! The command line's side of the admin API.

use std::path::Path;
use std::time::Duration;

use http::Method;

use super::api::{ADDRESS_FILE, Address, TOKEN_FILE, read_token};
use super::{Answer, Op, OpError};
use crate::domain::setting::Secret;
use crate::http::{Cap, ClientOptions, HttpClient};

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_mins(2);
/// Largest answer.
const MAX_ANSWER: usize = 512 * 1024 * 1024;

/// A running service.
pub struct Client {
    http: HttpClient,
    base: reqwest::Url,
    token: Secret,
}

impl Client {
    /// The service that has the store in `store` open, if its address and token can be read.
    pub fn find(store: &Path, configured: Option<&Secret>) -> Result<Self, OpError> {
        let fault = |why: String| OpError::Service(why);
        let path = store.join(ADDRESS_FILE);
        let text = std::fs::read_to_string(&path).map_err(|e| {
            fault(format!("the service that has the store open offers no admin API ({}: {e})", path.display()))
        })?;
        let address: Address = serde_json::from_str(&text).map_err(|e| fault(format!("{}: {e}", path.display())))?;
        let token = match configured {
            Some(token) => token.clone(),
            None => read_token(&store.join(TOKEN_FILE))
                .ok_or_else(|| fault(format!("the admin token {} can't be read", store.join(TOKEN_FILE).display())))?,
        };
        let mut listen = address.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(if listen.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        let base = reqwest::Url::parse(&format!("http://{listen}")).map_err(|e| fault(e.to_string()))?;
        let http = HttpClient::new(ClientOptions::default()).map_err(|e| fault(e.to_string()))?;
        Ok(Self { http, base, token })
    }

    pub async fn execute(&self, op: &Op) -> Result<Answer, OpError> {
        let body = self.call(Method::POST, "/api/v1/op", Some(op)).await?;
        serde_json::from_slice(&body)
            .map_err(|e| OpError::Service(format!("the running service answered something else: {e}")))
    }

    /// The whole store as JSON Lines, piece by piece.
    pub async fn export(&self, take: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<(), OpError> {
        let request = self.request(Method::GET, "/api/v1/export")?;
        match self.http.stream(request, DEADLINE, take).await {
            Ok(None) => Ok(()),
            Ok(Some(reply)) => Err(refusal(&reply)),
            Err(error) => Err(unreachable(&error.to_string())),
        }
    }

    fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, OpError> {
        let url = self.base.join(path).map_err(|e| unreachable(&e.to_string()))?;
        Ok(self.http.request(method, url).bearer_auth(self.token.expose()))
    }

    async fn call(&self, method: Method, path: &str, op: Option<&Op>) -> Result<Vec<u8>, OpError> {
        let mut request = self.request(method, path)?;
        if let Some(op) = op {
            request = request.json(op);
        }
        let sent = self.http.send(request, DEADLINE, Cap::Fail(MAX_ANSWER)).await;
        let reply = sent.map_err(|e| unreachable(&e.to_string()))?;
        if reply.status.is_success() { Ok(reply.body.to_vec()) } else { Err(refusal(&reply)) }
    }
}

fn unreachable(why: &str) -> OpError {
    OpError::Service(format!("the running service can't be asked: {why}"))
}

fn refusal(reply: &crate::http::Reply) -> OpError {
    let why = serde_json::from_slice::<serde_json::Value>(&reply.body)
        .ok()
        .and_then(|v| v.get("error").and_then(|e| e.as_str().map(str::to_owned)))
        .unwrap_or_else(|| format!("HTTP {}", reply.status));
    match reply.status.as_u16() {
        404 => OpError::NotFound(why),
        409 => OpError::Refused(why),
        _ => unreachable(&why),
    }
}
