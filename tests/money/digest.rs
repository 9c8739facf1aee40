use std::sync::Arc;

use ampbridge::domain::cycle::{self, Input, Needs};
use ampbridge::domain::delivery::DeliveryKind;
use ampbridge::domain::doc::{Doc, DocKey, Quote};
use ampbridge::domain::event::StoredEvent;
use ampbridge::domain::payload::MoneyDigest;
use ampbridge::domain::routing::Route;
use ampbridge::domain::rules::Rule;
use ampbridge::domain::spend::Per;
use ampbridge::domain::spend_digest;
use ampbridge::domain::time::{PeriodKind, WeekStart};
use ampbridge::domain::timing::{Digest, DigestEvery, Room, Rooms, Timing, Why};
use ampbridge::render::{digest_lines as lines, digest_total as total};

use jiff::tz::TimeZone;

use crate::play::{Play, at, budget, day, row, spikes, usd};

fn office() -> Play {
    let mut play = Play::new(vec![
        ("person", &["acme"], Rule::Budget(budget(40, PeriodKind::Day, Per::User))),
        ("spikes", &["acme"], Rule::Spike(spikes(Per::User))),
    ]);
    play.world.sources = vec!["acme".to_owned()];
    play.history(day("2026-11-17"), 60, |_| vec![("ana", 10), ("bo", 20)]);
    play.acme("2026-11-17T23:00:00Z", &[]);
    play
}

fn digest(play: &Play, now: &str) -> Option<MoneyDigest> {
    let (now, from, to) = (at(now), day("2026-11-18"), day("2026-11-19"));
    let known = play.replay.load(&spend_digest::needs(&play.world, &play.world.sources, now, from, to));
    spend_digest::money(&play.world, &play.world.sources, &known, now, from, to)
}

#[test]
fn b19_a_day_against_its_usual_who_moved_and_what_nears_its_limit() {
    let mut play = office();
    let rows = [row(day("2026-11-18"), "ana", 35), row(day("2026-11-18"), "bo", 2)];
    play.acme("2026-11-18T22:00:00Z", &rows);
    let open = digest(&play, "2026-11-18T22:30:00Z").unwrap();
    assert_eq!(
        (open.open, open.expected_usd, open.movers.clone()),
        (true, None, Vec::new()),
        "a part against a whole is no news"
    );
    let near: Vec<_> = open.near_limits.iter().map(|n| (n.scope.as_str(), n.percent)).collect();
    assert_eq!(near, [("user:ana", Some(87.5))]);
    assert_eq!(lines(&open, day("2026-11-18")), ["ana $35 of $40 a day, 87 %"]);
    let unread = digest(&play, "2026-11-19T12:00:00Z").unwrap();
    assert_eq!((unread.open, unread.gaps[0].kind.as_str()), (true, "part"), "nor is what was not read to its end");
    play.acme("2026-11-19T00:30:00Z", &rows);
    let digest = digest(&play, "2026-11-19T09:00:00Z").unwrap();
    assert_eq!((digest.total_usd, digest.expected_usd), (usd(37), Some(usd(30))));
    let movers: Vec<_> = digest.movers.iter().map(|m| (m.scope.as_str(), m.actual_usd, m.expected_usd)).collect();
    assert_eq!(movers, [("user:ana", usd(35), usd(10)), ("user:bo", usd(2), usd(20))]);
    let now = day("2026-11-19");
    assert_eq!(total(&digest, now), "Spent $37 on 18 Nov, expected $30");
    assert_eq!(lines(&digest, now), ["ana $35, $25 more than usual", "bo $2, $18 less than usual"]);
}

#[test]
fn b19_who_is_new_has_moved_too() {
    let mut play = office();
    let rows = [("ana", 10), ("bo", 20), ("cy", 60)].map(|(who, dollars)| row(day("2026-11-18"), who, dollars));
    play.acme("2026-11-19T00:30:00Z", &rows);
    let digest = digest(&play, "2026-11-19T09:00:00Z").unwrap();
    let movers: Vec<_> = digest.movers.iter().map(|m| (m.scope.as_str(), m.actual_usd, m.expected_usd)).collect();
    assert_eq!(movers, [("user:cy", usd(60), usd(0))]);
}

