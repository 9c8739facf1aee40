mod forms;
mod names;
mod settings;
mod signin;

use std::io::Write as _;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::body::{BATCH_TYPE, EVENT_TYPE, OTHER_TYPE, type_of};
use super::*;
use crate::sink::SinkConfig as _;
use crate::sink::testkit::{self, Receiver, common, event, hasty, message, sink};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// Answers hold this; nothing that is reported may.
const PATH: &str = "/hooks/tok3nInThePath?sig=sigInTheQuery";

fn webhook(url: &str, common: &Common) -> Arc<dyn Sink> {
    sink::<WebhookConfig>(json!({ "url": url, "secrets": [SECRET, OLD_SECRET] }), common)
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

#[test]
fn what_each_status_means() {
    let transient = |refusal| Outcome::Transient { after: None, refusal };
    for (codes, expected) in [
        (vec![200, 201, 202, 204, 299], Outcome::Accepted),
        (vec![301, 302, 303, 304, 307, 308], transient(false)),
        (vec![400, 401, 403, 404, 405, 409, 413, 415, 422, 451, 499], transient(true)),
        (vec![408, 425, 500, 501, 502, 503, 504, 599, 100, 101], transient(false)),
        (vec![410], Outcome::Stop),
        (vec![429], Outcome::Throttled { after: None }),
    ] {
        for code in codes {
            assert_eq!(outcome(status(code), None), expected, "{code}");
        }
    }
    // Only 429 and 503 may say how long to wait.
    let after = Some(SignedDuration::from_secs(7));
    assert_eq!(outcome(status(429), after), Outcome::Throttled { after });
    assert_eq!(outcome(status(503), after), Outcome::Transient { after, refusal: false });
    assert_eq!(outcome(status(500), after), transient(false));
    assert_eq!(outcome(status(404), after), transient(true));
}

#[test]
fn a_body_is_called_what_it_is() {
    let event = json!({ "specversion": "1.0", "id": "e", "source": "s", "type": "t" });
    assert_eq!(type_of(&event), EVENT_TYPE);
    assert_eq!(type_of(&json!([event, event])), BATCH_TYPE);
    assert_eq!(type_of(&json!({ "text": "hi" })), OTHER_TYPE);
    assert_eq!(type_of(&json!([])), OTHER_TYPE);
}

#[test]
fn every_problem_at_once_without_the_secrets() {
    let config: WebhookConfig = testkit::config(
        json!({ "url": "s3cret", "secrets": ["whsec_s3cret", SECRET, "whsec_!"], "allow_networks": "x" }),
    );
    let problems = config.problems();
    let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["allow_networks[0]", "url", "secrets[0]", "secrets[2]"]);
    assert!(!format!("{problems:?} {config:?} {}", config.summary()).contains("s3cret"));
    let none: WebhookConfig = testkit::config(json!({}));
    assert_eq!(none.problems().len(), 2);
    assert!(none.problems()[1].1.contains("openssl rand -base64 32"));
}

