//! The real poller, plan, commit, claim and settle over a store of which one write or flush fails, each in its turn.
//! The process dies of it, another one opens what was durable and goes on: in the end there are the same events under
//! the same ids, each has reached its sinks, and the store knows the same, as if nothing had happened.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ampbridge::domain::collection::{CollectionSpec, EventNames, Role, UpdateRule};
use ampbridge::domain::cycle::{Command, Input, Needs, Settled, World};
use ampbridge::domain::delivery::{Outcome, Report};
use ampbridge::domain::doc::{Doc, DocKey};
use ampbridge::domain::event::Severity;
use ampbridge::domain::money::{Micros, Percent};
use ampbridge::domain::record::{CostRow, Evidence, Failure, Page, Record, Rows};
use ampbridge::domain::retry::RetryPolicy;
use ampbridge::domain::routing::Route;
use ampbridge::domain::rules::budget::BudgetRule;
use ampbridge::domain::rules::thread_cost::ThreadCostRule;
use ampbridge::domain::rules::{Rule, RuleSpec};
use ampbridge::domain::spend::{Basis, Per, SpendRow};
use ampbridge::domain::time::{PeriodKind, SignedDuration, Timestamp, minus_days, plus_days, utc_day};
use ampbridge::env::{Clock, Dice};
use ampbridge::pipeline::Core;
use ampbridge::pipeline::poller::Poller;
use ampbridge::source::{Collection, LookEnd, LookRequest, Pages, Reach, Schedule, Source};
use ampbridge::store::memory::{self, MemoryKv};
use ampbridge::store::{DeliveryFilter, EventFilter, StoreError, Ticket};
use serde_json::json;

const SINKS: [&str; 2] = ["a", "b"];
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// More writes and flushes than the story has.
const MANY: u32 = 2_000;

/// Stands still within a scene.
struct SceneClock(AtomicI64);

impl Clock for SceneClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// No luck in it.
struct Fixed;

impl Dice for Fixed {
    fn unit(&self) -> f64 {
        0.5
    }
}

/// What is true at the source.
#[derive(Default)]
struct Truth {
    threads: BTreeMap<String, String>,
    members: BTreeMap<String, String>,
    /// A right is withdrawn: members come without their role.
    roles_hidden: bool,
    spend: BTreeMap<i64, i64>,
    costs: BTreeMap<String, i64>,
    down: bool,
    emptied: bool,
}

struct Workspace {
    truth: Arc<Mutex<Truth>>,
    collections: Vec<Collection>,
    today: jiff::civil::Date,
}

#[async_trait::async_trait]
impl Source for Workspace {
    fn name(&self) -> &'static str {
        "acme"
    }

    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn collections(&self) -> &[Collection] {
        &self.collections
    }

    async fn look(&self, request: &LookRequest, pages: &Pages) -> LookEnd {
        let (shown, down) = self.show(request);
        for (number, page) in shown.into_iter().enumerate() {
            // It goes away in the middle of a look.
            if pages.send(page).await.is_err() || (down && number == 1) {
                break;
            }
        }
        let evidence = match request.collection.as_str() {
            _ if down => Evidence::Partial(Failure::broken("gone")),
            "costs" => Evidence::Window,
            _ => Evidence::Complete,
        };
        LookEnd::new(evidence, None, 1)
    }

    async fn connect(&self) -> Result<String, Failure> {
        Ok(String::new())
    }
}

impl Workspace {
    fn show(&self, request: &LookRequest) -> (Vec<Page>, bool) {
        let truth = self.truth.lock().unwrap();
        let record = |field: &str, (key, value): (&String, &String)| Record {
            key: key.clone(),
            fields: [(field.to_owned(), json!(value))].into(),
            ..Record::default()
        };
        let rows = match request.collection.as_str() {
            "threads" if truth.emptied => Vec::new(),
            "threads" => chunks(truth.threads.iter().map(|t| record("title", t)), Rows::Records),
            "members" if truth.roles_hidden => {
                let bare = |key: &String| Record { key: key.clone(), ..Record::default() };
                chunks(truth.members.keys().map(bare), Rows::Records)
            }
            "members" => chunks(truth.members.iter().map(|m| record("role", m)), Rows::Records),
            "usage" => {
                chunks(truth.spend.iter().map(|(back, dollars)| spend(self.today, *back, *dollars)), Rows::Spend)
            }
            _ => {
                let asked = request.wanted.clone();
                let cost = |key: &String| CostRow {
                    key: key.clone(),
                    cost: usd(truth.costs.get(key).copied().unwrap_or_default()),
                    estimated: false,
                    facts: BTreeMap::new(),
                };
                let rows = Rows::Costs(asked.iter().map(cost).collect());
                return (vec![Page { asked, ..Page::of(rows) }], truth.down);
            }
        };
        (rows.into_iter().map(Page::of).collect(), truth.down)
    }
}

