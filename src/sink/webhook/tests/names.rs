//! Names that change what they stand for between a check and a connection.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::http::Lookup;

/// Answers each question with the next list, and the last one for ever.
#[derive(Debug)]
struct Script {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Lookup for Script {
    fn lookup(&self, _: &str) -> Vec<IpAddr> {
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        self.answers[n.min(self.answers.len() - 1)].clone()
    }
}

/// Stands for a public address: the settings allow it.
const OPEN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Nothing allows it.
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How often somebody connected.
async fn counting(listener: TcpListener, count: Arc<AtomicUsize>) {
    while let Ok((mut socket, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::SeqCst);
        let _ = socket.read(&mut [0; 8192]).await;
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_name_that_turns_inward_is_refused_and_nothing_inside_is_connected_to() {
    let open = TcpListener::bind((OPEN, 0)).await.unwrap();
    let port = open.local_addr().unwrap().port();
    let inside = TcpListener::bind((INSIDE, port)).await.unwrap();
    let (opened, entered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    tokio::spawn(counting(open, Arc::clone(&opened)));
    tokio::spawn(counting(inside, Arc::clone(&entered)));
    // As a rebinding name server answers: fine, inside, both at once, fine again.
    let answers = vec![vec![OPEN], vec![INSIDE], vec![OPEN, INSIDE], vec![OPEN]];
    let names = Arc::new(Script { answers, asked: AtomicUsize::new(0) });
    let config: WebhookConfig = testkit::config(json!({
        "url": format!("http://rebinding.example.com:{port}{PATH}"), "secrets": SECRET, "allow_networks": "127.0.0.2",
    }));
    let sink = config.assemble("x", &common(), &testkit::context(), Some(names.clone())).unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let report = sink.send(&message()).await;
        assert_silent(&report, "rebinding");
        outcomes.push(report.outcome == Outcome::Accepted);
        if report.outcome != Outcome::Accepted {
            assert!(report.detail.contains("127.0.0.1 is a loopback address"), "{}", report.detail);
            assert_eq!(report.outcome, Outcome::Transient { after: None, refusal: false });
        }
    }
    assert_eq!(outcomes, [true, false, false, true]);
    assert_eq!(names.asked.load(Ordering::SeqCst), 4, "asked at each connection, once");
    assert_eq!((opened.load(Ordering::SeqCst), entered.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test]
async fn a_name_that_leads_inside_is_another_time() {
    let names = Arc::new(Script { answers: vec![vec![INSIDE]], asked: AtomicUsize::new(0) });
    let config: WebhookConfig =
        testkit::config(json!({ "url": format!("http://inside.example.com:9{PATH}"), "secrets": SECRET }));
    let sink = config.assemble("x", &common(), &testkit::context(), Some(names)).unwrap();
    let report = sink.send(&message()).await;
    assert_eq!(report.outcome, Outcome::Transient { after: None, refusal: false });
    assert!(report.detail.contains("sinks.x.allow_networks"), "{}", report.detail);
    assert_silent(&report, "guarded");
}

#[tokio::test]
async fn an_attempt_says_where_its_time_went_as_far_as_it_is_known() {
    let listener = TcpListener::bind((OPEN, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = axum::Router::new().fallback(|| async { "ok" });
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let names = Arc::new(Script { answers: vec![vec![OPEN]], asked: AtomicUsize::new(0) });
    let config: WebhookConfig = testkit::config(json!({
        "url": format!("http://timed.example.com:{port}{PATH}"), "secrets": SECRET, "allow_networks": "127.0.0.2",
    }));
    let sink = config.assemble("x", &common(), &testkit::context(), Some(names)).unwrap();
    let known = async || {
        let timings = sink.send(&message()).await.timings.unwrap();
        (timings.dns_ms.is_some(), timings.connect_ms.is_some(), timings.first_byte_ms.is_some())
    };
    assert_eq!(known().await, (true, true, true));
    assert_eq!(known().await, (false, false, true), "the connection was open");
    // Nobody answers: there was a connection, and no first byte.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", silent.local_addr().unwrap());
    let sink = testkit::sink::<WebhookConfig>(json!({ "url": url, "secrets": SECRET }), &testkit::hasty());
    let timings = sink.send(&message()).await.timings.unwrap();
    assert_eq!((timings.dns_ms, timings.connect_ms.is_some(), timings.first_byte_ms), (None, true, None));
}
