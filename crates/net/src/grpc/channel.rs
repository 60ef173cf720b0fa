//! The connections of a gRPC client: opened when first needed, kept open, all addresses of the name
//! in turn.
//!
//! One task per client resolves and connects; calls look at what it has published and never
//! connect themselves, so a slow connect is not given up with the call that asked for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::message::Message;
use super::target::Target;
use crate::client::connect::{self, Connection, TlsSettings};
use crate::client::proxy::ProxyRules;
use crate::error::{NetError, chain, describe};

/// Waits between failed attempts: from, factor, to. Shorter at the end than the 120 s of other
/// libraries, because calls fail at once in between.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Connections of one client at most.
const MAX_ADDRESSES: usize = 64;
/// After a connection was lost while others live, the name is resolved again, but not more often.
const REFRESH: Duration = Duration::from_secs(5);
const STREAM_WINDOW: u32 = 1 << 20;
/// Answers are small; a peer that floods is cut off by this window.
const CONNECTION_WINDOW: u32 = 2 << 20;

/// How to reach the server.
pub(super) struct Route {
    pub(super) target: Target,
    pub(super) tls: Option<TlsSettings>,
    pub(super) proxy: ProxyRules,
    pub(super) all_addresses: bool,
    pub(super) ping_interval: Option<Duration>,
    pub(super) ping_timeout: Option<Duration>,
    pub(super) ping_idle: bool,
}

#[derive(Clone)]
struct Link {
    /// `None` behind a proxy and on a Unix socket.
    address: Option<SocketAddr>,
    sender: SendRequest<Message>,
}

#[derive(Clone)]
enum State {
    /// Nothing yet, or an attempt is under way.
    Connecting,
    Ready(Arc<[Link]>),
    Failed(NetError),
}

/// The connections.
pub(super) struct Channel {
    state: watch::Receiver<State>,
    wanted: Arc<Notify>,
    next: AtomicUsize,
    wait_for_ready: bool,
    _end: DropGuard,
}

impl Channel {
    /// Needs a tokio runtime: it starts the task, which connects when first asked.
    pub(super) fn new(route: Route, wait_for_ready: bool) -> Self {
        let (publish, state) = watch::channel(State::Connecting);
        let wanted = Arc::new(Notify::new());
        let end = CancellationToken::new();
        let tasks = TaskTracker::new();
        let keeper = Keeper {
            route,
            publish,
            wanted: wanted.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(end.clone().run_until_cancelled_owned(keeper.run()));
        let end = end.drop_guard();
        Channel {
            state,
            wanted,
            next: AtomicUsize::new(0),
            wait_for_ready,
            _end: end,
        }
    }

    /// Asks for a connection without waiting for it.
    pub(super) fn connect(&self) {
        self.wanted.notify_one();
    }

    /// Sends a request over one of the connections.
    pub(super) async fn send(
        &self,
        request: Request<Message>,
    ) -> Result<Response<Incoming>, NetError> {
        let mut state = self.state.clone();
        loop {
            let seen = state.borrow_and_update().clone();
            match seen {
                State::Ready(links) => {
                    if let Some(mut sender) = self.pick(&links) {
                        return sender.send_request(request).await.map_err(|e| {
                            NetError::Transport {
                                peer: String::new(),
                                why: chain(&e),
                            }
                        });
                    }
                }
                State::Failed(error) if !self.wait_for_ready => return Err(error),
                State::Failed(_) | State::Connecting => {}
            }
            self.wanted.notify_one();
            if state.changed().await.is_err() {
                let why = "the client is closed".to_owned();
                return Err(NetError::Transport {
                    peer: String::new(),
                    why,
                });
            }
        }
    }

    fn pick(&self, links: &[Link]) -> Option<SendRequest<Message>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let order = (0..links.len()).map(|i| (start.wrapping_add(i)) % links.len().max(1));
        let alive = |link: &&Link| !link.sender.is_closed();
        order
            .filter_map(|i| links.get(i))
            .find(alive)
            .map(|link| link.sender.clone())
    }
}

/// Resolves, connects, publishes.
struct Keeper {
    route: Route,
    publish: watch::Sender<State>,
    wanted: Arc<Notify>,
    tasks: TaskTracker,
}

