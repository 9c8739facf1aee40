//! Slack as its readers see it: an incident is one message that follows the facts, and a storm is few messages that say
//! everything.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::clock::{faked, faketime, set_both};
use crate::harness::{ACME, Bench, HEAD, SLACK, SLACK_WEBHOOK, all_to, run, text, until};
use crate::slack::{FakeSlack, Message};

const BUDGET: &str = r#"
[rules.daily-budget]
kind = "budget"
limit_usd = 200
period = "day"
thresholds = [50, 100]
"#;

/// Threads of a storm.
const STORM: usize = 500;

/// What a message shows: blocks, or the text where there are none.
fn shown(message: &Message) -> String {
    let parts = [&message.body["blocks"], &message.body["attachments"]];
    let blocks = parts.map(|part| part.as_array().filter(|p| !p.is_empty()).map(|p| json!(p).to_string()));
    if blocks.iter().all(Option::is_none) {
        message.body["text"].to_string()
    } else {
        blocks.map(Option::unwrap_or_default).concat()
    }
}

fn roots(slack: &FakeSlack) -> Vec<Message> {
    slack.channel().into_iter().filter(|message| message.thread.is_none()).collect()
}

fn replies(slack: &FakeSlack) -> Vec<Message> {
    slack.channel().into_iter().filter(|message| message.thread.is_some()).collect()
}

