//! A letter: what is handed to the mail server.
//!
//! Invariant: nothing from outside becomes a header line, and the letter is ASCII with short lines, so any server
//! takes it. Sources: RFC 5322 (format), RFC 2046 section 5.1.4 (alternative), RFC 2387 (related), RFC 3834 (`Auto-Submitted`).

use std::time::SystemTime;

use lettre::Address;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, MultiPart, SinglePart};
use serde_json::{Value, json};

use crate::domain::delivery::cut;
use crate::render::{CHART_CID, EmailParts};
use crate::sink::Message;
use crate::sink::target::Problem;

/// Bytes of a subject line.
const SUBJECT_BYTES: usize = 200;

/// Who writes to whom.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub from: Mailbox,
    /// At least one.
    pub to: Vec<Mailbox>,
    pub reply_to: Option<Mailbox>,
    /// Who is told of letters that can't be delivered.
    pub envelope: Address,
    pub list: List,
}

/// The list letters belong to (RFC 2919, RFC 2369, RFC 8058).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    id: Option<String>,
    unsubscribe: Option<String>,
    /// An https address in `unsubscribe` takes one POST, and the letter is signed, as RFC 8058 asks.
    one_click: bool,
}

impl List {
    /// Reads the settings, or says which is wrong.
    pub fn parse(id: Option<&str>, unsubscribe: &[String], signed: bool) -> Result<Self, Problem> {
        let fault = |key: &str, text: &str| Err((key.to_owned(), text.to_owned()));
        let id = match id.map(str::trim) {
            None => None,
            Some(text) => {
                let (phrase, name) = match text.split_once('<') {
                    Some((phrase, rest)) => (phrase.trim(), rest.trim_end_matches('>')),
                    None => ("", text),
                };
                let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                let plain = |c: char| c == ' ' || c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                if name.is_empty() || name.len() > 200 || !name.chars().all(in_name) || !phrase.chars().all(plain) {
                    return fault(
                        "list_id",
                        "is no list; write it like \"amp.example.com\" or \"Amp news <amp.example.com>\"",
                    );
                }
                Some(format!("{phrase} <{name}>").trim().to_owned())
            }
        };
        let fine = |url: &String| {
            let known = url.starts_with("mailto:") || url.starts_with("https://");
            known && url.len() <= 500 && url.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ','))
        };
        if !unsubscribe.iter().all(fine) || unsubscribe.len() > 3 {
            return fault("list_unsubscribe", "takes up to three addresses that begin with mailto: or https://");
        }
        let listed: Vec<String> = unsubscribe.iter().map(|url| format!("<{url}>")).collect();
        Ok(Self {
            id,
            one_click: signed && unsubscribe.iter().any(|url| url.starts_with("https://")),
            unsubscribe: (!listed.is_empty()).then(|| listed.join(", ")),
        })
    }

    fn headers(&self) -> Vec<HeaderValue> {
        let mut headers = Vec::new();
        headers.extend(self.id.as_ref().map(|id| header("List-Id", id)));
        headers.extend(self.unsubscribe.as_ref().map(|urls| header("List-Unsubscribe", urls)));
        if self.one_click {
            headers.push(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
        headers
    }
}

/// Writes the letter: the same bytes for every recipient, and but for the date at every attempt. `png` is the picture
/// that the HTML shows; without it the HTML shows none.
pub fn compose(
    message: &Message,
    parts: EmailParts,
    png: Option<Vec<u8>>,
    addresses: &Addresses,
) -> Result<Vec<u8>, String> {
    let mut builder = lettre::Message::builder()
        .from(addresses.from.clone())
        .subject(one_line(&parts.subject))
        .date(SystemTime::from(message.now))
        .message_id(Some(message_id(message, addresses)))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"));
    for list in addresses.list.headers() {
        builder = builder.raw_header(list);
    }
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
        .singlepart(part(ContentType::TEXT_PLAIN, parts.text)?);
    let alternative = match png {
        Some(png) => alternative.multipart(illustrated(message, &parts.html, png, addresses)?),
        None => alternative.singlepart(part(ContentType::TEXT_HTML, without_picture(&parts.html))?),
    };
    builder.multipart(alternative).map(|letter| letter.formatted()).map_err(|e| e.to_string())
}

/// The HTML with its picture (RFC 2387). It travels along: nothing is loaded from elsewhere.
fn illustrated(message: &Message, html: &str, png: Vec<u8>, addresses: &Addresses) -> Result<MultiPart, String> {
    // A name of its own: clients that show letters together must not mix up their pictures.
    let id = format!("chart.{}@{}", message.delivery.id, addresses.from.email.domain());
    let html = html.replace(CHART_CID, &format!("cid:{id}"));
    let kind = format!("multipart/related; type=\"text/html\"; boundary=\"=_related_{}\"", message.delivery.id);
    let kind = ContentType::parse(&kind).map_err(|e| e.to_string())?;
    let png_kind = ContentType::parse("image/png").map_err(|e| e.to_string())?;
    let picture = Attachment::new_inline_with_name(id, "spend.png".to_owned()).body(png, png_kind);
    Ok(MultiPart::builder().header(kind).singlepart(part(ContentType::TEXT_HTML, html)?).singlepart(picture))
}

/// HTML without a picture that did not come about.
fn without_picture(html: &str) -> String {
    let Some(at) = html.find(&format!("<img src=\"{CHART_CID}\"")) else { return html.to_owned() };
    let end = html[at..].find('>').map_or(html.len(), |end| at + end + 1);
    format!("{}{}", &html[..at], &html[end..])
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
            envelope: "bounces@example.com".parse().unwrap(),
            list: List::default(),
        }
    }

    #[test]
    fn a_list_is_named_and_left_by_one_click_where_letters_are_signed() {
        let leave = ["mailto:leave@example.com".to_owned(), "https://example.com/leave?a=1".to_owned()];
        let mut addresses = addresses();
        addresses.list = List::parse(Some("Amp news <amp.example.com>"), &leave, true).unwrap();
        let parts = EmailParts { subject: "s".into(), text: "t".into(), html: "h".into(), chart: None };
        let letter = String::from_utf8(compose(&message(), parts, None, &addresses).unwrap()).unwrap();
        for line in [
            "List-Id: Amp news <amp.example.com>\r\n",
            "<mailto:leave@example.com>",
            "<https://example.com/leave?a=1>\r\n",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        ] {
            assert!(letter.contains(line), "{line} in {letter}");
        }
        assert!(List::parse(None, &leave, false).unwrap().headers().len() == 1, "no click without a signature");
        for (id, urls, key) in [
            (Some("a\r\nBcc: eve@example.com"), vec![], "list_id"),
            (Some("<>"), vec![], "list_id"),
            (None, vec!["http://example.com".to_owned()], "list_unsubscribe"),
            (None, vec!["https://example.com/>, <mailto:eve@example.com".to_owned()], "list_unsubscribe"),
        ] {
            assert_eq!(List::parse(id, &urls, true).unwrap_err().0, key);
        }
    }

    fn letter(subject: &str, text: &str, html: &str) -> String {
        let parts = EmailParts { subject: subject.into(), text: text.into(), html: html.into(), chart: None };
        String::from_utf8(compose(&message(), parts, None, &addresses()).unwrap()).unwrap()
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
        let parts = EmailParts { subject: "s".into(), text: "t".into(), html: "h".into(), chart: None };
        let letter = String::from_utf8(compose(&message, parts.clone(), None, &addresses()).unwrap()).unwrap();
        assert!(letter.contains("References: <dlv_0@example.com>\r\n"));
        assert_eq!(reference(&message, &addresses()), json!({ "message_id": "<dlv_0@example.com>" }));
        message.reference = Some(json!({ "message_id": "<x\r\nBcc: eve@example.com>" }));
        assert!(!String::from_utf8(compose(&message, parts, None, &addresses()).unwrap()).unwrap().contains("eve"));
    }

    #[test]
    fn a_picture_travels_with_the_html_that_shows_it() {
        let html = "<p>before</p><img src=\"cid:spend-chart\" alt=\"Chart &gt; 1\"><p>after</p>".to_owned();
        let parts = EmailParts { subject: "s".into(), text: "t".into(), html, chart: None };
        let png = b"\x89PNG\r\n\x1a\nand so on".to_vec();
        let letter = String::from_utf8(compose(&message(), parts.clone(), Some(png), &addresses()).unwrap()).unwrap();
        for line in [
            "Content-Type: multipart/related; type=\"text/html\";",
            "boundary=\"=_related_dlv_1\"",
            "Content-ID: <chart.dlv_1@example.com>\r\n",
            "Content-Disposition: inline; filename=\"spend.png\"\r\n",
            "Content-Transfer-Encoding: base64\r\n",
            "iVBORw0KGg",
        ] {
            assert!(letter.contains(line), "{line} in {letter}");
        }
        let unfolded = letter.replace("=\r\n", "");
        assert!(unfolded.contains("<img src=3D\"cid:chart.dlv_1@example.com\" alt"), "{letter}");
        let at = |what: &str| letter.find(what).unwrap();
        assert!(at("multipart/alternative") < at("text/plain") && at("text/plain") < at("multipart/related"));
        assert!(letter.split("\r\n").all(|line| line.len() <= 998) && letter.is_ascii());
        let without = String::from_utf8(compose(&message(), parts, None, &addresses()).unwrap()).unwrap();
        assert!(
            !without.contains("<img") && !without.contains("related") && without.contains("<p>before</p><p>after</p>")
        );
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
