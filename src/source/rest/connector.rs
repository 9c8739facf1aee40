//! A manifest as a whole, checked.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

use super::client::Credentials;
use super::faults::{Faults, check_name, hint};
use super::manifest::{Auth, AuthKind, Limits, Manifest};
use super::plan::Plan;
use super::pointer::Pointer;
use super::template::Template;
use crate::domain::setting::Secret;
use crate::source::calls::Caller;
use crate::source::oauth::{self, ClientCredentials};
use crate::source::origin::parse_url;
use crate::source::quota::Quota;

/// Collections of one manifest, at most.
const MOST_COLLECTIONS: usize = 50;
/// The most pages of one look that may be set.
const MOST_PAGES: u32 = 100_000;
/// The largest answer that may be read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A manifest, ready to be a source.
#[derive(Debug)]
pub struct Connector {
    pub base: Url,
    pub auth: Auth,
    pub token_url: Option<Url>,
    pub headers: HeaderMap,
    pub limits: Limits,
    pub binds: BTreeMap<String, Bind>,
    pub owner: Option<String>,
    pub plans: Vec<Plan>,
}

/// A value that another call tells.
#[derive(Debug, Clone)]
pub struct Bind {
    pub path: Template,
    pub pointer: Pointer,
}

impl Connector {
    /// Checks a manifest; all mistakes at once, as key path and what to do.
    pub fn compile(manifest: &Manifest) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Faults::default();
        let base = faults.take("base", parse_url(&manifest.base, false));
        let token_url = auth(&manifest.auth, &mut faults);
        let headers = headers(&manifest.headers, &mut faults);
        limits(&manifest.limits, &mut faults);
        let binds = binds(manifest, &mut faults);
        let names: Vec<String> = manifest.bind.keys().cloned().collect();
        if let Some(owner) = manifest.owner.as_ref().filter(|owner| !names.contains(owner)) {
            let hint = hint(owner, names.iter().map(String::as_str));
            faults.add("owner", format!("{owner:?} is no name under bind{hint}"));
        }
        if manifest.collections.is_empty() {
            faults.add("collections", "names nothing to read; write each under [collections.NAME]");
        }
        if manifest.collections.len() > MOST_COLLECTIONS {
            faults.add("collections", format!("more than {MOST_COLLECTIONS}; divide the manifest"));
        }
        let mut plans = Vec::new();
        for (name, collection) in &manifest.collections {
            faults.take(format!("collections.{name}"), check_name(name));
            plans.extend(Plan::compile(name, collection, &names, &mut faults));
        }
        match base {
            Some(base) if faults.is_empty() => Ok(Self {
                base,
                auth: manifest.auth.clone(),
                token_url,
                headers,
                limits: manifest.limits.clone(),
                binds,
                owner: manifest.owner.clone(),
                plans,
            }),
            _ => Err(faults.into_inner()),
        }
    }

    /// What the manifest says the API allows; the strictest.
    pub fn quota(&self) -> Option<Quota> {
        let limits = [(self.limits.rpm, 60), (self.limits.rph, 3_600), (self.limits.rpd, 86_400)];
        let quotas = limits.into_iter().filter_map(|(calls, secs)| Some(Quota { calls: u64::from(calls?), secs }));
        quotas.reduce(Quota::stricter)
    }

    /// What calls prove who makes them with; `tokens` makes calls to the token endpoint.
    pub fn credentials(&self, tokens: impl Fn(&Url) -> Caller) -> Result<Credentials, String> {
        let missing = Secret::new("");
        let secret = |secret: &Option<Secret>| secret.clone().unwrap_or_else(|| missing.clone());
        match self.auth.kind {
            AuthKind::None => Ok(Credentials::None),
            AuthKind::Bearer => Credentials::bearer(&secret(&self.auth.token)),
            AuthKind::Basic => Credentials::basic(&secret(&self.auth.user), self.auth.password.as_ref()),
            AuthKind::Header => {
                let name = self.auth.name.as_deref().unwrap_or_default();
                let name = HeaderName::try_from(name).map_err(|_| "auth.name is no header's name".to_owned())?;
                Credentials::header(name, secret(&self.auth.value).expose().trim())
            }
            AuthKind::OAuth2Cc => {
                let token_url = self.token_url.clone().ok_or("auth.token_url is missing")?;
                let client = oauth::Client {
                    id: secret(&self.auth.client_id),
                    secret: secret(&self.auth.client_secret),
                    scopes: self.auth.scopes.0.clone(),
                    token_url: token_url.clone(),
                };
                Ok(Credentials::OAuth(Box::new(ClientCredentials::new(tokens(&token_url), client))))
            }
        }
    }
}

