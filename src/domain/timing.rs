//! When a routed event goes out: at once, with others, after quiet hours, in a digest. Pure.
//!
//! An event that does not go out at once waits in a *room* of its sink: a named place with a time at which all that
//! waits there goes out as one message. What waits is stored with the event, in the same commit.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::delivery::DeliveryKind;
use super::event::{Event, Severity};
use super::time::{Timestamp, WeekStart, elapsed, plus};

/// How one route times what it sends. All of it optional; nothing means at once.
#[derive(Debug, Clone, Default)]
pub struct Timing {
    pub group: Option<Group>,
    pub rate: Option<Rate>,
    pub quiet: Option<Quiet>,
    pub digest: Option<Digest>,
    /// Say it again while a level stays bad and nobody has acknowledged it.
    pub remind: Option<SignedDuration>,
    pub escalate: Option<Escalation>,
}

impl Timing {
    /// Whether anything may have to wait; if not, there is no room to look at.
    pub fn waits(&self) -> bool {
        self.group.is_some() || self.rate.is_some() || self.quiet.is_some() || self.digest.is_some()
    }
}

/// Events that belong together become one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub by: Vec<GroupBy>,
    /// From the first event until the message goes out.
    pub wait: SignedDuration,
    /// Most events of one message. This many go out without waiting longer.
    pub max: u64,
}

/// What makes events belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    Type,
    Source,
    Subject,
    Severity,
}

/// At most so many messages in a stretch of time; what is more waits for its end and goes out as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub max: u64,
    pub per: SignedDuration,
}

/// Hours in which only critical events go out; the rest follows as one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    pub from: Time,
    pub to: Time,
    /// Days on which quiet hours begin; empty means every day.
    pub days: BTreeSet<Day>,
    pub zone: TimeZone,
}

/// A weekday, as the config writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    fn of(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// Everything in one message, once a day or a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub every: DigestEvery,
    pub at: Time,
    pub zone: TimeZone,
    pub week_start: WeekStart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DigestEvery {
    Daily,
    Weekly,
}

/// Who else hears of a level that stays bad while nobody acknowledges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    pub after: SignedDuration,
    pub sinks: Vec<String>,
}

/// What waits at one sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rooms {
    pub rooms: BTreeMap<String, Room>,
    /// By route: when its last messages went out, for its rate.
    #[serde(default, with = "by_number")]
    pub sent: BTreeMap<usize, Vec<Timestamp>>,
    /// By route with a digest of spend: when the last one was told, or when the first was waited for.
    #[serde(default, with = "by_number")]
    pub digests: BTreeMap<usize, Timestamp>,
}

impl Rooms {
    /// When the last digest of the route was told. A time that has not come yet is the word of a clock that was wrong:
    /// the one it was told by, or this one ([`Rooms::digest_to_come`]).
    pub fn digested(&self, route: usize, now: Timestamp) -> Option<Timestamp> {
        self.digests.get(&route).copied().filter(|at| *at <= now)
    }

    /// When the last digest of the route was told, where that time has not come yet.
    pub fn digest_to_come(&self, route: usize, now: Timestamp) -> Option<Timestamp> {
        self.digests.get(&route).copied().filter(|at| *at > now)
    }
}

/// A map by number, whose keys are texts wherever it is written: a number that went through a flattened document comes
/// back as a text.
mod by_number {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub fn serialize<T: Serialize, S: Serializer>(map: &BTreeMap<usize, T>, to: S) -> Result<S::Ok, S::Error> {
        map.iter().map(|(number, times)| (number.to_string(), times)).collect::<BTreeMap<_, _>>().serialize(to)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<usize, T>, D::Error> {
        let read = BTreeMap::<String, T>::deserialize(from)?;
        read.into_iter().map(|(number, times)| Ok((number.parse().map_err(de::Error::custom)?, times))).collect()
    }
}

/// One room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    pub kind: DeliveryKind,
    pub why: Why,
    /// When the first of them came.
    pub since: Timestamp,
    pub due: Timestamp,
    pub count: u64,
    /// The first event; part of the message's id.
    pub first: String,
}

