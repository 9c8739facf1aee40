//! A loopback HTTP server whose connections can be cut on purpose.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Wait after a failed accept (too many open files, mostly), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running server. Dropping it stops it: no new connections, and those that are open end at their next use.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stopped: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves until dropped.
    pub async fn start(router: Router, addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let listener = Fragile { listener, stopped: Arc::clone(&stopped) };
        let service = router.into_make_service_with_connect_info::<Peer>();
        let task = tokio::spawn(async move {
            // Accepting never ends by itself, so there is nothing to report.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { addr, stopped, task })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.task.abort();
    }
}

/// The client's end of one connection, for handlers.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    cut: Arc<AtomicBool>,
}

impl Peer {
    /// Ends the connection at the next byte: the client gets no answer, or no more of it.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Fragile>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Fragile>) -> Self {
        stream.remote_addr().clone()
    }
}

#[derive(Debug)]
struct Fragile {
    listener: TcpListener,
    stopped: Arc<AtomicBool>,
}

impl Listener for Fragile {
    type Io = Line;
    type Addr = Peer;

    async fn accept(&mut self) -> (Line, Peer) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Without it small answers wait for the client's acknowledgement; failing is harmless.
                    let _ = stream.set_nodelay(true);
                    let peer = Peer::default();
                    let line = Line { stream, cut: Arc::clone(&peer.cut), stopped: Arc::clone(&self.stopped) };
                    return (line, peer);
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer::default())
    }
}

/// A connection that breaks when told to.
#[derive(Debug)]
struct Line {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
}

impl Line {
    /// The stream, as long as nobody cut it.
    fn intact(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        if self.cut.load(Ordering::Acquire) || self.stopped.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(Pin::new(&mut self.get_mut().stream))
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.intact()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.intact()?.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.intact()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
