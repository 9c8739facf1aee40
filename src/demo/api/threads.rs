//! `GET /api/v2/threads`, `…/{id}/messages`, `…/{id}/usage`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{Answer, Call, Tenant};
use crate::demo::auth::{Bearer, scope};
use crate::demo::model::Thread;
use crate::demo::world::{CursorStyle, Start, ThreadQuery, World};
use crate::domain::time::{SignedDuration, Timestamp};

/// Bounds and default of `limit`.
const LIMIT: std::ops::RangeInclusive<usize> = 1..=100;
const DEFAULT_LIMIT: usize = 50;
/// "Thread usage data is only available for threads less than 90 days old."
const USAGE_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);

pub fn list(tenant: &Tenant, call: &Call<'_>, bearer: &Bearer) -> Result<Answer, Answer> {
    let mut query = ThreadQuery {
        limit: call.number("limit", LIMIT, DEFAULT_LIMIT)?,
        newest_first: match call.parameter("sort") {
            None | Some("ASC") => false,
            Some("DESC") => true,
            Some(_) => return Err(Answer::bad("sort must be ASC or DESC")),
        },
        after: instant(call, "after")?,
        before: instant(call, "before")?,
        creators: creators(&tenant.world, call)?,
        from: Start::Beginning,
    };
    let filters = filters_print(&query);
    if let Some(cursor) = call.parameter("cursor") {
        query.from = read_cursor(cursor, filters).ok_or_else(|| Answer::bad("cursor is not one of this query's"))?;
    }
    let page = tenant.world.page(&query);
    let skipped = if let Start::Skip(n) = query.from { n } else { 0 };
    let next = page.next.map(|place| match tenant.cursors {
        CursorStyle::Keyset => Start::After(place),
        CursorStyle::Offset => Start::Skip(skipped + page.threads.len()),
    });
    let contents = bearer.scopes.contains(scope::THREADS_CONTENTS);
    let rows: Vec<Value> = page.threads.iter().map(|t| row(&tenant.world, t, contents)).collect();
    Ok(Answer::ok(match next {
        Some(start) => json!({ "threads": rows, "nextCursor": write_cursor(start, filters) }),
        None => json!({ "threads": rows }),
    }))
}

pub fn messages(tenant: &Tenant, call: &Call<'_>, id: &str) -> Result<Answer, Answer> {
    let thread = known(&tenant.world, id)?;
    let limit = call.number("limit", LIMIT, DEFAULT_LIMIT)?;
    let print = xxh3_64(id.as_bytes());
    let skip = match call.parameter("cursor").map(|c| read_cursor(c, print)) {
        None => 0,
        Some(Some(Start::Skip(n))) => n,
        Some(_) => return Err(Answer::bad("cursor is not one of this thread's")),
    };
    let count = usize::try_from(thread.messages).unwrap_or(usize::MAX);
    let end = skip.saturating_add(limit).min(count);
    let rows: Vec<Value> = (skip..end).map(message).collect();
    Ok(Answer::ok(if end < count {
        json!({ "messages": rows, "nextCursor": write_cursor(Start::Skip(end), print) })
    } else {
        json!({ "messages": rows })
    }))
}

pub fn usage(tenant: &Tenant, id: &str, now: Timestamp) -> Result<Answer, Answer> {
    let thread = known(&tenant.world, id)?;
    let unavailable = || Answer::error(StatusCode::NOT_FOUND, "thread not found or usage data not available");
    if now.duration_since(thread.created_at) >= USAGE_AGE {
        return Err(unavailable());
    }
    let cost = tenant.world.thread_cost(id).ok_or_else(unavailable)?;
    let parts: Vec<&str> = tenant.world.sub_threads(id).iter().map(AsRef::as_ref).collect();
    Ok(Answer::ok(json!({ "threadID": id, "subThreadIDs": parts, "usage": cost.wire })))
}

fn known<'a>(world: &'a World, id: &str) -> Result<&'a Thread, Answer> {
    if !id.starts_with("T-") {
        return Err(Answer::bad("a thread ID begins with \"T-\""));
    }
    world.thread(id).ok_or_else(|| Answer::error(StatusCode::NOT_FOUND, "thread not found"))
}

