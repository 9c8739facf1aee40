//! Values as bytes: a version byte, then JSON; packs of rows carry an index and are compressed.

use std::num::TryFromIntError;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Result, StoreError};
use crate::domain::record::{StoredRow, key_hash};

/// Version byte of JSON values.
const JSON: u8 = 1;
/// Version byte of compressed JSON values.
const JSON_LZ4: u8 = 2;
/// Version byte of JSON values compressed in several blocks.
const JSON_BLOCKS: u8 = 3;
/// Version byte of packs.
const PACK: u8 = 1;
/// Above this size a value is compressed.
const COMPRESS_ABOVE: usize = 4 * 1024;
/// JSON of one compressed block.
const BLOCK: usize = 1024 * 1024;
/// No single stored value unpacks to more than this.
const MAX_UNPACKED: usize = 512 * 1024 * 1024;

pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut blocks = Blocks::default();
    serde_json::to_writer(&mut blocks, value)
        .map_err(|e| StoreError::Write(format!("a value can't be encoded: {e}")))?;
    blocks.finish().map_err(|_| StoreError::Write("a block of over 4 GB".to_owned()))
}

/// JSON in the making, compressed block by block: what spikes learned of a large workspace is tens of megabytes of it,
/// of which only one block is ever there.
#[derive(Default)]
struct Blocks {
    json: Vec<u8>,
    /// Full blocks: length of each, then itself.
    packed: Vec<u8>,
}

impl Blocks {
    fn pack(&mut self) -> std::result::Result<(), TryFromIntError> {
        let block = pack(&self.json);
        if self.packed.is_empty() {
            self.packed.push(JSON_BLOCKS);
        }
        self.packed.extend(u32::try_from(block.len())?.to_le_bytes());
        self.packed.extend(block);
        self.json.clear();
        Ok(())
    }

    fn finish(mut self) -> std::result::Result<Vec<u8>, TryFromIntError> {
        if !self.packed.is_empty() {
            self.pack()?;
            return Ok(self.packed);
        }
        let (version, body) = match self.json.len() {
            0..COMPRESS_ABOVE => (JSON, self.json),
            _ => (JSON_LZ4, pack(&self.json)),
        };
        let mut bytes = Vec::with_capacity(1 + body.len());
        bytes.push(version);
        bytes.extend(body);
        Ok(bytes)
    }
}

impl std::io::Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.json.len());
        self.json.extend_from_slice(&bytes[..taken]);
        if self.json.len() == BLOCK {
            self.pack().map_err(std::io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    let fault = |e: &dyn std::fmt::Display| StoreError::Read(format!("{what} can't be decoded: {e}"));
    match bytes.split_first() {
        Some((&JSON, json)) => serde_json::from_slice(json).map_err(|e| fault(&e)),
        Some((&JSON_LZ4, packed)) => {
            let json = unpack(packed).map_err(|e| fault(&e))?;
            serde_json::from_slice(&json).map_err(|e| fault(&e))
        }
        Some((&JSON_BLOCKS, packed)) => {
            let json = unpack_blocks(packed).map_err(|e| fault(&e))?;
            serde_json::from_slice(&json).map_err(|e| fault(&e))
        }
        Some((version, _)) => Err(fault(&format!("value version {version} is not known to this ampbridge"))),
        None => Err(fault(&"the value is empty")),
    }
}

/// Values that lie in segments; their version byte is the segment's.
pub fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| StoreError::Write(format!("a value can't be encoded: {e}")))
}

pub fn from_json<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(json).map_err(|e| StoreError::Read(format!("{what} can't be decoded: {e}")))
}

pub fn encode_hashes(hashes: &[u64]) -> Vec<u8> {
    hashes.iter().flat_map(|h| h.to_le_bytes()).collect()
}

pub fn decode_hashes(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).filter_map(|c| c.try_into().ok()).map(u64::from_le_bytes).collect()
}

/// What a pack's index says of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackEntry {
    pub key: u64,
    pub print: u64,
    pub gone: bool,
    len: u32,
}

const ENTRY: usize = 8 + 8 + 1 + 4;

/// Rows, an index of them first so that the index alone can be read: version, count, entries, compressed JSON.
pub fn encode_pack(rows: &[StoredRow]) -> Result<Vec<u8>> {
    let count =
        u16::try_from(rows.len()).map_err(|_| StoreError::Write("a pack of more than 65,535 rows".to_owned()))?;
    let mut index = vec![PACK];
    index.extend(count.to_le_bytes());
    let mut body = Vec::new();
    for row in rows {
        let start = body.len();
        serde_json::to_writer(&mut body, row).map_err(|e| StoreError::Write(format!("a row can't be encoded: {e}")))?;
        let len = u32::try_from(body.len() - start).map_err(|_| StoreError::Write("a row of over 4 GB".to_owned()))?;
        index.extend(key_hash(&row.key).to_le_bytes());
        index.extend(row.print.to_le_bytes());
        index.push(u8::from(row.gone));
        index.extend(len.to_le_bytes());
    }
    index.extend(pack(&body));
    Ok(index)
}

