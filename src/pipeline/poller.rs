//! Looks at collections: once, or for as long as the service runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::Core;
use super::schedule::{self, Past};
use crate::domain::collection::{CollectionSpec, CollectionState, Deletes, LookNotes, Role};
use crate::domain::cycle::{self, Input, Needs, SweepEnd};
use crate::domain::doc::DocKey;
use crate::domain::record::{Evidence, Failure};
use crate::domain::roster::{self, Round};
use crate::domain::sweep;
use crate::domain::time::{Timestamp, elapsed, plus};
use crate::source::{Collection, LookEnd, LookRequest, Pages, Reach, Remembered, Source};
use crate::store::StoreError;
use crate::telemetry::metrics as meter;

/// Longest sleep before the schedule is looked at again; also how soon a clock that jumped is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How soon a collection that waits for another is thought of again.
const SOON: SignedDuration = SignedDuration::from_secs(1);
/// A clock that loses no more than this was corrected, not set back.
const SET_BACK: SignedDuration = SignedDuration::from_secs(1);

/// What one look came to.
#[derive(Debug, Clone)]
pub struct Looked {
    pub collection: String,
    pub reach: Reach,
    pub evidence: Evidence,
    pub notes: LookNotes,
    pub pages: u32,
    /// It was the quiet baseline.
    pub baseline: bool,
    /// Waiting for a person after this look.
    pub held: Option<String>,
    /// It is not there, it need not be, and that was told before this look.
    pub off: bool,
    /// Of how many things one by one it could have asked, where it did not get to all of them.
    pub of: Option<u64>,
}

impl Looked {
    fn of(collection: &Collection) -> Self {
        Self {
            collection: collection.spec.name.clone(),
            reach: Reach::Full,
            evidence: Evidence::Window,
            notes: LookNotes::default(),
            pages: 0,
            baseline: false,
            held: None,
            off: false,
            of: None,
        }
    }
}

/// Polls one source.
#[derive(Clone)]
pub struct Poller {
    core: Core,
    source: Arc<dyn Source>,
    /// The source knows what was found out before.
    reminded: Arc<OnceCell<()>>,
}

impl Poller {
    pub fn new(core: Core, source: Arc<dyn Source>) -> Self {
        Self { core, source, reminded: Arc::default() }
    }

    /// Looks once at one collection, because somebody asks for it now, and commits what it shows. An error is the store's; a
    /// failed look is an outcome.
    pub async fn look(&self, collection: &Collection, reach: Reach) -> Result<Looked, StoreError> {
        self.look_now(collection, reach, true).await
    }

    /// The same, `asked` for or by the schedule.
    async fn look_now(&self, collection: &Collection, reach: Reach, asked: bool) -> Result<Looked, StoreError> {
        self.reminded.get_or_try_init(|| self.remind()).await?;
        let spec = match self.source.identify(collection).await {
            Ok(spec) => spec,
            Err(failure) => return self.not_begun(collection, reach, failure).await,
        };
        let mut state = self.state(collection).await?;
        // Nothing is forgotten for a place that has not answered yet: it may be a slip of the config.
        let is_elsewhere = state.is_elsewhere(&spec);
        if is_elsewhere {
            let epoch = state.epoch;
            state = state.anew(epoch, spec.fingerprint.clone()).at_host(spec.host.as_ref());
        } else {
            self.core.step(&Input::Begin { spec: Arc::clone(&spec) }).await?;
            state = self.state(collection).await?;
        }
        let baseline = state.baseline.is_none();
        let reach = if baseline { Reach::Full } else { reach };
        if reach == Reach::Full && !is_elsewhere {
            self.core.store.begin_look(&spec.id()).await?;
        }
        let now = self.core.clock.now();
        let all = asked || baseline;
        let (Round { wanted, again }, known) = self.wanted(&spec, all, now).await?;
        let request = LookRequest { collection: spec.name.clone(), reach, wanted, again, all, now, state };
        let known_before = request.state.epoch;
        let (mut notes, end, begun) = self.read(&spec, &request, (!is_elsewhere).then_some(known_before)).await?;
        let epoch = begun.unwrap_or(known_before);
        (notes.asked_from, notes.whole_from, notes.replaced) = (end.asked_from, end.whole_from, end.replaced);
        let confirmed = self.confirm(&spec, &request.state, &notes, &end).await?;
        let pages = end.pages;
        let LookEnd { evidence, cursor, idle, .. } = end;
        let sweep = SweepEnd { spec, epoch, evidence, idle, notes, cursor, quota: None, confirmed };
        let of = Some(known).filter(|known| sweep.evidence != Evidence::Complete && sweep.notes.asked < *known);
        self.end(collection, sweep, Looked { reach, pages, baseline, of, ..Looked::of(collection) }).await
    }

