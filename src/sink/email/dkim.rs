//! DKIM: a signature over a letter, so that receivers know whose it is (RFC 6376; Ed25519: RFC 8463).
//!
//! `relaxed/relaxed`, whose canonical form survives servers that fold lines anew or trim them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::domain::setting::Secret;
use crate::domain::time::Timestamp;
use crate::sink::target::Problem;

/// Headers that are signed where a letter has them (RFC 6376, section 5.4.1, and what RFC 8058 asks for).
const SIGNED: [&str; 13] = [
    "from",
    "to",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
];
/// Characters of base64 in a line of the header.
const LINE: usize = 70;

/// Whose signature, and with which key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DkimConfig {
    /// The domain that signs: that of `from`, or one above it.
    domain: String,
    /// The name under which its DNS has the public key: `SELECTOR._domainkey.DOMAIN`.
    selector: String,
    /// The private key as PEM: RSA of 2048 bits or more, or Ed25519.
    key: Secret,
}

/// Signs letters.
pub struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl DkimConfig {
    /// Reads the settings, or says which is wrong.
    pub fn signer(&self) -> Result<Signer, Problem> {
        let is_name = |text: &str| {
            let label = |l: &str| !l.is_empty() && l.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            text.len() <= 200 && text.split('.').all(label)
        };
        for (key, text) in [("dkim.domain", &self.domain), ("dkim.selector", &self.selector)] {
            if !is_name(text) {
                return Err((key.to_owned(), "is no name: letters, digits, dots, `-` and `_`".to_owned()));
            }
        }
        let form = "is no key: a PEM file with `PRIVATE KEY` (RSA from 2048 bits on, or Ed25519) or `RSA PRIVATE KEY`";
        match read_key(self.key.expose()) {
            Some(key) => Ok(Signer { domain: self.domain.clone(), selector: self.selector.clone(), key }),
            None => Err(("dkim.key".to_owned(), form.to_owned())),
        }
    }
}

fn read_key(pem: &str) -> Option<Key> {
    let body: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).ok()?;
    let rsa = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).ok().map(Key::Rsa);
    rsa.or_else(|| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok().map(Key::Ed25519))
}

impl Signer {
    /// The letter with its signature in front.
    pub fn sign(&self, letter: Vec<u8>, now: Timestamp) -> Result<Vec<u8>, String> {
        let text = String::from_utf8(letter).map_err(|_| "it is not UTF-8".to_owned())?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("it has no body")?;
        let headers = unfolded(head);
        let mut names = Vec::new();
        let mut signed = String::new();
        for wanted in SIGNED {
            for (name, value) in headers.iter().filter(|(name, _)| name == wanted) {
                names.push(wanted);
                signed.push_str(&format!("{name}:{value}\r\n"));
            }
        }
        let algorithm = match self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        let digest = STANDARD.encode(Sha256::digest(relaxed_body(body)));
        let own = format!(
            "v=1; a={algorithm}; c=relaxed/relaxed; d={}; s={}; t={};\r\n\th={};\r\n\tbh={digest};\r\n\tb=",
            self.domain,
            self.selector,
            now.as_second(),
            folded(&names.join(":"), ':'),
        );
        signed.push_str(&format!("dkim-signature:{}", relaxed(&own)));
        let signature = STANDARD.encode(self.key.sign(signed.as_bytes())?);
        let lines: Vec<&str> = (0..signature.len())
            .step_by(LINE)
            .filter_map(|at| signature.get(at..signature.len().min(at + LINE)))
            .collect();
        Ok(format!("DKIM-Signature: {own}{}\r\n{text}", lines.join("\r\n\t ")).into_bytes())
    }
}

impl Key {
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| "the key signs nothing".to_owned())?;
                Ok(signature)
            }
            // RFC 8463, section 3: the digest is what is signed.
            Self::Ed25519(key) => Ok(key.sign(&Sha256::digest(data)).as_ref().to_vec()),
        }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({}, {})", self.domain, self.selector)
    }
}

