//! Days of money kept decoded, so that a look need not read a month of them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;

use crate::domain::spend::DaySpend;
use crate::domain::time::{minus_days, plus_days};

/// Bytes of all days kept, at most. Five weeks of 10,000 users with five models each, which a monthly budget looks at
/// every time, are 50 MB.
const BYTES: usize = 64 * 1024 * 1024;

/// The newest days that fit. Not the last used: whoever reads more days than fit, from the oldest on, would then find
/// none of them.
#[derive(Default)]
pub(super) struct SpendCache {
    days: BTreeMap<(Date, String), Arc<DaySpend>>,
    bytes: usize,
}

impl SpendCache {
    pub(super) fn get(&self, source: &str, day: Date) -> Option<Arc<DaySpend>> {
        self.days.get(&(day, source.to_owned())).map(Arc::clone)
    }

    /// Keeps a day, and returns it with its names held in common with its neighbours'.
    pub(super) fn put(&mut self, source: &str, day: Date, spend: Arc<DaySpend>) -> Arc<DaySpend> {
        let key = |day| (day, source.to_owned());
        let before = self.days.remove(&key(day));
        self.bytes -= before.as_deref().map_or(0, DaySpend::bytes);
        let neighbours = [before.clone(), self.get(source, minus_days(day, 1)), self.get(source, plus_days(day, 1))];
        let spend = match neighbours.into_iter().flatten().next() {
            Some(other) if !spend.shares_names(&other) => Arc::new(Arc::unwrap_or_clone(spend).with_names_of(&other)),
            _ => spend,
        };
        self.bytes += spend.bytes();
        self.days.insert(key(day), Arc::clone(&spend));
        while self.bytes > BYTES && self.days.len() > 1 {
            let Some((_, oldest)) = self.days.pop_first() else { break };
            self.bytes -= oldest.bytes();
        }
        spend
    }

    /// All money of a source is gone.
    pub(super) fn forget(&mut self, source: &str) {
        self.days.retain(|(_, of), _| of != source);
        self.bytes = self.days.values().map(|day| day.bytes()).sum();
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::domain::money::Micros;
    use crate::domain::spend::{Basis, SpendRow};
    use crate::domain::time::Timestamp;

    const FIRST: Date = date(2026, 11, 1);

    fn day(at: i64, users: usize) -> (Date, Arc<DaySpend>) {
        let day = plus_days(FIRST, at);
        let row = |n| SpendRow {
            day,
            user: Some(format!("user_{n:06}")),
            model: None,
            dims: BTreeMap::new(),
            amount: Micros(1),
            tokens: 0,
            basis: Basis::Billed,
            whole_user: true,
        };
        let rows: Vec<SpendRow> = (0..users).map(row).collect();
        (day, Arc::new(DaySpend::upserted(None, &rows, Timestamp::UNIX_EPOCH).unwrap()))
    }

    #[test]
    fn the_newest_days_that_fit_are_kept_in_whatever_order_they_come() {
        let one = day(0, 100_000).1.bytes();
        let fit = BYTES / one;
        let days = i64::try_from(fit).unwrap() + 4;
        for backwards in [false, true] {
            let mut cache = SpendCache::default();
            for n in 0..days {
                let (day, spend) = day(if backwards { days - 1 - n } else { n }, 100_000);
                cache.put("acme", day, spend);
            }
            let kept: Vec<i64> = (0..days).filter(|n| cache.get("acme", plus_days(FIRST, *n)).is_some()).collect();
            assert_eq!(kept, (4..days).collect::<Vec<_>>(), "{backwards}");
            assert!(cache.bytes <= BYTES && cache.bytes == one * fit);
        }
    }

    #[test]
    fn a_day_put_again_counts_once_and_names_are_held_once() {
        let mut cache = SpendCache::default();
        let whole = day(0, 10);
        cache.put("acme", whole.0, Arc::clone(&whole.1));
        cache.put("acme", whole.0, Arc::clone(&whole.1));
        assert_eq!(cache.bytes, whole.1.bytes());
        let next = day(1, 10);
        let shared = cache.put("acme", next.0, Arc::clone(&next.1));
        assert!(shared.shares_names(&whole.1) && !next.1.shares_names(&whole.1) && shared == next.1);
        cache.put("other", next.0, next.1);
        cache.forget("acme");
        assert!(cache.get("acme", FIRST).is_none() && cache.get("other", plus_days(FIRST, 1)).is_some());
        cache.forget("other");
        assert_eq!(cache.bytes, 0);
    }
}
