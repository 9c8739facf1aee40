//! Settings of an email sink.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lettre::message::Mailbox;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use schemars::JsonSchema;
use serde::Deserialize;

use super::dkim::{DkimConfig, Signer};
use super::letter::{Addresses, List};
use super::oauth::{Oauth, OauthConfig};
use super::server::{Security, Server};
use super::{Email, RECIPIENTS_MAX};
use crate::domain::setting::{Many, Secret};
use crate::sink::redact::Redactor;
use crate::sink::target::{Problem, joined};
use crate::sink::{Common, Context, Sink, SinkConfig};

/// Settings of an email sink.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// `smtps://user:password@host:465`, `smtp://user:password@host:587` (STARTTLS required), `smtp://127.0.0.1:25`.
    #[schemars(required)]
    smtp_url: Option<Secret>,
    /// Lets `smtp://` go without encryption to hosts other than this machine, where they offer none.
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
    /// Who is told of letters that can't be delivered, if not the sender.
    envelope_from: Option<String>,
    /// The list these letters belong to, for filters: `amp.example.com` or `Amp news <amp.example.com>`.
    list_id: Option<String>,
    /// Where readers unsubscribe: `mailto:` and `https:` addresses, of the list you run.
    #[serde(default)]
    list_unsubscribe: Many<String>,
    /// Signs every letter (RFC 6376).
    dkim: Option<DkimConfig>,
    /// Signs in with tokens (`XOAUTH2`) instead of a password.
    oauth2: Option<OauthConfig>,
}

impl EmailConfig {
    fn server(&self) -> Result<Server, Problem> {
        let found = match &self.smtp_url {
            Some(url) => Server::parse(url, self.allow_plaintext),
            None => Err("is missing: which server takes the letters?".to_owned()),
        };
        found.map_err(|reason| ("smtp_url".to_owned(), reason))
    }

    pub(super) fn addresses(&self) -> Result<Addresses, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut read = |key: String, text: &str| mailbox(text).map_err(|reason| problems.push((key, reason))).ok();
        let from = read("from".to_owned(), self.from.as_deref().unwrap_or_default());
        let reply_to = self.reply_to.as_deref().map(|text| read("reply_to".to_owned(), text));
        let mut to: Vec<Mailbox> = Vec::new();
        let given = self.to.as_ref().map_or(&[][..], |many| &many.0);
        for (at, text) in given.iter().enumerate() {
            let mailbox = read(format!("to[{at}]"), text);
            // No server that matters tells letters by case: two spellings are one mailbox.
            let known = |new: &Mailbox| to.iter().any(|known| is_same(known, new));
            if let Some(new) = mailbox.filter(|new| !known(new)) {
                to.push(new);
            }
        }
        match given.len() {
            0 => problems.push(("to".to_owned(), "is empty: who is to get the letters?".to_owned())),
            1..=RECIPIENTS_MAX => {}
            n => problems.push(("to".to_owned(), format!("has {n} recipients; {RECIPIENTS_MAX} at most, use a list"))),
        }
        let envelope = self.envelope_from.as_deref().map(mailbox).transpose().unwrap_or_else(|reason| {
            problems.push(("envelope_from".to_owned(), reason));
            None
        });
        let list = List::parse(self.list_id.as_deref(), &self.list_unsubscribe.0, self.dkim.is_some()).unwrap_or_else(
            |problem| {
                problems.push(problem);
                List::default()
            },
        );
        match from {
            Some(from) if problems.is_empty() => {
                let envelope = envelope.map_or_else(|| from.email.clone(), |mailbox| mailbox.email);
                Ok(Addresses { from, to, reply_to: reply_to.flatten(), envelope, list })
            }
            _ => Err(problems),
        }
    }

    pub(super) fn tls(&self, server: &Server) -> Result<TlsParameters, Problem> {
        let problem = |reason: String| ("ca_file".to_owned(), reason);
        let mut builder = TlsParameters::builder(server.host.clone());
        if let Some(path) = &self.ca_file {
            let pem = std::fs::read(path).map_err(|e| problem(format!("{} can't be read: {e}", path.display())))?;
            let certificate = Certificate::from_pem(&pem)
                .map_err(|_| problem(format!("{} holds no PEM certificate that can be used", path.display())))?;
            builder = builder.add_root_certificate(certificate);
        }
        if server.security == Security::Plain && server.is_local() {
            // There without encryption as well; no certificate makes it safer, and few of this machine's have a name.
            builder = builder.dangerous_accept_invalid_certs(true);
        }
        builder.build().map_err(|e| problem(format!("TLS can't be set up: {e}. Is `ca-certificates` installed?")))
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
        problems.extend(self.dkim.as_ref().and_then(|dkim| dkim.signer().err()));
        if let Some(oauth) = &self.oauth2 {
            problems.extend(oauth.problems());
            let security = self.server().ok().map(|server| server.security);
            if self.server().is_ok_and(|server| server.credentials.is_some()) {
                let text = "stands beside a password in smtp_url; keep one of the two";
                problems.push(("oauth2".to_owned(), text.to_owned()));
            } else if security == Some(Security::Plain) && self.allow_plaintext {
                let text = "sends a token, which must not travel in the clear; remove allow_plaintext";
                problems.push(("oauth2".to_owned(), text.to_owned()));
            }
        }
        problems
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Sink>, String> {
        let server = self.server().map_err(|p| joined(&[p]))?;
        let addresses = self.addresses().map_err(|p| joined(&p))?;
        let tls = self.tls(&server).map_err(|p| joined(&[p]))?;
        let signer = self.dkim.as_ref().map(DkimConfig::signer).transpose().map_err(|p| joined(&[p]))?;
        let oauth = self.oauth2.as_ref().map(|config| Oauth::new(config, name)).transpose()?;
        let mut redact = Redactor::default().url(&server.url);
        for secret in self.oauth2.iter().flat_map(OauthConfig::secrets) {
            redact = redact.secret(secret.expose());
        }
        Ok(Arc::new(Email {
            name: name.to_owned(),
            common: *common,
            redact,
            signer: signer.map(Arc::<Signer>::new),
            oauth,
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

fn is_same(one: &Mailbox, other: &Mailbox) -> bool {
    AsRef::<str>::as_ref(&one.email).eq_ignore_ascii_case(other.email.as_ref())
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
