//! Batches that are encoded before it is their turn.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Semaphore;
use weir_core::registry::ComponentKind;
use weir_core::{Batch, BoxFut, BuildCtx, ComponentId, Reject, Signal};

use super::fakes::{Fake, batch, settle, values};
use crate::{Encoded, Encoder, QueueSettings, SendingSettings, wrap_encoded};

/// Bytes that every encoded batch says it has.
const ENCODED_BYTES: usize = 7;

/// A value that cannot be encoded.
const REFUSED: i64 = -404;

/// Encodes at once; deliveries wait for a permit and answer as told.
struct FakeEncoder {
    state: Arc<State>,
}

struct State {
    encoded: Mutex<Vec<Vec<i64>>>,
    arrived: Mutex<Vec<Vec<i64>>>,
    gate: Semaphore,
    answer: Answer,
    /// From an earlier run.
    left: Vec<i64>,
    /// Whether it survives a restart.
    kept: bool,
}

type Answer = Box<dyn Fn(&[i64]) -> Result<(), Reject> + Send + Sync>;

struct FakeEncoded {
    state: Arc<State>,
    values: Vec<i64>,
}

impl Encoder for FakeEncoder {
    fn encode(&self, batch: Batch) -> BoxFut<'_, Result<Box<dyn Encoded>, Reject>> {
        let values = values(&batch);
        if values == [REFUSED] {
            let full = Reject::retry("full", "the disk is full");
            return Box::pin(std::future::ready(Err(full)));
        }
        self.state.encoded.lock().unwrap().push(values.clone());
        let encoded: Box<dyn Encoded> = Box::new(FakeEncoded {
            state: self.state.clone(),
            values,
        });
        Box::pin(std::future::ready(Ok(encoded)))
    }

    fn recover(&self) -> BoxFut<'_, Vec<(Box<dyn Encoded>, usize)>> {
        let left = self.state.left.iter().map(|value| {
            let encoded: Box<dyn Encoded> = Box::new(FakeEncoded {
                state: self.state.clone(),
                values: vec![*value],
            });
            (encoded, 1)
        });
        Box::pin(std::future::ready(left.collect()))
    }
}

impl Encoded for FakeEncoded {
    fn size_bytes(&self) -> usize {
        ENCODED_BYTES
    }

    fn is_kept(&self) -> bool {
        self.state.kept
    }

    fn deliver(&mut self) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move {
            self.state.gate.acquire().await.unwrap().forget();
            (self.state.answer)(&self.values)?;
            self.state.arrived.lock().unwrap().push(self.values.clone());
            Ok(())
        })
    }
}

struct Bench {
    stage: Arc<dyn weir_core::Stage>,
    state: Arc<State>,
    cx: BuildCtx,
}

async fn bench(
    queue_size: u64,
    answer: impl Fn(&[i64]) -> Result<(), Reject> + Send + Sync + 'static,
) -> Bench {
    lingering(queue_size, Duration::ZERO, answer).await
}

async fn lingering(
    queue_size: u64,
    linger: Duration,
    answer: impl Fn(&[i64]) -> Result<(), Reject> + Send + Sync + 'static,
) -> Bench {
    start(queue_size, linger, Box::new(answer), None).await
}

/// One that keeps what it encodes, with what it has left before.
async fn keeping(left: &[i64]) -> Bench {
    start(
        1000,
        Duration::ZERO,
        Box::new(|_| Ok(())),
        Some(left.to_vec()),
    )
    .await
}

async fn start(queue_size: u64, linger: Duration, answer: Answer, left: Option<Vec<i64>>) -> Bench {
    let state = Arc::new(State {
        kept: left.is_some(),
        left: left.clone().unwrap_or_default(),
        encoded: Mutex::default(),
        arrived: Mutex::default(),
        gate: Semaphore::new(0),
        answer,
    });
    let settings = SendingSettings {
        queue: Some(QueueSettings {
            queue_size,
            ..QueueSettings::with_one_consumer()
        }),
        gather: 4,
        linger,
        acknowledge_encoded: left.is_some(),
        ..SendingSettings::default()
    };
    let id = ComponentId::parse("fake").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Metrics));
    let encoder = Arc::new(FakeEncoder {
        state: state.clone(),
    });
    let stage = wrap_encoded(Arc::<Fake>::default(), encoder, &settings, &cx);
    stage.start().await.unwrap();
    Bench { stage, state, cx }
}

impl Bench {
    fn own(&self, name: &str) -> f64 {
        self.cx.telemetry.total(name)
    }
}

