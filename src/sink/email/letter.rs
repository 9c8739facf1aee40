//! A letter: what is handed to the mail server.
//!
//! Invariant: nothing from outside becomes a header line, and the letter is ASCII with short lines, so any server
//! takes it. Sources: RFC 5322 (format), RFC 2046 section 5.1.4 (alternative), RFC 3834 (`Auto-Submitted`).

use std::time::SystemTime;

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};
use serde_json::{Value, json};

use crate::domain::delivery::cut;
use crate::render::EmailParts;
use crate::sink::Message;

/// Bytes of a subject line.
const SUBJECT_BYTES: usize = 200;

/// Who writes to whom.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub from: Mailbox,
    /// At least one.
    pub to: Vec<Mailbox>,
    pub reply_to: Option<Mailbox>,
}

/// Writes the letter: the same bytes for every recipient, and but for the date at every attempt.
pub fn compose(message: &Message, parts: EmailParts, addresses: &Addresses) -> Result<Vec<u8>, String> {
    let mut builder = lettre::Message::builder()
        .from(addresses.from.clone())
        .subject(one_line(&parts.subject))
        .date(SystemTime::from(message.now))
        .message_id(Some(message_id(message, addresses)))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"));
    for to in &addresses.to {
        builder = builder.to(to.clone());
    }
    if let Some(reply_to) = &addresses.reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    if let Some(root) = root(message) {
        builder = builder.in_reply_to(root.to_owned()).references(root.to_owned());
    }
    // `=_` can't occur in quoted-printable text, so no part can hold the boundary (RFC 2045, section 6.7).
    let alternative = MultiPart::alternative()
        .boundary(format!("=_{}", message.delivery.id))
        .singlepart(part(ContentType::TEXT_PLAIN, parts.text)?)
        .singlepart(part(ContentType::TEXT_HTML, parts.html)?);
    builder.multipart(alternative).map(|letter| letter.formatted()).map_err(|e| e.to_string())
}

/// What later letters of the incident answer to.
pub fn reference(message: &Message, addresses: &Addresses) -> Value {
    json!({ "message_id": root(message).map_or_else(|| message_id(message, addresses), str::to_owned) })
}

fn message_id(message: &Message, addresses: &Addresses) -> String {
    format!("<{}@{}>", message.delivery.id, addresses.from.email.domain())
}

fn root(message: &Message) -> Option<&str> {
    let id = message.reference.as_ref()?.get("message_id")?.as_str()?;
    (id.starts_with('<') && id.ends_with('>') && id.chars().all(|c| c.is_ascii_graphic())).then_some(id)
}

fn part(kind: ContentType, text: String) -> Result<SinglePart, String> {
    let encoding = ContentTransferEncoding::QuotedPrintable;
    let body = Body::new_with_encoding(text, encoding).map_err(|_| "the text can't be encoded".to_owned())?;
    Ok(SinglePart::builder().header(kind).body(body))
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Text for a header: no controls, no line or paragraph separators, single spaces.
fn one_line(text: &str) -> String {
    let plain = text.replace(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'), " ");
    cut(&plain.split_whitespace().collect::<Vec<_>>().join(" "), SUBJECT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testkit::message;
    use proptest::prelude::*;

    fn addresses() -> Addresses {
        Addresses {
            from: "Bridge <bridge@example.com>".parse().unwrap(),
            to: vec!["a@example.com".parse().unwrap(), "Bé <b@example.com>".parse().unwrap()],
            reply_to: Some("help@example.com".parse().unwrap()),
        }
    }

    fn letter(subject: &str, text: &str, html: &str) -> String {
        let parts = EmailParts { subject: subject.into(), text: text.into(), html: html.into() };
        String::from_utf8(compose(&message(), parts, &addresses()).unwrap()).unwrap()
    }

    #[test]
    fn the_headers_that_count() {
        let letter = letter("Budget", "text", "<p>html</p>");
        for line in [
            "From: Bridge <bridge@example.com>\r\n",
            "Reply-To: help@example.com\r\n",
            "Subject: Budget\r\n",
            "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n",
            "Message-ID: <dlv_1@example.com>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "X-Auto-Response-Suppress: All\r\n",
            "MIME-Version: 1.0\r\n",
        ] {
            assert!(letter.contains(line), "{line} in {letter}");
        }
        assert!(letter.contains("To: a@example.com, "));
        let plain = letter.find("text/plain; charset=utf-8").unwrap();
        let html = letter.find("text/html; charset=utf-8").unwrap();
        assert!(letter.contains("multipart/alternative") && plain < html);
        assert_eq!(letter.matches("Content-Transfer-Encoding: quoted-printable").count(), 2);
    }

    #[test]
    fn a_hostile_subject_makes_no_header_line() {
        let letter = letter("hi\r\nBcc: eve@example.com\r\n\r\nbody\u{2028}x\0", "t", "h");
        assert!(letter.contains("Subject: hi Bcc: eve@example.com body x\r\n"), "{letter}");
        assert!(!letter.contains("\r\nBcc:"));
    }

    #[test]
    fn letters_of_an_incident_hang_together() {
        let mut message = message();
        assert_eq!(reference(&message, &addresses()), json!({ "message_id": "<dlv_1@example.com>" }));
        message.reference = Some(json!({ "message_id": "<dlv_0@example.com>" }));
        let parts = EmailParts { subject: "s".into(), text: "t".into(), html: "h".into() };
        let letter = String::from_utf8(compose(&message, parts.clone(), &addresses()).unwrap()).unwrap();
        assert!(letter.contains("References: <dlv_0@example.com>\r\n"));
        assert_eq!(reference(&message, &addresses()), json!({ "message_id": "<dlv_0@example.com>" }));
        message.reference = Some(json!({ "message_id": "<x\r\nBcc: eve@example.com>" }));
        assert!(!String::from_utf8(compose(&message, parts, &addresses()).unwrap()).unwrap().contains("eve"));
    }

    proptest! {
        #[test]
        fn whatever_the_text_the_letter_stays_whole(subject in any::<String>(), text in any::<String>(), html in any::<String>()) {
            let letter = letter(&subject, &text, &html);
            prop_assert!(letter.is_ascii());
            prop_assert!(letter.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
            prop_assert_eq!(letter.matches("--=_dlv_1").count(), 3);
            let (head, _) = letter.split_once("\r\n\r\n").unwrap();
            let names = head.split("\r\n").filter(|l| !l.starts_with([' ', '\t'])).map(|l| l.split(':').next().unwrap());
            let known = ["From", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "To",
                "Reply-To", "MIME-Version", "Content-Type"];
            prop_assert!(names.into_iter().all(|name| known.contains(&name)), "{}", head);
        }
    }
}
