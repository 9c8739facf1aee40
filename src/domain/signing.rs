//! Standard Webhooks 1.0 signatures.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>. The signed
//! text is `id.timestamp.body`; a symmetric signature is `v1,` and the base64 of HMAC-SHA256, an asymmetric one `v1a,`
//! and the base64 of an ed25519 signature. The timestamp is the attempt's, the id the event's.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, Mac};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

/// Fewest and most bytes of a symmetric secret (spec, "Signature scheme").
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of an ed25519 seed, and of a public key.
const SEED_BYTES: usize = 32;

/// How a signature is made, as its prefix in the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// HMAC-SHA256 with a secret both sides have.
    V1,
    /// ed25519: the receiver has the public key only.
    V1a,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }
}

/// A decoded `whsec_…` or `whsk_…` secret.
#[derive(Clone)]
pub struct SigningSecret(Secret);

#[derive(Clone)]
enum Secret {
    Shared(Vec<u8>),
    Pair(Arc<Ed25519KeyPair>),
}

/// What verifies: a shared secret, or a public key.
#[derive(Clone)]
pub struct VerifyingKey(Key);

#[derive(Clone)]
enum Key {
    Shared(Vec<u8>),
    Public(Vec<u8>),
}

/// Why a text is not a key. Never carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("a webhook secret is `whsec_` and base64; the part after `whsec_` is not base64")]
    NotBase64,
    #[error(
        "a webhook secret holds 24 to 64 bytes; this one holds {0}. `openssl rand -base64 32` makes a good one: put `whsec_` before it"
    )]
    Length(usize),
    #[error(
        "a `whsk_` key is base64 of an ed25519 seed of 32 bytes, or of seed and public key together (64); this one is neither. `ampbridge secrets new --ed25519` makes one"
    )]
    NotEd25519,
    #[error("a `whpk_` key is base64 of an ed25519 public key of 32 bytes; this one is not")]
    NotPublic,
    #[error(
        "this is a public key, which can't sign: it is for the receiver. Put the `whsk_` key that belongs to it here"
    )]
    Public,
}

impl SigningSecret {
    /// Reads `whsec_<base64>` (the prefix may be left out) or `whsk_<base64>`; padding may be left out.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let trimmed = text.trim();
        if let Some(encoded) = trimmed.strip_prefix("whsk_") {
            return pair(encoded).map(|pair| Self(Secret::Pair(Arc::new(pair)))).ok_or(SecretError::NotEd25519);
        }
        if trimmed.starts_with("whpk_") {
            return Err(SecretError::Public);
        }
        let bytes = decoded(trimmed.strip_prefix("whsec_").unwrap_or(trimmed)).ok_or(SecretError::NotBase64)?;
        if SECRET_BYTES.contains(&bytes.len()) {
            Ok(Self(Secret::Shared(bytes)))
        } else {
            Err(SecretError::Length(bytes.len()))
        }
    }

    pub fn scheme(&self) -> Scheme {
        match self.0 {
            Secret::Shared(_) => Scheme::V1,
            Secret::Pair(_) => Scheme::V1a,
        }
    }

    /// What the receiver needs of a `whsk_` key: `whpk_…`. It is no secret.
    pub fn public(&self) -> Option<String> {
        match &self.0 {
            Secret::Shared(_) => None,
            Secret::Pair(pair) => Some(format!("whpk_{}", STANDARD.encode(pair.public_key().as_ref()))),
        }
    }

    pub fn verifying(&self) -> VerifyingKey {
        VerifyingKey(match &self.0 {
            Secret::Shared(bytes) => Key::Shared(bytes.clone()),
            Secret::Pair(pair) => Key::Public(pair.public_key().as_ref().to_vec()),
        })
    }

    /// Names the key without telling it; see [`VerifyingKey::fingerprint`].
    pub fn fingerprint(&self) -> String {
        self.verifying().fingerprint()
    }

    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signature = match &self.0 {
            Secret::Shared(bytes) => {
                mac(bytes, id, timestamp, body).map_or_else(Vec::new, |m| m.finalize().into_bytes().to_vec())
            }
            Secret::Pair(pair) => pair.sign(&signed(id, timestamp, body)).as_ref().to_vec(),
        };
        format!("{},{}", self.scheme().as_str(), STANDARD.encode(signature))
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

impl VerifyingKey {
    /// Reads what a receiver has: `whsec_…` or `whpk_…`; of a `whsk_…` the public half.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        match text.trim().strip_prefix("whpk_") {
            Some(encoded) => match decoded(encoded) {
                Some(bytes) if bytes.len() == SEED_BYTES => Ok(Self(Key::Public(bytes))),
                _ => Err(SecretError::NotPublic),
            },
            None => SigningSecret::parse(text).map(|secret| secret.verifying()),
        }
    }

    pub fn scheme(&self) -> Scheme {
        match self.0 {
            Key::Shared(_) => Scheme::V1,
            Key::Public(_) => Scheme::V1a,
        }
    }

    /// Eight hex digits that tell keys apart. Of 24 random bytes and more, a hash gives nothing away.
    pub fn fingerprint(&self) -> String {
        let (Key::Shared(bytes) | Key::Public(bytes)) = &self.0;
        let digest = Sha256::digest(bytes);
        format!("{:08x}", digest.iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte)))
    }

    /// Whether one part of a `webhook-signature` header, `v1,…` or `v1a,…`, was made with this key.
    pub fn made(&self, part: &str, id: &str, timestamp: i64, body: &[u8]) -> bool {
        let Some((scheme, encoded)) = part.split_once(',') else { return false };
        let Ok(given) = STANDARD.decode(encoded) else { return false };
        scheme == self.scheme().as_str()
            && match &self.0 {
                // verify_slice compares in constant time.
                Key::Shared(bytes) => mac(bytes, id, timestamp, body).is_some_and(|m| m.verify_slice(&given).is_ok()),
                Key::Public(bytes) => {
                    UnparsedPublicKey::new(&ED25519, bytes).verify(&signed(id, timestamp, body), &given).is_ok()
                }
            }
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VerifyingKey(…)")
    }
}

