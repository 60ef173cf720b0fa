//! SIGTERM under load: everything acknowledged is delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use weir_testkit::MockServer;

use crate::process::{Weir, free_port, post_json};

#[tokio::test(flavor = "multi_thread")]
async fn everything_acknowledged_before_sigterm_arrives() {
    weir_net::install_default_provider();
    let backend = MockServer::start(|_| Response::new(Bytes::new())).unwrap();
    let (otlp, health) = (free_port(), free_port());
    let config = format!(
        "extensions: {{health_check: {{endpoint: '127.0.0.1:{health}'}}}}
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{otlp}'}}}}}}}}
processors: {{batch: {{timeout: 500ms}}}}
exporters: {{otlphttp: {{endpoint: '{}', compression: none}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    logs: {{receivers: [otlp], processors: [batch], exporters: [otlphttp]}}
",
        backend.url()
    );
    let weir = Weir::start(&config, health).await;
    let (stop, next) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut senders = Vec::new();
    for _ in 0..4 {
        let (stop, next) = (stop.clone(), next.clone());
        let url = format!("http://127.0.0.1:{otlp}/v1/logs");
        senders.push(async move {
            let mut acknowledged = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let id = next.fetch_add(1, Ordering::Relaxed);
                let body = format!(
                    r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"<{id}>"}}}}]}}]}}]}}"#
                );
                match post_json(&url, body).await {
                    Ok(answer) if answer.status == 200 => acknowledged.push(id),
                    // Refused or closed: the program stops. What was not acknowledged is the sender's.
                    _ => break,
                }
            }
            acknowledged
        });
    }
    let end = async {
        while next.load(Ordering::Relaxed) < 400 {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        weir.terminate();
        let status = weir.ended(Duration::from_secs(30)).await;
        stop.store(true, Ordering::Relaxed);
        status
    };
    let load = futures_util::future::join_all(senders);
    let (status, acknowledged) = tokio::join!(end, load);
    assert!(status.success(), "{status}");
    let acknowledged: Vec<usize> = acknowledged.into_iter().flatten().collect();
    assert!(
        acknowledged.len() >= 300,
        "only {} were acknowledged",
        acknowledged.len()
    );
    let bodies: Vec<u8> = backend
        .requests()
        .iter()
        .flat_map(|r| r.body.to_vec())
        .collect();
    let text = String::from_utf8_lossy(&bodies);
    let missing: Vec<_> = acknowledged
        .iter()
        .filter(|id| !text.contains(&format!("<{id}>")))
        .collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
}
