//! The composition root: the only place that knows which concrete things the program is made of.

mod once;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{Desk, api};
use crate::config::{Problem, Settings};
use crate::domain::acklink::AckKey;
use crate::domain::cycle::{Input, World};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::rules::Rule;
use crate::env::{Clock, Dice, SeededDice, SystemClock};
use crate::http::{Cap, ClientOptions, HttpClient};
use crate::lifecycle::Lifecycle;
use crate::pipeline::Core;
use crate::pipeline::dispatcher::{Dispatcher, Rests, Tally};
use crate::pipeline::poller::Poller;
use crate::pipeline::{keeper, timekeeper};
use crate::render::{AckLinks, Renderer, samples};
use crate::sink::{self, Sink};
use crate::source::{self, Reach, Source};
use crate::store::{self, QueueDepth, Store, StoreError};
use crate::telemetry;

pub use once::{OnceReport, SinkReport};

/// Longest wait for a heartbeat's answer.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How often it is looked at whether everything is sent.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Everything but the store: built from the settings, nothing called or opened yet.
pub struct Parts {
    pub settings: Settings,
    pub world: Arc<World>,
    pub renderer: Arc<Renderer>,
    pub sources: Vec<Arc<dyn Source>>,
    pub sinks: Vec<Arc<dyn Sink>>,
    pub clock: Arc<dyn Clock>,
    pub dice: Arc<dyn Dice>,
}

/// Everything, with the store open.
pub struct App {
    pub parts: Parts,
    pub core: Core,
    pub metrics: Option<PrometheusHandle>,
}

impl Parts {
    /// Builds everything the settings describe; what can't be built is a problem with its key path.
    pub fn assemble(settings: Settings) -> Result<Self, Vec<Problem>> {
        Self::assemble_with(settings, Arc::new(SystemClock), Arc::new(SeededDice::from_system()))
    }

    /// The same with another clock and other dice, for the demo.
    pub fn assemble_with(settings: Settings, clock: Arc<dyn Clock>, dice: Arc<dyn Dice>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut fault = |path: String, message: String| problems.push(Problem { path, origin: None, message });
        let renderer = match Renderer::load_for(settings.bridge.templates_dir.as_deref(), &settings.bridge.zone) {
            Ok(renderer) => Some(Arc::new(renderer)),
            Err(errors) => {
                for error in errors {
                    fault("bridge.templates_dir".to_owned(), error.to_string());
                }
                None
            }
        };
        let sources = build_sources(&settings, &clock, &mut fault);
        let mut sinks = Vec::new();
        if let Some(renderer) = &renderer {
            let (bridge, renderer) = (settings.bridge.name.clone(), Arc::clone(renderer));
            let context = sink::Context { bridge, renderer, pacers: Arc::default() };
            for (name, entry) in &settings.sinks {
                match entry.config.build(name, &entry.common, &context) {
                    Ok(sink) => sinks.push(sink),
                    Err(why) => fault(format!("sinks.{name}"), why),
                }
            }
        }
        let world = World {
            bridge: settings.bridge.name.clone(),
            week_start: settings.bridge.week_start,
            rules: settings.rules.clone(),
            routes: settings.routes.clone(),
            sinks: settings.sinks.keys().cloned().collect(),
            live: sinks.iter().filter(|s| s.edits()).map(|s| s.name().to_owned()).collect(),
            sources: settings.sources.keys().cloned().collect(),
            groups: settings.groups.clone(),
        };
        match renderer {
            Some(renderer) if problems.is_empty() => {
                Ok(Self { settings, world: Arc::new(world), renderer, sources, sinks, clock, dice })
            }
            _ => Err(problems),
        }
    }

    /// Opens the store; `command` is what others are told has it.
    pub fn open(self, command: &str) -> Result<App, StoreError> {
        let note = format!("process {} (ampbridge {command})", std::process::id());
        let store = store::open(&self.settings.store, &self.settings.store.path, &note)?;
        self.offer_acks();
        Ok(self.with_store(store))
    }

    /// Messages have links to acknowledge with, where the settings say where people reach the page.
    fn offer_acks(&self) {
        let admin = &self.settings.admin;
        let Some(base) = admin.public_url.clone() else { return };
        match api::token(admin.token.as_ref(), &self.settings.store.path) {
            Ok(token) => {
                let key = AckKey::derive(token.expose().trim());
                self.renderer.offer_acks(AckLinks { base, key, good_for: admin.links_for });
            }
            Err(why) => tracing::warn!("admin.token: {why}; messages have no links to acknowledge with"),
        }
    }

