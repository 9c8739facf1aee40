//! What must be seen, line 7: everything can be carried to another folder, and nothing is repeated there.

use ampbridge::demo::{Reply, SeedOptions};
use serde_json::Value;

use crate::harness::{
    ACME, Bench, HEAD, HOOK, HOOK2, SECRETS, accepted, all_to, assert_silent, facts, ids, text, wait,
};

fn both() -> String {
    all_to(&["hook", "hook2"])
}

fn elsewhere(folder: &str) -> String {
    HEAD.replace("\"store\"", &format!("{folder:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_read_into_an_empty_folder_goes_on_where_the_other_stopped() {
    let options = SeedOptions { seed: 2, threads: 120, members: 5, days: 10, model_costs: false };
    let bench = Bench::seeded(&options, &[HEAD, ACME, HOOK, HOOK2, &both()]).await;
    bench.once().await;
    bench.hook2.set_usual(Some(Reply::status(503)));
    bench.workspace.remove_member("member5@example.com").unwrap();
    bench.workspace.add_member("Dee", "dee@example.com", ampbridge::demo::Role::Member);
    bench.run(&["once", "--drain", "1"]).await.exits(1);
    let (events, delivered) = (bench.events().await, accepted(&bench.hook));
    assert_eq!(facts(&delivered)[..], ["member.added dee@example.com", "sink.failing hook2"]);
    bench.run(&["state", "export", "all.jsonl"]).await.exits(0).says(&["written to all.jsonl"]);
    let text_of = |name: &str| std::fs::read_to_string(bench.path(name)).unwrap();
    assert_silent("the export", &text_of("all.jsonl"));

    bench.configure(&[&elsewhere("moved/store"), ACME, HOOK, HOOK2, &both()]);
    bench.run(&["state", "import", "all.jsonl"]).await.exits(0).says(&["read into"]);
    bench.run(&["state", "export", "again.jsonl"]).await.exits(0);
    assert_eq!(sorted(&text_of("again.jsonl")), sorted(&text_of("all.jsonl")), "nothing is lost on the way");
    assert_eq!(bench.events().await, events);
    bench.hook2.set_usual(None);
    let before = bench.hook2.received().len();
    bench.once().await;
    assert_eq!(accepted(&bench.hook).len(), delivered.len() + 2, "the removal and the recovery, and no repeat");
    let late: Vec<Value> = bench.hook2.received()[before..].iter().map(|r| r.json().unwrap()).collect();
    assert_eq!(facts(&late), ["member.added dee@example.com", "member.removed member5@example.com"]);
    assert_eq!(ids(&late[..]).intersection(&ids(&events)).count(), 1, "under the id it had");
    bench.once().await;
    assert_eq!(bench.events().await.len(), 4, "the second look that believes a removal may be made elsewhere");
}

/// Lines in order; the first tells of the export itself.
fn sorted(export: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = export.lines().skip(1).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_exports_while_it_runs_and_an_import_needs_an_empty_store() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    bench.once().await;
    let mut service = bench.service().await;
    bench.add_thread("one");
    wait("the event is there", || accepted(&bench.hook).len() == 1).await;
    bench.run(&["state", "export", "live.jsonl"]).await.exits(0);
    bench.run(&["state", "import", "live.jsonl"]).await.exits(3).says(&["in use by process"]);
    assert_eq!(service.terminate().await, Some(0));

    let before = bench.events().await;
    bench.run(&["state", "import", "live.jsonl"]).await.exits(1).says(&["empty"]);
    assert_eq!(bench.events().await, before, "a refused import changes nothing");
    bench.once().await;

    bench.configure(&[&elsewhere("other"), ACME, HOOK, &all_to(&["hook"])]);
    let export = std::fs::read_to_string(bench.path("live.jsonl")).unwrap();
    for secret in SECRETS {
        assert!(!export.contains(secret));
    }
    let cut = &export[..export.len() * 2 / 3];
    std::fs::write(bench.path("cut.jsonl"), cut).unwrap();
    bench.run(&["state", "import", "cut.jsonl"]).await.exits(1);
    std::fs::write(bench.path("wrong.jsonl"), "{\"hello\": 1}\n").unwrap();
    bench.run(&["state", "import", "wrong.jsonl"]).await.exits(1);
    bench.run(&["state", "import", "live.jsonl"]).await.exits(0);
    assert_eq!(bench.events().await, before);
    bench.once().await;
    assert_eq!(accepted(&bench.hook).len(), 1, "nothing is told again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reset_has_a_new_quiet_baseline_and_another_workspace_too() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    for n in 0..20 {
        bench.add_thread(&format!("thread {n}"));
    }
    bench.once().await;
    bench.run(&["state", "reset"]).await.exits(2);
    bench.run(&["state", "reset", "acme/threads"]).await.exits(0);
    bench.add_thread("not new");
    bench.once().await.says(&["21 rows (baseline)"]);
    // Another tenant behind the same name: an epoch of its own.
    let other = ACME.replace("base_url = \"$API\"", "base_url = \"http://localhost:$PORT\"");
    bench.configure(&[HEAD, &other, HOOK, &all_to(&["hook"])]);
    bench.once().await.says(&["21 rows (baseline)"]);
    assert_eq!(bench.events().await, Vec::<Value>::new());
    let thread = bench.add_thread("new");
    bench.once().await;
    assert_eq!(facts(&bench.events().await), [format!("thread.created {thread}")]);
    let rows = bench.run(&["state", "show", "acme/threads", "--json"]).await.exits(0).json();
    assert_eq!(text(&rows["state"], "collection"), "acme/threads");
    assert_eq!(rows["state"]["rows"], 22);
}
