//! The calls of CloudWatch Logs and X-Ray.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use weir_core::ManualClock;

use super::fakes::{Answer, FakeService, NOW_NS, client, keys};
use crate::{
    AwsSession, CloudWatchLogs, ErrorKind, NewGroup, PutLogEventsReply, RejectedLogEvents, Service,
    XRay,
};

fn logs(fake: &Arc<FakeService>) -> CloudWatchLogs {
    let session = AwsSession::default();
    CloudWatchLogs::new(client(
        Service::Logs,
        fake,
        &session,
        Arc::new(keys("AKID")),
    ))
}

fn targets(fake: &FakeService) -> Vec<String> {
    fake.calls().into_iter().map(|(target, _)| target).collect()
}

/// EMF-54, EMF-55.
#[tokio::test(start_paused = true)]
async fn a_missing_group_is_made_with_tags_and_retention() {
    let fake = FakeService::answering([Answer::Error(400, "ResourceNotFoundException")]);
    let new_group = NewGroup {
        tags: Some(BTreeMap::from([("team".to_owned(), "a\"b".to_owned())])),
        retention_days: 7,
    };
    logs(&fake)
        .ensure_log_stream("g", "s", &new_group)
        .await
        .unwrap();
    let call = |target: &str, body: &str| (target.to_owned(), body.to_owned());
    assert_eq!(
        fake.calls(),
        [
            call(
                "CreateLogStream",
                r#"{"logGroupName":"g","logStreamName":"s"}"#
            ),
            call(
                "CreateLogGroup",
                r#"{"logGroupName":"g","tags":{"team":"a\"b"}}"#
            ),
            call(
                "PutRetentionPolicy",
                r#"{"logGroupName":"g","retentionInDays":7}"#
            ),
            call(
                "CreateLogStream",
                r#"{"logGroupName":"g","logStreamName":"s"}"#
            ),
        ]
    );
}

/// Somebody else makes the same group at the same time: no retention, but the stream is made.
#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_left_as_it_is() {
    let there = Answer::Error(400, "ResourceAlreadyExistsException");
    let missing = Answer::Error(400, "ResourceNotFoundException");
    let fake = FakeService::answering([missing, there.clone(), there.clone()]);
    let new_group = NewGroup {
        tags: None,
        retention_days: 7,
    };
    logs(&fake)
        .ensure_log_stream("g", "s", &new_group)
        .await
        .unwrap();
    assert_eq!(
        targets(&fake),
        ["CreateLogStream", "CreateLogGroup", "CreateLogStream"]
    );

    let fake = FakeService::answering([there]);
    logs(&fake)
        .ensure_log_stream("g", "s", &new_group)
        .await
        .unwrap();
    assert_eq!(targets(&fake), ["CreateLogStream"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_group_is_the_error() {
    let fake = FakeService::answering([
        Answer::Error(400, "ResourceNotFoundException"),
        Answer::Error(400, "AccessDeniedException"),
    ]);
    let result = logs(&fake)
        .ensure_log_stream("g", "s", &NewGroup::default())
        .await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::AccessDenied);
    assert_eq!(fake.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn rejected_events_are_counted() {
    let reply = r#"{"nextSequenceToken":"1","rejectedLogEventsInfo":
        {"tooNewLogEventStartIndex":8,"tooOldLogEventEndIndex":2,"expiredLogEventEndIndex":3}}"#;
    let fake = FakeService::answering([Answer::Ok(reply), Answer::Ok("not json")]);
    let logs = logs(&fake);
    let rejected = logs
        .put_log_events(Bytes::from_static(b"{}"))
        .await
        .unwrap();
    assert_eq!(rejected.rejected_log_events_info.unwrap().count(10), 5);
    let none = logs
        .put_log_events(Bytes::from_static(b"{}"))
        .await
        .unwrap();
    assert_eq!(none, PutLogEventsReply::default());
    let odd = RejectedLogEvents {
        too_new_log_event_start_index: Some(99),
        too_old_log_event_end_index: Some(99),
        expired_log_event_end_index: None,
    };
    assert_eq!(odd.count(10), 10);
}

/// XR-48, XR-52.
#[tokio::test(start_paused = true)]
async fn segments_are_posted_with_the_time_and_what_was_not_taken_comes_back() {
    let reply = r#"{"UnprocessedTraceSegments":[{"Id":"1","ErrorCode":"X","Message":"m"},{}]}"#;
    let fake = FakeService::answering([Answer::Ok(reply)]);
    let session = AwsSession {
        endpoint: "http://127.0.0.1:9/base/".to_owned(),
        ..AwsSession::default()
    };
    let client = client(Service::XRay, &fake, &session, Arc::new(keys("AKID")));
    let xray = XRay::new(client, Arc::new(ManualClock::at(NOW_NS + 5)));
    let reply = xray
        .put_trace_segments(Bytes::from_static(b"{}"))
        .await
        .unwrap();
    assert_eq!(reply.unprocessed_trace_segments.len(), 2);
    assert_eq!(
        reply.unprocessed_trace_segments[0].error_code.as_deref(),
        Some("X")
    );
    xray.put_telemetry_records(Bytes::from_static(b"{}"))
        .await
        .unwrap();
    let uris: Vec<String> = (0..2)
        .map(|at| fake.requests.lock().unwrap()[at].uri().to_string())
        .collect();
    assert_eq!(
        uris,
        [
            "http://127.0.0.1:9/base/TraceSegments",
            "http://127.0.0.1:9/base/TelemetryRecords"
        ]
    );
    assert_eq!(
        fake.header(0, "x-amzn-xray-timestamp"),
        "1700000000.000000005"
    );
    assert_eq!(fake.header(0, "content-type"), "application/json");
    assert!(
        fake.header(0, "authorization")
            .contains("host;x-amz-date;x-amzn-xray-timestamp")
    );
}
