//! Sources: systems that are polled.
//!
//! Invariant: a source says honestly how complete a look was. It never decides what changed; it shows rows.

pub mod amp;
pub mod amp_cli;
pub mod amp_missions;
pub mod amp_threads;
pub mod amply;
pub mod asking;
pub mod body;
pub mod calls;
pub mod http_json;
pub mod limiter;
pub mod oauth;
pub mod origin;
pub mod prices;
pub mod quota;
pub mod rest;
pub mod seen;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::domain::collection::{CollectionSpec, CollectionState};
use crate::domain::record::{Evidence, Failure, Page};
use crate::domain::time::Timestamp;
use crate::env::Clock;

/// Whatever a system says it allows, looks are at most this many times rarer than meant,
const SLOWEST: f64 = 10_000.0;
/// and no further apart than this: one a day is the least that is worth anything.
const LONGEST_INTERVAL: Duration = Duration::from_hours(24);

/// How far a look goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// What is new.
    Head,
    /// What is recent enough to be edited.
    Hot,
    /// Everything: the only look that may end `Complete`.
    Full,
}

/// How often a collection is looked at, and how far. A source without heads has only full looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    pub head: Option<Duration>,
    pub hot: Option<Duration>,
    pub full: Duration,
}

impl Schedule {
    /// The same with intervals so many times longer.
    #[must_use]
    pub fn slower(self, times: Option<f64>) -> Self {
        let Some(times) = times.filter(|times| times.is_finite() && *times > 1.0) else { return self };
        let longer = |interval: Duration| interval.mul_f64(times.min(SLOWEST)).min(LONGEST_INTERVAL);
        Self { head: self.head.map(longer), hot: self.hot.map(longer), full: longer(self.full).max(self.full) }
    }
}

/// A collection with its schedule.
#[derive(Debug, Clone)]
pub struct Collection {
    pub spec: Arc<CollectionSpec>,
    pub schedule: Schedule,
    /// Calls a day this schedule makes, for `check`; `None` where it depends on the number of records.
    pub calls_per_day: Option<u64>,
    /// What the number means, or what it depends on.
    pub calls_note: String,
}

/// One look to be made.
#[derive(Debug, Clone)]
pub struct LookRequest {
    pub collection: String,
    pub reach: Reach,
    /// As last committed: baseline, cursor.
    pub state: CollectionState,
    /// Keys that are to be asked about, most recent first; only where a collection is asked one by one.
    pub wanted: Vec<String>,
    /// Keys that were asked about and may have changed unseen, longest ago first; asked about with the calls that are left.
    pub again: Vec<String>,
    /// All of `wanted` is to be asked about now, whatever is usual in an hour: somebody asked for a look at everything, or
    /// it is the first.
    pub all: bool,
    pub now: Timestamp,
}

impl LookRequest {
    /// A look at all of a collection that asks about nothing one by one.
    pub fn full(collection: &str, state: CollectionState, now: Timestamp) -> Self {
        let (wanted, again) = (Vec::new(), Vec::new());
        Self { collection: collection.to_owned(), reach: Reach::Full, state, wanted, again, all: false, now }
    }
}

/// How a look ended.
#[derive(Debug, Clone)]
pub struct LookEnd {
    pub evidence: Evidence,
    /// Replaces the collection's cursor; from server values only.
    pub cursor: Option<Value>,
    /// Pages read, for pacing sweeps.
    pub pages: u32,
    /// A key that was shown, for trying an address that must answer.
    pub canary: Option<String>,
    /// What was read stands where something else stood at the last look: until nothing is missing from it, any loss needs a
    /// person.
    pub replaced: bool,
    /// Things that stand among the rows and are something else: they were passed over.
    pub passed_over: u64,
    /// Of money: the first day that was asked for. Days from it on that have no row have no spend, where the look is
    /// complete.
    pub asked_from: Option<Date>,
    /// Of money: the first day of which, and of those after it, this look has shown all there is, whoever spent it and
    /// whichever look showed it first. What it did not show of them is gone. A source whose rows may go away while their
    /// money stays spent, or that shows only what changed, has no such day.
    pub whole_from: Option<Date>,
    /// There was nothing to ask, or no call left to ask with: such a look says nothing of how the source is.
    pub idle: bool,
}

impl LookEnd {
    pub fn new(evidence: Evidence, cursor: Option<Value>, pages: u32) -> Self {
        Self {
            evidence,
            cursor,
            pages,
            canary: None,
            replaced: false,
            passed_over: 0,
            asked_from: None,
            whole_from: None,
            idle: false,
        }
    }

    pub fn failed(failure: Failure) -> Self {
        Self::new(Evidence::Partial(failure), None, 0)
    }
}

/// Where a look puts its pages. At most two wait to be taken.
#[derive(Debug, Clone)]
pub struct Pages(mpsc::Sender<Page>);

/// The bridge is no longer listening: end the look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl Pages {
    pub fn channel() -> (Self, mpsc::Receiver<Page>) {
        let (sender, receiver) = mpsc::channel(2);
        (Self(sender), receiver)
    }

    pub async fn send(&self, page: Page) -> Result<(), Stopped> {
        self.0.send(page).await.map_err(|_| Stopped)
    }
}

/// What a system allows, and what that does to the intervals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Allowance {
    /// As the manifest says.
    pub declared: Option<quota::Quota>,
    /// As the answers said so far.
    pub learned: Option<quota::Quota>,
    /// How many times longer than meant the intervals are, to stay inside what is declared; nothing where they fit.
    pub stretched: Option<f64>,
    /// How many times longer yet looks have to be apart, to stay inside what was learned.
    pub slower: Option<f64>,
}

