//! Requests against a server: headers, retries, parts that fail, falling back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use weir_core::{
    Batch, BuildCtx, ComponentId, ComponentKind, Deadline, ExporterKind, Reject, Signal, Stage,
    Telemetry,
};
use weir_model::{Attributes, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource, Scope};
use weir_testkit::{MockServer, Recorded};

use crate::prometheusremotewrite::{Config, Kind, RemoteWriteQueue, RetryConfig};

pub(super) fn answer(status: u16) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"because"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Answers by the number of the request.
pub(super) fn server(answers: impl Fn(usize) -> Response<Bytes> + Send + Sync + 'static) -> MockServer {
    let count = AtomicUsize::new(0);
    MockServer::start(move |_| answers(count.fetch_add(1, Ordering::SeqCst))).unwrap()
}

/// Sixty gauges.
pub(super) fn batch(cx: &BuildCtx) -> Batch {
    let interner = &cx.interner;
    let metric = interner.metric(MetricMeta::new("g", MetricKind::Gauge));
    let (resource, scope) =
        (interner.resource(Resource::default()), interner.scope(Scope::default()));
    let point = |i: i64| {
        let labels: Attributes = [("i", i)].into_iter().collect();
        let series = interner.series(&resource, &scope, &metric, labels);
        Point::new(series, 0, 1_700_000_000_000_000_000, PointValue::Int(i))
    };
    Batch::metrics(Metrics::from_points((0..60).map(point).collect()))
}

pub(super) fn direct(server: &MockServer) -> Config {
    let mut config = Config {
        endpoint: format!("{}/api/v1/write", server.url()),
        remote_write_queue: RemoteWriteQueue {
            enabled: false,
            ..RemoteWriteQueue::default()
        },
        ..Config::default()
    };
    config.retry_on_failure.initial_interval = weir_config::Duration::from_nanos(1);
    config.retry_on_failure.max_interval = weir_config::Duration::from_nanos(1);
    config
}

pub(super) async fn build(config: Config) -> (Arc<dyn Stage>, BuildCtx) {
    let id = ComponentId::parse("prometheus_remote_write").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Metrics));
    let stage = Kind::build(config, cx.clone()).await.unwrap();
    stage.start().await.unwrap();
    (stage, cx)
}

pub(super) fn own(telemetry: &Telemetry, name: &str) -> f64 {
    telemetry.total(&format!("otelcol_exporter_prometheusremotewrite_{name}"))
}

fn bodies(requests: &[Recorded]) -> Vec<Vec<u8>> {
    // The mock's server has undone the snappy block.
    requests.iter().map(|r| r.body.to_vec()).collect()
}

/// PRW-32, PRW-33, PRW-51.
#[tokio::test]
async fn a_batch_is_posted_with_the_headers_of_the_protocol() {
    for (message, kind, version) in [
        ("prometheus.WriteRequest", "application/x-protobuf", "0.1.0"),
        (
            "io.prometheus.write.v2.Request",
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "2.0.0",
        ),
    ] {
        let server = server(|_| {
            let mut response = answer(200);
            let headers = response.headers_mut();
            headers.insert("x-prometheus-remote-write-samples-written", 60.into());
            response
        });
        let (stage, cx) = build(Config {
            protobuf_message: message.to_owned(),
            ..direct(&server)
        })
        .await;
        stage.consume(batch(&cx)).await.unwrap();
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].uri.path(), "/api/v1/write");
        assert_eq!(requests[0].header("content-encoding"), "snappy");
        assert_eq!(requests[0].header("content-type"), kind);
        assert_eq!(requests[0].header("x-prometheus-remote-write-version"), version);
        assert!(requests[0].header("user-agent").starts_with("weir/"));
        assert!(cx.telemetry.encode().contains(&format!("endpoint=\"{}/api/v1/write\"", server.url())));
        assert_eq!(own(&cx.telemetry, "written_samples"), 60.0);
        assert_eq!(own(&cx.telemetry, "sent_batches"), 1.0);
        assert_eq!(own(&cx.telemetry, "translated_time_series"), 60.0);
    }
}

/// PRW-37, PRW-38: what is sent again is the same request.
#[tokio::test]
async fn server_errors_and_throttling_are_tried_again() {
    for status in [500, 503, 429] {
        let server = server(move |n| answer(if n == 0 { status } else { 200 }));
        let (stage, cx) = build(direct(&server)).await;
        stage.consume(batch(&cx)).await.unwrap();
        let bodies = bodies(&server.requests());
        assert_eq!((bodies.len(), &bodies[0]), (2, &bodies[1]));
    }
}

