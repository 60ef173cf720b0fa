#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
//! The HTTP client against our server and against sockets that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use weir_core::{AuthError, BoxFut, ClientAuth, Deadline, RequestParts, Stop};

use super::{
    ANSWER_CAP, ClientContext, CookiesConfig, HttpClient, HttpClientConfig, HttpClientOptions,
    HttpResponse, ProxyChoice,
};
use crate::NetError;
use crate::compress::{Compression, Encoder, Encoding};
use crate::http::{HttpHandler, HttpRequest, HttpServer, HttpServerConfig, ServerContext};
use crate::tls::tests::Authority;

/// Hands every request to the test and answers as its path says.
struct Recorder(mpsc::UnboundedSender<HttpRequest>);

impl HttpHandler for Recorder {
    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        let response = answer_to(&request);
        self.0.send(request).unwrap();
        Box::pin(std::future::ready(response))
    }
}

fn answer_to(request: &HttpRequest) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"fine"));
    let query = request.head.uri.query().unwrap_or_default();
    match request.head.uri.path() {
        "/bytes" => *response.body_mut() = vec![b'x'; query.parse().unwrap()].into(),
        "/gzip" => {
            let mut packed = Vec::new();
            let plain = vec![b'x'; query.parse().unwrap()];
            Encoder::default_of(Encoding::Gzip)
                .encode(&plain, &mut packed)
                .unwrap();
            *response.body_mut() = packed.into();
            response
                .headers_mut()
                .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        "/status" => *response.status_mut() = query.parse().unwrap(),
        "/cookie" => {
            response
                .headers_mut()
                .insert(SET_COOKIE, HeaderValue::from_static("lb=7; Path=/"));
        }
        path => {
            if let Ok(status) = path.trim_start_matches('/').parse::<StatusCode>() {
                *response.status_mut() = status;
                response
                    .headers_mut()
                    .insert(LOCATION, HeaderValue::from_str(query).unwrap());
            }
        }
    }
    response
}

struct Server {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<HttpRequest>,
    stop: Stop,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.stop(Deadline::after(Duration::ZERO));
    }
}

fn serve(config: &HttpServerConfig) -> Server {
    let server = HttpServer::bind(config, ServerContext::default()).unwrap();
    let address = server.local_addr().unwrap();
    let (sender, requests) = mpsc::unbounded_channel();
    let stop = Stop::default();
    tokio::spawn(server.serve(Arc::new(Recorder(sender)), stop.clone()));
    Server {
        address,
        requests,
        stop,
    }
}

fn plain() -> Server {
    serve(&HttpServerConfig::listening_on("127.0.0.1:0"))
}

