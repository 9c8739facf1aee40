//! How good detections are against labels: by event, not by point.
//!
//! A maximal run of labelled points of a series is one event; the first detection inside finds it, further ones there
//! count neither way, every detection outside is a false alarm. The rules are those of the scorer that comes with the
//! development set (docs/spikes.md).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::time::{SignedDuration, Timestamp, elapsed, plus};

/// From this spacing on a series is daily.
const DAILY: SignedDuration = SignedDuration::from_hours(20);
/// Of a finer series, detections so close to the last one that counts are the same.
const COOLDOWN: SignedDuration = SignedDuration::from_hours(24);

/// Points of each series: time and whether it is labelled.
pub type Labels = BTreeMap<String, BTreeMap<Timestamp, bool>>;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    pub points: usize,
    pub events: usize,
    pub found: usize,
    pub false_alarms: usize,
    /// Hours from an event's first labelled point to the detection, of those found.
    pub delays_hours: Vec<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test set")]
impl Score {
    pub fn precision(&self) -> f64 {
        part(self.found, self.found + self.false_alarms)
    }

    pub fn recall(&self) -> f64 {
        part(self.found, self.events)
    }

    pub fn f1(&self) -> f64 {
        let (p, r) = (self.precision(), self.recall());
        if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 }
    }

    pub fn false_per_thousand(&self) -> f64 {
        1000.0 * part(self.false_alarms, self.points)
    }

    pub fn mean_delay_hours(&self) -> Option<f64> {
        let n = self.delays_hours.len();
        (n > 0).then(|| self.delays_hours.iter().sum::<f64>() / n as f64)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test set")]
fn part(some: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

/// Compares detections by series with the labels.
pub fn score(labels: &Labels, detections: &BTreeMap<String, BTreeSet<Timestamp>>) -> Score {
    let mut total = Score::default();
    for (_, at) in detections.iter().filter(|(series, _)| !labels.contains_key(*series)) {
        total.false_alarms += at.len();
    }
    let none = BTreeSet::new();
    for (series, points) in labels {
        let spacing = spacing(points);
        let windows = windows(points, spacing);
        let mut hit = vec![None; windows.len()];
        total.points += points.len();
        total.events += windows.len();
        for at in apart(detections.get(series).unwrap_or(&none), spacing) {
            match windows.iter().position(|(from, to)| *from <= at && at < *to) {
                Some(index) => hit[index] = hit[index].or(Some(at)),
                None => total.false_alarms += 1,
            }
        }
        for ((from, _), at) in windows.iter().zip(hit) {
            let Some(at) = at else { continue };
            total.found += 1;
            total.delays_hours.push(elapsed(*from, at).as_secs_f64() / 3600.0);
        }
    }
    total
}

/// The middle of the distances between points; a day where there are none.
fn spacing(points: &BTreeMap<Timestamp, bool>) -> SignedDuration {
    let times: Vec<&Timestamp> = points.keys().collect();
    let mut gaps: Vec<SignedDuration> = times.windows(2).map(|w| elapsed(*w[0], *w[1])).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied().unwrap_or(SignedDuration::from_hours(24))
}

/// Runs of labelled points: from the first to the point after the last.
fn windows(points: &BTreeMap<Timestamp, bool>, spacing: SignedDuration) -> Vec<(Timestamp, Timestamp)> {
    let mut windows: Vec<(Timestamp, Timestamp)> = Vec::new();
    let mut open: Option<Timestamp> = None;
    for (at, labelled) in points {
        match (open, labelled) {
            (None, true) => open = Some(*at),
            (Some(from), false) => {
                windows.push((from, *at));
                open = None;
            }
            _ => {}
        }
    }
    if let (Some(from), Some((last, _))) = (open, points.last_key_value()) {
        windows.push((from, plus(*last, spacing)));
    }
    windows
}

/// Detections without those that only repeat the one before.
fn apart(detections: &BTreeSet<Timestamp>, spacing: SignedDuration) -> Vec<Timestamp> {
    let mut kept: Vec<Timestamp> = Vec::new();
    for at in detections {
        let repeats = spacing < DAILY && kept.last().is_some_and(|last| elapsed(*last, *at) < COOLDOWN);
        if !repeats {
            kept.push(*at);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    fn series(step: i64, points: i64, labelled: &[i64]) -> BTreeMap<Timestamp, bool> {
        (0..points).map(|i| (at(i * step), labelled.contains(&i))).collect()
    }

    fn found(labels: &Labels, hours: &[(&str, i64)]) -> Score {
        let mut detections: BTreeMap<String, BTreeSet<Timestamp>> = BTreeMap::new();
        for (series, hour) in hours {
            detections.entry((*series).to_owned()).or_default().insert(at(*hour));
        }
        score(labels, &detections)
    }

    #[test]
    fn runs_are_events_and_the_first_alert_finds_them() {
        let labels = Labels::from([("a".into(), series(24, 20, &[5, 6, 10])), ("b".into(), series(24, 10, &[]))]);
        let got = found(&labels, &[("a", 5 * 24), ("a", 6 * 24), ("a", 7 * 24), ("b", 72), ("zz", 0)]);
        assert_eq!((got.events, got.found, got.false_alarms, got.points), (2, 1, 3, 30));
        assert!((got.precision() - 0.25).abs() < 1e-9 && (got.recall() - 0.5).abs() < 1e-9);
        assert!((got.false_per_thousand() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn of_hours_only_one_alert_a_day_counts() {
        let labelled: Vec<i64> = (30..40).collect();
        let labels = Labels::from([("h".into(), series(1, 100, &labelled))]);
        let got = found(&labels, &[("h", 29), ("h", 31), ("h", 60)]);
        assert_eq!((got.found, got.false_alarms), (0, 2));
        let got = found(&labels, &[("h", 31)]);
        assert_eq!((got.found, got.mean_delay_hours()), (1, Some(1.0)));
    }
}
