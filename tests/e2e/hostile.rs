//! Bad input, the row about titles and names: shown as text, cut at limits on a character boundary, valid everywhere.

use ampbridge::demo::Role;

use crate::harness::{ACME, Bench, HEAD, HOOK, MAIL, SLACK, SLACK_WEBHOOK, accepted, all_to, assert_proper, text};

/// Headers a letter has; no text from outside makes another.
const HEADERS: [&str; 10] = [
    "auto-submitted",
    "content-type",
    "date",
    "from",
    "message-id",
    "mime-version",
    "reply-to",
    "subject",
    "to",
    "x-auto-response-suppress",
];

fn titles() -> Vec<String> {
    vec![
        "<!channel> <!here> <@U024BE7LH> <#C024BE7LR|general>".to_owned(),
        "<https://evil.example.com|click here> &lt;!channel&gt;".to_owned(),
        "hi\r\nBcc: eve@example.com\r\n\r\n<b>body</b>".to_owned(),
        "<script>alert(1)</script><img src=x onerror=alert(1)> \"quoted\" 'single' \\ end\\".to_owned(),
        "{{ 7 * 191 }} {% for x in y %} {{ event.id }}".to_owned(),
        "\u{202e}gnp.exe\u{202c} \u{2066}isolated\u{2069} \u{200f}right".to_owned(),
        "nul \u{0} bell \u{7} escape \u{1b}[31m separator \u{2028} end".to_owned(),
        format!("{}end", "ä🦀".repeat(170_000)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_titles_and_names_are_text_in_all_three_sinks() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, SLACK, MAIL, &all_to(&["hook", "slack", "mail"])]).await;
    bench.once().await;
    let titles = titles();
    for title in &titles {
        bench.add_thread(title);
    }
    bench.workspace.add_member(&titles.concat(), "dee@example.com", Role::Member);
    bench.run(&["once", "--drain", "120"]).await.exits(0);
    let events = bench.events().await;
    assert_eq!(events.len(), titles.len() + 1);

    assert_proper(&bench.hook.received());
    for event in accepted(&bench.hook).iter().filter(|e| e["type"] == "thread.created") {
        let told = event["data"]["after"]["title"].as_str().unwrap();
        assert!(titles.iter().any(|title| title.starts_with(told) && told.len() >= title.len().min(16_000)), "{told}");
    }
    assert_eq!(accepted(&bench.hook).len(), events.len());

    assert_eq!(bench.slack.faults(), Vec::<String>::new(), "within Slack's limits, and no mention takes effect");
    assert_eq!((bench.slack.taken().len(), bench.slack.posts().len()), (events.len(), events.len()));
    for post in bench.slack.posts() {
        let sent = post.body.to_string();
        assert!(!sent.contains("<https://evil"), "no link of theirs: {sent}");
        assert!(!sent.contains("1337"), "no template of theirs: {sent}");
    }
    check_letters(&bench, events.len());
    assert_eq!(bench.run(&["deliveries", "list", "--state", "dead"]).await.exits(0).stdout.trim(), "none");
}

fn check_letters(bench: &Bench, count: usize) {
    let letters = bench.mail.letters();
    assert_eq!(letters.len(), count);
    for letter in &letters {
        for name in letter.names() {
            assert!(HEADERS.contains(&name), "{name}: {}", letter.header(name));
        }
        let subject = letter.header("subject");
        assert!(!subject.contains(|c: char| c.is_control()) && subject.len() <= 300, "{subject}");
        assert_eq!((letter.to.as_str(), letter.header("to")), ("ops@example.com", "ops@example.com"));
        for live in ["<script", "<img src=x", "<b>body</b>", "href=\"https://evil", "1337"] {
            assert!(!letter.html.contains(live), "{live} takes effect:\n{}", letter.html);
        }
        assert!(!letter.text.contains("1337"));
        assert!(letter.html.len() < 200_000 && letter.text.len() < 200_000, "cut to what a letter can hold");
    }
    let all: String = letters.iter().map(|l| l.text.clone()).collect();
    for shown in ["<!channel>", "{{ 7 * 191 }}", "<script>alert(1)</script>"] {
        assert!(all.contains(shown), "{shown} is shown as it is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_do_not_reach_the_terminal_or_an_incoming_webhook_as_anything_but_text() {
    let bench = Bench::start(&[HEAD, ACME, SLACK_WEBHOOK, &all_to(&["slack"])]).await;
    bench.once().await;
    let thread = bench.add_thread("\u{1b}[31mred\u{1b}[0m \r\nsource acme: fine <!channel>");
    bench.once().await;
    assert_eq!(bench.slack.faults(), Vec::<String>::new());
    assert_eq!(bench.slack.taken().len(), 1);
    let id = text(&bench.events().await[0], "id").to_owned();
    for args in [&["events", "list"][..], &["deliveries", "list"], &["events", "explain", &id], &["hold", "list"]] {
        let said = bench.run(args).await.exits(0).said();
        assert!(!said.contains('\u{1b}'), "{args:?} sends a control sequence on: {said:?}");
    }
    assert!(bench.run(&["events", "list"]).await.exits(0).stdout.contains(&thread));
    let shown = bench.run(&["render", "--id", &id, "--sink", "slack"]).await.exits(0);
    assert!(!shown.stdout.contains("<!channel>"), "{}", shown.stdout);
}
