//! The whole step: what is known and one input in, one plan out. Pure.
//!
//! Everything that can make an event is an [`Input`]. [`needs`] says what must be known for it, [`plan`] decides, and
//! the plan is committed in one transaction or not at all.

mod command;
mod digest;
mod live;
mod look;
mod order;
mod plausible;
mod quiet;
mod release;
mod spending;
mod tell;
mod wanted;
mod withdrawn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;

use super::collection::{CollectionId, CollectionSpec, LookNotes};
use super::delivery::{self, Delivery, RecipientState, Report};
use super::diff::Match;
use super::doc::{Doc, DocKey, Docs};
use super::event::StoredEvent;
use super::health::{self, SinkState};
use super::quota::Quota;
use super::record::{Evidence, Failure, Page, StoredRow};
use super::retry::RetryPolicy;
use super::routing::Route;
use super::rules::RuleSpec;
use super::spend::{DaySpend, Groups, Ledger};
use super::sweep::{Missing, StillMissed};
use super::time::{Timestamp, WeekStart, plus_days, utc_day};

pub use command::Command;
pub use digest::{asks_about as digest_asks_about, due as due_rooms, should_wait as digest_should_wait};
pub use look::add_notes;
pub use quiet::{Kept, until as kept_until};

/// What does not change while the process runs.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub bridge: String,
    pub week_start: WeekStart,
    pub rules: Vec<RuleSpec>,
    pub routes: Vec<Route>,
    pub sinks: Vec<String>,
    /// Sinks that can edit what they sent.
    pub live: BTreeSet<String>,
    pub sources: Vec<String>,
    /// Groups of users that money is counted for.
    pub groups: Groups,
}

impl World {
    /// Sinks at which something may wait.
    pub fn timed_sinks(&self) -> BTreeSet<String> {
        self.routes.iter().filter(|r| r.timing.waits()).flat_map(|r| r.sinks.iter().cloned()).collect()
    }
}

/// All that can make an event.
#[derive(Debug, Clone)]
pub enum Input {
    /// A look at a collection begins; where it is at another place than before, once that place has answered.
    Begin {
        spec: Arc<CollectionSpec>,
    },
    /// One page of it.
    Page {
        spec: Arc<CollectionSpec>,
        page: Page,
    },
    /// While it runs, the system has asked to be left alone until then.
    AskedToWait {
        spec: Arc<CollectionSpec>,
        until: Timestamp,
    },
    /// It ended, well or badly: `SweepEnd` and `Health` in one.
    SweepEnd(Box<SweepEnd>),
    /// Time has passed, or the rules are looked at for the first time in this process.
    Tick {
        sources: Vec<String>,
    },
    /// What waits in these rooms of a sink is due.
    Release {
        sink: String,
        rooms: Vec<String>,
    },
    /// Time has passed over open incidents.
    Incidents,
    /// What became of attempts.
    Settled(Vec<Settled>),
    /// Part of an attempt is done for good; the rest goes on.
    Noted(Noted),
    /// Deliveries that were claimed and may not go before quiet hours end.
    Quiet(Vec<Kept>),
    Command(Command),
}

#[derive(Debug, Clone)]
pub struct SweepEnd {
    pub spec: Arc<CollectionSpec>,
    /// The collection's epoch when the look began. A look that began before everything was forgotten shows nothing of
    /// what is known now, however far it got.
    pub epoch: u32,
    pub evidence: Evidence,
    /// Nothing was asked, so the source has neither failed nor answered.
    pub idle: bool,
    pub notes: LookNotes,
    /// Where the next look may start; from server values only.
    pub cursor: Option<serde_json::Value>,
    /// What the system's answers say that it allows.
    pub quota: Option<Quota>,
    /// Missing records whose own address says that they are gone; asked for where the collection's deletions need it.
    pub confirmed: BTreeSet<String>,
}

