//! Email over SMTP.
//!
//! Invariant: a recipient whose copy the server has taken is never sent another; each is remembered on its own, and one
//! that is refused or hangs keeps the letter from nobody else.

mod letter;
mod server;
mod session;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use lettre::message::Mailbox;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::delivery::{Outcome, RecipientState, Report, cut};
use crate::domain::setting::{Many, Secret};
use crate::domain::time::{Timestamp, elapsed};
use crate::render::Renderer;

use super::redact::Redactor;
use super::target::{Problem, joined};
use super::{Common, Context, Manners, Message, Sink, SinkConfig, rendering};
use letter::Addresses;
use server::{Security, Server};
use session::{Blame, Fault, Session};

/// Attempts at the same time, and connections kept.
const CONCURRENCY: usize = 2;
/// Longest a connection is kept without use; servers close them after some minutes (RFC 5321, section 4.5.3.2.7).
const IDLE: SignedDuration = SignedDuration::from_secs(60);
/// One letter takes a transaction per recipient; more belong on a mailing list.
const RECIPIENTS_MAX: usize = 50;
/// Bytes kept of why a recipient was refused.
const REASON_BYTES: usize = 200;

/// Settings of an email sink.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// `smtps://user:password@host:465`, `smtp://user:password@host:587` (STARTTLS required), `smtp://127.0.0.1:25`.
    #[schemars(required)]
    smtp_url: Option<Secret>,
    /// Lets `smtp://` go without encryption to hosts other than this machine.
    #[serde(default)]
    allow_plaintext: bool,
    /// The sender: `bridge@example.com` or `Bridge <bridge@example.com>`.
    #[schemars(required)]
    from: Option<String>,
    /// The recipients, 50 at most.
    #[schemars(required)]
    to: Option<Many<String>>,
    /// Where answers go.
    reply_to: Option<String>,
    /// A PEM file with certificates to trust besides the system's.
    ca_file: Option<PathBuf>,
}

impl EmailConfig {
    fn server(&self) -> Result<Server, Problem> {
        let found = match &self.smtp_url {
            Some(url) => Server::parse(url, self.allow_plaintext),
            None => Err("is missing: which server takes the letters?".to_owned()),
        };
        found.map_err(|reason| ("smtp_url".to_owned(), reason))
    }

    fn addresses(&self) -> Result<Addresses, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut read = |key: String, text: &str| mailbox(text).map_err(|reason| problems.push((key, reason))).ok();
        let from = read("from".to_owned(), self.from.as_deref().unwrap_or_default());
        let reply_to = self.reply_to.as_deref().map(|text| read("reply_to".to_owned(), text));
        let mut to: Vec<Mailbox> = Vec::new();
        let given = self.to.as_ref().map_or(&[][..], |many| &many.0);
        for (at, text) in given.iter().enumerate() {
            let mailbox = read(format!("to[{at}]"), text);
            to.extend(mailbox.filter(|new| to.iter().all(|known| known.email != new.email)));
        }
        match given.len() {
            0 => problems.push(("to".to_owned(), "is empty: who is to get the letters?".to_owned())),
            1..=RECIPIENTS_MAX => {}
            n => problems.push(("to".to_owned(), format!("has {n} recipients; {RECIPIENTS_MAX} at most, use a list"))),
        }
        match from {
            Some(from) if problems.is_empty() => Ok(Addresses { from, to, reply_to: reply_to.flatten() }),
            _ => Err(problems),
        }
    }

    fn tls(&self, server: &Server) -> Result<Option<TlsParameters>, Problem> {
        let problem = |reason: String| ("ca_file".to_owned(), reason);
        let mut builder = TlsParameters::builder(server.host.clone());
        if let Some(path) = &self.ca_file {
            let pem = std::fs::read(path).map_err(|e| problem(format!("{} can't be read: {e}", path.display())))?;
            let certificate = Certificate::from_pem(&pem)
                .map_err(|_| problem(format!("{} holds no PEM certificate that can be used", path.display())))?;
            builder = builder.add_root_certificate(certificate);
        }
        if server.security == Security::Plain {
            return Ok(None);
        }
        let built = builder.build();
        built.map(Some).map_err(|e| problem(format!("TLS can't be set up: {e}. Is `ca-certificates` installed?")))
    }
}

