//! A scripted mail server on a real socket.

use std::io;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

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

/// How the server encrypts.
#[derive(Clone, Default)]
pub enum Cipher {
    #[default]
    Never,
    FromTheStart(TlsAcceptor),
    OnStartTls(TlsAcceptor),
}

/// A certificate for this machine, in PEM, and what uses it.
pub fn certificate() -> (String, TlsAcceptor) {
    crate::http::install_tls();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    (made.cert.pem(), TlsAcceptor::from(Arc::new(config.unwrap())))
}

impl Stub {
    pub async fn start(script: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static) -> Self {
        Self::encrypting(Cipher::Never, script).await
    }

    pub async fn encrypting(cipher: Cipher, script: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let log: Arc<Mutex<Log>> = Arc::default();
        let shared = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (cipher, script, log) = (cipher.clone(), script.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // The other side may hang up at any time.
                    let _ = serve(socket, cipher, script, &log).await;
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

async fn serve(socket: TcpStream, cipher: Cipher, script: impl Fn(&str) -> Reply, log: &Mutex<Log>) -> io::Result<()> {
    match cipher {
        Cipher::Never => talk(socket, true, script, log).await.map(drop),
        Cipher::FromTheStart(tls) => talk(tls.accept(socket).await?, true, script, log).await.map(drop),
        Cipher::OnStartTls(tls) => {
            let offering = |line: &str| match script(line) {
                Reply::Usual if line.starts_with("EHLO") => {
                    say("250-stub.example.com\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN")
                }
                reply => reply,
            };
            match talk(socket, true, offering, log).await? {
                Some(socket) => talk(tls.accept(socket).await?, false, script, log).await.map(drop),
                None => Ok(()),
            }
        }
    }
}

/// Talks until the other side leaves, or asks for encryption: then the socket comes back.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    greet: bool,
    script: impl Fn(&str) -> Reply,
    log: &Mutex<Log>,
) -> io::Result<Option<S>> {
    let mut socket = BufReader::new(socket);
    let mut to = String::new();
    let mut letter = String::new();
    let mut line = if greet { "CONNECT".to_owned() } else { read_line(&mut socket).await? };
    loop {
        log.lock().unwrap().lines.push(line.clone());
        let text = match script(&line) {
            Reply::Usual => usual(&line).to_owned(),
            Reply::Say(text) => text,
            Reply::Hang => std::future::pending().await,
            Reply::Close => return Ok(None),
        };
        if line == "." && text.starts_with('2') {
            let taken = Taken { to: to.clone(), letter: std::mem::take(&mut letter) };
            log.lock().unwrap().taken.push(taken);
        }
        if let Some(address) = line.strip_prefix("RCPT TO:") {
            to = address.trim_matches(['<', '>']).to_owned();
        }
        socket.write_all(format!("{text}\r\n").as_bytes()).await?;
        socket.flush().await?;
        if line == "STARTTLS" {
            return Ok(Some(socket.into_inner()));
        }
        if line == "DATA" && text.starts_with("354") {
            letter.clear();
            loop {
                let part = read_line(&mut socket).await?;
                if part == "." {
                    line = part;
                    break;
                }
                letter.push_str(&part);
                letter.push_str("\r\n");
            }
        } else {
            line = read_line(&mut socket).await?;
        }
    }
}

async fn read_line<S: AsyncRead + Unpin>(socket: &mut BufReader<S>) -> io::Result<String> {
    let mut line = String::new();
    match socket.read_line(&mut line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
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