impl Allowance {
    /// Of a source with these collections, whose intervals fit into what is declared.
    pub fn of(declared: Option<quota::Quota>, learned: Option<quota::Quota>, collections: &[Collection]) -> Self {
        let wanted = collections.iter().filter_map(|c| c.calls_per_day).sum();
        let slower = learned.and_then(|quota| quota.stretch(wanted));
        Self { declared, learned, stretched: None, slower }
    }
}

/// What an earlier process found out about a system, and how long it asked to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remembered {
    pub quota: Option<quota::Quota>,
    pub not_before: Option<Timestamp>,
}

/// A system that is polled.
#[async_trait]
pub trait Source: Send + Sync {
    fn name(&self) -> &str;
    fn kind(&self) -> &'static str;
    fn collections(&self) -> &[Collection];
    /// Looks once. Pages go out as they come in; the end says what they amount to.
    async fn look(&self, request: &LookRequest, pages: &Pages) -> LookEnd;
    /// The collection's description, with whatever only the system itself can tell of whose it is. A failure ends the
    /// look before it begins.
    async fn identify(&self, collection: &Collection) -> Result<Arc<CollectionSpec>, Failure> {
        Ok(Arc::clone(&collection.spec))
    }
    /// Those of `keys` whose own address says that they are gone. Nothing is believed unless the address of `canary`, a
    /// key that was just shown, answers.
    async fn confirm(
        &self,
        _collection: &str,
        _keys: &[String],
        _canary: Option<&str>,
    ) -> Result<BTreeSet<String>, Failure> {
        Ok(BTreeSet::new())
    }
    /// What the system allows, where that is known.
    fn allowance(&self) -> Allowance {
        Allowance::default()
    }
    /// Until when the system wants to be left alone, as it becomes known; `None` where nothing is called.
    fn asked_to_wait(&self) -> Option<watch::Receiver<Option<Timestamp>>> {
        None
    }
    /// Takes over what an earlier process found out, before the first call.
    fn remember(&self, _remembered: Remembered) {}
    /// Signs in, for `check --connect`: a line on what works, or what does not.
    async fn connect(&self) -> Result<String, Failure>;
}

/// Settings every source has.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// The base interval.
    pub every: Duration,
    /// Deadline of one call.
    pub timeout: Duration,
    /// Calls a second to the source's host.
    pub max_rps: f64,
    pub proxy: Option<reqwest::Url>,
    pub ca_file: Option<std::path::PathBuf>,
}

/// What a source is built with besides its settings.
#[derive(Clone)]
pub struct Context {
    pub limiters: limiter::Limiters,
    pub clock: Arc<dyn Clock>,
    /// Relative paths count from here (the config file's folder).
    pub folder: std::path::PathBuf,
    /// Whether a rule asks what single threads have cost.
    pub wants_costs: bool,
    pub prices: Arc<dyn prices::PriceBook>,
    /// Up to this long is the first pause between repetitions of a call.
    pub pause: Duration,
}

impl Context {
    pub fn new(clock: Arc<dyn Clock>, folder: std::path::PathBuf) -> Self {
        Self {
            limiters: limiter::Limiters::default(),
            clock,
            folder,
            wants_costs: false,
            prices: Arc::new(prices::BundledPrices),
            pause: calls::PAUSE,
        }
    }
}

/// The settings of one kind of source.
pub trait SourceConfig: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings: key path inside the source, and what to do.
    fn problems(&self) -> Vec<(String, String)>;
    /// Builds the source; nothing is called yet. `problems` was empty.
    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Source>, String>;
}

/// Settings as read, or the path to what is wrong in them.
pub type Parsed<T> = Result<T, serde_path_to_error::Error<::config::ConfigError>>;

/// A kind of source, as the config names it.
pub struct Kind {
    pub name: &'static str,
    pub parse: fn(::config::Value) -> Parsed<Box<dyn SourceConfig>>,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

const fn kind<C: SourceConfig + DeserializeOwned + JsonSchema + 'static>(name: &'static str) -> Kind {
    Kind {
        name,
        parse: |value| {
            serde_path_to_error::deserialize::<_, C>(crate::domain::strict::Strict(value))
                .map(|c| Box::new(c) as Box<dyn SourceConfig>)
        },
        schema: |generator| generator.subschema_for::<C>(),
    }
}

/// Every kind of source. A new one is its file and a line here.
pub const KINDS: &[Kind] = &[
    kind::<amp::Config>("amp"),
    kind::<amp_missions::Config>("amp_missions"),
    kind::<amp_cli::Config>("amp_cli"),
    kind::<amp_threads::Config>("amp_threads"),
    kind::<amply::Config>("amply"),
    kind::<http_json::Config>("http_json"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_further_apart_where_a_system_allows_less() {
        let mins = Duration::from_mins;
        let schedule = Schedule { head: Some(mins(1)), hot: Some(mins(15)), full: mins(600) };
        let slower = schedule.slower(Some(3.0));
        assert_eq!(
            (slower.head, slower.hot, slower.full),
            (Some(mins(3)), Some(mins(45)), mins(1_440)),
            "a day at most"
        );
        assert_eq!(schedule.slower(None), schedule);
        assert_eq!(schedule.slower(Some(f64::INFINITY)), schedule);
        let rare = Schedule { full: mins(10_000), ..schedule };
        assert_eq!(rare.slower(Some(2.0)).full, mins(10_000), "never more often than meant");
    }
}
