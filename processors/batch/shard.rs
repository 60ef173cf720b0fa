//! One batcher: a task that collects and sends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use weir_core::telemetry::{Counter, Gauge, Histogram};
use weir_core::{Batch, BuildCtx, Clock, Consumer, Deadline, Fold, Reject, Stop};
use weir_model::{Charge, ClientMetadata};

use super::Config;

/// How long a sender waits for room before it is told to come back.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest pause before a refused batch is offered again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Bucket bounds of `batch_send_size`, those of the reference.
const SIZE_BOUNDS: &[f64] = &[
    10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0, 7000.0,
    8000.0, 9000.0, 10_000.0, 20_000.0, 30_000.0, 50_000.0, 100_000.0,
];

/// Counters shared by the shards of one processor.
#[derive(Clone)]
pub(super) struct Metrics {
    sizes: Histogram,
    by_size: Counter,
    by_timeout: Counter,
    cardinality: Gauge,
    dropped: Counter,
    held: Gauge,
}

impl Metrics {
    pub(super) fn new(cx: &BuildCtx) -> Self {
        let id = cx.id.as_str();
        let labels = [("processor", id)];
        let telemetry = &cx.telemetry;
        let name = |what: &str| format!("otelcol_processor_batch_{what}");
        let counter = |what: &str, help: &str| telemetry.counter(&name(what), help, &labels);
        Self {
            sizes: telemetry.histogram(&name("batch_send_size"), "Items in the batches sent", SIZE_BOUNDS, &labels),
            by_size: counter("batch_size_trigger_send", "Batches sent because of their size"),
            by_timeout: counter("timeout_trigger_send", "Batches sent because of the timeout"),
            cardinality: telemetry.gauge(&name("metadata_cardinality"), "Combinations of metadata values", &labels),
            dropped: telemetry.counter(
                "weir_processor_dropped_items",
                "Items dropped by a processor, by reason",
                &[("processor", id), ("reason", "permanent")],
            ),
            held: telemetry.gauge("weir_processor_batch_held_items", "Items collected and not sent yet", &labels),
        }
    }

    pub(super) fn cardinality(&self, count: usize) {
        self.cardinality.set(count as i64);
    }
}

/// Handle of a batcher's task.
pub(super) struct Shard {
    input: mpsc::Sender<Batch>,
    drain: Stop,
    done: CancellationToken,
}

impl Shard {
    pub(super) fn spawn(
        config: &Config,
        cx: &BuildCtx,
        next: Arc<dyn Consumer>,
        metrics: Metrics,
        client: Option<Arc<ClientMetadata>>,
    ) -> Arc<Self> {
        // One waiting batch per processor core, as in the reference; then senders wait.
        let room = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (input, batches) = mpsc::channel(room);
        let (drain, done) = (Stop::default(), CancellationToken::new());
        let worker = Worker {
            config: config.clone(),
            id: cx.id.to_string(),
            clock: cx.clock.clone(),
            fold: Fold::default(),
            next,
            metrics,
            client,
            pending: None,
            charges: Vec::new(),
        };
        // Cancels `done` however the task ends.
        let (asked, finished) = (drain.clone(), done.clone().drop_guard());
        cx.tasks.spawn(&format!("processor {}", cx.id), async move {
            worker.run(batches, asked).await;
            drop(finished);
        });
        Arc::new(Self { input, drain, done })
    }

    /// Hands a batch over; refused when there is no room for a while.
    pub(super) async fn push(&self, batch: Batch) -> Result<(), Reject> {
        let full = || Reject::retry("batch_full", "the batch processor is full: what stands behind it does not keep up");
        match timeout(ROOM_TIMEOUT, self.input.reserve()).await {
            Ok(Ok(permit)) => {
                permit.send(batch);
                Ok(())
            }
            Ok(Err(_)) => Err(Reject::retry("stopping", "the batch processor is stopping")),
            Err(_) => Err(full()),
        }
    }

    /// Sends the rest; waits until that is done or the deadline is over.
    pub(super) async fn drain(&self, by: Deadline) {
        self.drain.stop(by);
        let _finished_or_over = timeout_at(by.instant(), self.done.cancelled()).await;
    }
}

struct Worker {
    config: Config,
    id: String,
    clock: Arc<dyn Clock>,
    fold: Fold,
    next: Arc<dyn Consumer>,
    metrics: Metrics,
    client: Option<Arc<ClientMetadata>>,
    pending: Option<Batch>,
    charges: Vec<Arc<Charge>>,
}