#[test]
fn b19_days_nobody_answered_for_are_gaps_and_not_zero() {
    let play = office();
    let digest = digest(&play, "2026-11-19T12:00:00Z").unwrap();
    assert_eq!(digest.gaps.len(), 1);
    let lines = lines(&digest, day("2026-11-19"));
    assert!(lines.iter().any(|l| l.contains("unknown")), "{lines:?}");
}

#[test]
fn b19_what_a_source_says_of_itself_is_quoted_and_no_reason_to_write() {
    let mut play = office();
    play.acme("2026-11-18T22:00:00Z", &[row(day("2026-11-18"), "ana", 35)]);
    let (now, from, to) = (at("2026-11-18T22:30:00Z"), day("2026-11-18"), day("2026-11-19"));
    let needs = spend_digest::needs(&play.world, &play.world.sources, now, from, to);
    let quoted = |seen: &str, play: &Play| {
        let mut known = play.replay.load(&needs);
        let quote = Quote { text: "Amply saved $12.".to_owned(), seen: day(seen) };
        let doc = Doc::Quotes([("report".to_owned(), quote)].into());
        known.docs.0.insert(DocKey::Quotes("acme".to_owned()), (1, Some(Arc::new(doc))));
        spend_digest::money(&play.world, &play.world.sources, &known, now, from, to)
    };
    let said = lines(&quoted("2026-11-18", &play).unwrap(), day("2026-11-19"));
    assert!(said.contains(&"acme says: Amply saved $12.".to_owned()), "{said:?}");
    assert_eq!(quoted("2026-11-17", &play).unwrap().quotes, [], "old news");
    let mut quiet = Play::new(Vec::new());
    quiet.world.sources = vec!["acme".to_owned()];
    assert_eq!(quoted("2026-11-18", &quiet), None);
}

#[test]
fn b19_nothing_to_say_is_nothing_sent() {
    let mut play = Play::new(Vec::new());
    play.world.sources = vec!["acme".to_owned()];
    play.replay.book("acme", &[], at("2026-11-18T22:00:00Z"));
    assert_eq!(digest(&play, "2026-11-18T22:30:00Z"), None);
}

/// A route whose digest of a day goes to `mail` at nine.
fn with_digest(play: &mut Play, events: &[&str]) {
    let digest = Digest {
        every: DigestEvery::Daily,
        at: jiff::civil::time(9, 0, 0, 0),
        zone: TimeZone::UTC,
        week_start: WeekStart::default(),
    };
    play.world.routes = vec![Route {
        events: events.iter().map(|e| (*e).to_owned()).collect(),
        sinks: vec!["mail".to_owned()],
        timing: Timing { digest: Some(digest), ..Timing::default() },
        ..Route::default()
    }];
    play.world.sinks = vec!["mail".to_owned()];
}

/// What is due at `mail`, released; what was sent of it, and what waits from then on.
fn release(play: &Play, rooms: Rooms, now: &str) -> (Vec<StoredEvent>, Rooms) {
    let now = at(now);
    let mut sent = Vec::new();
    let mut rooms = rooms;
    for room in cycle::due_rooms(&play.world, "mail", &rooms, now) {
        let input = Input::Release { sink: "mail".to_owned(), rooms: vec![room] };
        let key = DocKey::Rooms("mail".to_owned());
        let mut known = play.replay.load(&cycle::needs(&play.world, now, &input));
        known.docs.0.insert(key.clone(), (1, Some(Arc::new(Doc::Rooms(rooms.clone())))));
        let plan = cycle::plan(&play.world, now, &known, &input);
        assert_eq!(plan.events.len(), plan.deliveries.len(), "each has its message");
        sent.extend(plan.events);
        if let Some(Doc::Rooms(after)) = plan.docs.get(&key).map(Arc::as_ref) {
            rooms = after.clone();
        }
    }
    (sent, rooms)
}

fn waits(play: &Play, rooms: &Rooms, now: &str) -> bool {
    let needs = Needs {
        docs: cycle::digest_asks_about(&play.world, "mail", "digest:0").into_iter().collect(),
        ..Needs::default()
    };
    let known = play.replay.load(&needs);
    let states: Vec<_> = needs.docs.iter().filter_map(|key| known.docs.spend(key).cloned()).collect();
    assert_eq!(states.len(), 1);
    cycle::digest_should_wait(&play.world, "mail", "digest:0", rooms, &states, at(now))
}

