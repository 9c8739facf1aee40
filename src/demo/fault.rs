//! What can go wrong with an answer, on request.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Rules kept; more is a mistake of the test.
const RULES: usize = 1_000;
/// Cursors of paging faults begin like this; the API proper refuses them.
pub const CURSOR: &str = "fault-";

/// One way to misbehave.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// This status with an error body; `retry_after` goes out as it stands.
    Status {
        code: u16,
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// 302 to this address.
    Redirect(String),
    /// 200 with a web page instead of JSON.
    Html,
    /// The right answer, announced in full, but the connection ends after so many bytes of the body.
    CutBody(usize),
    /// No answer, ever.
    Hang,
    /// The right answer, this many milliseconds late.
    DelayMs(u64),
    /// The right answer, a byte at a time with this many milliseconds between.
    DripMs(u64),
    /// Always the first page, always with another cursor.
    EndlessPaging,
    /// Always the first page, always with the same cursor.
    RepeatCursor,
    /// No rows, and a cursor for more.
    EmptyPageWithMore,
    /// No rows, and an honest end.
    EmptyList,
    /// So many bytes in one field of the first row.
    HugeRow(usize),
    /// Bytes that aren't UTF-8 inside a string.
    InvalidUtf8,
    /// 200 with an error object instead of the list.
    ErrorInside200,
    /// Of each three rows, the first has a key or amount of a wrong type, the second every other field.
    WrongTypes,
    /// An object where the list of rows should be.
    WrongShape,
    /// The connection is closed without an answer.
    DropConnection,
}

/// When to misbehave: on the `count` requests after the first `skip` whose path begins with `prefix`, or on all of
/// them until cleared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    #[serde(default)]
    pub prefix: String,
    pub fault: Fault,
    #[serde(default)]
    pub count: Option<u32>,
    #[serde(default)]
    pub skip: u32,
}

/// The rules in force, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rules: VecDeque<FaultRule>,
    issued_cursors: u64,
}

