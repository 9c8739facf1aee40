//! Webhooks with settings of their own, seen from outside: pauses, forms of known receivers, secrets being rotated.

use ampbridge::demo::{Fault, FaultRule, Reply};
use ampbridge::domain::signing::{VerifyingKey, signing_key};
use serde_json::Value;

use crate::harness::{ACME, Bench, HEAD, HOOK, HOOK2, accepted, all_to, facts, text, wait};

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Longer than any test waits, so that what comes within it came in spite of it.
const PATIENT: &str = "retry = { min = \"1h\", max = \"1h\" }";

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_on_429_502_or_504_holds_that_sink_and_no_other() {
    let patient = HOOK.replace("retry = { min = \"100ms\", max = \"400ms\" }", PATIENT);
    assert!(patient.contains(PATIENT));
    for (status, tries) in [(429, 1), (502, 1), (504, 1), (500, 2)] {
        let bench = Bench::start(&[HEAD, ACME, &patient, HOOK2, &all_to(&["hook", "hook2"])]).await;
        bench.once().await;
        bench.hook.set_usual(Some(Reply::status(status)));
        let mut service = bench.service().await;
        bench.add_thread("one");
        wait("the first attempt", || bench.hook.received().len() == 1).await;
        bench.add_thread("two");
        wait("both at the healthy one", || accepted(&bench.hook2).len() == 2).await;
        // 500 says nothing about the next event: that one is tried at once, and proves that it could have been.
        wait("what is tried at all", || bench.hook.received().len() == tries).await;
        assert_eq!(service.terminate().await, Some(0));
        assert_eq!(bench.hook.received().len(), tries, "HTTP {status}");
    }
}

fn preset(name: &str, bench: &Bench, more: &str) -> String {
    format!(
        "[sinks.{name}]\nkind = \"webhook\"\npreset = \"{name}\"\nurl = \"http://{}/{name}\"\n{more}\n",
        bench.hook.addr()
    )
}

