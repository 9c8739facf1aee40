//! Numbered values on disk: events and deliveries, [`SPAN`] numbers in a row to a *segment*.
//!
//! The engine's time and memory go by the number of keys, and what was made together is sent, done with and let go of
//! together. So a segment is one key, or a few: what a commit writes of it is a new *piece* beside the older ones, and of
//! each number the newest piece counts. Pieces are merged where a segment is complete, and where there are many. A large
//! value lies by itself, so that nobody reads it who does not ask for it; in its segment is nothing in its place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::super::kv::{Batch, Kv};
use super::super::{Result, StoreError, codec, keys};
use super::scan_all;

/// Numbers in a segment. More would save little, and one value of a segment can't be read without the others.
pub(super) const SPAN: u64 = 32;
/// Pieces from which on a segment is merged.
const MANY: usize = 8;
/// Larger values lie by themselves.
const LARGE: usize = 64 * 1024;
/// Version byte of a piece: JSON values.
const PIECE: u8 = 1;
/// Of one value: where in the segment, and how long.
const ENTRY: usize = 1 + 4;
/// Segments kept in memory, and their bytes: what was read or written last is asked for next.
const RECENT: usize = 64;
const RECENT_BYTES: usize = 4 * 1024 * 1024;

/// Values by number.
pub(super) type Values = BTreeMap<u64, Bytes>;

pub(super) fn of(number: u64) -> u64 {
    number / SPAN
}

pub(super) fn numbers(segment: u64) -> RangeInclusive<u64> {
    segment * SPAN..=segment * SPAN + (SPAN - 1)
}

/// What is in a segment. Needs no lock: pieces are read oldest first, and a merge only ever puts a newer one.
pub(super) fn read(kv: &dyn Kv, family: &[u8], segment: u64) -> Result<Values> {
    again(|| {
        let mut values = Segment::load(kv, family, segment)?.values;
        for (number, value) in &mut values {
            *value = whole(kv, family, *number, std::mem::take(value))?;
        }
        Ok(values)
    })
}

pub(super) fn value(kv: &dyn Kv, family: &[u8], number: u64) -> Result<Option<Bytes>> {
    again(|| {
        let found = Segment::load(kv, family, of(number))?.values.remove(&number);
        found.map(|value| whole(kv, family, number, value)).transpose()
    })
}

/// Once more where it fails: a large value may have been replaced in between.
fn again<T>(read: impl Fn() -> Result<T>) -> Result<T> {
    read().or_else(|_| read())
}

/// The value itself, where nothing is in its place.
fn whole(kv: &dyn Kv, family: &[u8], number: u64, value: Bytes) -> Result<Bytes> {
    if !value.is_empty() {
        return Ok(value);
    }
    let packed = kv.get(&keys::large(family, number))?.unwrap_or_default();
    let [PIECE, packed @ ..] = packed.as_slice() else {
        return Err(StoreError::Read(format!("the large value {number} is cut or of another version")));
    };
    unpack(packed)
}