    pub fn with_store(self, store: Arc<dyn Store>) -> App {
        let core = Core {
            store,
            world: Arc::clone(&self.world),
            clock: Arc::clone(&self.clock),
            dice: Arc::clone(&self.dice),
        };
        App { parts: self, core, metrics: telemetry::metrics::start() }
    }

    /// What operations on the store need of the configuration.
    pub fn desk(&self, store: Arc<dyn Store>) -> Desk {
        let collections = self.sources.iter().flat_map(|s| s.collections().iter());
        Desk {
            store,
            world: Arc::clone(&self.world),
            clock: Arc::clone(&self.clock),
            specs: Arc::new(collections.map(|c| (c.spec.id().to_string(), Arc::clone(&c.spec))).collect()),
            sinks: Arc::new(self.sinks.iter().map(|s| (s.name().to_owned(), s.kind().to_owned())).collect()),
        }
    }
}

fn build_sources(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    fault: &mut dyn FnMut(String, String),
) -> Vec<Arc<dyn Source>> {
    let wants_costs = settings.rules.iter().any(|r| matches!(r.rule, Rule::ThreadCost(_)));
    let mut context =
        source::Context { wants_costs, ..source::Context::new(Arc::clone(clock), settings.folder.clone()) };
    match source::prices::with_own(&settings.prices, Arc::clone(&context.prices)) {
        Ok(prices) => context.prices = prices,
        Err(faults) => faults.into_iter().for_each(|(key, what)| fault(format!("prices.{key}"), what)),
    }
    let mut sources = Vec::new();
    for (name, entry) in &settings.sources {
        match entry.config.build(name, &entry.common, &context) {
            Ok(source) => sources.push(source),
            Err(why) => fault(format!("sources.{name}"), why),
        }
    }
    sources
}

/// Event types there can be: those that come with ampbridge, and those that the configured sources make.
pub fn event_types(settings: Option<&Settings>) -> BTreeSet<String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let sources = settings.map(|settings| build_sources(settings, &clock, &mut |_, _| {})).unwrap_or_default();
    let made = sources.iter().flat_map(|source| source.collections()).flat_map(|c| c.spec.event_types());
    made.chain(samples::types().into_iter().map(str::to_owned)).collect()
}

impl App {
    /// The service, until told to stop. Everything it began is ended or given back.
    pub async fn run(&self, life: &Lifecycle) -> anyhow::Result<()> {
        let mut tasks: JoinSet<Result<(), StoreError>> = JoinSet::new();
        let listener = TcpListener::bind(self.parts.settings.admin.listen).await.map_err(|e| {
            anyhow::anyhow!("admin.listen: {} can't be listened on: {e}", self.parts.settings.admin.listen)
        })?;
        let ready = Arc::new(AtomicBool::new(false));
        let admin = self.serve_admin(listener, &ready, life)?;
        let plausible = keeper::is_plausible(&self.core).await?;
        self.warn_of_gone_sinks().await?;
        self.tick().await?;
        for (sink, _) in self.start_sinks(&mut tasks, &life.soft) {
            tracing::debug!(sink, "sink started");
        }
        tasks.spawn(timekeeper::run(self.core.clone(), life.soft.clone()));
        let (core, config) = (self.core.clone(), self.parts.settings.store.clone());
        tasks.spawn(keeper::run(core, config, plausible, life.soft.clone()));
        let rounds = self.start_sources(&mut tasks, &life.soft);
        let heartbeat = tokio::spawn(self.heartbeat(rounds, life.soft.clone()));
        if let Some(metrics) = self.metrics.clone() {
            tokio::spawn(telemetry::metrics::upkeep(metrics, life.soft.clone()));
        }
        ready.store(true, Ordering::Release);
        tracing::info!(sources = self.parts.sources.len(), sinks = self.parts.sinks.len(), "ampbridge runs");
        let ended = join_all(&mut tasks, life).await;
        ready.store(false, Ordering::Release);
        life.soft.cancel();
        heartbeat.abort();
        // A client that never finishes its request must not keep the service from ending.
        let abort = admin.abort_handle();
        if life.until_hard(admin).await.is_none() {
            abort.abort();
        }
        ended?;
        Ok(self.core.store.close().await?)
    }

