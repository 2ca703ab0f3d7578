//! Serving: TLS on every connection, mutual but at the door, and bounded in every direction.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use spe_kernel::ids::Digest;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    body::Body,
    codegen::{Service as Called, http},
    transport::Server,
};

use crate::{
    desk::Desk,
    door::Entrance,
    line::Line,
    seats::{Hall, Seats},
    service::{Peer, Service},
    status::chain,
    tls::ServerTls,
};

/// How often a silent peer is asked whether it is there. With [`PING_TIMEOUT`]: a dead one is noticed within 12 seconds.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(4);
/// How long a peer may take to say so.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(8);
/// Strangers that say nothing take every handshake for this long at most.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// Handshakes at the same time; strangers compete for these only.
const HANDSHAKES_MAX: usize = 64;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests of one connection at the same time.
const REQUESTS_MAX: u32 = 32;
/// How long shutting down waits for requests under way.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// How long to wait when the system cannot accept (most often: no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on `address`.
///
/// # Errors
/// Says which address, and what to change.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        let advice = match e.kind() {
            io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher port",
            _ => "choose an address of this machine",
        };
        io::Error::new(e.kind(), format!("cannot listen on {address}: {e}; {advice}"))
    })
}

/// Serves `service` on `listener` until `shutdown`; streams end then, and requests under way get a few seconds.
///
/// # Errors
/// The transport's own.
pub async fn serve<S: Service>(
    listener: TcpListener,
    tls: ServerTls,
    seats: Seats,
    service: Arc<S>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (close, closing) = watch::channel(false);
    let entrance = Entrance::new(Desk { service, closing });
    served(entrance, listener, tls, seats, close, shutdown).await
}

/// The transport, whoever is called through it. `close` becomes true when `shutdown` resolves.
pub(crate) async fn served<C>(
    called: C,
    listener: TcpListener,
    tls: ServerTls,
    seats: Seats,
    close: watch::Sender<bool>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()>
where
    C: Called<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>,
    C: Clone + Send + 'static,
{
    let mut closed = close.subscribe();
    let server = Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_concurrent_streams(REQUESTS_MAX)
        .timeout(REQUEST_TIMEOUT)
        .serve_with_incoming_shutdown(called, lines(listener, tls, seats), async move {
            // An error means that nobody will ever ask to close, because this function is gone.
            let _ = closed.wait_for(|closed| *closed).await;
        });
    let deadline = async {
        shutdown.await;
        close.send_replace(true);
        sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        served = server => served.map_err(|e| io::Error::other(chain(&e))),
        () = deadline => Ok(()),
    }
}

/// Accepts connections, shakes hands side by side, and hands them on with who they proved to be.
fn lines(listener: TcpListener, tls: ServerTls, seats: Seats) -> ReceiverStream<io::Result<Line>> {
    let (ready, lines) = mpsc::channel(HANDSHAKES_MAX);
    let acceptor = TlsAcceptor::from(tls.0);
    let (shaking, hall) = (Arc::new(Semaphore::new(HANDSHAKES_MAX)), Arc::new(Hall::new(seats)));
    tokio::spawn(async move {
        while let Ok(hand) = Arc::clone(&shaking).acquire_owned().await {
            let tcp = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ready.closed() => return,
            };
            let Ok((tcp, from)) = tcp else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (acceptor, hall, ready) = (acceptor.clone(), Arc::clone(&hall), ready.clone());
            tokio::spawn(async move {
                match shake(tcp, acceptor, &hall).await {
                    // The server may be gone by now; so is the need for the line.
                    Ok(line) => drop(ready.send(Ok(line)).await),
                    Err(why) => tracing::info!(%from, "connection refused: {why}"),
                }
                drop(hand);
            });
        }
    });
    ReceiverStream::new(lines)
}

async fn shake(tcp: TcpStream, acceptor: TlsAcceptor, hall: &Arc<Hall>) -> Result<Line, String> {
    tcp.set_nodelay(true).map_err(|e| e.to_string())?;
    let shaken = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await;
    let stream = shaken.map_err(|_| "the handshake took too long")?.map_err(|e| e.to_string())?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = Peer { fingerprint: certificate.map(|certificate| Digest::of(certificate)) };
    // All that come without a certificate share the seats of one member.
    let seat = hall.sit(peer.fingerprint.unwrap_or_else(|| Digest::of(b"")))?;
    Ok(Line::new(stream, peer, seat))
}
