#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
//! Our client and server against each other, and each against bytes written by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use weir_config::{Errors, Validate};
use weir_core::{BoxFut, Deadline, Stop};
use weir_model::Ledger;

use super::*;
use crate::ClientContext;
use crate::compress::{Compression, Encoder, Encoding};
use crate::http::ServerContext;
use crate::tls::TlsClientConfig;
use crate::tls::tests::Authority;

const ECHO: &str = "/test.Service/Echo";
const FAIL: &str = "/test.Service/Fail";
const WAIT: &str = "/test.Service/Wait";

/// Echoes what it got; `Fail` answers with a status, `Wait` waits to be let go.
struct Service {
    calls: AtomicUsize,
    entered: Semaphore,
    go: Semaphore,
}

impl Default for Service {
    fn default() -> Self {
        let (entered, go) = (Semaphore::new(0), Semaphore::new(0));
        Service {
            calls: AtomicUsize::new(0),
            entered,
            go,
        }
    }
}

impl Service {
    /// Waits until so many calls wait.
    async fn waiting(&self, count: u32) {
        self.entered.acquire_many(count).await.unwrap().forget();
    }
}

impl GrpcHandler for Service {
    fn serves(&self, path: &str) -> bool {
        [ECHO, FAIL, WAIT].contains(&path)
    }

    fn call(&self, request: GrpcRequest) -> BoxFut<'_, Result<Bytes, GrpcStatus>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            match request.uri.path() {
                FAIL => Err(
                    GrpcStatus::new(GrpcCode::ResourceExhausted, "100% busy: \u{fc}")
                        .with_retry_after(Some(Duration::from_millis(1500))),
                ),
                WAIT => {
                    self.entered.add_permits(1);
                    self.go.acquire().await.unwrap().forget();
                    Ok(request.message)
                }
                _ => Ok(request.message),
            }
        })
    }
}

struct Running {
    address: SocketAddr,
    service: Arc<Service>,
    stop: Stop,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        self.stop.stop(Deadline::after(Duration::from_secs(5)));
        self.task.await.unwrap();
    }
}

fn serve_with(config: &GrpcServerConfig, context: ServerContext) -> Running {
    let server = GrpcServer::bind(config, context).unwrap();
    let address = server.local_addr().unwrap();
    let (service, stop) = (Arc::new(Service::default()), Stop::default());
    let task = tokio::spawn(server.serve(service.clone(), stop.clone()));
    Running {
        address,
        service,
        stop,
        task,
    }
}

fn serve() -> Running {
    serve_with(
        &GrpcServerConfig::listening_on("127.0.0.1:0"),
        ServerContext::default(),
    )
}

fn plain_text(address: SocketAddr) -> GrpcClientConfig {
    GrpcClientConfig {
        endpoint: address.to_string(),
        tls: TlsClientConfig {
            insecure: true,
            ..TlsClientConfig::default()
        },
        ..GrpcClientConfig::default()
    }
}

fn client(config: &GrpcClientConfig) -> GrpcClient {
    GrpcClient::new(config, ClientContext::default()).unwrap()
}

async fn call(client: &GrpcClient, path: &'static str, body: &[u8]) -> Result<Bytes, GrpcStatus> {
    let message = vec![Bytes::copy_from_slice(body)];
    client.unary(path, message, &HeaderMap::new(), None).await
}

/// OTLP-21.
#[tokio::test]
async fn messages_go_there_and_back_in_every_compression() {
    let server = serve();
    for compression in [
        None,
        Some(Encoding::Gzip),
        Some(Encoding::Snappy),
        Some(Encoding::Zstd),
    ] {
        let compression = Compression(compression);
        let client = client(&GrpcClientConfig {
            compression,
            ..plain_text(server.address)
        });
        for length in [0, 1, 100_000, 3 << 20] {
            let body = vec![b'x'; length];
            assert!(
                call(&client, ECHO, &body).await.unwrap() == body,
                "{compression:?} {length}"
            );
        }
        let pieces = vec![
            Bytes::from_static(b"one "),
            Bytes::new(),
            Bytes::from_static(b"two"),
        ];
        let answer = client
            .unary(ECHO, pieces, &HeaderMap::new(), None)
            .await
            .unwrap();
        assert_eq!(answer, "one two");
    }
    server.end().await;
}

#[tokio::test]
async fn statuses_arrive_with_message_and_retry_hint() {
    let server = serve();
    let client = client(&plain_text(server.address));
    let status = call(&client, FAIL, b"x").await.unwrap_err();
    let expected = GrpcStatus::new(GrpcCode::ResourceExhausted, "100% busy: \u{fc}")
        .with_retry_after(Some(Duration::from_millis(1500)));
    assert_eq!(status, expected);
    let status = call(&client, "/test.Service/Unknown", b"x")
        .await
        .unwrap_err();
    assert_eq!(status.code, GrpcCode::Unimplemented);
    server.end().await;
}

