//! The spike detector: one scope's daily totals in, a judgement of one day out.
//!
//! Pure and deterministic: a fold over days. It works on active days (spend above zero) and on logarithms, because
//! spend is multiplicative: a quiet user and a busy one differ by a factor, and so do their spikes. The constants were
//! found on the development set described in `docs/spikes.md` (about 360 trials); the score is flat around them.

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};

use super::series;
use crate::domain::time::days_between;

/// Calendar days of history that may count: ten weeks hold enough weekends and few enough old habits.
pub const WINDOW_DAYS: i64 = 70;
/// Newest active days used: four working weeks or more.
const NEWEST: usize = 28;
/// Days below this part of the window's median are noise of an idle account.
const NEGLIGIBLE: f64 = 0.10;
/// With fewer active days nothing is said.
const LEAST_DAYS: usize = 3;
/// With fewer active days than this, or a first one less than so many days ago, a day must be four times the expected.
const YOUNG_DAYS: usize = 5;
const YOUNG_AGE: i64 = 10;
const RATIO: f64 = 2.0;
const YOUNG_RATIO: f64 = 4.0;
/// Weekends from which their difference is believed enough to be expected.
const WEEKENDS: usize = 4;
/// Part of yesterday's excess that is expected to go on (busy stretches), while yesterday is no more than so far back.
const CARRY: f64 = 0.15;
const CARRY_DAYS: i64 = 3;
/// Spread assumed before there is evidence (log units), and the weight of that assumption in days.
const PRIOR_SPREAD: f64 = 0.45;
const PRIOR_DAYS: f64 = 10.0;
/// No history is so regular that less spread than this is believed.
const LEAST_SPREAD: f64 = 0.2;
/// Weight of the size itself beside its improbability: of two equally improbable days the larger is the more urgent.
const SIZE_WEIGHT: f64 = 0.3;
/// A day counts as high in an episode from this multiple of the episode's base on.
pub const HIGH: f64 = 1.6;
/// Inside an episode only a day this many times its peak is news.
const ESCALATION: f64 = 2.0;
/// The third high active day makes a level.
const ADOPT_AFTER: usize = 3;
/// Active days within which an adopted level may prove to have been temporary.
const REVERT_WITHIN: usize = 8;
/// A fall is believed after so many active days in a row below the older ones, within so many calendar days.
const FALL_DAYS: usize = 5;
const FALL_WITHIN: i64 = 21;
/// Least fall, log units.
const LEAST_FALL: f64 = 0.35;
/// Scopes with at least this many active days tell whether a day is common to all, from this many scopes on.
const COMMON_DAYS: usize = 7;
pub const COMMON_SCOPES: usize = 6;
/// Scopes' worth of doubt in a common factor.
const COMMON_DOUBT: f64 = 6.0;

/// How readily the detector speaks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// Score from which a day alerts.
    pub z: f64,
    /// Least excess worth a word, US dollars.
    pub floor_usd: f64,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Self { z: 2.75, floor_usd: 5.0 }
    }
}

/// What is remembered of one scope.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Detector {
    /// First active day ever.
    first: Option<Date>,
    /// Active days that count as normal: day and ln(spend), oldest first; levels already shifted.
    #[serde(with = "series")]
    history: Vec<(Date, f64)>,
    /// All active days of the last two weeks as they were, spikes too.
    #[serde(with = "series", default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<(Date, f64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    episode: Option<Episode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adopted: Option<Adoption>,
}

/// A stretch of days far above the base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Episode {
    base: f64,
    peak: f64,
    #[serde(with = "series")]
    high: Vec<(Date, f64)>,
}

/// A new level taken over, with what to go back to if it does not last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Adoption {
    base: f64,
    #[serde(with = "series")]
    before: Vec<(Date, f64)>,
    #[serde(with = "series")]
    since: Vec<(Date, f64)>,
}

/// What to expect of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    /// Expected spend, US dollars.
    pub usd: f64,
    /// Spread in log units.
    pub spread: f64,
    /// Active days used.
    pub days: usize,
    /// The scope's level on a working day, US dollars.
    pub level_usd: f64,
    /// What a weekend day is expected to be of a working day, where this is one and enough is known.
    pub weekend: Option<f64>,
    /// The same weekday of the last two weeks was that high: a habit.
    pub weekly: bool,
}

