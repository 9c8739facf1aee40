//! The chart of a digest: uploaded after the message, and never in its way.

use super::*;
use crate::domain::event::StoredEvent;
use crate::render::samples;

/// A digest with days of spend.
fn digest() -> Message {
    let mut message = message();
    message.events = vec![Arc::new(StoredEvent::bare(samples::sample("digest.daily").unwrap()))];
    message.delivery.kind = DeliveryKind::Digest;
    message
}

/// What Slack answers when all goes well.
fn usual(seen: &Seen) -> Response {
    match seen.path.split('?').next().unwrap() {
        "/api/files.getUploadURLExternal" => {
            let place = format!("http://{}/upload/v1/ABC", seen.header("host"));
            Json(json!({ "ok": true, "upload_url": place, "file_id": "F1" })).into_response()
        }
        "/upload/v1/ABC" => "OK - 1234".into_response(),
        "/api/files.completeUploadExternal" => {
            Json(json!({ "ok": true, "files": [{ "id": "F1", "title": "x" }] })).into_response()
        }
        _ => posted(),
    }
}

fn paths(slack: &Receiver) -> Vec<String> {
    slack.seen().iter().map(|seen| seen.path.split('?').next().unwrap().to_owned()).collect()
}

const MESSAGE: &str = "/api/chat.postMessage";
const PLACE: &str = "/api/files.getUploadURLExternal";
const UPLOAD: &str = "/upload/v1/ABC";
const SHARE: &str = "/api/files.completeUploadExternal";

#[tokio::test]
async fn the_message_comes_first_and_its_chart_hangs_in_its_thread() {
    let slack = Receiver::start(|_, seen| usual(seen)).await;
    let report = bot(&slack.base, &common()).send(&digest()).await;
    assert_eq!(report.outcome, Outcome::Accepted);
    assert_eq!(paths(&slack), [MESSAGE, PLACE, UPLOAD, SHARE]);
    let [_, place, upload, share] = &slack.seen()[..] else { panic!("{:?}", slack.seen()) };
    let asked: std::collections::BTreeMap<String, String> =
        url::Url::parse(&format!("http://x{}", place.path)).unwrap().query_pairs().into_owned().collect();
    assert_eq!((asked["filename"].as_str(), asked["length"].parse()), ("spend.png", Ok(upload.body.len())));
    assert!(asked["alt_txt"].contains("$184") && asked["alt_txt"].contains("Budget $200 a day"), "{asked:?}");
    assert_eq!(&upload.body[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!((upload.header("content-type"), upload.header("authorization")), ("image/png", ""), "no token leaves");
    let share = share.json();
    assert_eq!((&share["channel_id"], &share["thread_ts"]), (&json!("C1"), &json!("17.5")));
    assert_eq!(share["files"][0]["id"], "F1");
}

#[tokio::test]
async fn without_the_right_to_upload_the_message_counts_alone() {
    let slack =
        Receiver::start(|_, seen| if seen.path.starts_with(PLACE) { refused("missing_scope") } else { usual(seen) })
            .await;
    let sink = bot(&slack.base, &common());
    for _ in 0..2 {
        let report = sink.send(&digest()).await;
        assert_eq!((report.outcome, report.detail.as_str()), (Outcome::Accepted, ""));
        assert!(report.reference.is_some());
    }
    // Asked again each time: rights are given without a restart.
    assert_eq!(paths(&slack), [MESSAGE, PLACE, MESSAGE, PLACE]);
}

#[tokio::test]
async fn an_upload_that_fails_neither_repeats_nor_fails_the_message() {
    for failing in [PLACE, UPLOAD, SHARE] {
        for status in [429, 500] {
            let slack = Receiver::start(move |_, seen| {
                if seen.path.starts_with(failing) {
                    StatusCode::from_u16(status).unwrap().into_response()
                } else {
                    usual(seen)
                }
            })
            .await;
            let report = bot(&slack.base, &common()).send(&digest()).await;
            assert_eq!(report.outcome, Outcome::Accepted, "{failing} {status}");
            let seen = paths(&slack);
            assert_eq!(seen.iter().filter(|path| *path == MESSAGE).count(), 1, "{failing} {status}");
            assert_eq!(seen.last().map(String::as_str), Some(failing), "nothing is tried after it");
        }
    }
}

#[tokio::test]
async fn an_upload_that_never_ends_is_given_up_within_the_attempt() {
    let posts = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&posts);
    let app = axum::Router::new().fallback(move |uri: http::Uri| {
        let count = Arc::clone(&count);
        async move {
            if uri.path() == MESSAGE {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                return posted();
            }
            std::future::pending().await
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    // The message has all of it; the upload waits for the rest.
    let common = Common { timeout: Duration::from_secs(5), ..common() };
    let report = bot(&base, &common).send(&digest()).await;
    assert_eq!((report.outcome, posts.load(std::sync::atomic::Ordering::SeqCst)), (Outcome::Accepted, 1));
    assert!(report.reference.is_some());
}

#[tokio::test]
async fn a_message_that_was_not_taken_has_no_chart() {
    let slack =
        Receiver::start(|_, seen| if seen.path == MESSAGE { refused("internal_error") } else { usual(seen) }).await;
    let report = bot(&slack.base, &common()).send(&digest()).await;
    assert_eq!((report.outcome, paths(&slack)), (RETRIED, vec![MESSAGE.to_owned()]));
}

#[tokio::test]
async fn nothing_is_uploaded_to_anywhere_else() {
    let stranger = Receiver::start(|_, _| "OK".into_response()).await;
    for place in
        [format!("{}/upload/v1/ABC", stranger.base), "https://evil.example/upload".to_owned(), "nonsense".to_owned()]
    {
        let slack = Receiver::start(move |_, seen| {
            if seen.path.starts_with(PLACE) {
                Json(json!({ "ok": true, "upload_url": place, "file_id": "F1" })).into_response()
            } else {
                usual(seen)
            }
        })
        .await;
        let report = bot(&slack.base, &common()).send(&digest()).await;
        assert_eq!((report.outcome, paths(&slack)), (Outcome::Accepted, vec![MESSAGE.to_owned(), PLACE.to_owned()]));
    }
    assert_eq!(stranger.seen().len(), 0);
}

#[tokio::test]
async fn webhooks_and_messages_without_days_have_none() {
    let slack = Receiver::start(|_, seen| if seen.path == PATH { "ok".into_response() } else { usual(seen) }).await;
    assert_eq!(incoming(&slack.base, &common()).send(&digest()).await.outcome, Outcome::Accepted);
    assert_eq!(bot(&slack.base, &common()).send(&message()).await.outcome, Outcome::Accepted);
    assert_eq!(paths(&slack), [PATH, MESSAGE]);
}
