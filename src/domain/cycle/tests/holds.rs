use std::sync::Arc;

use serde_json::json;

use super::bench::{Bench, threads, titled};
use crate::domain::collection::CollectionSpec;
use crate::domain::cycle::Command;
use crate::domain::record::{Evidence, Rows};

const NOTHING: [&str; 0] = [];

/// A collection of thirty of which twenty are missing, and held.
fn held() -> (Bench, Arc<CollectionSpec>, String) {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    bench.sweep(&spec, &titled(0..30));
    assert_eq!(bench.sweep(&spec, &titled(0..10)), NOTHING, "the first such look");
    assert_eq!(bench.sweep(&spec, &titled(0..10)), ["source.change_held acme"]);
    let hold = bench.collection(&spec).hold.unwrap().id;
    let data = &bench.last_event().event.data;
    assert_eq!((&data["hold"], &data["count"], &data["known"]), (&json!(hold), &json!(20), &json!(30)));
    assert_eq!(data["sample"].as_array().unwrap().len(), 10);
    assert_eq!(bench.collection(&spec).rows, 30, "nothing is removed");
    (bench, spec, hold)
}

fn approve(spec: &CollectionSpec, hold: &str) -> Command {
    Command::ApproveHold { spec: Box::new(spec.clone()), hold: hold.to_owned() }
}

#[test]
fn how_large_a_loss_is_believed() {
    for (known, lost, is_held) in
        [(6, 5, false), (6, 6, true), (7, 6, true), (60, 6, false), (60, 7, true), (1, 1, true)]
    {
        let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
        bench.sweep(&spec, &titled(0..known));
        bench.sweep(&spec, &titled(lost..known));
        let told = bench.sweep(&spec, &titled(lost..known));
        if is_held {
            assert_eq!(told, ["source.change_held acme"], "{lost} of {known}");
        } else {
            assert_eq!(told.len(), lost, "{lost} of {known}");
        }
    }
}

#[test]
fn the_rest_of_a_held_look_is_committed() {
    let (mut bench, spec, _) = held();
    let mut shown = titled(0..10);
    shown.extend(titled(40..41));
    shown[0].fields.insert("title".into(), json!("y"));
    assert_eq!(bench.sweep(&spec, &shown), ["thread.updated T-00", "thread.created T-40"]);
}

#[test]
fn a_look_without_the_loss_dissolves_it() {
    let (mut bench, spec, hold) = held();
    assert_eq!(bench.sweep(&spec, &titled(0..30)), NOTHING);
    assert!(bench.collection(&spec).hold.is_none());
    assert!(bench.command(approve(&spec, &hold)).is_err(), "there is nothing to approve any more");
    // Four stay away after all: an ordinary loss, missed once, then twice.
    assert_eq!(bench.sweep(&spec, &titled(4..30)), NOTHING);
    assert_eq!(bench.sweep(&spec, &titled(4..30)).len(), 4);
}

#[test]
fn approved_the_removals_happen_a_chunk_at_a_time() {
    let (mut bench, spec, hold) = held();
    let (mut told, mut rounds) = (Vec::new(), 0);
    loop {
        let (some, more) = bench.command(approve(&spec, &hold)).unwrap();
        told.extend(some);
        rounds += 1;
        assert_eq!(bench.collection(&spec).hold.is_some(), more, "held to the last chunk");
        if !more {
            break;
        }
    }
    assert_eq!((told.len(), rounds), (20, 3));
    assert!(told.iter().all(|t| t.starts_with("thread.deleted T-")));
    assert_eq!(bench.collection(&spec).rows, 10);
    assert_eq!(bench.sweep(&spec, &titled(0..10)), NOTHING);
    assert_eq!(bench.sweep(&spec, &titled(0..11)), ["thread.created T-10"]);
}

#[test]
fn approved_is_what_was_announced_and_what_went_missing_later_takes_two_looks_of_its_own() {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    bench.sweep(&spec, &titled(0..30));
    bench.sweep(&spec, &titled(8..30));
    assert_eq!(bench.sweep(&spec, &titled(8..30)), ["source.change_held acme"]);
    // T-08 to T-10 are missed as well, once; T-00 is back.
    let shown: Vec<_> = titled(0..1).into_iter().chain(titled(11..30)).collect();
    assert_eq!(bench.sweep(&spec, &shown), NOTHING);
    let hold = bench.collection(&spec).hold.unwrap();
    assert_eq!((hold.count, hold.sample.len()), (7, 7), "what was announced and is still missing");
    let (told, more) = bench.command(approve(&spec, &hold.id)).unwrap();
    let expected: Vec<String> = (1..8).map(|n| format!("thread.deleted T-{n:02}")).collect();
    assert_eq!((told, more), (expected, false));
    assert_eq!((bench.collection(&spec).rows, bench.collection(&spec).hold), (23, None));
    // T-08 returns; the other two have been missed twice now.
    let shown: Vec<_> = titled(0..1).into_iter().chain(titled(8..9)).chain(titled(11..30)).collect();
    assert_eq!(bench.sweep(&spec, &shown), ["thread.deleted T-09", "thread.deleted T-10"]);
}

#[test]
fn a_hold_whose_records_are_all_back_is_over_though_others_are_missing() {
    let (mut bench, spec, hold) = held();
    let shown = titled(10..30);
    assert_eq!(bench.sweep(&spec, &shown), NOTHING, "the first look that misses T-00 to T-09");
    assert!(bench.command(approve(&spec, &hold)).is_err());
    assert_eq!(bench.sweep(&spec, &shown), ["source.change_held acme"]);
    assert_ne!(bench.collection(&spec).hold.unwrap().id, hold);
}

