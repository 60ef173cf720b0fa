//! Attempts, headers, errors.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::fakes::{Answer, FakeService, Source, client, keys};
use crate::cache::Cached;
use crate::{
    AwsError, AwsSession, Call, CredentialsProvider, ErrorKind, Service, TransportErrorKind,
};

fn call() -> Call {
    Call {
        path: "/",
        content_type: "application/x-amz-json-1.1",
        target: Some("Logs_20140328.PutLogEvents"),
        headers: http::HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
    }
}

fn session(max_retries: u32) -> AwsSession {
    AwsSession {
        max_retries,
        ..AwsSession::default()
    }
}

async fn run(answers: Vec<Answer>, max_retries: u32) -> (Result<Bytes, AwsError>, usize) {
    let fake = FakeService::answering(answers);
    let session = session(max_retries);
    let client = client(Service::Logs, &fake, &session, Arc::new(keys("AKID")));
    (client.call(&call()).await, fake.count())
}

/// AWS-26, AWS-27.
#[tokio::test(start_paused = true)]
async fn throttling_server_errors_and_lost_connections_are_tried_again_and_nothing_else() {
    let again = [
        Answer::Error(400, "ThrottlingException"),
        Answer::Error(400, "RequestTimeoutException"),
        Answer::Error(500, "InternalFailure"),
        Answer::Error(503, ""),
        Answer::Broken(TransportErrorKind::Timeout),
        Answer::Broken(TransportErrorKind::Other),
    ];
    for answer in again {
        for (max_retries, attempts) in [(0, 3), (1, 1), (2, 2), (4, 4)] {
            let (result, count) = run(vec![answer.clone(); 9], max_retries).await;
            let error = result.unwrap_err();
            assert_eq!((count, error.attempts as usize), (attempts, attempts));
            assert!(error.is_retryable());
        }
        let (result, count) = run(vec![answer, Answer::Ok("{\"a\":1}")], 2).await;
        assert_eq!((result.unwrap(), count), (Bytes::from("{\"a\":1}"), 2));
    }
    for answer in [
        Answer::Error(400, "InvalidParameterException"),
        Answer::Error(403, "AccessDeniedException"),
        Answer::Error(413, ""),
        Answer::Error(501, ""),
        Answer::Error(400, "ResourceNotFoundException"),
    ] {
        let (result, count) = run(vec![answer; 9], 3).await;
        assert_eq!(count, 1);
        assert!(!result.unwrap_err().is_retryable());
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_before_the_second_attempt_is_below_two_seconds() {
    let before = Instant::now();
    let (result, _) = run(vec![Answer::Error(503, "")], 2).await;
    result.unwrap();
    assert!(before.elapsed() < Duration::from_secs(2));
}

#[test]
fn errors_are_read_from_header_and_body() {
    let full = AwsError::from_answer(
        400,
        Some("com.amazonaws.logs#ResourceNotFoundException:http://x"),
        br#"{"message":"The specified log group does not exist."}"#,
    );
    assert_eq!(full.kind, ErrorKind::NotFound);
    assert_eq!(
        full.to_string(),
        "status 400, ResourceNotFoundException: The specified log group does not exist."
    );
    let in_body = AwsError::from_answer(
        400,
        None,
        br#"{"__type":"ThrottledException","Message":"m"}"#,
    );
    assert_eq!(
        (in_body.kind, in_body.message.as_str()),
        (ErrorKind::Throttled, "m")
    );
    let coded = AwsError::from_answer(403, None, br#"{"code":"ExpiredTokenException"}"#);
    assert_eq!(coded.kind, ErrorKind::Expired);
    let other = AwsError::from_answer(502, None, b"<html>");
    assert_eq!(
        (other.kind, other.message.as_str()),
        (ErrorKind::Server, "HTTP status 502")
    );
}

/// Headers of the SDKs' calls: the invocation stays, the attempt counts, all of it is signed.
#[tokio::test(start_paused = true)]
async fn every_attempt_is_signed_anew() {
    let fake = FakeService::answering([Answer::Error(503, "")]);
    let client = client(Service::Logs, &fake, &session(2), Arc::new(keys("AKID")));
    client.call(&call()).await.unwrap();
    let both = |name| (fake.header(0, name), fake.header(1, name));
    let (first, second) = both("amz-sdk-invocation-id");
    assert_eq!((first.len(), &first), (36, &second));
    let count = |n: u32| format!("attempt={n}; max=2");
    assert_eq!(both("amz-sdk-request"), (count(1), count(2)));
    assert_eq!(fake.header(0, "user-agent"), "test/1");
    assert_eq!(fake.header(0, "x-amz-date"), "20231114T221320Z");
    let (first, second) = both("authorization");
    assert_ne!(first, second);
    assert!(
        first.starts_with(
            "AWS4-HMAC-SHA256 Credential=AKID/20231114/eu-west-1/logs/aws4_request, \
             SignedHeaders=amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;\
             x-amz-date;x-amz-target, Signature="
        ),
        "{first}"
    );
    let requests = fake.requests.lock().unwrap();
    assert_eq!(requests[0].uri(), "https://logs.eu-west-1.amazonaws.com/");
}

/// AWS-23: expired credentials are replaced at once, if there are others.
#[tokio::test(start_paused = true)]
async fn refused_credentials_are_fetched_anew() {
    let expired = Answer::Error(400, "ExpiredTokenException");
    for (sets, attempts) in [
        (vec![keys("OLD"), keys("NEW")], 2),
        (vec![keys("OLD"); 2], 1),
    ] {
        let fake = FakeService::answering([expired.clone()]);
        let clock = Arc::new(weir_core::ManualClock::at(super::fakes::NOW_NS));
        let source = Arc::new(Source::of(sets));
        let cached: Arc<dyn CredentialsProvider> = Arc::new(Cached::new(Box::new(source), clock));
        let client = client(Service::Logs, &fake, &session(2), cached);
        let before = Instant::now();
        let result = client.call(&call()).await;
        assert_eq!((result.is_ok(), fake.count()), (attempts == 2, attempts));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}

/// R12: a clock far off is corrected by the service's.
#[tokio::test(start_paused = true)]
async fn the_time_of_the_service_is_taken_over_when_ours_is_wrong() {
    for (date, attempts, signed) in [
        ("Wed, 15 Nov 2023 22:13:20 GMT", 2, "20231115T221320Z"),
        ("Tue, 14 Nov 2023 22:15:00 GMT", 1, ""),
    ] {
        let fake = FakeService::answering([Answer::Dated(403, "RequestTimeTooSkewed", date)]);
        let client = client(Service::Logs, &fake, &session(2), Arc::new(keys("AKID")));
        let result = client.call(&call()).await;
        assert_eq!((result.is_ok(), fake.count()), (attempts == 2, attempts));
        if attempts == 2 {
            assert_eq!(fake.header(1, "x-amz-date"), signed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_credentials_nothing_is_sent() {
    let fake = FakeService::answering([]);
    let clock = Arc::new(weir_core::ManualClock::at(0));
    let none: Arc<dyn CredentialsProvider> =
        Arc::new(Cached::new(Box::new(Arc::new(Source::default())), clock));
    let client = client(Service::Logs, &fake, &session(2), none);
    let error = client.call(&call()).await.unwrap_err();
    assert_eq!((error.kind, fake.count()), (ErrorKind::Credentials, 0));
    assert_eq!(error.message, "no AWS credentials: used up");
}

/// AWS-27: the whole list of codes and statuses.
#[test]
fn codes_and_statuses_of_passing_failures_are_those_of_the_reference() {
    let is_passing =
        |status, code: &str| AwsError::from_answer(status, Some(code), b"").is_retryable();
    for code in [
        "RequestTimeout",
        "RequestTimeoutException",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "RequestThrottled",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
    ] {
        assert!(is_passing(400, code), "{code}");
    }
    for status in [500, 502, 503, 504] {
        assert!(is_passing(status, ""), "{status}");
    }
    for (status, code) in [
        (400, ""),
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (404, ""),
        (409, "OperationAbortedException"),
        (413, ""),
        (501, ""),
        (505, ""),
    ] {
        assert!(!is_passing(status, code), "{status} {code}");
    }
}
