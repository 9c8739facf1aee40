//! A receiver below HTTP that can be told how to misbehave.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What is done to whoever connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malice {
    /// 204.
    None,
    /// The request is taken, and no answer comes.
    Hang,
    /// An answer whose body comes a byte at a time.
    DripBody,
    /// 500 and a body of 10 GB.
    Flood,
    /// 500 and 1 GB of zeros, packed into a megabyte.
    GzipBomb,
    /// 302 to the next of a hundred.
    Redirects,
    /// The connection is cut in the middle of the request.
    Cut,
    /// 204, seconds after the deadline.
    Late,
    /// 500 and a megabyte of headers.
    Headers,
    /// A certificate for another name (of a receiver with TLS).
    WrongName,
}

/// A running receiver.
pub struct Rogue {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    malice: Mutex<Malice>,
    connections: AtomicUsize,
    /// `webhook-id` of what was answered 204 in time.
    taken: Mutex<BTreeSet<String>>,
    /// Largest part of a flood that went out before the other side closed, bytes.
    flooded: AtomicUsize,
    /// Certificates for the right and for another name.
    tls: Option<(TlsAcceptor, TlsAcceptor)>,
    bomb: Vec<u8>,
}

impl Rogue {
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// With TLS; the PEM text of what to trust comes along.
    pub async fn with_tls() -> (Self, String) {
        ampbridge::http::install_tls();
        let issuer = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = rcgen::CertifiedIssuer::self_signed(params, issuer).unwrap();
        let acceptor = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let config = ServerConfig::builder().with_no_client_auth();
            TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap()))
        };
        (Self::serve(Some((acceptor("127.0.0.1"), acceptor("other.example.com")))).await, authority.pem())
    }

    async fn serve(tls: Option<(TlsAcceptor, TlsAcceptor)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            malice: Mutex::new(Malice::None),
            connections: AtomicUsize::new(0),
            taken: Mutex::default(),
            flooded: AtomicUsize::new(0),
            tls,
            bomb: bomb(),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(meet(Arc::clone(&shared), socket));
            }
        });
        Self { port, state }
    }

    pub fn set(&self, malice: Malice) {
        *self.state.malice.lock().unwrap() = malice;
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }

    pub fn has_taken(&self, id: &str) -> bool {
        self.state.taken.lock().unwrap().contains(id)
    }
}

async fn meet(state: Arc<State>, socket: TcpStream) {
    let malice = *state.malice.lock().unwrap();
    // Whatever comes of it: the other side is not of this test's making.
    let _ = match &state.tls {
        None => talk(&state, malice, socket).await,
        Some((right, wrong)) => {
            let acceptor = if malice == Malice::WrongName { wrong } else { right };
            match acceptor.accept(socket).await {
                Ok(stream) => talk(&state, malice, stream).await,
                Err(error) => Err(error),
            }
        }
    };
}

async fn talk(state: &State, malice: Malice, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    if malice == Malice::Cut {
        let _ = stream.read(&mut [0; 16]).await?;
        return Ok(());
    }
    let id = request(&mut stream).await?;
    match malice {
        Malice::None | Malice::WrongName => {
            state.taken.lock().unwrap().insert(id);
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await?;
        }
        Malice::Hang | Malice::Cut => std::future::pending().await,
        Malice::DripBody => {
            stream.write_all(b"HTTP/1.1 500 X\r\ncontent-length: 99999\r\n\r\n").await?;
            loop {
                stream.write_all(b"z").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Malice::Flood => flood(state, &mut stream).await?,
        Malice::GzipBomb => {
            let length = state.bomb.len();
            let head = format!("HTTP/1.1 500 X\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&state.bomb).await?;
        }
        Malice::Redirects => {
            let next = state.connections.load(Ordering::SeqCst) % 100;
            let head =
                format!("HTTP/1.1 302 Found\r\nlocation: /{next}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
        }
        Malice::Late => {
            tokio::time::sleep(Duration::from_secs(4)).await;
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await?;
        }
        Malice::Headers => {
            stream.write_all(b"HTTP/1.1 500 X\r\n").await?;
            for n in 0..1024 {
                stream.write_all(format!("x-{n}: {}\r\n", "z".repeat(1016)).as_bytes()).await?;
            }
            stream.write_all(b"content-length: 0\r\nconnection: close\r\n\r\n").await?;
        }
    }
    stream.flush().await?;
    stream.shutdown().await
}

async fn flood(state: &State, stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    const LENGTH: usize = 10 * 1024 * 1024 * 1024;
    stream.write_all(format!("HTTP/1.1 500 X\r\ncontent-length: {LENGTH}\r\n\r\n").as_bytes()).await?;
    let piece = vec![b'z'; 64 * 1024];
    let mut sent = 0;
    while sent < LENGTH {
        stream.write_all(&piece).await?;
        sent += piece.len();
        state.flooded.fetch_max(sent, Ordering::SeqCst);
    }
    Ok(())
}

/// Reads a request to its end; its `webhook-id`.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 8192];
        let n = stream.read(&mut piece).await?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let header = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
        };
        let length: usize = header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            return Ok(header("webhook-id").unwrap_or_default());
        }
    }
}

/// A gigabyte of zeros, packed.
fn bomb() -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let megabyte = vec![0; 1 << 20];
    for _ in 0..1024 {
        gzip.write_all(&megabyte).unwrap();
    }
    gzip.finish().unwrap()
}
