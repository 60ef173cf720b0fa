//! The `otlp_grpc` exporter (formerly `otlp`): OTLP over gRPC.
//!
//! A batch that nobody changed goes out as the bytes it came in as.

mod config;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use config::Config;
use http::HeaderMap;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Exporter, ExporterKind, Fatal, Reference, Reject, Signal,
    Signals, Stability, Stage,
};
use weir_net::ClientContext;
use weir_net::grpc::GrpcClient;
use weir_sending::{SendingSettings, TimeoutSettings};

use crate::otlp_answer::{PartialSuccess, pieces, reject};

/// Registration.
pub struct Kind;

impl ExporterKind for Kind {
    const TYPE: &'static str = "otlp_grpc";
    const ALIASES: &'static [&'static str] = &["otlp"];
    const STABILITY: Stability = Stability::Stable;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        let id = config.auth.as_ref().and_then(|auth| auth.authenticator.clone());
        id.map(|id| Reference::Extension { id, role: "authenticator", key: "auth.authenticator" })
            .into_iter()
            .collect()
    }

    fn build(config: Config, cx: BuildCtx) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>> {
        Box::pin(async move {
            let exporter = OtlpGrpc::new(&config, &cx)?;
            // The client keeps the time itself: it tells the server how long it has.
            let mut sending = SendingSettings::new(
                TimeoutSettings(weir_config::Duration::ZERO),
                config.retry_on_failure,
                config.sending_queue,
            );
            if let Some((host, port)) = exporter.client.peer().rsplit_once(':') {
                sending.labels.push(("server_address", host.to_owned()));
                sending.labels.push(("server_port", port.to_owned()));
            }
            Ok(weir_sending::wrap(Arc::new(exporter), &sending, &cx))
        })
    }
}

struct OtlpGrpc {
    id: String,
    client: GrpcClient,
    timeout: Option<Duration>,
    no_metadata: HeaderMap,
}

impl OtlpGrpc {
    fn new(config: &Config, cx: &BuildCtx) -> Result<Self, BuildError> {
        let auth = config.auth.as_ref().and_then(|auth| auth.authenticator.as_ref());
        let context = ClientContext {
            auth: auth.map(|id| cx.extensions.client_auth(id)).transpose()?,
            user_agent: cx.build_info.user_agent(),
        };
        let client = GrpcClient::new(&config.client(), context)
            .map_err(|error| BuildError(error.to_string()))?;
        Ok(Self {
            id: cx.id.to_string(),
            client,
            timeout: config.timeout.limit(),
            no_metadata: HeaderMap::new(),
        })
    }
}

fn method(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

impl Exporter for OtlpGrpc {
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>> {
        Box::pin(async move {
            let signal = batch.signal();
            let call =
                self.client.unary(method(signal), pieces(batch), &self.no_metadata, self.timeout);
            let answer = call.await.map_err(|status| reject(&status))?;
            PartialSuccess::from_proto(&answer).warn(&self.id, signal);
            Ok(())
        })
    }

    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        self.client.connect();
        Box::pin(async { Ok(()) })
    }
}
