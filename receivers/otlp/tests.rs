#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Answers of both protocols, by their handlers (otlp-and-helpers 1.2 and 1.3).

use std::sync::Mutex;
use std::time::Duration;

use ::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use weir_core::telemetry::ReceiverTelemetry;
use weir_core::{Cause, Consumer, Telemetry};
use weir_net::BodyError;
use weir_net::grpc::{GrpcHandler as _, GrpcRequest};
use weir_net::http::{HttpHandler as _, HttpRequest};

use super::*;

const EXPORT_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const EXPORT_LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const ONE_SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"s"}]}]}]}"#;

/// Counts the items it gets; refuses as told.
#[derive(Default)]
struct Pipeline {
    calls: Mutex<Vec<usize>>,
    refuse: Option<Reject>,
}

impl Consumer for Pipeline {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        self.calls.lock().unwrap().push(batch.len());
        Box::pin(std::future::ready(self.refuse.clone().map_or(Ok(()), Err)))
    }
}

/// A receiver with a pipeline of traces only.
fn intake(pipeline: &Arc<Pipeline>) -> Intake {
    let out = Outputs { traces: Some(pipeline.clone()), ..Outputs::default() };
    Intake {
        out,
        interner: Arc::default(),
        telemetry: ReceiverTelemetry::new(&Telemetry::default(), "otlp", "test"),
        include_metadata: false,
    }
}

fn refusing(reject: Reject) -> Arc<Pipeline> {
    Arc::new(Pipeline { refuse: Some(reject), ..Pipeline::default() })
}

/// The answer to a request over HTTP, whoever gives it.
async fn http(
    pipeline: &Arc<Pipeline>,
    method: Method,
    path: &str,
    kind: &str,
    body: &[u8],
) -> Response<Bytes> {
    let handler = http::Handler::new(intake(pipeline), &Http::default());
    let request = Request::builder().method(method).uri(path).header("content-type", kind);
    let (head, ()) = request.body(()).unwrap().into_parts();
    if let Some(answer) = handler.screen(&head) {
        return answer;
    }
    let body = Bytes::copy_from_slice(body);
    handler.handle(HttpRequest { head, body, peer: None, charge: None }).await
}

fn content_type(answer: &Response<Bytes>) -> &str {
    answer.headers().get("content-type").unwrap().to_str().unwrap()
}

fn protobuf_span() -> Vec<u8> {
    let interner = Arc::new(Interner::default());
    let mut bytes = Vec::new();
    let traces = Traces::from_json(ONE_SPAN.as_bytes(), &interner).unwrap();
    Batch::traces(traces).encode_otlp(&mut bytes);
    bytes
}

#[tokio::test]
async fn success_is_said_in_the_encoding_of_the_request() {
    let pipeline = Arc::new(Pipeline::default());
    let (path, post) = ("/v1/traces", Method::POST);
    let with_charset = "application/json; charset=utf-8";
    for kind in [JSON, with_charset] {
        let answer = http(&pipeline, post.clone(), path, kind, ONE_SPAN.as_bytes()).await;
        assert_eq!((answer.status(), content_type(&answer)), (StatusCode::OK, JSON));
        assert_eq!(&answer.body()[..], b"{\"partialSuccess\":{}}");
    }
    let answer = http(&pipeline, post, path, PROTOBUF, &protobuf_span()).await;
    assert_eq!((answer.status(), content_type(&answer)), (StatusCode::OK, PROTOBUF));
    assert_eq!(&answer.body()[..], [0x0a, 0x00]);
    assert_eq!(*pipeline.calls.lock().unwrap(), [1, 1, 1]);
}

