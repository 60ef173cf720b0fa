#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
//! The whole receiver over real sockets: what only shows with listeners, limits and pipelines.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use weir_config::{Errors, Validate};
use weir_core::{ComponentId, ComponentKind, Consumer, Deadline};
use weir_net::grpc::{GrpcClient, GrpcClientConfig, GrpcServerConfig};
use weir_net::tls::TlsClientConfig;
use weir_net::{ClientContext, HttpClient, HttpClientOptions, HttpResponse};

use super::*;

const EXPORT_METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const EXPORT_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const EXPORT_LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// A gauge `g` with one point, as an export request.
const POINT: &[u8] =
    b"\x0a\x19\x12\x17\x12\x15\x0a\x01g\x2a\x10\x0a\x0e\x19\x01\0\0\0\0\0\0\0\x3a\x03\x0a\x01k";

/// Keeps the batches it gets; waits for a permit if told to.
#[derive(Default)]
struct Pipeline {
    got: Mutex<Vec<Batch>>,
    gate: Option<(Semaphore, Semaphore)>,
}

impl Consumer for Pipeline {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move {
            if let Some((entered, go)) = &self.gate {
                entered.add_permits(1);
                go.acquire().await.unwrap().forget();
            }
            self.got.lock().unwrap().push(batch);
            Ok(())
        })
    }
}

/// A free port; the receiver names its endpoints itself, so it must be known before.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

struct Running {
    grpc: SocketAddr,
    http: SocketAddr,
    cx: BuildCtx,
    pipeline: Arc<Pipeline>,
    stop: Stop,
    task: JoinHandle<Result<(), Fatal>>,
}

/// A receiver with pipelines of metrics and traces, but not of logs.
async fn start(pipeline: Pipeline, change: impl FnOnce(&mut Grpc, &mut Http)) -> Running {
    let (grpc_address, http_address) = (free(), free());
    let mut grpc = Grpc(GrpcServerConfig::listening_on(&grpc_address.to_string()));
    let mut http = Http {
        endpoint: http_address.to_string(),
        ..Http::default()
    };
    change(&mut grpc, &mut http);
    let config = Config {
        protocols: Protocols {
            grpc: Some(grpc),
            http: Some(http),
        },
    };
    let id = ComponentId::parse("otlp").unwrap();
    let mut cx = BuildCtx::standalone(id, ComponentKind::Receiver, None);
    cx.ledger = weir_model::Ledger::new(100 << 20);
    let pipeline = Arc::new(pipeline);
    let out = Outputs {
        metrics: Some(pipeline.clone()),
        traces: Some(pipeline.clone()),
        logs: None,
    };
    let stop = Stop::default();
    let receiver = Kind::build(config, cx.clone()).await.unwrap();
    let running = receiver.start(out, stop.clone()).await.unwrap();
    let task = tokio::spawn(running);
    Running {
        grpc: grpc_address,
        http: http_address,
        cx,
        pipeline,
        stop,
        task,
    }
}

impl Running {
    async fn end(self) {
        self.stop.stop(Deadline::after(Duration::from_secs(5)));
        self.task.await.unwrap().unwrap();
    }

    fn client(&self) -> GrpcClient {
        let config = GrpcClientConfig {
            endpoint: self.grpc.to_string(),
            tls: TlsClientConfig {
                insecure: true,
                ..TlsClientConfig::default()
            },
            ..GrpcClientConfig::default()
        };
        GrpcClient::new(&config, ClientContext::default()).unwrap()
    }

    async fn export(&self, method: &'static str, body: Vec<u8>) -> Result<Bytes, GrpcStatus> {
        let mut metadata = HeaderMap::new();
        metadata.insert("x-tenant", HeaderValue::from_static("t1"));
        self.client()
            .unary(method, vec![body.into()], &metadata, None)
            .await
    }

    async fn post(
        &self,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: Vec<u8>,
    ) -> HttpResponse {
        let client = HttpClient::new(HttpClientOptions::default()).unwrap();
        let mut map = HeaderMap::new();
        map.insert(
            "content-type",
            HeaderValue::from_static("application/x-protobuf"),
        );
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let url: Uri = format!("http://{}{path}", self.http).parse().unwrap();
        client
            .send(Method::POST, &url, &map, body.into())
            .await
            .unwrap()
    }
}

/// OTLP-17, and one listener for all signals; own metrics by transport.
#[tokio::test]
async fn both_protocols_serve_the_signals_of_their_pipelines() {
    let receiver = start(Pipeline::default(), |_, _| {}).await;
    assert_eq!(
        receiver
            .export(EXPORT_METRICS, POINT.to_vec())
            .await
            .unwrap(),
        ""
    );
    assert_eq!(
        receiver.export(EXPORT_TRACES, Vec::new()).await.unwrap(),
        ""
    );
    let status = receiver.export(EXPORT_LOGS, Vec::new()).await.unwrap_err();
    assert_eq!(status.code, GrpcCode::Unimplemented);
    let answer = receiver.post("/v1/metrics", &[], POINT.to_vec()).await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::OK, &b"\x0a\x00"[..])
    );
    assert_eq!(
        receiver.post("/v1/traces", &[], Vec::new()).await.status,
        StatusCode::OK
    );
    assert_eq!(
        receiver.post("/v1/logs", &[], Vec::new()).await.status,
        StatusCode::NOT_FOUND
    );
    let got = std::mem::take(&mut *receiver.pipeline.got.lock().unwrap());
    for batch in &got {
        assert_eq!(
            batch.wire_chunks().unwrap(),
            [POINT],
            "the bytes go on untouched"
        );
    }
    assert_eq!(got.len(), 2);
    let page = receiver.cx.telemetry.encode();
    for transport in ["grpc", "http"] {
        let line = format!(
            "otelcol_receiver_accepted_metric_points{{receiver=\"otlp\",transport=\"{transport}\"}} 1"
        );
        assert!(page.contains(&line), "{page}");
    }
    // Each batch holds its bytes of the memory for requests in flight, and gives them back.
    assert!(receiver.cx.ledger.used() >= 2 * POINT.len());
    drop(got);
    assert_eq!(receiver.cx.ledger.used(), 0);
    receiver.end().await;
}

