//! A sweep over 100,000 stored threads of which one in a hundred has changed: parse, diff and plan, commit.
//!
//! Printed as ratios against parsing the same JSON into the same types in the same run. `cargo bench --bench sweep`.
//! `SWEEP_THREADS=1000000` for ten times as many.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, reads the clock, and stops where it cannot go on"
)]

#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ampbridge::domain::collection::{CollectionSpec, EventNames, LookNotes, UpdateRule};
use ampbridge::domain::cycle::{self, Input, SweepEnd, World};
use ampbridge::domain::record::{Evidence, Page, Record, Rows};
use ampbridge::domain::routing::Route;
use ampbridge::domain::time::Timestamp;
use ampbridge::store::{Probe, Store, Sync, Ticket, sled};
use serde::Deserialize;
use support::{median, print_head, print_row};

const ROUNDS: usize = 5;
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thread {
    id: String,
    title: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
    first_synced_at: Option<String>,
    #[serde(rename = "creatorUserID")]
    creator_user_id: String,
    repositories: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Listing {
    threads: Vec<Thread>,
}

/// The same types as the source makes.
fn parse(body: &str) -> Vec<Record> {
    let listing: Listing = serde_json::from_str(body).expect("the bench writes JSON");
    listing.threads.into_iter().map(record).collect()
}

fn record(thread: Thread) -> Record {
    let mut fields = BTreeMap::new();
    let mut facts = BTreeMap::new();
    if let Some(title) = &thread.title {
        fields.insert("title".to_owned(), title.as_str().into());
    }
    if let Some(repositories) = thread.repositories {
        fields.insert("repositories".to_owned(), repositories);
    }
    let times = [
        ("createdAt", &thread.created_at),
        ("updatedAt", &thread.updated_at),
        ("firstSyncedAt", &thread.first_synced_at),
    ];
    for (name, text) in times {
        if let Some(text) = text {
            facts.insert(name.to_owned(), text.as_str().into());
        }
    }
    facts.insert("creatorUserID".to_owned(), thread.creator_user_id.as_str().into());
    Record {
        link: Some(format!("https://ampcode.com/threads/{}", thread.id)),
        created_at: thread.created_at.as_deref().and_then(|t| t.parse().ok()),
        updated_at: thread.updated_at.as_deref().and_then(|t| t.parse().ok()),
        name: thread.title,
        who: Some(thread.creator_user_id),
        key: thread.id,
        fields,
        facts,
    }
}

/// A random-looking id, the same for the same number.
fn id(n: u64) -> String {
    let x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    format!("T-{:08x}-{:04x}-4{:03x}-8{:03x}-{n:012x}", x >> 32, (x >> 16) & 0xffff, x & 0xfff, (x >> 12) & 0xfff)
}

/// Pages as the API sends them; from round to round one more thread in a hundred, one a page, has another title and
/// another `updatedAt`.
fn bodies(threads: u64, round: u64) -> Vec<String> {
    let numbers: Vec<u64> = (0..threads).collect();
    numbers
        .chunks(PAGE)
        .map(|chunk| {
            let rows: Vec<String> = chunk
                .iter()
                .map(|n| {
                    let changed = u64::from(n % 100 < round);
                    format!(
                        r#"{{"id":"{}","title":"Fix the importer, part {n} {changed}","createdAt":"2026-10-{:02}T10:00:00.000Z","updatedAt":"2026-11-{:02}T12:{:02}:00.000Z","firstSyncedAt":"2026-10-{:02}T10:00:05.000Z","creatorUserID":"user_{:026}","repositories":[{{"url":"https://github.com/acme/service-{}"}}]}}"#,
                        id(*n), n % 28 + 1, n % 20 + 1, changed % 60, n % 28 + 1, n % 50, n % 40
                    )
                })
                .collect();
            format!(r#"{{"threads":[{}],"nextCursor":"c"}}"#, rows.join(","))
        })
        .collect()
}

fn spec() -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        source: "acme".into(),
        name: "threads".into(),
        fingerprint: "v1".into(),
        noun: "thread".into(),
        events: EventNames {
            created: Some("thread.created".into()),
            updated: vec![UpdateRule { event: Some("thread.updated".into()), ..UpdateRule::default() }],
            deleted: Some("thread.deleted".into()),
            severities: BTreeMap::new(),
        },
        ..CollectionSpec::default()
    })
}

fn world() -> World {
    let route = Route { sinks: vec!["a".into()], ..Route::default() };
    World {
        bridge: "b".into(),
        routes: vec![route],
        sinks: vec!["a".into()],
        sources: vec!["acme".into()],
        ..World::default()
    }
}

struct Sweep {
    store: Arc<dyn Store>,
    world: World,
    commit: bool,
    now: Timestamp,
}

