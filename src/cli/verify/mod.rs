//! `ampbridge verify`: whether a captured request was signed with a key, found out offline.

mod capture;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, Outcome, output};
use crate::domain::setting::Span;
use crate::domain::signing::VerifyingKey;
use crate::domain::time::Timestamp;
use crate::env::{Clock as _, SystemClock};
use capture::Capture;

/// Largest request or key file that is read.
const BYTES: u64 = 16 * 1024 * 1024;
/// Most parts of a signature header that are tried.
const PARTS: usize = 64;

const AFTER: &str = "\
The file holds what the receiver got: header lines, an empty line, the body byte for byte. A request line before them
is left out of account.

Exit codes:  0 a key made one of the signatures, recently enough   1 not so   2 the file or a key can't be read";

#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct VerifyArgs {
    /// The captured request; `-` reads stdin. Left out: the headers are given by --header, the body by --body.
    #[arg(value_name = "FILE", required_unless_present = "headers", conflicts_with_all = ["headers", "body"])]
    file: Option<PathBuf>,
    /// A header of the request, `webhook-id: evt_…`. Repeat it for the other two.
    #[arg(long = "header", value_name = "LINE")]
    headers: Vec<String>,
    /// The file with the body; `-` reads stdin.
    #[arg(long, value_name = "FILE", requires = "headers")]
    body: Option<PathBuf>,
    /// An environment variable with a `whsec_…`, `whsk_…` or `whpk_…` key. May be repeated.
    #[arg(long = "key-env", value_name = "NAME")]
    key_env: Vec<String>,
    /// A file with a key. May be repeated.
    #[arg(long = "key-file", value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// A public key, `whpk_…`. May be repeated.
    #[arg(long = "public-key", value_name = "KEY")]
    public_key: Vec<String>,
    /// How far the timestamp may be from now, either way.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = Span::parse)]
    tolerance: Span,
    /// Verify as of this time instead of now: an RFC 3339 timestamp.
    #[arg(long, value_name = "TIME", conflicts_with = "any_age")]
    at: Option<Timestamp>,
    /// Whatever its age.
    #[arg(long)]
    any_age: bool,
}

/// A key and what it is called in the output.
struct Named {
    name: String,
    key: VerifyingKey,
}

pub(super) fn run(args: &VerifyArgs, env: &BTreeMap<String, String>) -> Outcome {
    let keys = keys(args, env)?;
    let capture = captured(args)?;
    let now = args.at.unwrap_or_else(|| SystemClock.now());
    match examine(&capture, &keys, now, (!args.any_age).then_some(args.tolerance)) {
        Ok(lines) => {
            for line in lines {
                output::line(&line);
            }
            Ok(())
        }
        Err(faults) => Err(Failure::Failed(faults)),
    }
}

