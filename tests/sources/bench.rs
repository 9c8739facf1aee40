//! One bridge in this process: a config, a memory store, a clock of the test's own, sources that lose no time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ampbridge::app::{App, Parts};
use ampbridge::config;
use ampbridge::domain::collection::CollectionId;
use ampbridge::domain::doc::{Doc, DocKey};
use ampbridge::domain::record::Evidence;
use ampbridge::domain::rules::Rule;
use ampbridge::domain::time::{SignedDuration, Timestamp};
use ampbridge::env::{Clock, SeededDice};
use ampbridge::pipeline::poller::{Looked, Poller};
use ampbridge::source::{Context, Reach};
use ampbridge::store::EventFilter;
use ampbridge::store::memory::{self, MemoryKv};

/// 2026-11-22T10:00:00Z, a Sunday, far from midnight.
const BEGIN: i64 = 1_795_341_600;

/// The time of bridge and fake.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<AtomicI64>);

impl Watch {
    /// One that begins at the real time, for processes of their own, and stands still.
    pub fn real() -> Self {
        let watch = Self::default();
        watch.advance(ampbridge::env::SystemClock.now().as_second() - BEGIN);
        watch
    }

    pub fn advance(&self, secs: i64) {
        self.0.fetch_add(secs, Ordering::AcqRel);
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(BEGIN).unwrap() + SignedDuration::from_secs(self.0.load(Ordering::Acquire))
    }
}

pub struct Bridge {
    pub app: App,
    pub watch: Watch,
}

impl Bridge {
    pub fn new(config: &str, folder: &Path, watch: &Watch) -> Self {
        let settings = config::load_text(config, folder).unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        let clock: Arc<dyn Clock> = Arc::new(watch.clone());
        let mut parts = Parts::assemble_with(settings, Arc::clone(&clock), Arc::new(SeededDice::new(1))).unwrap();
        let wants_costs = parts.settings.rules.iter().any(|rule| matches!(rule.rule, Rule::ThreadCost(_)));
        let context =
            Context { wants_costs, pause: Duration::from_millis(1), ..Context::new(clock, folder.to_owned()) };
        let build = |(name, entry): (&String, &config::SourceEntry)| {
            entry.config.build(name, &entry.common, &context).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        parts.sources = parts.settings.sources.iter().map(build).collect();
        let store = memory::open(MemoryKv::default()).unwrap();
        Self { app: parts.with_store(Arc::new(store)), watch: watch.clone() }
    }

    /// The same over the store of another: a restart.
    pub fn over(mut self, other: &Self) -> Self {
        self.app.core.store = Arc::clone(&other.app.core.store);
        self
    }

    /// A process that comes after this one, with its store.
    pub fn next(&self, config: &str, folder: &Path) -> Self {
        Self::new(config, folder, &self.watch).over(self)
    }

    /// Looks once at every collection of every source, in full. Returns the looks.
    pub async fn look(&self) -> Vec<Looked> {
        let mut looks = Vec::new();
        for source in &self.app.parts.sources {
            let poller = Poller::new(self.app.core.clone(), Arc::clone(source));
            for collection in source.collections() {
                looks.push(poller.look(collection, Reach::Full).await.unwrap());
            }
        }
        // Time passes between looks, as it does.
        self.watch.advance(60);
        looks
    }

    /// The look must be as good as a look can be.
    pub async fn look_well(&self) {
        for look in self.look().await {
            assert!(!matches!(look.evidence, Evidence::Partial(_)), "{}: {:?}", look.collection, look.evidence);
        }
    }

    /// Waits until it is known that a system wants to be left alone.
    pub async fn knows_when_to_ask_again(&self, source: &str, name: &str) {
        let key = DocKey::Collection(CollectionId { source: source.into(), name: name.into() });
        for _ in 0..6_000 {
            let doc = self.app.core.store.doc(&key).await.unwrap();
            if matches!(doc.as_deref(), Some(Doc::Collection(state)) if state.not_before.is_some()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing is known of {source}/{name}");
    }

    /// `type subject` of every event so far, oldest first.
    pub async fn told(&self) -> Vec<String> {
        let mut events = self.app.core.store.events(&EventFilter::default()).await.unwrap();
        events.reverse();
        events.into_iter().map(|e| format!("{} {}", e.event.kind, e.event.subject)).collect()
    }
}
