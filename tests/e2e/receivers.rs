//! Hostile receivers: what each costs the running service in memory and time, and that nobody else notices.
//!
//! `cargo test --test e2e receivers -- --nocapture` prints the figures of docs/delivery.md. That a name may change what
//! it stands for is tested where a resolver can be put in its place: `src/sink/webhook/tests/names.rs`.

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
fn memory(service: &Service, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

/// Sets the peak back to what is used now (proc(5), `clear_refs`), and returns that.
fn idle(service: &Service) -> u64 {
    std::fs::write(format!("/proc/{}/clear_refs", service.pid()), "5").unwrap();
    memory(service, "VmRSS")
}

/// One malice from the first attempt to the delivery once it is over.
async fn suffer(bench: &Bench, service: &Service, rogue: &Rogue, malice: Malice) -> String {
    let before = idle(service);
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
    let peak = memory(service, "VmHWM").saturating_sub(before);
    rogue.set(Malice::None);
    wait("it is delivered once the rogue is well again", || rogue.has_taken(&id)).await;

    let log = delivery["log"].as_array().unwrap();
    assert!(log.iter().all(|attempt| attempt["outcome"] == "transient"), "{malice:?}: {log:?}");
    assert!(log.iter().all(|attempt| text(attempt, "detail").len() <= 1024), "{malice:?}: {log:?}");
    assert!(peak < MEMORY, "{malice:?} cost {peak} bytes above idle");
    let longest = log.iter().filter_map(|attempt| attempt["took_ms"].as_u64()).max().unwrap();
    let said: String = text(&log[0], "detail").chars().take(70).collect();
    let tenths = peak * 10 / (1 << 20);
    format!("| {malice:?} | {}.{} | {longest} | {} |", tenths / 10, tenths % 10, said.replace(['\n', '|'], " "))
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
