//! The sled engine, and the guard around it.
//!
//! Sled opens a truncated file as an empty store without a word and panics on garbage. So: a lock file names who has
//! the store; a marker beside it remembers what had been made durable; a store that was not closed cleanly, or is not
//! as it was left, is first opened as a copy and read through; panics become errors. Nothing of a damaged store is
//! ever written to.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use super::engine::{Engine, Meta};
use super::kv::{Batch, Kv, Visit};
use super::marker::{self, Mark, Marker};
use super::{Result, StoreError, Sync, codec, keys};

/// The lock file, inside the store's folder.
pub const LOCK: &str = "lock";
const DATA: &str = "data";
const DATABASE: &str = "db";
const VERIFY: &str = "verify";
/// What a store's folder has in it, some of it made by the admin API.
const OURS: [&str; 6] = [DATA, marker::FILE, LOCK, VERIFY, "admin.token", "admin.json"];
/// A fresh file system has it.
const LOST_AND_FOUND: &str = "lost+found";
/// Things that are named where a folder is refused.
const NAMED: usize = 3;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside the engine, where a panic is an answer and not a defect of ours. A panic hook asks.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Opens the store in `path`, creating it where there is none. `note` tells others who has it.
pub fn open(path: &Path, sync: Sync, note: &str) -> Result<Engine<SledKv>> {
    let fault = |reason: String| StoreError::Open { path: path.to_owned(), reason };
    refuse_foreign_folder(path)?;
    create_folder(path).map_err(|e| fault(explain(&e)))?;
    let lock = take_lock(path, note)?;
    let data = path.join(DATA);
    let (marker, mark) = Marker::open(path).map_err(|e| fault(explain(&e)))?;
    check_before_opening(path, &data, mark.as_ref(), sync)?;
    if mark.is_none() {
        marker.write(&Mark::fresh(super::engine::FORMAT)).map_err(|e| fault(explain(&e)))?;
    }
    let db = open_database(&data).map_err(|reason| classify(path, reason))?;
    let file = File::open(data.join(DATABASE)).map_err(|e| fault(explain(&e)))?;
    let kv = SledKv {
        db: RwLock::new(Some(db)),
        path: path.to_owned(),
        file,
        marker: Mutex::new(marker),
        sync,
        lock: Mutex::new(Some(lock)),
    };
    if let Some(bytes) = kv.get(keys::META)? {
        let meta: Meta = codec::decode(&bytes, "the store's description")?;
        refuse_older_commit(path, &meta, mark.as_ref(), sync)?;
    }
    Engine::open(kv)
}

/// Whether there is a store in `path`.
pub fn exists(path: &Path) -> bool {
    path.join(DATA).is_dir()
}

/// Who has the store in `path` open right now, if anyone.
pub fn holder(path: &Path) -> Option<String> {
    let file = OpenOptions::new().read(true).open(path.join(LOCK)).ok()?;
    match file.try_lock_shared() {
        Err(fs::TryLockError::WouldBlock) => Some(read_note(&path.join(LOCK))),
        _ => None,
    }
}

/// Sled's one tree, with the lock and the marker.
pub struct SledKv {
    /// `None` once closed.
    db: RwLock<Option<::sled::Db>>,
    path: PathBuf,
    file: File,
    marker: Mutex<Marker>,
    sync: Sync,
    /// Held until the store is closed, or the process ends.
    lock: Mutex<Option<File>>,
}

impl SledKv {
    fn with<T>(&self, what: &str, work: impl FnOnce(&::sled::Db) -> ::sled::Result<T>) -> Result<T> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let Some(db) = db.as_ref() else { return Err(StoreError::Read("the store is closed".to_owned())) };
        match guarded(|| work(db)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(StoreError::Write(format!("{what} failed: {}", explain_sled(&error)))),
            Err(panic) if is_refusal(&panic) => Err(StoreError::Write(format!("{what} failed: {panic}"))),
            Err(panic) => Err(StoreError::Corrupt { path: self.path.clone(), reason: format!("{what}: {panic}") }),
        }
    }
}

