use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::json;

use super::bench::{Bench, threads, titled};
use crate::domain::cycle::{Command, Input, Known, Noted};
use crate::domain::delivery::{Delivery, DeliveryState, Outcome, RecipientState};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::Severity;

const NOTHING: [&str; 0] = [];

/// A bench with one event that goes to `a` and `b`.
fn bench() -> (Bench, String, String) {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    bench.sweep(&spec, &titled(0..1));
    bench.sweep(&spec, &titled(0..2));
    let mut ids = bench.sinks_of_last().into_values();
    let (a, b) = (ids.next().unwrap(), ids.next().unwrap());
    (bench, a, b)
}

fn failed() -> Outcome {
    Outcome::Transient { after: None, refusal: false }
}

#[test]
fn an_accepted_attempt_delivers_and_says_nothing() {
    let (mut bench, a, _) = bench();
    assert_eq!(bench.settle(&a, Outcome::Accepted), NOTHING);
    assert_eq!(bench.deliveries[&a].state.as_str(), "delivered");
}

#[test]
fn three_failed_attempts_in_a_row_are_news_elsewhere() {
    let (mut bench, a, _) = bench();
    bench.settle(&a, failed());
    assert_eq!(bench.settle(&a, Outcome::Throttled { after: None }), NOTHING, "asked to wait is not failed");
    bench.settle(&a, failed());
    assert_eq!(bench.settle(&a, failed()), ["sink.failing a"]);
    let failing = bench.last_event().event.clone();
    assert_eq!(
        (failing.severity, &failing.data["failures"], &failing.data["error"]),
        (Severity::Critical, &json!(3), &json!("500 Internal Server Error: said no"))
    );
    assert_eq!(bench.sinks_of_last().into_keys().collect::<Vec<_>>(), ["b", "c"], "not at the sink it is about");
    assert_eq!(bench.settle(&a, failed()), NOTHING);
    assert_eq!(bench.settle(&a, Outcome::Accepted), ["sink.recovered a"]);
    assert_eq!(bench.last_event().event.data["incident"], failing.data["incident"]);
}

#[test]
fn a_sink_that_takes_two_of_three_is_not_news_every_minute() {
    let (mut bench, a, _) = bench();
    let mut failures_until_news = Vec::new();
    for _ in 0..4 {
        let mut failures = 1;
        while bench.settle(&a, failed()).is_empty() {
            failures += 1;
        }
        failures_until_news.push(failures);
        bench.later(60);
        assert_eq!(bench.settle(&a, Outcome::Accepted), ["sink.recovered a"]);
    }
    assert_eq!(failures_until_news, [3, 3, 6, 12]);
    bench.later(3_600);
    let kinds: Vec<String> = (0..3).flat_map(|_| bench.settle(&a, failed())).collect();
    assert_eq!(kinds, ["sink.failing a"], "an hour later it counts as new");
}

#[test]
fn a_death_is_told_and_the_death_of_such_news_is_not() {
    let (mut bench, a, _) = bench();
    assert_eq!(bench.settle(&a, Outcome::Permanent), ["sink.failing a", "delivery.dead a"]);
    let dead = bench.last_event().event.clone();
    assert_eq!(
        (&dead.data["delivery"], &dead.data["attempts"], dead.severity),
        (&json!(a), &json!(1), Severity::Critical)
    );
    let at_c = bench.sinks_of_last()["c"].clone();
    assert!(bench.deliveries[&at_c].internal);
    assert_eq!(bench.settle(&at_c, Outcome::Permanent), NOTHING, "ledger, metric and log only");
    assert!(
        matches!(&bench.deliveries[&at_c].state, DeliveryState::Dead { reason, .. } if reason == "500 Internal Server Error: said no")
    );
}

#[test]
fn retries_that_are_used_up_end_in_death() {
    let (mut bench, a, _) = bench();
    bench.settle(&a, failed());
    bench.later(4 * 86_400);
    assert_eq!(bench.settle(&a, failed()), ["sink.failing a", "delivery.dead a"]);
    assert!(
        matches!(&bench.deliveries[&a].state, DeliveryState::Dead { reason, .. } if reason.starts_with("retries used up"))
    );
}

