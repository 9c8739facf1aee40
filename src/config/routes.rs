//! The `[[routes]]`: which events go to which sinks, and when.

use std::collections::BTreeSet;
use std::fmt;

use ::config::{Value, ValueKind};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::parse;
use super::problem::Problems;
use super::sections::Bridge;
use crate::domain::event::{Severity, is_type_glob};
use crate::domain::hint::hint;
use crate::domain::routing::{FieldMatch, Route, Test};
use crate::domain::setting::{Decimal, Many, Plain, Span};
use crate::domain::time::WeekStart;
use crate::domain::timing::{Day, Digest, DigestEvery, Escalation, Group, GroupBy, Quiet, Rate, Timing};

/// Most events of one group message.
const GROUP_MAX: u64 = 1_000;

/// One route: which events go to which sinks, and when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteSection {
    /// Globs on the event type; left out: every type.
    #[serde(default)]
    events: Many<String>,
    /// Names of sources; left out: every source.
    #[serde(default)]
    sources: Many<String>,
    /// Globs on the subject; left out: every subject.
    #[serde(default)]
    subjects: Many<String>,
    /// Tests of fields of `data`; all must hold.
    #[serde(default, rename = "where")]
    fields: Many<WhereSection>,
    /// Least severity.
    #[serde(default)]
    min_severity: Severity,
    /// Names of sinks.
    sinks: Many<String>,
    /// Events that belong together become one message.
    group: Option<GroupSection>,
    /// At most so many messages in a stretch of time; the rest follows as one.
    rate: Option<RateSection>,
    /// Hours in which only critical events go out; the rest follows as one.
    quiet: Option<QuietSection>,
    /// Everything in one message, once a day or a week.
    digest: Option<DigestSection>,
    /// Say it again after this long while a level stays bad and nobody has acknowledged it.
    remind: Option<Span>,
    /// Tell others too while nobody has acknowledged it.
    escalate: Option<EscalateSection>,
}

