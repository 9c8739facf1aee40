//! `ampbridge demo`: the real pipeline between a fake workspace and a receiver, days passing in seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use clap::Args;
use jiff::civil::Date;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Failure, Outcome, output};
use crate::admin::{Answer, Op, execute};
use crate::app::{App, Parts};
use crate::config;
use crate::demo::{
    CLIENT_ID, CLIENT_SECRET, DemoClock, FakeWorkspace, Receiver, ReceiverOptions, SeedOptions, StandaloneOptions,
    Story, run_standalone, serve,
};
use crate::domain::time::{Timestamp, utc_day};
use crate::env::{Clock, SeededDice, SystemClock};
use crate::lifecycle::Lifecycle;
use crate::source::Reach;
use crate::store::memory::{self, MemoryKv};

/// How often the demo polls.
const POLL: Duration = Duration::from_millis(200);
/// How long the last deliveries may take once the story is over.
const LAST_CALL: Duration = Duration::from_secs(5);
/// How far a signature's time may be off: a demo day passes in seconds, and the receiver's clock is the demo's.
const TOLERANCE_SECS: i64 = 30 * 86_400;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How long it takes, seconds.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Another seed tells another story.
    #[arg(long, value_name = "S", default_value_t = 7)]
    seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct WorkspaceArgs {
    /// Port of the API on 127.0.0.1; 0 is any that is free. Both addresses are printed.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Port on 127.0.0.1 where scripts make things happen, by `POST /control/add_thread` and the like.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    control_port: u16,
    /// Another seed makes other contents.
    #[arg(long, value_name = "S", default_value_t = 7)]
    seed: u64,
    /// Threads there are at the start.
    #[arg(long, value_name = "N", default_value_t = 10)]
    threads: usize,
    /// Members there are at the start.
    #[arg(long, value_name = "N", default_value_t = 3)]
    members: usize,
    /// Days of usage, up to yesterday.
    #[arg(long, value_name = "N", default_value_t = 60)]
    days: u16,
}

/// Demo time, as the pipeline sees it.
struct Watch {
    clock: DemoClock,
    begun: Instant,
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        self.clock.demo_now(self.begun.elapsed())
    }
}

pub(super) async fn run(args: &DemoArgs) -> Outcome {
    let fault =
        |what: &str, e: &dyn std::fmt::Display| Failure::Failed(vec![format!("the demo can't start: {what}: {e}")]);
    let today = first_day(utc_day(SystemClock.now()));
    let watch = Arc::new(Watch { clock: DemoClock::starting_on(today), begun: Instant::now() });
    let now: crate::demo::Now = {
        let watch = Arc::clone(&watch);
        Arc::new(move || watch.now())
    };
    let mut story = Story::new(args.seed, watch.clock);
    let workspace = Arc::new(story.workspace(Arc::clone(&now)).map_err(|e| fault("the workspace", &e))?);
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let api = serve(Arc::clone(&workspace), loopback).await.map_err(|e| fault("the workspace's port", &e))?;
    let secret = crate::env::random_bytes::<32>().ok_or_else(|| fault("the secret", &"no random bytes"))?;
    let secret = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(secret));
    let parsed = crate::domain::signing::SigningSecret::parse(&secret).map_err(|e| fault("the secret", &e))?;
    let options = ReceiverOptions { addr: loopback, secrets: vec![parsed], tolerance_secs: TOLERANCE_SECS, now };
    let receiver = Receiver::start(options).await.map_err(|e| fault("the receiver's port", &e))?;

    let settings = configuration(&api.base_url(), &receiver.url(), &secret, Story::month_limit_usd(&workspace, today));
    let settings = config::load_text(&settings, std::path::Path::new(".")).map_err(Failure::Config)?;
    let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
    let parts = Parts::assemble_with(settings, clock, Arc::new(SeededDice::new(args.seed))).map_err(Failure::Config)?;
    let store = memory::open(MemoryKv::default())?;
    let app = parts.with_store(Arc::new(store));
    output::heading("a fake workspace, days passing in seconds; ampbridge watches it and delivers what it notices");
    let stage = Stage { app: &app, workspace: &workspace, receiver: &receiver, shown: AtomicU64::new(0) };
    let looked = stage.play(&mut story, Duration::from_secs(args.seconds), watch.begun).await?;
    stage.summary(args, looked).await
}

/// The first day of the story: today where that lies well inside its month, so that its end can be seen coming.
fn first_day(today: Date) -> Date {
    match today.day() {
        6..=22 => today,
        1..6 => today.first_of_month().yesterday().unwrap_or(today).with().day(10).build().unwrap_or(today),
        _ => today.with().day(10).build().unwrap_or(today),
    }
}

