//! A mail server that takes letters and keeps them, read as a mail program would read them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Who may hand letters in.
pub const USER: &str = "bridge";
pub const PASSWORD: &str = "smtp-password-that-nobody-may-see";

/// Both, as they go over the wire (RFC 4616).
pub const SIGN_IN: &str = "AGJyaWRnZQBzbXRwLXBhc3N3b3JkLXRoYXQtbm9ib2R5LW1heS1zZWU=";

/// What to answer to a line instead of the usual.
#[derive(Debug, Clone)]
pub enum Say {
    Line(&'static str),
    /// Nothing, ever.
    Nothing,
}

/// A letter that was taken.
#[derive(Debug, Clone)]
pub struct Letter {
    pub to: String,
    /// Lower-case names; of several with one name, all lines.
    headers: BTreeMap<String, Vec<String>>,
    pub text: String,
    pub html: String,
    /// Content-ID and head of the picture that travels along.
    pub picture: Option<(String, String)>,
}

impl Letter {
    /// A header that stands there exactly once.
    pub fn header(&self, name: &str) -> &str {
        match self.headers.get(name).map(Vec::as_slice) {
            Some([only]) => only,
            other => panic!("{name}: {other:?}"),
        }
    }

    pub fn names(&self) -> Vec<&str> {
        self.headers.keys().map(String::as_str).collect()
    }
}

#[derive(Default)]
struct State {
    letters: Vec<Letter>,
    /// Lines as they came, but for those of letters.
    lines: Vec<String>,
    /// Beginning of a line, answer, how often.
    script: Vec<(String, Say, usize)>,
}

/// A running server; ends when dropped.
pub struct MailServer {
    address: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MailServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    // The other side may hang up at any time.
                    let _ = converse(socket, &state).await;
                });
            }
        });
        Self { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("smtp://{USER}:{PASSWORD}@{}", self.address)
    }

    /// Answers the next `times` lines that begin like this. `.` is the end of a letter.
    pub fn script(&self, beginning: &str, say: Say, times: usize) {
        lock(&self.state).script.push((beginning.to_owned(), say, times));
    }

    pub fn clear_script(&self) {
        lock(&self.state).script.clear();
    }

    pub fn letters(&self) -> Vec<Letter> {
        lock(&self.state).letters.clone()
    }

    /// Lines that began like this.
    pub fn lines(&self, beginning: &str) -> usize {
        lock(&self.state).lines.iter().filter(|line| line.starts_with(beginning)).count()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn converse(socket: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut socket = BufReader::new(socket);
    socket.write_all(b"220 mail.example.com ready\r\n").await?;
    let (mut to, mut letter) = (String::new(), String::new());
    loop {
        let line = read_line(&mut socket).await?;
        if let Some(address) = line.strip_prefix("RCPT TO:") {
            to = address.trim_matches(['<', '>']).to_owned();
        }
        let said = match reply(state, &line) {
            Say::Line(text) => text,
            Say::Nothing => std::future::pending().await,
        };
        socket.write_all(format!("{said}\r\n").as_bytes()).await?;
        if line == "QUIT" {
            return Ok(());
        }
        if line != "DATA" || !said.starts_with("354") {
            continue;
        }
        letter.clear();
        loop {
            let part = read_line(&mut socket).await?;
            if part == "." {
                break;
            }
            letter.push_str(part.strip_prefix('.').unwrap_or(&part));
            letter.push_str("\r\n");
        }
        let said = match reply(state, ".") {
            Say::Line(text) => text,
            Say::Nothing => std::future::pending().await,
        };
        if said.starts_with('2') {
            let parsed = parse(&to, &letter);
            lock(state).letters.push(parsed);
        }
        socket.write_all(format!("{said}\r\n").as_bytes()).await?;
    }
}

fn reply(state: &Mutex<State>, line: &str) -> Say {
    let mut state = lock(state);
    state.lines.push(line.to_owned());
    let scripted = state.script.iter_mut().find(|(beginning, _, left)| *left > 0 && line.starts_with(&**beginning));
    if let Some((_, say, left)) = scripted {
        *left -= 1;
        return say.clone();
    }
    Say::Line(match line.split(' ').next().unwrap_or_default() {
        "EHLO" => "250-mail.example.com\r\n250 AUTH PLAIN",
        "AUTH" if line.ends_with(SIGN_IN) => "235 welcome",
        "AUTH" => "535 who are you",
        "DATA" => "354 go ahead",
        "QUIT" => "221 bye",
        _ => "250 ok",
    })
}

async fn read_line(socket: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    if socket.read_until(b'\n', &mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = String::from_utf8(line).map_err(io::Error::other)?;
    let text = text.strip_suffix("\r\n").ok_or_else(|| io::Error::other("a line without CRLF"))?;
    assert!(!text.contains(['\r', '\n']) && text.len() <= 998, "no line of a letter: {text:?}");
    Ok(text.to_owned())
}

fn parse(to: &str, raw: &str) -> Letter {
    let (head, body) = raw.split_once("\r\n\r\n").expect("a letter has a head");
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in header_lines(head) {
        headers.entry(name).or_default().push(decode_words(&value));
    }
    let kind = &headers["content-type"][0];
    assert!(kind.starts_with("multipart/alternative"), "{kind}");
    let boundary = kind.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a boundary");
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).skip(1).take(2).collect();
    let content = |part: &str, kind: &str| {
        let (head, body) = part.split_once("\r\n\r\n").expect("a part has a head");
        assert!(head.contains(kind), "{head}");
        decode_quoted(body)
    };
    let text = content(parts[0], "text/plain");
    let (head, body) = parts[1].split_once("\r\n\r\n").expect("a part has a head");
    let related = head.replace("\r\n", "");
    let Some(boundary) = related.contains("multipart/related").then(|| related.split("boundary=\"").nth(1)).flatten()
    else {
        return Letter { to: to.to_owned(), headers, text, html: content(parts[1], "text/html"), picture: None };
    };
    let boundary = boundary.split('"').next().expect("a boundary");
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).skip(1).take(2).collect();
    let (head, png) = parts[1].split_once("\r\n\r\n").expect("a picture has a head");
    assert!(head.contains("Content-Type: image/png") && head.contains("Content-Disposition: inline"), "{head}");
    let id = head.split("Content-ID: <").nth(1).and_then(|rest| rest.split('>').next()).expect("a Content-ID");
    let picture = Some((id.to_owned(), png.chars().take(40).collect()));
    Letter { to: to.to_owned(), headers, text, html: content(parts[0], "text/html"), picture }
}

