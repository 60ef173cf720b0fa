//! `weir backtest` as a process: what it asks of a Prometheus, signed, and how it ends.

use std::process::{Command, Output};

use bytes::Bytes;
use http::Response;
use weir_testkit::{MockServer, Recorded, sigv4};

use crate::process::SECRET;

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
