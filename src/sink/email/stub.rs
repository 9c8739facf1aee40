//! A scripted mail server on a real socket.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server does upon a line. `CONNECT` stands for a new connection, `.` for the end of a letter.
pub enum Reply {
    /// As an ordinary server would.
    Usual,
    Say(String),
    Hang,
    Close,
}

/// A letter the server has taken.
#[derive(Debug, Clone)]
pub struct Taken {
    pub to: String,
    pub letter: String,
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    taken: Vec<Taken>,
}

pub struct Stub {
    pub address: String,
    log: Arc<Mutex<Log>>,
}

pub fn say(text: &str) -> Reply {
    Reply::Say(text.to_owned())
}

impl Stub {
    pub async fn start(script: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let log: Arc<Mutex<Log>> = Arc::default();
        let shared = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (script, log) = (script.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // The other side may hang up at any time.
                    let _ = serve(socket, script, &log).await;
                });
            }
        });
        Self { address, log }
    }

    /// All lines seen, but for those of letters.
    pub fn lines(&self, beginning: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.lines.iter().filter(|line| line.starts_with(beginning)).cloned().collect()
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.log.lock().unwrap().taken.clone()
    }
}

async fn serve(socket: TcpStream, script: impl Fn(&str) -> Reply, log: &Mutex<Log>) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let (mut to, mut letter) = (String::new(), String::new());
    let mut line = "CONNECT".to_owned();
    loop {
        log.lock().unwrap().lines.push(line.clone());
        let text = match script(&line) {
            Reply::Usual => usual(&line).to_owned(),
            Reply::Say(text) => text,
            Reply::Hang => std::future::pending().await,
            Reply::Close => return Ok(()),
        };
        if line == "." && text.starts_with('2') {
            let taken = Taken { to: to.clone(), letter: std::mem::take(&mut letter) };
            log.lock().unwrap().taken.push(taken);
        }
        if let Some(address) = line.strip_prefix("RCPT TO:") {
            to = address.trim_matches(['<', '>']).to_owned();
        }
        socket.write_all(format!("{text}\r\n").as_bytes()).await?;
        let in_letter = line == "DATA" && text.starts_with("354");
        letter.clear();
        loop {
            let mut read = String::new();
            if socket.read_line(&mut read).await? == 0 {
                return Ok(());
            }
            let end = read.trim_end_matches(['\r', '\n']).to_owned();
            if !in_letter || end == "." {
                line = end;
                break;
            }
            letter.push_str(&read);
        }
    }
}

fn usual(line: &str) -> &'static str {
    match line.split_ascii_whitespace().next().unwrap_or_default() {
        "CONNECT" => "220 stub.example.com ready",
        "EHLO" => "250-stub.example.com\r\n250 AUTH PLAIN LOGIN",
        "AUTH" => "235 welcome",
        "DATA" => "354 go ahead",
        "QUIT" => "221 bye",
        _ => "250 ok",
    }
}
