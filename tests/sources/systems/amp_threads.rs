//! 003: a folder of thread documents; nothing to call.

use std::fs;
use std::path::Path;

use ampbridge::domain::time::{SignedDuration, Timestamp};
use ampbridge::env::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::System;
use crate::bench::Watch;
use crate::fake::Fake;

pub async fn start() -> System {
    let config = "[sources.files]\nkind = \"amp_threads\"\npath = \"threads\"\nstalled_after = \"1h\"\n".to_owned();
    System { fake: Fake::start(Watch::real(), ("", ""), &[]).await, config, workspace: None }
}

/// Eight threads, all of which run.
pub fn fill(folder: &Path) {
    fs::create_dir(folder.join("threads")).unwrap();
    for number in 1..=8 {
        put(folder, number, 1, |_| {});
    }
}

/// What there is to tell: each thread gets somewhere, one goes, one comes.
pub fn everything_happens(folder: &Path) {
    put(folder, 1, 2, |d| d["meta"]["lastKnownAgentState"]["state"] = json!("idle"));
    put(folder, 2, 2, |d| d["meta"]["lastKnownAgentState"]["state"] = json!("error"));
    put(folder, 3, 2, |d| d["updatedAt"] = json!(ago(7_200).to_string()));
    put(folder, 4, 2, |d| d["meta"]["visibility"] = json!("public"));
    put(folder, 5, 2, |d| d["messages"][0]["usage"]["outputTokens"] = json!(1_000_000));
    put(folder, 6, 2, |d| d["messages"][0]["usage"]["model"] = json!("our-own-model"));
    put(folder, 7, 2, |d| d["title"] = json!("Fix CI at last"));
    fs::remove_file(folder.join("threads/8.json")).unwrap();
    put(folder, 9, 1, |_| {});
}

fn ago(secs: i64) -> Timestamp {
    SystemClock.now() - SignedDuration::from_secs(secs)
}

fn put(folder: &Path, number: u32, v: u32, change: impl FnOnce(&mut Value)) {
    let usage = json!({"model": "claude-opus-4-5", "inputTokens": 0, "outputTokens": 1_000, "timestamp": ago(60).to_string(),
        "cacheCreationInputTokens": 0, "cacheReadInputTokens": 0, "totalInputTokens": 0});
    let mut document = json!({"v": v, "id": format!("T-019b0000-0000-7000-8000-{number:012}"), "title": "Fix CI",
        "created": ago(3_600).as_millisecond(), "updatedAt": ago(60).to_string(), "creatorUserID": "user_1",
        "meta": {"visibility": "private", "lastKnownAgentState": {"state": "streaming"}},
        "messages": [{"role": "assistant", "messageId": 1, "content": [], "usage": usage}]});
    change(&mut document);
    fs::write(folder.join(format!("threads/{number}.json")), document.to_string()).unwrap();
}