impl SinkConfig for EmailConfig {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self.server() {
            Ok(server) => problems.extend(self.tls(&server).err()),
            Err(problem) => problems.push(problem),
        }
        problems.extend(self.addresses().err().unwrap_or_default());
        problems
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Sink>, String> {
        let server = self.server().map_err(|p| joined(&[p]))?;
        let addresses = self.addresses().map_err(|p| joined(&p))?;
        let tls = self.tls(&server).map_err(|p| joined(&[p]))?;
        Ok(Arc::new(Email {
            name: name.to_owned(),
            common: *common,
            redact: Redactor::default().url(&server.url),
            server,
            tls,
            addresses,
            renderer: Arc::clone(&context.renderer),
            kept: Mutex::new(Vec::new()),
        }))
    }

    fn summary(&self) -> String {
        match (self.server(), self.addresses()) {
            (Ok(server), Ok(addresses)) => {
                let to: Vec<String> = addresses.to.iter().map(|to| to.email.to_string()).collect();
                format!("email to {} through {}", to.join(", "), server.shown())
            }
            _ => "email, with settings that can't be used".to_owned(),
        }
    }
}

/// Reads an address with or without a name.
fn mailbox(text: &str) -> Result<Mailbox, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is missing: an address like \"ops@example.com\"".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    let mailbox: Mailbox =
        text.parse().map_err(|_| format!("{text:?} is no address; write it like \"ops@example.com\""))?;
    if mailbox.email.to_string().is_ascii() {
        Ok(mailbox)
    } else {
        Err(format!("{text:?} has letters beyond ASCII in the address; write the domain in its xn-- form"))
    }
}

/// A mail server and the people behind it.
struct Email {
    name: String,
    common: Common,
    server: Server,
    tls: Option<TlsParameters>,
    addresses: Addresses,
    redact: Redactor,
    renderer: Arc<Renderer>,
    /// Connections in good order, with the time of the attempt that used them last.
    kept: Mutex<Vec<(Session, Timestamp)>>,
}

/// How far an attempt has come. Outlives the attempt's deadline.
#[derive(Default)]
struct Progress {
    recipients: BTreeMap<String, RecipientState>,
    /// A fault of the server as a whole, or of the conversation.
    faults: Vec<Fault>,
}

#[async_trait]
impl Sink for Email {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "email"
    }

    fn manners(&self) -> Manners {
        Manners {
            concurrency: CONCURRENCY,
            pace: Duration::ZERO,
            timeout: self.common.timeout,
            retry: self.common.retry,
        }
    }

    async fn send(&self, message: &Message) -> Report {
        let parts = rendering::told(&self.name, message, self.renderer.email(&rendering::context(message)));
        let letter = match letter::compose(message, parts, &self.addresses) {
            Ok(letter) => letter,
            Err(reason) => {
                return Report::new(Outcome::Permanent, None, format!("no letter can be made of it: {reason}"));
            }
        };
        let mut progress = Progress::default();
        let attempt = self.attempt(message, &letter, &mut progress);
        if tokio::time::timeout(self.common.timeout, attempt).await.is_err() {
            let text = format!("no complete answer within {:?}", self.common.timeout);
            progress.faults.push(Fault { blame: Blame::Trouble, code: None, text });
        }
        self.report(message, progress)
    }

    async fn connect(&self) -> Result<String, String> {
        let opened = async {
            let mut session = Session::open(&self.server, self.tls.as_ref()).await?;
            let alive = session.is_alive().await;
            session.quit().await;
            Ok::<bool, Fault>(alive)
        };
        let shown = self.server.shown();
        match tokio::time::timeout(self.common.timeout, opened).await {
            Ok(Ok(true)) if self.server.credentials.is_some() => Ok(format!("signed in at {shown}")),
            Ok(Ok(true)) => Ok(format!("{shown} answers")),
            Ok(Ok(false)) => Err(format!("{shown} closes the connection at once")),
            Ok(Err(fault)) => Err(format!("{shown}: {}", self.redact.clean(&fault.text))),
            Err(_) => Err(format!("{shown}: no answer within {:?}", self.common.timeout)),
        }
    }
}