/// Breaks after separators, so that no line is long.
fn folded(text: &str, separator: char) -> String {
    let mut out = String::new();
    let mut line = 0;
    for part in text.split_inclusive(separator) {
        if line + part.len() > LINE && line > 0 {
            out.push_str("\r\n\t ");
            line = 0;
        }
        line += part.len();
        out.push_str(part);
    }
    out
}

/// Headers by lower-case name, values in relaxed form (RFC 6376, section 3.4.2).
fn unfolded(head: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.to_owned()));
        }
    }
    headers.into_iter().map(|(name, value)| (name, relaxed(&value))).collect()
}

/// Every run of blanks is one, none at the ends, no line breaks.
fn relaxed(value: &str) -> String {
    value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// RFC 6376, section 3.4.4.
fn relaxed_body(body: &str) -> String {
    let mut lines: Vec<String> = body.split("\r\n").map(relaxed_line).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.into_iter().map(|line| line + "\r\n").collect()
}

fn relaxed_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut blank = false;
    for c in line.chars() {
        if matches!(c, ' ' | '\t') {
            blank = true;
            continue;
        }
        if blank {
            out.push(' ');
            blank = false;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, KeyPair as _, UnparsedPublicKey};

    fn config(key: &str) -> DkimConfig {
        DkimConfig { domain: "example.com".into(), selector: "amp".into(), key: Secret::new(key) }
    }

    fn pem() -> String {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key.as_ref()))
    }

    /// The examples of RFC 6376, section 3.4.5.
    #[test]
    fn the_relaxed_form_is_that_of_the_specification() {
        assert_eq!(unfolded("A: X\r\nB : Y\t\r\n\tZ  "), [("a".into(), "X".into()), ("b".into(), "Y Z".into())]);
        assert_eq!(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
        assert_eq!(relaxed_body(""), "");
    }

    #[test]
    fn what_is_signed_verifies_and_what_is_changed_does_not() {
        let signer = config(&pem()).signer().unwrap();
        let letter = "From: a@example.com\r\nSubject: Budget\r\n of today\r\nX-Other: 1\r\n\r\nHello \r\n\r\n";
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let signed = String::from_utf8(signer.sign(letter.as_bytes().to_vec(), now).unwrap()).unwrap();
        assert!(signed.ends_with(letter));
        assert!(signed.split("\r\n").all(|line| line.len() <= 100), "{signed}");
        let (head, _) = signed.split_once("\r\n\r\n").unwrap();
        let own = unfolded(head)[0].1.clone();
        assert!(own.contains("a=ed25519-sha256") && own.contains("h=from:subject;"), "{own}");
        let (before, signature) = own.rsplit_once("b=").unwrap();
        let signature = STANDARD.decode(signature.replace(' ', "")).unwrap();
        let Key::Ed25519(key) = &signer.key else { panic!("another kind of key") };
        let public = UnparsedPublicKey::new(&ED25519, key.public_key().as_ref().to_vec());
        for (subject, good) in [("Budget of today", true), ("Budget of  tomorrow", false)] {
            let data = format!("from:a@example.com\r\nsubject:{subject}\r\ndkim-signature:{before}b=");
            assert_eq!(public.verify(&Sha256::digest(data), &signature).is_ok(), good, "{subject}");
        }
        let body = STANDARD.encode(Sha256::digest("Hello\r\n"));
        assert!(own.contains(&format!("bh={body};")), "{own}");
    }

    #[test]
    fn what_is_no_key_or_name_is_refused_without_being_shown() {
        for key in ["", "s3cret", "-----BEGIN PRIVATE KEY-----\nczNjcmV0\n-----END PRIVATE KEY-----"] {
            let (path, reason) = config(key).signer().unwrap_err();
            assert!(path == "dkim.key" && !reason.contains("s3cret"), "{reason}");
        }
        let bad = DkimConfig { domain: "exa mple.com".into(), ..config(&pem()) };
        assert_eq!(bad.signer().unwrap_err().0, "dkim.domain");
    }
}
