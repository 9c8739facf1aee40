//! One suite that every store passes, through the same plans the program commits.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use ampbridge::domain::collection::{CollectionSpec, EventNames, Role, UpdateRule};
use ampbridge::domain::cycle::{self, Input, Noted, SweepEnd, World};
use ampbridge::domain::delivery::RecipientState;
use ampbridge::domain::doc::{Doc, DocKey};
use ampbridge::domain::record::{Evidence, Page, Record, Rows};
use ampbridge::domain::routing::Route;
use ampbridge::domain::time::{SignedDuration, Timestamp};
use ampbridge::domain::timing::{Group, GroupBy, Timing};
use ampbridge::store::memory::MemoryKv;
use ampbridge::store::{DeliveryFilter, EventFilter, Keep, Probe, Store, StoreError, Sync, Ticket, memory, sled};
use serde_json::json;

type Opened = Arc<dyn Store>;

/// Opens the same store again and again.
trait Bench: Send {
    fn open(&self) -> Opened;
}

struct SledBench(tempfile::TempDir);

impl Bench for SledBench {
    fn open(&self) -> Opened {
        Arc::new(sled::open(&self.0.path().join("store"), Sync::Process, "test").unwrap())
    }
}

struct MemoryBench(MemoryKv);

impl Bench for MemoryBench {
    fn open(&self) -> Opened {
        Arc::new(memory::open(self.0.clone()).unwrap())
    }
}

fn benches() -> Vec<(&'static str, Box<dyn Bench>)> {
    vec![
        ("memory", Box::new(MemoryBench(MemoryKv::default()))),
        ("sled", Box::new(SledBench(tempfile::tempdir().unwrap()))),
    ]
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

fn spec() -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        source: "acme".into(),
        name: "threads".into(),
        role: Role::Record,
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
    World {
        bridge: "b".into(),
        routes: vec![Route { sinks: vec!["a".into(), "b".into()], ..Route::default() }],
        sinks: vec!["a".into(), "b".into()],
        sources: vec!["acme".into()],
        ..World::default()
    }
}

fn records(keys: std::ops::Range<u32>, title: &str) -> Vec<Record> {
    keys.map(|n| Record {
        key: format!("T-{n:05}"),
        fields: [("title".to_owned(), json!(title))].into(),
        ..Record::default()
    })
    .collect()
}

async fn step(store: &Opened, now: Timestamp, input: Input) -> cycle::Plan {
    step_in(&world(), store, now, input).await
}

async fn step_in(world: &World, store: &Opened, now: Timestamp, input: Input) -> cycle::Plan {
    let id = spec().id();
    let probe = match &input {
        Input::Page { page: Page { rows: Rows::Records(records), .. }, .. } => Some(Probe { collection: &id, records }),
        _ => None,
    };
    let plan = ampbridge::store::plan(store.as_ref(), world, now, &input, probe).await.unwrap();
    store.commit(&plan).await.unwrap();
    plan
}

/// A complete look that shows these records, a hundred at a time. Returns the types of the events it made.
async fn look(store: &Opened, now: Timestamp, shown: &[Record]) -> Vec<String> {
    look_that_ends(store, now, shown, Evidence::Complete).await
}

/// The same with another end.
async fn look_that_ends(store: &Opened, now: Timestamp, shown: &[Record], evidence: Evidence) -> Vec<String> {
    let spec = spec();
    step(store, now, Input::Begin { spec: Arc::clone(&spec) }).await;
    store.begin_look(&spec.id()).await.unwrap();
    let mut notes = ampbridge::domain::collection::LookNotes::default();
    let mut kinds = Vec::new();
    for chunk in shown.chunks(100) {
        let page = Page::of(Rows::Records(chunk.to_vec()));
        let plan = step(store, now, Input::Page { spec: Arc::clone(&spec), page }).await;
        kinds.extend(plan.events.iter().map(|e| e.event.kind.clone()));
        cycle::add_notes(&mut notes, plan.notes);
    }
    let confirmed = BTreeSet::new();
    let end = SweepEnd { spec, epoch: 1, evidence, idle: false, notes, cursor: None, quota: None, confirmed };
    let plan = step(store, now, Input::SweepEnd(Box::new(end))).await;
    kinds.extend(plan.events.iter().map(|e| e.event.kind.clone()));
    flush(store).await;
    kinds
}

