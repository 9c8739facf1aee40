//! The bench of one test: a fake workspace, three receivers, a folder with a config, and the real binary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ampbridge::demo::{
    CLIENT_ID, CLIENT_SECRET, FakeWorkspace, NewThread, Now, Received, Receiver, ReceiverOptions, Role, SeedOptions,
    Server, serve,
};
use ampbridge::domain::signing::SigningSecret;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::mailbox::{self, MailServer};
use crate::slack::{self, FakeSlack};

/// Longest wait for anything. Machines are slow and shared; nothing is proved by this running out.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Longest run of one command.
const COMMAND: Duration = Duration::from_secs(180);

pub const HOOK_SECRET: &str = "whsec_YW1wYnJpZGdlLWUyZS1zaWduaW5nLWtleS0wMDAwMDE=";
pub const HOOK_PATH: &str = "/hook-path-that-nobody-may-see";

/// Texts that may appear nowhere: secrets, or the part of one that gives it away.
pub const SECRETS: [&str; 9] = [
    CLIENT_SECRET,
    "amp_at_",
    "YW1wYnJpZGdlLWUyZS1zaWduaW5nLWtleS0wMDAwMDE",
    HOOK_PATH,
    slack::WEBHOOK_PATH,
    slack::BOT_TOKEN,
    mailbox::PASSWORD,
    mailbox::SIGN_IN,
    "ampbridge-e2e-signing-key",
];

/// Parts of configs; a test puts together what it needs.
pub const HEAD: &str = r#"
[bridge]
name = "bridge"
shutdown_grace = "5s"
[store]
path = "store"
sync = "process"
[admin]
listen = "127.0.0.1:0"
"#;
pub const ACME: &str = r#"
[sources.acme]
kind = "amp"
base_url = "$API"
token_url = "$API/oauth2/token"
client_id = { env = "AMP_CLIENT_ID" }
client_secret = { env = "AMP_CLIENT_SECRET" }
max_rps = 1000.0
every = "300ms"
timeout = "20s"
"#;
pub const HOOK: &str = r#"
[sinks.hook]
kind = "webhook"
url = { env = "HOOK_URL" }
secrets = [{ env = "HOOK_SECRET" }]
retry = { min = "100ms", max = "400ms" }
"#;
/// A second webhook, on the other receiver.
pub const HOOK2: &str = r#"
[sinks.hook2]
kind = "webhook"
url = { env = "HOOK2_URL" }
secrets = [{ env = "HOOK_SECRET" }]
retry = { min = "100ms", max = "400ms" }
"#;
/// Slack with a bot, which puts the event's id into its messages.
pub const SLACK: &str = r#"
[sinks.slack]
kind = "slack"
bot_token = { env = "SLACK_BOT_TOKEN" }
channel = "C0"
api_url = { env = "SLACK_API_URL" }
retry = { min = "100ms", max = "400ms" }
"#;
pub const SLACK_WEBHOOK: &str = r#"
[sinks.slack]
kind = "slack"
webhook_url = { env = "SLACK_WEBHOOK_URL" }
retry = { min = "100ms", max = "400ms" }
"#;
pub const MAIL: &str = r#"
[sinks.mail]
kind = "email"
smtp_url = { env = "SMTP_URL" }
from = "Bridge <bridge@example.com>"
to = ["ops@example.com"]
retry = { min = "100ms", max = "400ms" }
"#;

/// A route of everything.
pub fn all_to(sinks: &[&str]) -> String {
    format!("[[routes]]\nevents = [\"*\"]\nsinks = {sinks:?}\n")
}

pub struct Bench {
    pub workspace: Arc<FakeWorkspace>,
    pub hook: Receiver,
    pub hook2: Receiver,
    pub slack: FakeSlack,
    pub mail: MailServer,
    folder: TempDir,
    api: Server,
    /// Seconds the world of this test is ahead of the real one.
    ahead: Arc<AtomicI64>,
    env: BTreeMap<String, String>,
}

impl Bench {
    /// A workspace of Ana (an admin), Bo and Cy, without threads or usage.
    pub async fn start(config: &[&str]) -> Self {
        let bench = Self::seeded(&SeedOptions::default(), config).await;
        for (name, role) in [("Ana", Role::Admin), ("Bo", Role::Member), ("Cy", Role::Member)] {
            bench.workspace.add_member(name, &format!("{}@example.com", name.to_lowercase()), role);
        }
        bench
    }

