//! What must be seen, line 4: nothing where nothing changed, and each change once in all three sinks.

use std::collections::BTreeMap;

use ampbridge::demo::{NewThread, Role, SeedOptions, ThreadEdit};
use ampbridge::domain::time::minus_days;
use serde_json::{Value, json};

use crate::harness::{ACME, Bench, HEAD, HOOK, MAIL, SLACK, accepted, all_to, assert_proper, facts, ids, text};

const RULES: &str = r#"
[rules.daily-budget]
kind = "budget"
limit_usd = 90
period = "day"
thresholds = [50, 80, 100]
[rules.spend-spike]
kind = "spike"
per = "user"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_threads_unchanged_are_silent_and_each_change_is_told_once_in_all_three_sinks() {
    let routes = all_to(&["hook", "slack", "mail"]);
    let options = SeedOptions { seed: 4, threads: 1_000, members: 6, days: 0, model_costs: false };
    let bench = Bench::seeded(&options, &[HEAD, ACME, RULES, HOOK, SLACK, MAIL, &routes]).await;
    let (today, heavy) = (bench.workspace.today(), "member2@example.com");
    for back in 1..=60 {
        let usd = if back % 2 == 0 { "9.40" } else { "10.60" };
        bench.spend(minus_days(today, back), heavy, usd);
    }
    bench.once().await.says(&["1000 rows (baseline)"]);
    bench.once().await;
    assert_eq!(bench.events().await, Vec::<Value>::new(), "nothing changed");
    assert_eq!((bench.hook.received().len(), bench.slack.posts().len(), bench.mail.letters().len()), (0, 0, 0));

    let creator = "member1@example.com".to_owned();
    let thread = NewThread { title: Some("Port the parser".into()), creator, ..NewThread::default() };
    let thread = bench.workspace.add_thread(thread).unwrap();
    bench.workspace.add_member("Dee", "dee@example.com", Role::Member);
    bench.workspace.set_role("member3@example.com", Role::Admin).unwrap();
    bench.workspace.remove_member("member4@example.com").unwrap();
    bench.spend_today(heavy, "100.00");
    bench.once().await;
    let user = format!("user:{}", bench.workspace.user(heavy).unwrap().id);
    let mut expected = vec![
        "budget.exceeded workspace".to_owned(),
        format!("cost.spike {user}"),
        "member.added dee@example.com".to_owned(),
        "member.role_changed member3@example.com".to_owned(),
        format!("thread.created {thread}"),
    ];
    assert_eq!(facts(&bench.events().await), expected, "a removal is not believed at the first look");
    bench.once().await;
    expected.insert(3, "member.removed member4@example.com".to_owned());
    bench.once().await;

    let events = bench.events().await;
    assert_eq!(facts(&events), expected);
    check_data(&events, &thread);
    check_sinks(&bench, &events).await;
}

fn check_data(events: &[Value], thread: &str) {
    let data = |kind: &str| &events.iter().find(|e| text(e, "type") == kind).unwrap()["data"];
    let budget = data("budget.exceeded");
    assert_eq!(budget["thresholds_crossed"], json!([50.0, 80.0, 100.0]));
    assert_eq!((&budget["spend_usd"], &budget["limit_usd"]), (&json!("100.00"), &json!("90.00")));
    assert_eq!((&budget["baseline"], &budget["period"]), (&json!(false), &json!("day")));
    let spike = data("cost.spike");
    assert_eq!(spike["actual_usd"], "100.00");
    assert!((9.0..=11.0).contains(&spike["ratio"].as_f64().unwrap()), "{spike}");
    let role = data("member.role_changed");
    assert_eq!((&role["before"]["role"], &role["after"]["role"]), (&json!("member"), &json!("admin")));
    assert_eq!(data("member.removed")["after"], Value::Null);
    assert_eq!(data("thread.created")["before"], Value::Null);
    assert!(data("thread.created")["link"].as_str().unwrap().ends_with(thread));
    let severity = |kind: &str| text(events.iter().find(|e| text(e, "type") == kind).unwrap(), "severity");
    assert_eq!((severity("budget.exceeded"), severity("cost.spike")), ("critical", "warning"));
    assert_eq!((severity("thread.created"), severity("member.removed")), ("info", "info"));
}

/// Each event arrived at each sink, and once.
async fn check_sinks(bench: &Bench, events: &[Value]) {
    assert_proper(&bench.hook.received());
    let mut hooked = accepted(&bench.hook);
    hooked.sort_by_key(|e| text(e, "id").to_owned());
    let mut stored = events.to_vec();
    stored.sort_by_key(|e| text(e, "id").to_owned());
    assert_eq!(hooked, stored, "the webhook's body is the event");

    let posts = bench.slack.posts();
    assert_eq!(bench.slack.faults(), Vec::<String>::new());
    assert_eq!(posts.len(), events.len());
    assert_eq!(
        posts.iter().map(|p| p.event_id().unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>(),
        ids(events)
    );

    let deliveries = bench.deliveries().await;
    assert!(deliveries.iter().all(|d| d["state"] == "delivered" && d["attempts"] == 1), "{deliveries:?}");
    let mail: BTreeMap<String, String> = deliveries
        .iter()
        .filter(|d| d["sink"] == "mail")
        .map(|d| (format!("<{}@example.com>", text(d, "id")), d["event_ids"][0].as_str().unwrap().to_owned()))
        .collect();
    let letters = bench.mail.letters();
    assert_eq!(letters.len(), events.len());
    let told: std::collections::BTreeSet<String> =
        letters.iter().map(|l| mail[l.header("message-id")].clone()).collect();
    assert_eq!(told, ids(events));
    for letter in letters {
        assert_eq!((letter.to.as_str(), letter.header("auto-submitted")), ("ops@example.com", "auto-generated"));
        assert!(!letter.text.trim().is_empty() && letter.html.contains("</"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updated_at_alone_makes_no_event_and_a_title_makes_one() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    let thread = bench.add_thread("Fix the build");
    bench.once().await;
    bench.workspace.edit_thread(&thread, ThreadEdit { messages: Some(7), ..ThreadEdit::default() }).unwrap();
    bench.once().await;
    assert_eq!(bench.events().await, Vec::<Value>::new());
    let edit = ThreadEdit { title: Some("Fix the flaky build".into()), ..ThreadEdit::default() };
    bench.workspace.edit_thread(&thread, edit).unwrap();
    bench.once().await;
    bench.once().await;
    let events = bench.events().await;
    assert_eq!(facts(&events), [format!("thread.updated {thread}")]);
    assert_eq!(events[0]["data"]["changed"], json!(["title"]));
    assert_eq!(events[0]["data"]["before"]["title"], "Fix the build");
    assert_eq!(accepted(&bench.hook), events);
}
