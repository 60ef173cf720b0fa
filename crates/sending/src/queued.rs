//! With a queue: callers put batches in, consumers deliver them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_core::{Batch, BoxFut, BuildCtx, Consumer, Deadline, Fatal, Reject, Stage, Tasks};

use crate::admission::{Load, NoRoom, Room};
use crate::ahead::{Ahead, Encoder, Waiting};
use crate::batching::Batching;
use crate::delivery::{Delivery, Failure};
use crate::queue::{Parcel, Part, Queue, Ticket, stopping};
use crate::settings::{QueueSettings, SendingSettings, Sizer};

/// Whatever `queue_size` says, a queue holds at most half of what may be in memory, within these
/// bounds: a queue counted in requests or items has no other limit in bytes. Who wants to bridge
/// more gives the size in bytes (`sizer: bytes`).
const FEWEST_BYTES: usize = 32 << 20;
const MOST_BYTES: usize = 256 << 20;

/// The stage: a shared queue, consumers as tasks.
pub(crate) struct Queued {
    shared: Arc<Shared>,
    settings: QueueSettings,
    tasks: Tasks,
    name: String,
    started: AtomicBool,
    drained: AtomicBool,
}

struct Shared {
    delivery: Arc<Delivery>,
    queue: Queue,
    /// What was encoded ahead of its delivery, by exporters that do so.
    ahead: Option<Ahead>,
    room: Arc<Room>,
    sizer: Sizer,
    /// Items that a consumer takes at once.
    gather: usize,
    /// How long a batch waits for others before it is encoded.
    linger: Duration,
    /// Callers wait until their batch is encoded.
    acknowledge_encoded: bool,
    hint: &'static str,
    /// The queue takes nothing more.
    closed: CancellationToken,
    /// The time to stop is over.
    abort: CancellationToken,
    /// Consumers that have not ended.
    consumers: TaskTracker,
    /// Items of deliveries that were cut off at the end.
    cut_off: AtomicUsize,
}

impl Queued {
    pub(crate) fn new(
        delivery: Arc<Delivery>,
        queue: &QueueSettings,
        settings: &SendingSettings,
        encoder: Option<Arc<dyn Encoder>>,
        cx: &BuildCtx,
    ) -> Self {
        let bytes = (cx.ledger.limit() / 2).clamp(FEWEST_BYTES, MOST_BYTES) as u64;
        let room = Room::new(Load {
            units: queue.queue_size,
            bytes: match queue.sizer {
                Sizer::Bytes => queue.queue_size,
                _ => bytes,
            },
        });
        delivery.meters.observe_queue(&room);
        let hint = if settings.retry.enabled {
            ""
        } else {
            " Try enabling retry_on_failure to survive temporary failures."
        };
        Self {
            shared: Arc::new(Shared {
                delivery,
                queue: Queue::new(Batching::new(queue)),
                ahead: encoder.map(Ahead::new),
                room,
                sizer: queue.sizer,
                gather: settings.gather,
                linger: settings.linger,
                acknowledge_encoded: settings.acknowledge_encoded,
                hint,
                closed: CancellationToken::new(),
                abort: CancellationToken::new(),
                consumers: TaskTracker::new(),
                cut_off: AtomicUsize::new(0),
            }),
            settings: queue.clone(),
            tasks: cx.tasks.clone(),
            name: cx.id.to_string(),
            started: AtomicBool::new(false),
            drained: AtomicBool::new(false),
        }
    }

    async fn enqueue(&self, mut batch: Batch) -> Result<(), Reject> {
        if batch.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let items = batch.len();
        let load = Load {
            units: shared.sizer.measure(&batch),
            bytes: batch.size_bytes() as u64,
        };
        let taken = match shared.room.try_take(load) {
            Err(NoRoom::Full) if self.settings.block_on_overflow => {
                shared.room.take(load, &shared.closed).await
            }
            result => result,
        };
        let taken = taken.map_err(|why| shared.refuse(items, load, why))?;
        let waits = self.settings.wait_for_result || shared.acknowledge_encoded;
        let (caller, result) = if waits {
            let (caller, result) = oneshot::channel();
            (Some(caller), Some(result))
        } else {
            (None, None)
        };
        let ticket = Ticket::new(taken, batch.charge.take(), caller);
        let parts = vec![Part::new(ticket)];
        if let Err(parcel) = shared.queue.push(Parcel { batch, parts }) {
            Parcel::settle(parcel.parts, &Err(stopping()));
            return Err(shared.refuse(items, load, NoRoom::Closed));
        }
        match result {
            None => Ok(()),
            Some(result) => result.await.unwrap_or_else(|_| Err(stopping())),
        }
    }
}

