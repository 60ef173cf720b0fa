//! What HTTP and gRPC servers share: accepting connections under a cap, TLS, time limits for idle
//! and stalled connections, and an end in bounded time.

mod body;
mod connection;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;
use weir_core::{BoxFut, Stop};

pub use body::BodyError;
pub(crate) use body::{BodyReader, Reply};
pub(crate) use connection::UnderWay;
use connection::{Activity, Watched, supervise};

use crate::address::Listener;
use crate::delegate::delegate_io;

/// Default number of connections a listener holds at a time; more are closed at once.
pub const DEFAULT_MAX_CONNECTIONS: usize = 8192;
/// A TLS handshake, or the start of HTTP/2, takes no longer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait after an accept that failed for lack of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Flow control per stream. The standard's 64 KiB would make a request of the usual size wait for
/// a round trip; *measured*: 45 to 20 microseconds per request of 114 kB.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Larger frames than the standard's 16 KiB: fewer reads, and often no copy of the message.
const FRAME_SIZE: u32 = 256 << 10;
const MAX_HEADER_LIST: u32 = 64 << 10;
/// HTTP/2 streams at a time on one connection, where the configuration says "no limit".
const MAX_STREAMS: u32 = 1024;

/// Time limits of connections. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// From the first byte of a request to the end of its headers (HTTP/1).
    pub header: Option<Duration>,
    /// Without a request under way.
    pub idle: Option<Duration>,
    /// With an answer the client does not read.
    pub write: Option<Duration>,
    /// Whole body of a request.
    pub body: Option<Duration>,
    /// After this age the client is asked to reconnect.
    pub age: Option<Duration>,
    /// What requests under way get after that.
    pub age_grace: Option<Duration>,
    /// Connections at a time.
    pub max_connections: usize,
}

impl Default for ConnectionLimits {
    /// Stalled clients are cut off, idle ones are left alone.
    fn default() -> Self {
        ConnectionLimits {
            header: Some(Duration::from_secs(10)),
            idle: None,
            write: Some(Duration::from_secs(60)),
            body: Some(Duration::from_secs(60)),
            age: None,
            age_grace: None,
            max_connections: DEFAULT_MAX_CONNECTIONS,
        }
    }
}

/// Which protocol a listener speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    /// HTTP/1.1, and HTTP/2 where TLS negotiates it.
    Http {
        /// Whether connections are kept for further requests.
        keep_alive: bool,
    },
    /// HTTP/2 from the first byte.
    Http2(Http2Settings),
}

/// Settings of HTTP/2 connections. `None` is the default of this module, or off.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Http2Settings {
    pub(crate) max_streams: Option<u32>,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) ping_timeout: Option<Duration>,
}

/// Answers the requests of a listener.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Answers a request from an address; `under_way` goes with the request.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        address: Option<SocketAddr>,
        under_way: UnderWay,
    ) -> Answer;
}

/// An answer to come.
pub(crate) type Answer = BoxFut<'static, Result<Response<Reply>, Infallible>>;

/// One connection's requests. One type for all servers and streams, so that HTTP/1 and HTTP/2 are each compiled
/// once.
struct OneConnection {
    serve: Arc<dyn Serve>,
    address: Option<SocketAddr>,
    activity: Arc<Activity>,
}

impl Service<Request<Incoming>> for OneConnection {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let under_way = self.activity.begin();
        self.serve.clone().answer(request, self.address, under_way)
    }
}

/// A listener and how its connections are handled.
pub(crate) struct Acceptor {
    pub(crate) listener: Listener,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) protocol: Protocol,
    pub(crate) limits: ConnectionLimits,
}

struct Shared {
    serve: Arc<dyn Serve>,
    tls: Option<TlsAcceptor>,
    protocol: Protocol,
    limits: ConnectionLimits,
    streams: TaskTracker,
    stop: Stop,
}

impl Acceptor {
    /// Serves until `stop`, then lets requests under way finish within its deadline.
    pub(crate) async fn run(self, serve: Arc<dyn Serve>, stop: Stop) {
        let Acceptor {
            listener,
            tls,
            protocol,
            limits,
        } = self;
        let room = Arc::new(Semaphore::new(
            limits.max_connections.min(Semaphore::MAX_PERMITS),
        ));
        let shared = Arc::new(Shared {
            serve,
            tls: tls.map(TlsAcceptor::from),
            protocol,
            limits,
            streams: TaskTracker::new(),
            stop: stop.clone(),
        });
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.stopped() => break,
                accepted = accept(&listener) => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, address)) => match room.clone().try_acquire_owned() {
                    Ok(permit) => {
                        connections.spawn(one(shared.clone(), stream, address, permit));
                    }
                    Err(_) => refuse(&stream, &shared),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        shared.streams.close();
        let by = stop.deadline().instant();
        let drained = async {
            while connections.join_next().await.is_some() {}
            shared.streams.wait().await;
        };
        if tokio::time::timeout_at(by, drained).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "connections were closed because their requests did not finish in time"
            );
        }
        // Dropping the set aborts what is left.
    }
}