#[test]
fn b19_a_day_on_which_nothing_happened_still_tells_what_was_spent_once() {
    let mut play = office();
    with_digest(&mut play, &[]);
    let (sent, rooms) = release(&play, Rooms::default(), "2026-11-18T08:00:00Z");
    assert!(sent.is_empty(), "the first stretch begins at the first look");
    play.acme("2026-11-18T22:00:00Z", &[row(day("2026-11-18"), "ana", 35), row(day("2026-11-18"), "bo", 2)]);
    let (_, rooms) = release(&play, rooms, "2026-11-18T22:30:00Z");
    assert!(waits(&play, &rooms, "2026-11-19T09:00:00Z"), "for the rest of the day to be read");
    assert!(!waits(&play, &rooms, "2026-11-19T10:00:00Z"), "but not for ever");
    play.acme("2026-11-19T08:00:00Z", &[row(day("2026-11-18"), "ana", 35), row(day("2026-11-18"), "bo", 2)]);
    assert!(!waits(&play, &rooms, "2026-11-19T09:00:00Z"));
    let (sent, after) = release(&play, rooms.clone(), "2026-11-19T09:00:00Z");
    let money =
        |sent: &[StoredEvent]| -> MoneyDigest { serde_json::from_value(sent[0].event.data["money"].clone()).unwrap() };
    assert_eq!((sent.len(), sent[0].event.kind.as_str()), (1, "digest.daily"));
    let told = money(&sent);
    assert_eq!((told.from.as_str(), told.to.as_str()), ("2026-11-18", "2026-11-18"));
    assert_eq!((told.total_usd, told.open), (usd(37), false));
    assert_eq!(told.days.len(), 28);
    let last = told.days.last().unwrap();
    assert_eq!((last.date.as_str(), last.spend_usd, last.expected_usd), ("2026-11-18", Some(usd(37)), Some(usd(30))));
    // Asked for again from the same state (the process was killed before it could note it): the same event.
    assert_eq!(release(&play, rooms, "2026-11-19T09:00:20Z").0[0].event.id, sent[0].event.id);
    let (again, after) = release(&play, after, "2026-11-19T09:00:30Z");
    assert!(again.is_empty(), "once");
    // The process stood still for two days: one digest for both.
    let (late, _) = release(&play, after, "2026-11-21T12:00:00Z");
    assert_eq!((late.len(), money(&late).from.as_str(), money(&late).to.as_str()), (1, "2026-11-19", "2026-11-20"));
}

#[test]
fn b19_what_comes_after_a_digests_time_does_not_hold_it_back() {
    let mut play = office();
    with_digest(&mut play, &[]);
    let (_, mut rooms) = release(&play, Rooms::default(), "2026-11-18T08:00:00Z");
    let room = Room {
        kind: DeliveryKind::Digest,
        why: Why::Daily,
        since: at("2026-11-19T09:10:00Z"),
        due: at("2026-11-20T09:00:00Z"),
        count: 1,
        first: "evt_1".to_owned(),
    };
    rooms.rooms.insert("digest:0".to_owned(), room.clone());
    let (sent, after) = release(&play, rooms, "2026-11-19T09:20:00Z");
    assert_eq!((sent.len(), sent[0].event.data["events"].as_u64()), (1, Some(0)));
    assert_eq!(after.rooms.get("digest:0"), Some(&room), "which waits for the next");
    assert!(release(&play, after, "2026-11-19T09:30:00Z").0.is_empty());
}

#[test]
fn b19_a_digest_of_what_is_no_money_says_nothing_of_it() {
    let mut play = office();
    with_digest(&mut play, &["thread.*"]);
    let (_, rooms) = release(&play, Rooms::default(), "2026-11-17T08:00:00Z");
    let (sent, rooms) = release(&play, rooms, "2026-11-19T09:00:00Z");
    assert!(sent.is_empty() && rooms == Rooms::default());
    with_digest(&mut play, &["budget.*"]);
    play.world.routes[0].subjects = vec!["user:ana".to_owned()];
    assert!(cycle::due_rooms(&play.world, "mail", &rooms, at("2026-11-19T09:00:00Z")).is_empty(), "nor one for ana");
    play.world.routes[0].subjects.clear();
    play.world.routes[0].sources = vec!["claude".to_owned()];
    let (_, rooms) = release(&play, rooms, "2026-11-18T08:00:00Z");
    let (sent, _) = release(&play, rooms, "2026-11-19T09:00:00Z");
    assert!(sent.is_empty(), "nor one about another source: {sent:?}");
}