impl Kv for SledKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.with("a read", |db| Ok(db.get(key)?.map(|v| v.to_vec())))
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.with("a scan", |db| {
            for item in db.scan_prefix(prefix) {
                let (key, value) = item?;
                if visit(&key, &value) == ControlFlow::Break(()) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn apply(&self, batch: Batch) -> Result<()> {
        self.with("a write", |db| {
            let mut writes = ::sled::Batch::default();
            for (key, value) in batch.0 {
                match value {
                    Some(value) => writes.insert(key, value),
                    None => writes.remove(key),
                }
            }
            db.apply_batch(writes)
        })
    }

    fn flush(&self, commit: u64) -> Result<()> {
        self.with("a flush", |db| db.flush().map(drop))?;
        if self.sync == Sync::Power {
            self.file.sync_data().map_err(|e| StoreError::Write(format!("a flush failed: {}", explain(&e))))?;
        }
        self.mark(commit, false)
    }

    fn close(&self, commit: u64) -> Result<()> {
        self.flush(commit)?;
        let db = self.db.write().unwrap_or_else(PoisonError::into_inner).take();
        // Dropping joins sled's own threads; a panic in there must not take the process along.
        if let Err(panic) = guarded(|| drop(db)) {
            return Err(StoreError::Write(format!("closing failed: {panic}")));
        }
        self.mark(commit, true)?;
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.path.clone())
    }
}

impl SledKv {
    fn mark(&self, commit: u64, clean: bool) -> Result<()> {
        let (length, modified) = marker::fingerprint(&self.path.join(DATA).join(DATABASE));
        let mark = Mark { commit, clean, length, modified, ..Mark::fresh(super::engine::FORMAT) };
        let marker = self.marker.lock().unwrap_or_else(PoisonError::into_inner);
        marker.write(&mark).map_err(|e| StoreError::Write(format!("the marker can't be written: {}", explain(&e))))
    }
}

/// Looks at a store without opening it, and, where it may be damaged, at a copy of it opened.
fn check_before_opening(path: &Path, data: &Path, mark: Option<&Mark>, sync: Sync) -> Result<()> {
    let damaged = |reason: String| StoreError::Corrupt { path: path.to_owned(), reason };
    let database = data.join(DATABASE);
    let (length, modified) = marker::fingerprint(&database);
    let Some(mark) = mark else {
        return if length > 0 { verify_copy(path, data, None, sync) } else { Ok(()) };
    };
    if mark.format > super::engine::FORMAT {
        return Err(StoreError::Newer { path: path.to_owned(), found: mark.format, known: super::engine::FORMAT });
    }
    if mark.commit == 0 && length == 0 {
        return Ok(());
    }
    if length == 0 {
        return Err(damaged(format!(
            "{} is missing or empty, and {} commits had been made",
            database.display(),
            mark.commit
        )));
    }
    if mark.clean && mark.length == length && mark.modified == modified {
        return Ok(());
    }
    verify_copy(path, data, Some(mark), sync)
}

/// Copies the data, opens the copy and reads all of it.
fn verify_copy(path: &Path, data: &Path, mark: Option<&Mark>, sync: Sync) -> Result<()> {
    let fault = |reason: String| StoreError::Open { path: path.to_owned(), reason };
    let copy = path.join(VERIFY);
    let _ = fs::remove_dir_all(&copy);
    let copied = copy_folder(data, &copy);
    let outcome = match copied {
        Err(error) => {
            Err(fault(format!("it was not closed cleanly and can't be copied to be checked: {}", explain(&error))))
        }
        Ok(()) => read_through(path, &copy, mark, sync),
    };
    let _ = fs::remove_dir_all(&copy);
    outcome
}

fn read_through(path: &Path, copy: &Path, mark: Option<&Mark>, sync: Sync) -> Result<()> {
    let damaged = |reason: String| StoreError::Corrupt { path: path.to_owned(), reason };
    let db = open_database(copy).map_err(|reason| classify(path, reason))?;
    let read = guarded(|| -> ::sled::Result<Option<Vec<u8>>> {
        for item in db.iter() {
            item?;
        }
        Ok(db.get(keys::META)?.map(|v| v.to_vec()))
    });
    let meta = match read {
        Ok(Ok(meta)) => meta,
        Ok(Err(error)) => return Err(damaged(explain_sled(&error))),
        Err(panic) => return Err(damaged(panic)),
    };
    let _ = guarded(|| drop(db));
    match meta {
        Some(bytes) => {
            let meta: Meta = codec::decode(&bytes, "the store's description").map_err(|e| damaged(e.to_string()))?;
            refuse_older_commit(path, &meta, mark, sync)
        }
        None if mark.is_some_and(|m| m.commit > 0) => {
            Err(damaged("it opens as an empty store; it must have been cut".to_owned()))
        }
        None => Ok(()),
    }
}

/// A store that holds less than had been made durable has lost its end. With `sync = "process"` a reboot may do that.
fn refuse_older_commit(path: &Path, meta: &Meta, mark: Option<&Mark>, sync: Sync) -> Result<()> {
    let Some(mark) = mark.filter(|m| m.commit > meta.commit) else { return Ok(()) };
    if sync == Sync::Process && mark.boot != marker::boot_id() {
        tracing::warn!(
            held = meta.commit,
            durable = mark.commit,
            "the machine was restarted and the last commits are gone; store.sync = \"process\" allows that"
        );
        return Ok(());
    }
    Err(StoreError::Corrupt {
        path: path.to_owned(),
        reason: format!(
            "it holds {} commits, and {} had been made durable; its end is missing",
            meta.commit, mark.commit
        ),
    })
}

fn open_database(data: &Path) -> Result<::sled::Db, String> {
    let config = ::sled::Config::new().path(data).flush_every_ms(None).print_profile_on_drop(false);
    match guarded(|| config.open()) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(error)) => Err(explain_sled(&error)),
        Err(panic) => Err(panic),
    }
}