impl Server {
    fn url(&self, path: &str) -> Uri {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    async fn next(&mut self) -> HttpRequest {
        self.requests.recv().await.unwrap()
    }
}

fn client(config: &HttpClientConfig) -> HttpClient {
    HttpClient::new(config.options(ClientContext::default()).unwrap()).unwrap()
}

async fn get(client: &HttpClient, url: &Uri) -> Result<HttpResponse, NetError> {
    client
        .send(Method::GET, url, &HeaderMap::new(), Bytes::new())
        .await
}

async fn post(client: &HttpClient, url: &Uri, body: &str) -> Result<HttpResponse, NetError> {
    client
        .send(
            Method::POST,
            url,
            &HeaderMap::new(),
            Bytes::from(body.to_owned()),
        )
        .await
}

#[derive(Debug)]
struct BodyLength;

impl ClientAuth for BodyLength {
    fn authorize<'a>(&'a self, parts: RequestParts<'a>) -> BoxFut<'a, Result<(), AuthError>> {
        let seen = format!(
            "{} {} {}",
            parts.body.len(),
            parts.headers.contains_key(CONTENT_ENCODING),
            parts.headers.contains_key(ACCEPT_ENCODING)
        );
        parts
            .headers
            .insert("signed", HeaderValue::from_str(&seen).unwrap());
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Counts what it signs, and learns from as many refusals as it is told.
#[derive(Debug, Default)]
struct Learner {
    signed: AtomicUsize,
    learns: AtomicUsize,
}

impl ClientAuth for Learner {
    fn authorize<'a>(&'a self, parts: RequestParts<'a>) -> BoxFut<'a, Result<(), AuthError>> {
        let count = self.signed.fetch_add(1, Ordering::SeqCst);
        assert!(!parts.headers.contains_key("signed"));
        parts.headers.insert("signed", HeaderValue::from(count));
        Box::pin(std::future::ready(Ok(())))
    }

    fn refused<'a>(&'a self, signed: &'a HeaderMap, _: &'a HeaderMap) -> BoxFut<'a, bool> {
        let last = self.signed.load(Ordering::SeqCst) - 1;
        assert_eq!(signed["signed"], last.to_string().as_str());
        let take = |left: usize| left.checked_sub(1);
        let learned = self
            .learns
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok();
        Box::pin(std::future::ready(learned))
    }
}

/// A refused signature is repeated once if the authenticator learned from it, other answers never.
#[tokio::test]
async fn a_refusal_is_followed_by_one_more_attempt_if_something_was_learned() {
    let server = plain();
    for (status, learns, attempts) in [
        (403, 9, 2),
        (401, 9, 2),
        (403, 0, 1),
        (500, 9, 1),
        (200, 9, 1),
    ] {
        let auth = Arc::new(Learner::default());
        auth.learns.store(learns, Ordering::SeqCst);
        let context = ClientContext {
            auth: Some(auth.clone()),
            user_agent: String::new(),
        };
        let client = HttpClient::new(HttpClientConfig::default().options(context).unwrap());
        let url = server.url(&format!("/status?{status}"));
        let answer = post(&client.unwrap(), &url, "body").await.unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(auth.signed.load(Ordering::SeqCst), attempts, "{status}");
    }
}

/// OTLP-41: compress, headers, signature over the compressed body, send.
#[tokio::test]
async fn the_signature_covers_the_compressed_body() {
    let mut server = plain();
    let config = HttpClientConfig {
        compression: Compression::GZIP,
        headers: crate::Headers(vec![("X-Own".to_owned(), "config".to_owned().into())]),
        ..HttpClientConfig::default()
    };
    let context = ClientContext {
        auth: Some(Arc::new(BodyLength)),
        user_agent: "weir/1".to_owned(),
    };
    let client = HttpClient::new(config.options(context).unwrap()).unwrap();
    let body = "a long body ".repeat(1000);
    let mut headers = HeaderMap::new();
    headers.insert("x-own", HeaderValue::from_static("component"));
    let url = server.url("/x");
    client
        .send(Method::POST, &url, &headers, body.clone().into())
        .await
        .unwrap();
    let request = server.next().await;
    assert_eq!(request.body, body);
    let header = |name| {
        request
            .head
            .headers
            .get(name)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let length: usize = header("content-length").parse().unwrap();
    assert!(length < 1000);
    assert_eq!(header("signed"), format!("{length} true false"));
    assert_eq!(header("x-own"), "config");
    assert_eq!(header("user-agent"), "weir/1");
    assert_eq!(header("accept-encoding"), "gzip");
}

#[tokio::test]
async fn every_compression_reaches_the_server() {
    let mut server = plain();
    for encoding in Encoding::ALL {
        let compression = Compression(Some(encoding));
        let client = client(&HttpClientConfig {
            compression,
            ..HttpClientConfig::default()
        });
        post(&client, &server.url("/x"), "payload").await.unwrap();
        let request = server.next().await;
        assert_eq!(request.body, "payload");
        assert_eq!(
            request.head.headers.get(CONTENT_ENCODING).unwrap(),
            encoding.name()
        );
    }
    // Compressed already.
    let client = client(&HttpClientConfig {
        compression: Compression::GZIP,
        ..HttpClientConfig::default()
    });
    let mut packed = Vec::new();
    Encoder::default_of(Encoding::Snappy)
        .encode(b"payload", &mut packed)
        .unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    let url = server.url("/x");
    client
        .send(Method::POST, &url, &headers, packed.into())
        .await
        .unwrap();
    assert_eq!(server.next().await.body, "payload");
}

#[tokio::test]
async fn answers_are_cut_and_documents_are_refused_at_the_cap() {
    let server = plain();
    let client = client(&HttpClientConfig::default());
    let answer = get(&client, &server.url("/bytes?100000")).await.unwrap();
    assert_eq!(answer.body.len(), ANSWER_CAP);
    assert_eq!(
        get(&client, &server.url("/gzip?5000")).await.unwrap().body,
        "x".repeat(5000)
    );
    assert_eq!(
        get(&client, &server.url("/gzip?100000"))
            .await
            .unwrap()
            .body,
        ""
    );
    let document = async |path: &str, cap| {
        let time = Duration::from_secs(60);
        client
            .get_body(&server.url(path), &HeaderMap::new(), cap, time)
            .await
    };
    assert_eq!(
        document("/bytes?100000", 100_000).await.unwrap().body.len(),
        100_000
    );
    assert_eq!(
        document("/gzip?100000", 100_000).await.unwrap().body.len(),
        100_000
    );
    for path in ["/bytes?100001", "/gzip?100001"] {
        let error = document(path, 100_000).await.unwrap_err();
        let peer = server.address.to_string();
        assert_eq!(
            error,
            NetError::BodyTooLarge {
                peer,
                limit: 100_000
            }
        );
    }
}

#[tokio::test]
async fn error_statuses_are_answers() {
    let server = plain();
    let client = client(&HttpClientConfig::default());
    let answer = get(&client, &server.url("/status?503")).await.unwrap();
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::SERVICE_UNAVAILABLE, &b"fine"[..])
    );
}