/// OTLP-20.
#[tokio::test]
async fn messages_over_the_limit_are_refused_also_when_compressed() {
    let mut config = GrpcServerConfig::listening_on("127.0.0.1:0");
    for (limit_mib, limit) in [(0, 4 << 20), (6, 6 << 20)] {
        config.max_recv_msg_size_mib = limit_mib;
        let server = serve_with(&config, ServerContext::default());
        for compression in [
            Compression::NONE,
            Compression::GZIP,
            Compression(Some(Encoding::Zstd)),
        ] {
            let client = client(&GrpcClientConfig {
                compression,
                ..plain_text(server.address)
            });
            let status = call(&client, ECHO, &vec![0; limit + 1]).await.unwrap_err();
            assert_eq!(status.code, GrpcCode::ResourceExhausted, "{status}");
        }
        assert_eq!(server.service.calls.load(Ordering::SeqCst), 0);
        server.end().await;
    }
}

#[tokio::test]
async fn memory_is_charged_and_given_back() {
    let ledger = Ledger::new(50_000);
    let context = ServerContext {
        ledger: Some(ledger.clone()),
        ..ServerContext::default()
    };
    let server = serve_with(&GrpcServerConfig::listening_on("127.0.0.1:0"), context);
    for compression in [Compression::NONE, Compression::GZIP] {
        let client = client(&GrpcClientConfig {
            compression,
            ..plain_text(server.address)
        });
        call(&client, ECHO, &[b'x'; 40_000]).await.unwrap();
        let status = call(&client, ECHO, &[b'x'; 60_000]).await.unwrap_err();
        assert_eq!(status.code, GrpcCode::Unavailable);
        assert_eq!(status.retry_after, Some(Duration::from_secs(1)));
    }
    assert_eq!(ledger.used(), 0);
    server.end().await;
}

/// A request that our client would not send.
async fn raw(address: SocketAddr, headers: &[(&str, &str)], body: &[u8]) -> (u16, GrpcStatus) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("http://{address}{ECHO}").parse().unwrap();
    request
        .headers_mut()
        .insert(TE, HeaderValue::from_static("trailers"));
    request.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/grpc+proto"),
    );
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request
            .headers_mut()
            .insert(name, HeaderValue::from_str(value).unwrap());
    }
    let response = sender.send_request(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let trailers = response
        .into_body()
        .collect()
        .await
        .unwrap()
        .trailers()
        .cloned();
    let outcome = GrpcStatus::read(&trailers.unwrap_or(headers));
    (
        status,
        outcome.unwrap_or_else(|| GrpcStatus::new(GrpcCode::Unknown, "none")),
    )
}

/// Malformed calls of reliability-security 6: each gets its status, and none reaches the handler.
#[tokio::test]
async fn malformed_calls_get_their_status() {
    let server = serve();
    let gzip = &[("grpc-encoding", "gzip")][..];
    for (headers, body, code) in [
        (&[][..], &b""[..], GrpcCode::Internal),
        (&[], b"\0\0\0", GrpcCode::Internal),
        (&[], b"\0\0\0\0\x05four", GrpcCode::Internal),
        (&[], b"\0\0\0\0\x01a\0\0\0\0\x01b", GrpcCode::Internal),
        (&[], b"\0\xff\xff\xff\xffx", GrpcCode::ResourceExhausted),
        (&[], b"\x01\0\0\0\x01a", GrpcCode::Internal),
        (gzip, b"\x01\0\0\0\x01a", GrpcCode::Internal),
        (
            &[("grpc-encoding", "br")],
            b"\x01\0\0\0\x01a",
            GrpcCode::Unimplemented,
        ),
        (
            &[("grpc-timeout", "0n")],
            b"\0\0\0\0\x01a",
            GrpcCode::DeadlineExceeded,
        ),
        (
            &[("grpc-timeout", "soon")],
            b"\0\0\0\0\x01a",
            GrpcCode::Internal,
        ),
    ] {
        let (http, status) = raw(server.address, headers, body).await;
        assert_eq!(
            (http, status.code),
            (200, code),
            "{headers:?} {body:?} {status}"
        );
    }
    let (http, _) = raw(server.address, &[("content-type", "text/plain")], b"").await;
    assert_eq!(http, 415);
    assert_eq!(server.service.calls.load(Ordering::SeqCst), 0);
    // A compressed call with an uncompressed message is fine.
    let (_, status) = raw(server.address, gzip, b"\0\0\0\0\x01a").await;
    assert_eq!(status.code, GrpcCode::Ok);
    server.end().await;
}