/// OTLP-16, OTLP-20.
#[tokio::test]
async fn limits_are_those_of_the_configuration() {
    let receiver = start(Pipeline::default(), |grpc, http| {
        grpc.0.max_recv_msg_size_mib = 1;
        http.max_request_body_size = 1000;
    })
    .await;
    let status = receiver
        .export(EXPORT_METRICS, vec![0; (1 << 20) + 1])
        .await
        .unwrap_err();
    assert_eq!(status.code, GrpcCode::ResourceExhausted);
    let answer = receiver.post("/v1/metrics", &[], vec![0; 1001]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let status = GrpcStatus::from_proto(&answer.body).unwrap();
    assert_eq!(status.code, GrpcCode::InvalidArgument);
    assert!(
        status.message.starts_with("http: request body too large"),
        "{status}"
    );
    assert!(receiver.pipeline.got.lock().unwrap().is_empty());
    receiver.end().await;
}

/// OTLP-18.
#[tokio::test]
async fn a_path_without_a_slash_works() {
    let receiver = start(Pipeline::default(), |_, http| {
        http.metrics_url_path = "in/m".to_owned();
    })
    .await;
    assert_eq!(
        receiver.post("/in/m", &[], POINT.to_vec()).await.status,
        StatusCode::OK
    );
    let answer = receiver.post("/v1/metrics", &[], POINT.to_vec()).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    receiver.end().await;
}

/// OTLP-30.
#[tokio::test]
async fn metadata_goes_along_when_asked_for() {
    for wanted in [true, false] {
        let receiver = start(Pipeline::default(), |grpc, http| {
            grpc.0.include_metadata = wanted;
            http.include_metadata = wanted;
        })
        .await;
        receiver
            .export(EXPORT_METRICS, POINT.to_vec())
            .await
            .unwrap();
        receiver
            .post("/v1/metrics", &[("x-tenant", "t1")], POINT.to_vec())
            .await;
        let got = std::mem::take(&mut *receiver.pipeline.got.lock().unwrap());
        assert_eq!(got.len(), 2);
        for batch in &got {
            let client = batch.client.as_ref().unwrap();
            let tenant: Vec<_> = client.get("X-Tenant").collect();
            assert_eq!(tenant, if wanted { vec!["t1"] } else { Vec::new() });
            assert!(client.address.is_some());
        }
        let host = got[1].client.as_ref().unwrap().get("host").count();
        assert_eq!(host, usize::from(wanted));
        receiver.end().await;
    }
}

/// OTLP-31: what is under way at the stop is answered, in both protocols.
#[tokio::test]
async fn requests_under_way_are_answered_at_the_stop() {
    let gate = Some((Semaphore::new(0), Semaphore::new(0)));
    let receiver = start(
        Pipeline {
            gate,
            ..Pipeline::default()
        },
        |_, _| {},
    )
    .await;
    let waiting = async {
        tokio::join!(
            receiver.export(EXPORT_METRICS, POINT.to_vec()),
            receiver.post("/v1/metrics", &[], POINT.to_vec())
        )
    };
    let stopping = async {
        let (entered, go) = receiver.pipeline.gate.as_ref().unwrap();
        entered.acquire_many(2).await.unwrap().forget();
        receiver.stop.stop(Deadline::after(Duration::from_secs(60)));
        go.add_permits(2);
    };
    let ((exported, posted), ()) = tokio::join!(waiting, stopping);
    assert_eq!(exported.unwrap(), "");
    assert_eq!(posted.status, StatusCode::OK);
    receiver.end().await;
}

#[tokio::test]
async fn an_address_in_use_fails_the_start_by_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let http = Some(Http {
        endpoint: address.to_string(),
        ..Http::default()
    });
    let config = Config {
        protocols: Protocols { grpc: None, http },
    };
    let id = ComponentId::parse("otlp").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Receiver, None);
    let receiver = Kind::build(config, cx).await.unwrap();
    let fatal = receiver
        .start(Outputs::default(), Stop::default())
        .await
        .err()
        .unwrap();
    assert_eq!(
        fatal.0,
        format!("listen tcp {address}: bind: address already in use")
    );
}

/// OTLP-01, OTLP-03.
#[test]
fn defaults_and_what_must_be_given() {
    assert_eq!(Grpc::default().0.endpoint, "localhost:4317");
    assert_eq!(Http::default().endpoint, "localhost:4318");
    let valid = |protocols| {
        let mut errors = Errors::default();
        Config { protocols }.validate(&mut errors);
        errors.is_empty()
    };
    assert!(!valid(Protocols::default()));
    assert!(valid(Protocols {
        grpc: Some(Grpc::default()),
        http: None
    }));
    assert!(valid(Protocols {
        grpc: None,
        http: Some(Http::default())
    }));
}
