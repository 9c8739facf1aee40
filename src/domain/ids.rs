//! Deterministic identifiers.
//!
//! Invariant: an id depends on nothing but its parts, so a crash, a re-poll or a restore gives the same id, and parts
//! are length-prefixed, so two different lists of parts never run together.

use sha2::{Digest, Sha256};

/// Hashes `parts` into `<prefix>_<32 hex digits>` (128 bits of SHA-256). No dots: Standard Webhooks signs
/// `id.timestamp.body` and asks for ids that cannot be confused with it.
pub fn derive(prefix: &str, parts: &[&str]) -> String {
    format!("{prefix}_{}", hex(&digest(parts)[..16]))
}

/// A shorter derived id for people to type: `<prefix>_<10 hex digits>`. Not for anything that must be unique across
/// more than a few thousand.
pub fn derive_short(prefix: &str, parts: &[&str]) -> String {
    format!("{prefix}_{}", hex(&digest(parts)[..5]))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(derive("evt", &["ab", "c"]), derive("evt", &["a", "bc"]));
        assert_ne!(derive("evt", &["a"]), derive("evt", &["a", ""]));
        assert_eq!(derive("evt", &["a", "b"]), derive("evt", &["a", "b"]));
        assert_eq!(derive("evt", &["x"]).len(), 36);
    }
}
