//! SIGKILL at any moment: nothing is missing at the end, a repeat has the same id, and no fact has two.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ampbridge::demo::{Fault, FaultRule, Received, Reply, Role, SeedOptions, ThreadEdit};
use serde_json::Value;

use crate::harness::{
    ACME, Bench, HEAD, HOOK, HOOK2, MAIL, SLACK, accepted, all_to, assert_proper, facts, ids, text, until, wait,
};
use crate::mailbox::Say;
use crate::slack::Answer;

const RULES: &str = r#"
[rules.per-user]
kind = "budget"
limit_usd = 10
period = "day"
per = "user"
thresholds = [50, 100]
"#;

/// Numbers that look random and are the same each time (a linear congruential generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Changes of the workspace, each of which makes one event that nothing else makes.
struct Story {
    bench: Bench,
    /// Threads whose title may still be changed.
    old: Vec<String>,
    expected: Vec<String>,
}

impl Story {
    async fn begin() -> Self {
        let sinks = all_to(&["hook", "hook2", "mail"]);
        let options = SeedOptions { seed: 9, threads: 250, members: 30, days: 0, model_costs: false };
        let bench = Bench::seeded(&options, &[HEAD, ACME, RULES, HOOK, HOOK2, MAIL, &sinks]).await;
        bench.once().await;
        Self { old: bench.workspace.thread_ids(), bench, expected: Vec::new() }
    }

    /// Something of everything. `number` counts from 1.
    fn go_on(&mut self, number: usize) {
        let world = &self.bench.workspace;
        let member = format!("member{number}@example.com");
        let mut expect = |kind: &str, subject: &str| self.expected.push(format!("{kind} {subject}"));
        let creator = format!("member{}@example.com", number + 1);
        let thread =
            ampbridge::demo::NewThread { title: Some(format!("thread {number}")), creator, ..Default::default() };
        expect("thread.created", &world.add_thread(thread).unwrap());
        let edited = self.old.swap_remove(number);
        let edit = ThreadEdit { title: Some(format!("edited {number}")), ..ThreadEdit::default() };
        world.edit_thread(&edited, edit).unwrap();
        expect("thread.updated", &edited);
        let newcomer = format!("newcomer{number}@example.com");
        world.add_member("Newcomer", &newcomer, Role::Member);
        expect("member.added", &newcomer);
        world.set_usage(world.today(), &member, "11.00", BTreeMap::new()).unwrap();
        expect("budget.exceeded", &format!("user:{}", world.user(&member).unwrap().id));
        if number.is_multiple_of(8) {
            let gone = format!("member{}@example.com", 20 + number / 8);
            world.remove_member(&gone).unwrap();
            expect("member.removed", &gone);
        }
    }

    /// Whether the webhook has refused as often as it was to, and taken something since, as far as that survived. Never more
    /// than two in a row, whoever was killed before they were used up: three would be news of their own.
    async fn is_well(&self, scripted: usize) -> bool {
        let refused = self.bench.hook.received().iter().filter(|r| r.status == 503).count();
        let sinks = self.bench.run(&["sinks", "list", "--json"]).await.exits(0).list();
        refused == scripted && sinks.iter().any(|sink| sink["name"] == "hook" && sink["failures"] == 0)
    }

    /// Nothing is missing, nothing is told twice under another id.
    async fn check(&mut self) {
        let events = self.bench.events().await;
        self.expected.sort();
        assert_eq!(facts(&events), self.expected);
        let stored = ids(&events);
        assert_eq!(stored.len(), events.len());
        for receiver in [&self.bench.hook, &self.bench.hook2] {
            assert_proper(&receiver.received());
            assert_eq!(ids(&accepted(receiver)), stored);
            same_body_under_same_id(&receiver.received());
        }
        let deliveries = self.bench.deliveries().await;
        assert!(deliveries.iter().all(|d| d["state"] == "delivered"), "{deliveries:?}");
        let letters: BTreeSet<String> =
            self.bench.mail.letters().iter().map(|l| l.header("message-id").to_owned()).collect();
        let mails = deliveries.iter().filter(|d| d["sink"] == "mail");
        assert_eq!(letters, mails.map(|d| format!("<{}@example.com>", text(d, "id"))).collect());
        assert_eq!(letters.len(), stored.len());
    }
}

