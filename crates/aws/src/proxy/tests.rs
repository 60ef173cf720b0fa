//! The proxy over real sockets against a recording service; where the region comes from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_config::{Errors, Validate};
use weir_core::{BoxFut, BuildCtx, ComponentId, ComponentKind, Deadline, ManualClock, Stop};
use weir_net::{HttpClient, HttpClientOptions, HttpResponse};
use weir_testkit::{MockServer, Recorded, sigv4};

use super::*;
use crate::credentials::{Credentials, CredentialsError};

/// 2023-11-14 22:13:20 UTC.
const NOW_NS: u64 = 1_700_000_000_000_000_000;
const SECRET: &str = "secret";

#[derive(Debug)]
struct Nobody;

impl CredentialsProvider for Nobody {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async { Err(CredentialsError::new("none were found")) })
    }
}

fn keys() -> Arc<dyn CredentialsProvider> {
    Arc::new(Credentials::fixed("AKID", SECRET, Some("token")))
}

fn cx() -> BuildCtx {
    let id = ComponentId::parse("awsproxy").unwrap();
    let mut cx = BuildCtx::standalone(id, ComponentKind::Extension, None);
    cx.clock = Arc::new(ManualClock::at(NOW_NS));
    cx
}

fn config(aws_endpoint: &str) -> ProxyConfig {
    ProxyConfig {
        endpoint: "127.0.0.1:0".to_owned(),
        aws_endpoint: aws_endpoint.to_owned(),
        ..ProxyConfig::default()
    }
}

fn forwarder(
    config: &ProxyConfig,
    credentials: Arc<dyn CredentialsProvider>,
    cx: &BuildCtx,
) -> Result<Forwarder, BuildError> {
    let clock = Arc::new(ServiceClock::new(cx.clock.clone()));
    let endpoints = EndpointSettings::default();
    Forwarder::with(config, "us-west-2", &endpoints, (credentials, clock), cx)
}

/// A proxy that runs, and a client of it.
struct Bench {
    address: SocketAddr,
    cx: BuildCtx,
    client: HttpClient,
    stop: Stop,
}

impl Bench {
    fn start(config: &ProxyConfig, credentials: Arc<dyn CredentialsProvider>) -> Self {
        let cx = cx();
        let forwarder = forwarder(config, credentials, &cx).unwrap();
        let server = ProxyServer::bind(config, forwarder, &cx).unwrap();
        let address = server.local_addr().unwrap();
        let stop = Stop::default();
        let stopped = stop.clone();
        cx.tasks
            .spawn("proxy", async move { server.serve(stopped).await.unwrap() });
        let client = HttpClient::new(HttpClientOptions::default()).unwrap();
        Self {
            address,
            cx,
            client,
            stop,
        }
    }

    async fn call(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &'static [u8],
    ) -> HttpResponse {
        let url: Uri = format!("http://{}{path}", self.address).parse().unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let body = Bytes::from_static(body);
        self.client
            .send(Method::POST, &url, &map, body)
            .await
            .unwrap()
    }

    fn outcomes(&self) -> Vec<(String, f64)> {
        let page = self.cx.telemetry.encode();
        let lines = page
            .lines()
            .filter(|line| line.starts_with("weir_aws_proxy_requests{"));
        let mut found: Vec<(String, f64)> = lines
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(name.contains("extension=\"awsproxy\""), "{name}");
                let outcome = name
                    .split("outcome=\"")
                    .nth(1)
                    .unwrap()
                    .trim_end_matches("\"}");
                (outcome.to_owned(), value.parse().unwrap())
            })
            .filter(|(_, value)| *value > 0.0)
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.stop(Deadline::after(Duration::ZERO));
    }
}

fn one(service: &MockServer) -> Recorded {
    let requests = service.requests();
    assert_eq!(requests.len(), 1);
    requests.into_iter().next().unwrap()
}

