//! The detectors of all scopes of one rule: learned up to the last closed day, and from there through the open days.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Candidate, DAYS_NEEDED, SpikeRule, share};
use crate::domain::money::Micros;
use crate::domain::rules::detector::{Bar, COMMON_SCOPES, Detector, Expectation, common_factor};
use crate::domain::rules::scene::Scene;
use crate::domain::spend::{Index, SETTLING_DAYS, Scope, Sum};
use crate::domain::time::{days_between, minus_days, plus_days, utc_day};

/// Days the workspace's totals are kept for, to know its usual month.
const TOTALS_DAYS: i64 = 35;
/// Days of totals from which a usual month is known, and how many of them make it.
const MONTH_LEAST: usize = 7;
const MONTH_DAYS: usize = 28;
/// The open day's common factor is the mean of as many finished days'.
const FACTOR_DAYS: usize = 2;

/// What one rule has learned of one group of sources. A cache of the ledger.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// What it was learned for: another cut or sensitivity means learning anew.
    pub print: String,
    /// All days up to and including this one are folded in.
    pub through: Option<Date>,
    pub detectors: BTreeMap<Scope, Detector>,
    /// Common factors of the last days.
    pub factors: BTreeMap<Date, f64>,
    /// Spend of all scopes together.
    pub totals: BTreeMap<Date, Micros>,
}

/// By how much nearly everybody spent more on a day; 0 where they did not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SharedRise {
    pub day: Date,
    /// Log units.
    pub factor: f64,
    pub actual: Micros,
    pub expected: Micros,
    /// Scopes it was seen in.
    pub scopes: usize,
}

pub struct Watch<'a> {
    rule: &'a SpikeRule,
    scene: &'a Scene<'a>,
    pub today: Date,
    anew: bool,
    /// What was learned before, by scope; what is learned now is in `detectors`.
    before: Option<&'a Learned>,
    index: Index<'a>,
    detectors: Vec<Detector>,
    /// Through the last closed day, if any was folded in.
    closed: Option<Learned>,
    factors: BTreeMap<Date, f64>,
    totals: BTreeMap<Date, Micros>,
    rises: Vec<SharedRise>,
    /// Sums by number of the days that are not closed.
    open: BTreeMap<Date, Vec<Sum>>,
    /// Numbers by scope, where they were asked for.
    named: BTreeMap<Scope, usize>,
    pub lacks: Vec<(String, Date)>,
}

impl<'a> Watch<'a> {
    pub fn new(rule: &'a SpikeRule, learned: Option<&'a Learned>, scene: &'a Scene<'a>, today: Date) -> Self {
        let print = print_of(rule, scene);
        let before = learned.filter(|l| l.print == print && l.through.is_some());
        Self {
            rule,
            scene,
            today,
            anew: before.is_none(),
            before,
            index: Index::new(scene.ledger, scene.cut(&rule.per)),
            detectors: Vec::new(),
            closed: None,
            factors: before.map(|l| l.factors.clone()).unwrap_or_default(),
            totals: before.map(|l| l.totals.clone()).unwrap_or_default(),
            rises: Vec::new(),
            open: BTreeMap::new(),
            named: BTreeMap::new(),
            lacks: Vec::new(),
        }
    }

    /// Whether nothing that was learned can be used.
    pub fn learns_anew(&self) -> bool {
        self.anew
    }

    /// The first day still to be folded in.
    pub fn needs_from(&self) -> Date {
        let through = self.before.and_then(|l| l.through);
        let oldest = minus_days(self.today, DAYS_NEEDED);
        through.map_or(oldest, |day| plus_days(day, 1).max(oldest))
    }

    /// Takes in the days that no longer change.
    pub fn fold_closed_days(&mut self) {
        let last = minus_days(self.today, SETTLING_DAYS + 1);
        let from = self.needs_from();
        if from > last {
            return;
        }
        let mut day = from;
        while day <= last {
            self.fold(day);
            day = plus_days(day, 1);
        }
        let folded = self.detectors.iter().enumerate();
        let mut detectors: BTreeMap<Scope, Detector> =
            folded.map(|(number, detector)| (self.index.scope(number), detector.clone())).collect();
        for (scope, detector) in self.before.iter().flat_map(|l| &l.detectors) {
            if !detectors.contains_key(scope) {
                detectors.insert(scope.clone(), detector.clone());
            }
        }
        // Nobody who was silent for the whole window can be judged by it.
        let stale = |d: &Detector| d.last_active().is_none_or(|day| days_between(day, last) > DAYS_NEEDED);
        detectors.retain(|_, d| !stale(d));
        self.factors.retain(|day, _| days_between(*day, last) <= SETTLING_DAYS);
        self.totals.retain(|day, _| days_between(*day, last) <= TOTALS_DAYS);
        self.closed = Some(Learned {
            print: print_of(self.rule, self.scene),
            through: Some(last),
            detectors,
            factors: self.factors.clone(),
            totals: self.totals.clone(),
        });
        self.rises.clear();
    }