fn chunks<T: Clone>(rows: impl Iterator<Item = T>, of: fn(Vec<T>) -> Rows) -> Vec<Rows> {
    rows.collect::<Vec<T>>().chunks(8).map(|c| of(c.to_vec())).collect()
}

fn usd(dollars: i64) -> Micros {
    Micros(dollars * Micros::PER_DOLLAR)
}

fn spend(today: jiff::civil::Date, back: i64, dollars: i64) -> SpendRow {
    SpendRow {
        day: minus_days(today, back),
        user: Some("ana".into()),
        model: None,
        dims: BTreeMap::new(),
        amount: usd(dollars),
        tokens: 0,
        basis: Basis::Billed,
        whole_user: true,
    }
}

fn collections() -> Vec<Collection> {
    let spec = |name: &str, role, noun: &str| CollectionSpec {
        source: "acme".into(),
        name: name.into(),
        role,
        fingerprint: "v1".into(),
        events: EventNames {
            created: Some(format!("{noun}.created")),
            updated: vec![UpdateRule { event: Some(format!("{noun}.updated")), ..UpdateRule::default() }],
            deleted: Some(format!("{noun}.deleted")),
            severities: BTreeMap::new(),
        },
        noun: noun.into(),
        ..CollectionSpec::default()
    };
    let schedule = Schedule { head: None, hot: None, full: Duration::from_secs(60) };
    [
        ("threads", Role::Record, "thread"),
        ("members", Role::Record, "member"),
        ("usage", Role::Spend, "day"),
        ("costs", Role::Cost, "cost"),
    ]
    .map(|(name, role, noun)| Collection {
        spec: Arc::new(spec(name, role, noun)),
        schedule,
        calls_per_day: None,
        calls_note: String::new(),
    })
    .to_vec()
}

fn world() -> World {
    let rule = |name: &str, rule| RuleSpec { name: name.into(), sources: vec![], rule };
    let thresholds = vec![Percent(50_000), Percent(100_000)];
    let budget = BudgetRule::new(usd(100), PeriodKind::Day, Per::User, thresholds);
    let sinks = SINKS.map(str::to_owned).to_vec();
    World {
        bridge: "crash".into(),
        rules: vec![
            rule("daily", Rule::Budget(budget)),
            rule("dear", Rule::ThreadCost(ThreadCostRule { limits: vec![usd(5), usd(25)] })),
        ],
        routes: vec![Route {
            events: vec![],
            sources: vec![],
            min_severity: Severity::Info,
            sinks: sinks.clone(),
            ..Route::default()
        }],
        sinks,
        sources: vec!["acme".into()],
        ..World::default()
    }
}

/// A line of the story.
#[derive(Clone, Copy)]
enum Line {
    /// Something happens at the source.
    Truth(fn(&mut Truth)),
    Look,
    /// Everything that is due is sent; the sinks named are down.
    Deliver(&'static [&'static str]),
    Approve,
    Pass(i64),
}

fn story() -> Vec<Line> {
    use Line::{Approve, Deliver, Look, Pass, Truth};
    vec![
        Truth(|t| {
            t.threads = (0..20).map(|n| (format!("T-{n:02}"), "x".into())).collect();
            t.members = (0..3).map(|n| (format!("M-{n}"), "member".into())).collect();
            t.spend = (0..9).map(|back| (back, 10)).collect();
        }),
        Look,
        Deliver(&[]),
        Truth(|t| {
            t.threads.extend([("T-20".into(), "x".into()), ("T-21".into(), "x".into())]);
            t.threads.insert("T-03".into(), "y".into());
            t.members.insert("M-1".into(), "admin".into());
            t.spend.insert(0, 60);
            t.costs.insert("T-21".into(), 9);
        }),
        Look,
        Deliver(&[]),
        Truth(|t| {
            t.threads.remove("T-05");
            t.threads.insert("T-03".into(), "x".into());
            t.roles_hidden = true;
            t.spend.insert(0, 130);
            t.spend.insert(2, 55);
        }),
        Look,
        // The second look that misses it, and a sink that is down for a while.
        Look,
        Deliver(&["b"]),
        Pass(600),
        Deliver(&["b"]),
        Truth(|t| t.down = true),
        Look,
        Look,
        Look,
        Deliver(&["b"]),
        Truth(|t| (t.down, t.roles_hidden) = (false, false)),
        Look,
        Pass(7_200),
        Deliver(&[]),
        Truth(|t| {
            t.threads.insert("T-05".into(), "back".into());
            t.emptied = true;
        }),
        Look,
        Look,
        Deliver(&[]),
        Approve,
        Truth(|t| t.emptied = false),
        Look,
        Deliver(&[]),
        Pass(7_200),
        Deliver(&[]),
    ]
}

