//! Clock and randomness, passed in wherever they are needed.
//!
//! This is the one place that may ask the system for the time or for random numbers (`clippy.toml` bans it elsewhere).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::time::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// Where jitter comes from.
pub trait Dice: Send + Sync {
    /// Uniform in `[0, 1)`.
    fn unit(&self) -> f64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one sanctioned reading of the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Jitter from a seed: `SplitMix64` (Steele, Lea, Flood 2014). Good enough to spread retries, not for secrets.
#[derive(Debug)]
pub struct SeededDice(AtomicU64);

impl SeededDice {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Seeded by the operating system.
    pub fn from_system() -> Self {
        Self::new(random_bytes().map_or(0x5eed, u64::from_le_bytes))
    }
}

impl Dice for SeededDice {
    fn unit(&self) -> f64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let unit = (z >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }
}

/// Unpredictable bytes, for tokens and seeds; `None` only where the operating system has no randomness.
pub fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// The environment variables of the process, read once at the start.
#[expect(clippy::disallowed_methods, reason = "the one sanctioned reading of the environment")]
pub fn variables() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_rolls() {
        let (a, b) = (SeededDice::new(7), SeededDice::new(7));
        for _ in 0..100 {
            let (x, y) = (a.unit(), b.unit());
            assert!(x.to_bits() == y.to_bits() && (0.0..1.0).contains(&x));
        }
    }
}
