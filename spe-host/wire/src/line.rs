//! A connection whose other end is known, and which has little time to begin.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::{seats::Seat, service::Peer};

/// How long a peer may take from the handshake to the end of HTTP/2's preface. From there on pings watch over it.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller without a certificate may stay: long enough to enrol or to read the register.
const STRANGER_TIMEOUT: Duration = Duration::from_mins(1);
/// The fixed text with which every HTTP/2 client begins.
const PREFACE_BYTES: usize = 24;

pub(crate) struct Line {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _seat: Seat,
    opening: Option<Opening>,
    /// When the line ends, if the peer is a stranger.
    end: Option<Pin<Box<Sleep>>>,
}

/// What the peer still owes, and until when.
struct Opening {
    bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Line {
    pub(crate) fn new(stream: TlsStream<TcpStream>, peer: Peer, seat: Seat) -> Self {
        let opening = Opening { bytes: PREFACE_BYTES, deadline: Box::pin(sleep(PREFACE_TIMEOUT)) };
        let end = peer.fingerprint.is_none().then(|| Box::pin(sleep(STRANGER_TIMEOUT)));
        Self { stream, peer, _seat: seat, opening: Some(opening), end }
    }
}

impl Connected for Line {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "a stranger's time is over")));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(opening) = &mut self.opening else { return read };
        opening.bytes = opening.bytes.saturating_sub(buf.filled().len().saturating_sub(before));
        if opening.bytes == 0 {
            self.opening = None;
        } else if read.is_pending() && opening.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not begin to speak HTTP/2")));
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
