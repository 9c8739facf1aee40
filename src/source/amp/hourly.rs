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

impl Hourly {
    pub fn new(limit: u32) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), made: Mutex::default() }
    }

    /// Takes one call out of the budget, if there is one left.
    pub fn take(&self, now: Timestamp) -> bool {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|at| now.duration_since(*at).abs() < HOUR);
        if made.len() >= self.limit {
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
