//! A web server that misbehaves by path, or answers by what it is sent.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The ways there are; each is a path.
pub const WAYS: [&str; 6] = ["hangs", "drips", "bombs", "redirects", "closes", "late"];
/// What the bomb unpacks to.
const BOMB: usize = 16 << 20;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// `webhook-id`.
    pub id: String,
    pub event: Value,
}

struct Desk {
    requests: Mutex<Vec<Request>>,
    mended: AtomicBool,
    /// By the event: the status of the answer.
    judge: Box<dyn Fn(&Value) -> u16 + Send + Sync>,
    redirect_to: String,
    bomb: Vec<u8>,
}

/// A running server; ends when dropped.
pub struct OddServer {
    base: String,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

impl Drop for OddServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl OddServer {
    /// Misbehaves on the paths of [`WAYS`], leads `redirects` to that address, and answers elsewhere what `judge` says.
    pub async fn start(redirect_to: &str, judge: impl Fn(&Value) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let desk = Arc::new(Desk {
            requests: Mutex::default(),
            mended: AtomicBool::new(false),
            judge: Box::new(judge),
            redirect_to: redirect_to.to_owned(),
            bomb: bomb(),
        });
        let shared = Arc::clone(&desk);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let desk = Arc::clone(&shared);
                tokio::spawn(async move {
                    // The other side may hang up at any time.
                    let _ = serve(socket, &desk).await;
                });
            }
        });
        Self { base, desk, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// From now on all is well.
    pub fn mend(&self) {
        self.desk.mended.store(true, Ordering::Release);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.desk.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One request a connection.
async fn serve(socket: TcpStream, desk: &Desk) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let request = read(&mut socket).await?;
    let way = if desk.mended.load(Ordering::Acquire) { "" } else { request.path.trim_start_matches('/') };
    let status = (desk.judge)(&request.event);
    let way = way.to_owned();
    desk.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let fine =
        |status: u16| format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes();
    match way.as_str() {
        "hangs" => std::future::pending().await,
        "closes" => return Ok(()),
        "drips" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
            loop {
                socket.write_all(b".").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        "bombs" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n").await?;
            socket.write_all(&desk.bomb).await?;
        }
        "redirects" => {
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", desk.redirect_to);
            socket.write_all(head.as_bytes()).await?;
        }
        "late" => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            socket.write_all(&fine(200)).await?;
        }
        _ => socket.write_all(&fine(status)).await?,
    }
    socket.shutdown().await
}

async fn read(socket: &mut BufReader<TcpStream>) -> std::io::Result<Request> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let found = head.iter().filter_map(|l| l.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    socket.read_exact(&mut body).await?;
    let path = head.first().and_then(|l| l.split(' ').nth(1)).unwrap_or_default().to_owned();
    Ok(Request { path, id: header("webhook-id"), event: serde_json::from_slice(&body).unwrap_or_default() })
}

/// Very much of nothing, packed.
fn bomb() -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let block = vec![0; 1 << 20];
    for _ in 0..BOMB / block.len() {
        packer.write_all(&block).unwrap();
    }
    packer.finish().unwrap()
}