/// From where on a day is news.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// With the common factor.
    pub expected: Expectation,
    /// Spend of a whole day that alerts.
    pub needed_usd: f64,
    /// The least spend that can alert: expected and the floor.
    pub least_usd: f64,
    /// How many times the expected is needed at least.
    pub ratio: f64,
    /// The running episode's peak, where there is one.
    pub peak: Option<f64>,
}

/// A day judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    pub expected: Expectation,
    pub score: f64,
    pub alert: bool,
    /// An alert inside an episode that was going on already: at least twice its peak.
    pub escalation: bool,
}

impl Detector {
    /// From where on `day` is news, where enough is known.
    pub fn bar(&self, day: Date, factor: f64, how: Sensitivity) -> Option<Bar> {
        Some(self.bar_over(self.expect(day)?, day, factor, how))
    }

    /// The same for what is already known to be expected.
    pub fn bar_over(&self, plain: Expectation, day: Date, factor: f64, how: Sensitivity) -> Bar {
        let expected = Expectation { usd: plain.usd * factor.exp(), ..plain };
        // score >= z, solved for ln(spend / expected).
        let d = (how.z + SIZE_WEIGHT * std::f64::consts::LN_2) / (1.0 / expected.spread + SIZE_WEIGHT);
        let young = expected.days < YOUNG_DAYS || self.first.is_none_or(|f| days_between(f, day) < YOUNG_AGE);
        let ratio = if young { YOUNG_RATIO } else { RATIO };
        let least_usd = expected.usd + how.floor_usd;
        let peak = self.episode.as_ref().map(|e| e.peak);
        let needed_usd =
            (expected.usd * d.exp()).max(ratio * expected.usd).max(least_usd).max(peak.map_or(0.0, |p| ESCALATION * p));
        Bar { expected, needed_usd, least_usd, ratio, peak }
    }

    /// Judges `usd` for `day` without remembering it.
    pub fn judge(&self, day: Date, usd: f64, factor: f64, how: Sensitivity) -> Option<Judgement> {
        if usd <= 0.0 {
            return None;
        }
        self.bar(day, factor, how).map(|bar| bar.judge(usd, bar.needed_usd))
    }

    /// Takes a finished day into the memory and says what it was.
    pub fn fold(&mut self, day: Date, usd: f64, factor: f64, how: Sensitivity) -> Option<Judgement> {
        let expected = self.expect(day);
        self.fold_over(expected, day, usd, factor, how)
    }

    /// The same for what is already known to be expected.
    pub fn fold_over(
        &mut self,
        expected: Option<Expectation>,
        day: Date,
        usd: f64,
        factor: f64,
        how: Sensitivity,
    ) -> Option<Judgement> {
        if usd <= 0.0 {
            return None;
        }
        self.first.get_or_insert(day);
        let y = series::rounded(usd.ln());
        let bar = expected.map(|expected| self.bar_over(expected, day, factor, how));
        let judged = bar.map(|bar| bar.judge(usd, bar.needed_usd));
        self.recent.retain(|(d, _)| days_between(*d, day) <= 14);
        self.recent.push((day, y));
        if let Some(episode) = &mut self.episode {
            if usd >= HIGH * episode.base {
                episode.peak = episode.peak.max(usd);
                episode.high.push((day, y));
                if episode.high.len() >= ADOPT_AFTER {
                    self.adopt();
                }
                return judged;
            }
            self.episode = None;
        } else if let Some(j) = judged.filter(|j| j.alert) {
            self.episode = Some(Episode { base: j.expected.usd, peak: usd, high: vec![(day, y)] });
            return judged;
        }
        self.history.push((day, y));
        self.follow_adoption(day, usd, y);
        self.follow_fall(day);
        self.history.retain(|(d, _)| days_between(*d, day) <= WINDOW_DAYS);
        judged
    }

