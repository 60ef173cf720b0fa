//! The `otlp` receiver: OTLP over gRPC and HTTP, protobuf and JSON.
//!
//! The bytes of a request go on untouched; here they are only checked, so that a malformed request
//! is refused at the door. The answer waits for the pipeline: its result is the acknowledgement.

mod config;
mod grpc;
mod http;
#[cfg(test)]
mod socket_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
pub use config::{Config, Grpc, Http, Protocols};
use weir_core::telemetry::ReceiverTelemetry;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Fatal, Outputs, Receiver, ReceiverKind, Reference, Reject, Running, Signal,
    Signals, Stability, Stop,
};
use weir_model::{Charge, ClientMetadata, DecodeError, Interner, Logs, Metrics, Traces};
use weir_net::grpc::{GrpcCode, GrpcServer, GrpcStatus};
use weir_net::http::{HttpServer, ServerContext};

/// Registration.
pub struct Kind;

impl ReceiverKind for Kind {
    const TYPE: &'static str = "otlp";
    const STABILITY: Stability = Stability::Stable;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        config.references()
    }

    fn build(config: Config, cx: BuildCtx) -> BoxFut<'static, Result<Box<dyn Receiver>, BuildError>> {
        Box::pin(async move { Ok(Box::new(OtlpReceiver { config, cx }) as Box<dyn Receiver>) })
    }
}

struct OtlpReceiver {
    config: Config,
    cx: BuildCtx,
}

impl OtlpReceiver {
    fn context(&self, auth: Option<&weir_net::http::ServerAuthConfig>) -> Result<ServerContext, Fatal> {
        let id = auth.and_then(|auth| auth.authenticator.as_ref());
        let auth = id.map(|id| self.cx.extensions.server_auth(id)).transpose().map_err(|e| Fatal(e.0))?;
        Ok(ServerContext { auth, ledger: Some(self.cx.ledger.clone()), ..ServerContext::default() })
    }

    fn intake(&self, out: &Outputs, transport: &'static str, include_metadata: bool) -> Intake {
        Intake {
            out: out.clone(),
            interner: self.cx.interner.clone(),
            telemetry: ReceiverTelemetry::new(&self.cx.telemetry, self.cx.id.as_str(), transport),
            include_metadata,
        }
    }
}

impl Receiver for OtlpReceiver {
    fn start(self: Box<Self>, out: Outputs, stop: Stop) -> BoxFut<'static, Result<Running, Fatal>> {
        Box::pin(async move {
            let mut servers: Vec<Running> = Vec::new();
            if let Some(Grpc(config)) = &self.config.protocols.grpc {
                let context = self.context(config.auth.as_ref())?;
                let server = GrpcServer::bind(config, context).map_err(|e| Fatal(e.to_string()))?;
                let handler = Arc::new(grpc::Handler(self.intake(&out, "grpc", config.include_metadata)));
                let stop = stop.clone();
                servers.push(Box::pin(async move {
                    server.serve(handler, stop).await;
                    Ok(())
                }));
            }
            if let Some(config) = &self.config.protocols.http {
                let context = self.context(config.auth.as_ref())?;
                let server = HttpServer::bind(&config.server(), context).map_err(|e| Fatal(e.to_string()))?;
                let intake = self.intake(&out, "http", config.include_metadata);
                let handler = Arc::new(http::Handler::new(intake, config));
                let stop = stop.clone();
                servers.push(Box::pin(async move {
                    server.serve(handler, stop).await.map_err(|e| Fatal(e.to_string()))
                }));
            }
            let running: Running = Box::pin(async move {
                futures_util::future::try_join_all(servers).await.map(drop)
            });
            Ok(running)
        })
    }
}

/// How a request body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

/// What both protocols do with a complete request body.
struct Intake {
    out: Outputs,
    interner: Arc<Interner>,
    telemetry: ReceiverTelemetry,
    include_metadata: bool,
}

impl Intake {
    /// Checks the body and hands it to the pipelines. An empty request is well without them.
    async fn take(
        &self,
        signal: Signal,
        encoding: Encoding,
        body: Bytes,
        charge: Option<Charge>,
        client: Option<ClientMetadata>,
    ) -> Result<(), GrpcStatus> {
        let mut batch = self.decode(signal, encoding, body).map_err(|error| {
            GrpcStatus::new(GrpcCode::InvalidArgument, error.to_string())
        })?;
        let items = batch.len();
        let Some(next) = self.out.get(signal).filter(|_| items > 0) else { return Ok(()) };
        batch.charge = charge.map(Arc::new);
        batch.client = client.map(Arc::new);
        match next.consume(batch).await {
            Ok(()) => {
                self.telemetry.accepted(signal, items);
                // Failed and refused appear as 0 after the first request, as in the reference.
                Ok(())
            }
            Err(reject) => {
                self.telemetry.refused(signal, items);
                Err(status(&reject))
            }
        }
    }

    fn decode(&self, signal: Signal, encoding: Encoding, body: Bytes) -> Result<Batch, DecodeError> {
        let interner = &self.interner;
        Ok(match (signal, encoding) {
            (Signal::Metrics, Encoding::Protobuf) => Batch::metrics(Metrics::from_otlp(body, interner)?),
            (Signal::Traces, Encoding::Protobuf) => Batch::traces(Traces::from_otlp(body, interner)?),
            (Signal::Logs, Encoding::Protobuf) => Batch::logs(Logs::from_otlp(body, interner)?),
            (Signal::Metrics, Encoding::Json) => Batch::metrics(Metrics::from_json(&body, interner)?),
            (Signal::Traces, Encoding::Json) => Batch::traces(Traces::from_json(&body, interner)?),
            (Signal::Logs, Encoding::Json) => Batch::logs(Logs::from_json(&body, interner)?),
        })
    }

    /// The sender's headers, when a component may ask for them.
    fn client(&self, headers: &::http::HeaderMap, peer: Option<std::net::SocketAddr>) -> Option<ClientMetadata> {
        if !self.include_metadata {
            return peer.map(|peer| ClientMetadata { headers: Vec::new(), address: Some(peer) });
        }
        let text = |value: &::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Some(ClientMetadata { headers, address: peer })
    }
}

/// The answer to a refused batch (otlp-and-helpers section 1.3).
fn status(reject: &Reject) -> GrpcStatus {
    let (default, after) = match reject {
        Reject::Retry { after, .. } => (GrpcCode::Unavailable, *after),
        Reject::Permanent(_) | Reject::Partial { .. } => (GrpcCode::Internal, None),
    };
    let code = reject.why().grpc_code.map_or(default, GrpcCode::from_number);
    GrpcStatus::new(code, reject.why().message.clone()).with_retry_after(after)
}
