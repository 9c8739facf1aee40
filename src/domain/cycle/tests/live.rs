use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::bench::{Bench, collection};
use crate::domain::collection::{CollectionSpec, Role};
use crate::domain::cycle::{Input, Settled};
use crate::domain::delivery::{Delivery, DeliveryKind, Outcome};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::live::EVERY;
use crate::domain::money::{Micros, Percent};
use crate::domain::record::{Evidence, Rows};
use crate::domain::rules::budget::BudgetRule;
use crate::domain::rules::{Rule, RuleSpec};
use crate::domain::spend::{Basis, Per, SpendRow};
use crate::domain::time::{PeriodKind, utc_day};

/// A daily budget of 100 dollars at `a`, which can edit, and at `b`, which can't.
fn bench() -> (Bench, Arc<CollectionSpec>) {
    let mut bench = Bench::new();
    let thresholds = vec![Percent(50_000), Percent(100_000)];
    let limit = Micros(100 * Micros::PER_DOLLAR);
    bench.world.rules = vec![RuleSpec {
        name: "limit".into(),
        sources: vec!["acme".into()],
        rule: Rule::Budget(BudgetRule::new(limit, PeriodKind::Day, Per::Workspace, thresholds)),
    }];
    bench.world.live = ["a".to_owned()].into();
    let spec = collection("acme", "usage", Role::Spend);
    spend(&mut bench, &spec, 10);
    (bench, spec)
}

fn spend(bench: &mut Bench, spec: &Arc<CollectionSpec>, dollars: i64) -> Vec<String> {
    let row = SpendRow {
        day: utc_day(bench.now),
        user: Some("ana".into()),
        model: Some("m".into()),
        dims: BTreeMap::new(),
        amount: Micros(dollars * Micros::PER_DOLLAR),
        tokens: 0,
        basis: Basis::Billed,
        whole_user: true,
    };
    bench.look(spec, vec![Rows::Spend(vec![row])], Evidence::Complete)
}

fn edits(bench: &Bench) -> Vec<Delivery> {
    let mut edits: Vec<Delivery> =
        bench.deliveries.values().filter(|d| d.kind == DeliveryKind::Update).cloned().collect();
    edits.sort_by_key(|edit| edit.created);
    edits
}

/// A delivery is taken, and leaves a reference.
fn posted(bench: &mut Bench, delivery: &str) {
    let mut settled: Settled = bench.outcome(delivery, Outcome::Accepted);
    settled.report.reference = Some(json!({ "ts": "1" }));
    bench.step(&Input::Settled(vec![settled]));
}

/// At 60 dollars of 100, both sinks have been told.
fn told() -> (Bench, Arc<CollectionSpec>) {
    let (mut bench, spec) = bench();
    assert_eq!(spend(&mut bench, &spec, 60), ["budget.threshold_reached workspace"]);
    for (_, delivery) in bench.sinks_of_last() {
        posted(&mut bench, &delivery);
    }
    (bench, spec)
}

#[test]
fn figures_that_move_edit_the_message_where_that_can_be_done() {
    let (mut bench, spec) = told();
    let event = bench.last_event().event.clone();
    spend(&mut bench, &spec, 61);
    assert_eq!(edits(&bench), [], "too soon");
    bench.later(EVERY.as_secs());
    assert!(spend(&mut bench, &spec, 70).is_empty(), "no event");
    let [edit] = &edits(&bench)[..] else { panic!("{:?}", edits(&bench)) };
    assert_eq!((edit.sink.as_str(), edit.incident.as_deref()), ("a", event.incident()));
    assert_eq!(edit.event_ids, std::slice::from_ref(&event.id));
    let shown = edit.moved.as_ref().unwrap().over(&event);
    assert_eq!((&shown.data["spend_usd"], &shown.data["percent"]), (&json!("70.00"), &json!(70.0)));
    assert_eq!(shown.data["top"]["users"][0]["spend_usd"], "70.00");
    assert_eq!(shown.data["threshold"], event.data["threshold"]);
}

#[test]
fn one_edit_at_a_time_and_none_without_a_change() {
    let (mut bench, spec) = told();
    bench.later(EVERY.as_secs());
    spend(&mut bench, &spec, 70);
    bench.later(EVERY.as_secs());
    spend(&mut bench, &spec, 80);
    assert_eq!(edits(&bench).len(), 1, "the first is still under way");
    let first = edits(&bench)[0].id.clone();
    bench.settle(&first, Outcome::Accepted);
    spend(&mut bench, &spec, 80);
    let both = edits(&bench);
    assert_eq!(both.len(), 2);
    assert_ne!(both[0].id, both[1].id);
    bench.settle(&both[1].id, Outcome::Accepted);
    bench.later(EVERY.as_secs());
    spend(&mut bench, &spec, 80);
    assert_eq!(edits(&bench).len(), 2, "nothing moved");
}

#[test]
fn an_edit_that_fails_for_good_is_no_news_and_the_next_one_is_made() {
    let (mut bench, spec) = told();
    bench.later(EVERY.as_secs());
    spend(&mut bench, &spec, 70);
    let edit = edits(&bench)[0].id.clone();
    assert!(bench.settle(&edit, Outcome::Permanent).is_empty());
    bench.later(EVERY.as_secs());
    spend(&mut bench, &spec, 80);
    assert_eq!(edits(&bench).len(), 2);
}

#[test]
fn the_next_step_is_an_event_of_its_own_and_brings_the_message_up_to_date() {
    let (mut bench, spec) = told();
    bench.later(EVERY.as_secs());
    assert_eq!(spend(&mut bench, &spec, 120), ["budget.exceeded workspace"]);
    assert_eq!(edits(&bench), [], "the event itself does");
}

#[test]
fn the_end_of_the_period_closes_the_message_with_the_last_figures() {
    let (mut bench, spec) = told();
    spend(&mut bench, &spec, 75);
    bench.later(86_400);
    bench.step(&Input::Incidents);
    let [edit] = &edits(&bench)[..] else { panic!("{:?}", edits(&bench)) };
    let moved = edit.moved.clone().unwrap();
    assert!(moved.ended);
    assert_eq!(moved.figures["spend_usd"], "75.00");
    assert_eq!(moved.over(&bench.last_event().event).data["state"], "ended");
    let open = bench.docs.get(&DocKey::Incidents).map(|(_, doc)| Doc::clone(doc));
    assert!(matches!(open, Some(Doc::Incidents(open)) if open.is_empty()));
    bench.step(&Input::Incidents);
    assert_eq!(edits(&bench).len(), 1, "once");
}

#[test]
fn a_message_that_was_never_posted_is_not_edited() {
    let (mut bench, spec) = bench();
    spend(&mut bench, &spec, 60);
    bench.later(EVERY.as_secs());
    spend(&mut bench, &spec, 70);
    bench.later(86_400);
    bench.step(&Input::Incidents);
    assert_eq!(edits(&bench), []);
}

#[test]
fn stored_deliveries_and_incidents_of_before_are_still_read() {
    let (bench, _) = told();
    let delivery = bench.deliveries.values().next().unwrap();
    let mut old: Value = serde_json::to_value(delivery).unwrap();
    assert!(old.get("moved").is_none());
    old.as_object_mut().unwrap().remove("internal");
    assert!(serde_json::from_value::<Delivery>(old).is_ok());
    let told = json!({ "route": 0, "last": "2026-11-22T10:00:00Z" });
    assert!(serde_json::from_value::<crate::domain::incident::Told>(told).unwrap().live.is_none());
}
