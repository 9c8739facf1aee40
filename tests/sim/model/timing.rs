//! When what is told goes out: rooms, nights, rates and digests in plain UTC arithmetic; silences; levels that stay bad.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::delivery::DeliveryKind;
use ampbridge::domain::event::{Severity, StoredEvent};
use ampbridge::domain::time::{SignedDuration, Timestamp, plus};
use ampbridge::domain::timing::GroupBy;
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::Value;

use super::digest::Digests;
use crate::fact::Fact;
use crate::setup::{Night, Setup, Timed};

/// A sink is handed this many events of a message.
pub const HANDED: usize = 100;
const DAY: i64 = 86_400;

/// What must become of one event at one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Told in this delivery, by itself.
    Alone(String),
    /// Told in this delivery, with others.
    With(String),
    /// Not told: one of these silences.
    Suppressed(BTreeSet<String>),
    /// It waits for others or for its time.
    Waits,
}

impl Fate {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alone(_) => "told alone",
            Self::With(_) => "told with others",
            Self::Suppressed(_) => "silenced",
            Self::Waits => "waits",
        }
    }
}

/// Why something waits, under which route, and what makes it belong together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Room {
    pub why: &'static str,
    pub route: usize,
    by: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    pub since: Timestamp,
    pub due: Timestamp,
    pub count: u64,
    pub events: Vec<String>,
}

/// A silence by a few plain tests.
#[derive(Debug, Clone)]
pub struct Hush {
    pub prefix: &'static str,
    pub source: Option<&'static str>,
    pub sink: Option<&'static str>,
    pub most: Option<Severity>,
    pub rule: Option<&'static str>,
    pub until: Timestamp,
}

/// A level that is bad.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Its last event.
    pub event: String,
    fact: Fact,
    rule: Option<String>,
    worst: Severity,
    opened: Timestamp,
    ends: Option<Timestamp>,
    pub acked: bool,
    told: BTreeMap<String, Told>,
}

#[derive(Debug, Clone)]
struct Told {
    route: Option<usize>,
    last: Timestamp,
    escalated: bool,
    /// Nothing of it was heard there: silences that covered what was told last.
    unheard: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Default)]
pub struct Desk {
    pub rooms: BTreeMap<(String, Room), Waiting>,
    /// What the bridge calls a room.
    pub names: BTreeMap<(String, Room), String>,
    sent: BTreeMap<(String, usize), Vec<Timestamp>>,
    pub silences: BTreeMap<String, Hush>,
    pub troubles: BTreeMap<String, Trouble>,
    /// By event and sink.
    pub fates: BTreeMap<(String, String), Fate>,
    /// By event: which it was of all that were told, and when.
    pub came: BTreeMap<String, (u64, Timestamp)>,
    /// How many were told.
    pub count: u64,
    /// When digests last told of spend.
    pub digests: Digests,
    /// By event and sink: the route that sets the time.
    pub routes: BTreeMap<(String, String), Option<usize>>,
}

/// A message that must have been made: kind, and its events in any order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    pub sink: String,
    pub kind: DeliveryKind,
    pub events: Vec<String>,
}

/// Something that goes out: about what, and of each how new its news are.
#[derive(Debug, Clone)]
pub struct Going {
    pub sink: String,
    pub limits: BTreeMap<String, u64>,
}

impl Going {
    /// Says again what was told before.
    pub fn again(sink: &str, subject: &str) -> Self {
        Self { sink: sink.to_owned(), limits: BTreeMap::from([(subject.to_owned(), u64::MAX)]) }
    }

    /// News of these.
    pub fn of<'a>(sink: &str, news: impl Iterator<Item = (&'a str, u64)>) -> Self {
        let mut limits: BTreeMap<String, u64> = BTreeMap::new();
        for (subject, number) in news {
            let limit = limits.entry(subject.to_owned()).or_default();
            *limit = (*limit).max(number);
        }
        Self { sink: sink.to_owned(), limits }
    }
}

impl Message {
    pub fn new(sink: &str, kind: DeliveryKind, events: &[String]) -> Self {
        let mut events = events.to_vec();
        events.sort();
        Self { sink: sink.to_owned(), kind, events }
    }
}

