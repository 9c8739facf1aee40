//! Budgets and dear threads through the whole program.

use ampbridge::demo::NewThread;
use serde_json::json;

use crate::harness::{ACME, Bench, HEAD, HOOK, accepted, all_to, facts, text};

const BUDGET: &str = r#"
[rules.daily-budget]
kind = "budget"
limit_usd = 200
period = "day"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_already_exceeded_at_first_sight_is_one_baseline_warning() {
    let per_user = BUDGET.replace("daily-budget", "per-user").replace("period", "per = \"user\"\nperiod");
    let bench = Bench::start(&[HEAD, ACME, BUDGET, &per_user, HOOK, &all_to(&["hook"])]).await;
    bench.spend_today("ana@example.com", "250.00");
    bench.spend_today("bo@example.com", "220.00");
    bench.once().await;
    bench.once().await;
    let events = bench.events().await;
    let ana = format!("user:{}", bench.workspace.user("ana@example.com").unwrap().id);
    let bo = format!("user:{}", bench.workspace.user("bo@example.com").unwrap().id);
    assert_eq!(facts(&events), [format!("budget.exceeded {ana}"), "budget.exceeded workspace".to_owned()]);
    for event in &events {
        assert_eq!((text(event, "severity"), &event["data"]["baseline"]), ("warning", &json!(true)), "{event}");
        assert_eq!(event["data"]["thresholds_crossed"], json!([50.0, 80.0, 100.0]));
    }
    let worst = events.iter().find(|e| e["subject"] == *ana).unwrap();
    assert_eq!(worst["data"]["also"], json!([bo]), "one event for all that was so already");
    assert_eq!(accepted(&bench.hook).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_threshold_is_told_once_and_a_jump_tells_the_highest() {
    let bench = Bench::start(&[HEAD, ACME, BUDGET, HOOK, &all_to(&["hook"])]).await;
    bench.once().await;
    for (usd, told) in
        [("99.99", 0), ("100.00", 1), ("120.00", 1), ("159.99", 1), ("199.99", 2), ("90.00", 2), ("900.00", 3)]
    {
        bench.spend_today("bo@example.com", usd);
        bench.once().await;
        assert_eq!(bench.events().await.len(), told, "at {usd}");
    }
    let events = bench.events().await;
    let seen: Vec<_> = events.iter().map(|e| (text(e, "type"), &e["data"]["threshold"])).collect();
    assert_eq!(
        seen,
        [
            ("budget.threshold_reached", &json!(50.0)),
            ("budget.threshold_reached", &json!(80.0)),
            ("budget.exceeded", &json!(100.0))
        ]
    );
    assert_eq!(events[2]["data"]["top"]["users"][0]["who"]["email"], "bo@example.com");
    let severities: Vec<&str> = events.iter().map(|e| text(e, "severity")).collect();
    assert_eq!(severities, ["warning", "warning", "critical"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dear_thread_is_told_once_per_limit() {
    let rule = "[rules.dear]\nkind = \"thread_cost\"\nlimits_usd = [5, 25, 100]\n";
    let route = "[[routes]]\nevents = [\"thread.cost_exceeded\"]\nsinks = [\"hook\"]\n";
    let bench = Bench::start(&[HEAD, ACME, rule, HOOK, route]).await;
    let thread = |usd: &str| NewThread {
        title: Some("Port the parser".into()),
        creator: "cy@example.com".into(),
        usage: Some(usd.parse().unwrap()),
        ..NewThread::default()
    };
    // Who has which email, the daily usage tells.
    bench.spend_today("cy@example.com", "6.00");
    let old = bench.workspace.add_thread(thread("6.00")).unwrap();
    bench.once().await;
    let new = bench.workspace.add_thread(thread("30.00")).unwrap();
    bench.once().await;
    bench.once().await;
    let events = accepted(&bench.hook);
    assert_eq!(facts(&events).len(), 2, "{events:?}");
    let of = |id: &str| events.iter().find(|e| e["subject"] == *id).unwrap();
    assert_eq!(of(&old)["data"]["baseline"], true);
    assert_eq!(
        (&of(&new)["data"]["cost_usd"], &of(&new)["data"]["limits_crossed"]),
        (&json!("30.00"), &json!(["5.00", "25.00"]))
    );
    assert_eq!(of(&new)["data"]["who"]["email"], "cy@example.com");
}