    /// The running episode's base, where there is one: a day below 1.6 times this ends it.
    pub fn episode_base(&self) -> Option<f64> {
        self.episode.as_ref().map(|e| e.base)
    }

    /// The first day of the running episode.
    pub fn episode_since(&self) -> Option<Date> {
        self.episode.as_ref()?.high.first().map(|(day, _)| *day)
    }

    /// Active days that say something of a day: "learning until".
    pub fn days_known(&self, day: Date) -> usize {
        Window::within(&self.history, day).n
    }

    /// The last day with any spend.
    pub fn last_active(&self) -> Option<Date> {
        self.recent.last().or(self.history.last()).map(|(day, _)| *day)
    }

    /// Expected spend of an active day; `None` with fewer than three days of history.
    pub fn expect(&self, day: Date) -> Option<Expectation> {
        let window = Window::of(&self.history, day)?;
        let Window { days, values, n } = &window;
        let (days, values, n) = (&days[..*n], &values[..*n], *n);
        let (offset, weekends) = weekend_offset(days, values);
        let mut level = [0.0; NEWEST];
        for (at, (day, y)) in level.iter_mut().zip(days.iter().zip(values)) {
            *at = if is_weekend(*day) { y - offset } else { *y };
        }
        let level = &level[..n];
        let middle = median_of(level);
        // Rises are followed at once, falls slowly: what was usual a month ago is no reason to be alarmed.
        let centre = middle.max(median_of(&level[n.saturating_sub(7)..]));
        let spread = spread_of(level, middle);
        let mut e = centre;
        let weekend = (is_weekend(day) && weekends >= WEEKENDS).then_some(offset);
        e += weekend.unwrap_or(0.0);
        if days_between(days[n - 1], day) <= CARRY_DAYS {
            e += CARRY * (level[n - 1] - centre).clamp(0.0, spread);
        }
        let habit = self.weekly_habit(day).filter(|y| *y > e);
        Some(Expectation {
            usd: habit.unwrap_or(e).exp(),
            spread,
            days: n,
            level_usd: centre.exp(),
            weekend: weekend.map(f64::exp),
            weekly: habit.is_some(),
        })
    }

    /// The lower of the same weekday's spend one and two weeks ago, whatever it was called then: what happens every
    /// Monday is a habit from the third time on.
    fn weekly_habit(&self, day: Date) -> Option<f64> {
        let ago = |days: i64| self.recent.iter().find(|(d, _)| days_between(*d, day) == days).map(|(_, y)| *y);
        Some(ago(7)?.min(ago(14)?))
    }

    /// The high days become the level: older history is lifted to it.
    fn adopt(&mut self) {
        let Some(episode) = self.episode.take() else { return };
        let lift = median(episode.high.iter().map(|(_, y)| *y)) - episode.base.ln();
        let before = self.history.clone();
        for (_, y) in &mut self.history {
            *y = series::rounded(*y + lift);
        }
        self.history.extend(episode.high.iter().copied());
        self.adopted = Some(Adoption { base: episode.base, before, since: episode.high });
    }

    /// Two low active days in a row soon after an adoption: it was no level after all.
    fn follow_adoption(&mut self, day: Date, usd: f64, y: f64) {
        let Some(adopted) = &mut self.adopted else { return };
        adopted.since.push((day, y));
        let low = |(_, v): &(Date, f64)| v.exp() < HIGH * adopted.base;
        let count = adopted.since.len();
        if usd < HIGH * adopted.base && count >= 2 && adopted.since[count - 2..].iter().all(low) {
            let mut restored = adopted.before.clone();
            restored.extend(adopted.since.iter().copied().filter(|p| low(p)));
            self.history = restored;
            self.adopted = None;
        } else if count >= REVERT_WITHIN {
            self.adopted = None;
        }
    }

