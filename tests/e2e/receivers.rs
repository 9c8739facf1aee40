//! Hostile receivers: what each costs the running service in memory and time, and that nobody else notices.
//!
//! `cargo test --test e2e receivers -- --nocapture` prints the figures of docs/delivery.md. What a webhook makes of a name
//! that changes what it stands for is tested in `src/sink/webhook/tests/names.rs`; its cost is measured here, in a process
//! of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ampbridge::http::{AddressGuard, Cap, ClientOptions, HttpClient, HttpError, Lookup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{ACME, Bench, HEAD, HOOK2, accepted, all_to, ids, text, until, wait};
use crate::rogue::{Malice, Rogue};
use crate::service::Service;

/// Most memory above idle, bytes.
const MEMORY: u64 = 20 * 1024 * 1024;
/// Attempts that are waited for.
const ATTEMPTS: usize = 3;

fn sink(url: &str, more: &str) -> String {
    format!(
        "[sinks.rogue]\nkind = \"webhook\"\nurl = \"{url}\"\nsecrets = [{{ env = \"HOOK_SECRET\" }}]\ntimeout = \"1s\"\n\
         retry = {{ min = \"100ms\", max = \"200ms\" }}\n{more}\n"
    )
}

/// A figure of `/proc/PID/status`, bytes.
fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

/// Sets the peak back to what is used now (proc(5), `clear_refs`), and returns that.
fn idle(pid: u32) -> u64 {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    memory(pid, "VmRSS")
}