fn row(world: &World, thread: &Thread, contents: bool) -> Value {
    let mut row = Map::new();
    let mut put = |name: &str, value: Value| row.insert(name.to_owned(), value);
    put("id", json!(thread.id));
    if let Some(title) = thread.title.as_ref().filter(|_| contents) {
        put("title", json!(title));
    }
    put("createdAt", written(thread.created_at));
    put("updatedAt", written(thread.updated_at));
    put("firstSyncedAt", written(thread.first_synced_at));
    put("creatorUserID", json!(thread.creator));
    if let Some(main) = &thread.part_of {
        put("mainThreadID", json!(main));
    }
    if contents {
        put("repositories", json!(thread.repositories));
    }
    let parts = world.sub_threads(&thread.id);
    if !parts.is_empty() {
        put("subThreads", parts.iter().map(|id| json!({ "id": id })).collect());
    }
    Value::Object(row)
}

/// Three digits of a second, as JavaScript writes them.
fn written(at: Timestamp) -> Value {
    Value::String(format!("{at:.3}"))
}

fn message(index: usize) -> Value {
    let role = if index.is_multiple_of(2) { "user" } else { "assistant" };
    json!({ "role": role, "messageId": index, "content": [{ "type": "text", "text": format!("Message {index}.") }] })
}

fn instant(call: &Call<'_>, name: &str) -> Result<Option<Timestamp>, Answer> {
    let Some(text) = call.parameter(name) else { return Ok(None) };
    let at = text.parse().ok().filter(|_| text.contains('T'));
    at.map(Some).ok_or_else(|| Answer::bad(&format!("{name} must be a date and time in ISO 8601 format")))
}

/// User ids that the filters `userEmail` and `userID` ask for.
fn creators(world: &World, call: &Call<'_>) -> Result<Vec<String>, Answer> {
    let mut ids = Vec::new();
    for name in ["userEmail", "userID"] {
        let Some(text) = call.parameter(name) else { continue };
        if (name == "userEmail") != text.contains('@') {
            return Err(Answer::bad(&format!("{name} is not valid")));
        }
        let user = world.user(text).filter(|u| u.active);
        ids.push(user.ok_or_else(|| Answer::bad("the user is not in the workspace"))?.id.clone());
    }
    Ok(ids)
}

/// A cursor is good for the query it came from only, whatever the page size.
fn filters_print(query: &ThreadQuery) -> u64 {
    xxh3_64(format!("{:?}", (query.newest_first, query.after, query.before, &query.creators)).as_bytes())
}

fn write_cursor(start: Start, print: u64) -> String {
    let text = match start {
        Start::Beginning => "b".to_owned(),
        Start::After((at, arrival)) => format!("a {} {arrival}", at.as_nanosecond()),
        Start::Skip(n) => format!("s {n}"),
    };
    URL_SAFE_NO_PAD.encode(format!("{print:016x} {text}"))
}

fn read_cursor(cursor: &str, print: u64) -> Option<Start> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let rest = text.strip_prefix(&format!("{print:016x} "))?;
    match rest.split(' ').collect::<Vec<_>>().as_slice() {
        ["a", at, arrival] => {
            Some(Start::After((Timestamp::from_nanosecond(at.parse().ok()?).ok()?, arrival.parse().ok()?)))
        }
        ["s", n] => Some(Start::Skip(n.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_as_they_went_and_to_their_query_only() {
        let place = (Timestamp::from_millisecond(-1_234).unwrap(), 77);
        for start in [Start::After(place), Start::Skip(0), Start::Skip(100)] {
            let cursor = write_cursor(start, 9);
            assert_eq!(read_cursor(&cursor, 9), Some(start));
            assert_eq!(read_cursor(&cursor, 10), None);
        }
        for junk in ["", "x", "fault-1", "MDAwMDAwMDAwMDAwMDAwOSB6"] {
            assert_eq!(read_cursor(junk, 9), None, "{junk}");
        }
    }
}
