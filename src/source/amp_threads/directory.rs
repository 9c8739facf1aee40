//! The directory as it stands, with what is remembered of it between looks.
//!
//! Invariants: a file that can't be used now still shows the thread it last held; an unchanged file is not read again;
//! what is remembered is one small record a file, and no file that is gone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::document::Thread;
use super::file::{self, Found, Kind, Stamp};
use crate::domain::record::Failure;
use crate::domain::time::{Timestamp, utc_day};
use crate::source::prices::PriceBook;

/// Files that one step of a look goes through at most, and the bytes it reads: a step has the deadline of a call.
const STEP_FILES: usize = 512;
const STEP_BYTES: u64 = 16 * 1024 * 1024;
/// A file changed so recently may change again within the same tick of its clock: it is read again next time.
const RESTLESS_SECS: i64 = 3;

/// What is read at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One file, in bytes.
    pub file_bytes: u64,
    /// Candidate files in the directory. What is remembered of one takes about half a KiB.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 64 * 1024 * 1024, files: 1_000_000 }
    }
}

/// A directory of thread files. Clones share what is remembered.
#[derive(Clone)]
pub struct Directory {
    path: Arc<Path>,
    limits: Limits,
    book: Arc<dyn PriceBook>,
    memory: Arc<Mutex<Memory>>,
}

/// The directory at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// One document of each thread, by id.
    pub threads: Vec<Arc<Thread>>,
    /// Files that can't be used: name and reason.
    pub unusable: Vec<String>,
    /// The last day that what these files hold can be of, if there are any.
    pub unusable_until: Option<Date>,
    /// JSON files that are something else.
    pub others: u64,
    /// Files read for this view.
    pub read: u64,
    /// Tells the directory from another one in its place, in this process or a later one.
    pub identity: String,
}