    /// A level that has fallen: five active days in a row well below the older ones shift those down.
    fn follow_fall(&mut self, day: Date) {
        let n = self.history.len();
        if self.episode.is_some() || n < 2 * FALL_DAYS {
            return;
        }
        if days_between(self.history[n - FALL_DAYS].0, day) > FALL_WITHIN {
            return;
        }
        let older_from = n.saturating_sub(FALL_DAYS + NEWEST);
        let older = median(self.history[older_from..n - FALL_DAYS].iter().map(|(_, y)| *y));
        // Most days are not that low; the spread is only looked at where all five are.
        let highest = self.history[n - FALL_DAYS..].iter().map(|(_, y)| *y).fold(f64::MIN, f64::max);
        if highest >= older - LEAST_FALL {
            return;
        }
        let spread = self.expect(crate::domain::time::plus_days(day, 1)).map_or(PRIOR_SPREAD, |e| e.spread);
        if highest < older - spread.max(LEAST_FALL) {
            let shift = median(self.history[n - FALL_DAYS..].iter().map(|(_, y)| *y)) - older;
            for (_, y) in &mut self.history[..n - FALL_DAYS] {
                *y = series::rounded(*y + shift);
            }
        }
    }
}

impl Expectation {
    /// How far a day's spend is from this (log units), where the history is long enough to say something about days in
    /// general.
    pub fn residual(&self, usd: f64) -> Option<f64> {
        (usd > 0.0 && self.days >= COMMON_DAYS).then(|| usd.ln() - self.usd.ln())
    }
}

impl Bar {
    /// Judges a day's spend, or the spend so far, against `needed`.
    pub fn judge(&self, usd: f64, needed: f64) -> Judgement {
        let d = (usd / self.expected.usd).ln();
        let score = d / self.expected.spread + SIZE_WEIGHT * (d - std::f64::consts::LN_2);
        let alert = usd >= needed;
        Judgement { expected: self.expected, score, alert, escalation: alert && self.peak.is_some() }
    }

    /// What the spend so far must reach when usually no more than `share` of a day is spent by now: never less than
    /// half a day's bar, nor than the floor above a whole day's expectation.
    pub fn needed_by(&self, share: f64) -> f64 {
        let part = self.needed_usd * share.clamp(0.5, 1.0);
        part.max(self.least_usd).max(if self.peak.is_some() { self.needed_usd } else { 0.0 })
    }
}

