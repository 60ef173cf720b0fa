#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
//! The server over real sockets, with bytes written by hand where a client library would not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use weir_config::{Errors, Validate};
use weir_core::{AuthError, BoxFut, Deadline, ServerAuth, Stop};
use weir_model::Ledger;

use super::*;
use crate::compress::{Encoder, Encoding};
use crate::server::ConnectionLimits;

/// Answers with the length of the body; `/slow` waits to be let go, `/gone` is screened.
#[derive(Default)]
struct Lengths {
    handled: AtomicUsize,
    entered: Notify,
    go: Notify,
}

impl HttpHandler for Lengths {
    fn screen(&self, head: &request::Parts) -> Option<Response<Bytes>> {
        (head.uri.path() == "/gone").then(|| {
            let mut response = Response::new(Bytes::from_static(b"not here"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        })
    }

    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        Box::pin(async move {
            self.handled.fetch_add(1, Ordering::SeqCst);
            if request.head.uri.path() == "/slow" {
                self.entered.notify_one();
                self.go.notified().await;
            }
            let charged = request.charge.as_ref().map_or(0, weir_model::Charge::bytes);
            Response::new(Bytes::from(format!(
                "{} bytes, {charged} charged",
                request.body.len()
            )))
        })
    }
}

struct Running {
    address: SocketAddr,
    handler: Arc<Lengths>,
    stop: Stop,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        self.stop.stop(Deadline::after(Duration::from_secs(5)));
        self.task.await.unwrap();
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        read_all(&mut stream).await
    }