/// What verified, or everything that is wrong.
fn examine(
    capture: &Capture,
    keys: &[Named],
    now: Timestamp,
    tolerance: Option<Span>,
) -> Result<Vec<String>, Vec<String>> {
    let mut faults = Vec::new();
    let mut header = |name: &str| {
        let value = capture.webhook(name);
        if value.is_none() {
            faults.push(format!("the header webhook-{name} is missing"));
        }
        value.unwrap_or_default()
    };
    let (id, stamp, signatures) = (header("id"), header("timestamp"), header("signature"));
    if !faults.is_empty() {
        return Err(faults);
    }
    let Ok(at) = stamp.parse::<i64>().map_err(drop).and_then(|secs| Timestamp::from_second(secs).map_err(drop)) else {
        return Err(vec!["webhook-timestamp is not a number of Unix seconds".to_owned()]);
    };
    let age = now.duration_since(at);
    if let Some(tolerance) = tolerance.filter(|tolerance| age.abs() > tolerance.0) {
        faults.push(format!(
            "it was signed at {at}, more than {tolerance} from {now}: a receiver refuses it (--any-age looks at the signature alone)"
        ));
    }
    let parts: Vec<&str> = signatures.split(' ').filter(|part| !part.is_empty()).take(PARTS).collect();
    let made = |key: &Named, body: &[u8]| parts.iter().any(|part| key.key.made(part, id, at.as_second(), body));
    let good: Vec<&Named> = keys.iter().filter(|key| made(key, &capture.body)).collect();
    if good.is_empty() {
        faults.push(unsigned(&parts, keys, capture, made));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(good
        .iter()
        .map(|key| format!("{id}: signed at {at} ({}) with {}", key.key.scheme().as_str(), key.name))
        .collect())
}

/// Why no signature is good, as far as that can be told.
fn unsigned(parts: &[&str], keys: &[Named], capture: &Capture, made: impl Fn(&Named, &[u8]) -> bool) -> String {
    let schemes: Vec<&str> = parts.iter().filter_map(|part| part.split_once(',')).map(|(scheme, _)| scheme).collect();
    if schemes.is_empty() {
        return "webhook-signature holds no signature like `v1,…`".to_owned();
    }
    if keys.iter().all(|key| !schemes.contains(&key.key.scheme().as_str())) {
        let of = keys.first().map_or("", |key| key.key.scheme().as_str());
        return format!("it is signed by {}, and no key is for that: they are for {of}", schemes.join(" and "));
    }
    let mut trimmed = capture.body.as_slice();
    while let Some(rest) = trimmed.strip_suffix(b"\n").or_else(|| trimmed.strip_suffix(b"\r")) {
        trimmed = rest;
    }
    let with_line_end = [trimmed, b"\n"].concat();
    if keys.iter().any(|key| made(key, trimmed) || made(key, &with_line_end)) {
        return "the signature is of the same body with another line end: the capture changed it".to_owned();
    }
    let count = keys.len();
    format!("none of the {count} keys made any of its signatures: another key, or id, timestamp or body were changed")
}

fn keys(args: &VerifyArgs, env: &BTreeMap<String, String>) -> Result<Vec<Named>, Failure> {
    let mut keys = Vec::new();
    let mut take = |name: String, text: &str| {
        let key = VerifyingKey::parse(text).map_err(|why| Failure::Usage(format!("{name}: {why}")))?;
        let name = format!("{name} (key {})", key.fingerprint());
        keys.push(Named { name, key });
        Ok::<(), Failure>(())
    };
    for name in &args.key_env {
        let text =
            env.get(name).ok_or_else(|| Failure::Usage(format!("the environment variable {name} is not set")))?;
        take(name.clone(), text)?;
    }
    for path in &args.key_file {
        let text = String::from_utf8(read(path)?).unwrap_or_default();
        take(path.display().to_string(), &text)?;
    }
    for text in &args.public_key {
        if !text.trim().starts_with("whpk_") {
            let advice = "begins with whpk_; give a secret by --key-env or --key-file, where nobody else sees it";
            return Err(Failure::Usage(format!("a --public-key {advice}")));
        }
        take("the public key".to_owned(), text)?;
    }
    if keys.is_empty() {
        return Err(Failure::Usage(
            "no key to verify with; give one by --key-env, --key-file or --public-key".to_owned(),
        ));
    }
    Ok(keys)
}

fn captured(args: &VerifyArgs) -> Result<Capture, Failure> {
    let fault = |path: &Path, why: String| Failure::Usage(format!("{}: {why}", path.display()));
    if let Some(path) = &args.file {
        return Capture::read(&read(path)?).map_err(|why| fault(path, why));
    }
    let body = args.body.as_deref().map(read).transpose()?.unwrap_or_default();
    Capture::of(&args.headers, body).map_err(Failure::Usage)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let fault = |why: String| Failure::Usage(format!("{} can't be read: {why}", path.display()));
    let mut bytes = Vec::new();
    let outcome = if path == Path::new("-") {
        std::io::stdin().lock().take(BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(BYTES + 1).read_to_end(&mut bytes))
    };
    outcome.map_err(|e| fault(e.to_string()))?;
    if bytes.len() as u64 > BYTES { Err(fault(format!("it is larger than {BYTES} bytes"))) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signing::{SigningSecret, shared_secret, signature_header, signing_key};

    const AT: i64 = 1_795_356_300;

    fn named(text: &str) -> Named {
        Named { name: "KEY".to_owned(), key: VerifyingKey::parse(text).unwrap() }
    }

    fn capture(secrets: &[SigningSecret], body: &str) -> Capture {
        let signature = signature_header(secrets, "evt_1", AT, body.as_bytes());
        let lines = [
            "webhook-id: evt_1".to_owned(),
            format!("webhook-timestamp: {AT}"),
            format!("webhook-signature: {signature}"),
        ];
        Capture::of(&lines, body.as_bytes().to_vec()).unwrap()
    }

    fn now(after: i64) -> Timestamp {
        Timestamp::from_second(AT + after).unwrap()
    }

    #[test]
    fn every_key_that_signed_is_named_and_every_fault_is_told() {
        let (shared, pair) = (shared_secret(&[1; 32]), signing_key(&[2; 32]).unwrap());
        let secrets = [SigningSecret::parse(&shared).unwrap(), SigningSecret::parse(&pair).unwrap()];
        let tolerance = Some(Span::secs(300));
        let capture = capture(&secrets, "{}");
        let keys = [named(&shared), named(&secrets[1].public().unwrap())];
        let told = examine(&capture, &keys, now(10), tolerance).unwrap();
        assert!(told[0].contains("(v1) with KEY") && told[1].contains("(v1a) with KEY"), "{told:?}");
        let stranger = [named(&shared_secret(&[3; 32]))];
        let faults = examine(&capture, &stranger, now(301), tolerance).unwrap_err();
        assert!(faults[0].contains("more than 5m") && faults[1].contains("none of the 1 keys"), "{faults:?}");
        assert!(examine(&capture, &keys, now(-301), tolerance).is_err());
        assert!(examine(&capture, &keys, now(100_000), None).is_ok());
    }

    #[test]
    fn what_a_capture_does_to_a_request_is_recognised() {
        let shared = shared_secret(&[1; 32]);
        let secrets = [SigningSecret::parse(&shared).unwrap()];
        let mut changed = capture(&secrets, "{}");
        changed.body.push(b'\n');
        let fault = |capture: &Capture, key: &str| examine(capture, &[named(key)], now(0), None).unwrap_err().join("");
        assert!(fault(&changed, &shared).contains("another line end"));
        assert!(fault(&capture(&secrets, "{}"), &signing_key(&[1; 32]).unwrap()).contains("signed by v1, and no key"));
        let bare = Capture::of(&["webhook-id: x"], Vec::new()).unwrap();
        let told = examine(&bare, &[named(&shared)], now(0), None).unwrap_err();
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
