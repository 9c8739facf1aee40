//! One rate budget per host, shared by everything that calls it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Calls that may come at once after a quiet while (DESIGN section 3: bursts of 20).
pub const BURST: u32 = 20;

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock>;

/// The budgets of all hosts.
#[derive(Debug, Clone, Default)]
pub struct Limiters(Arc<Mutex<HashMap<String, HostLimiter>>>);

/// The budget of one host. Clones share it.
#[derive(Debug, Clone)]
pub struct HostLimiter(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    bucket: Arc<Bucket>,
    max_rps: f64,
}

impl Limiters {
    /// The budget of `host`. The strictest rate anyone asks for holds for all, those who asked before included.
    pub fn host(&self, host: &str, max_rps: f64) -> HostLimiter {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let limiter = hosts.entry(host.to_owned()).or_insert_with(|| HostLimiter::new(max_rps)).clone();
        limiter.tighten(max_rps);
        limiter
    }
}

impl HostLimiter {
    fn new(max_rps: f64) -> Self {
        Self(Arc::new(Mutex::new(Shared { bucket: Arc::new(RateLimiter::direct(quota(max_rps))), max_rps })))
    }

    /// From now on no faster than this; never faster than before.
    pub fn tighten(&self, max_rps: f64) {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if max_rps < shared.max_rps {
            *shared = Shared { bucket: Arc::new(RateLimiter::direct(quota(max_rps))), max_rps };
        }
    }

    /// Calls a second.
    pub fn max_rps(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).max_rps
    }

    /// Waits for its turn.
    pub async fn turn(&self) {
        let bucket = Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner).bucket);
        bucket.until_ready().await;
    }
}

fn quota(max_rps: f64) -> Quota {
    let period = Duration::from_secs_f64(1.0 / max_rps.clamp(0.001, 1_000_000.0));
    let burst = NonZeroU32::new(BURST).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(period).map_or_else(|| Quota::per_second(burst), |q| q.allow_burst(burst))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_rate_holds_for_all_who_share_a_host() {
        let limiters = Limiters::default();
        let first = limiters.host("api.example.com", 10.0);
        let second = limiters.host("api.example.com", 2.0);
        limiters.host("api.example.com", 5.0);
        let other = limiters.host("other.example.com", 10.0);
        let rates = [&first, &second, &other].map(|limiter| limiter.max_rps().to_string());
        assert_eq!(rates, ["2", "2", "10"]);
    }
}
