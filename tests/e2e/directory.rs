//! What must be seen, line 5: the directory source.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Bench, HEAD, HOOK, accepted, all_to, facts, text};

const FILES: &str = r#"
[sources.local]
kind = "amp_threads"
path = "threads"
"#;

async fn bench() -> Bench {
    let bench = Bench::start(&[HEAD, FILES, HOOK, &all_to(&["hook"])]).await;
    fs::create_dir(bench.path("threads")).unwrap();
    bench
}

fn id(number: u32) -> String {
    format!("T-019b0000-0000-7000-8000-{number:012}")
}

fn document(number: u32, v: u32, title: &str, messages: usize) -> String {
    let messages: Vec<Value> = (0..messages)
        .map(|n| json!({ "role": "user", "messageId": n, "content": [{ "type": "text", "text": "do it" }] }))
        .collect();
    json!({ "v": v, "id": id(number), "created": 1_791_104_400_000_i64, "creatorUserID": "user_ana", "title": title,
            "agentMode": "smart", "messages": messages })
    .to_string()
}

fn put(bench: &Bench, name: &str, content: &str) {
    fs::write(bench.path("threads").join(name), content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_in_file_is_told_a_higher_version_updates_and_a_torn_one_never_deletes() {
    let bench = bench().await;
    for n in 1..=3 {
        put(&bench, &format!("{n}.json"), &document(n, 10, "Port the parser", 2));
    }
    // Neither threads nor anybody's business.
    put(&bench, "list.json", "[1, 2, 3]");
    put(&bench, "secrets.json", "{ torn");
    put(&bench, "session.json", "{ torn");
    put(&bench, "notes.txt", "no JSON");
    bench.once().await.says(&["threads 3 rows (baseline)"]);
    bench.once().await;
    assert_eq!(bench.events().await, Vec::<Value>::new());

    put(&bench, "copied.json", &document(4, 1, "Fix the build", 1));
    bench.once().await;
    assert_eq!(facts(&bench.events().await), [format!("thread.created {}", id(4))]);
    put(&bench, "1.json", &document(1, 12, "Port the parser to Rust", 6));
    put(&bench, "older.json", &document(2, 9, "An older copy under another name", 1));
    bench.once().await;
    bench.once().await;
    let events = bench.events().await;
    assert_eq!(facts(&events), [format!("thread.created {}", id(4)), format!("thread.updated {}", id(1))]);
    let update = events.iter().find(|e| e["type"] == "thread.updated").unwrap();
    assert_eq!(
        (&update["data"]["before"]["title"], &update["data"]["after"]["title"]),
        (&json!("Port the parser"), &json!("Port the parser to Rust"))
    );

    let whole = document(3, 11, "Port the parser", 40);
    for torn in [&whole[..whole.len() / 2], ""] {
        put(&bench, "3.json", torn);
        for _ in 0..3 {
            bench.once().await.says(&["left out"]);
        }
    }
    assert_eq!(bench.events().await.len(), 2, "a torn file deletes nothing");
    put(&bench, "3.json", &document(3, 10, "Port the parser", 2));
    bench.once().await;
    bench.once().await;
    assert_eq!(bench.events().await.len(), 2);
    assert_eq!(accepted(&bench.hook), bench.events().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_emptied_directory_is_not_all_deleted_and_one_missing_file_is() {
    let bench = bench().await;
    for n in 1..=6 {
        put(&bench, &format!("{n}.json"), &document(n, 10, "Port the parser", 2));
    }
    bench.once().await;
    fs::rename(bench.path("threads"), bench.path("away")).unwrap();
    for _ in 0..3 {
        bench.run(&["once"]).await.exits(1).says(&["threads"]);
    }
    assert_eq!(facts(&bench.events().await), ["source.failing local"]);
    // A mount point whose file system is missing.
    fs::create_dir(bench.path("threads")).unwrap();
    for _ in 0..3 {
        bench.once().await;
    }
    let expected = ["source.change_held local", "source.failing local", "source.recovered local"];
    assert_eq!(facts(&bench.events().await), expected);
    fs::remove_dir(bench.path("threads")).unwrap();
    fs::rename(bench.path("away"), bench.path("threads")).unwrap();
    bench.once().await;
    fs::remove_file(bench.path("threads/6.json")).unwrap();
    bench.once().await;
    assert_eq!(facts(&bench.events().await), expected, "the first look believes nothing");
    bench.once().await;
    let events = bench.events().await;
    assert_eq!(facts(&events)[3..], [format!("thread.deleted {}", id(6))]);
    assert_eq!(text(&events[3]["data"], "name"), "Port the parser");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_documents_baseline_quiet_a_new_one_told_and_v17_to_v19_of_one_updates() {
    let Some(shared) = std::env::var_os("AMPBRIDGE_SHARED").map(PathBuf::from) else {
        eprintln!("SKIPPED: AMPBRIDGE_SHARED is not set, so the real thread documents can't be read");
        return;
    };
    let data = shared.join("data/amp-threads");
    let bench = bench().await;
    let copy =
        |from: &str, to: &str| fs::write(bench.path("threads").join(to), fs::read(data.join(from)).unwrap()).unwrap();
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|extension| extension == "json")
            && !name.contains("v19")
            && !name.contains("sandbox")
        {
            copy(&name, &name);
        }
    }
    bench.once().await.says(&["(baseline)"]);
    bench.once().await;
    assert_eq!(bench.events().await, Vec::<Value>::new(), "a quiet baseline");
    copy("clast-sandbox.v33.json", "new.json");
    bench.once().await;
    let created = facts(&bench.events().await);
    assert!(created.len() == 1 && created[0].starts_with("thread.created T-"), "{created:?}");
    copy("clast-idle-local-client.v19.json", "clast-midturn-streaming.v17.json");
    for _ in 0..3 {
        bench.once().await;
    }
    let events = bench.events().await;
    let mut kinds: Vec<&str> = events.iter().map(|e| text(e, "type")).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["thread.created", "thread.finished", "thread.updated"], "never a delete");
    assert_eq!(accepted(&bench.hook), events);
}