    /// Looks once at every collection, one after the other. Returns the number of looks.
    pub async fn look_at_everything(&self, reach: Reach) -> Result<u64, StoreError> {
        let mut looks = 0;
        for source in &self.parts.sources {
            let poller = Poller::new(self.core.clone(), Arc::clone(source));
            for collection in source.collections() {
                poller.look(collection, reach).await?;
                looks += 1;
            }
        }
        Ok(looks)
    }

    /// Waits until nothing waits at any sink, at most `longest`; false where something still does.
    pub async fn settled(&self, longest: Duration) -> Result<bool, StoreError> {
        self.flushed().await?;
        let begun = std::time::Instant::now();
        loop {
            let mut waiting = 0;
            for sink in &self.parts.sinks {
                waiting += self.core.store.depth(sink.name()).await?.waiting;
            }
            if waiting == 0 || begun.elapsed() > longest {
                return Ok(waiting == 0);
            }
            tokio::time::sleep(DRAIN_STEP).await;
        }
    }

    /// Looks at the money rules before anything is polled: an edited limit speaks at once.
    async fn tick(&self) -> Result<(), StoreError> {
        let mut known = Vec::new();
        for source in &self.parts.sources {
            for collection in source.collections() {
                let doc = self.core.store.doc(&DocKey::Collection(collection.spec.id())).await?;
                let spend = collection.spec.role == crate::domain::collection::Role::Spend;
                if spend && matches!(doc.as_deref(), Some(Doc::Collection(state)) if state.baseline.is_some()) {
                    known.push(source.name().to_owned());
                }
            }
        }
        if known.is_empty() {
            return Ok(());
        }
        self.core.step(&Input::Tick { sources: known }).await.map(drop)
    }

    /// Says where something waits for a sink that the config no longer has: nothing will send it.
    async fn warn_of_gone_sinks(&self) -> Result<(), StoreError> {
        let known = self.parts.sinks.iter().map(|sink| sink.name());
        for (sink, QueueDepth { waiting, .. }) in store::gone_sinks(self.core.store.as_ref(), known).await? {
            tracing::warn!(
                sink,
                waiting,
                "the config has no sink {sink:?}, and {waiting} of its deliveries wait: put it back, or `ampbridge deliveries drop --sink {sink}`"
            );
        }
        Ok(())
    }

    /// Starts a dispatcher per sink; its tally by the sink's name.
    pub fn start_sinks(
        &self,
        tasks: &mut JoinSet<Result<(), StoreError>>,
        stop: &CancellationToken,
    ) -> Vec<(String, Arc<Tally>)> {
        self.start_dispatchers(tasks, Rests::Ever, stop)
    }

    fn start_dispatchers(
        &self,
        tasks: &mut JoinSet<Result<(), StoreError>>,
        rests: Rests,
        stop: &CancellationToken,
    ) -> Vec<(String, Arc<Tally>)> {
        let start = |sink: &Arc<dyn Sink>| {
            let tally = Arc::new(Tally::default());
            let (core, sink, stop) = (self.core.clone(), Arc::clone(sink), stop.clone());
            let name = sink.name().to_owned();
            tasks.spawn(Dispatcher::run(core, sink, Arc::clone(&tally), rests, stop));
            (name, tally)
        };
        self.parts.sinks.iter().map(start).collect()
    }

    /// Starts a loop per collection. What it returns says which collections have been looked at, for the heartbeat.
    fn start_sources(
        &self,
        tasks: &mut JoinSet<Result<(), StoreError>>,
        stop: &CancellationToken,
    ) -> tokio::sync::mpsc::UnboundedReceiver<(usize, bool)> {
        let (rounds, heard) = tokio::sync::mpsc::unbounded_channel();
        let mut number = 0;
        for source in &self.parts.sources {
            let poller = Poller::new(self.core.clone(), Arc::clone(source));
            for collection in source.collections() {
                let (poller, collection, stop, rounds) =
                    (poller.clone(), collection.clone(), stop.clone(), rounds.clone());
                let index = number;
                number += 1;
                tasks.spawn(async move {
                    poller
                        .run(&collection, &stop, |good| {
                            // Nobody listens any more when the service stops.
                            let _ = rounds.send((index, good));
                        })
                        .await
                });
            }
        }
        heard
    }

