//! Lines of records that came, changed or went, and of levels.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{NAME, Words, origin, quoted};
use crate::domain::event::Event;
use crate::domain::money::Micros;
use crate::domain::payload::{ChangeData, LevelData};
use crate::render::show::{self, capitalize, label, who};
use crate::render::text::brief;

/// Characters of a value before or after.
const VALUE: usize = 60;
/// Changed fields told in a line.
const FIELDS: usize = 3;

pub fn change(event: &Event, data: &ChangeData, zone: &TimeZone) -> Words {
    match event.kind.as_str() {
        "thread.created" => started(data),
        "thread.deleted" => {
            let by = data.who.as_ref().map(|w| format!(" by {}", who(w))).unwrap_or_default();
            (format!("Thread {}{by} was deleted", name(data)), String::new())
        }
        "thread.updated" if data.changed == ["title"] => renamed(data),
        "member.added" => {
            (format!("{} joined {}{}", member(data), origin(event), role(data.after.as_ref())), String::new())
        }
        "member.removed" => {
            let was = text(data.before.as_ref(), "role").map(|r| format!("Was {r}")).unwrap_or_default();
            (format!("{} left {}", member(data), origin(event)), was)
        }
        "member.role_changed" => {
            let (before, after) = (text(data.before.as_ref(), "role"), text(data.after.as_ref(), "role"));
            let head = format!(
                "{} is now {} in {}",
                member(data),
                after.as_deref().unwrap_or("without a role"),
                origin(event)
            );
            (head, before.map(|r| format!("Was {r}")).unwrap_or_default())
        }
        "thread.finished" => (format!("Thread {} is finished", name(data)), outcome(data)),
        "thread.failed" => {
            let limit = data.facts.get("failure").and_then(Value::as_str);
            let why = limit.map(|why| format!(": {}", brief(why, NAME))).unwrap_or_default();
            (format!("Thread {} failed{why}", name(data)), outcome(data))
        }
        "thread.stalled" => (format!("Thread {} has stalled", name(data)), outcome(data)),
        "thread.visibility_widened" => {
            let side = |map| text(map, "visibility").unwrap_or_else(|| "of unknown visibility".to_owned());
            let head = format!("Thread {} is now {}", name(data), side(data.after.as_ref()));
            (head, format!("Was {}", side(data.before.as_ref())))
        }
        "content.review_needed" => (format!("Content {} waits for a review", name(data)), platform(data)),
        "content.failed" => (format!("Content {} could not be published", name(data)), platform(data)),
        "status.changed" => {
            (format!("{} changed: {}", capitalize(origin(event)), differences(data, zone)), String::new())
        }
        kind => generic(kind, data, zone),
    }
}

