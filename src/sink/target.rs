//! Where a sink sends over HTTP: a URL that may be a secret, and the networks it may lie in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::domain::setting::{Many, Secret};
use crate::http::{AddressGuard, is_loopback};

/// A checked target.
#[derive(Clone)]
pub struct Target {
    pub url: Url,
    allow: Vec<IpNet>,
}

/// What is wrong with a setting: key path inside the sink, and what to do.
pub type Problem = (String, String);

/// Problems as one line.
pub fn joined(problems: &[Problem]) -> String {
    problems.iter().map(|(key, text)| format!("{key}: {text}")).collect::<Vec<_>>().join("; ")
}

impl Target {
    /// Reads the URL of setting `key` and `allow_networks`; all problems at once. A literal address the guard would
    /// refuse is one of them, and so is a name for this machine, so that while sending only names are ever refused whose
    /// addresses may change.
    pub fn parse(key: &str, url: &Secret, networks: &Many<String>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut allow = Vec::new();
        for (at, text) in networks.0.iter().enumerate() {
            match network(text) {
                Some(net) => allow.push(net),
                None => problems.push((
                    format!("allow_networks[{at}]"),
                    format!("{text:?} is no network; write it like \"10.0.0.0/8\" or \"fd00::/8\""),
                )),
            }
        }
        match web_url(url) {
            Ok(url) => {
                let target = Self { url, allow };
                if problems.is_empty() {
                    let guard = target.guard("allow_networks");
                    let refused = guard.check_literal(&target.url).err().map(|refused| refused.to_string());
                    let closed = guard.closed_name(&target.url).map(|name| {
                        format!(
                            "{name} is this machine, and only its address says that this is meant: write 127.0.0.1 instead, \
                             or let allow_networks name 127.0.0.0/8"
                        )
                    });
                    problems.extend(refused.or(closed).map(|what| (key.to_owned(), what)));
                }
                if problems.is_empty() { Ok(target) } else { Err(problems) }
            }
            Err(reason) => {
                problems.push((key.to_owned(), reason.to_owned()));
                Err(problems)
            }
        }
    }

    /// The guard that lets this target through; `key` is the config key of its `allow_networks`.
    pub fn guard(&self, key: &str) -> AddressGuard {
        AddressGuard::new(&self.url, self.allow.clone(), key)
    }

    /// Scheme, host and port: what may be shown.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether what is sent with the URL can't be read on the way: TLS, or an address of this machine.
    pub fn keeps_secrets(&self) -> bool {
        let loopback = match self.url.host() {
            Some(Host::Ipv4(v4)) => is_loopback(v4.into()),
            Some(Host::Ipv6(v6)) => is_loopback(v6.into()),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        loopback || self.url.scheme() == "https"
    }

    /// Resolves the host, checks its addresses and opens a connection to one, sending nothing.
    pub async fn reach(&self, guard: &AddressGuard, deadline: Duration) -> Result<String, String> {
        match tokio::time::timeout(deadline, self.open(guard)).await {
            Ok(Ok(())) => Ok(format!("{} can be reached; nothing was sent", self.origin())),
            Ok(Err(reason)) => Err(format!("{}: {reason}", self.origin())),
            Err(_) => Err(format!("{}: no connection within {deadline:?}", self.origin())),
        }
    }

    async fn open(&self, guard: &AddressGuard) -> Result<(), String> {
        let port = self.url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = match self.url.host() {
            Some(Host::Ipv4(v4)) => vec![(v4, port).into()],
            Some(Host::Ipv6(v6)) => vec![(v6, port).into()],
            Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
                .await
                .map_err(|e| format!("its name has no address: {e}"))?
                .collect(),
            None => Vec::new(),
        };
        for address in &addresses {
            guard.check(address.ip()).map_err(|refused| refused.to_string())?;
        }
        TcpStream::connect(addresses.as_slice()).await.map_err(|e| format!("can't connect: {e}"))?;
        Ok(())
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({})", self.origin())
    }
}

/// A network, or a single address.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Reads an `http` or `https` URL. The reason never holds it.
fn web_url(text: &Secret) -> Result<Url, &'static str> {
    if text.is_empty() {
        return Err("is empty; put the receiver's URL here");
    }
    let url = Url::parse(text.expose().trim()).map_err(|_| "is no URL; write it like \"https://example.com/hook\"")?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("must begin with https:// or http://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, networks: &[&str]) -> Result<Target, Vec<Problem>> {
        Target::parse("url", &Secret::new(url), &Many(networks.iter().map(|&n| n.to_owned()).collect()))
    }

