//! Source `amp_threads`: a directory of Amp thread documents.
//!
//! Local thread files of Amp until March 2026, or what `amp threads export` wrote and a user's cron put there. Four
//! collections: `threads` (records), `usage` (estimated spend), `models` (whether each has a price) and, where a rule
//! asks for it, `thread_costs`. Nothing is called over the network, and nothing of a message's content is kept.
//!
//! Invariant: a file that can't be used is never a deletion. It shows what it last held and bars removals. Nor is a file that
//! another directory in the same place lacks: a person decides.

mod directory;
mod document;
mod file;
mod gone;
mod lenient;
mod models;
mod progress;
mod record;
mod spend;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Collection, Common, Context, LookEnd, LookRequest, Pages, Schedule, Source, SourceConfig, Stopped, prices,
};
use crate::domain::collection::{CollectionSpec, Deletes, EventNames, GaugeSpec, Role, UpdateRule};
use crate::domain::event::Severity;
use crate::domain::money::Micros;
use crate::domain::record::{CostRow, Evidence, Failure, Page, Rows, key_hash};
use crate::domain::rules::spike;
use crate::domain::setting::{Decimal, Span};
use crate::domain::spend::Uncounted;
use crate::domain::time::{minus_days, utc_day};
use directory::{Directory, Limits, View};
use document::Thread;
use gone::Gone;
use spend::Money;

const KIND: &str = "amp_threads";
const THREADS: &str = "threads";
const USAGE: &str = "usage";
const COSTS: &str = "thread_costs";
const MODELS: &str = "models";
/// Which directory the threads were read from, in the cursor.
const FOLDER: &str = "folder";
/// Rows a page holds at most.
const PAGE: usize = 500;
/// Costs a page holds at most: a rule tells all it finds in its very first page as one event.
const COST_PAGE: usize = 5_000;
/// Days whose spend is shown again and again: as far as any rule looks back.
const LOOK_BACK_DAYS: i64 = spike::DAYS_NEEDED;
/// Names the shape of keys and watched fields; another one means a new quiet baseline.
const SHAPE: &str = "threads-1";

/// A directory of Amp thread documents (local thread files, or exports).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory. A relative path counts from the config file; `~` is not expanded.
    pub path: String,
    /// A thread that runs and has not been written to for this long has stalled.
    #[serde(default = "half_an_hour")]
    #[schemars(extend("default" = "30m"))]
    pub stalled_after: Span,
    /// What list prices are multiplied by: 1.5 where a contract bills half as much again.
    #[serde(default = "list_price")]
    #[schemars(extend("default" = 1))]
    pub price_multiplier: Decimal,
}

fn half_an_hour() -> Span {
    Span::secs(1_800)
}

fn list_price() -> Decimal {
    Decimal("1".to_owned())
}

impl SourceConfig for Config {
    fn problems(&self) -> Vec<(String, String)> {
        let problem = if self.path.trim().is_empty() {
            "name the directory the thread files are in"
        } else if self.path.starts_with('~') {
            "`~` is not expanded here; write the whole path"
        } else if self.path.contains('\0') {
            "a path can't hold a NUL"
        } else {
            ""
        };
        let path = (!problem.is_empty()).then(|| ("path".to_owned(), problem.to_owned()));
        let stalled = self.stalled_after.0 <= jiff::SignedDuration::ZERO;
        let stalled = stalled.then(|| ("stalled_after".to_owned(), "must be longer than 0".to_owned()));
        let multiplier = prices::multiplier(&self.price_multiplier).err();
        let multiplier = multiplier.map(|what| ("price_multiplier".to_owned(), what));
        path.into_iter().chain(stalled).chain(multiplier).collect()
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Source>, String> {
        let prices = prices::multiplied(&context.prices, prices::multiplier(&self.price_multiplier)?);
        let directory = Directory::new(context.folder.join(&self.path), Limits::default(), prices);
        let source = AmpThreads::new(name, directory, common, context.wants_costs);
        Ok(Arc::new(AmpThreads { stalled_after: self.stalled_after.0, ..source }))
    }
}

/// The source.
pub struct AmpThreads {
    name: String,
    directory: Directory,
    timeout: Duration,
    stalled_after: SignedDuration,
    collections: Vec<Collection>,
    /// Threads whose money was last counted, so that those which vanish can go on counting.
    counted: Mutex<Vec<Arc<Thread>>>,
    /// Costs as last shown, by the hash of the thread's id: what is the same needs no telling.
    shown: Mutex<BTreeMap<u64, Micros>>,
    /// Files that were something else, as last logged.
    passed_over: Mutex<u64>,
}

impl AmpThreads {
    fn new(name: &str, directory: Directory, common: &Common, wants_costs: bool) -> Self {
        let mut roles = vec![(THREADS, Role::Record), (USAGE, Role::Spend), (MODELS, Role::Gauge)];
        if wants_costs {
            roles.push((COSTS, Role::Cost));
        }
        let collections =
            roles.into_iter().map(|(id, role)| collection(name, id, role, directory.path(), common.every)).collect();
        Self {
            name: name.to_owned(),
            directory,
            timeout: common.timeout,
            stalled_after: half_an_hour().0,
            collections,
            counted: Mutex::default(),
            shown: Mutex::default(),
            passed_over: Mutex::default(),
        }
    }