/// Names in lower case; continued lines are one.
fn header_lines(head: &str) -> Vec<(String, String)> {
    let mut lines: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    let split = |line: &String| {
        let (name, value) = line.split_once(':').expect("a header line");
        (name.to_lowercase(), value.trim().to_owned())
    };
    lines.iter().map(split).collect()
}

/// Encoded words (RFC 2047); white space between two of them is none.
fn decode_words(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("=?") {
        let mut parts = after.splitn(4, '?');
        let (Some(charset), Some(how), Some(text), Some(tail)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            break;
        };
        let Some(tail) = tail.strip_prefix('=') else { break };
        assert_eq!(charset.to_lowercase(), "utf-8");
        // White space between two encoded words is not part of the text (RFC 2047, 6.2).
        if !before.trim().is_empty() || out.is_empty() {
            out.push_str(before);
        }
        if how.eq_ignore_ascii_case("b") {
            out.push_str(&String::from_utf8(STANDARD.decode(text).unwrap()).unwrap());
        } else {
            out.push_str(&decode_quoted(&text.replace('_', " ")));
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn decode_quoted(text: &str) -> String {
    let joined = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'=' && rest.len() >= 2 {
            let digits = std::str::from_utf8(&rest[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn letters_are_read_as_they_were_meant() {
    assert_eq!(SIGN_IN, STANDARD.encode(format!("\0{USER}\0{PASSWORD}")));
    assert_eq!(decode_words("=?utf-8?b?aGk=?= =?utf-8?q?_=C3=A4?= x"), "hi ä x");
    assert_eq!(decode_quoted("a=\r\nb =3D"), "ab =");
    assert_eq!(header_lines("A: b\r\n c\r\nD: e"), [("a".into(), "b c".into()), ("d".into(), "e".into())]);
}
