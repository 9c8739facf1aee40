//! The workspace's contents: members, threads, usage. A plain struct; whoever holds it holds the lock.
//!
//! Threads lie in the order of their first sync, which is the order the API lists them in, so that a page of a million
//! threads costs no more than a page of ten.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use jiff::civil::Date;
use serde::Deserialize;

use super::model::{Model, NewThread, Repository, Role, Thread, ThreadEdit, Usd, User, UserDay};
use super::rng::SplitMix;
use crate::domain::money::Micros;
use crate::domain::time::Timestamp;

/// Position of a thread in the list: first sync, then order of arrival.
pub type Place = (Timestamp, u64);

/// What a cursor stands for. Real ones are opaque, so that a client has to live with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CursorStyle {
    /// The last thread seen: what is added or removed meanwhile shifts nothing.
    #[default]
    Keyset,
    /// A count of threads: a removal before it makes the next page skip one.
    Offset,
}

/// Why the workspace can't be changed like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FakeError {
    #[error("there is no user {0:?}: add the member first")]
    NoUser(String),
    #[error("there is no thread {0:?}")]
    NoThread(String),
    #[error("{0:?} is taken")]
    Taken(String),
    #[error("{0}")]
    Amount(#[from] crate::domain::money::MoneyError),
}

/// Which threads to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadQuery {
    pub limit: usize,
    pub newest_first: bool,
    pub after: Option<Timestamp>,
    pub before: Option<Timestamp>,
    /// User ids; a thread must be by all of them.
    pub creators: Vec<String>,
    pub from: Start,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    #[default]
    Beginning,
    After(Place),
    Skip(usize),
}

/// A page of threads, with where the next one begins; `None` at the end.
#[derive(Debug)]
pub struct ThreadPage<'a> {
    pub threads: Vec<&'a Thread>,
    pub next: Option<Place>,
}

#[derive(Debug, Clone, Default)]
pub struct World {
    threads: BTreeMap<Place, Thread>,
    places: BTreeMap<Arc<str>, Place>,
    sub_threads: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    users: BTreeMap<Arc<str>, User>,
    /// Emails of everyone who ever joined, to user ids.
    emails: BTreeMap<String, Arc<str>>,
    usage: BTreeMap<Date, BTreeMap<Arc<str>, UserDay>>,
    /// Lists of repositories in use; a million threads share a handful.
    repositories: BTreeSet<Arc<[Repository]>>,
    arrivals: u64,
}

impl World {
    /// Adds a thread; its id is made up unless given.
    pub fn add_thread(&mut self, new: NewThread, now: Timestamp, seed: u64) -> Result<String, FakeError> {
        let creator = self.user_key(&new.creator).ok_or(FakeError::NoUser(new.creator))?;
        let created_at = new.created_at.unwrap_or(now);
        self.arrivals += 1;
        let id: Arc<str> =
            new.id.unwrap_or_else(|| SplitMix::of(&[seed, 0x0007_48ad, self.arrivals]).thread_id(created_at)).into();
        if self.places.contains_key(&id) {
            return Err(FakeError::Taken(id.to_string()));
        }
        let part_of = new.main_thread.map(Arc::<str>::from);
        if let Some(main) = &part_of {
            self.sub_threads.entry(Arc::clone(main)).or_default().push(Arc::clone(&id));
        }
        // The API speaks milliseconds; a filter must compare what was shown.
        let first_synced_at = whole_millis(new.first_synced_at.unwrap_or(created_at));
        let place = (first_synced_at, self.arrivals);
        let thread = Thread {
            id: Arc::clone(&id),
            title: new.title.map(Into::into),
            creator,
            created_at: whole_millis(created_at),
            updated_at: whole_millis(new.updated_at.unwrap_or(created_at)),
            first_synced_at,
            part_of,
            repositories: self.shared(new.repositories),
            messages: new.messages,
            usage: new.usage,
        };
        self.threads.insert(place, thread);
        self.places.insert(Arc::clone(&id), place);
        Ok(id.to_string())
    }

    pub fn edit_thread(&mut self, id: &str, edit: ThreadEdit, now: Timestamp) -> Result<(), FakeError> {
        let creator = match edit.creator {
            Some(who) => Some(self.user_key(&who).ok_or(FakeError::NoUser(who))?),
            None => None,
        };
        if let Some(main) = &edit.main_thread {
            let id = self.thread(id).map(|t| Arc::clone(&t.id)).ok_or_else(|| FakeError::NoThread(id.to_owned()))?;
            self.sub_threads.values_mut().for_each(|subs| subs.retain(|s| *s != id));
            self.sub_threads.entry(main.as_str().into()).or_default().push(id);
        }
        let repositories = edit.repositories.map(|list| self.shared(list));
        let thread = self.thread_mut(id)?;
        thread.updated_at = whole_millis(edit.updated_at.unwrap_or(now));
        if let Some(title) = edit.title {
            thread.title = Some(title.into());
        }
        if let Some(repositories) = repositories {
            thread.repositories = repositories;
        }
        if let Some(main) = edit.main_thread {
            thread.part_of = Some(main.into());
        }
        if let Some(messages) = edit.messages {
            thread.messages = messages;
        }
        if let Some(creator) = creator {
            thread.creator = creator;
        }
        Ok(())
    }

