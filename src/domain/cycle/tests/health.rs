use std::sync::Arc;

use serde_json::json;

use super::bench::{Bench, collection, threads, titled};
use crate::domain::collection::{CollectionSpec, Role};
use crate::domain::cycle::Input;
use crate::domain::event::Severity;
use crate::domain::record::{Evidence, FailureKind};
use crate::domain::time::{SignedDuration, plus};

const NOTHING: [&str; 0] = [];
const FAILING: [&str; 1] = ["source.failing acme"];
const RECOVERED: [&str; 1] = ["source.recovered acme"];

fn bench() -> (Bench, Arc<CollectionSpec>, Arc<CollectionSpec>) {
    let (mut bench, threads, members) =
        (Bench::new(), Arc::new(threads()), collection("acme", "members", Role::Record));
    bench.sweep(&threads, &titled(0..3));
    bench.sweep(&members, &[]);
    (bench, threads, members)
}

#[test]
fn the_third_failure_in_a_row_is_news_and_the_first_good_look_after() {
    let (mut bench, threads, _) = bench();
    for failure in [FailureKind::Broken, FailureKind::Throttled { after_secs: 9 }] {
        assert_eq!(bench.fail(&threads, failure), NOTHING);
    }
    assert_eq!(bench.sweep(&threads, &titled(0..3)), NOTHING, "not in a row");
    for _ in 0..2 {
        assert_eq!(bench.fail(&threads, FailureKind::Broken), NOTHING);
    }
    assert_eq!(bench.fail(&threads, FailureKind::Broken), FAILING);
    let failing = bench.last_event().event.clone();
    assert_eq!(
        (failing.severity, &failing.data["state"], &failing.data["failures"]),
        (Severity::Warning, &json!("open"), &json!(3))
    );
    for _ in 0..5 {
        assert_eq!(bench.fail(&threads, FailureKind::Broken), NOTHING, "told once, however long it lasts");
    }
    assert_eq!(bench.sweep(&threads, &titled(0..3)), RECOVERED);
    let recovered = &bench.last_event().event;
    assert_eq!((recovered.severity, &recovered.data["state"]), (Severity::Info, &json!("resolved")));
    assert_eq!(recovered.data["incident"], failing.data["incident"]);
    assert_eq!(recovered.data["lasted"], json!("8 min"));
    assert_eq!(bench.sweep(&threads, &titled(0..3)), NOTHING);
    for _ in 0..2 {
        bench.fail(&threads, FailureKind::Broken);
    }
    assert_eq!(bench.fail(&threads, FailureKind::Broken), FAILING, "another episode");
    assert_ne!(bench.last_event().event.id, failing.id);
}

#[test]
fn a_wait_that_is_asked_for_is_known_before_the_look_ends() {
    let (mut bench, threads, _) = bench();
    let until = plus(bench.now, SignedDuration::from_secs(40));
    let ask = |bench: &mut Bench, until| bench.step(&Input::AskedToWait { spec: Arc::clone(&threads), until });
    assert!(ask(&mut bench, until).events.is_empty());
    let now = bench.now;
    assert!(ask(&mut bench, now).docs.is_empty(), "never shortened");
    assert_eq!(bench.collection(&threads).asked_to_wait_until(bench.now), Some(until));
    bench.sweep(&threads, &titled(0..3));
    assert_eq!(bench.collection(&threads).not_before, None, "the look went well");
}

#[test]
fn a_look_that_asked_nothing_says_nothing_of_the_source() {
    let (mut bench, _, _) = bench();
    let costs = collection("acme", "thread_usage", Role::Cost);
    assert_eq!(bench.idle(&costs), NOTHING);
    let first = bench.collection(&costs).last_good;
    assert!(first.is_some(), "all is well as far as is known");
    for _ in 0..2 {
        bench.fail(&costs, FailureKind::Broken);
        assert_eq!(bench.idle(&costs), NOTHING);
    }
    assert_eq!(bench.fail(&costs, FailureKind::Broken), FAILING, "still three in a row");
    assert_eq!(bench.idle(&costs), NOTHING);
    let state = bench.collection(&costs);
    assert_eq!((state.failures, state.last_good), (3, first));
    assert_eq!(bench.look(&costs, vec![], Evidence::Window), RECOVERED);

    bench.fail(&costs, FailureKind::Forbidden { scope: "a.scope".into() });
    bench.idle(&costs);
    assert!(bench.collection(&costs).frozen.is_some());
}

