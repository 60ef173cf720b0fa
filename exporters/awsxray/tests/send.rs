//! Calls against a scripted X-Ray: chunks, failures, what the service puts back or refuses, records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value as Json, json};
use weir_aws::{
    AwsClient, AwsSession, ClientIdentity, Credentials, CredentialsError, CredentialsProvider,
    SegmentCounts, Service, Transport, TransportError, TransportErrorKind, XRay,
};
use weir_core::registry::ComponentKind;
use weir_core::{
    Batch, BoxFut, BuildCtx, ComponentId, Deadline, Exporter, ManualClock, Reject, Signal,
};
use weir_model::TracesBuilder;
use weir_xray::Settings;

use super::super::config::Config;
use super::super::meters::Meters;
use super::super::report::Reporter;
use super::super::send::XRayExporter;

/// What the clock shows, Unix seconds.
const T0: i64 = 1_795_364_000;

/// Answers in order; 200 with nothing unprocessed when there are no more.
#[derive(Debug, Default)]
struct ScriptedXRay {
    answers: Mutex<VecDeque<Result<(u16, Json), TransportErrorKind>>>,
    calls: Mutex<Vec<(String, http::HeaderMap, Json)>>,
}

impl ScriptedXRay {
    fn then(self: &Arc<Self>, status: u16, body: Json) -> Arc<Self> {
        self.answers.lock().unwrap().push_back(Ok((status, body)));
        self.clone()
    }
    fn broken(self: &Arc<Self>, kind: TransportErrorKind) -> Arc<Self> {
        self.answers.lock().unwrap().push_back(Err(kind));
        self.clone()
    }
    /// Ids of the segments of each `PutTraceSegments` call.
    fn sent(&self) -> Vec<Vec<String>> {
        let calls = self.calls.lock().unwrap();
        let bodies = calls.iter().filter(|(path, _, _)| path == "/TraceSegments");
        bodies
            .map(|(_, _, body)| {
                let documents = body["TraceSegmentDocuments"].as_array().unwrap();
                let id = |text: &Json| -> String {
                    let document: Json = serde_json::from_str(text.as_str().unwrap()).unwrap();
                    document["id"].as_str().unwrap().to_owned()
                };
                documents.iter().map(id).collect()
            })
            .collect()
    }
    fn records(&self) -> Vec<Json> {
        let calls = self.calls.lock().unwrap();
        let bodies = calls
            .iter()
            .filter(|(path, _, _)| path == "/TelemetryRecords");
        bodies.map(|(_, _, body)| body.clone()).collect()
    }
}

impl Transport for ScriptedXRay {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>> {
        let body = serde_json::from_slice(request.body()).unwrap();
        let path = request.uri().path().to_owned();
        let headers = request.headers().clone();
        self.calls.lock().unwrap().push((path, headers, body));
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move {
            match answer.unwrap_or(Ok((200, json!({"UnprocessedTraceSegments": []})))) {
                Ok((status, body)) => Ok(http::Response::builder()
                    .status(status)
                    .body(Bytes::from(body.to_string()))
                    .unwrap()),
                Err(kind) => Err(TransportError {
                    message: "broken".to_owned(),
                    kind,
                }),
            }
        })
    }
}

#[derive(Debug)]
struct Keys;

impl CredentialsProvider for Keys {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async { Ok(Credentials::fixed("id", "secret", None)) })
    }
    fn refused(&self) {}
}

fn context() -> BuildCtx {
    BuildCtx {
        clock: Arc::new(ManualClock::at(T0 as u64 * 1_000_000_000)),
        ..BuildCtx::standalone(
            ComponentId::parse("awsxray/x").unwrap(),
            ComponentKind::Exporter,
            Some(Signal::Traces),
        )
    }
}

fn api(service: &Arc<ScriptedXRay>, cx: &BuildCtx) -> Arc<XRay> {
    let session = AwsSession {
        endpoint: "http://127.0.0.1:1".to_owned(),
        ..AwsSession::default()
    };
    let client = AwsClient::new(
        &session,
        Service::XRay,
        "eu-west-1",
        ClientIdentity::default(),
        service.clone(),
        Arc::new(Keys),
        cx.clock.clone(),
    );
    Arc::new(XRay::new(client.unwrap(), cx.clock.clone()))
}

fn exporter(service: &Arc<ScriptedXRay>, cx: &BuildCtx) -> XRayExporter {
    XRayExporter::new(Settings::default(), api(service, cx), 2, Meters::new(cx), None)
}

/// A batch of spans with ids from 1.
fn spans(count: usize) -> Batch {
    let (resource, scope) = (Arc::default(), Arc::default());
    let mut builder = TracesBuilder::default();
    for n in 1..=count as u64 {
        let mut span = builder.push(&resource, &scope);
        span.set_name("x");
        span.set_ids(&[1; 16], &n.to_be_bytes(), &[]);
    }
    Batch::traces(builder.finish())
}

