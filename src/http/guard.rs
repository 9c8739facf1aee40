//! Which addresses a target from outside may have.
//!
//! Refused unless allowed: everything that is not public unicast, after DNS, in every disguise (IPv4 in IPv6, NAT64,
//! 6to4). Of a name with several addresses every one must be allowed. Sources: IANA special-purpose address registries
//! (RFC 6890 and successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What may be connected to besides public addresses.
#[derive(Debug, Clone, Default)]
pub struct AddressGuard {
    allow: Vec<IpNet>,
    /// The target's own literal loopback address: writing it down is consent.
    literal: Option<IpAddr>,
    /// The key that opens the guard, for the error.
    key: String,
    /// Answers names instead of the system's resolver; for tests of the guard.
    names: Option<Arc<dyn Lookup>>,
}

/// Answers a name with addresses.
pub trait Lookup: std::fmt::Debug + Send + Sync {
    fn lookup(&self, name: &str) -> Vec<IpAddr>;
}

/// An address was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {why}, and no such address is connected to unless {key} names its network")]
pub struct GuardError {
    pub address: IpAddr,
    pub why: &'static str,
    pub key: String,
}

impl AddressGuard {
    /// A guard for `url`; `key` is the config key of its `allow_networks`.
    pub fn new(url: &Url, allow: Vec<IpNet>, key: &str) -> Self {
        let literal = literal(url).filter(|address| is_loopback(*address));
        Self { allow, literal, key: key.to_owned(), names: None }
    }

    #[must_use]
    pub fn with_names(mut self, names: Arc<dyn Lookup>) -> Self {
        self.names = Some(names);
        self
    }

    /// Names never reach the resolver where the host is an address; those are checked here.
    pub fn check_literal(&self, url: &Url) -> Result<(), GuardError> {
        literal(url).map_or(Ok(()), |address| self.check(address))
    }

    /// The host, where it is a name for this machine (RFC 6761 section 6.3) and no address of this machine is let through:
    /// nothing could ever be sent there.
    pub fn closed_name<'u>(&self, url: &'u Url) -> Option<&'u str> {
        let Some(url::Host::Domain(name)) = url.host() else { return None };
        let plain = name.trim_end_matches('.').to_ascii_lowercase();
        let is_own = plain == "localhost" || plain.ends_with(".localhost");
        let open = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        (is_own && open.into_iter().all(|address| self.check(address).is_err())).then_some(name)
    }

    /// All addresses of a name.
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        match &self.names {
            Some(names) => Ok(names.lookup(name).into_iter().map(|ip| (ip, 0).into()).collect()),
            None => Ok(tokio::net::lookup_host((name, 0)).await?.collect()),
        }
    }

    pub fn check(&self, address: IpAddr) -> Result<(), GuardError> {
        if self.literal == Some(address) || self.allow.iter().any(|net| net.contains(&address)) {
            return Ok(());
        }
        match special(address) {
            Some(why) => Err(GuardError { address, why, key: self.key.clone() }),
            None => Ok(()),
        }
    }
}

/// An address of this machine, in its IPv6 disguise (`::ffff:127.0.0.1`), too.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        url::Host::Ipv4(v4) => Some(v4.into()),
        url::Host::Ipv6(v6) => Some(v6.into()),
        url::Host::Domain(_) => None,
    }
}

/// Why an address is not a public one.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(a: Ipv4Addr) -> Option<&'static str> {
    let o = a.octets();
    match o {
        _ if a.is_loopback() => Some("a loopback address"),
        [169, 254, 169, 254] => Some("a cloud metadata address"),
        _ if a.is_link_local() => Some("a link-local address"),
        _ if a.is_private() => Some("a private address"),
        [0, ..] => Some("an unspecified address"),
        [100, 64..=127, ..] => Some("a carrier-grade NAT address"),
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => Some("a reserved address"),
        [198, 18..=19, ..] => Some("a benchmarking address"),
        [224..=255, ..] => Some("a multicast, broadcast or reserved address"),
        _ => None,
    }
}

fn special_v6(a: Ipv6Addr) -> Option<&'static str> {
    if a.is_loopback() {
        return Some("a loopback address");
    }
    if let Some(v4) = embedded_v4(a) {
        return special_v4(v4).or(if a.segments()[0] == 0 { Some("an IPv4 address in disguise") } else { None });
    }
    match a.segments() {
        [0, ..] => Some("an unspecified or reserved address"),
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Some("a cloud metadata address"),
        [0xfc00..=0xfdff, ..] => Some("a private address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfec0..=0xfeff, ..] => Some("a site-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("a documentation address"),
        [0x2001, 0, ..] => Some("a Teredo address"),
        [0x100, 0, 0, 0, ..] => Some("a discard address"),
        _ => None,
    }
}

/// The IPv4 address inside a mapped, compatible, NAT64 or 6to4 one.
fn embedded_v4(a: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = a.segments();
    let low = || Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0 | 1, ..] => Some(low()),
        [0, 0, 0, 0, 0, 0, ..] if !a.is_unspecified() => Some(low()),
        [0x2002, ..] => Some(Ipv4Addr::from((u32::from(s[1]) << 16) | u32::from(s[2]))),
        _ => None,
    }
}

/// reqwest connects to what this returns, and to nothing else.
pub(super) struct Resolver(pub Arc<AddressGuard>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found = super::timing::names(guard.addresses(name.as_str())).await?;
            for address in &found {
                guard.check(address.ip())?;
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// The guard's refusal inside a client error.
pub(super) fn refusal_in(error: &reqwest::Error) -> Option<GuardError> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<GuardError>() {
            return Some(refused.clone());
        }
        source = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guard(url: &str, allow: &[&str]) -> AddressGuard {
        let allow = allow.iter().map(|n| n.parse().unwrap()).collect();
        AddressGuard::new(&Url::parse(url).unwrap(), allow, "sinks.x.allow_networks")
    }

    #[test]
    fn every_disguise_is_seen_through() {
        let g = guard("https://example.com", &[]);
        for bad in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "fe80::1",
            "fd00:ec2::254",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(g.check(bad.parse().unwrap()).is_err(), "{bad}");
        }
        for good in ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "64:ff9b::8.8.8.8"] {
            assert!(g.check(good.parse().unwrap()).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_literal_loopback_is_consent_for_itself_only() {
        let g = guard("http://127.0.0.1:9000/x", &[]);
        assert!(g.check("127.0.0.1".parse().unwrap()).is_ok());
        assert!(g.check("127.0.0.2".parse().unwrap()).is_err());
        assert!(guard("http://localhost:9000/x", &[]).check("127.0.0.1".parse().unwrap()).is_err());
        assert!(guard("http://10.0.0.5/x", &[]).check("10.0.0.5".parse().unwrap()).is_err());
        assert!(guard("http://10.0.0.5/x", &["10.0.0.0/8"]).check("10.0.0.5".parse().unwrap()).is_ok());
    }

    proptest! {
        #[test]
        fn a_mapped_private_address_is_never_let_through(a in any::<u32>()) {
            let v4 = Ipv4Addr::from(a);
            let g = guard("https://example.com", &[]);
            if special_v4(v4).is_some() {
                prop_assert!(g.check(IpAddr::V6(v4.to_ipv6_mapped())).is_err());
            }
        }
    }
}
