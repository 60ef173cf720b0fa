//! The page of own metrics, `localhost:8888/metrics` by default.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use weir_core::{BoxFut, Deadline, Stop, Tasks, Telemetry};
use weir_net::http::{HttpHandler, HttpRequest, HttpServer, HttpServerConfig, ServerContext};
use weir_runtime::{Environment, MetricsTelemetry};

/// The running servers of the page.
#[derive(Default)]
pub struct MetricsPage {
    stop: Stop,
    tasks: Tasks,
}

impl MetricsPage {
    /// Opens the page on every configured address; none at level `none`.
    pub async fn start(
        settings: &MetricsTelemetry,
        environment: &Environment,
    ) -> Result<Self, String> {
        let page = MetricsPage::default();
        for address in settings.pages() {
            let config = HttpServerConfig::listening_on(&address);
            let server = HttpServer::bind(&config, ServerContext::default()).map_err(|e| {
                format!("the page of own metrics (service.telemetry.metrics) cannot be served: {e}")
            })?;
            let handler = Arc::new(Page(environment.telemetry.clone()));
            let stop = page.stop.clone();
            page.tasks.spawn("metrics page", async move {
                // Fails only on response headers, and there are none.
                drop(server.serve(handler, stop).await);
            });
        }
        Ok(page)
    }

    /// Closes the page.
    pub async fn stop(&self) {
        let by = Deadline::after(Duration::from_secs(1));
        self.stop.stop(by);
        self.tasks.finished(by).await;
    }
}

struct Page(Arc<Telemetry>);

impl HttpHandler for Page {
    fn screen(&self, head: &Parts) -> Option<Response<Bytes>> {
        if head.uri.path() == "/metrics" {
            return None;
        }
        let mut response = Response::new(Bytes::from_static(b"404 page not found\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Some(response)
    }

    fn handle(&self, _: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        let mut response = Response::new(Bytes::from(self.0.encode()));
        let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        Box::pin(std::future::ready(response))
    }
}