    #[test]
    fn all_problems_at_once_and_never_the_url() {
        let problems = parse("s3cret", &["10.0.0.0/8", "ten", "300.0.0.1/8"]).unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["allow_networks[1]", "allow_networks[2]", "url"]);
        assert!(!format!("{problems:?}").contains("s3cret"));
        assert!(parse("ftp://example.com/s3cret", &[]).is_err());
        assert!(parse(" ", &[]).is_err());
    }

    #[test]
    fn a_private_address_needs_its_network_and_loopback_does_not() {
        assert!(parse("http://10.1.2.3/hook", &[]).unwrap_err()[0].1.contains("allow_networks"));
        assert!(parse("http://10.1.2.3/hook", &["10.0.0.0/8"]).is_ok());
        assert!(parse("http://10.1.2.3/hook", &["10.1.2.3"]).is_ok());
        assert!(parse("http://127.0.0.1:9/hook", &[]).is_ok());
        assert!(parse("http://[::1]:9/hook", &[]).is_ok());
        assert!(parse("http://[::ffff:127.0.0.1]:9/hook", &[]).is_ok_and(|target| target.keeps_secrets()));
        assert!(parse("http://[::ffff:10.1.2.3]/hook", &[]).is_err());
        assert!(parse("http://169.254.169.254/latest", &[]).is_err());
    }

    #[test]
    fn a_name_for_this_machine_is_no_consent() {
        for name in ["localhost", "LocalHost.", "hooks.localhost"] {
            let problems = parse(&format!("http://{name}:9/hook"), &[]).unwrap_err();
            assert!(problems[0].0 == "url" && problems[0].1.contains("write 127.0.0.1 instead"), "{problems:?}");
            assert!(parse(&format!("http://{name}:9/hook"), &["10.0.0.0/8"]).is_err());
            assert!(parse(&format!("http://{name}:9/hook"), &["127.0.0.0/8"]).is_ok());
        }
        assert!(parse("https://localhost.example.com/hook", &[]).is_ok());
    }

    #[test]
    fn only_the_origin_is_shown() {
        let target = parse("https://user:pass@example.com:8443/token?key=1", &[]).unwrap();
        assert_eq!(target.origin(), "https://example.com:8443");
        assert_eq!(format!("{target:?}"), "Target(https://example.com:8443)");
    }

    #[tokio::test]
    async fn reaching_opens_a_connection_and_sends_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = parse(&format!("http://{}/hook", listener.local_addr().unwrap()), &[]).unwrap();
        let reached = target.reach(&target.guard("k"), Duration::from_secs(30)).await.unwrap();
        assert!(reached.contains("can be reached"), "{reached}");
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut sent = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut sent).await.unwrap();
        assert!(sent.is_empty());
        drop(listener);
        assert!(target.reach(&target.guard("k"), Duration::from_secs(30)).await.unwrap_err().contains("can't connect"));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused() {
        let target = Target { url: Url::parse("http://localhost:9/hook").unwrap(), allow: Vec::new() };
        let refused = target.reach(&target.guard("sinks.x.allow_networks"), Duration::from_secs(30)).await.unwrap_err();
        assert!(refused.contains("sinks.x.allow_networks"), "{refused}");
    }
}