/// Why something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    Group,
    Rate,
    Quiet,
    Daily,
    Weekly,
}

impl Why {
    /// For lists: what it waits for.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "waits for others of its group",
            Self::Rate => "over the route's rate; goes out with what else is",
            Self::Quiet => "quiet hours",
            Self::Daily => "goes into the daily digest",
            Self::Weekly => "goes into the weekly digest",
        }
    }
}

/// Where an event goes at one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Now,
    /// Into this room; it has been noted there.
    Room(String),
}

/// The room in which a route's digest gathers.
pub fn digest_room(route: usize) -> String {
    format!("digest:{route}")
}

/// Whether what goes out about something goes after what waits in the room about it. A digest is told by itself, and what
/// it lists stands in no order with what is told one by one.
pub fn keeps_order(room: &str) -> bool {
    !room.starts_with("digest:")
}

/// Decides for one event, one sink and the route that sets the timing, and books it in `rooms`.
pub fn place(timing: &Timing, route: usize, event: &Event, origin: &str, rooms: &mut Rooms, now: Timestamp) -> Place {
    if let Some(digest) = &timing.digest {
        let why = match digest.every {
            DigestEvery::Daily => Why::Daily,
            DigestEvery::Weekly => Why::Weekly,
        };
        let due = next_digest(digest, now);
        return enter(rooms, digest_room(route), DeliveryKind::Digest, why, due, event, now);
    }
    if let Some(end) =
        timing.quiet.as_ref().filter(|_| event.severity < Severity::Critical).and_then(|q| quiet_until(q, now))
    {
        return enter(rooms, format!("quiet:{route}"), DeliveryKind::Group, Why::Quiet, end, event, now);
    }
    if let Some(group) = &timing.group {
        let key = format!("group:{route}:{}", group_key(group, event, origin));
        let place = enter(rooms, key.clone(), DeliveryKind::Group, Why::Group, plus(now, group.wait), event, now);
        if let Some(room) = rooms.rooms.get_mut(&key).filter(|room| room.count >= group.max) {
            room.due = now;
        }
        return place;
    }
    if let Some(rate) = timing.rate {
        if let Some(until) = over_rate(rate, route, rooms, now) {
            return enter(rooms, format!("rate:{route}"), DeliveryKind::Group, Why::Rate, until, event, now);
        }
        rooms.sent.entry(route).or_default().push(now);
    }
    Place::Now
}

/// Until when a route has sent all that its rate allows; `None` where one more message may go.
pub fn over_rate(rate: Rate, route: usize, rooms: &mut Rooms, now: Timestamp) -> Option<Timestamp> {
    let sent = rooms.sent.entry(route).or_default();
    sent.retain(|at| elapsed(*at, now) < rate.per && *at <= now);
    let first = sent.first().copied().unwrap_or(now);
    (sent.len() as u64 >= rate.max).then(|| plus(first, rate.per))
}

impl Room {
    /// So many leave it. What is left goes out as another message, so under another name.
    pub fn leave(&mut self, gone: u64) {
        let (first, before) = self.first.split_once('+').unwrap_or((&self.first, "0"));
        self.first = format!("{first}+{}", before.parse::<u64>().unwrap_or_default() + gone);
        self.count = self.count.saturating_sub(gone).max(1);
    }
}

/// The number of the route that a room belongs to.
pub fn route_of(room: &str) -> Option<usize> {
    room.split(':').nth(1)?.parse().ok()
}

fn enter(
    rooms: &mut Rooms,
    key: String,
    kind: DeliveryKind,
    why: Why,
    due: Timestamp,
    event: &Event,
    now: Timestamp,
) -> Place {
    let room = rooms.rooms.entry(key.clone()).or_insert_with(|| Room {
        kind,
        why,
        since: now,
        due,
        count: 0,
        first: event.id.clone(),
    });
    room.count += 1;
    // A clock that was set back must not keep what waits in for longer than it would wait now.
    room.due = room.due.min(due.max(now));
    Place::Room(key)
}

