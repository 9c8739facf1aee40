//! Bad input, the row about a source's answers: the look is Partial (or a row is left out and the look is good), what
//! is known stays, nothing counts as removed, one log line, `source.failing` after three, `source.recovered` after.

use ampbridge::demo::{Fault, FaultRule, SeedOptions};
use serde_json::Value;

use crate::harness::{ACME, Bench, HEAD, HOOK, Ran, accepted, all_to, facts, text};

const BUDGET: &str = r#"
[rules.daily-budget]
kind = "budget"
limit_usd = 1000
period = "day"
"#;
const THREADS: &str = "/api/v2/threads";
const MEMBERS: &str = "/api/v2/workspace/members";
const USAGE: &str = "/api/v2/workspace/analytics";

/// 120 threads (two pages), 5 members, 20 days of usage, all known; what is added later is a member.
async fn bench() -> Bench {
    let options = SeedOptions { seed: 6, threads: 120, members: 5, days: 20, model_costs: true };
    let bench = Bench::seeded(&options, &[HEAD, ACME, BUDGET, HOOK, &all_to(&["hook"])]).await;
    bench.once().await;
    bench
}

fn rule(prefix: &str, fault: Fault) -> FaultRule {
    FaultRule { prefix: prefix.to_owned(), fault, count: None, skip: 0 }
}

/// What is known: rows and their number, per collection.
async fn known(bench: &Bench) -> Vec<(String, Value)> {
    let mut known = Vec::new();
    for collection in ["acme/threads", "acme/members"] {
        let shown = bench.run(&["state", "show", collection, "--limit", "1000", "--json"]).await.exits(0).json();
        known.push((collection.to_owned(), shown["rows"].clone()));
    }
    known
}

/// Lines of the log about one collection.
fn lines(ran: &Ran, collection: &str) -> usize {
    let name = format!("acme/{collection}");
    ran.stderr.lines().filter(|l| l.contains(&name) && l.contains("look cut short")).count()
}

