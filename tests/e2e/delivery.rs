//! What must be seen, line 6, and how webhooks are delivered: retries, order, stops, ends.

use std::time::Duration;

use ampbridge::demo::{Receiver, Reply, ThreadEdit};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{ACME, Bench, HEAD, HOOK, HOOK2, accepted, all_to, assert_proper, facts, ids, text, wait};
use crate::odd::{OddServer, WAYS};

fn both() -> String {
    all_to(&["hook", "hook2"])
}

fn retitle(bench: &Bench, thread: &str, title: &str) {
    let edit = ThreadEdit { title: Some(title.to_owned()), ..ThreadEdit::default() };
    bench.workspace.edit_thread(thread, edit).unwrap();
}

/// Ids of the requests, in order.
fn asked(receiver: &Receiver) -> Vec<String> {
    receiver.received().into_iter().map(|r| r.id.unwrap()).collect()
}

fn titles(events: &[Value]) -> Vec<String> {
    events.iter().map(|e| e["data"]["after"]["title"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_answers_503_gets_the_same_id_again_and_a_healthy_one_does_not_wait_for_it() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, &both()]).await;
    bench.once().await;
    bench.hook.set_usual(Some(Reply::status(503).retry_after("1")));
    let thread = bench.add_thread("one");
    let mut service = bench.service().await;
    wait("the healthy receiver has the event", || accepted(&bench.hook2).iter().any(|e| e["subject"] == *thread)).await;
    wait("three attempts at the other", || bench.hook.received().len() >= 3).await;
    assert_eq!(accepted(&bench.hook).len(), 0, "it has been taken nowhere but at the healthy one");
    bench.hook.set_usual(None);
    wait("it gets through", || accepted(&bench.hook).iter().any(|e| e["subject"] == *thread)).await;
    wait("the trouble is told elsewhere", || accepted(&bench.hook2).len() == 3).await;
    assert_eq!(service.terminate().await, Some(0));

    let attempts = bench.hook.received();
    assert_proper(&attempts);
    let first: Vec<_> = attempts.iter().filter(|r| r.text("subject").as_deref() == Some(&*thread)).collect();
    assert!(first.len() >= 4);
    assert!(first.iter().all(|r| r.id == first[0].id && r.body == first[0].body));
    let stamps: Vec<i64> = first.iter().map(|r| r.timestamp.unwrap()).collect();
    assert!(stamps.is_sorted_by(|a, b| a < b), "each attempt has its own time: {stamps:?}");
    assert_eq!(first.iter().filter(|r| r.status == 204).count(), 1);
    let told = facts(&accepted(&bench.hook2));
    assert_eq!(
        told,
        ["sink.failing hook".to_owned(), "sink.recovered hook".into(), format!("thread.created {thread}")]
    );
    assert_eq!(bench.hook2.received().len(), 3, "once each");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_a_subject_is_kept_while_its_first_event_fails() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    bench.once().await;
    bench.run(&["sinks", "disable", "hook"]).await.exits(0);
    let thread = bench.add_thread("one");
    bench.once().await;
    for title in ["two", "three"] {
        retitle(&bench, &thread, title);
        bench.once().await;
    }
    let other = bench.add_thread("other");
    bench.once().await;
    assert_eq!(bench.hook.received().len(), 0);

    bench.hook.set_usual(Some(Reply::status(500)));
    bench.run(&["sinks", "enable", "hook"]).await.exits(0);
    bench.run(&["once", "--drain", "2"]).await.exits(1).says(&["sink hook", "wait"]);
    let events = bench.events().await;
    let first = |subject: &str| text(events.iter().find(|e| e["subject"] == *subject).unwrap(), "id").to_owned();
    let tried: std::collections::BTreeSet<String> = asked(&bench.hook).into_iter().collect();
    assert_eq!(tried, [first(&thread), first(&other)].into(), "what comes later waits for the first of its subject");

    bench.hook.set_usual(None);
    bench.once().await;
    let ours: Vec<Value> = accepted(&bench.hook).into_iter().filter(|e| e["subject"] == *thread).collect();
    assert_eq!(titles(&ours), ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_refused_twice_no_longer_holds_later_ones_of_its_subject_back() {
    let mut bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    let picky = OddServer::start("", |event| if event["data"]["after"]["title"] == "bad" { 400 } else { 204 }).await;
    bench.set_env("HOOK_URL", &picky.url("picky"));
    bench.once().await;
    bench.run(&["sinks", "disable", "hook"]).await.exits(0);
    let thread = bench.add_thread("bad");
    bench.once().await;
    for title in ["good", "better"] {
        retitle(&bench, &thread, title);
        bench.once().await;
    }
    bench.run(&["sinks", "enable", "hook"]).await.exits(0);
    bench.run(&["once", "--drain", "4"]).await.exits(1);
    let requests = picky.requests();
    let order: Vec<&str> = requests.iter().map(|r| text(&r.event["data"]["after"], "title")).collect();
    assert!(order.starts_with(&["bad", "bad"]), "{order:?}");
    let good: Vec<&str> = order.iter().filter(|t| **t != "bad").copied().collect();
    assert_eq!(good, ["good", "better"], "in order, once each");
    let deliveries = bench.deliveries().await;
    let states: Vec<&str> = deliveries.iter().map(|d| text(d, "state")).collect();
    assert_eq!(states, ["due", "delivered", "delivered"], "a 4xx is retried all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_410_stops_the_sink_says_so_elsewhere_and_enable_releases_in_order() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, &both()]).await;
    bench.once().await;
    bench.hook.script([Reply::status(410)]);
    let thread = bench.add_thread("one");
    bench.run(&["once"]).await.exits(1).says(&["sink hook: 0 delivered", "(stopped)"]);
    for title in ["two", "three"] {
        retitle(&bench, &thread, title);
        bench.once().await;
    }
    assert_eq!(bench.hook.received().len(), 1, "nothing is sent to a stopped sink");
    let told = accepted(&bench.hook2);
    let failing = told.iter().find(|e| e["type"] == "sink.failing").expect("told elsewhere");
    assert_eq!((text(failing, "subject"), &failing["data"]["stopped"]), ("hook", &json!(true)));
    let sinks = bench.run(&["sinks", "list", "--json"]).await.exits(0).list();
    let row = sinks.iter().find(|s| s["name"] == "hook").unwrap();
    assert_eq!((text(row, "state"), &row["waiting"]), ("stopped", &json!(3)));
    let waiting = bench.run(&["deliveries", "list", "--sink", "hook", "--json"]).await.exits(0).list();
    assert_eq!(waiting.len(), 3);
    for delivery in &waiting {
        assert_eq!((text(delivery, "state"), &delivery["due"]), ("due", &Value::Null), "it waits and is not due");
        assert!(text(delivery, "reason").contains("stopped"), "{delivery}");
    }

    bench.run(&["sinks", "enable", "hook"]).await.exits(0);
    bench.once().await;
    assert_eq!(titles(&accepted(&bench.hook)), ["one", "two", "three"]);
    assert_eq!(asked(&bench.hook)[0], asked(&bench.hook)[1], "the one that was refused comes again under its id");
    assert_eq!(facts(&accepted(&bench.hook2)).iter().filter(|f| *f == "sink.recovered hook").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed_on_429_and_503_in_seconds_and_as_a_date() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    bench.once().await;
    for (status, is_date) in [(429, false), (503, false), (503, true), (429, true)] {
        let before = bench.hook.received().len();
        let at = Timestamp::now() + Duration::from_secs(3);
        let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        bench.hook.script([Reply::status(status).retry_after(if is_date { &date } else { "2" })]);
        bench.add_thread("one");
        bench.once().await;
        let received = bench.hook.received().split_off(before);
        let [refused, taken] = received.as_slice() else { panic!("{status}: {received:?}") };
        assert_eq!((refused.status, taken.status, &refused.id), (status, 204, &taken.id));
        let earliest = if is_date { at.as_second() * 1_000 } else { refused.at.as_millisecond() + 2_000 };
        assert!(taken.at.as_millisecond() >= earliest, "{status} {is_date}: {} < {earliest}", taken.at);
        let delivery = bench.deliveries().await.pop().unwrap();
        assert_eq!(delivery["attempts"], 2);
        let counted =
            bench.run(&["deliveries", "show", text(&delivery, "id")]).await.exits(0).json()["counted"].clone();
        assert_eq!(
            counted,
            if status == 429 { 1 } else { 2 },
            "to be asked to slow down is not held against a delivery"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_hangs_drips_bombs_redirects_closes_or_is_late_and_gets_the_event_when_it_is_well_again() {
    let mut bench = Bench::start(&[HEAD, ACME]).await;
    let target = format!("http://{}/elsewhere", bench.hook2.addr());
    let odd = OddServer::start(&target, |_| 204).await;
    let mut config = vec![HEAD.to_owned(), ACME.to_owned()];
    for way in WAYS {
        let name = way.to_uppercase();
        let timeout = if ["hangs", "drips", "late"].contains(&way) { "1s" } else { "30s" };
        config.push(format!(
            "[sinks.{way}]\nkind = \"webhook\"\nurl = {{ env = \"{name}\" }}\nsecrets = [{{ env = \"HOOK_SECRET\" }}]\n\
             timeout = \"{timeout}\"\nretry = {{ min = \"100ms\", max = \"400ms\" }}\n"
        ));
        bench.set_env(&name, &odd.url(way));
    }
    config.push(format!("[[routes]]\nevents = [\"thread.*\"]\nsinks = {WAYS:?}\n"));
    // Their own health is not the matter here: kept out of the way of the one event.
    config.push("[[routes]]\nevents = [\"sink.*\"]\nsinks = [\"bombs\"]\n".to_owned());
    bench.configure(&config.iter().map(String::as_str).collect::<Vec<_>>());
    bench.once().await;
    let thread = bench.add_thread("one");
    bench.run(&["once", "--drain", "4"]).await.exits(1);

    for (way, says) in [
        ("hangs", "no complete answer within 1s"),
        ("drips", "no complete answer within 1s"),
        ("redirects", "redirects are not followed"),
        ("closes", ""),
        ("late", "no complete answer within 1s"),
    ] {
        let delivery = the_thread_of(&bench, way).await;
        assert_eq!((text(&delivery, "state"), text(&delivery, "event_type")), ("due", "thread.created"), "{way}");
        let log = delivery["log"].as_array().unwrap();
        assert!(log.len() >= 2, "{way} is tried again: {log:?}");
        for attempt in log {
            assert_eq!(text(attempt, "outcome"), "transient", "{way}");
            assert!(text(attempt, "detail").contains(says), "{way}: {attempt}");
        }
    }
    let bombed = the_thread_of(&bench, "bombs").await;
    assert_eq!((text(&bombed, "state"), &bombed["attempts"]), ("delivered", &json!(1)), "2xx is success");
    assert_eq!(bench.hook2.received().len(), 0, "a redirect is not followed");

    odd.mend();
    bench.once().await;
    for way in WAYS {
        assert_eq!(the_thread_of(&bench, way).await["state"], "delivered", "{way}");
        let seen: std::collections::BTreeSet<String> = odd
            .requests()
            .into_iter()
            .filter(|r| r.path.ends_with(way) && r.event["subject"] == *thread)
            .map(|r| r.id)
            .collect();
        assert_eq!(seen.len(), 1, "{way}: one id, however often");
    }
}

async fn the_thread_of(bench: &Bench, sink: &str) -> Value {
    let list = bench.run(&["deliveries", "list", "--sink", sink, "--type", "thread.*", "--json"]).await.exits(0).list();
    assert_eq!(list.len(), 1);
    bench.run(&["deliveries", "show", text(&list[0], "id")]).await.exits(0).json()
}

const SHORT: &str = r#"
[sinks.hook]
kind = "webhook"
url = { env = "HOOK_URL" }
secrets = [{ env = "HOOK_SECRET" }]
retry = { min = "100ms", max = "200ms", for = "600ms" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_dies_is_told_elsewhere_and_is_sent_by_command_under_the_same_id_or_dropped() {
    let bench = Bench::start(&[HEAD, ACME, SHORT, HOOK2, &both()]).await;
    bench.once().await;
    bench.hook.set_usual(Some(Reply::status(500)));
    let thread = bench.add_thread("one");
    bench.run(&["once"]).await.exits(1).says(&["1 deliveries died", "deliveries list"]);
    let dead = bench.run(&["deliveries", "list", "--state", "dead", "--json"]).await.exits(0).list();
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert_eq!((text(dead, "sink"), text(dead, "subject")), ("hook", &*thread));
    assert!(text(dead, "reason").contains("500"), "{dead}");
    let told = accepted(&bench.hook2);
    assert_eq!(
        facts(&told),
        ["delivery.dead hook".into(), "sink.failing hook".into(), format!("thread.created {thread}")]
    );
    let news = told.iter().find(|e| e["type"] == "delivery.dead").unwrap();
    assert_eq!((&news["data"]["delivery"], text(news, "severity")), (&dead["id"], "critical"));
    bench.once().await;

    bench.hook.set_usual(None);
    let id = text(dead, "id").to_owned();
    bench.run(&["deliveries", "retry", &id]).await.exits(0).says(&[&id, "due now"]);
    bench.once().await;
    let attempts = asked(&bench.hook);
    assert!(attempts.iter().all(|a| *a == attempts[0]), "{attempts:?}");
    assert_eq!(accepted(&bench.hook).len(), 1);
    assert_eq!(bench.run(&["deliveries", "show", &id]).await.exits(0).json()["state"], "delivered");

    bench.run(&["sinks", "disable", "hook"]).await.exits(0);
    bench.add_thread("two");
    bench.once().await;
    bench.run(&["deliveries", "drop", "--sink", "hook"]).await.exits(0).says(&["suppressed"]);
    bench.run(&["sinks", "enable", "hook"]).await.exits(0);
    bench.once().await;
    assert_eq!(accepted(&bench.hook).len(), 1, "what was dropped is not sent");
    let rows = bench.run(&["deliveries", "list", "--state", "suppressed", "--json"]).await.exits(0).list();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((text(row, "sink"), text(row, "reason")), ("hook", "dropped by command"));
    bench.run(&["deliveries", "drop", &id]).await.exits(1).says(&["delivered already"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_that_is_about_ampbridge_itself_makes_no_further_event() {
    let second = SHORT.replace("sinks.hook", "sinks.hook2").replace("HOOK_URL", "HOOK2_URL");
    let bench = Bench::start(&[HEAD, ACME, SHORT, &second, &both()]).await;
    bench.once().await;
    bench.hook.set_usual(Some(Reply::status(500)));
    bench.hook2.set_usual(Some(Reply::status(500)));
    let thread = bench.add_thread("one");
    bench.run(&["once"]).await.exits(1);
    bench.run(&["once"]).await;
    let events = bench.events().await;
    let expected = [
        "delivery.dead hook".to_owned(),
        "delivery.dead hook2".into(),
        "sink.failing hook".into(),
        "sink.failing hook2".into(),
        format!("thread.created {thread}"),
    ];
    assert_eq!(facts(&events), expected);
    let deliveries = bench.deliveries().await;
    assert!(deliveries.iter().all(|d| d["state"] == "dead"), "{deliveries:?}");
    let routed: usize = 2 + 4;
    assert_eq!(deliveries.len(), routed, "every event is accounted for at every sink it was routed to");
    assert_eq!(ids(&events).len(), events.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_sink_that_is_no_longer_configured_is_told_and_can_be_dropped() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, &all_to(&["hook", "hook2"])]).await;
    bench.once().await;
    bench.run(&["sinks", "disable", "hook2"]).await.exits(0);
    bench.add_thread("one");
    bench.once().await;
    bench.configure(&[HEAD, ACME, HOOK, &all_to(&["hook"])]);
    bench.once().await.says(&["the config has no sink", "hook2", "deliveries drop --sink hook2"]);
    let gone = |list: &[Value]| list.iter().find(|row| row["name"] == "hook2").cloned();
    let row = gone(&bench.run(&["sinks", "list", "--json"]).await.exits(0).list()).unwrap();
    assert_eq!((text(&row, "state"), &row["waiting"]), ("not in the config", &json!(1)));
    bench.run(&["deliveries", "drop", "--sink", "hook2"]).await.exits(0);
    assert_eq!(gone(&bench.run(&["sinks", "list", "--json"]).await.exits(0).list()), None);
    assert!(!bench.once().await.said().contains("hook2"));
    // A state there is not is no empty list.
    bench.run(&["deliveries", "list", "--state", "bogus"]).await.exits(2).says(&["delivered"]);
}
