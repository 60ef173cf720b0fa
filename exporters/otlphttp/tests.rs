#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use weir_core::{ComponentId, ComponentKind};

use super::*;

fn answer(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &'static [u8],
) -> HttpResponse {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    let status = StatusCode::from_u16(status).unwrap();
    HttpResponse {
        status,
        headers: map,
        body: Bytes::from_static(body),
    }
}

fn exporter(config: &Config) -> OtlpHttp {
    let id = ComponentId::parse("otlp_http").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Traces));
    OtlpHttp::new(config, &cx).unwrap()
}

#[tokio::test]
async fn statuses_decide_whether_to_try_again_and_when() {
    let config = Config {
        endpoint: "http://h:1".to_owned(),
        ..Config::default()
    };
    let exporter = exporter(&config);
    for status in [429, 502, 503, 504] {
        assert!(
            exporter.failure(&answer(status, &[], b"")).is_retryable(),
            "{status}"
        );
    }
    for status in [400, 401, 404, 408, 500, 501] {
        assert!(
            !exporter.failure(&answer(status, &[], b"")).is_retryable(),
            "{status}"
        );
    }
    let three = [("retry-after", "3")];
    for (status, wait) in [(503, Some(3)), (429, Some(3)), (502, None)] {
        let Reject::Retry { after, .. } = exporter.failure(&answer(status, &three, b"")) else {
            panic!("{status}")
        };
        assert_eq!(after, wait.map(Duration::from_secs), "{status}");
    }
}

#[tokio::test]
async fn the_message_of_a_status_is_in_the_error() {
    let config = Config {
        endpoint: "http://h:1".to_owned(),
        ..Config::default()
    };
    let exporter = exporter(&config);
    let proto = answer(400, &[], b"\x08\x03\x12\x03bad");
    let json = answer(
        400,
        &[("content-type", "application/json")],
        br#"{"code":3,"message":"bad"}"#,
    );
    for answer in [proto, json] {
        let reject = exporter.failure(&answer);
        assert!(
            reject
                .to_string()
                .ends_with("/v1/traces answered HTTP status 400: bad"),
            "{reject}"
        );
        assert_eq!(reject.why().grpc_code, Some(3));
    }
}

#[test]
fn exact_endpoints_are_used_as_they_are() {
    let config = Config {
        endpoint: "http://base:4318/otlp/".to_owned(),
        logs_endpoint: "https://logs/in".to_owned(),
        ..Config::default()
    };
    let url = |signal| config.url(signal).unwrap().to_string();
    assert_eq!(url(Signal::Traces), "http://base:4318/otlp/v1/traces");
    assert_eq!(url(Signal::Logs), "https://logs/in");
    let config = Config {
        endpoint: String::new(),
        ..config
    };
    let error = config.url(Signal::Metrics).unwrap_err();
    assert!(error.to_string().contains("metrics_endpoint"), "{error}");
}
