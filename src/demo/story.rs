//! The story the demo plays: a team, sixty quiet days behind it, and a week in which things happen.
//!
//! The story is data. It says what happens when, in demo time; whoever plays it maps real time to that with the
//! [`DemoClock`] and lets the bridge watch. The same seed plays the same story.

mod script;

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use super::Now;
use super::change::Change;
use super::clock::DemoClock;
use super::model::Usd;
use super::seed::{self, SeedOptions};
use super::workspace::FakeWorkspace;
use super::world::FakeError;
use crate::domain::money::Micros;
use crate::domain::time::{SignedDuration, Timestamp, days_between, minus_days, plus_days, utc_day};
use jiff::civil::Date;

/// Quiet days before the story.
const HISTORY_DAYS: u16 = 60;
/// Threads from before the story.
const OLD_THREADS: usize = 40;
/// Outlasts any demo: days pass in seconds, and an hourly renewal would be all there is to see.
const TOKEN_TTL: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Days written ahead at once. More than this much of a jump in `due` is played bit by bit.
const DAYS_AHEAD: i64 = 400;

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When, in demo time.
    pub at: Timestamp,
    /// What a person would say: `Mon 12:06  bo starts "Port the parser to Rust"`. `None` for what nobody would mention.
    pub sentence: Option<String>,
    pub changes: Vec<Change>,
}

/// The story, as far as it has been told.
#[derive(Debug, Clone)]
pub struct Story {
    seed: u64,
    clock: DemoClock,
    written: VecDeque<Step>,
    next_day: i64,
}

impl Story {
    /// The limit of a daily budget over the whole workspace for which the story makes sense: ordinary days stay below
    /// half of it, the first day of the story passes 50, 80 and 100 percent one after another.
    pub const DAILY_BUDGET_USD: u32 = 150;
    /// Limits for single threads that the story passes.
    pub const THREAD_LIMITS_USD: [u32; 2] = [25, 100];

    pub fn new(seed: u64, clock: DemoClock) -> Self {
        Self { seed, clock, written: VecDeque::new(), next_day: 0 }
    }

    /// A month's limit that will not hold: what was spent so far, and three quarters of what is still to be expected.
    pub fn month_limit_usd(workspace: &FakeWorkspace, today: Date) -> i64 {
        let state = workspace.lock();
        let spent = |from: Date, to: Date| -> Micros {
            let mut sum = Micros::ZERO;
            let mut day = from;
            while day < to {
                sum += state.tenant.world.day(day).into_iter().flatten().map(|(_, usage)| usage.usd.micros).sum();
                day = plus_days(day, 1);
            }
            sum
        };
        let so_far = spent(today.first_of_month(), today);
        let usual = spent(plus_days(today, -28), today);
        let left = days_between(today, today.last_of_month()) + 1;
        (so_far.0 + usual.0 / 28 * left * 3 / 4) / Micros::PER_DOLLAR / 10 * 10
    }

    pub fn clock(&self) -> DemoClock {
        self.clock
    }

    /// The workspace as it is when the story begins. `now` is the fake's clock from here on: the demo clock's.
    pub fn workspace(&self, now: Now) -> Result<FakeWorkspace, FakeError> {
        let options = SeedOptions { seed: self.seed, ..SeedOptions::default() };
        let workspace = FakeWorkspace::seeded(&options, now);
        workspace.set_token_ttl(TOKEN_TTL);
        let team: Vec<_> = script::CAST.iter().filter(|p| p.joins.is_none()).collect();
        for person in &team {
            workspace.add_member(person.name, person.email, person.role);
        }
        let emails: Vec<String> = team.iter().map(|p| p.email.to_owned()).collect();
        let start = self.clock.start();
        {
            let mut state = workspace.lock();
            for back in 1..=i64::from(HISTORY_DAYS) {
                let date = minus_days(utc_day(start), back);
                for person in &team {
                    let usd = seed::ordinary(self.seed, person.number, date, person.usual_cents);
                    let models = seed::split_models(usd, true);
                    state.tenant.world.set_usage(date, person.email, Usd::from(usd), models)?;
                }
            }
            let old = SeedOptions { threads: OLD_THREADS, days: HISTORY_DAYS, ..options };
            seed::add_threads(&mut state.tenant.world, &old, &emails, start);
        }
        Ok(workspace)
    }

    /// Steps whose time has come since the last call, in order.
    pub fn due(&mut self, elapsed: Duration) -> Vec<Step> {
        let now = self.clock.demo_now(elapsed);
        self.write_until(now);
        let mut due = Vec::new();
        while self.written.front().is_some_and(|step| step.at <= now) {
            due.extend(self.written.pop_front());
        }
        due
    }

    /// How long after the beginning the next step is due.
    pub fn next_at(&mut self) -> Duration {
        while self.written.is_empty() {
            self.write_day();
        }
        self.written.front().map_or(Duration::MAX, |step| self.clock.elapsed_at(step.at))
    }

    /// Makes a step happen.
    pub fn apply(workspace: &FakeWorkspace, step: &Step) -> Result<Vec<Value>, FakeError> {
        step.changes.iter().map(|change| workspace.apply(change.clone())).collect()
    }

    fn write_until(&mut self, now: Timestamp) {
        for _ in 0..DAYS_AHEAD {
            if self.written.back().is_some_and(|step| step.at > now) {
                return;
            }
            self.write_day();
        }
    }

    fn write_day(&mut self) {
        self.written.extend(script::day(self.seed, utc_day(self.clock.start()), self.next_day));
        self.next_day += 1;
    }
}

#[cfg(test)]
mod tests;