    /// Judges the days that may still change: the finished ones as wholes, the open one by what is there so far.
    pub(super) fn judge_open_days(&mut self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let mut day = minus_days(self.today, SETTLING_DAYS);
        while day < self.today {
            candidates.extend(self.fold(day));
            day = plus_days(day, 1);
        }
        candidates.extend(self.judge_today());
        candidates
    }

    /// Lets scopes be asked for by name.
    pub fn name_scopes(&mut self) {
        self.named = (0..self.index.len()).map(|number| (self.index.scope(number), number)).collect();
    }

    /// What was learned, if anything was.
    pub fn learned(self) -> Option<Learned> {
        self.closed
    }

    /// Number of scopes with spend on a day that is not closed.
    pub fn active_on(&self, day: Date) -> usize {
        self.open.get(&day).map_or(0, |sums| sums.iter().filter(|s| s.amount > Micros::ZERO).count())
    }

    /// Spend of all scopes together on a finished day.
    pub fn total(&self, day: Date) -> Option<Micros> {
        self.totals.get(&day).copied()
    }

    /// Finished days that are not closed, with what they had in common, where enough scopes tell.
    pub fn shared_rises(&self) -> &[SharedRise] {
        &self.rises
    }

    /// The scope's detector, folded through yesterday.
    pub fn detector(&self, scope: &Scope) -> Option<&Detector> {
        let here = self.named.get(scope).and_then(|number| self.detectors.get(*number));
        here.or_else(|| self.before.and_then(|l| l.detectors.get(scope)))
    }

    /// The scope's spend on the days that are not closed.
    pub fn open_days(&self, scope: &Scope) -> BTreeMap<Date, Sum> {
        let number = self.named.get(scope);
        let of = |sums: &Vec<Sum>| number.and_then(|n| sums.get(*n)).copied().unwrap_or_default();
        self.open.iter().map(|(day, sums)| (*day, of(sums))).filter(|(_, sum)| sum.amount > Micros::ZERO).collect()
    }

    /// What all scopes together usually spend in a month, once a week is known.
    pub fn usual_month(&self) -> Option<Micros> {
        let days: Vec<i64> = self.totals.values().rev().take(MONTH_DAYS).map(|t| t.0).collect();
        if days.len() < MONTH_LEAST {
            return None;
        }
        let sum: i128 = days.iter().map(|d| i128::from(*d)).sum();
        i64::try_from(sum * 30 / i128::try_from(days.len()).unwrap_or(1)).ok().map(Micros)
    }

    /// The common factor the open day is judged with.
    pub fn factor_today(&self) -> f64 {
        let last: Vec<f64> = self.factors.range(..self.today).rev().take(FACTOR_DAYS).map(|(_, f)| *f).collect();
        #[expect(clippy::cast_precision_loss, reason = "two at most")]
        let n = last.len().max(1) as f64;
        last.iter().sum::<f64>() / n
    }

    /// Takes a finished day of all scopes in, and says which are news.
    fn fold(&mut self, day: Date) -> Vec<Candidate> {
        let mut sums = Vec::new();
        self.index.add(day, &mut sums);
        self.meet_new_scopes();
        if sums.iter().any(|s| s.amount > Micros::ZERO) || self.scene.knows(day) {
            self.totals.insert(day, sums.iter().map(|s| s.amount).sum());
        }
        let usd: Vec<f64> = sums.iter().map(|s| s.amount.as_f64()).collect();
        let expected: Vec<Option<Expectation>> = usd
            .iter()
            .enumerate()
            .map(|(number, usd)| (*usd > 0.0).then(|| self.detectors[number].expect(day)).flatten())
            .collect();
        let mut residuals: Vec<f64> =
            expected.iter().zip(&usd).filter_map(|(expected, usd)| expected.as_ref()?.residual(*usd)).collect();
        let factor = common_factor(&mut residuals);
        self.factors.insert(day, factor);
        if residuals.len() >= COMMON_SCOPES {
            self.note_rise(day, factor, residuals.len(), &sums, &expected);
        }
        let mut news = Vec::new();
        for (number, usd) in usd.iter().enumerate().filter(|(_, usd)| **usd > 0.0) {
            let how = self.rule.sensitivity;
            let since = self.detectors[number].episode_since();
            let judged = self.detectors[number].fold_over(expected[number], day, *usd, factor, how);
            if let Some(judged) = judged.filter(|j| j.alert) {
                let since = since.filter(|_| judged.escalation).unwrap_or(day);
                news.push(Candidate { scope: self.index.scope(number), day, sum: sums[number], judged, since });
            }
        }
        if days_between(day, self.today) <= SETTLING_DAYS {
            self.open.insert(day, sums);
        }
        news
    }

