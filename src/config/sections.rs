//! The sections that are not about one kind of source, sink or rule.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::config::{Value, ValueKind};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::parse;
use super::problem::Problems;
use crate::domain::retry::RetryPolicy;
use crate::domain::rules;
use crate::domain::setting::{Decimal, Many, Secret, Span};
use crate::domain::time::WeekStart;
use crate::source::prices::{BundledPrices, OwnPrices, with_own};
use crate::store::{self as storage, StoreConfig};
use crate::{sink, source};

/// The `[bridge]` section, checked.
#[derive(Debug, Clone)]
pub struct Bridge {
    /// Part of event ids and of every event's `source`.
    pub name: String,
    pub zone: TimeZone,
    pub zone_name: String,
    pub week_start: WeekStart,
    pub templates_dir: Option<PathBuf>,
    pub shutdown_grace: Duration,
    /// Called after each full round of polls.
    pub heartbeat_url: Option<Secret>,
}

/// The `[admin]` section, checked.
#[derive(Debug, Clone)]
pub struct Admin {
    pub listen: SocketAddr,
    pub token: Option<Secret>,
    /// Where people reach it, without a slash at the end; messages then have links to acknowledge with.
    pub public_url: Option<String>,
    /// How long such a link is good.
    pub links_for: SignedDuration,
}

/// The bridge itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BridgeSection {
    /// Part of event ids and of every event's `source`; change it and every event is a new one.
    name: String,
    /// IANA time zone: digests, quiet hours, and the day of budgets where the source's rows allow it.
    timezone: String,
    /// First day of a week.
    week_start: WeekStart,
    /// A folder of templates that go over the built-in ones.
    templates_dir: Option<PathBuf>,
    /// How long deliveries under way may take to end when the service stops.
    shutdown_grace: Span,
    /// Called (GET) after each full round of polls, so that someone notices when ampbridge is dead.
    heartbeat_url: Option<Secret>,
}

/// Health, metrics and the admin API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AdminSection {
    /// Address and port. All but /healthz, /readyz and /metrics needs the token.
    listen: String,
    /// Made at the first start where it is left out: `<store>/admin.token`.
    token: Option<Secret>,
    /// Where people reach this API, like `https://ampbridge.example.com`. Messages about a level that stays bad then
    /// have a link to acknowledge it with, which needs no token.
    public_url: Option<String>,
    /// How long such a link is good.
    #[serde(default = "links_for")]
    links_for: Span,
}

fn links_for() -> Span {
    // As long as the longest period of a budget, and some days.
    Span(SignedDuration::from_hours(35 * 24))
}

/// Settings every source has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SourceCommon {
    /// Base interval of polling.
    every: Span,
    /// Deadline of one call.
    timeout: Span,
    /// Calls a second to the source's host (bursts of 20).
    max_rps: Decimal,
    /// An HTTP proxy.
    proxy: Option<Secret>,
    /// A PEM file of certificates to trust besides the system's.
    ca_file: Option<PathBuf>,
}

impl Default for SourceCommon {
    fn default() -> Self {
        Self {
            every: Span::secs(60),
            timeout: Span::secs(30),
            max_rps: Decimal("2".to_owned()),
            proxy: None,
            ca_file: None,
        }
    }
}

/// Settings every sink has.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SinkCommon {
    /// Deadline of one attempt.
    timeout: Option<Span>,
    retry: RetrySection,
}

/// How a sink retries.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RetrySection {
    /// Longest wait before the first retry (default 5s); it doubles from there.
    min: Option<Span>,
    /// Longest wait before any retry (default 1h).
    max: Option<Span>,
    /// From the first attempt until the delivery is dead (default 3d).
    #[serde(rename = "for")]
    horizon: Option<Span>,
}

pub(super) fn bridge(section: Option<Value>, folder: &Path, problems: &mut Problems) -> Option<Bridge> {
    let read: BridgeSection = parse::read(section?, "bridge", problems)?;
    if let Err(why) = check_name(&read.name) {
        problems.add("bridge.name", why);
    }
    let zone = if let Ok(zone) = TimeZone::get(&read.timezone) {
        zone
    } else {
        problems.add(
            "bridge.timezone",
            format!("there is no time zone {:?}; use an IANA name like \"Europe/Berlin\" or \"UTC\"", read.timezone),
        );
        TimeZone::UTC
    };
    let templates_dir = read.templates_dir.map(|dir| folder.join(dir));
    if let Some(dir) = templates_dir.as_ref().filter(|dir| !dir.is_dir()) {
        problems.add("bridge.templates_dir", format!("{} is not a folder", dir.display()));
    }
    if read.heartbeat_url.as_ref().is_some_and(|url| !is_http(url.expose())) {
        problems.add("bridge.heartbeat_url", "must be an http:// or https:// URL");
    }
    Some(Bridge {
        name: read.name,
        zone,
        zone_name: read.timezone,
        week_start: read.week_start,
        templates_dir,
        shutdown_grace: read.shutdown_grace.std(),
        heartbeat_url: read.heartbeat_url,
    })
}