#[tokio::test]
async fn failures_name_the_server_and_the_cure() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let url: Uri = format!("http://{address}/").parse().unwrap();
    let impatient = client(&HttpClientConfig {
        timeout: weir_config::Duration::from_millis(20),
        ..HttpClientConfig::default()
    });
    let error = get(&impatient, &url).await.unwrap_err();
    assert!(matches!(&error, NetError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let broken = tokio::spawn(async move {
        // The first is the one that was given up above.
        drop(silent.accept().await.unwrap());
        drop(silent.accept().await.unwrap());
    });
    let error = get(&client(&HttpClientConfig::default()), &url)
        .await
        .unwrap_err();
    assert!(matches!(&error, NetError::Transport { .. }), "{error}");
    broken.await.unwrap();
    let error = get(&client(&HttpClientConfig::default()), &url)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {address}: connection refused")
    );
    assert!(error.is_retryable());
    let error = get(&impatient, &Uri::from_static("/nowhere"))
        .await
        .unwrap_err();
    assert!(!error.is_retryable(), "{error}");
}

/// OTLP-40.
#[tokio::test]
async fn the_host_header_can_be_set() {
    let mut server = plain();
    let headers = crate::Headers(vec![("Host".to_owned(), "tenant.test".to_owned().into())]);
    let client = client(&HttpClientConfig {
        headers,
        ..HttpClientConfig::default()
    });
    post(&client, &server.url("/x"), "").await.unwrap();
    let request = server.next().await;
    assert_eq!(request.head.headers.get("host").unwrap(), "tenant.test");
    assert_eq!(request.head.headers.get("content-length").unwrap(), "0");
}

#[tokio::test]
async fn cookies_come_back_when_enabled() {
    let mut server = plain();
    let cookies = Some(CookiesConfig { enabled: true });
    let keeping = client(&HttpClientConfig {
        cookies,
        ..HttpClientConfig::default()
    });
    for client in [&keeping, &client(&HttpClientConfig::default())] {
        get(client, &server.url("/cookie")).await.unwrap();
        assert_eq!(server.next().await.head.headers.get(COOKIE), None);
        get(client, &server.url("/x")).await.unwrap();
        let cookie = server.next().await.head.headers.remove(COOKIE);
        assert_eq!(cookie.is_some(), std::ptr::eq(client, &raw const keeping));
    }
}

