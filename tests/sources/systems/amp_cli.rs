//! 002: the user, their threads, GitHub, the balance.

use serde_json::{Value, json};

use super::{Cell, QUICK, RULES, System};
use crate::bench::Watch;
use crate::fake::{Fake, Route};
use crate::fault::{Fault, Paging, Target};

pub async fn start(watch: Watch) -> System {
    let routes = [
        ("/api/user", Route::Doc("user")),
        ("/api/threads", Route::Whole("threads", "threads")),
        ("/api/threads/", Route::One("threads")),
        ("/api/internal/github-auth-status", Route::Doc("github")),
        ("/api/internal", Route::Doc("balance")),
    ];
    let fake = Fake::start(watch, ("authorization", "Bearer sgamp_1"), &routes).await;
    {
        let mut world = fake.world();
        world.docs.insert("user".into(), (200, json!({"id": "user_1", "email": "ana@example.com", "name": "Ana"})));
        for n in 1..=3 {
            world.table("threads").push(thread(&format!("T-{n}"), "Fix CI"));
        }
        world.docs.insert("github".into(), (200, json!({"authenticated": true, "scopes": ["repo", "user"]})));
        world.docs.insert("balance".into(), (200, balance("14.03")));
    }
    let config = format!(
        "[sources.cli]\nkind = \"amp_cli\"\napi_key = \"sgamp_1\"\nbase_url = \"{}\"\n{QUICK}{RULES}",
        fake.url()
    );
    System { fake, config, workspace: None }
}

pub fn thread(id: &str, title: &str) -> Value {
    json!({"id": id, "title": title, "createdAt": "2026-11-20T00:00:00Z", "updatedAt": "2026-11-20T01:00:00Z"})
}

pub fn balance(left: &str) -> Value {
    let text =
        format!("Amp Free: $8.20/$10.00 remaining (replenishes +$0.42/hour)\nIndividual credits: ${left} remaining");
    json!({"ok": true, "result": {"displayText": text}})
}

fn only(path: &'static str, rows: &'static str, field: &'static str) -> Target {
    Target { path, marker: "", paging: Paging::None, rows, inner: "", counted: false, field, single: true }
}

pub const CELLS: &[Cell] = &[
    Cell {
        collection: "user",
        target: || only("/api/user", "", "/email"),
        change: |system| system.fake.world().doc("user")["email"] = json!("ana@acme.example.com"),
        told: &["user.changed user_1"],
        true_for: &[Fault::FieldNull],
    },
    Cell {
        collection: "thread",
        target: || Target { single: false, ..only("/api/threads", "/threads", "/title") },
        change: |system| system.fake.world().table("threads").push(thread("T-4", "Port the parser")),
        told: &["thread.created T-4"],
        true_for: &[Fault::FieldNull],
    },
    Cell {
        collection: "connection",
        target: || only("/api/internal/github-auth-status", "", "/authenticated"),
        change: |system| system.fake.world().doc("github")["authenticated"] = json!(false),
        told: &["connection.changed github"],
        true_for: &[],
    },
    Cell {
        collection: "balance",
        target: || only("/api/internal", "/result", "/displayText"),
        change: |system| *system.fake.world().doc("balance") = balance("3.10"),
        told: &["balance.low balance:individual-credits"],
        true_for: &[],
    },
];
