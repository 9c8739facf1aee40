//! Rights that are missing or withdrawn: that collection is off, once, by name; the others go on.

use ampbridge::demo::{Role, scope};
use serde_json::{Value, json};

use crate::harness::{ACME, Bench, HEAD, HOOK, accepted, all_to, facts, text};

async fn bench() -> Bench {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    bench.add_thread("Port the parser");
    bench.add_thread("Fix the build");
    bench
}

fn without(missing: &str) -> Vec<&'static str> {
    scope::READING.into_iter().filter(|s| *s != missing).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_never_granted_switches_its_collection_off_by_name_and_the_others_go_on() {
    let bench = bench().await;
    // The token endpoint refuses the list of scopes as a whole: `invalid_scope`.
    bench.workspace.set_scopes(without(scope::MEMBERS));
    for _ in 0..3 {
        bench.run(&["once"]).await.exits(1).says(&[scope::MEMBERS, "threads 2 rows"]);
    }
    let events = bench.events().await;
    assert_eq!(facts(&events), ["source.degraded acme"], "once");
    let data = &events[0]["data"];
    assert_eq!((text(data, "scope"), text(data, "collection")), (scope::MEMBERS, "members"));
    let thread = bench.add_thread("new");
    bench.run(&["once"]).await.exits(1);
    assert_eq!(facts(&bench.events().await)[1..], [format!("thread.created {thread}")]);

    bench.workspace.set_scopes(scope::READING);
    bench.once().await.says(&["members 3 rows (baseline)"]);
    bench.workspace.add_member("Dee", "dee@example.com", Role::Member);
    bench.once().await;
    let told = facts(&accepted(&bench.hook));
    assert_eq!(told.len(), 3, "no flood when it comes back: {told:?}");
    assert!(told.contains(&"member.added dee@example.com".to_owned()));
    assert!(bench.workspace.log().iter().all(|e| !e.query.contains("manage")), "no right to change is ever asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_withdrawn_while_a_token_is_good_is_a_403_told_once_and_again_only_after_it_came_back() {
    let bench = bench().await;
    bench.once().await;
    let mut service = bench.service().await;
    bench.workspace.set_scopes(without(scope::MEMBERS));
    let degraded = |events: &[Value]| events.iter().filter(|e| e["type"] == "source.degraded").count();
    crate::harness::wait("told", || degraded(&accepted(&bench.hook)) == 1).await;
    let thread = bench.add_thread("new");
    let created = format!("thread.created {thread}");
    crate::harness::wait("threads go on", || facts(&accepted(&bench.hook)).contains(&created)).await;
    assert_eq!(service.terminate().await, Some(0));
    bench.run(&["once"]).await.exits(1);
    assert_eq!(degraded(&bench.events().await), 1);
    bench.workspace.set_scopes(scope::READING);
    bench.once().await;
    bench.workspace.set_scopes(without(scope::MEMBERS));
    bench.run(&["once"]).await.exits(1);
    assert_eq!(degraded(&bench.events().await), 2, "it came back in between");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_title_that_vanishes_is_told_once_with_the_field_and_changes_nothing() {
    let bench = bench().await;
    bench.once().await;
    bench.workspace.set_scopes(without(scope::THREADS_CONTENTS));
    for _ in 0..3 {
        bench.run(&["once"]).await;
    }
    let events = bench.events().await;
    let of_threads: Vec<&Value> = events.iter().filter(|e| e["data"]["collection"] == "threads").collect();
    assert_eq!(facts(&events), ["source.degraded acme"], "no thread.updated");
    assert!(of_threads[0]["data"]["fields"].as_array().unwrap().contains(&json!("title")), "{events:?}");
    let rows = bench.run(&["state", "show", "acme/threads", "--json"]).await.exits(0).json();
    assert!(rows["rows"].to_string().contains("Port the parser"), "the old value is kept");
    bench.workspace.set_scopes(scope::READING);
    bench.once().await;
    bench.once().await;
    assert_eq!(bench.events().await.len(), 1, "no flood when it comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_is_told_at_once_and_recovers() {
    let bench = bench().await;
    bench.once().await;
    bench.workspace.revoke_client();
    bench.run(&["once"]).await.exits(1).says(&["client_secret"]);
    let events = bench.events().await;
    assert_eq!(facts(&events), ["source.failing acme"], "a refused token is told at the first look");
    bench.workspace.rotate_secret(ampbridge::demo::CLIENT_SECRET);
    bench.once().await;
    assert_eq!(facts(&bench.events().await), ["source.failing acme", "source.recovered acme"]);
}