#[tokio::test]
async fn redirects_keep_secrets_at_home() {
    let (mut here, mut there) = (plain(), plain());
    let headers = crate::Headers(vec![("X-Key".to_owned(), "secret".to_owned().into())]);
    let client = client(&HttpClientConfig {
        headers,
        ..HttpClientConfig::default()
    });

    assert_eq!(
        post(&client, &here.url("/307?/same"), "data")
            .await
            .unwrap()
            .body,
        "fine"
    );
    here.next().await;
    let second = here.next().await;
    assert_eq!(
        (second.head.uri.path(), &second.body[..]),
        ("/same", &b"data"[..])
    );
    assert!(second.head.headers.contains_key("x-key"));

    let away = there.url("/other").to_string();
    post(&client, &here.url(&format!("/302?{away}")), "data")
        .await
        .unwrap();
    let second = there.next().await;
    assert_eq!((second.head.method, second.body.len()), (Method::GET, 0));
    assert!(!second.head.headers.contains_key("x-key"));

    let error = get(&client, &here.url("/302?http://169.254.169.254/latest/"))
        .await
        .unwrap_err();
    assert!(matches!(&error, NetError::Redirect { .. }), "{error}");

    let options = HttpClientOptions {
        follow_redirects: false,
        ..HttpClientOptions::default()
    };
    let staying = HttpClient::new(options).unwrap();
    assert_eq!(
        get(&staying, &here.url("/302?/x")).await.unwrap().status,
        StatusCode::FOUND
    );
}

#[tokio::test]
async fn endless_redirects_end() {
    let client = client(&HttpClientConfig::default());
    let looping = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = looping.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = looping.accept().await.unwrap();
            let asked = stream.read(&mut [0; 1000]).await.unwrap();
            assert!(asked > 0);
            let answer = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    });
    let error = get(&client, &format!("http://{address}/").parse().unwrap())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("more than 10 redirects"),
        "{error}"
    );
}

#[tokio::test]
async fn a_url_with_credentials_becomes_basic_authentication() {
    let mut server = plain();
    let url: Uri = format!("http://user:pass@{}/x", server.address)
        .parse()
        .unwrap();
    get(&client(&HttpClientConfig::default()), &url)
        .await
        .unwrap();
    let request = server.next().await;
    assert_eq!(
        request.head.headers.get("authorization").unwrap(),
        "Basic dXNlcjpwYXNz"
    );
    assert_eq!(
        request.head.headers.get("host").unwrap(),
        &server.address.to_string()
    );
}

#[tokio::test]
async fn tls_with_http2_by_negotiation_and_a_client_certificate() {
    let authority = Authority::new();
    let mut config = HttpServerConfig::listening_on("127.0.0.1:0");
    let mut tls = authority.server("backend.test");
    tls.client_ca_file = authority.path("ca.pem");
    config.tls = Some(tls);
    let mut server = serve(&config);
    let url: Uri = format!("https://{}/x", server.address).parse().unwrap();
    let with = |tls, http2| HttpClientConfig {
        tls,
        force_attempt_http2: http2,
        ..HttpClientConfig::default()
    };
    let named = crate::tls::TlsClientConfig {
        server_name_override: "backend.test".to_owned(),
        ..authority.client_with_certificate()
    };
    for (http2, version) in [
        (true, http::Version::HTTP_2),
        (false, http::Version::HTTP_11),
    ] {
        post(&client(&with(named.clone(), http2)), &url, "data")
            .await
            .unwrap();
        let request = server.next().await;
        assert_eq!(
            (request.head.version, &request.body[..]),
            (version, &b"data"[..])
        );
    }
    let error = get(&client(&with(authority.client(), true)), &url)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("server_name_override"),
        "{error}"
    );
    let stranger = Authority::new();
    let error = get(&client(&with(stranger.client(), true)), &url)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("tls.ca_file"), "{error}");
    let plain_text = plain();
    let url = format!("https://{}/", plain_text.address).parse().unwrap();
    let error = get(&client(&with(authority.client(), true)), &url)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("does not seem to speak TLS"),
        "{error}"
    );
}

/// A proxy that says what it was asked; it plays the server itself.
async fn proxy(answer: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, asks) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 2000];
            let n = stream.read(&mut request).await.unwrap();
            let _gone = asked.send(String::from_utf8_lossy(&request[..n]).into_owned());
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asks)
}

