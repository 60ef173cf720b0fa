//! The three export services of OTLP/gRPC.

use bytes::Bytes;
use weir_core::{BoxFut, Signal};
use weir_net::grpc::{GrpcHandler, GrpcRequest, GrpcStatus};

use super::{Encoding, Intake};

pub(super) struct Handler(pub(super) Intake);

/// The signal of an export method.
fn signal(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        _ => None,
    }
}

impl GrpcHandler for Handler {
    fn serves(&self, path: &str) -> bool {
        signal(path).is_some_and(|signal| self.0.out.get(signal).is_some())
    }

    fn call(&self, request: GrpcRequest) -> BoxFut<'_, Result<Bytes, GrpcStatus>> {
        Box::pin(async move {
            // `serves` was asked before; an unknown path cannot come here.
            let signal = signal(request.uri.path()).unwrap_or(Signal::Traces);
            let client = self.0.client(&request.headers, request.peer);
            self.0.take(signal, Encoding::Protobuf, request.message, request.charge, client).await?;
            // An export response without partial success is the empty message.
            Ok(Bytes::new())
        })
    }
}
