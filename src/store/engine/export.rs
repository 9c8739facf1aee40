//! The whole store as versioned JSON Lines, and back.
//!
//! The first line names the format, the last one counts the lines before it, so that a cut file is noticed. Everything
//! goes along: documents, rows, money, events, deliveries that still wait, references. An import is all or nothing: it
//! fills an empty store in batches and only the last one makes it count.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::kv::{Batch, Kv};
use super::super::{Result, StoreError, codec, keys};
use super::ledger::{self, Entries, Ledger};
use super::read::decode_event;
use super::{FORMAT, Meta, Shared, StoredDoc, scan_all, segments, waits};
use crate::domain::collection::CollectionId;
use crate::domain::delivery::Delivery;
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::StoredEvent;
use crate::domain::record::StoredRow;
use crate::domain::spend::DaySpend;

/// Version of the export's own format.
const EXPORT: u32 = 1;
/// Lines applied in one transaction.
const LINES: usize = 2_000;
/// Rows per pack while importing.
const PACK_ROWS: usize = 256;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "one line at a time")]
enum Line {
    Header {
        ampbridge_export: u32,
        store_format: u32,
        commit: u64,
        next_event: u64,
        next_delivery: u64,
    },
    Doc {
        key: String,
        version: u64,
        value: Doc,
    },
    Row {
        source: String,
        collection: String,
        row: StoredRow,
    },
    Missed {
        source: String,
        collection: String,
        hashes: Vec<u64>,
    },
    Announced {
        source: String,
        collection: String,
        hashes: Vec<u64>,
    },
    Spend {
        source: String,
        day: jiff::civil::Date,
        spend: DaySpend,
    },
    Event {
        seq: u64,
        event: Box<StoredEvent>,
    },
    Delivery(Box<Delivery>),
    EventDelivery {
        event: u64,
        delivery: u64,
    },
    Reference {
        sink: String,
        incident: String,
        reference: Value,
    },
    Waiting {
        sink: String,
        room: String,
        event: u64,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        about: String,
    },
    End {
        lines: u64,
    },
}

struct Writer {
    out: Box<dyn Write + Send>,
    lines: u64,
}

impl Writer {
    fn line(&mut self, line: &Line) -> Result<()> {
        let fault = |e: &dyn std::fmt::Display| StoreError::Write(format!("the export file can't be written: {e}"));
        serde_json::to_writer(&mut self.out, line).map_err(|e| fault(&e))?;
        self.out.write_all(b"\n").map_err(|e| fault(&e))?;
        self.lines += 1;
        Ok(())
    }
}

pub(super) fn write<K: Kv>(shared: &Shared<K>, out: Box<dyn Write + Send>) -> Result<u64> {
    let mut writer = Writer { out, lines: 0 };
    let (meta, docs) = {
        let state = shared.lock()?;
        (state.meta.clone(), state.docs.clone())
    };
    writer.line(&Line::Header {
        ampbridge_export: EXPORT,
        store_format: meta.format,
        commit: meta.commit,
        next_event: meta.next_event,
        next_delivery: meta.next_delivery,
    })?;
    let mut collections = Vec::new();
    for (key, (version, doc)) in docs {
        if let DocKey::Collection(id) = &key {
            collections.push(id.clone());
        }
        writer.line(&Line::Doc { key: key.to_string(), version, value: doc.as_ref().clone() })?;
    }
    for id in collections {
        shared.each_row(&id, |row| {
            writer.line(&Line::Row { source: id.source.clone(), collection: id.name.clone(), row })
        })?;
    }
    write_the_rest(&shared.kv, &meta, &mut writer)?;
    let lines = writer.lines;
    writer.line(&Line::End { lines })?;
    writer.out.flush().map_err(|e| StoreError::Write(format!("the export file can't be written: {e}")))?;
    Ok(lines)
}

