//! Slack's rates (<https://docs.slack.dev/apis/web-api/rate-limits>).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages a channel takes at once after a pause; from then on one a second.
const BURST: f64 = 4.0;
/// Edits a minute: Tier 3.
const EDITS: usize = 50;
const MINUTE: Duration = Duration::from_secs(60);

/// What was taken lately.
#[derive(Debug, Default)]
pub struct Rates {
    /// Messages the channel would still take, and when that was so.
    posts: Option<(f64, Instant)>,
    edits: VecDeque<Instant>,
}

impl Rates {
    /// Whether another message may come, or after how many seconds.
    pub fn post(&mut self, now: Instant) -> Result<(), u64> {
        let (left, since) = self.posts.unwrap_or((BURST, now));
        let left = (left + now.duration_since(since).as_secs_f64()).min(BURST);
        let taken = left >= 1.0;
        self.posts = Some((if taken { left - 1.0 } else { left }, now));
        if taken { Ok(()) } else { Err(1) }
    }

    /// The same of edits.
    pub fn edit(&mut self, now: Instant) -> Result<(), u64> {
        while self.edits.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            self.edits.pop_front();
        }
        match self.edits.front() {
            Some(first) if self.edits.len() >= EDITS => {
                Err(MINUTE.saturating_sub(now.duration_since(*first)).as_secs() + 1)
            }
            _ => {
                self.edits.push_back(now);
                Ok(())
            }
        }
    }
}
