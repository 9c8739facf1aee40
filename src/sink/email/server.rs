//! A mail server, as `smtp_url` names it.
//!
//! Read here and not by the mail library, whose own reading takes a mistyped option for "no encryption".

use std::net::IpAddr;

use lettre::transport::smtp::authentication::Credentials;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::domain::setting::Secret;
use crate::http::is_loopback;

/// Where letters are handed in, and how.
#[derive(Clone)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub credentials: Option<Credentials>,
    /// As written, for taking it out of what is said.
    pub url: Url,
}

/// What protects the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314), port 465.
    Tls,
    /// STARTTLS (RFC 3207), required: without it nothing is sent. Port 587.
    StartTls,
    /// None, unless the server offers STARTTLS. Port 25.
    Plain,
}

impl Server {
    /// Reads `smtp_url`. The reason never holds any of it.
    pub fn parse(url: &Secret, allow_plaintext: bool) -> Result<Self, String> {
        let form = "write it like \"smtps://user:password@host:465\", \"smtp://user:password@host:587\" (STARTTLS) or \"smtp://127.0.0.1:25\"";
        if url.is_empty() {
            return Err(format!("is empty; {form}"));
        }
        let url = Url::parse(url.expose().trim()).map_err(|_| format!("is no URL; {form}"))?;
        let host = host(&url).ok_or_else(|| format!("names no host; {form}"))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("ends after the port; no path and no options are known. {form}"));
        }
        let security = match url.scheme() {
            "smtps" => Security::Tls,
            "smtp" if allow_plaintext || is_local(&host) => Security::Plain,
            "smtp" => Security::StartTls,
            _ => return Err(format!("must begin with smtps:// or smtp://; {form}")),
        };
        let port = url.port().unwrap_or(match security {
            Security::Tls => 465,
            Security::StartTls => 587,
            Security::Plain => 25,
        });
        let credentials = credentials(&url)?;
        Ok(Self { host, port, security, credentials, url })
    }

    /// Whether it is on this machine: nobody is between it and us.
    pub fn is_local(&self) -> bool {
        is_local(&self.host)
    }

    /// Host, port and protection: what may be shown.
    pub fn shown(&self) -> String {
        let how = match self.security {
            Security::Tls => "TLS",
            Security::StartTls => "STARTTLS",
            Security::Plain => "STARTTLS if offered",
        };
        format!("{}:{} ({how})", self.host, self.port)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.shown())
    }
}

/// The host without brackets. URLs of this scheme keep it as written, so it is checked here.
fn host(url: &Url) -> Option<String> {
    let text = match url.host()? {
        url::Host::Domain(name) => name.to_owned(),
        url::Host::Ipv4(v4) => v4.to_string(),
        url::Host::Ipv6(v6) => v6.to_string(),
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    (!text.is_empty() && text.chars().all(known)).then_some(text)
}

/// This machine: a literal loopback address, or the name for it.
fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(is_loopback)
}

fn credentials(url: &Url) -> Result<Option<Credentials>, String> {
    let read = |text: &str| {
        let read = percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        read.map_err(|_| "has a user or password that is not UTF-8 once decoded".to_owned())
    };
    let (user, password) = (read(url.username())?, read(url.password().unwrap_or(""))?);
    match (user.is_empty(), password.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(Credentials::new(user, password))),
        _ => Err("needs both a user and a password, or neither; special characters in them as %xx".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, allow: bool) -> Result<Server, String> {
        Server::parse(&Secret::new(url), allow)
    }

    #[test]
    fn what_protects_each_form() {
        for (url, allow, security, port) in [
            ("smtps://u:p@mail.example.com", false, Security::Tls, 465),
            ("smtps://mail.example.com:4650", true, Security::Tls, 4650),
            ("smtp://mail.example.com", false, Security::StartTls, 587),
            ("smtp://mail.example.com:25", false, Security::StartTls, 25),
            ("smtp://mail.example.com", true, Security::Plain, 25),
            ("smtp://127.0.0.1:2525", false, Security::Plain, 2525),
            ("smtp://127.8.8.8", false, Security::Plain, 25),
            ("smtp://[::1]:2525", false, Security::Plain, 2525),
            ("smtp://[::ffff:127.0.0.1]", false, Security::Plain, 25),
            ("smtp://localhost", false, Security::Plain, 25),
            ("smtp://127.0.0.1.example.com", false, Security::StartTls, 587),
            ("smtp://localhost.example.com", false, Security::StartTls, 587),
            ("smtp://10.0.0.1", false, Security::StartTls, 587),
        ] {
            let server = parse(url, allow).unwrap();
            assert_eq!((server.security, server.port), (security, port), "{url}");
        }
        assert_eq!(parse("smtp://[::1]:2525", false).unwrap().host, "::1");
    }

    #[test]
    fn what_is_refused_without_being_shown() {
        for url in [
            "",
            "s3cret",
            "http://s3cret.example.com",
            "smtp://",
            "smtp://s3cret:pw@host?tls=required",
            "smtp://s3cret:pw@host/ehlo",
            "smtp://s3cret@host",
            "smtp://:s3cret@host",
            "smtp://u:s3cret@ho%0Ast",
        ] {
            let reason = parse(url, false).unwrap_err();
            assert!(!reason.contains("s3cret"), "{url}: {reason}");
        }
    }

    #[test]
    fn special_characters_in_the_password() {
        let server = parse("smtps://me%40example.com:p%3Ass+w@mail.example.com", false).unwrap();
        assert_eq!(server.credentials, Some(Credentials::new("me@example.com".into(), "p:ss+w".into())));
        assert!(!format!("{server:?}").contains("ss+w"));
    }
}
