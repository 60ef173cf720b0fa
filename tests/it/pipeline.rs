//! The pipeline this program exists for: OTLP and a scrape in; X-Ray, EMF and remote write out.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use weir_testkit::{MockServer, Recorded, sigv4};

use crate::process::{SECRET, Weir, free_port, now_ns, post_json};

const REGION: &str = "ap-northeast-2";
const LIMIT: Duration = Duration::from_secs(20);

fn target_page(_: &Recorded) -> Response<Bytes> {
    let page = "# TYPE queue_depth gauge\nqueue_depth{shop=\"a\"} 7\n";
    let mut response = Response::new(Bytes::from_static(page.as_bytes()));
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, text);
    response
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|w| w == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_become_segments_and_points_become_emf_events_and_remote_write_samples() {
    weir_net::install_default_provider();
    let logs = MockServer::with_body("{\"nextSequenceToken\":\"1\"}").unwrap();
    let xray = MockServer::with_body("{\"UnprocessedTraceSegments\":[]}").unwrap();
    let prometheus = MockServer::with_body("").unwrap();
    let target = MockServer::start(target_page).unwrap();
    let (otlp, health) = (free_port(), free_port());
    let seed = include_str!("../../examples/seed.yaml");
    let config = seed
        .replace("0.0.0.0:13133", &format!("127.0.0.1:{health}"))
        .replace("0.0.0.0:4317", &format!("127.0.0.1:{}", free_port()))
        .replace("0.0.0.0:4318", &format!("127.0.0.1:{otlp}"))
        .replace(
            "          kubernetes_sd_configs:\n            - role: pod\n",
            &format!(
                "          scrape_interval: 1s\n          static_configs:\n            - targets: ['{}']\n",
                target.address()
            ),
        )
        .replace("  awsxray:\n", &format!("  awsxray:\n    endpoint: {}\n", xray.url()))
        .replace("  awsemf:\n", &format!("  awsemf:\n    endpoint: {}\n", logs.url()))
        .replace(
            "https://aps-workspaces.ap-northeast-2.amazonaws.com",
            &prometheus.url(),
        );
    let config = format!("{config}  telemetry:\n    metrics:\n      level: none\n");
    assert!(
        config.contains(&target.address().to_string()),
        "the example has changed: {config}"
    );
    let weir = Weir::start(&config, health).await;

    let now = now_ns();
    let trace_id = format!("{:08x}463ac35c9f6413ad48485a39", now / 1_000_000_000);
    let traces = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
        "scopeSpans":[{{"spans":[{{"traceId":"{trace_id}","spanId":"53995c3f42cd8ad8","name":"checkout","kind":2,
        "startTimeUnixNano":"{now}","endTimeUnixNano":"{}"}}]}}]}}]}}"#,
        now + 1_000_000
    );
    let answer = post_json(&format!("http://127.0.0.1:{otlp}/v1/traces"), traces)
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let metrics = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
        "scopeMetrics":[{{"metrics":[{{"name":"basket_value","unit":"1","gauge":{{"dataPoints":[
        {{"timeUnixNano":"{now}","asDouble":12.5,"attributes":[{{"key":"shop","value":{{"stringValue":"a"}}}}]}}]}}}}]}}]}}]}}"#
    );
    let answer = post_json(&format!("http://127.0.0.1:{otlp}/v1/metrics"), metrics)
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");

    let segments = xray
        .wait(LIMIT, |r| {
            r.iter()
                .any(|r| contains(&r.body, "checkout") || contains(&r.body, "shop"))
        })
        .await;
    assert!(
        segments
            .iter()
            .any(|r| contains(&r.body, "463ac35c9f6413ad48485a39")),
        "{}",
        weir.log()
    );
    let events = logs
        .wait(LIMIT, |r| {
            r.iter().any(|r| contains(&r.body, "queue_depth"))
        })
        .await;
    for name in ["basket_value", "queue_depth", "AnyCompany/App"] {
        assert!(
            events.iter().any(|r| contains(&r.body, name)),
            "{name} did not arrive as EMF: {}",
            weir.log()
        );
    }
    // The mock's server has undone the snappy compression already.
    let sample = |r: &Recorded, name: &str| contains(&r.body, name);
    let written = prometheus
        .wait(LIMIT, |r| {
            ["basket_value", "queue_depth"]
                .iter()
                .all(|name| r.iter().any(|r| sample(r, name)))
        })
        .await;
    for name in ["basket_value", "queue_depth"] {
        assert!(
            written.iter().any(|r| sample(r, name)),
            "{name} was not written: {}",
            weir.log()
        );
    }
    for (requests, service) in [(&segments, "xray"), (&events, "logs"), (&written, "aps")] {
        for request in requests.iter() {
            let mut request = request.clone();
            if service == "aps" {
                // What was signed is the compressed body; the same encoder gives the same bytes.
                let body = snap::raw::Encoder::new()
                    .compress_vec(&request.body)
                    .unwrap();
                request.body = body.into();
            }
            let request = &request;
            let verdict = sigv4::verify(request, SECRET, REGION, service);
            assert_eq!(verdict, Ok(()), "{} {}", request.method, request.uri);
        }
    }
    weir.terminate();
    assert!(weir.ended(Duration::from_secs(25)).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_backend_costs_the_other_exporters_nothing() {
    weir_net::install_default_provider();
    let alive = MockServer::with_body("").unwrap();
    let (otlp, health, dead) = (free_port(), free_port(), free_port());
    let config = format!(
        "extensions: {{health_check: {{endpoint: '127.0.0.1:{health}'}}}}
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{otlp}'}}}}}}}}
exporters:
  otlphttp/dead: {{endpoint: 'http://127.0.0.1:{dead}', sending_queue: {{queue_size: 10}}}}
  otlphttp/alive: {{endpoint: '{}', compression: none}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [otlphttp/dead, otlphttp/alive]}}
",
        alive.url()
    );
    let weir = Weir::start(&config, health).await;
    for i in 0..5 {
        let body = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"line {i}"}}}}]}}]}}]}}"#
        );
        let answer = post_json(&format!("http://127.0.0.1:{otlp}/v1/logs"), body)
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{}", weir.log());
    }
    let got = alive
        .wait(LIMIT, |r| {
            (0..5).all(|i| r.iter().any(|r| contains(&r.body, &format!("line {i}"))))
        })
        .await;
    assert_eq!(got.len(), 5, "{}", weir.log());
}
