//! What goes over the wire in each mode, with each way of signing, and in forms of one's own.

use super::*;
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::{Event, StoredEvent};
use crate::domain::signing::{VerifyingKey, signing_key};

/// A sink with further settings, a receiver that takes everything, and what it saw of one message.
async fn sent(settings: serde_json::Value, message: &Message) -> Vec<testkit::Seen> {
    let receiver = Receiver::start(|_, _| StatusCode::OK.into_response()).await;
    let mut all = json!({ "url": receiver.base });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let report = sink::<WebhookConfig>(all, &common()).send(message).await;
    assert_eq!(report.outcome, Outcome::Accepted, "{}", report.detail);
    receiver.seen()
}

fn with(events: Vec<Arc<StoredEvent>>) -> Message {
    Message { now: SystemClock.now(), events, ..message() }
}

fn about(subject: &str) -> Arc<StoredEvent> {
    let event = Event { subject: subject.to_owned(), ..event("evt_1").event.clone() };
    Arc::new(StoredEvent::bare(event))
}

#[tokio::test]
async fn both_schemes_at_once_and_each_judge_takes_its_own() {
    let pair = signing_key(&[5; 32]).unwrap();
    let seen = &sent(json!({ "secrets": [OLD_SECRET, pair, SECRET] }), &with(vec![event("evt_1")])).await[0];
    let signatures = seen.header("webhook-signature");
    let schemes: Vec<&str> = signatures.split(' ').map(|part| part.split(',').next().unwrap()).collect();
    assert_eq!(schemes, ["v1", "v1a", "v1"]);
    for secret in [SECRET, OLD_SECRET] {
        standardwebhooks::Webhook::new(secret).unwrap().verify(&seen.body, &seen.headers).unwrap();
    }
    let public = VerifyingKey::parse(&SigningSecret::parse(&pair).unwrap().public().unwrap()).unwrap();
    let timestamp = seen.header("webhook-timestamp").parse().unwrap();
    let good = |body: &[u8]| signatures.split(' ').filter(|p| public.made(p, "evt_1", timestamp, body)).count();
    assert_eq!((good(&seen.body), good(b"{}")), (1, 0));
}

#[tokio::test]
async fn binary_mode_has_the_attributes_in_headers_and_the_data_in_the_body() {
    let settings = json!({ "secrets": SECRET, "mode": "binary" });
    let subject = "Euro € \u{1f600} \"q\" 50%\r\nBcc: x";
    let message = with(vec![about(subject)]);
    let seen = &sent(settings, &message).await[0];
    let whole = &message.events[0].event;
    assert_eq!(seen.header("content-type"), "application/json");
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "evt_1"),
        ("ce-type", "budget.exceeded"),
        ("ce-source", "ampbridge://ampbridge/acme"),
        ("ce-time", "2026-11-22T10:00:00Z"),
        ("ce-severity", "warning"),
        // The encoding of the binding's own example, section 3.1.3.2, and what could end a header.
        ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22q%22%2050%25%0D%0ABcc:%20x"),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert!(!seen.headers.contains_key("ce-datacontenttype") && !seen.headers.contains_key("ce-data"));
    assert_eq!(seen.body, serde_json::to_vec(&whole.data).unwrap());
    assert_eq!(seen.header("webhook-id"), "evt_1");
    standardwebhooks::Webhook::new(SECRET).unwrap().verify(&seen.body, &seen.headers).unwrap();
}

#[tokio::test]
async fn attributes_too_long_for_headers_stay_in_the_body() {
    let settings = json!({ "secrets": SECRET, "mode": "binary" });
    let seen = &sent(settings, &with(vec![about(&"€".repeat(2_000))])).await[0];
    assert_eq!(seen.header("content-type"), EVENT_TYPE);
    assert!(!seen.headers.contains_key("ce-id"));
    assert_eq!(seen.json()["id"], "evt_1");
}