impl Hush {
    fn covers(&self, fact: &Fact, rule: Option<&str>, sink: &str, now: Timestamp) -> bool {
        now < self.until
            && fact.kind.starts_with(self.prefix)
            && self.source.is_none_or(|s| s == fact.origin)
            && self.sink.is_none_or(|s| s == sink)
            && self.most.is_none_or(|most| fact.severity <= most)
            && self.rule.is_none_or(|r| rule == Some(r))
    }
}

impl Desk {
    /// The silences that cover a fact at a sink.
    pub fn covering(&self, fact: &Fact, rule: Option<&str>, sink: &str, now: Timestamp) -> BTreeSet<String> {
        self.silences.iter().filter(|(_, s)| s.covers(fact, rule, sink, now)).map(|(id, _)| id.clone()).collect()
    }

    /// The room an event waits in, noted there; `None` where it goes at once.
    pub fn place(&mut self, timed: &Timed, route: usize, fact: &Fact, sink: &str, now: Timestamp) -> Option<Room> {
        if let Some((weekly, hour)) = timed.digest {
            let why = if weekly { "weekly" } else { "daily" };
            return Some(self.enter(sink, Room { why, route, by: Vec::new() }, next_digest(weekly, hour, now), now));
        }
        let night = timed.night.as_ref().filter(|_| fact.severity < Severity::Critical);
        if let Some(end) = night.and_then(|night| night_end(night, now)) {
            return Some(self.enter(sink, Room { why: "quiet", route, by: Vec::new() }, end, now));
        }
        if let Some((by, wait, max)) = &timed.group {
            let part = |by: &GroupBy| match by {
                GroupBy::Type => fact.kind.clone(),
                GroupBy::Source => fact.origin.clone(),
                GroupBy::Subject => fact.subject.clone(),
                GroupBy::Severity => fact.severity.to_string(),
            };
            let room = Room { why: "group", route, by: by.iter().map(part).collect() };
            let room = self.enter(sink, room, plus(now, SignedDuration::from_secs(*wait)), now);
            let waiting = self.rooms.get_mut(&(sink.to_owned(), room.clone())).unwrap();
            if waiting.count >= *max {
                waiting.due = now;
            }
            return Some(room);
        }
        if let Some(rate) = timed.rate {
            if let Some(until) = self.over_rate(rate, sink, route, now) {
                return Some(self.enter(sink, Room { why: "rate", route, by: Vec::new() }, until, now));
            }
            self.note_sent(sink, route, now);
        }
        None
    }

    /// Whoever comes later waits as long as the first; nobody waits longer than whoever comes now.
    fn enter(&mut self, sink: &str, room: Room, due: Timestamp, now: Timestamp) -> Room {
        let fresh = || Waiting { since: now, due, count: 0, events: Vec::new() };
        let waiting = self.rooms.entry((sink.to_owned(), room.clone())).or_insert_with(fresh);
        waiting.count += 1;
        waiting.due = waiting.due.min(due.max(now));
        room
    }

    fn over_rate(&self, (max, per): (u64, i64), sink: &str, route: usize, now: Timestamp) -> Option<Timestamp> {
        let per = SignedDuration::from_secs(per);
        let lately: Vec<Timestamp> = self
            .sent
            .get(&(sink.to_owned(), route))
            .into_iter()
            .flatten()
            .copied()
            .filter(|at| *at <= now && now.duration_since(*at) < per)
            .collect();
        (lately.len() as u64 >= max).then(|| plus(lately.first().copied().unwrap_or(now), per))
    }

    fn note_sent(&mut self, sink: &str, route: usize, now: Timestamp) {
        let sent = self.sent.entry((sink.to_owned(), route)).or_default();
        // What the clock, set back, has yet to come to counts no more.
        sent.retain(|at| *at <= now);
        sent.push(now);
    }

