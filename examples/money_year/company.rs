//! A company in virtual time: users with habits, three sources polled hourly, and everything that goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::backtest::Replay;
use ampbridge::domain::cycle::World;
use ampbridge::domain::event::Severity;
use ampbridge::domain::money::Micros;
use ampbridge::domain::rules::detector::is_weekend;
use ampbridge::domain::rules::{Rule, RuleSpec};
use ampbridge::domain::spend::{Basis, Scope, SpendRow};
use ampbridge::domain::time::{SignedDuration, plus, plus_days, start_of_utc_day};
use jiff::civil::{Date, date};

/// The first day with polls. The clocks change on 29 March and 25 October; days of spend are UTC days all the same.
const FIRST: Date = date(2026, 1, 5);
const SOURCES: [&str; 3] = ["acme", "claude", "files"];
/// The day everybody's price rises, and by how much.
const PRICE_DAY: i64 = 150;
const PRICE: f64 = 1.35;

pub struct Options {
    pub users: usize,
    pub days: i64,
    /// Days of history before.
    pub learned: i64,
    pub seed: u64,
}

#[derive(Debug, Clone)]
#[expect(dead_code, reason = "shown where a spike was missed")]
pub struct Spike {
    pub user: String,
    pub day: Date,
    pub factor: f64,
    pub usd: f64,
    pub found: bool,
}

/// What the company heard.
pub struct Told {
    pub messages: usize,
    pub messages_a_week: f64,
    /// Of severity info: for the digest.
    pub digest: usize,
    /// Ids that were told more than once.
    pub twice: usize,
    pub spikes: Vec<Spike>,
    /// Days somebody was told of without a spike.
    pub false_alarms: usize,
    /// Budgets passed at the end of the day or month that nobody was told of.
    pub budgets_missed: BTreeMap<String, Micros>,
    pub by_type: BTreeMap<String, usize>,
    pub polls: usize,
    pub kills: usize,
    pub outages: usize,
}

/// `SplitMix64`.
struct Rng(u64);

impl Rng {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }

    /// Normal, by the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

struct User {
    name: String,
    source: &'static str,
    level: f64,
    weekend: f64,
}

struct Company {
    rng: Rng,
    users: Vec<User>,
    replay: Replay,
    /// What each row is at last: user, day.
    truth: BTreeMap<(usize, Date), Micros>,
    spikes: Vec<Spike>,
    /// Hour until which a source is away.
    away: [i64; 3],
    told: Told,
}

/// Plays it all.
pub fn play(options: &Options, rules: Vec<(&str, Rule)>) -> Told {
    let mut company = Company::new(options, rules);
    company.learn(options.learned);
    for n in 0..options.days {
        company.day(n);
    }
    company.sum_up(options.days)
}

impl Company {
    fn new(options: &Options, rules: Vec<(&str, Rule)>) -> Self {
        let mut rng = Rng(options.seed);
        let users = (0..options.users).map(|n| User {
            name: format!("user-{n:03}"),
            source: SOURCES[n % SOURCES.len()],
            level: (1.8 + 0.9 * rng.normal()).exp(),
            weekend: if rng.unit() < 0.3 { 0.6 } else { 0.05 },
        });
        let users = users.collect();
        let sources: Vec<String> = SOURCES.iter().map(|s| (*s).to_owned()).collect();
        let spec = |(name, rule): (&str, Rule)| RuleSpec { name: name.to_owned(), sources: sources.clone(), rule };
        let rules = rules.into_iter().map(spec).collect();
        let world = World { bridge: "sim".to_owned(), sources: sources.clone(), rules, ..World::default() };
        Self {
            rng,
            users,
            replay: Replay::new(&world, |_| true),
            truth: BTreeMap::new(),
            spikes: Vec::new(),
            away: [0; 3],
            told: Told {
                messages: 0,
                messages_a_week: 0.0,
                digest: 0,
                twice: 0,
                spikes: Vec::new(),
                false_alarms: 0,
                budgets_missed: BTreeMap::new(),
                by_type: BTreeMap::new(),
                polls: 0,
                kills: 0,
                outages: 0,
            },
        }
    }

