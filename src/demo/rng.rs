//! Reproducible randomness for made-up data: `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", 2014). Never for secrets.

use crate::domain::time::Timestamp;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Crockford's base 32, as in ULIDs.
const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Random characters of a user id.
const USER_ID_CHARS: usize = 24;

/// A stream of numbers from a seed.
#[derive(Debug, Clone)]
pub struct SplitMix(u64);

impl SplitMix {
    /// A stream of its own for each list of parts: the same parts, the same stream.
    pub fn of(parts: &[u64]) -> Self {
        Self(parts.iter().fold(GOLDEN, |state, part| finish(state ^ part.wrapping_mul(GOLDEN))))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        finish(self.0)
    }

    /// Uniform in `0..n`; 0 where `n` is 0. The bias of the remainder doesn't matter for made-up data.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next_u64().checked_rem(n).unwrap_or(0)
    }

    /// `T-` and a UUID of version 7 (RFC 9562, section 5.7) for that instant.
    pub fn thread_id(&mut self, at: Timestamp) -> String {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        let (a, b) = (self.next_u64(), self.next_u64());
        format!(
            "T-{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
            (millis >> 16) & 0xffff_ffff,
            millis & 0xffff,
            a & 0xfff,
            0x8000 | ((a >> 16) & 0x3fff),
            b & 0xffff_ffff_ffff,
        )
    }

    /// `user_01` and 24 characters.
    pub fn user_id(&mut self) -> String {
        let tail = (0..USER_ID_CHARS).map(|_| self.pick(BASE32).map_or('0', |b| char::from(*b)));
        std::iter::once("user_01".to_owned()).chain(tail.map(String::from)).collect()
    }

    /// One of the items; `None` of none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len() as u64);
        items.get(usize::try_from(index).unwrap_or(0))
    }
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs for seed 1234567, as published with the algorithm's reference code.
    #[test]
    fn the_published_numbers() {
        let mut rng = SplitMix(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn ids_have_their_shapes() {
        let at = "2026-11-22T10:00:00Z".parse().unwrap();
        let id = SplitMix::of(&[1, 2]).thread_id(at);
        assert_eq!(id, SplitMix::of(&[1, 2]).thread_id(at));
        assert_ne!(id, SplitMix::of(&[2, 1]).thread_id(at));
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [1, 8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[16], b'7');
        assert!("89ab".contains(char::from(id.as_bytes()[21])), "{id}");
        assert_eq!(SplitMix(3).user_id().len(), 31);
    }
}
