//! The story of one seed: what happens, in which order, and what must be true after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ampbridge::domain::cycle::{Command, Input, Plan};
use ampbridge::domain::record::CostRow;
use ampbridge::domain::rules::Rule;
use ampbridge::domain::time::{SignedDuration, Timestamp, plus};
use ampbridge::store::memory::MemoryKv;

use crate::bridge::{Bridge, SimClock};
use crate::delivering::{Flight, Receivers};
use crate::fact::Fact;
use crate::looks::Running;
use crate::model::outbox::Leases;
use crate::model::timing::{Going, Message};
use crate::model::{Model, money};
use crate::remote::Remote;
use crate::rng::Rng;
use crate::setup::{COLLECTIONS, SINKS, Setup};

/// Lines of what happened, kept outside so that they survive a panic.
pub type Log = Arc<Mutex<Vec<String>>>;

pub struct Sim {
    pub rng: Rng,
    pub setup: Setup,
    pub remote: Remote,
    pub bridge: Bridge,
    pub model: Model,
    /// The model as it was when the bridge's commits were last made durable.
    pub durable: Model,
    pub looks: BTreeMap<&'static str, Running>,
    /// By collection: keys shown since the last full look began. As volatile as the look.
    pub marks: BTreeMap<String, BTreeSet<String>>,
    pub leases: Leases,
    pub flights: Vec<Flight>,
    pub receivers: Receivers,
    /// Messages that were made, by kind, and rooms that had to wait longer.
    pub shapes: BTreeMap<String, u32>,
    /// Rows that can't be read occur.
    pub noisy: bool,
    /// Every id ever made, lost commits included.
    ids: BTreeMap<String, Fact>,
    true_now: Timestamp,
    /// How far the bridge's clock is off.
    skew: SignedDuration,
    log: Log,
}

/// What a seed came to, for comparing and for counting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Events by type.
    pub kinds: BTreeMap<String, u32>,
    /// What became of events at sinks, and what else was made: counted by name.
    pub shapes: BTreeMap<String, u32>,
    pub arrivals: u32,
    /// Arrivals after the first.
    pub repeats: u32,
    pub crashes: u32,
}

pub async fn run(seed: u64, log: Log) -> Outcome {
    let mut sim = Sim::new(seed, log);
    let turns = 80 + sim.rng.below(90);
    let mut crashes = 0;
    for _ in 0..turns {
        crashes += u32::from(sim.turn().await);
    }
    sim.finale().await;
    let mut kinds = BTreeMap::new();
    for fact in sim.model.events.values() {
        *kinds.entry(fact.kind.clone()).or_default() += 1;
    }
    let (arrivals, repeats) = sim.receivers.arrivals();
    let mut shapes = sim.shapes;
    for fate in sim.model.desk.fates.values() {
        *shapes.entry(fate.name().to_owned()).or_default() += 1;
    }
    Outcome { kinds, shapes, arrivals, repeats, crashes }
}

impl Sim {
    fn new(seed: u64, log: Log) -> Self {
        let mut rng = Rng::new(seed);
        let start = Timestamp::from_second(1_800_000_000 + rng.between(0, 40 * 86_400)).unwrap();
        let setup = Setup::draw(&mut rng);
        let remote = Remote::draw(&mut rng, start);
        let clock = Arc::new(SimClock::default());
        clock.set(start);
        let bridge = Bridge::open(MemoryKv::default(), &setup, clock);
        Self {
            setup,
            remote,
            bridge,
            model: Model::new(),
            durable: Model::new(),
            looks: BTreeMap::new(),
            marks: BTreeMap::new(),
            leases: Leases::new(),
            flights: Vec::new(),
            receivers: Receivers::default(),
            shapes: BTreeMap::new(),
            noisy: true,
            ids: BTreeMap::new(),
            true_now: start,
            skew: SignedDuration::ZERO,
            log,
            rng,
        }
    }

    /// True where it was a crash.
    async fn turn(&mut self) -> bool {
        self.pass_time();
        if self.rng.percent(25) {
            self.pass().await;
        }
        self.press().await;
        match self.rng.below(100) {
            0..=24 => {
                let what = self.remote.change(&mut self.rng, self.true_now);
                self.say(&what);
            }
            25..=59 => {
                // One collection for some turns, so that looks come to an end.
                let running: Vec<&'static str> = self.looks.keys().copied().collect();
                let name = if running.is_empty() || self.rng.percent(25) {
                    *self.rng.pick(&COLLECTIONS)
                } else {
                    *self.rng.pick(&running)
                };
                for _ in 0..=self.rng.below(4) {
                    self.look(name).await;
                }
            }
            60..=71 => {
                let (sink, limit) = (*self.rng.pick(&SINKS), 1 + self.rng.index(4));
                self.claim(sink, limit).await;
            }
            72..=83 => {
                let (sink, most) = (*self.rng.pick(&SINKS), 1 + self.rng.index(3));
                self.settle(sink, most, false).await;
            }
            84..=91 => self.flush().await,
            92..=93 => self.command().await,
            94 => self.jump(),
            95 => self.restart().await,
            _ => {
                if self.rng.percent(60) {
                    self.command().await;
                } else {
                    self.crash().await;
                    return true;
                }
            }
        }
        false
    }

