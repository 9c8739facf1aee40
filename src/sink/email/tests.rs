use serde_json::{Value, json};

use super::server::Security;
use super::stub::{Cipher, Reply, Stub, certificate, say};
use super::*;
use crate::domain::setting::Secret;
use crate::sink::SinkConfig as _;
use crate::sink::testkit::{common, config, hasty, message, sink};

const RETRIED: Outcome = Outcome::Transient { after: None, refusal: false };
const LOGIN: &str = "bridge:p%40s3cret";

fn settings(server: &Stub, to: &[&str]) -> Value {
    json!({ "smtp_url": format!("smtp://{LOGIN}@{}", server.address), "from": "Bridge <bridge@example.com>", "to": to })
}

fn email(server: &Stub, to: &[&str], common: &Common) -> Arc<dyn Sink> {
    sink::<EmailConfig>(settings(server, to), common)
}

const ALL: [&str; 3] = ["ann@example.com", "Bob <bob@example.com>", "cyd@example.com"];

fn accepted(report: &Report) -> Vec<&str> {
    let taken = report.recipients.iter().filter(|(_, state)| **state == RecipientState::Accepted);
    taken.map(|(to, _)| to.as_str()).collect()
}

#[tokio::test]
async fn everybody_gets_a_copy_of_one_letter_over_one_connection() {
    let server = Stub::start(|_| Reply::Usual).await;
    let sink = email(&server, &ALL, &common());
    let report = sink.send(&message()).await;
    assert_eq!(report.outcome, Outcome::Accepted, "{}", report.detail);
    assert_eq!(report.reference, Some(json!({ "message_id": "<dlv_1@example.com>" })));
    assert_eq!(accepted(&report), ["ann@example.com", "bob@example.com", "cyd@example.com"]);
    let taken = server.taken();
    assert_eq!(
        taken.iter().map(|t| t.to.as_str()).collect::<Vec<_>>(),
        ["ann@example.com", "bob@example.com", "cyd@example.com"]
    );
    assert!(taken.iter().all(|t| t.letter == taken[0].letter));
    let head = taken[0].letter.replace("\r\n ", " ");
    assert!(head.contains("To: ann@example.com, Bob <bob@example.com>, cyd@example.com"), "{head}");
    assert_eq!(server.lines("MAIL FROM:<bridge@example.com>").len(), 3);
    let first = report.timings.unwrap();
    assert!(first.connect_ms.is_some_and(|connect| connect <= first.total_ms), "{first:?}");
    // A second letter goes the same way, after a sign of life.
    let report = sink.send(&message()).await;
    assert_eq!((report.outcome, report.timings.unwrap().connect_ms), (Outcome::Accepted, None));
    assert_eq!((server.lines("CONNECT").len(), server.lines("AUTH").len(), server.lines("NOOP").len()), (1, 1, 1));
}

#[tokio::test]
async fn a_refused_recipient_keeps_it_from_nobody_and_is_named() {
    let server = Stub::start(|line| match line {
        "RCPT TO:<bob@example.com>" => say("550 5.1.1 no such user"),
        _ => Reply::Usual,
    })
    .await;
    let report = email(&server, &ALL, &common()).send(&message()).await;
    assert_eq!(report.outcome, Outcome::Permanent);
    assert_eq!(accepted(&report), ["ann@example.com", "cyd@example.com"]);
    assert_eq!(report.recipients["bob@example.com"], RecipientState::Refused("550 5.1.1 no such user".into()));
    assert_eq!(report.said(), "refused for good: bob@example.com (550 5.1.1 no such user)");
    assert!(!report.detail.contains("ann@"));
    assert_eq!((server.lines("CONNECT").len(), server.lines("RSET").len()), (1, 1));
}