#[tokio::test]
async fn an_empty_request_is_well_without_the_pipeline() {
    let pipeline = Arc::new(Pipeline::default());
    for (kind, body) in [(PROTOBUF, ""), (JSON, "{}"), (JSON, r#"{"resourceSpans":[]}"#)] {
        let answer = http(&pipeline, Method::POST, "/v1/traces", kind, body.as_bytes()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{kind} {body}");
    }
    assert!(pipeline.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn malformed_bodies_are_the_senders_fault_in_its_encoding() {
    let pipeline = Arc::new(Pipeline::default());
    let bad_id = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz"}]}]}]}"#;
    for (kind, body) in [(JSON, &b"{"[..]), (JSON, bad_id.as_bytes()), (PROTOBUF, b"\x0a\xff")] {
        let answer = http(&pipeline, Method::POST, "/v1/traces", kind, body).await;
        assert_eq!((answer.status(), content_type(&answer)), (StatusCode::BAD_REQUEST, kind));
        // The connection stays: nothing asks to close it.
        assert_eq!(answer.headers().get("connection"), None);
        if kind == JSON {
            let status: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
            assert_eq!(status["code"], 3);
            assert!(status["message"].as_str().is_some_and(|text| !text.is_empty()));
        } else {
            let status = GrpcStatus::from_proto(answer.body()).unwrap();
            assert_eq!(status.code, GrpcCode::InvalidArgument);
        }
    }
    assert!(pipeline.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn other_methods_types_and_paths_are_refused_before_the_body() {
    let pipeline = Arc::new(Pipeline::default());
    for (method, path, kind, status, says) in [
        (Method::GET, "/v1/traces", JSON, 405, "405 method not allowed, supported: [POST]"),
        (
            Method::POST,
            "/v1/traces",
            "text/plain",
            415,
            "415 unsupported media type, supported: [application/json, application/x-protobuf]",
        ),
        (Method::POST, "/v1/logs", JSON, 404, "404 page not found\n"),
        (Method::POST, "/", JSON, 404, "404 page not found\n"),
    ] {
        let answer = http(&pipeline, method, path, kind, b"").await;
        assert_eq!((answer.status().as_u16(), content_type(&answer)), (status, "text/plain"));
        assert_eq!(&answer.body()[..], says.as_bytes());
    }
}

#[tokio::test]
async fn what_the_pipeline_says_becomes_status_code_and_wait() {
    let wait = Some(Duration::from_millis(1500));
    let busy = || Cause::new("busy", "busy");
    for (reject, status, code, after) in [
        (Reject::retry("queue_full", "full"), 503, 14, None),
        (Reject::Retry { after: wait, why: busy() }, 503, 14, Some("2")),
        (Reject::Retry { after: wait, why: busy().with_grpc_code(8) }, 429, 8, Some("2")),
        (Reject::permanent("bad", "bad"), 500, 13, None),
        (Reject::Permanent(busy().with_grpc_code(3)), 400, 3, None),
        (Reject::Permanent(busy().with_grpc_code(12)), 404, 12, None),
    ] {
        let pipeline = refusing(reject.clone());
        let body = ONE_SPAN.as_bytes();
        let answer = http(&pipeline, Method::POST, "/v1/traces", JSON, body).await;
        assert_eq!(answer.status().as_u16(), status, "{reject:?}");
        let said: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(said["code"], code, "{reject:?}");
        let retry_after = answer.headers().get("retry-after").map(|v| v.to_str().unwrap());
        assert_eq!(retry_after, after, "{reject:?}");

        let said = grpc(&pipeline, EXPORT_TRACES, &protobuf_span()).await.unwrap_err();
        assert_eq!(said.code.number(), code, "{reject:?}");
        assert_eq!(said.retry_after, wait.filter(|_| after.is_some()), "{reject:?}");
    }
}

#[test]
fn a_body_that_is_too_large_closes_the_connection() {
    let handler = http::Handler::new(intake(&Arc::default()), &Http::default());
    let (head, ()) = Request::post("/v1/traces").body(()).unwrap().into_parts();
    let answer = handler.refuse(&head, &BodyError::TooLarge { limit: 10 });
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers().get("connection").unwrap(), "close");
    let status = GrpcStatus::from_proto(answer.body()).unwrap();
    assert!(status.message.starts_with("http: request body too large"), "{status}");
    // No room is nobody's fault: come again.
    let answer = handler.refuse(&head, &BodyError::NoMemory);
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

async fn grpc(pipeline: &Arc<Pipeline>, path: &str, message: &[u8]) -> Result<Bytes, GrpcStatus> {
    let handler = grpc::Handler(intake(pipeline));
    let request = GrpcRequest {
        uri: path.parse::<Uri>().unwrap(),
        headers: HeaderMap::new(),
        message: Bytes::copy_from_slice(message),
        peer: None,
        charge: None,
    };
    handler.call(request).await
}

#[tokio::test]
async fn grpc_serves_the_signals_of_its_pipelines() {
    let pipeline = Arc::new(Pipeline::default());
    let handler = grpc::Handler(intake(&pipeline));
    assert!(handler.serves(EXPORT_TRACES));
    assert!(!handler.serves(EXPORT_LOGS) && !handler.serves("/other"));
    assert_eq!(grpc(&pipeline, EXPORT_TRACES, &protobuf_span()).await, Ok(Bytes::new()));
    assert_eq!(grpc(&pipeline, EXPORT_TRACES, b"").await, Ok(Bytes::new()));
    assert_eq!(*pipeline.calls.lock().unwrap(), [1]);
    let malformed = grpc(&pipeline, EXPORT_TRACES, b"\x0a\xff").await.unwrap_err();
    assert_eq!(malformed.code, GrpcCode::InvalidArgument);
}