/// What there is in the end.
#[derive(Debug, PartialEq, Eq)]
struct End {
    events: BTreeMap<String, (String, String)>,
    deliveries: BTreeMap<String, (String, &'static str)>,
    rows: BTreeMap<String, String>,
    ledger: Vec<(String, i64)>,
    arrived: BTreeSet<String>,
}

struct Run {
    kv: MemoryKv,
    core: Core,
    clock: Arc<SceneClock>,
    source: Arc<Workspace>,
    /// By delivery: how often it arrived.
    arrivals: BTreeMap<String, u32>,
    deaths: u32,
    /// Every step waits for the disk; without it those of a line share one flush.
    patient: bool,
}

impl Run {
    fn new(patient: bool) -> Self {
        let clock = Arc::new(SceneClock(AtomicI64::new(1_800_000_000)));
        let today = utc_day(clock.now());
        let source =
            Arc::new(Workspace { truth: Arc::new(Mutex::new(Truth::default())), collections: collections(), today });
        let kv = MemoryKv::default();
        let core = Self::open(&kv, &clock);
        Self { kv, core, clock, source, arrivals: BTreeMap::new(), deaths: 0, patient }
    }

    fn open(kv: &MemoryKv, clock: &Arc<SceneClock>) -> Core {
        Core {
            store: Arc::new(memory::open(kv.clone()).unwrap()),
            world: Arc::new(world()),
            clock: clock.clone(),
            dice: Arc::new(Fixed),
        }
    }

    /// Goes through the story. A line during which the store fails is gone through again by the next process.
    async fn go(&mut self, mut then: Vec<u32>) {
        for line in story() {
            self.clock.0.fetch_add(60, Ordering::Relaxed);
            while let Err(error) = self.line(line).await {
                assert!(matches!(error, StoreError::Write(_)), "{error}");
                assert!(self.core.store.overview().await.is_err(), "what failed once must refuse everything after");
                self.deaths += 1;
                self.kv = self.kv.crash();
                if let Some(next) = then.pop() {
                    self.kv.fail_after(next);
                }
                self.core = Self::open(&self.kv, &self.clock);
            }
        }
    }

