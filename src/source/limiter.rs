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

/// The budget of one host.
#[derive(Debug, Clone)]
pub struct HostLimiter {
    bucket: Arc<Bucket>,
    max_rps: f64,
}

impl Limiters {
    /// The budget of `host`. The strictest rate anyone asks for holds for all.
    pub fn host(&self, host: &str, max_rps: f64) -> HostLimiter {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.get(host).filter(|known| known.max_rps <= max_rps);
        if let Some(known) = known {
            return known.clone();
        }
        let limiter = HostLimiter { bucket: Arc::new(RateLimiter::direct(quota(max_rps))), max_rps };
        hosts.insert(host.to_owned(), limiter.clone());
        limiter
    }
}

impl HostLimiter {
    /// Waits for its turn.
    pub async fn turn(&self) {
        self.bucket.until_ready().await;
    }
}

fn quota(max_rps: f64) -> Quota {
    let period = Duration::from_secs_f64(1.0 / max_rps.clamp(0.001, 1_000_000.0));
    let burst = NonZeroU32::new(BURST).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(period).map_or_else(|| Quota::per_second(burst), |q| q.allow_burst(burst))
}