#[tokio::test]
async fn requests_go_through_the_proxy() {
    let (address, mut asks) =
        proxy("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    let through = |proxy: SocketAddr| {
        let proxy_url = format!("http://user:pass@{proxy}");
        client(&HttpClientConfig {
            proxy_url,
            ..HttpClientConfig::default()
        })
    };
    let url = Uri::from_static("http://backend.test/path?q");
    assert_eq!(get(&through(address), &url).await.unwrap().body, "ok");
    let asked = asks.recv().await.unwrap().to_lowercase();
    assert!(
        asked.starts_with("get http://backend.test/path?q http/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("proxy-authorization: basic dxnlcjpwyxnz\r\n"),
        "{asked}"
    );
    assert!(asked.contains("host: backend.test\r\n"), "{asked}");

    let (address, mut asks) = proxy("HTTP/1.1 407 Wrong\r\n\r\n").await;
    let url = Uri::from_static("https://backend.test/path");
    let error = get(&through(address), &url).await.unwrap_err();
    assert!(error.to_string().contains("other credentials"), "{error}");
    assert!(!error.to_string().contains("pass"), "{error}");
    let asked = asks.recv().await.unwrap();
    assert!(
        asked.starts_with("CONNECT backend.test:443 HTTP/1.1\r\n"),
        "{asked}"
    );
}

/// PROM-15
#[tokio::test]
async fn tunnels_are_asked_for_with_the_configured_headers() {
    let (address, mut asks) = proxy("HTTP/1.1 502 No\r\n\r\n").await;
    let mut connect_headers = HeaderMap::new();
    connect_headers.append("x-tenant", "a".parse().unwrap());
    connect_headers.append("x-tenant", "b".parse().unwrap());
    let client = HttpClient::new(HttpClientOptions {
        proxy: ProxyChoice::Url {
            url: format!("http://{address}"),
            no_proxy: String::new(),
        },
        connect_headers,
        ..HttpClientOptions::default()
    })
    .unwrap();
    let url = Uri::from_static("https://backend.test/path");
    get(&client, &url).await.unwrap_err();
    let asked = asks.recv().await.unwrap();
    assert!(
        asked.ends_with("x-tenant: a\r\nx-tenant: b\r\n\r\n"),
        "{asked}"
    );
}

/// Headers that are marked as sensitive stay with the first host, others go along.
#[tokio::test]
async fn sensitive_headers_do_not_follow_to_another_host() {
    let mut server = serve(&HttpServerConfig::listening_on("127.0.0.1:0"));
    let (address, _asks) = proxy(Box::leak(
        format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            server.address
        )
        .into_boxed_str(),
    ))
    .await;
    let client = HttpClient::new(HttpClientOptions {
        proxy: ProxyChoice::None,
        ..HttpClientOptions::default()
    })
    .unwrap();
    let mut headers = HeaderMap::new();
    let mut secret: HeaderValue = "s".parse().unwrap();
    secret.set_sensitive(true);
    headers.insert("x-secret", secret);
    headers.insert("x-open", "o".parse().unwrap());
    let url: Uri = format!("http://{address}/").parse().unwrap();
    client
        .get_body(&url, &headers, 1000, Duration::from_secs(10))
        .await
        .unwrap();
    let arrived = server.next().await;
    assert!(!arrived.head.headers.contains_key("x-secret"));
    assert_eq!(arrived.head.headers["x-open"], "o");
}

#[tokio::test]
async fn a_tunnel_carries_tls() {
    let authority = Authority::new();
    let mut config = HttpServerConfig::listening_on("127.0.0.1:0");
    config.tls = Some(authority.server("backend.test"));
    let mut server = serve(&config);
    let target = server.address;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut request = [0; 2000];
        let asked = near.read(&mut request).await.unwrap();
        assert!(request[..asked].starts_with(b"CONNECT backend.test:443 "));
        near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await
            .unwrap();
        let mut far = tokio::net::TcpStream::connect(target).await.unwrap();
        let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    let tls = authority.client();
    let client = client(&HttpClientConfig {
        proxy_url,
        tls,
        ..HttpClientConfig::default()
    });
    post(&client, &Uri::from_static("https://backend.test/x"), "data")
        .await
        .unwrap();
    assert_eq!(server.next().await.body, "data");
}

crate::http_client_keys! {
    /// For the test below.
    struct Combined {
        pub namespace: String = "app".to_owned(),
    }
    defaults HttpClientConfig {
        timeout: weir_config::Duration::from_secs(30),
        compression: Compression::GZIP,
        ..HttpClientConfig::default()
    }
}

#[test]
fn the_keys_of_the_client_stand_among_those_of_a_component() {
    let config = Combined::default();
    assert_eq!(config.namespace, "app");
    let expected = HttpClientConfig {
        timeout: weir_config::Duration::from_secs(30),
        compression: Compression::GZIP,
        ..HttpClientConfig::default()
    };
    assert_eq!(config.http_client(), expected);
}
