//! The collections of a workspace, and how often each is looked at.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::collection::{CollectionSpec, Deletes, EventNames, Role, UpdateRule};
use crate::domain::roster;
use crate::source::{Collection, Schedule};

use super::{DAILY_USAGE, MEMBER_LIST, MESSAGES, THREAD_USAGE, THREADS};

/// What is asked for thread by thread, with the calls an hour that each may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct SingleThreads {
    pub costs: Option<u32>,
    pub messages: Option<u32>,
}

/// The collections of one workspace, looked at in multiples of `every`.
pub(super) fn collections(
    source: &str,
    fingerprint: &str,
    host: &str,
    every: Duration,
    single: SingleThreads,
) -> Vec<Collection> {
    let spec = |name: &str, role, noun: &str| CollectionSpec {
        source: source.to_owned(),
        name: name.to_owned(),
        role,
        fingerprint: fingerprint.to_owned(),
        host: Some(host.to_owned()),
        noun: noun.to_owned(),
        ..CollectionSpec::default()
    };
    let times = |n: u32| every.saturating_mul(n);
    let threads = CollectionSpec {
        events: EventNames {
            created: Some("thread.created".to_owned()),
            updated: vec![update(None, Some("thread.updated"))],
            deleted: Some("thread.deleted".to_owned()),
            ..EventNames::default()
        },
        deletes: Deletes::TwoSweeps,
        followed_by: single.messages.map(|_| MESSAGES.to_owned()),
        ..spec(THREADS, Role::Record, "thread")
    };
    let members = CollectionSpec {
        events: EventNames {
            created: Some("member.added".to_owned()),
            updated: vec![update(Some("role"), Some("member.role_changed")), update(None, None)],
            deleted: Some("member.removed".to_owned()),
            ..EventNames::default()
        },
        deletes: Deletes::TwoSweeps,
        ..spec(MEMBER_LIST, Role::Record, "member")
    };
    let full = |full| Schedule { head: None, hot: None, full };
    let mut collections = vec![
        Collection {
            spec: Arc::new(threads),
            schedule: Schedule { head: Some(times(1)), hot: Some(times(15)), full: times(1440) },
            calls_per_day: Some(calls_a_day(times(1)) + calls_a_day(times(15)) + 1),
            calls_note: "at least; one more for each 100 threads of the last week in every recent look, and for each \
                         100 threads there are in every full one"
                .to_owned(),
        },
        Collection {
            spec: Arc::new(members),
            schedule: full(every),
            calls_per_day: Some(calls_a_day(every)),
            calls_note: "one a look".to_owned(),
        },
        Collection {
            spec: Arc::new(spec(DAILY_USAGE, Role::Spend, "day")),
            schedule: full(every),
            calls_per_day: Some(calls_a_day(every)),
            calls_note: "one a look".to_owned(),
        },
    ];
    collections.extend(of_single_threads(spec, every, single));
    collections
}

/// What is asked for thread by thread.
fn of_single_threads(
    spec: impl Fn(&str, Role, &str) -> CollectionSpec,
    every: Duration,
    single: SingleThreads,
) -> impl Iterator<Item = Collection> {
    let asked = |spec: CollectionSpec, calls_per_hour: u32, note: String| Collection {
        spec: Arc::new(spec),
        schedule: Schedule { head: None, hot: None, full: every },
        calls_per_day: Some(u64::from(calls_per_hour) * 24),
        calls_note: note,
    };
    let costs = single.costs.map(|calls| {
        let note = format!(
            "at most: one for each thread that was worked on, and with half of them the threads of the last week again, \
             hourly as far as they go; besides, up to {} at the first look and in every `once`",
            roster::ROUND
        );
        asked(spec(THREAD_USAGE, Role::Cost, "thread"), calls, note)
    });
    let messages = single.messages.map(|calls| {
        let messages = CollectionSpec {
            events: EventNames { updated: vec![update(None, Some("thread.updated"))], ..EventNames::default() },
            deletes: Deletes::Never,
            one_by_one: true,
            ..spec(MESSAGES, Role::Record, "thread")
        };
        asked(messages, calls, "at most; one for each 100 messages of each thread that was worked on".to_owned())
    });
    costs.into_iter().chain(messages)
}

fn update(field: Option<&str>, event: Option<&str>) -> UpdateRule {
    UpdateRule { field: field.map(str::to_owned), event: event.map(str::to_owned), ..UpdateRule::default() }
}

fn calls_a_day(interval: Duration) -> u64 {
    let looks = 86_400_000 / interval.as_millis().max(1);
    u64::try_from(looks).unwrap_or(u64::MAX)
}
