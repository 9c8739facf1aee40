//! The gallery: one HTML page that shows every message as its reader would see it.
//!
//! The page needs nothing from the network and runs no script. Pictures of Slack and of a mail client are as faithful as
//! HTML makes them; they are for judging words and layout, not pixels.

mod picture;

use std::sync::Arc;

use super::text::escape_html;
use super::{Context, Renderer, samples};
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::{Event, StoredEvent};

/// Kinds of message that hold several events.
const TOGETHER: [DeliveryKind; 2] = [DeliveryKind::Group, DeliveryKind::Digest];
/// Kinds of message about an incident that stays open, and what is shown of it.
const AGAIN: [DeliveryKind; 2] = [DeliveryKind::Update, DeliveryKind::Reminder];
const OPEN: &str = "budget.exceeded";
const STYLE: &str = include_str!("gallery/style.css");

/// Every sample of every type in every sink, and messages of several events.
pub fn gallery(renderer: &Renderer) -> String {
    let (mut nav, mut body) = (String::new(), String::new());
    let mut add = |name: &str, exhibits: Vec<String>| {
        nav.push_str(&format!("<a href=\"#{name}\">{name}</a>\n"));
        body.push_str(&format!("<section id=\"{name}\"><h2>{name}</h2>\n{}</section>\n", exhibits.concat()));
    };
    for kind in samples::types() {
        let variants = samples::variants(kind);
        let exhibits =
            variants.into_iter().map(|(variant, event)| exhibit(renderer, variant, DeliveryKind::Single, vec![event]));
        add(kind, exhibits.collect());
    }
    for kind in TOGETHER {
        let exhibits = ["sample", "hostile"].map(|variant| exhibit(renderer, variant, kind, one_of_each(variant)));
        add(kind.as_str(), exhibits.to_vec());
    }
    for kind in AGAIN {
        let variants = samples::variants(OPEN).into_iter();
        let exhibits = variants.map(|(variant, event)| exhibit(renderer, variant, kind, vec![event]));
        add(kind.as_str(), exhibits.collect());
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>ampbridge: messages</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\n\
         <body><nav><b>ampbridge</b>\n{nav}</nav>\n<main>\n{body}</main></body></html>\n"
    )
}

/// One message in every sink. What is not the plain sample is folded away.
fn exhibit(renderer: &Renderer, variant: &str, kind: DeliveryKind, events: Vec<Event>) -> String {
    let events: Vec<Arc<StoredEvent>> = events.into_iter().map(|e| Arc::new(StoredEvent::bare(e))).collect();
    let context = Context { kind, events: &events };
    let (slack, email) = (renderer.slack(&context), renderer.email(&context));
    let mut failed = String::new();
    for fallback in slack.fallbacks.iter().chain(&email.fallbacks) {
        let said = format!("{}: {}", fallback.template, fallback.error);
        failed.push_str(&format!("<p class=\"failed\">{}</p>", escape_html(&said)));
    }
    let body = renderer.webhook(&context).map_or_else(
        || events.first().and_then(|stored| serde_json::to_value(&stored.event).ok()).unwrap_or_default(),
        |rendered| rendered.value,
    );
    let line = match events.as_slice() {
        [only] => renderer.line(&only.event),
        _ => slack.value.text.clone(),
    };
    let drawn = email.value.chart.as_ref().filter(|_| variant == "sample").map_or(String::new(), picture::chart);
    let exhibit = format!(
        "{failed}<div class=\"pair\">{}{}</div>\n{drawn}<p class=\"line\">{}</p>\n\
         <details><summary>plain text · notification · webhook</summary><div class=\"pair\">\
         <pre>{}</pre><pre>{}\n\n{}</pre></div></details>\n",
        picture::slack(&slack.value),
        picture::mail(&email.value),
        escape_html(&line),
        escape_html(&email.value.text),
        escape_html(&slack.value.text),
        escape_html(&serde_json::to_string_pretty(&body).unwrap_or_default()),
    );
    if variant == "sample" {
        return exhibit;
    }
    format!("<details class=\"variant\"><summary>{}</summary>{exhibit}</details>\n", escape_html(variant))
}

fn one_of_each(variant: &str) -> Vec<Event> {
    let of_kind = |kind: &str| samples::variants(kind).into_iter().find(|(name, _)| *name == variant);
    samples::types().into_iter().filter_map(of_kind).map(|(_, event)| event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_shown_in_every_sink_and_nothing_in_it_takes_effect() {
        let page = gallery(&Renderer::load(None).unwrap());
        for kind in samples::types() {
            assert!(page.contains(&format!("<section id=\"{kind}\">")), "{kind}");
        }
        let count = |text: &str| page.matches(text).count();
        let shown: usize = samples::types().iter().map(|kind| samples::variants(kind).len()).sum::<usize>();
        let shown = shown + 4 + 2 * samples::variants(OPEN).len();
        assert_eq!((count("class=\"slack\""), count("class=\"mail\"")), (shown, shown));
        assert_eq!(count("class=\"failed\""), 0);
        assert!(!page.contains("<script") && !page.contains("cid:"), "nothing runs");
        let loaded =
            page.match_indices("<img").filter(|(at, _)| !page[*at..].contains("src=\"data:image/png;base64,iVBOR"));
        assert_eq!(loaded.count(), 0, "nothing loads");
        assert_eq!(count("class=\"chart\""), 2 * 2, "a chart on either ground for each digest");
    }
}
