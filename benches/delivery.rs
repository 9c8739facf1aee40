//! Deliveries to a local receiver, signed and durable, against a bare reqwest loop that sends the same bodies.
//!
//! `cargo bench --bench delivery`. The receiver runs in the same process in both measurements, so its cost is in both.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, reads the clock, and stops where it cannot go on"
)]

#[path = "support/mod.rs"]
mod support;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ampbridge::config;
use ampbridge::domain::collection::{CollectionSpec, EventNames, LookNotes};
use ampbridge::domain::cycle::{Input, SweepEnd};
use ampbridge::domain::record::{Evidence, Page, Record, Rows};
use ampbridge::store::{EventFilter, Sync, sled};
use axum::Router;
use axum::routing::post;
use support::{median, print_head, print_row};
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 5;
const IN_FLIGHT: usize = 32;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver that counts, and one path that never answers.
async fn receiver() -> (String, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let app = Router::new()
        .route(
            "/hook",
            post(move |_: bytes::Bytes| {
                counted.fetch_add(1, Ordering::Relaxed);
                async { "" }
            }),
        )
        .route("/hang", post(std::future::pending::<&'static str>));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, count)
}

fn main() {
    let events: usize = support::setting("DELIVERY_EVENTS", 20_000);
    ampbridge::http::install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!(
        "\n{events} events to a local receiver, {IN_FLIGHT} in flight, signed; medians of {ROUNDS}. {}\n",
        support::machine()
    );
    runtime.block_on(async {
        let (url, count) = receiver().await;
        print_head(&["what", "a second", "of the bare loop", "CPU s per 10,000", "RSS"]);
        let bare = bare_loop(&url, events).await;
        let row = |what: &str, rate: f64, cpu: f64| {
            print_row(&[
                what,
                &format!("{rate:.0}"),
                &format!("{:.2}", rate / bare.0),
                &format!("{cpu:.2}"),
                &support::rss(),
            ]);
        };
        row("bare reqwest loop", bare.0, bare.1);
        for (name, sync) in [("process", Sync::Process), ("power", Sync::Power)] {
            let (rate, cpu) = bridge(&url, &count, events, sync, false).await;
            row(&format!("ampbridge, one sink (sync = {name})"), rate, cpu);
        }
        let (rate, cpu) = bridge(&url, &count, events, Sync::Power, true).await;
        row("ampbridge, beside a sink that hangs (sync = power)", rate, cpu);
    });
}

/// Rate and CPU seconds per 10,000, median of the rounds.
async fn bare_loop(url: &str, events: usize) -> (f64, f64) {
    let body = bytes::Bytes::from(sample_body());
    let client = reqwest::Client::new();
    let mut times = Vec::new();
    let cpu = support::cpu_seconds();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let (client, next, body, url) = (client.clone(), Arc::clone(&next), body.clone(), format!("{url}/hook"));
            tasks.spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < events as u64 {
                    let response = client
                        .post(&url)
                        .header("content-type", "application/cloudevents+json")
                        .body(body.clone())
                        .send()
                        .await
                        .expect("sent");
                    response.bytes().await.expect("answered");
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        times.push(begun.elapsed());
    }
    let cpu = (support::cpu_seconds() - cpu) / (events * ROUNDS) as f64 * 10_000.0;
    (events as f64 / median(times.into_iter()).as_secs_f64(), cpu)
}

fn sample_body() -> String {
    let event = ampbridge::render::samples::sample("thread.created").expect("a sample");
    serde_json::to_string(&event).expect("JSON")
}

/// The dispatcher over a durable store: events are committed first, then the clock starts.
async fn bridge(url: &str, count: &AtomicU64, events: usize, sync: Sync, with_hanging: bool) -> (f64, f64) {
    let mut times = Vec::new();
    let mut cpu = 0.0;
    for _ in 0..if with_hanging { 3 } else { ROUNDS } {
        let dir = tempfile::tempdir().expect("a folder");
        let store = sled::open(&dir.path().join("store"), sync, "bench").expect("opens");
        let hanging = if with_hanging {
            format!(
                "[sinks.slow]\nkind = \"webhook\"\nurl = \"{url}/hang\"\nsecrets = [\"{SECRET}\"]\n[[routes]]\nsinks = [\"slow\"]\n"
            )
        } else {
            String::new()
        };
        let text = format!(
            "[sinks.hook]\nkind = \"webhook\"\nurl = \"{url}/hook\"\nsecrets = [\"{SECRET}\"]\n[[routes]]\nsinks = [\"hook\"]\n{hanging}"
        );
        let settings = config::load_text(&text, dir.path()).expect("a good config");
        let parts = ampbridge::app::Parts::assemble(settings).expect("assembles");
        let app = parts.with_store(Arc::new(store));
        fill(&app, events).await;
        let stop = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        let target = count.load(Ordering::Relaxed) + events as u64;
        let cpu_before = support::cpu_seconds();
        let begun = Instant::now();
        app.start_sinks(&mut tasks, &stop);
        while count.load(Ordering::Relaxed) < target {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        times.push(begun.elapsed());
        cpu += support::cpu_seconds() - cpu_before;
        stop.cancel();
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        app.core.store.close().await.expect("closes");
    }
    let rounds = times.len();
    (events as f64 / median(times.into_iter()).as_secs_f64(), cpu / (events * rounds) as f64 * 10_000.0)
}

/// Commits one event per thread.
async fn fill(app: &ampbridge::app::App, events: usize) {
    let spec = Arc::new(CollectionSpec {
        source: "acme".into(),
        name: "threads".into(),
        fingerprint: "v1".into(),
        noun: "thread".into(),
        events: EventNames {
            created: Some("thread.created".into()),
            updated: vec![],
            deleted: None,
            severities: BTreeMap::new(),
        },
        ..CollectionSpec::default()
    });
    let end = |notes| SweepEnd {
        idle: false,
        spec: Arc::clone(&spec),
        epoch: 1,
        evidence: Evidence::Complete,
        notes,
        cursor: None,
        confirmed: BTreeSet::new(),
        quota: None,
    };
    app.core.step(&Input::Begin { spec: Arc::clone(&spec) }).await.expect("begins");
    app.core.store.begin_look(&spec.id()).await.expect("a look");
    app.core.step(&Input::SweepEnd(Box::new(end(LookNotes::default())))).await.expect("a baseline");
    let numbers: Vec<usize> = (0..events).collect();
    let mut last = None;
    for chunk in numbers.chunks(100) {
        let records = chunk
            .iter()
            .map(|n| Record {
                key: format!("T-{n:08x}-7c3a-4a51-9a41-000000000000"),
                fields: [("title".to_owned(), format!("Fix the importer, part {n}").into())].into(),
                facts: [("createdAt".to_owned(), "2026-11-22T10:00:00Z".into())].into(),
                name: Some(format!("Fix the importer, part {n}")),
                who: Some("user_01J00000000000000000000000".into()),
                link: Some(format!("https://ampcode.com/threads/T-{n}")),
                ..Record::default()
            })
            .collect();
        let page = Page::of(Rows::Records(records));
        last = Some(app.core.step(&Input::Page { spec: Arc::clone(&spec), page }).await.expect("commits").1);
    }
    if let Some(ticket) = last {
        app.core.store.durable(ticket).await.expect("durable");
    }
    let made =
        app.core.store.events(&EventFilter { limit: Some(usize::MAX), ..EventFilter::default() }).await.expect("reads");
    assert_eq!(made.len(), events);
}
