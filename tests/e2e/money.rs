//! Budgets and dear threads through the whole program.

use ampbridge::demo::NewThread;
use jiff::ToSpan as _;
use serde_json::json;

use crate::clock::{faked, faketime, set_both};
use crate::harness::{ACME, Bench, HEAD, HOOK, MAIL, SLACK, accepted, all_to, facts, run, text};

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

/// Four weeks of Ana's and Bo's.
fn spend_for_weeks(bench: &Bench) {
    for ago in 1..=28 {
        let day = bench.workspace.today().checked_sub(ago.days()).unwrap();
        bench.spend(day, "ana@example.com", &format!("{}.50", 60 + ago * 7 % 20));
        bench.spend(day, "bo@example.com", &format!("{}.00", if ago < 3 { 90 } else { 20 + ago % 5 }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_a_picture_on_either_ground_and_a_file_that_cannot_be_written_is_said() {
    let bench = Bench::start(&[HEAD, ACME, BUDGET, HOOK, &all_to(&["hook"])]).await;
    bench.run(&["spend", "chart", "--png", "chart.png"]).await.exits(1).says(&["nothing is known"]);
    spend_for_weeks(&bench);
    bench.once().await;
    let size = |name: &str| {
        let png = std::fs::read(bench.path(name)).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() < 200_000, "{} bytes", png.len());
        // The header chunk: width and height.
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        ((number(16), number(20)), png)
    };
    bench
        .run(&["spend", "chart", "--png", "chart.png", "--svg", "chart.svg"])
        .await
        .exits(0)
        .says(&["chart.png written"]);
    bench.run(&["spend", "chart", "--png", "dark.png", "--dark"]).await.exits(0);
    let ((wide, tall), light) = size("chart.png");
    assert!(wide == 1_600 && tall > 800, "{wide} by {tall}");
    assert_ne!(size("dark.png").1, light);
    let svg = std::fs::read_to_string(bench.path("chart.svg")).unwrap();
    assert!(svg.contains("Budget $200 a day") && svg.contains("<title>Chart of spend a day"), "{}", &svg[..800]);
    assert!(!svg.contains("<text"), "letters are outlines");
    // The running service has the ledger then, and the old file stays where the new one can't be.
    let mut service = bench.service().await;
    bench.run(&["spend", "chart", "--scope", "user:bo@example.com", "--png", "chart.png"]).await.exits(0);
    assert_ne!(size("chart.png").1, light);
    bench
        .run(&["spend", "chart", "--png", "nowhere/chart.png"])
        .await
        .exits(1)
        .says(&["nowhere/chart.png can't be written"]);
    bench.run(&["spend", "chart", "--since", "2026-01-01", "--png", "chart.png"]).await.exits(2).says(&["120 days"]);
    bench.run(&["spend", "chart", "--dark"]).await.exits(2);
    assert_eq!(service.terminate().await, Some(0));
    let left: Vec<String> = std::fs::read_dir(bench.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('.') || name == "nowhere")
        .collect();
    assert_eq!(left, Vec::<String>::new(), "nothing is left lying about");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_has_its_chart_in_the_thread_of_its_message_and_inline_in_the_mail() {
    let Some(library) = faketime() else { return };
    let route = "[[routes]]\nevents = [\"budget.*\"]\nsinks = [\"slack\", \"mail\"]\ndigest = \"daily\"\n";
    let bench = Bench::start(&[HEAD, ACME, BUDGET, SLACK, MAIL, route]).await;
    spend_for_weeks(&bench);
    let once = async || run(faked(&bench, &library, &["once"]), "once").await.exits(0);
    set_both(&bench, 0);
    once().await;
    bench.spend_today("ana@example.com", "150.00");
    once().await;
    let before = bench.slack.channel().len();
    set_both(&bench, 86_400);
    once().await;
    let [message] = &bench.slack.channel()[before..] else { panic!("{:?}", bench.slack.channel()) };
    let [upload] = &bench.slack.uploads()[..] else { panic!("{:?}", bench.slack.uploads().len()) };
    assert_eq!((upload.shared, upload.thread.as_ref()), (true, Some(&message.ts)));
    assert!(
        upload.bytes.as_ref().is_some_and(|png| png.starts_with(b"\x89PNG"))
            && upload.alt.contains("Budget $200 a day")
    );
    assert_eq!((bench.slack.faults(), bench.slack.stray_tokens()), (Vec::new(), 0));
    let letters = bench.mail.letters();
    let letter = letters.last().unwrap();
    let (id, png) = letter.picture.as_ref().unwrap();
    assert!(letter.html.contains(&format!("<img src=\"cid:{id}\"")) && png.starts_with("iVBORw0KGgo"), "{id} {png}");
    assert!(letter.text.contains("expected"), "the text says it all the same: {}", letter.text);
    // Without the right to upload, the next day's message comes all the same, once.
    bench.slack.forbid_files();
    bench.spend_today("ana@example.com", "160.00");
    set_both(&bench, 2 * 86_400);
    let said = once().await;
    assert!(said.stderr.contains("files:write"), "{}", said.stderr);
    assert_eq!((bench.slack.channel().len(), bench.slack.uploads().len()), (before + 2, 1));
}
