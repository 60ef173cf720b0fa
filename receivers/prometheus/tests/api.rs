//! `api_server` from the configuration to its answers.

use http::Response;
use serde_json::Value;
use weir_core::Reference;
use weir_testkit::mock::MockServer;

use super::*;

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Status and body of the answer.
async fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

async fn data(port: u16, path: &str) -> Value {
    let (status, body) = get(port, path).await;
    assert_eq!(status, "HTTP/1.1 200 OK", "{path}: {body}");
    let all: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(all["status"], "success", "{path}");
    all["data"].clone()
}

#[tokio::test]
async fn a_receiver_tells_what_it_scrapes() {
    let server = MockServer::start(|request| match request.uri.path() {
        "/bad" => Response::builder().status(503).body(bytes::Bytes::new()).unwrap(),
        _ => Response::new("# HELP a All of them.\n# TYPE a counter\na 1\n".into()),
    })
    .unwrap();
    let (port, address) = (free_port(), server.address().to_string());
    let yaml = format!(
        r#"
api_server:
  enabled: true
  server_config: {{endpoint: '127.0.0.1:{port}'}}
config:
  scrape_configs:
    - job_name: app
      scrape_interval: 100ms
      scrape_timeout: 100ms
      basic_auth: {{username: u, password: hunter2}}
      relabel_configs: [{{source_labels: [zone], regex: c, action: drop}}]
      static_configs:
        - {{targets: ['{address}'], labels: {{zone: a}}}}
        - {{targets: ['{address}'], labels: {{zone: b, __metrics_path__: /bad}}}}
        - {{targets: ['{address}'], labels: {{zone: c}}}}
"#
    );
    let mut scraper = Scraper::start(&yaml).await;
    let mut ups = std::collections::BTreeSet::new();
    while ups.len() < 2 {
        ups.insert(value(&scraper.next().await, "up"));
    }
    let all = data(port, "/api/v1/targets").await;
    let shown = |at: usize| {
        let target = &all["activeTargets"][at];
        ["zone"].map(|label| target["labels"][label].as_str().unwrap().to_owned()).into_iter()
            .chain(["health", "lastError", "scrapeUrl"].map(|key| target[key].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(0), ["a", "up", "", &format!("http://{address}/metrics")]);
    let error = "server returned HTTP status 503 Service Unavailable";
    assert_eq!(shown(1), ["b", "down", error, &format!("http://{address}/bad")]);
    assert_ne!(all["activeTargets"][1]["lastScrape"], "0001-01-01T00:00:00Z");
    assert_eq!(all["droppedTargets"][0]["discoveredLabels"]["zone"], "c");
    assert_eq!(all["droppedTargetCounts"]["app"], 1);

    let metadata = data(port, "/api/v1/targets/metadata").await;
    assert_eq!(metadata.as_array().unwrap().len(), 1, "{metadata}");
    assert_eq!((&metadata[0]["metric"], &metadata[0]["type"]), (&"a".into(), &"counter".into()));
    assert_eq!(metadata[0]["help"], "All of them.");
    assert_eq!(data(port, "/api/v1/scrape_pools").await["scrapePools"][0], "app");
    let config = data(port, "/api/v1/status/config").await["yaml"].to_string();
    assert!(config.contains("password: <secret>") && !config.contains("hunter2"), "{config}");
    let (status, page) = get(port, "/metrics").await;
    assert!(page.contains("otelcol_receiver_accepted_metric_points"), "{status} {page}");
    assert_eq!(get(port, "/api/v1/rules").await.0, "HTTP/1.1 404 Not Found");
    scraper.end().await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err(), "it ends with the receiver");
}

/// The plan finds two components with one address; an address in use ends the start.
#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    weir_net::install_default_provider();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let keys = format!("api_server: {{enabled: true, server_config: {{endpoint: '{address}', auth: {{authenticator: a}}}}}}\n");
    let with_auth = config(&job(&keys)).unwrap();
    let key = "api_server.server_config.auth.authenticator";
    let id = ComponentId::parse("a").unwrap();
    assert_eq!(
        Kind::references(&with_auth),
        [
            Reference::Listen { address: address.clone(), key: "api_server.server_config.endpoint" },
            Reference::Extension { id, role: "authenticator", key },
        ]
    );
    let without = config(&job(&keys.replace(", auth: {authenticator: a}", ""))).unwrap();
    let out = Outputs { metrics: Some(Arc::new(Sink(mpsc::channel(1).0))), ..Outputs::default() };
    let receiver = Kind::build(without, context()).await.unwrap();
    let Err(Fatal(why)) = receiver.start(out, Stop::default()).await else {
        panic!("the address is taken");
    };
    let start = format!("api_server.server_config.endpoint: listen tcp {address}: bind: ");
    assert!(why.starts_with(&start), "{why}");
}

#[test]
fn keys_of_the_api() {
    let given = |keys: &str| config(&job(keys)).map(|config| config.api_server);
    let left_out = given("").unwrap();
    assert!(!left_out.enabled && left_out.most_connections() == 512);
    assert_eq!(left_out, given("api_server: {enabled: false, server_config: {}}\n").unwrap());
    let server = left_out.server_config;
    assert_eq!(server.endpoint, "127.0.0.1:9090");
    assert_eq!(server.read_timeout, Some(weir_config::Duration::from_mins(10)));
    let some = given("api_server: {enabled: true, max_connections: 0, server_config: {read_timeout: 1s}}\n").unwrap();
    assert_eq!((some.server_config.endpoint.as_str(), some.most_connections()), ("127.0.0.1:9090", 512));
    assert_eq!(some.server_config.read_timeout, Some(weir_config::Duration::from_secs(1)));
    for (keys, message) in [
        ("{enabled: true, server_config: {endpoint: nothing}}", "api_server.server_config.endpoint: "),
        ("{server_config: {endpont: 'h:1'}}", "api_server.server_config: unknown key `endpont`"),
        ("{max_connections: -1}", "api_server.max_connections: "),
    ] {
        let errors = given(&format!("api_server: {keys}\n")).unwrap_err().join("\n");
        assert!(errors.contains(message), "{message} in {errors}");
    }
    assert!(Kind::references(&config(&job("")).unwrap()).is_empty());
}