#[tokio::test]
async fn who_has_it_is_not_asked_again_and_who_refused_it_neither() {
    let server = Stub::start(|_| Reply::Usual).await;
    let sink = email(&server, &ALL, &common());
    let mut again = message();
    again.delivery.recipients.insert("ann@example.com".into(), RecipientState::Accepted);
    let report = sink.send(&again).await;
    assert_eq!(
        (report.outcome.clone(), accepted(&report)),
        (Outcome::Accepted, vec!["bob@example.com", "cyd@example.com"])
    );
    again.delivery.recipients.insert("bob@example.com".into(), RecipientState::Refused("550 no".into()));
    let report = sink.send(&again).await;
    assert_eq!((report.outcome.clone(), accepted(&report)), (Outcome::Permanent, vec!["cyd@example.com"]));
    assert_eq!(report.detail, "refused for good: bob@example.com (550 no)");
    assert_eq!(server.taken().iter().filter(|t| t.to == "ann@example.com").count(), 0);
}

#[tokio::test]
async fn what_each_answer_means_for_a_single_recipient() {
    for (at, answer, expected) in [
        ("CONNECT", "421 too busy", RETRIED),
        ("CONNECT", "554 no service here", Outcome::Permanent),
        ("AUTH", "535 5.7.8 bad credentials", Outcome::Stop),
        ("AUTH", "534 mechanism too weak", Outcome::Stop),
        ("AUTH", "504 unknown mechanism", Outcome::Stop),
        ("AUTH", "454 not now", RETRIED),
        ("MAIL", "530 sign in first", Outcome::Stop),
        ("MAIL", "451 later", RETRIED),
        ("MAIL", "550 bad sender", Outcome::Permanent),
        ("RCPT", "450 greylisted", RETRIED),
        ("RCPT", "452 full", RETRIED),
        ("RCPT", "553 bad name", Outcome::Permanent),
        ("RCPT", "530 5.7.1 not from you", Outcome::Permanent),
        ("DATA", "535 not this one", Outcome::Permanent),
        ("DATA", "451 later", RETRIED),
        ("DATA", "554 no", Outcome::Permanent),
        (".", "451 later", RETRIED),
        (".", "552 too big", Outcome::Permanent),
        (".", "421 shutting down", RETRIED),
    ] {
        let server = Stub::start(move |line| if line.starts_with(at) { say(answer) } else { Reply::Usual }).await;
        let report = email(&server, &ALL[..1], &common()).send(&message()).await;
        assert_eq!(report.outcome, expected, "{at} {answer}");
        assert!(report.detail.contains(answer), "{at} {answer}: {}", report.detail);
        assert!(accepted(&report).is_empty());
        let code: u16 = answer[..3].parse().unwrap();
        assert!(report.status.is_none_or(|status| status == code));
    }
}

#[tokio::test]
async fn trouble_with_one_is_another_try_for_that_one_alone() {
    let server = Stub::start(|line| match line {
        "RCPT TO:<ann@example.com>" => say("450 4.2.0 greylisted"),
        "RCPT TO:<bob@example.com>" => Reply::Close,
        _ => Reply::Usual,
    })
    .await;
    let report = email(&server, &ALL, &common()).send(&message()).await;
    assert_eq!(report.outcome, RETRIED);
    assert_eq!(accepted(&report), ["cyd@example.com"]);
    assert_eq!(report.recipients.len(), 1);
    assert!(report.detail.contains("greylisted (ann@example.com)"), "{}", report.detail);
    assert_eq!(server.lines("CONNECT").len(), 2);
}

#[tokio::test]
async fn a_server_that_hangs_on_one_starves_nobody() {
    let server = Stub::start(|line| match line {
        "RCPT TO:<ann@example.com>" => Reply::Hang,
        _ => Reply::Usual,
    })
    .await;
    let sink = email(&server, &ALL, &Common { timeout: Duration::from_secs(2), ..common() });
    let mut message = message();
    let deadline = Duration::from_mins(1);
    for _ in 0..2 {
        let report = tokio::time::timeout(deadline, sink.send(&message)).await.unwrap();
        assert_eq!(report.outcome, RETRIED);
        assert!(report.detail.contains("no complete answer within 2s"), "{}", report.detail);
        message.delivery.recipients.extend(report.recipients);
        message.delivery.tries += 1;
    }
    let has: Vec<&String> = message.delivery.recipients.keys().collect();
    assert_eq!(has, ["bob@example.com", "cyd@example.com"]);
    // The connection that was left hanging is not used again.
    assert_eq!(server.lines("NOOP").len(), 0);
}

