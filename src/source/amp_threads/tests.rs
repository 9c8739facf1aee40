//! The source against real directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::usage::{Pico, PriceBook, Tokens};
use super::*;
use crate::domain::collection::CollectionState;
use crate::domain::record::Record;
use crate::domain::spend::SpendRow;
use crate::domain::time::Timestamp;
use crate::source::Reach;

const ID: &str = "T-019b0000-1111-7222-8333-444455556666";
/// Long enough for any machine; nothing here waits for it unless something hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A token costs a micro-dollar, of any model but `mystery`.
struct Flat;

impl PriceBook for Flat {
    fn price(&self, model: &str, tokens: Tokens, _: Timestamp) -> Option<Pico> {
        let total = i64::try_from(tokens.total()).unwrap();
        (model != "mystery").then_some(Pico(total * 1_000_000))
    }
}

struct Bench {
    folder: TempDir,
    source: AmpThreads,
    now: Timestamp,
}

#[derive(Debug)]
struct Seen {
    end: LookEnd,
    records: Vec<Record>,
    spend: Vec<SpendRow>,
    costs: Vec<CostRow>,
    asked: Vec<String>,
    quarantined: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path().join("threads"), limits, Arc::new(Flat));
        fs::create_dir(directory.path()).unwrap();
        let common = Common { every: DEADLINE, timeout: DEADLINE, max_rps: 1.0, proxy: None, ca_file: None };
        // Far ahead of every file's time: all of them have settled.
        let now = "2100-01-01T00:00:00Z".parse().unwrap();
        Self { source: AmpThreads::new("local", directory, &common, true), folder, now }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("threads").join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    async fn look(&self, collection: &str) -> Seen {
        self.look_wanting(collection, &[]).await
    }

    async fn look_wanting(&self, collection: &str, wanted: &[&str]) -> Seen {
        let request = LookRequest {
            collection: collection.to_owned(),
            reach: Reach::Full,
            state: CollectionState::default(),
            wanted: wanted.iter().map(|key| (*key).to_owned()).collect(),
            now: self.now,
        };
        let (pages, mut incoming) = Pages::channel();
        let mut seen = Seen {
            end: LookEnd::failed(Failure::broken("not ended")),
            records: Vec::new(),
            spend: Vec::new(),
            costs: Vec::new(),
            asked: Vec::new(),
            quarantined: Vec::new(),
        };
        let looking = async {
            let end = self.source.look(&request, &pages).await;
            drop(pages);
            end
        };
        let taking = async {
            while let Some(page) = incoming.recv().await {
                seen.quarantined.extend(page.quarantined);
                seen.asked.extend(page.asked);
                match page.rows {
                    Rows::Records(rows) => seen.records.extend(rows),
                    Rows::Spend(rows) => seen.spend.extend(rows),
                    Rows::Costs(rows) => seen.costs.extend(rows),
                    Rows::Gauges(_) => panic!("no gauges here"),
                }
            }
        };
        let (end, ()) = tokio::time::timeout(DEADLINE * 2, futures_util::future::join(looking, taking)).await.unwrap();
        Seen { end, ..seen }
    }

    async fn threads(&self) -> Seen {
        let seen = self.look(THREADS).await;
        assert_eq!(seen.end.evidence, Evidence::Complete);
        seen
    }

    async fn view(&self) -> View {
        self.source.directory.look(self.now, DEADLINE).await.unwrap()
    }
}

