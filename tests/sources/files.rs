//! The directory source and what can go wrong with files: the matrix of those that are no calls.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bench::{Bridge, Watch};
use crate::binary::Binary;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Torn,
    Empty,
    Html,
    NoDirectory,
    EmptyDirectory,
    Vanishes,
    Renamed,
    TwiceThere,
    OlderCopy,
    TitleGone,
    TitleOfNewType,
    UsageOfNewType,
}

const FAULTS: [Fault; 12] = [
    Fault::Torn,
    Fault::Empty,
    Fault::Html,
    Fault::NoDirectory,
    Fault::EmptyDirectory,
    Fault::Vanishes,
    Fault::Renamed,
    Fault::TwiceThere,
    Fault::OlderCopy,
    Fault::TitleGone,
    Fault::TitleOfNewType,
    Fault::UsageOfNewType,
];

const COLLECTIONS: [(&str, &str); 3] = [
    ("threads", "thread.finished T-019b0000-0000-7000-8000-000000000002"),
    ("usage", "budget.threshold_reached workspace"),
    ("models", "model.unpriced our-own-model"),
];

fn id(number: u32) -> String {
    format!("T-019b0000-0000-7000-8000-{number:012}")
}

/// A thread of today with a state, whose one call of a model wrote so many tokens.
fn document(number: u32, v: u32, state: &str, model: &str, output: u64) -> Value {
    let usage = json!({"model": model, "inputTokens": 0, "outputTokens": output, "cacheCreationInputTokens": 0,
        "cacheReadInputTokens": 0, "totalInputTokens": 0, "timestamp": "2026-11-22T09:30:00Z"});
    json!({"v": v, "id": id(number), "created": 1_795_338_000_000_i64, "updatedAt": "2026-11-22T09:59:00Z", "title": "Fix CI",
        "creatorUserID": "user_1", "meta": {"visibility": "private", "lastKnownAgentState": {"state": state}},
        "messages": [{"role": "assistant", "messageId": 1, "content": [], "usage": usage}]})
}

fn put(folder: &Path, name: &str, document: &Value) {
    fs::write(folder.join(name), document.to_string()).unwrap();
}

/// What is there before anything goes wrong.
fn fill(folder: &Path) {
    for number in 1..=4 {
        put(folder, &format!("{number}.json"), &document(number, 10, "streaming", "claude-opus-4-5", 1_000));
    }
}

/// The first file goes wrong, or all of them do.
fn break_it(folder: &Path, fault: Fault, away: &Path) {
    let first = folder.join("1.json");
    let twist = |change: &dyn Fn(&mut Value)| {
        for number in 1..=4 {
            let mut twisted = document(number, 10, "streaming", "claude-opus-4-5", 1_000);
            change(&mut twisted);
            put(folder, &format!("{number}.json"), &twisted);
        }
    };
    match fault {
        Fault::Torn => {
            let whole = fs::read_to_string(&first).unwrap();
            fs::write(&first, &whole[..whole.len() / 2]).unwrap();
        }
        Fault::Empty => fs::write(&first, "").unwrap(),
        Fault::Html => fs::write(&first, "<!doctype html><title>Sign in</title>").unwrap(),
        Fault::NoDirectory => fs::rename(folder, away).unwrap(),
        Fault::EmptyDirectory => {
            fs::rename(folder, away).unwrap();
            fs::create_dir(folder).unwrap();
        }
        Fault::Vanishes => fs::rename(&first, away).unwrap(),
        Fault::Renamed => fs::rename(&first, folder.join("other-name.json")).unwrap(),
        Fault::TwiceThere => drop(fs::copy(&first, folder.join("copy.json")).unwrap()),
        Fault::OlderCopy => put(folder, "old.json", &document(1, 3, "idle", "claude-opus-4-5", 1)),
        Fault::TitleGone => twist(&|d| drop(d.as_object_mut().unwrap().remove("title"))),
        Fault::TitleOfNewType => twist(&|d| d["title"] = json!({"text": "Fix CI"})),
        Fault::UsageOfNewType => twist(&|d| d["messages"][0]["usage"]["outputTokens"] = json!("many")),
    }
}

fn mend(folder: &Path, fault: Fault, away: &Path) {
    match fault {
        Fault::NoDirectory => fs::rename(away, folder).unwrap(),
        Fault::EmptyDirectory => {
            fs::remove_dir(folder).unwrap();
            fs::rename(away, folder).unwrap();
        }
        Fault::Vanishes => fs::rename(away, folder.join("1.json")).unwrap(),
        Fault::Renamed => fs::rename(folder.join("other-name.json"), folder.join("1.json")).unwrap(),
        Fault::TwiceThere => fs::remove_file(folder.join("copy.json")).unwrap(),
        Fault::OlderCopy => fs::remove_file(folder.join("old.json")).unwrap(),
        _ => fill(folder),
    }
}