/// Bodies that came in under a path.
fn bodies(bench: &Bench, path: &str) -> Vec<Value> {
    bench.hook.received().iter().filter(|r| r.path.starts_with(path)).map(|r| r.json().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_opens_and_closes_one_incident_at_pagerduty_and_everybody_else_gets_their_form() {
    let bench = Bench::start(&[HEAD, ACME, HOOK2, &all_to(&["hook2"])]).await;
    bench.once().await;
    // Nothing here is signed, and the receiver is to take it all the same.
    bench.hook.set_usual(Some(Reply::status(202)));
    let sinks = [
        preset("pagerduty", &bench, &format!("routing_key = \"{ROUTING_KEY}\"")),
        preset("discord", &bench, ""),
        preset("github", &bench, "repository = \"acme/infra\"\nauth = { kind = \"bearer\", token = \"t0ken\" }"),
    ];
    let names = ["pagerduty", "discord", "github", "hook2"];
    bench.configure(&[HEAD, ACME, &sinks.concat(), HOOK2, &all_to(&names)]);
    bench.run(&["check"]).await.exits(0).says(&["in the form of PagerDuty", "not signed", "bearer token"]);
    let shown = bench.run(&["render", "--event", "cost.spike", "--sink", "pagerduty"]).await.exits(0);
    shown.says(&["\"event_action\": \"trigger\""]);
    assert!(!shown.said().contains(ROUTING_KEY), "{}", shown.stdout);

    bench.workspace.add_fault(FaultRule { prefix: "/api".to_owned(), fault: Fault::Html, count: None, skip: 0 });
    for _ in 0..3 {
        bench.run(&["once"]).await.exits(1);
    }
    bench.workspace.clear_faults();
    bench.once().await;
    bench.once().await;
    let events = bench.events().await;
    assert_eq!(facts(&events), ["source.failing acme", "source.recovered acme"]);
    let alerts = bodies(&bench, "/pagerduty");
    let incident = text(&events[0]["data"], "incident");
    let told: Vec<(&str, &str)> = alerts.iter().map(|a| (text(a, "event_action"), text(a, "dedup_key"))).collect();
    assert_eq!(told, [("trigger", incident), ("resolve", incident)], "{alerts:?}");
    assert_eq!(alerts[0]["payload"]["custom_details"]["id"], events[0]["id"]);
    assert_eq!(bodies(&bench, "/discord").len(), 2);
    let dispatches: Vec<Value> = bodies(&bench, "/github/repos/acme/infra/dispatches");
    let types: Vec<&str> = dispatches.iter().map(|d| text(d, "event_type")).collect();
    assert_eq!(types, ["source.failing", "source.recovered"]);
    assert_eq!(dispatches[0]["client_payload"]["event"], events[0]);
    let bearers = bench
        .hook
        .received()
        .iter()
        .filter(|r| r.path.starts_with("/github"))
        .all(|r| r.headers.get("authorization").is_some_and(|value| value == "Bearer t0ken"));
    assert!(bearers);
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_rotation_old_and_new_receivers_verify_and_verify_says_so_offline() {
    let pair = signing_key(&[9; 32]).unwrap();
    let both = HOOK.replace("[{ env = \"HOOK_SECRET\" }]", "[{ env = \"HOOK_SECRET\" }, { env = \"NEW_KEY\" }]");
    let mut bench = Bench::start(&[HEAD, ACME, &both, &all_to(&["hook"])]).await;
    bench.set_env("NEW_KEY", &pair);
    bench.run(&["check"]).await.exits(0).says(&["signed with 2 secret(s): v1 (key ", "v1a (key ", "whpk_"]);
    bench.once().await;
    bench.add_thread("one");
    bench.once().await;
    let received = bench.hook.received();
    let [one] = received.as_slice() else { panic!("{received:?}") };
    assert!(one.verified, "the old receiver goes on as before");
    let public = VerifyingKey::parse(&pair).unwrap();
    let signature = &one.headers["webhook-signature"];
    let (id, at) = (one.id.as_deref().unwrap(), one.timestamp.unwrap());
    assert!(signature.split(' ').any(|part| public.made(part, id, at, &one.body)), "{signature}");

    let lines: Vec<String> = one.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let head = lines.concat();
    let captured = [format!("POST {} HTTP/1.1\n{head}\n", one.path).as_bytes(), &one.body].concat();
    std::fs::write(bench.path("captured.http"), captured).unwrap();
    let verify = async |more: &[&str]| bench.run(&[&["verify", "captured.http"], more].concat()).await;
    verify(&["--key-env", "NEW_KEY", "--key-env", "HOOK_SECRET"])
        .await
        .exits(0)
        .says(&["(v1a) with NEW_KEY", "(v1) with HOOK_SECRET"]);
    verify(&["--key-env", "HOOK_SECRET", "--at", "2001-01-01T00:00:00Z"]).await.exits(1).says(&["more than 5m"]);
    verify(&["--public-key", "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="])
        .await
        .exits(1)
        .says(&["none of the 1 keys"]);
    std::fs::write(bench.path("body.json"), &one.body).unwrap();
    let lines: Vec<String> = ["id", "timestamp", "signature"]
        .map(|n| format!("Webhook-{n}: {}", one.headers[&format!("webhook-{n}")]))
        .into();
    let [id, at, signature] = lines.as_slice() else { panic!("three lines") };
    let flags = ["verify", "--header", id, "--header", at, "--header", signature, "--body", "body.json", "--key-env"];
    bench.run(&[&flags[..], &["NEW_KEY"]].concat()).await.exits(0).says(&["(v1a) with NEW_KEY"]);
    bench
        .run(&["verify", "--header", id, "--key-env", "NEW_KEY"])
        .await
        .exits(1)
        .says(&["webhook-timestamp is missing"]);
    verify(&[]).await.exits(2).says(&["no key to verify with"]);
    verify(&["--key-env", "NOT_THERE"]).await.exits(2).says(&["NOT_THERE is not set"]);
}
