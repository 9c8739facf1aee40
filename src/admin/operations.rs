//! What each operation does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Desk, OpError, rows, waiting};
use crate::domain::collection::{CollectionId, CollectionState, Role};
use crate::domain::cycle::{Command, Input, Needs};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::health::SinkState;
use crate::domain::time::{minus_days, plus_days, utc_day};
use crate::store::{DeliveryFilter, EventFilter, Listed, gone_sinks, sink_state};

type Outcome = Result<Answer, OpError>;

/// What a person decides about a held change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Approve,
    Reject,
    Rebaseline,
}

pub(super) async fn events(desk: &Desk, filter: &EventFilter) -> Outcome {
    let found = desk.store.events(filter).await?;
    Ok(Answer::Data(found.iter().map(rows::event).collect()))
}

pub(super) async fn event(desk: &Desk, id: &str) -> Outcome {
    match desk.store.event(id).await? {
        Some(stored) => Ok(Answer::Data(rows::event(&stored))),
        None => Err(no_such_event(id)),
    }
}

/// Why an event was made, and where it went or why not.
pub(super) async fn explain(desk: &Desk, id: &str) -> Outcome {
    let stored = desk.store.event(id).await?.ok_or_else(|| no_such_event(id))?;
    let mut deliveries = Vec::new();
    for listed in desk.store.deliveries_of(id).await? {
        let sink = sink_state(desk.store.as_ref(), &listed.delivery.sink).await?;
        deliveries.push(rows::delivery(&listed, &sink, desk.clock.now()));
    }
    for (sink, room) in desk.store.waits_of(id).await? {
        deliveries.extend(waiting::row_of(desk, &sink, &room).await?);
    }
    Ok(Answer::Data(json!({
        "event": rows::event(&stored), "seen": stored.seen, "origin": stored.origin, "why": stored.why,
        "routing": stored.routing, "deliveries": deliveries,
    })))
}

pub(super) async fn deliveries(desk: &Desk, filter: &DeliveryFilter) -> Outcome {
    let mut list = waiting::rows(desk, filter).await?;
    let mut sinks: BTreeMap<String, SinkState> = BTreeMap::new();
    for listed in desk.store.deliveries(filter).await? {
        let name = &listed.delivery.sink;
        if !sinks.contains_key(name) {
            sinks.insert(name.clone(), sink_state(desk.store.as_ref(), name).await?);
        }
        list.extend(sinks.get(name).map(|sink| rows::delivery(&listed, sink, desk.clock.now())));
    }
    list.truncate(filter.limit.unwrap_or(usize::MAX));
    Ok(Answer::Data(Value::Array(list)))
}

pub(super) async fn delivery(desk: &Desk, id: &str) -> Outcome {
    let Some(listed) = desk.store.delivery(id).await? else {
        let waits = waiting::by_id(desk, id).await?;
        return waits.map(|(row, _)| Answer::Data(row)).ok_or_else(|| no_such_delivery(id));
    };
    let sink = sink_state(desk.store.as_ref(), &listed.delivery.sink).await?;
    Ok(Answer::Data(rows::delivery_whole(&listed, &sink, desk.clock.now())))
}

/// Gives one command for each named delivery, and for each that a filter finds.
pub(super) async fn each_delivery(
    desk: &Desk,
    mut ids: Vec<String>,
    filter: Option<DeliveryFilter>,
    command: impl Fn(String, &str) -> Command,
) -> Outcome {
    if let Some(filter) = filter {
        ids.extend(desk.store.deliveries(&filter).await?.into_iter().map(|l: Listed| l.delivery.id));
    }
    let mut done = Vec::new();
    for id in ids {
        let Some(listed) = desk.store.delivery(&id).await? else {
            return Err(match waiting::by_id(desk, &id).await? {
                Some((_, due)) => OpError::Refused(format!("{id} is not made yet: its events wait until {due}")),
                None => no_such_delivery(&id),
            });
        };
        done.push(run(desk, command(id, &listed.delivery.sink)).await?);
    }
    if done.is_empty() {
        done.push("nothing matches; nothing was changed".to_owned());
    }
    Ok(Answer::Done(done))
}

pub(super) async fn state(desk: &Desk, collection: Option<&str>, limit: usize) -> Outcome {
    if let Some(name) = collection {
        let id = parse_collection(name)?;
        let state = collection_state(desk, &id).await?;
        let rows = desk.store.rows(&id, limit).await?;
        let state = rows::collection(&id, &state, held_money(desk, &id).await?);
        return Ok(Answer::Data(json!({ "state": state, "rows": rows })));
    }
    let mut collections = Vec::new();
    for (key, doc) in desk.store.docs("collection/").await? {
        if let (DocKey::Collection(id), Doc::Collection(state)) = (&key, doc.as_ref()) {
            collections.push(rows::collection(id, state, held_money(desk, id).await?));
        }
    }
    let overview = desk.store.overview().await?;
    Ok(Answer::Data(json!({
        "store": overview.path, "format": overview.format, "commits": overview.commit, "events": overview.events,
        "open_deliveries": overview.open_deliveries, "collections": collections,
    })))
}

/// Money of a collection is no records but days of its source's ledger: how many rows there are, of how many days.
async fn held_money(desk: &Desk, id: &CollectionId) -> Result<Option<(usize, usize)>, OpError> {
    if desk.specs.get(&id.to_string()).is_none_or(|spec| spec.role != Role::Spend) {
        return Ok(None);
    }
    let today = utc_day(desk.clock.now());
    // By a clock that was set back, some are of days to come.
    let days = (id.source.clone(), minus_days(today, super::spend::DAYS), plus_days(today, super::spend::DAYS));
    let known = desk.store.load(&Needs { ledger: vec![days], ..Needs::default() }, None).await?;
    let days = known.ledger.days.values();
    Ok(Some((days.clone().map(|day| day.len()).sum(), days.len())))
}