/// The first segment there is.
pub(super) fn first(kv: &dyn Kv, family: &[u8]) -> Result<Option<u64>> {
    let mut found = None;
    kv.scan(family, &mut |key, _| {
        found = keys::parse_piece(family, key).map(|(segment, _)| segment);
        std::ops::ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Visits every value in the order of the numbers, a segment at a time.
pub(super) fn each(
    kv: &dyn Kv,
    family: &[u8],
    last: u64,
    mut visit: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let Some(first) = first(kv, family)? else { return Ok(()) };
    for segment in first..=of(last) {
        for (number, value) in read(kv, family, segment)? {
            visit(number, &value)?;
        }
    }
    Ok(())
}

/// One family of values, as its only writer has it. Belongs behind the store's lock.
pub(super) struct Segments {
    family: &'static [u8],
    /// The last ones that were read or written, newest last.
    recent: VecDeque<(u64, Segment)>,
    bytes: usize,
}

#[derive(Debug, Default, Clone)]
struct Segment {
    values: Values,
    /// Numbers of its pieces, ascending.
    pieces: Vec<u64>,
}

impl Segments {
    pub(super) fn new(family: &'static [u8]) -> Self {
        Self { family, recent: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn value(&mut self, kv: &dyn Kv, number: u64) -> Result<Option<Bytes>> {
        let found = self.segment(kv, of(number))?.values.get(&number).cloned();
        found.map(|value| whole(kv, self.family, number, value)).transpose()
    }

    /// Adds new values, or newer ones of known numbers, to the batch. `is_complete` says of which segments nothing more is
    /// to be expected.
    pub(super) fn write(
        &mut self,
        kv: &dyn Kv,
        values: BTreeMap<u64, Vec<u8>>,
        is_complete: impl Fn(u64) -> bool,
        batch: &mut Batch,
    ) -> Result<()> {
        let mut by_segment: BTreeMap<u64, Values> = BTreeMap::new();
        for (number, mut value) in values {
            if value.len() > LARGE {
                batch.put(keys::large(self.family, number), [&[PIECE], codec::pack(&value).as_slice()].concat());
                value.clear();
            }
            by_segment.entry(of(number)).or_default().insert(number, value.into());
        }
        for (number, fresh) in by_segment {
            let mut segment = self.take(kv, number)?;
            let replaced = fresh.iter().filter(|(_, value)| !value.is_empty()).map(|(number, _)| number);
            segment.drop_large(self.family, replaced, batch);
            if segment.pieces.len() + 1 >= MANY || (is_complete(number) && !segment.pieces.is_empty()) {
                segment.values.extend(fresh);
                segment.rewrite(self.family, number, batch)?;
            } else {
                segment.add(self.family, number, &fresh, batch)?;
                segment.values.extend(fresh);
            }
            self.keep(number, segment);
        }
        Ok(())
    }

    /// Takes values away.
    pub(super) fn remove(&mut self, kv: &dyn Kv, gone: &BTreeSet<u64>, batch: &mut Batch) -> Result<()> {
        let segments: BTreeSet<u64> = gone.iter().map(|number| of(*number)).collect();
        for number in segments {
            let mut segment = self.take(kv, number)?;
            segment.drop_large(self.family, gone.range(numbers(number)), batch);
            segment.values.retain(|number, _| !gone.contains(number));
            segment.rewrite(self.family, number, batch)?;
            self.keep(number, segment);
        }
        Ok(())
    }

    fn segment(&mut self, kv: &dyn Kv, number: u64) -> Result<&Segment> {
        // The newest are the likeliest.
        let at = if let Some(at) = self.recent.iter().rposition(|(n, _)| *n == number) {
            at
        } else {
            let segment = Segment::load(kv, self.family, number)?;
            self.keep(number, segment);
            self.recent.len() - 1
        };
        Ok(&self.recent[at].1)
    }

    fn take(&mut self, kv: &dyn Kv, number: u64) -> Result<Segment> {
        match self.recent.iter().rposition(|(n, _)| *n == number).and_then(|at| self.recent.remove(at)) {
            Some((_, segment)) => {
                self.bytes -= segment.bytes();
                Ok(segment)
            }
            None => Segment::load(kv, self.family, number),
        }
    }

    fn keep(&mut self, number: u64, segment: Segment) {
        self.bytes += segment.bytes();
        self.recent.push_back((number, segment));
        while self.recent.len() > 1 && (self.recent.len() > RECENT || self.bytes > RECENT_BYTES) {
            if let Some((_, oldest)) = self.recent.pop_front() {
                self.bytes -= oldest.bytes();
            }
        }
    }
}

impl Segment {
    fn load(kv: &dyn Kv, family: &[u8], number: u64) -> Result<Self> {
        let mut segment = Self::default();
        scan_all(kv, &keys::pieces(family, number), |key, bytes| {
            let Some((_, piece)) = keys::parse_piece(family, key) else { return Ok(()) };
            segment.pieces.push(piece);
            decode(bytes, number, &mut segment.values)
        })?;
        Ok(segment)
    }

    fn bytes(&self) -> usize {
        self.values.values().map(Bytes::len).sum()
    }

    /// Removes what lies by itself of these numbers.
    fn drop_large<'n>(&self, family: &[u8], numbers: impl Iterator<Item = &'n u64>, batch: &mut Batch) {
        for number in numbers.filter(|number| self.values.get(number).is_some_and(Bytes::is_empty)) {
            batch.remove(keys::large(family, *number));
        }
    }

    fn add(&mut self, family: &[u8], number: u64, fresh: &Values, batch: &mut Batch) -> Result<()> {
        let piece = self.pieces.last().map_or(0, |last| last + 1);
        batch.put(keys::piece(family, number, piece), encode(number, fresh)?);
        self.pieces.push(piece);
        Ok(())
    }

    /// One piece in place of all; none where nothing is left.
    fn rewrite(&mut self, family: &[u8], number: u64, batch: &mut Batch) -> Result<()> {
        let old = std::mem::take(&mut self.pieces);
        for piece in &old {
            batch.remove(keys::piece(family, number, *piece));
        }
        if !self.values.is_empty() {
            self.pieces.extend(old.last());
            let values = std::mem::take(&mut self.values);
            self.add(family, number, &values, batch)?;
            self.values = values;
            self.pieces.drain(..self.pieces.len() - 1);
        }
        Ok(())
    }
}

/// Version, count, entries, compressed values.
fn encode(segment: u64, values: &Values) -> Result<Vec<u8>> {
    let too_large = |_| StoreError::Write("a value of over 4 GB".to_owned());
    let first = *numbers(segment).start();
    let mut piece = Vec::with_capacity(2 + values.len() * ENTRY);
    piece.push(PIECE);
    piece.push(u8::try_from(values.len()).unwrap_or(u8::MAX));
    let mut body = Vec::with_capacity(values.values().map(Bytes::len).sum());
    for (number, value) in values {
        piece.push(u8::try_from(number - first).unwrap_or(u8::MAX));
        piece.extend(u32::try_from(value.len()).map_err(too_large)?.to_le_bytes());
        body.extend_from_slice(value);
    }
    piece.extend(codec::pack(&body));
    Ok(piece)
}

fn decode(bytes: &[u8], segment: u64, values: &mut Values) -> Result<()> {
    let cut = || StoreError::Read("a segment is cut or of another version".to_owned());
    let [PIECE, count, rest @ ..] = bytes else { return Err(cut()) };
    let (entries, packed) = rest.split_at_checked(usize::from(*count) * ENTRY).ok_or_else(cut)?;
    let body = unpack(packed)?;
    let mut at = 0;
    for entry in entries.chunks_exact(ENTRY) {
        let length = u32::from_le_bytes(entry[1..].try_into().map_err(|_| cut())?) as usize;
        if at + length > body.len() {
            return Err(cut());
        }
        values.insert(numbers(segment).start() + u64::from(entry[0]), body.slice(at..at + length));
        at += length;
    }
    Ok(())
}

fn unpack(packed: &[u8]) -> Result<Bytes> {
    let unpacked = codec::unpack(packed);
    unpacked.map(Bytes::from).map_err(|e| StoreError::Read(format!("a segment can't be unpacked: {e}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::memory::MemoryKv;
    use super::*;

    const FAMILY: &[u8] = b"v";

    fn count(kv: &MemoryKv, family: &[u8]) -> usize {
        let mut count = 0;
        kv.scan(family, &mut |_, _| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        count
    }

    /// Small ones, and now and then one that lies by itself.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![9 => "[a-z]{1,40}", 1 => "[a-z]".prop_map(|letter| letter.repeat(LARGE + 1))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is written, over and over, or removed: every value is there as it was written last.
        #[test]
        fn the_newest_of_each_number_counts(
            steps in prop::collection::vec((prop::collection::btree_map(0..100_u64, value(), 0..20), any::<bool>(), any::<bool>()), 0..40)
        ) {
            let kv = MemoryKv::default();
            let mut segments = Segments::new(FAMILY);
            let mut model: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            for (values, remove, forget) in steps {
                let mut batch = Batch::default();
                if remove {
                    let gone: BTreeSet<u64> = values.keys().copied().collect();
                    segments.remove(&kv, &gone, &mut batch).unwrap();
                    model.retain(|number, _| !gone.contains(number));
                } else {
                    let values: BTreeMap<u64, Vec<u8>> = values.into_iter().map(|(n, v)| (n, v.into_bytes())).collect();
                    segments.write(&kv, values.clone(), |segment| segment % 2 == 0, &mut batch).unwrap();
                    model.extend(values);
                }
                kv.apply(batch).unwrap();
                if forget {
                    segments = Segments::new(FAMILY);
                }
                let mut found: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
                each(&kv, FAMILY, 100, |number, value| { found.insert(number, value.to_vec()); Ok(()) }).unwrap();
                prop_assert_eq!(&found, &model);
                for number in 0..100 {
                    let value = segments.value(&kv, number).unwrap();
                    prop_assert_eq!(value.as_deref(), model.get(&number).map(Vec::as_slice));
                }
                prop_assert!(count(&kv, FAMILY) <= 4 * MANY);
                let large = model.values().filter(|value| value.len() > LARGE).count();
                prop_assert_eq!(count(&kv, keys::LARGE), large);
            }
        }
    }

    #[test]
    fn a_complete_segment_is_one_piece_and_an_empty_one_none() {
        let kv = MemoryKv::default();
        let mut segments = Segments::new(FAMILY);
        let one = |n: u64| BTreeMap::from([(n, b"value".to_vec())]);
        for number in 0..SPAN {
            let mut batch = Batch::default();
            segments.write(&kv, one(number), |_| number == SPAN - 1, &mut batch).unwrap();
            kv.apply(batch).unwrap();
        }
        assert_eq!(count(&kv, FAMILY), 1);
        assert_eq!(first(&kv, FAMILY).unwrap(), Some(0));
        let mut batch = Batch::default();
        segments.remove(&kv, &(0..SPAN).collect(), &mut batch).unwrap();
        kv.apply(batch).unwrap();
        assert_eq!((count(&kv, FAMILY), first(&kv, FAMILY).unwrap()), (0, None));
    }

    #[test]
    fn what_is_cut_is_an_error() {
        let whole =
            encode(0, &Values::from([(0, Bytes::from_static(b"abc")), (1, Bytes::from_static(b"defg"))])).unwrap();
        let mut values = Values::new();
        decode(&whole, 0, &mut values).unwrap();
        assert_eq!(values[&1], Bytes::from_static(b"defg"));
        for end in 0..whole.len() {
            assert!(decode(&whole[..end], 0, &mut Values::new()).is_err(), "{end}");
        }
        assert!(decode(&[9, 0], 0, &mut Values::new()).is_err());
    }
}
