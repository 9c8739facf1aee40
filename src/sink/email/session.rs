//! A conversation with a mail server (RFC 5321), one transaction per recipient.
//!
//! The mail library's own pool is not used: it takes a connection back whose answer was not waited for, and every
//! later answer on it would then belong to the question before.

use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;

use super::server::{Security, Server};

/// Longest wait for a sign of life of a connection that was kept.
const ALIVE: Duration = Duration::from_secs(3);
/// The server shuts down (RFC 5321, section 3.8).
const SHUTTING_DOWN: u16 = 421;
/// No mail without signing in, or not with these credentials (RFC 4954, section 6); said before there is a recipient.
const NOT_SIGNED_IN: [u16; 4] = [530, 534, 535, 538];

/// An open connection, signed in where there are credentials.
pub struct Session(AsyncSmtpConnection);

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub blame: Blame,
    /// The server's reply code.
    pub code: Option<u16>,
    /// To be redacted.
    pub text: String,
}

/// What a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The server does not let us in: no letter gets through until a person mends it.
    SignIn,
    /// 5yz: this will not be taken.
    Refused,
    /// 4yz, network, TLS: another time.
    Trouble,
}

impl Fault {
    /// Whether the server answered and goes on listening.
    pub fn leaves_connection(&self) -> bool {
        self.code.is_some_and(|code| code != SHUTTING_DOWN)
    }

    fn new(error: &Error) -> Self {
        let code = error.status().map(u16::from);
        let blame = if error.is_permanent() { Blame::Refused } else { Blame::Trouble };
        let cause = innermost(error);
        let text = match code {
            Some(code) => format!("{code} {cause}"),
            None => advice(&cause).map_or_else(|| cause.clone(), |advice| format!("{cause}: {advice}")),
        };
        Self { blame, code, text }
    }

    /// Of a question that only those get a good answer to who are let in.
    fn at_the_door(error: &Error) -> Self {
        let fault = Self::new(error);
        let blame =
            if fault.code.is_some_and(|code| NOT_SIGNED_IN.contains(&code)) { Blame::SignIn } else { fault.blame };
        Self { blame, ..fault }
    }
}

/// The mail library wraps what went wrong in names for kinds of errors, some of them twice.
fn innermost(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What to do about faults that no further try gets over.
fn advice(cause: &str) -> Option<&'static str> {
    let known = [
        (
            "STARTTLS is not supported",
            "use smtps:// (port 465), another port, or `allow_plaintext` where the way there is trusted",
        ),
        ("No compatible authentication", "take the user and password out of smtp_url, or use another port"),
        ("UnknownIssuer", "name the certificate of its issuer in `ca_file`"),
        ("NotValidForName", "use the name that the certificate is for in smtp_url"),
        ("not valid for name", "use the name that the certificate is for in smtp_url"),
        ("corrupt message", "is it TLS that is spoken there? smtps:// is for port 465, smtp:// for 587 and 25"),
        ("failed to lookup address", "is the host in smtp_url right?"),
    ];
    known.iter().find(|(part, _)| cause.contains(part)).map(|(_, advice)| *advice)
}

impl Session {
    /// Connects, encrypts as the server's settings ask, and signs in. The caller bounds the time.
    pub async fn open(server: &Server, tls: &TlsParameters, token: Option<&Credentials>) -> Result<Self, Fault> {
        let mut connection = connect(server, tls).await?;
        let (mechanisms, credentials): (&[Mechanism], _) = match token {
            Some(token) => (&[Mechanism::Xoauth2], Some(token)),
            None => (&[Mechanism::Plain, Mechanism::Login], server.credentials.as_ref()),
        };
        if let Some(credentials) = credentials {
            connection.auth(mechanisms, credentials).await.map_err(|e| {
                let fault = Fault::new(&e);
                let blame = if e.is_permanent() { Blame::SignIn } else { fault.blame };
                Fault { blame, ..fault }
            })?;
        }
        Ok(Self(connection))
    }

    /// Hands the letter in for one recipient. That nobody is let in is said of the sender; whatever is said after that is
    /// about the recipient, or the letter.
    pub async fn deliver(&mut self, from: &Address, to: &Address, letter: &[u8]) -> Result<(), Fault> {
        self.0.command(Mail::new(Some(from.clone()), Vec::new())).await.map_err(|e| Fault::at_the_door(&e))?;
        let handed_in = async {
            self.0.command(Rcpt::new(to.clone(), Vec::new())).await?;
            self.0.command(Data).await?;
            self.0.message(letter).await
        };
        handed_in.await.map(drop).map_err(|e| Fault::new(&e))
    }

    /// Forgets a transaction that failed, for the next one.
    pub async fn reset(&mut self) -> bool {
        self.0.command(Rset).await.is_ok()
    }

    /// Whether a kept connection still works.
    pub async fn is_alive(&mut self) -> bool {
        tokio::time::timeout(ALIVE, self.0.test_connected()).await.unwrap_or(false)
    }

    pub async fn quit(mut self) {
        // Nothing depends on the goodbye.
        let _ = self.0.quit().await;
    }
}

async fn connect(server: &Server, tls: &TlsParameters) -> Result<AsyncSmtpConnection, Fault> {
    let (place, hello) = ((server.host.as_str(), server.port), ClientId::default());
    let open = || {
        let from_the_start = (server.security == Security::Tls).then(|| tls.clone());
        AsyncSmtpConnection::connect_tokio1(place, None, &hello, from_the_start, None)
    };
    let failed = |what: &str, error: &Error| match Fault::new(error) {
        fault @ Fault { code: Some(_), .. } => fault,
        fault => Fault { text: format!("{what} {}:{}: {}", server.host, server.port, fault.text), ..fault },
    };
    let mut connection = open().await.map_err(|e| failed("no connection to", &e))?;
    let is_offered = server.security == Security::Plain && connection.can_starttls();
    if (server.security == Security::StartTls || is_offered)
        && let Err(error) = connection.starttls(tls.clone(), &hello).await
    {
        if !(is_offered && server.is_local()) {
            return Err(failed("no encryption with", &error));
        }
        // What it offers it can't do. Nothing leaves this machine, so it may stay unencrypted.
        connection = open().await.map_err(|e| failed("no connection to", &e))?;
    }
    Ok(connection)
}
