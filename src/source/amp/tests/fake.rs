//! A small workspace that speaks the API, keeps what it was asked, and fails as it is told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use crate::source::amp::client::{ANALYTICS, CONTENTS, MEMBERS, META, SCOPES};

/// Both need the escaping of RFC 6749 section 2.3.1.
pub const ID: &str = "client:1";
pub const SECRET: &str = "s3cret /+%ü";

/// A call as it came in.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub authorization: String,
}

/// An answer that replaces the usual one.
#[derive(Debug, Clone)]
pub enum Script {
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Half a body, then the connection breaks.
    Cut,
}

impl Script {
    pub fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), json!({"error": "scripted"}).to_string())
    }

    pub fn ok(body: &(impl ToString + ?Sized)) -> Self {
        Self::Answer(200, Vec::new(), body.to_string())
    }

    pub fn wait(status: u16, retry_after: &(impl ToString + ?Sized)) -> Self {
        Self::Answer(status, vec![("retry-after", retry_after.to_string())], String::new())
    }
}

#[derive(Debug)]
pub struct World {
    /// In order of `firstSyncedAt`.
    pub threads: Vec<Value>,
    pub members: Vec<Value>,
    /// Days of usage: `date` and `users`.
    pub days: Vec<Value>,
    pub usage: BTreeMap<String, Value>,
    /// By thread.
    pub messages: BTreeMap<String, Vec<Value>>,
    pub granted: BTreeSet<String>,
    /// Named in token answers instead of nothing.
    pub token_scope: Option<String>,
    pub expires_in: u64,
    /// The `Date` of all answers of the API.
    pub date: String,
    pub page: usize,
    pub tokens: Vec<(String, BTreeSet<String>)>,
    pub asked_scopes: Vec<String>,
    pub calls: Vec<Call>,
    /// By path.
    pub scripts: BTreeMap<String, VecDeque<Script>>,
}

pub struct Fake {
    address: std::net::SocketAddr,
    world: Arc<Mutex<World>>,
}

impl Fake {
    pub async fn start() -> Self {
        let world = Arc::new(Mutex::new(World {
            threads: Vec::new(),
            members: Vec::new(),
            days: Vec::new(),
            usage: BTreeMap::new(),
            messages: BTreeMap::new(),
            granted: SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
            token_scope: None,
            expires_in: 3600,
            date: "Sun, 22 Nov 2026 10:00:00 GMT".into(),
            page: 100,
            tokens: Vec::new(),
            asked_scopes: Vec::new(),
            calls: Vec::new(),
            scripts: BTreeMap::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&world));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, world }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub fn script(&self, path: &str, scripts: impl IntoIterator<Item = Script>) {
        self.world().scripts.entry(path.into()).or_default().extend(scripts);
    }

    /// Queries of the calls to a path so far.
    pub fn queries(&self, path: &str) -> Vec<BTreeMap<String, String>> {
        self.world().calls.iter().filter(|call| call.path == path).map(|call| call.query.clone()).collect()
    }

    /// `count` threads, one a minute, the last one at 2026-11-22T09:00:00Z.
    pub fn fill_threads(&self, count: u32) {
        let last: jiff::Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
        self.world().threads = (0..count)
            .map(|n| {
                let at = last - jiff::SignedDuration::from_mins(i64::from(count - 1 - n));
                json!({"id": format!("T-{n}"), "title": format!("Thread {n}"), "creatorUserID": "user-1",
                       "createdAt": at.to_string(), "updatedAt": at.to_string(), "firstSyncedAt": at.to_string()})
            })
            .collect();
    }
}

async fn answer(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut world = world.lock().unwrap();
    let path = parts.uri.path().to_owned();
    let query = pairs(parts.uri.query().unwrap_or_default().as_bytes());
    let authorization = parts.headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap().to_owned());
    let call = Call { path: path.clone(), query, authorization: authorization.unwrap_or_default() };
    world.calls.push(call.clone());
    let script = world.scripts.get_mut(&path).and_then(VecDeque::pop_front);
    let mut response = match script {
        Some(Script::Answer(status, headers, body)) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Some(Script::Cut) => {
            let pieces = [Ok("{\"threads\": [{\"id\":"), Err(std::io::Error::other("cut"))];
            Response::new(Body::from_stream(futures_util::stream::iter(pieces)))
        }
        None if path == "/oauth2/token" => token(&mut world, &parts.headers, &pairs(&body)),
        None => api(&world, &call),
    };
    response.headers_mut().insert(header::DATE, world.date.parse().unwrap());
    response
}

fn pairs(text: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

fn reply(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "application/json")], body.to_string())
        .into_response()
}

