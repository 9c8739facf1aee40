//! `ampbridge run` as a process of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::harness::{Bench, DEADLINE, assert_silent, until};

/// A running service; killed when dropped.
pub struct Service {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    pub token: String,
    log: PathBuf,
}

impl Bench {
    /// Starts the service and waits until it is ready.
    pub async fn service(&self) -> Service {
        let mut service = self.start_service(self.command(&["run"]));
        service.wait_ready(self).await;
        service
    }

    /// Starts the service by a command and does not wait.
    pub fn start_service(&self, mut command: Command) -> Service {
        let log = self.path(&format!("run-{}.log", std::fs::read_dir(self.folder()).unwrap().count()));
        let file = std::fs::File::create(&log).unwrap();
        command.stdout(Stdio::null()).stderr(file);
        let child = command.spawn().unwrap();
        Service { child, base: String::new(), token: String::new(), log }
    }
}

impl Service {
    pub async fn wait_ready(&mut self, bench: &Bench) {
        let pid = self.child.id();
        let (base, log) = (&self.base, &self.log);
        let child = &mut self.child;
        assert!(base.is_empty());
        let address = until("the service is ready", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the service ended: {status}\n{}", std::fs::read_to_string(log).unwrap());
            }
            let text = std::fs::read_to_string(bench.path("store/admin.json")).ok()?;
            let address: Value = serde_json::from_str(&text).ok()?;
            if address["pid"].as_u64() != pid.map(u64::from) {
                return None;
            }
            let base = format!("http://{}", address["listen"].as_str()?);
            let ready = client().get(format!("{base}/readyz")).send().await.ok()?;
            ready.status().is_success().then_some(base)
        })
        .await;
        self.base = address;
        std::fs::read_to_string(bench.path("store/admin.token")).unwrap().trim().clone_into(&mut self.token);
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("the service runs")
    }

    pub async fn get(&self, path: &str) -> Response {
        client().get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and the exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM").await;
        self.wait().await
    }

    pub async fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    pub async fn wait(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("the service does not end:\n{}", self.log())).unwrap();
        assert_silent("the log", &self.log());
        status.code()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

/// An HTTP client that takes nothing from the environment.
pub fn client() -> Client {
    ampbridge::http::install_tls();
    Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}