/// One attempt and the sink's patience.
#[derive(Debug, Clone)]
pub struct Settled {
    pub delivery: Delivery,
    /// The lease under which it was sent.
    pub claim: u64,
    pub report: Report,
    pub started: Timestamp,
    pub policy: RetryPolicy,
    /// Jitter in `[0, 1)`.
    pub unit: f64,
}

/// What an attempt has achieved so far.
#[derive(Debug, Clone)]
pub struct Noted {
    pub sink: String,
    /// The delivery's id and number.
    pub id: String,
    pub seq: u64,
    /// The lease under which it is being sent.
    pub claim: u64,
    pub recipients: BTreeMap<String, RecipientState>,
}

/// What must be known to plan an input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Needs {
    pub docs: BTreeSet<DocKey>,
    /// Days of money: source, from, up to and including.
    pub ledger: Vec<(String, Date, Date)>,
    /// What the look did not show.
    pub missing: Option<CollectionId>,
    /// Of it also the rows that no look before this one missed: something else than a second look tells that they are gone.
    pub missed_once: bool,
    /// Which of the keys that were missed have still not been shown, where a look proves no removals.
    pub still_missed: Option<CollectionId>,
    /// Rows that were announced with a hold and are still missing.
    pub held_rows: Option<CollectionId>,
    /// Deliveries a command names.
    pub deliveries: BTreeSet<String>,
    /// Rooms whose events are wanted: sink, room.
    pub rooms: Vec<(String, String)>,
    /// What waits at a sink about something: sink, subject.
    pub waiting: BTreeSet<(String, String)>,
    /// Claims whose outcome came in: sink, claim, delivery number.
    pub claims: Vec<(String, u64, u64)>,
}

/// What is known.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub docs: Docs,
    /// For a page of records: one match per record, in order.
    pub matches: Vec<Match>,
    /// Version of the collection's rows, where any were looked at.
    pub rows_version: Option<u64>,
    pub ledger: Ledger,
    pub missing: Option<Missing>,
    /// Where some of what was missed has been shown since.
    pub still_missed: Option<StillMissed>,
    pub held_rows: Vec<StoredRow>,
    /// More rows are held than were loaded at once.
    pub held_more: bool,
    /// Keys that are missing as well but were not announced.
    pub also_missed: Vec<u64>,
    pub deliveries: BTreeMap<String, Delivery>,
    /// What waits in rooms, oldest first: number and event. As much as goes into one message.
    pub rooms: BTreeMap<String, Vec<(u64, StoredEvent)>>,
    /// By sink and subject: what waits there, oldest first.
    pub waiting: BTreeMap<(String, String), Vec<Waiting>>,
    /// Claims that ran out and were given to someone else; their outcomes do not count.
    pub void_claims: BTreeSet<u64>,
}