async fn flush(store: &Opened) {
    let commit = store.overview().await.unwrap().commit;
    store.durable(Ticket(commit)).await.unwrap();
}

const LEASE: SignedDuration = SignedDuration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn looks_changes_removals_and_reopening() {
    for (name, bench) in benches() {
        let store = bench.open();
        assert!(look(&store, at(0), &records(0..1000, "x")).await.is_empty(), "{name}: a quiet baseline");
        assert!(look(&store, at(1), &records(0..1000, "x")).await.is_empty(), "{name}: nothing changed");
        store.close().await.unwrap();
        drop(store);

        let store = bench.open();
        let mut next = records(0..997, "x");
        next.extend(records(1000..1002, "new"));
        next[5].fields.insert("title".into(), json!("other"));
        assert_eq!(look(&store, at(2), &next).await, ["thread.updated", "thread.created", "thread.created"], "{name}");
        assert_eq!(look(&store, at(3), &next).await, ["thread.deleted"; 3], "{name}: missed twice");
        assert!(look(&store, at(4), &next).await.is_empty(), "{name}");
        assert_eq!(store.rows(&spec().id(), 5000).await.unwrap().len(), 999, "{name}");
        assert_eq!(look(&store, at(5), &records(0..1000, "x")).await.len(), 4, "{name}: three are back, one title too");
        assert_eq!(store.events(&EventFilter::default()).await.unwrap().len(), 10, "{name}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_changes_are_merged_and_nothing_is_lost() {
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..500, "x")).await;
        let mut shown = records(0..500, "x");
        for round in 1..40 {
            for n in 0..10 {
                shown[(round * 37 + n * 11) % 500].fields.insert("title".into(), json!(format!("r{round}")));
            }
            look(&store, at(i64::try_from(round).unwrap()), &shown).await;
        }
        let rows = store.rows(&spec().id(), 5000).await.unwrap();
        assert_eq!(rows.len(), 500, "{name}");
        for (row, record) in rows.iter().zip(&shown) {
            assert_eq!((&row.key, &row.fields), (&record.key, &record.fields), "{name}");
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_leases_and_settlement() {
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..1, "x")).await;
        look(&store, at(1), &records(0..3, "x")).await;
        let claimed = store.claim("a", at(2), 10, LEASE).await.unwrap();
        assert_eq!(claimed.len(), 2, "{name}");
        assert_eq!(claimed[0].events[0].event.kind, "thread.created");
        assert!(store.claim("a", at(2), 10, LEASE).await.unwrap().is_empty(), "{name}: leased");
        assert_eq!(store.claim("b", at(2), 1, LEASE).await.unwrap().len(), 1, "{name}: another sink is apart");

        store.release("a", &[claimed[1].claim]).await.unwrap();
        let settled = cycle::Settled {
            delivery: claimed[0].delivery.clone(),
            claim: claimed[0].claim,
            report: ampbridge::domain::delivery::Report::new(
                ampbridge::domain::delivery::Outcome::Accepted,
                Some(200),
                "",
            ),
            started: at(2),
            policy: ampbridge::domain::retry::RetryPolicy::default(),
            unit: 0.5,
        };
        step(&store, at(3), Input::Settled(vec![settled.clone()])).await;
        flush(&store).await;
        // The same claim again is void: whatever it says changes nothing.
        let late = cycle::Settled {
            report: ampbridge::domain::delivery::Report::new(
                ampbridge::domain::delivery::Outcome::Permanent,
                None,
                "late",
            ),
            ..settled
        };
        step(&store, at(3), Input::Settled(vec![late])).await;
        let one = store.delivery(&claimed[0].delivery.id).await.unwrap().unwrap();
        assert_eq!(one.delivery.state.as_str(), "delivered", "{name}");
        assert_eq!(store.claim("a", at(4), 10, LEASE).await.unwrap().len(), 1, "{name}: the released one");
        drop(store.close().await);
        drop(store);

        // Whoever opens the store takes over its predecessor's leases at once.
        let store = bench.open();
        assert_eq!(store.claim("a", at(5), 10, LEASE).await.unwrap().len(), 1, "{name}");
        assert_eq!(store.claim("b", at(5), 10, LEASE).await.unwrap().len(), 2, "{name}");
        let by_sink =
            DeliveryFilter { sink: Some("a".into()), state: Some("leased".into()), ..DeliveryFilter::default() };
        assert_eq!(store.deliveries(&by_sink).await.unwrap().len(), 1, "{name}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_and_done_with_goes_and_nothing_else() {
    use ampbridge::domain::delivery::{Outcome, Report};
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..1, "x")).await;
        look(&store, at(10), &records(0..4, "x")).await;
        let claimed = store.claim("a", at(20), 10, LEASE).await.unwrap();
        let outcomes = [Outcome::Accepted, Outcome::Permanent, Outcome::Accepted];
        let settle = |claimed: &ampbridge::store::Claimed, outcome: &Outcome| cycle::Settled {
            delivery: claimed.delivery.clone(),
            claim: claimed.claim,
            report: Report::new(outcome.clone(), Some(200), ""),
            started: at(20),
            policy: ampbridge::domain::retry::RetryPolicy::default(),
            unit: 0.5,
        };
        let settled = claimed.iter().zip(&outcomes).map(|(c, o)| settle(c, o)).collect();
        step(&store, at(20), Input::Settled(settled)).await;
        let others = store.claim("b", at(20), 2, LEASE).await.unwrap();
        step(&store, at(20), Input::Settled(others.iter().map(|c| settle(c, &Outcome::Accepted)).collect())).await;
        flush(&store).await;
        // Three events: one done with at both sinks, one dead at the first, one that still waits at the second.
        let prune = async |keep: Keep| {
            let mut gone = (0, 0);
            loop {
                let pruned = store.prune(&keep).await.unwrap();
                gone = (gone.0 + pruned.events, gone.1 + pruned.deliveries);
                if !pruned.more {
                    return gone;
                }
            }
        };
        let all = Keep { newest: 100, ..Keep::default() };
        assert_eq!(prune(Keep { since: at(10), dead_since: at(10), ..all.clone() }).await, (0, 0), "{name}: not old");
        let old = Keep { since: at(30), dead_since: at(20), ..all.clone() };
        let named: std::collections::BTreeSet<String> = [claimed[0].events[0].event.id.clone()].into();
        assert_eq!(prune(Keep { events: named, ..old.clone() }).await, (0, 4), "{name}: an incident names it");
        assert_eq!(prune(old.clone()).await, (1, 0), "{name}");
        let threads = DeliveryFilter { kind: Some("thread.created".into()), ..DeliveryFilter::default() };
        let left = store.deliveries(&threads).await.unwrap();
        let states: Vec<&str> = left.iter().map(|l| l.delivery.state.as_str()).collect();
        assert_eq!(states, ["due", "dead"], "{name}");
        assert!(store.event(&claimed[0].events[0].event.id).await.unwrap().is_none());
        assert!(store.delivery(&claimed[0].delivery.id).await.unwrap().is_none());
        assert_eq!(prune(Keep { dead_since: at(30), ..old }).await, (1, 1), "{name}: the dead one's time is over too");
        store.close().await.unwrap();
        drop(store);
        let store = bench.open();
        let threads = EventFilter { kind: Some("thread.created".into()), ..EventFilter::default() };
        assert_eq!(store.events(&threads).await.unwrap().len(), 1, "{name}");
        let waits = store.claim("b", at(40), 10, LEASE).await.unwrap();
        let whole = waits.iter().all(|w| w.events.len() == 1);
        let of_threads = waits.iter().filter(|w| w.delivery.event_type == "thread.created").count();
        assert!(of_threads == 1 && whole, "{name}: what waits still goes out whole");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_too_many_events_the_oldest_go_before_their_time() {
    use ampbridge::domain::delivery::{Outcome, Report};
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..1, "x")).await;
        look(&store, at(10), &records(0..21, "x")).await;
        for sink in ["a", "b"] {
            let claimed = store.claim(sink, at(20), 100, LEASE).await.unwrap();
            let settled = claimed.into_iter().map(|c| cycle::Settled {
                delivery: c.delivery,
                claim: c.claim,
                report: Report::new(Outcome::Accepted, Some(200), ""),
                started: at(20),
                policy: ampbridge::domain::retry::RetryPolicy::default(),
                unit: 0.5,
            });
            step(&store, at(20), Input::Settled(settled.collect())).await;
        }
        flush(&store).await;
        let keep = Keep { newest: 5, ..Keep::default() };
        while store.prune(&keep).await.unwrap().more {}
        let left = store.events(&EventFilter::default()).await.unwrap();
        assert_eq!(left.len(), 5, "{name}");
        assert_eq!(store.deliveries(&DeliveryFilter::default()).await.unwrap().len(), 10, "{name}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_removal_spares_what_has_been_shown_since() {
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..30, "x")).await;
        look(&store, at(1), &records(0..10, "x")).await;
        assert_eq!(look(&store, at(2), &records(0..10, "x")).await, ["source.change_held"], "{name}");
        // A look at the newest: two of the missing are there after all.
        let page = Page::of(Rows::Records(records(28..30, "x")));
        step(&store, at(3), Input::Page { spec: spec(), page }).await;
        let Some(Doc::Collection(state)) =
            store.doc(&DocKey::Collection(spec().id())).await.unwrap().map(|d| d.as_ref().clone())
        else {
            panic!("{name}: the collection is known");
        };
        let hold = state.hold.unwrap().id;
        let approve = cycle::Command::ApproveHold { spec: Box::new(spec().as_ref().clone()), hold };
        let plan = step(&store, at(4), Input::Command(approve)).await;
        assert_eq!(plan.events.len(), 18, "{name}");
        let left: Vec<String> = store.rows(&spec().id(), 99).await.unwrap().into_iter().map(|r| r.key).collect();
        assert_eq!((left.len(), &left[10..]), (12, &["T-00028".to_owned(), "T-00029".to_owned()][..]), "{name}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_any_look_shows_is_not_missing_whoever_opens_the_store() {
    use ampbridge::domain::record::Failure;
    let cut = || Evidence::Partial(Failure::broken("cut short"));
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..30, "x")).await;
        look(&store, at(1), &records(1..30, "x")).await;
        // Seen in between, by a look that was cut short afterwards: the next look is the first to miss it.
        look_that_ends(&store, at(2), &records(0..2, "x"), cut()).await;
        assert!(look(&store, at(3), &records(1..30, "x")).await.is_empty(), "{name}");
        assert_eq!(look(&store, at(4), &records(1..30, "x")).await, ["thread.deleted"], "{name}");

        look(&store, at(5), &records(1..12, "x")).await;
        assert_eq!(look(&store, at(6), &records(1..12, "x")).await, ["source.change_held"], "{name}");
        store.close().await.unwrap();
        drop(store);
        let store = bench.open();
        look_that_ends(&store, at(7), &records(1..30, "x"), cut()).await;
        let docs = store.docs("collection/").await.unwrap();
        let held = docs.iter().any(|(_, doc)| matches!(&**doc, Doc::Collection(state) if state.hold.is_some()));
        assert!(!held, "{name}: all of it is back");
        assert!(look(&store, at(8), &records(1..29, "x")).await.is_empty(), "{name}: missed once");
        assert_eq!(look(&store, at(9), &records(1..29, "x")).await, ["thread.deleted"], "{name}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_announced_with_a_hold_is_what_approving_removes_whoever_opens_the_store() {
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..30, "x")).await;
        look(&store, at(1), &records(8..30, "x")).await;
        assert_eq!(look(&store, at(2), &records(8..30, "x")).await, ["source.change_held"], "{name}");
        assert!(look(&store, at(3), &records(11..30, "x")).await.is_empty(), "{name}: three more, once");
        store.close().await.unwrap();
        drop(store);
        let store = bench.open();
        let docs = store.docs("collection/").await.unwrap();
        let held = docs.iter().find_map(|(_, doc)| match &**doc {
            Doc::Collection(state) => state.hold.clone(),
            _ => None,
        });
        let hold = held.unwrap();
        assert_eq!(hold.count, 8, "{name}");
        let approve = cycle::Command::ApproveHold { spec: Box::new(spec().as_ref().clone()), hold: hold.id };
        let plan = step(&store, at(4), Input::Command(approve)).await;
        assert_eq!((plan.events.len(), plan.more), (8, false), "{name}");
        assert_eq!(look(&store, at(5), &records(11..30, "x")).await, ["thread.deleted"; 3], "{name}: missed twice");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rate_has_counted_is_read_again() {
    use ampbridge::domain::timing::{Rate, Timing};
    let rated = || {
        let timing = Timing { rate: Some(Rate { max: 1, per: SignedDuration::from_hours(1) }), ..Timing::default() };
        let route = Route { sinks: vec!["a".into()], timing, ..Route::default() };
        World { routes: vec![route], ..world() }
    };
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..1, "x")).await;
        let input = Input::Page { spec: spec(), page: Page::of(Rows::Records(records(0..3, "x"))) };
        let id = spec().id();
        let Input::Page { page: Page { rows: Rows::Records(shown), .. }, .. } = &input else { unreachable!() };
        let needs = cycle::needs(&rated(), at(1), &input);
        let known = store.load(&needs, Some(Probe { collection: &id, records: shown })).await.unwrap();
        store.commit(&cycle::plan(&rated(), at(1), &known, &input)).await.unwrap();
        flush(&store).await;
        store.close().await.unwrap();
        drop(store);
        let store = bench.open();
        let docs = store.docs("rooms/").await.unwrap();
        let Some((_, doc)) = docs.first() else { panic!("{name}: no rooms") };
        let Doc::Rooms(rooms) = &**doc else { panic!("{name}: no rooms") };
        assert_eq!((rooms.sent[&0].len(), rooms.rooms["rate:0"].count), (1, 1), "{name}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_stands_twice_in_a_plan_is_one() {
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..1, "x")).await;
        let input = Input::Page { spec: spec(), page: Page::of(Rows::Records(records(1..2, "x"))) };
        let known = store.load(&cycle::needs(&world(), at(1), &input), None).await.unwrap();
        let mut plan = cycle::plan(&world(), at(1), &known, &input);
        plan.events.extend(plan.events.clone());
        plan.deliveries.extend(plan.deliveries.clone());
        store.commit(&plan).await.unwrap();
        flush(&store).await;
        assert_eq!(store.events(&EventFilter::default()).await.unwrap().len(), 1, "{name}");
        assert_eq!(store.deliveries(&DeliveryFilter::default()).await.unwrap().len(), 2, "{name}: one for each sink");
        assert_eq!(store.claim("a", at(2), 9, LEASE).await.unwrap().len(), 1, "{name}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_before_it_is_durable_not_even_by_command() {
    let kv = MemoryKv::default();
    let store: Opened = Arc::new(memory::open(kv.clone()).unwrap());
    look(&store, at(0), &records(0..1, "x")).await;
    kv.hold_flushes();
    let page = Page::of(Rows::Records(records(1..2, "x")));
    let made = step(&store, at(1), Input::Page { spec: spec(), page }).await.deliveries;
    let at_a = made.iter().find(|d| d.sink == "a").unwrap().id.clone();
    assert!(store.claim("a", at(2), 9, LEASE).await.unwrap().is_empty());
    step(&store, at(3), Input::Command(cycle::Command::RetryDelivery { id: at_a.clone(), in_order_at: None })).await;
    assert!(store.claim("a", at(4), 9, LEASE).await.unwrap().is_empty(), "the event may still be lost");
    kv.release_flushes();
    flush(&store).await;
    let claimed = store.claim("a", at(5), 9, LEASE).await.unwrap();
    assert_eq!(claimed.iter().map(|c| &c.delivery.id).collect::<Vec<_>>(), [&at_a]);
    // Sent again while it is under way: the first attempt's outcome no longer counts.
    step(&store, at(6), Input::Command(cycle::Command::RetryDelivery { id: at_a, in_order_at: None })).await;
    flush(&store).await;
    assert_eq!(store.claim("a", at(7), 9, LEASE).await.unwrap().len(), 1);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_from_older_rows_or_deliveries_is_refused() {
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..1, "x")).await;
        let page = |title| Input::Page { spec: spec(), page: Page::of(Rows::Records(records(0..1, title))) };
        let id = spec().id();
        let (first, shown) = (page("y"), records(0..1, "y"));
        let probe = Some(Probe { collection: &id, records: &shown });
        let known = store.load(&cycle::needs(&world(), at(1), &first), probe).await.unwrap();
        let late = cycle::plan(&world(), at(1), &known, &first);
        step(&store, at(1), page("z")).await;
        assert!(matches!(store.commit(&late).await, Err(StoreError::Conflict(_))), "{name}: rows");
        flush(&store).await;

        let claimed = store.claim("a", at(2), 1, LEASE).await.unwrap().pop().unwrap();
        let id = claimed.delivery.id.clone();
        let dropping = Input::Command(cycle::Command::DropDelivery { id: id.clone() });
        let known = store.load(&cycle::needs(&world(), at(2), &dropping), None).await.unwrap();
        let late = cycle::plan(&world(), at(2), &known, &dropping);
        let settled = cycle::Settled {
            delivery: claimed.delivery,
            claim: claimed.claim,
            report: ampbridge::domain::delivery::Report::new(ampbridge::domain::delivery::Outcome::Accepted, None, ""),
            started: at(2),
            policy: ampbridge::domain::retry::RetryPolicy::default(),
            unit: 0.5,
        };
        step(&store, at(3), Input::Settled(vec![settled])).await;
        assert!(matches!(store.commit(&late).await, Err(StoreError::Conflict(_))), "{name}: a delivery");
        assert_eq!(store.delivery(&id).await.unwrap().unwrap().delivery.state.as_str(), "delivered", "{name}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_from_an_older_version_is_refused() {
    for (name, bench) in benches() {
        let store = bench.open();
        let world = world();
        let input = Input::Begin { spec: spec() };
        let needs = cycle::needs(&world, at(0), &input);
        let known = store.load(&needs, None).await.unwrap();
        let plan = cycle::plan(&world, at(0), &known, &input);
        store.commit(&plan).await.unwrap();
        assert!(matches!(store.commit(&plan).await, Err(StoreError::Conflict(_))), "{name}");
        store.close().await.unwrap();
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_read_into_an_empty_store_gives_the_same_answers() {
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..700, "x")).await;
        look(&store, at(1), &records(3..705, "x")).await;
        let out = Buffer::default();
        store.export(Box::new(out.clone())).await.unwrap();
        store.close().await.unwrap();
        let bytes = out.0.lock().unwrap().clone();

        for (target_name, target) in benches() {
            let fresh = target.open();
            fresh.import(Box::new(BufReader::new(std::io::Cursor::new(bytes.clone())))).await.unwrap();
            drop(fresh.close().await);
            drop(fresh);
            let copy = target.open();
            let both = format!("{name} to {target_name}");
            assert_eq!(copy.events(&EventFilter::default()).await.unwrap().len(), 5, "{both}");
            assert_eq!(copy.rows(&spec().id(), 5000).await.unwrap().len(), 705, "{both}");
            assert_eq!(
                look(&copy, at(2), &records(3..705, "x")).await,
                ["thread.deleted"; 3],
                "{both}: the second miss"
            );
            assert_eq!(copy.claim("a", at(3), 100, LEASE).await.unwrap().len(), 8, "{both}: what waited still waits");

            let refused = copy.import(Box::new(BufReader::new(std::io::Cursor::new(bytes.clone())))).await;
            assert!(matches!(refused, Err(StoreError::Import(_))), "{both}: not into a filled store");
            copy.close().await.unwrap();
        }
        // A cut file leaves nothing behind.
        let (_, target) = benches().pop().unwrap();
        let fresh = target.open();
        let cut = bytes[..bytes.len() / 2].to_vec();
        assert!(matches!(
            fresh.import(Box::new(BufReader::new(std::io::Cursor::new(cut)))).await,
            Err(StoreError::Import(_))
        ));
        assert!(look(&fresh, at(9), &records(0..10, "x")).await.is_empty(), "{name}: still an empty store");
        fresh.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_flushed_is_lost_whole_and_nothing_else() {
    let kv = MemoryKv::default();
    let store: Opened = Arc::new(memory::open(kv.clone()).unwrap());
    look(&store, at(0), &records(0..10, "x")).await;
    let after_crash = kv.crash();
    drop(store);
    let store: Opened = Arc::new(memory::open(after_crash).unwrap());
    assert_eq!(look(&store, at(1), &records(0..12, "x")).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failing_store_step_leaves_a_store_that_goes_on() {
    for fail_at in 0..40 {
        let kv = MemoryKv::default();
        let mut told: Vec<String> = Vec::new();
        {
            let store: Opened = Arc::new(memory::open(kv.clone()).unwrap());
            look(&store, at(0), &records(0..30, "x")).await;
            kv.fail_after(fail_at);
            let changed = records(0..33, "x");
            let task = tokio::spawn(async move {
                look(&store, at(1), &changed).await;
            });
            // The look panics on the error; what had been committed before stays.
            let _ = task.await;
        }
        let store: Opened = Arc::new(memory::open(kv.crash()).unwrap());
        look(&store, at(2), &records(0..33, "x")).await;
        let events = store.events(&EventFilter::default()).await.unwrap();
        told.extend(events.iter().map(|e| e.event.subject.clone()));
        told.sort();
        assert_eq!(told, ["T-00030", "T-00031", "T-00032"], "failing at operation {fail_at}");
        let sinks = store.deliveries(&DeliveryFilter::default()).await.unwrap().len();
        assert_eq!(sinks, 6, "failing at operation {fail_at}: each event reaches both sinks once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let first = sled::open(&path, Sync::Process, "process 7 (the first)").unwrap();
    let Err(StoreError::InUse { holder, .. }) = sled::open(&path, Sync::Process, "second").map(drop) else {
        panic!("the second open must be refused");
    };
    assert_eq!(holder, "process 7 (the first)");
    assert_eq!(sled::holder(&path).as_deref(), Some("process 7 (the first)"));
    first.close().await.unwrap();
    drop(first);
    assert_eq!(sled::holder(&path), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_other_things_in_it_is_not_taken_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let open = |path: &Path| sled::open(path, Sync::Process, "a test");
    let folder = tempfile::tempdir().unwrap();
    let (projects, fresh) = (folder.path().join("projects"), folder.path().join("fresh"));
    for made in [&projects, &fresh] {
        std::fs::create_dir(made).unwrap();
        std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::write(projects.join("thesis.tex"), "x").unwrap();
    let refused = open(&projects).err().unwrap().to_string();
    assert!(refused.contains("thesis.tex") && refused.contains("store.path"), "{refused}");
    assert_eq!((std::fs::read_dir(&projects).unwrap().count(), mode(&projects)), (1, 0o755), "nothing was touched");

    std::fs::create_dir(fresh.join("lost+found")).unwrap();
    open(&fresh).unwrap().close().await.unwrap();
    assert_eq!(mode(&fresh), 0o700);
    std::fs::write(fresh.join("notes.txt"), "x").unwrap();
    open(&fresh).unwrap().close().await.unwrap();
    std::fs::write(projects.join("admin.token"), "x").unwrap();
    open(&projects).unwrap().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_refused_without_being_written_to_and_mending_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store: Opened = Arc::new(sled::open(&path, Sync::Power, "t").unwrap());
    look(&store, at(0), &records(0..2000, "x")).await;
    look(&store, at(1), &records(0..2010, "x")).await;
    store.close().await.unwrap();
    drop(store);
    let database = path.join("data").join("db");
    let sound = std::fs::read(&database).unwrap();

    let damages: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("cut in half", sound[..sound.len() / 2].to_vec()),
        ("cut to a few bytes", sound[..100].to_vec()),
        ("garbage", sound.iter().map(|b| b ^ 0xa5).collect()),
        ("garbage in the middle", {
            let mut bytes = sound.clone();
            let middle = bytes.len() / 3;
            bytes[middle..middle + 60_000].fill(0xee);
            bytes
        }),
    ];
    for (what, bytes) in damages {
        std::fs::write(&database, &bytes).unwrap();
        let refused = sled::open(&path, Sync::Power, "t").map(drop);
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{what}: {refused:?}");
        assert_eq!(std::fs::read(&database).unwrap(), bytes, "{what}: written to");
    }
    std::fs::write(&database, &sound).unwrap();
    let store: Opened = Arc::new(sled::open(&path, Sync::Power, "t").unwrap());
    assert!(look(&store, at(2), &records(0..2010, "x")).await.is_empty(), "mended, and nothing was forgotten");
    assert_eq!(store.events(&EventFilter::default()).await.unwrap().len(), 10);
    store.close().await.unwrap();
}

/// New threads gather at `a` for an hour; other news of them go at once.
fn gathering() -> World {
    let by = vec![GroupBy::Type];
    let timing =
        Timing { group: Some(Group { by, wait: SignedDuration::from_hours(1), max: 50 }), ..Timing::default() };
    let (events, sinks) = (vec!["thread.created".into()], vec!["a".to_owned()]);
    let first = Route { events, sinks: sinks.clone(), timing, ..Route::default() };
    World { routes: vec![first, Route { sinks, ..Route::default() }], ..world() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_found_by_its_subject_and_a_message_about_several_keeps_the_order_of_each() {
    for (name, bench) in benches() {
        let (world, spec) = (gathering(), spec());
        let store = bench.open();
        let page = async |store: &Opened, now, records| {
            step_in(&world, store, now, Input::Begin { spec: spec.clone() }).await;
            let page = Page::of(Rows::Records(records));
            step_in(&world, store, now, Input::Page { spec: spec.clone(), page }).await
        };
        look(&store, at(0), &records(0..1, "x")).await;
        page(&store, at(1), records(1..4, "x")).await;
        let out = Buffer::default();
        store.export(Box::new(out.clone())).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let copy = MemoryBench(MemoryKv::default());
        let bytes = out.0.lock().unwrap().clone();
        let filled = copy.open();
        filled.import(Box::new(BufReader::new(std::io::Cursor::new(bytes)))).await.unwrap();
        drop(filled.close().await);
        drop(filled);
        for (opened, bench) in [("opened anew", bench.as_ref()), ("imported", &copy)] {
            let store = bench.open();
            let plan = page(&store, at(2), records(1..3, "y")).await;
            let sizes: Vec<usize> = plan.deliveries.iter().map(|delivery| delivery.event_ids.len()).collect();
            assert_eq!(sizes, [2, 1, 1], "{name}, {opened}: what waited goes first");
            let ticket = Ticket(store.overview().await.unwrap().commit);
            store.durable(ticket).await.unwrap();
            let claimed = store.claim("a", at(3), 100, LEASE).await.unwrap();
            assert_eq!(claimed.iter().map(|one| one.events.len()).collect::<Vec<_>>(), [2], "{name}, {opened}");
            store.close().await.unwrap();
            drop(store);
            let store = bench.open();
            let claimed = store.claim("a", at(3), 100, LEASE).await.unwrap();
            assert_eq!(claimed.len(), 1, "{name}, {opened}: after a restart, too");
            assert_eq!(claimed[0].delivery.about(), ["T-00001", "T-00002"]);
            let left = store.waiting_in("a", &rooms(&store).await[0], 9).await.unwrap();
            assert_eq!(left.len(), 1, "{name}, {opened}: the third waits on");
            store.close().await.unwrap();
        }
    }
}

async fn rooms(store: &Opened) -> Vec<String> {
    match store.doc(&DocKey::Rooms("a".into())).await.unwrap().as_deref() {
        Some(Doc::Rooms(rooms)) => rooms.rooms.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_notes_is_kept_and_its_lease_goes_on() {
    for (name, bench) in benches() {
        let store = bench.open();
        look(&store, at(0), &records(0..1, "x")).await;
        look(&store, at(1), &records(0..2, "x")).await;
        store.durable(Ticket(store.overview().await.unwrap().commit)).await.unwrap();
        let claimed = store.claim("a", at(2), 9, LEASE).await.unwrap();
        let (claim, delivery) = (claimed[0].claim, &claimed[0].delivery);
        let accepted = |who: &str| [(who.to_owned(), RecipientState::Accepted)].into();
        let note = |claim, who| {
            let (sink, id, seq) = (delivery.sink.clone(), delivery.id.clone(), delivery.seq);
            Input::Noted(Noted { sink, id, seq, claim, recipients: accepted(who) })
        };
        step(&store, at(3), note(claim, "ann@example.com")).await;
        step(&store, at(4), note(claim + 7, "eve@example.com")).await;
        step(&store, at(5), note(claim, "bob@example.com")).await;
        assert!(store.claim("a", at(6), 9, LEASE).await.unwrap().is_empty(), "{name}: it is still being sent");
        store.durable(Ticket(store.overview().await.unwrap().commit)).await.unwrap();
        let id = delivery.id.clone();
        store.close().await.unwrap();
        drop(store);
        let store = bench.open();
        let kept = store.delivery(&id).await.unwrap().unwrap().delivery.recipients;
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["ann@example.com", "bob@example.com"], "{name}");
        let again = store.claim("a", at(7), 9, LEASE).await.unwrap();
        assert_eq!(again[0].delivery.recipients.len(), 2, "{name}: whoever goes on knows");
        store.close().await.unwrap();
    }
}