    /// What must leave a room that is due.
    pub fn release(
        &mut self,
        setup: &Setup,
        severities: &BTreeMap<String, Fact>,
        sink: &str,
        room: &Room,
        now: Timestamp,
    ) -> Vec<Message> {
        let timed = setup.timed(room.route);
        let key = (sink.to_owned(), room.clone());
        let mut waiting = self.rooms.remove(&key).unwrap();
        if room.why == "daily" || room.why == "weekly" {
            let digest = Message::new(sink, DeliveryKind::Digest, &waiting.events);
            return if waiting.events.is_empty() { Vec::new() } else { vec![digest] };
        }
        let events = std::mem::take(&mut waiting.events);
        let all = events.len();
        // A group that is full before its time leaves in whole messages; the rest waits for more.
        let group = timed.as_ref().and_then(|t| t.group.clone()).filter(|_| room.why == "group");
        let waited = now.duration_since(waiting.since);
        let full = group
            .as_ref()
            .filter(|(_, wait, _)| waited >= SignedDuration::ZERO && waited < SignedDuration::from_secs(*wait));
        let whole = |max: u64| all - all % usize::try_from(max).unwrap();
        let due = full.map_or(all, |(_, _, max)| whole(*max));
        let night = timed.as_ref().and_then(|t| t.night.clone()).and_then(|night| night_end(&night, now));
        let night = night.filter(|_| due > 0);
        let is_grave = |id: &String| severities[id].severity == Severity::Critical;
        let due = &events[..due];
        let mut leaving: Vec<String> = due.iter().filter(|id| night.is_none() || is_grave(id)).cloned().collect();
        let rate = timed.as_ref().and_then(|t| t.rate).filter(|_| room.why == "group" && !leaving.is_empty());
        let over = rate.and_then(|rate| self.over_rate(rate, sink, room.route, now));
        if over.is_some() {
            leaving.clear();
        }
        let gone = leaving.len() as u64;
        if all > leaving.len() || (all > 0 && gone < waiting.count) {
            waiting.count = waiting.count.saturating_sub(gone).max(1);
            match (over.or(night), full) {
                (Some(until), _) => waiting.due = until,
                (None, Some((_, wait, max))) => {
                    waiting.since = events.get(leaving.len()).map_or(now, |id| self.came[id].1.min(now));
                    let own = plus(waiting.since, SignedDuration::from_secs(*wait));
                    waiting.due = if waiting.count >= *max { now } else { own };
                }
                (None, None) => {}
            }
            waiting.events = events.into_iter().filter(|id| !leaving.contains(id)).collect();
            self.rooms.insert(key, waiting);
        }
        let most = group.as_ref().map_or(HANDED, |(_, _, max)| usize::try_from(*max).unwrap()).min(HANDED);
        let mut messages = Vec::new();
        for part in leaving.chunks(most) {
            let kind = if part.len() == 1 { DeliveryKind::Single } else { DeliveryKind::Group };
            messages.push(Message::new(sink, kind, part));
            if room.why == "group" && timed.as_ref().is_some_and(|t| t.rate.is_some()) {
                self.note_sent(sink, room.route, now);
            }
        }
        messages
    }

