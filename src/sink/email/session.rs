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
/// No mail without signing in, or not with these credentials (RFC 4954, section 6).
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
        let blame = match code {
            Some(code) if NOT_SIGNED_IN.contains(&code) => Blame::SignIn,
            _ if error.is_permanent() => Blame::Refused,
            _ => Blame::Trouble,
        };
        let text = match (code, std::error::Error::source(error)) {
            (Some(code), Some(said)) => format!("{code} {said}"),
            _ => error.to_string(),
        };
        Self { blame, code, text }
    }
}

impl Session {
    /// Connects, encrypts as the server's settings ask, and signs in. The caller bounds the time.
    pub async fn open(
        server: &Server,
        tls: Option<&TlsParameters>,
        token: Option<&Credentials>,
    ) -> Result<Self, Fault> {
        let place = (server.host.as_str(), server.port);
        let hello = ClientId::default();
        let from_the_start = tls.filter(|_| server.security == Security::Tls).cloned();
        let opened = AsyncSmtpConnection::connect_tokio1(place, None, &hello, from_the_start, None).await;
        let mut connection = opened.map_err(|e| Fault::new(&e))?;
        if let (Security::StartTls, Some(tls)) = (server.security, tls) {
            connection.starttls(tls.clone(), &hello).await.map_err(|e| Fault::new(&e))?;
        }
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

    /// Hands the letter in for one recipient.
    pub async fn deliver(&mut self, from: &Address, to: &Address, letter: &[u8]) -> Result<(), Fault> {
        let handed_in = async {
            self.0.command(Mail::new(Some(from.clone()), Vec::new())).await?;
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
