//! Standard Webhooks 1.0 signatures.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>. The signed
//! text is `id.timestamp.body`; a symmetric signature is `v1,` and the base64 of HMAC-SHA256. The timestamp is the
//! attempt's, the id the event's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Fewest and most bytes of a symmetric secret (spec, "Signature scheme").
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A decoded `whsec_…` secret.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

/// Why a text is not a signing secret. Never carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("a webhook secret is `whsec_` and base64; the part after `whsec_` is not base64")]
    NotBase64,
    #[error(
        "a webhook secret holds 24 to 64 bytes; this one holds {0}. `openssl rand -base64 32` makes a good one: put `whsec_` before it"
    )]
    Length(usize),
}

impl SigningSecret {
    /// Reads `whsec_<base64>`; the prefix may be left out, padding too.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let trimmed = text.trim();
        let encoded = trimmed.strip_prefix("whsec_").unwrap_or(trimmed).trim_end_matches('=');
        let bytes =
            base64::engine::general_purpose::STANDARD_NO_PAD.decode(encoded).map_err(|_| SecretError::NotBase64)?;
        if SECRET_BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(SecretError::Length(bytes.len())) }
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// `webhook-signature`: one `v1,…` per secret, space-separated, in the order of the secrets.
pub fn signature_header(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    secrets.iter().map(|s| format!("v1,{}", sign(s, id, timestamp, body))).collect::<Vec<_>>().join(" ")
}

/// Whether any `v1` signature in `header` was made with any of `secrets`, and the timestamp lies within
/// `tolerance_secs` of `now`.
pub fn verify(
    secrets: &[SigningSecret],
    id: &str,
    timestamp: i64,
    body: &[u8],
    header: &str,
    now: i64,
    tolerance_secs: i64,
) -> bool {
    if (now - timestamp).abs() > tolerance_secs {
        return false;
    }
    header.split(' ').filter_map(|part| part.strip_prefix("v1,")).any(|given| {
        let Ok(bytes) = STANDARD.decode(given) else { return false };
        secrets.iter().any(|secret| {
            // verify_slice compares in constant time.
            mac(secret, id, timestamp, body).is_some_and(|m| m.verify_slice(&bytes).is_ok())
        })
    })
}

fn sign(secret: &SigningSecret, id: &str, timestamp: i64, body: &[u8]) -> String {
    mac(secret, id, timestamp, body).map_or_else(String::new, |m| STANDARD.encode(m.finalize().into_bytes()))
}

fn mac(secret: &SigningSecret, id: &str, timestamp: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length, so this is always Some.
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).ok()?;
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fixed vector of the reference libraries (`test_sign`).
    #[test]
    fn the_published_vector() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let header = signature_header(
            std::slice::from_ref(&secret),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(verify(
            &[secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
            &format!("v1a,zzz {header}"),
            1_614_265_340,
            300
        ));
    }

    #[test]
    fn short_and_foreign_secrets_are_refused_without_being_shown() {
        assert_eq!(SigningSecret::parse("whsec_").unwrap_err(), SecretError::Length(0));
        assert_eq!(SigningSecret::parse("whsec_c2hvcnQ=").unwrap_err(), SecretError::Length(5));
        let error = SigningSecret::parse("whsec_!!!secret!!!").unwrap_err().to_string();
        assert!(!error.contains("!!!"));
    }
}