pub(super) fn store(section: Option<Value>, folder: &Path, problems: &mut Problems) -> Option<StoreConfig> {
    let mut read: StoreConfig = parse::read(section?, "store", problems)?;
    if read.path.as_os_str().is_empty() {
        problems.add("store.path", "must name a folder");
    }
    if read.keep.0 < storage::KEEP_AT_LEAST {
        problems
            .add("store.keep", "must be at least \"35d\", longer than the longest budget period and the last retry");
    }
    if read.keep_dead.0 < read.keep.0 {
        problems.add("store.keep_dead", "must be at least as long as store.keep");
    }
    if read.keep_events < 1_000 {
        problems.add("store.keep_events", "must be at least 1000");
    }
    read.path = folder.join(&read.path);
    Some(read)
}

pub(super) fn admin(section: Option<Value>, problems: &mut Problems) -> Option<Admin> {
    let read: AdminSection = parse::read(section?, "admin", problems)?;
    if read.token.as_ref().is_some_and(|t| t.expose().trim().len() < 16) {
        problems.add("admin.token", "is shorter than 16 characters; leave it out and one is made");
    }
    let public_url = read.public_url.and_then(|url| public_url(&url, problems));
    let Ok(listen) = read.listen.parse() else {
        problems.add("admin.listen", format!("{:?} is no address with a port, like \"127.0.0.1:8484\"", read.listen));
        return None;
    };
    Some(Admin { listen, token: read.token, public_url, links_for: read.links_for.0 })
}

fn public_url(text: &str, problems: &mut Problems) -> Option<String> {
    let good = url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !good {
        problems.add("admin.public_url", "must be an http or https URL, like \"https://ampbridge.example.com\"");
    }
    good.then(|| text.trim_end_matches('/').to_owned())
}

pub(super) fn prices(section: Option<Value>, problems: &mut Problems) -> OwnPrices {
    let Some(section) = section else { return OwnPrices::default() };
    let Some(read) = parse::read::<OwnPrices>(section, "prices", problems) else { return OwnPrices::default() };
    if let Err(faults) = with_own(&read, Arc::new(BundledPrices)) {
        for (key, what) in faults {
            problems.add(format!("prices.{key}"), what);
        }
    }
    read
}

/// Keys that every source has, every sink, every rule; `kind` comes before all of them.
pub(super) const OF_SOURCES: [&str; 6] = ["kind", "every", "timeout", "max_rps", "proxy", "ca_file"];
pub(super) const OF_SINKS: [&str; 3] = ["kind", "timeout", "retry"];
pub(super) const OF_RULES: [&str; 2] = ["kind", "sources"];

/// Takes the settings every source has out of an entry.
pub(super) fn source_common(entry: &mut Value, path: &str, problems: &mut Problems) -> Option<source::Common> {
    let taken = take(entry, &OF_SOURCES[1..]);
    let read: SourceCommon = parse::read(taken, path, problems)?;
    let before = problems.found.len();
    for (key, span, least) in [("every", read.every, 1), ("timeout", read.timeout, 1)] {
        if span.0.as_millis() < least {
            problems.add(format!("{path}.{key}"), "must be longer than 0");
        }
    }
    let max_rps = read.max_rps.0.parse::<f64>().unwrap_or(f64::NAN);
    if !(max_rps.is_finite() && max_rps > 0.0) {
        problems.add(format!("{path}.max_rps"), "must be a number above 0");
    }
    let proxy = match read.proxy.map(|p| reqwest::Url::parse(p.expose())) {
        None => None,
        Some(Ok(url)) if ["http", "https"].contains(&url.scheme()) => Some(url),
        Some(_) => {
            problems.add(format!("{path}.proxy"), "must be an http:// or https:// URL");
            None
        }
    };
    let common =
        source::Common { every: read.every.std(), timeout: read.timeout.std(), max_rps, proxy, ca_file: read.ca_file };
    (problems.found.len() == before).then_some(common)
}

/// Takes the settings every sink has out of an entry.
pub(super) fn sink_common(entry: &mut Value, path: &str, problems: &mut Problems) -> Option<sink::Common> {
    let taken = take(entry, &OF_SINKS[1..]);
    let read: SinkCommon = parse::read(taken, path, problems)?;
    let timeout = read.timeout.unwrap_or(Span::secs(15));
    if timeout.0.as_millis() < 1 {
        problems.add(format!("{path}.timeout"), "must be longer than 0");
    }
    let usual = RetryPolicy::default();
    let min = read.retry.min.map_or(usual.min, |s| s.0);
    let max = read.retry.max.map_or(usual.max.max(min), |s| s.0);
    // A policy that gives only a small `max` means it: the first wait is then no longer than that.
    let min = if read.retry.min.is_none() { min.min(max) } else { min };
    match RetryPolicy::new(min, max, read.retry.horizon.map_or(usual.horizon, |s| s.0)) {
        Ok(retry) => Some(sink::Common { timeout: timeout.std(), retry }),
        Err(why) => {
            problems.add(format!("{path}.retry"), why);
            None
        }
    }
}

