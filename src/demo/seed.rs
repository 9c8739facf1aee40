//! Made-up data from a seed.

use std::collections::BTreeMap;

use jiff::civil::{Date, Weekday};
use serde::Deserialize;

use super::model::{Model, NewThread, Repository, Role, Usd};
use super::rng::SplitMix;
use super::world::World;
use crate::domain::money::{Micros, split_exact};
use crate::domain::time::{Timestamp, minus_days, plus_days, start_of_utc_day, utc_day};

/// Models in the made-up usage, with their part of it in percent.
const MODELS: [(&str, i128); 2] = [("claude-opus-4-5", 70), ("gpt-5.1", 30)];
const VERBS: [&str; 6] = ["Fix", "Port", "Speed up", "Document", "Test", "Simplify"];
const THINGS: [&str; 6] = ["the parser", "the build", "login", "the importer", "search", "the report page"];
const REPOSITORIES: [&str; 4] = ["parser", "website", "importer", "tools"];
/// Every so many threads one was synced in the same instant as the one before it,
const TWIN: usize = 50;
/// one was made long before its first sync,
const BACKFILLED: usize = 97;
/// and one is a part of the one before it.
const PART: usize = 10;

/// How much of what to make up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedOptions {
    pub seed: u64,
    pub threads: usize,
    /// At least one where there are threads.
    pub members: usize,
    /// Days of usage and threads, ending yesterday; threads go on to this minute.
    pub days: u16,
    /// Whether models carry dollars: live answers do, the document doesn't say so.
    pub model_costs: bool,
}

/// Fills an empty world.
pub fn populate(world: &mut World, options: &SeedOptions, now: Timestamp) {
    let members = if options.threads > 0 { options.members.max(1) } else { options.members };
    let mut emails = Vec::with_capacity(members);
    for n in 0..members {
        let email = format!("member{}@example.com", n + 1);
        let role = if n == 0 { Role::Admin } else { Role::Member };
        world.add_member(&format!("Member {}", n + 1), &email, role, options.seed);
        emails.push(email);
    }
    let today = utc_day(now);
    for back in 1..=i64::from(options.days) {
        let date = minus_days(today, back);
        for (n, email) in emails.iter().enumerate() {
            let usual_cents = 300 + SplitMix::of(&[options.seed, 0x0ba5_e000, n as u64]).below(1_500);
            let usd = at_weekends(date, ordinary(options.seed, n as u64, date, usual_cents));
            let models = split_models(usd, options.model_costs);
            if usd > Micros::ZERO {
                // The member was added above, so this can't fail.
                let _ = world.set_usage(date, email, Usd::from(usd), models);
            }
        }
    }
    add_threads(world, options, &emails, now);
}

/// What a user who usually spends `usual_cents` spends on that day: a quarter more or less.
pub fn ordinary(seed: u64, user: u64, date: Date, usual_cents: u64) -> Micros {
    let percent = 75 + SplitMix::of(&[seed, 0x0da1_0000, user, day_number(date)]).below(51);
    Micros(i64::try_from(usual_cents * percent * 100).unwrap_or(0))
}

/// A day's spend of one user as models, summing up to it exactly.
pub fn split_models(usd: Micros, with_costs: bool) -> BTreeMap<String, Model> {
    let weights: Vec<i128> = MODELS.iter().map(|(_, weight)| *weight).collect();
    let parts = split_exact(usd, &weights).into_iter().zip(MODELS);
    let models = parts.filter(|(part, _)| *part > Micros::ZERO).map(|(part, (name, _))| {
        // Roughly what agents do: one call costs five cents, nearly all of it reading its own cache.
        let requests = u64::try_from(part.0 / 50_000).unwrap_or(0).max(1);
        let model = Model {
            requests,
            input: requests * 90,
            output: requests * 130,
            cache_read: requests * 19_000,
            cache_creation: requests * 600,
            usd: with_costs.then(|| Usd::from(part)),
        };
        (name.to_owned(), model)
    });
    models.collect()
}

/// A repository of the made-up organisation.
pub fn repository(name: &str) -> Repository {
    Repository { url: format!("https://git.example.com/acme/{name}"), dir: None }
}

