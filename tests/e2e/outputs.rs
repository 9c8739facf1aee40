//! `check`, `render`, `send-test`, `schema`: sane, and nothing anywhere gives a secret away.

use std::fs;
use std::path::Path;

use ampbridge::demo::Reply;
use serde_json::Value;

use crate::harness::{
    ACME, Bench, HEAD, HOOK, HOOK_PATH, HOOK2, MAIL, SECRETS, SLACK, SLACK_WEBHOOK, accepted, all_to, assert_proper,
    text,
};
use crate::mailbox::{self, Say};
use crate::slack::Answer;

const RULES: &str = r#"
[rules.daily-budget]
kind = "budget"
limit_usd = 200
period = "day"
"#;

async fn bench() -> Bench {
    Bench::start(&[HEAD, ACME, RULES, HOOK, SLACK, MAIL, &all_to(&["hook", "slack", "mail"])]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_the_plan_and_connect_reaches_everything_without_sending() {
    let bench = bench().await;
    bench.run(&["check"]).await.exits(0).says(&[
        "acme (amp)",
        "threads: every 300ms",
        "calls a day",
        "daily-budget: $200.00 a day",
        "to hook, slack, mail",
        "hook (webhook)",
        "slack (slack)",
        "mail (email)",
        "ops@example.com",
        "the configuration is right",
    ]);
    assert!(!bench.path("store").exists(), "check touches no store");
    assert_eq!(bench.workspace.log().len(), 0);
    let connected = bench.run(&["check", "--connect"]).await.exits(0);
    connected.says(&["source acme: signed in", "sink hook", "sink slack: signed in as bridge", "sink mail: signed in"]);
    assert_eq!((bench.hook.received().len(), bench.slack.posts().len(), bench.mail.letters().len()), (0, 0, 0));
    assert!(!bench.path("store").exists());

    bench.workspace.revoke_client();
    bench.mail.script("AUTH", Say::Line("535 who are you"), 9);
    let ran = bench.run(&["check", "--connect"]).await.exits(1);
    ran.says(&["source acme", "client_secret", "sink mail", "sink slack: signed in"]);
    bench.configure(&[HEAD, ACME, HOOK, "[[routes]]\nevents = [\"member.*\", \"thred.*\"]\nsinks = [\"hook\"]\n"]);
    bench.run(&["check"]).await.exits(0).says(&["no route can match thread.created", "thred.*"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_renders_for_every_sink_and_has_a_schema() {
    let bench = bench().await;
    for kind in [
        "thread.created",
        "member.role_changed",
        "budget.exceeded",
        "cost.spike",
        "source.change_held",
        "delivery.dead",
    ] {
        let ran = bench.run(&["render", "--event", kind]).await.exits(0);
        ran.says(&["slack: text", "email: subject", "email: html", "webhook: body"]);
        let body = ran.stdout.split("webhook: body").nth(1).unwrap().split("\nconsole").next().unwrap();
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!(event["type"], kind);
        let one = bench.run(&["render", "--event", kind, "--sink", "mail"]).await.exits(0);
        assert!(one.stdout.contains("email: text") && !one.stdout.contains("slack: text"));
        let schema = bench.run(&["schema", "event", kind]).await.exits(0).json();
        assert!(
            schema["properties"]["data"].is_object() || schema["$ref"].is_string() || schema["allOf"].is_array(),
            "{schema}"
        );
    }
    let schema = bench.run(&["schema", "config"]).await.exits(0).json();
    for section in ["bridge", "store", "admin", "sources", "rules", "sinks", "routes"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    bench.run(&["schema", "event"]).await.exits(0).json();
    for shell in ["bash", "zsh", "fish"] {
        assert!(bench.run(&["completions", shell]).await.exits(0).stdout.contains("ampbridge"));
    }
    bench.run(&["--version"]).await.exits(0).says(&[env!("CARGO_PKG_VERSION")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn send_test_sends_one_marked_event_and_says_what_came_back() {
    let bench = bench().await;
    for sink in ["hook", "slack", "mail"] {
        bench.run(&["send-test", "--sink", sink]).await.exits(0).says(&[sink, "accepted"]);
    }
    let events = accepted(&bench.hook);
    assert_eq!((events.len(), text(&events[0], "type")), (1, "bridge.test"));
    assert_proper(&bench.hook.received());
    assert_eq!((bench.slack.taken().len(), bench.mail.letters().len()), (1, 1));
    bench.hook.set_usual(Some(Reply { body: "not today".to_owned(), ..Reply::status(418) }));
    bench.run(&["send-test", "--sink", "hook"]).await.exits(1).says(&["418", "not today"]);
    bench.slack.set_usual(Some(Answer::Refused("channel_not_found")));
    bench.run(&["send-test", "--sink", "slack"]).await.exits(1).says(&["channel_not_found"]);
    bench.mail.script("MAIL FROM", Say::Line("550 no letters from you"), 9);
    bench.run(&["send-test", "--sink", "mail"]).await.exits(1).says(&["550"]);
    assert!(!bench.path("store").exists(), "nothing of it is stored");
}

/// Receivers that send back what they know.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_output_log_store_file_export_or_answer() {
    let bench = bench().await;
    bench.once().await;
    bench.hook.set_usual(Some(Reply { body: format!("you called {HOOK_PATH}"), ..Reply::status(500) }));
    bench.slack.set_usual(Some(Answer::Status(500, None, "you said Bearer xoxb-token-that-nobody-may-see")));
    let said = |code: u16, what: &str| Say::Line(Box::leak(format!("{code} you said {what}").into_boxed_str()));
    bench.mail.script("MAIL FROM", said(454, mailbox::PASSWORD), 99);
    bench.add_thread("one");
    bench.run(&["--log", "trace", "once", "--drain", "2"]).await.exits(1);
    for sink in ["hook", "slack", "mail"] {
        bench.run(&["send-test", "--sink", sink]).await.exits(1);
    }
    bench.mail.script("AUTH", said(535, mailbox::SIGN_IN), 1);
    bench.run(&["send-test", "--sink", "mail"]).await.exits(1);
    bench.mail.clear_script();
    for delivery in bench.deliveries().await {
        bench.run(&["deliveries", "show", text(&delivery, "id")]).await.exits(0);
    }
    for event in bench.events().await {
        bench.run(&["events", "explain", text(&event, "id"), "--json"]).await.exits(0);
    }
    bench.run(&["sinks", "list", "--json"]).await.exits(0);
    bench.run(&["state", "export", "all.jsonl"]).await.exits(0);
    bench.run(&["check"]).await.exits(0);
    bench.run(&["check", "--connect"]).await;

    // What can't be reached tells nothing either: the other sinks of each kind, and names that lead nowhere.
    let mut broken = bench;
    for (name, url) in [
        ("HOOK_URL", "http://127.0.0.1:1/hook-path-that-nobody-may-see"),
        ("SLACK_WEBHOOK_URL", "http://127.0.0.1:1/services/T0/B0/slack-path-that-nobody-may-see"),
        ("SMTP_URL", "smtp://bridge:smtp-password-that-nobody-may-see@127.0.0.1:1"),
        ("HOOK2_URL", "https://no-such-host.invalid/hook-path-that-nobody-may-see"),
    ] {
        broken.set_env(name, url);
    }
    broken.configure(&[HEAD, ACME, HOOK, HOOK2, SLACK_WEBHOOK, MAIL, &all_to(&["hook", "hook2", "slack", "mail"])]);
    broken.run(&["--log", "trace", "once", "--drain", "1"]).await.exits(1);
    broken.run(&["check", "--connect"]).await.exits(1);
    let mut service = broken.start_service(broken.command(&["--log", "trace", "run"]));
    service.wait_ready(&broken).await;
    broken.add_thread("two");
    crate::harness::wait("something fails", || service.log().contains("two") || service.log().contains("transient"))
        .await;
    assert_eq!(service.terminate().await, Some(0));

    let token = fs::read_to_string(broken.path("store/admin.token")).unwrap();
    let mut files = 0;
    search(broken.folder(), token.trim(), &mut files);
    assert!(files >= 5, "the store, the export and the log were searched: {files}");
}

/// Looks through every file but the config, which names variables only, and the token's own.
fn search(folder: &Path, token: &str, files: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, token, files);
            continue;
        }
        *files += 1;
        let bytes = fs::read(&path).unwrap();
        let is_token = path.ends_with("admin.token");
        for secret in SECRETS.into_iter().chain((!is_token).then_some(token)) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_does_not_show_all_says_so() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    bench.once().await;
    for name in ["Ann", "Ben", "Cas"] {
        bench.workspace.add_member(name, &format!("{name}@example.com"), ampbridge::demo::Role::Member);
    }
    bench.once().await;
    for list in ["events", "deliveries"] {
        let all = bench.run(&[list, "list", "--limit", "3", "--json"]).await.exits(0);
        assert_eq!((all.json().as_array().unwrap().len(), all.stderr.as_str()), (3, ""), "{list}");
        for json in [&[][..], &["--json"]] {
            let cut = bench.run(&[&[list, "list", "--limit", "2"][..], json].concat()).await.exits(0);
            assert!(cut.stderr.contains("the newest 2") && cut.stderr.contains("--limit"), "{list}: {}", cut.stderr);
        }
        let cut = bench.run(&[list, "list", "--limit", "2", "--json"]).await.exits(0);
        assert_eq!(cut.json().as_array().unwrap().len(), 2, "{list}");
    }
}
