//! The `pprof` extension: the address of the reference's profile pages (otlp-and-helpers section 7.3).
//!
//! There is no Go runtime here to be profiled: the index says so, points to what there is, and every
//! profile is answered with 501, so that a tool does not take a notice for a profile.

mod config;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use config::{Config, Dialer};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use weir_core::{
    BoxFut, BuildCtx, BuildError, Deadline, Extension, ExtensionKind, Fatal, Reference, Stability, Stop,
};
use weir_net::http::{HttpHandler, HttpRequest, HttpServer, ServerContext};

/// Where the pages of the reference stand.
const ROOT: &str = "/debug/pprof";

/// Registration.
pub struct Kind;

impl ExtensionKind for Kind {
    const TYPE: &'static str = "pprof";
    const STABILITY: Stability = Stability::Beta;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        vec![Reference::Listen { address: config.endpoint.clone(), key: "endpoint" }]
    }

    fn build(config: Config, cx: BuildCtx) -> BoxFut<'static, Result<Arc<dyn Extension>, BuildError>> {
        Box::pin(async move {
            Ok(Arc::new(Pprof { config, cx, stop: Stop::default() }) as Arc<dyn Extension>)
        })
    }
}

struct Pprof {
    config: Config,
    cx: BuildCtx,
    stop: Stop,
}

impl Extension for Pprof {
    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async move {
            let server = HttpServer::bind(&self.config.server(), ServerContext::default())
                .map_err(|error| Fatal(error.to_string()))?;
            let pages = Arc::new(Pages { cx: self.cx.clone() });
            let stop = self.stop.clone();
            self.cx.tasks.spawn(&format!("extension {}", self.cx.id), async move {
                if let Err(error) = server.serve(pages, stop).await {
                    tracing::error!("otelcol.component.id" = "pprof", "the profile page ended: {error}");
                }
            });
            Ok(())
        })
    }

    fn stop(&self, by: Deadline) -> BoxFut<'_, ()> {
        self.stop.stop(by.min(Deadline::after(Duration::from_millis(500))));
        Box::pin(std::future::ready(()))
    }
}

struct Pages {
    cx: BuildCtx,
}

impl Pages {
    fn answer(&self, path: &str) -> Response<Bytes> {
        let (status, text) = match path.strip_prefix(ROOT) {
            Some("" | "/") => (StatusCode::OK, self.index()),
            Some("/metrics") => (StatusCode::OK, self.cx.telemetry.encode()),
            Some(profile) if profile.starts_with('/') => (
                StatusCode::NOT_IMPLEMENTED,
                format!("{} takes no profiles; see {ROOT}/ for what there is\n", self.cx.build_info.name),
            ),
            _ => (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        };
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response
    }

    fn index(&self) -> String {
        let program = &self.cx.build_info;
        format!(
            "{} {}\n\n\
             There is no Go runtime in this program, so there are no profiles of one: heap, goroutine, profile,\n\
             trace and the others answer 501.\n\n\
             {ROOT}/metrics  own metrics: memory, CPU time, what passed, queues, drops\n",
            program.name, program.version
        )
    }
}

impl HttpHandler for Pages {
    fn screen(&self, head: &Parts) -> Option<Response<Bytes>> {
        Some(self.answer(head.uri.path()))
    }

    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        drop(request);
        // Everything is answered before a body is read.
        Box::pin(async { self.answer("") })
    }
}
