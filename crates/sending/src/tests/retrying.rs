//! Attempts, waits, limits; with and without a queue.

use std::time::Duration;

use weir_core::Reject;

use super::fakes::{Answer, Bench, Fake, batch, settle};
use crate::{QueueSettings, RetrySettings, SendingSettings};

fn direct() -> SendingSettings {
    SendingSettings::default()
}

fn queued() -> SendingSettings {
    SendingSettings {
        queue: Some(QueueSettings::default()),
        ..SendingSettings::default()
    }
}

fn busy() -> Answer {
    Answer::Refuse(Reject::retry("busy", "503"))
}

/// OTLP-44.
#[tokio::test(start_paused = true)]
async fn without_queue_and_retry_the_error_reaches_the_caller() {
    let settings = SendingSettings {
        retry: RetrySettings::off(),
        ..direct()
    };
    let fake = Fake::answering([busy()]);
    let bench = Bench::started(fake.clone(), &settings).await;
    let result = bench.stage.consume(batch([1, 2])).await;
    assert_eq!(result, Err(Reject::retry("busy", "503")));
    assert_eq!((bench.sent(), bench.failed()), (0.0, 2.0));
    assert_eq!(bench.dropped(), 0.0, "the caller still has them");
    assert_eq!(bench.stage.consume(batch([3])).await, Ok(()));
    assert_eq!((bench.sent(), bench.failed()), (1.0, 2.0));
}

/// OTLP-42: first wait 2.5 to 7.5 s, the next 3.75 to 11.25 s.
#[tokio::test(start_paused = true)]
async fn a_retryable_failure_is_sent_again_after_a_growing_wait() {
    let fake = Fake::answering([busy(), busy()]);
    let bench = Bench::started(fake.clone(), &direct()).await;
    assert_eq!(bench.stage.consume(batch([1])).await, Ok(()));
    let waits = fake.waits();
    assert!((2.5..=7.51).contains(&waits[0].as_secs_f64()), "{waits:?}");
    assert!(
        (3.75..=11.26).contains(&waits[1].as_secs_f64()),
        "{waits:?}"
    );
    assert_eq!((bench.sent(), bench.failed()), (1.0, 0.0));
}

/// OTLP-37.
#[tokio::test(start_paused = true)]
async fn the_servers_delay_is_honoured() {
    let reject = Reject::Retry {
        after: Some(Duration::from_secs(100)),
        why: weir_core::Cause::new("busy", "429"),
    };
    let fake = Fake::answering([Answer::Refuse(reject)]);
    let bench = Bench::started(fake.clone(), &direct()).await;
    assert_eq!(bench.stage.consume(batch([1])).await, Ok(()));
    assert!(fake.waits()[0] >= Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn retries_end_after_max_elapsed_time_and_the_failure_stays_retryable() {
    let fake = Fake::answering(std::iter::repeat_n(busy(), 1000));
    let bench = Bench::started(fake.clone(), &direct()).await;
    let reject = bench.stage.consume(batch([1])).await.unwrap_err();
    assert!(reject.is_retryable());
    assert_eq!(reject.to_string(), "no more retries left: 503");
    let all: Duration = fake.waits().iter().sum();
    assert!(
        all <= Duration::from_secs(300) && all >= Duration::from_secs(240),
        "{all:?}"
    );
    assert_eq!(bench.failed(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_sent_again() {
    let fake = Fake::answering([Answer::Refuse(Reject::permanent("bad_request", "400"))]);
    let bench = Bench::started(fake.clone(), &queued()).await;
    bench.stage.consume(batch([1, 2, 3])).await.unwrap();
    bench.drain(10).await;
    assert_eq!(fake.attempts.lock().unwrap().len(), 1);
    assert_eq!((bench.failed(), bench.dropped()), (3.0, 3.0));
    assert!(
        bench
            .telemetry
            .encode()
            .contains("reason=\"bad_request\"} 3")
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_is_sent_again() {
    let fake = Fake::answering([Answer::AcceptSome(2)]);
    let bench = Bench::started(fake.clone(), &direct()).await;
    bench.stage.consume(batch([1, 2, 3, 4, 5])).await.unwrap();
    assert_eq!(*fake.arrived.lock().unwrap(), [vec![1, 2], vec![3, 4, 5]]);
    assert_eq!((bench.sent(), bench.failed()), (5.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn items_refused_for_good_are_counted_apart_from_the_others() {
    let partial = Reject::Partial {
        rejected: 2,
        why: weir_core::Cause::new("too_old", "two are too old"),
    };
    let fake = Fake::answering([Answer::Refuse(partial)]);
    let bench = Bench::started(fake.clone(), &queued()).await;
    bench.stage.consume(batch([1, 2, 3])).await.unwrap();
    bench.drain(10).await;
    assert_eq!(
        (bench.sent(), bench.failed(), bench.dropped()),
        (1.0, 2.0, 2.0)
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_cut_off_at_the_timeout_and_counts_as_retryable() {
    let fake = Fake::answering([Answer::Hang]);
    let bench = Bench::started(fake.clone(), &direct()).await;
    bench.stage.consume(batch([1])).await.unwrap();
    let wait = fake.waits()[0].as_secs_f64();
    assert!(
        (7.5..=12.51).contains(&wait),
        "5 s timeout, then 2.5 to 7.5 s: {wait}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_no_item_uncounted() {
    let fake = Fake::answering([Answer::Hang]);
    let bench = Bench::started(fake.clone(), &direct()).await;
    let call = bench.stage.consume(batch([1, 2]));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), call)
            .await
            .is_err()
    );
    assert_eq!((bench.sent(), bench.failed()), (0.0, 2.0));
    assert_eq!(
        bench.telemetry.total("otelcol_exporter_in_flight_requests"),
        0.0
    );
}

/// Shutdown: waits end, what is left gets one more attempt each (OTLP-50).
#[tokio::test(start_paused = true)]
async fn draining_ends_waits_with_one_last_attempt() {
    for (answers, sent, failed) in [
        (vec![busy()], 1.0, 0.0),
        (vec![busy(), busy(), Answer::Accept], 0.0, 1.0),
    ] {
        let fake = Fake::answering(answers);
        let bench = Bench::started(fake.clone(), &queued()).await;
        bench.stage.consume(batch([1])).await.unwrap();
        settle().await;
        assert_eq!(fake.attempts.lock().unwrap().len(), 1);
        let before = tokio::time::Instant::now();
        bench.drain(20).await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(fake.attempts.lock().unwrap().len(), 2);
        assert_eq!((bench.sent(), bench.failed()), (sent, failed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_exporter_refuses_more_and_may_be_drained_again() {
    for settings in [direct(), queued()] {
        let bench = Bench::started(Fake::answering([]), &settings).await;
        bench.drain(1).await;
        bench.drain(1).await;
        assert!(
            bench
                .stage
                .consume(batch([1]))
                .await
                .unwrap_err()
                .is_retryable()
        );
        // Also without having been started.
        Bench::new(Fake::answering([]), &settings).drain(1).await;
    }
}
