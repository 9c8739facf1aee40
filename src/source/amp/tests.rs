//! The source against a stateful fake of the API, over real sockets.

mod access;
mod fake;
mod messages;
mod money;
mod threads;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::collection::{CollectionState, Role};
use crate::domain::record::{CostRow, Evidence, FailureKind, Page, Record, Rows};
use crate::domain::spend::SpendRow;
use crate::domain::time::Timestamp;
use crate::env::Clock;
use crate::source::{Common, Context, LookEnd, LookRequest, Pages, Reach, Source, SourceConfig};

use super::Config;
use fake::{Fake, Script};

const NOW: &str = "2026-11-22T10:00:00Z";

/// A clock that goes when it is told to.
#[derive(Debug)]
struct TestClock(Mutex<Timestamp>);

impl TestClock {
    fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A source that looks at a fake, with what a test needs of both.
struct Rig {
    fake: Fake,
    source: Arc<dyn Source>,
    clock: Arc<TestClock>,
}

impl Rig {
    async fn new() -> Self {
        Self::with(Fake::start().await, &json!({}))
    }

    fn with(fake: Fake, more: &Value) -> Self {
        let mut settings = json!({
            "base_url": fake.url(""), "token_url": fake.url("/oauth2/token"),
            "client_id": fake::ID, "client_secret": fake::SECRET,
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let clock = Arc::new(TestClock(Mutex::new(NOW.parse().unwrap())));
        let config: Config = serde_json::from_value(settings).unwrap();
        assert_eq!(config.problems(), []);
        let source = config.build("acme", &common(), &context(clock.clone())).unwrap();
        Self { fake, source, clock }
    }

    fn request(&self, collection: &str) -> LookRequest {
        LookRequest::full(collection, CollectionState::default(), self.clock.now())
    }

    async fn look(&self, request: LookRequest) -> Look {
        let (pages, mut taken) = Pages::channel();
        let source = Arc::clone(&self.source);
        let looking = tokio::spawn(async move { source.look(&request, &pages).await });
        let mut got = Vec::new();
        while let Some(page) = taken.recv().await {
            got.push(page);
        }
        Look { end: looking.await.unwrap(), pages: got }
    }

    async fn full(&self, collection: &str) -> Look {
        self.look(self.request(collection)).await
    }
}

fn common() -> Common {
    Common { every: Duration::from_mins(1), timeout: Duration::from_mins(1), max_rps: 1e6, proxy: None, ca_file: None }
}

fn context(clock: Arc<TestClock>) -> Context {
    Context { wants_costs: true, ..Context::new(clock, ".".into()) }
}

/// What a look came to.
#[derive(Debug)]
struct Look {
    end: LookEnd,
    pages: Vec<Page>,
}

impl Look {
    fn records(&self) -> Vec<&Record> {
        let rows =
            self.pages.iter().filter_map(|page| if let Rows::Records(rows) = &page.rows { Some(rows) } else { None });
        rows.flatten().collect()
    }

    fn keys(&self) -> Vec<&str> {
        self.records().iter().map(|record| record.key.as_str()).collect()
    }

    fn spend(&self) -> Vec<&SpendRow> {
        let rows =
            self.pages.iter().filter_map(|page| if let Rows::Spend(rows) = &page.rows { Some(rows) } else { None });
        rows.flatten().collect()
    }

    fn costs(&self) -> Vec<&CostRow> {
        let rows =
            self.pages.iter().filter_map(|page| if let Rows::Costs(rows) = &page.rows { Some(rows) } else { None });
        rows.flatten().collect()
    }

    fn quarantined(&self) -> Vec<&str> {
        self.pages.iter().flat_map(|page| page.quarantined.iter().map(String::as_str)).collect()
    }

    /// Kind and message of the failure; panics where there is none.
    fn failure(&self) -> (&FailureKind, &str) {
        match &self.end.evidence {
            Evidence::Partial(failure) => (&failure.kind, &failure.message),
            other => panic!("{other:?} is no failure"),
        }
    }

    fn assert_broken(&self, part: &str) {
        let (kind, message) = self.failure();
        assert_eq!(kind, &FailureKind::Broken, "{message}");
        assert!(message.contains(part), "{message:?} does not say {part:?}");
        assert!(!message.contains("://") && !message.contains(fake::SECRET), "{message:?} tells too much");
    }
}
