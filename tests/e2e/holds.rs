//! Losses too large to believe: held, told at the second look, decided by a person.

use ampbridge::demo::{Fault, FaultRule, SeedOptions};
use serde_json::{Value, json};

use crate::harness::{ACME, Bench, HEAD, HOOK, accepted, all_to, facts, text};

async fn bench() -> Bench {
    let options = SeedOptions { seed: 5, threads: 40, members: 4, days: 0, model_costs: false };
    let bench = Bench::seeded(&options, &[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    bench.once().await;
    bench
}

fn lose_all(bench: &Bench) {
    let rule = FaultRule { prefix: "/api/v2/threads".into(), fault: Fault::EmptyList, count: None, skip: 0 };
    bench.workspace.add_fault(rule);
}

/// Loses a fifth of the threads for good.
fn lose_some(bench: &Bench) -> Vec<String> {
    let mut gone = bench.workspace.thread_ids();
    gone.truncate(8);
    for id in &gone {
        bench.workspace.remove_thread(id).unwrap();
    }
    gone.sort();
    gone
}

async fn rows(bench: &Bench) -> u64 {
    let shown = bench.run(&["state", "show", "acme/threads", "--json"]).await.exits(0).json();
    shown["state"]["rows"].as_u64().unwrap()
}

async fn the_hold(bench: &Bench) -> Value {
    let list = bench.run(&["hold", "list", "--json"]).await.exits(0).list();
    let [hold] = list.as_slice() else { panic!("one hold: {list:?}") };
    hold.clone()
}

/// Two looks that miss the same; the id the person is told.
async fn held_twice(bench: &Bench) -> String {
    bench.once().await;
    assert_eq!(bench.events().await, Vec::<Value>::new(), "not at the first look");
    bench.once().await.says(&["removals held as"]);
    bench.once().await;
    let events = bench.events().await;
    assert_eq!(facts(&events), ["source.change_held acme"], "once, and no removal");
    let hold = the_hold(bench).await;
    assert_eq!(events[0]["data"]["hold"], hold["id"]);
    assert_eq!(text(&events[0], "severity"), "warning");
    text(&hold, "id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_list_is_held_told_at_the_second_look_and_dissolves_when_the_records_are_back() {
    let bench = bench().await;
    lose_all(&bench);
    held_twice(&bench).await;
    let events = bench.events().await;
    let data = &events[0]["data"];
    assert_eq!((&data["count"], &data["known"], &data["collection"]), (&json!(40), &json!(40), &json!("threads")));
    let sample: Vec<&str> = data["sample"].as_array().unwrap().iter().map(|k| k.as_str().unwrap()).collect();
    let all = bench.workspace.thread_ids();
    assert!(!sample.is_empty() && sample.iter().all(|key| all.iter().any(|id| id == key)), "{sample:?}");
    assert_eq!(rows(&bench).await, 40);
    bench.workspace.clear_faults();
    bench.once().await;
    assert_eq!(bench.run(&["hold", "list", "--json"]).await.exits(0).list(), Vec::<Value>::new());
    bench.once().await;
    assert_eq!(bench.events().await.len(), 1, "no flood, neither way");
    assert_eq!(accepted(&bench.hook), bench.events().await);
    assert_eq!(rows(&bench).await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_hold_happens() {
    let bench = bench().await;
    let gone = lose_some(&bench);
    let new = bench.workspace.add_member("Dee", "dee@example.com", ampbridge::demo::Role::Member);
    assert!(!new.is_empty());
    bench.once().await;
    assert_eq!(facts(&bench.events().await), ["member.added dee@example.com"], "the rest of the look is committed");
    bench.once().await;
    let hold = text(&the_hold(&bench).await, "id").to_owned();
    bench.run(&["hold", "approve", "hold_none"]).await.exits(1).says(&["hold_none", "hold list"]);
    bench.run(&["hold", "approve", &hold]).await.exits(0).says(&["8 records"]);
    bench.once().await;
    let mut expected: Vec<String> = gone.iter().map(|id| format!("thread.deleted {id}")).collect();
    expected.insert(0, "source.change_held acme".to_owned());
    expected.insert(0, "member.added dee@example.com".to_owned());
    assert_eq!(facts(&bench.events().await), expected);
    assert_eq!(facts(&accepted(&bench.hook)), expected);
    assert_eq!(rows(&bench).await, 32);
    bench.run(&["hold", "approve", &hold]).await.exits(1);
    bench.once().await;
    assert_eq!(bench.events().await.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_hold_is_quiet_until_the_set_changes() {
    let bench = bench().await;
    lose_some(&bench);
    let hold = held_twice(&bench).await;
    bench.run(&["hold", "reject", &hold]).await.exits(0);
    for _ in 0..3 {
        bench.once().await;
    }
    assert_eq!(bench.events().await.len(), 1, "quiet");
    assert_eq!(rows(&bench).await, 40, "the records are kept");
    assert_eq!(the_hold(&bench).await["state"], "rejected");
    let more = bench.workspace.thread_ids().pop().unwrap();
    bench.workspace.remove_thread(&more).unwrap();
    bench.once().await;
    bench.once().await;
    let events = bench.events().await;
    assert_eq!(facts(&events), ["source.change_held acme", "source.change_held acme"]);
    assert_ne!(events[0]["data"]["hold"], events[1]["data"]["hold"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebaselined_hold_is_forgotten_silently() {
    let bench = bench().await;
    lose_some(&bench);
    let hold = held_twice(&bench).await;
    bench.run(&["hold", "rebaseline", &hold]).await.exits(0).says(&["8 records", "silently"]);
    bench.once().await;
    bench.once().await;
    assert_eq!(facts(&bench.events().await), ["source.change_held acme"]);
    assert_eq!(rows(&bench).await, 32);
    // What goes after that is believed again.
    let one = bench.workspace.thread_ids().pop().unwrap();
    bench.workspace.remove_thread(&one).unwrap();
    bench.once().await;
    bench.once().await;
    assert_eq!(facts(&bench.events().await), ["source.change_held acme".to_owned(), format!("thread.deleted {one}")]);
}
