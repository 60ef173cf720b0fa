//! Calls against a scripted X-Ray: chunks, failures, what the service puts back or refuses, records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use weir_aws::{SegmentCounts, TransportErrorKind};
use weir_core::{BuildCtx, Deadline, Exporter, Reject};
use weir_sending::{RetrySettings, SendingSettings, TimeoutSettings};
use weir_xray::Settings;

use super::super::config::Config;
use super::super::meters::Meters;
use super::super::report::Reporter;
use super::super::send::XRayExporter;
use super::fakes::{ScriptedXRay, T0, api, context, exporter, ids, spans, unprocessed};

#[tokio::test(start_paused = true)]
async fn fifty_documents_a_call_in_order_and_signed() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    exporter(&service, &cx)
        .export(&mut spans(120))
        .await
        .unwrap();
    let sent = service.sent();
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    assert_eq!(sent.concat(), ids(1..=120));
    assert_eq!(cx.telemetry.total("weir_exporter_awsxray_documents"), 120.0);
    let calls = service.calls.lock().unwrap();
    let headers = &calls[0].1;
    assert_eq!(headers["x-amzn-xray-timestamp"], "1795364000.000000000");
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(
        authorization.contains("x-amzn-xray-timestamp"),
        "{authorization}"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_for_nothing() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    exporter(&service, &cx).export(&mut spans(0)).await.unwrap();
    assert_eq!(service.sent().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_ends_the_batch_for_good() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    service.then(200, &json!({})).then(
        400,
        &json!({"__type": "InvalidRequestException", "message": "bad"}),
    );
    let mut batch = spans(120);
    let reject = exporter(&service, &cx)
        .export(&mut batch)
        .await
        .unwrap_err();
    assert!(matches!(reject, Reject::Permanent(_)), "{reject}");
    assert_eq!(service.sent().len(), 2);
    assert_eq!(batch.len(), 120);
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_leaves_what_was_not_sent_to_be_sent_again() {
    for answer in [
        (500, json!({})),
        (403, json!({"__type": "AccessDeniedException"})),
        (429, json!({"__type": "ThrottledException"})),
    ] {
        let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
        service.then(200, &json!({}));
        for _ in 0..2 {
            service.then(answer.0, &answer.1);
        }
        let exporter = exporter(&service, &cx);
        let mut batch = spans(120);
        let reject = exporter.export(&mut batch).await.unwrap_err();
        assert!(reject.is_retryable(), "{reject}");
        assert_eq!(batch.len(), 70);
        service.recover();
        exporter.export(&mut batch).await.unwrap();
        let sent = service.sent().split_off(service.sent().len() - 2);
        assert_eq!(sent.concat(), ids(51..=120));
    }
}

#[tokio::test(start_paused = true)]
async fn the_text_of_a_failure_says_what_to_change() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    service.then(
        403,
        &json!({"__type": "AccessDeniedException", "message": "no"}),
    );
    let reject = exporter(&service, &cx)
        .export(&mut spans(1))
        .await
        .unwrap_err();
    let text = reject.to_string();
    assert!(text.contains("AccessDeniedException: no"), "{text}");
    assert!(text.contains("xray:PutTraceSegments"), "{text}");
    assert_eq!(reject.why().reason, "access_denied");
}

#[tokio::test(start_paused = true)]
async fn what_the_service_puts_back_is_sent_again_and_what_it_refuses_is_counted() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    service.then(
        200,
        &unprocessed(&[
            (1, "ParseError"),
            (2, "ThrottledException"),
            (3, "InternalFailure"),
        ]),
    );
    exporter(&service, &cx).export(&mut spans(4)).await.unwrap();
    assert_eq!(service.sent(), [ids(1..=4), ids(2..=3)]);
    assert_eq!(cx.telemetry.total("weir_exporter_awsxray_documents"), 3.0);
    assert_eq!(cx.telemetry.total("weir_dropped_items_total"), 1.0);
    let page = cx.telemetry.encode();
    let line =
        "weir_exporter_awsxray_unprocessed_documents{exporter=\"awsxray/x\",code=\"ParseError\"} 1";
    assert!(page.contains(line), "{page}");
}

