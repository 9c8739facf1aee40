//! Every payload ampbridge can make of its samples, as JSON Lines, for judges written in other languages.
//!
//! `payloads` prints what each sample, in each of its variants, becomes: the event, the Slack message, the letter.
//! `payloads FILE` sends them through every sink of a config file instead, as they go over the wire, and prints what
//! came back.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use ampbridge::app::Parts;
use ampbridge::domain::delivery::{Delivery, DeliveryKind};
use ampbridge::domain::event::{Event, StoredEvent};
use ampbridge::render::{Context, Renderer, samples};
use ampbridge::sink::Message;
use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

/// Kinds of delivery that hold several events.
const TOGETHER: [DeliveryKind; 4] =
    [DeliveryKind::Group, DeliveryKind::Digest, DeliveryKind::Update, DeliveryKind::Reminder];
/// Of these variants there is a message with one event of each type.
const VARIANTS_TOGETHER: [&str; 2] = ["sample", "hostile"];

/// A message to be.
struct Case {
    /// An event type, or the kind of a delivery of several events.
    name: String,
    variant: &'static str,
    kind: DeliveryKind,
    events: Vec<Arc<StoredEvent>>,
}

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1) {
        None => print_all(),
        Some(file) => tokio::runtime::Runtime::new()?.block_on(send_all(Path::new(&file))),
    }
}

fn print_all() -> anyhow::Result<()> {
    let renderer = Renderer::load(None).map_err(|errors| anyhow!("the built-in templates fail: {errors:?}"))?;
    for case in cases() {
        let context = Context { kind: case.kind, events: &case.events };
        let (slack, email) = (renderer.slack(&context), renderer.email(&context));
        let fallbacks: Vec<String> =
            slack.fallbacks.iter().chain(&email.fallbacks).map(|f| format!("{}: {}", f.template, f.error)).collect();
        write_line(&json!({
            "name": case.name,
            "variant": case.variant,
            "kind": case.kind,
            "events": case.events.iter().map(|stored| &stored.event).collect::<Vec<_>>(),
            "slack": { "text": slack.value.text, "blocks": slack.value.blocks },
            "email": { "subject": email.value.subject, "text": email.value.text, "html": email.value.html },
            "fallbacks": fallbacks,
        }))?;
    }
    Ok(())
}

async fn send_all(file: &Path) -> anyhow::Result<()> {
    ampbridge::http::install_tls();
    let env = ampbridge::env::variables();
    let settings =
        ampbridge::config::load(file, &env).map_err(|problems| anyhow!("{}: {problems:?}", file.display()))?;
    let parts = Parts::assemble(settings).map_err(|problems| anyhow!("{}: {problems:?}", file.display()))?;
    if parts.sinks.is_empty() {
        bail!("{} has no sink", file.display());
    }
    for case in cases() {
        for sink in &parts.sinks {
            let now = parts.clock.now();
            let first = case.events.first().context("a case without events")?;
            let mut delivery = Delivery::single(&parts.world.bridge, sink.name(), &first.event, now, false);
            if case.kind != DeliveryKind::Single {
                // Not the id of the delivery that has the first event alone.
                delivery.id = format!("{}_{}", delivery.id, case.kind.as_str());
                delivery.kind = case.kind;
            }
            delivery.event_ids = case.events.iter().map(|stored| stored.event.id.clone()).collect();
            let id = delivery.id.clone();
            let message = Message { delivery, events: case.events.clone(), reference: None, progress: None, now };
            let report = sink.send(&message).await;
            write_line(&json!({
                "name": case.name,
                "variant": case.variant,
                "sink": sink.name(),
                "delivery": id,
                "outcome": report.outcome.as_str(),
                "detail": report.detail,
            }))?;
        }
    }
    Ok(())
}

/// Each sample by itself in every variant, then one of each type together.
fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for kind in samples::types() {
        for (variant, event) in samples::variants(kind) {
            let events = vec![stored(event, variant)];
            all.push(Case { name: kind.to_owned(), variant, kind: DeliveryKind::Single, events });
        }
    }
    for kind in TOGETHER {
        for variant in VARIANTS_TOGETHER {
            let of_variant = |name: &&str| samples::variants(name).into_iter().find(|(v, _)| *v == variant);
            let events = samples::types().iter().filter_map(of_variant).map(|(_, e)| stored(e, variant)).collect();
            all.push(Case { name: kind.as_str().to_owned(), variant, kind, events });
        }
    }
    all
}

/// Ids differ between variants, as those of different facts do.
fn stored(mut event: Event, variant: &str) -> Arc<StoredEvent> {
    event.id = format!("{}_{variant}", event.id);

    Arc::new(StoredEvent::bare(event))
}

fn write_line(value: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")
}