    async fn show(&self, request: &LookRequest, view: &View, pages: &Pages) -> Result<LookEnd, Stopped> {
        let mut cursor = None;
        let mut replaced = false;
        let pages = match request.collection.as_str() {
            USAGE => {
                let gone = self.count_gone(request, view);
                cursor = gone.to_cursor();
                show_spend(request, view, &gone, pages).await?
            }
            COSTS => self.show_costs(request, view, pages).await?,
            MODELS => {
                pages.send(models::page(&view.threads)).await?;
                1
            }
            _ => {
                let before = request.state.cursor.get(FOLDER).and_then(Value::as_str);
                replaced = before.is_some_and(|before| before != view.identity);
                cursor = Some(json!({ FOLDER: view.identity }));
                self.show_threads(request, view, pages).await?
            }
        };
        Ok(LookEnd { replaced, passed_over: view.others, ..LookEnd::new(Evidence::Complete, cursor, pages) })
    }

    /// Says how many files are passed over, whenever that is news: one of them may have been meant for a thread.
    fn note_passed_over(&self, others: u64) {
        let known = std::mem::replace(&mut *self.passed_over.lock().unwrap_or_else(PoisonError::into_inner), others);
        if known != others {
            tracing::info!(
                source = self.name,
                files = others,
                "{}: {others} JSON files are no thread documents and are passed over",
                self.name
            );
        }
    }

    async fn show_threads(&self, request: &LookRequest, view: &View, pages: &Pages) -> Result<u32, Stopped> {
        let live: Vec<Arc<Thread>> = view.threads.iter().filter(|thread| !thread.deleted).cloned().collect();
        let mut chunks = live.chunks(PAGE);
        let mut quarantined = view.unusable.clone();
        let mut sent = 0;
        loop {
            let chunk = chunks.next();
            if chunk.is_none() && quarantined.is_empty() {
                return Ok(sent);
            }
            let mut rows = Vec::with_capacity(PAGE);
            for thread in chunk.unwrap_or_default() {
                rows.push(record::record(thread, request.now, self.stalled_after));
            }
            let page = Page::of(Rows::Records(rows));
            pages.send(Page { quarantined: std::mem::take(&mut quarantined), ..page }).await?;
            sent += 1;
        }
    }

    /// Finds out which threads went away since their money was last counted.
    fn count_gone(&self, request: &LookRequest, view: &View) -> Gone {
        let mut gone = Gone::from_cursor(&request.state.cursor);
        let there: BTreeSet<&str> = view.threads.iter().map(|thread| thread.id.as_ref()).collect();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let vanished: Vec<Arc<Thread>> =
            counted.iter().filter(|thread| !there.contains(thread.id.as_ref())).cloned().collect();
        // Until the cursor with it has been committed, a vanished thread is remembered here.
        let unsaved = vanished.iter().filter(|thread| !gone.holds(&thread.id)).cloned();
        *counted = view.threads.iter().cloned().chain(unsaved).collect();
        gone.update(&vanished, &there, earliest(request));
        gone
    }

    /// Costs that changed since they were last shown, and those that are asked for.
    async fn show_costs(&self, request: &LookRequest, view: &View, pages: &Pages) -> Result<u32, Stopped> {
        let wanted: BTreeSet<&str> = request.wanted.iter().map(String::as_str).collect();
        let mut costs: BTreeMap<u64, Micros> = BTreeMap::new();
        let mut rows: Vec<CostRow> = Vec::new();
        {
            let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            for thread in &view.threads {
                let Some(row) = spend::cost_row(thread) else { continue };
                let key = key_hash(&row.key);
                costs.insert(key, row.cost);
                if shown.get(&key) != Some(&row.cost) || wanted.contains(row.key.as_str()) {
                    rows.push(row);
                }
            }
        }
        spend::by_cost(&mut rows);
        let mut sent = 0;
        let mut asked = request.wanted.clone();
        let mut rest = rows.into_iter().peekable();
        while rest.peek().is_some() || !asked.is_empty() {
            let rows = rest.by_ref().take(COST_PAGE).collect();
            pages.send(Page { asked: std::mem::take(&mut asked), ..Page::of(Rows::Costs(rows)) }).await?;
            sent += 1;
        }
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = costs;
        Ok(sent)
    }
}

#[async_trait]
impl Source for AmpThreads {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        KIND
    }