/// AWS-34.
#[tokio::test]
async fn requests_are_signed_for_the_service_and_handed_on_whole() {
    let service = MockServer::start(|_| {
        Response::builder()
            .status(418)
            .header("x-amzn-requestid", "r-1")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .body(Bytes::from_static(b"{\"answer\":1}"))
            .unwrap()
    })
    .unwrap();
    let config = ProxyConfig {
        service_name: "monitoring".to_owned(),
        ..config(&format!("{}/ignored", service.url()))
    };
    let bench = Bench::start(&config, keys());
    let headers = [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-custom", "kept"),
        ("connection", "x-private, keep-alive"),
        ("x-private", "1"),
        ("authorization", "of the sender"),
        ("x-amz-date", "20000101T000000Z"),
        ("user-agent", "sdk/1"),
    ];
    let answer = bench
        .call("/Get%20Rules?b=2&a=1", &headers, b"{\"a\":1}")
        .await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(&answer.body[..], b"{\"answer\":1}");
    assert_eq!(answer.headers["x-amzn-requestid"], "r-1");
    assert!(!answer.headers.contains_key("x-hop"));
    let request = one(&service);
    assert_eq!(request.uri.to_string(), "/Get%20Rules?a=1&b=2");
    assert_eq!(
        (&request.method, &request.body[..]),
        (&Method::POST, &b"{\"a\":1}"[..])
    );
    sigv4::verify(&request, SECRET, "us-west-2", "monitoring").unwrap();
    for (name, value) in [
        ("x-custom", "kept"),
        ("x-amz-date", "20231114T221320Z"),
        ("x-amz-security-token", "token"),
        ("user-agent", "sdk/1"),
        ("x-private", ""),
        ("connection", ""),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    assert_eq!(request.header("host"), service.address().to_string());
    assert_eq!(bench.outcomes(), [("answered".to_owned(), 1.0)]);
}

/// A proxy changes no body, also none that says it is compressed.
#[tokio::test]
async fn compressed_bodies_stay_as_they_are() {
    // The mock cannot look into it either: what it gets is no gzip.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bench = Bench::start(&config(&url), keys());
    let headers = [("content-encoding", "gzip")];
    let (answer, got) = tokio::join!(bench.call("/x", &headers, b"as it is"), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"as it is") {
            assert!(stream.read_buf(&mut got).await.unwrap() > 0);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(got).unwrap()
    });
    assert_eq!(&answer.body[..], b"ok");
    assert!(got.contains("content-encoding: gzip\r\n"), "{got}");
}

/// AWS-35: differs, the reference hands the request on without a signature.
#[tokio::test]
async fn without_credentials_nothing_is_handed_on() {
    let service = MockServer::with_body("{}").unwrap();
    let bench = Bench::start(&config(&service.url()), Arc::new(Nobody));
    let answer = bench.call("/GetSamplingRules", &[], b"{}").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(
        text.starts_with("{\"message\":") && text.contains("none were found"),
        "{text}"
    );
    assert!(text.contains("give this program AWS credentials"), "{text}");
    assert!(service.requests().is_empty());
    assert_eq!(bench.outcomes(), [("not_signed".to_owned(), 1.0)]);
}

#[tokio::test]
async fn failures_on_the_way_are_answered_as_such() {
    // Nobody listens there any more.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let bench = Bench::start(&config(&format!("http://{gone}")), keys());
    let answer = bench.call("/x", &[], b"{}").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(
        text.contains("cannot connect") && !text.contains(SECRET),
        "{text}"
    );
    let large =
        MockServer::start(|_| Response::new(Bytes::from(vec![b'x'; MAX_BODY + 1]))).unwrap();
    let bench = Bench::start(&config(&large.url()), keys());
    assert_eq!(
        bench.call("/x", &[], b"{}").await.status,
        StatusCode::BAD_GATEWAY
    );
    assert_eq!(bench.outcomes(), [("not_answered".to_owned(), 1.0)]);
    // A body over the limit does not reach the service.
    let sent = large.requests().len();
    static LARGE: [u8; MAX_BODY + 1] = [b'x'; MAX_BODY + 1];
    let url: Uri = format!("http://{}/x", bench.address).parse().unwrap();
    let body = Bytes::from_static(&LARGE);
    // The connection may end before the whole body is sent: then there is no answer to read.
    if let Ok(answer) = bench
        .client
        .send(Method::POST, &url, &HeaderMap::new(), body)
        .await
    {
        assert!(answer.status.is_client_error(), "{answer:?}");
    }
    assert_eq!(large.requests().len(), sent);
}

