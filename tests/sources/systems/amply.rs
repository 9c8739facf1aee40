//! 004: status, providers, health, wallet, credentials, report.

use serde_json::json;

use super::{Cell, QUICK, RULES, System};
use crate::bench::Watch;
use crate::fake::{Fake, Route};
use crate::fault::{Fault, Paging, Target};

pub async fn start(watch: Watch) -> System {
    let routes = [
        ("/api/v1/status", Route::Doc("status")),
        ("/api/v1/providers", Route::Whole("providers", "providers")),
        ("/api/v1/health", Route::Whole("health", "providers")),
        ("/api/v1/billing/status", Route::Doc("wallet")),
        ("/api/v1/credentials", Route::Whole("credentials", "credentials")),
        ("/api/v1/report", Route::Doc("report")),
    ];
    let fake = Fake::start(watch, ("authorization", "Bearer amply_sk_1"), &routes).await;
    {
        let mut world = fake.world();
        let status = json!({"ok": true, "service": "amply", "version": "3.1.12", "auth_mode": "api_key", "data_mode": "catalog",
            "rate_limit": {"enabled": true, "requests_per_minute_per_ip": 60}, "request_id": "r1", "compute_ms": 3,
            "diagnostics": {"catalog_metrics_stale": false, "catalog_issue": null, "catalog_metrics_age_hours": 1.5}});
        world.docs.insert("status".into(), (200, status));
        for id in ["qdrant", "weaviate", "pinecone"] {
            world.table("providers").push(json!({"id": id, "display_name": id, "catalog_listing": "listed",
                "p99_latency_ms": 40, "cost_per_1m_dims_usd": 0.04, "success_rate_last_24h": 0.99}));
            world.table("health").push(json!({"id": id, "state": "healthy", "checked_at": "2026-11-22T09:55:00Z"}));
        }
        world.docs.insert("wallet".into(), (200, json!({"can_call": true, "balance_usd": 12.5})));
        for id in ["crd_1", "crd_2", "crd_3"] {
            world.table("credentials").push(json!({"id": id, "provider_id": "qdrant", "state": "active"}));
        }
        world.docs.insert("report".into(), (200, json!({"period": "30d", "summary": "Amply saved $12.00"})));
    }
    let config = format!(
        "[sources.amply]\nkind = \"amply\"\napi_key = \"amply_sk_1\"\nbase_url = \"{}/api/v1\"\n{QUICK}{RULES}",
        fake.url()
    );
    System { fake, config, workspace: None }
}

fn list(path: &'static str, rows: &'static str, field: &'static str) -> Target {
    Target { path, marker: "", paging: Paging::None, rows, inner: "", counted: false, field, single: false }
}

fn only(path: &'static str, field: &'static str) -> Target {
    Target { single: true, ..list(path, "", field) }
}

pub const CELLS: &[Cell] = &[
    Cell {
        collection: "status",
        target: || only("/api/v1/status", "/version"),
        change: |system| system.fake.world().doc("status")["version"] = json!("3.1.13"),
        told: &["status.changed status"],
        true_for: &[],
    },
    Cell {
        collection: "provider",
        target: || list("/api/v1/providers", "/providers", "/display_name"),
        change: |system| system.fake.world().table("providers").push(json!({"id": "milvus", "display_name": "Milvus"})),
        told: &["provider.added milvus"],
        true_for: &[Fault::FieldNull],
    },
    Cell {
        collection: "provider_health",
        target: || list("/api/v1/health", "/providers", "/state"),
        change: |system| system.fake.world().row("health", "qdrant")["state"] = json!("down"),
        told: &["provider.degraded qdrant"],
        true_for: &[],
    },
    Cell {
        collection: "wallet",
        target: || only("/api/v1/billing/status", "/balance_usd"),
        change: |system| system.fake.world().doc("wallet")["balance_usd"] = json!(1.25),
        told: &["wallet.low wallet"],
        true_for: &[],
    },
    Cell {
        collection: "credential",
        target: || list("/api/v1/credentials", "/credentials", "/state"),
        change: |system| system.fake.world().row("credentials", "crd_1")["state"] = json!("expired"),
        told: &["credential.changed crd_1"],
        true_for: &[],
    },
    Cell {
        collection: "report",
        target: || only("/api/v1/report", "/summary"),
        change: |system| system.fake.world().doc("report")["summary"] = json!("Amply saved $13.00"),
        told: &[],
        true_for: &[Fault::FieldNull],
    },
];