/// OTLP-31.
#[tokio::test]
async fn a_call_under_way_is_answered_at_the_stop() {
    let server = serve();
    let waiting = client(&plain_text(server.address));
    let call_under_way = tokio::spawn(async move { call(&waiting, WAIT, b"late").await });
    server.service.waiting(1).await;
    server.stop.stop(Deadline::after(Duration::from_secs(60)));
    server.service.go.add_permits(1);
    assert_eq!(call_under_way.await.unwrap().unwrap(), "late");
    server.task.await.unwrap();
}

#[tokio::test]
async fn calls_share_a_connection_and_run_side_by_side() {
    let server = serve();
    let client = client(&plain_text(server.address));
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { call(&client, WAIT, b"x").await })
        })
        .collect();
    server.service.waiting(50).await;
    server.service.go.add_permits(50);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "x");
    }
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_is_unavailable_and_found_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(&plain_text(address));
    let status = call(&client, ECHO, b"x").await.unwrap_err();
    assert_eq!(status.code, GrpcCode::Unavailable);
    assert_eq!(
        status.message,
        format!("cannot connect to {address}: connection refused")
    );
    // At once, without another attempt.
    let began = tokio::time::Instant::now();
    call(&client, ECHO, b"x").await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::ZERO);
    let waiting = GrpcClient::new(
        &GrpcClientConfig {
            wait_for_ready: true,
            ..plain_text(address)
        },
        ClientContext::default(),
    )
    .unwrap();
    let patient = tokio::spawn(async move { call(&waiting, ECHO, b"patient").await });

    let again = GrpcServerConfig::listening_on(&address.to_string());
    let server = serve_with(&again, ServerContext::default());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(call(&client, ECHO, b"x").await.unwrap(), "x");
    assert_eq!(patient.await.unwrap().unwrap(), "patient");
    server.end().await;

    // The lost connection is noticed, and a new server under the address is used.
    let server = serve_with(&again, ServerContext::default());
    let mut answer = call(&client, ECHO, b"x").await;
    while answer.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer = call(&client, ECHO, b"x").await;
    }
    assert_eq!(answer.unwrap(), "x");
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_exceeds_the_deadline() {
    let server = serve();
    let client = client(&plain_text(server.address));
    let limit = Some(Duration::from_secs(5));
    let message = vec![Bytes::from_static(b"x")];
    let status = client
        .unary(WAIT, message, &HeaderMap::new(), limit)
        .await
        .unwrap_err();
    assert_eq!(status.code, GrpcCode::DeadlineExceeded);
    server.end().await;
}

/// OTLP-77 as corrected: `http://` does not switch TLS off.
#[tokio::test]
async fn only_insecure_means_plain_text() {
    let server = serve();
    let endpoint = format!("http://{}", server.address);
    let config = GrpcClientConfig {
        endpoint: endpoint.clone(),
        ..GrpcClientConfig::default()
    };
    let status = call(&client(&config), ECHO, b"x").await.unwrap_err();
    assert_eq!(status.code, GrpcCode::Unavailable);
    assert!(status.message.contains("TLS handshake"), "{status}");
    let config = GrpcClientConfig {
        endpoint,
        ..plain_text(server.address)
    };
    assert_eq!(call(&client(&config), ECHO, b"x").await.unwrap(), "x");
    server.end().await;
}

/// OTLP-27.
#[tokio::test]
async fn tls_with_client_certificates_and_another_server_name() {
    let authority = Authority::new();
    let mut config = GrpcServerConfig::listening_on("127.0.0.1:0");
    let mut tls = authority.server("backend.test");
    tls.client_ca_file = authority.path("ca.pem");
    config.tls = Some(tls);
    let server = serve_with(&config, ServerContext::default());
    let with = |tls: TlsClientConfig| GrpcClientConfig {
        tls: TlsClientConfig {
            server_name_override: "backend.test".to_owned(),
            ..tls
        },
        ..plain_text(server.address)
    };
    let good = client(&with(authority.client_with_certificate()));
    assert_eq!(call(&good, ECHO, b"x").await.unwrap(), "x");
    let bare = client(&with(authority.client()));
    assert_eq!(
        call(&bare, ECHO, b"x").await.unwrap_err().code,
        GrpcCode::Unavailable
    );
    let status = call(&client(&with(Authority::new().client())), ECHO, b"x").await;
    assert!(status.unwrap_err().message.contains("tls.ca_file"));
    server.end().await;
}