/// Either kind of accepted stream.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

delegate_io!(Stream: Tcp, Unix);

/// An accepted stream, plain or under TLS.
enum Secured {
    Plain(Stream),
    Tls(Box<TlsStream<Stream>>),
}

delegate_io!(Secured: Plain, Tls);

async fn accept(listener: &Listener) -> std::io::Result<(Stream, Option<SocketAddr>)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            Ok((Stream::Tcp(stream), Some(address)))
        }
        Listener::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
    }
}

/// Says why, where a few bytes can say it, and closes.
fn refuse(stream: &Stream, shared: &Shared) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
        Connection: close\r\nContent-Length: 0\r\n\r\n";
    tracing::debug!(
        limit = shared.limits.max_connections,
        "too many connections, one is closed"
    );
    if let (Protocol::Http { .. }, None, Stream::Tcp(stream)) =
        (shared.protocol, &shared.tls, stream)
    {
        // What does not fit is left out: the connection is closed either way.
        let _said = stream.try_write(BUSY);
    }
}

async fn one(
    shared: Arc<Shared>,
    stream: Stream,
    address: Option<SocketAddr>,
    _permit: OwnedSemaphorePermit,
) {
    if let Stream::Tcp(stream) = &stream {
        // A connection that is gone already shows at the first read.
        let _unset = stream.set_nodelay(true);
        let _unset = socket2::SockRef::from(stream).set_keepalive(true);
    }
    let Some(tls) = &shared.tls else {
        let http2 = matches!(shared.protocol, Protocol::Http2(_));
        return spoken(shared, Secured::Plain(stream), address, http2).await;
    };
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
    let stream = tokio::select! {
        result = handshake => match result {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, peer = ?address, "TLS handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!(peer = ?address, "TLS handshake took too long");
                return;
            }
        },
        () = shared.stop.stopped() => return,
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2")
        || matches!(shared.protocol, Protocol::Http2(_));
    spoken(shared, Secured::Tls(Box::new(stream)), address, http2).await;
}

async fn spoken(shared: Arc<Shared>, stream: Secured, address: Option<SocketAddr>, http2: bool) {
    let activity = Arc::new(Activity::new(http2));
    let service = OneConnection {
        serve: shared.serve.clone(),
        address,
        activity: activity.clone(),
    };
    let io = TokioIo::new(Watched::new(stream, activity.clone()));
    let result = if http2 {
        let settings = match shared.protocol {
            Protocol::Http2(settings) => settings,
            Protocol::Http { .. } => Http2Settings::default(),
        };
        let connection = http2_builder(&shared.streams, settings).serve_connection(io, service);
        supervise(connection, &activity, &shared.limits, &shared.stop).await
    } else {
        let keep_alive = match shared.protocol {
            Protocol::Http { keep_alive } => keep_alive,
            Protocol::Http2(_) => true,
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .keep_alive(keep_alive)
            .serve_connection(io, service);
        supervise(connection, &activity, &shared.limits, &shared.stop).await
    };
    if let Err(why) = result {
        tracing::debug!(%why, peer = ?address, "connection ended");
    }
}

fn http2_builder(
    streams: &TaskTracker,
    settings: Http2Settings,
) -> hyper::server::conn::http2::Builder<OnTracker> {
    let mut builder = hyper::server::conn::http2::Builder::new(OnTracker(streams.clone()));
    builder
        .timer(hyper_util::rt::TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_concurrent_streams(settings.max_streams.unwrap_or(MAX_STREAMS))
        .keep_alive_interval(settings.ping_interval);
    if let Some(timeout) = settings.ping_timeout {
        builder.keep_alive_timeout(timeout);
    }
    builder
}

/// Runs HTTP/2 streams as tasks that the server waits for.
#[derive(Clone)]
struct OnTracker(TaskTracker);

impl<F> hyper::rt::Executor<F> for OnTracker
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, work: F) {
        self.0.spawn(work);
    }
}
