//! What a system allows and when it wants to be left alone outlives the process that was told.

use std::time::Duration;

use serde_json::json;

use crate::bench::{Bridge, Watch};
use crate::binary::Binary;
use crate::fake::{Fake, Route};
use crate::fault::{Fault, Target};

const MANIFEST: &str = "base = \"$BASE\"\n[collections.job]\nget = \"/jobs\"\nrecords = \"/data\"\nkey = [\"/id\"]\n\
    page = { kind = \"after_key\", send = \"starting_after\", more = \"/has_more\", size = [\"limit\", 100] }\n";

async fn jobs() -> (Fake, Binary) {
    let fake = Fake::start(Watch::real(), ("", ""), &[("/jobs", Route::AfterKey("jobs"))]).await;
    fake.world().table("jobs").push(json!({"id": "j1", "status": "queued"}));
    let binary = Binary::new("[sources.jobs]\nkind = \"http_json\"\nmanifest = \"jobs.toml\"\nevery = \"1s\"\n");
    binary.write("jobs.toml", &MANIFEST.replace("$BASE", &fake.url()));
    (fake, binary)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_the_limit_that_the_answers_named() {
    let (fake, binary) = jobs().await;
    let said = binary.run(&["check"]).await.exits(0).stdout;
    assert!(said.contains("together 86400 calls a day\n") && !said.contains("answers so far"), "{said}");
    assert!(!binary.folder.path().join("ampbridge-data").exists(), "check makes no store");
    fake.world().headers =
        vec![("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "50"), ("x-ratelimit-reset", "3000")];
    binary.run(&["once"]).await.exits(0);
    let said = binary.run(&["check"]).await.exits(0).stdout;
    for part in [
        "together 86400 calls a day, of 2400 allowed (100 calls an hour)",
        "its answers so far say that it allows 100 calls an hour",
        "so looks are 40.0 times further apart than said",
    ] {
        assert!(said.contains(part), "{part} not in\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_still_waits_as_long_as_the_system_asked_to() {
    let (fake, binary) = jobs().await;
    binary.run(&["once"]).await.exits(0);
    fake.world().fault = Some((Fault::TooManyForAnHour, Target::jobs()));
    binary.run(&["once"]).await.exits(1);
    fake.world().fault = None;
    let calls = fake.world().calls.len();
    let second = binary.run(&["once"]).await.exits(1);
    assert_eq!(fake.world().calls.len(), calls, "not called at all");
    assert!(
        second.stderr.contains("was not asked: its host wants to be left alone for another 3"),
        "{}",
        second.stderr
    );
    let shown = binary.run(&["state", "show", "--json"]).await.exits(0).stdout;
    assert!(shown.contains("not_before"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_asked_for_is_nothing_to_another() {
    let (fake, binary) = jobs().await;
    binary.run(&["once"]).await.exits(0);
    fake.world().fault = Some((Fault::TooManyForAnHour, Target::jobs()));
    binary.run(&["once"]).await.exits(1);
    for _ in 0..4 {
        let waiting = binary.run(&["once"]).await.exits(1);
        assert!(waiting.stderr.contains("was not asked: its host wants to be left alone"), "{}", waiting.stderr);
    }
    assert_eq!(binary.kinds().await, [""; 0], "one failed look and four that asked nothing");
    let (elsewhere, _) = jobs().await;
    binary.write("jobs.toml", &MANIFEST.replace("$BASE", &elsewhere.url()));
    binary.run(&["once"]).await.exits(0);
    assert_eq!(elsewhere.world().calls.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_wait_is_remembered_as_soon_as_it_is_asked_for() {
    let watch = Watch::default();
    let fake = Fake::start(watch.clone(), ("", ""), &[("/jobs", Route::AfterKey("jobs"))]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jobs.toml"), MANIFEST.replace("$BASE", &fake.url())).unwrap();
    let config = "[sources.jobs]\nkind = \"http_json\"\nmanifest = \"jobs.toml\"\n";
    let first = Bridge::new(config, folder.path(), &watch);
    first.look_well().await;
    fake.world().fault = Some((Fault::TooMany, Target::jobs()));
    fake.world().headers = vec![("retry-after", "40")];
    // The look waits by itself; the process ends in its midst, once it knows until when.
    tokio::select! {
        looks = first.look() => panic!("{looks:?}"),
        () = first.knows_when_to_ask_again("jobs", "job") => {}
    }
    let calls = fake.world().calls.len();
    let second = first.next(config, folder.path());
    let waits = tokio::time::timeout(Duration::from_secs(1), second.look()).await.is_err();
    assert!(waits, "the next process waits, too");
    assert_eq!(fake.world().calls.len(), calls);
    watch.advance(41);
    fake.world().fault = None;
    first.next(config, folder.path()).look_well().await;
}