    /// What leaves its room early, because something about the same goes out that came after it: right before each of
    /// `going`, which are in order. Digests are no part of that. `first` is the number of the first event that is new.
    pub fn early(
        &mut self,
        setup: &Setup,
        facts: &BTreeMap<String, Fact>,
        going: &[Going],
        first: u64,
        now: Timestamp,
    ) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut merged: BTreeSet<&str> = BTreeSet::new();
        for one in going {
            let mut wanted = vec![one];
            // What was there before is older than all that is new: it goes before the first of that, together.
            if one.limits.values().any(|limit| *limit >= first) && merged.insert(&one.sink) {
                wanted.extend(going.iter().filter(|other| other.sink == one.sink));
            }
            let goes = |id: &String, (number, _): &(u64, Timestamp)| {
                let limit = |going: &&Going| going.limits.get(&facts[id].subject).copied();
                let own = limit(&one).is_some_and(|limit| *number < limit);
                own || wanted.iter().filter_map(limit).any(|limit| limit >= first && *number < first)
            };
            let (mut old, mut new) = (Vec::new(), Vec::new());
            let mut rates = BTreeSet::new();
            for ((_, room), waiting) in self.rooms.iter_mut().filter(|((sink, _), _)| *sink == one.sink) {
                if matches!(room.why, "daily" | "weekly") {
                    continue;
                }
                let before = waiting.events.len();
                let leaving: Vec<String> =
                    waiting.events.iter().filter(|id| goes(id, &self.came[*id])).cloned().collect();
                waiting.events.retain(|id| !leaving.contains(id));
                if waiting.events.len() < before {
                    waiting.count = waiting.count.saturating_sub(leaving.len() as u64);
                    rates.insert(room.clone());
                }
                for id in leaving {
                    let number = self.came[&id].0;
                    if number < first { old.push((number, id)) } else { new.push((number, id)) }
                }
            }
            self.rooms.retain(|(sink, room), waiting| *sink != one.sink || !rates.contains(room) || waiting.count > 0);
            let rated = |room: &&Room| setup.timed(room.route).is_some_and(|timed| timed.rate.is_some());
            for room in rates.iter().filter(rated) {
                self.note_sent(&one.sink, room.route, now);
            }
            old.sort();
            new.sort();
            for part in old.chunks(HANDED).chain(new.chunks(1)) {
                let ids: Vec<String> = part.iter().map(|(_, id)| id.clone()).collect();
                let kind = if ids.len() == 1 { DeliveryKind::Single } else { DeliveryKind::Group };
                messages.push(Message::new(&one.sink, kind, &ids));
            }
        }
        messages
    }

    /// Whoever a level was escalated to hears of its end.
    pub fn hear_the_end(&self, stored: &StoredEvent, routed: &mut BTreeMap<String, Option<usize>>) {
        let Some(trouble) = stored.event.incident().and_then(|id| self.troubles.get(id)) else { return };
        if !is_open(stored) {
            for (sink, told) in trouble.told.iter().filter(|(_, told)| told.escalated) {
                routed.entry(sink.clone()).or_insert(told.route);
            }
        }
    }

    /// Sinks that heard nothing of what is over now.
    pub fn unheard(&self, stored: &StoredEvent) -> BTreeMap<String, BTreeSet<String>> {
        let trouble = stored.event.incident().and_then(|id| self.troubles.get(id)).filter(|_| !is_open(stored));
        let told = trouble.into_iter().flat_map(|trouble| &trouble.told);
        told.filter_map(|(sink, told)| Some((sink.clone(), told.unheard.clone()?))).collect()
    }

    /// A sink hears of a level, or does not.
    pub fn heard(&mut self, stored: &StoredEvent, sink: &str, hushed: &BTreeSet<String>) {
        let trouble = stored.event.incident().and_then(|id| self.troubles.get_mut(id));
        if let Some(told) = trouble.and_then(|trouble| trouble.told.get_mut(sink)) {
            let still = told.unheard.is_some() && !hushed.is_empty();
            told.unheard = still.then(|| hushed.clone());
        }
    }

    /// A level is bad, or no longer.
    pub fn book(&mut self, stored: &StoredEvent, routed: &BTreeMap<String, Option<usize>>, now: Timestamp) {
        let Some(id) = stored.event.incident() else { return };
        if !is_open(stored) {
            self.troubles.remove(id);
            return;
        }
        let (fact, event) = (Fact::of(stored), &stored.event);
        let fresh = Trouble {
            event: String::new(),
            fact: fact.clone(),
            rule: None,
            worst: fact.severity,
            opened: now,
            ends: None,
            acked: false,
            told: BTreeMap::new(),
        };
        let trouble = self.troubles.entry(id.to_owned()).or_insert(fresh);
        trouble.acked &= fact.severity <= trouble.worst;
        trouble.worst = fact.severity;
        trouble.event.clone_from(&event.id);
        trouble.rule = rule_of(stored);
        trouble.ends = end_of_period(stored);
        trouble.fact = fact;
        for (sink, route) in routed {
            let told = Told { route: *route, last: now, escalated: false, unheard: Some(BTreeSet::new()) };
            let told = trouble.told.entry(sink.clone()).or_insert(told);
            (told.route, told.last) = (*route, now);
        }
    }

    /// What time brings over levels that stay bad.
    pub fn watch(&mut self, setup: &Setup, now: Timestamp) -> Vec<Message> {
        self.troubles.retain(|_, trouble| trouble.ends.is_none_or(|end| end > now));
        let mut messages = Vec::new();
        let mut troubles = std::mem::take(&mut self.troubles);
        for trouble in troubles.values_mut().filter(|trouble| !trouble.acked) {
            let hushed = |sink: &str| !self.covering(&trouble.fact, trouble.rule.as_deref(), sink, now).is_empty();
            let mut others = BTreeMap::new();
            for (sink, told) in &mut trouble.told {
                let Some(timed) = told.route.and_then(|route| setup.timed(route)) else { continue };
                let night = timed.night.as_ref().and_then(|night| night_end(night, now));
                if hushed(sink) || (night.is_some() && trouble.fact.severity < Severity::Critical) {
                    continue;
                }
                let passed = |since: Timestamp, secs: i64| now.duration_since(since) >= SignedDuration::from_secs(secs);
                if timed.remind.is_some_and(|secs| passed(told.last, secs)) {
                    told.last = now;
                    told.unheard = None;
                    let event = std::slice::from_ref(&trouble.event);
                    messages.push(Message::new(sink, DeliveryKind::Reminder, event));
                }
                let due = |(secs, _): &(i64, &str)| !told.escalated && passed(trouble.opened, *secs);
                if let Some((_, other)) = timed.escalate.filter(due) {
                    told.escalated = !hushed(other);
                    if told.escalated {
                        others.insert(other.to_owned(), told.route);
                    }
                }
            }
            for (sink, route) in others {
                if !trouble.told.contains_key(&sink) && trouble.fact.about.as_ref() != Some(&sink) {
                    messages.push(Message::new(&sink, DeliveryKind::Single, std::slice::from_ref(&trouble.event)));
                    self.routes.insert((trouble.event.clone(), sink.clone()), route);
                    trouble.told.insert(sink, Told { route, last: now, escalated: true, unheard: None });
                }
            }
        }
        self.troubles = troubles;
        messages
    }
}