/// Everything one step changes, and what it found out on the way.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Versions this plan was made from; another version is a conflict.
    pub expect: BTreeMap<DocKey, u64>,
    /// The same for the rows of `collection`.
    pub expect_rows: Option<u64>,
    /// Deliveries as they were when a command looked at them; another state is a conflict.
    pub expect_deliveries: Vec<Delivery>,
    pub docs: BTreeMap<DocKey, Arc<Doc>>,
    /// The collection whose rows change.
    pub collection: Option<CollectionId>,
    /// Forget all rows of the collection first.
    pub clear_rows: bool,
    /// Forget all money of the source first.
    pub clear_spend: Option<String>,
    pub rows: Vec<StoredRow>,
    /// Keys missed by a complete look; `None` leaves what was remembered.
    pub missed: Option<Vec<u64>>,
    /// Of these what was announced with the hold; `None` leaves what was remembered.
    pub announced: Option<Vec<u64>>,
    /// The look is over: merge what the pages wrote.
    pub merge: bool,
    pub spend: BTreeMap<(String, Date), Arc<DaySpend>>,
    pub events: Vec<StoredEvent>,
    pub deliveries: Vec<Delivery>,
    /// Events of this plan that wait at a sink.
    pub waits: Vec<Wait>,
    /// What left a room: sink, room, numbers of events.
    pub released: Vec<(String, String, Vec<u64>)>,
    /// Deliveries as they are after an attempt, with the claim they were sent under.
    pub settled: Vec<(u64, Delivery)>,
    /// Deliveries as they are during an attempt, with its claim, which goes on.
    pub noted: Vec<(u64, Delivery)>,
    /// Deliveries changed by a command, claims or not.
    pub changed: Vec<Delivery>,
    /// (sink, incident) to what later deliveries need.
    pub references: Vec<(String, String, serde_json::Value)>,
    pub notes: LookNotes,
    /// Why a look that its source called good counts as failed all the same.
    pub refused: Option<Failure>,
    /// Days of money (source, from, up to and including) that would have told more. Whoever plans loads them too and
    /// plans again; a plan made without them is right but says less.
    pub lacks: Vec<(String, Date, Date)>,
    /// What else waits at sinks (sink, subject) must be known before this may be committed. Whoever plans loads it and plans
    /// again.
    pub asks: BTreeSet<(String, String)>,
    /// A command has more to do; issue it again.
    pub more: bool,
    /// What a command came to, for the person who gave it.
    pub answer: Option<Result<String, String>>,
}

/// An event that waits at a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    pub sink: String,
    pub room: String,
    pub event: String,
    /// Its subject, where what goes out about that is to go after it.
    pub about: Option<String>,
}

/// An event that waits at a sink, found by its subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    pub seq: u64,
    pub room: String,
    pub event: StoredEvent,
}

impl Needs {
    /// Adds what a plan found lacking; false where that is nothing new.
    pub fn extend_by(&mut self, plan: &Plan) -> bool {
        let days: Vec<_> = plan.lacks.iter().filter(|days| !self.ledger.contains(days)).cloned().collect();
        let asks: Vec<_> = plan.asks.difference(&self.waiting).cloned().collect();
        let more = !days.is_empty() || !asks.is_empty();
        self.ledger.extend(days);
        self.waiting.extend(asks);
        more
    }
}

/// What must be known to plan `input`.
pub fn needs(world: &World, now: Timestamp, input: &Input) -> Needs {
    let mut needs = Needs::default();
    if !matches!(input, Input::Begin { .. } | Input::AskedToWait { .. } | Input::Quiet(_) | Input::Noted(_)) {
        tell::needs(world, &mut needs);
    }
    match input {
        Input::Begin { spec } => look::begin_needs(world, spec, &mut needs),
        Input::AskedToWait { spec, .. } => drop(needs.docs.insert(DocKey::Collection(spec.id()))),
        Input::Page { spec, page } => look::page_needs(world, now, spec, page, &mut needs),
        Input::SweepEnd(end) => look::end_needs(world, now, end, &mut needs),
        Input::Tick { sources } => {
            for source in sources {
                spending::rule_needs(world, now, source, &mut needs);
            }
        }
        Input::Settled(list) => {
            needs.docs.extend(list.iter().map(|s| DocKey::Sink(s.delivery.sink.clone())));
            needs.claims.extend(list.iter().map(|s| (s.delivery.sink.clone(), s.claim, s.delivery.seq)));
        }
        Input::Noted(note) => {
            needs.claims.push((note.sink.clone(), note.claim, note.seq));
            needs.deliveries.insert(note.id.clone());
        }
        Input::Quiet(list) => {
            needs.claims.extend(list.iter().map(|k| (k.delivery.sink.clone(), k.claim, k.delivery.seq)));
        }
        Input::Release { sink, rooms } => release::needs(world, now, sink, rooms, &mut needs),
        Input::Incidents => {}
        Input::Command(command) => command.needs(&mut needs),
    }
    needs
}

