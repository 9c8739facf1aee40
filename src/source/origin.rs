//! Addresses that credentials may go to.

use reqwest::Url;

use crate::domain::ids;
use crate::domain::setting::Secret;

/// Reads a URL that credentials may go to: https, or plain http to loopback. `query`: whether it may have a query.
///
/// # Errors
/// Why it is none, as what follows its name in a sentence; never the URL itself.
pub fn parse_url(text: &Secret, query: bool) -> Result<Url, String> {
    let Ok(url) = Url::parse(text.expose().trim()) else {
        return Err("is no URL; write it like https://api.example.com".to_owned());
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("is no http URL; write it like https://api.example.com".to_owned());
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err("would carry credentials in the clear; use https (plain http is for loopback only)".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password; give those in settings of their own".to_owned());
    }
    if url.fragment().is_some() || (url.query().is_some() && !query) {
        return Err("ends in a query or a fragment; leave that out".to_owned());
    }
    Ok(url)
}

/// Whether a proxy would see what goes to this address in the clear.
pub fn is_exposed(url: &Url, proxy: Option<&Url>) -> bool {
    url.scheme() == "http" && proxy.is_some_and(|proxy| !is_loopback(proxy))
}

pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => crate::http::is_loopback(address.into()),
        Some(url::Host::Ipv6(address)) => crate::http::is_loopback(address.into()),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Host, and port where it is not the usual one: what a rate budget is for.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A name for the hosts of these addresses, in this order, that does not tell them.
pub fn host_id(urls: &[&Url]) -> String {
    let hosts: Vec<String> = urls.iter().map(|url| authority(url)).collect();
    ids::derive("host", &hosts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_nowhere_in_the_clear() {
        for (text, fine) in [
            ("https://api.example.com/v1", true),
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://api.example.com", false),
            ("https://u:p@api.example.com", false),
            ("https://api.example.com?x=1", false),
            ("ftp://api.example.com", false),
            ("api.example.com", false),
        ] {
            let parsed = parse_url(&Secret::new(text), false);
            assert_eq!(parsed.is_ok(), fine, "{text}: {parsed:?}");
            assert!(parsed.err().is_none_or(|said| !said.contains("u:p")));
        }
    }
}
