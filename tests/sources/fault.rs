//! What can go wrong with an answer.

use http::{HeaderMap, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Html,
    CutBody,
    ErrorInside200,
    WrongShape,
    ObjectForList,
    PartialContent,
    Unauthorized,
    Forbidden,
    NotFound,
    TooMany,
    TooManyForAnHour,
    Internal,
    Unavailable,
    Reset,
    Hang,
    EndlessPaging,
    RepeatedCursor,
    EmptyPageWithMore,
    Reordered,
    DuplicateKeys,
    MovedRow,
    ClockAhead,
    ClockBehind,
    FieldGone,
    FieldNull,
    FieldOfNewType,
    HalfCharacter,
}

pub const ALL: [Fault; 27] = [
    Fault::Html,
    Fault::CutBody,
    Fault::ErrorInside200,
    Fault::WrongShape,
    Fault::ObjectForList,
    Fault::PartialContent,
    Fault::Unauthorized,
    Fault::Forbidden,
    Fault::NotFound,
    Fault::TooMany,
    Fault::TooManyForAnHour,
    Fault::Internal,
    Fault::Unavailable,
    Fault::Reset,
    Fault::Hang,
    Fault::EndlessPaging,
    Fault::RepeatedCursor,
    Fault::EmptyPageWithMore,
    Fault::Reordered,
    Fault::DuplicateKeys,
    Fault::MovedRow,
    Fault::ClockAhead,
    Fault::ClockBehind,
    Fault::FieldGone,
    Fault::FieldNull,
    Fault::FieldOfNewType,
    Fault::HalfCharacter,
];

/// Stands for half of a surrogate pair, which no text here can hold.
const HALF: &str = "half a character";

/// Status, headers and body of an answer.
type Instead = (u16, Vec<(&'static str, &'static str)>, String);

/// How a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// One answer.
    None,
    /// `has_more`, and the last row's key.
    AfterKey,
    /// `next_page` beside `has_more`.
    NextPage,
    /// `nextCursor`.
    NextCursor,
    /// `pagination.hasNextPage`.
    HasNextPage,
}

/// Which answers are twisted, and where things are in them.
#[derive(Debug, Clone)]
pub struct Target {
    /// The path, or its beginning where it ends in `/`.
    pub path: &'static str,
    /// The rest of the address that tells this call from others of the path; after a `!` what it must not hold.
    pub marker: &'static str,
    pub paging: Paging,
    /// Pointer to the list of rows; empty where the answer is the only row.
    pub rows: &'static str,
    /// Pointer to the list of each of them that holds the rows proper; empty where there is none.
    pub inner: &'static str,
    /// The list says how many rows it has.
    pub counted: bool,
    /// Pointer to the field that counts in a row: watched, an amount, a level.
    pub field: &'static str,
    pub single: bool,
}

impl Target {
    /// A list of jobs at `/jobs`, page by page.
    pub fn jobs() -> Self {
        Self {
            path: "/jobs",
            marker: "",
            paging: Paging::AfterKey,
            rows: "/data",
            inner: "",
            counted: false,
            field: "/status",
            single: false,
        }
    }

    pub fn hits(&self, path: &str, uri: &http::Uri) -> bool {
        let fits = if self.path.ends_with('/') { path.starts_with(self.path) } else { path == self.path };
        let uri = uri.to_string();
        fits && self.marker.strip_prefix('!').map_or_else(|| uri.contains(self.marker), |not| !uri.contains(not))
    }

    /// Every row of an answer.
    fn rows<'v>(&self, document: &'v mut Value) -> Vec<&'v mut Value> {
        if self.single {
            return document.pointer_mut(self.rows).into_iter().collect();
        }
        let Some(Value::Array(rows)) = document.pointer_mut(self.rows) else { return Vec::new() };
        if self.inner.is_empty() {
            return rows.iter_mut().collect();
        }
        rows.iter_mut().filter_map(|row| row.pointer_mut(self.inner)?.as_array_mut()).flatten().collect()
    }

    fn list<'v>(&self, document: &'v mut Value) -> Option<&'v mut Vec<Value>> {
        if self.single { None } else { document.pointer_mut(self.rows)?.as_array_mut() }
    }
}

