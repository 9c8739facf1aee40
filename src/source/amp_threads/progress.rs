//! What the agent of a thread is doing: derived from states that three generations of documents write differently.

use jiff::SignedDuration;

use crate::domain::time::{Timestamp, elapsed};

/// What the agent is doing, as far as the document tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Running,
    Finished,
    Failed,
    Cancelled,
}

impl Progress {
    /// As it stands in events. What runs and has not been touched for long has stalled.
    pub fn word(self, updated: Option<Timestamp>, now: Timestamp, stalled_after: SignedDuration) -> &'static str {
        match self {
            Self::Running if updated.is_some_and(|at| elapsed(at, now) > stalled_after) => "stalled",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The agent's own state (`meta.lastKnownAgentState.state`, `meta.status`).
pub fn of_agent(state: &str) -> Option<Progress> {
    match state.to_ascii_lowercase().as_str() {
        "idle" | "end_turn" | "complete" | "completed" | "done" | "finished" => Some(Progress::Finished),
        "streaming" | "running" | "working" | "thinking" | "tool_use" | "running_tools" | "executing" | "active" => {
            Some(Progress::Running)
        }
        "error" | "failed" => Some(Progress::Failed),
        "cancelled" | "canceled" | "aborted" => Some(Progress::Cancelled),
        _ => None,
    }
}

/// What an agent's own state and the last message say together. An agent that rests says that it does not run, and of how
/// that ended nothing: its turn may have failed, or somebody may have stopped it.
pub fn of(agent: Option<Progress>, last: LastMessage) -> Option<Progress> {
    match (agent, last.progress) {
        (Some(Progress::Finished), Some(ended @ (Progress::Failed | Progress::Cancelled))) => Some(ended),
        (agent, last) => agent.or(last),
    }
}

/// The last message, as far as it tells what the agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LastMessage {
    progress: Option<Progress>,
    /// Its error says that a usage limit was reached.
    pub usage_limit: bool,
}

impl LastMessage {
    /// Takes the next message: its role, the type of its state, and why the model stopped. A message without a state
    /// that a person sent sets the agent to work; where no message ever has a state, nothing is known.
    pub fn take(&mut self, role: Option<&str>, state: Option<&(impl AsRef<str> + ?Sized)>, stop: Option<&str>) {
        self.progress = match (state.map(AsRef::as_ref), stop) {
            (Some("streaming"), _) | (Some("complete"), Some("tool_use")) => Some(Progress::Running),
            (Some("complete"), _) => Some(Progress::Finished),
            (Some("error"), _) => Some(Progress::Failed),
            (Some("cancelled"), _) => Some(Progress::Cancelled),
            (None, _) if role == Some("user") && self.progress.is_some() => Some(Progress::Running),
            _ => self.progress,
        };
    }
}

/// The words by which Amp's client knows that a limit was reached (strings of its published bundle, January 2026).
pub fn is_usage_limit(message: &str) -> bool {
    let text = message.to_lowercase();
    ["free usage limit", "usage quota of", "usage limit of"].iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(messages: &[(&str, Option<&str>, Option<&str>)]) -> Option<Progress> {
        let mut last = LastMessage::default();
        for (role, state, stop) in messages {
            last.take(Some(role), *state, *stop);
        }
        of(None, last)
    }

    #[test]
    fn an_agent_that_rests_ended_as_its_last_message_says() {
        let with = |agent: &str, state: &str| {
            let mut last = LastMessage::default();
            last.take(Some("assistant"), Some(state), None);
            of(of_agent(agent), last)
        };
        assert_eq!(with("idle", "complete"), Some(Progress::Finished));
        assert_eq!(with("idle", "error"), Some(Progress::Failed));
        assert_eq!(with("idle", "cancelled"), Some(Progress::Cancelled));
        assert_eq!(with("idle", "streaming"), Some(Progress::Finished), "the agent knows that it stopped");
        assert_eq!(with("streaming", "error"), Some(Progress::Running), "it tries again");
        assert_eq!(with("error", "complete"), Some(Progress::Failed));
    }

    #[test]
    fn the_last_message_tells_where_no_agent_does() {
        let ended = ("assistant", Some("complete"), Some("end_turn"));
        let calls = ("assistant", Some("complete"), Some("tool_use"));
        assert_eq!(after(&[ended]), Some(Progress::Finished));
        assert_eq!(after(&[ended, ("user", None, None)]), Some(Progress::Running));
        assert_eq!(after(&[calls, ("user", None, None)]), Some(Progress::Running));
        assert_eq!(after(&[ended, ("supervisor", None, None)]), Some(Progress::Finished));
        assert_eq!(after(&[("assistant", Some("error"), None)]), Some(Progress::Failed));
        assert_eq!(after(&[("user", None, None), ("assistant", None, None)]), None, "old documents have no states");
    }

    #[test]
    fn what_runs_untouched_for_long_has_stalled() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let half_an_hour = SignedDuration::from_mins(30);
        let word = |progress: Progress, updated| progress.word(updated, at("2026-11-22T10:00:00Z"), half_an_hour);
        assert_eq!(word(Progress::Running, Some(at("2026-11-22T09:29:00Z"))), "stalled");
        assert_eq!(word(Progress::Running, Some(at("2026-11-22T09:31:00Z"))), "running");
        assert_eq!(word(Progress::Running, None), "running");
        assert_eq!(word(Progress::Finished, Some(at("2026-11-20T00:00:00Z"))), "finished");
    }

    #[test]
    fn limits_are_known_by_their_words() {
        assert!(is_usage_limit("You've reached your free usage limit."));
        assert!(is_usage_limit("You've exceeded your usage quota of $10"));
        assert!(!is_usage_limit("overloaded"));
    }
}
