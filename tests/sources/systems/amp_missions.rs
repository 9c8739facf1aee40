//! 001: missions, content, keys, integrations.

use serde_json::{Value, json};

use super::{Cell, QUICK, RULES, System};
use crate::bench::Watch;
use crate::fake::{Fake, Route};
use crate::fault::{Fault, Paging, Target};

pub async fn start(watch: Watch) -> System {
    let routes = [
        ("/v1/missions", Route::AfterKey("missions")),
        ("/v1/content", Route::AfterKey("content")),
        ("/v1/content/", Route::One("content")),
        ("/v1/auth/keys", Route::AfterKey("keys")),
        ("/v1/connect/status", Route::Doc("integrations")),
        ("/v1/analytics/costs", Route::Doc("costs")),
    ];
    let fake = Fake::start(watch, ("authorization", "Bearer amp_live_1"), &routes).await;
    {
        let mut world = fake.world();
        for n in 1..=4 {
            let id = format!("msn_{n}");
            world.table("missions").push(mission(&id, "active"));
        }
        // More than a page, so that lists go on.
        for n in 0..130 {
            let id = format!("cnt_{n:03}");
            world.table("content").push(content(&id, "draft", "2026-11-21T08:00:00Z", 1));
        }
        world.table("content").push(content("cnt_900", "draft", "2026-11-22T08:00:00Z", 1_000));
        world.table("keys").extend([key("key_1"), key("key_2")]);
        world.docs.insert(
            "integrations".into(),
            (
                200,
                json!({"integrations": [{"name": "metricool", "status": "connected"},
            {"name": "buffer", "status": "connected"}, {"name": "slack", "status": "disconnected"}]}),
            ),
        );
        world.docs.insert("costs".into(), (200, json!({"summary": {"total_cost_cents": 1_130}})));
    }
    let config = format!(
        "[sources.missions]\nkind = \"amp_missions\"\napi_key = \"amp_live_1\"\nbase_url = \"{}/v1\"\n{QUICK}{RULES}",
        fake.url()
    );
    System { fake, config, workspace: None }
}

pub fn mission(id: &str, status: &str) -> Value {
    json!({"id": id, "name": format!("Mission {id}"), "status": status, "platforms": ["linkedin"],
        "constraints": {"budget_cents": 50_000}, "created_at": "2026-11-01T10:00:00Z", "updated_at": "2026-11-20T10:00:00Z"})
}

pub fn content(id: &str, status: &str, created: &str, cents: u64) -> Value {
    json!({"id": id, "mission_id": "msn_1", "title": format!("Post {id}"), "status": status, "platform": "linkedin",
        "metadata": {"generation_cost_cents": cents}, "review": {"required": false}, "version": 1,
        "created_at": created, "updated_at": created})
}

pub fn key(id: &str) -> Value {
    json!({"id": id, "name": format!("key {id}"), "scopes": ["missions:read"], "created_at": "2026-10-01T10:00:00Z"})
}

fn list(path: &'static str, field: &'static str) -> Target {
    Target { path, marker: "", paging: Paging::AfterKey, rows: "/data", inner: "", counted: true, field, single: false }
}

pub const CELLS: &[Cell] = &[
    Cell {
        collection: "mission",
        target: || list("/v1/missions", "/status"),
        change: |system| system.fake.world().row("missions", "msn_2")["status"] = json!("paused"),
        told: &["mission.paused msn_2"],
        true_for: &[],
    },
    Cell {
        collection: "content",
        target: || Target { marker: "!created_before", ..list("/v1/content", "/status") },
        change: |system| system.fake.world().row("content", "cnt_007")["status"] = json!("published"),
        told: &["content.published cnt_007"],
        true_for: &[],
    },
    Cell {
        collection: "generation_costs",
        target: || Target { marker: "created_before", ..list("/v1/content", "/metadata/generation_cost_cents") },
        change: |system| {
            system.fake.world().table("content").push(content("cnt_999", "draft", "2026-11-22T09:00:00Z", 5_000));
        },
        told: &["budget.threshold_reached workspace", "content.created cnt_999"],
        true_for: &[],
    },
    Cell {
        collection: "key",
        target: || list("/v1/auth/keys", "/name"),
        change: |system| system.fake.world().table("keys").push(key("key_3")),
        told: &["key.created key_3"],
        true_for: &[Fault::FieldNull],
    },
    Cell {
        collection: "integration",
        target: || Target {
            paging: Paging::None,
            counted: false,
            rows: "/integrations",
            ..list("/v1/connect/status", "/status")
        },
        change: |system| system.fake.world().doc("integrations")["integrations"][0]["status"] = json!("expired"),
        told: &["integration.changed metricool"],
        true_for: &[],
    },
];
