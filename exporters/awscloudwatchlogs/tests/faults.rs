//! Nothing that was taken in is lost while the queue has room, whatever the service does; what is
//! missing afterwards has been counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use weir_core::Deadline;

use super::harness::{Harness, config, records};
use crate::cloudwatch_logs::fake::{Answer, Rule, error_body};

/// What the service does wrong, and for how many calls.
fn faults() -> Vec<(&'static str, usize, Answer)> {
    let coded = |status, code| Answer::Status(status, error_body(code));
    vec![
        ("throttling", 12, coded(400, "ThrottlingException")),
        ("429 without a body", 12, Answer::Status(429, String::new())),
        ("500", 12, Answer::Status(500, String::new())),
        ("503", 12, coded(503, "ServiceUnavailableException")),
        ("an answer that is no JSON", 5, Answer::Status(502, "<html>".to_owned())),
        ("black hole", 5, Answer::Silence),
        ("reset before the request is read", 12, Answer::Reset),
        ("reset when the request is done", 3, Answer::ResetAfterwards),
        ("expired credentials", 5, coded(400, "ExpiredTokenException")),
        ("missing permission", 5, coded(400, "AccessDeniedException")),
    ]
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_however_the_service_fails() {
    for (what, times, answer) in faults() {
        let harness = Harness::new(config(|config| {
            config.raw_log = true;
            config.retry_on_failure.max_elapsed_time = Duration::from_secs(3600).into();
        }));
        let stage = harness.stage();
        stage.start().await.unwrap();
        harness.service.rule(Rule {
            action: "PutLogEvents".to_owned(),
            stream: None,
            skip: 3,
            times,
            answer: answer.clone(),
        });
        let bodies: Vec<String> = (0..100).map(|at| format!("{what} {at}")).collect();
        for (at, body) in bodies.iter().enumerate() {
            let pod = ["a", "b", "c"][at % 3];
            stage.consume(records([(pod, 0, body.as_str())])).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // All retries are over long before.
        tokio::time::sleep(Duration::from_secs(1800)).await;
        stage.drain(Deadline::after(Duration::from_secs(5))).await;
        let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
        for message in harness.service.messages() {
            *arrived.entry(message).or_default() += 1;
        }
        assert_eq!(arrived.len(), bodies.len(), "{what}");
        let doubles = arrived.values().filter(|times| **times > 1).count();
        // Only an answer that was lost makes a request come twice.
        assert_eq!(doubles > 0, matches!(answer, Answer::ResetAfterwards), "{what}");
        assert_eq!(harness.total("weir_dropped_items_total"), 0.0, "{what}");
        assert_eq!(harness.total("otelcol_exporter_send_failed_log_records"), 0.0, "{what}");
        assert_eq!(harness.total("otelcol_exporter_sent_log_records"), 100.0, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_in_the_end_has_been_counted() {
    let harness = Harness::new(config(|config| {
        config.raw_log = true;
        config.retry_on_failure.max_elapsed_time = Duration::from_secs(60).into();
        let queue = config.sending_queue.as_mut().unwrap();
        queue.queue_size = 20;
    }));
    let stage = harness.stage();
    stage.start().await.unwrap();
    harness.service.fail("PutLogEvents", 40, 500, "InternalFailure");
    let mut accepted = 0;
    for at in 0..600 {
        let body = format!("{at}");
        let old = if at % 10 == 0 { -15 * 86_400_000 } else { 0 };
        let result = stage.consume(records([("a", old, body.as_str())])).await;
        accepted += usize::from(result.is_ok());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    stage.drain(Deadline::after(Duration::from_secs(5))).await;
    let arrived = harness.service.messages().len();
    let missing = accepted - arrived;
    assert!(accepted < 600 && arrived > 100 && missing > 0, "{accepted} {arrived}");
    assert_eq!(harness.total("weir_dropped_items_total"), missing as f64);
}