fn group_key(group: &Group, event: &Event, origin: &str) -> String {
    let parts: Vec<&str> = group
        .by
        .iter()
        .map(|by| match by {
            GroupBy::Type => event.kind.as_str(),
            GroupBy::Source => origin,
            GroupBy::Subject => event.subject.as_str(),
            GroupBy::Severity => event.severity.as_str(),
        })
        .collect();
    // A hash: subjects are text from outside, and this becomes part of a key.
    super::ids::derive_short("by", &parts)
}

/// When the quiet hours that `now` lies in end; `None` outside of them.
pub fn quiet_until(quiet: &Quiet, now: Timestamp) -> Option<Timestamp> {
    let local = now.to_zoned(quiet.zone.clone());
    // Hours that pass midnight belong to the day they begin on: today's may run, or yesterday's still may.
    for back in [0, 1] {
        let day = super::time::minus_days(local.date(), back);
        if !(quiet.days.is_empty() || quiet.days.contains(&Day::of(day.weekday()))) {
            continue;
        }
        let end_day = if quiet.to > quiet.from { day } else { super::time::plus_days(day, 1) };
        let start = day.to_datetime(quiet.from).to_zoned(quiet.zone.clone()).ok()?.timestamp();
        let end = end_day.to_datetime(quiet.to).to_zoned(quiet.zone.clone()).ok()?.timestamp();
        if start <= now && now < end {
            return Some(end);
        }
    }
    None
}

/// The next time a digest goes out, after `now`.
pub fn next_digest(digest: &Digest, now: Timestamp) -> Timestamp {
    let local = now.to_zoned(digest.zone.clone());
    for ahead in 0..=8 {
        let day = super::time::plus_days(local.date(), ahead);
        let right_day = digest.every == DigestEvery::Daily || week_begins(digest.week_start, day.weekday());
        let at = day.to_datetime(digest.at).to_zoned(digest.zone.clone()).map(|z| z.timestamp());
        if let Ok(at) = at
            && right_day
            && at > now
        {
            return at;
        }
    }
    plus(now, SignedDuration::from_hours(24))
}