#[tokio::test(start_paused = true)]
async fn what_the_service_keeps_putting_back_is_left_to_the_caller() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    service
        .then(200, &unprocessed(&[(2, "Throttled"), (4, "Throttled")]))
        .then(200, &unprocessed(&[(4, "Throttled")]));
    let mut batch = spans(60);
    let reject = exporter(&service, &cx)
        .export(&mut batch)
        .await
        .unwrap_err();
    assert!(reject.is_retryable() && reject.why().reason == "unprocessed");
    assert_eq!(service.sent(), [ids(1..=50), ids([2, 4]), ids(51..=60)]);
    assert_eq!(batch.len(), 1);
    exporter(&service, &cx).export(&mut batch).await.unwrap();
    assert_eq!(service.sent().last().unwrap(), &ids([4]));
}

#[tokio::test(start_paused = true)]
async fn error_codes_do_not_flood_the_metrics() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    let codes: Vec<String> = (0..40).map(|n| format!("Code{n}")).collect();
    let list: Vec<(usize, &str)> = codes
        .iter()
        .enumerate()
        .map(|(n, c)| (n + 1, c.as_str()))
        .collect();
    service.then(200, &unprocessed(&list));
    exporter(&service, &cx)
        .export(&mut spans(50))
        .await
        .unwrap();
    let page = cx.telemetry.encode();
    let lines = page
        .lines()
        .filter(|l| l.starts_with("weir_exporter_awsxray_unprocessed_documents{"));
    assert_eq!(lines.count(), 21);
    assert!(page.contains("code=\"other\"} 20"), "{page}");
}

fn reporter(service: &Arc<ScriptedXRay>, cx: &BuildCtx, counts: &Arc<SegmentCounts>) -> Reporter {
    let config = Config {
        resource_arn: "arn:aws:x".to_owned(),
        telemetry: super::super::TelemetryConfig {
            enabled: true,
            include_metadata: true,
            hostname: "host".to_owned(),
            instance_id: "i-42".to_owned(),
            ..Default::default()
        },
        ..Config::default()
    };
    Reporter::new(&config, counts.clone(), api(service, cx), cx)
}

#[tokio::test(start_paused = true)]
async fn counts_are_reported_once_a_minute_if_there_are_any() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    let counts = Arc::new(SegmentCounts::default());
    let reporter = reporter(&service, &cx, &counts);
    let exporter = XRayExporter::new(
        Settings::default(),
        api(&service, &cx),
        2,
        Meters::new(&cx),
        Some(reporter),
    );
    exporter.start().await.unwrap();
    exporter.export(&mut spans(3)).await.unwrap();
    service
        .broken(TransportErrorKind::Timeout)
        .broken(TransportErrorKind::UnknownHost);
    exporter.export(&mut spans(1)).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(service.records().len(), 0);
    tokio::time::sleep(Duration::from_secs(130)).await;
    let records = service.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["Hostname"], "host");
    assert_eq!(records[0]["EC2InstanceId"], "i-42");
    assert_eq!(records[0]["ResourceARN"], "arn:aws:x");
    let record = &records[0]["TelemetryRecords"][0];
    assert_eq!(record["Timestamp"], T0 as f64);
    assert_eq!(record["SegmentsSentCount"], 3);
    assert_eq!(record["BackendConnectionErrors"]["UnknownHostCount"], 1);
    // Unlike the reference, the last counts are told on the way out.
    counts.received(1);
    exporter.stop(Deadline::after(Duration::from_secs(5))).await;
    assert_eq!(
        service.records()[1]["TelemetryRecords"][0]["SegmentsReceivedCount"],
        1
    );
    assert!(
        cx.tasks
            .finished(Deadline::after(Duration::from_secs(1)))
            .await
    );
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_sent_wait_newest_first() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    let counts = Arc::new(SegmentCounts::default());
    let reporter = reporter(&service, &cx, &counts);
    reporter.start();
    tokio::time::sleep(Duration::from_secs(30)).await;
    // Each report fails with both its tries.
    for _ in 0..2 * 35 {
        service.broken(TransportErrorKind::Other);
    }
    for minute in 1..=36 {
        counts.sent(minute);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let records = service.records().split_off(70);
    let sent: Vec<i64> = records
        .iter()
        .flat_map(|call| call["TelemetryRecords"].as_array().unwrap())
        .map(|record| record["SegmentsSentCount"].as_i64().unwrap())
        .collect();
    assert_eq!(records.len(), 3);
    assert_eq!(sent, (7..=36).rev().collect::<Vec<_>>());
    reporter.stop(Deadline::after(Duration::from_secs(5))).await;
}