#[tokio::test]
async fn one_event_is_sent_as_it_is_and_signed_with_every_secret() {
    let receiver = Receiver::start(|_, _| StatusCode::NO_CONTENT.into_response()).await;
    // The judge compares with its own clock.
    let message = Message { now: SystemClock.now(), ..message() };
    let report = webhook(&format!("{}{PATH}", receiver.base), &common()).send(&message).await;
    assert_eq!((report.outcome, report.status), (Outcome::Accepted, Some(204)));
    let seen = &receiver.seen()[0];
    assert_eq!(seen.path, PATH);
    assert_eq!(seen.header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!(seen.header("webhook-id"), "evt_1");
    assert_eq!(seen.header("webhook-timestamp"), message.now.as_second().to_string());
    assert_eq!(seen.header("webhook-signature").split(' ').count(), 2);
    assert_eq!(seen.body, serde_json::to_vec(&message.events[0].event).unwrap());
    for secret in [SECRET, OLD_SECRET] {
        let judge = standardwebhooks::Webhook::new(secret).unwrap();
        judge.verify(&seen.body, &seen.headers).unwrap();
        assert!(judge.verify(b"{}", &seen.headers).is_err());
    }
}

#[tokio::test]
async fn several_events_are_a_batch_under_the_id_of_the_delivery() {
    let receiver = Receiver::start(|_, _| StatusCode::OK.into_response()).await;
    let message = Message { now: SystemClock.now(), events: vec![event("evt_1"), event("evt_2")], ..message() };
    let report = webhook(&receiver.base, &common()).send(&message).await;
    assert_eq!(report.outcome, Outcome::Accepted);
    let seen = &receiver.seen()[0];
    assert_eq!(seen.header("content-type"), "application/cloudevents-batch+json; charset=utf-8");
    assert_eq!(seen.header("webhook-id"), "dlv_1");
    assert_eq!(seen.json()[1]["id"], "evt_2");
    let judge = standardwebhooks::Webhook::new(SECRET).unwrap();
    judge.verify(&seen.body, &seen.headers).unwrap();
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let receiver = Receiver::start(|_, seen| match seen.path.as_str() {
        "/a" => (StatusCode::PERMANENT_REDIRECT, [("location", "/b")]).into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let report = webhook(&format!("{}/a", receiver.base), &common()).send(&message()).await;
    assert_eq!(report.outcome, Outcome::Transient { after: None, refusal: false });
    assert!(report.detail.contains("redirects are not followed"));
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    let receiver = Receiver::start(|_, seen| {
        let date = "Sun, 22 Nov 2026 10:00:30 GMT";
        match seen.path.as_str() {
            "/429" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "120")]).into_response(),
            "/503" => {
                let headers = [("retry-after", date), ("date", "Sun, 22 Nov 2026 10:00:10 GMT")];
                (StatusCode::SERVICE_UNAVAILABLE, headers).into_response()
            }
            _ => (StatusCode::BAD_GATEWAY, [("retry-after", "120")]).into_response(),
        }
    })
    .await;
    let secs = |n| Some(SignedDuration::from_secs(n));
    for (path, expected) in [
        ("429", Outcome::Throttled { after: secs(120) }),
        ("503", Outcome::Transient { after: secs(20), refusal: false }),
        ("502", Outcome::Transient { after: None, refusal: false }),
    ] {
        let report = webhook(&format!("{}/{path}", receiver.base), &common()).send(&message()).await;
        assert_eq!(report.outcome, expected, "{path}");
    }
}

/// How a hostile receiver treats a connection, once it has read some of the request.
#[derive(Debug, Clone, Copy)]
enum Malice {
    Hang,
    DripHeaders,
    DripBody,
    Close,
    Garbage,
    HalfABody,
    GzipBomb,
}

/// A receiver below HTTP.
async fn hostile(malice: Malice) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.read(&mut [0; 4096]).await;
                let _ = misbehave(&mut socket, malice).await;
            });
        }
    });
    base
}

