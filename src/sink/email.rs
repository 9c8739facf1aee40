//! Email over SMTP.
//!
//! Invariant: a recipient whose copy the server has taken is never sent another; each is remembered on its own, and one
//! that is refused or hangs keeps the letter from nobody else.

mod dkim;
mod letter;
mod oauth;
mod server;
mod session;
mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use lettre::message::Mailbox;
use lettre::transport::smtp::client::TlsParameters;
use tokio::time::Instant;

use crate::domain::delivery::{Outcome, RecipientState, Report, Timings, cut};
use crate::domain::time::{Timestamp, elapsed};
use crate::http::millis;
use crate::render::Renderer;
use crate::render::chart::{Chart, Theme};

use super::redact::Redactor;
use super::{Common, Manners, Message, Sink, rendering};
use dkim::Signer;
use letter::Addresses;
use oauth::Oauth;
use server::Server;
use session::{Blame, Fault, Session};

pub use settings::EmailConfig;

/// Attempts at the same time, and connections kept.
const CONCURRENCY: usize = 2;
/// Longest a connection is kept without use; servers close them after some minutes (RFC 5321, section 4.5.3.2.7).
const IDLE: SignedDuration = SignedDuration::from_secs(60);
/// One letter takes a transaction per recipient; more belong on a mailing list.
const RECIPIENTS_MAX: usize = 50;
/// Bytes kept of why a recipient was refused.
const REASON_BYTES: usize = 200;

/// A mail server and the people behind it.
struct Email {
    name: String,
    common: Common,
    server: Server,
    tls: TlsParameters,
    addresses: Addresses,
    signer: Option<Arc<Signer>>,
    /// Where the tokens come from that take a password's place.
    oauth: Option<Oauth>,
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
    /// What it took to open the last connection: TCP, TLS, the greetings, signing in. The mail library does not tell them
    /// apart.
    connect_ms: Option<u64>,
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
        let png = match &parts.chart {
            Some(chart) => self.draw(message, chart).await,
            None => None,
        };
        let letter = match letter::compose(message, parts, png, &self.addresses) {
            Ok(letter) => letter,
            Err(reason) => {
                return Report::new(Outcome::Permanent, None, format!("no letter can be made of it: {reason}"));
            }
        };
        let letter = match &self.signer {
            Some(signer) => match signer.sign(letter, message.now) {
                Ok(signed) => signed,
                Err(reason) => return Report::new(Outcome::Permanent, None, format!("it can't be signed: {reason}")),
            },
            None => letter,
        };
        let (mut progress, began) = (Progress::default(), Instant::now());
        let attempt = self.attempt(message, &letter, &mut progress);
        if tokio::time::timeout(self.common.timeout, attempt).await.is_err() {
            let text = format!("no complete answer within {:?}", self.common.timeout);
            progress.faults.push(Fault { blame: Blame::Trouble, code: None, text });
        }
        let timings =
            Timings { connect_ms: progress.connect_ms, total_ms: millis(began.elapsed()), ..Timings::default() };
        self.report(message, progress).timed(Some(timings))
    }

    fn goes_one_by_one(&self) -> bool {
        self.addresses.to.len() > 1
    }

    async fn connect(&self) -> Result<String, String> {
        let opened = async {
            let mut session = self.open(Timestamp::UNIX_EPOCH).await?;
            let alive = session.is_alive().await;
            session.quit().await;
            Ok::<bool, Fault>(alive)
        };
        let shown = self.server.shown();
        match tokio::time::timeout(self.common.timeout, opened).await {
            Ok(Ok(true)) if self.server.credentials.is_some() || self.oauth.is_some() => {
                Ok(format!("signed in at {shown}"))
            }
            Ok(Ok(true)) => Ok(format!("{shown} answers")),
            Ok(Ok(false)) => Err(format!("{shown} closes the connection at once")),
            Ok(Err(fault)) => Err(format!("{shown}: {}", self.redact.clean(&fault.text))),
            Err(_) => Err(format!("{shown}: no answer within {:?}", self.common.timeout)),
        }
    }
}

