#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;

use bytes::Bytes;
use weir_core::{ComponentId, ComponentKind, Deadline, Stop};
use weir_model::{Interner, Traces};
use weir_net::grpc::{
    GrpcCode, GrpcHandler, GrpcRequest, GrpcServer, GrpcServerConfig, GrpcStatus,
};
use weir_net::http::ServerContext;

use super::*;

/// Keeps what it gets and answers as told.
#[derive(Default)]
struct Service {
    got: Mutex<Vec<(String, Bytes, HeaderMap)>>,
    refuse: Option<GrpcStatus>,
}

impl GrpcHandler for Service {
    fn serves(&self, _: &str) -> bool {
        true
    }

    fn call(&self, request: GrpcRequest) -> BoxFut<'_, Result<Bytes, GrpcStatus>> {
        let path = request.uri.path().to_owned();
        self.got.lock().unwrap().push((path, request.message, request.headers));
        let answer = self.refuse.clone().map_or(Ok(Bytes::new()), Err);
        Box::pin(std::future::ready(answer))
    }
}

fn config(endpoint: String) -> Config {
    let tls = weir_net::tls::TlsClientConfig { insecure: true, ..Default::default() };
    Config { endpoint, tls, ..Config::default() }
}

fn context() -> BuildCtx {
    let id = ComponentId::parse("otlp_grpc").unwrap();
    BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Traces))
}

fn batch(bytes: &Bytes) -> Batch {
    let interner = Arc::new(Interner::default());
    Batch::traces(Traces::from_otlp(bytes.clone(), &interner).unwrap())
}

/// A request with one span and a field that this program does not know.
fn request() -> Bytes {
    let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"s"}]}]}]}"#;
    let interner = Arc::new(Interner::default());
    let mut bytes = Vec::new();
    Batch::traces(Traces::from_json(json, &interner).unwrap()).encode_otlp(&mut bytes);
    bytes.extend([0xa0, 0x06, 0x01]);
    bytes.into()
}

async fn export(service: Service) -> (Result<(), Reject>, Arc<Service>, Bytes) {
    let server = GrpcServerConfig { endpoint: "127.0.0.1:0".to_owned(), ..Default::default() };
    let server = GrpcServer::bind(&server, ServerContext::default()).unwrap();
    let address = server.local_addr().unwrap().to_string();
    let (service, stop, bytes) = (Arc::new(service), Stop::default(), request());
    let exporter = OtlpGrpc::new(&config(address), &context()).unwrap();
    let mut batch = batch(&bytes);
    let sending = async {
        let result = exporter.export(&mut batch).await;
        stop.stop(Deadline::after(Duration::ZERO));
        result
    };
    let (result, _stopped) = tokio::join!(sending, server.serve(service.clone(), stop.clone()));
    (result, service, bytes)
}

#[tokio::test]
async fn untouched_bytes_arrive_as_they_came_in_with_the_program_named() {
    let (result, service, bytes) = export(Service::default()).await;
    assert_eq!(result, Ok(()));
    let got = service.got.lock().unwrap();
    let (path, message, headers) = got.first().unwrap();
    assert_eq!(path, method(Signal::Traces));
    assert_eq!(message, &bytes);
    assert_eq!(headers.get("grpc-encoding").unwrap(), "gzip");
    assert!(headers.get("user-agent").unwrap().to_str().unwrap().starts_with("weir/"));
}

#[tokio::test]
async fn a_status_comes_back_with_its_code_and_its_wait() {
    let status = GrpcStatus::new(GrpcCode::ResourceExhausted, "slow down")
        .with_retry_after(Some(Duration::from_secs(2)));
    let service = Service { refuse: Some(status), ..Service::default() };
    let (result, _, _) = export(service).await;
    let Err(Reject::Retry { after, why }) = result else { panic!("{result:?}") };
    assert_eq!((after, why.grpc_code), (Some(Duration::from_secs(2)), Some(8)));
    assert!(why.message.contains("slow down"), "{why}");
}
