//! Quiet hours over what was due before them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::time;
use jiff::tz::TimeZone;

use super::bench::{Bench, threads, titled};
use crate::domain::cycle::{Command, Input, Kept, kept_until};
use crate::domain::delivery::{Delivery, DeliveryKind, DeliveryState, Outcome};
use crate::domain::event::{Severity, StoredEvent};
use crate::domain::time::{Timestamp, plus};
use crate::domain::timing::{Escalation, Quiet, Timing};

const HOUR: i64 = 3600;

/// Nine to eleven in the morning, at `a` and `b`; the bench's day begins at eight. One delivery is due at each.
fn bench() -> (Bench, String) {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    let quiet = Quiet { from: time(9, 0, 0, 0), to: time(11, 0, 0, 0), days: BTreeSet::new(), zone: TimeZone::UTC };
    bench.world.routes[0].timing = Timing { quiet: Some(quiet), ..Timing::default() };
    bench.sweep(&spec, &titled(0..1));
    bench.sweep(&spec, &titled(0..2));
    let id = bench.sinks_of_last()["a"].clone();
    (bench, id)
}

/// Until when it is kept, now.
fn kept(bench: &Bench, delivery: &Delivery, pressed: bool) -> Option<Timestamp> {
    let of_it = |stored: &&StoredEvent| delivery.event_ids.contains(&stored.event.id);
    let events: Vec<Arc<StoredEvent>> = bench.events.iter().filter(of_it).cloned().map(Arc::new).collect();
    kept_until(&bench.world, delivery, &events, pressed, bench.now)
}

fn keep(bench: &mut Bench, id: &str) -> Timestamp {
    let delivery = bench.deliveries[id].clone();
    let until = kept(bench, &delivery, false).unwrap();
    let plan = bench.step(&Input::Quiet(vec![Kept { delivery, claim: 1, until }]));
    assert!(plan.events.is_empty() && plan.docs.is_empty(), "it is no news");
    until
}

#[test]
fn what_was_due_before_quiet_hours_is_kept_in_them() {
    let (mut bench, id) = bench();
    let of = |kind| Delivery { kind, ..bench.deliveries[&id].clone() };
    let waits = [DeliveryKind::Single, DeliveryKind::Group, DeliveryKind::Update, DeliveryKind::Reminder].map(of);
    let (digest, urgent) = (of(DeliveryKind::Digest), Delivery { urgent: true, ..bench.deliveries[&id].clone() });
    assert!(waits.iter().all(|delivery| kept(&bench, delivery, false).is_none()), "it is eight");
    bench.later(HOUR + 1800);
    let ends: BTreeSet<Option<Timestamp>> = waits.iter().map(|delivery| kept(&bench, delivery, false)).collect();
    assert!(ends.len() == 1 && ends.iter().all(|end| end.is_some_and(|end| end > bench.now)), "{ends:?}");
    assert_eq!(kept(&bench, &waits[0], true), None, "something critical waits behind it");
    assert_eq!(kept(&bench, &digest, false), None, "digests have a time of their own");
    assert_eq!(kept(&bench, &urgent, false), None);
    bench.events.last_mut().unwrap().event.severity = Severity::Critical;
    assert_eq!(kept(&bench, &waits[0], false), None);
}

#[test]
fn the_hours_are_those_of_the_route_that_leads_to_the_sink() {
    let (mut bench, id) = bench();
    bench.later(HOUR + 1800);
    let at = |sink: &str| Delivery { sink: sink.into(), ..bench.deliveries[&id].clone() };
    let (a, c) = (at("a"), at("c"));
    assert_eq!((kept(&bench, &a, false).is_some(), kept(&bench, &c, false)), (true, None), "no route leads to c");
    let escalate = Some(Escalation { after: SignedDuration::from_mins(1), sinks: vec!["c".into()] });
    bench.world.routes[0].timing.escalate = escalate;
    assert!(kept(&bench, &c, false).is_some(), "by escalation");
}

#[test]
fn nothing_was_tried_and_the_night_does_not_use_up_the_patience() {
    let (mut bench, id) = bench();
    bench.settle(&id, Outcome::Transient { after: None, refusal: false });
    let before = bench.deliveries[&id].clone();
    bench.later(HOUR + 1800);
    let (began, end) = (bench.now, keep(&mut bench, &id));
    let expected = Delivery { state: DeliveryState::Due { at: end }, quiet_since: Some(began), ..before.clone() };
    assert_eq!(bench.deliveries[&id], expected);
    let night = end.duration_since(began);
    bench.now = plus(end, SignedDuration::from_secs(-1));
    bench.settle(&id, Outcome::Transient { after: None, refusal: false });
    let after = &bench.deliveries[&id];
    assert_eq!((after.quiet_since, after.tries), (None, 2));
    assert_eq!(after.first_attempt, before.first_attempt.map(|first| plus(first, night)));
}

#[test]
fn kept_again_by_a_clock_that_was_set_back_it_counts_from_then() {
    let (mut bench, id) = bench();
    bench.later(2 * HOUR);
    let end = keep(&mut bench, &id);
    bench.later(-1800);
    assert_eq!(keep(&mut bench, &id), end);
    assert_eq!(bench.deliveries[&id].quiet_since, Some(bench.now));
}

#[test]
fn what_a_person_sends_goes_at_any_hour() {
    let (mut bench, id) = bench();
    bench.later(HOUR + 1800);
    keep(&mut bench, &id);
    bench.command(Command::RetryDelivery { id: id.clone(), in_order_at: None }).unwrap();
    let sent = bench.deliveries[&id].clone();
    assert_eq!((sent.due_at(), sent.quiet_since), (Some(bench.now), None));
    assert_eq!(kept(&bench, &sent, false), None);
}

#[test]
fn a_lease_that_was_lost_keeps_nothing() {
    let (mut bench, id) = bench();
    bench.later(HOUR + 1800);
    let input = Input::Quiet(vec![Kept { delivery: bench.deliveries[&id].clone(), claim: 7, until: bench.now }]);
    let known = crate::domain::cycle::Known { void_claims: [7].into(), ..Default::default() };
    assert!(crate::domain::cycle::plan(&bench.world, bench.now, &known, &input).settled.is_empty());
}
