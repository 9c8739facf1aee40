//! Slack and email: what comes back from them, and what becomes of the delivery.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{ACME, Bench, HEAD, HOOK2, MAIL, SLACK, SLACK_WEBHOOK, accepted, all_to, facts, text};
use crate::mailbox::Say;
use crate::slack::Answer;

async fn of_sink(bench: &Bench, sink: &str) -> Value {
    let list = bench.run(&["deliveries", "list", "--sink", sink, "--type", "thread.*", "--json"]).await.exits(0).list();
    assert_eq!(list.len(), 1, "{list:?}");
    bench.run(&["deliveries", "show", text(&list[0], "id")]).await.exits(0).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_that_asks_to_slow_down_is_obeyed_and_trouble_of_its_own_is_retried() {
    let bench = Bench::start(&[HEAD, ACME, SLACK, &all_to(&["slack"])]).await;
    bench.once().await;
    bench.slack.script([
        Answer::Status(429, Some("2"), ""),
        Answer::Refused("internal_error"),
        Answer::Status(502, None, "<html>bad gateway</html>"),
    ]);
    bench.add_thread("one");
    bench.once().await;
    let posts = bench.slack.posts();
    let ids: BTreeSet<_> = posts.iter().map(|p| p.event_id().unwrap()).collect();
    assert_eq!((posts.len(), ids.len(), bench.slack.taken().len()), (4, 1, 1));
    assert!(posts[1].at - posts[0].at >= Duration::from_secs(2), "Retry-After is never undercut");
    let delivery = of_sink(&bench, "slack").await;
    assert_eq!((text(&delivery, "state"), &delivery["attempts"]), ("delivered", &json!(4)), "every attempt is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_gets_a_plain_text_where_it_does_not_like_the_blocks() {
    let bench = Bench::start(&[HEAD, ACME, SLACK_WEBHOOK, &all_to(&["slack"])]).await;
    bench.once().await;
    bench.slack.script([Answer::Status(400, None, "invalid_blocks")]);
    bench.add_thread("Port the parser");
    bench.once().await;
    let posts = bench.slack.posts();
    assert_eq!(posts.iter().map(|p| p.body.get("blocks").is_some()).collect::<Vec<_>>(), [true, false]);
    assert!(posts[1].taken && posts[1].text().contains("Port the parser"));
    assert_eq!(of_sink(&bench, "slack").await["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_slack_token_stops_the_sink_and_a_gone_webhook_is_final() {
    let bench = Bench::start(&[HEAD, ACME, SLACK, HOOK2, &all_to(&["slack", "hook2"])]).await;
    bench.once().await;
    bench.slack.script([Answer::Refused("token_revoked")]);
    let thread = bench.add_thread("one");
    bench.run(&["once"]).await.exits(1).says(&["(stopped)"]);
    assert_eq!(facts(&accepted(&bench.hook2)), ["sink.failing slack".to_owned(), format!("thread.created {thread}")]);
    bench.run(&["sinks", "enable", "slack"]).await.exits(0);
    bench.once().await;
    assert_eq!(bench.slack.taken().len(), 1);

    // An incoming webhook that is no more (404) takes nothing ever again.
    bench.configure(&[HEAD, ACME, SLACK_WEBHOOK, HOOK2, &all_to(&["slack", "hook2"])]);
    bench.slack.script([Answer::Status(404, None, "no_service")]);
    bench.add_thread("two");
    bench.run(&["once"]).await.exits(1).says(&["died"]);
    let dead = bench.run(&["deliveries", "list", "--state", "dead", "--json"]).await.exits(0).list();
    assert_eq!((dead.len(), &dead[0]["attempts"]), (1, &json!(1)));
    assert!(accepted(&bench.hook2).iter().any(|e| e["type"] == "delivery.dead"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_refused_for_now_comes_again_to_whom_it_is_missing_under_the_same_message_id() {
    let two = MAIL.replace("[\"ops@example.com\"]", "[\"ops@example.com\", \"finance@example.com\"]");
    let bench = Bench::start(&[HEAD, ACME, &two, &all_to(&["mail"])]).await;
    bench.once().await;
    bench.mail.script("RCPT TO:<finance@example.com>", Say::Line("450 mailbox busy"), 2);
    bench.add_thread("Port the parser");
    bench.once().await;
    let letters = bench.mail.letters();
    let to: Vec<&str> = letters.iter().map(|l| l.to.as_str()).collect();
    assert_eq!(to, ["ops@example.com", "finance@example.com"], "whoever has it is not sent it again");
    assert_eq!(letters[0].header("message-id"), letters[1].header("message-id"));
    assert!(letters[0].header("subject").contains("Port the parser"));
    let delivery = of_sink(&bench, "mail").await;
    assert_eq!((text(&delivery, "state"), &delivery["attempts"]), ("delivered", &json!(3)));

    // Refused for good: dead, naming whom, and the others have it.
    bench.mail.script("RCPT TO:<finance@example.com>", Say::Line("550 no such user"), 9);
    bench.add_thread("Tidy up");
    bench.run(&["once"]).await.exits(1).says(&["died"]);
    let dead = bench.run(&["deliveries", "list", "--state", "dead", "--json"]).await.exits(0).list();
    assert_eq!(dead.len(), 1);
    assert!(text(&dead[0], "reason").contains("finance@example.com"), "{dead:?}");
    assert_eq!(bench.mail.letters().last().unwrap().to, "ops@example.com");

    // Sent again by command: only to whom it is missing.
    bench.mail.clear_script();
    let before = bench.mail.letters().len();
    bench.run(&["deliveries", "retry", text(&dead[0], "id")]).await.exits(0);
    bench.once().await;
    let late: Vec<String> = bench.mail.letters()[before..].iter().map(|l| l.to.clone()).collect();
    assert_eq!(late, ["finance@example.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_lets_nobody_in_stops_the_sink_without_naming_the_password() {
    let bench = Bench::start(&[HEAD, ACME, MAIL, HOOK2, &all_to(&["mail", "hook2"])]).await;
    bench.once().await;
    bench.mail.script("AUTH", Say::Line("535 who are you"), 1);
    bench.add_thread("one");
    bench.run(&["once"]).await.exits(1).says(&["sink mail", "(stopped)"]);
    let failing = accepted(&bench.hook2).into_iter().find(|e| e["type"] == "sink.failing").expect("told elsewhere");
    assert_eq!(text(&failing, "subject"), "mail");
    bench.run(&["sinks", "enable", "mail"]).await.exits(0);
    bench.once().await;
    assert_eq!(bench.mail.letters().len(), 1);
}