#[test]
fn a_closed_sink_stops_and_its_delivery_waits() {
    let (mut bench, a, _) = bench();
    assert_eq!(bench.settle(&a, Outcome::Stop), ["sink.failing a"]);
    assert_eq!(bench.last_event().event.data["stopped"], json!(true));
    assert!(bench.deliveries[&a].state.is_open());
    assert_eq!(bench.command(Command::EnableSink { sink: "a".into() }).unwrap().0, NOTHING);
    assert_eq!(bench.settle(&a, Outcome::Accepted), ["sink.recovered a"]);
}

#[test]
fn a_stop_is_told_whatever_was_told_before_and_again_after_it_was_switched_on() {
    let (mut bench, a, _) = bench();
    for _ in 0..3 {
        bench.settle(&a, failed());
    }
    let failing = bench.last_event().event.clone();
    assert_eq!((failing.kind.as_str(), &failing.data["stopped"]), ("sink.failing", &json!(false)));
    let mut ids = std::collections::BTreeSet::from([failing.id]);
    for _ in 0..2 {
        // Of several attempts under way, the first says it.
        let batch = vec![bench.outcome(&a, Outcome::Stop), bench.outcome(&a, Outcome::Stop)];
        let before = bench.events.len();
        bench.step(&Input::Settled(batch));
        assert_eq!(bench.told_since(before), ["sink.failing a"]);
        let told = &bench.last_event().event;
        assert_eq!((&told.data["stopped"], &told.data["incident"]), (&json!(true), &failing.data["incident"]));
        assert!(ids.insert(told.id.clone()), "another fact");
        bench.command(Command::EnableSink { sink: "a".into() }).unwrap();
    }
    assert_eq!(bench.settle(&a, Outcome::Accepted), ["sink.recovered a"]);
    assert_eq!(bench.last_event().event.data["incident"], failing.data["incident"]);
}

#[test]
fn a_sink_that_a_person_stopped_says_so_when_it_is_gone() {
    let (mut bench, a, _) = bench();
    bench.command(Command::DisableSink { sink: "a".into() }).unwrap();
    assert_eq!(bench.settle(&a, Outcome::Stop), ["sink.failing a"], "an attempt was under way");
}

#[test]
fn what_a_sink_was_off_does_not_use_up_its_patience() {
    let (mut bench, a, _) = bench();
    bench.settle(&a, failed());
    bench.command(Command::DisableSink { sink: "a".into() }).unwrap();
    bench.later(4 * 86_400);
    bench.command(Command::EnableSink { sink: "a".into() }).unwrap();
    bench.settle(&a, failed());
    assert!(bench.deliveries[&a].state.is_open());
    bench.later(3 * 86_400);
    bench.settle(&a, failed());
    assert!(!bench.deliveries[&a].state.is_open());
}

#[test]
fn outcomes_that_come_in_together_keep_their_episodes_apart() {
    let (mut bench, a, _) = bench();
    let spec = Arc::new(threads());
    bench.sweep(&spec, &titled(0..4));
    let at_a: Vec<String> = bench.deliveries.values().filter(|d| d.sink == "a").map(|d| d.id.clone()).collect();
    assert_eq!(at_a.len(), 3);
    let before = bench.events.len();
    let outcomes = [Outcome::Permanent, Outcome::Accepted, Outcome::Permanent];
    let batch = at_a.iter().zip(outcomes).map(|(id, outcome)| bench.outcome(id, outcome)).collect();
    bench.step(&Input::Settled(batch));
    bench.settle(&a, Outcome::Accepted);
    let kinds = bench.told_since(before);
    let sink: Vec<&String> = kinds.iter().filter(|k| k.starts_with("sink.")).collect();
    assert_eq!(sink, ["sink.failing a", "sink.recovered a", "sink.failing a", "sink.recovered a"]);
    let ids: std::collections::BTreeSet<_> = bench.events.iter().map(|e| &e.event.id).collect();
    assert_eq!(ids.len(), bench.events.len(), "the second outage is another fact than the first");
}

#[test]
fn an_outcome_whose_lease_was_lost_changes_nothing() {
    let (bench, a, _) = bench();
    let input = Input::Settled(vec![bench.outcome(&a, Outcome::Permanent)]);
    let known = crate::domain::cycle::Known { void_claims: [1].into(), ..Default::default() };
    let plan = crate::domain::cycle::plan(&bench.world, bench.now, &known, &input);
    assert!(plan.settled.is_empty() && plan.events.is_empty() && plan.docs.is_empty());
}