fn same_body_under_same_id(received: &[Received]) {
    let mut bodies: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for one in received {
        let body = bodies.entry(one.id.as_deref().unwrap()).or_insert(&one.body);
        assert_eq!(*body, &one.body[..], "a repeat is the same to the byte");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_killed_at_any_moment_loses_and_doubles_nothing() {
    let mut story = Story::begin().await;
    let mut dice = Dice(20_261_122);
    let begun = std::time::Instant::now();
    story.bench.once().await;
    let usual = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let (mut killed, mut scripted) = (0, 0);
    for number in 1..=16 {
        story.go_on(number);
        if number.is_multiple_of(3) && story.is_well(scripted).await {
            story.bench.hook.script([Reply::status(503), Reply::status(503)]);
            scripted += 2;
        }
        let mut child = story.bench.command(&["once"]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(dice.below(usual + usual / 2))).await;
        killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().await.unwrap();
    }
    assert!(killed >= 5, "most were killed while they worked: {killed}");
    // A removal is believed at the second complete look.
    for _ in 0..3 {
        story.bench.once().await;
    }
    story.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_killed_at_any_moment_loses_and_doubles_nothing() {
    let mut story = Story::begin().await;
    let mut dice = Dice(17);
    let mut scripted = 0;
    for number in 1..=16 {
        story.go_on(number);
        if number.is_multiple_of(3) && story.is_well(scripted).await {
            story.bench.hook.script([Reply::status(503), Reply::status(503)]);
            scripted += 2;
        }
        let mut service = story.bench.start_service(story.bench.command(&["run"]));
        tokio::time::sleep(Duration::from_millis(100 + dice.below(1_500))).await;
        service.kill().await;
    }
    for _ in 0..3 {
        story.bench.once().await;
    }
    story.check().await;
}

/// The calls that can hang, how each is made to, and how one sees that it does.
#[derive(Debug, Clone, Copy)]
enum Call {
    Token,
    Page,
    Webhook,
    Smtp,
    Slack,
}

async fn killed_while_it_hangs(call: Call) {
    let sinks = all_to(&["hook", "mail", "slack"]);
    let bench = Bench::start(&[HEAD, ACME, HOOK, MAIL, SLACK, &sinks]).await;
    bench.once().await;
    let thread = bench.add_thread("one");
    hang(&bench, call);
    let mut child = bench.command(&["once"]).spawn().unwrap();
    until(&format!("{call:?} hangs"), async || hangs(&bench, call).then_some(())).await;
    assert!(child.try_wait().unwrap().is_none());
    child.kill().await.unwrap();
    heal(&bench);
    bench.once().await;
    bench.once().await;

    let events = bench.events().await;
    assert_eq!(facts(&events), [format!("thread.created {thread}")]);
    let deliveries = bench.deliveries().await;
    assert!(deliveries.iter().all(|d| d["state"] == "delivered"), "{deliveries:?}");
    assert_eq!(ids(&accepted(&bench.hook)), ids(&events));
    let hooked: BTreeSet<Option<String>> = bench.hook.received().into_iter().map(|r| r.id).collect();
    assert_eq!(hooked.len(), 1, "asked again under the same id");
    let posted: Vec<String> = bench.slack.posts().iter().map(|p| p.event_id().unwrap().to_owned()).collect();
    assert!(posted.iter().all(|id| *id == text(&events[0], "id")));
    assert!(!bench.slack.taken().is_empty());
    let letters: BTreeSet<String> = bench.mail.letters().iter().map(|l| l.header("message-id").to_owned()).collect();
    assert_eq!(letters.len(), 1);
}

fn hang(bench: &Bench, call: Call) {
    let fault = |prefix: &str| FaultRule { prefix: prefix.to_owned(), fault: Fault::Hang, count: None, skip: 0 };
    match call {
        Call::Token => bench.workspace.add_fault(fault("/oauth2/token")),
        Call::Page => bench.workspace.add_fault(fault("/api/v2/threads")),
        Call::Webhook => bench.hook.set_usual(Some(Reply::silence())),
        Call::Smtp => bench.mail.script(".", Say::Nothing, 1),
        Call::Slack => bench.slack.set_usual(Some(Answer::Silence)),
    }
}

fn hangs(bench: &Bench, call: Call) -> bool {
    let asked = |path: &str| bench.workspace.log().iter().any(|e| e.path.starts_with(path) && e.status == 0);
    match call {
        Call::Token => asked("/oauth2/token"),
        Call::Page => asked("/api/v2/threads"),
        Call::Webhook => !bench.hook.received().is_empty(),
        Call::Smtp => bench.mail.lines(".") > 0,
        Call::Slack => !bench.slack.posts().is_empty(),
    }
}

fn heal(bench: &Bench) {
    bench.workspace.clear_faults();
    bench.hook.set_usual(None);
    bench.mail.clear_script();
    bench.slack.set_usual(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_token_call_hangs() {
    killed_while_it_hangs(Call::Token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_page_hangs() {
    killed_while_it_hangs(Call::Page).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_webhook_hangs() {
    killed_while_it_hangs(Call::Webhook).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_mail_server_hangs() {
    killed_while_it_hangs(Call::Smtp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_slack_hangs() {
    killed_while_it_hangs(Call::Slack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_pages_of_the_baseline_leaves_it_quiet() {
    let options = SeedOptions { seed: 3, threads: 450, members: 3, days: 0, model_costs: false };
    let bench = Bench::seeded(&options, &[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    let rule = FaultRule { prefix: "/api/v2/threads".into(), fault: Fault::Hang, count: None, skip: 3 };
    bench.workspace.add_fault(rule);
    let mut child = bench.command(&["once"]).spawn().unwrap();
    wait("the fourth page hangs", || hangs(&bench, Call::Page)).await;
    child.kill().await.unwrap();
    heal(&bench);
    bench.once().await.says(&["450 rows (baseline)"]);
    bench.once().await;
    assert_eq!(bench.events().await, Vec::<Value>::new());
}