    async fn post(&self, headers: &str, body: &[u8]) -> String {
        let head = format!(
            "POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.exchange(&[head.as_bytes(), body].concat()).await
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is the server's way of not reading the rest.
    let _end = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn start_with(config: &HttpServerConfig, context: ServerContext) -> Running {
    let server = HttpServer::bind(config, context).unwrap();
    let address = server.local_addr().unwrap();
    let (handler, stop) = (Arc::new(Lengths::default()), Stop::default());
    let served = server.serve(handler.clone(), stop.clone());
    let task = tokio::spawn(async move { served.await.unwrap() });
    Running {
        address,
        handler,
        stop,
        task,
    }
}

fn start(change: impl FnOnce(&mut HttpServerConfig)) -> Running {
    let mut config = HttpServerConfig::listening_on("127.0.0.1:0");
    change(&mut config);
    start_with(&config, ServerContext::default())
}

#[tokio::test]
async fn bodies_arrive_whole_however_they_come() {
    let server = start(|_| {});
    let answer = server.post("", b"hello").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("5 bytes"),
        "{answer}"
    );
    let chunked = b"POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    assert!(server.exchange(chunked).await.contains("11 bytes"));
    let large = vec![b'x'; 3 << 20];
    assert!(server.post("", &large).await.contains("3145728 bytes"));
    server.end().await;
}

#[tokio::test]
async fn the_screen_answers_without_the_body() {
    let server = start(|_| {});
    let answer = server
        .exchange(b"POST /gone HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    server.end().await;
}

/// OTLP-15, OTLP-16.
#[tokio::test]
async fn bodies_over_the_limit_are_refused_and_the_connection_is_closed() {
    let server = start(|c| c.max_request_body_size = 1000);
    assert!(server.post("", &[b'x'; 1000]).await.contains("1000 bytes"));
    let declared = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n";
    let answer = server.exchange(declared).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("request body too large"), "{answer}");
    assert!(
        answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
    let mut chunked =
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n".to_vec();
    chunked.extend([b'x'; 1001]);
    assert!(server.exchange(&chunked).await.starts_with("HTTP/1.1 400"));
    assert_eq!(server.handler.handled.load(Ordering::SeqCst), 1);
    server.end().await;
}

/// OTLP-12 to OTLP-15.
#[tokio::test]
async fn encodings_are_decoded_under_the_limit() {
    let server = start(|c| c.max_request_body_size = 100_000);
    let fits = vec![b'x'; 100_000];
    for encoding in Encoding::ALL {
        let header = format!("Content-Encoding: {}\r\n", encoding.name());
        let mut packed = Vec::new();
        Encoder::default_of(encoding)
            .encode(&fits, &mut packed)
            .unwrap();
        let answer = server.post(&header, &packed).await;
        assert!(answer.contains("100000 bytes"), "{encoding:?}: {answer}");
        let cut = server.post(&header, &packed[..packed.len() - 1]).await;
        assert!(cut.starts_with("HTTP/1.1 400"), "{encoding:?}: {cut}");
        packed.clear();
        let bomb = vec![b'x'; 200_000];
        Encoder::default_of(encoding)
            .encode(&bomb, &mut packed)
            .unwrap();
        let answer = server.post(&header, &packed).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{encoding:?}: {answer}");
    }
    for name in ["br", "identity", "GZIP", "gzip, gzip"] {
        let answer = server
            .post(&format!("Content-Encoding: {name}\r\n"), b"x")
            .await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(
            answer.contains(&format!("unsupported Content-Encoding: {name}")),
            "{answer}"
        );
    }
    assert!(
        server
            .post("Content-Encoding: \r\n", b"x")
            .await
            .contains("1 bytes")
    );
    server.end().await;
    let server = start(|c| c.compression_algorithms = vec![String::new(), "zstd".to_owned()]);
    let answer = server.post("Content-Encoding: gzip\r\n", b"x").await;
    assert!(
        answer.contains("unsupported Content-Encoding: gzip"),
        "{answer}"
    );
    server.end().await;
}

#[tokio::test]
async fn memory_is_charged_before_it_is_used_and_given_back() {
    let ledger = Ledger::new(10_000);
    let context = ServerContext {
        ledger: Some(ledger.clone()),
        ..ServerContext::default()
    };
    let server = start_with(&HttpServerConfig::listening_on("127.0.0.1:0"), context);
    let answer = server.post("", &[b'x'; 4000]).await;
    assert!(answer.contains("4000 bytes, 4000 charged"), "{answer}");
    let refused = server.post("", &[b'x'; 10_001]).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(
        refused.to_lowercase().contains("retry-after: 1"),
        "{refused}"
    );
    let mut packed = Vec::new();
    Encoder::default_of(Encoding::Gzip)
        .encode(&[b'x'; 9000], &mut packed)
        .unwrap();
    let answer = server.post("Content-Encoding: gzip\r\n", &packed).await;
    assert!(
        answer.contains(&format!("9000 bytes, {} charged", 9000 + packed.len())),
        "{answer}"
    );
    Encoder::default_of(Encoding::Gzip)
        .encode(&[b'x'; 9000], &mut packed)
        .unwrap();
    let answer = server.post("Content-Encoding: gzip\r\n", &packed).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(ledger.used(), 0);
    server.end().await;
}

/// R20: half a request header is given up, an idle connection is not.
#[tokio::test(start_paused = true)]
async fn stalled_headers_are_cut_off_and_idle_connections_are_kept() {
    let server = start(|_| {});
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 15];
    idle.read_exact(&mut some).await.unwrap();
    let mut stalled = server.connect().await;
    stalled
        .write_all(b"POST /x HTTP/1.1\r\nHost: h\r\nX-Half: ")
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(read_all(&mut stalled).await, "");
    assert!(
        began.elapsed() <= Duration::from_secs(11),
        "{:?}",
        began.elapsed()
    );
    tokio::time::sleep(Duration::from_secs(600)).await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(read_all(&mut idle).await.contains("0 bytes"));
    server.end().await;
}

/// R20: a body must come at a least pace and end in time.
#[tokio::test(start_paused = true)]
async fn stalled_bodies_are_cut_off() {
    let server = start(|_| {});
    let mut stalled = server.connect().await;
    let head = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nbegin";
    stalled.write_all(head).await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(read_all(&mut stalled).await.starts_with("HTTP/1.1 408"));
    assert!(
        began.elapsed() <= Duration::from_secs(11),
        "{:?}",
        began.elapsed()
    );

    let mut slow = server.connect().await;
    slow.write_all(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    let (mut read, mut write) = slow.into_split();
    let sender = tokio::spawn(async move {
        while write.write_all(&[b'x'; 1100]).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let mut answer = Vec::new();
    let _end = read.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"));
    assert!(
        began.elapsed() <= Duration::from_secs(61),
        "{:?}",
        began.elapsed()
    );
    sender.await.unwrap();
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn configured_times_replace_the_defaults() {
    let server = start(|c| {
        c.idle_timeout = Some(weir_config::Duration::from_secs(30));
        c.read_header_timeout = Some(weir_config::Duration::ZERO);
    });
    let mut stalled = server.connect().await;
    stalled.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut idle = server.connect().await;
    let began = tokio::time::Instant::now();
    assert_eq!(read_all(&mut idle).await, "");
    assert_eq!(began.elapsed().as_secs(), 30);
    tokio::time::sleep(Duration::from_secs(600)).await;
    stalled
        .write_all(b"Host: h\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(read_all(&mut stalled).await.contains("0 bytes"));
    server.end().await;
}

/// OTLP-31.
#[tokio::test]
async fn a_request_under_way_is_answered_at_the_stop_and_new_ones_are_not_taken() {
    let server = start(|_| {});
    let mut slow = server.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    server.handler.entered.notified().await;
    let mut idle = server.connect().await;
    server.stop.stop(Deadline::after(Duration::from_secs(60)));
    assert_eq!(read_all(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    server.handler.go.notify_one();
    assert!(read_all(&mut slow).await.contains("0 bytes"));
    server.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_stop_is_bounded_in_time() {
    let server = start(|_| {});
    let mut slow = server.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    server.handler.entered.notified().await;
    let began = tokio::time::Instant::now();
    server.stop.stop(Deadline::after(Duration::from_secs(7)));
    server.task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn connections_over_the_cap_are_told_and_closed() {
    let context = ServerContext {
        limits: ConnectionLimits {
            max_connections: 1,
            ..ConnectionLimits::default()
        },
        ..ServerContext::default()
    };
    let server = start_with(&HttpServerConfig::listening_on("127.0.0.1:0"), context);
    let mut first = server.connect().await;
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    first.read_exact(&mut [0; 15]).await.unwrap();
    let mut second = server.connect().await;
    assert!(read_all(&mut second).await.starts_with("HTTP/1.1 503"));
    drop(first);
    server.end().await;
}

#[tokio::test]
async fn response_headers_and_keep_alives() {
    let server = start(|c| {
        c.keep_alives_enabled = Some(false);
        c.response_headers = crate::Headers(vec![("X-Frame".to_owned(), "DENY".to_owned().into())]);
    });
    let answer = server
        .exchange(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .to_lowercase();
    assert!(answer.contains("x-frame: deny\r\n") && answer.contains("connection: close"));
    let gone = server
        .exchange(b"GET /gone HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .to_lowercase();
    assert!(gone.contains("x-frame: deny\r\n"), "{gone}");
    server.end().await;
}

#[derive(Debug)]
struct Password;

impl ServerAuth for Password {
    fn authenticate<'a>(
        &'a self,
        headers: &'a http::HeaderMap,
    ) -> BoxFut<'a, Result<(), AuthError>> {
        let good = headers.get("key").is_some_and(|v| v == "open");
        let error = AuthError {
            message: "wrong key".to_owned(),
            retryable: false,
        };
        Box::pin(async move { if good { Ok(()) } else { Err(error) } })
    }
}

/// CVE-2024-45043 and its like: no, empty, wrong, right credential.
#[tokio::test]
async fn requests_are_authenticated_before_anything_else() {
    let mut config = HttpServerConfig::listening_on("127.0.0.1:0");
    config.auth = Some(ServerAuthConfig {
        authenticator: None,
        request_params: vec!["key".to_owned()],
    });
    let context = ServerContext {
        auth: Some(Arc::new(Password)),
        ..ServerContext::default()
    };
    let server = start_with(&config, context);
    for headers in ["", "Key: \r\n", "Key: no\r\n", "Key: Open\r\n"] {
        let answer = server.post(headers, b"x").await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    assert!(server.post("Key: open\r\n", b"x").await.contains("1 bytes"));
    let by_query = b"GET /?a=b&key=open HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert!(server.exchange(by_query).await.contains("0 bytes"));
    assert_eq!(server.handler.handled.load(Ordering::SeqCst), 2);
    server.end().await;
}

/// OTLP-19.
#[tokio::test]
async fn cross_origin_requests() {
    let server = start(|c| {
        c.cors = Some(CorsConfig {
            allowed_origins: vec!["https://*.example.com".to_owned()],
            allowed_headers: vec!["X-Tenant".to_owned(), "Content-Type".to_owned()],
            exposed_headers: vec!["X-Answer".to_owned()],
            max_age: 600,
        });
    });
    let preflight = async |origin: &str, headers: &str| {
        let request = format!(
            "OPTIONS /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n{headers}\r\n"
        );
        server.exchange(request.as_bytes()).await.to_lowercase()
    };
    let asked = "Access-Control-Request-Headers: content-type,x-tenant\r\n";
    let answer = preflight("https://app.example.com", asked).await;
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    for expected in [
        "access-control-allow-origin: https://app.example.com\r\n",
        "access-control-allow-methods: post\r\n",
        "access-control-allow-headers: content-type,x-tenant\r\n",
        "access-control-allow-credentials: true\r\n",
        "access-control-max-age: 600\r\n",
    ] {
        assert!(answer.contains(expected), "{answer}");
    }
    for (origin, headers) in [
        ("https://evil.test", asked),
        ("https://example.com", asked),
        (
            "https://app.example.com",
            "Access-Control-Request-Headers: x-other\r\n",
        ),
    ] {
        let answer = preflight(origin, headers).await;
        assert!(answer.starts_with("http/1.1 204"), "{answer}");
        assert!(!answer.contains("access-control-allow"), "{answer}");
    }
    let answer = server
        .post("Origin: https://app.example.com\r\n", b"x")
        .await
        .to_lowercase();
    assert!(answer.contains("access-control-allow-origin: https://app.example.com\r\n"));
    assert!(answer.contains("access-control-expose-headers: x-answer\r\n"));
    let answer = server
        .post("Origin: https://evil.test\r\n", b"x")
        .await
        .to_lowercase();
    assert!(
        answer.contains("1 bytes") && !answer.contains("access-control-allow"),
        "{answer}"
    );
    server.end().await;
}

#[test]
fn wrong_settings_are_found() {
    let check = |change: fn(&mut HttpServerConfig)| {
        let mut config = HttpServerConfig::listening_on("localhost:4318");
        change(&mut config);
        let mut errors = Errors::default();
        config.validate(&mut errors);
        !errors.is_empty()
    };
    assert!(!check(|_| {}));
    assert!(check(|c| c.endpoint = "localhost".to_owned()));
    assert!(check(
        |c| c.tls = Some(crate::tls::TlsServerConfig::default())
    ));
    assert!(check(|c| c.compression_algorithms = vec!["br".to_owned()]));
    assert!(check(
        |c| c.idle_timeout = Some(weir_config::Duration::from_secs(-1))
    ));
    assert!(check(|c| c.middlewares = vec![Middleware::default()]));
    assert!(check(|c| {
        c.response_headers = crate::Headers(vec![("bad name".to_owned(), String::new().into())]);
    }));
}