fn ids(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("{n:016x}")).collect()
}

fn unprocessed(list: &[(usize, &str)]) -> Json {
    let list = list.iter().map(|(n, code)| {
        json!({"Id": format!("{n:016x}"), "ErrorCode": code, "Message": "m"})
    });
    json!({"UnprocessedTraceSegments": list.collect::<Vec<_>>()})
}

#[tokio::test(start_paused = true)]
async fn fifty_documents_a_call_in_order_and_signed() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    exporter(&service, &cx).export(&mut spans(120)).await.unwrap();
    let sent = service.sent();
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    assert_eq!(sent.concat(), ids(1..=120));
    assert_eq!(cx.telemetry.total("weir_exporter_awsxray_documents"), 120.0);
    let calls = service.calls.lock().unwrap();
    let headers = &calls[0].1;
    assert_eq!(headers["x-amzn-xray-timestamp"], "1795364000.000000000");
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.contains("x-amzn-xray-timestamp"), "{authorization}");
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
    service
        .then(200, json!({}))
        .then(400, json!({"__type": "InvalidRequestException", "message": "bad"}));
    let mut batch = spans(120);
    let reject = exporter(&service, &cx).export(&mut batch).await.unwrap_err();
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
        service.then(200, json!({}));
        for _ in 0..2 {
            service.then(answer.0, answer.1.clone());
        }
        let exporter = exporter(&service, &cx);
        let mut batch = spans(120);
        let reject = exporter.export(&mut batch).await.unwrap_err();
        assert!(reject.is_retryable(), "{reject}");
        assert_eq!(batch.len(), 70);
        service.answers.lock().unwrap().clear();
        exporter.export(&mut batch).await.unwrap();
        let sent = service.sent().split_off(service.sent().len() - 2);
        assert_eq!(sent.concat(), ids(51..=120));
    }
}

#[tokio::test(start_paused = true)]
async fn the_text_of_a_failure_says_what_to_change() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    service.then(403, json!({"__type": "AccessDeniedException", "message": "no"}));
    let reject = exporter(&service, &cx).export(&mut spans(1)).await.unwrap_err();
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
        unprocessed(&[(1, "ParseError"), (2, "ThrottledException"), (3, "InternalFailure")]),
    );
    exporter(&service, &cx).export(&mut spans(4)).await.unwrap();
    assert_eq!(service.sent(), [ids(1..=4), ids(2..=3)]);
    assert_eq!(cx.telemetry.total("weir_exporter_awsxray_documents"), 3.0);
    assert_eq!(cx.telemetry.total("weir_dropped_items_total"), 1.0);
    let page = cx.telemetry.encode();
    let line = "weir_exporter_awsxray_unprocessed_documents{exporter=\"awsxray/x\",code=\"ParseError\"} 1";
    assert!(page.contains(line), "{page}");
}

#[tokio::test(start_paused = true)]
async fn what_the_service_keeps_putting_back_is_left_to_the_caller() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    service
        .then(200, unprocessed(&[(2, "Throttled"), (4, "Throttled")]))
        .then(200, unprocessed(&[(4, "Throttled")]));
    let mut batch = spans(60);
    let reject = exporter(&service, &cx).export(&mut batch).await.unwrap_err();
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
    let list: Vec<(usize, &str)> = codes.iter().enumerate().map(|(n, c)| (n + 1, c.as_str())).collect();
    service.then(200, unprocessed(&list));
    exporter(&service, &cx).export(&mut spans(50)).await.unwrap();
    let page = cx.telemetry.encode();
    let lines = page.lines().filter(|l| l.starts_with("weir_exporter_awsxray_unprocessed_documents{"));
    assert_eq!(lines.count(), 21);
    assert!(page.contains("code=\"other\"} 20"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_or_foreign_reply_is_no_trouble() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    service
        .then(200, json!("nonsense"))
        .then(200, unprocessed(&[(99, "Throttled")]))
        .then(200, json!({"UnprocessedTraceSegments": [{}, {"Id": "zz"}, {"ErrorCode": "Throttled"}]}));
    let exporter = exporter(&service, &cx);
    for _ in 0..3 {
        exporter.export(&mut spans(1)).await.unwrap();
    }
    assert_eq!(service.sent().len(), 3);
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
    let exporter = XRayExporter::new(Settings::default(), api(&service, &cx), 2, Meters::new(&cx), Some(reporter));
    exporter.start().await.unwrap();
    exporter.export(&mut spans(3)).await.unwrap();
    service.broken(TransportErrorKind::Timeout).broken(TransportErrorKind::UnknownHost);
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
    assert_eq!(service.records()[1]["TelemetryRecords"][0]["SegmentsReceivedCount"], 1);
    assert!(cx.tasks.finished(Deadline::after(Duration::from_secs(1))).await);
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
