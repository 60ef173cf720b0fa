//! What goes over the wire, and what is made of the answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use weir_net::compress::{Encoder, Encoding};
use weir_testkit::mock::{MockServer, Recorded};

use super::*;

fn page(content_type: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    if !content_type.is_empty() {
        let headers = answer.headers_mut();
        headers.insert("content-type", content_type.parse().unwrap());
    }
    answer
}

fn text(body: &str) -> Response<Bytes> {
    page("text/plain", body.to_owned())
}

fn host(server: &MockServer) -> String {
    server.address().to_string()
}

/// PROM-11, with compression off; the other headers are in `targets_are_scraped`.
#[tokio::test]
async fn without_compression_the_page_is_asked_for_as_it_is() {
    let server = MockServer::start(|_| text("a 1\n")).unwrap();
    let mut scraper = Scraper::start(&job_of(&host(&server), "enable_compression: false")).await;
    assert_eq!(value(&scraper.next().await, "a"), "Some(1.0)");
    assert_eq!(server.requests()[0].header("accept-encoding"), "identity");
    scraper.end().await;
}

/// PROM-13
#[tokio::test]
async fn a_new_token_counts_at_the_next_scrape() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let server = MockServer::start(|_| text("a 1\n")).unwrap();
    let keys = format!("bearer_token_file: {}", file.display());
    let mut scraper = Scraper::start(&job_of(&host(&server), &keys)).await;
    scraper.next().await;
    std::fs::write(&file, "second").unwrap();
    let has = |token: &'static str| {
        move |requests: &[Recorded]| requests.iter().any(|r| r.header("authorization") == token)
    };
    let limit = Duration::from_secs(20);
    let requests = server.wait(limit, has("Bearer second")).await;
    assert!(has("Bearer first")(&requests) && has("Bearer second")(&requests));
    std::fs::remove_file(&file).unwrap();
    loop {
        let points = scraper.next().await;
        if value(&points, "up") == "Some(0.0)" {
            break;
        }
    }
    scraper.end().await;
}

/// PROM-14. Own headers stay at home.
#[tokio::test]
async fn redirects_are_followed_only_when_allowed() {
    let other = MockServer::start(|_| text("moved 1\n")).unwrap();
    let location = format!("{}/elsewhere", other.url());
    let server = MockServer::start(move |_| {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::FOUND;
        answer
            .headers_mut()
            .insert("location", location.parse().unwrap());
        answer
    })
    .unwrap();
    let keys = "http_headers: {x-tenant: {values: [a], secrets: [b]}}\nbearer_token: t";
    let mut scraper = Scraper::start(&job_of(&host(&server), keys)).await;
    assert_eq!(value(&scraper.next().await, "moved"), "Some(1.0)");
    scraper.end().await;
    let first = &server.requests()[0];
    assert_eq!(first.headers.get_all("x-tenant").iter().count(), 2);
    let second = &other.requests()[0];
    assert_eq!(second.uri, "/elsewhere");
    assert!(!second.headers.contains_key("x-tenant"));
    assert!(!second.headers.contains_key("authorization"));

    let seen = other.requests().len();
    let mut scraper = Scraper::start(&job_of(&host(&server), "follow_redirects: false")).await;
    assert_eq!(value(&scraper.next().await, "up"), "Some(0.0)");
    scraper.end().await;
    assert_eq!(other.requests().len(), seen);
}

/// PROM-15
#[tokio::test]
async fn scrapes_take_the_proxy_but_for_its_exceptions() {
    let proxy = MockServer::start(|_| text("proxied 1\n")).unwrap();
    let keys = format!("proxy_url: {}", proxy.url());
    let mut scraper = Scraper::start(&job_of("target.invalid:80", &keys)).await;
    assert_eq!(value(&scraper.next().await, "proxied"), "Some(1.0)");
    scraper.end().await;
    assert_eq!(proxy.requests()[0].header("host"), "target.invalid");

    let server = MockServer::start(|_| text("direct 1\n")).unwrap();
    let keys = format!("{keys}\nno_proxy: 127.0.0.1");
    let mut scraper = Scraper::start(&job_of(&host(&server), &keys)).await;
    assert_eq!(value(&scraper.next().await, "direct"), "Some(1.0)");
    scraper.end().await;
}

/// PROM-16
#[tokio::test]
async fn bodies_are_unpacked_and_the_limit_counts_plain_bytes() {
    let body = "a 1\n".repeat(25);
    let mut packed = Vec::new();
    Encoder::default_of(Encoding::Gzip)
        .encode(body.as_bytes(), &mut packed)
        .unwrap();
    let server = MockServer::start(move |_| {
        let mut answer = page("text/plain", packed.clone());
        let headers = answer.headers_mut();
        headers.insert("content-encoding", "gzip".parse().unwrap());
        answer
    })
    .unwrap();
    for (limit, up, size) in [("101B", "Some(1.0)", 100.0), ("100B", "Some(0.0)", -1.0)] {
        let keys = format!("body_size_limit: {limit}\nextra_scrape_metrics: true");
        let mut scraper = Scraper::start(&job_of(&host(&server), &keys)).await;
        let points = scraper.next().await;
        assert_eq!(value(&points, "up"), up, "{limit}");
        let size = format!("Some({size:?})");
        assert_eq!(value(&points, "scrape_body_size_bytes"), size);
        scraper.end().await;
    }
}

