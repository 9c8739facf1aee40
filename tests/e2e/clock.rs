//! Bad input, the row about clocks: jumps of a day either way, a day that ends during a poll, a change to summer time.
//! No budget event is lost and none is doubled.
//!
//! The process lives in the world of the fake through libfaketime; where that isn't installed these tests say so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ampbridge::demo::{Fault, FaultRule, Reply};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{ACME, Bench, HEAD, HOOK, accepted, all_to, facts, run, text, wait};

const BUDGET: &str = r#"
[rules.daily-budget]
kind = "budget"
limit_usd = 200
period = "day"
"#;

/// The library that fakes the clock, or a loud word that it is missing.
pub fn faketime() -> Option<PathBuf> {
    let known =
        ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|arch| format!("/usr/lib/{arch}/faketime/libfaketimeMT.so.1"));
    let more = ["/usr/lib/faketime/libfaketimeMT.so.1".to_owned(), "/usr/lib64/faketime/libfaketimeMT.so.1".to_owned()];
    let found = known.into_iter().chain(more).map(PathBuf::from).find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: libfaketime is not installed (apt install faketime), so no clock can be made to jump");
    }
    found
}

/// A command whose clock is as far ahead as a file says.
pub fn faked(bench: &Bench, library: &PathBuf, args: &[&str]) -> Command {
    let mut command = bench.command(args);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", bench.path("clock"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

/// Sets the clock of the processes.
fn set_clock(bench: &Bench, ahead: i64) {
    let fresh = bench.path("clock.new");
    std::fs::write(&fresh, format!("{ahead:+}\n")).unwrap();
    std::fs::rename(fresh, bench.path("clock")).unwrap();
}

/// Sets the clock of the processes and of the world around them.
pub fn set_both(bench: &Bench, ahead: i64) {
    bench.set_ahead(ahead);
    set_clock(bench, ahead);
}

async fn once(bench: &Bench, library: &PathBuf) {
    run(faked(bench, library, &["once"]), "once").await.exits(0);
}

async fn events(bench: &Bench, library: &PathBuf) -> Vec<Value> {
    let mut list = run(faked(bench, library, &["events", "list", "--json"]), "events").await.exits(0).list();
    list.reverse();
    list
}

fn told(events: &[Value]) -> Vec<(&str, &str, &Value)> {
    let told = events.iter().map(|e| (text(e, "type"), text(&e["data"], "period_start"), &e["data"]["threshold"]));
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_a_day_ahead_and_back_loses_and_doubles_no_budget_event() {
    let Some(library) = faketime() else { return };
    let bench = Bench::start(&[HEAD, ACME, BUDGET, HOOK, &all_to(&["hook"])]).await;
    // The receiver has no say in what time it is.
    bench.hook.set_usual(Some(Reply::status(204)));
    set_clock(&bench, 0);
    once(&bench, &library).await;
    let mut service = bench.start_service(faked(&bench, &library, &["run"]));
    service.wait_ready(&bench).await;
    let polls = || {
        let asked = |path: &str| bench.workspace.log().iter().filter(|e| e.path.ends_with(path)).count();
        asked("/daily-usage").min(asked("/threads"))
    };
    let day = 86_400;
    for (ahead, usd) in
        [(0, "120.00"), (day, "170.00"), (0, "172.00"), (-day, "250.00"), (0, "251.00"), (day, "252.00")]
    {
        set_clock(&bench, ahead);
        let before = polls();
        wait(&format!("the polls go on with the clock at {ahead:+}"), || polls() > before).await;
        bench.spend_today("bo@example.com", usd);
        let before = polls();
        wait(&format!("the spend is seen with the clock at {ahead:+}"), || polls() > before + 1).await;
    }
    set_clock(&bench, 0);
    // A clock that stays behind for long enough is told as the source failing, too; how many looks fall into that is chance.
    let delivered = || {
        let mut seen = accepted(&bench.hook);
        seen.retain(|event| text(event, "type").starts_with("budget."));
        seen
    };
    wait("all three are told", || delivered().len() >= 3).await;
    assert_eq!(service.terminate().await, Some(0));
    once(&bench, &library).await;
    let mut events = events(&bench, &library).await;
    events.retain(|event| text(event, "type").starts_with("budget."));
    let today = bench.workspace.today().to_string();
    let reached = "budget.threshold_reached";
    assert_eq!(
        told(&events),
        [(reached, &*today, &json!(50.0)), (reached, &today, &json!(80.0)), ("budget.exceeded", &today, &json!(100.0))]
    );
    let mut ids: Vec<String> = delivered().iter().map(|event| text(event, "id").to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_ends_during_a_poll_is_told_once_and_so_is_the_next() {
    let Some(library) = faketime() else { return };
    let bench = Bench::start(&[HEAD, ACME, BUDGET, HOOK, &all_to(&["hook"])]).await;
    set_both(&bench, 0);
    once(&bench, &library).await;
    let (first, now) = (bench.workspace.today(), Timestamp::now().as_second());
    let midnight = (now.div_euclid(86_400) + 1) * 86_400;
    bench.spend(first, "bo@example.com", "230.00");
    // Begins before midnight; the answer comes when another day is on both clocks.
    let late = Fault::DelayMs(6_000);
    bench.workspace.add_fault(FaultRule {
        prefix: "/api/v2/workspace/analytics".into(),
        fault: late,
        count: Some(1),
        skip: 0,
    });
    set_both(&bench, midnight - now - 3);
    once(&bench, &library).await;
    assert_ne!(bench.workspace.today(), first, "midnight has passed");
    once(&bench, &library).await;
    let second = bench.workspace.today();
    bench.spend(second, "bo@example.com", "210.00");
    once(&bench, &library).await;
    once(&bench, &library).await;
    let events = events(&bench, &library).await;
    let (first, second) = (first.to_string(), second.to_string());
    let seen: Vec<(&str, &str)> = told(&events).iter().map(|(kind, start, _)| (*kind, *start)).collect();
    assert_eq!(seen, [("budget.exceeded", &*first), ("budget.exceeded", &*second)]);
    assert_eq!(accepted(&bench.hook), events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_to_summer_time_and_back_loses_and_doubles_nothing() {
    let Some(library) = faketime() else { return };
    let head = HEAD.replace("name = \"bridge\"", "name = \"bridge\"\ntimezone = \"Europe/Berlin\"");
    // Both changes of one year are to be seen at its end.
    let head = head.replace("path = \"store\"", "path = \"store\"\nkeep = \"400d\"\nkeep_dead = \"400d\"");
    let bench = Bench::start(&[&head, ACME, BUDGET, HOOK, &all_to(&["hook"])]).await;
    set_both(&bench, 0);
    once(&bench, &library).await;
    let mut expected = Vec::new();
    // The clocks of Berlin change at one o'clock UTC.
    for change in ["2027-03-28T01:00:00Z", "2027-10-31T01:00:00Z"] {
        let ahead = change.parse::<Timestamp>().unwrap().as_second() - Timestamp::now().as_second();
        for (seconds, usd, kind) in [(-60, "120.00", "budget.threshold_reached"), (60, "220.00", "budget.exceeded")] {
            set_both(&bench, ahead + seconds);
            bench.workspace.set_usage(bench.workspace.today(), "bo@example.com", usd, BTreeMap::new()).unwrap();
            once(&bench, &library).await;
            once(&bench, &library).await;
            expected.push((kind.to_owned(), change[..10].to_owned()));
        }
    }
    let events = events(&bench, &library).await;
    let seen: Vec<(String, String)> = told(&events).iter().map(|t| (t.0.to_owned(), t.1.to_owned())).collect();
    assert_eq!(seen, expected);
    assert_eq!(facts(&accepted(&bench.hook)), facts(&events));
}