    /// A look that ended before it began: whose collection it is could not be found out.
    async fn not_begun(&self, collection: &Collection, reach: Reach, failure: Failure) -> Result<Looked, StoreError> {
        let sweep = SweepEnd {
            spec: Arc::clone(&collection.spec),
            epoch: self.state(collection).await?.epoch,
            evidence: Evidence::Partial(failure),
            idle: false,
            notes: LookNotes::default(),
            cursor: None,
            quota: None,
            confirmed: BTreeSet::new(),
        };
        self.end(collection, sweep, Looked { reach, ..Looked::of(collection) }).await
    }

    /// Commits the end of a look and says what it came to.
    async fn end(&self, collection: &Collection, sweep: SweepEnd, mut looked: Looked) -> Result<Looked, StoreError> {
        let sweep = SweepEnd { quota: self.source.allowance().learned, ..sweep };
        let frozen = self.state(collection).await?.frozen;
        let (plan, _) = self.core.step(&Input::SweepEnd(Box::new(sweep.clone()))).await?;
        looked.notes = sweep.notes;
        looked.notes.events += plan.notes.events;
        looked.evidence = plan.refused.clone().map_or(sweep.evidence, Evidence::Partial);
        let CollectionState { hold, last_good, frozen: now_frozen, .. } = self.state(collection).await?;
        looked.held = hold.filter(|h| h.announced && h.rejected.is_none()).map(|h| h.id);
        looked.off = collection.spec.optional && now_frozen.is_some() && now_frozen == frozen;
        report(self.source.name(), &looked, last_good);
        Ok(looked)
    }

    /// Asks for missing records one by one, where the list alone proves nothing and the loss is believable at all.
    async fn confirm(
        &self,
        spec: &CollectionSpec,
        state: &CollectionState,
        notes: &LookNotes,
        end: &LookEnd,
    ) -> Result<BTreeSet<String>, StoreError> {
        let asks = spec.role == Role::Record && spec.deletes == Deletes::ConfirmGet;
        if !asks || end.evidence != Evidence::Complete || notes.quarantined > 0 {
            return Ok(BTreeSet::new());
        }
        let needs = Needs { missing: Some(spec.id()), missed_once: true, ..Needs::default() };
        let missing = self.core.store.load(&needs, None).await?.missing.unwrap_or_default();
        if missing.rows.is_empty() || sweep::is_doubtful(spec, state, &missing, notes.rows) {
            return Ok(BTreeSet::new());
        }
        let keys: Vec<String> = missing.rows.into_iter().map(|row| row.key).collect();
        match self.source.confirm(&spec.name, &keys, end.canary.as_deref()).await {
            Ok(confirmed) => Ok(confirmed),
            Err(failure) => {
                tracing::warn!(
                    source = self.source.name(),
                    collection = spec.name,
                    missing = keys.len(),
                    "{}: missing records could not be asked for one by one, so none counts as removed: {}",
                    spec.id(),
                    failure.message
                );
                Ok(BTreeSet::new())
            }
        }
    }

