//! The spike detector on the labelled development series: `backtest`, judged by the scorer that comes with them.
//!
//! Needs the shared data (`AMPBRIDGE_SHARED`, set by `.ci/run`) and python3; says loudly when it can't run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and says loudly what it had to leave out"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ampbridge::domain::rules::forecast;
use jiff::civil::Date;
use serde_json::Value;

fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("AMPBRIDGE_SHARED").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: AMPBRIDGE_SHARED is not set, so the labelled spike series can't be scored");
    }
    folder.map(|folder| folder.join("data/spikes"))
}

fn backtest(data: &Path, detections: &Path, more: &[&str]) -> Value {
    let out = Command::new(env!("CARGO_BIN_EXE_ampbridge"))
        .args(["backtest", "--json", "--csv"])
        .arg(data)
        .arg("--detections")
        .arg(detections)
        .args(more)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// What the scorer says of what `backtest` told, and what `backtest` says itself.
fn score(set: &str, more: &[&str]) -> Option<(Value, Value)> {
    let folder = shared()?;
    let data = folder.join(format!("dev/{set}.csv"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("det.csv");
    let own = backtest(&data, &file, more);
    let out = Command::new("python3")
        .arg(folder.join("score.py"))
        .args(["--json", "--data"])
        .arg(&data)
        .arg("--det")
        .arg(&file)
        .output()
        .expect("python3 runs the scorer");
    let judged: Value = serde_json::from_slice(&out.stdout).expect("the scorer prints JSON");
    eprintln!("{set}: {judged}");
    Some((judged, own["score"].clone()))
}

fn figures(score: &Value) -> [f64; 3] {
    ["precision", "recall", "f1"].map(|key| score[key].as_f64().unwrap())
}

#[test]
fn synthetic_days() {
    let Some((judged, own)) = score("synth_daily", &[]) else { return };
    let [precision, recall, f1] = figures(&judged);
    assert!(precision >= 0.89 && recall >= 0.85 && f1 >= 0.87, "{judged}");
    assert!(judged["delay_points_mean"].as_f64().unwrap() <= 0.05, "{judged}");
    for (theirs, ours) in figures(&judged).into_iter().zip(figures(&own)) {
        assert!((theirs - ours).abs() < 1e-3, "the report says {own}, the scorer {judged}");
    }
}

#[test]
fn semireal_days() {
    let Some((judged, _)) = score("semireal_daily", &[]) else { return };
    let [precision, recall, f1] = figures(&judged);
    assert!(precision >= 0.67 && recall >= 0.87 && f1 >= 0.76, "{judged}");
}

/// The scorer counts every labelled day of a spike that lasts several as one to be found; inside an episode only a day
/// twice as high is told again. Of 31 spikes 27 are found, on their first day.
#[test]
fn synthetic_polls() {
    let Some((judged, own)) = score("synth_intraday", &["--intraday"]) else { return };
    let [precision, recall, _] = figures(&judged);
    assert!(precision >= 0.90 && recall >= 0.71, "{judged}");
    assert!(judged["delay_hours_median"].as_f64().unwrap() <= 1.0, "{judged}");
    assert_eq!(
        (judged["found"].as_u64(), judged["false_alarms"].as_u64()),
        (own["found"].as_u64(), own["false_alarms"].as_u64())
    );
}

#[test]
fn calm_is_surer_and_eager_finds_more() {
    let Some((calm, _)) = score("synth_daily", &["--preset", "calm"]) else { return };
    let Some((eager, _)) = score("synth_daily", &["--preset", "eager"]) else { return };
    let ([sure, less, _], [loose, more, _]) = (figures(&calm), figures(&eager));
    assert!(sure > loose && more >= less, "calm {calm}, eager {eager}");
}

/// Of the days of a set, the part that lies in the range that is said to hold 80 of 100 of them.
fn held(set: &str, whole: bool) -> Option<f64> {
    let text = std::fs::read_to_string(shared()?.join(format!("dev/{set}.csv"))).unwrap();
    let mut series: BTreeMap<&str, BTreeMap<Date, f64>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let parts: Vec<&str> = line.split(',').collect();
        let name = if whole { "all" } else { parts[0] };
        *series.entry(name).or_default().entry(parts[1][..10].parse().unwrap()).or_default() +=
            parts[2].parse::<f64>().unwrap();
    }
    let days = series.values().flat_map(|days| {
        days.iter()
            .filter(|(_, usd)| **usd > 0.0)
            .filter_map(|(day, usd)| Some((*usd, forecast::day_range(days, *day)?)))
    });
    let inside: Vec<bool> = days.map(|(usd, r)| r.low.as_f64() <= usd && usd <= r.high.as_f64()).collect();
    let part = inside.iter().filter(|inside| **inside).count() as f64 / inside.len() as f64;
    eprintln!("{set}: {part:.3} of {} days", inside.len());
    Some(part)
}

#[test]
fn the_range_of_a_day_holds_about_eighty_of_a_hundred() {
    for (set, whole) in [("synth_daily", true), ("semireal_daily", false)] {
        let Some(part) = held(set, whole) else { return };
        assert!((0.75..=0.88).contains(&part), "{set}: {part}");
    }
}
