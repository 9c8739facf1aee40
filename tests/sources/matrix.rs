//! Every fault, on every collection of every source: no false event, nothing lost, one clear message.
//!
//! A cell: a quiet baseline; three rounds of looks with the fault, in whose midst the system truly changes; then the
//! fault is over, and what changed is told, once, as what it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bench::{Bridge, Watch};
use crate::fault::{ALL, Fault};
use crate::systems::{self, Cell, Start};

/// Cells at once.
const AT_ONCE: usize = 12;
/// Rounds of looks with the fault.
const ROUNDS: usize = 3;

/// What a cell came to: how it was told, or what was wrong.
type Outcome = Result<&'static str, String>;

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_on_every_collection_of_every_source() {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks: JoinSet<((String, Fault), Outcome)> = JoinSet::new();
    let mut columns = Vec::new();
    for (source, start, cells) in systems::all() {
        for cell in cells {
            let column = format!("{source}/{}", cell.collection);
            columns.push(column.clone());
            for fault in ALL.into_iter().filter(|fault| fault.fits(&(cell.target)())) {
                let (permits, key) = (Arc::clone(&permits), (column.clone(), fault));
                tasks.spawn(async move {
                    let _permit = permits.acquire_owned().await.unwrap();
                    let outcome = tokio::spawn(judge(start, *cell, fault)).await;
                    (key, outcome.unwrap_or_else(|panic| Err(format!("it panicked: {panic}"))))
                });
            }
        }
    }
    let mut outcomes: BTreeMap<(String, Fault), Outcome> = BTreeMap::new();
    while let Some(ended) = tasks.join_next().await {
        let (key, outcome) = ended.unwrap();
        outcomes.insert(key, outcome);
    }
    show(&columns, &outcomes);
    let wrong: Vec<String> = outcomes
        .iter()
        .filter_map(|((column, fault), outcome)| {
            Some(format!("{column} with {}: {}", fault.name(), outcome.as_ref().err()?))
        })
        .collect();
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(outcomes.len() > 350, "{} cells", outcomes.len());
}

fn show(columns: &[String], outcomes: &BTreeMap<(String, Fault), Outcome>) {
    println!("{:<24} {}", "", ALL.map(|fault| format!("{:>2}", fault as u8 + 1)).join(" "));
    for column in columns {
        let marks = ALL.map(|fault| match outcomes.get(&(column.clone(), fault)) {
            Some(Ok(mark)) => format!("{mark:>2}"),
            Some(Err(_)) => "XX".to_owned(),
            None => " -".to_owned(),
        });
        println!("{column:<24} {}", marks.join(" "));
    }
    println!("faults: {}", ALL.map(|fault| format!("{} {}", fault as u8 + 1, fault.name())).join(", "));
    println!("q quiet, f source.failing, d source.degraded, t told as the change it is, - there is no such fault here");
    let green = outcomes.values().filter(|outcome| outcome.is_ok()).count();
    println!(
        "{} sources x {} collections x {} faults: {} cells, {green} green",
        systems::all().len(),
        columns.len(),
        ALL.len(),
        outcomes.len()
    );
}

async fn judge(start: Start, cell: Cell, fault: Fault) -> Outcome {
    let watch = Watch::default();
    let system = start(watch.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let patience = if fault == Fault::Hang { "timeout = \"2s\"" } else { "timeout = \"20s\"" };
    let config = system.config.replace("timeout = \"20s\"", patience);
    let bridge = Bridge::new(&config, folder.path(), &watch);
    // Levels need two equal looks.
    for _ in 0..2 {
        bridge.look_well().await;
    }
    let quiet = bridge.told().await;
    if !quiet.is_empty() {
        return Err(format!("the baseline is not quiet: {quiet:?}"));
    }
    let target = (cell.target)();
    for round in 0..ROUNDS {
        {
            let mut world = system.fake.world();
            world.fault = Some((fault, target.clone()));
            world.round = round;
        }
        bridge.look().await;
        if round == 1 {
            (cell.change)(&system);
        }
    }
    let during = bridge.told().await;
    system.fake.world().fault = None;
    if fault == Fault::TooManyForAnHour {
        watch.advance(2 * 3_600);
    }
    for _ in 0..3 {
        bridge.look_well().await;
    }
    verdict(&cell, fault, &during, &bridge.told().await)
}

/// What may have been told, and what must have been.
fn verdict(cell: &Cell, fault: Fault, during: &[String], all: &[String]) -> Outcome {
    let count = |told: &[String], kind: &str| told.iter().filter(|line| line.starts_with(kind)).count();
    let changes: Vec<&String> = all.iter().filter(|line| !line.starts_with("source.")).collect();
    let health: Vec<&String> = all.iter().filter(|line| line.starts_with("source.")).collect();
    let (failing, degraded) = (count(during, "source.failing"), count(during, "source.degraded"));
    let is_true = cell.true_for.contains(&fault);
    if !is_true {
        let mut missing: Vec<&str> = cell.told.to_vec();
        for change in &changes {
            // The id of a thread is made anew each time.
            match missing.iter().position(|told| *change == told || change.starts_with(&format!("{told} T-"))) {
                Some(at) => drop(missing.remove(at)),
                None => return Err(format!("a false event: {change}; in all {all:?}")),
            }
        }
        if !missing.is_empty() {
            return Err(format!("lost: {missing:?}; told was {all:?}"));
        }
    }
    if failing > 1 || degraded > 1 || count(all, "source.change_held") > 0 {
        return Err(format!("more than one message: {health:?}"));
    }
    if failing > 0 && count(all, "source.recovered") != 1 {
        return Err(format!("failing, and never recovered: {health:?}"));
    }
    match (fault.is_harmless(&(cell.target)()), failing + degraded) {
        (true, 1..) => Err(format!("a message about nothing: {health:?}")),
        (true, _) => Ok("q"),
        (false, 0) if is_true => Ok("t"),
        // Who waits as it was asked to has not failed.
        (false, 0) if fault.name() == "too many for an hour" => Ok("w"),
        (false, 0) => Err(format!("no message; told was {all:?}")),
        (false, _) => Ok(if failing > 0 { "f" } else { "d" }),
    }
}