/// When the night that `now` lies in is over.
pub fn night_end(night: &Night, now: Timestamp) -> Option<Timestamp> {
    let today = now.as_second().div_euclid(DAY);
    [today, today - 1].into_iter().find_map(|day| {
        // 1 January 1970 was a Thursday.
        let weekday = usize::try_from((day + 3).rem_euclid(7)).unwrap();
        let from = Timestamp::from_second(day * DAY + night.from * 3600).unwrap();
        let over = if night.to > night.from { day } else { day + 1 };
        let to = Timestamp::from_second(over * DAY + night.to * 3600).unwrap();
        let counts = night.days.is_empty() || night.days.contains(&weekday);
        (counts && from <= now && now < to).then_some(to)
    })
}

pub fn next_digest(weekly: bool, hour: i64, now: Timestamp) -> Timestamp {
    let today = now.as_second().div_euclid(DAY);
    (today..today + 9)
        .filter(|day| !weekly || (day + 3).rem_euclid(7) == 0)
        .map(|day| Timestamp::from_second(day * DAY + hour * 3600).unwrap())
        .find(|at| *at > now)
        .unwrap()
}

pub fn rule_of(stored: &StoredEvent) -> Option<String> {
    stored.event.data.get("rule").and_then(Value::as_str).map(str::to_owned)
}

fn is_open(stored: &StoredEvent) -> bool {
    stored.event.data.get("state").and_then(Value::as_str) == Some("open")
}

fn end_of_period(stored: &StoredEvent) -> Option<Timestamp> {
    let data = &stored.event.data;
    let start: Date = data.get("period_start")?.as_str()?.parse().unwrap();
    let end = match data.get("period")?.as_str()? {
        "day" => start + 1.day(),
        "week" => start + 7.days(),
        _ => start.first_of_month() + 1.month(),
    };
    Some(Timestamp::from_second(i64::from(end.since(jiff::civil::date(1970, 1, 1)).unwrap().get_days()) * DAY).unwrap())
}