/// `1.5` for a megabyte and a half.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// One malice from the first attempt to the delivery once it is over.
async fn suffer(bench: &Bench, service: &Service, rogue: &Rogue, malice: Malice) -> String {
    let before = idle(service.pid());
    rogue.set(malice);
    let (met, told) = (rogue.connections(), accepted(&bench.hook2).len());
    let thread = bench.add_thread(&format!("{malice:?}"));
    let event = until("the healthy sink hears of it", async || {
        let news = accepted(&bench.hook2).split_off(told);
        news.into_iter().find(|event| text(event, "subject") == thread)
    })
    .await;
    let id = text(&event, "id").to_owned();
    assert!(!rogue.has_taken(&id), "{malice:?}: the healthy one did not wait for it");
    wait("the rogue has been tried", || rogue.connections() >= met + ATTEMPTS).await;
    let delivery = until("the attempts are in the ledger", async || {
        let found = bench.run(&["deliveries", "list", "--sink", "rogue", "--json"]).await.exits(0).list();
        let row = found.into_iter().find(|row| text(row, "subject") == thread)?;
        let shown = bench.run(&["deliveries", "show", text(&row, "id")]).await.exits(0).json();
        (shown["log"].as_array()?.len() + 1 >= ATTEMPTS).then_some(shown)
    })
    .await;
    let peak = memory(service.pid(), "VmHWM").saturating_sub(before);
    rogue.set(Malice::None);
    wait("it is delivered once the rogue is well again", || rogue.has_taken(&id)).await;

    let log = delivery["log"].as_array().unwrap();
    assert!(log.iter().all(|attempt| attempt["outcome"] == "transient"), "{malice:?}: {log:?}");
    assert!(log.iter().all(|attempt| text(attempt, "detail").len() <= 1024), "{malice:?}: {log:?}");
    assert!(peak < MEMORY, "{malice:?} cost {peak} bytes above idle");
    let longest = log.iter().filter_map(|attempt| attempt["took_ms"].as_u64()).max().unwrap();
    let said: String = text(&log[0], "detail").chars().take(70).collect();
    format!("| {malice:?} | {} | {longest} | {} |", megabytes(peak), said.replace(['\n', '|'], " "))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_receiver_costs_more_than_a_deadline_and_a_little_memory_and_the_others_do_not_notice() {
    let rogue = Rogue::start().await;
    let url = format!("http://127.0.0.1:{}/", rogue.port);
    let bench = Bench::start(&[HEAD, ACME, &sink(&url, ""), HOOK2, &all_to(&["rogue", "hook2"])]).await;
    bench.once().await;
    let mut service = bench.service().await;
    warm_up(&bench, &rogue).await;
    eprintln!("| malice | peak above idle, MB | longest attempt, ms | said |");
    for malice in [
        Malice::Hang,
        Malice::DripBody,
        Malice::Flood,
        Malice::GzipBomb,
        Malice::Redirects,
        Malice::Cut,
        Malice::Late,
        Malice::Headers,
    ] {
        eprintln!("{}", suffer(&bench, &service, &rogue, malice).await);
    }
    let flooded = rogue.flooded();
    assert!(flooded < 64 << 20, "of 10 GB, {flooded} bytes were taken");
    eprintln!("of the 10 GB, at most {flooded} bytes left the receiver in one attempt");
    let events = accepted(&bench.hook2);
    assert_eq!(ids(&events).len(), events.len(), "the healthy sink got everything once");
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_costs_nothing_and_nothing_is_sent_to_it() {
    let (rogue, authority) = Rogue::with_tls().await;
    let url = format!("https://127.0.0.1:{}/", rogue.port);
    let bench =
        Bench::start(&[HEAD, ACME, &sink(&url, "ca_file = \"ca.pem\""), HOOK2, &all_to(&["rogue", "hook2"])]).await;
    std::fs::write(bench.path("ca.pem"), authority).unwrap();
    bench.once().await;
    let mut service = bench.service().await;
    warm_up(&bench, &rogue).await;
    let row = suffer(&bench, &service, &rogue, Malice::WrongName).await;
    assert!(row.contains("certificate"), "{row}");
    eprintln!("{row}");
    assert_eq!(service.terminate().await, Some(0));
}

/// One delivery to each, so that what is idle afterwards has its connections and pools.
async fn warm_up(bench: &Bench, rogue: &Rogue) {
    bench.add_thread("warm up");
    wait("both sinks hear of the first", || {
        let events = accepted(&bench.hook2);
        events.iter().any(|event| rogue.has_taken(text(event, "id")))
    })
    .await;
}

/// Set in the process that measures itself.
const PROBE: &str = "AMPBRIDGE_E2E_REBINDING";
/// Stands for a public address: the guard allows it.
const OPEN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Nothing allows it.
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A name server of the other side's: the name is fine when it is first asked for, and leads inside ever after.
#[derive(Debug, Default)]
struct Rebinding(AtomicUsize);

impl Lookup for Rebinding {
    fn lookup(&self, _: &str) -> Vec<IpAddr> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 { vec![OPEN] } else { vec![INSIDE] }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_turns_inward_costs_next_to_nothing() {
    if std::env::var_os(PROBE).is_some() {
        return rebinding().await;
    }
    let name = "receivers::a_name_that_turns_inward_costs_next_to_nothing";
    let mut probe = tokio::process::Command::new(std::env::current_exe().unwrap());
    let ended = probe.args(["--exact", name, "--nocapture"]).env(PROBE, "1").output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stdout));
    assert!(said.contains("| Rebinding |"), "the probe has run: {said}");
    eprint!("{said}");
}

async fn rebinding() {
    let open = TcpListener::bind((OPEN, 0)).await.unwrap();
    let port = open.local_addr().unwrap().port();
    let inside = TcpListener::bind((INSIDE, port)).await.unwrap();
    let entered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&entered);
    tokio::spawn(async move {
        while inside.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = open.accept().await {
            let _ = socket.read(&mut [0; 8192]).await;
            let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    });
    let url = reqwest::Url::parse(&format!("http://rebinding.example.com:{port}/")).unwrap();
    let guard =
        AddressGuard::new(&url, vec!["127.0.0.2/32".parse().unwrap()], "k").with_names(Arc::<Rebinding>::default());
    let client = HttpClient::new(ClientOptions { guard: Some(guard), ..ClientOptions::default() }).unwrap();
    let send = async || {
        let request = client.request(reqwest::Method::POST, url.clone()).body("{}");
        client.send(request, Duration::from_secs(60), Cap::Cut(65_536)).await
    };
    assert_eq!(send().await.unwrap().status, 204);
    let (before, mut longest) = (idle(std::process::id()), Duration::ZERO);
    for _ in 0..100 {
        let begun = Instant::now();
        assert!(matches!(send().await, Err(HttpError::Refused(_))));
        longest = longest.max(begun.elapsed());
    }
    let peak = memory(std::process::id(), "VmHWM").saturating_sub(before);
    assert!(peak < MEMORY, "{peak} bytes above idle");
    assert_eq!(entered.load(Ordering::SeqCst), 0, "nothing inside was connected to");
    eprintln!("| Rebinding | {} | {} | refused before a connection |", megabytes(peak), longest.as_millis());
}