    pub fn remove_thread(&mut self, id: &str) -> Result<(), FakeError> {
        let place = self.places.remove(id).ok_or_else(|| FakeError::NoThread(id.to_owned()))?;
        if let Some(main) = self.threads.remove(&place).and_then(|t| t.part_of)
            && let Some(subs) = self.sub_threads.get_mut(&main)
        {
            subs.retain(|s| s.as_ref() != id);
        }
        Ok(())
    }

    pub fn set_thread_usage(&mut self, id: &str, usd: Option<Usd>) -> Result<(), FakeError> {
        self.thread_mut(id)?.usage = usd;
        Ok(())
    }

    /// Adds a member, or takes a former one back under the old id. Returns the user id.
    pub fn add_member(&mut self, name: &str, email: &str, role: Role, seed: u64) -> String {
        let id = self
            .emails
            .get(email)
            .map_or_else(|| SplitMix::of(&[seed, 0x0005_e400, self.emails.len() as u64]).user_id().into(), Arc::clone);
        let user = User { id: id.to_string(), email: email.to_owned(), name: name.to_owned(), role, active: true };
        self.emails.insert(email.to_owned(), Arc::clone(&id));
        self.users.insert(Arc::clone(&id), user);
        id.to_string()
    }

    /// Changes whoever has this email or id.
    pub fn change_user(&mut self, who: &str, change: impl FnOnce(&mut User)) -> Result<(), FakeError> {
        let no_user = || FakeError::NoUser(who.to_owned());
        let key = self.user_key(who).ok_or_else(no_user)?;
        let user = self.users.get_mut(&key).ok_or_else(no_user)?;
        change(user);
        // The fake lets an email change, so the way from email to id follows.
        let email = user.email.clone();
        self.emails.retain(|_, id| *id != key);
        self.emails.insert(email, key);
        Ok(())
    }

    /// Replaces what a user did on a day.
    pub fn set_usage(
        &mut self,
        date: Date,
        who: &str,
        usd: Usd,
        models: BTreeMap<String, Model>,
    ) -> Result<(), FakeError> {
        let key = self.user_key(who).ok_or_else(|| FakeError::NoUser(who.to_owned()))?;
        let lines = models.values().map(|m| m.output / 40).sum::<u64>();
        let day = UserDay { usd, models, lines_added: lines, lines_deleted: lines / 3, lines_modified: lines / 5 };
        self.usage.entry(date).or_default().insert(key, day);
        Ok(())
    }

    /// Takes a user's row of a day away.
    pub fn clear_usage(&mut self, date: Date, who: &str) -> Result<(), FakeError> {
        let key = self.user_key(who).ok_or_else(|| FakeError::NoUser(who.to_owned()))?;
        if let Some(day) = self.usage.get_mut(&date) {
            day.remove(&key);
        }
        Ok(())
    }

    pub fn thread(&self, id: &str) -> Option<&Thread> {
        self.threads.get(self.places.get(id)?)
    }

    /// Ids of a thread's sub-threads, oldest first.
    pub fn sub_threads(&self, id: &str) -> &[Arc<str>] {
        self.sub_threads.get(id).map_or(&[], Vec::as_slice)
    }

    /// What a thread cost with its sub-threads; `None` where nothing is known of it.
    pub fn thread_cost(&self, id: &str) -> Option<Usd> {
        let own = self.thread(id)?.usage.clone();
        let subs: Micros =
            self.sub_threads(id).iter().filter_map(|s| self.thread(s)?.usage.as_ref()).map(|u| u.micros).sum();
        if subs == Micros::ZERO { own } else { Some(Usd::from(own.map(|u| u.micros).unwrap_or_default() + subs)) }
    }

    pub fn thread_count(&self) -> usize {
        self.threads.len()
    }

    /// Ids of all threads, in the order of the list.
    pub fn thread_ids(&self) -> Vec<String> {
        self.threads.values().map(|t| t.id.to_string()).collect()
    }

