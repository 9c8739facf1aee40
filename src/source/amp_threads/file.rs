//! One file of the directory: what kind it is, whether it changed, what is in it.

use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::document::{self, Document, Thread};
use crate::domain::json;
use crate::source::prices::PriceBook;

/// Files that hold credentials and live beside thread files. Nothing of these names is ever opened.
const PRIVATE: &[&str] = &["secrets.json", "session.json"];
const BUFFER: usize = 64 * 1024;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What tells a changed file from an unchanged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub size: u64,
    /// Seconds and nanoseconds since the epoch.
    pub modified: (i64, i64),
    changed: (i64, i64),
    inode: (u64, u64),
}

/// What a look at one file found.
#[derive(Debug)]
pub enum Found {
    Thread(Box<Thread>),
    /// No thread, or nothing that is read at all.
    Other,
    /// It can't be used now; the reason, for people.
    Unusable(String),
    /// It is not there any more.
    Vanished,
}

/// A file before it is opened.
#[derive(Debug)]
pub enum Kind {
    Regular(Stamp),
    Settled(Found),
}

/// Whether a name is one the source looks at: `*.json` as a shell has it, credentials excepted.
pub fn is_candidate(name: &std::ffi::OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.ends_with(b".json") && !bytes.starts_with(b".") && !is_private(bytes)
}

/// Says what stands at `path` without opening it. Links are followed, to regular files only.
pub fn inspect(path: &Path) -> Kind {
    let own = match fs::symlink_metadata(path) {
        Ok(own) => own,
        Err(error) => return Kind::Settled(gone_or_unreadable(&error)),
    };
    if own.is_symlink() {
        match fs::canonicalize(path) {
            Ok(target) if target.file_name().is_some_and(|name| is_private(name.as_encoded_bytes())) => {
                return Kind::Settled(Found::Other);
            }
            Ok(_) => {}
            Err(error) => return Kind::Settled(Found::Unusable(format!("is a link that leads nowhere: {error}"))),
        }
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Kind::Regular(stamp(&metadata)),
        Ok(_) => Kind::Settled(Found::Other),
        Err(error) => Kind::Settled(gone_or_unreadable(&error)),
    }
}

/// Reads a regular file. The stamp is that of what was read.
pub fn read(path: &Path, max_bytes: u64, book: &dyn PriceBook) -> (Option<Stamp>, Found) {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return (None, gone_or_unreadable(&error)),
    };
    let stamp_of = |file: &File| file.metadata().map(|metadata| stamp(&metadata)).ok();
    let before = stamp_of(&file);
    if before.is_some_and(|stamp| stamp.size > max_bytes) {
        return (before, too_large(max_bytes));
    }
    let outcome = parse(&file, max_bytes, book)
        .or_else(|error| if error.is_syntax() { parse_mended(path, max_bytes, book).ok_or(error) } else { Err(error) });
    if stamp_of(&file) != before {
        return (None, Found::Unusable("was written to while it was read; it is read again next time".to_owned()));
    }
    let found = match outcome {
        Ok(Document::Thread(thread)) => Found::Thread(thread),
        Ok(Document::Other) => Found::Other,
        Ok(Document::BadId) => Found::Unusable("holds a thread whose id is empty, over-long or unprintable".to_owned()),
        Err(error) if error.is_io() => Found::Unusable(format!("can't be read: {error}")),
        Err(error) if error.is_eof() => Found::Unusable(format!("breaks off ({error}); it is read again next time")),
        Err(error) => Found::Unusable(format!("is no JSON that can be used ({error}); it is read again next time")),
    };
    (before, found)
}

/// The reason given for a file above the cap.
pub fn too_large(max_bytes: u64) -> Found {
    Found::Unusable(format!("is larger than {} MiB; move it away or split it", max_bytes / (1024 * 1024)))
}

fn parse(file: &File, max_bytes: u64, book: &dyn PriceBook) -> serde_json::Result<Document> {
    // One byte more than the cap, so that a file that grows meanwhile breaks off rather than passing for whole.
    let mut reader = BufReader::with_capacity(BUFFER, file.take(max_bytes.saturating_add(1)));
    if reader.fill_buf().map_err(serde_json::Error::io)?.starts_with(BOM) {
        reader.consume(BOM.len());
    }
    document::read(reader, book)
}

/// A second try at a file that is no valid JSON in a way that is known. `None` where that was not what is wrong.
fn parse_mended(path: &Path, max_bytes: u64, book: &dyn PriceBook) -> Option<Document> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(max_bytes).read_to_end(&mut bytes).ok()?;
    document::read(json::mended(&bytes)?.as_slice(), book).ok()
}

fn is_private(name: &[u8]) -> bool {
    PRIVATE.iter().any(|private| name.eq_ignore_ascii_case(private.as_bytes()))
}

fn gone_or_unreadable(error: &io::Error) -> Found {
    if error.kind() == io::ErrorKind::NotFound {
        Found::Vanished
    } else {
        Found::Unusable(format!("can't be read: {error}"))
    }
}

#[cfg(unix)]
fn stamp(metadata: &Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    Stamp {
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        inode: (metadata.dev(), metadata.ino()),
    }
}

#[cfg(not(unix))]
fn stamp(metadata: &Metadata) -> Stamp {
    let modified = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let modified = modified.map_or((0, 0), |d| (i64::try_from(d.as_secs()).unwrap_or(0), i64::from(d.subsec_nanos())));
    Stamp { size: metadata.len(), modified, changed: (0, 0), inode: (0, 0) }
}