impl Faults {
    pub fn add(&mut self, rule: FaultRule) {
        if self.rules.len() >= RULES {
            self.rules.pop_front();
        }
        self.rules.push_back(rule);
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// The fault for a request, used up by one where it is counted.
    pub fn pick(&mut self, path: &str) -> Option<Fault> {
        let (index, fault) = self.rules.iter_mut().enumerate().find_map(|(index, rule)| {
            if !path.starts_with(&rule.prefix) {
                return None;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                return None;
            }
            if let Some(left) = &mut rule.count {
                *left = left.checked_sub(1)?;
            }
            Some((index, rule.fault.clone()))
        })?;
        if self.rules.get(index).is_some_and(|r| r.count == Some(0)) {
            self.rules.remove(index);
        }
        Some(fault)
    }

    /// Twists the body of a good answer the way a fault of the content wants it.
    pub fn twist(&mut self, fault: &Fault, body: &mut Value) {
        match fault {
            Fault::EndlessPaging => {
                self.issued_cursors += 1;
                set_cursor(body, Some(format!("{CURSOR}{}", self.issued_cursors)));
            }
            Fault::RepeatCursor => set_cursor(body, Some(format!("{CURSOR}same"))),
            Fault::EmptyPageWithMore => {
                empty(body);
                let kept = body.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
                set_cursor(body, Some(kept.unwrap_or_else(|| format!("{CURSOR}more"))));
            }
            Fault::EmptyList => {
                empty(body);
                set_cursor(body, None);
            }
            Fault::HugeRow(bytes) => fill_first_row(body, *bytes),
            Fault::ErrorInside200 => *body = json!({ "error": "something went wrong" }),
            Fault::WrongTypes => wrong_types(body),
            Fault::WrongShape => {
                if let Some(rows) = rows(body) {
                    *rows = json!({ "items": [] });
                }
            }
            Fault::Status { .. }
            | Fault::Redirect(_)
            | Fault::Html
            | Fault::CutBody(_)
            | Fault::Hang
            | Fault::DelayMs(_)
            | Fault::DripMs(_)
            | Fault::InvalidUtf8
            | Fault::DropConnection => {}
        }
    }
}

/// The list in an answer, whatever it is called.
fn rows(body: &mut Value) -> Option<&mut Value> {
    let object = body.as_object_mut()?;
    let name = ["threads", "messages", "members", "data"].into_iter().find(|n| object.contains_key(*n))?;
    object.get_mut(name)
}

fn empty(body: &mut Value) {
    if let Some(rows) = rows(body) {
        *rows = json!([]);
    }
}

fn set_cursor(body: &mut Value, cursor: Option<String>) {
    let Some(object) = body.as_object_mut() else { return };
    match cursor {
        Some(cursor) => object.insert("nextCursor".to_owned(), cursor.into()),
        None => object.remove("nextCursor"),
    };
}

fn fill_first_row(body: &mut Value, bytes: usize) {
    let first = rows(body).and_then(Value::as_array_mut).and_then(|list| list.first_mut());
    if let Some(row) = first.and_then(Value::as_object_mut) {
        let field = ["title", "name"].into_iter().find(|n| row.contains_key(*n)).unwrap_or("padding");
        row.insert(field.to_owned(), "x".repeat(bytes).into());
    }
}

fn wrong_types(body: &mut Value) {
    if let Some(usage) = body.get_mut("usage") {
        *usage = json!("a lot");
        return;
    }
    let Some(Value::Array(list)) = rows(body) else { return };
    let by_day = list.iter().any(|row| row.get("users").is_some());
    let mut flat: Vec<&mut Map<String, Value>> = if by_day {
        let users = list.iter_mut().filter_map(|day| day.get_mut("users")?.as_array_mut());
        users.flatten().filter_map(Value::as_object_mut).collect()
    } else {
        list.iter_mut().filter_map(Value::as_object_mut).collect()
    };
    for (n, row) in flat.iter_mut().enumerate() {
        for (name, value) in row.iter_mut() {
            let vital = matches!(name.as_str(), "id" | "email" | "metrics");
            match n % 3 {
                0 if vital => spoil(value),
                // A user's key lies one level down; a row without it can't be told from another fault.
                1 if !vital && name != "user" => spoil(value),
                _ => {}
            }
        }
    }
}

fn spoil(value: &mut Value) {
    *value = match value {
        Value::String(_) => json!(17),
        Value::Array(_) => json!({ "odd": true }),
        Value::Object(inner) if inner.contains_key("usage") => {
            inner.insert("usage".to_owned(), json!("a lot"));
            return;
        }
        _ => json!("odd"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(prefix: &str, code: u16, count: Option<u32>, skip: u32) -> FaultRule {
        FaultRule { prefix: prefix.into(), fault: Fault::Status { code, retry_after: None }, count, skip }
    }

    fn codes(faults: &mut Faults, path: &str, times: usize) -> Vec<u16> {
        let code = |f| if let Some(Fault::Status { code, .. }) = f { code } else { 200 };
        (0..times).map(|_| code(faults.pick(path))).collect()
    }

    #[test]
    fn rules_wait_count_and_end() {
        let mut faults = Faults::default();
        faults.add(rule("/a", 503, Some(2), 1));
        faults.add(rule("/a/b", 429, None, 0));
        assert_eq!(codes(&mut faults, "/a", 5), [200, 503, 503, 200, 200]);
        assert_eq!(codes(&mut faults, "/a/b", 2), [429, 429]);
        faults.clear();
        assert_eq!(codes(&mut faults, "/a/b", 1), [200]);
    }

    #[test]
    fn wrong_types_spoil_the_vital_of_one_row_and_the_rest_of_the_next() {
        let mut body = json!({ "threads": [{"id": "T-1", "title": "a"}, {"id": "T-2", "title": "b"}, {"id": "T-3", "title": "c"}] });
        Faults::default().twist(&Fault::WrongTypes, &mut body);
        assert_eq!(
            body,
            json!({ "threads": [{"id": 17, "title": "a"}, {"id": "T-2", "title": 17}, {"id": "T-3", "title": "c"}] })
        );
        let day = |usage: Value| json!({ "user": {"id": "u"}, "metrics": {"usage": usage}, "models": {} });
        let mut body = json!({ "data": [{ "date": "2026-11-22", "users": [day(json!(1)), day(json!(2))] }] });
        Faults::default().twist(&Fault::WrongTypes, &mut body);
        assert_eq!(body.pointer("/data/0/users/0/metrics/usage"), Some(&json!("a lot")));
        assert_eq!(body.pointer("/data/0/users/1/metrics/usage"), Some(&json!(2)));
        assert_eq!(body.pointer("/data/0/users/1/models"), Some(&json!("odd")));
    }

    #[test]
    fn paging_faults_never_say_the_end() {
        let page = || json!({ "threads": [{"id": "T-1"}], "nextCursor": "real" });
        let mut faults = Faults::default();
        let cursor = |faults: &mut Faults, fault: Fault| {
            let mut body = page();
            faults.twist(&fault, &mut body);
            body.get("nextCursor").and_then(Value::as_str).map(str::to_owned)
        };
        assert_ne!(cursor(&mut faults, Fault::EndlessPaging), cursor(&mut faults, Fault::EndlessPaging));
        assert_eq!(cursor(&mut faults, Fault::RepeatCursor), cursor(&mut faults, Fault::RepeatCursor));
        assert_eq!(cursor(&mut faults, Fault::EmptyPageWithMore).as_deref(), Some("real"));
        assert_eq!(cursor(&mut faults, Fault::EmptyList), None);
    }
}
