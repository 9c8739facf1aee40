//! The marker beside the database: what had been made durable, and how the database was left.
//!
//! Two slots of fixed size, written in turn and each with a checksum, so that a cut write leaves the other one. It is
//! written after each flush and never synced by itself: it may lag behind the database and never leads it.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

pub(super) const FILE: &str = "marker";
const SLOT: usize = 256;

/// One state of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub format: u32,
    pub commit: u64,
    /// Closed in good order, and this is how the database was left.
    pub clean: bool,
    pub length: u64,
    /// Nanoseconds since 1970.
    pub modified: u64,
    /// The machine's boot id: after a reboot unsynced commits may be gone.
    pub boot: String,
    /// Orders the two slots; set by [`Marker::write`].
    pub turn: u64,
}

impl Mark {
    pub fn fresh(format: u32) -> Self {
        Self { format, commit: 0, clean: false, length: 0, modified: 0, boot: boot_id(), turn: 0 }
    }
}

pub(super) struct Marker {
    file: File,
    turn: Cell<u64>,
}

impl Marker {
    /// Opens the marker file and reads the newer valid slot.
    pub fn open(folder: &Path) -> io::Result<(Self, Option<Mark>)> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(FILE))?;
        let mut bytes = Vec::new();
        file.by_ref().take(2 * SLOT as u64).read_to_end(&mut bytes)?;
        let mark = bytes.chunks(SLOT).filter_map(read_slot).max_by_key(|m| m.turn);
        let turn = Cell::new(mark.as_ref().map_or(0, |m| m.turn));
        Ok((Self { file, turn }, mark))
    }

    pub fn write(&self, mark: &Mark) -> io::Result<()> {
        let turn = self.turn.get() + 1;
        let json = serde_json::to_string(&Mark { turn, ..mark.clone() }).map_err(io::Error::other)?;
        let mut slot = format!("{:016x} {json}", xxh3_64(json.as_bytes())).into_bytes();
        slot.resize(SLOT - 1, b' ');
        slot.push(b'\n');
        self.file.write_all_at(&slot, (turn % 2) * SLOT as u64)?;
        self.turn.set(turn);
        Ok(())
    }
}

fn read_slot(bytes: &[u8]) -> Option<Mark> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (sum, json) = text.trim_end().split_once(' ')?;
    let sound = u64::from_str_radix(sum, 16).ok()? == xxh3_64(json.as_bytes());
    if sound { serde_json::from_str(json).ok() } else { None }
}

/// Length and modification time of a file; zeros where there is none.
pub(super) fn fingerprint(file: &Path) -> (u64, u64) {
    let Ok(meta) = fs::metadata(file) else { return (0, 0) };
    let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    (meta.len(), modified.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
}

/// Changes with every boot of the machine; empty where the system does not tell.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let (marker, none) = Marker::open(dir.path()).unwrap();
        assert_eq!(none, None);
        for commit in 1..=3 {
            marker.write(&Mark { commit, ..Mark::fresh(1) }).unwrap();
        }
        let newest = |dir: &Path| Marker::open(dir).unwrap().1.map(|m| m.commit);
        assert_eq!(newest(dir.path()), Some(3));
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[SLOT + 30] ^= 0xff;
        fs::write(&path, bytes).unwrap();
        assert_eq!(newest(dir.path()), Some(2));
    }
}