#[tokio::test(start_paused = true)]
async fn without_metadata_records_name_nothing_not_even_the_last_one() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    let counts = Arc::new(SegmentCounts::default());
    let config = Config {
        resource_arn: "arn:aws:x".to_owned(),
        telemetry: super::super::TelemetryConfig {
            hostname: "host".to_owned(),
            instance_id: "i-42".to_owned(),
            ..Default::default()
        },
        ..Config::default()
    };
    let reporter = Reporter::new(&config, counts.clone(), api(&service, &cx), &cx);
    reporter.start();
    counts.sent(1);
    tokio::time::sleep(Duration::from_secs(61)).await;
    counts.sent(1);
    reporter.stop(Deadline::after(Duration::from_secs(5))).await;
    let records = service.records();
    assert_eq!(records.len(), 2);
    for record in records {
        for key in ["Hostname", "EC2InstanceId", "ResourceARN"] {
            assert_eq!(record[key], "", "{key}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_tried_twice_if_trying_again_may_help() {
    for (status, code, calls) in [
        (500, "", 2),
        (502, "", 2),
        (503, "", 2),
        (504, "", 2),
        (429, "ThrottledException", 2),
        (400, "ThrottledException", 2),
        (501, "", 1),
        (400, "InvalidRequestException", 1),
        (403, "AccessDeniedException", 1),
        (413, "", 1),
    ] {
        let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
        for _ in 0..9 {
            service.then(status, &json!({"__type": code}));
        }
        let reject = exporter(&service, &cx)
            .export(&mut spans(1))
            .await
            .unwrap_err();
        assert_eq!(service.sent().len(), calls, "{status} {code}");
        let is_final = code == "InvalidRequestException";
        assert_eq!(reject.is_retryable(), !is_final, "{status} {code}");
    }
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    for _ in 0..9 {
        service.broken(TransportErrorKind::Other);
    }
    exporter(&service, &cx)
        .export(&mut spans(1))
        .await
        .unwrap_err();
    assert_eq!(service.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_for_all_calls_of_a_batch() {
    // Four calls of two seconds.
    for (seconds, calls, arrives) in [(5, 3, false), (9, 4, true)] {
        let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
        service.slow_down(Duration::from_secs(2));
        let timeout = TimeoutSettings(weir_config::Duration::from_secs(seconds));
        let sending = SendingSettings::new(timeout, RetrySettings::off(), None);
        let stage = weir_sending::wrap(Arc::new(exporter(&service, &cx)), &sending, &cx);
        let result = stage.consume(spans(200)).await;
        assert_eq!(result.is_ok(), arrives);
        assert_eq!(service.sent().len(), calls);
        if let Err(reject) = result {
            assert!(reject.is_retryable() && reject.why().reason == "timeout");
        }
    }
    assert_eq!(
        Config::default().timeout,
        weir_config::Duration::from_secs(5)
    );
}

#[test]
fn the_user_agent_names_exporter_environment_and_system() {
    let cx = context();
    let version = cx.build_info.version;
    let system = format!("OS/{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let mut environment = BTreeMap::new();
    assert_eq!(
        super::super::user_agent(&cx, &environment),
        format!("xray-otel-exporter/{version} exec-env/UNKNOWN {system}")
    );
    environment.insert("AWS_EXECUTION_ENV".to_owned(), "AWS_ECS_FARGATE".to_owned());
    assert_eq!(
        super::super::user_agent(&cx, &environment),
        format!("xray-otel-exporter/{version} exec-env/AWS_ECS_FARGATE {system}")
    );
}