    /// Reads and commits pages side by side: while one is committed, the next is fetched. `epoch`: the one that it looks
    /// for; with none it begins anew once it has answered, and which one that is comes back.
    async fn read(
        &self,
        spec: &Arc<CollectionSpec>,
        request: &LookRequest,
        epoch: Option<u32>,
    ) -> Result<(LookNotes, LookEnd, Option<u32>), StoreError> {
        let (pages, mut incoming) = Pages::channel();
        let fetch = async {
            let end = self.source.look(request, &pages).await;
            drop(pages);
            end
        };
        let consume = async {
            let (mut notes, mut epoch) = (LookNotes::default(), epoch);
            while let Some(page) = incoming.recv().await {
                if epoch.is_none() {
                    epoch = Some(self.begin_anew(spec).await?);
                }
                let input = Input::Page { spec: Arc::clone(spec), page };
                match self.core.step(&input).await {
                    Ok((plan, _)) => cycle::add_notes(&mut notes, plan.notes),
                    // Dropping the receiver ends the fetch.
                    Err(error) => return Err(error),
                }
            }
            Ok((notes, epoch))
        };
        let both = async {
            tokio::pin!(fetch);
            tokio::pin!(consume);
            tokio::select! {
                end = &mut fetch => Ok((consume.await?, end)),
                notes = &mut consume => match notes {
                    Ok(notes) => Ok((notes, fetch.await)),
                    Err(error) => Err(error),
                },
            }
        };
        let ((notes, mut epoch), end) = tokio::select! {
            read = both => read?,
            error = self.note_waits(spec) => return Err(error),
        };
        // An empty list is an answer, too.
        if epoch.is_none() && !matches!(end.evidence, Evidence::Partial(_)) {
            epoch = Some(self.begin_anew(spec).await?);
        }
        Ok((notes, end, epoch))
    }

    /// What was known is of another place; this one has answered. Returns the epoch that begins.
    async fn begin_anew(&self, spec: &Arc<CollectionSpec>) -> Result<u32, StoreError> {
        self.core.step(&Input::Begin { spec: Arc::clone(spec) }).await?;
        self.core.store.begin_look(&spec.id()).await?;
        Ok(self.state_of(spec).await?.epoch)
    }

    /// Keeps until when the system wants to be left alone as soon as it says so: the look may sleep that long, and the
    /// process end meanwhile. Ends only where the store fails.
    async fn note_waits(&self, spec: &Arc<CollectionSpec>) -> StoreError {
        let Some(mut asked) = self.source.asked_to_wait() else { return std::future::pending().await };
        // What was asked of an earlier look is known.
        asked.borrow_and_update();
        while asked.changed().await.is_ok() {
            let until = *asked.borrow_and_update();
            let Some(until) = until else { continue };
            if let Err(error) = self.core.step(&Input::AskedToWait { spec: Arc::clone(spec), until }).await {
                return error;
            }
        }
        std::future::pending().await
    }

    /// Looks at one collection for as long as the service runs.
    pub async fn run(
        &self,
        collection: &Collection,
        stop: &CancellationToken,
        round: impl Fn(bool),
    ) -> Result<(), StoreError> {
        let mut past = Past::default();
        loop {
            let state = self.state(collection).await?;
            let now = self.core.clock.now();
            let schedule = collection.schedule.slower(self.source.allowance().slower);
            let (reach, at) = schedule::next(&schedule, &state, &past, now, self.core.dice.unit());
            if !sleep_until(&self.core, now, at, stop).await {
                return Ok(());
            }
            if state.baseline.is_none()
                && collection.spec.role == Role::Cost
                && !self.knows_what_to_ask(collection).await?
            {
                // The first look at costs is to be one at all of them.
                if !sleep_until(&self.core, now, plus(self.core.clock.now(), SOON), stop).await {
                    return Ok(());
                }
                continue;
            }
            let looked = tokio::select! {
                looked = self.look_now(collection, reach, false) => looked?,
                () = stop.cancelled() => return Ok(()),
            };
            let now = self.core.clock.now();
            match &looked.evidence {
                // A failed sweep is made up for by the next one, not forgotten; heads go on meanwhile.
                Evidence::Partial(_) => past.head = Some(now),
                _ => past.book(looked.reach, now, looked.pages),
            }
            round(!matches!(looked.evidence, Evidence::Partial(_)));
        }
    }

