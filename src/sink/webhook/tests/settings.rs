//! What is wrong with settings, said before anything is sent.

use super::*;

/// Keys of the problems of a webhook that would be right without these settings.
fn keys(settings: serde_json::Value) -> Vec<String> {
    let mut all = json!({ "url": "https://example.com/hook", "secrets": SECRET });
    for (key, value) in settings.as_object().unwrap() {
        match value {
            serde_json::Value::Null => drop(all.as_object_mut().unwrap().remove(key)),
            value => all[key] = value.clone(),
        }
    }
    let config: WebhookConfig = testkit::config(all);
    let problems = config.problems();
    let said = format!("{problems:?} {config:?} {}", config.summary());
    assert!(!said.contains("s3cret"), "{said}");
    problems.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn settings_that_can_not_go_together_are_told() {
    let bearer = json!({ "kind": "bearer", "token": "s3cret" });
    for (settings, expected) in [
        (json!({}), vec![]),
        (json!({ "mode": "binary" }), vec![]),
        (json!({ "auth": bearer }), vec![]),
        (json!({ "auth": { "kind": "bearer" } }), vec!["auth.token"]),
        (json!({ "auth": { "kind": "bearer", "token": "s3cret with blanks" } }), vec!["auth.token"]),
        (json!({ "auth": { "kind": "basic", "token": "s3cret" } }), vec!["auth.token", "auth.user", "auth.password"]),
        (
            json!({ "auth": { "kind": "oauth2_cc", "client_id": "i", "client_secret": "s3cret", "token_url": "http://a.example.com/s3cret" } }),
            vec!["auth.token_url"],
        ),
        (json!({ "auth": bearer, "url": "http://example.com/" }), vec!["url"]),
        (json!({ "auth": bearer, "url": "https://u:s3cret@example.com/" }), vec!["auth"]),
        (json!({ "headers": { "x-key": "s3cret" }, "url": "http://example.com/" }), vec!["url"]),
        (
            json!({ "headers": { "x-key": "s3cret\n", "x key": "v", "ce-id": "v", "Host": "v", "x-bad": "ä" } }),
            vec!["headers.Host", "headers.ce-id", "headers.x key", "headers.x-bad"],
        ),
        (json!({ "headers": { "authorization": "s3cret" }, "auth": bearer }), vec!["headers.authorization"]),
        (json!({ "client_cert": "s3cret" }), vec!["client_key"]),
        (json!({ "client_cert": "s3cret", "client_key": "s3cret" }), vec!["client_cert"]),
        (json!({ "ca_file": "/nowhere/ca.pem" }), vec!["ca_file"]),
        (json!({ "content_type": "text/plain" }), vec!["content_type"]),
        (json!({ "body": "{{ nope }}" }), vec!["body"]),
        (json!({ "body": "x", "content_type": "image/png" }), vec!["body"]),
        (json!({ "body": "{{ head }}", "content_type": "text/plain", "mode": "batch" }), vec!["mode"]),
        (json!({ "body": "{{ head }}", "content_type": "text/plain" }), vec![]),
        (json!({ "secrets": null }), vec!["secrets"]),
        (json!({ "secrets": null, "preset": "discord" }), vec![]),
        (json!({ "secrets": null, "preset": "custom" }), vec!["body"]),
        (json!({ "preset": "teams", "body": "x" }), vec!["body"]),
        (json!({ "preset": "teams", "url": null }), vec!["url"]),
        (json!({ "preset": "ntfy", "url": null, "topic": "t" }), vec![]),
        (json!({ "preset": "github", "url": null, "repository": "acme", "auth": bearer }), vec!["repository"]),
    ] {
        assert_eq!(keys(settings.clone()), expected, "{settings}");
    }
}

#[test]
fn the_summary_says_which_secrets_are_in_use_and_never_tells_them() {
    let pair = crate::domain::signing::signing_key(&[5; 32]).unwrap();
    let config: WebhookConfig =
        testkit::config(json!({ "url": "https://example.com/s3cret", "secrets": [OLD_SECRET, SECRET, pair] }));
    let summary = config.summary();
    let fingerprint = |text: &str| SigningSecret::parse(text).unwrap().fingerprint();
    for part in [
        "POST to https://example.com, signed with 3 secret(s)".to_owned(),
        format!("v1 (key {})", fingerprint(SECRET)),
        format!("v1 (key {})", fingerprint(OLD_SECRET)),
        format!("v1a (key {}, public whpk_", fingerprint(&pair)),
    ] {
        assert!(summary.contains(&part), "{part} not in {summary}");
    }
    for secret in [SECRET, OLD_SECRET, pair.as_str(), "s3cret"] {
        assert!(!summary.contains(secret.trim_start_matches("whsec_").trim_start_matches("whsk_")), "{summary}");
    }
    let preset: WebhookConfig = testkit::config(json!({ "preset": "ntfy", "topic": "s3cret" }));
    assert_eq!(preset.summary(), "POST to https://ntfy.sh in the form of ntfy, not signed");
}
