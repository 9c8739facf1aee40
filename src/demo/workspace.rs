//! The fake workspace: state behind a lock, with the handles that tests, scripts and the story pull.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::civil::Date;

use super::Now;
use super::api::Tenant;
use super::auth::Auth;
use super::fault::{FaultRule, Faults};
use super::journal::{Counters, Journal, LogEntry};
use super::model::{Model, NewThread, Role, ThreadEdit, Usd, User};
use super::seed::{self, SeedOptions};
use super::server::Server;
use super::world::{CursorStyle, FakeError, World};
use crate::domain::time::{SignedDuration, Timestamp, utc_day};

/// A workspace with an External API, in this process. Share it in an [`Arc`]; every method may be called while it is
/// being served.
pub struct FakeWorkspace {
    now: Now,
    born: Instant,
    state: Mutex<State>,
}

/// All that changes.
#[derive(Debug)]
pub(super) struct State {
    pub tenant: Tenant,
    pub faults: Faults,
    pub journal: Journal,
    /// How far the `Date` header is from the time.
    pub skew: SignedDuration,
    seed: u64,
}

/// Serves the API and the token endpoint (`/oauth2/token`) until the server is dropped.
pub async fn serve(workspace: Arc<FakeWorkspace>, addr: SocketAddr) -> std::io::Result<Server> {
    Server::start(super::front::router(workspace), addr).await
}

impl FakeWorkspace {
    /// A workspace with nobody in it.
    pub fn empty(now: Now) -> Self {
        Self::seeded(&SeedOptions::default(), now)
    }

    /// A workspace full of made-up data, the same for the same options and day.
    pub fn seeded(options: &SeedOptions, now: Now) -> Self {
        let state = Mutex::new(State::seeded(options, now()));
        Self { now, born: Instant::now(), state }
    }

    /// Forgets everything: contents, credentials, faults, log.
    pub fn reset(&self, options: &SeedOptions) {
        let fresh = State::seeded(options, self.now());
        let mut state = self.lock();
        let mut journal = std::mem::take(&mut state.journal);
        journal.clear();
        *state = State { journal, ..fresh };
    }

    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The day it is, UTC.
    pub fn today(&self) -> Date {
        utc_day(self.now())
    }

    /// Adds a thread and returns its id.
    pub fn add_thread(&self, thread: NewThread) -> Result<String, FakeError> {
        let now = self.now();
        let mut state = self.lock();
        let seed = state.seed;
        state.tenant.world.add_thread(thread, now, seed)
    }

    pub fn edit_thread(&self, id: &str, edit: ThreadEdit) -> Result<(), FakeError> {
        let now = self.now();
        self.lock().tenant.world.edit_thread(id, edit, now)
    }

    pub fn remove_thread(&self, id: &str) -> Result<(), FakeError> {
        self.lock().tenant.world.remove_thread(id)
    }

    /// Sets what a thread cost by itself; `None`: not known.
    pub fn set_thread_usage(&self, id: &str, usd: Option<&str>) -> Result<(), FakeError> {
        let usd = usd.map(str::parse).transpose()?;
        self.lock().tenant.world.set_thread_usage(id, usd)
    }

    /// Adds a member, or takes a former one back, and returns the user id.
    pub fn add_member(&self, name: &str, email: &str, role: Role) -> String {
        let mut state = self.lock();
        let seed = state.seed;
        state.tenant.world.add_member(name, email, role, seed)
    }

    /// Ends a membership. Usage and threads stay. `who`, here and below, is an email or a user id.
    pub fn remove_member(&self, who: &str) -> Result<(), FakeError> {
        self.lock().tenant.world.change_user(who, |u| u.active = false)
    }

    pub fn set_role(&self, who: &str, role: Role) -> Result<(), FakeError> {
        self.lock().tenant.world.change_user(who, |u| u.role = role)
    }

    pub fn rename_member(&self, who: &str, name: &str) -> Result<(), FakeError> {
        self.lock().tenant.world.change_user(who, |u| name.clone_into(&mut u.name))
    }

    pub fn change_email(&self, who: &str, email: &str) -> Result<(), FakeError> {
        let taken = self.user(email).is_some();
        if taken {
            return Err(FakeError::Taken(email.to_owned()));
        }
        self.lock().tenant.world.change_user(who, |u| email.clone_into(&mut u.email))
    }

    /// Replaces what a user did on a day; `usd` is decimal text.
    pub fn set_usage(
        &self,
        date: Date,
        who: &str,
        usd: &str,
        models: BTreeMap<String, Model>,
    ) -> Result<(), FakeError> {
        let usd: Usd = usd.parse()?;
        self.lock().tenant.world.set_usage(date, who, usd, models)
    }

    pub fn clear_usage(&self, date: Date, who: &str) -> Result<(), FakeError> {
        self.lock().tenant.world.clear_usage(date, who)
    }

    pub fn user(&self, who: &str) -> Option<User> {
        self.lock().tenant.world.user(who).cloned()
    }

    /// Ids of all threads, in the order of the list.
    pub fn thread_ids(&self) -> Vec<String> {
        self.lock().tenant.world.thread_ids()
    }

    pub fn thread_count(&self) -> usize {
        self.lock().tenant.world.thread_count()
    }

    /// What the client is granted from now on, tokens already out included.
    pub fn set_scopes<S: Into<String>>(&self, granted: impl IntoIterator<Item = S>) {
        self.lock().tenant.auth.set_scopes(granted.into_iter().map(Into::into));
    }

    /// Lifetime of tokens issued from now on, in the fake's time.
    pub fn set_token_ttl(&self, ttl: SignedDuration) {
        self.lock().tenant.auth.set_ttl(ttl);
    }

    /// Gives the client another secret. Tokens stay good.
    pub fn rotate_secret(&self, secret: &str) {
        self.lock().tenant.auth.rotate_secret(secret);
    }

    /// Refuses the client and its tokens until the secret is rotated.
    pub fn revoke_client(&self) {
        self.lock().tenant.auth.revoke_client();
    }

    /// Makes every token so far worthless.
    pub fn revoke_tokens(&self) {
        self.lock().tenant.auth.revoke_tokens();
    }

    /// Puts the `Date` header this far off.
    pub fn set_clock_skew(&self, skew: SignedDuration) {
        self.lock().skew = skew;
    }

    pub fn set_cursor_style(&self, style: CursorStyle) {
        self.lock().tenant.cursors = style;
    }

    pub fn add_fault(&self, rule: FaultRule) {
        self.lock().faults.add(rule);
    }

    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Requests so far (the newest 100,000), oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.log_since(0)
    }

    /// Requests with a number above `since`.
    pub fn log_since(&self, since: u64) -> Vec<LogEntry> {
        self.lock().journal.since(since)
    }

    pub fn counters(&self) -> Counters {
        let state = self.lock();
        Counters { tokens_issued: state.tenant.auth.issued(), ..state.journal.counters().clone() }
    }

    pub fn clear_log(&self) {
        self.lock().journal.clear();
    }

    /// Milliseconds of real time since this was made.
    pub(super) fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A test that failed while holding the lock has its own message; the others may go on.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seeded(options: &SeedOptions, now: Timestamp) -> Self {
        let mut world = World::default();
        seed::populate(&mut world, options, now);
        Self {
            tenant: Tenant { world, auth: Auth::new(options.seed), cursors: CursorStyle::default() },
            faults: Faults::default(),
            journal: Journal::default(),
            skew: SignedDuration::ZERO,
            seed: options.seed,
        }
    }
}
