//! Settings of a source of kind `amp`, and how it is built from them.

use std::sync::Arc;

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::ids;
use crate::domain::setting::Secret;
use crate::env::SeededDice;
use crate::http::{ClientOptions, HttpClient};
use crate::source::calls::{Caller, Told};
use crate::source::oauth::{self, ClientCredentials};
use crate::source::origin::{authority, host_id, is_exposed, parse_url};
use crate::source::{Common, Context, Source, SourceConfig};

use super::Amp;
use super::client::{Client, SCOPES};
use super::collections::{SingleThreads, collections};
use super::hourly::Hourly;

/// Changes whenever keys are made in another way: everything known is then learned anew, silently.
const KEYS: &str = "1";
/// The most calls an hour for single threads that may be set.
const MOST_THREAD_CALLS: u32 = 3_600;

/// Settings of a source of kind `amp` (Amp External API v2).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Stands before `/api/v2/…`. Plain http only to loopback.
    #[serde(default = "default_base_url")]
    #[schemars(extend("default" = "https://ampcode.com"))]
    base_url: Secret,
    /// Where tokens come from (OAuth 2.0 client credentials). Plain http only to loopback.
    #[serde(default = "default_token_url")]
    #[schemars(extend("default" = "https://auth.ampcode.com/oauth2/token"))]
    token_url: Secret,
    client_id: Secret,
    client_secret: Secret,
    /// Calls an hour, at most, to ask what single threads have cost; only made where a rule of kind `thread_cost` asks. The
    /// first look and `once` ask for up to 500 threads besides.
    #[serde(default = "default_thread_calls")]
    thread_calls_per_hour: u32,
    /// Whether `thread.updated` also tells how many messages a thread has and how the last one ended. Their text is not
    /// kept. Takes a call for each 100 messages of a thread that was worked on.
    #[serde(default)]
    messages: bool,
    /// Calls an hour for that; a thread that was begun is read to its end, and the next ones wait for it.
    #[serde(default = "default_thread_calls")]
    message_calls_per_hour: u32,
}

fn default_base_url() -> Secret {
    Secret::new("https://ampcode.com")
}

fn default_token_url() -> Secret {
    Secret::new("https://auth.ampcode.com/oauth2/token")
}

fn default_thread_calls() -> u32 {
    60
}

impl SourceConfig for Config {
    fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, what: String| problems.push((key.to_owned(), what));
        for (key, url, query) in [("base_url", &self.base_url, false), ("token_url", &self.token_url, true)] {
            if let Err(what) = parse_url(url, query) {
                problem(key, what);
            }
        }
        for (key, secret) in [("client_id", &self.client_id), ("client_secret", &self.client_secret)] {
            if secret.is_empty() {
                problem(key, "is empty; set it to that of the workspace's API client".to_owned());
            }
        }
        for (key, calls) in [
            ("thread_calls_per_hour", self.thread_calls_per_hour),
            ("message_calls_per_hour", self.message_calls_per_hour),
        ] {
            if !(1..=MOST_THREAD_CALLS).contains(&calls) {
                problem(key, format!("must be between 1 and {MOST_THREAD_CALLS}"));
            }
        }
        problems
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Source>, String> {
        let named = |key: &'static str| move |what: String| format!("{key} {what}");
        let base = parse_url(&self.base_url, false).map_err(named("base_url"))?;
        let token_url = parse_url(&self.token_url, true).map_err(named("token_url"))?;
        if [&base, &token_url].iter().any(|url| is_exposed(url, common.proxy.as_ref())) {
            return Err("a proxy would carry credentials in the clear; use https for base_url and token_url".to_owned());
        }
        let http = HttpClient::new(ClientOptions {
            proxy: common.proxy.clone(),
            ca_file: common.ca_file.as_ref().map(|path| context.folder.join(path)),
            guard: None,
        })
        .map_err(|error| error.to_string())?;
        let dice = Arc::new(SeededDice::from_system());
        let told = Told::default();
        let caller = |url: &Url| {
            let limiter = context.limiters.host(&authority(url), common.max_rps);
            Caller::new(http.clone(), limiter, common.timeout, Arc::clone(&context.clock), dice.clone())
                .with_pause(context.pause)
                .telling(&told)
        };
        let fingerprint = ids::derive("amp", &[base.as_str(), self.client_id.expose(), KEYS]);
        let scopes = SCOPES.map(str::to_owned).to_vec();
        let host = host_id(&[&base, &token_url]);
        let (id, secret) = (self.client_id.clone(), self.client_secret.clone());
        let auth = ClientCredentials::new(caller(&token_url), oauth::Client { token_url, id, secret, scopes });
        let single = SingleThreads {
            costs: context.wants_costs.then_some(self.thread_calls_per_hour),
            messages: self.messages.then_some(self.message_calls_per_hour),
        };
        Ok(Arc::new(Amp {
            name: name.to_owned(),
            collections: collections(name, &fingerprint, &host, common.every, single),
            client: Client::new(caller(&base), auth, base),
            prices: Arc::clone(&context.prices),
            thread_calls: Hourly::new(self.thread_calls_per_hour),
            message_calls: Hourly::new(self.message_calls_per_hour),
            names: std::sync::Mutex::default(),
        }))
    }
}