impl Sweep {
    /// One complete look. Returns the time taken and the number of events.
    async fn run(&self, bodies: &[String]) -> (Duration, usize) {
        let spec = spec();
        let begun = Instant::now();
        self.step(&Input::Begin { spec: Arc::clone(&spec) }, true).await;
        self.store.begin_look(&spec.id()).await.expect("a look begins");
        let mut notes = LookNotes::default();
        let mut events = 0;
        for body in bodies {
            let page = Page::of(Rows::Records(parse(body)));
            let plan = self.step(&Input::Page { spec: Arc::clone(&spec), page }, self.commit).await;
            events += plan.events.len();
            cycle::add_notes(&mut notes, plan.notes);
        }
        let end = SweepEnd {
            idle: false,
            spec,
            epoch: 1,
            evidence: Evidence::Complete,
            notes,
            cursor: None,
            confirmed: BTreeSet::new(),
            quota: None,
        };
        self.step(&Input::SweepEnd(Box::new(end)), self.commit).await;
        if self.commit {
            let commit = self.store.overview().await.expect("an open store").commit;
            self.store.durable(Ticket(commit)).await.expect("durable");
        }
        (begun.elapsed(), events)
    }

    async fn step(&self, input: &Input, commit: bool) -> cycle::Plan {
        let needs = cycle::needs(&self.world, self.now, input);
        let id = spec().id();
        let probe = match input {
            Input::Page { page: Page { rows: Rows::Records(records), .. }, .. } => {
                Some(Probe { collection: &id, records })
            }
            _ => None,
        };
        let known = self.store.load(&needs, probe).await.expect("loads");
        let plan = cycle::plan(&self.world, self.now, &known, input);
        if commit {
            self.store.commit(&plan).await.expect("commits");
        }
        plan
    }
}

fn main() {
    let threads: u64 = support::setting("SWEEP_THREADS", 100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let baseline = bodies(threads, 0);
    let megabytes = baseline.iter().map(String::len).sum::<usize>() as f64 / 1e6;
    println!(
        "\nSweep of {threads} threads ({megabytes:.1} MB of JSON), 1 % changed, random ids; medians of {ROUNDS}. {}\n",
        support::machine()
    );

    let parsing = median((0..ROUNDS).map(|_| {
        let begun = Instant::now();
        let rows: usize = baseline.iter().map(|b| parse(b).len()).sum();
        assert_eq!(rows as u64, threads);
        begun.elapsed()
    }));
    print_head(&["step", "time", "of parsing", "events", "RSS after"]);
    print_row(&["parse alone", &support::ms(parsing), "1.00", "", &support::rss()]);
    for (name, sync) in [("process", Sync::Process), ("power", Sync::Power)] {
        runtime.block_on(measure(name, sync, threads, &baseline, parsing));
    }
}

async fn measure(name: &str, sync: Sync, threads: u64, baseline: &[String], parsing: Duration) {
    let dir = tempfile::tempdir().expect("a folder");
    let store: Arc<dyn Store> = Arc::new(sled::open(&dir.path().join("store"), sync, "bench").expect("opens"));
    let mut sweep =
        Sweep { store, world: world(), commit: true, now: Timestamp::from_second(1_800_000_000).expect("a time") };
    let row = |step: &str, time: Duration, events: usize| {
        let ratio = time.as_secs_f64() / parsing.as_secs_f64();
        print_row(&[
            &format!("{step} (sync = {name})"),
            &support::ms(time),
            &format!("{ratio:.2}"),
            &events.to_string(),
            &support::rss(),
        ]);
    };
    let (time, events) = sweep.run(baseline).await;
    row("parse, plan, commit: the baseline", time, events);
    let before = support::folder_bytes(dir.path());
    let unchanged = median_of(&sweep, &[baseline.to_vec()]).await;
    row("parse, plan, commit: nothing changed", unchanged.0, unchanged.1);
    println!(
        "    an unchanged sweep grew the store by {} bytes",
        support::folder_bytes(dir.path()).saturating_sub(before) / ROUNDS as u64
    );
    sweep.commit = false;
    let planned = median_of(&sweep, &[bodies(threads, 1)]).await;
    row("parse, diff, plan: 1 % changed", planned.0, planned.1);
    sweep.commit = true;
    let changed: Vec<Vec<String>> = (1..=ROUNDS as u64).map(|r| bodies(threads, r)).collect();
    let committed = median_of(&sweep, &changed).await;
    row("parse, diff, plan, commit: 1 % changed", committed.0, committed.1);
    println!("    store on disk: {:.1} MB", support::folder_bytes(dir.path()) as f64 / 1e6);
    sweep.store.close().await.expect("closes");
}

async fn median_of(sweep: &Sweep, rounds: &[Vec<String>]) -> (Duration, usize) {
    let mut times = Vec::new();
    let mut events = 0;
    for round in 0..ROUNDS {
        let (time, count) = sweep.run(&rounds[round % rounds.len()]).await;
        times.push(time);
        events = count;
    }
    (median(times.into_iter()), events)
}