#[tokio::test]
async fn every_place_to_hang_at_ends_at_the_deadline() {
    for at in ["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "."] {
        let server = Stub::start(move |line| if line.starts_with(at) { Reply::Hang } else { Reply::Usual }).await;
        let sink = email(&server, &ALL, &hasty());
        let report = tokio::time::timeout(Duration::from_mins(1), sink.send(&message())).await.unwrap();
        assert_eq!(report.outcome, RETRIED, "{at}");
        assert!(accepted(&report).is_empty());
    }
}

#[tokio::test]
async fn a_connection_the_server_has_closed_is_replaced() {
    let server = Stub::start(|line| if line == "NOOP" { Reply::Close } else { Reply::Usual }).await;
    let sink = email(&server, &ALL[..1], &common());
    for connections in 1..=2 {
        assert_eq!(sink.send(&message()).await.outcome, Outcome::Accepted);
        assert_eq!(server.lines("CONNECT").len(), connections);
    }
    // One that has been idle for long is not even asked.
    let late = Message { now: crate::domain::time::plus(message().now, SignedDuration::from_secs(61)), ..message() };
    assert_eq!(sink.send(&late).await.outcome, Outcome::Accepted);
    assert_eq!((server.lines("CONNECT").len(), server.lines("NOOP").len()), (3, 1));
}

#[tokio::test]
async fn without_starttls_nothing_is_handed_over() {
    let server = Stub::start(|_| Reply::Usual).await;
    let url = Secret::new(format!("smtp://{LOGIN}@{}", server.address));
    // As it would be for any host but this machine.
    let server_settings = Server { security: Security::StartTls, ..Server::parse(&url, false).unwrap() };
    let tls = TlsParameters::new("mail.example.com".into()).unwrap();
    let fault = Session::open(&server_settings, &tls, None).await.err().unwrap();
    assert_eq!(fault.blame, Blame::Trouble);
    assert!(fault.text.contains("STARTTLS"), "{}", fault.text);
    assert!(server.lines("AUTH").is_empty() && server.lines("MAIL").is_empty());
}

#[tokio::test]
async fn encrypted_from_the_start_or_after_starttls_with_a_trusted_certificate_only() {
    let (pem, acceptor) = certificate();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    let (hidden, upgraded) = (Cipher::FromTheStart(acceptor.clone()), Cipher::OnStartTls(acceptor));

    let server = Stub::encrypting(hidden, |_| Reply::Usual).await;
    let mut settings = settings(&server, &ALL);
    settings["smtp_url"] = format!("smtps://{LOGIN}@{}", server.address).into();
    let report = sink::<EmailConfig>(settings.clone(), &common()).send(&message()).await;
    assert_eq!(report.outcome, RETRIED);
    assert!(server.lines("").is_empty(), "{:?}", server.lines(""));
    settings["ca_file"] = file.path().to_str().unwrap().into();
    let report = sink::<EmailConfig>(settings.clone(), &common()).send(&message()).await;
    assert_eq!((report.outcome, server.taken().len()), (Outcome::Accepted, 3), "{}", report.detail);

    let server = Stub::encrypting(upgraded, |_| Reply::Usual).await;
    let config: EmailConfig = config(settings);
    let url = Secret::new(format!("smtp://{LOGIN}@{}", server.address));
    // As it would be for any host but this machine.
    let settings = Server { security: Security::StartTls, ..Server::parse(&url, false).unwrap() };
    let strangers = TlsParameters::new("127.0.0.1".into()).unwrap();
    assert_eq!(Session::open(&settings, &strangers, None).await.err().unwrap().blame, Blame::Trouble);
    assert!(server.lines("AUTH").is_empty());
    let session = Session::open(&settings, &config.tls(&settings).unwrap(), None).await.unwrap();
    session.quit().await;
    assert_eq!((server.lines("STARTTLS").len(), server.lines("EHLO").len(), server.lines("AUTH").len()), (2, 3, 1));
}

