use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use jiff::SignedDuration;

use super::*;
use crate::domain::event::Severity;
use crate::sink::SinkConfig as _;
use crate::sink::testkit::{Receiver, Seen, common, config, hasty, message, sink};

mod picture;

const TOKEN: &str = "xoxb-s3cret-t0ken";
const PATH: &str = "/services/T0000/B00000000/XyZs3cret";

fn bot(base: &str, common: &Common) -> Arc<dyn Sink> {
    let api = format!("{base}/api/");
    sink::<SlackConfig>(json!({ "bot_token": TOKEN, "channel": "#ops", "api_url": api }), common)
}

fn incoming(base: &str, common: &Common) -> Arc<dyn Sink> {
    sink::<SlackConfig>(json!({ "webhook_url": format!("{base}{PATH}") }), common)
}

fn posted() -> Response {
    Json(json!({ "ok": true, "channel": "C1", "ts": "17.5", "message": { "text": "x" } })).into_response()
}

fn refused(code: &str) -> Response {
    Json(json!({ "ok": false, "error": code })).into_response()
}

const RETRIED: Outcome = Outcome::Transient { after: None, refusal: false };

#[tokio::test]
async fn a_bot_posts_through_the_web_api() {
    let slack = Receiver::start(|_, _| posted()).await;
    let report = bot(&slack.base, &common()).send(&message()).await;
    assert_eq!(report.outcome, Outcome::Accepted);
    assert_eq!(report.reference, Some(json!({ "channel": "C1", "ts": "17.5", "to": "#ops" })));
    assert!(report.timings.is_some_and(|timings| timings.connect_ms.is_some() && timings.first_byte_ms.is_some()));
    let seen = &slack.seen()[0];
    assert_eq!(seen.path, "/api/chat.postMessage");
    assert_eq!(seen.header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(seen.header("content-type"), "application/json; charset=utf-8");
    let post = seen.json();
    assert_eq!(post["channel"], "#ops");
    assert!(!post["text"].as_str().unwrap().is_empty());
    for off in ["unfurl_links", "unfurl_media", "link_names"] {
        assert_eq!(post[off], false, "{off}");
    }
    assert_eq!(post["metadata"], json!({ "event_type": "ampbridge_event", "event_payload": { "id": "evt_1" } }));
}

#[tokio::test]
async fn an_incoming_webhook_says_ok_or_nothing() {
    for answer in ["ok", ""] {
        let slack = Receiver::start(move |_, _| answer.into_response()).await;
        let report = incoming(&slack.base, &common()).send(&message()).await;
        assert_eq!((report.outcome, report.reference), (Outcome::Accepted, None));
        let seen = &slack.seen()[0];
        assert_eq!(seen.path, PATH);
        assert_eq!(seen.json().get("channel"), None);
        assert_eq!(seen.json().get("metadata"), None);
        assert_eq!(seen.json()["link_names"], false);
    }
}

#[tokio::test]
async fn what_each_refusal_means() {
    for (code, expected) in [
        ("internal_error", RETRIED),
        ("fatal_error", RETRIED),
        ("service_unavailable", RETRIED),
        ("rollup_error", RETRIED),
        ("request_timeout", RETRIED),
        ("ratelimited", Outcome::Throttled { after: None }),
        ("invalid_blocks", Outcome::Permanent),
        ("msg_too_long", Outcome::Permanent),
        ("msg_blocks_too_long", Outcome::Permanent),
        ("no_text", Outcome::Permanent),
        ("as_yet_unknown", Outcome::Permanent),
        ("invalid_auth", Outcome::Stop),
        ("token_revoked", Outcome::Stop),
        ("account_inactive", Outcome::Stop),
        ("not_authed", Outcome::Stop),
        ("token_expired", Outcome::Stop),
        ("channel_not_found", Outcome::Stop),
        ("is_archived", Outcome::Stop),
        ("not_in_channel", Outcome::Stop),
        ("missing_scope", Outcome::Stop),
    ] {
        let slack = Receiver::start(move |_, _| refused(code)).await;
        let report = bot(&slack.base, &common()).send(&message()).await;
        assert_eq!(report.outcome, expected, "{code}");
        assert!(code == "ratelimited" || report.detail.contains(code), "{}", report.detail);
        assert_eq!(report.reference, None);
    }
    let nameless = Receiver::start(|_, _| Json(json!({ "ok": false })).into_response()).await;
    assert_eq!(bot(&nameless.base, &common()).send(&message()).await.outcome, Outcome::Permanent);
}

#[tokio::test]
async fn what_each_status_means_on_either_way() {
    let refusal = Outcome::Transient { after: None, refusal: true };
    for (code, expected) in [
        (301, RETRIED),
        (400, Outcome::Permanent),
        (403, Outcome::Permanent),
        (404, Outcome::Permanent),
        (408, RETRIED),
        (410, Outcome::Stop),
        (418, refusal),
        (429, Outcome::Throttled { after: None }),
        (500, RETRIED),
        (503, RETRIED),
    ] {
        let slack = Receiver::start(move |_, seen| {
            // A web page of a proxy on the way: the status decides.
            (StatusCode::from_u16(code).unwrap(), format!("<html>{} {:?}", seen.path, seen.headers)).into_response()
        })
        .await;
        for sink in [incoming(&slack.base, &common()), bot(&slack.base, &common())] {
            let report = sink.send(&message()).await;
            assert_eq!((report.outcome, report.status), (expected.clone(), Some(code)), "{code}");
            assert!(!report.detail.contains("s3cret"), "{}", report.detail);
        }
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_as_seconds_and_as_a_date() {
    let slack = Receiver::start(|n, _| match n {
        0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "30")]).into_response(),
        1 => {
            let headers = [("retry-after", "Sun, 22 Nov 2026 10:01:00 GMT"), ("date", "Sun, 22 Nov 2026 10:00:00 GMT")];
            (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "30")]).into_response(),
    })
    .await;
    let sink = bot(&slack.base, &common());
    let secs = |n| Some(SignedDuration::from_secs(n));
    for expected in [
        Outcome::Throttled { after: secs(30) },
        Outcome::Throttled { after: secs(60) },
        Outcome::Transient { after: secs(30), refusal: false },
    ] {
        assert_eq!(sink.send(&message()).await.outcome, expected);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_means_it_was_taken_but_a_web_page_does_not() {
    let slack =
        Receiver::start(|n, _| if n == 0 { "{\"ok\":tr".into_response() } else { "<html>hi".into_response() }).await;
    let sink = bot(&slack.base, &common());
    let report = sink.send(&message()).await;
    assert_eq!(report.outcome, Outcome::Accepted);
    assert!(report.detail.contains("can't be read"));
    let report = sink.send(&message()).await;
    assert_eq!(report.outcome, RETRIED);
    assert!(report.detail.contains("web page"), "{}", report.detail);
}

#[tokio::test]
async fn an_answer_that_does_not_say_that_it_was_taken_is_none() {
    let answering = async |body: &'static str| Receiver::start(move |_, _| body.into_response()).await;
    for (body, by_webhook, by_bot) in [
        ("ok", Outcome::Accepted, Outcome::Accepted),
        ("", Outcome::Accepted, Outcome::Accepted),
        (r#"{"ok":true}"#, Outcome::Accepted, Outcome::Accepted),
        ("upstream error", RETRIED, Outcome::Accepted),
        ("no_text", RETRIED, Outcome::Accepted),
        ("{}", RETRIED, RETRIED),
        ("[]", RETRIED, RETRIED),
        ("null", RETRIED, RETRIED),
        (r#"{ "ok" : false, "error":"channel_not_fou"#, RETRIED, RETRIED),
    ] {
        let slack = answering(body).await;
        for (sink, expected) in [(incoming(&slack.base, &common()), by_webhook), (bot(&slack.base, &common()), by_bot)]
        {
            let report = sink.send(&message()).await;
            assert_eq!(report.outcome, expected, "{body}: {}", report.detail);
            assert!(expected == Outcome::Accepted || report.said().contains("not that it was taken"), "{report:?}");
        }
    }
}

fn post_of(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn refusal(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), body: String::new() }
}

#[test]
fn what_is_refused_is_taken_out_once() {
    let mut post = post_of(
        json!({ "text": "é".repeat(4000), "blocks": [1], "thread_ts": "1", "reply_broadcast": true, "metadata": {} }),
    );
    assert!(!refusal("invalid_auth").mend(&mut post));
    assert!(refusal("thread_not_found").mend(&mut post));
    assert!(!post.contains_key("thread_ts") && !post.contains_key("reply_broadcast"));
    assert!(!refusal("thread_not_found").mend(&mut post));
    assert!(refusal("metadata_too_large").mend(&mut post));
    assert!(refusal("invalid_blocks").mend(&mut post));
    assert_eq!(post_of(json!({ "text": "é".repeat(2000) })), post);
    assert!(!refusal("invalid_blocks").mend(&mut post));
    let bad = Answer::Status { status: StatusCode::BAD_REQUEST, after: None, body: "invalid_blocks\n".into() };
    assert!(bad.mend(&mut post_of(json!({ "text": "t", "blocks": [1] }))));
    assert!(!bad.mend(&mut post_of(json!({ "text": "t" }))));
}

#[tokio::test]
async fn refused_blocks_are_sent_again_as_text_in_the_same_attempt() {
    let slack = Receiver::start(
        |_, seen| {
            if seen.json().get("blocks").is_some() { refused("invalid_blocks") } else { posted() }
        },
    )
    .await;
    let sink = bot_with_blocks(&slack.base);
    let answer = sink
        .exchange(&message(), &LastCall::default(), post_of(json!({ "text": "t", "channel": "#ops", "blocks": [{}] })))
        .await;
    assert_eq!(answer.outcome, Outcome::Accepted);
    assert_eq!(slack.seen().len(), 2);
    assert_eq!(slack.seen()[1].json()["text"], "t");
}

fn bot_with_blocks(base: &str) -> Slack {
    let config: SlackConfig = config(json!({ "bot_token": TOKEN, "channel": "#ops", "api_url": base }));
    config.open("x", &common(), &crate::sink::testkit::context()).unwrap()
}

#[tokio::test]
async fn later_messages_of_an_incident_hang_on_the_first_while_it_is_there() {
    let slack = Receiver::start(|n, _| if n == 1 { refused("thread_not_found") } else { posted() }).await;
    let sink = bot(&slack.base, &common());
    let mut message = message();
    let root = json!({ "channel": "C9", "ts": "9.9", "to": "#ops" });
    message.reference = Some(root.clone());
    assert_eq!(sink.send(&message).await.reference, Some(root));
    let first = slack.seen()[0].json();
    assert_eq!(
        (&first["channel"], &first["thread_ts"], &first["reply_broadcast"]),
        (&json!("C9"), &json!("9.9"), &json!(true))
    );
    // The thread has gone: a message of its own, which later ones hang on.
    assert_eq!(sink.send(&message).await.reference, Some(json!({ "channel": "C1", "ts": "17.5", "to": "#ops" })));
    assert_eq!(slack.seen()[2].json().get("thread_ts"), None);
    // The sink was pointed to another channel.
    message.reference = Some(json!({ "channel": "C9", "ts": "9.9", "to": "#old" }));
    sink.send(&message).await;
    assert_eq!(slack.seen()[3].json()["channel"], "#ops");
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    for sink in [bot(&base, &hasty()), incoming(&base, &hasty())] {
        let report = tokio::time::timeout(Duration::from_mins(1), sink.send(&message())).await.unwrap();
        assert_eq!((report.outcome, report.status), (RETRIED, None));
        assert!(report.detail.contains("no complete answer"), "{}", report.detail);
    }
}

#[tokio::test]
async fn connecting_signs_in_and_posts_nothing() {
    let slack = Receiver::start(|n, _| match n {
        0 => Json(json!({ "ok": true, "user": "bridge", "team": "Acme" })).into_response(),
        _ => refused("invalid_auth"),
    })
    .await;
    let sink = bot(&slack.base, &common());
    assert_eq!(sink.connect().await.unwrap(), "signed in as bridge of Acme, posts to #ops");
    assert!(sink.connect().await.unwrap_err().contains("invalid_auth"));
    assert_eq!(slack.seen()[0].path, "/api/auth.test");
    assert!(incoming(&slack.base, &common()).connect().await.unwrap().contains("can be reached"));
    assert_eq!(slack.seen().len(), 2);
}

#[test]
fn problems_name_their_key_and_no_secret() {
    let keys = |settings: Value| -> Vec<String> {
        let config: SlackConfig = config(settings);
        let problems = config.problems();
        assert!(!format!("{problems:?} {config:?} {}", config.summary()).contains("s3cret"));
        problems.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(json!({})), ["webhook_url"]);
    assert_eq!(keys(json!({ "webhook_url": "https://example.com/s3cret", "bot_token": "s3cret" })), ["bot_token"]);
    assert_eq!(keys(json!({ "webhook_url": "s3cret", "channel": "#x" })), ["channel", "webhook_url"]);
    assert_eq!(keys(json!({ "bot_token": "s3cret\n x" })), ["bot_token", "channel"]);
    assert_eq!(
        keys(json!({ "bot_token": "s3cret", "channel": "#x", "api_url": "http://slack.example.com/api" })),
        ["api_url"]
    );
    assert_eq!(keys(json!({ "bot_token": "s3cret", "channel": "#x" })), [""; 0]);
    assert_eq!(keys(json!({ "webhook_url": "https://hooks.example.com/s3cret" })), [""; 0]);
}

#[tokio::test]
async fn whatever_is_answered_no_secret_is_reported() {
    let echo = |seen: &crate::sink::testkit::Seen| format!("you sent {:?} to {}", seen.headers, seen.path);
    for code in [200, 302, 400, 403, 404, 410, 418, 429, 500, 503] {
        let slack = Receiver::start(move |_, seen| {
            let body = match code {
                200 => json!({ "ok": false, "error": "odd", "echo": echo(seen) }).to_string(),
                _ => echo(seen),
            };
            (StatusCode::from_u16(code).unwrap(), body).into_response()
        })
        .await;
        for sink in [bot(&slack.base, &common()), incoming(&slack.base, &common())] {
            let report = sink.send(&message()).await;
            assert_eq!(report.status, Some(code));
            assert!(code == 429 || report.detail.contains("you sent"), "{}", report.detail);
            for secret in [TOKEN, "t0ken", "XyZs3cret", "B00000000"] {
                assert!(!report.detail.contains(secret), "{code}: {}", report.detail);
            }
        }
    }
}

/// A delivery of an incident whose message stands in C9.
fn of_incident(kind: DeliveryKind) -> Message {
    let mut message = message();
    message.delivery.kind = kind;
    message.delivery.incident = Some("inc_1".into());
    message.reference = Some(json!({ "channel": "C9", "ts": "9.9", "to": "#ops" }));
    message
}

#[tokio::test]
async fn an_incident_is_one_message_and_its_steps_stand_in_the_thread() {
    let slack = Receiver::start(|_, _| posted()).await;
    let sink = bot(&slack.base, &common());
    assert!(sink.edits());
    let message = of_incident(DeliveryKind::Single);
    let report = sink.send(&message).await;
    assert_eq!((report.outcome, report.reference), (Outcome::Accepted, message.reference));
    let [edit, reply] = &slack.seen()[..] else { panic!("{:?}", slack.seen()) };
    assert_eq!((edit.path.as_str(), reply.path.as_str()), ("/api/chat.update", "/api/chat.postMessage"));
    let (edit, reply) = (edit.json(), reply.json());
    assert_eq!((&edit["channel"], &edit["ts"]), (&json!("C9"), &json!("9.9")));
    assert!(!edit["blocks"].as_array().unwrap().is_empty());
    assert!(edit.get("thread_ts").is_none() && edit.get("reply_broadcast").is_none());
    assert_eq!(
        (&reply["channel"], &reply["thread_ts"], &reply["reply_broadcast"]),
        (&json!("C9"), &json!("9.9"), &json!(true))
    );
    assert!(reply.get("blocks").is_none(), "the whole stands above");
    assert_eq!(reply["metadata"]["event_payload"]["id"], "evt_1");
}

#[tokio::test]
async fn a_figure_that_moved_is_a_silent_edit() {
    let slack = Receiver::start(|_, _| posted()).await;
    let sink = bot(&slack.base, &common());
    let message = of_incident(DeliveryKind::Update);
    assert_eq!(sink.send(&message).await.reference, message.reference);
    let paths: Vec<String> = slack.seen().iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(paths, ["/api/chat.update"]);
    // Nothing stands there: nothing to do.
    let report = sink.send(&Message { reference: None, ..message }).await;
    assert_eq!((report.outcome, slack.seen().len()), (Outcome::Accepted, 1));
}

#[tokio::test]
async fn what_cannot_be_edited_is_posted_anew() {
    for code in ["message_not_found", "edit_window_closed", "cant_update_message"] {
        let slack =
            Receiver::start(move |_, seen| if seen.path.ends_with("chat.update") { refused(code) } else { posted() })
                .await;
        let report = bot(&slack.base, &common()).send(&of_incident(DeliveryKind::Update)).await;
        assert_eq!(report.reference, Some(json!({ "channel": "C1", "ts": "17.5", "to": "#ops" })), "{code}");
        assert_eq!(slack.seen()[1].json().get("thread_ts"), None);
    }
}

#[tokio::test]
async fn an_edit_that_fails_for_now_posts_nothing() {
    let slack = Receiver::start(|_, _| refused("internal_error")).await;
    let report = bot(&slack.base, &common()).send(&of_incident(DeliveryKind::Single)).await;
    assert_eq!((report.outcome, report.reference, slack.seen().len()), (RETRIED, None, 1));
}

#[tokio::test]
async fn an_edit_without_blocks_says_so() {
    let slack = Receiver::start(|n, _| if n == 0 { refused("invalid_blocks") } else { posted() }).await;
    bot(&slack.base, &common()).send(&of_incident(DeliveryKind::Update)).await;
    let second = slack.seen()[1].json();
    assert_eq!((&second["blocks"], &second["attachments"]), (&json!([]), &json!([])), "left out they would stay");
}

#[tokio::test]
async fn a_reminder_hangs_on_the_message_and_leaves_it_as_it_is() {
    let slack = Receiver::start(|_, _| posted()).await;
    bot(&slack.base, &common()).send(&of_incident(DeliveryKind::Reminder)).await;
    let [reply] = &slack.seen()[..] else { panic!("{:?}", slack.seen()) };
    assert_eq!((reply.path.as_str(), &reply.json()["thread_ts"]), ("/api/chat.postMessage", &json!("9.9")));
    assert!(reply.json()["text"].as_str().unwrap().contains("Still open"));
}

#[tokio::test]
async fn only_the_config_calls_people_and_the_number_stays_first() {
    let slack = Receiver::start(|_, _| posted()).await;
    let settings = json!({ "bot_token": TOKEN, "channel": "#ops", "api_url": format!("{}/api", slack.base),
        "mention": { "warning": "<!here> <@U012AB3CD>" } });
    let sink = sink::<SlackConfig>(settings, &common());
    sink.send(&message()).await;
    sink.send(&of_incident(DeliveryKind::Update)).await;
    let first = slack.seen()[0].json();
    let head = first["blocks"][0]["text"]["text"].as_str().unwrap().lines().next().unwrap().to_owned();
    assert!(head.ends_with(" <!here> <@U012AB3CD>") && !head.starts_with('<'), "{head}");
    assert!(first["text"].as_str().unwrap().contains("<!here>"));
    assert!(!slack.seen()[1].json().to_string().contains("<!here>"), "an edit calls nobody");
}

#[tokio::test]
async fn the_colour_is_that_of_the_severity() {
    let slack = Receiver::start(|_, _| "ok".into_response()).await;
    let sink = incoming(&slack.base, &common());
    let mut message = message();
    for (severity, colour) in
        [(Severity::Critical, json!("#c0392b")), (Severity::Warning, json!("#d68910")), (Severity::Info, Value::Null)]
    {
        let mut stored = crate::domain::event::StoredEvent::clone(&message.events[0]);
        stored.event.severity = severity;
        message.events = vec![Arc::new(stored)];
        sink.send(&message).await;
        let post = slack.seen().last().unwrap().json();
        assert_eq!(post["attachments"][0]["color"], colour);
        assert!(post["text"].is_string() && post["blocks"][0]["text"].is_object());
    }
}

#[test]
fn refused_blocks_leave_a_text_that_says_it_all() {
    let section = |text: &str| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let mut post = post_of(json!({
        "text": "short", "blocks": [section("*head*")], "attachments": [{ "color": "#c0392b", "blocks": [section("details")] }],
    }));
    assert!(refusal("invalid_blocks").mend(&mut post));
    assert_eq!(post_of(json!({ "text": "*head*\ndetails" })), post);
}

#[tokio::test]
async fn a_channels_name_and_its_id_share_a_pace_once_slack_has_told_the_id() {
    let context = crate::sink::testkit::context();
    let way = |channel: &str| {
        config::<SlackConfig>(json!({ "bot_token": TOKEN, "channel": channel })).open("x", &common(), &context).unwrap()
    };
    let (by_name, by_id) = (way("#ops"), way("C012"));
    by_name.pacer.turn().await.take();
    assert_eq!(by_id.pacer.turn().await.not_before(), None);
    by_name.way.goes_to("C012", &context.pacers);
    assert!(by_id.pacer.turn().await.not_before().is_some());
}

#[test]
fn sinks_of_one_app_in_one_channel_share_a_pacer() {
    let context = crate::sink::testkit::context();
    let pacer = |settings: Value| {
        let config: SlackConfig = config(settings);
        config.build("x", &common(), &context).unwrap().pacer().unwrap()
    };
    let bot = |token: &str, channel: &str| pacer(json!({ "bot_token": token, "channel": channel }));
    let hook = |path: &str| pacer(json!({ "webhook_url": format!("https://hooks.example.com{path}") }));
    assert!(Arc::ptr_eq(&bot(TOKEN, "#ops"), &bot(TOKEN, "ops")));
    assert!(Arc::ptr_eq(&hook("/a"), &hook("/a")));
    for (one, other) in [
        (bot(TOKEN, "#ops"), bot(TOKEN, "#dev")),
        (bot(TOKEN, "#ops"), bot("xoxb-another", "#ops")),
        (hook("/a"), hook("/b")),
        (hook("/a"), bot(TOKEN, "#ops")),
    ] {
        assert!(!Arc::ptr_eq(&one, &other));
    }
}