/// A test of one field of `data`: `equals`, `glob` or `at_least`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhereSection {
    /// Dotted path: `rule`, `who.email`.
    field: String,
    equals: Option<Plain>,
    glob: Option<String>,
    /// A number, or dollars.
    at_least: Option<Decimal>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GroupSection {
    /// What makes events belong together; left out: their type.
    #[serde(default)]
    by: Many<GroupBy>,
    /// From the first event until the message goes out (default 1m).
    wait: Option<Span>,
    /// This many go out without waiting longer (default 50).
    max: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RateSection {
    max: u64,
    per: Span,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QuietSection {
    /// `HH:MM`.
    from: String,
    /// `HH:MM`; earlier than `from` means the next morning.
    to: String,
    /// Days on which quiet hours begin; left out: every day.
    #[serde(default)]
    days: Many<Day>,
    /// IANA name; left out: the bridge's.
    timezone: Option<String>,
}

#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
enum DigestSection {
    /// `"daily"` or `"weekly"`, at 09:00.
    Every(DigestEvery),
    /// With the time of day.
    At(DigestTime),
}

impl<'de> Deserialize<'de> for DigestSection {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = DigestSection;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"daily\", \"weekly\", or a table like { every = \"daily\", at = \"08:00\" }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<DigestSection, E> {
                match text {
                    "daily" => Ok(DigestSection::Every(DigestEvery::Daily)),
                    "weekly" => Ok(DigestSection::Every(DigestEvery::Weekly)),
                    _ => Err(E::invalid_type(Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DigestSection, A::Error> {
                DigestTime::deserialize(MapAccessDeserializer::new(map)).map(DigestSection::At)
            }
        }
        d.deserialize_any(Either)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DigestTime {
    every: DigestEvery,
    /// `HH:MM` (default 09:00).
    at: Option<String>,
    /// IANA name; left out: the bridge's.
    timezone: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EscalateSection {
    after: Span,
    sinks: Many<String>,
}

/// What routes may name, and the bridge's own zone.
pub(super) struct Scene<'a> {
    pub sources: &'a BTreeSet<String>,
    pub sinks: &'a BTreeSet<String>,
    pub bridge: Option<&'a Bridge>,
}

pub(super) fn read(section: Option<Value>, scene: &Scene<'_>, problems: &mut Problems) -> Vec<Route> {
    let Some(section) = section else { return Vec::new() };
    let origin = section.origin().map(str::to_owned);
    let ValueKind::Array(items) = section.kind else {
        problems.add_at("routes", origin.as_deref(), "must be a list: write each route under [[routes]]");
        return Vec::new();
    };
    let mut routes = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("routes[{index}]");
        if let Some(read) = parse::read::<RouteSection>(item, &path, problems) {
            routes.push(route(read, &path, scene, problems));
        }
    }
    routes
}

fn route(read: RouteSection, path: &str, scene: &Scene<'_>, problems: &mut Problems) -> Route {
    for glob in read.events.0.iter().filter(|g| !is_type_glob(g)) {
        let what = format!("{glob:?} is no glob on event types: letters, digits, `_`, `-`, `.` and `*`");
        problems.add(format!("{path}.events"), what);
    }
    known(&read.sources.0, scene.sources, &format!("{path}.sources"), "source", problems);
    known(&read.sinks.0, scene.sinks, &format!("{path}.sinks"), "sink", problems);
    if read.sinks.0.is_empty() {
        problems.add(format!("{path}.sinks"), "names no sink");
    }
    let fields = read.fields.0.into_iter().enumerate();
    let fields = fields.filter_map(|(i, w)| field(w, &format!("{path}.where[{i}]"), problems)).collect();
    let timing = Timing {
        group: read.group.map(|g| group(g, path, problems)),
        rate: read.rate.and_then(|r| rate(&r, path, problems)),
        quiet: read.quiet.and_then(|q| quiet(q, path, scene, problems)),
        digest: read.digest.and_then(|d| digest(d, path, scene, problems)),
        remind: read.remind.and_then(|span| at_least_a_second(span, &format!("{path}.remind"), problems)),
        escalate: read.escalate.and_then(|e| escalate(e, path, scene, problems)),
    };
    contradictions(&timing, &read.sinks.0, path, problems);
    Route {
        events: read.events.0,
        sources: read.sources.0,
        subjects: read.subjects.0,
        fields,
        min_severity: read.min_severity,
        sinks: read.sinks.0,
        timing,
    }
}

/// Settings that can't both be meant.
fn contradictions(timing: &Timing, sinks: &[String], path: &str, problems: &mut Problems) {
    if timing.digest.is_some() {
        for (set, key) in [
            (timing.group.is_some(), "group"),
            (timing.rate.is_some(), "rate"),
            (timing.quiet.is_some(), "quiet"),
            (timing.remind.is_some(), "remind"),
            (timing.escalate.is_some(), "escalate"),
        ] {
            if set {
                problems.add(
                    format!("{path}.{key}"),
                    "contradicts `digest`: everything of this route goes into the digest; use a route of its own",
                );
            }
        }
    }
    if let Some(escalation) = &timing.escalate
        && escalation.sinks.iter().all(|s| sinks.contains(s))
    {
        problems.add(format!("{path}.escalate.sinks"), "names only sinks that hear of it anyway");
    }
}

fn field(read: WhereSection, path: &str, problems: &mut Problems) -> Option<FieldMatch> {
    if read.field.split('.').any(str::is_empty) {
        problems.add(format!("{path}.field"), "is a dotted path into `data`, like \"rule\" or \"who.email\"");
    }
    let test = match (read.equals, read.glob, read.at_least) {
        (Some(text), None, None) => Test::Equals(text.0),
        (None, Some(glob), None) => Test::Glob(glob),
        (None, None, Some(least)) => match least.usd() {
            Ok(least) => Test::AtLeast(least),
            Err(error) => {
                problems.add(format!("{path}.at_least"), error.to_string());
                return None;
            }
        },
        _ => {
            problems.add(path, "needs exactly one of `equals`, `glob`, `at_least`");
            return None;
        }
    };
    Some(FieldMatch { field: read.field, test })
}

fn group(read: GroupSection, path: &str, problems: &mut Problems) -> Group {
    let by = if read.by.0.is_empty() { vec![GroupBy::Type] } else { read.by.0 };
    let max = read.max.unwrap_or(50);
    if !(1..=GROUP_MAX).contains(&max) {
        problems.add(format!("{path}.group.max"), format!("must be 1 to {GROUP_MAX}"));
    }
    let wait = read.wait.unwrap_or(Span::secs(60));
    if wait.0.as_millis() <= 0 || wait.0.as_hours() > 24 {
        problems.add(format!("{path}.group.wait"), "must be longer than 0 and at most 24h");
    }
    Group { by, wait: wait.0, max }
}

fn rate(read: &RateSection, path: &str, problems: &mut Problems) -> Option<Rate> {
    if read.max == 0 || read.max > 10_000 {
        problems.add(format!("{path}.rate.max"), "must be 1 to 10000");
    }
    let per = at_least_a_second(read.per, &format!("{path}.rate.per"), problems)?;
    Some(Rate { max: read.max, per })
}

fn quiet(read: QuietSection, path: &str, scene: &Scene<'_>, problems: &mut Problems) -> Option<Quiet> {
    let from = time(&read.from, &format!("{path}.quiet.from"), problems);
    let to = time(&read.to, &format!("{path}.quiet.to"), problems);
    let zone = zone(read.timezone.as_deref(), &format!("{path}.quiet.timezone"), scene, problems);
    let (from, to, zone) = (from?, to?, zone?);
    if from == to {
        problems
            .add(format!("{path}.quiet"), "`from` and `to` are the same; quiet hours would never begin, or never end");
        return None;
    }
    Some(Quiet { from, to, days: read.days.0.into_iter().collect(), zone })
}

fn digest(read: DigestSection, path: &str, scene: &Scene<'_>, problems: &mut Problems) -> Option<Digest> {
    let read = match read {
        DigestSection::Every(every) => DigestTime { every, at: None, timezone: None },
        DigestSection::At(at) => at,
    };
    let at = time(read.at.as_deref().unwrap_or("09:00"), &format!("{path}.digest.at"), problems);
    let zone = zone(read.timezone.as_deref(), &format!("{path}.digest.timezone"), scene, problems);
    let (at, zone) = (at?, zone?);
    let week_start = scene.bridge.map_or(WeekStart::Monday, |b| b.week_start);
    Some(Digest { every: read.every, at, zone, week_start })
}

fn escalate(read: EscalateSection, path: &str, scene: &Scene<'_>, problems: &mut Problems) -> Option<Escalation> {
    known(&read.sinks.0, scene.sinks, &format!("{path}.escalate.sinks"), "sink", problems);
    let after = at_least_a_second(read.after, &format!("{path}.escalate.after"), problems)?;
    Some(Escalation { after, sinks: read.sinks.0 })
}

fn known(names: &[String], known: &BTreeSet<String>, path: &str, what: &str, problems: &mut Problems) {
    for name in names.iter().filter(|name| !known.contains(*name)) {
        let hint = hint(name, known.iter().map(String::as_str));
        problems.add(path, format!("there is no {what} {name:?}{hint}"));
    }
}

fn at_least_a_second(span: Span, path: &str, problems: &mut Problems) -> Option<jiff::SignedDuration> {
    if span.0.as_secs() < 1 {
        problems.add(path, "must be at least a second");
        return None;
    }
    Some(span.0)
}

/// `HH:MM`, 24 hours.
fn time(text: &str, path: &str, problems: &mut Problems) -> Option<Time> {
    let parsed = text.split_once(':').and_then(|(h, m)| Time::new(h.parse().ok()?, m.parse().ok()?, 0, 0).ok());
    if parsed.is_none() {
        problems.add(path, format!("{text:?} is no time of day; write it like \"22:00\""));
    }
    parsed
}

fn zone(name: Option<&str>, path: &str, scene: &Scene<'_>, problems: &mut Problems) -> Option<TimeZone> {
    let Some(name) = name else { return Some(scene.bridge.map_or(TimeZone::UTC, |b| b.zone.clone())) };
    let found = TimeZone::get(name).ok();
    if found.is_none() {
        problems.add(path, format!("there is no time zone {name:?}; use an IANA name like \"Europe/Berlin\""));
    }
    found
}
