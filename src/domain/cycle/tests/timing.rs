use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::time;
use jiff::tz::TimeZone;

use super::bench::{Bench, collection, threads, titled};
use super::money::{budget, look, row, today};
use crate::domain::collection::{CollectionSpec, Role};
use crate::domain::cycle::{Command, Input};
use crate::domain::delivery::{Delivery, DeliveryKind, DeliveryState, Outcome};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::Severity;
use crate::domain::record::FailureKind;
use crate::domain::routing::{FieldMatch, Route, Test};
use crate::domain::silence::Silence;
use crate::domain::time::{PeriodKind, plus};
use crate::domain::timing::{Escalation, Group, GroupBy, Quiet, Rate, Timing};

const HOUR: i64 = 3600;

fn group(wait: i64, max: u64) -> Option<Group> {
    Some(Group { by: vec![GroupBy::Source], wait: SignedDuration::from_secs(wait), max })
}

/// Nine to eleven in the morning; the bench's day begins at eight.
fn quiet() -> Option<Quiet> {
    Some(Quiet { from: time(9, 0, 0, 0), to: time(11, 0, 0, 0), days: BTreeSet::new(), zone: TimeZone::UTC })
}

/// Threads go to `a`, at these times.
fn bench(timing: Timing) -> (Bench, Arc<CollectionSpec>) {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    let (events, sinks) = (vec!["thread.*".into()], vec!["a".into()]);
    bench.world.routes = vec![Route { events, sinks, timing, ..Route::default() }];
    bench.sweep(&spec, &titled(0..1));
    (bench, spec)
}

/// What is due at `a` goes out; the sizes of the messages.
fn release(bench: &mut Bench) -> Vec<usize> {
    let Some((_, doc)) = bench.docs.get(&DocKey::Rooms("a".into())) else { return Vec::new() };
    let Doc::Rooms(rooms) = doc.as_ref() else { panic!("{doc:?}") };
    let due: Vec<String> =
        rooms.rooms.iter().filter(|(_, room)| room.due <= bench.now).map(|(name, _)| name.clone()).collect();
    let plan = bench.step(&Input::Release { sink: "a".into(), rooms: due });
    plan.deliveries.iter().map(|delivery| delivery.event_ids.len()).collect()
}

#[test]
fn no_message_of_a_group_has_more_events_than_it_may() {
    let (mut bench, spec) = bench(Timing { group: group(60, 3), ..Timing::default() });
    bench.sweep(&spec, &titled(0..9));
    assert_eq!(release(&mut bench), [3, 3]);
    bench.later(59);
    assert_eq!(release(&mut bench), [0; 0], "the rest is no full group: it waits for more, or for its time");
    bench.later(1);
    assert_eq!(release(&mut bench), [2]);
    let ids: BTreeSet<&String> = bench.deliveries.values().flat_map(|d| &d.event_ids).collect();
    assert_eq!((bench.deliveries.len(), ids.len()), (3, 8), "three messages of their own, each event once");
}

#[test]
fn a_group_that_is_full_at_night_waits_for_the_morning() {
    let (mut bench, spec) = bench(Timing { group: group(HOUR, 50), quiet: quiet(), ..Timing::default() });
    bench.sweep(&spec, &titled(0..5));
    bench.later(HOUR);
    assert_eq!(release(&mut bench), [0; 0], "it is past nine");
    bench.later(2 * HOUR);
    assert_eq!(release(&mut bench), [4]);
}

#[test]
fn what_is_critical_leaves_its_group_at_night_and_the_rest_does_not() {
    let (mut bench, spec) = bench(Timing { group: group(HOUR, 50), quiet: quiet(), ..Timing::default() });
    let mut grave = CollectionSpec::clone(&spec);
    grave.events.severities.insert("thread.deleted".into(), Severity::Critical);
    let grave = Arc::new(grave);
    bench.sweep(&grave, &titled(1..4));
    bench.sweep(&grave, &titled(1..4));
    let last = bench.last_event().event.clone();
    assert_eq!((last.kind.as_str(), last.severity), ("thread.deleted", Severity::Critical));
    bench.later(HOUR);
    assert_eq!(release(&mut bench), [1]);
    assert!(bench.deliveries.values().all(|d| d.event_ids == [last.id.clone()]));
    bench.later(2 * HOUR);
    assert_eq!(release(&mut bench), [3]);
}

#[test]
fn groups_count_against_the_rate_of_their_route() {
    let rate = Some(Rate { max: 1, per: SignedDuration::from_hours(1) });
    let (mut bench, spec) = bench(Timing { group: group(60, 50), rate, ..Timing::default() });
    bench.sweep(&spec, &titled(0..3));
    bench.later(60);
    assert_eq!(release(&mut bench), [2]);
    bench.sweep(&spec, &titled(0..5));
    bench.later(60);
    assert_eq!(release(&mut bench), [0; 0], "one an hour");
    bench.later(HOUR);
    assert_eq!(release(&mut bench), [2]);
}