fn write_the_rest(kv: &dyn Kv, meta: &Meta, writer: &mut Writer) -> Result<()> {
    for family in [keys::MISSED, keys::ANNOUNCED] {
        scan_all(kv, family, |key, value| {
            let Some(CollectionId { source, name: collection }) = keys::parse_collection(family, key) else {
                return Ok(());
            };
            let hashes = codec::decode_hashes(value);
            writer.line(&match family {
                keys::MISSED => Line::Missed { source, collection, hashes },
                _ => Line::Announced { source, collection, hashes },
            })
        })?;
    }
    scan_all(kv, keys::SPEND, |key, value| match keys::parse_spend(key) {
        Some((source, day)) => {
            writer.line(&Line::Spend { source, day, spend: codec::decode(value, "a day of spend")? })
        }
        None => Ok(()),
    })?;
    segments::each(kv, keys::EVENTS, meta.next_event, |seq, value| {
        writer.line(&Line::Event { seq, event: Box::new(decode_event(value)?) })
    })?;
    segments::each(kv, keys::DELIVERIES, meta.next_delivery, |_, value| {
        writer.line(&Line::Delivery(Box::new(codec::from_json(value, "a delivery")?)))
    })?;
    ledger::each_link(kv, |event, delivery| writer.line(&Line::EventDelivery { event, delivery }))?;
    scan_all(kv, keys::WAITING, |key, about| match keys::parse_waiting(key) {
        Some((sink, room, event)) => {
            let about = String::from_utf8_lossy(about).into_owned();
            writer.line(&Line::Waiting { sink, room, event, about })
        }
        None => Ok(()),
    })?;
    scan_all(kv, keys::REFERENCES, |key, value| match keys::parse_reference(key) {
        Some((sink, incident)) => {
            writer.line(&Line::Reference { sink, incident, reference: codec::decode(value, "a reference")? })
        }
        None => Ok(()),
    })
}

/// State of an import under way.
#[derive(Default)]
struct Import {
    batch: Batch,
    entries: Entries,
    ledger: Ledger,
    pending: usize,
    rows: BTreeMap<CollectionId, Vec<StoredRow>>,
    packs: BTreeMap<CollectionId, u32>,
    meta: Option<Meta>,
}

pub(super) fn read<K: Kv>(shared: &Shared<K>, lines: Box<dyn BufRead + Send>) -> Result<u64> {
    if shared.lock()?.meta.commit > 0 {
        return Err(StoreError::Import(
            "the store is not empty; an import goes only into an empty one (name another `store.path`)".to_owned(),
        ));
    }
    let outcome = fill(shared, lines);
    if outcome.is_err() {
        wipe(&shared.kv)?;
    }
    let (count, meta) = outcome?;
    // From here on the store counts as filled.
    let mut batch = Batch::default();
    batch.put(keys::META.to_vec(), codec::encode(&meta)?);
    shared.kv.apply(batch)?;
    shared.kv.flush(meta.commit)?;
    let mut state = shared.lock()?;
    state.meta = meta;
    // What is in memory is of the empty store; the process that imported does nothing else.
    state.broken = Some("the store was just imported; open it anew".to_owned());
    Ok(count)
}

fn fill<K: Kv>(shared: &Shared<K>, lines: Box<dyn BufRead + Send>) -> Result<(u64, Meta)> {
    let mut import = Import::default();
    for (number, text) in lines.lines().enumerate() {
        let at = number + 1;
        let count = number as u64;
        let text = text.map_err(|e| StoreError::Import(format!("line {at} can't be read: {e}")))?;
        let line: Line = serde_json::from_str(&text)
            .map_err(|e| StoreError::Import(format!("line {at} is not a line of an export: {e}")))?;
        if let Line::End { lines } = line {
            if lines != count {
                return Err(StoreError::Import(format!(
                    "the file should have {lines} lines before its end and has {count}"
                )));
            }
            import.apply(&shared.kv, true)?;
            let meta = import.meta.ok_or_else(|| StoreError::Import("the file has no header".to_owned()))?;
            return Ok((count, meta));
        }
        if at == 1 && !matches!(line, Line::Header { .. }) {
            return Err(StoreError::Import("the first line is not the header of an export".to_owned()));
        }
        import.take(line, at)?;
        import.pending += 1;
        if import.pending >= LINES {
            import.apply(&shared.kv, false)?;
        }
    }
    Err(StoreError::Import("the file ends before its last line: it was cut. Export again".to_owned()))
}