    /// Tells the source what its collections remember: what it may call, and until when it is to be left alone.
    async fn remind(&self) -> Result<(), StoreError> {
        let now = self.core.clock.now();
        let mut remembered = Remembered::default();
        for collection in self.source.collections() {
            let state = self.state(collection).await?;
            remembered.quota = remembered.quota.or(state.quota);
            remembered.not_before = remembered.not_before.max(state.asked_to_wait_until(now));
        }
        self.source.remember(remembered);
        Ok(())
    }

    async fn state(&self, collection: &Collection) -> Result<CollectionState, StoreError> {
        self.state_of(&collection.spec).await
    }

    async fn state_of(&self, spec: &CollectionSpec) -> Result<CollectionState, StoreError> {
        let key = DocKey::Collection(spec.id());
        let doc = self.core.store.doc(&key).await?;
        let state = match doc.as_deref() {
            Some(crate::domain::doc::Doc::Collection(state)) => state.clone(),
            _ => CollectionState::default(),
        };
        Ok(state.at_host(spec.host.as_ref()))
    }

    /// Keys that are to be asked about, and how many there would be.
    async fn wanted(&self, spec: &CollectionSpec, all: bool, now: Timestamp) -> Result<(Round, u64), StoreError> {
        let Some(key) = spec.wanted() else { return Ok((Round::default(), 0)) };
        let doc = self.core.store.doc(&key).await?;
        let Some(crate::domain::doc::Doc::Wanted(known)) = doc.as_deref() else { return Ok((Round::default(), 0)) };
        if all && spec.role == Role::Cost {
            return Ok((roster::all(known, now), known.len() as u64));
        }
        let round = roster::due(known, now);
        let due = round.wanted.len() + round.again.len();
        Ok((round, due as u64))
    }

    /// Whether the lists that say what there is to ask about one by one have been read, as far as they can be.
    async fn knows_what_to_ask(&self, collection: &Collection) -> Result<bool, StoreError> {
        for other in self.source.collections() {
            let lists = other.spec.role == Role::Record && other.spec.noun == collection.spec.noun;
            if !lists || other.spec.is_asked_one_by_one() {
                continue;
            }
            let state = self.state(other).await?;
            if state.baseline.is_none() && state.frozen.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Sleeps in short pieces by the clock that was passed in. False where the service stops. Where the clock has been set
/// back since `planned` it ends early: until what was due by the old one is due by the new, a day might pass without a
/// look.
async fn sleep_until(core: &Core, planned: Timestamp, at: Timestamp, stop: &CancellationToken) -> bool {
    let mut latest = planned;
    loop {
        let now = core.clock.now();
        if now >= at || elapsed(now, latest) > SET_BACK {
            return !stop.is_cancelled();
        }
        latest = now;
        let wait = Duration::try_from(elapsed(now, at)).unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return false,
        }
    }
}

/// One log line per look that has something to say.
fn report(source: &str, looked: &Looked, last_good: Option<Timestamp>) {
    let Looked { collection, notes, .. } = looked;
    meter::look(source, collection, &looked.evidence, notes, last_good);
    if notes.quarantined > 0 {
        tracing::warn!(
            source,
            collection,
            rows = notes.quarantined,
            first = notes.quarantine_samples.first().map(String::as_str),
            "{source}/{collection}: {} rows left out",
            notes.quarantined
        );
    }
    match &looked.evidence {
        Evidence::Partial(failure) if looked.off => {
            tracing::info!(source, collection, "{source}/{collection}: still not there: {}", failure.message);
        }
        Evidence::Partial(failure) => {
            tracing::warn!(
                source,
                collection,
                rows = notes.rows,
                "{source}/{collection}: look cut short: {}",
                failure.message
            );
        }
        _ if looked.baseline => tracing::info!(
            source,
            collection,
            rows = notes.rows,
            "{source}/{collection}: baseline of {} rows",
            notes.rows
        ),
        _ if notes.events > 0 => {
            tracing::info!(
                source,
                collection,
                rows = notes.rows,
                events = notes.events,
                "{source}/{collection}: {} events",
                notes.events
            );
        }
        _ => {
            tracing::debug!(source, collection, rows = notes.rows, reach = ?looked.reach, "{source}/{collection}: nothing new");
        }
    }
}
