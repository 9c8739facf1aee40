//! Live messages: where a sink can edit what it sent, an incident is one message whose figures follow the facts.
//!
//! Invariant: edits are quiet and few. At most one edit of a message is under way, it follows the last one by at least
//! [`EVERY`], and it is made only where a figure people see has moved.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::event::Event;
use super::time::{Timestamp, elapsed};

/// Shortest time between two edits of one message. Slack allows fifty a minute for all of a workspace
/// (<https://docs.slack.dev/reference/methods/chat.update>, Tier 3).
pub const EVERY: SignedDuration = SignedDuration::from_mins(5);
/// Edits that may wait at one sink, so that they never hold news up for long.
pub const WAITING_MAX: usize = 20;
/// Fields of an event's data that move while its incident is open.
const FIGURES: [&str; 9] =
    ["spend_usd", "percent", "top", "estimated", "actual_usd", "excess_usd", "ratio", "attribution", "lower_bound"];

/// What an incident's figures are now.
pub type Figures = Map<String, Value>;

/// What has moved since a delivery's event: laid over its data when it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    pub at: Timestamp,
    /// It is over by itself: the period has ended.
    #[serde(default)]
    pub ended: bool,
    #[serde(default)]
    pub figures: Figures,
}

impl Moved {
    /// The event as it would be told now.
    pub fn over(&self, event: &Event) -> Event {
        let mut event = event.clone();
        event.time = self.at;
        event.data.edit(|data| {
            data.extend(self.figures.iter().map(|(name, value)| (name.clone(), value.clone())));
            if self.ended {
                data.insert("state".to_owned(), Value::from("ended"));
            }
        });
        event
    }
}

/// An incident's message at one sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// When it last changed.
    pub at: Timestamp,
    /// The figures it shows.
    #[serde(default)]
    pub figures: Figures,
    /// Edits so far; part of their ids.
    #[serde(default)]
    pub edits: u32,
    /// An edit is under way.
    #[serde(default)]
    pub waiting: bool,
}

impl Live {
    pub fn new(at: Timestamp, figures: Figures) -> Self {
        Self { at, figures, edits: 0, waiting: false }
    }

    /// Whether these figures are worth an edit now.
    pub fn is_due(&self, figures: &Figures, now: Timestamp) -> bool {
        !self.waiting && self.figures != *figures && elapsed(self.at, now) >= EVERY
    }
}

/// The figures in an event's data.
pub fn figures(data: &Map<String, Value>) -> Figures {
    FIGURES.iter().filter_map(|name| Some(((*name).to_owned(), data.get(*name)?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::plus;
    use serde_json::json;

    fn figures_of(spend: &str) -> Figures {
        figures(json!({ "spend_usd": spend, "rule": "daily" }).as_object().unwrap())
    }

    #[test]
    fn only_figures_that_moved_are_worth_an_edit_and_not_too_often() {
        let start = Timestamp::UNIX_EPOCH;
        let mut live = Live::new(start, figures_of("10.00"));
        assert_eq!(live.figures.len(), 1, "the rule is no figure");
        let later = plus(start, EVERY);
        assert!(!live.is_due(&figures_of("10.00"), later), "nothing moved");
        assert!(!live.is_due(&figures_of("11.00"), start), "too soon");
        assert!(live.is_due(&figures_of("11.00"), later));
        live.waiting = true;
        assert!(!live.is_due(&figures_of("12.00"), later), "one at a time");
    }
}