/// PRW-37, PRW-54.
#[tokio::test]
async fn refused_requests_are_not_tried_again_and_say_why() {
    for (status, grpc) in [(400, 3), (404, 12), (301, 2)] {
        let server = server(move |_| answer(status));
        let (stage, cx) = build(direct(&server)).await;
        let error = stage.consume(batch(&cx)).await.unwrap_err();
        assert!(!error.is_retryable());
        let text = error.to_string();
        assert!(text.contains(&format!("HTTP status {status}")) && text.ends_with(": because"), "{text}");
        assert_eq!(error.why().grpc_code, Some(grpc));
        assert_eq!(server.requests().len(), 1);
    }
}

/// PRW-36, PRW-41: a request that fails takes no other with it, and only its points are lost.
#[tokio::test]
async fn one_failed_request_of_a_batch_does_not_lose_the_others() {
    let server = server(|n| answer(if n == 1 { 400 } else { 200 }));
    let (stage, cx) = build(Config {
        max_batch_size_bytes: 500,
        max_batch_request_parallelism: Some(1),
        ..direct(&server)
    })
    .await;
    let error = stage.consume(batch(&cx)).await.unwrap_err();
    let Reject::Partial { rejected, .. } = error else {
        panic!("{error:?}")
    };
    let bodies = bodies(&server.requests());
    assert!(bodies.len() > 3 && bodies.iter().all(|body| !body.is_empty() && body.len() < 600));
    assert_eq!(cx.telemetry.total("otelcol_exporter_send_failed_metric_points"), rejected as f64);
    assert_eq!(cx.telemetry.total("otelcol_exporter_sent_metric_points"), 60.0 - rejected as f64);
    assert!(rejected > 0 && rejected < 60);
}

/// Without a queue the sender gets a retryable error and has the data still.
#[tokio::test]
async fn a_sender_that_waits_may_send_again() {
    let server = server(|_| answer(503));
    let mut config = direct(&server);
    config.retry_on_failure.enabled = false;
    let (stage, cx) = build(config).await;
    assert!(stage.consume(batch(&cx)).await.unwrap_err().is_retryable());
    assert_eq!(cx.telemetry.total("weir_dropped_items_total"), 0.0);
}

/// PRW-48.
#[tokio::test]
async fn a_receiver_that_does_not_know_the_newer_protocol_is_sent_the_older_one() {
    let server = MockServer::start(|request| {
        let v2 = request.header("x-prometheus-remote-write-version") == "2.0.0";
        answer(if v2 { 415 } else { 200 })
    })
    .unwrap();
    let (stage, cx) = build(Config {
        protobuf_message: "io.prometheus.write.v2.Request".to_owned(),
        ..direct(&server)
    })
    .await;
    for _ in 0..2 {
        stage.consume(batch(&cx)).await.unwrap();
    }
    let versions: Vec<String> = server
        .requests()
        .iter()
        .map(|r| r.header("x-prometheus-remote-write-version").to_owned())
        .collect();
    assert_eq!(versions, ["2.0.0", "0.1.0", "0.1.0"]);
}

/// PRW-40, PRW-45: what cannot be delivered at shutdown gets one more attempt and is counted.
#[tokio::test]
async fn draining_ends_the_waits() {
    let server = server(|_| answer(503));
    let mut config = direct(&server);
    config.remote_write_queue.enabled = true;
    config.retry_on_failure = RetryConfig {
        initial_interval: weir_config::Duration::from_secs(5),
        ..RetryConfig::default()
    };
    let (stage, cx) = build(config).await;
    stage.consume(batch(&cx)).await.unwrap();
    server
        .wait(std::time::Duration::from_secs(30), |requests| !requests.is_empty())
        .await;
    stage.drain(Deadline::after(std::time::Duration::from_secs(60))).await;
    assert_eq!(server.requests().len(), 2);
    assert_eq!(cx.telemetry.total("weir_dropped_items_total"), 60.0);
}

/// PRW-53.
#[tokio::test]
async fn nothing_to_send_is_no_request() {
    let server = server(|_| answer(200));
    let (stage, _cx) = build(Config {
        send_metadata: true,
        ..direct(&server)
    })
    .await;
    stage.consume(Batch::metrics(Metrics::default())).await.unwrap();
    assert!(server.requests().is_empty());
}