impl Fault {
    pub fn name(self) -> String {
        let mut name = String::new();
        for c in format!("{self:?}").chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push(' ');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// Whether there is such a fault of a list that goes on so.
    pub fn fits(self, target: &Target) -> bool {
        match self {
            Self::EndlessPaging | Self::RepeatedCursor | Self::EmptyPageWithMore => target.paging != Paging::None,
            Self::Reordered | Self::DuplicateKeys | Self::MovedRow | Self::ObjectForList => !target.single,
            _ => true,
        }
    }

    /// Whether it is nobody's business. A row that moved is missed where the list says how many there are.
    pub fn is_harmless(self, target: &Target) -> bool {
        match self {
            Self::MovedRow => !target.counted,
            _ => matches!(
                self,
                Self::Reordered | Self::DuplicateKeys | Self::ClockAhead | Self::ClockBehind | Self::HalfCharacter
            ),
        }
    }

    /// The answer that comes instead of the right one: status, headers, body.
    pub fn instead(self) -> Option<Instead> {
        let error = json!({"error": {"code": "scripted", "message": "on purpose"}}).to_string();
        let json = ("content-type", "application/json");
        Some(match self {
            Self::Html => {
                (200, vec![("content-type", "text/html")], "<!doctype html><title>Sign in</title>".to_owned())
            }
            Self::ErrorInside200 => (200, vec![json], json!({"error": "something went wrong"}).to_string()),
            Self::Unauthorized => (401, vec![json], error),
            Self::Forbidden => (403, vec![json], error),
            Self::NotFound => (404, vec![json], error),
            Self::TooMany => (429, vec![json], error),
            Self::TooManyForAnHour => (429, vec![json, ("retry-after", "3600")], error),
            Self::Internal => (500, vec![json], error),
            Self::Unavailable => (503, vec![json], error),
            _ => return None,
        })
    }

    /// The status that the right answer gets instead of its own.
    pub fn status(self) -> Option<u16> {
        (self == Self::PartialContent).then_some(206)
    }

    /// Twists the right answer.
    pub fn twist(
        self,
        target: &Target,
        document: &mut Value,
        headers: &mut HeaderMap,
        (now, round, cursor): (Timestamp, usize, u64),
    ) {
        match self {
            Self::WrongShape => match document.pointer_mut(target.rows) {
                Some(rows) => *rows = json!("a text"),
                None => *document = json!("a text"),
            },
            Self::ObjectForList => {
                if let Some(rows) = document.pointer_mut(target.rows) {
                    *rows = json!({});
                }
            }
            Self::EndlessPaging => set_more(target, document, &format!("fault-{cursor}")),
            Self::RepeatedCursor => set_more(target, document, "fault-same"),
            Self::EmptyPageWithMore => {
                if let Some(rows) = target.list(document) {
                    rows.clear();
                }
                set_more(target, document, "fault-more");
            }
            Self::Reordered => {
                if let Some(rows) = target.list(document) {
                    rows.reverse();
                }
            }
            Self::DuplicateKeys => {
                if let Some(rows) = target.list(document) {
                    let again = rows.clone();
                    rows.extend(again);
                }
            }
            // Another row is missed each time: it moved to a page that had been read.
            Self::MovedRow => {
                if let Some(rows) = target.list(document).filter(|rows| !rows.is_empty()) {
                    rows.remove(round % rows.len());
                }
            }
            Self::ClockAhead => set_date(headers, now, 20 * 3_600),
            Self::ClockBehind => set_date(headers, now, -3 * 86_400),
            Self::FieldGone => target.rows(document).into_iter().for_each(|row| remove(row, target.field)),
            Self::FieldNull => set_field(target, document, |_| Value::Null),
            Self::FieldOfNewType => set_field(target, document, |value| match value {
                Value::Array(_) => json!("a text"),
                _ => json!([{"changed": true}]),
            }),
            Self::HalfCharacter => {
                for row in target.rows(document).into_iter().filter_map(Value::as_object_mut) {
                    row.insert("note".to_owned(), json!(HALF));
                }
            }
            _ => {}
        }
    }

    /// The answer as it is sent.
    pub fn written(document: &Value) -> String {
        document.to_string().replace(HALF, "\\ud83d")
    }
}

fn set_field(target: &Target, document: &mut Value, make: fn(&Value) -> Value) {
    for row in target.rows(document) {
        if let Some(value) = row.pointer_mut(target.field) {
            *value = make(value);
        }
    }
}

fn remove(row: &mut Value, field: &str) {
    let Some((parent, name)) = field.rsplit_once('/') else { return };
    if let Some(Value::Object(members)) = row.pointer_mut(parent) {
        members.remove(name);
    }
}

fn set_more(target: &Target, document: &mut Value, next: &str) {
    let members = match target.paging {
        Paging::None => return,
        Paging::AfterKey => json!({"has_more": true}),
        Paging::NextPage => json!({"has_more": true, "next_page": next}),
        Paging::NextCursor => json!({"nextCursor": next}),
        Paging::HasNextPage => json!({"pagination": {"hasNextPage": true}}),
    };
    if let (Some(into), Value::Object(from)) = (document.as_object_mut(), members) {
        into.extend(from);
    }
}

fn set_date(headers: &mut HeaderMap, now: Timestamp, secs: i64) {
    let date = httpdate::fmt_http_date(std::time::SystemTime::from(now + SignedDuration::from_secs(secs)));
    headers.insert(http::header::DATE, HeaderValue::from_str(&date).unwrap());
}
