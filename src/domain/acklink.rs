//! Links that acknowledge one incident until a certain time: whoever has the link may, and for nothing else.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::ids;
use super::time::Timestamp;

/// What the key is derived for; another use of the same token must derive another key.
const PURPOSE: &[u8] = b"ampbridge acknowledgement links 1";

/// Signs and checks links. Derived from the admin token, so that changing the token voids every link.
#[derive(Clone)]
pub struct AckKey([u8; 32]);

impl std::fmt::Debug for AckKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AckKey(…)")
    }
}

/// Why a link is not good. The page shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    #[error("This link is not one of ampbridge's, or it was cut. Copy it whole from the message.")]
    Signature,
    #[error("This link is over. Use a newer message's, or `ampbridge ack`.")]
    Over,
}

impl AckKey {
    pub fn derive(token: &str) -> Self {
        Self(mac(token.as_bytes(), &[PURPOSE]))
    }

    /// The link's path: `/ack/INCIDENT/UNTIL/SIGNATURE`, with the time in Unix seconds.
    pub fn path(&self, incident: &str, until: Timestamp) -> String {
        let until = until.as_second();
        format!("/ack/{incident}/{until}/{}", self.signature(incident, until))
    }

    /// Whether a link is one of ours and still good.
    pub fn check(&self, incident: &str, until: i64, signature: &str, now: Timestamp) -> Result<(), BadLink> {
        let wanted = self.signature(incident, until);
        // In time that depends on the length alone.
        let differing = wanted.bytes().zip(signature.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y));
        if wanted.len() != signature.len() || differing != 0 {
            return Err(BadLink::Signature);
        }
        if now.as_second() > until { Err(BadLink::Over) } else { Ok(()) }
    }

    fn signature(&self, incident: &str, until: i64) -> String {
        // The time has a fixed length: no incident and time can be read as another pair.
        ids::hex(&mac(&self.0, &[&until.to_be_bytes(), incident.as_bytes()])[..20])
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    #[test]
    fn a_link_is_for_one_incident_and_one_time() {
        let key = AckKey::derive("a-token-of-sixteen");
        let path = key.path("inc_1", at(1_000));
        let signature = path.rsplit('/').next().unwrap();
        assert_eq!(path, format!("/ack/inc_1/1000/{signature}"));
        assert_eq!(key.check("inc_1", 1_000, signature, at(1_000)), Ok(()));
        assert_eq!(key.check("inc_1", 1_000, signature, at(1_001)), Err(BadLink::Over));
        assert_eq!(key.check("inc_1", 2_000, signature, at(0)), Err(BadLink::Signature));
        assert_eq!(key.check("inc_2", 1_000, signature, at(0)), Err(BadLink::Signature));
        assert_eq!(key.check("inc_1", 1_000, &signature[1..], at(0)), Err(BadLink::Signature));
        let other = AckKey::derive("another-token-of-it");
        assert_eq!(other.check("inc_1", 1_000, signature, at(0)), Err(BadLink::Signature));
    }
}