impl Seen {
    fn keys(&self) -> Vec<&str> {
        self.records.iter().map(|r| r.key.as_str()).collect()
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/amp_threads");
    fs::read(folder.join(name)).unwrap()
}

fn thread(id: &str) -> String {
    json!({ "id": id, "v": 1, "messages": [] }).to_string()
}

#[tokio::test]
async fn a_thread_becomes_a_record() {
    let bench = Bench::new();
    bench.put("any name.json", fixture("export.v17.json"));
    bench.put("legacy.json", fixture("legacy-ledger.v42.json"));
    bench.put("list.json", fixture("list.json"));
    bench.put("settings.json", fixture("settings.json"));
    let seen = bench.threads().await;
    assert_eq!(seen.quarantined, Vec::<String>::new());
    let [legacy, export] = &seen.records[..] else { panic!("two threads, by id: {:?}", seen.keys()) };
    assert_eq!(
        Value::from_iter(export.fields.clone()),
        json!({
            "title": "Count the parcels", "agentMode": "smart", "repository": "https://git.example.com/acme/shop.git",
            "messageCount": 2, "state": "streaming", "visibility": "private",
        })
    );
    assert_eq!(
        Value::from_iter(export.facts.clone()),
        json!({
            "createdAt": "2026-10-04T09:00:00Z", "updatedAt": "2026-10-04T09:00:06Z", "v": 17, "file": "any name.json",
        })
    );
    assert_eq!(export.key, ID);
    assert_eq!(export.name.as_deref(), Some("Count the parcels"));
    assert_eq!(export.who.as_deref(), Some("user_ana"));
    assert_eq!(export.link, Some(format!("https://ampcode.com/threads/{ID}")));
    assert_eq!(export.created_at, Some("2026-10-04T09:00:00Z".parse().unwrap()));
    assert_eq!(legacy.fields["title"], Value::Null, "null is not absent");
    assert_eq!(legacy.fields["state"], "error", "of the last message, where nothing else tells");
    assert_eq!(legacy.fields["messageCount"], 6);
    assert!(!legacy.fields.contains_key("visibility") && !legacy.fields.contains_key("repository"));
    assert_eq!((legacy.name.as_ref(), legacy.who.as_ref()), (None, None));
    assert!(!format!("{seen:?}").contains("SECRET-CONTENT"));
    assert_eq!(bench.view().await.others, 2);
}

#[tokio::test]
async fn a_later_revision_is_an_update_and_a_revision_alone_is_not() {
    let bench = Bench::new();
    bench.put("a.json", fixture("export.v17.json"));
    let before = bench.threads().await.records.remove(0);
    bench.put("a.json", fixture("export.v19.json"));
    let after = bench.threads().await;
    assert_eq!(after.keys(), [ID]);
    let changed: Vec<&String> =
        before.fields.keys().filter(|name| before.fields.get(*name) != after.records[0].fields.get(*name)).collect();
    assert_eq!(changed, ["messageCount", "state"]);

    let mut touched: Value = serde_json::from_slice(&fixture("export.v19.json")).unwrap();
    touched["v"] = json!(20);
    touched["updatedAt"] = json!("2026-10-05T00:00:00Z");
    bench.put("a.json", touched.to_string());
    let quiet = bench.threads().await;
    assert_eq!(quiet.records[0].fields, after.records[0].fields);
    assert_eq!(quiet.records[0].facts["v"], 20);
}

#[tokio::test]
async fn of_two_files_of_one_thread_the_later_document_counts() {
    // (v, updatedAt) of a.json and b.json, and the one that is shown.
    let cases = [
        ((json!(19), json!("2026-10-04T09:00:00Z")), (json!(17), json!("2026-10-09T09:00:00Z")), "a.json"),
        ((json!(17), json!("2026-10-04T09:00:01Z")), (json!(17), json!("2026-10-04T09:00:00Z")), "a.json"),
        ((json!(17), json!(null)), (json!(17), json!(null)), "b.json"),
        ((json!(0), json!(null)), (json!("9"), json!("2026-10-04T09:00:00Z")), "a.json"),
    ];
    for ((v, updated), (other_v, other_updated), winner) in cases {
        let bench = Bench::new();
        let document = |v: &Value, updated: &Value| json!({"id": ID, "v": v, "updatedAt": updated, "messages": []});
        bench.put("a.json", document(&v, &updated).to_string());
        bench.put("b.json", document(&other_v, &other_updated).to_string());
        let seen = bench.threads().await;
        assert_eq!(seen.keys(), [ID]);
        assert_eq!(seen.records[0].facts["file"], winner);
    }
}

#[tokio::test]
async fn an_old_copy_that_goes_away_deletes_nothing() {
    let bench = Bench::new();
    bench.put("old.json", fixture("export.v17.json"));
    bench.put("new.json", fixture("export.v19.json"));
    assert_eq!(bench.threads().await.records[0].facts["v"], 19);
    fs::remove_file(bench.path("old.json")).unwrap();
    let seen = bench.threads().await;
    assert_eq!((seen.keys(), &seen.records[0].facts["v"]), (vec![ID], &json!(19)));
    fs::remove_file(bench.path("new.json")).unwrap();
    let seen = bench.threads().await;
    assert_eq!((seen.keys(), seen.quarantined.len()), (vec![], 0));
}

#[tokio::test]
async fn a_torn_file_keeps_showing_what_it_held() {
    let bench = Bench::new();
    bench.put("a.json", fixture("export.v17.json"));
    bench.put("b.json", thread("T-b"));
    let before = bench.threads().await;
    let whole = fixture("export.v19.json");
    for cut in [0, 1, whole.len() / 2, whole.len() - 3] {
        bench.put("a.json", &whole[..cut]);
        let torn = bench.threads().await;
        assert_eq!(torn.records, before.records, "cut at {cut}");
        assert_eq!(torn.quarantined.len(), 1, "bars removals");
        assert!(torn.quarantined[0].starts_with("\"a.json\" "), "{:?}", torn.quarantined);
    }
    bench.put("a.json", [whole.as_slice(), b"leftovers of a longer file\"}"].concat());
    assert_eq!(bench.threads().await.quarantined.len(), 1);
    bench.put("a.json", &whole);
    let mended = bench.threads().await;
    assert_eq!(mended.quarantined.len(), 0);
    assert_eq!(mended.records[0].fields["messageCount"], 4);
}

#[tokio::test]
async fn what_was_never_whole_is_quarantined_by_name() {
    let bench = Bench::new();
    bench.put("new.json", "{\"id\":\"T-new\",\"mess");
    bench.put("empty-id.json", thread(""));
    bench.put("long-id.json", thread(&"T".repeat(300)));
    bench.put("odd-id.json", thread("T-\u{7}"));
    let seen = bench.threads().await;
    assert_eq!(seen.records, []);
    let names: Vec<&str> = seen.quarantined.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["\"empty-id.json\"", "\"long-id.json\"", "\"new.json\"", "\"odd-id.json\""]);
}

