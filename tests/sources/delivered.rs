//! Every event type of every source, delivered by the real binary to a webhook that checks its signature.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ampbridge::app::Parts;
use ampbridge::config;
use ampbridge::demo::{Receiver, ReceiverOptions};
use ampbridge::domain::signing::SigningSecret;
use ampbridge::env::{Clock as _, SystemClock};
use ampbridge::source::KINDS;
use serde_json::{Value, json};

use crate::bench::Watch;
use crate::binary::Binary;
use crate::fault::{Fault, Target};
use crate::systems::{self, RULES, System};

const SECRET: &str = "whsec_YW1wYnJpZGdlLXNvdXJjZXMtc2lnbmluZy1rZXktMDAwMDE=";
/// Rounds after which everything must have been told: levels and removals take two.
const ROUNDS: usize = 4;

/// What happens in a system, so that it is told as every type that its collections declare.
struct Story {
    source: &'static str,
    /// Goes at the end of the source's settings.
    config: &'static str,
    /// Before anything is known.
    before: fn(&System, &Path),
    happens: fn(&System, &Path),
    /// After the first has been told, for types that are the end of another.
    then: fn(&System, &Path),
}

/// One for each system, and one for the folder of thread documents.
const STORIES: [Story; 7] = [
    Story {
        source: "amp",
        config: "messages = true\n[rules.dear]\nkind = \"thread_cost\"\nlimits_usd = [5]\n",
        before: |_, _| {},
        happens: |system, _| systems::amp::everything_happens(system),
        then: |_, _| {},
    },
    Story {
        source: "amp_threads",
        config: "[rules.dear]\nkind = \"thread_cost\"\nlimits_usd = [5]\n",
        before: |_, folder| systems::amp_threads::fill(folder),
        happens: |_, folder| systems::amp_threads::everything_happens(folder),
        then: |_, _| {},
    },
    Story {
        source: "amp_missions",
        config: "",
        before: |system, _| {
            let befores = ["draft", "active", "paused", "active", "active", "active", "active"];
            for (n, status) in befores.into_iter().enumerate() {
                let id = format!("msn_{}", n + 10);
                system.fake.world().table("missions").push(systems::amp_missions::mission(&id, status));
            }
        },
        happens: |system, _| missions(system),
        then: |_, _| {},
    },
    Story {
        source: "amp_cli",
        config: "",
        before: |_, _| {},
        happens: |system, _| {
            let mut world = system.fake.world();
            world.doc("user")["email"] = json!("ana@acme.example.com");
            world
                .table("threads")
                .push(json!({"id": "T-9", "title": "Port the parser", "createdAt": "2026-11-22T00:00:00Z"}));
            world.row("threads", "T-1")["title"] = json!("Fix the build");
            world.table("threads").retain(|row| row["id"] != "T-3");
            world.doc("github")["authenticated"] = json!(false);
            *world.doc("balance") =
                json!({"ok": true, "result": {"displayText": "Individual credits: $1.10 remaining"}});
        },
        then: |system, _| {
            let text = "Individual credits: $51.10 remaining";
            *system.fake.world().doc("balance") = json!({"ok": true, "result": {"displayText": text}});
        },
    },
    Story {
        source: "amply",
        config: "",
        before: |_, _| {},
        happens: |system, _| {
            let mut world = system.fake.world();
            world.doc("status")["version"] = json!("3.1.13");
            world.table("providers").push(json!({"id": "milvus", "display_name": "Milvus"}));
            world.table("providers").retain(|row| row["id"] != "pinecone");
            world.row("providers", "qdrant")["catalog_listing"] = json!("delisted");
            world.row("health", "qdrant")["state"] = json!("down");
            world.doc("wallet")["balance_usd"] = json!(1.5);
            world.row("credentials", "crd_1")["state"] = json!("expired");
            world.table("credentials").retain(|row| row["id"] != "crd_2");
            world.table("credentials").push(json!({"id": "crd_9", "provider_id": "milvus", "state": "active"}));
        },
        then: |system, _| {
            let mut world = system.fake.world();
            world.row("health", "qdrant")["state"] = json!("healthy");
            world.doc("wallet")["can_call"] = json!(false);
        },
    },
    Story {
        source: "anthropic",
        config: "",
        before: |_, _| {},
        happens: |system, _| {
            let mut world = system.fake.world();
            world.row("users", "user_bo")["role"] = json!("admin");
            world.row("users", "user_ana")["name"] = json!("Ana");
            world
                .table("users")
                .push(json!({"id": "user_cy", "email": "cy@example.com", "name": "cy", "role": "user"}));
        },
        then: |system, _| system.fake.world().table("users").retain(|row| row["id"] != "user_cy"),
    },
    Story {
        source: "cursor",
        config: "",
        before: |_, _| {},
        happens: |system, _| {
            let mut world = system.fake.world();
            world.row("members", "bo@example.com")["role"] = json!("owner");
            world.row("members", "ana@example.com")["name"] = json!("Ana");
            world.table("members").push(json!({"email": "cy@example.com", "name": "cy", "role": "member"}));
        },
        then: |system, _| system.fake.world().table("members").retain(|row| row["email"] != "cy@example.com"),
    },
];