    /// History as the sources show it at the first look.
    fn learn(&mut self, days: i64) {
        let now = start_of_utc_day(FIRST);
        let mut rows: BTreeMap<&str, Vec<SpendRow>> = BTreeMap::new();
        for n in 0..self.users.len() {
            for back in 1..=days {
                let day = plus_days(FIRST, -back);
                let usd = self.usual(n, day, 0);
                self.truth.insert((n, day), Micros::from_estimate(usd));
                rows.entry(self.users[n].source).or_default().push(self.row(n, day, usd));
            }
        }
        for (source, rows) in rows {
            self.replay.book(source, &rows, now);
        }
        self.replay.evaluate(now);
        self.replay.forget_told();
    }

    fn usual(&mut self, n: usize, day: Date, number: i64) -> f64 {
        let noise = (0.35 * self.rng.normal()).exp();
        let user = &self.users[n];
        let weekday = if is_weekend(day) { user.weekend } else { 1.0 };
        user.level * weekday * noise * if number >= PRICE_DAY { PRICE } else { 1.0 }
    }

    fn row(&self, n: usize, day: Date, usd: f64) -> SpendRow {
        SpendRow {
            day,
            user: Some(self.users[n].name.clone()),
            model: Some(if n.is_multiple_of(2) { "big" } else { "small" }.to_owned()),
            dims: BTreeMap::new(),
            amount: Micros::from_estimate(usd),
            tokens: 0,
            basis: Basis::Billed,
            whole_user: true,
        }
    }

    fn day(&mut self, number: i64) {
        let day = plus_days(FIRST, number);
        let totals: Vec<f64> = (0..self.users.len()).map(|n| self.total(n, day, number)).collect();
        for hour in 0..24 {
            self.trouble(number * 24 + hour);
            // Most is spent between nine and six.
            #[expect(clippy::cast_precision_loss, reason = "hours")]
            let part = ((hour as f64 + 1.0 - 8.0) / 10.0).clamp(0.02, 1.0);
            self.poll(day, hour, number * 24 + hour, &totals, if hour == 23 { 1.0 } else { part });
        }
    }

    fn total(&mut self, n: usize, day: Date, number: i64) -> f64 {
        let usual = self.usual(n, day, number);
        let recently = self.spikes.iter().any(|s| s.user == self.users[n].name && plus_days(s.day, 10) > day);
        if recently || is_weekend(day) || self.rng.unit() >= 1.0 / 250.0 || self.users[n].level < 4.0 {
            return usual;
        }
        let factor = 5.0 + 10.0 * self.rng.unit();
        let usd = self.users[n].level * factor * if number >= PRICE_DAY { PRICE } else { 1.0 };
        self.spikes.push(Spike { user: self.users[n].name.clone(), day, factor, usd, found: false });
        usd
    }

    /// A source goes away for some hours now and then.
    fn trouble(&mut self, hour: i64) {
        for at in 0..SOURCES.len() {
            if self.away[at] <= hour && self.rng.unit() < 1.0 / 500.0 {
                #[expect(clippy::cast_possible_truncation, reason = "hours")]
                let hours = (2.0 + 20.0 * self.rng.unit()) as i64;
                self.away[at] = hour + hours;
                self.told.outages += 1;
            }
        }
    }