/// What has no path, and what cannot be signed.
#[tokio::test]
async fn requests_that_cannot_be_handed_on_are_refused() {
    let service = MockServer::with_body("{}").unwrap();
    let bench = Bench::start(&config(&service.url()), keys());
    for request in [
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nx-odd: \u{e9}\r\n\r\n",
    ] {
        let mut stream = tokio::net::TcpStream::connect(bench.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
        assert!(
            answer.to_ascii_lowercase().contains("connection: close"),
            "{answer}"
        );
    }
    assert!(service.requests().is_empty());
    assert_eq!(bench.outcomes(), [("refused".to_owned(), 2.0)]);
}

/// A wrong clock here: the service says the time, and the request is signed anew.
#[tokio::test]
async fn a_clock_that_is_off_is_corrected() {
    let service = MockServer::start(|request| {
        let right = request.header("x-amz-date").starts_with("20231115T");
        Response::builder()
            .status(if right { 200 } else { 403 })
            .header("date", "Wed, 15 Nov 2023 22:13:20 GMT")
            .body(Bytes::new())
            .unwrap()
    })
    .unwrap();
    let bench = Bench::start(&config(&service.url()), keys());
    assert_eq!(bench.call("/x", &[], b"{}").await.status, StatusCode::OK);
    assert_eq!(service.requests().len(), 2);
    assert_eq!(bench.call("/x", &[], b"{}").await.status, StatusCode::OK);
    assert_eq!(service.requests().len(), 3);
    for request in &service.requests() {
        sigv4::verify(request, SECRET, "us-west-2", "xray").unwrap();
    }
}

/// AWS-34: where requests go without `aws_endpoint`.
#[tokio::test]
async fn services_have_their_host_in_each_partition() {
    let cx = cx();
    for (region, service_name, host) in [
        ("eu-west-1", "", "https://xray.eu-west-1.amazonaws.com/p"),
        (
            "cn-north-1",
            "",
            "https://xray.cn-north-1.amazonaws.com.cn/p",
        ),
        (
            "eu-west-1",
            "aps-workspaces",
            "https://aps-workspaces.eu-west-1.amazonaws.com/p",
        ),
        (
            "us-iso-east-1",
            "monitoring",
            "https://monitoring.us-iso-east-1.c2s.ic.gov/p",
        ),
    ] {
        let config = ProxyConfig {
            service_name: service_name.to_owned(),
            ..ProxyConfig::default()
        };
        let clock = Arc::new(ServiceClock::new(cx.clock.clone()));
        let endpoints = EndpointSettings::default();
        let forwarder = Forwarder::with(&config, region, &endpoints, (keys(), clock), &cx).unwrap();
        assert_eq!(forwarder.region(), region);
        let address = forwarder.target.address(&"/p".parse().unwrap()).unwrap();
        assert_eq!(address.to_string(), host);
    }
    let clock = Arc::new(ServiceClock::new(cx.clock.clone()));
    let endpoints = EndpointSettings::default();
    let error = Forwarder::with(
        &ProxyConfig::default(),
        "EU_west",
        &endpoints,
        (keys(), clock),
        &cx,
    );
    assert!(error.unwrap_err().0.starts_with("invalid region: EU_west"));
}

/// AWS-25.
#[tokio::test]
async fn the_region_has_an_order_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let good = file(
        "good",
        "{\"TaskARN\": \"arn:aws:ecs:eu-south-1:1:task/c/t\", \"Cluster\": \"c\"}",
    );
    let region = async |configured: &str, local_mode: bool, variables: &[(&str, &str)]| {
        let config = ProxyConfig {
            region: configured.to_owned(),
            local_mode,
            ..ProxyConfig::default()
        };
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        region::proxy_region(&config, &environment)
            .await
            .map_err(|error| error.0)
    };
    let (default, plain) = (
        ("AWS_DEFAULT_REGION", "eu-north-1"),
        ("AWS_REGION", "us-west-2"),
    );
    let (ecs, metadata) = (
        ("ECS_ENABLE_CONTAINER_METADATA", "True"),
        ("ECS_CONTAINER_METADATA_FILE", good.as_str()),
    );
    assert_eq!(
        region("r-1", false, &[default, plain]).await.unwrap(),
        "r-1"
    );
    assert_eq!(
        region("", false, &[default, plain, ecs, metadata])
            .await
            .unwrap(),
        "eu-north-1"
    );
    assert_eq!(
        region("", true, &[plain, ("AWS_DEFAULT_REGION", "")])
            .await
            .unwrap(),
        "us-west-2"
    );
    assert_eq!(
        region("", false, &[ecs, metadata]).await.unwrap(),
        "eu-south-1"
    );
    let error = region("", true, &[ecs, metadata]).await.unwrap_err();
    assert!(
        error.starts_with("region not specified and local mode enabled"),
        "{error}"
    );
}

#[test]
fn the_keys_are_checked() {
    let warnings_and_errors = |change: &dyn Fn(&mut ProxyConfig)| {
        let mut config = ProxyConfig::default();
        change(&mut config);
        let mut errors = Errors::default();
        config.validate(&mut errors);
        errors
    };
    let sound = |change: &dyn Fn(&mut ProxyConfig)| warnings_and_errors(change).is_empty();
    assert!(sound(&|_| {}));
    assert!(sound(
        &|c| c.aws_endpoint = "http://127.0.0.1:4566".to_owned()
    ));
    assert!(!sound(&|c| c.aws_endpoint = "127.0.0.1:4566".to_owned()));
    assert!(!sound(&|c| c.proxy_address = "proxy".to_owned()));
    assert!(!sound(&|c| c.region = "eu-west-1.".to_owned()));
    assert!(!sound(&|c| c.service_name = "X-Ray".to_owned()));
    assert!(!sound(&|c| c.endpoint = "2000".to_owned()));
    let config: ProxyConfig = serde_json::from_str("{\"dialer\": {\"timeout\": \"5s\"}}").unwrap();
    assert_eq!(config.endpoint, "localhost:2000");
    assert!(serde_json::from_str::<ProxyConfig>("{\"certificate_file_path\": \"x\"}").is_err());
}

#[test]
fn the_check_of_the_certificate_is_switched_off_by_either_key() {
    let skips = |insecure, insecure_skip_verify| {
        let tls = TlsClientConfig {
            insecure,
            insecure_skip_verify,
            ..TlsClientConfig::default()
        };
        let config = ProxyConfig {
            tls,
            ..ProxyConfig::default()
        };
        client_options(&config).tls.insecure_skip_verify
    };
    assert_eq!(
        [skips(false, false), skips(true, false), skips(false, true)],
        [false, true, true]
    );
}