fn mentions(sink: &str) -> String {
    format!("{sink}mention = {{ critical = \"<!here>\" }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_one_message_whose_steps_stand_in_its_thread() {
    let bench = Bench::start(&[HEAD, ACME, BUDGET, &mentions(SLACK), &all_to(&["slack"])]).await;
    bench.once().await;
    bench.spend_today("ana@example.com", "110.00");
    bench.once().await;
    let [first] = &roots(&bench.slack)[..] else { panic!("{:?}", bench.slack.channel()) };
    assert!(shown(first).contains("$110") && first.edits == 0, "{first:?}");
    assert_eq!(first.body["attachments"][0]["color"], "#d68910");
    assert!(!first.body.to_string().contains("<!here>"), "a warning calls nobody");
    bench.spend_today("ana@example.com", "260.00");
    bench.once().await;
    let [now] = &roots(&bench.slack)[..] else { panic!("{:?}", bench.slack.channel()) };
    assert_eq!((&now.ts, now.edits), (&first.ts, 1), "edited in place");
    assert!(shown(now).contains("$260") && !shown(now).contains("$110"), "{now:?}");
    assert_eq!(now.body["attachments"][0]["color"], "#c0392b");
    let [step] = &replies(&bench.slack)[..] else { panic!("{:?}", bench.slack.channel()) };
    assert_eq!(step.thread.as_ref(), Some(&first.ts));
    assert!(text(&step.body, "text").contains("$260") && text(&step.body, "text").contains("<!here>"), "{step:?}");
    assert_eq!(step.body["reply_broadcast"], true);
    // Somebody deletes the message: the next step is a message of its own.
    bench.slack.delete(&first.ts);
    bench.configure(&[HEAD, ACME, &BUDGET.replace("100]", "100, 150]"), SLACK, &all_to(&["slack"])]);
    bench.spend_today("ana@example.com", "310.00");
    bench.once().await;
    let [anew] = &roots(&bench.slack)[..] else { panic!("{:?}", bench.slack.channel()) };
    assert!(anew.ts != first.ts && shown(anew).contains("$310"), "{anew:?}");
    assert_eq!(bench.slack.faults(), Vec::<String>::new());
    bench.run(&["audit"]).await.exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_move_in_place_and_the_end_of_the_day_closes_the_message() {
    let Some(library) = faketime() else { return };
    let bench = Bench::start(&[HEAD, ACME, BUDGET, SLACK, &all_to(&["slack"])]).await;
    let once = async || run(faked(&bench, &library, &["once"]), "once").await.exits(0);
    set_both(&bench, 0);
    once().await;
    bench.spend_today("ana@example.com", "110.00");
    once().await;
    // No threshold lies between. An edit is made at the first chance after five minutes, with what is known by then.
    for (ahead, usd, seen) in [(60, "120.00", "$110"), (400, "130.50", "$120"), (800, "130.50", "$130.50")] {
        set_both(&bench, ahead);
        bench.spend_today("ana@example.com", usd);
        once().await;
        let [message] = &roots(&bench.slack)[..] else { panic!("{:?}", bench.slack.channel()) };
        assert!(shown(message).contains(seen), "{seen}: {message:?}");
    }
    assert_eq!(replies(&bench.slack).len(), 0, "a figure that moves is no news");
    set_both(&bench, 86_400);
    once().await;
    let [message] = &roots(&bench.slack)[..] else { panic!("{:?}", bench.slack.channel()) };
    assert!(shown(message).contains("The day is over") && shown(message).contains("$130.50"), "{message:?}");
    assert_eq!((message.edits, bench.slack.faults()), (3, Vec::new()));
    let list = run(faked(&bench, &library, &["deliveries", "list", "--json"]), "deliveries").await.exits(0).list();
    let kinds: Vec<&str> = list.iter().map(|row| text(row, "kind")).collect();
    assert_eq!(kinds, ["update", "update", "update", "single"], "newest first");
}

/// Whatever the way, a storm stays within Slack's limits and rates, and nothing of it is lost.
async fn storm(sink: &str) {
    let route =
        "[[routes]]\nevents = [\"*\"]\nsinks = [\"slack\"]\ngroup = { by = [\"type\"], wait = \"3s\", max = 100 }\n";
    let bench = Bench::start(&[HEAD, ACME, sink, route]).await;
    bench.once().await;
    let mut service = bench.service().await;
    for n in 0..STORM {
        bench.add_thread(&format!("storm-{n:03}"));
    }
    let wanted: BTreeSet<String> = (0..STORM).map(|n| format!("storm-{n:03}")).collect();
    until("all of it is told", async || {
        let told: String = bench.slack.channel().iter().map(shown).collect();
        wanted.iter().all(|title| told.contains(title)).then_some(())
    })
    .await;
    assert_eq!(service.terminate().await, Some(0));
    let messages = bench.slack.channel();
    assert!(messages.len() <= 20, "{} messages for {STORM} events", messages.len());
    assert_eq!((bench.slack.faults(), bench.slack.throttled()), (Vec::new(), 0));
    assert_eq!(bench.slack.posts().len(), messages.len(), "nothing was sent twice");
    let audit = bench.run(&["audit", "--json"]).await.exits(0).json();
    assert_eq!(audit["sinks"]["slack"], json!({ "delivered": STORM }), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_ends_in_few_messages_by_a_bot() {
    storm(SLACK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_ends_in_few_messages_by_an_incoming_webhook() {
    storm(SLACK_WEBHOOK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_that_slack_asked_for_holds_over_a_restart() {
    let bench = Bench::start(&[HEAD, ACME, SLACK, &all_to(&["slack"])]).await;
    bench.once().await;
    bench.slack.script([crate::slack::Answer::Status(429, Some("4"), "")]);
    let mut service = bench.service().await;
    bench.add_thread("one");
    until("Slack asks for a rest", async || (!bench.slack.posts().is_empty()).then_some(())).await;
    until("it is booked", async || {
        let row = bench.run(&["deliveries", "list", "--json"]).await.exits(0).list();
        row.iter().any(|row| row["attempts"] == 1 && text(row, "state") == "due").then_some(())
    })
    .await;
    service.kill().await;
    // Another event, which has no due time of its own to wait for.
    bench.add_thread("two");
    let mut service = bench.service().await;
    until("both are told", async || (bench.slack.taken().len() == 2).then_some(())).await;
    let posts = bench.slack.posts();
    assert!(posts[1].at - posts[0].at >= std::time::Duration::from_secs(4), "nobody came before the time was over");
    assert_eq!(service.terminate().await, Some(0));
    let _: Vec<Value> = bench.events().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sinks_on_one_channel_keep_one_pace_and_rest_together_over_a_restart_too() {
    let second = SLACK.replace("[sinks.slack]", "[sinks.other]");
    let bench = Bench::start(&[HEAD, ACME, SLACK, &second, &all_to(&["slack", "other"])]).await;
    bench.once().await;
    for n in 0..8 {
        bench.add_thread(&format!("shared-{n}"));
    }
    let mut service = bench.service().await;
    until("some of it is told", async || (bench.slack.taken().len() >= 4).then_some(())).await;
    service.kill().await;
    let mut service = bench.service().await;
    until("all of it is told", async || {
        let rows = bench.run(&["deliveries", "list", "--json"]).await.exits(0).list();
        rows.iter().all(|row| text(row, "state") == "delivered").then_some(())
    })
    .await;
    // Two a second would have used up all the channel takes at once.
    assert_eq!((bench.slack.posts().len() >= 16, bench.slack.throttled()), (true, 0));
    // What Slack asks of one, it asks of the channel.
    bench.slack.script([crate::slack::Answer::Status(429, Some("4"), "")]);
    bench.add_thread("last");
    until("both tell the last", async || {
        let told = bench.slack.taken().iter().filter(|post| post.text().contains("last")).count();
        (told == 2).then_some(())
    })
    .await;
    let posts = bench.slack.posts();
    let asked = posts.iter().position(|post| !post.taken).unwrap();
    assert!(posts[asked + 1].at - posts[asked].at >= std::time::Duration::from_secs(4), "both rested");
    assert_eq!(service.terminate().await, Some(0));
    assert_eq!((bench.slack.faults(), bench.slack.throttled()), (Vec::new(), 0));
}
