//! How a day's spend of each user grew while it was watched.
//!
//! A step is (user, half-hour, spend so far that day). What came in after the day had ended has no step: it only shows
//! in the day's total. Days read from history have none at all.

use jiff::Timestamp;

use crate::domain::money::Micros;

/// Half-hours of a day: zones are offset by whole or half hours, but for a few by quarters.
pub const SLOTS: u32 = 48;
/// Bits of a step's key that hold the half-hour.
const SLOT_BITS: u32 = 6;

/// The half-hour of a UTC day that an instant lies in.
pub fn slot_of(at: Timestamp) -> u32 {
    let second = at.as_second().rem_euclid(86_400);
    u32::try_from(second / 1800).unwrap_or(0)
}

/// Steps in order of user and half-hour. Users are numbers of the day's own table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Curve {
    pub(super) at: Vec<u32>,
    pub(super) total: Vec<Micros>,
}

impl Curve {
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.at.as_slice()) + size_of_val(self.total.as_slice())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// Books what users had spent by a half-hour. `fresh` is in order of users.
    pub(super) fn book(&mut self, slot: u32, fresh: &[(u32, Micros)]) {
        let mut at = Vec::with_capacity(self.at.len() + fresh.len());
        let mut total = Vec::with_capacity(at.capacity());
        let mut old = self.at.iter().copied().zip(self.total.iter().copied()).peekable();
        for (user, amount) in fresh {
            let key = key(*user, slot);
            while let Some((known, sum)) = old.next_if(|(known, _)| *known < key) {
                at.push(known);
                total.push(sum);
            }
            old.next_if(|(known, _)| *known == key);
            at.push(key);
            total.push(*amount);
        }
        for (known, sum) in old {
            at.push(known);
            total.push(sum);
        }
        (self.at, self.total) = (at, total);
    }

    /// Renumbers users; those that map to nothing lose their steps. The order stays.
    pub(super) fn renumber(&mut self, map: &[Option<u32>]) {
        let kept = self.at.iter().zip(&self.total).filter_map(|(at, total)| {
            let user = (*map.get((at >> SLOT_BITS) as usize)?)?;
            Some((key(user, at & ((1 << SLOT_BITS) - 1)), *total))
        });
        (self.at, self.total) = kept.unzip();
    }

    /// What a user had spent by the end of a half-hour, as far as it was watched. Never more than what was seen later:
    /// a correction downwards counts from the start.
    pub(super) fn so_far(&self, user: u32, slot: u32) -> Micros {
        let first = self.at.partition_point(|at| *at < key(user, 0));
        let end = self.at.partition_point(|at| *at < key(user + 1, 0));
        let by = self.at.partition_point(|at| *at <= key(user, slot)).clamp(first, end);
        let Some(seen) = self.total[first..by].last() else { return Micros::ZERO };
        self.total[by..end].iter().copied().fold(*seen, Ord::min)
    }

    /// Whether the numbers of users fit and everything is in order.
    pub(super) fn is_sound(&self, users: usize) -> bool {
        self.at.len() == self.total.len()
            && self.at.windows(2).all(|w| w[0] < w[1])
            && self.at.last().is_none_or(|at| (at >> SLOT_BITS) < u32::try_from(users).unwrap_or(u32::MAX))
    }
}

fn key(user: u32, slot: u32) -> u32 {
    (user << SLOT_BITS) | slot.min(SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_by_a_half_hour() {
        let mut curve = Curve::default();
        curve.book(18, &[(0, Micros(5)), (2, Micros(7))]);
        curve.book(20, &[(0, Micros(9)), (1, Micros(1))]);
        curve.book(20, &[(0, Micros(10))]);
        assert_eq!(
            [17, 18, 19, 20, 47].map(|slot| curve.so_far(0, slot)),
            [Micros(0), Micros(5), Micros(5), Micros(10), Micros(10)]
        );
        assert_eq!((curve.so_far(1, 19), curve.so_far(1, 20), curve.so_far(3, 40)), (Micros(0), Micros(1), Micros(0)));
        curve.book(30, &[(0, Micros(3))]);
        assert_eq!(curve.so_far(0, 20), Micros(3), "corrected downwards");
        curve.renumber(&[Some(1), None, Some(2)]);
        assert_eq!((curve.so_far(1, 20), curve.so_far(2, 20), curve.so_far(0, 47)), (Micros(3), Micros(7), Micros(0)));
        assert!(curve.is_sound(3) && !curve.is_sound(2));
    }

    #[test]
    fn half_hours_of_the_utc_day() {
        for (text, slot) in [
            ("2026-11-22T00:00:00Z", 0),
            ("2026-11-22T05:29:59Z", 10),
            ("2026-11-22T05:30:00Z", 11),
            ("2026-11-22T23:59:59Z", 47),
            ("1969-12-31T23:30:00Z", 47),
        ] {
            assert_eq!(slot_of(text.parse().unwrap()), slot, "{text}");
        }
    }
}