/// `24 messages, est. $0.26 or more, by ana`.
fn outcome(data: &ChangeData) -> String {
    let messages = data.after.as_ref().and_then(|m| m.get("messageCount")?.as_u64());
    let messages = messages.map(|n| format!("{} messages", show::count(n)));
    let least = data.facts.get("cost_at_least") == Some(&Value::Bool(true));
    let cost = text(Some(&data.facts), "cost_usd");
    let cost = cost.map(|usd| format!("est. ${usd}{}", if least { " or more" } else { "" }));
    let by = data.who.as_ref().map(|w| format!("by {}", who(w)));
    capitalize(&[messages, cost, by].into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn platform(data: &ChangeData) -> String {
    text(data.after.as_ref(), "platform").map(|platform| format!("For {platform}")).unwrap_or_default()
}

pub fn level(data: &LevelData, zone: &TimeZone) -> Words {
    let noun = capitalize(&brief(&data.noun, NAME));
    let name = match (data.name == data.noun, data.name == data.key) {
        (true, _) => noun,
        // `model our-own-model`, but no `wallet wallet`.
        (false, true) if data.key == data.noun => noun,
        // `Individual credits balance is low at 4.03`, and `Provider Qdrant is degraded`. Of what is gone its last value
        // says which it was.
        _ if !is_state(if data.after.is_null() { &data.before } else { &data.after }) => {
            format!("{} {}", capitalize(&brief(&data.name, NAME)), brief(&data.noun, NAME))
        }
        _ => format!("{noun} {}", brief(&data.name, NAME)),
    };
    let first = if data.baseline { "already " } else { "" };
    let now = stands(&data.band_after, &data.after, &data.facts, zone);
    let was = data.band_before.as_ref().map(|band| format!("Was {}", stands(band, &data.before, &data.facts, zone)));
    (format!("{name} is {first}{now}"), was.unwrap_or_default())
}

/// `low at $4.03` of a number; a state stands for itself.
fn stands(band: &str, value: &Value, facts: &BTreeMap<String, Value>, zone: &TimeZone) -> String {
    let shown = show::value(value, VALUE, zone);
    if is_state(value) {
        return shown;
    }
    if value.is_null() {
        return brief(band, NAME);
    }
    // What it is counted in is only known where the source says so.
    let dollars = text(Some(facts), "currency").filter(|currency| currency.eq_ignore_ascii_case("usd"));
    let dollars = dollars.and_then(|_| Micros::from_json(value, 0).ok()).map(show::usd);
    format!("{} at {}", brief(band, NAME), dollars.unwrap_or(shown))
}

fn is_state(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<f64>().is_err())
}

/// `ana started "Fix CI" in acme/web`.
fn started(data: &ChangeData) -> (String, String) {
    let thread = if data.name == data.key { "a thread".to_owned() } else { quoted(&data.name) };
    let head = match &data.who {
        Some(person) => format!("{} started {thread}", who(person)),
        None => format!("New thread {}", name(data)),
    };
    let place = repository(data).map(|r| format!(" in {r}")).unwrap_or_default();
    (format!("{head}{place}"), String::new())
}

fn renamed(data: &ChangeData) -> (String, String) {
    let before = text(data.before.as_ref(), "title").map(|t| quoted(&t));
    let after = text(data.after.as_ref(), "title").map_or_else(|| name(data), |t| quoted(&t));
    match before {
        Some(before) => (format!("Thread {before} is now {after}"), String::new()),
        None => (format!("Thread {} is now called {after}", brief(&data.key, NAME)), String::new()),
    }
}

/// For types of any source: `Mission "Launch" paused: status active → paused`.
fn generic(kind: &str, data: &ChangeData, zone: &TimeZone) -> (String, String) {
    let (noun, verb) = kind.split_once('.').unwrap_or((data.noun.as_str(), kind));
    let noun = if data.noun.is_empty() { noun } else { &data.noun };
    let verb = match verb {
        "created" => "is new".to_owned(),
        "deleted" => "is gone".to_owned(),
        "updated" => "changed".to_owned(),
        other => other.replace(['_', '.'], " "),
    };
    let head = format!("{} {} {verb}", capitalize(&brief(noun, NAME)), name(data));
    // Of a person's own record it is obvious whose it is.
    let of = data.who.as_ref().map(who).filter(|person| *person != data.name && *person != data.key);
    let by = of.map(|person| format!("Of {person}")).unwrap_or_default();
    match data.changed.as_slice() {
        [] => (head, by),
        // `mission.paused` says what the status is now.
        [field] if is_said_by(&verb, text(data.after.as_ref(), field).as_deref()) => {
            let before = text(data.before.as_ref(), field).map(|was| format!("Was {}", was.replace('_', " ")));
            let parts = [before.unwrap_or_default(), by];
            (head, parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(". "))
        }
        // `Mission "Launch" status active → draft`: that it changed need not be said.
        [field] if verb == format!("{} changed", label(field).to_lowercase()) => {
            (format!("{} {} {}", capitalize(&brief(noun, NAME)), name(data), differences(data, zone)), by)
        }
        _ => (format!("{head}: {}", differences(data, zone)), by),
    }
}

/// Whether the verb says what a status is now: `paused`, and `started` or `resumed` of what is active.
fn is_said_by(verb: &str, status: Option<&str>) -> bool {
    status == Some(verb) || (matches!(verb, "started" | "resumed") && status == Some("active"))
}

/// `status active → paused, name a → b and 2 more`.
fn differences(data: &ChangeData, zone: &TimeZone) -> String {
    let side = |map: Option<&BTreeMap<String, Value>>, field: &str| {
        show::value(map.and_then(|m| m.get(field)).unwrap_or(&Value::Null), VALUE, zone)
    };
    let parts = data.changed.iter().map(|field| {
        let name = label(field).to_lowercase();
        format!("{name} {} → {}", side(data.before.as_ref(), field), side(data.after.as_ref(), field))
    });
    show::list(parts, FIELDS)
}

/// The title in quotes, or the key where there is none.
fn name(data: &ChangeData) -> String {
    if data.name == data.key { brief(&data.key, NAME) } else { quoted(&data.name) }
}

/// `ana (ana@example.com)`, or whatever there is of it.
fn member(data: &ChangeData) -> String {
    let name = brief(&data.name, NAME);
    if data.name == data.key { name } else { format!("{name} ({})", brief(&data.key, NAME)) }
}

fn role(fields: Option<&BTreeMap<String, Value>>) -> String {
    text(fields, "role").map(|role| format!(" as {role}")).unwrap_or_default()
}

fn text(fields: Option<&BTreeMap<String, Value>>, name: &str) -> Option<String> {
    let text = fields?.get(name)?.as_str()?;
    (!text.trim().is_empty()).then(|| brief(text, NAME))
}

/// The first repository a thread works in.
fn repository(data: &ChangeData) -> Option<String> {
    let repositories =
        [data.after.as_ref(), Some(&data.facts)].into_iter().flatten().find_map(|m| m.get("repositories"))?;
    let first = repositories.as_array()?.first()?;
    let address = first.as_str().or_else(|| first.get("url")?.as_str())?;
    Some(show::repository(address))
}