#[test]
fn nobody_is_told_of_records_that_one_look_has_missed_and_nothing_can_be_said_about_them() {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    bench.sweep(&spec, &titled(0..30));
    bench.sweep(&spec, &titled(0..10));
    let hold = bench.collection(&spec).hold.unwrap().id;
    let (collection, id) = (spec.id(), hold.clone());
    for command in [
        approve(&spec, &hold),
        Command::RejectHold { collection: collection.clone(), hold: id.clone() },
        Command::RebaselineHold { collection, hold: id },
    ] {
        assert!(bench.command(command).unwrap_err().contains("one look"));
    }
    // The second look misses none of those again.
    assert_eq!(bench.sweep(&spec, &titled(10..30)), NOTHING);
    assert_eq!(bench.sweep(&spec, &titled(10..30)), ["source.change_held acme"]);
    assert_eq!(bench.last_event().event.data["count"], json!(10));
}

#[test]
fn rejected_it_is_quiet_until_the_set_changes() {
    let (mut bench, spec, hold) = held();
    let reject = Command::RejectHold { collection: spec.id(), hold: hold.clone() };
    assert_eq!(bench.command(reject).unwrap().0, NOTHING);
    for _ in 0..3 {
        assert_eq!(bench.sweep(&spec, &titled(0..10)), NOTHING);
    }
    assert_eq!(bench.sweep(&spec, &titled(0..9)), NOTHING, "another set, the first look at it");
    assert_eq!(bench.sweep(&spec, &titled(0..9)), ["source.change_held acme"]);
    assert_ne!(bench.collection(&spec).hold.unwrap().id, hold);
    assert_eq!(bench.collection(&spec).rows, 30);
}

#[test]
fn what_a_person_said_stays_stays_when_some_of_it_is_back() {
    let (mut bench, spec, hold) = held();
    bench.command(Command::RejectHold { collection: spec.id(), hold: hold.clone() }).unwrap();
    // Few enough to believe, were it not for what was said. One more goes on its own.
    for _ in 0..3 {
        assert_eq!(bench.sweep(&spec, &titled(0..26)), NOTHING);
    }
    assert_eq!(bench.collection(&spec).hold.unwrap().id, hold);
    let without_one: Vec<_> = titled(1..27);
    assert_eq!(bench.sweep(&spec, &without_one), NOTHING);
    assert_eq!(bench.sweep(&spec, &without_one), ["thread.deleted T-00"]);
    assert_eq!(bench.collection(&spec).rows, 29, "of the four none");
    assert_eq!(bench.sweep(&spec, &titled(1..30)), NOTHING);
    assert!(bench.collection(&spec).hold.is_none());
}

#[test]
fn that_a_collection_grows_decides_nothing() {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    let more: Vec<_> = titled(11..130);
    bench.sweep(&spec, &titled(0..100));
    bench.sweep(&spec, &titled(11..100));
    assert_eq!(bench.sweep(&spec, &titled(11..100)), ["source.change_held acme"]);
    assert_eq!(bench.sweep(&spec, &more).len(), 30, "thirty came");
    for _ in 0..3 {
        assert_eq!(bench.sweep(&spec, &more), NOTHING);
    }
    let hold = bench.collection(&spec).hold.unwrap();
    assert_eq!((hold.count, bench.collection(&spec).rows), (11, 130));
}

#[test]
fn a_rejected_one_may_still_be_approved() {
    let (mut bench, spec, hold) = held();
    bench.command(Command::RejectHold { collection: spec.id(), hold: hold.clone() }).unwrap();
    assert!(bench.command(approve(&spec, &hold)).unwrap().1, "twenty are more than one chunk");
}

#[test]
fn rebaselined_they_are_forgotten_silently() {
    let (mut bench, spec, hold) = held();
    let command = || Command::RebaselineHold { collection: spec.id(), hold: hold.clone() };
    while bench.command(command()).unwrap() == (Vec::new(), true) {}
    assert_eq!(bench.collection(&spec).rows, 10);
    assert!(bench.collection(&spec).hold.is_none());
    assert_eq!(bench.sweep(&spec, &titled(0..10)), NOTHING);
    assert_eq!(bench.sweep(&spec, &titled(0..11)), ["thread.created T-10"], "what returns is new");
}

#[test]
fn a_word_about_another_hold_changes_nothing() {
    let (mut bench, spec, _) = held();
    let before = bench.docs.clone();
    for command in [
        approve(&spec, "hold_0"),
        Command::RejectHold { collection: spec.id(), hold: "hold_0".into() },
        Command::RebaselineHold { collection: spec.id(), hold: "hold_0".into() },
    ] {
        assert!(bench.command(command).unwrap_err().contains("hold list"));
    }
    assert_eq!(bench.docs, before);
}

#[test]
fn failed_and_partial_views_neither_count_nor_dissolve() {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    bench.sweep(&spec, &titled(0..30));
    bench.sweep(&spec, &titled(0..10));
    assert_eq!(bench.look(&spec, vec![Rows::Records(titled(0..10))], Evidence::Window), NOTHING);
    assert_eq!(bench.fail(&spec, crate::domain::record::FailureKind::Broken), NOTHING);
    assert_eq!(bench.collection(&spec).hold.unwrap().looks, 1);
    assert_eq!(bench.sweep(&spec, &titled(0..10)), ["source.change_held acme"]);
}
