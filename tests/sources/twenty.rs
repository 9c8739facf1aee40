//! Twenty sources at once in one process, one of which hangs.
//!
//! `AMPBRIDGE_RECORDS=100000` sets how many records there are in all; what the process took is printed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::process::Command;

use crate::bench::Watch;
use crate::fake::{Fake, Route};
use crate::fault::{Fault, Target};

const SOURCES: usize = 20;
/// Nothing is proved by this running out; machines are slow and shared.
const DEADLINE: Duration = Duration::from_secs(300);

const MANIFEST: &str = r#"
base = "$BASE"
[collections.job]
get = "/jobs"
page = { kind = "after_key", send = "starting_after", more = "/has_more", size = ["limit", 100] }
records = "/data"
key = ["/id"]
watch = ["/status", "/name"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_source_delays_no_other() {
    let asked = ampbridge::env::variables().get("AMPBRIDGE_RECORDS").and_then(|n| n.parse::<usize>().ok());
    let records = asked.unwrap_or(2_000);
    let folder = tempfile::tempdir().unwrap();
    let mut config = String::from(
        "[store]\nsync = \"process\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[sinks.out]\nkind = \"console\"\n\
         [[routes]]\nevents = [\"job.*\"]\nsinks = [\"out\"]\n",
    );
    let mut fakes = Vec::new();
    for n in 0..SOURCES {
        let fake = Fake::start(Watch::real(), ("", ""), &[("/jobs", Route::AfterKey("jobs"))]).await;
        for row in 0..records / SOURCES {
            fake.world()
                .table("jobs")
                .push(json!({"id": format!("j{row:06}"), "name": format!("Job {row}"), "status": "queued"}));
        }
        std::fs::write(folder.path().join(format!("s{n}.toml")), MANIFEST.replace("$BASE", &fake.url())).unwrap();
        config += &format!(
            "[sources.s{n}]\nkind = \"http_json\"\nmanifest = \"s{n}.toml\"\nmax_rps = 1000\nevery = \"1s\"\ntimeout = \"60s\"\n"
        );
        fakes.push(fake);
    }
    fakes[0].world().fault = Some((Fault::Hang, Target::jobs()));
    std::fs::write(folder.path().join("ampbridge.toml"), config).unwrap();

    let out = std::fs::File::create(folder.path().join("out")).unwrap();
    let other = ampbridge::env::variables().remove("AMPBRIDGE_E2E_BIN");
    let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_ampbridge").to_owned()));
    command.args(["--log", "info", "run"]).current_dir(folder.path()).env_clear();
    let err = std::fs::File::create(folder.path().join("err")).unwrap();
    let mut process = command.stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true).spawn().unwrap();
    let pid = process.id().unwrap();
    let begun = Instant::now();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    until("every other source's baseline", || read("err").matches("baseline of").count() >= SOURCES - 1).await;
    let baseline = begun.elapsed();
    for fake in &fakes[1..] {
        fake.world().row("jobs", "j000000")["status"] = json!("done");
    }
    let changed = Instant::now();
    until("an event of every other source", || read("out").matches("j000000").count() >= SOURCES - 1).await;
    let told = changed.elapsed();
    let before = cpu_seconds(pid);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let share = (cpu_seconds(pid) - before) / 3.0 * 100.0;
    println!(
        "{SOURCES} sources, {records} records, one source hangs: baseline of the others in {baseline:.1?}, a change in each told \
         within {told:.1?}; polling everything every second: {share:.0} % of a core, {} MiB resident (debug build: {})",
        resident_mib(pid),
        cfg!(debug_assertions)
    );
    process.kill().await.unwrap();
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < DEADLINE, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// User and system time of a process; 0 where there is no `/proc`.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |n: usize| after.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    // Fields 14 and 15 of proc(5), in ticks of a hundredth of a second.
    (field(11) + field(12)) / 100.0
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
