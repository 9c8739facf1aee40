//! Signing in at the receiver.

use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::*;

async fn sent(receiver: &Receiver, settings: serde_json::Value) -> Report {
    let mut all = json!({ "url": receiver.base, "secrets": SECRET });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    sink::<WebhookConfig>(all, &common()).send(&message()).await
}

/// Refuses, and says what it was sent.
async fn parrot() -> Receiver {
    Receiver::start(|_, seen| (StatusCode::FORBIDDEN, format!("you sent {:?}", seen.headers)).into_response()).await
}

#[tokio::test]
async fn tokens_passwords_and_headers_arrive_and_are_never_reported() {
    let receiver = parrot().await;
    for (settings, name, value) in [
        (json!({ "auth": { "kind": "bearer", "token": "s3cretToken" } }), "authorization", "Bearer s3cretToken"),
        (
            json!({ "auth": { "kind": "basic", "user": "ana", "password": "s3cret:pass" } }),
            "authorization",
            "Basic YW5hOnMzY3JldDpwYXNz",
        ),
        (json!({ "headers": { "X-Api-Key": "s3cretKey" } }), "x-api-key", "s3cretKey"),
    ] {
        let report = sent(&receiver, settings).await;
        assert_eq!(receiver.seen().last().unwrap().header(name), value);
        assert_eq!(report.outcome, Outcome::Transient { after: None, refusal: true });
        assert!(report.detail.contains("you sent"), "{}", report.detail);
        for secret in ["s3cret", "YW5hOnMzY3JldDpwYXNz"] {
            assert!(!report.detail.contains(secret), "{secret} in {}", report.detail);
        }
    }
}

/// A token endpoint; the n-th token is `s3cret-n`.
async fn endpoint() -> Receiver {
    Receiver::start(|n, _| {
        axum::Json(json!({ "access_token": format!("s3cret-{n}"), "token_type": "Bearer", "expires_in": 3600 }))
            .into_response()
    })
    .await
}

