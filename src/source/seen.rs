//! Which rows a look has shown. While a list is read page by page, a row may move to a page that is yet to come; it is shown
//! once.

use std::collections::HashSet;

use crate::domain::record::key_hash;

/// Hashes of the keys that one look has shown.
#[derive(Debug, Default)]
pub struct Seen {
    earlier: HashSet<u64>,
    page: HashSet<u64>,
}

/// How a key stands in a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    First,
    /// An earlier page has shown it: the row has moved.
    Moved,
    /// This page has shown it already: two rows have one key.
    Twice,
}

impl Seen {
    /// The next page begins.
    pub fn turn(&mut self) {
        self.earlier.extend(self.page.drain());
    }

    /// Takes note of a row of the page.
    pub fn take(&mut self, key: &str) -> Sight {
        let hash = key_hash(key);
        if self.earlier.contains(&hash) {
            return Sight::Moved;
        }
        if self.page.insert(hash) { Sight::First } else { Sight::Twice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_moves_is_another_thing_than_two_rows_with_one_key() {
        let mut seen = Seen::default();
        let first = ["a", "b", "a"].map(|key| seen.take(key));
        seen.turn();
        let second = ["b", "c", "b", "c"].map(|key| seen.take(key));
        assert_eq!(first, [Sight::First, Sight::First, Sight::Twice]);
        assert_eq!(second, [Sight::Moved, Sight::First, Sight::Moved, Sight::Twice]);
    }
}