impl Worker {
    async fn run(mut self, mut input: mpsc::Receiver<Batch>, drain: Stop) {
        let at_once = self.config.timeout.is_zero() || self.config.send_batch_size == 0;
        let mut flush_at: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = drain.stopped() => break,
                () = sleep_until(flush_at.unwrap_or_else(Instant::now)), if flush_at.is_some() => {
                    self.metrics.by_timeout.add(1);
                    self.flush(&drain).await;
                    flush_at = None;
                }
                batch = input.recv() => {
                    let Some(batch) = batch else { break };
                    let first = self.pending.is_none();
                    self.add(batch);
                    if at_once || self.held() >= self.config.send_batch_size as usize {
                        if !at_once {
                            self.metrics.by_size.add(1);
                        }
                        self.send_full(at_once, &drain).await;
                        flush_at = self.pending.is_some().then(|| Instant::now() + self.config.timeout.to_std());
                    } else if first {
                        flush_at = Some(Instant::now() + self.config.timeout.to_std());
                    }
                }
            }
        }
        input.close();
        while let Some(batch) = input.recv().await {
            self.add(batch);
        }
        self.flush(&drain).await;
    }

    fn held(&self) -> usize {
        self.pending.as_ref().map_or(0, Batch::len)
    }

    fn add(&mut self, mut batch: Batch) {
        self.charges.extend(batch.charge.take());
        batch.client = None;
        match &mut self.pending {
            // One pipeline has one signal, so appending cannot fail.
            Some(pending) => drop(pending.append(batch)),
            None => self.pending = Some(batch),
        }
        self.metrics.held.set(self.held() as i64);
    }

    /// Sends while there is a full batch (or anything, when everything goes at once).
    async fn send_full(&mut self, all: bool, drain: &Stop) {
        let max = self.config.send_batch_max_size as usize;
        if max == 0 || all {
            return self.flush(drain).await;
        }
        while self.held() >= self.config.send_batch_size.max(1) as usize {
            self.send_one(max, drain).await;
        }
    }

    /// Sends all that is held, in pieces of the largest size.
    async fn flush(&mut self, drain: &Stop) {
        let max = match self.config.send_batch_max_size as usize {
            0 => usize::MAX,
            max => max,
        };
        while self.pending.is_some() {
            self.send_one(max, drain).await;
        }
    }

    async fn send_one(&mut self, max: usize, drain: &Stop) {
        let Some(mut batch) = self.pending.take() else { return };
        if batch.len() > max {
            self.pending = Some(batch.split_off(max));
        }
        batch.client = self.client.clone();
        let size = batch.len();
        self.offer(batch, drain).await;
        self.metrics.sizes.observe(size as f64);
        if self.pending.is_none() {
            self.charges.clear();
        }
        self.metrics.held.set(self.held() as i64);
    }

    /// Offers a batch until it is taken, refused for good, or the drain deadline is over.
    async fn offer(&self, batch: Batch, drain: &Stop) {
        let mut pause = FIRST_PAUSE;
        loop {
            let reject = match self.next.consume(batch.clone()).await {
                Ok(()) => return,
                Err(reject) => reject,
            };
            let Reject::Retry { after, why } = &reject else { return self.lost(&batch, &reject) };
            let wait = after.unwrap_or(pause);
            self.held_back(&why.message);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if drain.is_stopped() {
                if drain.deadline().remaining() <= wait {
                    return self.lost(&batch, &reject);
                }
                tokio::time::sleep(wait).await;
            } else {
                // A drain cuts the pause short: the next offer then is one of the last.
                let _either = timeout(wait, drain.stopped()).await;
            }
        }
    }

    fn held_back(&self, why: &str) {
        if let Some(before) = self.fold.say(why, self.clock.monotonic()) {
            warn!(
                "otelcol.component.id" = %self.id, "otelcol.component.kind" = "processor", repeated = before,
                "Sender failed, the batch is held and offered again: {why}"
            );
        }
    }

    fn lost(&self, batch: &Batch, reject: &Reject) {
        let items = match reject {
            Reject::Partial { rejected, .. } => *rejected,
            _ => batch.len() as u64,
        };
        self.metrics.dropped.add(items);
        if let Some(before) = self.fold.say(&reject.why().message, self.clock.monotonic()) {
            error!(
                "otelcol.component.id" = %self.id, "otelcol.component.kind" = "processor", repeated = before,
                dropped_items = items, "Sender failed, data was dropped: {reject}"
            );
        }
    }
}