/// What a day has in common for all scopes (log units, never negative): the middle of their residuals, doubted while
/// they are few.
pub fn common_factor(residuals: &mut [f64]) -> f64 {
    let m = residuals.len();
    if m < COMMON_SCOPES {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of scopes")]
    let m = m as f64;
    median_mut(residuals).max(0.0) * m / (m + COMMON_DOUBT)
}

/// The active days that count, newest last, on the stack: this runs for every scope at every poll.
struct Window {
    days: [Date; NEWEST],
    values: [f64; NEWEST],
    n: usize,
}

impl Window {
    fn of(history: &[(Date, f64)], day: Date) -> Option<Self> {
        Some(Self::within(history, day)).filter(|window| window.n >= LEAST_DAYS)
    }

    fn within(history: &[(Date, f64)], day: Date) -> Self {
        let from = history.partition_point(|(d, _)| days_between(*d, day) > WINDOW_DAYS);
        let to = history.partition_point(|(d, _)| *d < day);
        let candidates = history.get(from..to).unwrap_or_default();
        let cut = median(candidates.iter().map(|(_, y)| *y)) + NEGLIGIBLE.ln();
        let mut window = Self { days: [day; NEWEST], values: [0.0; NEWEST], n: 0 };
        let newest = candidates.iter().rev().filter(|(_, y)| *y >= cut).take(NEWEST);
        for (d, y) in newest {
            window.days[window.n] = *d;
            window.values[window.n] = *y;
            window.n += 1;
        }
        window.days[..window.n].reverse();
        window.values[..window.n].reverse();
        window
    }
}

/// How weekends differ (log units, shrunk while there are few), and how many there are.
fn weekend_offset(days: &[Date], values: &[f64]) -> (f64, usize) {
    let (mut weekend, mut k) = ([0.0; NEWEST], 0);
    let (mut working, mut w) = ([0.0; NEWEST], 0);
    for (day, y) in days.iter().zip(values) {
        if is_weekend(*day) {
            weekend[k] = *y;
            k += 1;
        } else {
            working[w] = *y;
            w += 1;
        }
    }
    if k < 2 || w < 3 {
        return (0.0, k);
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 28")]
    let shrink = k as f64 / (k as f64 + 2.0);
    (((median_mut(&mut weekend[..k]) - median_mut(&mut working[..w])) * shrink).clamp(-1.5, 0.5), k)
}

/// Spread around the middle, clipped against outliers, pulled towards the prior while there is little evidence.
fn spread_of(level: &[f64], middle: f64) -> f64 {
    let mut off = [0.0; NEWEST];
    for (at, v) in off.iter_mut().zip(level) {
        *at = (v - middle).abs();
    }
    // 1.4826 makes the median deviation of normal noise its standard deviation.
    let clip = 2.5 * (1.4826 * median_mut(&mut off[..level.len()])).max(0.2);
    #[expect(clippy::cast_precision_loss, reason = "at most 28")]
    let n = level.len() as f64;
    let squares: f64 = level.iter().map(|v| (v - middle).clamp(-clip, clip).powi(2)).sum();
    ((squares + PRIOR_DAYS * PRIOR_SPREAD.powi(2)) / (n + PRIOR_DAYS)).sqrt().max(LEAST_SPREAD) * (1.0 + 1.0 / n).sqrt()
}

pub fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// Median; 0 for nothing.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut buffer: Vec<f64> = values.collect();
    median_mut(&mut buffer)
}

fn median_of(values: &[f64]) -> f64 {
    let mut buffer = [0.0; NEWEST];
    buffer[..values.len()].copy_from_slice(values);
    median_mut(&mut buffer[..values.len()])
}

/// Median of values whose order does not matter.
fn median_mut(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (below, upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return *upper;
    }
    f64::midpoint(below.iter().copied().fold(f64::MIN, f64::max), *upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn steady(level: f64, days: i32) -> (Detector, Date) {
        let mut detector = Detector::default();
        let mut day = date(2026, 9, 1);
        for i in 0..days {
            // A little regular noise.
            let wobble = 1.0 + 0.1 * (f64::from(i * 7 % 5) - 2.0) / 2.0;
            detector.fold(day, level * wobble, 0.0, Sensitivity::default());
            day = crate::domain::time::plus_days(day, 1);
        }
        (detector, day)
    }

    #[test]
    fn ten_times_the_usual_alerts_and_a_busy_day_does_not() {
        let (detector, day) = steady(10.0, 40);
        assert!(detector.judge(day, 100.0, 0.0, Sensitivity::default()).unwrap().alert);
        assert!(!detector.judge(day, 18.0, 0.0, Sensitivity::default()).unwrap().alert);
    }

    #[test]
    fn cents_never_alert() {
        let (detector, day) = steady(0.01, 40);
        assert!(!detector.judge(day, 1.0, 0.0, Sensitivity::default()).unwrap().alert);
    }

    #[test]
    fn two_days_of_history_say_nothing() {
        let (detector, day) = steady(10.0, 2);
        assert_eq!(detector.judge(day, 1000.0, 0.0, Sensitivity::default()), None);
    }

    #[test]
    fn a_new_level_alerts_once_and_is_learned() {
        let (mut detector, mut day) = steady(10.0, 40);
        let mut alerts = 0;
        for _ in 0..20 {
            alerts += u32::from(detector.fold(day, 60.0, 0.0, Sensitivity::default()).is_some_and(|j| j.alert));
            day = crate::domain::time::plus_days(day, 1);
        }
        assert_eq!(alerts, 1);
        let learned = detector.expect(day).unwrap().usd;
        assert!((50.0..75.0).contains(&learned), "{learned}");
    }

    #[test]
    fn scaling_all_money_scales_the_expectation() {
        let (small, day) = steady(10.0, 40);
        let (large, _) = steady(1000.0, 40);
        let (a, b) = (small.expect(day).unwrap(), large.expect(day).unwrap());
        assert!((b.usd / a.usd - 100.0).abs() < 1e-6 && (a.spread - b.spread).abs() < 1e-9);
    }
}