/// A budget of a hundred dollars that is half used up, or more; `a` is told, and `c` where nobody answers.
fn spent(timing: Timing, dollars: i64) -> (Bench, Arc<CollectionSpec>) {
    let mut bench = Bench::new();
    bench.world.rules = vec![budget(&[], 100, PeriodKind::Day)];
    bench.world.routes = vec![Route { sinks: vec!["a".into()], timing, ..Route::default() }];
    let spec = collection("acme", "usage", Role::Spend);
    let day = today(&bench);
    look(&mut bench, &spec, vec![row(day, "ana", 10)]);
    look(&mut bench, &spec, vec![row(day, "ana", dollars)]);
    (bench, spec)
}

fn attention() -> Timing {
    Timing {
        remind: Some(SignedDuration::from_mins(10)),
        escalate: Some(Escalation { after: SignedDuration::from_mins(20), sinks: vec!["c".into()] }),
        ..Timing::default()
    }
}

/// What time brings: kind and sink of each message.
fn watch(bench: &mut Bench) -> Vec<(DeliveryKind, String)> {
    let plan = bench.step(&Input::Incidents);
    plan.deliveries.into_iter().map(|delivery: Delivery| (delivery.kind, delivery.sink)).collect()
}

#[test]
fn what_is_silenced_is_neither_said_again_nor_told_to_others() {
    let (mut bench, _) = spent(attention(), 60);
    let silence = Silence {
        events: vec!["budget.*".into()],
        sources: vec!["acme".into()],
        subjects: vec!["workspace".into()],
        sink: None,
        fields: vec![FieldMatch { field: "rule".into(), test: Test::Equals("limit".into()) }],
        max_severity: None,
        until: plus(bench.now, SignedDuration::from_hours(2)),
        created: bench.now,
        comment: String::new(),
    };
    bench.command(Command::AddSilence { id: "sil_1".into(), silence: Box::new(silence) }).unwrap();
    bench.later(HOUR);
    assert_eq!(watch(&mut bench), []);
    bench.later(HOUR);
    let both = [(DeliveryKind::Reminder, "a".to_owned()), (DeliveryKind::Single, "c".to_owned())];
    assert_eq!(watch(&mut bench), both, "it is still bad when the silence ends");
}

#[test]
fn who_was_never_told_that_it_is_bad_is_not_told_that_it_is_good() {
    for (heard_later, reason) in [(false, Some("what is over was silenced by sil_1")), (true, None)] {
        let (mut bench, spec) = bench(attention());
        bench.world.routes[0].events.clear();
        let silence = Silence {
            events: vec!["source.failing".into()],
            sources: vec![],
            subjects: vec![],
            sink: Some("a".into()),
            fields: vec![],
            max_severity: None,
            until: plus(bench.now, SignedDuration::from_mins(30)),
            created: bench.now,
            comment: String::new(),
        };
        bench.command(Command::AddSilence { id: "sil_1".into(), silence: Box::new(silence) }).unwrap();
        for _ in 0..3 {
            bench.fail(&spec, FailureKind::Broken);
        }
        if heard_later {
            bench.later(HOUR);
            assert_eq!(watch(&mut bench)[0], (DeliveryKind::Reminder, "a".to_owned()), "the silence is over");
        }
        bench.sweep(&spec, &titled(0..1));
        let over = bench.sinks_of_last()["a"].clone();
        let state = &bench.deliveries[&over].state;
        match (state, reason) {
            (DeliveryState::Suppressed { reason: said, .. }, Some(reason)) => assert_eq!(said, reason),
            (state, None) => assert!(state.is_open(), "{state:?}"),
            (state, _) => panic!("{state:?}"),
        }
    }
}

#[test]
fn at_night_only_what_is_critical_is_said_again() {
    for (dollars, messages) in [(60, 0), (120, 2)] {
        let (mut bench, _) = spent(Timing { quiet: quiet(), ..attention() }, dollars);
        bench.later(HOUR);
        assert_eq!(watch(&mut bench).len(), messages, "{dollars}");
        bench.later(2 * HOUR);
        assert!(!watch(&mut bench).is_empty());
    }
}

#[test]
fn whoever_it_was_escalated_to_hears_that_it_is_over() {
    let (mut bench, spec) = bench(attention());
    bench.world.routes[0].events.clear();
    for _ in 0..3 {
        bench.fail(&spec, FailureKind::Broken);
    }
    assert_eq!(bench.last_event().event.kind, "source.failing");
    bench.later(HOUR);
    assert_eq!(watch(&mut bench).len(), 2);
    bench.sweep(&spec, &titled(0..1));
    assert_eq!(bench.last_event().event.kind, "source.recovered");
    assert_eq!(bench.sinks_of_last().into_keys().collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn trouble_of_a_sink_is_not_escalated_to_it() {
    let (mut bench, spec) = bench(Timing::default());
    let escalate = Some(Escalation { after: SignedDuration::from_mins(1), sinks: vec!["a".into()] });
    let timing = Timing { escalate, ..Timing::default() };
    bench.world.routes.push(Route {
        events: vec!["sink.*".into()],
        sinks: vec!["b".into()],
        timing,
        ..Route::default()
    });
    bench.sweep(&spec, &titled(0..2));
    let delivery = bench.sinks_of_last()["a"].clone();
    for _ in 0..3 {
        bench.settle(&delivery, Outcome::Transient { after: None, refusal: false });
    }
    assert_eq!(bench.last_event().event.kind, "sink.failing");
    bench.later(HOUR);
    assert_eq!(watch(&mut bench), []);
}
