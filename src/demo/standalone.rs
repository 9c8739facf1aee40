//! The fake by itself, with its control surface, for scripts and proxies.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::Now;
use super::seed::SeedOptions;
use super::server::Server;
use super::workspace::{FakeWorkspace, serve};

/// Where it listens and what it holds.
pub struct StandaloneOptions {
    /// Port of the API on loopback; 0: any.
    pub port: u16,
    /// Port of the control surface on loopback; 0: any.
    pub control_port: u16,
    pub contents: SeedOptions,
    pub now: Now,
}

/// A fake that runs. Ends when dropped.
pub struct Standalone {
    pub workspace: Arc<FakeWorkspace>,
    pub api: Server,
    pub control: Server,
}

pub async fn start_standalone(options: StandaloneOptions) -> io::Result<Standalone> {
    let workspace = Arc::new(FakeWorkspace::seeded(&options.contents, options.now));
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let api = serve(Arc::clone(&workspace), local(options.port)).await?;
    let control = Server::start(super::control::router(Arc::clone(&workspace)), local(options.control_port)).await?;
    Ok(Standalone { workspace, api, control })
}

/// Runs until the future is dropped; `ready` hears the addresses once both ports listen.
pub async fn run_standalone(options: StandaloneOptions, ready: impl FnOnce(&Standalone)) -> io::Result<()> {
    let running = start_standalone(options).await?;
    ready(&running);
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn scripts_drive_it_over_http() {
        let now: Now = Arc::new(|| Timestamp::from_second(1_800_000_000).unwrap());
        let contents = SeedOptions { seed: 1, threads: 5, members: 2, days: 3, model_costs: false };
        let running = start_standalone(StandaloneOptions { port: 0, control_port: 0, contents, now }).await.unwrap();
        let client = crate::demo::test_client();
        let control = |op: &str| format!("{}/control/{op}", running.control.base_url());
        let fault = json!({ "rule": { "fault": { "status": { "code": 503, "retry_after": "9" } }, "count": 1 } });
        assert_eq!(client.post(control("add_fault")).json(&fault).send().await.unwrap().status(), 200);
        let threads = format!("{}/api/v2/threads", running.api.base_url());
        let answer = client.get(&threads).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "9"));
        assert_eq!(client.get(&threads).send().await.unwrap().status(), 401);
        let log: Value = client.post(control("log")).send().await.unwrap().json().await.unwrap();
        let statuses: Vec<_> = log["entries"].as_array().unwrap().iter().map(|e| e["status"].clone()).collect();
        assert_eq!(statuses, [json!(503), json!(401)]);
        assert_eq!(client.post(control("nonsense")).send().await.unwrap().status(), 400);
    }
}
