//! Snapshot rows: packs of compressed rows on disk, and in memory the hash of each key with where its row is.
//!
//! A page's changed rows are one new pack; the row's older copy in another pack is dead from then on. At the end of a
//! look packs that are small or mostly dead are merged. About 40 bytes of memory per row; nothing holds whole rows.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::super::Result;
use super::super::codec;
use super::super::keys;
use super::super::kv::{Batch, Kv};
use super::{Shared, State, scan_all};
use crate::domain::collection::CollectionId;
use crate::domain::diff::Match;
use crate::domain::record::{Record, StoredRow};
use crate::domain::sweep::{Missing, SAMPLE, StillMissed, believable};

/// Rows in a merged pack.
const PACK_ROWS: usize = 256;
/// Packs with fewer live rows than this are merged.
const SMALL: u16 = 64;
/// Small packs that are worth a merge.
const MERGE_FROM: usize = 8;
/// Rows merged in one transaction.
const MERGE_ROWS: usize = 8 * PACK_ROWS;

/// Keys are hashes already.
#[derive(Default, Clone, Copy)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*b);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    print: u64,
    pack: u32,
    position: u16,
    gone: bool,
    /// The look that last showed this row.
    shown: u8,
}

#[derive(Debug, Clone, Copy, Default)]
struct PackUse {
    live: u16,
    total: u16,
}

/// Where the rows of one collection are.
#[derive(Default)]
pub(super) struct RowIndex {
    slots: HashMap<u64, Slot, BuildHasherDefault<Identity>>,
    packs: BTreeMap<u32, PackUse>,
    next_pack: u32,
    look: u8,
    tombstones: u64,
    /// Counts the writes of this process.
    version: u64,
}

impl RowIndex {
    fn load(kv: &dyn Kv, id: &CollectionId) -> Result<Self> {
        // No row is marked as shown until it is.
        let mut index = Self { next_pack: 1, look: 1, ..Self::default() };
        scan_all(kv, &keys::packs(id), |key, value| {
            let Some((_, pack)) = keys::parse_pack(key) else { return Ok(()) };
            for (position, entry) in codec::decode_pack_index(value)?.iter().enumerate() {
                let position = u16::try_from(position).unwrap_or(u16::MAX);
                index.place(entry.key, Slot { print: entry.print, pack, position, gone: entry.gone, shown: 0 });
            }
            index.next_pack = pack + 1;
            Ok(())
        })?;
        Ok(index)
    }

    /// A row is (also) in this pack; higher pack numbers are newer.
    fn place(&mut self, key: u64, slot: Slot) {
        let usage = self.packs.entry(slot.pack).or_default();
        usage.live += 1;
        usage.total += 1;
        self.tombstones += u64::from(slot.gone);
        if let Some(old) = self.slots.insert(key, slot) {
            self.tombstones -= u64::from(old.gone);
            if let Some(usage) = self.packs.get_mut(&old.pack) {
                usage.live -= 1;
            }
        }
    }

    pub(super) fn begin_look(&mut self) {
        self.look = self.look.wrapping_add(1);
        if self.look == 0 {
            // The mark wraps after 255 looks: no row may carry a mark of a look to come.
            for slot in self.slots.values_mut() {
                slot.shown = 0;
            }
            self.look = 1;
        }
    }

    /// Another one means that rows have changed in between.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn live(&self) -> u64 {
        self.slots.len() as u64 - self.tombstones
    }

    /// Of these keys the ones that are live and that nothing has shown since the last whole look began.
    fn still_missing(&self, keys: &[u64]) -> Vec<u64> {
        let missing = |slot: &Slot| !slot.gone && slot.shown != self.look;
        keys.iter().copied().filter(|key| self.slots.get(key).is_some_and(missing)).collect()
    }

    fn missing(&self) -> Vec<u64> {
        let mut keys: Vec<u64> =
            self.slots.iter().filter(|(_, s)| !s.gone && s.shown != self.look).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }
}

/// What a word about a hold is about.
pub(super) struct Held {
    pub rows: Vec<StoredRow>,
    /// There are more of them.
    pub more: bool,
    /// Hashes of what is missing but was not announced.
    pub others: Vec<u64>,
}

impl State {
    /// The index of a collection, read from its packs at first use.
    pub(super) fn index(&mut self, kv: &dyn Kv, id: &CollectionId) -> Result<&mut RowIndex> {
        if !self.indexes.contains_key(id) {
            let index = RowIndex::load(kv, id)?;
            self.indexes.insert(id.clone(), index);
        }
        Ok(self.indexes.entry(id.clone()).or_default())
    }