#[tokio::test]
async fn no_secret_is_reported_whatever_the_server_says() {
    let secrets = ["p@s3cret", "s3cret", "AGJyaWRnZQBwQHMzY3JldA", "cEBzM2NyZXQ"];
    for at in ["CONNECT", "AUTH", "MAIL", "RCPT", "DATA", "."] {
        for code in [451, 535, 550] {
            let text = format!("{code} you, p@s3cret or p%40s3cret or AGJyaWRnZQBwQHMzY3JldA== cEBzM2NyZXQ=, no");
            let server = Stub::start(move |line| if line.starts_with(at) { say(&text) } else { Reply::Usual }).await;
            let report = email(&server, &ALL, &common()).send(&message()).await;
            let shown = format!("{report:?}");
            assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{at} {code}: {shown}");
        }
    }
    // And the password is what was sent.
    let server = Stub::start(|_| Reply::Usual).await;
    email(&server, &ALL, &common()).send(&message()).await;
    assert_eq!(server.lines("AUTH"), ["AUTH PLAIN AGJyaWRnZQBwQHMzY3JldA=="]);
}

#[tokio::test]
async fn connecting_signs_in_and_writes_nothing() {
    let server = Stub::start(|_| Reply::Usual).await;
    let said = email(&server, &ALL, &common()).connect().await.unwrap();
    assert_eq!(said, format!("signed in at {} (STARTTLS if offered)", server.address));
    assert_eq!((server.lines("AUTH").len(), server.lines("QUIT").len(), server.lines("MAIL").len()), (1, 1, 0));
    let closed = Stub::start(|line| if line.starts_with("AUTH") { say("535 no") } else { Reply::Usual }).await;
    assert!(email(&closed, &ALL, &common()).connect().await.unwrap_err().contains("535 no"));
}

#[test]
fn problems_name_their_key_and_no_secret() {
    let keys = |settings: Value| -> Vec<String> {
        let config: EmailConfig = config(settings);
        let problems = config.problems();
        assert!(!format!("{problems:?} {config:?} {}", config.summary()).contains("s3cret"));
        problems.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(json!({})), ["smtp_url", "from", "to"]);
    let url = "smtp://u:s3cret@mail.example.com";
    assert_eq!(
        keys(json!({ "smtp_url": url, "from": "a", "to": ["b@example.com", "", "c\r\nd@example.com"] })),
        ["from", "to[1]", "to[2]"]
    );
    assert_eq!(
        keys(json!({ "smtp_url": "smtp://u:s3cret@h?tls=no", "from": "a@example.com", "to": "b@example.com" })),
        ["smtp_url"]
    );
    assert_eq!(keys(json!({ "smtp_url": url, "from": "a@example.com", "to": "ü@example.com" })), ["to[0]"]);
    assert_eq!(
        keys(json!({ "smtp_url": url, "from": "a@example.com", "to": "b@example.com", "ca_file": "/nowhere/ca.pem" })),
        ["ca_file"]
    );
    assert_eq!(
        keys(json!({ "smtp_url": url, "from": "a@example.com", "to": "b@example.com, c@example.com" })),
        [""; 0]
    );
    let many: Vec<String> = (0..51).map(|n| format!("a{n}@example.com")).collect();
    assert_eq!(keys(json!({ "smtp_url": url, "from": "a@example.com", "to": many })), ["to"]);
}

