//! The detector in the stream: a spike and a level shift in a scraped gauge are tagged, and the tag
//! reaches OTLP, EMF and remote write without changing any series.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use weir_testkit::{MockServer, Recorded};

use crate::process::{Weir, free_port};

/// Scrapes before the spike, between spike and shift, and after.
const QUIET: usize = 70;
const SHIFT: usize = 100;
const END: usize = 130;

/// The gauge at one scrape: a little noise around 50, a spike, then a new level.
fn value(scrape: usize) -> f64 {
    let noise = ((scrape * 7919) % 13) as f64 / 13.0 - 0.5;
    let level = if scrape >= SHIFT { 90.0 } else { 50.0 };
    if scrape == QUIET {
        150.0
    } else {
        level + noise
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|w| w == text.as_bytes())
}

fn config(
    target: &MockServer,
    otlp: &MockServer,
    logs: &MockServer,
    prometheus: &MockServer,
    health: u16,
) -> String {
    format!(
        "extensions: {{health_check: {{endpoint: '127.0.0.1:{health}'}}}}
receivers:
  prometheus:
    config:
      scrape_configs:
        - job_name: app
          scrape_interval: 100ms
          scrape_timeout: 100ms
          static_configs: [{{targets: ['{}']}}]
processors: {{anomaly: {{emit: [companion, attributes]}}}}
exporters:
  otlphttp: {{endpoint: '{}', compression: none, encoding: json}}
  awsemf: {{endpoint: '{}', region: eu-central-1, namespace: Test, log_group_name: g, log_stream_name: s}}
  prometheusremotewrite: {{endpoint: '{}'}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [prometheus], processors: [anomaly], exporters: [otlphttp, awsemf, prometheusremotewrite]}}
",
        target.address(),
        otlp.url(),
        logs.url(),
        prometheus.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spike_and_a_shift_are_tagged_on_every_way_out() {
    weir_net::install_default_provider();
    let scrapes = Arc::new(AtomicUsize::new(0));
    let count = scrapes.clone();
    let target = MockServer::start(move |_| {
        let at = count.fetch_add(1, Ordering::SeqCst);
        let page = format!("# TYPE depth gauge\ndepth{{shop=\"a\"}} {}\n", value(at));
        let mut response = Response::new(Bytes::from(page));
        let text = HeaderValue::from_static("text/plain; version=0.0.4");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, text);
        response
    })
    .unwrap();
    let otlp = MockServer::with_body("{}").unwrap();
    let logs = MockServer::with_body("{\"nextSequenceToken\":\"1\"}").unwrap();
    let prometheus = MockServer::with_body("").unwrap();
    let health = free_port();
    let weir = Weir::start(&config(&target, &otlp, &logs, &prometheus, health), health).await;
    target
        .wait(Duration::from_secs(60), |r| r.len() > END)
        .await;
    weir.terminate();
    assert!(weir.ended(Duration::from_secs(30)).await.success());

    let text = |requests: Vec<Recorded>| -> String {
        requests
            .iter()
            .map(|r| String::from_utf8_lossy(&r.body).into_owned() + "\n")
            .collect()
    };
    let sent = text(otlp.requests());
    // The spike's point itself, with its tags as point attributes.
    let spike = sent
        .split("\"dataPoints\"")
        .find(|part| part.contains("\"asDouble\":150"))
        .expect("the spike arrived");
    assert!(
        spike.contains("anomaly.score") && spike.contains("above"),
        "{spike}"
    );
    assert!(
        sent.matches("\"stringValue\":\"shift\"").count()
            + sent.matches("anomaly.detected").count()
            > 1
    );

    let events = text(logs.requests());
    assert!(events.contains("anomaly.score"), "no tag in EMF");
    for event in events.split("\\\"_aws\\\"").skip(1) {
        let dimensions = event
            .split("Dimensions")
            .nth(1)
            .and_then(|d| d.split("Metrics").next())
            .unwrap_or("");
        assert!(
            !dimensions.contains("anomaly."),
            "a tag became a dimension: {dimensions}"
        );
    }

    let mut companion = false;
    for request in prometheus.requests() {
        // The mock's server has undone the snappy compression already.
        let body = &request.body;
        companion |= contains(body, "depth_anomaly_score");
        // Label names are length-prefixed strings: a tag as a label would stand there by its name.
        assert!(!contains(body, "anomaly_direction") && !contains(body, "anomaly_detected"));
    }
    assert!(companion, "no companion series in remote write");
}