#[tokio::test]
async fn metadata_and_user_agent_are_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = GrpcClientConfig {
        headers: crate::Headers(vec![("X-Tenant".to_owned(), "t1".to_owned().into())]),
        ..plain_text(listener.local_addr().unwrap())
    };
    let seen = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (seen, saw) = tokio::sync::oneshot::channel();
        let seen = std::sync::Mutex::new(Some(seen));
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            if let Some(seen) = seen.lock().unwrap().take() {
                seen.send(request.headers().clone()).unwrap();
            }
            // No gRPC status at all: a server that is something else.
            std::future::ready(Ok::<_, hyper::Error>(http::Response::new(
                Full::<Bytes>::default(),
            )))
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
        saw.await.unwrap()
    });
    let context = ClientContext {
        auth: None,
        user_agent: "weir/1 (test)".to_owned(),
    };
    let client = GrpcClient::new(&config, context).unwrap();
    let mut metadata = HeaderMap::new();
    metadata.insert("x-call", HeaderValue::from_static("c1"));
    let message = vec![Bytes::from_static(b"x")];
    let status = client
        .unary(ECHO, message, &metadata, Some(Duration::from_secs(30)))
        .await;
    assert_eq!(status.unwrap_err().code, GrpcCode::Internal);
    let headers = seen.await.unwrap();
    for (name, value) in [
        ("x-tenant", "t1"),
        ("x-call", "c1"),
        ("user-agent", "weir/1 (test)"),
        ("grpc-encoding", "gzip"),
        ("grpc-timeout", "30000000u"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ] {
        assert_eq!(headers.get(name).unwrap(), value);
    }
}

#[tokio::test]
async fn unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s").to_string_lossy().into_owned();
    let config = GrpcServerConfig {
        endpoint: path.clone(),
        transport: "unix".to_owned(),
        ..GrpcServerConfig::default()
    };
    let server = GrpcServer::bind(&config, ServerContext::default()).unwrap();
    let stop = Stop::default();
    let task = tokio::spawn(server.serve(Arc::new(Service::default()), stop.clone()));
    let endpoint = format!("unix://{path}");
    let config = GrpcClientConfig {
        endpoint,
        ..plain_text(([127, 0, 0, 1], 1).into())
    };
    assert_eq!(call(&client(&config), ECHO, b"x").await.unwrap(), "x");
    stop.stop(Deadline::after(Duration::from_secs(5)));
    task.await.unwrap();
}

/// A client that says nothing does not hold its connection for ever.
#[tokio::test(start_paused = true)]
async fn connections_without_a_preface_are_closed() {
    let server = serve();
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut rest = Vec::new();
    let _end = silent.read_to_end(&mut rest).await;
    assert_eq!(began.elapsed().as_secs(), 10);
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn connections_end_by_age_and_the_client_moves_on() {
    let mut config = GrpcServerConfig::listening_on("127.0.0.1:0");
    config.keepalive = Some(KeepaliveServer {
        server_parameters: Some(KeepaliveServerParameters {
            max_connection_age: weir_config::Duration::from_secs(60),
            ..KeepaliveServerParameters::default()
        }),
        enforcement_policy: None,
    });
    let server = serve_with(&config, ServerContext::default());
    let client = client(&plain_text(server.address));
    for _ in 0..5 {
        assert_eq!(call(&client, ECHO, b"x").await.unwrap(), "x");
        tokio::time::sleep(Duration::from_secs(45)).await;
    }
    server.end().await;
}

#[test]
fn wrong_settings_are_found() {
    let server = |change: fn(&mut GrpcServerConfig)| {
        let mut config = GrpcServerConfig::listening_on("localhost:4317");
        change(&mut config);
        let mut errors = Errors::default();
        config.validate(&mut errors);
        !errors.is_empty()
    };
    assert!(!server(|_| {}));
    assert!(server(|c| c.endpoint = "localhost".to_owned()));
    assert!(server(|c| c.transport = "udp".to_owned()));
    let client = |change: fn(&mut GrpcClientConfig)| {
        let mut config = plain_text(([127, 0, 0, 1], 4317).into());
        change(&mut config);
        let mut errors = Errors::default();
        config.validate(&mut errors);
        !errors.is_empty()
    };
    assert!(!client(|_| {}));
    assert!(client(|c| c.endpoint = String::new()));
    assert!(client(|c| c.endpoint = "backend".to_owned()));
    assert!(client(|c| c.balancer_name = "random".to_owned()));
    assert!(client(|c| c.compression = Compression(Some(Encoding::Lz4))));
    assert_eq!(
        Encoder::default_of(Encoding::Gzip).encoding(),
        Encoding::Gzip
    );
}