    /// A workspace of made-up data.
    pub async fn seeded(options: &SeedOptions, config: &[&str]) -> Self {
        away_from_midnight().await;
        let ahead = Arc::new(AtomicI64::new(0));
        let offset = Arc::clone(&ahead);
        let now: Now = Arc::new(move || Timestamp::now() + SignedDuration::from_secs(offset.load(Ordering::Acquire)));
        let workspace = Arc::new(FakeWorkspace::seeded(options, Arc::clone(&now)));
        let api = serve(Arc::clone(&workspace), local()).await.unwrap();
        let receiver = || {
            let secrets = vec![SigningSecret::parse(HOOK_SECRET).unwrap()];
            // The specification's five minutes, and as much again for a machine that is busy.
            Receiver::start(ReceiverOptions { addr: local(), secrets, tolerance_secs: 600, now: Arc::clone(&now) })
        };
        let (hook, hook2) = (receiver().await.unwrap(), receiver().await.unwrap());
        let (slack, mail) = (FakeSlack::start().await, MailServer::start().await);
        let folder = tempfile::tempdir().unwrap();
        let env = [
            ("AMP_CLIENT_ID", CLIENT_ID.to_owned()),
            ("AMP_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("HOOK_URL", format!("http://{}{HOOK_PATH}", hook.addr())),
            ("HOOK2_URL", format!("http://{}{HOOK_PATH}", hook2.addr())),
            ("HOOK_SECRET", HOOK_SECRET.to_owned()),
            ("SLACK_WEBHOOK_URL", slack.webhook_url()),
            ("SLACK_API_URL", slack.api_url()),
            ("SLACK_BOT_TOKEN", slack::BOT_TOKEN.to_owned()),
            ("SMTP_URL", mail.url()),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let bench = Self { workspace, hook, hook2, slack, mail, folder, api, ahead, env };
        bench.configure(config);
        bench
    }

    /// Writes another config.
    pub fn configure(&self, parts: &[&str]) {
        let port = self.api.addr().port().to_string();
        let text = parts.concat().replace("$API", &self.api.base_url()).replace("$PORT", &port);
        std::fs::write(self.path("ampbridge.toml"), text).unwrap();
    }

    /// Sets a variable of the processes that are started from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Moves the clock of the workspace and the receivers; the processes follow where a test makes them.
    pub fn set_ahead(&self, secs: i64) {
        self.ahead.store(secs, Ordering::Release);
    }

    /// The binary with arguments, in the folder, with nothing of the test's own environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.folder.path()).env_clear().envs(&self.env);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        run(self.command(args), &args.join(" ")).await
    }

    /// `once`, which must go well.
    pub async fn once(&self) -> Ran {
        self.run(&["once"]).await.exits(0)
    }

    /// The stored events, oldest first.
    pub async fn events(&self) -> Vec<Value> {
        let mut list = self.run(&["events", "list", "--json"]).await.exits(0).list();
        list.reverse();
        list
    }

    /// The stored deliveries, oldest first.
    pub async fn deliveries(&self) -> Vec<Value> {
        let mut list = self.run(&["deliveries", "list", "--json"]).await.exits(0).list();
        list.reverse();
        list
    }

    /// A thread of Ana's with a title.
    pub fn add_thread(&self, title: &str) -> String {
        let thread =
            NewThread { title: Some(title.to_owned()), creator: "ana@example.com".to_owned(), ..Default::default() };
        self.workspace.add_thread(thread).unwrap()
    }

    /// What someone has spent today.
    pub fn spend_today(&self, who: &str, usd: &str) {
        self.spend(self.workspace.today(), who, usd);
    }

    pub fn spend(&self, day: Date, who: &str, usd: &str) {
        self.workspace.set_usage(day, who, usd, BTreeMap::new()).unwrap();
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    what: String,
}

impl Ran {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "`{}` ended otherwise\n{}\n{}", self.what, self.stdout, self.stderr);
        self
    }

    /// What was printed, as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("`{}` printed no JSON ({e}): {self:?}", self.what))
    }

    #[track_caller]
    pub fn list(&self) -> Vec<Value> {
        self.json().as_array().expect("a list").clone()
    }

    /// All that was said, on either way.
    pub fn said(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// Every one of these texts was said.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) -> &Self {
        let said = self.said();
        for text in texts {
            assert!(said.contains(text), "`{}` does not say {text:?}:\n{said}", self.what);
        }
        self
    }
}

/// Runs a command to its end; it must give no secret away.
pub async fn run(mut command: Command, what: &str) -> Ran {
    let output = tokio::time::timeout(COMMAND, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("`{what}` did not end")).unwrap();
    let ran = Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        what: what.to_owned(),
    };
    assert_silent(what, &ran.said());
    ran
}

/// No secret is in the text.
#[track_caller]
pub fn assert_silent(what: &str, text: &str) {
    for secret in SECRETS {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{what} gives {secret} away");
    }
}

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("AMPBRIDGE_E2E_BIN").map_or_else(|| env!("CARGO_BIN_EXE_ampbridge").into(), PathBuf::from)
}

/// Waits until there is an answer.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until it is so.
pub async fn wait(what: &str, mut so: impl FnMut() -> bool) {
    until(what, async || so().then_some(())).await;
}

/// A member of an event or a row, as text.
pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// `type subject` of each event, sorted: what happened, in no order.
pub fn facts(events: &[Value]) -> Vec<String> {
    let mut facts: Vec<String> = events.iter().map(|e| format!("{} {}", text(e, "type"), text(e, "subject"))).collect();
    facts.sort();
    facts
}

/// The ids of events.
pub fn ids(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|e| text(e, "id").to_owned()).collect()
}

/// The events a receiver has taken, in order.
pub fn accepted(receiver: &Receiver) -> Vec<Value> {
    let taken = receiver.received().into_iter().filter(|r| (200..300).contains(&r.status));
    taken.map(|r| r.json().unwrap()).collect()
}

/// Every request of a receiver was properly made: a POST of one event, signed, under the event's id.
pub fn assert_proper(received: &[Received]) {
    for one in received {
        let event = one.json().unwrap();
        assert!(one.verified, "{one:?}");
        assert_eq!(one.method, "POST");
        assert_eq!(one.headers["content-type"], "application/cloudevents+json; charset=utf-8");
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"].as_str(), one.id.as_deref());
    }
}

/// Waits while the UTC day is about to change: what is written for today is to stay today's.
async fn away_from_midnight() {
    loop {
        let left = 86_400 - Timestamp::now().as_second().rem_euclid(86_400);
        if left > 240 {
            return;
        }
        eprintln!("waiting {left} s for midnight to pass");
        tokio::time::sleep(Duration::from_secs(left.unsigned_abs() + 1)).await;
    }
}

fn local() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