async fn misbehave(socket: &mut tokio::net::TcpStream, malice: Malice) -> std::io::Result<()> {
    match malice {
        Malice::Hang => std::future::pending().await,
        Malice::Close => Ok(()),
        Malice::Garbage => socket.write_all(b"SSH-2.0-nonsense\r\n\r\n").await,
        Malice::HalfABody => socket.write_all(b"HTTP/1.1 500 X\r\ncontent-length: 100\r\n\r\nhalf").await,
        Malice::DripHeaders | Malice::DripBody => {
            let start = if matches!(malice, Malice::DripBody) { "content-length: 9999\r\n\r\n" } else { "x-slow: " };
            socket.write_all(format!("HTTP/1.1 200 OK\r\n{start}").as_bytes()).await?;
            loop {
                socket.write_all(b"z").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Malice::GzipBomb => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            let megabyte = vec![b'z'; 1 << 20];
            for _ in 0..200 {
                gzip.write_all(&megabyte)?;
            }
            let packed = gzip.finish()?;
            let head = format!("HTTP/1.1 500 X\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
            socket.write_all(head.as_bytes()).await?;
            socket.write_all(&packed).await
        }
    }
}

#[tokio::test]
async fn hostile_receivers_cost_one_deadline_and_a_kilobyte() {
    for malice in [
        Malice::Hang,
        Malice::DripHeaders,
        Malice::DripBody,
        Malice::Close,
        Malice::Garbage,
        Malice::HalfABody,
        Malice::GzipBomb,
    ] {
        let base = hostile(malice).await;
        // A bomb may take its time to be packed; the others are to run into the deadline or end by themselves.
        let limits = if matches!(malice, Malice::GzipBomb) { common() } else { hasty() };
        let sink = webhook(&format!("{base}{PATH}"), &limits);
        let report = tokio::time::timeout(Duration::from_mins(1), sink.send(&message())).await.unwrap();
        assert_eq!(report.outcome, Outcome::Transient { after: None, refusal: false }, "{malice:?}");
        assert!(!report.detail.is_empty() && report.detail.len() <= 1024, "{malice:?}: {}", report.detail);
        assert_silent(&report, &format!("{malice:?}"));
    }
}

#[tokio::test]
async fn nobody_listening_is_another_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());
    drop(listener);
    let report = webhook(&url, &common()).send(&message()).await;
    assert_eq!(report.outcome, Outcome::Transient { after: None, refusal: false });
    assert!(report.detail.contains("can't connect"), "{}", report.detail);
    assert_silent(&report, "refused");
}

#[tokio::test]
async fn whatever_is_answered_no_secret_is_reported() {
    let receiver = Receiver::start(|_, seen| {
        let code = seen.header("webhook-id").strip_prefix("evt_").unwrap().parse().unwrap();
        let host = seen.header("host").to_owned();
        let echo = format!(
            "you sent {:?} to http://hookuser:hookpass@{host}{} with {SECRET} and {OLD_SECRET} {}",
            seen.headers,
            seen.path,
            PATH.repeat(3000),
        );
        let mut response = Response::new(Body::from(echo));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    })
    .await;
    let address = receiver.base.strip_prefix("http://").unwrap();
    let sink = webhook(&format!("http://hookuser:hookpass@{address}{PATH}"), &common());
    for code in [200, 201, 302, 400, 403, 404, 408, 410, 418, 425, 429, 500, 503] {
        let mut message = message();
        message.events = vec![event(&format!("evt_{code}"))];
        let report = sink.send(&message).await;
        assert_eq!(report.status, Some(code));
        assert_silent(&report, &code.to_string());
        assert!(code == 302 || report.detail.contains("you sent"), "{}", report.detail);
    }
    // Credentials in the URL are HTTP Basic.
    assert_eq!(receiver.seen()[0].header("authorization"), "Basic aG9va3VzZXI6aG9va3Bhc3M=");
}

fn assert_silent(report: &Report, case: &str) {
    let secrets = [
        "tok3nInThePath",
        "sigInTheQuery",
        "hookuser",
        "hookpass",
        "aG9va3VzZXI6aG9va3Bhc3M",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
    ];
    for secret in secrets {
        assert!(!report.detail.contains(secret), "{case}: {secret} in {}", report.detail);
    }
    assert!(report.detail.len() <= 1024);
}

#[tokio::test]
async fn connecting_sends_no_request() {
    let receiver = Receiver::start(|_, _| StatusCode::OK.into_response()).await;
    let reached = webhook(&format!("{}{PATH}", receiver.base), &common()).connect().await.unwrap();
    assert!(reached.contains("can be reached") && !reached.contains("tok3n"), "{reached}");
    assert!(receiver.seen().is_empty());
}