impl Shared {
    fn refuse(&self, items: usize, load: Load, why: NoRoom) -> Reject {
        let limit = self.room.limit();
        let (reject, hint) = match why {
            NoRoom::Full => (
                Reject::retry("queue_full", "sending queue is full"),
                " Try raising sending_queue::queue_size, or enabling \
                 sending_queue::block_on_overflow.",
            ),
            NoRoom::TooLarge => (
                Reject::permanent(
                    "too_large",
                    format!(
                        "element size too large: {} bytes ({} units of sending_queue::sizer) do \
                         not fit a queue of {} bytes ({} units)",
                        load.bytes, load.units, limit.bytes, limit.units
                    ),
                ),
                " Try raising sending_queue::queue_size, or sending smaller requests.",
            ),
            NoRoom::Closed => (stopping(), ""),
        };
        self.delivery
            .meters
            .refused(items, &reject.why().message, hint);
        reject
    }

    async fn run_consumer(&self) {
        while let Some(parcel) = self.queue.next(self.gather).await {
            let items = parcel.batch.len();
            tokio::select! {
                biased;
                () = self.send(parcel) => {}
                () = self.abort.cancelled() => {
                    self.cut_off.fetch_add(items, Ordering::AcqRel);
                    return;
                }
            }
        }
    }

    async fn send(&self, parcel: Parcel) {
        let result = self.delivery.deliver(parcel.batch).await;
        self.settle(parcel.parts, result);
    }

    /// Encodes batches as long as there are any.
    async fn run_encoder(&self, ahead: &Ahead) {
        loop {
            self.queue.ready().await;
            if !self.linger.is_zero() {
                let filled = self.queue.filled(self.gather);
                // Over either way: there are enough, or it was long enough.
                let _in_time = tokio::time::timeout(self.linger, filled).await;
            }
            // Callers that wait for the encoding must not wait for the destination.
            while !self.acknowledge_encoded && ahead.has_waiting() {
                tokio::select! {
                    () = ahead.taken.notified() => {}
                    () = self.queue.filled(self.gather) => break,
                }
            }
            let Some(Parcel { batch, parts }) = self.queue.next(self.gather).await else {
                return;
            };
            let items = batch.len();
            ahead.encoding.store(items, Ordering::Release);
            match ahead.encoder.encode(batch).await {
                Ok(encoded) => {
                    Part::replaced(&parts, encoded.size_bytes() as u64);
                    if self.acknowledge_encoded {
                        Part::acknowledge(&parts);
                    }
                    ahead.push(Waiting {
                        encoded,
                        items,
                        parts,
                    });
                }
                Err(reject) => self.refuse_encoded(parts, items, reject),
            }
            ahead.encoding.store(0, Ordering::Release);
        }
    }

    /// A batch that could not be encoded: the sender's if it waits, else lost.
    fn refuse_encoded(&self, parts: Vec<Part>, items: usize, reject: Reject) {
        let meters = &self.delivery.meters;
        if self.acknowledge_encoded {
            meters.refused(items, &reject.why().message, "");
            return Parcel::settle(parts, &Err(reject));
        }
        meters.failed(items);
        self.settle(parts, Err(Failure { reject, items }));
    }

    /// Delivers what was encoded, one after the other; first what an earlier run has left.
    async fn run_sender(&self, ahead: &Ahead) {
        for (encoded, items) in ahead.encoder.recover().await {
            let parts = Vec::new();
            if !self
                .send_or_stop(Waiting {
                    encoded,
                    items,
                    parts,
                })
                .await
            {
                return;
            }
        }
        while let Some(waiting) = ahead.next().await {
            if !self.send_or_stop(waiting).await {
                return;
            }
        }
    }