fn token(world: &mut World, headers: &HeaderMap, form: &BTreeMap<String, String>) -> Response {
    let basic = headers[header::AUTHORIZATION].to_str().unwrap().strip_prefix("Basic ").unwrap();
    let credentials = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
    let (id, secret) = credentials.split_once(':').unwrap();
    let plain = |text: &str| pairs(format!("x={text}").as_bytes())["x"].clone();
    if (plain(id), plain(secret)) != (ID.into(), SECRET.into()) {
        return reply(401, &json!({"error": "invalid_client"}));
    }
    assert_eq!(form["grant_type"], "client_credentials");
    world.asked_scopes.push(form["scope"].clone());
    let scopes: BTreeSet<String> = form["scope"].split(' ').map(str::to_owned).collect();
    if !scopes.is_subset(&world.granted) {
        return reply(400, &json!({"error": "invalid_scope"}));
    }
    let token = format!("token-{}", world.tokens.len());
    world.tokens.push((token.clone(), scopes));
    let mut body = json!({"access_token": token, "token_type": "bearer", "expires_in": world.expires_in});
    if let Some(scope) = &world.token_scope {
        body["scope"] = json!(scope);
    }
    reply(200, &body)
}

fn api(world: &World, call: &Call) -> Response {
    let bearer = call.authorization.strip_prefix("Bearer ").unwrap_or_default();
    let Some((_, scopes)) = world.tokens.iter().find(|(token, _)| token == bearer) else {
        return reply(401, &json!({"error": "no such token"}));
    };
    let allowed = |scope: &str| scopes.contains(scope) && world.granted.contains(scope);
    let path: Vec<&str> = call.path.trim_start_matches('/').split('/').collect();
    match path.as_slice() {
        ["api", "v2", "threads"] if allowed(META) => reply(200, &threads(world, &call.query)),
        ["api", "v2", "threads", id, "usage"] if allowed(META) => match world.usage.get(*id) {
            Some(body) => reply(200, body),
            None => reply(404, &json!({"error": "unknown thread"})),
        },
        ["api", "v2", "threads", id, "messages"] if allowed(CONTENTS) => match world.messages.get(*id) {
            Some(messages) => reply(200, &cut(messages, "messages", &call.query, world.page)),
            None => reply(404, &json!({"error": "unknown thread"})),
        },
        ["api", "v2", "workspace", "members"] if allowed(MEMBERS) => reply(200, &json!({"members": world.members})),
        ["api", "v2", "workspace", "analytics", "daily-usage"] if allowed(ANALYTICS) => {
            reply(200, &daily(world, &call.query))
        }
        ["api", "v2", ..] => reply(403, &json!({"error": "missing scope"})),
        _ => reply(404, &json!({"error": "no such path"})),
    }
}

fn threads(world: &World, query: &BTreeMap<String, String>) -> Value {
    let synced = |thread: &Value| thread["firstSyncedAt"].as_str().map(|t| t.parse::<jiff::Timestamp>().unwrap());
    let after: Option<jiff::Timestamp> = query.get("after").map(|text| text.parse().unwrap());
    let mut rows: Vec<&Value> = world.threads.iter().filter(|t| after.is_none() || synced(t) > after).collect();
    if query.get("sort").is_some_and(|sort| sort == "DESC") {
        rows.reverse();
    }
    let rows: Vec<Value> = rows.into_iter().cloned().collect();
    cut(&rows, "threads", query, world.page)
}

/// One page of a list.
fn cut(rows: &[Value], member: &str, query: &BTreeMap<String, String>, page: usize) -> Value {
    let from: usize = query.get("cursor").map_or(0, |cursor| cursor.trim_start_matches("at ").parse().unwrap());
    let limit = query["limit"].parse::<usize>().unwrap().min(page);
    let shown: Vec<&Value> = rows.iter().skip(from).take(limit).collect();
    let mut body = json!({ member: shown });
    if from + limit < rows.len() {
        body["nextCursor"] = json!(format!("at {}", from + limit));
    }
    body
}

fn daily(world: &World, query: &BTreeMap<String, String>) -> Value {
    let end: jiff::civil::Date = query["endDate"].parse().unwrap();
    let start = end - jiff::SignedDuration::from_hours(24 * (query["lookbackDays"].parse::<i64>().unwrap() - 1));
    let inside = |day: &&Value| day["date"].as_str().unwrap().parse().map_or(true, |day| (start..=end).contains(&day));
    let days: Vec<&Value> = world.days.iter().filter(inside).collect();
    json!({"metadata": {"startDate": start.to_string(), "endDate": end.to_string(), "activeUsers": 1, "totalUsers": 1,
                        "totalUsage": 1}, "data": days})
}