    pub fn say(&self, what: &str) {
        let line = format!("{} {what}", self.bridge.now());
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub fn true_now(&self) -> Timestamp {
        self.true_now
    }

    fn pass_time(&mut self) {
        let secs = match self.rng.below(10) {
            0..=5 => self.rng.between(1, 60),
            6..=8 => self.rng.between(60, 3600),
            _ => self.rng.between(3600, 20 * 3600),
        };
        let nanos = self.rng.between(0, 999_999_999);
        self.advance(SignedDuration::from_secs(secs) + SignedDuration::from_nanos(nanos));
    }

    fn advance(&mut self, by: SignedDuration) {
        self.true_now = plus(self.true_now, by);
        self.bridge.set_clock(plus(self.true_now, self.skew));
    }

    /// Somebody sets the bridge's clock, by up to a day.
    fn jump(&mut self) {
        let before = self.skew;
        self.skew = match self.rng.below(3) {
            0 => SignedDuration::ZERO,
            1 => SignedDuration::from_secs(self.rng.between(0, 86_400)),
            _ => -SignedDuration::from_secs(self.rng.between(0, 86_400)),
        };
        let day = SignedDuration::from_hours(24);
        self.skew = self.skew.clamp(before - day, before + day);
        self.advance(SignedDuration::ZERO);
        self.say(&format!("the clock is off by {:?}", self.skew));
    }

    /// Compares what a step made with what it had to make, and books it.
    pub async fn check(&mut self, plan: &Plan, expected: Vec<Fact>) {
        self.check_all(plan, expected, Vec::new(), Vec::new()).await;
    }

    /// The same of a step that also sends what waited. `going` is what of that keeps an order.
    pub async fn check_all(
        &mut self,
        plan: &Plan,
        mut expected: Vec<Fact>,
        mut messages: Vec<Message>,
        mut going: Vec<Going>,
    ) {
        let mut made: Vec<Fact> = plan.events.iter().map(Fact::of).filter(|f| !f.is_statistical()).collect();
        made.sort();
        expected.sort();
        if made != expected {
            let only = |a: &[Fact], b: &[Fact]| a.iter().filter(|f| !b.contains(f)).cloned().collect::<Vec<_>>();
            let (more, less) = (only(&made, &expected), only(&expected, &made));
            panic!(
                "{} facts were made and {} had to be\ntoo many: {more:#?}\nmissing: {less:#?}",
                made.len(),
                expected.len()
            );
        }
        let mut repeats = BTreeSet::new();
        let first = self.model.desk.count;
        for stored in &plan.events {
            let (id, fact) = (&stored.event.id, Fact::of(stored));
            let other = self.ids.insert(id.clone(), fact.clone());
            assert!(other.iter().all(|o| o.essence() == fact.essence()), "{id} stands for {other:?} and for {fact:?}");
            let again = self.model.events.contains_key(id);
            if again {
                // What costs are asked for elsewhere may say again what was told of a thread here.
                let elsewhere = fact.kind == "thread.cost_exceeded" && self.setup.address["acme/costs"] > 1;
                // And what another account is beyond at first sight may have been told of the one before.
                let at_first_sight = fact.kind.starts_with("budget.") && stored.event.data["baseline"] == true;
                assert!(fact.is_statistical() || elsewhere || at_first_sight, "{id} was made twice: {fact:?}");
                repeats.insert(id.clone());
            } else {
                self.say(&format!("{id} {} {} {}", fact.kind, fact.subject, fact.detail));
                self.model.events.insert(id.clone(), fact.clone());
            }
            let number = self.model.desk.count;
            self.model.desk.count += 1;
            self.model.desk.came.entry(id.clone()).or_insert((number, stored.seen));
            if !fact.kind.starts_with("digest.") {
                messages.extend(self.tell(stored, &fact, again, number, plan, &mut going));
            }
        }
        let now = self.bridge.now();
        let early = self.model.desk.early(&self.setup, &self.model.events, &going, first, now);
        *self.shapes.entry("goes before what comes after it".to_owned()).or_default() +=
            u32::try_from(early.len()).unwrap();
        messages.extend(early.iter().cloned());
        self.check_messages(plan, messages, &early, &repeats).await;
    }

    /// What the budgets that look at any of these sources must say. Each budget once, however many of its sources.
    pub fn money_rules(&mut self, sources: &[String], now: Timestamp, partial: bool, tick: bool) -> Vec<Fact> {
        let mut facts = Vec::new();
        for spec in self.setup.rules() {
            let Rule::Budget(rule) = &spec.rule else { continue };
            let groups: BTreeSet<Vec<String>> = sources.iter().filter_map(|s| spec.group_of(s)).collect();
            for group in groups {
                let look = money::Look { now, name: &spec.name, rule, sources: &group, partial, tick };
                facts.extend(self.model.money.budget(&look));
            }
        }
        facts
    }

    pub fn thread_costs(&mut self, source: &str, rows: &[CostRow]) -> Vec<Fact> {
        let mut facts = Vec::new();
        for spec in self.setup.rules() {
            if let Rule::ThreadCost(rule) = &spec.rule {
                facts.extend(self.model.money.costs(rule, &spec.name, source, rows));
            }
        }
        facts
    }

    pub fn thread_costs_end(&mut self, source: &str, failed: bool) -> Vec<Fact> {
        let rules = self.setup.rules().into_iter().filter(|spec| matches!(spec.rule, Rule::ThreadCost(_)));
        rules.filter_map(|spec| self.model.money.costs_end(&spec.name, source, failed)).collect()
    }

    pub async fn flush(&mut self) {
        self.bridge.flush().await;
        for item in self.model.outbox.items.values_mut() {
            item.public = true;
        }
        self.durable = self.model.clone();
        self.say("durable");
    }

    async fn crash(&mut self) {
        self.lose_flights();
        let delivered = self.durable.outbox.items.iter().filter(|(_, i)| i.state.as_str() == "delivered");
        let delivered: BTreeSet<String> = delivered.map(|(id, _)| id.clone()).collect();
        self.receivers.excuse_all_but(&delivered);
        self.model = self.durable.clone();
        self.looks.clear();
        self.marks.clear();
        self.bridge.crash(&self.setup);
        self.say("crash");
        self.compare_store().await;
        self.tick().await;
    }

    /// An orderly end, an edited config, a new start.
    async fn restart(&mut self) {
        for sink in SINKS {
            self.settle(sink, usize::MAX, false).await;
        }
        self.flush().await;
        self.looks.clear();
        self.marks.clear();
        self.leases.clear();
        let edit = self.setup.edit(&mut self.rng);
        self.bridge.restart(&self.setup).await;
        self.say(&format!("restart: {edit}"));
        self.compare_store().await;
        self.tick().await;
    }

    /// As the program does at its start: an edited limit speaks at once.
    async fn tick(&mut self) {
        let mut sources = Vec::new();
        for name in ["acme/usage", "files/bill"] {
            if self.model.collections[name].baseline {
                sources.push(self.setup.spec(name).source.clone());
            }
        }
        if sources.is_empty() {
            return;
        }
        let plan = self.bridge.step(&Input::Tick { sources: sources.clone() }).await;
        let expected = self.money_rules(&sources, self.bridge.now(), false, true);
        self.check(&plan, expected).await;
    }

    /// Everything comes to rest, and must then be told, delivered and known.
    async fn finale(&mut self) {
        self.say("finale");
        self.noisy = false;
        for sink in SINKS {
            self.settle(sink, usize::MAX, true).await;
            self.order(Command::EnableSink { sink: sink.to_owned() }).await;
        }
        for list in self.remote.lists.values_mut() {
            list.hidden.clear();
        }
        for _ in 0..3 {
            for name in COLLECTIONS {
                self.advance(SignedDuration::from_secs(61));
                self.good_look(name).await;
                self.approve(name).await;
            }
        }
        self.drain().await;
        self.flush().await;
        self.compare_fates();
        self.compare_store().await;
        self.compare_remote().await;
        for (id, item) in &self.model.outbox.items {
            assert!(!item.state.is_open(), "{id} still waits: {item:?}");
            if item.state.as_str() == "delivered" {
                assert!(self.receivers.has(id), "{id} counts as delivered and never arrived");
            }
        }
    }

    async fn drain(&mut self) {
        for _ in 0..10_000 {
            self.pass().await;
            self.flush().await;
            let mut next: Option<Timestamp> = self.next_room();
            for sink in SINKS {
                self.claim(sink, 100).await;
                self.settle(sink, usize::MAX, true).await;
                let due = self.bridge.store().next_due(sink).await.unwrap();
                next = next.into_iter().chain(due).min();
            }
            if self.next_room().is_none() && self.model.outbox.items.values().all(|i| !i.state.is_open()) {
                return;
            }
            self.flush().await;
            let now = self.bridge.now();
            let wait = next.map_or(SignedDuration::from_secs(1), |due| due.duration_since(now));
            self.advance(wait.max(SignedDuration::from_secs(1)));
        }
        panic!("deliveries never come to an end");
    }
}
