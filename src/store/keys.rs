//! Keys of the ordered key-value space. One byte names the family; the order of bytes is the logical order.
//!
//! Family bytes and layouts are persisted: they never change their meaning.

use jiff::civil::Date;

use crate::domain::collection::CollectionId;
use crate::domain::doc::DocKey;

pub const META: &[u8] = b"m";
pub const DOCS: &[u8] = b"d";
pub const PACKS: &[u8] = b"p";
pub const MISSED: &[u8] = b"x";
pub const ANNOUNCED: &[u8] = b"k";
pub const SPEND: &[u8] = b"s";
/// Segments of events.
pub const EVENTS: &[u8] = b"v";
pub const EVENT_IDS: &[u8] = b"i";
/// Segments of deliveries.
pub const DELIVERIES: &[u8] = b"q";
pub const DELIVERY_IDS: &[u8] = b"j";
/// Events and deliveries too large for their segments: family, number.
pub const LARGE: &[u8] = b"u";
/// Numbers of segments with open deliveries.
pub const OPEN: &[u8] = b"o";
/// Deliveries of a segment of events.
pub const DELIVERIES_OF: &[u8] = b"n";
pub const REFERENCES: &[u8] = b"r";
/// What waits: sink, room, event number. The value is its subject, where its order counts.
pub const WAITING: &[u8] = b"w";
/// Where an event waits: event number, sink.
pub const WAITING_OF: &[u8] = b"y";

/// Ends a name inside a key. Names are `[A-Za-z0-9_-]` or come after all else, so it never occurs in one.
const END: u8 = 0;

pub fn doc(key: &DocKey) -> Vec<u8> {
    join(DOCS, &[key.to_string().as_bytes()])
}

pub fn packs(collection: &CollectionId) -> Vec<u8> {
    named(PACKS, collection)
}

pub fn pack(collection: &CollectionId, number: u32) -> Vec<u8> {
    join(&packs(collection), &[&number.to_be_bytes()])
}

pub fn missed(collection: &CollectionId) -> Vec<u8> {
    named(MISSED, collection)
}

pub fn announced(collection: &CollectionId) -> Vec<u8> {
    named(ANNOUNCED, collection)
}

pub fn spend_of(source: &str) -> Vec<u8> {
    join(SPEND, &[source.as_bytes(), &[END]])
}

/// Dates sort as text.
pub fn spend(source: &str, day: Date) -> Vec<u8> {
    join(&spend_of(source), &[day.to_string().as_bytes()])
}

pub fn numbered(family: &[u8], number: u64) -> Vec<u8> {
    join(family, &[&number.to_be_bytes()])
}

/// Ids are hashes already; 128 bits of theirs make the key.
pub fn by_id(family: &[u8], id: &str) -> Vec<u8> {
    join(family, &[&xxhash_rust::xxh3::xxh3_128(id.as_bytes()).to_be_bytes()])
}

/// All pieces of a segment.
pub fn pieces(family: &[u8], segment: u64) -> Vec<u8> {
    numbered(family, segment)
}

pub fn piece(family: &[u8], segment: u64, piece: u64) -> Vec<u8> {
    join(&pieces(family, segment), &[&piece.to_be_bytes()])
}

pub fn large(family: &[u8], number: u64) -> Vec<u8> {
    join(LARGE, &[family, &number.to_be_bytes()])
}

/// Numbers of the segment and of the piece.
pub fn parse_piece(family: &[u8], key: &[u8]) -> Option<(u64, u64)> {
    let (segment, piece) = key.strip_prefix(family)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*segment), u64::from_be_bytes(piece.try_into().ok()?)))
}

pub fn reference(sink: &str, incident: &str) -> Vec<u8> {
    join(REFERENCES, &[sink.as_bytes(), &[END], incident.as_bytes()])
}

pub fn room(sink: &str, room: &str) -> Vec<u8> {
    join(WAITING, &[sink.as_bytes(), &[END], room.as_bytes(), &[END]])
}

pub fn waiting(sink: &str, room: &str, event: u64) -> Vec<u8> {
    join(&self::room(sink, room), &[&event.to_be_bytes()])
}

