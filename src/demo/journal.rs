//! What was asked of the fake: a log of requests and counters.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// Entries kept; the oldest go first. The counters count on.
const ENTRIES: usize = 100_000;
/// Bytes of path and query kept of an entry.
const TEXT: usize = 2_000;
/// Routes counted apart; a client that makes up paths is counted under `other`.
const ROUTES: usize = 200;

/// One request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// Counts from 1.
    pub number: u64,
    /// Milliseconds since the fake was made, of real time.
    pub at_ms: u64,
    pub method: String,
    pub path: String,
    /// As sent, still encoded.
    pub query: String,
    /// The scheme, and for a token of ours which one it was: `Basic`, `Bearer #3`. Never what it says.
    pub authorization: Option<String>,
    /// 0 where no answer was given on purpose.
    pub status: u16,
}

/// Sums over all requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    pub requests: u64,
    /// By method and path, with `{id}` for a thread's id.
    pub by_route: BTreeMap<String, u64>,
    pub by_status: BTreeMap<u16, u64>,
    pub tokens_issued: u64,
    pub in_flight: u64,
    pub most_in_flight: u64,
    /// Requests that would have changed or removed something. A bridge makes none.
    pub writes_attempted: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Journal {
    entries: VecDeque<LogEntry>,
    counters: Counters,
}

impl Journal {
    pub fn begin(&mut self) {
        self.counters.in_flight += 1;
        self.counters.most_in_flight = self.counters.most_in_flight.max(self.counters.in_flight);
    }

    pub fn end(&mut self) {
        self.counters.in_flight = self.counters.in_flight.saturating_sub(1);
    }

    /// Enters a request; `number` is set here.
    pub fn enter(&mut self, mut entry: LogEntry) {
        self.counters.requests += 1;
        entry.number = self.counters.requests;
        entry.path = crate::domain::delivery::cut(&entry.path, TEXT);
        entry.query = crate::domain::delivery::cut(&entry.query, TEXT);
        self.count_route(format!("{} {}", entry.method, template(&entry.path)));
        *self.counters.by_status.entry(entry.status).or_default() += 1;
        let token = entry.path == super::api::TOKEN_PATH;
        if !token && !matches!(entry.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
            self.counters.writes_attempted += 1;
        }
        if self.entries.len() >= ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    fn count_route(&mut self, route: String) {
        let routes = &mut self.counters.by_route;
        let known = routes.contains_key(&route) || routes.len() < ROUTES;
        *routes.entry(if known { route } else { "other".to_owned() }).or_default() += 1;
    }

    /// Entries with a number above `since`, oldest first.
    pub fn since(&self, since: u64) -> Vec<LogEntry> {
        self.entries.iter().filter(|e| e.number > since).cloned().collect()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Forgets the entries and counts from zero; what is in flight stays in flight.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.counters = Counters { in_flight: self.counters.in_flight, ..Counters::default() };
    }
}

/// The path with thread ids replaced, so that there are few of them.
fn template(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with("T-") { "{id}" } else { part }).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_route_and_tells_writes_from_reads() {
        let mut journal = Journal::default();
        for (method, path) in
            [("GET", "/api/v2/threads/T-1/usage"), ("DELETE", "/api/v2/threads/T-1"), ("POST", "/oauth2/token")]
        {
            journal.enter(LogEntry {
                number: 0,
                at_ms: 0,
                method: method.into(),
                path: path.into(),
                query: String::new(),
                authorization: None,
                status: 200,
            });
        }
        let counters = journal.counters();
        assert_eq!((counters.requests, counters.writes_attempted), (3, 1));
        assert_eq!(counters.by_route.get("GET /api/v2/threads/{id}/usage"), Some(&1));
        assert_eq!(journal.since(2).len(), 1);
    }
}