fn oauth(endpoint: &Receiver) -> serde_json::Value {
    json!({ "auth": {
        "kind": "oauth2_cc", "token_url": format!("{}/token", endpoint.base), "client_id": "bridge",
        "client_secret": "s3cretOfTheClient", "scopes": ["events:write"],
    } })
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_replaced_when_it_is_refused() {
    let endpoint = endpoint().await;
    // The first token is taken twice, then only the second one is good.
    let receiver = Receiver::start(|n, seen| match (n, seen.header("authorization")) {
        (0 | 1, "Bearer s3cret-0") | (_, "Bearer s3cret-1") => StatusCode::OK.into_response(),
        (_, other) => (StatusCode::UNAUTHORIZED, format!("not {other}")).into_response(),
    })
    .await;
    let mut all = json!({ "url": receiver.base, "secrets": SECRET });
    all.as_object_mut().unwrap().extend(oauth(&endpoint).as_object().unwrap().clone());
    let sink = sink::<WebhookConfig>(all, &common());
    for _ in 0..3 {
        assert_eq!(sink.send(&message()).await.outcome, Outcome::Accepted);
    }
    let asked = endpoint.seen();
    assert_eq!((asked.len(), receiver.seen().len()), (2, 4));
    // RFC 6749 section 4.4.2.
    assert_eq!(asked[0].header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(asked[0].body, "grant_type=client_credentials&scope=events%3Awrite");
    assert_eq!(asked[0].header("authorization"), "Basic YnJpZGdlOnMzY3JldE9mVGhlQ2xpZW50");
}

#[tokio::test]
async fn a_receiver_that_refuses_every_token_is_asked_twice_and_the_token_is_not_reported() {
    let (endpoint, receiver) = (
        endpoint().await,
        Receiver::start(|_, seen| (StatusCode::UNAUTHORIZED, format!("you sent {:?}", seen.headers)).into_response())
            .await,
    );
    let report = sent(&receiver, oauth(&endpoint)).await;
    assert_eq!((report.outcome, report.status), (Outcome::Transient { after: None, refusal: true }, Some(401)));
    assert_eq!((endpoint.seen().len(), receiver.seen().len()), (2, 2));
    assert!(report.detail.contains("you sent") && !report.detail.contains("s3cret"), "{}", report.detail);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_it_is_tried_again() {
    let receiver = Receiver::start(|_, _| StatusCode::OK.into_response()).await;
    let endpoint = Receiver::start(|_, seen| {
        let body = json!({ "error": "invalid_client", "error_description": seen.header("authorization") });
        (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response()
    })
    .await;
    let report = sent(&receiver, oauth(&endpoint)).await;
    assert_eq!((report.outcome, report.status), (Outcome::Transient { after: None, refusal: false }, None));
    assert!(report.detail.contains("invalid_client") && !report.detail.contains("s3cret"), "{}", report.detail);
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn connecting_signs_in_and_sends_nothing() {
    let (receiver, endpoint) = (Receiver::start(|_, _| StatusCode::OK.into_response()).await, endpoint().await);
    let mut all = json!({ "url": receiver.base, "secrets": SECRET });
    all.as_object_mut().unwrap().extend(oauth(&endpoint).as_object().unwrap().clone());
    let told = sink::<WebhookConfig>(all.clone(), &common()).connect().await.unwrap();
    assert!(told.contains("can be reached") && told.contains("gives a token"), "{told}");
    assert_eq!((endpoint.seen().len(), receiver.seen().len()), (1, 0));
    all["auth"]["token_url"] = format!("{}/nothing", receiver.base).into();
    let fault = sink::<WebhookConfig>(all, &common()).connect().await.unwrap_err();
    assert!(fault.contains("without an access token"), "{fault}");
}

/// A certificate for localhost, or a client, by an authority.
fn issued(issuer: &CertifiedIssuer<'_, KeyPair>, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    (certificate, key)
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A receiver that talks to nobody without a certificate of `authority`. Its address, and how often it answered.
async fn strict(authority: &CertifiedIssuer<'_, KeyPair>) -> (String, Arc<AtomicUsize>) {
    crate::http::install_tls();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let (certificate, key) = issued(authority, "127.0.0.1");
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (base, acceptor) = (format!("https://{}", listener.local_addr().unwrap()), TlsAcceptor::from(Arc::new(config)));
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut buffer = [0; 8192];
            if stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        }
    });
    (base, answered)
}

#[tokio::test]
async fn mutual_tls_shows_the_clients_certificate_and_checks_the_servers() {
    let authority = authority();
    let (base, answered) = strict(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let (certificate, key) = issued(&authority, "bridge.example.com");
    let settings = json!({ "url": base, "secrets": SECRET, "ca_file": ca_file });
    let mut full = settings.clone();
    full["client_cert"] = certificate.pem().into();
    full["client_key"] = key.serialize_pem().into();
    let report = sink::<WebhookConfig>(full.clone(), &common()).send(&message()).await;
    assert_eq!((report.outcome, report.status), (Outcome::Accepted, Some(204)), "{}", report.detail);

    // Without one, or without trust in the server: nothing is delivered, and it is tried again.
    let transient = Outcome::Transient { after: None, refusal: false };
    assert_eq!(sink::<WebhookConfig>(settings, &common()).send(&message()).await.outcome, transient);
    full.as_object_mut().unwrap().remove("ca_file");
    let report = sink::<WebhookConfig>(full, &common()).send(&message()).await;
    assert_eq!(report.outcome, transient);
    assert!(report.detail.contains("can't connect"), "{}", report.detail);
    assert_eq!(answered.load(Ordering::SeqCst), 1);
}

/// A certificate of the right authority for another host.
#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = authority();
    let (certificate, key) = issued(&authority, "other.example.com");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap());
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = acceptor.accept(socket).await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let report = sink::<WebhookConfig>(json!({ "url": base, "secrets": SECRET, "ca_file": ca_file }), &common())
        .send(&message())
        .await;
    assert_eq!(report.outcome, Outcome::Transient { after: None, refusal: false });
    assert!(report.detail.contains("certificate"), "{}", report.detail);
}
