//! Settings of a webhook, and what is wrong with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::domain::setting::{Many, Secret};
use crate::domain::signing::{Scheme, SigningSecret};
use crate::http::{BuildError, ClientOptions, HttpClient, Lookup};
use crate::render::BodyTemplate;
use crate::sink::redact::Redactor;
use crate::sink::target::{Problem, Target, joined};
use crate::sink::{Common, Context, Sink, SinkConfig};

use super::Webhook;
use super::auth::{Auth, AuthConfig};
use super::body::{JSON, Mode, Shape};
use super::preset::{Given, Preset, PresetName};

/// More secrets than a rotation ever needs.
const SECRETS_MAX: usize = 8;
/// More headers than a receiver ever asks for.
const HEADERS_MAX: usize = 32;
/// Headers that say what the message is, and are never anybody's own.
const RESERVED: [&str; 7] =
    ["content-type", "content-length", "content-encoding", "host", "transfer-encoding", "connection", "expect"];

/// Settings of a webhook.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where events are sent.
    #[schemars(required)]
    url: Option<Secret>,
    /// `whsec_…` secrets and `whsk_…` keys the deliveries are signed with: one, or several while rotating.
    #[schemars(required)]
    secrets: Option<Many<Secret>>,
    /// Networks the target may lie in besides the public ones, as CIDR.
    #[serde(default)]
    allow_networks: Many<String>,
    /// How an event is written. Several at once are always a batch.
    #[serde(default)]
    mode: Mode,
    /// How to sign in at the receiver.
    #[serde(default)]
    auth: Option<AuthConfig>,
    /// Further headers; each value is a secret.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// The client's certificate and its chain for mutual TLS, as PEM text: `{ file = "client.pem" }`.
    #[serde(default)]
    client_cert: Option<Secret>,
    /// The key of `client_cert`, as PEM text.
    #[serde(default)]
    client_key: Option<Secret>,
    /// A PEM file of certificates to trust besides the system's.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// The HTTP method.
    #[serde(default)]
    method: Verb,
    /// A template of the whole body in place of the event, for a receiver with a form of its own.
    #[serde(default)]
    body: Option<Secret>,
    /// What `body` is written in; data is escaped for it.
    #[serde(default)]
    content_type: Option<String>,
    /// The form of a known receiver.
    #[serde(default)]
    #[schemars(skip)]
    preset: Option<PresetName>,
    /// The integration key of `PagerDuty`.
    #[serde(default)]
    #[schemars(skip)]
    routing_key: Option<Secret>,
    /// The topic at ntfy.
    #[serde(default)]
    #[schemars(skip)]
    topic: Option<Secret>,
    /// A repository at GitHub, `owner/name`.
    #[serde(default)]
    #[schemars(skip)]
    repository: Option<String>,
}

/// Methods with a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Verb {
    #[default]
    #[serde(rename = "POST")]
    Post,
    #[serde(rename = "PUT")]
    Put,
    #[serde(rename = "PATCH")]
    Patch,
}

impl From<Verb> for Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Post => Self::POST,
            Verb::Put => Self::PUT,
            Verb::Patch => Self::PATCH,
        }
    }
}

/// Everything of the settings that could be read.
struct Parts {
    target: Target,
    secrets: Vec<SigningSecret>,
    auth: Auth,
    headers: HeaderMap,
    shape: Shape,
    client: HttpClient,
}

impl WebhookConfig {
    fn target(&self) -> Result<Target, Vec<Problem>> {
        let missing = || vec![("url".to_owned(), "is missing: where are the events to go?".to_owned())];
        let usual = self.preset.and_then(PresetName::usual_url).map(Secret::new);
        let url = self.url.as_ref().or(usual.as_ref()).ok_or_else(missing)?;
        let mut target = Target::parse("url", url, &self.allow_networks)?;
        if let (Some(PresetName::Github), Some(repository)) = (self.preset, &self.repository) {
            target.url = super::preset::github::dispatches(&target.url, repository)
                .map_err(|why| vec![("repository".to_owned(), why)])?;
        }
        Ok(target)
    }