#[tokio::test]
async fn several_events_are_a_batch_in_every_mode_and_one_in_batch_mode_too() {
    for mode in ["structured", "binary", "batch"] {
        let settings = json!({ "secrets": SECRET, "mode": mode });
        let seen = &sent(settings.clone(), &with(vec![event("evt_1"), event("evt_2")])).await[0];
        assert_eq!((seen.header("content-type"), seen.header("webhook-id")), (BATCH_TYPE, "dlv_1"), "{mode}");
        assert_eq!(seen.json().as_array().unwrap().len(), 2);
        let mut digest = with(vec![event("evt_1"), event("evt_2")]);
        digest.delivery.kind = DeliveryKind::Digest;
        let seen = &sent(settings, &digest).await[0];
        assert_eq!(seen.header("webhook-id"), "evt_1", "a digest speaks for what goes along with it");
    }
    let seen = &sent(json!({ "secrets": SECRET, "mode": "batch" }), &with(vec![event("evt_1")])).await[0];
    assert_eq!((seen.header("content-type"), seen.header("webhook-id")), (BATCH_TYPE, "evt_1"));
    assert_eq!(seen.json()[0]["id"], "evt_1");
}

#[tokio::test]
async fn a_body_of_ones_own_is_escaped_named_and_falls_back() {
    let settings = json!({
        "preset": "custom", "method": "PUT", "content_type": "application/vnd.example+json",
        "body": r#"{ "text": "{{ event.subject }}", "kind": "{{ event.type }}" }"#,
    });
    let seen = &sent(settings.clone(), &with(vec![about("\"}, {\"admin\": true")])).await[0];
    assert_eq!((seen.method.as_str(), seen.header("content-type")), ("PUT", "application/vnd.example+json"));
    assert_eq!(seen.json(), json!({ "text": "\"}, {\"admin\": true", "kind": "budget.exceeded" }));
    assert!(!seen.headers.contains_key("webhook-signature"), "not asked for");
    // Larger than any template may print: the event itself goes instead.
    let seen = &sent(settings, &with(vec![about(&"x".repeat(300_000))])).await[0];
    assert_eq!(seen.header("content-type"), EVENT_TYPE);
    assert_eq!(seen.json()["id"], "evt_1");
}

#[tokio::test]
async fn a_group_is_one_alert_each_at_pagerduty_and_an_attempt_ends_at_the_first_that_fails() {
    let receiver = Receiver::start(|n, _| match n {
        1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::ACCEPTED.into_response(),
    })
    .await;
    let settings =
        json!({ "preset": "pagerduty", "routing_key": "0123456789abcdef0123456789abcdef", "url": receiver.base });
    let sink = sink::<WebhookConfig>(settings, &common());
    let message = with(vec![event("evt_1"), event("evt_2"), event("evt_3")]);
    let report = sink.send(&message).await;
    assert_eq!((report.outcome, report.status), (Outcome::Transient { after: None, refusal: false }, Some(503)));
    assert_eq!(sink.send(&message).await.outcome, Outcome::Accepted);
    let keys: Vec<String> =
        receiver.seen().iter().map(|s| s.json()["dedup_key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, ["evt_1", "evt_2", "evt_1", "evt_2", "evt_3"]);
}

#[tokio::test]
async fn a_reminder_says_the_event_again_under_an_id_of_its_own() {
    let told = with(vec![event("evt_1")]);
    let mut again = told.clone();
    (again.delivery.kind, again.delivery.id) = (DeliveryKind::Reminder, "dlv_2".into());
    for settings in [
        json!({ "secrets": SECRET }),
        json!({ "secrets": SECRET, "mode": "binary" }),
        json!({ "secrets": SECRET, "body": "{{ event.id }}", "content_type": "text/plain" }),
    ] {
        let (first, second) = (&sent(settings.clone(), &told).await[0], &sent(settings, &again).await[0]);
        assert_eq!((first.header("webhook-id"), second.header("webhook-id")), ("evt_1", "dlv_2"));
        assert_eq!((&first.body, first.header("ce-id")), (&second.body, second.header("ce-id")));
        standardwebhooks::Webhook::new(SECRET).unwrap().verify(&second.body, &second.headers).unwrap();
    }
}