/// Takes a list of names out of an entry.
pub(super) fn take_list(entry: &mut Value, key: &str, path: &str, problems: &mut Problems) -> Vec<String> {
    let ValueKind::Table(table) = &mut entry.kind else { return Vec::new() };
    let Some(value) = table.remove(key) else { return Vec::new() };
    parse::read::<Many<String>>(value, &format!("{path}.{key}"), problems).unwrap_or_default().0
}

fn take(entry: &mut Value, keys: &[&str]) -> Value {
    let mut taken = ::config::Map::new();
    if let ValueKind::Table(table) = &mut entry.kind {
        for key in keys {
            if let Some(value) = table.remove(*key) {
                taken.insert((*key).to_owned(), value);
            }
        }
    }
    Value::new(None, ValueKind::Table(taken))
}

/// Names become parts of ids, keys and environment variables.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
        return Err("a name is 1 to 64 letters, digits, `_` or `-`".to_owned());
    }
    Ok(())
}

fn is_http(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

/// The JSON Schema of the config file.
pub fn schema() -> Schema {
    let mut generator = SchemaGenerator::default();
    let sources: Vec<Schema> = source::KINDS
        .iter()
        .map(|k| with_common::<SourceCommon>((k.schema)(&mut generator), k.name, &mut generator))
        .collect();
    let sinks: Vec<Schema> = sink::KINDS
        .iter()
        .flat_map(|k| [Some(k.schema), k.other_schema].into_iter().flatten().map(move |schema| (k.name, schema)))
        .map(|(name, schema)| with_common::<SinkCommon>(schema(&mut generator), name, &mut generator))
        .collect();
    let rule_kinds: Vec<Schema> = rules::KINDS
        .iter()
        .map(|k| with_common::<RuleCommon>((k.schema)(&mut generator), k.name, &mut generator))
        .collect();
    let (bridge, store, admin) = (
        optional(generator.subschema_for::<BridgeSection>(), &mut generator),
        generator.subschema_for::<StoreConfig>(),
        optional(generator.subschema_for::<AdminSection>(), &mut generator),
    );
    let prices = generator.subschema_for::<OwnPrices>();
    let members = generator.subschema_for::<Many<String>>();
    let route = generator.subschema_for::<super::routes::RouteSection>();
    let definitions = generator.take_definitions(true);
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ampbridge configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "bridge": bridge, "store": store, "admin": admin,
            "prices": prices,
            "sources": { "type": "object", "additionalProperties": { "oneOf": sources } },
            "groups": {
                "description": "Groups of users that money is counted for: ids, emails, or globs over them",
                "type": "object", "additionalProperties": members
            },
            "rules": { "type": "object", "additionalProperties": { "oneOf": rule_kinds } },
            "sinks": { "type": "object", "additionalProperties": { "oneOf": sinks } },
            "routes": { "type": "array", "items": route }
        },
        "$defs": definitions
    })
}

/// Settings every rule has.
#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the loader takes the list out by hand")]
struct RuleCommon {
    /// Sources counted together; left out: each source apart.
    #[serde(default)]
    sources: Many<String>,
}

/// A kind's own settings, with `kind` and the settings all of its sort have, as one object.
fn with_common<C: JsonSchema>(own: Schema, kind: &str, generator: &mut SchemaGenerator) -> Schema {
    let own = resolved(&own, generator);
    let shared = generator.subschema_for::<C>();
    let shared = resolved(&shared, generator);
    let part = |schema: &Schema, key: &str| schema.get(key).cloned();
    let mut properties = serde_json::Map::new();
    properties.insert("kind".to_owned(), serde_json::json!({ "const": kind }));
    for schema in [&own, &shared] {
        if let Some(serde_json::Value::Object(more)) = part(schema, "properties") {
            properties.extend(more);
        }
    }
    let mut required = vec![serde_json::json!("kind")];
    if let Some(serde_json::Value::Array(more)) = part(&own, "required") {
        required.extend(more);
    }
    let description = part(&own, "description").unwrap_or_default();
    json_schema!({
        "description": description, "type": "object", "properties": properties, "required": required, "additionalProperties": false
    })
}

/// A section whose keys all have defaults.
fn optional(schema: Schema, generator: &mut SchemaGenerator) -> Schema {
    let mut schema = resolved(&schema, generator);
    schema.remove("required");
    schema
}

fn resolved(schema: &Schema, generator: &SchemaGenerator) -> Schema {
    let name = schema.get("$ref").and_then(|r| r.as_str()).and_then(|r| r.rsplit('/').next());
    let found = name.and_then(|n| generator.definitions().get(n)).cloned();
    found.and_then(|v| Schema::try_from(v).ok()).unwrap_or_else(|| schema.clone())
}
