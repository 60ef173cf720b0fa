//! A minute of backends that throttle, fail, stay silent and break connections, under load: `make soak`.
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use weir_testkit::{Fault, FaultServer};

use crate::faults::FAULTS;
use crate::process::{Weir, free_port, now_ns, own_metric, post_json};

const OUTAGE: Duration = Duration::from_secs(60);
const AFTERWARDS: Duration = Duration::from_secs(120);
/// 5,000 points a second.
const POINTS: (usize, Duration) = (500, Duration::from_millis(100));
/// 2,000 spans a second.
const SPANS: (usize, Duration) = (100, Duration::from_millis(50));

/// A point is one of 500 series in request number `request`; a span is its number.
type Item = (usize, usize);

/// Requests for `time`, one each `every`; the items of those that were acknowledged.
async fn load(
    url: String,
    (count, every): (usize, Duration),
    body: fn(usize, usize) -> String,
    time: Duration,
) -> BTreeSet<Item> {
    let mut acknowledged = BTreeSet::new();
    let mut clock = tokio::time::interval(every);
    let requests = (time.as_millis() / every.as_millis()) as usize;
    for request in 0..requests {
        clock.tick().await;
        let status = post_json(&url, body(request, count))
            .await
            .unwrap()
            .status
            .as_u16();
        assert!(matches!(status, 200 | 429 | 503 | 504), "{status}");
        if status == 200 {
            acknowledged.extend((0..count).map(|at| (request, at)));
        }
    }
    acknowledged
}

fn points(request: usize, count: usize) -> String {
    let now = now_ns();
    let mut points = String::new();
    for at in 0..count {
        let comma = if at > 0 { "," } else { "" };
        write!(
            points,
            r#"{comma}{{"timeUnixNano":"{now}","asDouble":{request},"attributes":[{{"key":"at","value":{{"stringValue":"{at}"}}}}]}}"#
        )
        .unwrap();
    }
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{points}]}}}}]}}]}}]}}"#
    )
}

fn spans(request: usize, count: usize) -> String {
    let now = now_ns();
    let mut spans = String::new();
    for at in 0..count {
        let comma = if at > 0 { "," } else { "" };
        write!(
            spans,
            r#"{comma}{{"traceId":"{:08x}{request:012x}{at:012x}","spanId":"53995c3f42cd8ad8","name":"s","kind":2,
            "startTimeUnixNano":"{now}","endTimeUnixNano":"{}"}}"#,
            now / 1_000_000_000,
            now + 1
        )
        .unwrap();
    }
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#)
}

fn points_of(bodies: &[Bytes]) -> BTreeSet<Item> {
    let mut found = BTreeSet::new();
    for body in bodies {
        let body: Json = serde_json::from_slice(body).unwrap();
        // Other calls make groups and streams.
        for event in body["logEvents"].as_array().into_iter().flatten() {
            let event: Json = serde_json::from_str(event["message"].as_str().unwrap()).unwrap();
            let at = event["at"].as_str().unwrap().parse().unwrap();
            found.insert((event["m"].as_f64().unwrap() as usize, at));
        }
    }
    found
}

fn spans_of(bodies: &[Bytes]) -> BTreeSet<Item> {
    let mut found = BTreeSet::new();
    for body in bodies {
        let body: Json = serde_json::from_slice(body).unwrap();
        for document in body["TraceSegmentDocuments"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let document: Json = serde_json::from_str(document.as_str().unwrap()).unwrap();
            let id = document["trace_id"]
                .as_str()
                .unwrap()
                .rsplit('-')
                .next()
                .unwrap();
            let part = |range| usize::from_str_radix(&id[range], 16).unwrap();
            found.insert((part(0..12), part(12..24)));
        }
    }
    found
}

struct Setup {
    metrics: FaultServer,
    traces: FaultServer,
    weir: Weir,
    otlp: u16,
    page: u16,
}