    fn given_secrets(&self) -> &[Secret] {
        self.secrets.as_ref().map_or(&[], |many| &many.0)
    }

    fn secrets(&self) -> Result<Vec<SigningSecret>, Vec<Problem>> {
        let given = self.given_secrets();
        if given.is_empty() && self.preset.is_none() {
            let text = "at least one is needed to sign with: `whsec_` and the output of `openssl rand -base64 32`";
            return Err(vec![("secrets".to_owned(), text.to_owned())]);
        }
        if given.len() > SECRETS_MAX {
            let text = format!("{} are too many; {SECRETS_MAX} at most", given.len());
            return Err(vec![("secrets".to_owned(), text)]);
        }
        let (mut secrets, mut problems) = (Vec::new(), Vec::new());
        for (at, text) in given.iter().enumerate() {
            match SigningSecret::parse(text.expose()) {
                Ok(secret) => secrets.push(secret),
                Err(error) => problems.push((format!("secrets[{at}]"), error.to_string())),
            }
        }
        if problems.is_empty() { Ok(secrets) } else { Err(problems) }
    }

    /// Headers of the receiver's own, none of which is one of ours.
    fn headers(&self) -> Result<HeaderMap, Vec<Problem>> {
        let (mut headers, mut problems) = (HeaderMap::new(), Vec::new());
        if self.headers.len() > HEADERS_MAX {
            problems
                .push(("headers".to_owned(), format!("{} are too many; {HEADERS_MAX} at most", self.headers.len())));
        }
        for (name, value) in &self.headers {
            let mut fault = |text: &str| problems.push((format!("headers.{name}"), text.to_owned()));
            let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
                fault("is no name of a header");
                continue;
            };
            let ours = |prefix: &&str| parsed.as_str().starts_with(prefix);
            if RESERVED.contains(&parsed.as_str()) || ["webhook-", "ce-"].iter().any(ours) {
                fault("is set by ampbridge itself");
            } else if parsed == http::header::AUTHORIZATION && self.auth.is_some() {
                fault("is what `auth` sets");
            } else {
                let text = value.expose().trim();
                let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
                match HeaderValue::from_str(text) {
                    Ok(mut value) if plain && !text.is_empty() => {
                        value.set_sensitive(true);
                        headers.insert(parsed, value);
                    }
                    _ => fault("has a value that can't stand in a header: visible ASCII characters can"),
                }
            }
        }
        if problems.is_empty() { Ok(headers) } else { Err(problems) }
    }

    fn shape(&self, zone: &TimeZone) -> Result<Shape, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut fault = |key: &str, text: String| problems.push((key.to_owned(), text));
        let custom = self.preset.is_none_or(|preset| preset == PresetName::Custom);
        if self.content_type.is_some() && self.body.is_none() {
            fault(
                "content_type",
                "is for a `body` of your own; what an event is called follows from `mode`".to_owned(),
            );
        }
        if self.mode != Mode::Structured && (self.body.is_some() || self.preset.is_some()) {
            fault("mode", "is for events as they are; with `body` or `preset` there is none".to_owned());
        }
        if self.body.is_some() && !custom {
            fault("body", "is what `preset` makes; leave one of them out".to_owned());
        }
        if self.preset == Some(PresetName::Custom) && self.body.is_none() {
            fault("body", "is missing: the preset \"custom\" is a body of your own".to_owned());
        }
        let given = Given {
            routing_key: self.routing_key.as_ref(),
            topic: self.topic.as_ref(),
            repository: self.repository.as_deref(),
            signs_in: self.auth.is_some() || self.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")),
        };
        problems.extend(given.problems(self.preset));
        if !problems.is_empty() {
            return Err(problems);
        }
        if let Some(preset) = self.preset.and_then(|name| Preset::new(name, &given)) {
            return Ok(Shape::Preset(preset));
        }
        let Some(body) = &self.body else { return Ok(Shape::Events(self.mode)) };
        let content_type = self.content_type.as_deref().unwrap_or(JSON);
        let fault = |key: &str, why: String| vec![(key.to_owned(), why)];
        let header = HeaderValue::from_str(content_type)
            .map_err(|_| fault("content_type", "can't stand in a header".to_owned()))?;
        let template = BodyTemplate::parse(body.expose(), content_type, zone).map_err(|why| fault("body", why))?;
        template.check().map_err(|why| fault("body", why))?;
        Ok(Shape::Own(Box::new(template), header))
    }

    fn client(&self, target: &Target, name: &str, names: Option<Arc<dyn Lookup>>) -> Result<HttpClient, Vec<Problem>> {
        let identity = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => Some(Secret::new(format!("{}\n{}\n", cert.expose(), key.expose()))),
            (None, None) => None,
            (Some(_), None) => {
                return Err(vec![("client_key".to_owned(), "is missing: the key of `client_cert`".to_owned())]);
            }
            (None, Some(_)) => {
                return Err(vec![("client_cert".to_owned(), "is missing: the certificate of `client_key`".to_owned())]);
            }
        };
        let mut guard = target.guard(&format!("sinks.{name}.allow_networks"));
        if let Some(names) = names {
            guard = guard.with_names(names);
        }
        let options = ClientOptions { guard: Some(guard), ca_file: self.ca_file.clone(), ..ClientOptions::default() };
        HttpClient::with_identity(options, identity.as_ref()).map_err(|error| {
            let key = match error {
                BuildError::CaFile { .. } => "ca_file",
                BuildError::Identity => "client_cert",
                BuildError::Client(_) => "url",
            };
            vec![(key.to_owned(), error.to_string())]
        })
    }

    /// All settings, or all that is wrong with them.
    fn parts(&self, name: &str, names: Option<Arc<dyn Lookup>>, zone: &TimeZone) -> Result<Parts, Vec<Problem>> {
        let mut problems = Vec::new();
        let target = self.target();
        let secrets = self.secrets().map_err(|p| problems.extend(p));
        let headers = self.headers().map_err(|p| problems.extend(p));
        let shape = self.shape(zone).map_err(|p| problems.extend(p));
        let auth_problems = self.auth.as_ref().map(|auth| auth.problems(&self.allow_networks)).unwrap_or_default();
        problems.extend(auth_problems);
        let mut client = None;
        match &target {
            Ok(target) => {
                let secretive = self.auth.is_some() || !self.headers.is_empty() || self.routing_key.is_some();
                if secretive && !target.keeps_secrets() {
                    problems.push((
                        "url".to_owned(),
                        "must be https:// where `auth`, `headers` or a key go along".to_owned(),
                    ));
                }
                let credentials = !target.url.username().is_empty() || target.url.password().is_some();
                if self.auth.is_some() && credentials {
                    problems.push(("auth".to_owned(), "can't go with a user and password in `url`".to_owned()));
                }
                client = self.client(target, name, names).map_err(|p| problems.extend(p)).ok();
            }
            Err(found) => {
                problems.splice(0..0, found.iter().cloned());
            }
        }
        match (target, secrets, headers, shape, client) {
            (Ok(target), Ok(secrets), Ok(headers), Ok(shape), Some(client)) if problems.is_empty() => {
                let endpoint = |target: &Target| self.client(target, name, None);
                let auth = self.auth.as_ref().map(|auth| auth.build(&self.allow_networks, endpoint)).transpose()?;
                let auth = auth.unwrap_or(Auth::None);
                Ok(Parts { target, secrets, auth, headers, shape, client })
            }
            _ => Err(problems),
        }
    }

    /// Builds the sink; `names` answers names instead of the system's resolver.
    pub(super) fn assemble(
        &self,
        name: &str,
        common: &Common,
        context: &Context,
        names: Option<Arc<dyn Lookup>>,
    ) -> Result<Webhook, Vec<Problem>> {
        let Parts { target, secrets, auth, headers, shape, client } =
            self.parts(name, names, context.renderer.zone())?;
        let redact = self.told_secrets().fold(Redactor::default().url(&target.url), |r, s| r.secret(s.expose()));
        Ok(Webhook {
            name: name.to_owned(),
            common: *common,
            method: self.method.into(),
            target,
            secrets,
            auth,
            headers,
            shape,
            client,
            redact,
            renderer: Arc::clone(&context.renderer),
        })
    }

    /// Everything that a receiver might echo and nobody may see.
    fn told_secrets(&self) -> impl Iterator<Item = &Secret> {
        let keys = [&self.client_key, &self.routing_key, &self.topic].into_iter().flatten();
        let auth = self.auth.as_ref().map(AuthConfig::secrets).unwrap_or_default();
        self.given_secrets().iter().chain(self.headers.values()).chain(keys).chain(auth)
    }
}

