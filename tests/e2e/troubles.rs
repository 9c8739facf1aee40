//! Bad input, the row about the store: exit 3 with what to do, nothing overwritten, and going on after mending.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use crate::harness::{ACME, Bench, HEAD, HOOK, accepted, all_to, facts, ids, wait};

async fn bench() -> Bench {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    for n in 0..30 {
        bench.add_thread(&format!("thread {n}"));
    }
    bench.once().await;
    bench
}

/// All files of the store but those that every start writes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn restore(bench: &Bench) {
    fs::remove_dir_all(bench.path("store")).unwrap();
    copy(&bench.path("backup"), &bench.path("store"));
}

/// A thread added meanwhile is told, once, and the threads known before are not.
async fn goes_on(bench: &Bench, added: &str, title: &str) {
    bench.once().await;
    bench.once().await;
    let told: Vec<String> = facts(&accepted(&bench.hook)).into_iter().filter(|f| f.contains(added)).collect();
    assert_eq!(told, [format!("thread.created {added}")], "{title}");
}

/// Runs both kinds of commands on a store that can't be used.
async fn refused(bench: &Bench, says: &[&str], what: &str) {
    let before = contents(&bench.path("store"));
    for args in [&["once"][..], &["run"], &["events", "list"]] {
        let ran = bench.run(args).await.exits(3);
        ran.says(says);
        assert!(ran.stderr.contains("store"), "{what}: names the path: {}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{what}: {}", ran.stderr);
    }
    assert!(contents(&bench.path("store")) == before, "{what}: nothing is overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_cut_emptied_lost_or_full_of_garbage_is_refused_and_goes_on_once_restored() {
    let bench = bench().await;
    copy(&bench.path("store"), &bench.path("backup"));
    let database = bench.path("store/data/db");
    let whole = fs::read(&database).unwrap();
    let added = bench.add_thread("meanwhile");
    let garbage: Vec<u8> = (0..whole.len()).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
    let mut spoilt = whole.clone();
    let middle = whole.iter().rposition(|b| *b != 0).unwrap() / 2;
    spoilt[middle..middle + 64].copy_from_slice(&garbage[..64]);
    for (what, bytes) in [
        ("cut to half", whole[..whole.len() / 2].to_vec()),
        ("cut to a little", whole[..100].to_vec()),
        ("emptied", Vec::new()),
        ("garbage", garbage.clone()),
        ("some garbage", spoilt),
    ] {
        fs::write(&database, bytes).unwrap();
        refused(&bench, &["damaged", "backup"], what).await;
        restore(&bench);
    }
    fs::remove_file(&database).unwrap();
    refused(&bench, &["damaged", "missing"], "lost").await;
    restore(&bench);
    assert_eq!(bench.hook.received().len(), 0);
    goes_on(&bench, &added, "after mending").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_newer_format_is_refused_and_left_as_it_is() {
    let bench = bench().await;
    copy(&bench.path("store"), &bench.path("backup"));
    let marker = bench.path("store/marker");
    let bytes = fs::read(&marker).unwrap();
    let newest = bytes.chunks(256).map(|slot| std::str::from_utf8(slot).unwrap().trim_end().split_once(' ').unwrap().1);
    let mut mark = newest
        .map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap())
        .max_by_key(|mark| mark["turn"].as_u64())
        .unwrap();
    mark["format"] = json!(999);
    let json = mark.to_string();
    let slot = format!("{:<255}\n", format!("{:016x} {json}", xxh3_64(json.as_bytes())));
    fs::write(&marker, slot.repeat(2)).unwrap();
    let added = bench.add_thread("meanwhile");
    refused(&bench, &["newer", "999"], "newer").await;
    restore(&bench);
    goes_on(&bench, &added, "with the older format again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_use_is_refused_naming_path_and_process() {
    let bench = bench().await;
    let mut service = bench.service().await;
    let ran = bench.run(&["once"]).await.exits(3);
    ran.says(&["store", "in use", &format!("process {}", service.pid()), "ampbridge run"]);
    bench.run(&["run"]).await.exits(3).says(&[&format!("process {}", service.pid())]);
    assert!(service.is_running());
    let added = bench.add_thread("meanwhile");
    wait("the service goes on", || accepted(&bench.hook).iter().any(|e| e["subject"] == *added)).await;
    service.kill().await;
    // A lock whose holder is dead holds nobody up. What it was just sending may come again, under its id.
    bench.once().await;
    assert_eq!(ids(&accepted(&bench.hook)), ids(&bench.events().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_where_the_folder_should_be_is_refused() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    fs::write(bench.path("store"), "something else").unwrap();
    bench.run(&["once"]).await.exits(3).says(&["store"]);
    assert_eq!(fs::read_to_string(bench.path("store")).unwrap(), "something else");
    fs::remove_file(bench.path("store")).unwrap();
    bench.once().await;
}

/// A file system that is taken away again.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l".as_ref(), self.0.as_os_str()]).status();
    }
}

/// Mounts, or says loudly that this can't be done here.
fn mount(what: &str, target: &Path, args: &[&str]) -> Option<Mount> {
    let done = Command::new("mount").args(args).arg(target).output();
    if done.as_ref().is_ok_and(|o| o.status.success()) {
        return Some(Mount(target.to_owned()));
    }
    eprintln!("SKIPPED: mounts are not allowed here, so a store {what} can't be tried: {done:?}");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_store_is_refused_and_goes_on_once_writable() {
    let bench = bench().await;
    let store = bench.path("store");
    let Some(bound) = mount("on a read-only file system", &store, &["--bind", store.to_str().unwrap()]) else { return };
    let again = Command::new("mount").args(["-o", "remount,ro,bind"]).arg(&store).status().unwrap();
    assert!(again.success());
    let added = bench.add_thread("meanwhile");
    refused(&bench, &["Read-only"], "read-only").await;
    drop(bound);
    goes_on(&bench, &added, "writable again").await;

    // A store that is to be made where nothing can be.
    let empty = bench.path("empty");
    fs::create_dir(&empty).unwrap();
    let Some(bound) = mount("on a read-only file system", &empty, &["--bind", empty.to_str().unwrap()]) else { return };
    assert!(Command::new("mount").args(["-o", "remount,ro,bind"]).arg(&empty).status().unwrap().success());
    bench.configure(&[&HEAD.replace("\"store\"", "\"empty/store\""), ACME, HOOK, &all_to(&["hook"])]);
    bench.run(&["once"]).await.exits(3).says(&["empty/store", "Read-only"]);
    drop(bound);
    bench.once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_with_exit_3_and_nothing_is_lost_once_there_is_room() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    let store = bench.path("store");
    fs::create_dir(&store).unwrap();
    let Some(_mount) = mount("on a full disk", &store, &["-t", "tmpfs", "-o", "size=24m", "tmpfs"]) else { return };
    for n in 0..30 {
        bench.add_thread(&format!("thread {n}"));
    }
    bench.once().await;
    let filler = store.join("filler");
    fill(&filler);
    // More than what is left of the last block takes.
    let added: Vec<String> = (0..1_500).map(|n| bench.add_thread(&format!("{n} {}", noise(n)))).collect();
    let ran = bench.run(&["once", "--drain", "5"]).await.exits(3);
    ran.says(&["can't be"]);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    fs::remove_file(&filler).unwrap();
    bench.run(&["once", "--drain", "120"]).await.exits(0);
    bench.once().await;
    let told = facts(&accepted(&bench.hook));
    let mut expected: Vec<String> = added.iter().map(|id| format!("thread.created {id}")).collect();
    expected.sort();
    assert_eq!(told, expected, "each once: nothing leaves before it is kept");
}

/// Takes all the room there is.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4_096] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

/// Text that doesn't pack.
fn noise(seed: usize) -> String {
    let word = |n: usize| format!("{:016x}", xxh3_64(&[seed.to_le_bytes(), n.to_le_bytes()].concat()));
    (0..40).map(word).collect::<Vec<_>>().concat()
}
