//! The guard, the ledger and backtests, seen from outside.

use serde_json::{Value, json};

use crate::harness::{ACME, Bench, HEAD, HOOK, all_to, run, text};
use crate::service::client;

const BUDGETS: &str = r#"
[groups]
backend = ["ana@example.com"]
[rules.daily-budget]
kind = "budget"
limit_usd = 200
period = "day"
[rules.person]
kind = "budget"
limit_usd = 100
period = "day"
per = "user"
[rules.team]
kind = "budget"
limit_usd = 1000
period = "month"
per = "group"
[rules.spikes]
kind = "spike"
per = "user"
preset = "eager"
floor_usd = 4.5
"#;

async fn bench() -> Bench {
    Bench::start(&[HEAD, ACME, BUDGETS, HOOK, &all_to(&["hook"])]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn guard_answers_by_its_exit_code_without_a_service() {
    let bench = bench().await;
    bench.run(&["guard"]).await.exits(30).says(&["has never been read"]);
    bench.run(&["guard", "--on-unknown", "allow"]).await.exits(0);
    bench.run(&["guard", "--on-unknown", "deny"]).await.exits(20);
    bench.once().await;
    bench.run(&["guard"]).await.exits(0).says(&["under: $"]);
    bench.spend_today("bo@example.com", "120.00");
    bench.once().await;
    bench.run(&["guard"]).await.exits(0).says(&["warn: $"]);
    bench.run(&["guard", "--fail-on", "warn"]).await.exits(10);
    bench.run(&["guard", "--scope", "user:bo@example.com"]).await.exits(20).says(&["over: $120.00 of $100.00 (120 %)"]);
    bench.run(&["guard", "--scope", "user:ana@example.com", "--scope", "group:backend"]).await.exits(0);
    bench.run(&["guard", "--scope", "model:gpt-5"]).await.exits(30).says(&["no budget covers"]);
    bench.run(&["guard", "--scope", "group:backends"]).await.exits(30).says(&["there is no group \"backends\""]);
    bench.run(&["guard", "--scope", "user:nobody@example.com"]).await.exits(0).says(&["under: $0.00"]);
    for slip in ["bogus", "Workspace", "", "user:"] {
        bench.run(&["guard", "--scope", slip]).await.exits(2);
    }
    bench.run(&["guard", "--rule", "persom"]).await.exits(2).says(&["did you mean"]);
    let answer = bench.run(&["guard", "--json", "--rule", "daily-budget"]).await.exits(0).json();
    assert_eq!((&answer["state"], &answer["checks"][0]["limit_usd"]), (&json!("warn"), &json!("200.00")));
    assert!(answer["checks"][0]["data_age_seconds"].as_i64().unwrap() >= 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_answers_the_guard_and_a_pipeline_is_stopped() {
    let bench = bench().await;
    bench.once().await;
    bench.spend_today("bo@example.com", "250.00");
    bench.once().await;
    let service = bench.service().await;
    let client = client();
    let ask = |scope: &str, token: &str| {
        let request = client.get(format!("{}/guard", service.base)).query(&[("scope", scope)]);
        request.bearer_auth(token.to_owned()).send()
    };
    for (scope, status) in
        [("workspace", 402), ("user:bo@example.com", 402), ("user:ana@example.com", 200), ("model:x", 503)]
    {
        let answer = ask(scope, &service.token).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{scope}");
        let body: Value = answer.json().await.unwrap();
        assert!(body["state"].is_string(), "{body}");
    }
    assert_eq!(ask("workspace", "wrong").await.unwrap().status().as_u16(), 401);
    for (query, status) in [
        ("scope=bogus", 400),
        ("scope=", 400),
        ("scope=workspace&scopes=user:x", 400),
        ("max_age_seconds=soon", 400),
        ("rule=nope", 400),
        ("scope=group:nope", 503),
        ("scope=model:x&on_unknown=allow", 200),
        ("scope=model:x&on_unknown=deny", 402),
        ("scope=user:ana@example.com&fail_on=warn", 200),
    ] {
        let request = client.get(format!("{}/guard?{query}", service.base)).bearer_auth(service.token.clone());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{query}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"].is_string(), status == 400, "{query}: {body}");
    }
    let odd = client.get(format!("{}/api/v1/events?what=1", service.base)).bearer_auth(service.token.clone());
    let odd = odd.send().await.unwrap();
    assert_eq!((odd.status().as_u16(), odd.json::<Value>().await.unwrap()["error"].is_string()), (400, true));
    bench.run(&["guard"]).await.exits(20).says(&["over: $"]);
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no curl, which deploy/ci/guard.sh needs");
        return;
    }
    for (scope, code) in [("workspace", 20), ("user:ana@example.com", 0), ("model:x", 30)] {
        let mut script = tokio::process::Command::new("sh");
        script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/ci/guard.sh")).arg(scope);
        script.env("AMPBRIDGE_URL", &service.base).env("AMPBRIDGE_TOKEN", &service.token);
        let ran = run(script, "guard.sh").await;
        assert!(!ran.said().contains(&service.token), "the token is shown");
        ran.exits(code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_can_be_looked_at() {
    let bench = bench().await;
    bench.once().await;
    bench.spend_today("bo@example.com", "90.00");
    bench.once().await;
    let by_user = bench.run(&["spend", "show", "--by", "user", "--json"]).await.exits(0).json();
    let rows = by_user["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["name"] == "bo@example.com"), "{by_user}");
    let days = bench.run(&["spend", "show", "--csv"]).await.exits(0);
    assert!(days.stdout.lines().count() == 31 && days.stdout.contains(",open"), "{}", days.stdout);
    let chart = bench.run(&["spend", "chart", "--scope", "user:bo@example.com"]).await.exits(0);
    assert!(chart.stdout.contains('█') && chart.stdout.contains("$90.00"), "{}", chart.stdout);
    let why = bench.run(&["spend", "why", "--scope", "user:bo@example.com"]).await.exits(0);
    why.says(&["bo@example.com", "at least $90.00"]);
    bench.run(&["spend", "show", "--since", "2999-01-01"]).await.exits(2);
    bench.run(&["spend", "why", "--day", "2999-01-01"]).await.exits(2).says(&["is in the future"]);
    let long_ago = bench.run(&["spend", "why", "--day", "2020-01-01"]).await.exits(0);
    long_ago.says(&["?, nobody knows what was spent"]);
    let state = bench.run(&["state", "show", "--json"]).await.exits(0).json();
    let usage =
        state["collections"].as_array().unwrap().iter().find(|c| c["collection"] == "acme/daily_usage").unwrap();
    assert!(usage["rows"].as_u64() > Some(0) && usage["days"].as_u64() > Some(0), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn backtests_play_the_ledger_a_source_and_a_file() {
    let bench = bench().await;
    let spike = ampbridge::domain::time::minus_days(ampbridge::domain::time::utc_day(jiff::Timestamp::now()), 9);
    for back in 0..40 {
        let day = ampbridge::domain::time::minus_days(spike, back - 8);
        bench.spend(day, "ana@example.com", if day == spike { "180.00" } else { "12.00" });
    }
    let live = bench.run(&["backtest", "--source", "acme", "--json"]).await.exits(0).json();
    let ana = format!("user:{}", bench.workspace.user("ana@example.com").unwrap().id);
    let of_ana = |report: &Value| -> Vec<Value> {
        let events = report["events"].as_array().unwrap().iter();
        events.filter(|e| e["subject"] == *ana && e["data"]["date"] == spike.to_string()).cloned().collect()
    };
    let found = of_ana(&live);
    assert_eq!(
        found.iter().map(|e| text(e, "type")).collect::<Vec<_>>(),
        ["cost.spike", "cost.spike_resolved"],
        "{live}"
    );
    assert!(bench.run(&["events", "list", "--json"]).await.exits(0).list().is_empty(), "nothing is stored");
    bench.once().await;
    let stored = bench.run(&["backtest", "--json", "--rule", "spikes"]).await.exits(0).json();
    assert_eq!(of_ana(&stored)[0]["id"], found[0]["id"], "the same ids");
    bench.run(&["backtest", "--suggest"]).await.exits(0).says(&["limit_usd = ", "preset = \"default\""]);
    bench.run(&["backtest", "--forecasts"]).await.exits(0).says(&["workspace"]);
    bench.run(&["backtest", "--from", "2026-02-01", "--to", "2026-01-31"]).await.exits(2).says(&["is after"]);
    std::fs::write(bench.path("odd.csv"), "who,when\n1,2\n").unwrap();
    let odd = bench.path("odd.csv");
    bench.run(&["backtest", "--csv", odd.to_str().unwrap()]).await.exits(2).says(&["has no column series or user"]);
}