impl Keeper {
    async fn run(self) {
        let mut wait = FIRST_WAIT;
        // With connections alive, no attempt before `not_before`; one is owed at `due`.
        let mut not_before = Instant::now();
        let mut due = None;
        loop {
            tokio::select! {
                () = self.wanted.notified() => {}
                () = at(due) => {}
            }
            let alive = self.alive();
            if alive.is_empty() {
                self.publish.send_replace(State::Connecting);
            } else if Instant::now() < not_before {
                due = Some(not_before);
                continue;
            }
            due = None;
            let result = self.open(&alive).await;
            not_before = Instant::now() + REFRESH;
            match result {
                Ok(links) => {
                    wait = FIRST_WAIT;
                    self.publish.send_replace(State::Ready(links.into()));
                }
                Err(error) if alive.is_empty() => {
                    tracing::debug!(%error, "no connection; trying again");
                    self.publish.send_replace(State::Failed(error));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 8 / 5).min(MAX_WAIT);
                    // Without anybody waiting: the next call should find a connection.
                    self.wanted.notify_one();
                }
                Err(error) => tracing::debug!(%error, "no further connection"),
            }
        }
    }

    fn alive(&self) -> Vec<Link> {
        match &*self.publish.borrow() {
            State::Ready(links) => links
                .iter()
                .filter(|link| !link.sender.is_closed())
                .cloned()
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Connections to all addresses, those in `alive` among them; at least one.
    async fn open(&self, alive: &[Link]) -> Result<Vec<Link>, NetError> {
        if alive.iter().any(|link| link.address.is_none()) {
            return Ok(alive.to_vec());
        }
        let (host, port) = match &self.route.target {
            Target::Unix(path) => {
                let stream =
                    tokio::net::UnixStream::connect(path)
                        .await
                        .map_err(|e| NetError::Connect {
                            peer: path.clone(),
                            why: describe(&e),
                        })?;
                return Ok(vec![self.link(None, Connection::Unix(stream)).await?]);
            }
            Target::Tcp { host, port } => (host.as_str(), *port),
        };
        let tls = self.route.tls.as_ref();
        // Only the HTTPS rule of the environment applies to gRPC, as in its own libraries.
        let uri = format!("https://{}", self.route.target.authority()).parse();
        if let Some(proxy) = uri.ok().and_then(|uri| self.route.proxy.find(&uri)) {
            let connection = connect::connect(host, port, Some(&proxy), tls).await?;
            return Ok(vec![self.link(None, connection).await?]);
        }
        if !self.route.all_addresses {
            let connection = connect::connect(host, port, None, tls).await?;
            return Ok(vec![self.link(None, connection).await?]);
        }
        self.open_each(alive, host, port).await
    }

    async fn open_each(
        &self,
        alive: &[Link],
        host: &str,
        port: u16,
    ) -> Result<Vec<Link>, NetError> {
        let mut addresses = connect::resolve(host, port).await?;
        addresses.truncate(MAX_ADDRESSES);
        let attempts = addresses.into_iter().map(|address| async move {
            match alive.iter().find(|link| link.address == Some(address)) {
                Some(link) => Ok(link.clone()),
                None => self.open_one(host, port, address).await,
            }
        });
        let results = futures_util::future::join_all(attempts).await;
        let mut last = None;
        let mut links = Vec::new();
        for result in results {
            match result {
                Ok(link) => links.push(link),
                Err(error) => last = Some(error),
            }
        }
        match (links.is_empty(), last) {
            (true, Some(error)) => Err(error),
            _ => Ok(links),
        }
    }

    async fn open_one(&self, host: &str, port: u16, address: SocketAddr) -> Result<Link, NetError> {
        let peer = format!("{host}:{port}");
        let failed = |why| NetError::Connect {
            peer: peer.clone(),
            why,
        };
        let stream = tokio::time::timeout(Duration::from_secs(20), connect::tcp_address(address))
            .await
            .map_err(|_| failed(format!("{address} does not answer")))?
            .map_err(|e| failed(describe(&e)))?;
        let connection = match &self.route.tls {
            None => Connection::Tcp(stream),
            Some(tls) => tls.secure(stream, host, &peer).await?,
        };
        self.link(Some(address), connection).await
    }

    async fn link(
        &self,
        address: Option<SocketAddr>,
        connection: Connection,
    ) -> Result<Link, NetError> {
        let peer = self.route.target.authority();
        if matches!(connection, Connection::Tls(_)) && !connection.is_http2() {
            let why = "the server does not offer HTTP/2 (ALPN h2), which gRPC needs".to_owned();
            return Err(NetError::Tls { peer, why });
        }
        let mut builder = Builder::new(OnTracker(self.tasks.clone()));
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(self.route.ping_interval)
            .keep_alive_while_idle(self.route.ping_idle);
        if let Some(timeout) = self.route.ping_timeout {
            builder.keep_alive_timeout(timeout);
        }
        let (sender, driver) = builder
            .handshake(TokioIo::new(connection))
            .await
            .map_err(|e| NetError::Transport {
                peer,
                why: chain(&e),
            })?;
        let wanted = self.wanted.clone();
        self.tasks.spawn(async move {
            // Why it ended is told to the calls that were under way. It ends with the last sender.
            let _ended = driver.await;
            wanted.notify_one();
        });
        Ok(Link { address, sender })
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Runs the pieces of a connection as tasks that end with it.
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