impl Email {
    /// Hands the letter in for everybody whose copy is still open.
    async fn attempt(&self, message: &Message, letter: &[u8], progress: &mut Progress) {
        let mut open: Vec<&Mailbox> = self.addresses.to.iter().filter(|to| state(message, to).is_none()).collect();
        if open.is_empty() {
            return;
        }
        // Each attempt begins with another one: a server that hangs on one address can't starve the rest.
        let first = message.delivery.tries as usize % open.len();
        open.rotate_left(first);
        let mut session = self.take(message.now).await;
        for to in open {
            let mut current = match session.take() {
                Some(kept) => kept,
                None => match Session::open(&self.server, self.tls.as_ref()).await {
                    Ok(opened) => opened,
                    Err(fault) => return progress.faults.push(fault),
                },
            };
            let key = to.email.to_string();
            match current.deliver(&self.addresses.from.email, &to.email, letter).await {
                Ok(()) => {
                    progress.recipients.insert(key, RecipientState::Accepted);
                    session = Some(current);
                }
                Err(fault) => {
                    self.note(&key, &fault, progress);
                    if fault.blame == Blame::SignIn {
                        return;
                    }
                    if fault.leaves_connection() && current.reset().await {
                        session = Some(current);
                    }
                }
            }
        }
        if let Some(session) = session {
            self.keep(session, message.now);
        }
    }

    fn note(&self, to: &str, fault: &Fault, progress: &mut Progress) {
        if fault.blame == Blame::Refused {
            let reason = cut(&self.redact.clean(&fault.text), REASON_BYTES);
            progress.recipients.insert(to.to_owned(), RecipientState::Refused(reason));
        } else {
            progress.faults.push(Fault { text: format!("{} ({to})", fault.text), ..fault.clone() });
        }
    }

    fn report(&self, message: &Message, progress: Progress) -> Report {
        let told = |fault: &Fault| self.redact.clean(&fault.text);
        let all: Vec<String> = progress.faults.iter().map(told).collect();
        let find = |blame| progress.faults.iter().find(|fault| fault.blame == blame);
        let refused: BTreeMap<String, &String> = self
            .addresses
            .to
            .iter()
            .filter_map(|to| {
                let key = to.email.to_string();
                match progress.recipients.get(&key).or_else(|| message.delivery.recipients.get(&key)) {
                    Some(RecipientState::Refused(reason)) => Some((key, reason)),
                    _ => None,
                }
            })
            .collect();
        let (outcome, code, detail) = if let Some(fault) = find(Blame::SignIn) {
            (Outcome::Stop, fault.code, format!("the server does not let us in: {}", told(fault)))
        } else if let Some(fault) = find(Blame::Refused) {
            (Outcome::Permanent, fault.code, format!("the server takes no letters: {}", told(fault)))
        } else if let Some(fault) = progress.faults.first() {
            (Outcome::Transient { after: None, refusal: false }, fault.code, all.join("\n"))
        } else if refused.is_empty() {
            (Outcome::Accepted, None, String::new())
        } else {
            // The names come first: of a long list, only the beginning is kept.
            let names: Vec<&str> = refused.keys().map(String::as_str).collect();
            let mut detail = format!("refused for good: {}", names.join(", "));
            detail.extend(refused.iter().map(|(to, reason)| format!("\n{to}: {reason}")));
            (Outcome::Permanent, None, detail)
        };
        let mut report = Report::new(outcome, code, self.redact.clean(&detail));
        if report.outcome == Outcome::Accepted {
            report.reference = Some(letter::reference(message, &self.addresses));
        }
        report.recipients = progress.recipients;
        report
    }

    /// A kept connection that still works.
    async fn take(&self, now: Timestamp) -> Option<Session> {
        loop {
            let (mut session, since) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if elapsed(since, now) <= IDLE && session.is_alive().await {
                return Some(session);
            }
        }
    }

    fn keep(&self, session: Session, now: Timestamp) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < CONCURRENCY {
            kept.push((session, now));
        }
    }
}

/// What became of a recipient's copy in earlier attempts.
fn state<'m>(message: &'m Message, to: &Mailbox) -> Option<&'m RecipientState> {
    message.delivery.recipients.get(&to.email.to_string())
}

#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;
