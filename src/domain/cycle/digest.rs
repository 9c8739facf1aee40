//! Digests: what waited for one goes out as one message, with what was spent meanwhile. Where nothing waited, what was
//! spent goes out alone; where that says nothing either, nothing does.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::Date;
use serde_json::json;

use super::release::together;
use super::{Needs, Step, World};
use crate::domain::delivery::{Delivery, DeliveryKind};
use crate::domain::doc::DocKey;
use crate::domain::event::{Draft, Event, Severity, StoredEvent, data_of};
use crate::domain::health::BRIDGE;
use crate::domain::payload::{DigestData, DigestItem, MoneyDigest};
use crate::domain::routing;
use crate::domain::spend::SpendState;
use crate::domain::spend_digest::{self, CHART_DAYS};
use crate::domain::time::{Timestamp, day_in, elapsed, minus_days, start_of_utc_day};
use crate::domain::timing::{self, Digest, DigestEvery, Room, Rooms, Why};

/// Lines named in a digest's data.
const TOP: usize = 5;
/// So long a digest waits for its last day to be read to the end.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// A digest that was told no further ahead of the clock than this is simply waited for: less than that is lost by it.
const NEAR: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Rooms of a sink whose time has come: those in which something waits, and digests of spend for which nothing waited; what
/// came after their time waits for the next.
pub fn due(world: &World, sink: &str, rooms: &Rooms, now: Timestamp) -> Vec<String> {
    let mut due: Vec<String> =
        rooms.rooms.iter().filter(|(_, room)| room.due <= now).map(|(key, _)| key.clone()).collect();
    for (route, digest) in routing::digests_of_money(&world.routes, sink) {
        let room = timing::digest_room(route);
        let is_due = !is_near(rooms, route, now) && next_due(rooms, route, digest, now).is_none_or(|at| at <= now);
        if is_due && !world.sources.is_empty() && !due.contains(&room) {
            due.push(room);
        }
    }
    due
}

/// Documents that say whether a digest's money is whole.
pub fn asks_about(world: &World, sink: &str, room: &str) -> Vec<DocKey> {
    let found = of_room(world, sink, room);
    found.into_iter().flat_map(|(route, _)| sources(world, route)).map(DocKey::Spend).collect()
}

/// Whether a digest that is due should wait: it was told by now, and the clock has been set back since; or, a little, the
/// last day it tells of is over, and some source that had been read has not been read since. A source that stands still
/// holds it back for no longer than [`PATIENCE`].
pub fn should_wait(
    world: &World,
    sink: &str,
    room: &str,
    rooms: &Rooms,
    states: &[SpendState],
    now: Timestamp,
) -> bool {
    let Some((route, digest)) = of_room(world, sink, room) else { return false };
    let waiting = rooms.rooms.get(room).map(|room| room.due);
    if waiting.is_none() && was_told(rooms, route, states.iter(), now) {
        return true;
    }
    let due = waiting.into_iter().chain(next_due(rooms, route, digest, now)).min();
    // Without a last one nothing is told yet.
    let Some(due) = due.filter(|due| elapsed(*due, now) < PATIENCE) else { return false };
    let to = day_in(due, &digest.zone);
    let day = minus_days(to, 1);
    let is_over = start_of_utc_day(to) <= now;
    is_over && states.iter().any(|state| !state.known.is_empty() && !state.is_whole(day))
}

pub(super) fn needs(world: &World, now: Timestamp, sink: &str, room: &str, needs: &mut Needs) {
    let Some((route, digest)) = of_room(world, sink, room) else { return };
    let (from, to) = stretch(digest, None, now);
    let more = spend_digest::needs(world, &sources(world, route), now, from, to);
    needs.docs.extend(more.docs);
    needs.ledger.extend(more.ledger);
}

/// One message for what waited.
pub(super) fn of_events(step: &mut Step<'_>, sink: &str, key: &str, room: &Room, events: &[&StoredEvent]) {
    let weekly = room.why == Why::Weekly;
    let money = money(step, sink, key);
    let data = data(weekly, (room.since, step.now), events, money);
    let top: Vec<String> = data.top.iter().map(|item| item.id.clone()).collect();
    let event = tell(step, sink, key, weekly, &room.first, &data);
    let mut delivery = together(step, sink, room.kind, &room.first, events);
    // The digest first, then what it names, then the rest: a sink is handed the first hundred.
    let rest = delivery.event_ids.iter().filter(|id| !top.contains(id)).cloned();
    delivery.event_ids = std::iter::once(event.id.clone()).chain(top.clone()).chain(rest).collect();
    delivery.event_type = event.kind;
    // It is about the sink, whatever it lists.
    delivery.subject = event.subject;
    delivery.subjects = Vec::new();
    // A digest has a time of its own, whatever it tells of.
    delivery.urgent = false;
    step.plan.deliveries.push(delivery);
}

/// The message of a digest for which nothing waited.
pub(super) fn of_money_alone(step: &mut Step<'_>, sink: &str, key: &str) {
    let Some((route, digest)) = of_room(step.world, sink, key) else { return };
    let now = step.now;
    let next = next_due(step.rooms(sink), route, digest, now);
    if next.is_some_and(|at| at > now) {
        return;
    }
    let last = step.rooms(sink).digested(route, now);
    let weekly = digest.every == DigestEvery::Weekly;
    let money = money(step, sink, key);
    // The first time nothing is told, the stretch begins now; nor is what was told already.
    let (Some(last), Some(money)) = (last, money) else { return };
    let data = data(weekly, (last, now), &[], Some(money));
    let first = format!("since {last}");
    let event = tell(step, sink, key, weekly, &first, &data);
    let delivery = Delivery {
        event_ids: vec![event.id],
        event_type: event.kind,
        subject: event.subject,
        ..Delivery::due(&step.world.bridge, sink, DeliveryKind::Digest, &[key, &first], now)
    };
    step.plan.deliveries.push(delivery);
}