impl SinkConfig for WebhookConfig {
    fn problems(&self) -> Vec<Problem> {
        self.parts("NAME", None, &TimeZone::UTC).err().unwrap_or_default()
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Sink>, String> {
        let sink = self.assemble(name, common, context, None).map_err(|p| joined(&p))?;
        Ok(Arc::new(sink))
    }

    fn summary(&self) -> String {
        let Ok(target) = self.target() else { return "POST to a URL that can't be used".to_owned() };
        let form = match (self.preset, self.body.is_some()) {
            (Some(PresetName::Custom) | None, true) => " with a body of its own".to_owned(),
            (Some(preset), _) => format!(" in the form of {}", preset.as_str()),
            (None, false) if self.mode == Mode::Structured => String::new(),
            (None, false) => format!(" in {} mode", self.mode.as_str()),
        };
        let auth = self.auth.as_ref().map(|auth| format!(", signed in by {}", auth.as_str())).unwrap_or_default();
        let mutual = if self.client_cert.is_some() { ", mutual TLS" } else { "" };
        let method = Method::from(self.method);
        format!("{method} to {}{form}, {}{auth}{mutual}", target.origin(), signing(&self.secrets().unwrap_or_default()))
    }
}

/// Which secrets are in use, by what names them without telling them.
fn signing(secrets: &[SigningSecret]) -> String {
    if secrets.is_empty() {
        return "not signed".to_owned();
    }
    let named = |secret: &SigningSecret| match secret.scheme() {
        Scheme::V1 => format!("v1 (key {})", secret.fingerprint()),
        Scheme::V1a => {
            format!("v1a (key {}, public {})", secret.fingerprint(), secret.public().unwrap_or_default())
        }
    };
    let all: Vec<String> = secrets.iter().map(named).collect();
    format!("signed with {} secret(s): {}", secrets.len(), all.join(", "))
}

/// The settings in the form of a known receiver: what is needed then is another matter.
pub fn preset_schema(generator: &mut SchemaGenerator) -> Schema {
    let usual = generator.subschema_for::<WebhookConfig>();
    let name = usual.get("$ref").and_then(|r| r.as_str()).and_then(|r| r.rsplit('/').next()).unwrap_or_default();
    let mut schema = generator.definitions().get(name).cloned().unwrap_or_default();
    let secret = generator.subschema_for::<Secret>().to_value();
    let text = |description: &str, pattern: &str| serde_json::json!({ "description": description, "type": "string", "pattern": pattern });
    schema["description"] = "Settings of a webhook in the form of a known receiver.".into();
    schema["required"] = serde_json::json!(["preset"]);
    schema["properties"]["preset"] = generator.subschema_for::<PresetName>().to_value();
    schema["properties"]["routing_key"] = secret.clone();
    schema["properties"]["topic"] = secret;
    schema["properties"]["repository"] = text("GitHub's `owner/name`", super::preset::github::REPOSITORY);
    Schema::try_from(schema).unwrap_or_default()
}