impl Import {
    fn take(&mut self, line: Line, at: usize) -> Result<()> {
        let batch = &mut self.batch;
        match line {
            Line::Header { ampbridge_export, store_format, commit, next_event, next_delivery } => {
                if ampbridge_export > EXPORT || store_format > FORMAT {
                    return Err(StoreError::Import(format!(
                        "the export is of format {ampbridge_export} (store format {store_format}); this ampbridge reads up to {EXPORT} (store format {FORMAT}). Use the version that wrote it, or a newer one"
                    )));
                }
                self.meta = Some(Meta { format: FORMAT, from: None, commit: commit.max(1), next_event, next_delivery });
            }
            Line::Doc { key, version, value } => {
                let key: DocKey = key.parse().map_err(|e| StoreError::Import(format!("line {at}: {e}")))?;
                batch.put(keys::doc(&key), codec::encode(&StoredDoc { v: version, doc: value })?);
            }
            Line::Row { source, collection, row } => {
                self.rows.entry(CollectionId { source, name: collection }).or_default().push(row);
            }
            Line::Missed { source, collection, hashes } => {
                put_hashes(batch, keys::missed(&CollectionId { source, name: collection }), hashes);
            }
            Line::Announced { source, collection, hashes } => {
                put_hashes(batch, keys::announced(&CollectionId { source, name: collection }), hashes);
            }
            Line::Spend { source, day, spend } => batch.put(keys::spend(&source, day), codec::encode(&spend)?),
            Line::Event { seq, event } => {
                if !event.event.data.is_readable() {
                    return Err(StoreError::Import(format!(
                        "line {at}: the data of event {} can't be read",
                        event.event.id
                    )));
                }
                batch.put(keys::by_id(keys::EVENT_IDS, &event.event.id), seq.to_be_bytes().to_vec());
                self.entries.event(seq, &event)?;
            }
            Line::Delivery(delivery) => {
                batch.put(keys::by_id(keys::DELIVERY_IDS, &delivery.id), delivery.seq.to_be_bytes().to_vec());
                self.entries.delivery(&delivery)?;
            }
            Line::EventDelivery { event, delivery } => self.entries.link(event, delivery),
            Line::Reference { sink, incident, reference } => {
                batch.put(keys::reference(&sink, &incident), codec::encode(&reference)?);
            }
            Line::Waiting { sink, room, event, about } => waits::put(batch, &sink, &room, event, about.as_bytes()),
            Line::End { .. } => {}
        }
        Ok(())
    }

    /// Writes what was taken so far; of the rows only whole packs, unless that was all.
    fn apply(&mut self, kv: &dyn Kv, all: bool) -> Result<()> {
        self.flush_rows(all)?;
        let next_event = self.meta.as_ref().map_or(0, |meta| meta.next_event);
        self.ledger.write(kv, std::mem::take(&mut self.entries), next_event, &mut self.batch)?;
        self.pending = 0;
        kv.apply(std::mem::take(&mut self.batch))
    }

    fn flush_rows(&mut self, all: bool) -> Result<()> {
        for (id, rows) in &mut self.rows {
            while rows.len() >= PACK_ROWS || (all && !rows.is_empty()) {
                let chunk: Vec<StoredRow> = rows.drain(..PACK_ROWS.min(rows.len())).collect();
                let pack = self.packs.entry(id.clone()).or_insert(0);
                *pack += 1;
                self.batch.put(keys::pack(id, *pack), codec::encode_pack(&chunk)?);
            }
        }
        Ok(())
    }
}

fn put_hashes(batch: &mut Batch, key: Vec<u8>, mut hashes: Vec<u64>) {
    hashes.sort_unstable();
    batch.put(key, codec::encode_hashes(&hashes));
}

/// Takes back a half-done import.
fn wipe(kv: &dyn Kv) -> Result<()> {
    loop {
        let mut batch = Batch::default();
        kv.scan(b"", &mut |key, _| {
            batch.remove(key.to_vec());
            if batch.0.len() >= LINES { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        })?;
        if batch.0.is_empty() {
            return Ok(());
        }
        kv.apply(batch)?;
    }
}