#[tokio::test]
async fn what_is_no_thread_is_ignored() {
    let bench = Bench::new();
    for (index, content) in
        ["[]", "{}", "1", "null", "\"x\"", "true", r#"{"id":7,"messages":[]}"#, r#"{"id":"T-x"}"#, r#"{"messages":[]}"#]
            .iter()
            .enumerate()
    {
        bench.put(&format!("{index}.json"), content);
    }
    bench.put("T-thread.json.tmp", thread("T-tmp"));
    bench.put("T-thread.jsonl", thread("T-lines"));
    bench.put(".T-hidden.json", "not even JSON");
    fs::create_dir(bench.path("folder.json")).unwrap();
    fs::create_dir(bench.path("nested")).unwrap();
    bench.put("nested/T-deep.json", thread("T-deep"));
    let seen = bench.threads().await;
    assert_eq!((seen.records.len(), seen.quarantined.len()), (0, 0), "{seen:?}");
    assert_eq!(bench.view().await.others, 10);
}

#[tokio::test]
async fn a_member_of_a_wrong_type_counts_as_absent() {
    let bench = Bench::new();
    bench.put(
        "a.json",
        json!({
            "id": "T-a", "v": "x", "created": {}, "updatedAt": 5.5, "title": ["x"], "agentMode": 7, "creatorUserID": [],
            "archived": "yes", "env": [], "meta": "x", "usageLedger": 3,
            "messages": [1, "x", null, [], {"state": 1, "usage": [], "content": 4, "meta": true, "messageId": {}}],
        })
        .to_string(),
    );
    let seen = bench.threads().await;
    assert_eq!(Value::from_iter(seen.records[0].fields.clone()), json!({ "messageCount": 5 }));
    assert_eq!(seen.records[0].facts.keys().collect::<Vec<_>>(), ["file"]);
    assert_eq!(bench.look(USAGE).await.spend, []);
}

#[cfg(unix)]
#[tokio::test]
async fn credentials_beside_the_threads_are_never_opened() {
    let bench = Bench::new();
    // Who opens a FIFO for reading waits for a writer that never comes.
    for name in ["secrets.json", "session.json", "Secrets.JSON", "pipe.json"] {
        assert!(std::process::Command::new("mkfifo").arg(bench.path(name)).status().unwrap().success());
    }
    std::os::unix::fs::symlink(bench.path("secrets.json"), bench.path("link.json")).unwrap();
    let elsewhere = bench.folder.path().join("session.json");
    fs::write(&elsewhere, thread("T-session")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.path("innocent.json")).unwrap();
    bench.put("a.json", thread("T-a"));
    let seen = bench.threads().await;
    assert_eq!((seen.keys(), seen.quarantined.len()), (vec!["T-a"], 0));
}

#[cfg(unix)]
#[tokio::test]
async fn links_lead_to_regular_files_only() {
    let bench = Bench::new();
    let elsewhere = bench.folder.path().join("real.json");
    fs::write(&elsewhere, thread("T-linked")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.path("link.json")).unwrap();
    std::os::unix::fs::symlink(bench.folder.path(), bench.path("folder.json")).unwrap();
    std::os::unix::fs::symlink(bench.path("loop.json"), bench.path("loop.json")).unwrap();
    let seen = bench.threads().await;
    assert_eq!(seen.keys(), ["T-linked"]);
    assert_eq!(seen.quarantined.len(), 1, "{:?}", seen.quarantined);
    fs::remove_file(&elsewhere).unwrap();
    let seen = bench.threads().await;
    assert_eq!(seen.keys(), ["T-linked"], "a link whose target is away deletes nothing");
    assert_eq!(seen.quarantined.len(), 2);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn names_are_data() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let raw = bench.folder.path().join("threads").join(std::ffi::OsStr::from_bytes(b"\xff\xfe.json"));
    fs::write(&raw, thread("T-raw")).unwrap();
    bench.put("a\nb.json", "torn");
    bench.put(&format!("{}.json", "x".repeat(250)), thread("T-long"));
    bench.put("<!channel> {{ event }}.json", thread("T-markup"));
    let seen = bench.threads().await;
    assert_eq!(seen.keys(), ["T-long", "T-markup", "T-raw"]);
    assert_eq!(seen.records[2].facts["file"], "\u{fffd}\u{fffd}.json");
    assert_eq!(seen.quarantined.len(), 1);
    assert!(!seen.quarantined[0].contains('\n'));
}

#[tokio::test]
async fn a_missing_or_unlistable_directory_is_not_an_empty_one() {
    let bench = Bench::new();
    bench.put("a.json", thread("T-a"));
    bench.threads().await;
    fs::rename(bench.path(""), bench.folder.path().join("away")).unwrap();
    for collection in [THREADS, USAGE, COSTS] {
        let seen = bench.look(collection).await;
        let Evidence::Partial(failure) = &seen.end.evidence else { panic!("{:?}", seen.end.evidence) };
        assert!(failure.message.contains("threads"), "{}", failure.message);
        assert_eq!(seen.end.pages, 0);
    }
    assert!(bench.source.connect().await.is_err());
    fs::write(bench.folder.path().join("threads"), "a file").unwrap();
    assert!(matches!(bench.look(THREADS).await.end.evidence, Evidence::Partial(_)));
    fs::remove_file(bench.folder.path().join("threads")).unwrap();
    fs::rename(bench.folder.path().join("away"), bench.path("")).unwrap();
    assert_eq!(bench.threads().await.keys(), ["T-a"]);
    assert!(bench.source.connect().await.unwrap().starts_with("1 JSON files in "));
}

#[tokio::test]
async fn files_and_directories_beyond_the_limits_are_refused_whole() {
    let bench = Bench::with(Limits { file_bytes: 2_000, files: 3 });
    bench.put("a.json", thread("T-a"));
    bench.put("b.json", thread("T-b"));
    assert_eq!(bench.threads().await.keys(), ["T-a", "T-b"]);
    bench.put("a.json", json!({"id": "T-a", "messages": [{"content": "x".repeat(3_000)}]}).to_string());
    let seen = bench.threads().await;
    assert_eq!(seen.keys(), ["T-a", "T-b"], "a thread that outgrew the cap is not gone");
    assert_eq!(seen.quarantined.len(), 1);
    bench.put("c.json", thread("T-c"));
    bench.put("d.json", thread("T-d"));
    assert!(matches!(bench.look(THREADS).await.end.evidence, Evidence::Partial(_)));
}

#[tokio::test]
async fn depth_breaks_nothing() {
    let bench = Bench::new();
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let object = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    bench.put("list.json", format!("{open}{close}"));
    bench.put("object.json", &object);
    bench.put("torn.json", &open);
    bench.put("torn-object.json", format!(r#"{{"id":"T-x","messages":[{{"content":{open}"#));
    for (deep, index) in [&object, &format!("{open}{close}")].into_iter().zip(0..) {
        for place in ["title", "created", "env", "meta", "messages", "content", "usage"] {
            let message = if matches!(place, "content" | "usage") {
                format!(r#","messages":[{{"{place}":{deep}}}]"#)
            } else {
                String::new()
            };
            let top = if message.is_empty() { format!(r#","{place}":{deep}"#) } else { message };
            bench.put(
                &format!("{place}-{index}.json"),
                format!(r#"{{"id":"T-{place}-{index}","usageLedger":{{}}{top}}}"#),
            );
        }
    }
    let seen = bench.threads().await;
    assert_eq!(seen.records.len(), 14);
    assert_eq!(seen.quarantined.len(), 2, "{:?}", seen.quarantined);
}

#[tokio::test]
async fn half_an_emoji_and_a_byte_order_mark_are_mended() {
    let bench = Bench::new();
    bench.put("half.json", r#"{"id":"T-half","title":"ship it \ud83d","messages":[{"content":"\udc00 \\ud83d"}]}"#);
    bench.put("whole.json", r#"{"id":"T-whole","title":"\ud83d\ude80 \\ud83d","messages":[]}"#);
    bench.put("bom.json", format!("\u{feff}{}", thread("T-bom")));
    let seen = bench.threads().await;
    assert_eq!(seen.quarantined, Vec::<String>::new());
    assert_eq!(seen.keys(), ["T-bom", "T-half", "T-whole"]);
    assert_eq!(seen.records[1].fields["title"], "ship it \u{fffd}");
    assert_eq!(seen.records[2].fields["title"], "\u{1f680} \\ud83d");
}

#[tokio::test]
async fn unchanged_files_are_not_read_again() {
    let mut bench = Bench::new();
    for n in 0..1_200 {
        bench.put(&format!("{n}.json"), thread(&format!("T-{n:05}")));
    }
    assert_eq!(bench.view().await.read, 1_200);
    assert_eq!(bench.view().await.read, 0);
    bench.put("7.json", json!({"id": "T-00007", "v": 2, "title": "changed", "messages": []}).to_string());
    let view = bench.view().await;
    assert_eq!((view.read, view.threads.len()), (1, 1_200));
    let seen = bench.threads().await;
    assert_eq!((seen.records.len(), seen.end.pages), (1_200, 3));
    assert_eq!(seen.records[7].fields["title"], "changed");
    // A file written just now may be written again without a trace in its times.
    bench.now = fs::metadata(bench.path("7.json")).unwrap().modified().unwrap().try_into().unwrap();
    bench.put("7.json", json!({"id": "T-00007", "v": 2, "title": "changed", "messages": [1]}).to_string());
    assert_eq!(bench.view().await.read, 1);
    assert_eq!(bench.view().await.read, 1);
}

#[tokio::test]
async fn a_thread_marked_deleted_is_not_shown_but_was_paid_for() {
    let bench = Bench::new();
    let mut document: Value = serde_json::from_slice(&fixture("export.v19.json")).unwrap();
    document["meta"]["deleted"] = json!(true);
    bench.put("a.json", document.to_string());
    assert_eq!(bench.threads().await.keys(), Vec::<&str>::new());
    assert_eq!(bench.look(USAGE).await.spend.len(), 1);
}

#[tokio::test]
async fn spend_is_the_sum_over_all_threads_by_day_user_and_model() {
    let bench = Bench::new();
    bench.put("old.json", fixture("export.v17.json"));
    bench.put("new.json", fixture("export.v19.json"));
    let mut other: Value = serde_json::from_slice(&fixture("export.v17.json")).unwrap();
    other["id"] = json!("T-other");
    bench.put("other.json", other.to_string());
    bench.put(
        "mystery.json",
        json!({"id": "T-m", "created": 1_791_104_400_000_i64, "messages": [{"usage": {"model": "mystery", "inputTokens": 3}}]})
            .to_string(),
    );
    let seen = bench.look(USAGE).await;
    let rows: Vec<_> = seen
        .spend
        .iter()
        .map(|r| (r.day.to_string(), r.user.as_deref(), r.model.as_deref(), r.amount.0, r.tokens))
        .collect();
    // v19 of the one (950 and 1,056 tokens) and v17 of the other (950): v17 of the first is the same calls.
    assert_eq!(rows, [("2026-10-04".to_owned(), Some("user_ana"), Some("claude-haiku-4-5-20251001"), 2_956, 2_956)]);
    assert!(seen.spend.iter().all(|r| r.basis == crate::domain::spend::Basis::Estimate && !r.whole_user));
    assert_eq!(seen.quarantined, ["\"mystery\" is in no price table: what its 3 tokens cost is unknown"]);
}

#[tokio::test]
async fn costs_are_shown_when_they_change_or_are_asked_for() {
    let bench = Bench::new();
    bench.put("a.json", fixture("export.v17.json"));
    bench.put("b.json", json!({"id": "T-free", "messages": []}).to_string());
    let first = bench.look(COSTS).await;
    assert_eq!(first.costs.len(), 1);
    assert_eq!((first.costs[0].cost, first.costs[0].estimated), (Micros(950), true));
    assert_eq!(
        Value::from_iter(first.costs[0].facts.clone()),
        json!({
            "name": "Count the parcels", "who": "user_ana", "link": format!("https://ampcode.com/threads/{ID}"),
            "createdAt": "2026-10-04T09:00:00Z",
        })
    );
    assert_eq!(bench.look(COSTS).await.costs, []);
    let asked = bench.look_wanting(COSTS, &[ID, "T-gone"]).await;
    assert_eq!((asked.costs.len(), asked.asked), (1, vec![ID.to_owned(), "T-gone".to_owned()]));
    bench.put("a.json", fixture("export.v19.json"));
    assert_eq!(bench.look(COSTS).await.costs[0].cost, Micros(2_006));
}

#[test]
fn the_path_is_checked() {
    for (path, fine) in [("threads", true), ("/srv/threads", true), ("", false), ("~/threads", false), ("a\0b", false)]
    {
        let config = Config { path: path.to_owned() };
        assert_eq!(config.problems().is_empty(), fine, "{path:?}");
    }
    assert!(serde_json::from_value::<Config>(json!({ "path": "x", "glob": "*" })).is_err());
}

/// The folder with samples that are not ours to copy.
fn shared() -> Option<PathBuf> {
    let folder = crate::env::variables().get("AMPBRIDGE_SHARED").map(|p| Path::new(p).join("data/amp-threads"));
    if folder.is_none() {
        eprintln!("SKIPPED: set AMPBRIDGE_SHARED to the folder with the public samples to run this test");
    }
    folder
}

#[tokio::test]
async fn the_public_samples_are_read() {
    let Some(folder) = shared() else { return };
    let bench = Bench::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), bench.path(entry.file_name().to_str().unwrap())).unwrap();
    }
    let seen = bench.threads().await;
    assert_eq!(seen.quarantined, Vec::<String>::new());
    let shown: Vec<_> = seen
        .records
        .iter()
        .map(|r| {
            (r.key.as_str(), r.facts["file"].as_str().unwrap(), r.fields.get("messageCount").and_then(Value::as_u64))
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("T-0199aaaa-bbbb-7ccc-8ddd-eeeeffff0001", "txcript-legacy-smart.v42.json", Some(7)),
            ("T-019ca6da-0000-7000-8000-000000000000", "clast-old-epoch.v6269.json", Some(4)),
            ("T-01a050ef-71e8-74bc-9b63-c0ad20e3a068", "clast-idle-local-client.v19.json", Some(4)),
            ("T-01a11417-0000-7000-8000-000000000000", "clast-sandbox.v33.json", Some(4)),
            ("T-test-5678", "ampcode-all-block-types.v5.json", Some(3)),
            ("T-thread-a", "ccusage-message-usage-2026-01.json", Some(2 + 1)),
            ("thread-a", "ccusage-ledger-vs-message-conflict.json", Some(1)),
            ("thread-partial", "tokscale-partial-ledger.json", Some(2)),
        ]
    );
    assert_eq!(bench.view().await.others, 3);
}