impl Directory {
    pub fn new(path: PathBuf, limits: Limits, book: Arc<dyn PriceBook>) -> Self {
        Self { path: path.into(), limits, book, memory: Arc::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at every file. `deadline` is that of one step: the listing, or some files.
    ///
    /// # Errors
    /// The directory can't be listed to its end, was replaced meanwhile, holds too many files, or does not answer.
    pub async fn look(&self, now: Timestamp, deadline: Duration) -> Result<View, Failure> {
        let waiting = tokio::time::timeout(deadline, Arc::clone(&self.memory).lock_owned());
        let mut memory = waiting.await.map_err(|_| self.stuck("an earlier look still waits for it"))?;
        let listing = self.list(deadline).await?;
        let names = Arc::new(listing.names);
        let (mut next, mut read) = (0, 0);
        while next < names.len() {
            let step = Step { directory: self.clone(), now, memory, names: Arc::clone(&names), next };
            let done = in_background(deadline, move || step.run()).await.map_err(|why| self.stuck(&why))?;
            memory = done.memory;
            next = done.next;
            read += done.read;
        }
        self.still_is(&listing.identity, deadline).await?;
        memory.files.retain(|name, _| names.binary_search(name).is_ok());
        Ok(View { read, identity: listing.identity, ..memory.view() })
    }

    /// Lists the candidates without looking into them, for a check.
    ///
    /// # Errors
    /// As [`Directory::look`].
    pub async fn count(&self, deadline: Duration) -> Result<usize, Failure> {
        self.list(deadline).await.map(|listing| listing.names.len())
    }

    async fn list(&self, deadline: Duration) -> Result<Listing, Failure> {
        let (path, limit) = (Arc::clone(&self.path), self.limits.files);
        let listed = in_background(deadline, move || list(&path, limit)).await.map_err(|why| self.stuck(&why))?;
        listed.map_err(|why| Failure::broken(format!("{} {why}", self.shown())))
    }

    /// Files of a directory that was unmounted or moved away in the middle have not been deleted.
    async fn still_is(&self, known: &str, deadline: Duration) -> Result<(), Failure> {
        let path = Arc::clone(&self.path);
        let now = in_background(deadline, move || fs::metadata(&path).map(|metadata| identity(&metadata)).ok()).await;
        match now.map_err(|why| self.stuck(&why))? {
            Some(now) if now == *known => Ok(()),
            _ => Err(Failure::broken(format!("{} was replaced while it was read; it is read again", self.shown()))),
        }
    }

    fn shown(&self) -> String {
        format!("the directory {}", self.path.display())
    }

    fn stuck(&self, why: &str) -> Failure {
        Failure::broken(format!("{} does not answer: {why}. Is it on a network that is away?", self.shown()))
    }
}

/// What is remembered between looks, by file name.
#[derive(Debug, Default)]
struct Memory {
    files: BTreeMap<OsString, Entry>,
}

/// What is remembered of a file.
#[derive(Debug)]
struct Entry {
    /// `None`: to be read again whatever it looks like.
    stamp: Option<Stamp>,
    state: State,
}

#[derive(Debug)]
enum State {
    Thread(Arc<Thread>),
    Other,
    /// Nothing in a file is newer than the file.
    Unusable {
        why: Box<str>,
        modified: Option<Date>,
        last: Option<Arc<Thread>>,
    },
}

impl Entry {
    fn thread(&self) -> Option<&Arc<Thread>> {
        match &self.state {
            State::Thread(thread) => Some(thread),
            State::Unusable { last, .. } => last.as_ref(),
            State::Other => None,
        }
    }
}

impl Memory {
    fn view(&self) -> View {
        let mut view = View::default();
        let mut newest: BTreeMap<&str, &Arc<Thread>> = BTreeMap::new();
        // In the order of file names: of two documents that are equally new, the last name stays.
        for (name, entry) in &self.files {
            match &entry.state {
                State::Unusable { why, modified, .. } => {
                    view.unusable.push(format!("{} {why}", display(name)));
                    view.unusable_until = view.unusable_until.max(Some(modified.unwrap_or(Date::MAX)));
                }
                State::Other => view.others += 1,
                State::Thread(_) => {}
            }
            let Some(thread) = entry.thread() else { continue };
            let known = newest.entry(&thread.id).or_insert(thread);
            if thread.recency() >= known.recency() {
                *known = thread;
            }
        }
        view.threads = newest.into_values().cloned().collect();
        view
    }
}

/// A bounded part of a look, done where it may block.
struct Step {
    directory: Directory,
    now: Timestamp,
    memory: OwnedMutexGuard<Memory>,
    names: Arc<Vec<OsString>>,
    next: usize,
}

struct StepDone {
    memory: OwnedMutexGuard<Memory>,
    next: usize,
    read: u64,
}

impl Step {
    fn run(mut self) -> StepDone {
        let (mut bytes, mut read) = (0_u64, 0);
        let names = Arc::clone(&self.names);
        let mut next = self.next;
        for name in names.iter().skip(self.next).take(STEP_FILES) {
            next += 1;
            if let Some(size) = self.one(name) {
                bytes = bytes.saturating_add(size);
                read += 1;
            }
            if bytes >= STEP_BYTES {
                break;
            }
        }
        StepDone { memory: self.memory, next, read }
    }

    /// Brings the entry of one file up to date; the bytes that were read for it.
    fn one(&mut self, name: &OsStr) -> Option<u64> {
        let path = self.directory.path.join(name);
        let limits = self.directory.limits;
        let stamp = match file::inspect(&path) {
            Kind::Settled(found) => {
                self.remember(name, None, None, found);
                return None;
            }
            Kind::Regular(stamp) => stamp,
        };
        if self.memory.files.get(name).is_some_and(|entry| entry.stamp == Some(stamp)) {
            return None;
        }
        if stamp.size > limits.file_bytes {
            self.remember(name, None, Some(stamp), file::too_large(limits.file_bytes));
            return None;
        }
        let (stamp, found) = file::read(&path, limits.file_bytes, self.directory.book.as_ref());
        let size = stamp.map_or(0, |stamp| stamp.size);
        self.remember(name, stamp, stamp, found);
        Some(size)
    }

    /// `stamp`: it need not be read again while it has this one. `seen`: it had this one.
    fn remember(&mut self, name: &OsStr, stamp: Option<Stamp>, seen: Option<Stamp>, found: Found) {
        let files = &mut self.memory.files;
        let entry = match found {
            Found::Vanished => {
                files.remove(name);
                return;
            }
            Found::Thread(mut thread) => {
                thread.file = name.to_string_lossy().into();
                let settled = stamp.filter(|stamp| stamp.modified.0 < self.now.as_second() - RESTLESS_SECS);
                Entry { stamp: settled, state: State::Thread(Arc::from(thread)) }
            }
            Found::Other => {
                let settled = stamp.filter(|stamp| stamp.modified.0 < self.now.as_second() - RESTLESS_SECS);
                Entry { stamp: settled, state: State::Other }
            }
            Found::Unusable(why) => {
                let last = files.get(name).and_then(Entry::thread).cloned();
                let modified = seen.and_then(|stamp| Timestamp::from_second(stamp.modified.0).ok()).map(utc_day);
                Entry { stamp: None, state: State::Unusable { why: why.into(), modified, last } }
            }
        };
        files.insert(name.to_owned(), entry);
    }
}

struct Listing {
    /// Sorted.
    names: Vec<OsString>,
    identity: String,
}

fn list(path: &Path, limit: usize) -> Result<Listing, String> {
    let fault = |error: std::io::Error| format!("can't be listed: {error}. Does it exist, and may this user read it?");
    let identity = identity(&fs::metadata(path).map_err(fault)?);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        let name = entry.map_err(|error| format!("can't be listed to its end: {error}"))?.file_name();
        if file::is_candidate(&name) {
            names.push(name);
        }
        if names.len() > limit {
            return Err(format!("holds more than {limit} JSON files; move old ones away"));
        }
    }
    names.sort_unstable();
    Ok(Listing { names, identity })
}

/// Tells a directory from another one mounted, moved or made in its place: the number of one that was removed is soon given
/// to another.
fn identity(metadata: &fs::Metadata) -> String {
    let made = metadata.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let made = made.map_or_else(|| "?".to_owned(), |at| at.as_nanos().to_string());
    let (device, inode) = place(metadata);
    format!("{device}:{inode}:{made}")
}

#[cfg(unix)]
fn place(metadata: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn place(_: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

/// A name for a line of text: nothing in it can end the line.
fn display(name: &OsStr) -> String {
    format!("{:?}", name.to_string_lossy())
}

/// Runs what may block on a thread of its own; past the deadline it is left behind.
async fn in_background<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    match tokio::time::timeout(deadline, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err("reading it ended early".to_owned()),
        Err(_) => Err(format!("nothing within {deadline:?}")),
    }
}