    /// Matches a page's records with what is known, and marks them as shown.
    pub(super) fn match_rows(&mut self, kv: &dyn Kv, id: &CollectionId, records: &[Record]) -> Result<Vec<Match>> {
        let index = self.index(kv, id)?;
        let look = index.look;
        let mut matches = vec![Match::New; records.len()];
        let mut to_read: BTreeMap<u32, Vec<(u16, usize)>> = BTreeMap::new();
        for (at, record) in records.iter().enumerate() {
            let Some(slot) = index.slots.get_mut(&record.key_hash()) else { continue };
            slot.shown = look;
            if !slot.gone && slot.print == record.fingerprint() {
                matches[at] = Match::Same;
            } else {
                to_read.entry(slot.pack).or_default().push((slot.position, at));
            }
        }
        for (pack, wanted) in to_read {
            let Some(bytes) = kv.get(&keys::pack(id, pack))? else { continue };
            let rows = codec::decode_pack(&bytes, |p| wanted.iter().any(|(w, _)| usize::from(*w) == p))?;
            for (position, row) in rows {
                for (_, at) in wanted.iter().filter(|(w, _)| usize::from(*w) == position) {
                    // A hash collision would show another key here; then the record is new.
                    if row.key == records[*at].key {
                        matches[*at] = Match::Known(Box::new(row.clone()));
                    }
                }
            }
        }
        Ok(matches)
    }

    /// What the running look has not shown; with the rows of it that the look before missed, too, or of all of it.
    pub(super) fn missing(&mut self, kv: &dyn Kv, id: &CollectionId, once: bool) -> Result<Missing> {
        let (before, announced) = (hashes(kv, &keys::missed(id))?, hashes(kv, &keys::announced(id))?);
        let index = self.index(kv, id)?;
        let (now, known) = (index.missing(), index.live());
        let often = |key: &u64| once || before.binary_search(key).is_ok();
        let often: Vec<u64> = now.iter().copied().filter(often).collect();
        let wanted =
            if often.len() as u64 <= believable(known) { &often[..] } else { &often[..SAMPLE.min(often.len())] };
        let rows = read_rows(kv, id, index, wanted)?;
        Ok(Missing { now, before, announced, known, rows })
    }

    /// What the last complete look missed and nothing has shown since; `None` where nothing of it was shown.
    pub(super) fn still_missed(&mut self, kv: &dyn Kv, id: &CollectionId) -> Result<Option<StillMissed>> {
        let before = hashes(kv, &keys::missed(id))?;
        if before.is_empty() {
            return Ok(None);
        }
        let announced = hashes(kv, &keys::announced(id))?;
        let index = self.index(kv, id)?;
        let keys = index.still_missing(&before);
        if keys.len() == before.len() {
            return Ok(None);
        }
        let announced = index.still_missing(&announced);
        Ok(Some(StillMissed { keys, announced, known: index.live() }))
    }

    /// What was announced with a hold and nothing has shown since (as far as this process knows): at most `limit` rows.
    pub(super) fn held_rows(&mut self, kv: &dyn Kv, id: &CollectionId, limit: usize) -> Result<Held> {
        let (before, announced) = (hashes(kv, &keys::missed(id))?, hashes(kv, &keys::announced(id))?);
        let index = self.index(kv, id)?;
        let live = index.still_missing(&announced);
        let mut others = index.still_missing(&before);
        others.retain(|key| announced.binary_search(key).is_err());
        let rows = read_rows(kv, id, index, &live[..limit.min(live.len())])?;
        Ok(Held { rows, more: live.len() > limit, others })
    }

    /// Adds a pack of new versions of rows to the batch and to the index.
    pub(super) fn write_rows(
        &mut self,
        kv: &dyn Kv,
        id: &CollectionId,
        rows: &[StoredRow],
        batch: &mut Batch,
    ) -> Result<()> {
        let index = self.index(kv, id)?;
        index.version += 1;
        for chunk in rows.chunks(PACK_ROWS) {
            index.add_pack(id, chunk, batch)?;
        }
        index.drop_empty(id, batch);
        Ok(())
    }

    /// Forgets every row of a collection.
    pub(super) fn clear_rows(&mut self, kv: &dyn Kv, id: &CollectionId, batch: &mut Batch) -> Result<()> {
        scan_all(kv, &keys::packs(id), |key, _| {
            batch.remove(key.to_vec());
            Ok(())
        })?;
        batch.remove(keys::missed(id));
        batch.remove(keys::announced(id));
        let old = self.index(kv, id)?;
        *old = RowIndex { next_pack: old.next_pack, version: old.version + 1, look: 1, ..RowIndex::default() };
        Ok(())
    }

