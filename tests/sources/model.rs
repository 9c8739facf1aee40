//! Any sequence of remote states, polled with random faults, gives exactly the events of the states that were seen
//! completely. A reference model, simple enough to be believed, says which those are.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::env::{Dice, SeededDice};
use serde_json::{Value, json};

use crate::bench::{Bridge, Watch};
use crate::fake::{Fake, Route};
use crate::fault::{Fault, Paging, Target};

const SEQUENCES: u64 = 60;
const STEPS: usize = 25;
/// Rows a page: lists go on after the third.
const PAGE: usize = 3;

const MANIFEST: &str = r#"
base = "$BASE"
[collections.job]
get = "/jobs"
page = { kind = "after_key", send = "starting_after", more = "/has_more", size = ["limit", 3] }
records = "/data"
key = ["/id"]
watch = ["/status"]
on = [{ field = "/status", to = "failed", event = "job.failed" }]
"#;

/// What the bridge must know, and must have told.
#[derive(Default)]
struct Model {
    known: BTreeMap<String, String>,
    /// Missed by the last complete look.
    missed: BTreeSet<String>,
    baseline: bool,
    told: Vec<String>,
}

impl Model {
    /// These rows were shown, in this order.
    fn shown(&mut self, rows: &[(String, String)]) {
        for (id, status) in rows {
            let before = self.known.insert(id.clone(), status.clone());
            let kind = match before {
                None => "job.created",
                Some(before) if before == *status => continue,
                Some(_) if status == "failed" => "job.failed",
                Some(_) => "job.updated",
            };
            if self.baseline {
                self.told.push(format!("{kind} {id}"));
            }
        }
    }

    /// The look came to its end, and these rows were all there are.
    fn complete(&mut self, rows: &[(String, String)]) {
        self.shown(rows);
        let there: BTreeSet<&String> = rows.iter().map(|(id, _)| id).collect();
        let missing: BTreeSet<String> = self.known.keys().filter(|id| !there.contains(id)).cloned().collect();
        let gone: Vec<String> = missing.intersection(&self.missed).cloned().collect();
        for id in &gone {
            self.known.remove(id);
            self.told.push(format!("job.deleted {id}"));
        }
        self.missed = missing.into_iter().filter(|id| !gone.contains(id)).collect();
        self.baseline = true;
    }

    /// The same of rows each of which stands twice: that proves no removal, and is no less a baseline.
    fn doubled(&mut self, rows: &[(String, String)]) {
        self.shown(rows);
        self.baseline = true;
    }
}

struct Rng(SeededDice);

impl Rng {
    fn below(&self, n: usize) -> usize {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small"
        )]
        let at = (self.0.unit() * n as f64) as usize;
        at.min(n.saturating_sub(1))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_those_of_the_states_that_were_seen_completely() {
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..SEQUENCES {
        tasks.spawn(sequence(seed));
    }
    let (mut events, mut faults) = (0, 0);
    while let Some(ended) = tasks.join_next().await {
        let (told, faulty) = ended.unwrap();
        events += told;
        faults += faulty;
    }
    println!("{SEQUENCES} sequences of {STEPS} states: {events} events as the model says, {faults} looks with a fault");
    assert!(events > 300 && faults > 200, "{events} {faults}");
}

async fn sequence(seed: u64) -> (usize, usize) {
    let rng = Rng(SeededDice::new(seed));
    let watch = Watch::default();
    let fake = Fake::start(watch.clone(), ("", ""), &[("/jobs", Route::AfterKey("jobs"))]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jobs.toml"), MANIFEST.replace("$BASE", &fake.url())).unwrap();
    let config = "[sources.jobs]\nkind = \"http_json\"\nmanifest = \"jobs.toml\"\nmax_rps = 10000\ntimeout = \"5s\"\n";
    let bridge = Bridge::new(config, folder.path(), &watch);
    let mut model = Model::default();
    let (mut next, mut faulty) = (0, 0);
    for step in 0..STEPS {
        change(&rng, &fake, &mut next);
        let rows: Vec<(String, String)> = fake.world().table("jobs").iter().map(row).collect();
        let fault = fault(&rng);
        fake.world().fault.clone_from(&fault);
        bridge.look().await;
        match &fault {
            None => model.complete(&rows),
            // Every page but the first says something else; what the first showed was seen.
            Some((_, target)) if target.marker == "starting_after" && rows.len() > PAGE => {
                faulty += 1;
                model.shown(&rows[..PAGE]);
            }
            Some((fault, target)) => {
                if *fault == Fault::DuplicateKeys && !rows.is_empty() {
                    model.doubled(&rows);
                } else if matches!(fault, Fault::DuplicateKeys | Fault::ClockAhead) || target.marker == "starting_after"
                {
                    model.complete(&rows);
                } else {
                    faulty += 1;
                }
            }
        }
        let told: Vec<String> = bridge.told().await.into_iter().filter(|line| line.starts_with("job.")).collect();
        let (mut expected, mut got) = (model.told.clone(), told);
        // Rows of one page are told in one commit, in no particular order.
        expected.sort();
        got.sort();
        assert_eq!(got, expected, "seed {seed}, step {step}, fault {fault:?}, rows {rows:?}");
    }
    (model.told.len(), faulty)
}

fn row(row: &Value) -> (String, String) {
    (row["id"].as_str().unwrap().to_owned(), row["status"].as_str().unwrap().to_owned())
}

fn change(rng: &Rng, fake: &Fake, next: &mut u32) {
    let mut world = fake.world();
    let jobs = world.table("jobs");
    for _ in 0..=rng.below(2) {
        match rng.below(5) {
            0 | 1 => {
                *next += 1;
                jobs.push(json!({"id": format!("j{next}"), "status": "queued", "created_at": "2026-11-22T08:00:00Z"}));
            }
            2 | 3 if !jobs.is_empty() => {
                let at = rng.below(jobs.len());
                jobs[at]["status"] = json!(["queued", "running", "failed", "done"][rng.below(4)]);
            }
            4 if jobs.len() > 1 => drop(jobs.remove(rng.below(jobs.len()))),
            _ => {}
        }
    }
}

fn fault(rng: &Rng) -> Option<(Fault, Target)> {
    let faults = [
        Fault::Html,
        Fault::CutBody,
        Fault::Internal,
        Fault::Reset,
        Fault::ErrorInside200,
        Fault::EmptyPageWithMore,
        Fault::TooMany,
        Fault::DuplicateKeys,
        Fault::ClockAhead,
    ];
    if rng.below(2) == 0 {
        return None;
    }
    let fault = faults[rng.below(faults.len())];
    // A fault from the second page on: the first was seen.
    let later = rng.below(3) == 0 && !matches!(fault, Fault::DuplicateKeys | Fault::ClockAhead);
    let marker = if later { "starting_after" } else { "" };
    let target = Target {
        path: "/jobs",
        marker,
        paging: Paging::AfterKey,
        rows: "/data",
        inner: "",
        counted: false,
        field: "/status",
        single: false,
    };
    Some((fault, target))
}
