//! What a thread used, and what that costs by dated prices.
//!
//! Three eras write usage differently: a ledger beside the messages (until January 2026), the messages alone, and
//! exports (the same, without sub-agents). Invariants: a model call is counted once, wherever it is written; each
//! call is priced by itself, at its own time; what can't be priced is unknown, never zero.

mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::civil::Date;

pub use wire::{RawEvent, RawUsage};

use crate::domain::time::{Timestamp, utc_day};
use crate::source::prices::{Picos, PriceBook, Tokens};

/// More tokens than any model takes in one call: such a number is a mistake and is not priced.
const CALL_TOKENS: u64 = 100_000_000;
/// Longest model name kept, in bytes.
const MODEL_BYTES: usize = 128;
/// Tools that run an agent or a model of their own, whose usage stands nowhere in the thread once there is no ledger.
const AGENT_TOOLS: &[&str] =
    &["Task", "oracle", "librarian", "finder", "codebase_search_agent", "look_at", "read_thread", "painter"];

/// What one thread used of one model on one UTC day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub day: Date,
    /// Empty where the document names none.
    pub model: Box<str>,
    /// Tokens that `cost` pays for.
    pub priced: u64,
    pub cost: Picos,
    /// Tokens without a price.
    pub unpriced: u64,
}

impl Line {
    /// `None` where nothing could be priced.
    pub fn known_cost(&self) -> Option<Picos> {
        (self.priced > 0).then_some(self.cost)
    }
}

/// What one thread used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bill {
    /// By day, then model.
    pub lines: Box<[Line]>,
    /// It cost at least this: a sub-agent's usage is missing, or something has no price.
    pub floor: bool,
}

impl Bill {
    /// The sum of what could be priced; `None` where nothing could.
    pub fn known_cost(&self) -> Option<Picos> {
        self.lines.iter().filter_map(Line::known_cost).reduce(Picos::plus)
    }
}

/// Everything in one document that tells of usage.
#[derive(Debug, Default)]
pub struct Tally {
    pub messages: Vec<MessageCall>,
    pub ledger: Vec<LedgerEvent>,
    pub helpers: Vec<Helper>,
    /// For calls that tell no time and follow none.
    pub default_time: Option<Timestamp>,
}

/// A message that carries usage.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MessageCall {
    /// `M-…`: the stable key, in newer documents.
    pub protocol_id: Option<Box<str>>,
    pub version: Option<u64>,
    pub id: Option<Box<str>>,
    /// The tool call of the parent this message of a sub-agent belongs to.
    pub parent_tool_use: Option<Box<str>>,
    pub time: Option<Timestamp>,
    pub guessed_time: Option<Timestamp>,
    pub usage: Usage,
}

/// Model and tokens as written, wherever they were written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Usage {
    pub model: Option<Box<str>>,
    pub tokens: Tokens,
    /// Only a sum is known: taken as uncached input, the least it can have cost without a cache.
    pub vague: bool,
}

impl Usage {
    /// What the two accounts of one call always agree on.
    fn token_key(&self) -> (Option<Box<str>>, u64) {
        (self.model.clone(), self.tokens.output)
    }
}

/// An event of the ledger beside the messages.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LedgerEvent {
    id: Option<Box<str>>,
    time: Option<Timestamp>,
    usage: Usage,
    to_message: Option<Box<str>>,
    tool_use: Option<Box<str>>,
    of_sub_agent: bool,
}

/// A tool call that runs an agent of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Helper {
    pub tool_use: Option<Box<str>>,
    pub message: Option<Box<str>>,
}

/// Whether a tool of this name uses a model besides the thread's own.
pub fn runs_an_agent(tool: &str) -> bool {
    AGENT_TOOLS.contains(&tool)
}

/// Counts every call once and prices it.
pub fn bill(tally: Tally, book: &dyn PriceBook) -> Bill {
    let messages = latest_versions(tally.messages);
    let ledger = distinct(tally.ledger);
    let mut floor = misses_sub_agents(&tally.helpers, &messages, &ledger);
    let mut lines: BTreeMap<(Date, Box<str>), Line> = BTreeMap::new();
    for call in join(&messages, ledger) {
        if call.usage.tokens.total() == 0 {
            continue;
        }
        let Some(at) = call.time.or(tally.default_time) else {
            // Without a day there is no price and no budget it belongs to.
            floor = true;
            continue;
        };
        floor |= call.usage.vague;
        let model = model_name(call.usage.model.as_deref());
        let total = call.usage.tokens.total();
        let price = if model.is_empty() || total > CALL_TOKENS {
            None
        } else {
            book.call(&model, &billable(&model, call.usage.tokens), at)
        };
        let day = utc_day(at);
        let line = lines.entry((day, model.clone())).or_insert_with(|| Line {
            day,
            model,
            priced: 0,
            cost: Picos::default(),
            unpriced: 0,
        });
        if let Some(cost) = price {
            line.cost = line.cost.plus(cost);
            line.priced = line.priced.saturating_add(total);
        } else {
            floor = true;
            line.unpriced = line.unpriced.saturating_add(total);
        }
    }
    Bill { lines: lines.into_values().collect(), floor }
}

/// One model call, from wherever most is known of it.
struct Call {
    time: Option<Timestamp>,
    usage: Usage,
}