/// One config, as a user would write it.
fn configuration(api: &str, hook: &str, secret: &str, month: i64) -> String {
    let daily = Story::DAILY_BUDGET_USD;
    let [dear, dearer] = Story::THREAD_LIMITS_USD;
    // Time-outs are in demo time too: an hour of it is a sixth of a second.
    format!(
        r#"
[sources.acme]
kind = "amp"
base_url = "{api}"
token_url = "{api}/oauth2/token"
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
max_rps = 1000
[rules.daily-budget]
kind = "budget"
limit_usd = {daily}
period = "day"
[rules.monthly-budget]
kind = "budget"
limit_usd = {month}
period = "month"
thresholds = [100]
[rules.spend-spike]
kind = "spike"
per = "user"
[rules.dear-threads]
kind = "thread_cost"
limits_usd = [{dear}, {dearer}]
[sinks.console]
kind = "console"
timeout = "20d"
[sinks.automation]
kind = "webhook"
url = "{hook}"
secrets = ["{secret}"]
timeout = "20d"
[[routes]]
events = ["*"]
sinks = ["console", "automation"]
"#
    )
}

struct Stage<'a> {
    app: &'a App,
    workspace: &'a FakeWorkspace,
    receiver: &'a Receiver,
    /// Webhooks shown so far.
    shown: AtomicU64,
}

impl Stage<'_> {
    /// Plays the story and lets the pipeline watch it. Returns the number of looks.
    async fn play(&self, story: &mut Story, length: Duration, begun: Instant) -> Result<u64, Failure> {
        let life = Lifecycle::default();
        life.listen(Duration::from_secs(1))?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        self.app.start_sinks(&mut tasks, &stop);
        let mut looks = 0;
        while begun.elapsed() < length && !life.soft.is_cancelled() {
            for step in story.due(begun.elapsed()) {
                Story::apply(self.workspace, &step).map_err(|e| Failure::Failed(vec![format!("the story: {e}")]))?;
                if let Some(sentence) = &step.sentence {
                    output::line(&format!("· {sentence}"));
                }
            }
            looks += self.app.look_at_everything(Reach::Full).await?;
            self.show_webhooks();
            let next = story.next_at().saturating_sub(begun.elapsed()).min(POLL);
            tokio::time::sleep(next.max(Duration::from_millis(20)).min(length.saturating_sub(begun.elapsed()))).await;
        }
        let all_sent = self.app.settled(LAST_CALL).await?;
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        self.show_webhooks();
        if all_sent {
            Ok(looks)
        } else {
            Err(Failure::Failed(vec!["some deliveries were not sent in time".to_owned()]))
        }
    }

    /// What the receiver has got since the last time, and whether its signature is good. What it says, the console does.
    fn show_webhooks(&self) {
        for received in self.receiver.received_since(self.shown.load(Ordering::Acquire)) {
            self.shown.fetch_add(1, Ordering::AcqRel);
            let proof = if received.verified { "signature verified" } else { "SIGNATURE WRONG" };
            output::line(&format!(
                "    webhook {} {}, {proof}",
                received.id.as_deref().unwrap_or("without id"),
                bytes(received.body.len())
            ));
        }
    }

    async fn summary(&self, args: &DemoArgs, looks: u64) -> Outcome {
        let events = self.app.core.store.events(&crate::store::EventFilter::default()).await?;
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for stored in &events {
            *counts.entry(&stored.event.kind).or_default() += 1;
        }
        let received = self.receiver.received();
        let wrong = received.iter().filter(|r| !r.verified).count();
        output::heading(&format!("\nin {} seconds", args.seconds));
        output::line(&format!("{looks} looks at 4 collections, {}", output::count(events.len(), "event")));
        for (kind, count) in counts {
            output::line(&format!("  {count:3}  {kind}"));
        }
        output::line(&format!(
            "{} received, {} verified",
            output::count(received.len(), "webhook"),
            received.len() - wrong
        ));
        output::heading("\nguard: may more be spent?");
        let desk = self.app.parts.desk(Arc::clone(&self.app.core.store));
        // Days pass in seconds here, so that nothing is ever older than some of them.
        let op = Op::Guard { scopes: Vec::new(), rule: None, max_age_seconds: Some(30 * 86_400) };
        if let Answer::Data(answer) = execute(&desk, op).await? {
            super::guard::print(&answer);
        }
        output::heading("\nnext");
        output::line("  ampbridge render --event budget.exceeded     what your team would read");
        output::line(
            "  ampbridge check --config ampbridge.toml      with your own workspace: README.md has the config",
        );
        self.app.core.store.close().await?;
        if wrong > 0 { Err(Failure::Failed(vec![format!("{wrong} webhooks were not verified")])) } else { Ok(()) }
    }
}

fn bytes(n: usize) -> String {
    output::count(n, "byte")
}

/// The fake by itself, for scripts and tests outside Rust.
pub(super) async fn workspace(args: &WorkspaceArgs) -> Outcome {
    let options = StandaloneOptions {
        port: args.port,
        control_port: args.control_port,
        contents: SeedOptions {
            seed: args.seed,
            threads: args.threads,
            members: args.members,
            days: args.days,
            model_costs: false,
        },
        now: Arc::new(|| SystemClock.now()),
    };
    let running = run_standalone(options, |running| {
        output::line(&format!("api {}", running.api.base_url()));
        output::line(&format!("control {}", running.control.base_url()));
    });
    let life = Lifecycle::default();
    life.listen(Duration::ZERO)?;
    tokio::select! {
        ended = running => ended.map_err(Failure::from),
        () = life.soft.cancelled() => Ok(()),
    }
}