/// The whole of the row, for a fault at some paths, whose looks are `cut`.
async fn partial(faults: &[(&str, Fault)], cut: &[&str], says: &str) {
    let bench = bench().await;
    if faults.iter().any(|(_, fault)| *fault == Fault::Hang) {
        let quick = ACME.replace("20s", "1s");
        bench.configure(&[HEAD, &quick, BUDGET, HOOK, &all_to(&["hook"])]);
    }
    let before = known(&bench).await;
    assert_eq!(before[0].1.as_array().unwrap().len(), 120);
    for (prefix, fault) in faults {
        bench.workspace.add_fault(rule(prefix, fault.clone()));
    }
    for look in 1..=4 {
        let ran = bench.run(&["once"]).await.exits(1);
        ran.says(&["cut short", says]);
        for collection in cut {
            assert_eq!(lines(&ran, collection), 1, "one line a look:\n{}", ran.stderr);
        }
        let expected: &[&str] = if look < 3 { &[] } else { &["source.failing acme"] };
        assert_eq!(facts(&bench.events().await), expected, "at look {look}");
    }
    assert_eq!(known(&bench).await, before, "what is known stays");
    bench.workspace.clear_faults();
    bench.once().await;
    bench.once().await;
    let events = bench.events().await;
    assert_eq!(facts(&events), ["source.failing acme", "source.recovered acme"]);
    assert_eq!(accepted(&bench.hook), events);
    let failing = &events[0]["data"];
    assert_eq!(failing["failures"], 3);
    assert!(cut.contains(&text(failing, "collection")), "{failing}");
    assert_eq!((text(&events[0], "severity"), text(&events[1], "severity")), ("warning", "info"));
    assert_eq!(failing["incident"], events[1]["data"]["incident"]);
    assert_eq!(known(&bench).await, before);
    assert_eq!(bench.workspace.counters().writes_attempted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn html_instead_of_json() {
    let all = ["threads", "members", "daily_usage"];
    partial(&[("/api", Fault::Html)], &all, "a web page").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_body() {
    // The second page, for threads: the first one was fine and counts.
    partial(&[(THREADS, Fault::CutBody(700)), (MEMBERS, Fault::CutBody(40))], &["threads", "members"], "broke off")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_utf_8() {
    let all = ["threads", "members", "daily_usage"];
    partial(&[("/api", Fault::InvalidUtf8)], &all, "not UTF-8").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_200_with_an_error_inside() {
    let all = ["threads", "members", "daily_usage"];
    partial(&[("/api", Fault::ErrorInside200)], &all, "an error inside").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_another_shape() {
    let all = ["threads", "members", "daily_usage"];
    partial(&[("/api", Fault::WrongShape)], &all, "has no list").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_paging() {
    let faults = [(THREADS, Fault::EndlessPaging), (MEMBERS, Fault::EndlessPaging)];
    partial(&faults, &["threads", "members"], "page 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_cursor() {
    let faults = [(THREADS, Fault::RepeatCursor), (MEMBERS, Fault::RepeatCursor)];
    partial(&faults, &["threads", "members"], "page 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_page_with_more() {
    let faults = [(THREADS, Fault::EmptyPageWithMore), (MEMBERS, Fault::EmptyPageWithMore)];
    partial(&faults, &["threads", "members"], "is empty yet names a next page").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_20_mb() {
    let faults = [(THREADS, Fault::HugeRow(20 << 20))];
    partial(&faults, &["threads"], "more than 16777216 bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_hangs_or_hangs_up() {
    let faults = [
        (THREADS, Fault::Hang),
        (MEMBERS, Fault::Status { code: 500, retry_after: None }),
        (USAGE, Fault::DropConnection),
    ];
    partial(&faults, &["threads", "members", "daily_usage"], "no complete answer within 1s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_asks_to_wait_is_left_alone_and_keeps_what_is_known() {
    let bench = bench().await;
    let fault = Fault::Status { code: 429, retry_after: Some("600".to_owned()) };
    bench.workspace.add_fault(FaultRule { count: Some(1), ..rule(THREADS, fault) });
    let before = bench.workspace.counters().requests;
    bench.run(&["once"]).await.exits(1).says(&["wait 600 s"]);
    let asked = bench.workspace.log_since(before);
    assert_eq!(asked.iter().filter(|e| e.path.starts_with("/api")).count(), 1, "nobody calls in between: {asked:?}");
    assert_eq!(bench.events().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_and_bad_keys_are_left_out_and_counted_and_the_look_is_good() {
    let bench = bench().await;
    let before = known(&bench).await;
    bench.workspace.add_fault(rule("/api", Fault::WrongTypes));
    for _ in 0..3 {
        let ran = bench.once().await;
        ran.says(&["threads 79 rows, 41 left out", "members 3 rows, 2 left out", "daily_usage", "left out"]);
        let told = |name: &str| ran.stderr.lines().filter(|l| l.contains(name) && l.contains("rows left out")).count();
        assert_eq!((told("acme/threads"), told("acme/members"), told("acme/daily_usage")), (1, 1, 1), "{}", ran.stderr);
    }
    // Fields of a wrong type count as absent; what is absent keeps its old value and says so once per collection.
    let events = bench.events().await;
    assert!(events.iter().all(|e| e["type"] == "source.degraded"), "{events:?}");
    assert!(events.len() <= 2, "once per collection: {events:?}");
    for ((_, now), (name, then)) in known(&bench).await.iter().zip(&before) {
        for (now, then) in now.as_array().unwrap().iter().zip(then.as_array().unwrap()) {
            // Key, version, watched fields, name: what makes events.
            for part in ["k", "v", "f", "n"] {
                assert_eq!(now[part], then[part], "{name}: what is known stays, and nothing is removed");
            }
        }
    }
    bench.workspace.clear_faults();
    bench.once().await;
    bench.once().await;
    assert_eq!(bench.events().await.len(), events.len());
    assert_eq!(known(&bench).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_page_in_the_middle_still_brings_what_came_before_it() {
    let bench = bench().await;
    let thread = ampbridge::demo::NewThread {
        title: Some("new".into()),
        creator: "member1@example.com".into(),
        // Listed first, however new it is.
        first_synced_at: Some("2020-01-01T00:00:00Z".parse().unwrap()),
        ..Default::default()
    };
    let thread = bench.workspace.add_thread(thread).unwrap();
    let late = bench.workspace.thread_ids().pop().unwrap();
    bench.workspace.remove_thread(&late).unwrap();
    bench.workspace.add_fault(FaultRule { skip: 1, ..rule(THREADS, Fault::Html) });
    for _ in 0..3 {
        bench.run(&["once"]).await.exits(1);
        bench.workspace.clear_faults();
        bench.workspace.add_fault(FaultRule { skip: 1, ..rule(THREADS, Fault::Html) });
    }
    assert_eq!(facts(&bench.events().await), ["source.failing acme".to_owned(), format!("thread.created {thread}")]);
    bench.workspace.clear_faults();
    bench.once().await;
    bench.once().await;
    let expected = [
        "source.failing acme".to_owned(),
        "source.recovered acme".into(),
        format!("thread.created {thread}"),
        format!("thread.deleted {late}"),
    ];
    assert_eq!(facts(&bench.events().await), expected);
}
