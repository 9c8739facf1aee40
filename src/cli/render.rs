//! `ampbridge render`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, Outcome, output, parts};
use crate::config::Settings;
use crate::domain::delivery::{Delivery, DeliveryKind};
use crate::domain::event::StoredEvent;
use crate::render::{Context, Fallback, Renderer, gallery, samples};
use crate::sink::{Message, Sink};
use crate::store::sled;

#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// The event type, like budget.exceeded; a made-up sample of it is shown.
    #[arg(long, value_name = "TYPE", required_unless_present_any = ["id", "all"])]
    event: Option<String>,
    /// An event that happened instead of a sample: its id, `evt_…`.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The sink, as the config names it; without it, one of each kind (which needs no config).
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Every event type in every sink, as a page to look through.
    #[arg(long, requires = "out", conflicts_with_all = ["event", "id", "sink"])]
    all: bool,
    /// The folder the page is written to, as index.html; made if need be.
    #[arg(long, value_name = "DIR", requires = "all")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: &RenderArgs, settings: impl Fn() -> Result<Settings, Failure>) -> Outcome {
    // A sample for every kind of sink needs no configuration; with one, the user's templates apply.
    let configured = match settings() {
        Ok(settings) => Some(parts(settings)?),
        Err(failure @ Failure::Config(_)) => return Err(failure),
        Err(failure) if args.id.is_some() || args.sink.is_some() => return Err(failure),
        Err(_) => None,
    };
    let renderer = match &configured {
        Some(parts) => Arc::clone(&parts.renderer),
        None => Arc::new(
            Renderer::load(None).map_err(|errors| Failure::Failed(errors.iter().map(ToString::to_string).collect()))?,
        ),
    };
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("index.html");
        std::fs::write(&file, gallery(&renderer))?;
        output::line(&format!("{} written; open it in a browser", file.display()));
        return Ok(());
    }
    let kinds: Vec<&'static str> = match (&args.sink, &configured) {
        (Some(name), Some(parts)) => {
            if let Some(entry) = parts.settings.sinks.get(name) {
                vec![entry.kind]
            } else {
                let hint = crate::config::hint(name, parts.settings.sinks.keys().map(String::as_str));
                return Err(Failure::Usage(format!("there is no sink {name:?}{hint}")));
            }
        }
        _ => vec!["slack", "email", "webhook", "console"],
    };
    let sink =
        configured.as_ref().and_then(|parts| parts.sinks.iter().find(|s| Some(s.name()) == args.sink.as_deref()));
    let sink = sink.map(Arc::clone);
    let event = match &args.id {
        Some(id) => stored(configured, id).await?,
        None => sample(args.event.as_deref().unwrap_or_default(), &settings)?,
    };
    let events = [Arc::new(event)];
    if let Some(sink) = sink
        && let Some(preview) = preview(sink.as_ref(), &events[0])
    {
        output::heading(&format!("{}: what is sent", sink.name()));
        output::json(&preview);
        return Ok(());
    }
    for kind in kinds {
        show(&renderer, kind, &Context { kind: DeliveryKind::Single, events: &events });
    }
    Ok(())
}

/// A message of the event alone, as the sink would send it.
fn preview(sink: &dyn Sink, event: &Arc<StoredEvent>) -> Option<Value> {
    let now = event.event.time;
    let delivery = Delivery::single("ampbridge", sink.name(), &event.event, now, false);
    sink.preview(&Message { delivery, events: vec![Arc::clone(event)], reference: None, now, progress: None })
}

fn sample(kind: &str, settings: impl Fn() -> Result<Settings, Failure>) -> Result<StoredEvent, Failure> {
    super::known_type(kind, settings)?;
    let event = samples::sample(kind).ok_or_else(|| Failure::Usage(format!("there is no sample of {kind:?}")))?;
    Ok(StoredEvent::bare(event))
}

async fn stored(configured: Option<crate::app::Parts>, id: &str) -> Result<StoredEvent, Failure> {
    let Some(parts) = configured else { return Err(Failure::Usage("a stored event needs a config file".to_owned())) };
    let folder = parts.settings.store.path.clone();
    if sled::holder(&folder).is_some() {
        let answer = super::data::operate(parts, crate::admin::Op::EventShow { id: id.to_owned() }).await?;
        let crate::admin::Answer::Data(value) = answer else {
            return Err(Failure::Failed(vec!["no event came back".to_owned()]));
        };
        let event: crate::domain::event::Event = serde_json::from_value(value)
            .map_err(|e| Failure::Failed(vec![format!("the running service answered something else: {e}")]))?;
        return Ok(StoredEvent::bare(event));
    }
    let app = parts.open("render")?;
    let found = app.core.store.event(id).await;
    app.core.store.close().await?;
    found?.ok_or_else(|| Failure::Failed(vec![format!("no event has the id {id}; `ampbridge events list` shows them")]))
}

fn show(renderer: &Renderer, kind: &str, context: &Context<'_>) {
    let event = &context.events[0].event;
    match kind {
        "slack" => {
            output::heading("slack: text");
            let rendered = renderer.slack(context);
            output::line(&rendered.value.text);
            output::heading("slack: blocks");
            output::json(&rendered.value.blocks.unwrap_or(Value::Null));
            warn(&rendered.fallbacks);
        }
        "email" => {
            let rendered = renderer.email(context);
            output::heading("email: subject");
            output::line(&rendered.value.subject);
            output::heading("email: text");
            output::line(&rendered.value.text);
            output::heading("email: html");
            output::line(&rendered.value.html);
            warn(&rendered.fallbacks);
        }
        "webhook" => {
            output::heading("webhook: body");
            match renderer.webhook(context) {
                Some(rendered) => {
                    output::json(&rendered.value);
                    warn(&rendered.fallbacks);
                }
                None => output::json(&serde_json::to_value(event).unwrap_or_else(|_| json!({}))),
            }
        }
        _ => {
            output::heading(kind);
            output::line(&renderer.line(event));
        }
    }
}

fn warn(fallbacks: &[Fallback]) {
    for fallback in fallbacks {
        output::warning(&format!("template {} failed and another was used: {}", fallback.template, fallback.error));
    }
}
