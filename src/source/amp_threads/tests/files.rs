//! Files that are torn, huge, deep, linked, oddly named, away.

use super::*;

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

#[cfg(unix)]
#[tokio::test]
async fn credentials_beside_the_threads_are_never_opened() {
    let bench = Bench::new();
    // Who opens a FIFO for reading waits for a writer that never comes.
    for name in ["secrets.json", "pipe.json"] {
        assert!(std::process::Command::new("mkfifo").arg(bench.path(name)).status().unwrap().success());
    }
    std::os::unix::fs::symlink(bench.path("secrets.json"), bench.path("link.json")).unwrap();
    let elsewhere = bench.folder.path().join("session.json");
    fs::write(&elsewhere, thread("T-session")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.path("innocent.json")).unwrap();
    bench.put("session.json", thread("T-session"));
    bench.put("SECRETS.json", thread("T-secrets"));
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