    /// Rewrites small and mostly dead packs into full ones. One batch's worth; true where more is left to do.
    pub(super) fn merge_packs(&mut self, kv: &dyn Kv, id: &CollectionId, batch: &mut Batch) -> Result<bool> {
        let index = self.index(kv, id)?;
        let candidates: Vec<(u32, PackUse)> =
            index.packs.iter().filter(|(_, u)| u.live < SMALL || u.live < u.total / 4).map(|(p, u)| (*p, *u)).collect();
        if candidates.len() < MERGE_FROM {
            return Ok(false);
        }
        let mut rows: Vec<(StoredRow, u8)> = Vec::new();
        let mut taken = 0;
        for (pack, _) in &candidates {
            if rows.len() >= MERGE_ROWS {
                break;
            }
            taken += 1;
            let Some(bytes) = kv.get(&keys::pack(id, *pack))? else { continue };
            for (position, row) in codec::decode_pack(&bytes, |_| true)? {
                let key = crate::domain::record::key_hash(&row.key);
                let current = index.slots.get(&key).filter(|s| s.pack == *pack && usize::from(s.position) == position);
                if let Some(slot) = current {
                    rows.push((row, slot.shown));
                }
            }
        }
        rows.sort_by(|a, b| a.0.key.cmp(&b.0.key));
        let (plain, shown): (Vec<StoredRow>, Vec<u8>) = rows.into_iter().unzip();
        for chunk in plain.chunks(PACK_ROWS) {
            index.add_pack(id, chunk, batch)?;
        }
        for (row, mark) in plain.iter().zip(shown) {
            if let Some(slot) = index.slots.get_mut(&crate::domain::record::key_hash(&row.key)) {
                slot.shown = mark;
            }
        }
        index.drop_empty(id, batch);
        Ok(taken < candidates.len())
    }
}

impl RowIndex {
    fn add_pack(&mut self, id: &CollectionId, rows: &[StoredRow], batch: &mut Batch) -> Result<()> {
        let pack = self.next_pack.max(1);
        self.next_pack = pack + 1;
        for (position, row) in rows.iter().enumerate() {
            let position = u16::try_from(position).unwrap_or(u16::MAX);
            let key = crate::domain::record::key_hash(&row.key);
            self.place(key, Slot { print: row.print, pack, position, gone: row.gone, shown: self.look });
        }
        batch.put(keys::pack(id, pack), codec::encode_pack(rows)?);
        Ok(())
    }

    fn drop_empty(&mut self, id: &CollectionId, batch: &mut Batch) {
        let empty: Vec<u32> = self.packs.iter().filter(|(_, u)| u.live == 0).map(|(p, _)| *p).collect();
        for pack in empty {
            self.packs.remove(&pack);
            batch.remove(keys::pack(id, pack));
        }
    }
}

/// Sorted hashes of keys, none where nothing is stored.
fn hashes(kv: &dyn Kv, key: &[u8]) -> Result<Vec<u64>> {
    Ok(kv.get(key)?.map(|bytes| codec::decode_hashes(&bytes)).unwrap_or_default())
}

fn read_rows(kv: &dyn Kv, id: &CollectionId, index: &RowIndex, wanted: &[u64]) -> Result<Vec<StoredRow>> {
    let mut by_pack: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
    for key in wanted {
        if let Some(slot) = index.slots.get(key) {
            by_pack.entry(slot.pack).or_default().push(slot.position);
        }
    }
    let mut rows = Vec::with_capacity(wanted.len());
    for (pack, positions) in by_pack {
        let Some(bytes) = kv.get(&keys::pack(id, pack))? else { continue };
        rows.extend(
            codec::decode_pack(&bytes, |p| positions.iter().any(|w| usize::from(*w) == p))?.into_iter().map(|(_, r)| r),
        );
    }
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(rows)
}

impl<K: Kv> Shared<K> {
    /// Every current row, tombstones too, in no particular order.
    pub(super) fn each_row(&self, id: &CollectionId, mut visit: impl FnMut(StoredRow) -> Result<()>) -> Result<()> {
        let packs: Vec<u32> = self.lock()?.index(&self.kv, id)?.packs.keys().copied().collect();
        for pack in packs {
            let mut state = self.lock()?;
            let index = state.index(&self.kv, id)?;
            let Some(bytes) = self.kv.get(&keys::pack(id, pack))? else { continue };
            let mut current = Vec::new();
            for (position, row) in codec::decode_pack(&bytes, |_| true)? {
                let slot = index.slots.get(&crate::domain::record::key_hash(&row.key));
                if slot.is_some_and(|s| s.pack == pack && usize::from(s.position) == position) {
                    current.push(row);
                }
            }
            drop(state);
            for row in current {
                visit(row)?;
            }
        }
        Ok(())
    }
}