    fn collections(&self) -> &[Collection] {
        &self.collections
    }

    async fn look(&self, request: &LookRequest, pages: &Pages) -> LookEnd {
        let view = match self.directory.look(request.now, self.timeout).await {
            Ok(view) => view,
            Err(failure) => return LookEnd::failed(failure),
        };
        tracing::debug!(
            source = self.name,
            collection = request.collection,
            threads = view.threads.len(),
            other_files = view.others,
            unusable_files = view.unusable.len(),
            read_files = view.read,
            "looked at the directory"
        );
        self.note_passed_over(view.others);
        self.show(request, &view, pages)
            .await
            .unwrap_or_else(|Stopped| LookEnd::failed(Failure::broken("the look was stopped before its end")))
    }

    async fn connect(&self) -> Result<String, Failure> {
        let files = self.directory.count(self.timeout).await?;
        Ok(format!("{files} JSON files in {}", self.directory.path().display()))
    }
}

fn collection(source: &str, name: &str, role: Role, path: &Path, every: Duration) -> Collection {
    let (noun, events, deletes) = match role {
        Role::Record => ("thread", thread_events(), Deletes::TwoSweeps),
        Role::Gauge => ("model", EventNames::default(), Deletes::Never),
        _ => ("row", EventNames::default(), Deletes::Never),
    };
    let spec = CollectionSpec {
        source: source.to_owned(),
        name: name.to_owned(),
        role,
        fingerprint: format!("{KIND} {SHAPE} {}", path.to_string_lossy()),
        events,
        deletes,
        gauge: if role == Role::Gauge { models::gauge() } else { GaugeSpec::default() },
        noun: noun.to_owned(),
        ..CollectionSpec::default()
    };
    Collection {
        spec: Arc::new(spec),
        schedule: Schedule { head: None, hot: None, full: every },
        calls_per_day: Some(0),
        calls_note: "reads a local directory, calls nothing".to_owned(),
    }
}

/// A change of `progress` has an event of its own or none: what runs again is no news.
fn thread_events() -> EventNames {
    let on = |field: &str, from: Option<&str>, to: Option<&str>, event: Option<&str>| UpdateRule {
        field: Some(field.to_owned()),
        from: from.map(Value::from),
        to: to.map(Value::from),
        event: event.map(str::to_owned),
        ..UpdateRule::default()
    };
    let updated = vec![
        on("progress", Some("running"), Some("finished"), Some("thread.finished")),
        on("progress", Some("stalled"), Some("finished"), Some("thread.finished")),
        UpdateRule { at_birth: true, ..on("progress", None, Some("failed"), Some("thread.failed")) },
        on("progress", None, Some("stalled"), Some("thread.stalled")),
        on("progress", None, None, None),
        UpdateRule {
            rising: record::VISIBILITIES.map(str::to_owned).to_vec(),
            ..on("visibility", None, None, Some("thread.visibility_widened"))
        },
        UpdateRule { event: Some("thread.updated".to_owned()), ..UpdateRule::default() },
    ];
    let warnings = ["thread.failed", "thread.stalled", "thread.visibility_widened"];
    EventNames {
        created: Some("thread.created".to_owned()),
        updated,
        deleted: Some("thread.deleted".to_owned()),
        severities: warnings.map(|kind| (kind.to_owned(), Severity::Warning)).into(),
    }
}

async fn show_spend(request: &LookRequest, view: &View, gone: &Gone, pages: &Pages) -> Result<u32, Stopped> {
    // The baseline shows all history. Later on no rule looks back further, and rows that are not shown keep their
    // amounts: a thread that was deleted long ago lowers nothing.
    let from = request.state.baseline.map(|_| earliest(request));
    let Money { rows, unpriced: mut quarantined, unpriced_days } = spend::money(&view.threads, gone, from);
    quarantined.extend(view.unusable.iter().cloned());
    let mut uncounted = Uncounted { until: view.unusable_until, unpriced: unpriced_days, ..Uncounted::default() };
    let mut rows = rows.into_iter().peekable();
    let mut sent = 0;
    while rows.peek().is_some() || !quarantined.is_empty() {
        let page = Page::of(Rows::Spend(rows.by_ref().take(PAGE).collect()));
        let (quarantined, uncounted) = (std::mem::take(&mut quarantined), std::mem::take(&mut uncounted));
        pages.send(Page { quarantined, uncounted, ..page }).await?;
        sent += 1;
    }
    Ok(sent)
}

fn earliest(request: &LookRequest) -> Date {
    minus_days(utc_day(request.now), LOOK_BACK_DAYS)
}

#[cfg(test)]
mod tests;
