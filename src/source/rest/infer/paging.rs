//! How a list goes on, as far as one answer shows.

use std::collections::BTreeSet;
use std::fmt;

use reqwest::Url;
use serde_json::Value;

/// Parameters that say how many rows a page has.
const SIZES: [&str; 8] = ["limit", "per_page", "perPage", "page_size", "pageSize", "size", "count", "first"];
/// Names of the next page's cursor, with the parameter that usually takes it.
const CURSORS: [(&str, &str); 9] = [
    ("next_cursor", "cursor"),
    ("nextCursor", "cursor"),
    ("next_page_token", "page_token"),
    ("nextPageToken", "pageToken"),
    ("next_token", "next_token"),
    ("next_page", "page"),
    ("cursor", "cursor"),
    ("continuation", "continuation"),
    ("next", "cursor"),
];
const MORE: [&str; 5] = ["has_more", "hasMore", "has_next", "hasNextPage", "more"];
const PAGES: [&str; 5] = ["pages", "total_pages", "totalPages", "last_page", "page_count"];
const TOTALS: [&str; 5] = ["total", "total_count", "totalCount", "count", "total_results"];

/// A way, as it stands in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    kind: &'static str,
    settings: Vec<(&'static str, String)>,
    size: Option<(String, usize)>,
    send: Option<&'static str>,
}

impl Way {
    fn of(kind: &'static str) -> Self {
        Self { kind, settings: Vec::new(), size: None, send: None }
    }

    /// Parameters of the address that it sets itself.
    pub fn parameters(&self) -> BTreeSet<String> {
        let size = self.size.iter().map(|(name, _)| name.clone());
        size.chain(self.send.map(str::to_owned)).collect()
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{ kind = {:?}", self.kind)?;
        if let Some(send) = self.send {
            write!(f, ", send = {send:?}")?;
        }
        for (name, value) in &self.settings {
            write!(f, ", {name} = {value:?}")?;
        }
        if let Some((name, size)) = &self.size {
            write!(f, ", size = [{name:?}, {size}]")?;
        }
        f.write_str(" }")
    }
}

/// The way of a list, or `None` where nothing shows its end.
pub fn way(document: &Value, linked: bool, rows: &str, shown: usize, url: &Url) -> Option<Way> {
    let size = size(url);
    let mut way = found(document, linked, rows, shown, url)?;
    way.size = match (way.kind, size) {
        ("none", _) => None,
        ("offset", None) => Some(("limit".to_owned(), shown.max(1))),
        (_, size) => size,
    };
    Some(way)
}

fn found(document: &Value, linked: bool, rows: &str, shown: usize, url: &Url) -> Option<Way> {
    if linked {
        return Some(Way::of("link"));
    }
    let place = |names: &[&'static str], fits: fn(&Value) -> bool| beside(document, rows, names, fits);
    let more = place(&MORE, Value::is_boolean);
    let text = |value: &Value| value.is_string() || value.is_null();
    let cursor = CURSORS.iter().find_map(|(name, send)| Some((beside(document, rows, &[name], text)?, *send)));
    if let Some((next, send)) = cursor.filter(|(_, send)| *send != "page" || more.is_some()) {
        let mut way = Way { send: Some(send), ..Way::of("cursor") };
        way.settings.push(("next", next));
        way.settings.extend(more.map(|more| ("more", more)));
        return Some(way);
    }
    let total = place(&TOTALS, Value::is_u64);
    if let Some(pages) = place(&PAGES, Value::is_u64) {
        let mut way = Way { send: Some("page"), ..Way::of("page") };
        way.settings.push(("pages", pages));
        way.settings.extend(total.map(|total| ("total", total)));
        return Some(way);
    }
    let has = |name: &str| url.query_pairs().any(|(n, _)| n == name) || document.get(name).is_some_and(Value::is_u64);
    if let Some(more) = more {
        if has("page") {
            let mut way = Way { send: Some("page"), ..Way::of("page") };
            way.settings.push(("more", more));
            return Some(way);
        }
        let mut way = Way { send: Some("starting_after"), ..Way::of("after_key") };
        way.settings.push(("more", more));
        return Some(way);
    }
    let total = total?;
    let all = document.pointer(&total).and_then(Value::as_u64)?;
    let kind = match (has("offset"), has("page")) {
        (true, _) => "offset",
        (_, true) => "page",
        _ if all == shown as u64 => "none",
        _ => return None,
    };
    let send = match kind {
        "none" => None,
        kind => Some(kind),
    };
    let mut way = Way { send, ..Way::of(kind) };
    way.settings.push(("total", total));
    Some(way)
}

/// The first of several members that stands beside the list, or in an object beside it.
fn beside(document: &Value, rows: &str, names: &[&'static str], fits: fn(&Value) -> bool) -> Option<String> {
    let mut homes = vec![String::new()];
    let parent = rows.trim_end_matches("/*").rsplit_once('/').map_or("", |(parent, _)| parent);
    if !parent.is_empty() {
        homes.insert(0, parent.to_owned());
    }
    for home in ["/pagination", "/meta", "/paging", "/page_info", "/pageInfo", "/links"] {
        homes.push(home.to_owned());
    }
    homes.iter().find_map(|home| {
        let object = document.pointer(home)?.as_object()?;
        let name = names.iter().find(|name| object.get(**name).is_some_and(fits))?;
        Some(format!("{home}/{name}"))
    })
}

fn size(url: &Url) -> Option<(String, usize)> {
    let pair = url.query_pairs().into_owned().find(|(name, _)| SIZES.contains(&name.as_str()))?;
    Some((pair.0, pair.1.parse().ok()?))
}