impl Email {
    /// The picture of a letter. It goes out without one rather than late. The ground is light whatever the reader's: not
    /// every mail client says which it has, none that darkens letters by itself darkens pictures, and a light card is
    /// legible on either.
    async fn draw(&self, message: &Message, chart: &Chart) -> Option<Vec<u8>> {
        let chart = chart.clone();
        let drawn = tokio::task::spawn_blocking(move || chart.png(Theme::Light));
        let reason = match tokio::time::timeout(self.common.timeout / 2, drawn).await {
            Ok(Ok(Ok(png))) => return Some(png),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) | Err(_) => "it was not drawn in time".to_owned(),
        };
        let id = message.delivery.id.as_str();
        tracing::warn!(sink = self.name, delivery = id, "delivery {id} goes out without its chart: {reason}");
        None
    }

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
        let mut left = open.len();
        for to in open {
            left -= 1;
            let mut current = match session.take() {
                Some(kept) => kept,
                None => match self.open_timed(message.now, progress).await {
                    Ok(opened) => opened,
                    Err(fault) => return progress.faults.push(fault),
                },
            };
            let key = to.email.to_string();
            let delivered = current.deliver(&self.addresses.envelope, &to.email, letter).await;
            if let Some(state) = self.note(&key, &delivered, progress)
                && left > 0
                && let Some(port) = &message.progress
            {
                // Whoever is killed now has forgotten one recipient at most: the one whose copy was taken just then.
                port.recipient(&key, state).await;
            }
            match delivered {
                Ok(()) => session = Some(current),
                Err(fault) => {
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

    /// A connection, signed in.
    async fn open(&self, now: Timestamp) -> Result<Session, Fault> {
        let token = match &self.oauth {
            Some(oauth) => Some(oauth.credentials(now, self.common.timeout).await?),
            None => None,
        };
        let opened = Session::open(&self.server, &self.tls, token.as_ref()).await;
        if let (Err(fault), Some(oauth)) = (&opened, &self.oauth)
            && fault.blame == Blame::SignIn
        {
            // Withdrawn before its time, perhaps: the next attempt asks for another.
            oauth.forget().await;
        }
        opened
    }

    /// The same, noting how long it took.
    async fn open_timed(&self, now: Timestamp, progress: &mut Progress) -> Result<Session, Fault> {
        let began = Instant::now();
        let opened = self.open(now).await?;
        progress.connect_ms = Some(millis(began.elapsed()));
        Ok(opened)
    }

    /// Takes down what became of a recipient's copy; what is so for good is returned.
    fn note(&self, to: &str, delivered: &Result<(), Fault>, progress: &mut Progress) -> Option<RecipientState> {
        let state = match delivered {
            Ok(()) => RecipientState::Accepted,
            Err(fault) if fault.blame == Blame::Refused => {
                RecipientState::Refused(cut(&self.redact.clean(&fault.text), REASON_BYTES))
            }
            Err(fault) => {
                progress.faults.push(Fault { text: format!("{} ({to})", fault.text), ..fault.clone() });
                return None;
            }
        };
        progress.recipients.insert(to.to_owned(), state.clone());
        Some(state)
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
            (Outcome::Permanent, None, told_of(&refused))
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

/// Who was refused and why, in a line where that is short. Of a long list the names come first: only its beginning is kept.
fn told_of(refused: &BTreeMap<String, &String>) -> String {
    let list = |each: &dyn Fn((&String, &&String)) -> String| refused.iter().map(each).collect::<Vec<_>>().join(", ");
    let whole = format!("refused for good: {}", list(&|(to, reason)| format!("{to} ({reason})")));
    if whole.len() <= REASON_BYTES {
        return whole;
    }
    let mut detail = format!("refused for good: {}", list(&|(to, _)| to.clone()));
    detail.extend(refused.iter().map(|(to, reason)| format!("\n{to}: {reason}")));
    detail
}

/// What became of a recipient's copy in earlier attempts.
fn state<'m>(message: &'m Message, to: &Mailbox) -> Option<&'m RecipientState> {
    message.delivery.recipients.get(&to.email.to_string())
}

#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;
