//! The `health_check` extension: 200 while the pipelines run, 503 before and after
//! (otlp-and-helpers section 7.1).

mod config;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
pub use config::{CheckPipeline, Config, ResponseBody};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use weir_core::{
    BoxFut, BuildCtx, BuildError, Clock, Deadline, Extension, ExtensionKind, Fatal, Reference, Stability, Stop,
};
use weir_net::http::{HttpHandler, HttpRequest, HttpServer, ServerContext};

/// Registration.
pub struct Kind;

impl ExtensionKind for Kind {
    const TYPE: &'static str = "health_check";
    const STABILITY: Stability = Stability::Beta;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        vec![Reference::Listen { address: config.endpoint.clone(), key: "endpoint" }]
    }

    fn build(config: Config, cx: BuildCtx) -> BoxFut<'static, Result<Arc<dyn Extension>, BuildError>> {
        Box::pin(async move {
            let state = Arc::new(State {
                ready: AtomicBool::new(false),
                since: Mutex::new((Duration::ZERO, 0)),
                clock: cx.clock.clone(),
                config,
            });
            Ok(Arc::new(HealthCheck { state, cx, stop: Stop::default() }) as Arc<dyn Extension>)
        })
    }
}

struct HealthCheck {
    state: Arc<State>,
    cx: BuildCtx,
    stop: Stop,
}

struct State {
    ready: AtomicBool,
    /// When it became ready: monotonic, and wall clock in Unix milliseconds.
    since: Mutex<(Duration, u64)>,
    clock: Arc<dyn Clock>,
    config: Config,
}

impl Extension for HealthCheck {
    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async move {
            let server = HttpServer::bind(&self.state.config.server(), ServerContext::default())
                .map_err(|e| Fatal(e.to_string()))?;
            let (state, stop) = (self.state.clone(), self.stop.clone());
            self.cx.tasks.spawn(&format!("extension {}", self.cx.id), async move {
                if let Err(error) = server.serve(state, stop).await {
                    tracing::error!("otelcol.component.id" = "health_check", "the health page ended: {error}");
                }
            });
            Ok(())
        })
    }

    fn ready(&self) {
        let clock = &self.state.clock;
        *self.state.since.lock().unwrap_or_else(PoisonError::into_inner) = (clock.monotonic(), clock.unix_ms());
        self.state.ready.store(true, Ordering::Release);
    }

    fn not_ready(&self) {
        self.state.ready.store(false, Ordering::Release);
    }

    fn stop(&self, by: Deadline) -> BoxFut<'_, ()> {
        // The page has nothing to finish: an open probe must not hold the program.
        self.stop.stop(by.min(Deadline::after(Duration::from_millis(500))));
        Box::pin(std::future::ready(()))
    }
}

impl State {
    fn answer(&self) -> Response<Bytes> {
        let ready = self.ready.load(Ordering::Acquire);
        let body = match (&self.config.response_body, ready) {
            (Some(body), true) => body.healthy.clone(),
            (Some(body), false) => body.unhealthy.clone(),
            (None, true) => {
                let (since, unix_ms) = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
                let uptime = self.clock.monotonic().saturating_sub(since);
                let uptime = weir_config::Duration::from_nanos(i64::try_from(uptime.as_nanos()).unwrap_or(i64::MAX));
                let since = weir_core::clock::rfc3339_millis(unix_ms);
                format!("{{\"status\":\"Server available\",\"upSince\":\"{since}\",\"uptime\":\"{uptime}\"}}")
            }
            (None, false) => {
                r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#.to_owned()
            }
        };
        let mut response = Response::new(Bytes::from(body));
        if !ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if self.config.response_body.is_none() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }
}

impl HttpHandler for State {
    fn screen(&self, head: &Parts) -> Option<Response<Bytes>> {
        if self.config.serves(head.uri.path()) {
            return Some(self.answer());
        }
        let mut response = Response::new(Bytes::from_static(b"404 page not found\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Some(response)
    }

    fn handle(&self, _: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        Box::pin(std::future::ready(self.answer()))
    }
}