fn missions(system: &System) {
    use systems::amp_missions::{content, key, mission};
    let mut world = system.fake.world();
    world.table("missions").push(mission("msn_new", "draft"));
    for (id, status) in
        [("msn_10", "active"), ("msn_11", "paused"), ("msn_12", "active"), ("msn_13", "completed"), ("msn_14", "draft")]
    {
        world.row("missions", id)["status"] = json!(status);
    }
    world.row("missions", "msn_15")["name"] = json!("Launch week");
    world.table("missions").retain(|row| row["id"] != "msn_16");
    let statuses = ["approved", "rejected", "scheduled", "published", "failed", "pending_review"];
    for (n, status) in statuses.into_iter().enumerate() {
        world.row("content", &format!("cnt_{n:03}"))["status"] = json!(status);
    }
    world.table("content").push(content("cnt_new", "draft", "2026-11-22T09:00:00Z", 3));
    world.row("content", "cnt_010")["version"] = json!(2);
    world.table("content").retain(|row| row["id"] != "cnt_011");
    world.table("keys").retain(|row| row["id"] != "key_2");
    world.table("keys").push(key("key_3"));
    world.row("keys", "key_1")["scopes"] = json!(["missions:read", "missions:write"]);
    world.doc("integrations")["integrations"][0]["status"] = json!("expired");
}

/// Every type that the collections of a config's sources declare, and those of rules about single threads.
fn declared(binary: &Binary) -> BTreeSet<String> {
    let folder = binary.folder.path();
    let text = std::fs::read_to_string(folder.join("ampbridge.toml")).unwrap();
    let settings = config::load_text(&text, folder).unwrap_or_else(|problems| panic!("{problems:?}"));
    let parts = Parts::assemble(settings).unwrap_or_else(|problems| panic!("{problems:?}"));
    let collections = parts.sources.iter().flat_map(|source| source.collections());
    let rules = parts.settings.rules.iter().flat_map(|rule| rule.rule.event_types());
    collections.flat_map(|c| c.spec.event_types()).chain(rules.map(|kind| (*kind).to_owned())).collect()
}

