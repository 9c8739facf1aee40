//! Routes with time: what belongs together goes out together, what waits is listed and survives, what is silenced is
//! recorded, and who is not answered is asked again.

use ampbridge::demo::{Receiver, Reply};
use ampbridge::domain::time::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::{ACME, Bench, HEAD, HOOK, HOOK2, MAIL, SLACK, accepted, facts, ids, text, until};
use crate::service::client;

const BUDGET: &str = r#"
[rules.daily]
kind = "budget"
limit_usd = 200
period = "day"
"#;

/// The events a receiver has taken, whether alone or in a batch.
fn told(receiver: &Receiver) -> Vec<Value> {
    let flat = |message: Value| match message {
        Value::Array(events) => events,
        event => vec![event],
    };
    accepted(receiver).into_iter().flat_map(flat).collect()
}

fn route(sinks: &[&str], more: &str) -> String {
    format!("[[routes]]\nevents = [\"*\"]\nsinks = {sinks:?}\n{more}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_new_threads_are_one_message_that_lists_them_and_what_waits_survives_a_kill() {
    let group = route(&["hook"], "group = { by = [\"type\"], wait = \"3s\", max = 100 }");
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, &group, &route(&["hook2"], "")]).await;
    bench.once().await;
    for n in 0..40 {
        bench.add_thread(&format!("thread {n}"));
    }
    let mut service = bench.service().await;
    // At the other sink they arrive at once, and here they wait.
    until("forty at the other sink", async || (accepted(&bench.hook2).len() == 40).then_some(())).await;
    service.kill().await;
    let stored = bench.events().await;
    let explained = bench.run(&["events", "explain", text(&stored[0], "id")]).await.exits(0);
    // Killed between its answer and the note of it, the last is still due.
    explained.says(&["hook2 d"]);
    let mut service = bench.service().await;
    until("one message", async || (!accepted(&bench.hook).is_empty()).then_some(())).await;
    assert_eq!(service.terminate().await, Some(0));
    assert_eq!(accepted(&bench.hook).len(), 1, "one message for forty events");
    assert_eq!(ids(&told(&bench.hook)), ids(&told(&bench.hook2)), "and it lists them all");
    let list = bench.run(&["deliveries", "list", "--sink", "hook", "--json"]).await.exits(0).list();
    assert_eq!((list.len(), text(&list[0], "kind"), text(&list[0], "state")), (1, "group", "delivered"));
    bench.run(&["audit"]).await.exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_in_the_lists_and_not_due() {
    let later = route(&["hook"], "group = { by = [\"type\"], wait = \"1h\", max = 100 }");
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, &later, &route(&["hook2"], "")]).await;
    bench.once().await;
    for title in ["one", "two"] {
        bench.add_thread(title);
    }
    bench.once().await;
    assert!(accepted(&bench.hook).is_empty());
    let waits = bench.run(&["deliveries", "list", "--state", "due", "--json"]).await.exits(0).list();
    assert_eq!(waits.len(), 1, "{waits:?}");
    let row = &waits[0];
    assert_eq!((text(row, "sink"), text(row, "state"), &row["due"]), ("hook", "due", &json!(null)));
    assert!(text(row, "reason").contains("waits for others of its group"), "{row}");
    assert_eq!(row["event_ids"].as_array().unwrap().len(), 2);
    let events = bench.events().await;
    bench.run(&["events", "explain", text(&events[0], "id")]).await.exits(0).says(&["waits for others of its group"]);
    bench.run(&["deliveries", "show", text(row, "id")]).await.exits(0).says(&["waits_until"]);
    bench.run(&["deliveries", "drop", text(row, "id")]).await.exits(1).says(&["wait until"]);
    let audit = bench.run(&["audit", "--json"]).await.exits(0).json();
    assert_eq!(audit["sinks"]["hook"], json!({ "waiting": 2 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_for_the_end_of_quiet_hours_and_a_person_may_send_it_all_the_same() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &route(&["hook"], "")]).await;
    bench.once().await;
    bench.hook.set_usual(Some(Reply::status(503)));
    bench.add_thread("one");
    bench.run(&["once", "--drain", "0"]).await.exits(1);
    let attempts = bench.hook.received().len();
    bench.hook.set_usual(None);
    let hour = |ahead: i64| (Timestamp::now() + SignedDuration::from_hours(ahead)).strftime("%H:00").to_string();
    let quiet = format!("quiet = {{ from = {:?}, to = {:?}, timezone = \"UTC\" }}", hour(-1), hour(3));
    bench.configure(&[HEAD, ACME, HOOK, &route(&["hook"], &quiet)]);
    bench.run(&["once"]).await.exits(1).says(&["have failed"]);
    assert_eq!(bench.hook.received().len(), attempts, "nothing is sent; what failed before still waits");
    let rows = bench.deliveries().await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((text(row, "state"), &row["due"]), ("due", &json!(null)));
    assert!(text(row, "reason").starts_with("quiet hours; goes out at "), "{row}");
    let audit = bench.run(&["audit", "--json"]).await.exits(0).json();
    assert_eq!(audit["sinks"]["hook"], json!({ "waiting": 1 }));
    bench.run(&["deliveries", "retry", text(row, "id")]).await.exits(0);
    bench.once().await;
    assert_eq!(accepted(&bench.hook).len(), 1);
    assert_eq!(text(&bench.deliveries().await[0], "state"), "delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_rate_nothing_is_lost_only_late() {
    let rate = route(&["hook"], "rate = { max = 3, per = \"4s\" }");
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, &rate, &route(&["hook2"], "")]).await;
    bench.once().await;
    for n in 0..20 {
        bench.add_thread(&format!("thread {n}"));
    }
    let mut service = bench.service().await;
    until("all of them", async || (ids(&told(&bench.hook)).len() == 20).then_some(())).await;
    assert_eq!(service.terminate().await, Some(0));
    bench.run(&["audit"]).await.exits(0);
    assert_eq!(ids(&told(&bench.hook)), ids(&told(&bench.hook2)));
    let messages = accepted(&bench.hook).len();
    assert!((4..=7).contains(&messages), "three at once, the rest in one or two: {messages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_silenced_is_recorded_with_the_silences_id_and_what_is_worse_is_heard() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, BUDGET, &route(&["hook", "hook2"], "")]).await;
    bench.once().await;
    let added = bench
        .run(&[
            "silence",
            "add",
            "--for",
            "2h",
            "--type",
            "*",
            "--sink",
            "hook",
            "--up-to",
            "warning",
            "--comment",
            "moving",
        ])
        .await
        .exits(0);
    assert!(added.stdout.contains("sil_"), "{added:?}");
    let silence = bench.run(&["silence", "list", "--json"]).await.exits(0).list();
    let id = text(&silence[0], "id").to_owned();
    bench.add_thread("one");
    bench.spend_today("ana@example.com", "230");
    bench.once().await;
    assert_eq!(facts(&told(&bench.hook)), ["budget.exceeded workspace"], "critical passes");
    assert!(accepted(&bench.hook2).len() > 1);
    let list = bench.run(&["deliveries", "list", "--state", "suppressed", "--json"]).await.exits(0).list();
    assert!(!list.is_empty() && list.iter().all(|row| text(row, "reason") == format!("silenced by {id}: moving")));
    bench.run(&["audit"]).await.exits(0);
    bench.run(&["silence", "expire", &id]).await.exits(0);
    bench.add_thread("two");
    bench.once().await;
    assert!(facts(&told(&bench.hook)).iter().any(|fact| fact.starts_with("thread.created")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_stays_bad_is_said_again_and_escalated_until_somebody_takes_it() {
    let routes = route(&["hook"], "remind = \"2s\"\nescalate = { after = \"4s\", sinks = [\"hook2\"] }");
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, BUDGET, &routes]).await;
    bench.once().await;
    bench.spend_today("ana@example.com", "230");
    let mut service = bench.service().await;
    until("a reminder", async || (accepted(&bench.hook).len() >= 2).then_some(())).await;
    until("the escalation", async || (!accepted(&bench.hook2).is_empty()).then_some(())).await;
    let said = told(&bench.hook);
    assert!(said.iter().all(|e| e["id"] == said[0]["id"]), "the same event, said again: {:?}", facts(&said));
    assert_eq!(facts(&told(&bench.hook2)), ["budget.exceeded workspace"]);
    let open = bench.run(&["incidents", "list", "--json"]).await.exits(0).list();
    assert_eq!(open.len(), 1, "{open:?}");
    bench.run(&["ack", text(&open[0], "id"), "--by", "ana"]).await.exits(0);
    let after = accepted(&bench.hook).len();
    // Long enough for a reminder and its delivery: what counts as being said again has been seen above.
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert!(accepted(&bench.hook).len() <= after + 1, "one may have been under way");
    let open = bench.run(&["incidents", "list", "--json"]).await.exits(0).list();
    assert_eq!(text(&open[0], "acked_by"), "ana");
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_sends_again_what_matches_under_the_same_ids() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, &route(&["hook", "hook2"], "")]).await;
    bench.once().await;
    for title in ["one", "two", "three"] {
        bench.add_thread(title);
    }
    bench.once().await;
    let first = ids(&told(&bench.hook));
    let dry = bench.run(&["replay", "--sink", "hook", "--type", "thread.*", "--dry-run"]).await.exits(0);
    assert!(dry.said().contains('3'), "{dry:?}");
    assert_eq!(accepted(&bench.hook).len(), 3, "a dry run sends nothing");
    bench.run(&["replay", "--sink", "hook", "--type", "thread.*", "--rate", "100"]).await.exits(0);
    bench.once().await;
    assert_eq!(accepted(&bench.hook).len(), 6);
    assert_eq!(ids(&told(&bench.hook)), first, "the receiver can tell that it has them");
    assert_eq!(accepted(&bench.hook2).len(), 3, "the other sink is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_message_acknowledges_with_one_click_and_opening_it_does_nothing() {
    let head = HEAD.replace("[admin]", "[admin]\npublic_url = \"https://ampbridge.example.com/\"");
    let bench = Bench::start(&[&head, ACME, SLACK, MAIL, BUDGET, &route(&["slack", "mail"], "")]).await;
    bench.once().await;
    bench.spend_today("ana@example.com", "230");
    bench.add_thread("no level");
    bench.once().await;
    let links = |text: &str| -> Vec<String> {
        let ends = |c: char| c.is_whitespace() || c == '"' || c == '\\';
        let from = |(at, _): (usize, &str)| text[at..].split(ends).next().unwrap_or_default().to_owned();
        text.match_indices("https://ampbridge.example.com/ack/").map(from).collect()
    };
    let of_slack: Vec<String> = bench.slack.taken().iter().flat_map(|p| links(&p.body.to_string())).collect();
    let of_mail: Vec<String> = bench.mail.letters().iter().flat_map(|l| links(&l.text)).collect();
    assert_eq!(of_slack.len(), 1, "the budget has one, the thread has none: {of_slack:?}");
    assert_eq!(of_slack, of_mail);

    let mut service = bench.service().await;
    let path = of_slack[0].strip_prefix("https://ampbridge.example.com").unwrap();
    let url = format!("{}{path}", service.base);
    let acked = async || bench.run(&["incidents", "list", "--json"]).await.exits(0).list()[0]["acked_by"].clone();
    let shown = client().get(&url).header("host", "ampbridge.example.com").send().await.unwrap();
    assert_eq!(shown.status(), 200);
    assert!(shown.headers()["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    let page = shown.text().await.unwrap();
    assert!(page.contains("budget.exceeded for workspace") && page.contains("method=\"post\""), "{page}");
    assert_eq!(acked().await, json!(null), "mail scanners open links");
    let forged = format!("{}0", &url[..url.len() - 1]);
    for bad in [forged.as_str(), &url.replace("/ack/", "/ack/x")] {
        let refused = client().post(bad).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{bad}");
    }
    assert_eq!(acked().await, json!(null));
    assert_eq!(client().post(&url).send().await.unwrap().status(), 200);
    assert_eq!(acked().await, json!("a link in a message"));
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn once_waits_for_a_group_that_is_due_within_its_drain_and_counts_one_that_is_not() {
    let soon = route(&["hook"], "group = { by = [\"type\"], wait = \"1s\", max = 100 }");
    let later = route(&["hook2"], "group = { by = [\"type\"], wait = \"1h\", max = 100 }");
    let bench = Bench::start(&[HEAD, ACME, HOOK, HOOK2, &soon, &later]).await;
    bench.once().await;
    bench.add_thread("one");
    let ran = bench.run(&["once", "--drain", "30"]).await.exits(0);
    assert_eq!(told(&bench.hook).len(), 1, "{ran:?}");
    assert!(told(&bench.hook2).is_empty());
    ran.says(&["1 waiting"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_silenced_is_not_replayed_unless_asked_for() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &route(&["hook"], "")]).await;
    bench.once().await;
    bench.run(&["silence", "add", "--for", "2h", "--type", "thread.*"]).await.exits(0);
    bench.add_thread("quiet");
    bench.once().await;
    let silence = bench.run(&["silence", "list", "--json"]).await.exits(0).list();
    bench.run(&["silence", "expire", text(&silence[0], "id")]).await.exits(0);
    bench.run(&["replay", "--sink", "hook", "--rate", "100"]).await.exits(0);
    bench.run(&["replay", "--sink", "nope"]).await.exits(2).says(&["no such sink"]);
    bench.once().await;
    assert!(told(&bench.hook).is_empty());
    bench.run(&["replay", "--sink", "hook", "--state", "suppressed", "--rate", "100"]).await.exits(0);
    bench.once().await;
    assert_eq!(told(&bench.hook).len(), 1);
}