#[test]
fn what_a_sink_leaves_for_its_incident_is_kept() {
    let (mut bench, a, _) = bench();
    bench.settle(&a, Outcome::Permanent);
    let failing = bench.deliveries.values().find(|d| d.sink == "c" && d.event_type == "sink.failing").unwrap().clone();
    let mut outcome = bench.outcome(&failing.id, Outcome::Accepted);
    outcome.report.reference = Some(json!({ "ts": "1" }));
    let plan = bench.step(&Input::Settled(vec![outcome]));
    assert_eq!(plan.references, [("c".to_owned(), failing.incident.unwrap(), json!({ "ts": "1" }))]);
}

#[test]
fn retried_by_hand_it_starts_afresh_under_its_id() {
    let (mut bench, a, _) = bench();
    for _ in 0..3 {
        bench.settle(&a, Outcome::Transient { after: None, refusal: true });
    }
    bench.settle(&a, Outcome::Permanent);
    assert_eq!(bench.command(Command::RetryDelivery { id: a.clone(), in_order_at: None }).unwrap().0, NOTHING);
    let again = &bench.deliveries[&a];
    assert_eq!((again.due_at(), again.attempts, again.refusals, again.released), (Some(bench.now), 0, 0, false));
    assert_eq!((again.tries, again.first_attempt), (4, None));
    bench.settle(&a, Outcome::Permanent);
    let deaths: Vec<_> = bench.events.iter().filter(|e| e.event.kind == "delivery.dead").map(|e| &e.event.id).collect();
    assert_eq!(deaths.len(), 2);
    assert_ne!(deaths[0], deaths[1], "it died twice");
    assert!(
        bench
            .command(Command::RetryDelivery { id: "dlv_0".into(), in_order_at: None })
            .unwrap_err()
            .contains("deliveries list")
    );
}

#[test]
fn dropped_it_is_suppressed_with_a_reason_and_only_while_it_waits() {
    let (mut bench, a, b) = bench();
    bench.command(Command::DropDelivery { id: a.clone() }).unwrap();
    assert!(
        matches!(&bench.deliveries[&a].state, DeliveryState::Suppressed { reason, .. } if reason.contains("command"))
    );
    bench.settle(&b, Outcome::Accepted);
    for id in [a, b] {
        assert!(bench.command(Command::DropDelivery { id }).is_err());
    }
}

#[test]
fn a_receiver_is_never_asked_sooner_than_it_asked_for() {
    let (mut bench, a, _) = bench();
    let after = Some(SignedDuration::from_secs(90));
    bench.settle(&a, Outcome::Transient { after, refusal: false });
    let due = bench.deliveries[&a].due_at().unwrap();
    assert_eq!(due.duration_since(bench.now).as_secs(), 90);
}

#[test]
fn what_is_sent_again_in_order_keeps_its_sink_to_one_at_a_time_and_gives_nobody_new_patience() {
    let (mut bench, a, _) = bench();
    bench.settle(&a, Outcome::Accepted);
    bench.command(Command::RetryDelivery { id: a, in_order_at: Some("a".into()) }).unwrap();
    let Some((_, doc)) = bench.docs.get(&DocKey::Sink("a".into())) else { panic!("no state") };
    let Doc::Sink(state) = doc.as_ref() else { panic!("{doc:?}") };
    assert_eq!((state.in_order_until, state.on_since), (Some(bench.now), None));
}

#[test]
fn what_an_attempt_has_achieved_is_kept_while_it_goes_on_and_not_by_a_lease_that_was_lost() {
    let (mut bench, a, _) = bench();
    let note = Noted {
        sink: "a".into(),
        id: a.clone(),
        seq: 0,
        claim: 1,
        recipients: [("ann@example.com".to_owned(), RecipientState::Accepted)].into(),
    };
    let before = bench.deliveries[&a].clone();
    let plan = bench.step(&Input::Noted(note.clone()));
    let after = Delivery { recipients: note.recipients.clone(), ..before };
    assert_eq!((plan.noted, plan.settled.len(), plan.events.len()), (vec![(1, after)], 0, 0));
    let known = Known {
        void_claims: [1].into(),
        deliveries: [(a.clone(), bench.deliveries[&a].clone())].into(),
        ..Known::default()
    };
    let late = crate::domain::cycle::plan(&bench.world, bench.now, &known, &Input::Noted(note));
    assert!(late.noted.is_empty());
}