/// While the destination is dead all but the newest items are held encoded, charged with what they
/// take then, in order; afterwards everything arrives.
#[tokio::test(start_paused = true)]
async fn what_waits_is_encoded_and_keeps_its_order() {
    let bench = bench(1000, |_| Ok(())).await;
    let ledger = weir_model::Ledger::new(10_000);
    for value in 0..23 {
        let mut batch = batch([value]);
        batch.charge = ledger.charge(100).map(Arc::new);
        bench.stage.consume(batch).await.unwrap();
        settle().await;
    }
    let encoded = bench.state.encoded.lock().unwrap().clone();
    assert_eq!(
        encoded[..4],
        [vec![0], vec![1], vec![2, 3, 4, 5], vec![6, 7, 8, 9]]
    );
    assert_eq!(encoded.len(), 7);
    let waiting_raw = 23 - encoded.concat().len();
    assert!(waiting_raw < 4, "{waiting_raw} items wait as they came");
    assert_eq!(ledger.used(), waiting_raw * 100);
    let raw = waiting_raw as f64 * batch([1]).size_bytes() as f64;
    let bytes = bench.own("weir_exporter_queue_bytes");
    assert_eq!(bytes, raw + (encoded.len() * ENCODED_BYTES) as f64);
    assert_eq!(bench.own("otelcol_exporter_queue_size"), 23.0);
    bench.state.gate.add_permits(100);
    settle().await;
    let arrived = bench.state.arrived.lock().unwrap().concat();
    assert_eq!(arrived, (0..23).collect::<Vec<_>>());
    assert_eq!(bench.own("otelcol_exporter_sent_metric_points"), 23.0);
    assert_eq!(bench.own("weir_exporter_queue_bytes"), 0.0);
    assert_eq!(bench.own("otelcol_exporter_queue_size"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn failed_deliveries_are_counted_and_do_not_stop_the_next() {
    let bench = bench(1000, |values| match values {
        [0] => Err(Reject::permanent("no", "refused")),
        [1] => Err(Reject::Partial {
            rejected: 1,
            why: weir_core::Cause::new("half", "half of it"),
        }),
        _ => Ok(()),
    })
    .await;
    bench.state.gate.add_permits(100);
    for value in 0..3 {
        bench.stage.consume(batch([value])).await.unwrap();
        settle().await;
    }
    assert_eq!(bench.own("otelcol_exporter_sent_metric_points"), 1.0);
    assert_eq!(bench.own("otelcol_exporter_send_failed_metric_points"), 2.0);
    assert_eq!(bench.own("weir_dropped_items_total"), 2.0);
    assert_eq!(*bench.state.arrived.lock().unwrap(), [vec![2]]);
}

/// Encoded batches count until they are delivered: the queue stays bounded.
#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_encoded_or_not() {
    let bench = bench(5, |_| Ok(())).await;
    for value in 0..5 {
        bench.stage.consume(batch([value])).await.unwrap();
        settle().await;
    }
    assert!(
        bench
            .stage
            .consume(batch([5]))
            .await
            .unwrap_err()
            .is_retryable()
    );
    bench.state.gate.add_permits(1);
    settle().await;
    bench.stage.consume(batch([6])).await.unwrap();
}

/// Nothing is forgotten when the time to stop is over: encoded, being sent, or as it came.
#[tokio::test(start_paused = true)]
async fn stopping_delivers_what_it_can_and_counts_the_rest() {
    let bench = bench(1000, |_| Ok(())).await;
    for value in 0..23 {
        bench.stage.consume(batch([value])).await.unwrap();
        settle().await;
    }
    bench.state.gate.add_permits(2);
    let by = weir_core::Deadline::after(Duration::from_secs(1));
    bench.stage.drain(by).await;
    let arrived = bench.state.arrived.lock().unwrap().concat().len() as f64;
    assert!(arrived > 0.0 && arrived < 23.0);
    assert_eq!(bench.own("otelcol_exporter_sent_metric_points"), arrived);
    assert_eq!(bench.own("weir_dropped_items_total"), 23.0 - arrived);
    assert_eq!(
        bench.own("otelcol_exporter_send_failed_metric_points"),
        23.0 - arrived
    );
    assert!(bench.stage.consume(batch([9])).await.is_err());
}

/// Batches wait for each other for a while, or until they are enough.
#[tokio::test(start_paused = true)]
async fn batches_wait_for_others_to_go_with_them() {
    let bench = lingering(1000, Duration::from_millis(200), |_| Ok(())).await;
    bench.state.gate.add_permits(100);
    let arrived = || bench.state.arrived.lock().unwrap().clone();
    bench.stage.consume(batch([1])).await.unwrap();
    settle().await;
    bench.stage.consume(batch([2])).await.unwrap();
    settle().await;
    assert!(arrived().is_empty());
    tokio::time::sleep(Duration::from_millis(201)).await;
    settle().await;
    assert_eq!(arrived(), [vec![1, 2]]);
    for value in 3..7 {
        bench.stage.consume(batch([value])).await.unwrap();
        settle().await;
    }
    assert_eq!(arrived(), [vec![1, 2], vec![3, 4, 5, 6]], "four are enough");
    bench.stage.consume(batch([7])).await.unwrap();
    bench
        .stage
        .drain(weir_core::Deadline::after(Duration::from_secs(1)))
        .await;
    assert_eq!(
        arrived().concat(),
        [1, 2, 3, 4, 5, 6, 7],
        "stopping does not wait"
    );
}

/// With an encoder that keeps what it encodes, the answer waits for that, and nothing of it is lost
/// when the program stops; after the next start it goes first.
#[tokio::test(start_paused = true)]
async fn what_is_kept_is_acknowledged_when_encoded_and_not_lost_by_stopping() {
    let bench = keeping(&[1, 2]).await;
    bench.stage.consume(batch([3])).await.unwrap();
    let refused = bench.stage.consume(batch([REFUSED])).await.unwrap_err();
    assert!(refused.is_retryable() && refused.to_string().contains("the disk is full"));
    bench.stage.consume(batch([4])).await.unwrap();
    bench.state.gate.add_permits(3);
    bench
        .stage
        .drain(weir_core::Deadline::after(Duration::from_secs(1)))
        .await;
    assert_eq!(bench.state.arrived.lock().unwrap().concat(), [1, 2, 3]);
    assert_eq!(bench.own("weir_dropped_items_total"), 0.0);
    assert_eq!(
        bench.own("otelcol_exporter_enqueue_failed_metric_points"),
        1.0
    );
}

/// Without that nobody waits, so what cannot be encoded is counted as lost.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_encoded_is_counted() {
    let bench = bench(1000, |_| Ok(())).await;
    bench.stage.consume(batch([REFUSED])).await.unwrap();
    settle().await;
    assert_eq!(bench.own("weir_dropped_items_total"), 1.0);
    assert_eq!(bench.own("otelcol_exporter_send_failed_metric_points"), 1.0);
}