#[test]
fn a_recipient_named_twice_gets_one_copy() {
    let to = ["a@example.com", "A <a@example.com>", "A@Example.COM"];
    let config: EmailConfig = config(json!({ "smtp_url": "smtp://127.0.0.1", "from": "b@example.com", "to": to }));
    assert_eq!(config.addresses().unwrap().to.len(), 1);
}

#[tokio::test]
async fn a_token_signs_in_and_is_asked_for_anew_where_it_is_refused() {
    use axum::response::IntoResponse as _;
    let tokens = crate::sink::testkit::Receiver::start(|n, _| {
        axum::Json(json!({ "access_token": format!("tok-s3cret-{n}"), "token_type": "Bearer", "expires_in": 3600 }))
            .into_response()
    })
    .await;
    // The first token is no good; Google says so in a challenge, and so do others.
    let first = base64_of("user=me@example.com\x01auth=Bearer tok-s3cret-0\x01\x01");
    let server = Stub::start(move |line| match line {
        line if line.starts_with("EHLO") => say("250-stub.example.com\r\n250 AUTH XOAUTH2 PLAIN"),
        line if line == format!("AUTH XOAUTH2 {first}") => say("535 5.7.8 not accepted"),
        _ => Reply::Usual,
    })
    .await;
    let mut settings = settings(&server, &["ann@example.com"]);
    settings["smtp_url"] = format!("smtp://{}", server.address).into();
    settings["oauth2"] = json!({ "user": "me@example.com", "token_url": format!("{}/token", tokens.base),
        "client_id": "id", "client_secret": "cs-s3cret", "refresh_token": "rt-s3cret" });
    let sink = sink::<EmailConfig>(settings, &common());
    let refused = sink.send(&message()).await;
    assert_eq!(refused.outcome, Outcome::Stop);
    assert_eq!(sink.send(&message()).await.outcome, Outcome::Accepted);
    assert_eq!(server.lines("AUTH XOAUTH2").len(), 2);
    let asked = tokens.seen();
    assert_eq!(asked.len(), 2);
    let form = String::from_utf8(asked[0].body.to_vec()).unwrap();
    assert!(form.contains("grant_type=refresh_token") && form.contains("refresh_token=rt-s3cret"), "{form}");
    assert!(!refused.detail.contains("s3cret"), "{}", refused.detail);
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn the_envelope_names_another_sender_and_the_letter_is_signed() {
    let server = Stub::start(|_| Reply::Usual).await;
    let key = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let body = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(key.as_ref())
    };
    let mut settings = settings(&server, &["ann@example.com"]);
    settings["envelope_from"] = "bounces@example.com".into();
    settings["dkim"] = json!({ "domain": "example.com", "selector": "amp",
        "key": format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----") });
    let report = sink::<EmailConfig>(settings, &common()).send(&message()).await;
    assert_eq!(report.outcome, Outcome::Accepted, "{}", report.detail);
    assert_eq!(server.lines("MAIL FROM:<bounces@example.com>").len(), 1);
    let letter = &server.taken()[0].letter;
    assert!(letter.starts_with("DKIM-Signature: v=1; a=ed25519-sha256;"), "{letter}");
    assert!(letter.contains("From: Bridge <bridge@example.com>\r\n"));
}

/// Notes what it is told, and how far the server had come by then.
struct Notes(Arc<Stub>, Mutex<Vec<(String, RecipientState, usize)>>);

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notes({:?})", self.1)
    }
}

#[async_trait]
impl crate::sink::Progress for Notes {
    async fn recipient(&self, address: &str, state: RecipientState) {
        let commands = self.0.lines("MAIL").len();
        self.1.lock().unwrap().push((address.to_owned(), state, commands));
    }
}

