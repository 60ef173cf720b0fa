//! The whole exporter against a service that answers as told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use weir_core::Reject;

use super::harness::{Harness, bodies, config, records};
use crate::cloudwatch_logs::fake::{Answer, Rule};

fn fault(stream: &'static str, times: usize, answer: Answer) -> Rule {
    Rule {
        action: "PutLogEvents".to_owned(),
        stream: Some(stream),
        skip: 0,
        times,
        answer,
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_group_is_made_with_tags_and_retention_and_once() {
    let harness = Harness::new(config(|config| {
        config.log_retention = 30;
        config.tags = Some([("team".to_owned(), "shop".to_owned())].into());
    }));
    harness.export(&mut records([("p", 0, "a")])).await.unwrap();
    harness.export(&mut records([("p", 0, "b")])).await.unwrap();
    assert_eq!(
        harness.service.actions(),
        [
            "PutLogEvents",
            "CreateLogStream",
            "CreateLogGroup",
            "PutRetentionPolicy",
            "CreateLogStream",
            "PutLogEvents",
            "PutLogEvents",
        ]
    );
    let groups = harness.service.groups.lock().unwrap();
    assert_eq!(groups["g"].retention_days, Some(30));
    assert_eq!(groups["g"].tags["team"], "shop");
    assert_eq!(harness.total("weir_awscloudwatchlogs_sent_events"), 2.0);
    let headers = harness.service.headers.lock().unwrap();
    let signed = headers[0]["authorization"].to_str().unwrap();
    assert_eq!(headers[0]["x-amzn-logs-format"], "json/emf");
    assert!(signed.contains("x-amzn-logs-format"), "{signed}");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_worth_another_try_and_says_what_to_change() {
    for (status, code, attempts, words) in [
        (400, "ThrottlingException", 2, "raise the quota"),
        (503, "ServiceUnavailableException", 2, "ServiceUnavailable"),
        (400, "OperationAbortedException", 1, "`g`"),
        (400, "AccessDeniedException", 1, "logs:PutLogEvents"),
        (400, "UnrecognizedClientException", 1, "`p`"),
    ] {
        let harness = Harness::with_streams(config(|_| ()), &["p"]);
        harness.service.fail("PutLogEvents", 9, status, code);
        let mut batch = records([("p", 0, "a")]);
        let reject = harness.export(&mut batch).await.unwrap_err();
        assert!(reject.is_retryable(), "{reject:?}");
        assert!(reject.to_string().contains(words), "{reject}");
        assert_eq!(reject.why().grpc_code, Some(14));
        assert_eq!(harness.service.actions().len(), attempts, "{code}");
        assert_eq!(batch.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_never_pass_is_given_up_and_the_sender_told_as_by_the_reference() {
    for (status, code) in [(400, "InvalidParameterException"), (413, "")] {
        let harness = Harness::with_streams(config(|_| ()), &["p"]);
        harness.service.fail("PutLogEvents", 9, status, code);
        let reject = harness.export(&mut records([("p", 0, "a")])).await.unwrap_err();
        assert!(matches!(reject, Reject::Permanent(_)), "{reject:?}");
        assert_eq!(reject.why().grpc_code, Some(14));
        assert_eq!(harness.service.actions().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_did_not_arrive_stays_for_the_next_try() {
    let harness = Harness::with_streams(config(|_| ()), &["a", "b", "c"]);
    let denied = crate::cloudwatch_logs::fake::error_body("AccessDeniedException");
    harness.service.rule(fault("b", 1, Answer::Status(400, denied)));
    let invalid = crate::cloudwatch_logs::fake::error_body("InvalidParameterException");
    harness.service.rule(fault("c", 1, Answer::Status(400, invalid)));
    let mut batch = records([
        ("a", 0, "a1"),
        ("b", 0, "b1"),
        ("a", 0, "a2"),
        ("c", 0, "c1"),
        ("b", 0, "b2"),
        ("a", -20 * 86_400_000, "old"),
    ]);
    let reject = harness.export(&mut batch).await.unwrap_err();
    assert!(reject.is_retryable(), "{reject:?}");
    assert_eq!(bodies(&batch), ["b1", "b2"]);
    assert_eq!(harness.total("weir_dropped_items_total"), 2.0);
    harness.export(&mut batch).await.unwrap();
    assert_eq!(harness.service.messages().len(), 4);
    assert_eq!(harness.total("weir_awscloudwatchlogs_sent_events"), 4.0);
}

#[tokio::test(start_paused = true)]
async fn a_service_in_trouble_is_not_asked_for_every_stream() {
    let streams = ["a", "b", "c", "d"];
    let harness = Harness::with_streams(config(|config| config.num_workers = 1), &streams);
    harness.service.rule(Rule {
        stream: None,
        ..fault("", 2, Answer::Silence)
    });
    let mut batch = records(streams.map(|stream| (stream, 0, stream)));
    assert!(harness.export(&mut batch).await.unwrap_err().is_retryable());
    assert_eq!(harness.service.actions().len(), 2);
    assert_eq!(batch.len(), 4);
    harness.export(&mut batch).await.unwrap();
    assert_eq!(harness.service.messages().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn later_events_of_a_stream_wait_for_earlier_ones() {
    let config = config(|config| {
        (config.max_event_bytes, config.max_request_bytes) = (1024, 1024);
        config.raw_log = true;
    });
    let harness = Harness::with_streams(config, &["p"]);
    let [first, second] = ["1".repeat(900), "2".repeat(900)];
    harness.service.rule(fault("p", 2, Answer::Reset));
    let mut batch = records([("p", 0, first.as_str()), ("p", 1, second.as_str())]);
    assert!(harness.export(&mut batch).await.unwrap_err().is_retryable());
    assert_eq!(batch.len(), 2);
    harness.export(&mut batch).await.unwrap();
    assert_eq!(harness.service.messages(), [first, second]);
}

#[tokio::test(start_paused = true)]
async fn events_that_the_service_does_not_keep_are_counted_by_reason() {
    let harness = Harness::with_streams(config(|_| ()), &["p"]);
    let info = r#"{"rejectedLogEventsInfo":{"expiredLogEventEndIndex":1,
        "tooOldLogEventEndIndex":3,"tooNewLogEventStartIndex":5},"nextSequenceToken":"1"}"#;
    harness.service.rule(fault("p", 1, Answer::Status(200, info.to_owned())));
    let mut batch = records((0..6).map(|at| ("p", at, "x")));
    let reject = harness.export(&mut batch).await.unwrap_err();
    let Reject::Partial { rejected, why } = reject else {
        panic!("{reject:?}")
    };
    assert_eq!((rejected, why.reason), (4, "too_old"));
    let metric = "weir_awscloudwatchlogs_rejected_events";
    let counts = ["expired", "too_old", "too_new"].map(|reason| harness.reason(metric, reason));
    assert_eq!(counts, [1, 2, 1]);
    assert_eq!(harness.total("weir_awscloudwatchlogs_sent_events"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_nothing_can_be_sent_is_refused_for_good() {
    let harness = Harness::new(config(|_| ()));
    let mut batch = records([("p", -15 * 86_400_000, "old"), ("p", 3 * 3_600_000, "new")]);
    let reject = harness.export(&mut batch).await.unwrap_err();
    assert!(matches!(&reject, Reject::Permanent(why) if why.reason == "too_old"), "{reject:?}");
    assert!(harness.service.actions().is_empty());
    let metric = "weir_awscloudwatchlogs_rejected_events";
    assert_eq!(harness.reason(metric, "too_new"), 1);
}