    fn judge_today(&mut self) -> Vec<Candidate> {
        let (today, how) = (self.today, self.rule.sensitivity);
        let mut sums = Vec::new();
        self.index.add(today, &mut sums);
        self.meet_new_scopes();
        let factor = self.factor_today();
        let mut news = Vec::new();
        for (number, sum) in sums.iter().enumerate() {
            let usd = sum.amount.as_f64();
            // Nothing below the floor can be above an expectation by the floor.
            if usd < how.floor_usd || usd <= 0.0 {
                continue;
            }
            let Some(bar) = self.detectors[number].bar(today, factor, how) else { continue };
            let mut needed = bar.needed_usd;
            if usd < needed && usd >= bar.needed_by(0.0) && utc_day(self.scene.now) == today {
                let scope = self.index.scope(number);
                needed = bar.needed_by(self.usual_share(&scope));
            }
            let judged = bar.judge(usd, needed);
            if judged.alert {
                let since = self.detectors[number].episode_since().filter(|_| judged.escalation).unwrap_or(today);
                news.push(Candidate { scope: self.index.scope(number), day: today, sum: *sum, judged, since });
            }
        }
        self.open.insert(today, sums);
        news
    }

    /// The part of a day that is usually spent by now; 1 where that is not known.
    fn usual_share(&mut self, scope: &Scope) -> f64 {
        self.lacks.extend(self.scene.lacking(minus_days(self.today, share::DAYS)));
        share::usual_share(self.scene, &self.rule.per, scope, self.today)
    }

    fn note_rise(&mut self, day: Date, factor: f64, scopes: usize, sums: &[Sum], expected: &[Option<Expectation>]) {
        let judged = || sums.iter().zip(expected).filter_map(|(sum, e)| Some((sum, e.as_ref()?)));
        self.rises.push(SharedRise {
            day,
            factor,
            actual: judged().map(|(sum, _)| sum.amount).sum(),
            expected: judged().map(|(_, e)| Micros::from_estimate(e.usd)).sum(),
            scopes,
        });
    }

    /// Detectors for scopes that appeared, with what was learned of them.
    fn meet_new_scopes(&mut self) {
        for number in self.detectors.len()..self.index.len() {
            let known = self.before.and_then(|l| l.detectors.get(&self.index.scope(number)));
            self.detectors.push(known.cloned().unwrap_or_default());
        }
    }
}

/// What a rule learns for. Groups by their members: someone who joins changes a group's history.
fn print_of(rule: &SpikeRule, scene: &Scene<'_>) -> String {
    let how = rule.sensitivity;
    let groups =
        if rule.per == crate::domain::spend::Per::Group { format!(" {:?}", scene.groups.0) } else { String::new() };
    let generation: u32 = scene.status.values().map(|s| s.generation).sum();
    // Another source, or another collection of one, is another history.
    let more: usize = scene.status.values().map(|s| s.edition().1 - 1).sum();
    let more = if more == 0 { String::new() } else { format!("+{more}") };
    let unread = scene.unread();
    let without = if unread.is_empty() { String::new() } else { format!(" without {}", unread.join("+")) };
    format!("{} z{} floor{} of{generation}{more}{groups}{without}", rule.per, how.z, how.floor_usd)
}

/// What a detector thinks of a scope's day.
#[derive(Debug, Clone)]
pub struct Opinion {
    pub day: Date,
    pub actual: Sum,
    /// `None` with too little history.
    pub bar: Option<Bar>,
    /// Log units: what the day has in common for all.
    pub factor: f64,
    /// Base of the episode that was going on.
    pub episode: Option<f64>,
    /// Active days known before.
    pub history: usize,
}

/// Opinions of a scope's days `[from, to]`, learned from the ledger alone.
pub fn opinions(rule: &SpikeRule, scene: &Scene<'_>, scope: &Scope, from: Date, to: Date) -> Vec<Opinion> {
    let mut watch = Watch::new(rule, None, scene, plus_days(to, 1));
    let today = scene.today();
    let mut opinions = Vec::new();
    let mut day = minus_days(from, DAYS_NEEDED);
    while day <= to {
        watch.name_scopes();
        let before = watch.detector(scope).cloned().unwrap_or_default();
        watch.today = day;
        let expected_factor = watch.factor_today();
        watch.today = plus_days(to, 1);
        watch.fold(day);
        if day >= from {
            let factor = if day >= today { expected_factor } else { watch.factors.get(&day).copied().unwrap_or(0.0) };
            let actual = scene.ledger.sum_of(scope, scene.cut(&rule.per), day, plus_days(day, 1));
            opinions.push(Opinion {
                day,
                actual,
                bar: before.bar(day, factor, rule.sensitivity),
                factor,
                episode: before.episode_base(),
                history: before.days_known(day),
            });
        }
        day = plus_days(day, 1);
    }
    opinions
}
