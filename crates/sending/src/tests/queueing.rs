//! Room, refusal, waiting, merging, splitting, partitions, the end.

use std::sync::Arc;
use std::time::Duration;

use weir_core::{Batch, Reject};

use super::fakes::{Answer, Bench, Fake, batch, batch_of, settle};
use crate::{
    BatchSettings, PartitionSettings, QueueSettings, RetrySettings, SendingSettings, Sizer,
};

fn with(queue: QueueSettings) -> SendingSettings {
    SendingSettings {
        timeout: crate::TimeoutSettings(weir_config::Duration::ZERO),
        queue: Some(queue),
        ..SendingSettings::default()
    }
}

fn sized(queue_size: u64, sizer: Sizer) -> QueueSettings {
    QueueSettings {
        queue_size,
        sizer,
        ..QueueSettings::default()
    }
}

/// OTLP-45: what is being sent counts.
#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_counts() {
    let (fake, gate) = Fake::gated();
    let bench = Bench::started(fake.clone(), &with(sized(2, Sizer::Requests))).await;
    bench.stage.consume(batch([1])).await.unwrap();
    bench.stage.consume(batch([2])).await.unwrap();
    settle().await;
    let refused = bench.stage.consume(batch([3, 4])).await;
    assert_eq!(
        refused,
        Err(Reject::retry("queue_full", "sending queue is full"))
    );
    assert_eq!((bench.refused(), bench.queue_size()), (2.0, 2.0));
    assert_eq!(
        bench.telemetry.total("otelcol_exporter_queue_capacity"),
        2.0
    );
    gate.add_permits(10);
    settle().await;
    assert_eq!(bench.queue_size(), 0.0);
    bench.stage.consume(batch([5])).await.unwrap();
    bench.drain(1).await;
    assert_eq!((bench.sent(), bench.failed()), (3.0, 0.0));
}

/// OTLP-47.
#[tokio::test(start_paused = true)]
async fn the_queue_is_measured_in_items_or_bytes() {
    let bytes = batch([1, 2]).size_bytes() as u64;
    for (size, sizer) in [(5, Sizer::Items), (5 * bytes / 2, Sizer::Bytes)] {
        let (fake, _gate) = Fake::gated();
        let bench = Bench::started(fake, &with(sized(size, sizer))).await;
        bench.stage.consume(batch([1, 2])).await.unwrap();
        bench.stage.consume(batch([3, 4])).await.unwrap();
        assert!(bench.stage.consume(batch([5, 6])).await.is_err());
        bench.stage.consume(batch([7])).await.unwrap();
        let large = bench.stage.consume(batch(0..6)).await.unwrap_err();
        assert!(!large.is_retryable(), "it will never fit");
        assert!(large.to_string().starts_with("element size too large"));
        assert_eq!(bench.refused(), 8.0);
    }
}

