//! A budget of calls in any one hour.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::SignedDuration;

use crate::domain::time::Timestamp;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Calls that may be made in any one hour. Kept in memory: a restart begins a new hour.
#[derive(Debug)]
pub(super) struct Hourly {
    limit: usize,
    made: Mutex<VecDeque<Timestamp>>,
}

/// How much of a budget a call may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Whole,
    /// The first half: what is left is for calls that matter more.
    Half,
}

impl Hourly {
    pub fn new(limit: u32) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), made: Mutex::default() }
    }

    /// Takes one call out of this share of the budget, if there is one left in it.
    pub fn take(&self, now: Timestamp, share: Share) -> bool {
        let limit = match share {
            Share::Whole => self.limit,
            Share::Half => self.limit.div_ceil(2),
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|at| now.duration_since(*at).abs() < HOUR);
        if made.len() >= limit {
            return false;
        }
        made.push_back(now);
        true
    }

    /// Books a call that is made whether or not one is left: the rest of the hour has fewer.
    pub fn book(&self, now: Timestamp) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push_back(now);
    }
}