pub fn decode_pack_index(bytes: &[u8]) -> Result<Vec<PackEntry>> {
    let fault = || StoreError::Read("a pack of rows is cut or of another version".to_owned());
    let (&version, rest) = bytes.split_first().ok_or_else(fault)?;
    if version != PACK || rest.len() < 2 {
        return Err(fault());
    }
    let count = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
    let entries = rest[2..].get(..count * ENTRY).ok_or_else(fault)?;
    let number = |b: &[u8]| u64::from_le_bytes(b.try_into().unwrap_or_default());
    Ok(entries
        .chunks_exact(ENTRY)
        .map(|e| PackEntry {
            key: number(&e[..8]),
            print: number(&e[8..16]),
            gone: e[16] != 0,
            len: u32::from_le_bytes(e[17..].try_into().unwrap_or_default()),
        })
        .collect())
}

/// The rows of a pack that `wanted` picks by position.
pub fn decode_pack(bytes: &[u8], wanted: impl Fn(usize) -> bool) -> Result<Vec<(usize, StoredRow)>> {
    let entries = decode_pack_index(bytes)?;
    let packed = &bytes[3 + entries.len() * ENTRY..];
    let body = unpack(packed).map_err(|e| StoreError::Read(format!("a pack of rows can't be unpacked: {e}")))?;
    let mut rows = Vec::new();
    let mut at = 0;
    for (position, entry) in entries.iter().enumerate() {
        let end = at + entry.len as usize;
        if wanted(position) {
            let json = body.get(at..end).ok_or_else(|| StoreError::Read("a pack of rows is cut".to_owned()))?;
            let row =
                serde_json::from_slice(json).map_err(|e| StoreError::Read(format!("a row can't be decoded: {e}")))?;
            rows.push((position, row));
        }
        at = end;
    }
    Ok(rows)
}

fn unpack_blocks(mut packed: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let mut json = Vec::new();
    while let Some((length, rest)) = packed.split_first_chunk() {
        let (block, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or("cut")?;
        let block = unpack(block)?;
        if json.len() + block.len() > MAX_UNPACKED {
            return Err(format!("unpacks to more than {MAX_UNPACKED} bytes"));
        }
        json.reserve_exact(block.len());
        json.extend(block);
        packed = rest;
    }
    if packed.is_empty() { Ok(json) } else { Err("cut".to_owned()) }
}

/// Compressed, its length before it.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    lz4_flex::compress_prepend_size(bytes)
}

/// What [`pack`] made.
pub fn unpack(packed: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let size = packed.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes).ok_or("cut")?;
    if size as usize > MAX_UNPACKED {
        return Err(format!("claims to unpack to {size} bytes"));
    }
    lz4_flex::decompress_size_prepended(packed).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Vec<StoredRow>> {
        prop::collection::vec(
            ("[a-zA-Z0-9<>\"\\\\ä-]{1,20}", any::<u64>(), any::<bool>()).prop_map(|(key, print, gone)| StoredRow {
                key,
                print,
                gone,
                version: print % 7,
                ..StoredRow::default()
            }),
            0..50,
        )
    }

    proptest! {
        #[test]
        fn packs_round_trip(rows in rows()) {
            let bytes = encode_pack(&rows).unwrap();
            let back: Vec<StoredRow> = decode_pack(&bytes, |_| true).unwrap().into_iter().map(|(_, r)| r).collect();
            prop_assert_eq!(&back, &rows);
            let index = decode_pack_index(&bytes).unwrap();
            prop_assert!(index.iter().zip(&rows).all(|(e, r)| e.key == key_hash(&r.key) && e.print == r.print && e.gone == r.gone));
        }

        #[test]
        fn garbage_is_an_error_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_pack(&bytes, |_| true);
            let _ = decode::<StoredRow>(&bytes, "row");
        }

        #[test]
        fn values_round_trip(text in ".{0,9000}") {
            let bytes = encode(&text).unwrap();
            prop_assert_eq!(decode::<String>(&bytes, "text").unwrap(), text);
        }
    }

    #[test]
    fn values_of_several_blocks_come_back_and_cut_ones_are_errors() {
        // With its quotation marks, a text is two bytes longer.
        for (length, version) in
            [(BLOCK - 3, JSON_LZ4), (BLOCK - 2, JSON_BLOCKS), (BLOCK, JSON_BLOCKS), (3 * BLOCK + 5, JSON_BLOCKS)]
        {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let bytes = encode(&text).unwrap();
            assert_eq!(bytes[0], version, "{length}");
            assert!(decode::<String>(&bytes, "text").unwrap() == text, "{length}");
            for cut in [1, 7, bytes.len() / 2, bytes.len() - 1] {
                assert!(decode::<String>(&bytes[..bytes.len() - cut], "text").is_err(), "{length} without {cut}");
            }
        }
    }
}