    pub fn page(&self, query: &ThreadQuery) -> ThreadPage<'_> {
        let mut low = query.after.map_or((Timestamp::MIN, 0), |at| (at, u64::MAX));
        let mut high = query.before.map_or((Timestamp::MAX, u64::MAX), |at| (at, 0));
        let mut skip = 0;
        match query.from {
            Start::Beginning => {}
            Start::After(place) if query.newest_first => high = high.min(place),
            Start::After(place) => low = low.max(place),
            Start::Skip(n) => skip = n,
        }
        // BTreeMap's range panics on bounds that cross.
        if low >= high {
            return ThreadPage { threads: Vec::new(), next: None };
        }
        let range = self.threads.range((Bound::Excluded(low), Bound::Excluded(high)));
        let wanted = |t: &&Thread| query.creators.iter().all(|c| **c == *t.creator);
        let take = query.limit + 1;
        let mut found: Vec<(Place, &Thread)> = if query.newest_first {
            range.rev().map(|(p, t)| (*p, t)).filter(|(_, t)| wanted(t)).skip(skip).take(take).collect()
        } else {
            range.map(|(p, t)| (*p, t)).filter(|(_, t)| wanted(t)).skip(skip).take(take).collect()
        };
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| more).map(|(place, _)| *place);
        ThreadPage { threads: found.into_iter().map(|(_, thread)| thread).collect(), next }
    }

    pub fn user(&self, who: &str) -> Option<&User> {
        self.users.get(&self.user_key(who)?)
    }

    /// Everyone who is or was a member, by id.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    pub fn day(&self, date: Date) -> Option<&BTreeMap<Arc<str>, UserDay>> {
        self.usage.get(&date)
    }

    fn shared(&mut self, list: Vec<Repository>) -> Arc<[Repository]> {
        if let Some(known) = self.repositories.get(list.as_slice()) {
            return Arc::clone(known);
        }
        let list: Arc<[Repository]> = list.into();
        self.repositories.insert(Arc::clone(&list));
        list
    }

    fn user_key(&self, who: &str) -> Option<Arc<str>> {
        self.emails.get(who).or_else(|| self.users.get_key_value(who).map(|(k, _)| k)).cloned()
    }

    fn thread_mut(&mut self, id: &str) -> Result<&mut Thread, FakeError> {
        let place = self.places.get(id);
        place.and_then(|p| self.threads.get_mut(p)).ok_or_else(|| FakeError::NoThread(id.to_owned()))
    }
}

fn whole_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(threads: u64) -> World {
        let mut world = World::default();
        world.add_member("Ana", "ana@example.com", Role::Member, 1);
        for n in 0..threads {
            // Three threads share each instant: order must not depend on it.
            let at = Timestamp::from_second(1_700_000_000 + i64::try_from(n / 3).unwrap()).unwrap();
            let new = NewThread { id: Some(format!("T-{n}")), creator: "ana@example.com".into(), ..Default::default() };
            world.add_thread(new, at, 1).unwrap();
        }
        world
    }

    fn walk(world: &World, mut query: ThreadQuery) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let page = world.page(&query);
            ids.extend(page.threads.iter().map(|t| t.id.to_string()));
            match page.next {
                Some(place) => query.from = Start::After(place),
                None => return ids,
            }
        }
    }

    #[test]
    fn every_thread_is_listed_once_in_both_directions() {
        let world = world(100);
        let up = walk(&world, ThreadQuery { limit: 7, ..Default::default() });
        assert_eq!(up, world.thread_ids());
        let mut down = walk(&world, ThreadQuery { limit: 7, newest_first: true, ..Default::default() });
        down.reverse();
        assert_eq!(down, up);
    }

    #[test]
    fn after_and_before_exclude_their_instant_and_may_cross() {
        let world = world(30);
        let at = |secs: i64| Some(Timestamp::from_second(1_700_000_000 + secs).unwrap());
        let between =
            |after, before| walk(&world, ThreadQuery { limit: 50, after, before, ..Default::default() }).len();
        assert_eq!(between(at(2), at(5)), 6);
        assert_eq!(between(at(5), at(2)), 0);
        assert_eq!(between(at(5), at(5)), 0);
        assert_eq!(between(at(-1), None), 30);
    }

    #[test]
    fn a_main_thread_costs_what_its_parts_cost() {
        let mut world = world(1);
        let part = |usage: Option<&str>| NewThread {
            creator: "ana@example.com".into(),
            main_thread: Some("T-0".into()),
            usage: usage.map(|u| u.parse().unwrap()),
            ..Default::default()
        };
        assert_eq!(world.thread_cost("T-0"), None);
        world.set_thread_usage("T-0", Some("1.10".parse().unwrap())).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let sub = world.add_thread(part(Some("2.20")), now, 1).unwrap();
        world.add_thread(part(None), now, 1).unwrap();
        assert_eq!(world.thread_cost("T-0").unwrap().wire.to_string(), "3.3");
        world.remove_thread(&sub).unwrap();
        assert_eq!(world.thread_cost("T-0").unwrap().wire.to_string(), "1.1");
        assert_eq!(world.sub_threads("T-0").len(), 1);
    }

    #[test]
    fn whoever_comes_back_has_the_same_id() {
        let mut world = world(0);
        let id = world.user("ana@example.com").unwrap().id.clone();
        world.change_user("ana@example.com", |u| u.active = false).unwrap();
        assert_eq!(world.add_member("Ana", "ana@example.com", Role::Admin, 1), id);
        world.change_user(&id, |u| u.email = "a@example.com".into()).unwrap();
        assert!(world.user("ana@example.com").is_none());
        assert_eq!(world.user("a@example.com").unwrap().id, id);
        assert_eq!(world.change_user("bo", |_| ()), Err(FakeError::NoUser("bo".into())));
    }
}
