//! Backends that throttle, fail, stay silent or break connections, and then recover: what was
//! acknowledged arrives, or has been counted as dropped (reliability R8).

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use weir_testkit::{Fault, FaultServer};

use crate::process::{Weir, free_port, now_ns, own_metric, post_json};

const LIMIT: Duration = Duration::from_secs(60);

/// Everything that passes.
pub(crate) const FAULTS: [Fault; 14] = [
    Fault::Status(400, r#"{"__type":"ThrottlingException","message":"slow"}"#),
    Fault::Status(429, ""),
    Fault::RetryAfter(429),
    Fault::Status(500, r#"{"__type":"InternalFailure"}"#),
    Fault::ResetInRequest,
    Fault::Status(502, "<html>bad gateway</html>"),
    Fault::Status(503, r#"{"__type":"ServiceUnavailableException"}"#),
    Fault::BlackHole,
    Fault::ResetAfterwards,
    Fault::RetryAfter(503),
    Fault::ResetInAnswer,
    Fault::Close,
    Fault::Slow(Duration::from_millis(300)),
    Fault::Status(504, ""),
];

/// A program with three exporters to AWS.
struct Setup {
    logs: FaultServer,
    metrics: FaultServer,
    traces: FaultServer,
    weir: Weir,
    otlp: u16,
    page: u16,
}

impl Setup {
    /// `sending`: keys of queue and retries of the exporters that have them.
    async fn start(sending: &str) -> Self {
        weir_net::install_default_provider();
        let took = r#"{"nextSequenceToken":"1"}"#;
        let logs = FaultServer::start(took).await.unwrap();
        let metrics = FaultServer::start(took).await.unwrap();
        let traces = FaultServer::start(r#"{"UnprocessedTraceSegments":[]}"#)
            .await
            .unwrap();
        let (otlp, health, page) = (free_port(), free_port(), free_port());
        let config = format!(
            "extensions: {{health_check: {{endpoint: '127.0.0.1:{health}'}}}}
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{otlp}'}}}}}}}}
exporters:
  awscloudwatchlogs:
    endpoint: {}
    region: eu-west-1
    log_group_name: g
    log_stream_name: s
    raw_log: true
    max_retries: 1
    request_timeout_seconds: 1
    {sending}
  awsemf:
    endpoint: {}
    region: eu-west-1
    namespace: n
    log_group_name: g
    log_stream_name: s
    max_retries: 1
    request_timeout_seconds: 1
    {sending}
  awsxray: {{endpoint: '{}', region: eu-west-1, max_retries: 1, request_timeout_seconds: 1}}
service:
  extensions: [health_check]
  telemetry:
    metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {page}}}}}}}}}]}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [awscloudwatchlogs]}}
    metrics: {{receivers: [otlp], exporters: [awsemf]}}
    traces: {{receivers: [otlp], exporters: [awsxray]}}
",
            logs.url(),
            metrics.url(),
            traces.url()
        );
        let weir = Weir::start(&config, health).await;
        Self {
            logs,
            metrics,
            traces,
            weir,
            otlp,
            page,
        }
    }

    /// Sends one item of a signal; the status of the answer. `age`: how old it is.
    async fn send(&self, signal: &str, name: &str, age: Duration) -> u16 {
        let now = now_ns() - u64::try_from(age.as_nanos()).unwrap();
        let body = match signal {
            "logs" => format!(
                r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{now}","body":{{"stringValue":"{name}"}}}}]}}]}}]}}"#
            ),
            "metrics" => format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[
                {{"timeUnixNano":"{now}","asDouble":1,"attributes":[{{"key":"k","value":{{"stringValue":"{name}"}}}}]}}]}}}}]}}]}}]}}"#
            ),
            _ => format!(
                r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{:08x}463ac35c9f6413ad48485a39",
                "spanId":"53995c3f42cd8ad8","name":"{name}","kind":2,
                "startTimeUnixNano":"{now}","endTimeUnixNano":"{}"}}]}}]}}]}}"#,
                now / 1_000_000_000,
                now + 1
            ),
        };
        let url = format!("http://127.0.0.1:{}/v1/{signal}", self.otlp);
        post_json(&url, body).await.unwrap().status.as_u16()
    }

    /// The sum of a metric's series that have all these texts.
    async fn metric(&self, name: &str, having: &[&str]) -> f64 {
        own_metric(self.page, name, having).await
    }
}

