//! Credentials and endpoints of a whole program: what it says at the start and how often it says it.

use std::process::Command;
use std::time::Duration;

use super::process::{Weir, free_port, now_ns, post_json};

/// Runs the program on a configuration until it ends by itself; what it said.
fn refused(config: &str, variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, config).unwrap();
    let output = Command::new("timeout")
        .args(["-k", "1", "20", env!("CARGO_BIN_EXE_weir"), "--config"])
        .arg(&file)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

fn config(extensions: &str, exporter: &str) -> String {
    let names = match extensions {
        "" => "health_check",
        _ => "health_check, sigv4auth",
    };
    format!(
        "extensions:\n  health_check: {{endpoint: '127.0.0.1:{}'}}\n{extensions}\
         receivers:\n  otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{}'}}}}}}\n\
         exporters:\n{exporter}\
         service:\n  extensions: [{names}]\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
         metrics: {{receivers: [otlp], exporters: [{}]}}\n",
        free_port(),
        free_port(),
        exporter.trim().split(':').next().unwrap()
    )
}

const REMOTE_WRITE: &str = "  prometheusremotewrite: {endpoint: 'http://127.0.0.1:9/write', auth: {authenticator: sigv4auth}}\n";

/// AWS-15: credentials of `sigv4auth` are fetched at the start.
#[test]
fn sigv4auth_without_credentials_stops_the_start() {
    let said = refused(
        &config(
            "  sigv4auth: {region: us-west-2, service: aps}\n",
            REMOTE_WRITE,
        ),
        &[],
    );
    assert!(
        said.contains(
            "could not retrieve credential provider: no AWS credentials: none in the environment"
        ),
        "{said}"
    );
}

/// AWS-15: a web identity is not; AWS-14: its file must be there.
#[tokio::test]
async fn sigv4auth_with_a_token_file_starts_without_asking_anybody() {
    let role = "assume_role: {arn: 'arn:aws:iam::1:role/r', web_identity_token_file: ";
    let extension = |file: &str| format!("  sigv4auth: {{region: us-west-2, {role}'{file}'}}}}\n");
    let text = config(&extension("/dev/null"), REMOTE_WRITE);
    let health = text
        .split("health_check: {endpoint: '127.0.0.1:")
        .nth(1)
        .unwrap();
    let health = health.split('\'').next().unwrap().parse().unwrap();
    let weir = Weir::start(&text, health).await;
    weir.terminate();
    assert!(weir.ended(Duration::from_secs(20)).await.success());

    let said = refused(&config(&extension("/does/not/exist"), REMOTE_WRITE), &[]);
    assert!(
        said.contains("unable to retrieve token file: /does/not/exist"),
        "{said}"
    );
}

/// AWS-24, AWS-28, AWS-20 and profiles: each is told at the start, with the key or variable to change.
#[test]
fn what_can_never_work_stops_the_start() {
    let emf = |keys: &str| config("", &format!("  awsemf: {{{keys}}}\n"));
    let region = "region: us-west-2, endpoint: 'http://127.0.0.1:9'";
    for (config, variable, expected) in [
        (
            emf("endpoint: 'http://127.0.0.1:9'"),
            ("A", "b"),
            "cannot fetch region variable",
        ),
        (
            emf("region: us-west-2, endpoint: '127.0.0.1:9'"),
            ("A", "b"),
            "it must begin with `https://` or `http://`",
        ),
        (
            emf(region),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.1.2.3/x"),
            "credentials are fetched over http only from loopback",
        ),
        (
            emf(region),
            ("AWS_PROFILE", "nobody"),
            "failed to get shared config profile, nobody",
        ),
        (
            emf("region: us-west-2"),
            ("AWS_ENDPOINT_URL", "127.0.0.1:9"),
            "is not the URL of a service",
        ),
    ] {
        let said = refused(&config, &[variable]);
        assert!(said.contains(expected), "{expected}:\n{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// No credentials: the program starts, every sender is told to try again, the log says it once.
#[tokio::test]
async fn missing_credentials_are_an_answer_to_the_sender_and_one_line_in_the_log() {
    let text = config(
        "",
        "  awsemf: {region: us-west-2, endpoint: 'http://127.0.0.1:9', role_arn: 'arn:aws:iam::1:role/r'}\n",
    );
    let port = |name: &str| -> u16 {
        let (_, rest) = text.split_once(name).unwrap();
        let (_, rest) = rest.split_once("127.0.0.1:").unwrap();
        rest.split('\'').next().unwrap().parse().unwrap()
    };
    // A web identity whose file is not there: what the program has beside it is not used.
    let weir = Weir::start_with(
        &text,
        port("health_check"),
        &[
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/does/not/exist"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/w"),
        ],
    )
    .await;
    let url = format!("http://127.0.0.1:{}/v1/metrics", port("otlp"));
    for _ in 0..5 {
        let point = format!("{{\"asInt\":\"1\",\"timeUnixNano\":\"{}\"}}", now_ns());
        let body = format!(
            "{{\"resourceMetrics\":[{{\"resource\":{{}},\"scopeMetrics\":[{{\"metrics\":\
             [{{\"name\":\"g\",\"gauge\":{{\"dataPoints\":[{point}]}}}}]}}]}}]}}"
        );
        assert_eq!(post_json(&url, body).await.unwrap().status, 503);
    }
    let lines = weir
        .log()
        .matches("unable to retrieve token file: /does/not/exist")
        .count();
    assert_eq!(lines, 1, "{}", weir.log());
    weir.terminate();
    assert!(weir.ended(Duration::from_secs(20)).await.success());
}
