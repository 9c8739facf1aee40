//! "Write your own source in ten minutes", line by line: what the page shows is what comes, and works.

use std::path::Path;

use serde_json::json;

use crate::bench::Watch;
use crate::binary::Binary;
use crate::fake::{Fake, Route};

const TOKEN: &str = "jobs-token-1";

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sources/own.md")).unwrap()
}

/// The block after a mark.
fn block(page: &str, mark: &str) -> String {
    let (_, rest) = page.split_once(&format!("<!-- test: {mark} -->\n```")).unwrap_or_else(|| panic!("{mark}"));
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("\n```\n").unwrap().0.to_owned() + "\n"
}

/// The arguments of a command the page shows, and where its output goes.
fn command(line: &str, url: &str) -> (Vec<String>, Option<String>) {
    let line = line.trim().replace("$API", url);
    let (command, file) = line.split_once(" > ").map_or((line.as_str(), None), |(c, f)| (c, Some(f.to_owned())));
    let words: Vec<String> = command.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect();
    assert_eq!(words[0], "ampbridge");
    (words[1..].to_vec(), file)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_as_it_stands() {
    let routes = [("/v1/jobs", Route::Cursor("jobs", "jobs"))];
    let fake = Fake::start(Watch::real(), ("authorization", &format!("Bearer {TOKEN}")), &routes).await;
    for n in 1..=120 {
        fake.world()
            .table("jobs")
            .push(json!({"id": format!("job_{n:03}"), "title": format!("Job {n}"), "status": "queued",
            "queue": "default", "created_at": "2026-11-20T10:00:00Z", "latency_ms": n}));
    }
    let (page, url) = (page(), fake.url());
    let mut binary = Binary::new(&block(&page, "file ampbridge.toml"));
    binary.set("JOBS_TOKEN", TOKEN);
    let run = async |binary: &Binary, step: &str| {
        let (args, file) = command(&block(&page, step), &url);
        let ran = binary.run(&args.iter().map(String::as_str).collect::<Vec<_>>()).await.exits(0);
        if let Some(file) = file {
            binary.write(&file, &ran.stdout);
        }
        ran
    };

    let proposed = run(&binary, "step infer").await;
    assert_eq!(proposed.stdout, block(&page, "file jobs.toml").replace("$API", &url), "{}", proposed.stderr);
    binary.write("jobs.toml", &block(&page, "edit jobs.toml").replace("$API", &url));
    let checked = run(&binary, "step check").await;
    let said = format!("{}{}", checked.stdout, checked.stderr);
    for part in
        ["120 rows in 3 calls", "job_001: status queued", "job.created for a new one", "job.failed", "calls a day"]
    {
        assert!(said.contains(part), "{part} not in\n{said}");
    }

    run(&binary, "step once").await;
    {
        let mut world = fake.world();
        world.row("jobs", "job_007")["status"] = json!("failed");
        world.row("jobs", "job_008")["status"] = json!("running");
        world.row("jobs", "job_009")["latency_ms"] = json!(9_999);
        world.table("jobs").push(json!({"id": "job_121", "title": "Job 121", "status": "queued"}));
        world.table("jobs").retain(|row| row["id"] != "job_010");
    }
    run(&binary, "step once").await;
    run(&binary, "step once").await;
    let mut kinds = binary.kinds().await;
    kinds.sort();
    assert_eq!(kinds, ["job.created", "job.deleted", "job.failed", "job.updated"]);
}

/// What is wrong with a manifest is told all at once, with its place.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_all_at_once() {
    let binary = Binary::new("[sources.jobs]\nkind = \"http_json\"\nmanifest = \"jobs.toml\"\n");
    binary.write(
        "jobs.toml",
        "base = \"ftp://x\"\n[collections.jobs]\ngett = \"/jobs\"\nrecords = \"jobs\"\nkey = [\"id\"]\n\
         page = { kind = \"cursor\" }\nsweep = { deletes = \"two_sweeps\" }\n[collections.level]\nrole = \"gauge\"\n\
         get = \"/x\"\nsingle = true\n",
    );
    let checked = binary.run(&["check"]).await.exits(2);
    assert!(
        checked.stderr.contains("gett (jobs.toml line 3): unknown key; did you mean \"get\"?"),
        "{}",
        checked.stderr
    );
    binary.write(
        "jobs.toml",
        "base = \"ftp://x\"\n[collections.jobs]\nget = \"/jobs\"\nrecords = \"jobs\"\nkey = [\"id\"]\n\
         page = { kind = \"none\", whole = false }\nsweep = { deletes = \"two_sweeps\" }\n[collections.level]\n\
         role = \"gauge\"\nget = \"/x\"\n",
    );
    let checked = binary.run(&["check"]).await.exits(2);
    for part in [
        "sources.jobs.manifest.base:",
        "sources.jobs.manifest.collections.jobs.records:",
        "sources.jobs.manifest.collections.jobs.key[0]:",
        "sources.jobs.manifest.collections.jobs.sweep.deletes: page says that one answer is not the whole list",
        "sources.jobs.manifest.collections.level.value: is missing",
    ] {
        assert!(checked.stderr.contains(part), "{part} not in\n{}", checked.stderr);
    }
}
