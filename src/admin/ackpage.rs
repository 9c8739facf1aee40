//! The page behind an acknowledgement link. Opening it changes nothing (mail scanners open links); its button does.

use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::api::Service;
use super::{Answer, Op, execute};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::incident::Incident;

/// Who is noted where nobody says a name: the link is all that is known.
const BY_LINK: &str = "a link in a message";

/// Asks for one click.
pub(super) async fn show(
    State(service): State<Service>,
    Path((incident, until, signature)): Path<(String, i64, String)>,
) -> Response {
    match good(&service, &incident, until, &signature).await {
        Err(refused) => refused,
        Ok(open) => {
            let about = format!("{} for {}", open.kind, open.subject);
            let said = open.acked.map_or_else(String::new, |ack| {
                format!("<p>Acknowledged by {} at {}.</p>", escape(&ack.by), escape(&ack.at.to_string()))
            });
            page(
                StatusCode::OK,
                "Acknowledge",
                &format!(
                    "<p><strong>{}</strong></p>{said}<p>Nobody is reminded of it any more, and it is escalated to nobody.</p><form method=\"post\"><button>I look after it</button></form>",
                    escape(&about)
                ),
            )
        }
    }
}

/// The click.
pub(super) async fn take(
    State(service): State<Service>,
    Path((incident, until, signature)): Path<(String, i64, String)>,
) -> Response {
    if let Err(refused) = good(&service, &incident, until, &signature).await {
        return refused;
    }
    match execute(&service.desk, Op::Acknowledge { id: incident, by: BY_LINK.to_owned() }).await {
        Ok(Answer::Done(lines)) => page(StatusCode::OK, "Done", &format!("<p>{}</p>", escape(&lines.join(" ")))),
        Ok(Answer::Data(_)) => page(StatusCode::OK, "Done", "<p>Acknowledged.</p>"),
        Err(error) => page(StatusCode::CONFLICT, "Not done", &format!("<p>{}</p>", escape(&error.to_string()))),
    }
}

async fn good(service: &Service, incident: &str, until: i64, signature: &str) -> Result<Incident, Response> {
    if let Err(bad) = service.ack.check(incident, until, signature, service.desk.clock.now()) {
        return Err(page(StatusCode::FORBIDDEN, "Not done", &format!("<p>{bad}</p>")));
    }
    let open = match service.desk.store.doc(&DocKey::Incidents).await.ok().flatten().as_deref() {
        Some(Doc::Incidents(incidents)) => incidents.get(incident).cloned(),
        _ => None,
    };
    open.ok_or_else(|| page(StatusCode::OK, "Over", "<p>This has ended already. There is nothing to acknowledge.</p>"))
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\"><title>{title} · ampbridge</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}}button{{font:inherit;padding:.5rem 1rem}}</style><h1>{title}</h1>{body}</html>"
    );
    let headers: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (status, headers, Html(html)).into_response()
}

/// Subjects are text from outside.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(500) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
