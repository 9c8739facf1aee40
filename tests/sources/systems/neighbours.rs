//! Neighbours whose manifests come with the binary, made from their public documentation.

use serde_json::{Value, json};

use super::{Cell, QUICK, RULES, System};
use crate::bench::Watch;
use crate::fake::{Fake, Route};
use crate::fault::{Fault, Paging, Target};

pub async fn anthropic(watch: Watch) -> System {
    let routes = [
        ("/v1/organizations/cost_report", Route::Buckets("costs")),
        ("/v1/organizations/users", Route::AfterKey("users")),
    ];
    let fake = Fake::start(watch, ("x-api-key", "sk-ant-admin-1"), &routes).await;
    {
        let mut world = fake.world();
        for (day, cents) in [("2026-11-21", "412.5"), ("2026-11-22", "1000.25")] {
            let next = if day.ends_with('1') { "2026-11-22" } else { "2026-11-23" };
            world.table("costs").push(json!({"starting_at": format!("{day}T00:00:00Z"), "ending_at": format!("{next}T00:00:00Z"),
                "results": [{"amount": cents, "currency": "USD", "cost_type": "tokens", "model": "claude-opus-4-5",
                    "description": "Claude Opus 4.5 Usage - Input Tokens", "token_type": "uncached_input_tokens", "workspace_id": null}]}));
        }
        world.table("users").extend([user("ana"), user("bo")]);
    }
    let config = format!(
        "[sources.claude]\nkind = \"http_json\"\nmanifest = \"anthropic\"\napi_key = \"sk-ant-admin-1\"\nbase_url = \"{}\"\n{QUICK}{RULES}",
        fake.url()
    );
    System { fake, config, workspace: None }
}

fn user(name: &str) -> Value {
    json!({"id": format!("user_{name}"), "email": format!("{name}@example.com"), "name": name, "role": "developer",
        "type": "user", "added_at": "2026-10-01T00:00:00Z"})
}

pub async fn cursor(watch: Watch) -> System {
    let routes = [
        ("/teams/members", Route::Whole("members", "teamMembers")),
        ("/teams/filtered-usage-events", Route::Events("events")),
    ];
    let fake = Fake::start(watch, ("authorization", "Basic Y3JzcjE6"), &routes).await;
    {
        let mut world = fake.world();
        world.table("members").extend([member("ana"), member("bo")]);
        for n in 0..6 {
            world.table("events").push(event(n, 100));
        }
    }
    let config = format!(
        "[sources.cursor]\nkind = \"http_json\"\nmanifest = \"cursor\"\napi_key = \"crsr1\"\nbase_url = \"{}\"\n{QUICK}{RULES}",
        fake.url()
    );
    System { fake, config, workspace: None }
}

fn member(name: &str) -> Value {
    json!({"name": name, "email": format!("{name}@example.com"), "role": "member"})
}

/// A call of a model on 2026-11-22, at 09:00 and some seconds.
fn event(second: i64, cents: u64) -> Value {
    json!({"timestamp": (1_795_338_000_000_i64 + second * 1_000).to_string(), "userEmail": "ana@example.com",
        "model": "claude-4.5-sonnet", "kind": "Usage-based",
        "tokenUsage": {"inputTokens": 10, "outputTokens": 20, "cacheReadTokens": 0, "cacheWriteTokens": 0, "totalCents": cents}})
}

fn list(path: &'static str, paging: Paging, rows: &'static str, field: &'static str) -> Target {
    Target { path, marker: "", paging, rows, inner: "", counted: false, field, single: false }
}

pub const ANTHROPIC: &[Cell] = &[
    Cell {
        collection: "costs",
        target: || Target {
            inner: "/results",
            counted: false,
            ..list("/v1/organizations/cost_report", Paging::NextPage, "/data", "/amount")
        },
        change: |system| system.fake.world().table("costs")[1]["results"][0]["amount"] = json!("6000.25"),
        told: &["budget.threshold_reached workspace"],
        true_for: &[],
    },
    Cell {
        collection: "member",
        target: || list("/v1/organizations/users", Paging::AfterKey, "/data", "/role"),
        change: |system| system.fake.world().row("users", "user_bo")["role"] = json!("admin"),
        told: &["member.role_changed user_bo"],
        true_for: &[Fault::FieldNull],
    },
];

pub const CURSOR: &[Cell] = &[
    Cell {
        collection: "member",
        target: || list("/teams/members", Paging::None, "/teamMembers", "/role"),
        change: |system| system.fake.world().row("members", "bo@example.com")["role"] = json!("owner"),
        told: &["member.role_changed bo@example.com"],
        true_for: &[Fault::FieldNull],
    },
    Cell {
        collection: "usage",
        target: || list("/teams/filtered-usage-events", Paging::HasNextPage, "/usageEvents", "/tokenUsage/totalCents"),
        change: |system| system.fake.world().table("events").push(event(60, 5_000)),
        told: &["budget.threshold_reached workspace"],
        true_for: &[],
    },
];
