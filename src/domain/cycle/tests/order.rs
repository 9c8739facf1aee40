//! The order of a subject over what waits at a sink.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::time;
use jiff::tz::TimeZone;

use super::bench::{Bench, record, threads, titled};
use crate::domain::collection::CollectionSpec;
use crate::domain::cycle::{Input, Plan};
use crate::domain::delivery::{Delivery, DeliveryKind};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::Severity;
use crate::domain::record::Record;
use crate::domain::routing::Route;
use crate::domain::timing::{Digest, DigestEvery, Group, GroupBy, Quiet, Rate, Timing};

/// New threads wait at `a` by this timing, and edited ones go by that.
fn bench(created: Timing, updated: Timing) -> (Bench, Arc<CollectionSpec>) {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    let route =
        |kind: &str, timing| Route { events: vec![kind.into()], sinks: vec!["a".into()], timing, ..Route::default() };
    bench.world.routes = vec![route("thread.created", created), route("thread.*", updated)];
    bench.sweep(&spec, &titled(0..1));
    (bench, spec)
}

fn group(max: u64) -> Timing {
    let group = Group { by: vec![GroupBy::Type], wait: SignedDuration::from_hours(1), max };
    Timing { group: Some(group), ..Timing::default() }
}

fn quiet() -> Quiet {
    Quiet { from: time(8, 0, 0, 0), to: time(11, 0, 0, 0), days: BTreeSet::new(), zone: TimeZone::UTC }
}

fn edited(keys: std::ops::Range<usize>) -> Vec<Record> {
    keys.map(|n| record(&format!("T-{n:02}"), &[("title", "y".into())])).collect()
}

/// The messages of a plan: kind, and what it tells of what.
fn told(bench: &Bench, plan: &Plan) -> Vec<(DeliveryKind, Vec<String>)> {
    let tale = |id: &String| {
        let stored = bench.events.iter().find(|stored| stored.event.id == *id).unwrap();
        format!("{} {}", stored.event.subject, stored.event.kind.trim_start_matches("thread."))
    };
    plan.deliveries.iter().map(|d: &Delivery| (d.kind, d.event_ids.iter().map(tale).collect())).collect()
}

/// A page of records; what was made of it.
fn page(bench: &mut Bench, spec: &Arc<CollectionSpec>, records: Vec<Record>) -> Plan {
    bench.begin(spec);
    bench.page(spec, crate::domain::record::Page::of(crate::domain::record::Rows::Records(records)))
}

fn rooms(bench: &Bench) -> Vec<(String, u64)> {
    let Some((_, doc)) = bench.docs.get(&DocKey::Rooms("a".into())) else { return Vec::new() };
    let Doc::Rooms(rooms) = doc.as_ref() else { panic!("{doc:?}") };
    rooms.rooms.iter().map(|(name, room)| (name.clone(), room.count)).collect()
}

#[test]
fn what_waits_goes_right_before_what_comes_after_it_on_its_subject() {
    let (mut bench, spec) = bench(group(50), Timing::default());
    page(&mut bench, &spec, titled(1..5));
    let plan = page(&mut bench, &spec, edited(1..3));
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        told(&bench, &plan),
        [
            (DeliveryKind::Group, texts(&["T-01 created", "T-02 created"])),
            (DeliveryKind::Single, texts(&["T-01 updated"])),
            (DeliveryKind::Single, texts(&["T-02 updated"])),
        ],
        "of what several have to go after, one message is made"
    );
    assert_eq!(plan.deliveries[0].about(), ["T-01", "T-02"]);
    assert_eq!(rooms(&bench).iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2], "the others wait on");
    let plan = page(&mut bench, &spec, edited(3..4));
    assert_eq!(
        told(&bench, &plan),
        [(DeliveryKind::Single, texts(&["T-03 created"])), (DeliveryKind::Single, texts(&["T-03 updated"]))]
    );
    page(&mut bench, &spec, edited(4..5));
    assert!(rooms(&bench).is_empty());
    let ids: BTreeSet<&String> = bench.deliveries.keys().collect();
    let events: Vec<&String> = bench.deliveries.values().flat_map(|d| &d.event_ids).collect();
    assert_eq!((ids.len(), events.len()), (7, 8), "each event is told once");
}

#[test]
fn what_waits_in_another_room_goes_before_a_group_that_comes_after_it() {
    let (mut bench, spec) = bench(group(50), group(2));
    page(&mut bench, &spec, titled(1..4));
    page(&mut bench, &spec, edited(1..4));
    let full = rooms(&bench).iter().find(|(name, _)| name.starts_with("group:1:")).unwrap().0.clone();
    let plan = bench.step(&Input::Release { sink: "a".into(), rooms: vec![full] });
    let kinds: Vec<_> = told(&bench, &plan).into_iter().map(|(_, events)| events).collect();
    assert_eq!(kinds, [["T-01 created", "T-02 created"], ["T-01 updated", "T-02 updated"]]);
    assert_eq!(rooms(&bench).iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn what_leaves_a_room_early_counts_against_the_rate_of_its_route() {
    let rate = Timing { rate: Some(Rate { max: 1, per: SignedDuration::from_hours(1) }), ..Timing::default() };
    let (mut bench, spec) = bench(rate, Timing::default());
    page(&mut bench, &spec, titled(1..3));
    bench.later(1800);
    let plan = page(&mut bench, &spec, edited(2..3));
    assert_eq!(told(&bench, &plan).len(), 2, "T-02 was over the rate");
    bench.later(1800);
    page(&mut bench, &spec, titled(3..4));
    assert_eq!(rooms(&bench).len(), 1, "one went out in the last hour");
}

#[test]
fn what_is_critical_takes_what_waits_for_the_morning_along_and_a_digest_is_no_part_of_it() {
    let night = Timing { quiet: Some(quiet()), ..Timing::default() };
    let digest = Digest {
        every: DigestEvery::Daily,
        at: time(9, 0, 0, 0),
        zone: TimeZone::UTC,
        week_start: crate::domain::time::WeekStart::Monday,
    };
    for (timing, messages, left) in
        [(night.clone(), 2, 1), (Timing { digest: Some(digest), ..Timing::default() }, 1, 2)]
    {
        let (mut bench, mut spec) = bench(timing, night.clone());
        Arc::make_mut(&mut spec).events.severities.insert("thread.updated".into(), Severity::Critical);
        page(&mut bench, &spec, titled(1..3));
        let plan = page(&mut bench, &spec, edited(1..2));
        assert_eq!((told(&bench, &plan).len(), rooms(&bench)[0].1), (messages, left));
        let (last, before) = plan.deliveries.split_last().unwrap();
        assert!(last.urgent && before.iter().all(|d| !d.urgent), "the order presses it out, not its weight");
    }
}