    /// Delivers; false if the time to stop is over.
    async fn send_or_stop(&self, mut waiting: Waiting) -> bool {
        tokio::select! {
            biased;
            () = self.send_encoded(&mut waiting) => true,
            () = self.abort.cancelled() => {
                if !waiting.encoded.is_kept() {
                    self.cut_off.fetch_add(waiting.items, Ordering::AcqRel);
                }
                false
            }
        }
    }

    async fn send_encoded(&self, waiting: &mut Waiting) {
        let encoded = waiting.encoded.as_mut();
        let result = self.delivery.deliver_encoded(encoded, waiting.items).await;
        let parts = std::mem::take(&mut waiting.parts);
        match result {
            Err(failure) if waiting.encoded.is_kept() => {
                Parcel::settle(parts, &Err(failure.reject));
            }
            result => self.settle(parts, result),
        }
    }

    fn settle(&self, parts: Vec<Part>, result: Result<(), Failure>) {
        let result = match result {
            Ok(()) => Ok(()),
            Err(failure) => {
                let (meters, why) = (&self.delivery.meters, failure.reject.why());
                meters.gave_up(failure.items, &why.message, self.hint);
                meters.dropped(failure.items, why.reason);
                Err(failure.reject)
            }
        };
        Parcel::settle(parts, &result);
    }

    /// Makes waiting batches ready when their time has come, until the queue is closed.
    async fn run_timer(&self) {
        loop {
            let changed = self.queue.timer.notified();
            let (due, closed) = self.queue.flush_due();
            match due {
                _ if closed => return,
                None => changed.await,
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(due.instant()) => {}
                },
            }
        }
    }
}

impl Queued {
    /// Starts the two tasks of an exporter that encodes ahead.
    fn start_ahead(&self) {
        let (shared, token) = (self.shared.clone(), self.shared.consumers.token());
        self.tasks.spawn(&self.name, async move {
            if let Some(ahead) = &shared.ahead {
                tokio::select! {
                    biased;
                    () = shared.run_encoder(ahead) => {}
                    () = shared.abort.cancelled() => {}
                }
                ahead.end();
            }
            drop(token);
        });
        let (shared, token) = (self.shared.clone(), self.shared.consumers.token());
        self.tasks.spawn(&self.name, async move {
            if let Some(ahead) = &shared.ahead {
                shared.run_sender(ahead).await;
            }
            drop(token);
        });
    }
}

impl Consumer for Queued {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(self.enqueue(batch))
    }
}

impl Stage for Queued {
    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async move {
            self.shared.delivery.exporter().start().await?;
            if self.started.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            if self.shared.ahead.is_some() {
                self.start_ahead();
                return Ok(());
            }
            for _ in 0..self.settings.num_consumers {
                let (shared, token) = (self.shared.clone(), self.shared.consumers.token());
                self.tasks.spawn(&self.name, async move {
                    shared.run_consumer().await;
                    drop(token);
                });
            }
            if self.settings.batch.is_some() {
                let shared = self.shared.clone();
                self.tasks
                    .spawn(&self.name, async move { shared.run_timer().await });
            }
            Ok(())
        })
    }

    fn drain(&self, by: Deadline) -> BoxFut<'_, ()> {
        Box::pin(async move {
            if self.drained.swap(true, Ordering::AcqRel) {
                return;
            }
            let shared = &self.shared;
            shared.closed.cancel();
            shared.queue.close();
            shared.delivery.begin_drain();
            shared.consumers.close();
            if tokio::time::timeout_at(by.instant(), shared.consumers.wait())
                .await
                .is_err()
            {
                shared.abort.cancel();
                shared.consumers.wait().await;
            }
            let rest = shared.queue.take_rest();
            let raw: usize = rest.iter().map(|parcel| parcel.batch.len()).sum();
            let waiting = raw + shared.ahead.as_ref().map_or(0, Ahead::take_rest);
            let meters = &shared.delivery.meters;
            meters.failed(waiting);
            let left = waiting + shared.cut_off.load(Ordering::Acquire);
            if left > 0 {
                meters.dropped(left, "shutdown");
                meters.left_behind(left);
            }
            drop(rest);
            shared.delivery.stop(by).await;
        })
    }
}