#[test]
fn b19_a_clock_that_was_ahead_keeps_no_digest_back() {
    let mut play = office();
    with_digest(&mut play, &[]);
    let (_, rooms) = release(&play, Rooms::default(), "2027-03-01T08:00:00Z");
    let (_, rooms) = release(&play, rooms, "2026-11-17T10:00:00Z");
    let (sent, _) = release(&play, rooms, "2026-11-18T09:00:00Z");
    assert_eq!(sent.len(), 1);
}

#[test]
fn b19_a_clock_that_is_set_back_tells_no_day_anew() {
    for (back, again) in [
        (["2026-11-09T12:00:00Z", "2026-11-10T09:00:00Z", "2026-11-11T09:00:00Z"], "ten days"),
        (["2026-11-17T12:00:00Z", "2026-11-18T09:00:00Z", "2026-11-18T12:00:00Z"], "two days"),
    ] {
        let mut play = office();
        with_digest(&mut play, &[]);
        let (_, rooms) = release(&play, Rooms::default(), "2026-11-18T08:00:00Z");
        play.acme("2026-11-19T08:00:00Z", &[row(day("2026-11-18"), "ana", 35), row(day("2026-11-19"), "bo", 2)]);
        let (sent, mut rooms) = release(&play, rooms, "2026-11-19T09:00:00Z");
        assert_eq!(sent.len(), 1);
        for now in back {
            let (sent, after) = release(&play, rooms, now);
            assert!(sent.is_empty(), "{again} back, at {now}");
            rooms = after;
        }
        let (sent, rooms) = release(&play, rooms, "2026-11-19T12:00:00Z");
        assert!(sent.is_empty(), "set right after {again}: {sent:?}");
        play.acme("2026-11-20T08:00:00Z", &[row(day("2026-11-19"), "ana", 11)]);
        let (sent, _) = release(&play, rooms, "2026-11-20T09:00:00Z");
        let told: Vec<_> = sent.iter().map(|e| &e.event.data["money"]["from"]).collect();
        assert_eq!(told, ["2026-11-19"], "{again}");
    }
}

#[test]
fn b19_a_message_of_events_tells_no_money_anew_either() {
    let mut play = office();
    with_digest(&mut play, &[]);
    let (_, rooms) = release(&play, Rooms::default(), "2026-11-18T08:00:00Z");
    play.acme("2026-11-19T08:00:00Z", &[row(day("2026-11-18"), "ana", 35), row(day("2026-11-19"), "bo", 2)]);
    let (_, rooms) = release(&play, rooms, "2026-11-19T09:00:00Z");
    let waiting = |play: &Play| {
        cycle::digest_should_wait(&play.world, "mail", "digest:0", &rooms, &[], at("2026-11-18T12:00:00Z"))
    };
    assert!(waiting(&play), "told a day from now");
    let room = Room {
        kind: DeliveryKind::Digest,
        why: Why::Daily,
        since: at("2026-11-09T10:00:00Z"),
        due: at("2026-11-10T09:00:00Z"),
        count: 1,
        first: "evt_1".to_owned(),
    };
    let with_room = Rooms { rooms: [("digest:0".to_owned(), room)].into(), ..rooms.clone() };
    let state = play.replay.load(&Needs { docs: [DocKey::Spend("acme".to_owned())].into(), ..Needs::default() });
    let states = [state.docs.spend(&DocKey::Spend("acme".to_owned())).cloned().unwrap()];
    let now = at("2026-11-10T09:30:00Z");
    assert!(
        !cycle::digest_should_wait(&play.world, "mail", "digest:0", &with_room, &states, now),
        "events do not wait"
    );
    let (_, after) = release(&play, with_room, "2026-11-10T09:30:00Z");
    assert_eq!(after.digests, rooms.digests, "what was told is not forgotten");
}