/// PROM-17, PROM-18: what is no metrics page is read as text and fails as such.
#[tokio::test]
async fn unknown_content_types_are_read_as_text() {
    for (kind, body, keys, up) in [
        ("", "a 1\n", "", "Some(1.0)"),
        ("application/json", "a 1\n", "", "Some(1.0)"),
        ("text/html", "<html>\n", "", "Some(0.0)"),
        (
            "x/y",
            "a 1\n# EOF\n",
            "fallback_scrape_protocol: OpenMetricsText1.0.0",
            "Some(1.0)",
        ),
        (
            "x/y",
            "a 1\n",
            "fallback_scrape_protocol: OpenMetricsText1.0.0",
            "Some(0.0)",
        ),
    ] {
        let server = MockServer::start(move |_| page(kind, body)).unwrap();
        let mut scraper = Scraper::start(&job_of(&host(&server), keys)).await;
        assert_eq!(value(&scraper.next().await, "up"), up, "{kind} {keys}");
        scraper.end().await;
    }
}

/// PROM-10: the lists of a job and of all jobs; the default is in `accept_of_the_default_list`.
#[tokio::test]
async fn the_accept_header_follows_the_configured_protocols() {
    let server = MockServer::start(|_| text("a 1\n")).unwrap();
    for (keys, accept) in [
        (
            "scrape_protocols: [PrometheusText0.0.4, OpenMetricsText0.0.1]",
            "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,*/*;q=0.4",
        ),
        (
            "scrape_protocols: [OpenMetricsText1.0.0]\nmetric_name_validation_scheme: legacy",
            "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.5",
        ),
        (
            "scrape_native_histograms: true",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,",
        ),
    ] {
        let before = server.requests().len();
        let mut scraper = Scraper::start(&job_of(&host(&server), keys)).await;
        scraper.next().await;
        scraper.end().await;
        let sent = server.requests()[before].header("accept").to_owned();
        assert!(sent.starts_with(accept), "{sent}");
    }
}

/// Tokens come from the server that `oauth2` names, are kept, and are asked for again when they end.
#[tokio::test]
async fn oauth2_tokens_are_fetched_kept_and_renewed() {
    static FETCHED: AtomicUsize = AtomicUsize::new(0);
    let tokens = MockServer::start(|request| {
        if !request.header("authorization").is_empty() {
            // This server wants the credentials in the body.
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            return answer;
        }
        let number = FETCHED.fetch_add(1, Ordering::SeqCst);
        // The first token has ended as soon as it is there.
        let lifetime = if number == 0 { 5 } else { 3600 };
        let body = format!(
            r#"{{"access_token":"t{number}","token_type":"bearer","expires_in":{lifetime}}}"#
        );
        page("application/json", body)
    })
    .unwrap();
    let server = MockServer::start(|_| text("a 1\n")).unwrap();
    let keys = format!(
        "oauth2: {{client_id: me, client_secret: s3cret, scopes: [a, b], token_url: '{}/token', endpoint_params: {{audience: x y}}}}",
        tokens.url()
    );
    let mut scraper = Scraper::start(&job_of(&host(&server), &keys)).await;
    for _ in 0..3 {
        assert_eq!(value(&scraper.next().await, "up"), "Some(1.0)");
    }
    scraper.end().await;
    let sent: Vec<String> = server.requests()[..3]
        .iter()
        .map(|request| request.header("authorization").to_owned())
        .collect();
    assert_eq!(sent, ["Bearer t0", "Bearer t1", "Bearer t1"]);
    let asked = tokens.requests();
    assert_eq!(asked[0].header("authorization"), "Basic bWU6czNjcmV0");
    assert_eq!(asked.len(), 3, "refused once, then in the body");
    assert_eq!(
        asked[1].body,
        "grant_type=client_credentials&scope=a+b&audience=x+y&client_id=me&client_secret=s3cret"
    );
}

/// A token that does not come is a failed scrape, in time.
#[tokio::test]
async fn a_slow_token_server_costs_no_more_than_the_scrape_timeout() {
    let evil = weir_testkit::EvilTargets::start().await.unwrap();
    let server = MockServer::start(|_| text("a 1\n")).unwrap();
    let keys = format!(
        "oauth2: {{client_id: me, client_secret: s, token_url: 'http://{}/silent'}}",
        evil.address()
    );
    let mut scraper = Scraper::start(&job_of(&host(&server), &keys)).await;
    for _ in 0..2 {
        let points = scraper.next().await;
        assert_eq!(value(&points, "up"), "Some(0.0)");
    }
    scraper.end().await;
}

/// No token is a failed scrape, with the reason.
#[tokio::test]
async fn without_a_token_the_scrape_fails() {
    let tokens = MockServer::with_body("{}").unwrap();
    let server = MockServer::start(|_| text("a 1\n")).unwrap();
    let keys = format!(
        "oauth2: {{client_id: me, client_secret: s, token_url: '{}'}}",
        tokens.url()
    );
    let mut scraper = Scraper::start(&job_of(&host(&server), &keys)).await;
    assert_eq!(value(&scraper.next().await, "up"), "Some(0.0)");
    scraper.end().await;
    assert!(server.requests().is_empty());
}