    async fn line(&mut self, line: Line) -> Result<(), StoreError> {
        match line {
            Line::Truth(change) => change(&mut self.source.truth.lock().unwrap()),
            Line::Pass(secs) => drop(self.clock.0.fetch_add(secs, Ordering::Relaxed)),
            Line::Look => {
                let poller = Poller::new(self.core.clone(), self.source.clone());
                for collection in self.source.collections() {
                    poller.look(collection, Reach::Full).await?;
                    if self.patient {
                        self.flush().await?;
                    }
                }
                self.flush().await?;
            }
            Line::Deliver(down) => {
                self.flush().await?;
                for sink in SINKS {
                    while self.send(sink, down.contains(&sink)).await? {}
                }
                self.flush().await?;
            }
            Line::Approve => {
                let collection = &self.source.collections()[0];
                let doc = self.core.store.doc(&DocKey::Collection(collection.spec.id())).await?;
                // Where it was approved before the process died there is nothing left to approve.
                if let Some(Doc::Collection(state)) = doc.as_deref()
                    && let Some(hold) = &state.hold
                {
                    let spec = Box::new(collection.spec.as_ref().clone());
                    let command = Command::ApproveHold { spec, hold: hold.id.clone() };
                    self.core.step(&Input::Command(command)).await?;
                }
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let commit = self.core.store.overview().await?.commit;
        self.core.store.durable(Ticket(commit)).await
    }

    /// Sends up to three deliveries of a sink. False where none is due.
    async fn send(&mut self, sink: &str, down: bool) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let claimed = self.core.store.claim(sink, now, 3, LEASE).await?;
        let mut batch = Vec::new();
        for one in &claimed {
            assert_eq!(one.events.len(), 1);
            let report = if down {
                Report::new(Outcome::Transient { after: None, refusal: false }, None, "down")
            } else {
                *self.arrivals.entry(one.delivery.id.clone()).or_default() += 1;
                Report::new(Outcome::Accepted, Some(200), "")
            };
            batch.push(Settled {
                delivery: one.delivery.clone(),
                claim: one.claim,
                report,
                started: now,
                policy: RetryPolicy::default(),
                unit: self.core.dice.unit(),
            });
        }
        if batch.is_empty() {
            return Ok(false);
        }
        self.core.step(&Input::Settled(batch)).await?;
        if self.patient {
            self.flush().await?;
        }
        Ok(true)
    }

    async fn end(&self) -> End {
        let store = &self.core.store;
        let events = store.events(&EventFilter::default()).await.unwrap();
        let deliveries = store.deliveries(&DeliveryFilter::default()).await.unwrap();
        let mut rows = BTreeMap::new();
        for collection in &self.source.collections[..2] {
            for row in store.rows(&collection.spec.id(), 1000).await.unwrap() {
                rows.insert(row.key, serde_json::to_string(&row.fields).unwrap());
            }
        }
        let mut needs = Needs::default();
        needs.ledger.push(("acme".into(), minus_days(self.source.today, 60), plus_days(self.source.today, 2)));
        let known = store.load(&needs, None).await.unwrap();
        let total = |spend: &ampbridge::domain::spend::DaySpend| spend.cells().map(|(_, _, c)| c.amount.0).sum();
        End {
            events: events.into_iter().map(|e| (e.event.id, (e.event.kind, e.event.subject))).collect(),
            deliveries: deliveries
                .into_iter()
                .map(|l| (l.delivery.id.clone(), (l.delivery.sink.clone(), l.delivery.state.as_str())))
                .collect(),
            rows,
            ledger: known.ledger.days.iter().map(|((_, day), spend)| (day.to_string(), total(spend))).collect(),
            arrived: self.arrivals.keys().cloned().collect(),
        }
    }
}

/// Runs the story; the numbers are the operations let through before each failure, the first one last.
async fn run(patient: bool, mut failures: Vec<u32>) -> (End, u32, BTreeMap<String, u32>) {
    let mut run = Run::new(patient);
    if let Some(first) = failures.pop() {
        run.kv.fail_after(first);
    }
    run.go(failures).await;
    let end = run.end().await;
    // The last flush may be the one that fails; the story is over by then.
    drop(run.core.store.close().await);
    (end, run.deaths, run.arrivals)
}

async fn check(undisturbed: &End, patient: bool, failures: &[u32]) -> u32 {
    let (end, deaths, arrivals) = run(patient, failures.to_vec()).await;
    let what = format!("failing after {failures:?} operations, patient {patient}");
    assert_eq!(end, *undisturbed, "{what}");
    let most = arrivals.values().max().copied().unwrap_or_default();
    assert!(most <= 1 + deaths, "{what}: something arrived {most} times");
    deaths
}

/// Each write and each flush of the whole story fails once.
async fn each_in_its_turn(patient: bool) {
    let (undisturbed, deaths, arrivals) = run(patient, Vec::new()).await;
    assert_eq!((deaths, arrivals.values().all(|n| *n == 1)), (0, true));
    let kinds: BTreeSet<&str> = undisturbed.events.values().map(|(kind, _)| kind.as_str()).collect();
    let expected = [
        "budget.exceeded",
        "budget.threshold_reached",
        "member.updated",
        "sink.failing",
        "sink.recovered",
        "source.change_held",
        "source.degraded",
        "source.failing",
        "source.recovered",
        "thread.cost_exceeded",
        "thread.created",
        "thread.deleted",
        "thread.updated",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected, "the story has everything in it");
    assert!(undisturbed.deliveries.values().all(|(_, state)| *state == "delivered"));
    let mut operations = 0;
    while check(&undisturbed, patient, &[operations]).await > 0 {
        operations += 1;
        assert!(operations < MANY, "the story never ends undisturbed");
    }
    assert!(operations > 30, "only {operations} writes and flushes");
    println!("{operations} writes and flushes, patient {patient}");
    // And the next process fails too, soon after.
    for (first, second) in (0..operations).step_by(7).zip((0..7).cycle()) {
        check(&undisturbed, patient, &[second, first]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_and_flush_fails_once_while_each_step_waits_for_the_disk() {
    each_in_its_turn(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_and_flush_fails_once_while_many_steps_share_one() {
    each_in_its_turn(false).await;
}
