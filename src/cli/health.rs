//! `ampbridge health`: what container health checks run, so that an image needs neither shell nor curl.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use http::Method;

use super::{Failure, Outcome, output};
use crate::admin::api::{ADDRESS_FILE, Address};
use crate::config::Settings;
use crate::http::{Cap, ClientOptions, HttpClient};

/// Most bytes of the answer that are read.
const ANSWER: usize = 1024;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Ask whether it is ready (store open, everything started), not only whether it is alive.
    #[arg(long)]
    ready: bool,
    /// Longest wait for the answer, seconds.
    #[arg(long, value_name = "SECS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

pub(super) async fn run(settings: &Settings, args: &HealthArgs) -> Outcome {
    let failed = |why: String| Failure::Failed(vec![why]);
    let address = address(settings).map_err(failed)?;
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let url = reqwest::Url::parse(&format!("http://{address}{path}")).map_err(|e| failed(e.to_string()))?;
    let client = HttpClient::new(ClientOptions::default()).map_err(|e| failed(e.to_string()))?;
    let reply = client
        .send(client.request(Method::GET, url), Duration::from_secs(args.timeout), Cap::Cut(ANSWER))
        .await
        .map_err(|e| failed(format!("no service answers on admin.listen ({address}): {e}")))?;
    let said = reply.excerpt(ANSWER);
    let said = said.lines().next().unwrap_or_default();
    if reply.status.is_success() {
        output::line(said);
        Ok(())
    } else {
        Err(failed(format!("the service on {address} says {}: {said}", reply.status.as_u16())))
    }
}

/// `admin.listen` as this machine reaches it: a service that listens everywhere is asked on loopback, and one that
/// lets the system choose its port has written down which it got.
fn address(settings: &Settings) -> Result<SocketAddr, String> {
    let mut address = settings.admin.listen;
    if address.port() == 0 {
        let path = settings.store.path.join(ADDRESS_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|e| format!("no service runs here: {} can't be read: {e}", path.display()))?;
        let written: Address = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        address = written.listen;
    }
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &str) -> Settings {
        let text = format!("[store]\npath = \"s\"\n[admin]\nlisten = \"{listen}\"\n");
        crate::config::load_text(&text, std::path::Path::new("/nonexistent")).unwrap()
    }

    #[test]
    fn a_service_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8484", "127.0.0.1:8484"),
            ("[::]:8484", "[::1]:8484"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("10.0.0.1:9", "10.0.0.1:9"),
        ] {
            assert_eq!(address(&settings(listen)).unwrap().to_string(), asked);
        }
        assert!(address(&settings("127.0.0.1:0")).unwrap_err().contains("admin.json"));
    }

    #[tokio::test]
    async fn the_answer_decides() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            for status in ["200 OK", "503 Service Unavailable"] {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let read = socket.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /readyz "));
                let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nx\n");
                socket.write_all(reply.as_bytes()).await.unwrap();
            }
        });
        let (settings, args) = (settings(&here.to_string()), HealthArgs { ready: true, timeout: 60 });
        run(&settings, &args).await.unwrap();
        assert!(matches!(run(&settings, &args).await, Err(Failure::Failed(why)) if why[0].contains("503")));
        server.await.unwrap();
        assert!(matches!(run(&settings, &args).await, Err(Failure::Failed(why)) if why[0].contains("admin.listen")));
    }
}