/// `webhook-signature`: one part per secret, space-separated, in the order of the secrets.
pub fn signature_header(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

/// Whether any signature in `header` was made with any of `secrets`, and the timestamp lies within `tolerance_secs` of
/// `now`.
pub fn verify(
    secrets: &[SigningSecret],
    id: &str,
    timestamp: i64,
    body: &[u8],
    header: &str,
    now: i64,
    tolerance_secs: i64,
) -> bool {
    if now.saturating_sub(timestamp).saturating_abs() > tolerance_secs {
        return false;
    }
    let keys: Vec<VerifyingKey> = secrets.iter().map(SigningSecret::verifying).collect();
    header.split(' ').any(|part| keys.iter().any(|key| key.made(part, id, timestamp, body)))
}

/// A new shared secret, `whsec_…`, of random bytes.
pub fn shared_secret(random: &[u8; 32]) -> String {
    format!("whsec_{}", STANDARD.encode(random))
}

/// A new signing key, `whsk_…`, of a random seed: seed and public key, as Svix writes it. `None` never occurs.
pub fn signing_key(seed: &[u8; SEED_BYTES]) -> Option<String> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    Some(format!("whsk_{}", STANDARD.encode([seed, pair.public_key().as_ref()].concat())))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// A seed, or a seed and its public key.
fn pair(encoded: &str) -> Option<Ed25519KeyPair> {
    let bytes = decoded(encoded)?;
    match bytes.split_at_checked(SEED_BYTES)? {
        (seed, []) => Ed25519KeyPair::from_seed_unchecked(seed).ok(),
        (seed, public) => Ed25519KeyPair::from_seed_and_public_key(seed, public).ok(),
    }
}

fn signed(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

fn mac(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length, so this is always Some.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn secret(text: &str) -> SigningSecret {
        SigningSecret::parse(text).unwrap()
    }

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
        for (text, error) in [
            ("whsk_", SecretError::NotEd25519),
            ("whsk_c2hvcnQ=", SecretError::NotEd25519),
            ("whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", SecretError::Public),
        ] {
            assert_eq!(SigningSecret::parse(text).unwrap_err(), error, "{text}");
        }
        assert_eq!(VerifyingKey::parse("whpk_c2hvcnQ=").unwrap_err(), SecretError::NotPublic);
    }

    /// RFC 8032, section 7.1, TEST 1: the key pair, and the empty message's signature as a check of the primitive.
    #[test]
    fn ed25519_keys_are_those_of_the_rfc() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
        };
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let both = secret(&format!("whsk_{}", STANDARD.encode([seed.clone(), public.clone()].concat())));
        let alone = secret(&format!("whsk_{}", STANDARD.encode(&seed)));
        let told = format!("whpk_{}", STANDARD.encode(&public));
        assert_eq!((both.public(), alone.public()), (Some(told.clone()), Some(told)));
        // A public key of another pair is noticed.
        assert!(pair(&STANDARD.encode([seed.clone(), seed.clone()].concat())).is_none());
        let Secret::Pair(pair) = &both.0 else { panic!("a pair") };
        let signature = hex(concat!(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ));
        assert_eq!(pair.sign(b"").as_ref(), signature);
    }

    #[test]
    fn each_secret_signs_and_each_key_knows_its_own() {
        let old = secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
        let new = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let pair = secret(&signing_key(&[7; 32]).unwrap());
        let header = signature_header(&[old.clone(), new.clone(), pair.clone()], ID, AT, BODY);
        let parts: Vec<&str> = header.split(' ').collect();
        assert_eq!(parts.iter().map(|p| p.split(',').next().unwrap()).collect::<Vec<_>>(), ["v1", "v1", "v1a"]);
        let keys = [old.verifying(), new.verifying(), VerifyingKey::parse(&pair.public().unwrap()).unwrap()];
        for (at, key) in keys.iter().enumerate() {
            for (part_at, part) in parts.iter().enumerate() {
                assert_eq!(key.made(part, ID, AT, BODY), at == part_at);
            }
            let own = parts[at];
            assert!(!key.made(own, ID, AT + 1, BODY) && !key.made(own, "msg_2", AT, BODY));
            assert!(!key.made(own, ID, AT, b"{}") && !key.made(&own[..own.len() - 4], ID, AT, BODY));
        }
        // Each of them alone is enough, and a stranger's is not.
        for one in [old, new, pair] {
            assert!(verify(&[one], ID, AT, BODY, &header, AT, 300));
        }
        let stranger = secret(&shared_secret(&[9; 32]));
        assert!(!verify(&[stranger], ID, AT, BODY, &header, AT, 300));
    }

    #[test]
    fn fingerprints_tell_keys_apart_and_nothing_else() {
        let (a, b) = (secret(&shared_secret(&[1; 32])), secret(&shared_secret(&[2; 32])));
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_eq!(a.fingerprint().len(), 8);
        assert_eq!(format!("{a:?} {:?}", a.verifying()), "SigningSecret(…) VerifyingKey(…)");
        let pair = secret(&signing_key(&[3; 32]).unwrap());
        assert_eq!(pair.fingerprint(), VerifyingKey::parse(&pair.public().unwrap()).unwrap().fingerprint());
    }
}
