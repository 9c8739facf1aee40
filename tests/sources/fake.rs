//! A stateful fake of any JSON API on loopback: tables and documents, answered in the shapes that the documents of the
//! source systems show, and twisted by a fault on request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ampbridge::demo::{Peer, Server};
use ampbridge::env::Clock as _;
use ampbridge::http::{Cap, HttpClient};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::bench::Watch;
use crate::fault::{Fault, Target};

/// How a route answers.
#[derive(Debug, Clone)]
pub enum Route {
    /// `{"data": […], "has_more", "total"}`, on by `starting_after`; rows from `created_after` on and before
    /// `created_before`.
    AfterKey(&'static str),
    /// The whole table under a member; by itself where the member is empty.
    Whole(&'static str, &'static str),
    /// A document, with its status.
    Doc(&'static str),
    /// One row of a table by its `id`, else 404. The path ends in it.
    One(&'static str),
    /// Buckets by `starting_at` and `ending_at`, `{"data", "has_more", "next_page"}`.
    Buckets(&'static str),
    /// `{"usageEvents", "pagination"}` by `page`, `pageSize`, `startDate` and `endDate` of the body.
    Events(&'static str),
    /// `{member: […], "next_cursor"}` by `cursor` and `limit`.
    Cursor(&'static str, &'static str),
    /// A bare list with a `Link` header, by `page` and `per_page`.
    Linked(&'static str),
    /// `{member: […], "page", "pages", "total"}` by `page` and `per_page`.
    Numbered(&'static str, &'static str),
}

/// What there is to see.
pub struct World {
    pub tables: BTreeMap<String, Vec<Value>>,
    pub docs: BTreeMap<String, (u16, Value)>,
    routes: Vec<(String, Route)>,
    /// The value that the header with the credentials must have; empty where none is needed.
    pub key: (&'static str, String),
    pub fault: Option<(Fault, Target)>,
    /// Rounds of looks since the fault began: what moves, moves once a round.
    pub round: usize,
    pub calls: Vec<String>,
    /// Bodies of the POSTs, as they came.
    pub bodies: Vec<String>,
    /// Sent with every answer.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Another server that knows the answers.
    pub forward: Option<(String, HttpClient)>,
    /// The clock of this server.
    pub now: Watch,
    cursors: u64,
}

impl World {
    pub fn table(&mut self, name: &str) -> &mut Vec<Value> {
        self.tables.entry(name.to_owned()).or_default()
    }

    pub fn doc(&mut self, name: &str) -> &mut Value {
        &mut self.docs.entry(name.to_owned()).or_insert((200, Value::Null)).1
    }

    /// The row of a table with this `id` (or `email`).
    pub fn row(&mut self, table: &str, id: &str) -> &mut Value {
        let rows = self.table(table);
        rows.iter_mut().find(|row| row["id"] == id || row["email"] == id).expect("a row")
    }
}

pub struct Fake {
    server: Server,
    world: Arc<Mutex<World>>,
}

impl Fake {
    pub async fn start(now: Watch, key: (&'static str, &str), routes: &[(&str, Route)]) -> Self {
        let world = Arc::new(Mutex::new(World {
            tables: BTreeMap::new(),
            docs: BTreeMap::new(),
            routes: routes.iter().map(|(path, route)| ((*path).to_owned(), route.clone())).collect(),
            key: (key.0, key.1.to_owned()),
            fault: None,
            round: 0,
            calls: Vec::new(),
            bodies: Vec::new(),
            headers: Vec::new(),
            forward: None,
            now,
            cursors: 0,
        }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&world));
        let server = Server::start(router, ([127, 0, 0, 1], 0).into()).await.unwrap();
        Self { server, world }
    }

    pub fn url(&self) -> String {
        self.server.base_url()
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

struct Asked {
    path: String,
    query: BTreeMap<String, String>,
    body: Value,
}

async fn answer(
    State(world): State<Arc<Mutex<World>>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let text = String::from_utf8(bytes.to_vec()).ok();
    let asked =
        Asked { path: parts.uri.path().to_owned(), query, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
    let forward = world.lock().unwrap().forward.clone();
    let forwarded = match forward {
        Some((base, client)) => Some(pass_on(&client, &base, &parts, bytes).await),
        None => None,
    };
    let (status, mut document, headers, fault) = {
        let mut world = world.lock().unwrap();
        world.calls.push(format!("{} {}", parts.method, parts.uri));
        world.bodies.extend(text.filter(|_| parts.method == http::Method::POST));
        let (status, document, mut headers) = forwarded.unwrap_or_else(|| respond(&mut world, &asked, &parts.headers));
        let date = httpdate::fmt_http_date(std::time::SystemTime::from(world.now.now()));
        headers.insert(http::header::DATE, date.parse().unwrap());
        for (name, value) in &world.headers {
            headers.insert(*name, value.parse().unwrap());
        }
        let fault = world.fault.clone().filter(|(_, target)| target.hits(&asked.path, &parts.uri));
        (status, document, headers, fault.map(|(fault, target)| (fault, target, world.round)))
    };
    let Some((fault, target, round)) = fault else { return reply(status, &document, headers) };
    let cursor = {
        let mut world = world.lock().unwrap();
        world.cursors += 1;
        world.cursors
    };
    match fault {
        Fault::Reset => {
            peer.cut();
            reply(status, &document, headers)
        }
        Fault::CutBody => {
            let text = document.to_string();
            let half = text[..text.len() / 2].to_owned();
            let stream = futures_util::stream::iter([
                Ok(bytes::Bytes::from(half)),
                Err(std::io::Error::other("cut on purpose")),
            ]);
            Response::builder()
                .status(status)
                .header("content-type", "application/json")
                .body(Body::from_stream(stream))
                .unwrap()
        }
        Fault::Hang => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            reply(status, &document, headers)
        }
        other => {
            let now = world.lock().unwrap().now.now();
            let mut headers = headers;
            if let Some((status, extra, text)) = other.instead() {
                for (name, value) in extra {
                    headers.insert(name, value.parse().unwrap());
                }
                return send(status, &headers, text);
            }
            other.twist(&target, &mut document, &mut headers, (now, round, cursor));
            reply(other.status().unwrap_or(status), &document, headers)
        }
    }
}

/// The answer of the server behind this one.
async fn pass_on(
    client: &HttpClient,
    base: &str,
    parts: &http::request::Parts,
    body: bytes::Bytes,
) -> (u16, Value, HeaderMap) {
    let url = format!("{base}{}", parts.uri).parse().unwrap();
    let mut request = client.request(parts.method.clone(), url).body(body);
    for name in ["authorization", "content-type"] {
        if let Some(value) = parts.headers.get(name) {
            request = request.header(name, value.clone());
        }
    }
    let reply = client.send(request, Duration::from_secs(60), Cap::Fail(1 << 26)).await.unwrap();
    (reply.status.as_u16(), serde_json::from_slice(&reply.body).unwrap_or(Value::Null), HeaderMap::new())
}

fn reply(status: u16, document: &Value, mut headers: HeaderMap) -> Response {
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    send(status, &headers, Fault::written(document))
}

fn send(status: u16, headers: &HeaderMap, text: String) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(text)).unwrap()
}

fn respond(world: &mut World, asked: &Asked, headers: &HeaderMap) -> (u16, Value, HeaderMap) {
    let none = HeaderMap::new();
    let (name, key) = &world.key;
    if !name.is_empty() && headers.get(*name).and_then(|v| v.to_str().ok()) != Some(key) {
        return (401, json!({"error": {"code": "unauthorized", "message": "no"}}), none);
    }
    let exact = world.routes.iter().find(|(path, _)| *path == asked.path);
    let below = || world.routes.iter().find(|(path, r)| matches!(r, Route::One(_)) && asked.path.starts_with(path));
    let Some((path, route)) = exact.or_else(below).cloned() else {
        return (StatusCode::NOT_FOUND.as_u16(), json!({"error": {"code": "not_found", "message": "no"}}), none);
    };
    let rows = |name: &str| world.tables.get(name).cloned().unwrap_or_default();
    let number = |name: &str, or: usize| asked.query.get(name).and_then(|n| n.parse().ok()).unwrap_or(or);
    match route {
        Route::Doc(name) => {
            let (status, document) = world.docs.get(name).cloned().unwrap_or((404, Value::Null));
            (status, document, none)
        }
        Route::Whole(table, "") => (200, Value::Array(rows(table)), none),
        Route::Whole(table, member) => (200, json!({ member: rows(table) }), none),
        Route::One(table) => {
            let id = percent_encoding::percent_decode_str(&asked.path[path.len()..]).decode_utf8_lossy().into_owned();
            match rows(table).into_iter().find(|row| row["id"] == id.as_str()) {
                Some(row) => (200, row, none),
                None => (404, json!({"error": "not found"}), none),
            }
        }
        Route::AfterKey(table) => (200, after_key(rows(table), asked, number("limit", 20)), none),
        Route::Buckets(table) => (200, buckets(rows(table), asked), none),
        Route::Events(table) => (200, events(&rows(table), asked), none),
        Route::Cursor(table, member) => {
            let start = number("cursor", 0);
            let (shown, more) = cut(&rows(table), start, number("limit", 20));
            let next = more.then(|| (start + shown.len()).to_string());
            (200, json!({ member: shown, "next_cursor": next }), none)
        }
        Route::Linked(table) => {
            let (page, size) = (number("page", 1), number("per_page", 30));
            let (shown, more) = cut(&rows(table), (page - 1) * size, size);
            let mut headers = HeaderMap::new();
            if more {
                let link = format!("<{path}?page={}&per_page={size}>; rel=\"next\"", page + 1);
                headers.insert("link", link.parse().unwrap());
            }
            (200, Value::Array(shown), headers)
        }
        Route::Numbered(table, member) => {
            let (page, size) = (number("page", 1), number("per_page", 20));
            let all = rows(table);
            let (shown, _) = cut(&all, (page - 1) * size, size);
            let pages = all.len().div_ceil(size).max(1);
            (200, json!({ member: shown, "page": page, "pages": pages, "total": all.len() }), none)
        }
    }
}

fn cut(all: &[Value], start: usize, size: usize) -> (Vec<Value>, bool) {
    let shown: Vec<Value> = all.iter().skip(start).take(size).cloned().collect();
    let more = start + shown.len() < all.len();
    (shown, more)
}

fn after_key(all: Vec<Value>, asked: &Asked, limit: usize) -> Value {
    let bound = |name: &str| asked.query.get(name).cloned();
    let created = |row: &Value| row["created_at"].as_str().unwrap_or_default().to_owned();
    let all: Vec<Value> = all
        .into_iter()
        .filter(|row| bound("created_after").is_none_or(|from| created(row) >= from))
        .filter(|row| bound("created_before").is_none_or(|to| created(row) < to))
        .collect();
    let after = bound("starting_after");
    let start = after.and_then(|id| all.iter().position(|row| row["id"] == id.as_str())).map_or(0, |at| at + 1);
    let (shown, more) = cut(&all, start, limit.clamp(1, 100));
    json!({"data": shown, "has_more": more, "total": all.len()})
}

fn buckets(all: Vec<Value>, asked: &Asked) -> Value {
    let text = |name: &str| asked.query.get(name).cloned().unwrap_or_default();
    let inside = |row: &Value| {
        let at = row["starting_at"].as_str().unwrap_or_default();
        at >= text("starting_at").as_str() && at < text("ending_at").as_str()
    };
    let data: Vec<Value> = all.into_iter().filter(inside).collect();
    json!({"data": data, "has_more": false, "next_page": null})
}

fn events(all: &[Value], asked: &Asked) -> Value {
    let number = |name: &str| asked.body[name].as_i64().unwrap_or(1);
    let at = |row: &Value| row["timestamp"].as_str().and_then(|t| t.parse::<i64>().ok()).unwrap_or(0);
    let days = number("startDate")..=number("endDate");
    let all: Vec<Value> = all.iter().filter(|row| days.contains(&at(row))).cloned().collect();
    let (page, size) = (number("page"), usize::try_from(number("pageSize")).unwrap());
    let (shown, more) = cut(&all, usize::try_from(page - 1).unwrap() * size, size);
    let pagination = json!({"currentPage": page, "pageSize": size, "hasNextPage": more});
    json!({"usageEvents": shown, "pagination": pagination, "totalUsageEventsCount": all.len()})
}
