//! The made-up service: a page to be scraped, traces over OTLP, a day of 20 seconds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};
use tokio::time::Instant;
use weir_core::{BoxFut, Deadline, Interner, Stop, Tasks};
use weir_model::traces::TracesBuilder;
use weir_model::{Attributes, Resource, Scope};
use weir_net::http::{HttpHandler, HttpRequest, HttpServer, HttpServerConfig, ServerContext};
use weir_net::{HttpClient, HttpClientOptions, NetError};

/// A day of the service.
const DAY: f64 = 20.0;
/// When the incident begins and ends, seconds after the start.
const INCIDENT: std::ops::Range<f64> = 48.0..54.0;
/// How much later the queue grows, seconds.
const PILE_UP: f64 = 2.0;
/// Spans per trace request; one request a second.
const SPANS: usize = 20;

/// What the service measures of itself.
struct State {
    start: Instant,
    requests: AtomicU64,
    noise: Mutex<fastrand::Rng>,
}

impl State {
    fn age(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn in_incident(&self) -> bool {
        INCIDENT.contains(&self.age())
    }

    fn piles_up(&self) -> bool {
        INCIDENT.contains(&(self.age() - PILE_UP))
    }

    /// Between -1 and 1, about normal: the mean of several uniform numbers.
    fn noise(&self) -> f64 {
        let mut rng = self.noise.lock().unwrap_or_else(PoisonError::into_inner);
        (0..6).map(|_| rng.f64() - 0.5).sum::<f64>() / 3.0
    }

    /// Load of the time of day, around 1.
    fn load(&self) -> f64 {
        1.0 + 0.3 * (self.age() / DAY * std::f64::consts::TAU).sin()
    }

    fn page(&self) -> String {
        let load = self.load();
        let trouble = if self.in_incident() { 6.0 } else { 1.0 };
        let latency = (40.0 * load + 3.0 * self.noise()) * trouble;
        // requests pile up a moment after they have become slow
        let behind = if self.piles_up() { 4.0 } else { 1.0 };
        let depth = ((12.0 * load + 1.5 * self.noise()) * behind).max(0.0);
        let more = (50.0 * load + 4.0 * self.noise()).max(0.0) as u64;
        let requests = self.requests.fetch_add(more, Ordering::Relaxed) + more;
        let mut page = String::new();
        for (name, kind, value) in [
            ("checkout_latency_milliseconds", "gauge", latency),
            ("checkout_queue_depth", "gauge", depth),
            ("checkout_requests_total", "counter", requests as f64),
        ] {
            page.push_str(&format!(
                "# TYPE {name} {kind}\n{name}{{service=\"checkout\"}} {value}\n"
            ));
        }
        page
    }
}

struct Page(Arc<State>);

impl HttpHandler for Page {
    fn screen(&self, _: &Parts) -> Option<Response<Bytes>> {
        None
    }

    fn handle(&self, _: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        let mut response = Response::new(Bytes::from(self.0.page()));
        let text = HeaderValue::from_static("text/plain; version=0.0.4");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, text);
        Box::pin(std::future::ready(response))
    }
}

/// The running service.
pub(super) struct Service {
    state: Arc<State>,
    address: SocketAddr,
    otlp: Uri,
    client: HttpClient,
    interner: Interner,
    stop: Stop,
    tasks: Tasks,
}

impl Service {
    /// Opens the page; traces go to the receiver at `otlp`.
    pub(super) fn start(otlp: SocketAddr) -> Result<Self, NetError> {
        let config = HttpServerConfig::listening_on("127.0.0.1:0");
        let server = HttpServer::bind(&config, ServerContext::default())?;
        let address = server.local_addr().unwrap_or(otlp);
        let noise = Mutex::new(fastrand::Rng::with_seed(7));
        let state = Arc::new(State {
            start: Instant::now(),
            requests: AtomicU64::new(0),
            noise,
        });
        let (stop, tasks) = (Stop::default(), Tasks::default());
        let (page, stopped) = (Arc::new(Page(state.clone())), stop.clone());
        tasks.spawn("demo service", async move {
            // Fails only on response headers, and there are none.
            drop(server.serve(page, stopped).await);
        });
        let client = HttpClient::new(HttpClientOptions {
            timeout: Some(Duration::from_secs(2)),
            ..HttpClientOptions::default()
        })?;
        let otlp = Uri::try_from(format!("http://{otlp}/v1/traces")).unwrap_or_default();
        Ok(Self {
            state,
            address,
            otlp,
            client,
            interner: Interner::default(),
            stop,
            tasks,
        })
    }

    /// Where the page is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends traces once a second until dropped; tells when the incident begins and ends.
    pub(super) async fn run(&self, tell: fn(bool)) {
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        let mut before = false;
        loop {
            interval.tick().await;
            let now = self.state.in_incident();
            if now != before {
                tell(now);
                before = now;
            }
            let mut headers = HeaderMap::new();
            let protobuf = HeaderValue::from_static("application/x-protobuf");
            headers.insert(http::header::CONTENT_TYPE, protobuf);
            let sent = self
                .client
                .send(Method::POST, &self.otlp, &headers, self.traces())
                .await;
            if let Err(error) = sent {
                crate::run::say(&format!(
                    "the demo service could not send its traces: {error}"
                ));
            }
        }
    }

    /// One request of spans, encoded as OTLP.
    fn traces(&self) -> Bytes {
        let resource = self.interner.resource(Resource {
            attributes: Attributes::from_iter([("service.name", "checkout")]),
            ..Resource::default()
        });
        let scope = self.interner.scope(Scope {
            name: "demo".into(),
            ..Scope::default()
        });
        let mut builder = TracesBuilder::default();
        let mut rng = self
            .state
            .noise
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for _ in 0..SPANS {
            let mut span = builder.push(&resource, &scope);
            span.set_name("POST /checkout");
            span.set_kind(2);
            span.set_ids(
                &rng.u128(1..).to_be_bytes(),
                &rng.u64(1..).to_be_bytes(),
                &[],
            );
        }
        let mut out = Vec::new();
        builder.finish().encode_otlp(&mut out);
        out.into()
    }

    /// Closes the page.
    pub(super) async fn stop(&self) {
        let by = Deadline::after(Duration::from_secs(1));
        self.stop.stop(by);
        self.tasks.finished(by).await;
    }
}
