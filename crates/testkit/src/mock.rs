//! An HTTP server that remembers what it was sent and answers as told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri};
use tokio::sync::Notify;
use weir_core::{BoxFut, Deadline, Stop, Tasks};
use weir_net::NetError;
use weir_net::http::{HttpHandler, HttpRequest, HttpServer, HttpServerConfig, ServerContext};

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, with its content encoding undone, unless the server is [`MockServer::raw`].
    pub body: Bytes,
}

impl Recorded {
    /// A header as text, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }
}

type Answer = Box<dyn Fn(&Recorded) -> Response<Bytes> + Send + Sync>;

struct State {
    answer: Answer,
    requests: Mutex<Vec<Recorded>>,
    arrived: Notify,
}

/// The server; stops when dropped.
pub struct MockServer {
    state: Arc<State>,
    address: SocketAddr,
    stop: Stop,
}

fn lock(requests: &Mutex<Vec<Recorded>>) -> MutexGuard<'_, Vec<Recorded>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MockServer {
    /// Listens on a free port of 127.0.0.1. Call inside a runtime.
    pub fn start(
        answer: impl Fn(&Recorded) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Result<Self, NetError> {
        Self::with(ServerContext::default(), answer)
    }

    /// The same with bodies as they were sent. Call inside a runtime.
    pub fn raw(
        answer: impl Fn(&Recorded) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Result<Self, NetError> {
        let context = ServerContext {
            raw_bodies: true,
            ..ServerContext::default()
        };
        Self::with(context, answer)
    }

    fn with(
        context: ServerContext,
        answer: impl Fn(&Recorded) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Result<Self, NetError> {
        let server = HttpServer::bind(&HttpServerConfig::listening_on("127.0.0.1:0"), context)?;
        let address = server
            .local_addr()
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let state = Arc::new(State {
            answer: Box::new(answer),
            requests: Mutex::default(),
            arrived: Notify::new(),
        });
        let stop = Stop::default();
        let (handler, stopped) = (Arc::new(Handler(state.clone())), stop.clone());
        Tasks::default().spawn("mock server", async move {
            // Fails only on response headers, and there are none.
            drop(server.serve(handler, stopped).await);
        });
        Ok(Self {
            state,
            address,
            stop,
        })
    }

    /// Answers everything with 200 and this body.
    pub fn with_body(body: &'static str) -> Result<Self, NetError> {
        Self::start(move |_| Response::new(Bytes::from_static(body.as_bytes())))
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.state.requests).clone()
    }

    /// Waits until the requests satisfy `done`; the requests, whether they do or the time is over.
    pub async fn wait(&self, limit: Duration, done: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
        let by = Deadline::after(limit);
        loop {
            let arrived = self.state.arrived.notified();
            if done(&lock(&self.state.requests)) || by.is_over() {
                return self.requests();
            }
            drop(tokio::time::timeout_at(by.instant(), arrived).await);
        }
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        self.stop.stop(Deadline::after(Duration::ZERO));
    }
}

struct Handler(Arc<State>);

impl HttpHandler for Handler {
    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        let recorded = Recorded {
            method: request.head.method,
            uri: request.head.uri,
            headers: request.head.headers,
            body: request.body,
        };
        let response = (self.0.answer)(&recorded);
        lock(&self.0.requests).push(recorded);
        self.0.arrived.notify_waiters();
        Box::pin(std::future::ready(response))
    }
}
