//! A poll's memory as the program has it: the history lies in a store on disk, and a process that has never seen it
//! opens the store and takes looks in, page by page: what each step needs is loaded, planned, and committed. Each part
//! is a process of its own, this program with an argument, so that no other part's garbage counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ampbridge::domain::collection::{CollectionSpec, LookNotes, Role};
use ampbridge::domain::cycle::{self, Input, SweepEnd};
use ampbridge::domain::record::{Evidence, Page, Rows};
use ampbridge::domain::time::{Timestamp, minus_days, start_of_utc_day, utc_day};
use ampbridge::env::{Clock, SeededDice};
use ampbridge::pipeline::Core;
use ampbridge::store::{Store, Sync, sled};

use super::support::{median, ms, print_row, rss_bytes, rss_peak_bytes};
use super::{DAYS, POLLS, TODAY, rows, world};

/// Before the name of a part and the folder of the store.
const PART: &str = "--part";
/// Days each look asks for, as the Amp source does: today and those that settle.
const LOOKED_BACK: i64 = 3;
/// Between two polls.
const EVERY_SECS: i64 = 300;
/// When the polls begin, seconds of the day: the first seven are of one day, the others of the next, whose first takes
/// in the day that is closed then.
const BEFORE_MIDNIGHT: i64 = 86_400 - 7 * EVERY_SECS;

/// Runs the part this process was started for; `false` where it was not started for one.
pub fn is_part(users: usize, models: usize) -> bool {
    let mut args = std::env::args().skip_while(|arg| arg != PART).skip(1);
    let (Some(part), Some(folder)) = (args.next(), args.next()) else { return false };
    let start = rss_bytes();
    let workspace = Workspace::new(users, models);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (before, figures) = runtime.block_on(async {
        let before = with_an_empty_store().await;
        let folder = Path::new(&folder);
        let figures = match part.as_str() {
            "history" => workspace.polls(folder, 0, 1, DAYS).await,
            _ => workspace.polls(folder, BEFORE_MIDNIGHT, POLLS, LOOKED_BACK).await,
        };
        (before, figures)
    });
    let name = |what: &str| format!("{what}, {users} users x {models} models");
    let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    let peak = mb(rss_peak_bytes().saturating_sub(before));
    if part == "history" {
        print_row(&[&name("store on disk, first look"), &format!("{} in all, {DAYS} days", ms(figures))]);
        print_row(&["  its peak of resident memory, above what an empty store takes", &peak]);
    } else {
        print_row(&[&name("store on disk, a look by a new process: load, plan, commit"), &ms(figures)]);
        print_row(&[&format!("  peak of resident memory, {POLLS} polls over midnight, above that"), &peak]);
        print_row(&[
            "  what a process with an empty store takes above one with none",
            &mb(before.saturating_sub(start)),
        ]);
    }
    true
}

/// Resident memory of this process with a store in which nothing is: what the storage engine takes in any case.
async fn with_an_empty_store() -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let store = sled::open(folder.path(), Sync::Process, "bench").expect("a store");
    let resident = rss_bytes();
    store.close().await.expect("closed");
    resident
}

/// Runs both parts, one after the other, in processes of their own.
pub fn measure() {
    let folder = tempfile::tempdir().expect("a folder");
    let program: PathBuf = std::env::current_exe().expect("this program");
    for part in ["history", "polls"] {
        let status = std::process::Command::new(&program).arg(PART).arg(part).arg(folder.path()).status();
        assert!(status.expect("started").success(), "the part {part} failed");
    }
}

/// A workspace in which everybody spends on everything all the time.
struct Workspace {
    users: usize,
    models: usize,
    clock: Arc<Hands>,
    spec: Arc<CollectionSpec>,
}

/// A clock that is set by hand.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Acquire)).expect("a time that can be")
    }
}

impl Workspace {
    fn new(users: usize, models: usize) -> Self {
        let spec = CollectionSpec {
            source: "acme".into(),
            name: "daily_usage".into(),
            role: Role::Spend,
            fingerprint: "v1".into(),
            noun: "day".into(),
            ..CollectionSpec::default()
        };
        let clock = Arc::new(Hands(AtomicI64::new(start_of_utc_day(TODAY).as_second())));
        Self { users, models, clock, spec: Arc::new(spec) }
    }

    /// Opens the store, looks so many times at so many days, closes it; the median time of a look. So long after
    /// midnight it begins.
    async fn polls(&self, folder: &Path, after: i64, looks: i64, days: i64) -> Duration {
        self.clock.0.fetch_add(after, Ordering::AcqRel);
        let store = Arc::new(sled::open(folder, Sync::Process, "bench").expect("a store"));
        let core = Core {
            store: store.clone(),
            world: Arc::new(world()),
            clock: self.clock.clone(),
            dice: Arc::new(SeededDice::new(1)),
        };
        let mut times = Vec::new();
        for _ in 0..looks {
            let (notes, time) = self.look(&core, days).await;
            assert!(notes.changed > 0, "{notes:?}");
            times.push(time);
            self.clock.0.fetch_add(EVERY_SECS, Ordering::AcqRel);
        }
        store.close().await.expect("closed");
        median(times.into_iter())
    }

    /// One look, a page for each day as the Amp source makes them of days this large. The time of its steps.
    async fn look(&self, core: &Core, days: i64) -> (LookNotes, Duration) {
        let now = self.clock.now();
        let today = utc_day(now);
        let passed = (now.as_second() - start_of_utc_day(today).as_second() + EVERY_SECS) as f64 / 86_400.0;
        let mut time = Duration::ZERO;
        let mut step = async |input: Input| {
            let begun = Instant::now();
            let (plan, _) = core.step(&input).await.expect("a step");
            time += begun.elapsed();
            plan.notes
        };
        step(Input::Begin { spec: Arc::clone(&self.spec) }).await;
        let mut notes = LookNotes::default();
        for back in (0..=days).rev() {
            let part = if back == 0 { passed } else { 1.0 };
            let page = Page::of(Rows::Spend(rows(minus_days(today, back), self.users, self.models, part)));
            cycle::add_notes(&mut notes, step(Input::Page { spec: Arc::clone(&self.spec), page }).await);
        }
        let end = SweepEnd {
            idle: false,
            spec: Arc::clone(&self.spec),
            epoch: 1,
            evidence: Evidence::Complete,
            notes: notes.clone(),
            cursor: None,
            quota: None,
            confirmed: std::collections::BTreeSet::new(),
        };
        step(Input::SweepEnd(Box::new(end))).await;
        (notes, time)
    }
}
