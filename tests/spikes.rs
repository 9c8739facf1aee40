//! The spike detector on the labelled development series, judged by the scorer that comes with them.
//!
//! Needs the shared data (`AMPBRIDGE_SHARED`, set by `.ci/run`) and python3; says loudly when it can't run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says loudly what it had to leave out"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use ampbridge::domain::rules::detector::{Detector, Sensitivity};
use jiff::civil::Date;

fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("AMPBRIDGE_SHARED").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: AMPBRIDGE_SHARED is not set, so the labelled spike series can't be scored");
    }
    folder
}

/// series, then day, to dollars.
fn daily(path: &std::path::Path) -> BTreeMap<String, BTreeMap<Date, f64>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut series: BTreeMap<String, BTreeMap<Date, f64>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let day: Date = cells[1][..10].parse().unwrap();
        series.entry(cells[0].to_owned()).or_default().insert(day, cells[2].parse().unwrap());
    }
    series
}

/// Precision, recall, F1.
fn score(set: &str) -> Option<(f64, f64, f64)> {
    let folder = shared()?.join("data/spikes");
    let data = folder.join(format!("dev/{set}.csv"));
    let mut detections = String::from("series,timestamp\n");
    for (name, days) in daily(&data) {
        let mut detector = Detector::default();
        for (day, usd) in days {
            if detector.fold(day, usd, 0.0, Sensitivity::default()).is_some_and(|j| j.alert) {
                detections.push_str(&format!("{name},{day}T00:00:00Z\n"));
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("det.csv");
    std::fs::write(&file, detections).unwrap();
    let out = Command::new("python3")
        .arg(folder.join("score.py"))
        .args(["--json", "--data"])
        .arg(&data)
        .arg("--det")
        .arg(&file)
        .output()
        .expect("python3 runs the scorer");
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("the scorer prints JSON");
    eprintln!("{set}: {json}");
    let get = |k: &str| json[k].as_f64().unwrap();
    Some((get("precision"), get("recall"), get("f1")))
}

#[test]
fn synthetic_days() {
    let Some((precision, recall, f1)) = score("synth_daily") else { return };
    assert!(precision >= 0.80 && recall >= 0.83 && f1 >= 0.82, "{precision} {recall} {f1}");
}

#[test]
fn semireal_days() {
    let Some((precision, recall, f1)) = score("semireal_daily") else { return };
    assert!(precision >= 0.65 && recall >= 0.85 && f1 >= 0.74, "{precision} {recall} {f1}");
}