#[tokio::test]
async fn each_copy_is_noted_before_the_next_is_handed_in_but_the_last_which_the_report_tells() {
    let server = Stub::start(|line| match line {
        "RCPT TO:<bob@example.com>" => say("550 no"),
        _ => Reply::Usual,
    })
    .await;
    let server = Arc::new(server);
    let sink = email(&server, &ALL, &common());
    assert!(sink.goes_one_by_one() && !email(&server, &ALL[..1], &common()).goes_one_by_one());
    let notes = Arc::new(Notes(Arc::clone(&server), Mutex::default()));
    let report = sink.send(&Message { progress: Some(notes.clone()), ..message() }).await;
    assert_eq!(report.recipients.len(), 3);
    let noted = notes.1.lock().unwrap().clone();
    assert_eq!(
        noted,
        [
            ("ann@example.com".to_owned(), RecipientState::Accepted, 1),
            ("bob@example.com".to_owned(), RecipientState::Refused("550 no".into()), 2)
        ]
    );
}

#[tokio::test]
async fn where_encryption_is_not_asked_for_it_is_taken_where_it_is_offered() {
    let (pem, acceptor) = certificate();
    let offering = || Stub::encrypting(Cipher::OnStartTls(acceptor.clone()), |_| Reply::Usual);
    // On this machine, whatever certificate there is.
    let server = offering().await;
    let report = email(&server, &ALL[..1], &common()).send(&message()).await;
    assert_eq!((report.outcome, server.lines("STARTTLS").len()), (Outcome::Accepted, 1), "{}", report.detail);
    let lines = server.lines("");
    let at = |what: &str| lines.iter().position(|line| line.starts_with(what));
    assert!(at("STARTTLS") < at("AUTH"), "{lines:?}");
    // Elsewhere only with one that is trusted, and never with less than was offered.
    let server = offering().await;
    let url = Secret::new(format!("smtp://{LOGIN}@{}", server.address));
    let here = Server::parse(&url, true).unwrap();
    // Another way to write it, which is not taken for this machine.
    let there = Server { host: "127.1".into(), ..here.clone() };
    let strangers = TlsParameters::new("127.0.0.1".into()).unwrap();
    let fault = Session::open(&there, &strangers, None).await.err().unwrap();
    assert!(fault.text.contains("ca_file") && server.lines("AUTH").is_empty(), "{}", fault.text);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    let mut with_ca = settings(&server, &ALL);
    with_ca["ca_file"] = file.path().to_str().unwrap().into();
    let trusting = config::<EmailConfig>(with_ca).tls(&Server { security: Security::StartTls, ..here.clone() });
    Session::open(&there, &trusting.unwrap(), None).await.unwrap().quit().await;
    // A server here that can't do what it offers is talked to all the same.
    let before = server.lines("AUTH").len();
    Session::open(&here, &strangers, None).await.unwrap().quit().await;
    assert_eq!(server.lines("AUTH").len(), before + 1);
}

#[tokio::test]
async fn what_went_wrong_is_said_with_what_to_do() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings =
        json!({ "smtp_url": format!("smtp://{nobody}"), "from": "b@example.com", "to": "a@example.com" });
    let report = sink::<EmailConfig>(settings.clone(), &common()).send(&message()).await;
    assert!(report.detail.starts_with(&format!("no connection to {nobody}: Connection refused")), "{}", report.detail);
    let server = Stub::start(|line| if line.starts_with("EHLO") { say("250 stub") } else { Reply::Usual }).await;
    settings["smtp_url"] = format!("smtp://{LOGIN}@{}", server.address).into();
    let report = sink::<EmailConfig>(settings.clone(), &common()).send(&message()).await;
    assert!(report.detail.contains("take the user and password out of smtp_url"), "{}", report.detail);
    let url = Secret::new(format!("smtp://{}", server.address));
    let wanting = Server { security: Security::StartTls, ..Server::parse(&url, false).unwrap() };
    let tls = TlsParameters::new("127.0.0.1".into()).unwrap();
    let fault = Session::open(&wanting, &tls, None).await.err().unwrap();
    assert!(fault.text.contains("use smtps://") && !fault.text.contains("internal client error"), "{}", fault.text);
}