/// Joins ledger and messages: first by the message's id, then by equal model and tokens. What only one of them has
/// is a call of its own. Events of sub-agents name messages of another thread and are never joined.
fn join(messages: &[MessageCall], ledger: Vec<LedgerEvent>) -> Vec<Call> {
    let (alone, mut free): (Vec<LedgerEvent>, Vec<LedgerEvent>) = ledger.into_iter().partition(|e| e.of_sub_agent);
    let by_id = |event: &LedgerEvent| event.to_message.clone();
    let mut partners = vec![None; messages.len()];
    pair(messages, &mut partners, &mut free, |message| message.id.clone(), by_id, true);
    pair(messages, &mut partners, &mut free, |message| message.id.clone(), by_id, false);
    let (ours, theirs) = (|m: &MessageCall| Some(m.usage.token_key()), |e: &LedgerEvent| Some(e.usage.token_key()));
    pair(messages, &mut partners, &mut free, ours, theirs, true);
    let joined = messages.iter().zip(partners).map(|(message, event)| Call {
        time: message.time.or(event.as_ref().and_then(|e: &LedgerEvent| e.time)).or(message.guessed_time),
        usage: more_telling(&message.usage, event.map(|e| e.usage)),
    });
    let others = alone.into_iter().chain(free).map(|event| Call { time: event.time, usage: event.usage });
    joined.chain(others).collect()
}

/// Gives each message without a partner the first free event of the same key; with `exact`, one of equal usage only.
fn pair<K: Ord>(
    messages: &[MessageCall],
    partners: &mut [Option<LedgerEvent>],
    free: &mut Vec<LedgerEvent>,
    message_key: impl Fn(&MessageCall) -> Option<K>,
    event_key: impl Fn(&LedgerEvent) -> Option<K>,
    exact: bool,
) {
    let mut waiting: BTreeMap<K, VecDeque<LedgerEvent>> = BTreeMap::new();
    for event in std::mem::take(free) {
        match event_key(&event) {
            Some(key) => waiting.entry(key).or_default().push_back(event),
            None => free.push(event),
        }
    }
    for (message, slot) in messages.iter().zip(partners).filter(|(_, slot)| slot.is_none()) {
        let Some(events) = message_key(message).and_then(|key| waiting.get_mut(&key)) else { continue };
        let place = events.iter().position(|event| !exact || agree(&message.usage, &event.usage));
        *slot = place.and_then(|place| events.remove(place));
    }
    free.extend(waiting.into_values().flatten());
}

fn agree(message: &Usage, event: &Usage) -> bool {
    let prompt = event.tokens.prompt();
    message.model == event.model
        && message.tokens.output == event.tokens.output
        && (message.tokens.input == prompt || message.tokens.prompt() == prompt)
}

/// Messages tell what was cached, the ledger does not; a message with empty usage tells nothing.
fn more_telling(message: &Usage, event: Option<Usage>) -> Usage {
    match event {
        Some(event) if message.tokens.total() == 0 => event,
        Some(event) if message.model.is_none() => Usage { model: event.model, ..message.clone() },
        _ => message.clone(),
    }
}

/// One entry per message: the highest version, else the last one written.
fn latest_versions(messages: Vec<MessageCall>) -> Vec<MessageCall> {
    let mut places: BTreeMap<(bool, Box<str>), usize> = BTreeMap::new();
    let mut kept: Vec<MessageCall> = Vec::with_capacity(messages.len());
    for message in messages {
        let key = match (&message.protocol_id, &message.id) {
            (Some(id), _) => Some((true, id.clone())),
            (None, Some(id)) => Some((false, id.clone())),
            (None, None) => None,
        };
        let place = key.map(|key| *places.entry(key).or_insert(kept.len()));
        match place.and_then(|place| kept.get_mut(place)) {
            Some(known) if message.version >= known.version => *known = message,
            Some(_) => {}
            None => kept.push(message),
        }
    }
    kept
}

/// Ledger events, each once.
fn distinct(events: Vec<LedgerEvent>) -> Vec<LedgerEvent> {
    let mut seen: BTreeSet<Box<str>> = BTreeSet::new();
    events.into_iter().filter(|event| event.id.clone().is_none_or(|id| seen.insert(id))).collect()
}

/// Whether an agent ran whose usage stands nowhere: not on the ledger (which ends in January 2026), and not on
/// messages of its own.
fn misses_sub_agents(helpers: &[Helper], messages: &[MessageCall], ledger: &[LedgerEvent]) -> bool {
    let on_ledger: BTreeSet<&str> = ledger.iter().filter_map(|e| e.tool_use.as_deref()).collect();
    let on_messages: BTreeSet<&str> = messages.iter().filter_map(|m| m.parent_tool_use.as_deref()).collect();
    let number = |label: &Option<Box<str>>| label.as_deref().and_then(|text| text.parse::<u64>().ok());
    let ledger_reaches = ledger.iter().filter_map(|e| number(&e.to_message)).max();
    helpers.iter().any(|helper| {
        let told = helper.tool_use.as_deref().is_some_and(|id| on_ledger.contains(id) || on_messages.contains(id));
        let in_ledger_days = number(&helper.message).is_some_and(|id| ledger_reaches.is_some_and(|last| id <= last));
        !told && !in_ledger_days
    })
}

/// Tokens as they are billed. For models that are not Anthropic's the documents write the uncached prompt as cache
/// creation and the input as 0, while the input price is what Amp charges (seen on a billed thread of July 2026).
fn billable(model: &str, tokens: Tokens) -> Tokens {
    let lower = model.to_ascii_lowercase();
    if lower.contains("claude") || lower.contains("anthropic") {
        return tokens;
    }
    Tokens { input: tokens.input.saturating_add(tokens.cache_write), cache_write: 0, ..tokens }
}

fn model_name(model: Option<&str>) -> Box<str> {
    let clean: String = model.unwrap_or_default().trim().chars().filter(|c| !c.is_control()).collect();
    clean.get(..clean.floor_char_boundary(MODEL_BYTES)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