/// What the system says of a disk that takes nothing more, as its error messages and their kinds are written. The engine
/// hands on its errors as text, in panics too.
const REFUSALS: [&str; 10] = [
    "Permission denied",
    "PermissionDenied",
    "File too large",
    "FileTooLarge",
    "No space left",
    "StorageFull",
    "Read-only",
    "ReadOnlyFilesystem",
    "quota exceeded",
    "QuotaExceeded",
];

/// Whether the system would not let something be written, which says nothing of what is there.
fn is_refusal(reason: &str) -> bool {
    REFUSALS.iter().any(|words| reason.contains(words))
}

/// A disk that is full or read-only, a file at its limit, a quota that is used up: all that is no damage.
fn classify(path: &Path, reason: String) -> StoreError {
    let path = path.to_owned();
    if is_refusal(&reason) { StoreError::Open { path, reason } } else { StoreError::Corrupt { path, reason } }
}

/// Runs engine code; a panic becomes its message.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    outcome.map_err(|panic| {
        let text =
            panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        format!("the engine gave up: {}", text.unwrap_or_else(|| "without a word".to_owned()))
    })
}

/// A folder with other people's things in it is not taken over, nor closed to them: it is more likely a slip of the pen.
fn refuse_foreign_folder(path: &Path) -> Result<()> {
    // What can't be listed has a reason of its own, which is told where it is made.
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != LOST_AND_FOUND);
    if names.is_empty() || names.iter().any(|name| OURS.contains(&name.as_str())) {
        return Ok(());
    }
    names.sort();
    let more = if names.len() > NAMED { ", …" } else { "" };
    names.truncate(NAMED);
    let held = names.join(", ");
    let reason = format!(
        "it is a folder that holds other things ({held}{more}) and nothing of ampbridge's; name one under store.path that is empty or \
         does not exist yet"
    );
    Err(StoreError::Open { path: path.to_owned(), reason })
}

fn create_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if path.is_dir() {
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn take_lock(path: &Path, note: &str) -> Result<File> {
    let file_path = path.join(LOCK);
    let fault = |e: &std::io::Error| StoreError::Open { path: path.to_owned(), reason: explain(e) };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file_path)
        .map_err(|e| fault(&e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(StoreError::InUse { path: path.to_owned(), holder: read_note(&file_path) });
        }
        Err(fs::TryLockError::Error(e)) => return Err(fault(&e)),
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{note}")
    };
    write(&mut file).map_err(|e| fault(&e))?;
    Ok(file)
}

fn read_note(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|f| f.take(200).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn explain_sled(error: &::sled::Error) -> String {
    match error {
        ::sled::Error::Io(io) => explain(io),
        ::sled::Error::Corruption { .. } => "a checksum does not match".to_owned(),
        other => other.to_string(),
    }
}

fn explain(error: &std::io::Error) -> String {
    use std::io::ErrorKind as Kind;
    let hint = match error.kind() {
        Kind::PermissionDenied => "; give this user write access, or name another `store.path`",
        Kind::ReadOnlyFilesystem => "; the file system is read-only",
        Kind::StorageFull => "; free some space and start again",
        Kind::QuotaExceeded => {
            "; this user's disk quota is used up: free some space or have it raised, and start again"
        }
        Kind::FileTooLarge => {
            "; files may not grow any further here: raise the limit (`ulimit -f`), or move the store to a file system with larger files"
        }
        Kind::NotADirectory | Kind::AlreadyExists => "; `store.path` must be a folder",
        _ => "",
    };
    format!("{error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        // EACCES, EFBIG, ENOSPC, EROFS: the same numbers on Linux, macOS and the BSDs.
        for (number, hint) in [(13, "write access"), (27, "ulimit -f"), (28, "free some space"), (30, "read-only")] {
            let error = std::io::Error::from_raw_os_error(number);
            assert!(explain(&error).contains(hint), "{}", explain(&error));
            // As the engine hands errors on, and as its panics show them.
            for reason in [explain(&error), format!("the engine gave up: {error:?}")] {
                let told = classify(Path::new("store"), reason);
                assert!(matches!(told, StoreError::Open { .. }), "{told}");
            }
        }
        let quota = std::io::Error::from(std::io::ErrorKind::QuotaExceeded);
        assert!(explain(&quota).contains("disk quota") && is_refusal(&explain(&quota)), "{}", explain(&quota));
        assert!(is_refusal("Disk quota exceeded (os error 122)"), "as Linux words it");
        let damage = classify(Path::new("store"), "a checksum does not match".to_owned());
        assert!(matches!(damage, StoreError::Corrupt { .. }), "{damage}");
    }
}