fn week_begins(start: WeekStart, day: Weekday) -> bool {
    match start {
        WeekStart::Monday => day == Weekday::Monday,
        WeekStart::Saturday => day == Weekday::Saturday,
        WeekStart::Sunday => day == Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{ContentType, SpecVersion};
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn event(n: u32, severity: Severity) -> Event {
        Event {
            specversion: SpecVersion::V1,
            id: format!("evt_{n}"),
            source: "ampbridge://b/acme".into(),
            kind: "thread.created".into(),
            subject: format!("T-{n}"),
            time: at("2026-11-22T10:00:00Z"),
            datacontenttype: ContentType::Json,
            severity,
            data: crate::domain::event::Data::default(),
        }
    }

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn nights() -> Quiet {
        Quiet {
            from: jiff::civil::time(22, 0, 0, 0),
            to: jiff::civil::time(7, 0, 0, 0),
            days: BTreeSet::new(),
            zone: berlin(),
        }
    }

    #[test]
    fn quiet_hours_pass_midnight_and_follow_the_zone() {
        let quiet = nights();
        assert_eq!(quiet_until(&quiet, at("2026-11-22T20:59:59Z")), None);
        assert_eq!(quiet_until(&quiet, at("2026-11-22T21:00:00Z")), Some(at("2026-11-23T06:00:00Z")));
        assert_eq!(quiet_until(&quiet, at("2026-11-23T05:59:00Z")), Some(at("2026-11-23T06:00:00Z")));
        assert_eq!(quiet_until(&quiet, at("2026-11-23T06:00:00Z")), None);
        let only_fridays = Quiet { days: [Day::Fri].into(), ..nights() };
        assert_eq!(
            quiet_until(&only_fridays, at("2026-11-21T03:00:00Z")),
            Some(at("2026-11-21T06:00:00Z")),
            "the night from Friday"
        );
        assert_eq!(quiet_until(&only_fridays, at("2026-11-22T03:00:00Z")), None);
    }

    #[test]
    fn a_night_of_a_changed_clock_still_ends_at_seven() {
        // Berlin goes back from summer time on 25 October 2026.
        assert_eq!(quiet_until(&nights(), at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T06:00:00Z")));
    }

    #[test]
    fn digests_come_daily_and_weekly() {
        let daily = Digest {
            every: DigestEvery::Daily,
            at: jiff::civil::time(9, 0, 0, 0),
            zone: berlin(),
            week_start: WeekStart::Monday,
        };
        assert_eq!(next_digest(&daily, at("2026-11-22T07:59:00Z")), at("2026-11-22T08:00:00Z"));
        assert_eq!(next_digest(&daily, at("2026-11-22T08:00:00Z")), at("2026-11-23T08:00:00Z"));
        let weekly = Digest { every: DigestEvery::Weekly, ..daily };
        assert_eq!(next_digest(&weekly, at("2026-11-18T08:00:00Z")), at("2026-11-23T08:00:00Z"), "the next Monday");
    }

    #[test]
    fn forty_events_make_one_message_and_fifty_do_not_wait() {
        let group = Group { by: vec![GroupBy::Type], wait: SignedDuration::from_mins(2), max: 50 };
        let timing = Timing { group: Some(group), ..Timing::default() };
        let mut rooms = Rooms::default();
        let now = at("2026-11-22T10:00:00Z");
        for n in 0..40 {
            let placed = place(&timing, 0, &event(n, Severity::Info), "acme", &mut rooms, now);
            assert!(matches!(placed, Place::Room(_)));
        }
        let (key, room) = rooms.rooms.iter().next().map(|(k, r)| (k.clone(), r.clone())).unwrap();
        assert_eq!(rooms.rooms.len(), 1);
        assert_eq!((room.count, room.due, room.first.as_str()), (40, at("2026-11-22T10:02:00Z"), "evt_0"));
        for n in 40..50 {
            place(&timing, 0, &event(n, Severity::Info), "acme", &mut rooms, now);
        }
        assert_eq!(rooms.rooms[&key].due, now);
    }

    #[test]
    fn what_is_over_the_rate_waits_for_the_end_of_the_stretch() {
        let timing = Timing { rate: Some(Rate { max: 2, per: SignedDuration::from_hours(1) }), ..Timing::default() };
        let mut rooms = Rooms::default();
        let now = at("2026-11-22T10:00:00Z");
        let mut go = |n, now| place(&timing, 3, &event(n, Severity::Info), "acme", &mut rooms, now);
        assert_eq!(go(1, now), Place::Now);
        assert_eq!(go(2, now), Place::Now);
        assert_eq!(go(3, now), Place::Room("rate:3".into()));
        assert_eq!(go(4, at("2026-11-22T11:00:00Z")), Place::Now);
        assert_eq!(rooms.rooms["rate:3"].due, at("2026-11-22T11:00:00Z"));
    }

    #[test]
    fn critical_events_pass_quiet_hours() {
        let timing = Timing { quiet: Some(nights()), ..Timing::default() };
        let mut rooms = Rooms::default();
        let night = at("2026-11-22T23:00:00Z");
        assert_eq!(place(&timing, 0, &event(1, Severity::Critical), "acme", &mut rooms, night), Place::Now);
        assert_eq!(
            place(&timing, 0, &event(2, Severity::Warning), "acme", &mut rooms, night),
            Place::Room("quiet:0".into())
        );
    }

    proptest! {
        #[test]
        fn quiet_hours_end_after_now_and_a_digest_is_within_eight_days(secs in 1_700_000_000_i64..1_900_000_000) {
            let now = Timestamp::from_second(secs).unwrap();
            if let Some(end) = quiet_until(&nights(), now) {
                prop_assert!(end > now && elapsed(now, end) <= SignedDuration::from_hours(10));
            }
            let weekly = Digest { every: DigestEvery::Weekly, at: jiff::civil::time(2, 30, 0, 0), zone: berlin(), week_start: WeekStart::Sunday };
            let next = next_digest(&weekly, now);
            prop_assert!(next > now && elapsed(now, next) <= SignedDuration::from_hours(8 * 24));
        }
    }
}
