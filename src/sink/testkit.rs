//! What the sinks' tests share: a message, settings, and a receiver on a real socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::domain::delivery::Delivery;
use crate::domain::event::{ContentType, Event, Severity, SpecVersion, StoredEvent};
use crate::domain::retry::RetryPolicy;
use crate::domain::strict::Strict;
use crate::domain::time::Timestamp;
use crate::render::Renderer;

use super::{Common, Context, Message, Sink, SinkConfig};

pub fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

pub fn event(id: &str) -> Arc<StoredEvent> {
    let event = Event {
        specversion: SpecVersion::V1,
        id: id.into(),
        source: "ampbridge://ampbridge/acme".into(),
        kind: "budget.exceeded".into(),
        subject: "workspace".into(),
        time: now(),
        datacontenttype: ContentType::Json,
        severity: Severity::Warning,
        data: crate::domain::event::Data::from_iter([("spend_usd".to_owned(), json!("201.50"))]),
    };
    Arc::new(StoredEvent::bare(event))
}

/// One event in the delivery `dlv_1`.
pub fn message() -> Message {
    let event = event("evt_1");
    let mut delivery = Delivery::single("ampbridge", "x", &event.event, now(), false);
    delivery.id = "dlv_1".into();
    Message { delivery, events: vec![event], reference: None, now: now(), progress: None }
}

pub fn common() -> Common {
    // Long enough that only a test that waits for it on purpose ever sees it.
    Common { timeout: Duration::from_secs(30), retry: RetryPolicy::default() }
}

/// Settings with a deadline that is meant to run out.
pub fn hasty() -> Common {
    Common { timeout: Duration::from_millis(300), ..common() }
}

pub fn context() -> Context {
    let renderer = Arc::new(Renderer::load(None).unwrap());
    Context { bridge: "ampbridge".into(), renderer, pacers: Arc::default() }
}

/// Reads settings as a config file gives them.
pub fn config<C: SinkConfig + DeserializeOwned>(json: serde_json::Value) -> C {
    let value: ::config::Value = serde_json::from_value(json).unwrap();
    C::deserialize(Strict(value)).unwrap()
}

pub fn sink<C: SinkConfig + DeserializeOwned>(json: serde_json::Value, common: &Common) -> Arc<dyn Sink> {
    let config: C = config(json);
    assert_eq!(config.problems(), []);
    config.build("x", common, &context()).unwrap()
}

/// A request as a receiver saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: http::Method,
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An HTTP receiver on a loopback port.
pub struct Receiver {
    pub base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    /// Answers the n-th request (from 0) with `answer(n, request)`.
    pub async fn start(answer: impl Fn(usize, &Seen) -> Response + Clone + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| {
            let (log, answer) = (Arc::clone(&log), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let seen = Seen { method: head.method, path: head.uri.to_string(), headers: head.headers, body };
                let mut log = log.lock().unwrap();
                let response = answer(log.len(), &seen);
                log.push(seen);
                response
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}