/// OTLP-46: callers get room in the order in which they came.
#[tokio::test(start_paused = true)]
async fn callers_wait_for_room_in_line_when_told_to() {
    let (fake, gate) = Fake::gated();
    let queue = QueueSettings {
        block_on_overflow: true,
        num_consumers: 1,
        ..sized(4, Sizer::Items)
    };
    let bench = Bench::started(fake.clone(), &with(queue)).await;
    bench.stage.consume(batch([1, 2, 3])).await.unwrap();
    let mut calls = Vec::new();
    // The second caller's batch would fit, but it is not its turn.
    for values in [vec![4, 5], vec![6]] {
        let stage = bench.stage.clone();
        calls.push(Box::pin(async move { stage.consume(batch(values)).await }));
        for call in &mut calls {
            assert!(futures_poll(call.as_mut()).await.is_none());
        }
    }
    gate.add_permits(10);
    for call in calls {
        call.await.unwrap();
    }
    settle().await;
    assert_eq!(
        *fake.arrived.lock().unwrap(),
        [vec![1, 2, 3], vec![4, 5], vec![6]]
    );
    assert_eq!(bench.refused(), 0.0);
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(call: F) -> Option<F::Output> {
    tokio::time::timeout(Duration::ZERO, call).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_line_is_told_when_the_exporter_stops() {
    let (fake, gate) = Fake::gated();
    let queue = QueueSettings {
        block_on_overflow: true,
        ..sized(1, Sizer::Requests)
    };
    let bench = Bench::started(fake, &with(queue)).await;
    bench.stage.consume(batch([1])).await.unwrap();
    let stage = bench.stage.clone();
    let mut call = Box::pin(async move { stage.consume(batch([2])).await });
    assert!(futures_poll(call.as_mut()).await.is_none());
    let draining = bench.drain(5);
    gate.add_permits(1);
    let (result, ()) = tokio::join!(call, draining);
    assert!(result.unwrap_err().is_retryable());
    assert_eq!((bench.sent(), bench.refused()), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_wait_for_the_result() {
    let refusal = Reject::permanent("bad_request", "400");
    let fake = Fake::answering([Answer::Accept, Answer::Refuse(refusal.clone())]);
    let queue = QueueSettings {
        wait_for_result: true,
        ..QueueSettings::default()
    };
    let bench = Bench::started(fake, &with(queue)).await;
    assert_eq!(bench.stage.consume(batch([1])).await, Ok(()));
    assert_eq!(bench.stage.consume(batch([2])).await, Err(refusal));
}

fn batching(min_size: u64, max_size: u64, sizer: Option<Sizer>) -> BatchSettings {
    BatchSettings {
        min_size,
        max_size,
        sizer,
        ..BatchSettings::default()
    }
}

fn with_batch(batch: BatchSettings) -> SendingSettings {
    with(QueueSettings {
        batch: Some(batch),
        ..QueueSettings::default()
    })
}

/// OTLP-48, and the golden case `sending-queue-batch`: three times seven are ten, ten, one.
#[tokio::test(start_paused = true)]
async fn batches_are_merged_and_split_by_items() {
    let fake = Fake::answering([]);
    let bench = Bench::started(fake.clone(), &with_batch(batching(10, 10, None))).await;
    for start in [0, 7, 14] {
        bench.stage.consume(batch(start..start + 7)).await.unwrap();
    }
    settle().await;
    assert_eq!(fake.sizes(), [10, 10]);
    tokio::time::sleep(Duration::from_millis(199)).await;
    assert_eq!(fake.sizes(), [10, 10]);
    tokio::time::sleep(Duration::from_millis(2)).await;
    settle().await;
    assert_eq!(fake.sizes(), [10, 10, 1]);
    let all: Vec<i64> = fake.arrived.lock().unwrap().concat();
    assert_eq!(all, (0..21).collect::<Vec<_>>());
    assert_eq!(bench.queue_size(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn without_a_largest_size_merged_batches_go_out_whole() {
    let fake = Fake::answering([]);
    let bench = Bench::started(fake.clone(), &with_batch(batching(8192, 0, None))).await;
    for _ in 0..3 {
        bench.stage.consume(batch(0..4000)).await.unwrap();
    }
    settle().await;
    assert_eq!(fake.sizes(), [12_000]);
}

#[tokio::test(start_paused = true)]
async fn batches_in_bytes_are_never_larger_than_their_limit() {
    let fake = Fake::answering([]);
    let one = batch([1_000_000]);
    let mut encoded = Vec::new();
    one.encode_otlp(&mut encoded);
    let limit = 2 * encoded.len() as u64;
    let settings = with_batch(batching(1, limit, Some(Sizer::Bytes)));
    let bench = Bench::started(fake.clone(), &settings).await;
    bench
        .stage
        .consume(batch(1_000_000..1_000_050))
        .await
        .unwrap();
    bench.drain(1).await;
    let arrived = fake.arrived.lock().unwrap();
    assert_eq!(arrived.concat().len(), 50);
    for values in arrived.iter() {
        let mut encoded = Vec::new();
        batch(values.iter().copied()).encode_otlp(&mut encoded);
        assert!(encoded.len() as u64 <= limit, "{} > {limit}", encoded.len());
    }
}

/// What waits while the only consumer is busy goes out together, in order, up to a limit.
#[tokio::test(start_paused = true)]
async fn waiting_batches_are_gathered() {
    let (fake, gate) = Fake::gated();
    let settings = SendingSettings {
        gather: 5,
        ..with(QueueSettings {
            num_consumers: 1,
            ..QueueSettings::default()
        })
    };
    let bench = Bench::started(fake.clone(), &settings).await;
    bench.stage.consume(batch([1])).await.unwrap();
    settle().await;
    for values in [vec![2, 3], vec![4], vec![5, 6], vec![7], vec![8; 9]] {
        bench.stage.consume(batch(values)).await.unwrap();
    }
    gate.add_permits(10);
    settle().await;
    assert_eq!(
        *fake.arrived.lock().unwrap(),
        [vec![1], vec![2, 3, 4, 5, 6], vec![7], vec![8; 9]]
    );
    assert_eq!((bench.sent(), bench.queue_size()), (16.0, 0.0));
}

/// OTLP-49.
#[tokio::test(start_paused = true)]
async fn senders_with_different_headers_are_kept_apart() {
    let fake = Fake::answering([]);
    let settings = with_batch(BatchSettings {
        partition: PartitionSettings {
            metadata_keys: vec!["X-Tenant".to_owned()],
        },
        ..batching(4, 0, None)
    });
    let bench = Bench::started(fake.clone(), &settings).await;
    for (tenant, value) in [("a", 1), ("b", 10), ("a", 2), ("b", 11)] {
        let values = [value, value + 100];
        bench.stage.consume(batch_of(tenant, values)).await.unwrap();
    }
    settle().await;
    assert_eq!(
        *fake.arrived.lock().unwrap(),
        [vec![1, 101, 2, 102], vec![10, 110, 11, 111]]
    );
    let attempts = fake.attempts.lock().unwrap();
    let tenant = attempts[1].1.as_ref().unwrap();
    assert_eq!(tenant.headers, [("x-tenant".to_owned(), "b".to_owned())]);
}

/// A caller whose items went out in two batches learns the worse result.
#[tokio::test(start_paused = true)]
async fn the_results_of_a_split_batch_are_joined() {
    let refusal = Reject::permanent("bad_request", "400");
    let fake = Fake::answering([Answer::Accept, Answer::Refuse(refusal.clone())]);
    let settings = with(QueueSettings {
        num_consumers: 1,
        wait_for_result: true,
        batch: Some(batching(2, 2, None)),
        ..QueueSettings::default()
    });
    let bench = Bench::started(fake, &settings).await;
    let (first, second) = tokio::join!(
        bench.stage.consume(batch([1, 2, 3])),
        bench.stage.consume(batch([4])),
    );
    assert_eq!((first, second), (Err(refusal.clone()), Err(refusal)));
}

/// OTLP-50, and the deadline: what hangs is cut off, what waits is dropped, both are counted.
#[tokio::test(start_paused = true)]
async fn draining_delivers_what_it_can_and_counts_the_rest() {
    let fake = Fake::answering([Answer::Accept, Answer::Hang]);
    let settings = with(QueueSettings {
        num_consumers: 1,
        ..QueueSettings::default()
    });
    let bench = Bench::started(fake.clone(), &settings).await;
    for values in [vec![1], vec![2, 3], vec![4, 5, 6]] {
        bench.stage.consume(batch(values)).await.unwrap();
    }
    bench.drain(5).await;
    assert_eq!(*fake.arrived.lock().unwrap(), [vec![1]]);
    assert_eq!(
        (bench.sent(), bench.failed(), bench.dropped()),
        (1.0, 5.0, 5.0)
    );
    assert!(bench.telemetry.encode().contains("reason=\"shutdown\"} 5"));
    assert_eq!(bench.queue_size(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn draining_flushes_batches_that_wait_for_more() {
    let fake = Fake::answering([]);
    let bench = Bench::started(fake.clone(), &with_batch(BatchSettings::default())).await;
    bench.stage.consume(batch([1, 2])).await.unwrap();
    bench.stage.consume(batch([3])).await.unwrap();
    bench.drain(5).await;
    assert_eq!(*fake.arrived.lock().unwrap(), [vec![1, 2, 3]]);
}

/// The admission guard's permit is kept until the last part of a merged batch is done.
#[tokio::test(start_paused = true)]
async fn the_charge_of_a_batch_is_kept_until_it_is_delivered() {
    let (fake, gate) = Fake::gated();
    let ledger = weir_model::Ledger::new(1000);
    let charged = |values: Vec<i64>, bytes| -> Batch {
        let mut batch = batch(values);
        batch.charge = ledger.charge(bytes).map(Arc::new);
        batch
    };
    let bench = Bench::started(fake, &with_batch(batching(3, 4, None))).await;
    bench.stage.consume(charged(vec![1, 2], 300)).await.unwrap();
    bench
        .stage
        .consume(charged(vec![3, 4, 5], 400))
        .await
        .unwrap();
    settle().await;
    assert_eq!(ledger.used(), 700);
    gate.add_permits(10);
    bench.drain(1).await;
    assert_eq!(ledger.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn empty_batches_are_not_sent() {
    let fake = Fake::answering([]);
    for settings in [with(QueueSettings::default()), SendingSettings::default()] {
        let bench = Bench::started(fake.clone(), &settings).await;
        bench.stage.consume(batch([])).await.unwrap();
        bench.drain(1).await;
    }
    assert!(fake.attempts.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_retries_a_queued_failure_is_dropped_at_once() {
    let fake = Fake::answering([Answer::Refuse(Reject::retry("busy", "503"))]);
    let settings = SendingSettings {
        retry: RetrySettings::off(),
        ..with(QueueSettings::default())
    };
    let bench = Bench::started(fake, &settings).await;
    bench.stage.consume(batch([1])).await.unwrap();
    settle().await;
    assert_eq!((bench.failed(), bench.dropped()), (1.0, 1.0));
    assert!(bench.telemetry.encode().contains("reason=\"busy\"} 1"));
}