    /// Calls `heartbeat_url` after each full round: once every collection has been looked at since the last call.
    fn heartbeat(
        &self,
        mut rounds: tokio::sync::mpsc::UnboundedReceiver<(usize, bool)>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let url = self.parts.settings.bridge.heartbeat_url.clone();
        let collections: usize = self.parts.sources.iter().map(|s| s.collections().len()).sum();
        async move {
            let mut seen = std::collections::BTreeSet::new();
            let client = HttpClient::new(ClientOptions::default());
            loop {
                let looked = tokio::select! {
                    looked = rounds.recv() => looked,
                    () = stop.cancelled() => None,
                };
                let Some((index, _)) = looked else { return };
                seen.insert(index);
                if seen.len() < collections {
                    continue;
                }
                seen.clear();
                let target = url.as_ref().and_then(|u| reqwest::Url::parse(u.expose()).ok());
                if let (Some(url), Ok(client)) = (target, &client) {
                    let request = client.request(http::Method::GET, url);
                    match client.send(request, HEARTBEAT, Cap::Cut(1024)).await {
                        Ok(reply) if reply.status.is_success() => {}
                        Ok(reply) => tracing::warn!(
                            status = reply.status.as_u16(),
                            "the heartbeat URL answered HTTP {}",
                            reply.status
                        ),
                        Err(error) => tracing::warn!("the heartbeat URL can't be called: {error}"),
                    }
                }
            }
        }
    }

    fn serve_admin(
        &self,
        listener: TcpListener,
        ready: &Arc<AtomicBool>,
        life: &Lifecycle,
    ) -> anyhow::Result<tokio::task::JoinHandle<()>> {
        let folder = &self.parts.settings.store.path;
        let token = api::token(self.parts.settings.admin.token.as_ref(), folder)
            .map_err(|e| anyhow::anyhow!("admin.token: {e}"))?;
        let address = listener.local_addr()?;
        api::announce(folder, address)?;
        tracing::info!(%address, "health, metrics and the admin API on http://{address}");
        let (store, sinks) = (Arc::clone(&self.core.store), self.parts.world.sinks.clone());
        let refresh: Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, ()> + Send + Sync> =
            Arc::new(move || {
                let (store, sinks) = (Arc::clone(&store), sinks.clone());
                Box::pin(async move { depths(&store, &sinks).await })
            });
        let service = api::Service {
            desk: self.parts.desk(Arc::clone(&self.core.store)),
            ack: AckKey::derive(token.expose().trim()),
            token,
            metrics: self.metrics.clone(),
            ready: Arc::clone(ready),
            refresh,
        };
        let stop = life.soft.clone();
        Ok(tokio::spawn(async move {
            if let Err(error) = api::serve(listener, service, stop).await {
                tracing::error!("the admin API ended: {error}");
            }
        }))
    }

    /// Waits until what has been committed may be sent.
    async fn flushed(&self) -> Result<(), StoreError> {
        let commit = self.core.store.overview().await?.commit;
        self.core.store.durable(store::Ticket(commit)).await
    }
}

/// Waits for loops that were told to stop, or stop by themselves because the store has failed; then all are. What is
/// still under way when the time is up is cut off: its lease is the next process's to take over.
async fn join_all(tasks: &mut JoinSet<Result<(), StoreError>>, life: &Lifecycle) -> anyhow::Result<()> {
    let mut failed: Option<anyhow::Error> = None;
    let mut cut = false;
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            () = life.hard.cancelled(), if !cut => {
                cut = true;
                tasks.abort_all();
                continue;
            }
        };
        let error: anyhow::Error = match ended {
            None => break,
            Some(Ok(Ok(()))) => continue,
            Some(Err(error)) if error.is_cancelled() => continue,
            Some(Ok(Err(error))) => error.into(),
            Some(Err(error)) => anyhow::anyhow!("a loop ended abruptly: {error}; please report this"),
        };
        life.soft.cancel();
        failed.get_or_insert(error);
    }
    failed.map_or(Ok(()), Err)
}

async fn depths(store: &Arc<dyn Store>, sinks: &[String]) {
    for sink in sinks {
        let depth = store.depth(sink).await.unwrap_or_default();
        let stopped = store::sink_state(store.as_ref(), sink).await.is_ok_and(|state| state.stopped.is_some());
        telemetry::metrics::depth(sink, depth.waiting, depth.leased, stopped);
    }
}
