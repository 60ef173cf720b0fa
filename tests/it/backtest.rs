//! `weir backtest` as a process: what it asks of a Prometheus, signed, and how it ends.

use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use weir_testkit::{MockServer, Recorded, sigv4};

use crate::process::{SECRET, Weir, free_port, post_json};

/// Seconds of a parameter.
fn seconds(request: &Recorded, name: &str) -> f64 {
    let query = request.uri.query().unwrap();
    let found = query.split('&').find_map(|p| p.strip_prefix(name));
    found.and_then(|value| value.parse().ok()).unwrap()
}

/// As many samples as Prometheus would give.
fn matrix(request: &Recorded) -> Response<Bytes> {
    let (start, end) = (seconds(request, "start="), seconds(request, "end="));
    let step = seconds(request, "step=");
    let count = ((end - start) / step) as u32 + 1;
    let samples: Vec<String> = (0..count)
        .map(|i| format!("[{:.3},\"{}\"]", start + f64::from(i) * step, i % 7))
        .collect();
    let body = format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{{\"metric\":\
         {{\"__name__\":\"up\",\"job\":\"a\"}},\"values\":[{}]}}]}}}}",
        samples.join(",")
    );
    Response::new(Bytes::from(body))
}

async fn backtest(arguments: Vec<String>) -> Output {
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_weir"))
            .arg("backtest")
            .args(arguments)
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "AKIDTEST")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
    };
    tokio::task::spawn_blocking(run).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_prometheus_is_asked_in_parts_with_signatures() {
    let prometheus = MockServer::start(matrix).unwrap();
    let url = format!("{}/workspaces/ws-1", prometheus.url());
    let arguments = [
        url.as_str(),
        "--query",
        "up{job=\"a\"} or sum by (x) (y)",
        "--sigv4",
        "eu-central-1",
        "--header",
        "X-Scope-OrgID: tenant",
        "--last",
        "14d",
    ];
    let output = backtest(arguments.map(str::to_owned).to_vec()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    assert!(text.contains("up{job=\"a\"}"), "{text}");
    // 20,160 minutes and the last moment
    assert!(text.contains("20,161 samples in"), "{text}");
    let requests = prometheus.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.uri.path(), "/workspaces/ws-1/api/v1/query_range");
        assert_eq!(request.header("x-scope-orgid"), "tenant");
        let verdict = sigv4::verify(request, SECRET, "eu-central-1", "aps");
        assert_eq!(verdict, Ok(()), "{}", request.uri);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_with_the_cure_and_the_exit_code() {
    let prometheus = MockServer::start(|_| {
        let mut answer = Response::new(Bytes::from_static(b"{\"message\":\"Missing Token\"}"));
        *answer.status_mut() = http::StatusCode::FORBIDDEN;
        answer
    })
    .unwrap();
    let output = backtest(vec![prometheus.url(), "--query=up".to_owned()]).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("403") && errors.contains("Missing Token"),
        "{errors}"
    );
    assert!(errors.contains("help: --sigv4 REGION"), "{errors}");
}

/// A gauge of a service at one minute, as OTLP/JSON.
fn point(minute: i64, value: f64) -> String {
    let time_s = 1_741_000_000 + minute * 60;
    format!(
        "{{\"resourceMetrics\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":\
         {{\"stringValue\":\"shop\"}}}}]}},\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"queue.depth\",\
         \"gauge\":{{\"dataPoints\":[{{\"timeUnixNano\":\"{time_s}000000000\",\"asDouble\":{value}}}]}}\
         }}]}}]}}]}}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_starts_with_what_a_backtest_has_learned() {
    const MINUTES: i64 = 3 * 1440;
    let folder = tempfile::tempdir().unwrap();
    let usual = |minute: i64| 50.0 + (minute * 7919 % 13) as f64 / 13.0;
    let lines: Vec<String> = (0..MINUTES).map(|m| point(m, usual(m))).collect();
    let recorded = folder.path().join("points.jsonl");
    std::fs::write(&recorded, lines.join("\n")).unwrap();
    let data = folder.path().join("data");
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let output = backtest(vec![text(&recorded), "--train".to_owned(), text(&data)]).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        std::fs::read_dir(&data).unwrap().count() > 0,
        "no state file"
    );

    let file = text(&recorded);
    let refused = backtest(vec![file.clone(), "--train".to_owned(), file]).await;
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("points.jsonl"), "{errors}");

    let sink = MockServer::with_body("{}").unwrap();
    let (health, otlp) = (free_port(), free_port());
    let config = format!(
        "extensions: {{health_check: {{endpoint: '127.0.0.1:{health}'}}}}
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{otlp}'}}}}}}}}
processors: {{anomaly: {{emit: attributes}}}}
exporters: {{otlphttp: {{endpoint: '{}', compression: none, encoding: json}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [otlp], processors: [anomaly], exporters: [otlphttp]}}
",
        sink.url()
    );
    let weir = Weir::start_with(&config, health, &[("WEIR_DATA_DIR", &text(&data))]).await;
    let url = format!("http://127.0.0.1:{otlp}/v1/metrics");
    let answer = post_json(&url, point(MINUTES, 500.0)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", weir.log());
    let sent = sink.wait(Duration::from_secs(10), |r| !r.is_empty()).await;
    let body = sent
        .first()
        .map(|r| String::from_utf8_lossy(&r.body).into_owned());
    let body = body.unwrap_or_default();
    // the first sample that this process sees is judged
    assert!(
        body.contains("anomaly.detected") && body.contains("seasonal"),
        "{body}\n{}",
        weir.log()
    );
    weir.terminate();
    assert!(weir.ended(Duration::from_secs(25)).await.success());
}