/// Something truly happens, in a way that the collection is to tell.
fn change(folder: &Path, collection: &str) {
    match collection {
        "threads" => put(folder, "2.json", &document(2, 11, "idle", "claude-opus-4-5", 1_000)),
        // 2,400,000 tokens at $25 a million.
        "usage" => put(folder, "2.json", &document(2, 11, "streaming", "claude-opus-4-5", 2_400_000)),
        _ => put(folder, "2.json", &document(2, 11, "streaming", "our-own-model", 1_000)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_files_on_every_collection() {
    let mut wrong = Vec::new();
    let mut cells = 0;
    for (collection, told) in COLLECTIONS {
        for fault in FAULTS {
            cells += 1;
            if let Err(why) = judge(collection, told, fault).await {
                wrong.push(format!("amp_threads/{collection} with {fault:?}: {why}"));
            }
        }
    }
    println!(
        "amp_threads: {} collections x {} faults of files: {cells} cells, {} green",
        COLLECTIONS.len(),
        FAULTS.len(),
        cells - wrong.len()
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

async fn judge(collection: &str, expected: &str, fault: Fault) -> Result<(), String> {
    let watch = Watch::default();
    let home = tempfile::tempdir().unwrap();
    let (folder, away): (PathBuf, PathBuf) = (home.path().join("threads"), home.path().join("away"));
    fs::create_dir(&folder).unwrap();
    fill(&folder);
    let config = "[sources.files]\nkind = \"amp_threads\"\npath = \"threads\"\nstalled_after = \"1d\"\n\
        [rules.daily]\nkind = \"budget\"\nlimit_usd = 100\nperiod = \"day\"\nthresholds = [50]\n";
    let bridge = Bridge::new(config, home.path(), &watch);
    bridge.look_well().await;
    bridge.look_well().await;
    let quiet = bridge.told().await;
    if !quiet.is_empty() {
        return Err(format!("the baseline is not quiet: {quiet:?}"));
    }
    break_it(&folder, fault, &away);
    // A file that stays away for two looks is gone: only one may miss it.
    let rounds = if fault == Fault::Vanishes { 1 } else { 3 };
    for _ in 0..rounds {
        bridge.look().await;
    }
    mend(&folder, fault, &away);
    change(&folder, collection);
    for _ in 0..3 {
        bridge.look_well().await;
    }
    let all = bridge.told().await;
    let changes: Vec<&String> =
        all.iter().filter(|l| !l.starts_with("source.") && !l.starts_with("thread.updated")).collect();
    if changes != [expected] {
        return Err(format!("told was {all:?}"));
    }
    for kind in ["source.failing", "source.degraded", "source.change_held", "source.recovered"] {
        if all.iter().filter(|line| line.starts_with(kind)).count() > 1 {
            return Err(format!("{kind} more than once: {all:?}"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_folder_in_the_same_place_lacks_is_deleted_by_a_person_only() {
    let (watch, place) = (Watch::default(), tempfile::tempdir().unwrap());
    let (folder, away) = (place.path().join("threads"), place.path().join("away"));
    fs::create_dir(&folder).unwrap();
    fill(&folder);
    let config = "[sources.files]\nkind = \"amp_threads\"\npath = \"threads\"\n";
    let first = Bridge::new(config, place.path(), &watch);
    first.look_well().await;
    // Each look is another process.
    let looks = async |count: usize| {
        for _ in 0..count {
            Bridge::new(config, place.path(), &watch).over(&first).look_well().await;
        }
        first.told().await
    };
    fs::rename(&folder, &away).unwrap();
    fs::create_dir(&folder).unwrap();
    put(&folder, "4.json", &document(4, 10, "streaming", "claude-opus-4-5", 1_000));
    assert_eq!(looks(1).await, [""; 0], "the first such look is silent");
    assert_eq!(looks(3).await, ["source.change_held files"]);
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    assert_eq!(looks(2).await.len(), 1, "it is back, and nothing had gone");
    fs::remove_file(folder.join("1.json")).unwrap();
    assert_eq!(looks(2).await[1..], [format!("thread.deleted {}", id(1))], "a removal in the folder that is known");
    // A copy that has everything is as good as the folder itself.
    fs::create_dir(&away).unwrap();
    for number in 2..=4 {
        fs::copy(folder.join(format!("{number}.json")), away.join(format!("{number}.json"))).unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    assert_eq!(looks(1).await.len(), 2);
    fs::remove_file(folder.join("2.json")).unwrap();
    assert_eq!(looks(2).await[2..], [format!("thread.deleted {}", id(2))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_thread_is_counted_where_one_looks() {
    let binary = Binary::new("[sources.files]\nkind = \"amp_threads\"\npath = \"threads\"\n");
    let folder = binary.folder.path().join("threads");
    fs::create_dir(&folder).unwrap();
    fill(&folder);
    for (name, other) in [("5.json", json!({"id": "T-3"})), ("6.json", json!([]))] {
        put(&folder, name, &other);
    }
    let said = binary.run(&["source", "check", "files"]).await.exits(0).stdout;
    assert!(said.contains("4 rows") && said.contains("passed over: 2 that are something else"), "{said}");
    let said = binary.run(&["--log", "info", "once"]).await.exits(0).stderr;
    assert_eq!(said.matches("2 JSON files are no thread documents").count(), 1, "{said}");
}
