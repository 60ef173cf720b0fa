#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
//! The exporter against a server over a real socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;

use http::Response;
use weir_config::{Errors, Validate};
use weir_core::{ComponentId, ComponentKind, ManualClock, Stop};
use weir_model::Traces;
use weir_net::http::{HttpHandler, HttpRequest, HttpServer, HttpServerConfig, ServerContext};

use super::*;

/// One span named `s`, as an export request.
const SPAN: &[u8] = b"\x0a\x09\x12\x07\x12\x05\x2a\x01s\x30\x01";

/// Keeps what it got; answers what the test has put in, else 200.
#[derive(Default)]
struct Backend {
    got: Mutex<Vec<HttpRequest>>,
    answers: Mutex<VecDeque<Response<Bytes>>>,
}

impl HttpHandler for Backend {
    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        self.got.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(std::future::ready(answer.unwrap_or_default()))
    }
}

impl Backend {
    fn will_answer(&self, status: u16, headers: &[(http::HeaderName, &str)], body: &'static [u8]) {
        let mut response = Response::new(Bytes::from_static(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).unwrap());
        }
        self.answers.lock().unwrap().push_back(response);
    }
}

fn backend() -> (Arc<Backend>, SocketAddr) {
    let config = HttpServerConfig::listening_on("127.0.0.1:0");
    let server = HttpServer::bind(&config, ServerContext::default()).unwrap();
    let address = server.local_addr().unwrap();
    let backend = Arc::new(Backend::default());
    tokio::spawn(server.serve(backend.clone(), Stop::default()));
    (backend, address)
}

/// Every failure goes back to the caller.
fn direct(address: SocketAddr) -> Config {
    Config {
        endpoint: format!("http://user:pass@{address}/base/"),
        retry_on_failure: weir_sending::RetrySettings::off(),
        sending_queue: None,
        ..Config::default()
    }
}

async fn exporter(config: Config) -> Arc<dyn Stage> {
    let id = ComponentId::parse("otlphttp").unwrap();
    let mut cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Traces));
    // 2026-01-01T00:00:00Z.
    cx.clock = Arc::new(ManualClock::at(1_767_225_600_000_000_000));
    let stage = Kind::build(config, cx).await.unwrap();
    stage.start().await.unwrap();
    stage
}

fn span() -> Batch {
    Batch::traces(Traces::from_otlp(Bytes::from_static(SPAN), &Arc::default()).unwrap())
}

/// OTLP-36: base and exact endpoints; the bytes go through untouched.
#[tokio::test]
async fn requests_go_to_the_path_of_the_signal() {
    let (backend, address) = backend();
    exporter(direct(address))
        .await
        .consume(span())
        .await
        .unwrap();
    let exact = Config {
        traces_endpoint: format!("http://{address}/exact"),
        ..direct(address)
    };
    let mut two = span();
    two.append(span()).unwrap();
    exporter(exact).await.consume(two).await.unwrap();
    let got = std::mem::take(&mut *backend.got.lock().unwrap());
    assert_eq!(
        (got[0].head.uri.path(), &got[0].body[..]),
        ("/base/v1/traces", SPAN)
    );
    assert_eq!(
        (got[1].head.uri.path(), &got[1].body[..]),
        ("/exact", &[SPAN, SPAN].concat()[..])
    );
    let header = |name: &str| got[0].head.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("content-type"), "application/x-protobuf");
    assert_eq!(header("content-encoding"), "gzip");
    assert!(header("user-agent").starts_with("weir/"));
}

/// OTLP-38.
#[tokio::test]
async fn json_on_request() {
    let (backend, address) = backend();
    let config = Config {
        encoding: Encoding::Json,
        ..direct(address)
    };
    exporter(config).await.consume(span()).await.unwrap();
    let got = std::mem::take(&mut *backend.got.lock().unwrap());
    assert_eq!(
        got[0].head.headers.get("content-type").unwrap(),
        "application/json"
    );
    let body: serde_json::Value = serde_json::from_slice(&got[0].body).unwrap();
    assert_eq!(
        body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"],
        "s"
    );
}

/// OTLP-37.
#[tokio::test]
async fn statuses_are_retried_or_not() {
    let (backend, address) = backend();
    let exporter = exporter(direct(address)).await;
    let date = "Thu, 01 Jan 2026 00:01:30 GMT";
    let past = "Wed, 01 Jan 2020 00:00:00 GMT";
    for (status, hint, after, code) in [
        (429, "3", Some(Some(3)), 8),
        (503, "3", Some(Some(3)), 14),
        (503, date, Some(Some(90)), 14),
        (503, past, Some(Some(0)), 14),
        (503, "soon", Some(None), 14),
        (502, "3", Some(None), 14),
        (504, "", Some(None), 14),
        (400, "", None, 3),
        (401, "", None, 16),
        (404, "", None, 12),
        (413, "", None, 2),
        (500, "3", None, 2),
    ] {
        let json = (CONTENT_TYPE, "application/json");
        let headers = [(RETRY_AFTER, hint), json];
        backend.will_answer(status, &headers, br#"{"code":1,"message":"the reason"}"#);
        let reject = exporter.consume(span()).await.unwrap_err();
        let waits = match &reject {
            Reject::Retry { after, .. } => Some(*after),
            _ => None,
        };
        assert_eq!(
            waits,
            after.map(|a| a.map(Duration::from_secs)),
            "{status} {hint}"
        );
        assert_eq!(reject.why().grpc_code, Some(code), "{status}");
        let text = format!(
            "http://{address}/base/v1/traces answered HTTP status {status}: \
             the reason"
        );
        assert_eq!(reject.to_string(), text);
    }
    let proto = [(CONTENT_TYPE, "application/x-protobuf")];
    backend.will_answer(500, &proto, b"\x08\x0d\x12\x05other");
    let reject = exporter.consume(span()).await.unwrap_err();
    assert!(reject.to_string().ends_with(": other"), "{reject}");
}

/// OTLP-39.
#[tokio::test]
async fn partial_success_is_success() {
    let (backend, address) = backend();
    let exporter = exporter(direct(address)).await;
    let proto = [(CONTENT_TYPE, "application/x-protobuf")];
    backend.will_answer(200, &proto, b"\x0a\x06\x08\x03\x12\x02no");
    exporter.consume(span()).await.unwrap();
    assert_eq!(backend.got.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_backend_that_is_away_is_worth_another_attempt() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reject = exporter(direct(address))
        .await
        .consume(span())
        .await
        .unwrap_err();
    assert!(reject.is_retryable(), "{reject}");
    assert_eq!(reject.why().reason, "connect");
    assert!(!reject.to_string().contains("pass"), "{reject}");
}

#[test]
fn settings() {
    let check = |config: &Config| {
        let mut errors = Errors::default();
        config.validate(&mut errors);
        errors.is_empty()
    };
    let good = direct(([127, 0, 0, 1], 4318).into());
    assert!(check(&good));
    assert!(!check(&Config::default()));
    assert!(check(&Config {
        logs_endpoint: "http://h/x".into(),
        ..Config::default()
    }));
    assert!(!check(&Config {
        endpoint: "backend:4318".into(),
        ..good.clone()
    }));
    assert!(!check(&Config {
        timeout: weir_config::Duration::from_secs(-1),
        ..good
    }));
    let defaults = Config::default();
    assert_eq!(defaults.timeout, weir_config::Duration::from_secs(30));
    assert_eq!(defaults.compression, weir_net::compress::Compression::GZIP);
    assert!(defaults.sending_queue.is_some_and(|queue| queue.enabled));
}