/// Adds `options.threads` threads by these people, spread evenly over the days up to now.
pub fn add_threads(world: &mut World, options: &SeedOptions, emails: &[String], now: Timestamp) {
    let first = start_of_utc_day(minus_days(utc_day(now), i64::from(options.days.max(1)))).as_millisecond();
    let span = i128::from(now.as_millisecond() - first);
    let total = i128::try_from(options.threads).unwrap_or(1).max(1);
    let repositories: Vec<Repository> = REPOSITORIES.iter().map(|name| repository(name)).collect();
    let mut before: Option<String> = None;
    for n in 0..options.threads {
        let mut rng = SplitMix::of(&[options.seed, 0x007e_ad00, n as u64]);
        let position = if n % TWIN == 1 { n - 1 } else { n };
        let offset = i64::try_from(span * i128::try_from(position).unwrap_or(0) / total).unwrap_or(0);
        let synced = Timestamp::from_millisecond(first + offset).unwrap_or(now);
        let made =
            if n % BACKFILLED == BACKFILLED - 1 { start_of_utc_day(plus_days(utc_day(synced), -40)) } else { synced };
        let title = format!("{} {}", rng.pick(&VERBS).unwrap_or(&""), rng.pick(&THINGS).unwrap_or(&""));
        let thread = NewThread {
            id: Some(rng.thread_id(made)),
            title: Some(title),
            creator: rng.pick(emails).cloned().unwrap_or_default(),
            created_at: Some(made),
            updated_at: Some(synced),
            first_synced_at: Some(synced),
            main_thread: before.take().filter(|_| n % PART == PART - 1),
            repositories: rng.pick(&repositories).cloned().into_iter().collect(),
            messages: u32::try_from(rng.below(60)).unwrap_or(0),
            // Under five dollars, so that rules about dear threads have nothing to say.
            usage: Some(Usd::from(Micros(i64::try_from(10_000 * (5 + rng.below(200))).unwrap_or(0)))),
        };
        // Ids are random and creators known: neither can fail.
        before = world.add_thread(thread, now, options.seed).ok();
    }
}

fn at_weekends(date: Date, usd: Micros) -> Micros {
    if matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday) { Micros(usd.0 / 2) } else { usd }
}

fn day_number(date: Date) -> u64 {
    u64::try_from(start_of_utc_day(date).as_second() / 86_400).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::world::ThreadQuery;

    fn world(options: &SeedOptions) -> World {
        let mut world = World::default();
        populate(&mut world, options, "2026-11-22T10:00:00Z".parse().unwrap());
        world
    }

    #[test]
    fn the_same_seed_makes_the_same_world() {
        let options = SeedOptions { seed: 7, threads: 300, members: 5, days: 30, model_costs: true };
        let (a, b) = (world(&options), world(&options));
        let query = ThreadQuery { limit: 1_000, ..Default::default() };
        assert_eq!(format!("{:?}", a.page(&query)), format!("{:?}", b.page(&query)));
        assert_eq!(a.thread_count(), 300);
        assert!(a.page(&query).threads.iter().all(|t| a.thread_cost(&t.id).unwrap().micros < Micros(5_000_000)));
        let other = world(&SeedOptions { seed: 8, ..options });
        assert_ne!(a.thread_ids(), other.thread_ids());
    }

    #[test]
    fn history_ends_yesterday_and_models_sum_up() {
        let world = world(&SeedOptions { seed: 7, members: 5, days: 30, model_costs: true, ..Default::default() });
        let today: Date = "2026-11-22".parse().unwrap();
        assert!(world.day(today).is_none());
        assert!(world.day(minus_days(today, 31)).is_none());
        for back in 1..=30 {
            let day = world.day(minus_days(today, back)).unwrap();
            assert_eq!(day.len(), 5);
            for usage in day.values() {
                let sum: Micros = usage.models.values().map(|m| m.usd.as_ref().unwrap().micros).sum();
                assert_eq!(sum, usage.usd.micros);
            }
        }
    }
}