pub fn waiting_of(event: u64, sink: &str) -> Vec<u8> {
    join(&numbered(WAITING_OF, event), &[sink.as_bytes()])
}

/// Sink, room and event number of what waits.
pub fn parse_waiting(key: &[u8]) -> Option<(String, String, u64)> {
    let rest = key.strip_prefix(WAITING)?;
    let (names, number) = rest.split_at(rest.len().checked_sub(8)?);
    let mut parts = names.split(|b| *b == END);
    let sink = String::from_utf8(parts.next()?.to_vec()).ok()?;
    let room = String::from_utf8(parts.next()?.to_vec()).ok()?;
    Some((sink, room, u64::from_be_bytes(number.try_into().ok()?)))
}

/// The collection and pack number of a pack's key.
pub fn parse_pack(key: &[u8]) -> Option<(CollectionId, u32)> {
    let rest = key.strip_prefix(PACKS)?;
    let (names, number) = rest.split_at(rest.len().checked_sub(4)?);
    Some((parse_names(names)?, u32::from_be_bytes(number.try_into().ok()?)))
}

/// The collection a key of [`MISSED`] or [`ANNOUNCED`] is about.
pub fn parse_collection(family: &[u8], key: &[u8]) -> Option<CollectionId> {
    parse_names(key.strip_prefix(family)?)
}

pub fn parse_spend(key: &[u8]) -> Option<(String, Date)> {
    let rest = key.strip_prefix(SPEND)?;
    let at = rest.iter().position(|b| *b == END)?;
    let source = std::str::from_utf8(&rest[..at]).ok()?;
    Some((source.to_owned(), std::str::from_utf8(&rest[at + 1..]).ok()?.parse().ok()?))
}

pub fn parse_reference(key: &[u8]) -> Option<(String, String)> {
    let rest = key.strip_prefix(REFERENCES)?;
    let at = rest.iter().position(|b| *b == END)?;
    Some((String::from_utf8(rest[..at].to_vec()).ok()?, String::from_utf8(rest[at + 1..].to_vec()).ok()?))
}

/// The number at the end of a key.
pub fn last_number(key: &[u8]) -> Option<u64> {
    let at = key.len().checked_sub(8)?;
    Some(u64::from_be_bytes(key[at..].try_into().ok()?))
}

fn named(family: &[u8], collection: &CollectionId) -> Vec<u8> {
    join(family, &[collection.source.as_bytes(), &[END], collection.name.as_bytes(), &[END]])
}

fn parse_names(names: &[u8]) -> Option<CollectionId> {
    let mut parts = names.split(|b| *b == END);
    let source = String::from_utf8(parts.next()?.to_vec()).ok()?;
    let name = String::from_utf8(parts.next()?.to_vec()).ok()?;
    Some(CollectionId { source, name })
}

fn join(first: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(first.len() + rest.iter().map(|p| p.len()).sum::<usize>());
    key.extend_from_slice(first);
    for part in rest {
        key.extend_from_slice(part);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn key_order_is_number_order(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(a.cmp(&b), numbered(EVENTS, a).cmp(&numbered(EVENTS, b)));
            prop_assert_eq!(last_number(&numbered(EVENTS, a)), Some(a));
            prop_assert_eq!(a.cmp(&b), piece(EVENTS, a, b).cmp(&piece(EVENTS, b, a)));
            prop_assert_eq!(parse_piece(EVENTS, &piece(EVENTS, a, b)), Some((a, b)));
        }

        #[test]
        fn packs_round_trip(source in "[a-z0-9_-]{1,12}", name in "[a-z0-9_-]{1,12}", number in any::<u32>()) {
            let id = CollectionId { source, name };
            let key = pack(&id, number);
            prop_assert_eq!(parse_pack(&key), Some((id.clone(), number)));
            prop_assert!(key.starts_with(&packs(&id)));
        }
    }

    #[test]
    fn one_collection_is_no_prefix_of_another() {
        let id = |name: &str| CollectionId { source: "a".into(), name: name.into() };
        assert!(!packs(&id("threads2")).starts_with(&packs(&id("threads"))));
    }
}
