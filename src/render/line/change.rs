//! Lines of records that came, changed or went, and of levels.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{NAME, Words, origin, quoted};
use crate::domain::event::Event;
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
        kind => generic(kind, data, zone),
    }
}

pub fn level(data: &LevelData, zone: &TimeZone) -> Words {
    let noun = capitalize(&brief(&data.noun, NAME));
    let name = if data.name == data.key || data.name == data.noun {
        noun
    } else {
        format!("{noun} {}", brief(&data.name, NAME))
    };
    let (before, after) = (show::value(&data.before, VALUE, zone), show::value(&data.after, VALUE, zone));
    // A state names its own band; a level has a number besides.
    let now = if data.after.as_str() == Some(&data.band_after) {
        after
    } else {
        format!("{} at {after}", brief(&data.band_after, NAME))
    };
    let first = if data.baseline { "already " } else { "" };
    let tail = match &data.band_before {
        Some(band) if data.before.as_str() == Some(band) => format!("Was {before}"),
        Some(band) => format!("Was {} at {before}", brief(band, NAME)),
        None => String::new(),
    };
    (format!("{name} is {first}{now}"), tail)
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
    let by = data.who.as_ref().map(|w| format!("Of {}", who(w))).unwrap_or_default();
    match data.changed.as_slice() {
        [] => (head, by),
        // `mission.paused` says what the status is now.
        [field] if text(data.after.as_ref(), field).as_deref() == Some(&verb) => {
            let before = text(data.before.as_ref(), field).map(|was| format!("Was {was}")).unwrap_or_default();
            (head, [before, by].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(". "))
        }
        _ => (format!("{head}: {}", differences(data, zone)), by),
    }
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
