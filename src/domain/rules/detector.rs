//! The spike detector: one scope's daily totals in, a judgement of one day out.
//!
//! Pure and deterministic: a fold over days. It works on active days (spend above zero) and on logarithms, because
//! spend is multiplicative: a quiet user and a busy one differ by a factor, and so do their spikes. The constants were
//! found on the development set described in `docs/spikes.md`; the score is flat around them.

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};

use crate::domain::time::days_between;

/// Calendar days of history that may count.
const WINDOW_DAYS: i64 = 70;
/// Newest active days used.
const NEWEST: usize = 28;
/// Days below this part of the window's median are noise of an idle account.
const NEGLIGIBLE: f64 = 0.10;
/// Spread assumed before there is evidence (log units), and the weight of that assumption in days.
const PRIOR_SPREAD: f64 = 0.45;
const PRIOR_DAYS: f64 = 10.0;
/// No history is so regular that less spread than this is believed.
const LEAST_SPREAD: f64 = 0.2;
/// A day counts as high in an episode from this multiple of the episode's base on.
const HIGH: f64 = 1.6;
/// Inside an episode only a day this many times its peak is news.
const ESCALATION: f64 = 2.0;
/// The third high active day makes a level.
const ADOPT_AFTER: usize = 3;
/// Active days within which an adopted level may prove to have been temporary.
const REVERT_WITHIN: usize = 8;

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
    history: Vec<(Date, f64)>,
    episode: Option<Episode>,
    adopted: Option<Adoption>,
}

/// A stretch of days far above the base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Episode {
    base: f64,
    peak: f64,
    high: Vec<(Date, f64)>,
}

/// A new level taken over, with what to go back to if it does not last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Adoption {
    base: f64,
    before: Vec<(Date, f64)>,
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
}

/// A day judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    pub expected: Expectation,
    pub score: f64,
    pub alert: bool,
    /// Inside an episode that was going on already.
    pub in_episode: bool,
}

impl Detector {
    /// Judges `usd` for `day` without remembering it: the open day as it grows.
    pub fn judge(&self, day: Date, usd: f64, factor: f64, how: Sensitivity) -> Option<Judgement> {
        if usd <= 0.0 {
            return None;
        }
        let expected = self.expect(day)?;
        let expected = Expectation { usd: expected.usd * factor.exp(), ..expected };
        let base = self.episode.as_ref().map_or(expected.usd, |e| e.base * factor.exp());
        let d = (usd / expected.usd).ln();
        let score = d / expected.spread + 0.3 * (d - std::f64::consts::LN_2);
        let young = expected.days < 5 || self.first.is_none_or(|f| days_between(f, day) < 10);
        let ratio_needed = if young { 4.0 } else { 2.0 };
        let escalates = self.episode.as_ref().is_none_or(|e| usd >= ESCALATION * e.peak);
        let alert =
            score >= how.z && usd >= ratio_needed * expected.usd && usd - expected.usd >= how.floor_usd && escalates;
        Some(Judgement { expected, score, alert, in_episode: self.episode.is_some() && usd >= HIGH * base })
    }

    /// Takes a finished day into the memory and says what it was.
    pub fn fold(&mut self, day: Date, usd: f64, factor: f64, how: Sensitivity) -> Option<Judgement> {
        if usd <= 0.0 {
            return None;
        }
        self.first.get_or_insert(day);
        let y = usd.ln();
        let judged = self.judge(day, usd, factor, how);
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

    /// Days of memory, for "learning until".
    pub fn days_known(&self) -> usize {
        self.history.len()
    }

    /// Expected spend of an active day; `None` with fewer than three days of history.
    pub fn expect(&self, day: Date) -> Option<Expectation> {
        let window: Vec<(Date, f64)> =
            self.history.iter().copied().filter(|(d, _)| *d < day && days_between(*d, day) <= WINDOW_DAYS).collect();
        if window.is_empty() {
            return None;
        }
        let cut = median(window.iter().map(|(_, y)| *y)) + NEGLIGIBLE.ln();
        let mut days: Vec<(Date, f64)> = window.into_iter().filter(|(_, y)| *y >= cut).collect();
        if days.len() > NEWEST {
            days.drain(..days.len() - NEWEST);
        }
        let n = days.len();
        if n < 3 {
            return None;
        }
        let (offset, weekends) = weekend_offset(&days);
        let level: Vec<f64> = days.iter().map(|(d, y)| if is_weekend(*d) { y - offset } else { *y }).collect();
        let middle = median(level.iter().copied());
        let recent = median(level[n.saturating_sub(7)..].iter().copied());
        let centre = middle.max(recent);
        let spread = spread_of(&level, middle);
        let mut e = centre;
        if is_weekend(day) && weekends >= 4 {
            e += offset;
        }
        if days_between(days[n - 1].0, day) <= 3 {
            e += 0.15 * (level[n - 1] - centre).clamp(0.0, spread);
        }
        Some(Expectation { usd: e.exp(), spread, days: n })
    }

    /// The high days become the level: older history is lifted to it.
    fn adopt(&mut self) {
        let Some(episode) = self.episode.take() else { return };
        let lift = median(episode.high.iter().map(|(_, y)| *y)) - episode.base.ln();
        let before = self.history.clone();
        for (_, y) in &mut self.history {
            *y += lift;
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
        if self.episode.is_some() || n < 10 {
            return;
        }
        let recent: Vec<f64> = self.history[n - 5..].iter().map(|(_, y)| *y).collect();
        if days_between(self.history[n - 5].0, day) > 21 {
            return;
        }
        let older_from = n.saturating_sub(5 + NEWEST);
        let older = median(self.history[older_from..n - 5].iter().map(|(_, y)| *y));
        let spread = self.expect(crate::domain::time::plus_days(day, 1)).map_or(PRIOR_SPREAD, |e| e.spread);
        let bar = older - spread.max(0.35);
        if recent.iter().all(|y| *y < bar) {
            let shift = median(recent.iter().copied()) - older;
            for (_, y) in &mut self.history[..n - 5] {
                *y += shift;
            }
        }
    }
}

/// How weekends differ (log units, shrunk while there are few), and how many there are.
fn weekend_offset(days: &[(Date, f64)]) -> (f64, usize) {
    let weekend: Vec<f64> = days.iter().filter(|(d, _)| is_weekend(*d)).map(|(_, y)| *y).collect();
    let workdays: Vec<f64> = days.iter().filter(|(d, _)| !is_weekend(*d)).map(|(_, y)| *y).collect();
    let k = weekend.len();
    if k < 2 || workdays.len() < 3 {
        return (0.0, k);
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 28")]
    let shrink = k as f64 / (k as f64 + 2.0);
    ((median(weekend.into_iter()) - median(workdays.into_iter())).mul_add(shrink, 0.0).clamp(-1.5, 0.5), k)
}

/// Spread around the middle, clipped against outliers, pulled towards the prior while there is little evidence.
fn spread_of(level: &[f64], middle: f64) -> f64 {
    let mad = median(level.iter().map(|v| (v - middle).abs()));
    let clip = 2.5 * (1.4826 * mad).max(0.2);
    #[expect(clippy::cast_precision_loss, reason = "at most 28")]
    let n = level.len() as f64;
    let squares: f64 = level.iter().map(|v| (v - middle).clamp(-clip, clip).powi(2)).sum();
    ((squares + PRIOR_DAYS * PRIOR_SPREAD.powi(2)) / (n + PRIOR_DAYS)).sqrt().max(LEAST_SPREAD) * (1.0 + 1.0 / n).sqrt()
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// Median; 0 for nothing.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => sorted[n / 2],
        _ => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
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