/// Decides everything that follows from `input`.
pub fn plan(world: &World, now: Timestamp, known: &Known, input: &Input) -> Plan {
    let mut step = Step::new(world, now, known);
    match input {
        Input::Begin { spec } => look::begin(&mut step, spec),
        Input::AskedToWait { spec, until } => look::asked_to_wait(&mut step, spec, *until),
        Input::Page { spec, page } => look::page(&mut step, spec, page),
        Input::SweepEnd(end) => look::end(&mut step, end),
        Input::Tick { sources } => spending::evaluate(&mut step, sources, spending::After::Time),
        Input::Settled(list) => settle(&mut step, list),
        Input::Noted(note) => take_note(&mut step, note),
        Input::Quiet(list) => quiet::keep(&mut step, list),
        Input::Release { sink, rooms } => release::release(&mut step, sink, rooms),
        Input::Incidents => tell::watch_incidents(&mut step),
        Input::Command(command) => command.plan(&mut step),
    }
    step.finish()
}

/// A plan in the making.
struct Step<'a> {
    world: &'a World,
    now: Timestamp,
    known: &'a Known,
    plan: Plan,
    told: tell::Telling,
}

impl<'a> Step<'a> {
    fn new(world: &'a World, now: Timestamp, known: &'a Known) -> Self {
        let expect = known.docs.0.iter().map(|(key, (version, _))| (key.clone(), *version)).collect();
        let expect_deliveries = known.deliveries.values().cloned().collect();
        let plan = Plan { expect, expect_rows: known.rows_version, expect_deliveries, ..Plan::default() };
        Self { world, now, known, plan, told: tell::Telling::default() }
    }

    /// Writes a document unless it is as it was.
    fn put(&mut self, key: DocKey, doc: Doc) {
        let before = self.known.docs.0.get(&key).and_then(|(_, d)| d.as_deref());
        if before == Some(&doc) {
            self.plan.docs.remove(&key);
        } else {
            self.plan.docs.insert(key, Arc::new(doc));
        }
    }

    /// Notes days that would have told more: (source, from).
    fn lack(&mut self, days: Vec<(String, Date)>) {
        let to = plus_days(utc_day(self.now), 2);
        self.plan.lacks.extend(days.into_iter().map(|(source, from)| (source, from, to)));
    }

    fn finish(mut self) -> Plan {
        order::keep(&mut self);
        self.finish_telling();
        self.plan
    }
}

fn settle(step: &mut Step<'_>, list: &[Settled]) {
    let mut sinks: BTreeMap<String, SinkState> = BTreeMap::new();
    for one in list.iter().filter(|one| !step.known.void_claims.contains(&one.claim)) {
        let name = one.delivery.sink.clone();
        let state = sinks
            .entry(name.clone())
            .or_insert_with(|| step.known.docs.sink(&DocKey::Sink(name.clone())).cloned().unwrap_or_default());
        let mut before = one.delivery.clone();
        if let Some(on) = state.on_since {
            before.resumed(on.min(one.started));
        }
        let after = delivery::settle(before, &one.report, one.started, step.now, &one.policy, one.unit);
        for draft in health::sink_settled(state, &after, &one.report, step.now) {
            step.tell(draft, Some(&name));
        }
        live::settled(step, &after, &one.report);
        if let (Some(incident), Some(reference)) = (&after.incident, &one.report.reference) {
            step.plan.references.push((name, incident.clone(), reference.clone()));
        }
        step.plan.settled.push((one.claim, after));
    }
    for (name, state) in sinks {
        if state != step.known.docs.sink(&DocKey::Sink(name.clone())).cloned().unwrap_or_default() {
            step.put(DocKey::Sink(name), Doc::Sink(state));
        }
    }
}

fn take_note(step: &mut Step<'_>, note: &Noted) {
    if let (Some(delivery), false) = (step.known.deliveries.get(&note.id), step.known.void_claims.contains(&note.claim))
    {
        let mut delivery = delivery.clone();
        delivery.recipients.extend(note.recipients.clone());
        step.plan.noted.push((note.claim, delivery));
    }
}

#[cfg(test)]
mod tests;