impl Setup {
    async fn start(max_elapsed: &str) -> Self {
        weir_net::install_default_provider();
        let metrics = FaultServer::start(r#"{"nextSequenceToken":"1"}"#)
            .await
            .unwrap();
        let traces = FaultServer::start(r#"{"UnprocessedTraceSegments":[]}"#)
            .await
            .unwrap();
        let (otlp, health, page) = (free_port(), free_port(), free_port());
        let common = format!(
            "region: eu-west-1
    max_retries: 1
    request_timeout_seconds: 1
    sending_queue: {{queue_size: 5000}}
    retry_on_failure: {{initial_interval: 50ms, max_interval: 1s, max_elapsed_time: {max_elapsed}}}"
        );
        let config = format!(
            "extensions: {{health_check: {{endpoint: '127.0.0.1:{health}'}}}}
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{otlp}'}}}}}}}}
exporters:
  awsemf:
    endpoint: {}
    namespace: n
    log_group_name: g
    log_stream_name: s
    {common}
  awsxray:
    endpoint: {}
    {common}
service:
  extensions: [health_check]
  telemetry:
    metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {page}}}}}}}}}]}}
  pipelines:
    metrics: {{receivers: [otlp], exporters: [awsemf]}}
    traces: {{receivers: [otlp], exporters: [awsxray]}}
",
            metrics.url(),
            traces.url()
        );
        let weir = Weir::start(&config, health).await;
        Self {
            metrics,
            traces,
            weir,
            otlp,
            page,
        }
    }

    /// These faults for the time of the load, then none; what was acknowledged and what arrived.
    async fn run(&self, faults: fn(&Fault) -> bool) -> [(BTreeSet<Item>, BTreeSet<Item>); 2] {
        let faults = || FAULTS.into_iter().filter(faults).cycle().take(1 << 20);
        self.metrics.plan(faults());
        self.traces.plan(faults());
        let url = |signal| format!("http://127.0.0.1:{}/v1/{signal}", self.otlp);
        let (metrics, traces) = tokio::join!(
            load(url("metrics"), POINTS, points, OUTAGE),
            load(url("traces"), SPANS, spans, OUTAGE),
        );
        self.metrics.recover();
        self.traces.recover();
        for (component, acknowledged) in [("awsemf", &metrics), ("awsxray", &traces)] {
            self.settled(component, acknowledged.len()).await;
        }
        let arrived = (
            points_of(&self.metrics.taken()),
            spans_of(&self.traces.taken()),
        );
        [(metrics, arrived.0), (traces, arrived.1)]
    }

    /// Waits until every item of an exporter ended as sent or failed.
    async fn settled(&self, component: &str, items: usize) {
        let polls = AFTERWARDS.as_millis() / 200;
        let mut last = (0.0, 0.0);
        for _ in 0..polls {
            last = (
                self.metric("otelcol_exporter_sent_", component).await,
                self.metric("otelcol_exporter_send_failed_", component)
                    .await,
            );
            if (last.0 + last.1) as usize == items {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!(
            "{component}: {last:?} of {items} after {AFTERWARDS:?}: {}",
            self.weir.log()
        );
    }

    async fn metric(&self, name: &str, component: &str) -> f64 {
        own_metric(self.page, name, &[&format!("\"{component}\"")]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes: make soak"]
async fn a_minute_of_failing_backends_loses_nothing_that_the_queue_holds() {
    let setup = Setup::start("0s").await;
    for (acknowledged, arrived) in setup.run(|fault| !matches!(fault, Fault::Slow(_))).await {
        let missing = acknowledged.difference(&arrived).count();
        println!("{} acknowledged, {missing} missing", acknowledged.len());
        assert_eq!(
            missing,
            0,
            "of {}: {}",
            acknowledged.len(),
            setup.weir.log()
        );
        assert!(acknowledged.len() > 100_000, "only {}", acknowledged.len());
    }
    for component in ["awsemf", "awsxray"] {
        assert_eq!(
            setup.metric("weir_dropped_items_total", component).await,
            0.0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes: make soak"]
async fn a_minute_of_failing_backends_costs_what_is_counted() {
    let setup = Setup::start("3s").await;
    // None of these takes a request, so that what is given up has not arrived.
    let refusing = |fault: &Fault| {
        !matches!(
            fault,
            Fault::Slow(_) | Fault::ResetAfterwards | Fault::ResetInAnswer
        )
    };
    let [metrics, traces] = setup.run(refusing).await;
    for (component, (acknowledged, arrived)) in [("awsemf", metrics), ("awsxray", traces)] {
        let missing = acknowledged.difference(&arrived).count();
        let dropped = setup.metric("weir_dropped_items_total", component).await as usize;
        println!(
            "{component}: {} acknowledged, {missing} missing, {dropped} counted",
            acknowledged.len()
        );
        assert!(
            missing > 0 && missing == dropped,
            "{component}: {missing} {dropped}"
        );
    }
}
