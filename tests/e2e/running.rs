//! The service: what it serves, how it is talked to, and how it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use ampbridge::demo::{Reply, Role};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{
    ACME, Bench, HEAD, HOOK, HOOK2, accepted, all_to, assert_silent, facts, ids, run, text, until, wait,
};
use crate::service::client;

async fn bench() -> Bench {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    bench.add_thread("old");
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn new_threads_and_members_are_told_as_they_come() {
    let bench = bench().await;
    let mut service = bench.service().await;
    wait("the baseline is there", || bench.workspace.log().iter().any(|e| e.path.ends_with("/members"))).await;
    let rows = || async { bench.run(&["state", "show", "--json"]).await.exits(0).json()["collections"].clone() };
    until("all have their baseline", async || {
        let rows = rows().await;
        let done = rows.as_array()?.iter().filter(|row| row["baseline"].is_string()).count();
        (done == 3).then_some(())
    })
    .await;
    let mut expected = Vec::new();
    for n in 0..3 {
        let thread = bench.add_thread(&format!("thread {n}"));
        expected.push(format!("thread.created {thread}"));
        let email = format!("new{n}@example.com");
        bench.workspace.add_member("New", &email, Role::Member);
        expected.push(format!("member.added {email}"));
        expected.sort();
        wait(&format!("round {n} is told"), || facts(&accepted(&bench.hook)) == expected).await;
    }
    assert_eq!(bench.hook.received().len(), expected.len(), "once each");
    assert_eq!(service.terminate().await, Some(0));
    bench.once().await;
    assert_eq!(facts(&bench.events().await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_open_and_everything_else_needs_the_token_and_a_plain_host() {
    let bench = bench().await;
    let mut service = bench.service().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(service.get(path).await.status(), StatusCode::OK, "{path}");
    }
    bench.add_thread("new");
    wait("it is told", || !accepted(&bench.hook).is_empty()).await;
    let metrics = service.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("ampbridge_") && metrics.contains("hook"), "{metrics}");
    assert_silent("/metrics", &metrics);

    let paths = ["events", "deliveries", "sinks", "holds", "state", "export"];
    for path in paths.map(|p| format!("/api/v1/{p}")) {
        let url = format!("{}{path}", service.base);
        assert_eq!(service.get(&path).await.status(), StatusCode::UNAUTHORIZED, "{path}");
        let ask = |token: &str| client().get(&url).bearer_auth(token);
        assert_eq!(
            ask("wrong-token-of-some-length").send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
        let foreign = ask(&service.token).header("host", "evil.example.com").send().await.unwrap();
        assert_eq!(foreign.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
        let good = ask(&service.token).send().await.unwrap();
        assert_eq!(good.status(), StatusCode::OK, "{path}");
        let body = good.text().await.unwrap();
        assert_silent(&path, &body);
        assert!(!body.contains(&service.token));
    }
    let op = client().post(format!("{}/api/v1/op", service.base)).body(json!({ "op": "sinks_list" }).to_string());
    assert_eq!(op.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let mode = |name: &str| std::fs::metadata(bench.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("store"), mode("store/admin.token")), (0o700, 0o600));
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_through_the_running_service() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, &all_to(&["hook", "hook2"])]).await;
    bench.once().await;
    let mut service = bench.service().await;
    bench.run(&["sinks", "disable", "hook"]).await.exits(0);
    let thread = bench.add_thread("new");
    wait("the other sink has it", || !accepted(&bench.hook2).is_empty()).await;
    assert_eq!(bench.hook.received().len(), 0);
    let events = bench.events().await;
    assert_eq!(facts(&events), [format!("thread.created {thread}")]);
    let id = text(&events[0], "id");
    assert_eq!(bench.run(&["events", "show", id]).await.exits(0).json(), events[0]);
    bench.run(&["events", "explain", id]).await.exits(0).says(&["route 1 sends it to hook2", &thread]);
    bench.run(&["render", "--id", id, "--sink", "hook"]).await.exits(0).says(&[id]);
    let waiting = bench.run(&["deliveries", "list", "--sink", "hook", "--json"]).await.exits(0).list();
    assert_eq!((waiting.len(), text(&waiting[0], "state"), &waiting[0]["due"]), (1, "due", &Value::Null));
    let sinks = bench.run(&["sinks", "list", "--json"]).await.exits(0).list();
    let state = |name: &str| text(sinks.iter().find(|s| s["name"] == *name).unwrap(), "state").to_owned();
    assert_eq!((state("hook"), state("hook2")), ("stopped".into(), "on".into()));
    bench.run(&["sinks", "enable", "hook"]).await.exits(0);
    wait("it is released", || accepted(&bench.hook).len() == 1).await;
    bench.run(&["deliveries", "retry", text(&waiting[0], "id")]).await.exits(0);
    wait("it is sent again", || accepted(&bench.hook).len() == 2).await;
    assert_eq!(ids(&accepted(&bench.hook)), ids(&events), "under the same id");
    bench.run(&["state", "show"]).await.exits(0).says(&["acme/threads"]);
    bench.run(&["hold", "list", "--json"]).await.exits(0);
    bench.run(&["state", "export", "live.jsonl"]).await.exits(0);
    bench.run(&["events", "show", "evt_none"]).await.exits(1);
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_within_the_grace_though_a_receiver_hangs_and_a_client_never_finishes() {
    let patient = HOOK.replace("retry =", "timeout = \"10m\"\nretry =");
    let head = HEAD.replace("\"5s\"", "\"1s\"");
    let bench = Bench::start(&[&head, ACME, &patient, &all_to(&["hook"])]).await;
    bench.once().await;
    bench.hook.set_usual(Some(Reply::silence()));
    bench.add_thread("new");
    let mut service = bench.service().await;
    wait("the receiver hangs", || !bench.hook.received().is_empty()).await;
    let address = service.base.strip_prefix("http://").unwrap();
    let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").await.unwrap();
    assert_eq!(service.terminate().await, Some(0));
    bench.hook.set_usual(None);
    bench.once().await;
    let asked: Vec<Option<String>> = bench.hook.received().into_iter().map(|r| r.id).collect();
    assert_eq!((asked.len(), &asked[0]), (2, &asked[1]), "what was cut off comes again at once, under its id");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_sigint_let_what_is_under_way_finish() {
    for signal in ["-TERM", "-INT"] {
        let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
        bench.once().await;
        bench.hook.set_usual(Some(Reply::status(204).after(Duration::from_secs(1))));
        bench.add_thread("new");
        let mut service = bench.service().await;
        wait("it is on its way", || !bench.hook.received().is_empty()).await;
        service.signal(signal).await;
        assert_eq!(service.wait().await, Some(0), "{signal}");
        let deliveries = bench.deliveries().await;
        assert_eq!((deliveries.len(), text(&deliveries[0], "state")), (1, "delivered"), "{signal}");
        bench.once().await;
        assert_eq!(bench.hook.received().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_and_once_obeys_signals_too() {
    let patient = HOOK.replace("retry =", "timeout = \"10m\"\nretry =");
    let head = HEAD.replace("\"5s\"", "\"10m\"");
    let bench = Bench::start(&[&head, ACME, &patient, &all_to(&["hook"])]).await;
    bench.once().await;
    bench.hook.set_usual(Some(Reply::silence()));
    bench.add_thread("new");
    let mut service = bench.service().await;
    wait("the receiver hangs", || !bench.hook.received().is_empty()).await;
    service.signal("-TERM").await;
    until("it says so", async || service.log().contains("stopping").then_some(())).await;
    service.signal("-TERM").await;
    assert_eq!(service.wait().await, Some(0));

    let quick = HEAD.replace("\"5s\"", "\"1s\"");
    bench.configure(&[&quick, ACME, &patient, &all_to(&["hook"])]);
    let before = bench.hook.received().len();
    let command = bench.command(&["once"]);
    let once = tokio::spawn(run(command, "once"));
    wait("it hangs again", || bench.hook.received().len() > before).await;
    let pid = until("its lock", async || {
        let lock = std::fs::read_to_string(bench.path("store/lock")).ok()?;
        Some(lock.split_whitespace().nth(1)?.to_owned())
    })
    .await;
    assert!(tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ran = tokio::time::timeout(crate::harness::DEADLINE, once).await.expect("it ends").unwrap();
    assert!(ran.code.is_some_and(|code| code <= 1), "{ran:?}");
    bench.hook.set_usual(None);
    bench.once().await;
    assert_eq!(ids(&accepted(&bench.hook)), ids(&bench.events().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_is_called_after_full_rounds() {
    let mut bench = bench().await;
    let head = HEAD.replace("name = \"bridge\"", "name = \"bridge\"\nheartbeat_url = { env = \"HEARTBEAT\" }");
    bench.configure(&[&head, ACME, HOOK, &all_to(&["hook"])]);
    bench.set_env("HEARTBEAT", &format!("http://{}/heartbeat", bench.hook2.addr()));
    let mut service = bench.service().await;
    wait("two rounds", || bench.hook2.received().len() >= 2).await;
    assert!(bench.hook2.received().iter().all(|r| r.path == "/heartbeat" && r.method == "GET"));
    assert_eq!(service.terminate().await, Some(0));
}
