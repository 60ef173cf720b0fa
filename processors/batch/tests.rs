#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use weir_core::{
    Batch, BoxFut, BuildCtx, ComponentId, ComponentKind, Consumer, Deadline, Reject, Signal, Stage,
};
use weir_model::{
    Attributes, ClientMetadata, Interner, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource, Scope,
};

use super::{Batcher, Config};

/// Items and headers of a batch.
type Got = (usize, Vec<(String, String)>);

/// Remembers sizes and clients of what it got; refuses while told to.
#[derive(Default)]
struct Sink {
    got: Mutex<Vec<Got>>,
    refuse: Mutex<Option<Reject>>,
}

impl Consumer for Sink {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        if let Some(reject) = self.refuse.lock().unwrap().clone() {
            return Box::pin(std::future::ready(Err(reject)));
        }
        let headers = batch.client.as_ref().map(|c| c.headers.clone()).unwrap_or_default();
        self.got.lock().unwrap().push((batch.len(), headers));
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Sink {
    fn sizes(&self) -> Vec<usize> {
        self.got.lock().unwrap().iter().map(|(size, _)| *size).collect()
    }
}

fn points(count: usize) -> Batch {
    let interner = Interner::default();
    let resource = interner.resource(Resource::default());
    let scope = interner.scope(Scope::default());
    let metric = interner.metric(MetricMeta::new("m", MetricKind::Gauge));
    let series = interner.series(&resource, &scope, &metric, Attributes::default());
    let point = |i| Point::new(series.clone(), 0, i as u64, PointValue::Int(i as i64));
    Batch::metrics(Metrics::from_points((0..count).map(point).collect()))
}

fn batcher(config: Config) -> (Batcher, Arc<Sink>, BuildCtx) {
    let cx = BuildCtx::standalone(
        ComponentId::parse("batch").unwrap(),
        ComponentKind::Processor,
        Some(Signal::Metrics),
    );
    let sink = Arc::new(Sink::default());
    (Batcher::new(config, cx.clone(), sink.clone()), sink, cx)
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn size_triggers_a_send_of_everything_without_a_maximum() {
    let (batcher, sink, cx) = batcher(Config { send_batch_size: 10, ..Config::default() });
    for _ in 0..3 {
        batcher.consume(points(4)).await.unwrap();
    }
    settle().await;
    assert_eq!(sink.sizes(), [12]);
    assert_eq!(cx.telemetry.total("otelcol_processor_batch_batch_size_trigger_send"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_sends_a_part() {
    let (batcher, sink, cx) = batcher(Config::default());
    batcher.consume(points(4)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(199)).await;
    assert!(sink.sizes().is_empty());
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(sink.sizes(), [4]);
    assert_eq!(cx.telemetry.total("otelcol_processor_batch_timeout_trigger_send"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn no_batch_is_larger_than_the_maximum() {
    let (batcher, sink, _) =
        batcher(Config { send_batch_size: 3, send_batch_max_size: 4, ..Config::default() });
    batcher.consume(points(10)).await.unwrap();
    settle().await;
    assert_eq!(sink.sizes(), [4, 4]);
    batcher.drain(Deadline::after(Duration::from_secs(1))).await;
    assert_eq!(sink.sizes(), [4, 4, 2]);
}

#[tokio::test(start_paused = true)]
async fn timeout_zero_passes_everything_on_at_once() {
    let (batcher, sink, _) =
        batcher(Config { timeout: weir_config::Duration::ZERO, ..Config::default() });
    batcher.consume(points(2)).await.unwrap();
    settle().await;
    batcher.consume(points(3)).await.unwrap();
    settle().await;
    assert_eq!(sink.sizes(), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_now_is_held_and_arrives_later() {
    let (batcher, sink, cx) = batcher(Config::default());
    *sink.refuse.lock().unwrap() = Some(Reject::retry("queue_full", "sending queue is full"));
    batcher.consume(points(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(sink.sizes().is_empty());
    *sink.refuse.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(sink.sizes(), [5]);
    assert_eq!(cx.telemetry.total("weir_processor_dropped_items"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn senders_are_refused_while_a_batch_is_held_and_the_input_is_full() {
    let (batcher, sink, _) = batcher(Config { send_batch_size: 1, ..Config::default() });
    *sink.refuse.lock().unwrap() = Some(Reject::retry("queue_full", "sending queue is full"));
    let mut refused = None;
    for _ in 0..100 {
        if let Err(reject) = batcher.consume(points(1)).await {
            refused = Some(reject);
            break;
        }
    }
    assert!(refused.expect("the input is bounded").is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_permanent_refusal_is_counted() {
    let (batcher, sink, cx) = batcher(Config::default());
    *sink.refuse.lock().unwrap() = Some(Reject::permanent("bad", "no"));
    batcher.consume(points(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cx.telemetry.total("weir_processor_dropped_items"), 5.0);
}

#[tokio::test(start_paused = true)]
async fn metadata_values_are_kept_apart_and_bounded() {
    let (batcher, sink, _) = batcher(Config {
        metadata_keys: vec!["X-Tenant".into()],
        metadata_cardinality_limit: 2,
        ..Config::default()
    });
    let from = |tenant: &str| {
        let headers = vec![("x-tenant".to_owned(), tenant.to_owned())];
        let client = ClientMetadata { headers, address: None };
        Batch { client: Some(Arc::new(client)), ..points(1) }
    };
    for tenant in ["a", "b", "a"] {
        batcher.consume(from(tenant)).await.unwrap();
    }
    assert!(!batcher.consume(from("c")).await.unwrap_err().is_retryable());
    batcher.drain(Deadline::after(Duration::from_secs(1))).await;
    let mut got = sink.got.lock().unwrap().clone();
    got.sort();
    let tenant = |t: &str| vec![("x-tenant".to_owned(), t.to_owned())];
    assert_eq!(got, [(1, tenant("b")), (2, tenant("a"))]);
}
