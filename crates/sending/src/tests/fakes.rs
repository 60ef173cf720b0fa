//! An exporter that does as the test says, and batches to send through it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use weir_core::registry::ComponentKind;
use weir_core::{
    Batch, BoxFut, BuildCtx, ComponentId, Exporter, Interner, Reject, Signal, Stage, Telemetry,
};
use weir_model::{
    Attributes, ClientMetadata, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource, Scope,
};

use crate::{SendingSettings, wrap};

/// What the next attempt does.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Accept,
    Refuse(Reject),
    /// Keeps the first so many items, wants the others again.
    AcceptSome(usize),
    /// Never answers.
    Hang,
}

/// Records what it is given; answers from a list, then accepts.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) answers: Mutex<VecDeque<Answer>>,
    /// Batches that arrived: the values of their points.
    pub(super) arrived: Mutex<Vec<Vec<i64>>>,
    /// When attempts began, and the sender's headers.
    pub(super) attempts: Mutex<Vec<(Instant, Option<Arc<ClientMetadata>>)>>,
    /// Attempts wait here when set.
    pub(super) gate: Option<Arc<Semaphore>>,
}

impl Fake {
    pub(super) fn answering(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            ..Self::default()
        })
    }

    /// Every attempt waits for a permit of the gate.
    pub(super) fn gated() -> (Arc<Self>, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        let fake = Self {
            gate: Some(gate.clone()),
            ..Self::default()
        };
        (Arc::new(fake), gate)
    }

    pub(super) fn sizes(&self) -> Vec<usize> {
        self.arrived.lock().unwrap().iter().map(Vec::len).collect()
    }

    pub(super) fn waits(&self) -> Vec<Duration> {
        let attempts = self.attempts.lock().unwrap();
        attempts.windows(2).map(|w| w[1].0 - w[0].0).collect()
    }
}

pub(super) fn values(batch: &Batch) -> Vec<i64> {
    let weir_core::Data::Metrics(metrics) = &batch.data else {
        return Vec::new();
    };
    metrics
        .points()
        .map(|p| match p.value {
            PointValue::Int(i) => i,
            _ => -1,
        })
        .collect()
}

impl Exporter for Fake {
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>> {
        Box::pin(async move {
            self.attempts
                .lock()
                .unwrap()
                .push((Instant::now(), batch.client.clone()));
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            let answer = self.answers.lock().unwrap().pop_front();
            let arrive = |values| self.arrived.lock().unwrap().push(values);
            match answer.unwrap_or(Answer::Accept) {
                Answer::Accept => arrive(values(batch)),
                Answer::Refuse(reject) => return Err(reject),
                Answer::AcceptSome(count) => {
                    let rest = batch.split_off(count);
                    arrive(values(batch));
                    if rest.is_empty() {
                        return Ok(());
                    }
                    *batch = rest;
                    return Err(Reject::retry("busy", "took only a part"));
                }
                Answer::Hang => std::future::pending().await,
            }
            Ok(())
        })
    }
}

/// A batch of points with these values.
pub(super) fn batch(values: impl IntoIterator<Item = i64>) -> Batch {
    let interner = Arc::new(Interner::new(1 << 20));
    let series = interner.series(
        &interner.resource(Resource::default()),
        &interner.scope(Scope::default()),
        &interner.metric(MetricMeta::new("m", MetricKind::Gauge)),
        Attributes::default(),
    );
    let point = |value| Point::new(series.clone(), 0, 1, PointValue::Int(value));
    Batch::metrics(Metrics::from_points(
        values.into_iter().map(point).collect(),
    ))
}

/// The same from a sender with a header.
pub(super) fn batch_of(tenant: &str, values: impl IntoIterator<Item = i64>) -> Batch {
    let mut batch = batch(values);
    batch.client = Some(Arc::new(ClientMetadata {
        headers: vec![("x-tenant".to_owned(), tenant.to_owned())],
        address: None,
    }));
    batch
}

/// A wrapped exporter with its own metrics.
pub(super) struct Bench {
    pub(super) stage: Arc<dyn Stage>,
    pub(super) telemetry: Arc<Telemetry>,
}

impl Bench {
    pub(super) async fn started(exporter: Arc<Fake>, settings: &SendingSettings) -> Self {
        let bench = Self::new(exporter, settings);
        bench.stage.start().await.unwrap();
        bench
    }

    pub(super) fn new(exporter: Arc<Fake>, settings: &SendingSettings) -> Self {
        let cx = BuildCtx::standalone(
            ComponentId::parse("fake/x").unwrap(),
            ComponentKind::Exporter,
            Some(Signal::Metrics),
        );
        Self {
            stage: wrap(exporter, settings, &cx),
            telemetry: cx.telemetry,
        }
    }

    pub(super) async fn drain(&self, seconds: u64) {
        let by = weir_core::Deadline::after(Duration::from_secs(seconds));
        self.stage.drain(by).await;
    }

    fn total(&self, name: &str) -> f64 {
        self.telemetry
            .total(&format!("otelcol_exporter_{name}_metric_points"))
    }
    pub(super) fn sent(&self) -> f64 {
        self.total("sent")
    }
    pub(super) fn failed(&self) -> f64 {
        self.total("send_failed")
    }
    pub(super) fn refused(&self) -> f64 {
        self.total("enqueue_failed")
    }
    pub(super) fn dropped(&self) -> f64 {
        self.telemetry.total("weir_dropped_items_total")
    }
    pub(super) fn queue_size(&self) -> f64 {
        self.telemetry.total("otelcol_exporter_queue_size")
    }
}

/// Lets all tasks go on as far as they can without time passing.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