/// Forgets collections: `source/name`, or a source's name for all of its collections.
pub(super) async fn reset(desk: &Desk, names: Vec<String>) -> Outcome {
    let mut ids = Vec::new();
    for (key, _) in desk.store.docs("collection/").await? {
        let DocKey::Collection(id) = key else { continue };
        if names.is_empty() || names.iter().any(|n| *n == id.source || *n == id.to_string()) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        return Err(OpError::NotFound(format!(
            "no collection matches {}; `ampbridge state show` lists them",
            if names.is_empty() { "anything (the store knows none)".to_owned() } else { names.join(", ") }
        )));
    }
    let mut done = Vec::new();
    for id in ids {
        let spend = desk.specs.get(&id.to_string()).is_some_and(|s| s.role == Role::Spend);
        done.push(run(desk, Command::Reset { collection: id, spend }).await?);
    }
    Ok(Answer::Done(done))
}

pub(super) async fn sinks(desk: &Desk) -> Outcome {
    let mut list = Vec::new();
    for (name, kind) in desk.sinks.iter() {
        let state = sink_state(desk.store.as_ref(), name).await?;
        let depth = desk.store.depth(name).await?;
        list.push(rows::sink(name, kind, &state, depth.waiting, depth.leased));
    }
    let known = desk.sinks.iter().map(|(name, _)| name.as_str());
    for (name, depth) in gone_sinks(desk.store.as_ref(), known).await? {
        list.push(rows::gone_sink(&name, depth.waiting));
    }
    Ok(Answer::Data(Value::Array(list)))
}

pub(super) async fn sink(desk: &Desk, name: &str, on: bool) -> Outcome {
    if !desk.sinks.iter().any(|(known, _)| known == name) {
        let known: Vec<&str> = desk.sinks.iter().map(|(n, _)| n.as_str()).collect();
        return Err(OpError::NotFound(format!("there is no sink {name:?}; the config has {}", known.join(", "))));
    }
    let sink = name.to_owned();
    let command = if on { Command::EnableSink { sink } } else { Command::DisableSink { sink } };
    Ok(Answer::Done(vec![run(desk, command).await?]))
}

pub(super) async fn holds(desk: &Desk) -> Outcome {
    let mut list = Vec::new();
    for (key, doc) in desk.store.docs("collection/").await? {
        if let (DocKey::Collection(id), Doc::Collection(state)) = (&key, doc.as_ref())
            && let Some(hold) = &state.hold
        {
            list.push(rows::hold(id, hold));
        }
    }
    Ok(Answer::Data(Value::Array(list)))
}

pub(super) async fn decide(desk: &Desk, hold: &str, decision: Decision) -> Outcome {
    let collection = find_hold(desk, hold).await?;
    let command = |hold: String| -> Result<Command, OpError> {
        match decision {
            Decision::Approve => {
                let spec = desk.specs.get(&collection.to_string()).ok_or_else(|| {
                    OpError::Refused(format!(
                        "{collection} is no longer configured; `ampbridge hold rebaseline {hold}` forgets it silently"
                    ))
                })?;
                Ok(Command::ApproveHold { spec: Box::new(spec.as_ref().clone()), hold })
            }
            Decision::Reject => Ok(Command::RejectHold { collection: collection.clone(), hold }),
            Decision::Rebaseline => Ok(Command::RebaselineHold { collection: collection.clone(), hold }),
        }
    };
    let mut done = Vec::new();
    loop {
        let plan = desk.step(&Input::Command(command(hold.to_owned())?)).await?;
        match plan.answer {
            Some(Ok(sentence)) => done.push(sentence),
            Some(Err(why)) => return Err(OpError::Refused(why)),
            None => {}
        }
        if !plan.more {
            return Ok(Answer::Done(done));
        }
    }
}

async fn find_hold(desk: &Desk, hold: &str) -> Result<CollectionId, OpError> {
    for (key, doc) in desk.store.docs("collection/").await? {
        if let (DocKey::Collection(id), Doc::Collection(state)) = (key, doc.as_ref())
            && state.hold.as_ref().is_some_and(|h| h.id == hold)
        {
            return Ok(id);
        }
    }
    Err(OpError::NotFound(format!("no change is held under {hold}; `ampbridge hold list` shows what is")))
}

pub(super) async fn run(desk: &Desk, command: Command) -> Result<String, OpError> {
    let plan = desk.step(&Input::Command(command)).await?;
    plan.answer.unwrap_or_else(|| Ok(String::new())).map_err(OpError::Refused)
}

async fn collection_state(desk: &Desk, id: &CollectionId) -> Result<CollectionState, OpError> {
    match desk.store.doc(&DocKey::Collection(id.clone())).await?.as_deref() {
        Some(Doc::Collection(state)) => Ok(state.clone()),
        _ => Err(OpError::NotFound(format!("nothing is known of {id}; `ampbridge state show` lists the collections"))),
    }
}

fn parse_collection(name: &str) -> Result<CollectionId, OpError> {
    match name.split_once('/') {
        Some((source, collection)) => Ok(CollectionId { source: source.to_owned(), name: collection.to_owned() }),
        None => Err(OpError::Refused(format!("{name:?} is not SOURCE/COLLECTION; `ampbridge state show` lists them"))),
    }
}

fn no_such_event(id: &str) -> OpError {
    OpError::NotFound(format!("no event has the id {id}; `ampbridge events list` shows them"))
}

fn no_such_delivery(id: &str) -> OpError {
    OpError::NotFound(format!("no delivery has the id {id}; `ampbridge deliveries list` shows them"))
}