/// The digest of spend that gathers in a room.
fn of_room<'a>(world: &'a World, sink: &str, room: &str) -> Option<(usize, &'a Digest)> {
    let found = routing::digests_of_money(&world.routes, sink);
    found.into_iter().find(|(route, _)| timing::digest_room(*route) == room)
}

/// When the next digest of spend is due; `None` where there was none yet.
fn next_due(rooms: &Rooms, route: usize, digest: &Digest, now: Timestamp) -> Option<Timestamp> {
    rooms.digested(route, now).map(|last| timing::next_digest(digest, last))
}

fn is_told_already(step: &mut Step<'_>, sink: &str, route: usize) -> bool {
    let (world, known, now) = (step.world, step.known, step.now);
    let sources = sources(world, route);
    let states = sources.iter().filter_map(|source| known.docs.spend(&DocKey::Spend(source.clone())));
    was_told(step.rooms(sink), route, states, now)
}

/// Whether what would be told now was told before, by a clock that has been set back since. What was told stays told
/// until this clock has come to that time again. Where there is no money of days to come, and that time is far, it was
/// the clock then that was wrong: its word counts no more.
fn was_told<'a>(rooms: &Rooms, route: usize, mut states: impl Iterator<Item = &'a SpendState>, now: Timestamp) -> bool {
    let is_ahead = |state: &SpendState| state.is_ahead_of(now).is_some();
    is_near(rooms, route, now) || (rooms.digest_to_come(route, now).is_some() && states.any(is_ahead))
}

/// Whether the clock will soon come to the time of the last digest.
fn is_near(rooms: &Rooms, route: usize, now: Timestamp) -> bool {
    rooms.digest_to_come(route, now).is_some_and(|told| elapsed(now, told) <= NEAR)
}

/// The sources a route lets through.
fn sources(world: &World, route: usize) -> Vec<String> {
    let wanted = world.routes.get(route).map(|r| r.sources.as_slice()).unwrap_or_default();
    world.sources.iter().filter(|s| wanted.is_empty() || wanted.contains(s)).cloned().collect()
}

/// Whole days of the digest's zone since the last one: `[from, to)`, at least one day, or seven; at most what is drawn.
fn stretch(digest: &Digest, last: Option<Timestamp>, now: Timestamp) -> (Date, Date) {
    let to = day_in(now, &digest.zone);
    let least = match digest.every {
        DigestEvery::Daily => 1,
        DigestEvery::Weekly => 7,
    };
    let from = last.map_or(to, |last| day_in(last, &digest.zone));
    (from.clamp(minus_days(to, CHART_DAYS), minus_days(to, least)), to)
}

/// The part about money, and the note that it was told.
fn money(step: &mut Step<'_>, sink: &str, key: &str) -> Option<MoneyDigest> {
    let (route, digest) = of_room(step.world, sink, key)?;
    if is_told_already(step, sink, route) {
        return None;
    }
    let (world, known, now) = (step.world, step.known, step.now);
    let last = step.rooms(sink).digests.insert(route, now).filter(|last| *last <= now);
    let (from, to) = stretch(digest, last, now);
    spend_digest::money(world, &sources(world, route), known, now, from, to)
}

fn data(
    weekly: bool,
    (from, to): (Timestamp, Timestamp),
    events: &[&StoredEvent],
    money: Option<MoneyDigest>,
) -> DigestData {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for stored in events {
        *counts.entry(stored.event.kind.clone()).or_default() += 1;
    }
    DigestData {
        period: if weekly { "week" } else { "day" }.to_owned(),
        from: from.to_string(),
        to: to.to_string(),
        counts,
        events: events.len() as u64,
        top: top_of(events),
        money,
    }
}

/// Makes the event of a digest; no route is asked, it was made for `sink`.
fn tell(step: &mut Step<'_>, sink: &str, key: &str, weekly: bool, first: &str, data: &DigestData) -> Event {
    let draft = Draft {
        source: BRIDGE.to_owned(),
        kind: if weekly { "digest.weekly" } else { "digest.daily" }.to_owned(),
        subject: sink.to_owned(),
        time: step.now,
        severity: Severity::Info,
        identity: vec!["digest".to_owned(), sink.to_owned(), key.to_owned(), first.to_owned()],
        why: json!({ "room": key, "since": data.from, "events": data.events }),
        data: data_of(data),
    };
    let (event, why) = draft.into_event(&step.world.bridge);
    let (routing, sinks) = (vec![format!("made for {sink}")], vec![sink.to_owned()]);
    step.plan.notes.events += 1;
    let stored = StoredEvent { event: event.clone(), seen: step.now, why, origin: BRIDGE.to_owned(), routing, sinks };
    step.plan.events.push(stored);
    event
}

/// The gravest first, then the newest.
fn top_of(events: &[&StoredEvent]) -> Vec<DigestItem> {
    let mut order: Vec<&Event> = events.iter().map(|e| &e.event).collect();
    order.sort_by(|a, b| b.severity.cmp(&a.severity).then(b.time.cmp(&a.time)).then_with(|| a.id.cmp(&b.id)));
    let item = |event: &Event| DigestItem {
        id: event.id.clone(),
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        severity: event.severity,
        time: event.time.to_string(),
    };
    order.into_iter().take(TOP).map(item).collect()
}