/// Checks which keys go with which kind; the token endpoint, where there is one.
fn auth(auth: &Auth, faults: &mut Faults) -> Option<Url> {
    use AuthKind::{Basic, Bearer, Header, OAuth2Cc};
    let secrets = [
        ("token", &auth.token, Bearer, true),
        ("user", &auth.user, Basic, true),
        ("password", &auth.password, Basic, false),
        ("value", &auth.value, Header, true),
        ("token_url", &auth.token_url, OAuth2Cc, true),
        ("client_id", &auth.client_id, OAuth2Cc, true),
        ("client_secret", &auth.client_secret, OAuth2Cc, true),
    ];
    for (key, value, kind, needed) in secrets {
        match value {
            Some(_) if auth.kind != kind => faults.add(format!("auth.{key}"), "does not go with this kind of auth"),
            Some(secret) if needed && secret.is_empty() => faults.add(format!("auth.{key}"), "is empty"),
            None if auth.kind == kind && needed => {
                faults.add(format!("auth.{key}"), "is missing; it is a text, { env = \"…\" } or { file = \"…\" }");
            }
            _ => {}
        }
    }
    match (auth.kind, &auth.name) {
        (Header, None) => faults.add("auth.name", "is missing: the header's name, like \"x-api-key\""),
        (Header, Some(name)) if HeaderName::try_from(name.as_str()).is_err() => {
            faults.add("auth.name", format!("{name:?} is no header's name"));
        }
        (kind, Some(_)) if kind != Header => faults.add("auth.name", "goes with kind = \"header\" only"),
        _ => {}
    }
    if !auth.scopes.0.is_empty() && auth.kind != OAuth2Cc {
        faults.add("auth.scopes", "goes with kind = \"oauth2_cc\" only");
    }
    let url = auth.token_url.as_ref().filter(|_| auth.kind == OAuth2Cc)?;
    faults.take("auth.token_url", parse_url(url, true))
}

fn headers(given: &BTreeMap<String, Secret>, faults: &mut Faults) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let path = format!("headers.{name}");
        if name.eq_ignore_ascii_case("authorization") {
            faults.add(path.clone(), "belongs under auth");
        }
        match (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.expose().trim())) {
            (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
            (Err(_), _) => faults.add(path, "is no header's name"),
            (_, Err(_)) => faults.add(path, "holds characters no header can carry"),
        }
    }
    headers
}

fn limits(limits: &Limits, faults: &mut Faults) {
    for (key, value) in [("rpm", limits.rpm), ("rph", limits.rph), ("rpd", limits.rpd)] {
        if value == Some(0) {
            faults.add(format!("limits.{key}"), "must be 1 at least; leave it out where nothing is known");
        }
    }
    if !(1..=MOST_PAGES).contains(&limits.page_max) {
        faults.add("limits.page_max", format!("must be between 1 and {MOST_PAGES}"));
    }
    if !(1_024..=MOST_BYTES).contains(&limits.bytes_max) {
        faults.add("limits.bytes_max", format!("must be between 1024 and {MOST_BYTES}"));
    }
}

fn binds(manifest: &Manifest, faults: &mut Faults) -> BTreeMap<String, Bind> {
    let mut binds = BTreeMap::new();
    for (name, (path, pointer)) in &manifest.bind {
        let key = format!("bind.{name}");
        faults.take(key.clone(), check_name(name));
        if name.contains('-') || ["from", "to", "day", "days"].contains(&name.as_str()) {
            faults.add(key.clone(), "is a name that can't be used here; choose another");
        }
        if !path.starts_with('/') || path.contains('$') {
            faults.add(format!("{key}[0]"), format!("{path:?} must be a path that begins with `/`, without variables"));
        }
        if let Some(pointer) = faults.one(format!("{key}[1]"), pointer) {
            binds.insert(name.clone(), Bind { path: Template::new(path), pointer });
        }
    }
    binds
}
