//! Incidents, acknowledgements, silences.

use serde_json::{Value, json};

use super::{Answer, Desk, OpError, operations};
use crate::domain::cycle::Command;
use crate::domain::doc::{Doc, DocKey};
use crate::domain::ids;
use crate::domain::incident::Incidents;
use crate::domain::silence::{Silence, Silences};

type Outcome = Result<Answer, OpError>;

/// Open incidents, newest first.
pub(super) async fn incidents(desk: &Desk) -> Outcome {
    let mut open: Vec<_> = all_incidents(desk).await?.into_iter().collect();
    open.sort_by_key(|(_, incident)| std::cmp::Reverse(incident.opened));
    let rows = open.iter().map(|(id, incident)| {
        json!({
            "id": id, "type": incident.kind, "subject": incident.subject, "severity": incident.severity,
            "opened": incident.opened, "ends": incident.ends, "event": incident.event,
            "acked_by": incident.acked.as_ref().map(|a| &a.by), "acked_at": incident.acked.as_ref().map(|a| a.at),
            "sinks": incident.told.keys().collect::<Vec<_>>(),
        })
    });
    Ok(Answer::Data(rows.collect()))
}

/// Takes an incident's id, or that of any of its events.
pub(super) async fn acknowledge(desk: &Desk, id: &str, by: &str) -> Outcome {
    let open = all_incidents(desk).await?;
    let incident = if open.contains_key(id) {
        id.to_owned()
    } else {
        let event = desk.store.event(id).await?;
        let named = event.as_ref().and_then(|stored| stored.event.incident()).map(str::to_owned);
        match named {
            Some(incident) => incident,
            None if event.is_some() => {
                return Err(OpError::Refused(format!(
                    "{id} is no level that stays open; there is nothing to acknowledge"
                )));
            }
            None => {
                return Err(OpError::NotFound(format!(
                    "no incident or event has the id {id}; `ampbridge incidents list` shows them"
                )));
            }
        }
    };
    Ok(Answer::Done(vec![operations::run(desk, Command::Acknowledge { incident, by: by.to_owned() }).await?]))
}

pub(super) async fn silences(desk: &Desk) -> Outcome {
    let now = desk.clock.now();
    let rows = all_silences(desk).await?.into_iter().map(|(id, silence)| {
        let state = if silence.until > now { "on" } else { "over" };
        let mut row = serde_json::to_value(&silence).unwrap_or_default();
        if let Value::Object(map) = &mut row {
            map.insert("id".to_owned(), json!(id));
            map.insert("state".to_owned(), json!(state));
        }
        row
    });
    Ok(Answer::Data(rows.collect()))
}

pub(super) async fn add_silence(desk: &Desk, mut silence: Silence) -> Outcome {
    let now = desk.clock.now();
    silence.created = now;
    if silence.until <= now {
        return Err(OpError::Refused("the silence would be over already".to_owned()));
    }
    if let Some(sink) = silence.sink.as_ref().filter(|sink| !desk.sinks.iter().any(|(name, _)| name == *sink)) {
        return Err(OpError::NotFound(format!("there is no sink {sink:?}")));
    }
    let text = serde_json::to_string(&silence).unwrap_or_default();
    let id = ids::derive_short("sil", &[&text]);
    let command = Command::AddSilence { id, silence: Box::new(silence) };
    Ok(Answer::Done(vec![operations::run(desk, command).await?]))
}

pub(super) async fn expire_silence(desk: &Desk, id: String) -> Outcome {
    Ok(Answer::Done(vec![operations::run(desk, Command::ExpireSilence { id }).await?]))
}

async fn all_incidents(desk: &Desk) -> Result<Incidents, OpError> {
    match desk.store.doc(&DocKey::Incidents).await?.as_deref() {
        Some(Doc::Incidents(incidents)) => Ok(incidents.clone()),
        _ => Ok(Incidents::new()),
    }
}

async fn all_silences(desk: &Desk) -> Result<Silences, OpError> {
    match desk.store.doc(&DocKey::Silences).await?.as_deref() {
        Some(Doc::Silences(silences)) => Ok(silences.clone()),
        _ => Ok(Silences::new()),
    }
}