    fn poll(&mut self, day: Date, hour: i64, number: i64, totals: &[f64], part: f64) {
        let now = plus(start_of_utc_day(day), SignedDuration::from_mins(hour * 60 + 55));
        let mut brought: Vec<(&str, Vec<SpendRow>)> = Vec::new();
        for (at, source) in SOURCES.iter().enumerate() {
            if self.away[at] > number {
                continue;
            }
            let mut rows = Vec::new();
            for n in (at..self.users.len()).step_by(SOURCES.len()) {
                rows.push(self.row(n, day, totals[n] * part));
                self.truth.insert((n, day), Micros::from_estimate(totals[n]));
                rows.extend(self.earlier(n, day, hour));
            }
            brought.push((source, rows));
        }
        for (source, rows) in &brought {
            self.replay.book(source, rows, now);
            self.told.polls += 1;
        }
        // Killed before it is committed: planned again from what was there, a little later.
        if self.rng.unit() < 1.0 / 200.0 {
            let kept = self.replay.clone();
            self.replay.evaluate(now);
            self.replay = kept;
            self.told.kills += 1;
        }
        self.replay.evaluate(plus(now, SignedDuration::from_mins(1)));
    }

    /// The days before, as sources show them again; a few are corrected on the morning after.
    fn earlier(&mut self, n: usize, day: Date, hour: i64) -> Vec<SpendRow> {
        let mut rows = Vec::new();
        for back in 1..=3 {
            let before = plus_days(day, -back);
            let Some(known) = self.truth.get(&(n, before)).copied() else { continue };
            let mut usd = known.as_f64();
            if back == 1 && hour == 6 && self.rng.unit() < 0.02 {
                usd *= 0.9 + 0.15 * self.rng.unit();
                self.truth.insert((n, before), Micros::from_estimate(usd));
            }
            rows.push(self.row(n, before, usd));
        }
        rows
    }

    fn sum_up(mut self, days: i64) -> Told {
        let mut ids = BTreeSet::new();
        for stored in &self.replay.outcome.events {
            let event = &stored.event;
            self.told.twice += usize::from(!ids.insert(event.id.clone()));
            *self.told.by_type.entry(event.kind.clone()).or_default() += 1;
            if event.severity >= Severity::Warning {
                self.told.messages += 1;
            } else {
                self.told.digest += 1;
            }
        }
        let detected: BTreeSet<(String, Date)> = self
            .replay
            .outcome
            .detections
            .iter()
            .filter_map(|d| match &d.scope {
                Scope::User(id) => Some((id.clone(), d.day)),
                _ => None,
            })
            .collect();
        let is_spike: BTreeSet<(String, Date)> = self.spikes.iter().map(|s| (s.user.clone(), s.day)).collect();
        self.told.false_alarms = detected.difference(&is_spike).count();
        for spike in &mut self.spikes {
            spike.found = detected.contains(&(spike.user.clone(), spike.day));
        }
        self.told.spikes = std::mem::take(&mut self.spikes);
        self.told.budgets_missed = self.missed_budgets(days);
        #[expect(clippy::cast_precision_loss, reason = "counts")]
        let a_week = self.told.messages as f64 * 7.0 / days as f64;
        self.told.messages_a_week = a_week;
        self.told
    }

    /// Passed by what is known at last, on days that were over in time to be told.
    fn missed_budgets(&self, days: i64) -> BTreeMap<String, Micros> {
        let told: BTreeSet<(String, String)> = self
            .replay
            .outcome
            .events
            .iter()
            .filter(|e| e.event.kind == "budget.exceeded")
            .filter_map(|e| Some((e.event.subject.clone(), e.event.data.get("period_start")?.as_str()?.to_owned())))
            .collect();
        let limit = self.replay.rules().iter().find_map(|spec| match &spec.rule {
            Rule::Budget(rule) if spec.name == "person" => Some(rule.limit),
            _ => None,
        });
        let Some(limit) = limit else { return BTreeMap::new() };
        let range = FIRST..plus_days(FIRST, days - 2);
        self.truth
            .iter()
            .filter(|((_, day), usd)| range.contains(day) && **usd >= limit)
            .map(|((n, day), usd)| ((format!("user:{}", self.users[*n].name), day.to_string()), *usd))
            .filter(|(key, _)| !told.contains(key))
            .map(|((subject, day), usd)| (format!("{subject} {day}"), usd))
            .collect()
    }
}