#[test]
fn waiting_as_the_host_asked_to_is_no_failure() {
    let (mut bench, threads, _) = bench();
    bench.fail(&threads, FailureKind::Throttled { after_secs: 3_000 });
    for _ in 0..5 {
        assert_eq!(bench.fail(&threads, FailureKind::Waiting { after_secs: 900 }), NOTHING);
    }
    let state = bench.collection(&threads);
    assert_eq!((state.failures, state.asked_to_wait_until(bench.now).is_some()), (1, true));
    assert_eq!(bench.sweep(&threads, &titled(0..3)), NOTHING);
    // Nobody else is bound by it: neither another host nor who comes after.
    bench.fail(&threads, FailureKind::Throttled { after_secs: 3_000 });
    let elsewhere = Arc::new(CollectionSpec { host: Some("host_2".into()), ..threads.as_ref().clone() });
    assert_eq!(bench.collection(&threads).at_host(elsewhere.host.as_ref()).not_before, None);
    bench.fail(&elsewhere, FailureKind::Broken);
    let state = bench.collection(&elsewhere);
    assert_eq!((state.not_before, state.host.as_deref()), (None, Some("host_2")));
}

#[test]
fn who_recovers_after_everything_was_forgotten_still_says_from_what() {
    use crate::domain::cycle::Command;
    let (mut bench, threads, _) = bench();
    for _ in 0..3 {
        bench.fail(&threads, FailureKind::Broken);
    }
    bench.command(Command::Reset { collection: threads.id(), spend: false }).unwrap();
    assert_eq!(bench.sweep(&threads, &titled(0..3)), RECOVERED);
    let data = &bench.last_event().event.data;
    assert_eq!((&data["failures"], &data["error"]), (&json!(3), &json!("Broken")));
    // Nobody was told of these.
    bench.fail(&threads, FailureKind::Broken);
    bench.command(Command::Reset { collection: threads.id(), spend: false }).unwrap();
    assert_eq!(bench.sweep(&threads, &titled(0..3)), NOTHING);
}

#[test]
fn a_refused_token_is_news_at_once() {
    let (mut bench, threads, _) = bench();
    assert_eq!(bench.fail(&threads, FailureKind::Unauthorized), FAILING);
    assert_eq!(bench.fail(&threads, FailureKind::Unauthorized), NOTHING);
    assert_eq!(bench.sweep(&threads, &titled(0..3)), RECOVERED);
}

#[test]
fn several_collections_are_one_episode() {
    let (mut bench, threads, members) = bench();
    for _ in 0..2 {
        bench.fail(&threads, FailureKind::Broken);
        bench.fail(&members, FailureKind::Broken);
    }
    assert_eq!(bench.fail(&threads, FailureKind::Broken), FAILING);
    assert_eq!(bench.fail(&members, FailureKind::Broken), NOTHING, "the source is known to fail");
    assert_eq!(bench.sweep(&threads, &titled(0..3)), NOTHING, "half of it still fails");
    assert_eq!(bench.sweep(&members, &[]), RECOVERED);
}

#[test]
fn trouble_of_one_source_is_not_another_sources() {
    let (mut bench, threads, _) = bench();
    let files = collection("files", "docs", Role::Record);
    bench.fail(&threads, FailureKind::Unauthorized);
    assert_eq!(bench.fail(&files, FailureKind::Unauthorized), ["source.failing files"]);
    assert_eq!(bench.sweep(&threads, &titled(0..3)), RECOVERED);
}

#[test]
fn a_missing_right_freezes_its_collection_and_is_told_by_name() {
    let (mut bench, threads, members) = bench();
    let forbidden = |scope: &str| FailureKind::Forbidden { scope: scope.into() };
    assert_eq!(bench.fail(&members, forbidden("members:read")), ["source.degraded acme"]);
    let data = bench.last_event().event.data.clone();
    assert_eq!((&data["scope"], &data["collection"]), (&json!("members:read"), &json!("members")));
    for _ in 0..4 {
        assert_eq!(bench.fail(&members, forbidden("members:read")), NOTHING, "once, and it is no failed poll");
    }
    assert_eq!(bench.collection(&members).frozen.unwrap().0, "members:read");
    assert_eq!(bench.sweep(&threads, &titled(0..3)), NOTHING, "the others go on");
    assert_eq!(bench.fail(&members, forbidden("other")), ["source.degraded acme"], "another right");
    assert_eq!(bench.sweep(&members, &[]), NOTHING);
    assert!(bench.collection(&members).frozen.is_none());
    assert_eq!(
        bench.fail(&members, forbidden("members:read")),
        ["source.degraded acme"],
        "lost again after it was back"
    );
}

#[test]
fn events_about_health_go_everywhere_unless_a_route_takes_them() {
    let (mut bench, threads, _) = bench();
    bench.fail(&threads, FailureKind::Unauthorized);
    assert_eq!(bench.sinks_of_last().into_keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(bench.deliveries.values().all(|d| d.internal));
    bench.world.routes[0].events.push("source.*".into());
    bench.sweep(&threads, &titled(0..3));
    assert_eq!(bench.sinks_of_last().into_keys().collect::<Vec<_>>(), ["a", "b"]);
}