#[test]
fn every_kind_of_source_has_a_story() {
    let told: BTreeSet<&str> = STORIES.iter().map(|story| story.source).collect();
    // A manifest of one's own declares what its owner writes.
    let kinds = KINDS.iter().map(|kind| kind.name).filter(|kind| *kind != "http_json");
    let shipped = ampbridge::source::rest::shipped::names();
    let missing: Vec<&str> = kinds.chain(shipped).filter(|name| !told.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_type_of_every_source_reaches_a_webhook() {
    for story in &STORIES {
        let start = systems::all().into_iter().find(|(name, ..)| *name == story.source).map(|(_, start, _)| start);
        let system = match start {
            Some(start) => start(Watch::real()).await,
            None => systems::amp_threads::start().await,
        };
        let receiver = receiver().await;
        let hook = format!(
            "[sinks.hook]\nkind = \"webhook\"\nurl = \"{}\"\nsecrets = [\"{SECRET}\"]\n\
             [[routes]]\nevents = [\"*\"]\nsinks = [\"hook\"]\n[store]\nsync = \"process\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
            receiver.url()
        );
        let binary = Binary::new(&format!("{}{}{hook}", system.config.replace(RULES, ""), story.config));
        let folder = binary.folder.path();
        (story.before)(&system, folder);
        binary.run(&["check", "--connect"]).await.exits(0);
        for _ in 0..2 {
            binary.run(&["once"]).await.exits(0);
        }
        assert_eq!(binary.kinds().await, Vec::<String>::new(), "{}: a quiet baseline", story.source);
        (story.happens)(&system, folder);
        for _ in 0..2 {
            binary.run(&["once"]).await.exits(0);
        }
        (story.then)(&system, folder);
        for _ in 0..ROUNDS {
            binary.run(&["once"]).await.exits(0);
            if story.source == "amply" {
                system.fake.world().doc("wallet")["balance_usd"] = json!(40);
                if binary.kinds().await.iter().any(|kind| kind == "wallet.depleted") {
                    system.fake.world().doc("wallet")["can_call"] = json!(true);
                }
            }
        }
        let received = receiver.received();
        assert!(received.iter().all(|one| one.verified), "{}: every one is signed", story.source);
        let events: Vec<Value> = received.iter().map(|one| one.json().unwrap()).collect();
        let told: BTreeSet<String> = events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
        let expected = declared(&binary);
        assert_eq!(told, expected, "{}", story.source);
        let names: Vec<&str> = expected.iter().map(String::as_str).collect();
        println!("{}: {} event types delivered: {}", story.source, told.len(), names.join(", "));
        if story.source == "amp" {
            let counted = |event: &&Value| event["data"]["changed"] == json!(["messageCount"]);
            let event = events.iter().find(counted).unwrap_or_else(|| panic!("{events:#?}"));
            let (before, after) = (&event["data"]["before"], &event["data"]["after"]);
            assert_eq!((&before["messageCount"], &after["messageCount"]), (&json!(0), &json!(103)));
            assert_eq!((&event["type"], &event["data"]["name"]), (&json!("thread.updated"), &json!("Thread 1")));
        }
    }
}

async fn receiver() -> Receiver {
    let options = ReceiverOptions {
        addr: ([127, 0, 0, 1], 0).into(),
        secrets: vec![SigningSecret::parse(SECRET).unwrap()],
        tolerance_secs: 600,
        now: Arc::new(|| SystemClock.now()),
    };
    tokio::time::timeout(Duration::from_secs(60), Receiver::start(options)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_need_not_have_fails_once_when_it_is_found_missing_and_never_again() {
    let start = systems::all().into_iter().find(|(name, ..)| *name == "amp_missions").map(|(_, start, _)| start);
    let system = start.unwrap()(Watch::real()).await;
    let target = |path| Target { path, ..Target::jobs() };
    for (fault, path) in [(Fault::NotFound, "/v1/connect/status"), (Fault::Forbidden, "/v1/auth/keys")] {
        let binary = Binary::new(&system.config.replace(RULES, ""));
        system.fake.world().fault = Some((fault, target(path)));
        let said = binary.run(&["once"]).await.exits(1).stderr;
        assert!(said.contains(path.trim_start_matches("/v1")), "{said}");
        for _ in 0..2 {
            let said = binary.run(&["once"]).await.exits(0).stdout;
            assert!(said.contains("0 rows, still not there"), "{said}");
        }
        assert_eq!(binary.kinds().await, ["source.degraded"]);
        // Back, and gone once more, is another loss.
        system.fake.world().fault = None;
        binary.run(&["once"]).await.exits(0);
        system.fake.world().fault = Some((fault, target(path)));
        binary.run(&["once"]).await.exits(1);
        // What it can't do without fails each time, and so does a source that shows nothing at all.
        for everything in ["/v1/missions", "/v1/"] {
            system.fake.world().fault = Some((fault, target(everything)));
            for _ in 0..2 {
                binary.run(&["once"]).await.exits(1);
            }
        }
        system.fake.world().fault = None;
    }
}