/// Names in any of the bodies.
fn names(bodies: &[Bytes]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for body in bodies {
        for part in String::from_utf8_lossy(body).split("item-").skip(1) {
            let digits = part.chars().take_while(char::is_ascii_digit);
            found.insert(format!("item-{}", digits.collect::<String>()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_while_backends_fail_and_recover() {
    let setup = Setup::start(
        "sending_queue: {queue_size: 1000}\n    retry_on_failure: {initial_interval: 20ms, max_interval: 100ms, max_elapsed_time: 0s}",
    )
    .await;
    for server in [&setup.logs, &setup.metrics, &setup.traces] {
        server.plan(FAULTS.into_iter().chain(FAULTS));
    }
    let items: Vec<String> = (0..60).map(|at| format!("item-{at}")).collect();
    let wanted: BTreeSet<String> = items.iter().cloned().collect();
    for item in &items {
        for signal in ["logs", "metrics"] {
            let status = setup.send(signal, item, Duration::ZERO).await;
            assert_eq!(status, 200, "{signal}: {}", setup.weir.log());
        }
        // No queue: the sender repeats what it is told to repeat, and an acknowledged span is there.
        let mut tries = 0;
        loop {
            let status = setup.send("traces", item, Duration::ZERO).await;
            if status == 200 {
                break;
            }
            assert!(
                matches!(status, 429 | 503 | 504),
                "{status}: {}",
                setup.weir.log()
            );
            tries += 1;
            assert!(tries < 100, "{}", setup.weir.log());
        }
        assert!(names(&setup.traces.taken()).contains(item), "{item}");
    }
    for (signal, server) in [("logs", &setup.logs), ("metrics", &setup.metrics)] {
        let mut wanted = wanted.clone();
        loop {
            let all = server
                .wait(LIMIT, |bodies| names(bodies).is_superset(&wanted))
                .await;
            let missing = wanted
                .difference(&names(&server.taken()))
                .cloned()
                .collect::<Vec<_>>();
            assert!(all, "{signal} lacks {missing:?}: {}", setup.weir.log());
            if server.planned() == 0 {
                break;
            }
            // Few, large requests met only a part of the faults.
            let item = format!("item-{}", wanted.len());
            assert_eq!(setup.send(signal, &item, Duration::ZERO).await, 200);
            wanted.insert(item);
        }
    }
    assert_eq!(setup.traces.planned(), 0);
    assert_eq!(setup.metric("weir_dropped_items_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_after_an_outage_has_been_counted() {
    let setup = Setup::start(
        "sending_queue: {queue_size: 6}\n    retry_on_failure: {initial_interval: 20ms, max_interval: 60ms, max_elapsed_time: 150ms}",
    )
    .await;
    let outage = [
        Fault::Status(500, ""),
        Fault::ResetInRequest,
        Fault::Status(503, ""),
        Fault::Close,
    ];
    for server in [&setup.logs, &setup.metrics] {
        server.plan(outage.into_iter().cycle().take(60));
    }
    for (signal, component, server) in [
        ("logs", "awscloudwatchlogs", &setup.logs),
        ("metrics", "awsemf", &setup.metrics),
    ] {
        let mut accepted = BTreeSet::new();
        let mut at = 0;
        // Until some time after the backend has recovered; every fifth item is too old to be taken.
        let mut after = 0;
        while after < 20 {
            assert!(at < 5000, "{}", setup.weir.log());
            let item = format!("item-{at}");
            let old = if at % 5 == 0 { 20 * 86_400 } else { 0 };
            match setup.send(signal, &item, Duration::from_secs(old)).await {
                200 => drop(accepted.insert(item)),
                status => assert!(matches!(status, 429 | 503), "{status}"),
            }
            at += 1;
            after += usize::from(server.planned() == 0);
        }
        // Every item in the queue ends as sent or failed.
        let label = [component];
        let mut polls = 0;
        loop {
            let sent = setup.metric("otelcol_exporter_sent_", &label).await;
            let failed = setup.metric("otelcol_exporter_send_failed_", &label).await;
            if (sent + failed) as usize == accepted.len() {
                break;
            }
            polls += 1;
            assert!(
                polls < 600,
                "{sent} + {failed} of {}: {}",
                accepted.len(),
                setup.weir.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let arrived = names(&server.taken());
        let missing = accepted.difference(&arrived).count();
        let dropped = setup.metric("weir_dropped_items_total", &label).await;
        assert_eq!(dropped as usize, missing, "{signal}: {}", setup.weir.log());
        assert!(
            missing > 0 && !arrived.is_empty(),
            "{missing} {}",
            arrived.len()
        );
    }
}
