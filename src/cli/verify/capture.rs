//! A captured request: what a receiver wrote down of it.

use std::collections::BTreeMap;

/// Headers and body as they came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capture {
    /// Names in lower case.
    headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Capture {
    /// Reads a file: perhaps a request line, header lines, an empty line, the body to the end of the file (or as long
    /// as its `content-length` says).
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let (head, body) = split(bytes).ok_or("it has no empty line between headers and body")?;
        let head = std::str::from_utf8(head).map_err(|_| "its headers are not text".to_owned())?;
        let mut lines: Vec<&str> = head.lines().collect();
        if lines.first().is_some_and(|line| line.contains(" HTTP/") || line.starts_with("HTTP/")) {
            lines.remove(0);
        }
        let mut capture = Self::of(&lines, body.to_vec())?;
        if let Some(length) = capture.headers.get("content-length").and_then(|n| n.parse::<usize>().ok()) {
            if capture.body.len() < length {
                let told = capture.body.len();
                return Err(format!("its body has {told} bytes, and content-length says {length}: it was cut off"));
            }
            capture.body.truncate(length);
        }
        Ok(capture)
    }

    /// Puts header lines and a body together.
    pub(super) fn of(lines: &[impl AsRef<str>], body: Vec<u8>) -> Result<Self, String> {
        let mut headers = BTreeMap::new();
        for (at, line) in lines.iter().map(AsRef::as_ref).enumerate() {
            let (name, value) =
                line.split_once(':').ok_or_else(|| format!("header {} is not `name: value`", at + 1))?;
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
        Ok(Self { headers, body })
    }

    /// A header of Standard Webhooks; Svix's older names are the same.
    pub(super) fn webhook(&self, name: &str) -> Option<&str> {
        ["webhook-", "svix-"].iter().find_map(|prefix| self.headers.get(&format!("{prefix}{name}"))).map(String::as_str)
    }
}

/// Head and body at the first empty line, whichever line ends the file has.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut start = 0;
    while let Some(length) = bytes[start..].iter().position(|b| *b == b'\n') {
        if bytes[start..start + length].iter().all(|b| *b == b'\r') {
            return Some((&bytes[..start], &bytes[start + length + 1..]));
        }
        start += length + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_either_line_ends() {
        for end in ["\n", "\r\n"] {
            let lines = ["POST /hook HTTP/1.1", "Webhook-Id:  evt_1 ", "webhook-timestamp: 7", "", "{\"a\":\r\n1}\n"];
            let capture = Capture::read(lines.join(end).as_bytes()).unwrap();
            assert_eq!((capture.webhook("id"), capture.webhook("timestamp")), (Some("evt_1"), Some("7")));
            assert_eq!(capture.body, b"{\"a\":\r\n1}\n");
        }
        let capture = Capture::read(b"svix-id: msg_1\n\n").unwrap();
        assert_eq!((capture.webhook("id"), capture.body.len()), (Some("msg_1"), 0));
    }

    #[test]
    fn the_body_is_as_long_as_it_says() {
        assert_eq!(Capture::read(b"content-length: 2\n\nab\n").unwrap().body, b"ab");
        assert!(Capture::read(b"content-length: 9\n\nab\n").unwrap_err().contains("cut off"));
        assert!(Capture::read(b"webhook-id: 1\n{}").unwrap_err().contains("empty line"));
        assert!(Capture::read(b"what is this\n\n{}").unwrap_err().contains("header 1"));
    }
}
