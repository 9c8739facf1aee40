//! Every event type of every source, delivered by the real binary to a webhook that checks its signature.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ampbridge::demo::{Receiver, ReceiverOptions};
use ampbridge::domain::signing::SigningSecret;
use ampbridge::env::{Clock as _, SystemClock};
use serde_json::json;

use crate::bench::Watch;
use crate::binary::Binary;
use crate::systems::{self, System};

const SECRET: &str = "whsec_YW1wYnJpZGdlLXNvdXJjZXMtc2lnbmluZy1rZXktMDAwMDE=";
/// Rounds after which everything must have been told: levels and removals take two.
const ROUNDS: usize = 4;

/// What happens in a system, and every type it is told as.
struct Story {
    source: &'static str,
    happens: fn(&System),
    /// After the first has been told, for types that are the end of another.
    then: fn(&System),
    types: &'static [&'static str],
}

const STORIES: [Story; 5] = [
    Story {
        source: "amp_missions",
        happens: missions,
        then: |_| {},
        types: &[
            "content.approved",
            "content.created",
            "content.failed",
            "content.published",
            "content.rejected",
            "content.review_needed",
            "content.scheduled",
            "integration.changed",
            "key.created",
            "key.revoked",
            "mission.completed",
            "mission.created",
            "mission.deleted",
            "mission.paused",
            "mission.resumed",
            "mission.started",
            "mission.status_changed",
            "mission.updated",
        ],
    },
    Story {
        source: "amp_cli",
        happens: |system| {
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
        then: |system| {
            let text = "Individual credits: $51.10 remaining";
            *system.fake.world().doc("balance") = json!({"ok": true, "result": {"displayText": text}});
        },
        types: &[
            "balance.low",
            "balance.restored",
            "connection.changed",
            "thread.created",
            "thread.deleted",
            "thread.updated",
            "user.changed",
        ],
    },
    Story {
        source: "amply",
        happens: |system| {
            let mut world = system.fake.world();
            world.doc("status")["version"] = json!("3.1.13");
            world.table("providers").push(json!({"id": "milvus", "display_name": "Milvus"}));
            world.table("providers").retain(|row| row["id"] != "pinecone");
            world.row("health", "qdrant")["state"] = json!("down");
            world.doc("wallet")["balance_usd"] = json!(1.5);
            world.row("credentials", "crd_1")["state"] = json!("expired");
            world.table("credentials").retain(|row| row["id"] != "crd_2");
            world.table("credentials").push(json!({"id": "crd_9", "provider_id": "milvus", "state": "active"}));
        },
        then: |system| {
            let mut world = system.fake.world();
            world.row("health", "qdrant")["state"] = json!("healthy");
            world.doc("wallet")["can_call"] = json!(false);
        },
        types: &[
            "credential.added",
            "credential.changed",
            "credential.removed",
            "provider.added",
            "provider.degraded",
            "provider.recovered",
            "provider.removed",
            "status.changed",
            "wallet.depleted",
            "wallet.low",
            "wallet.topped_up",
        ],
    },
    Story {
        source: "anthropic",
        happens: |system| {
            let mut world = system.fake.world();
            world.row("users", "user_bo")["role"] = json!("admin");
            world.row("users", "user_ana")["name"] = json!("Ana");
            world
                .table("users")
                .push(json!({"id": "user_cy", "email": "cy@example.com", "name": "cy", "role": "user"}));
        },
        then: |system| system.fake.world().table("users").retain(|row| row["id"] != "user_cy"),
        types: &["member.added", "member.removed", "member.role_changed", "member.updated"],
    },
    Story {
        source: "cursor",
        happens: |system| {
            let mut world = system.fake.world();
            world.row("members", "bo@example.com")["role"] = json!("owner");
            world.row("members", "ana@example.com")["name"] = json!("Ana");
            world.table("members").push(json!({"email": "cy@example.com", "name": "cy", "role": "member"}));
        },
        then: |system| system.fake.world().table("members").retain(|row| row["email"] != "cy@example.com"),
        types: &["member.added", "member.removed", "member.role_changed", "member.updated"],
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
    world.table("keys").retain(|row| row["id"] != "key_2");
    world.table("keys").push(key("key_3"));
    world.doc("integrations")["integrations"][0]["status"] = json!("expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_type_of_every_source_reaches_a_webhook() {
    for story in &STORIES {
        let (_, start, _) = systems::all().into_iter().find(|(name, _, _)| *name == story.source).unwrap();
        let system = start(Watch::real()).await;
        if story.source == "amp_missions" {
            let befores = ["draft", "active", "paused", "active", "active", "active", "active"];
            for (n, status) in befores.into_iter().enumerate() {
                let id = format!("msn_{}", n + 10);
                system.fake.world().table("missions").push(systems::amp_missions::mission(&id, status));
            }
        }
        let receiver = receiver().await;
        let hook = format!(
            "[sinks.hook]\nkind = \"webhook\"\nurl = \"{}\"\nsecrets = [\"{SECRET}\"]\n\
             [[routes]]\nevents = [\"*\"]\nsinks = [\"hook\"]\n[store]\nsync = \"process\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
            receiver.url()
        );
        let binary = Binary::new(&format!("{}{hook}", system.config));
        binary.run(&["check", "--connect"]).await.exits(0);
        for _ in 0..2 {
            binary.run(&["once"]).await.exits(0);
        }
        assert_eq!(binary.kinds().await, Vec::<String>::new(), "{}: a quiet baseline", story.source);
        (story.happens)(&system);
        for _ in 0..2 {
            binary.run(&["once"]).await.exits(0);
        }
        (story.then)(&system);
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
        let told: BTreeSet<String> =
            received.iter().map(|one| one.json().unwrap()["type"].as_str().unwrap().to_owned()).collect();
        let expected: BTreeSet<String> = story.types.iter().map(|kind| (*kind).to_owned()).collect();
        assert_eq!(told, expected, "{}", story.source);
        println!("{}: {} event types delivered: {}", story.source, told.len(), story.types.join(", "));
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
