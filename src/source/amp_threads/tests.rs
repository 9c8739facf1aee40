//! The source against real directories.

mod files;
mod money;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::domain::collection::CollectionState;
use crate::domain::record::Record;
use crate::domain::spend::SpendRow;
use crate::domain::time::Timestamp;
use crate::source::prices::{Picos, PriceBook, Tokens};

const ID: &str = "T-019b0000-1111-7222-8333-444455556666";
/// Long enough for any machine; nothing here waits for it unless something hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// A token costs a micro-dollar, of any model but `mystery`.
struct Flat;

impl PriceBook for Flat {
    fn call(&self, model: &str, tokens: &Tokens, _: Timestamp) -> Option<Picos> {
        (model != "mystery").then_some(Picos(i128::from(tokens.total()) * 1_000_000))
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
    uncounted: Uncounted,
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
        self.look_from(collection, &CollectionState::default(), &[]).await
    }

    async fn look_from(&self, collection: &str, state: &CollectionState, wanted: &[&str]) -> Seen {
        let wanted = wanted.iter().map(|key| (*key).to_owned()).collect();
        let request = LookRequest { wanted, ..LookRequest::full(collection, state.clone(), self.now) };
        let (pages, mut incoming) = Pages::channel();
        let mut seen = Seen {
            end: LookEnd::failed(Failure::broken("not ended")),
            records: Vec::new(),
            spend: Vec::new(),
            costs: Vec::new(),
            asked: Vec::new(),
            quarantined: Vec::new(),
            uncounted: Uncounted::default(),
        };
        let looking = async {
            let end = self.source.look(&request, &pages).await;
            drop(pages);
            end
        };
        let taking = async {
            while let Some(page) = incoming.recv().await {
                seen.quarantined.extend(page.quarantined);
                seen.uncounted.extend(page.uncounted);
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
            "messageCount": 2, "state": "streaming", "progress": "stalled", "visibility": "private",
        })
    );
    let mut facts = export.facts.clone();
    let cost = facts.remove("cost_usd").unwrap();
    assert!(cost.as_str().unwrap().starts_with("0.00095"), "950 tokens at a micro-dollar: {cost}");
    facts.remove("cost_at_least");
    assert_eq!(
        Value::from_iter(facts),
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
    assert_eq!(changed, ["messageCount", "progress", "state"]);

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

#[test]
fn the_path_is_checked() {
    for (path, fine) in [("threads", true), ("/srv/threads", true), ("", false), ("~/threads", false), ("a\0b", false)]
    {
        let config: Config = serde_json::from_value(json!({ "path": path })).unwrap();
        assert_eq!(config.problems().is_empty(), fine, "{path:?}");
    }
    assert!(serde_json::from_value::<Config>(json!({ "path": "x", "glob": "*" })).is_err());
    let odd: Config =
        serde_json::from_value(json!({ "path": "x", "stalled_after": "0s", "price_multiplier": 0 })).unwrap();
    assert_eq!(odd.problems().len(), 2);
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
