//! From the socket to the pipeline.
//!
//! What waits in the socket becomes one batch; while batches are under way the next one is
//! collected. When that is full, nothing is read: the kernel's buffer holds on for a while, and what it
//! drops is shown by a metric.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use weir_core::{Batch, BuildCtx, Clock, Consumer, Fold, Stop};
use weir_model::{Charge, Interner, Ledger, TracesBuilder};
use weir_net::datagram::{DatagramSocket, MAX_DATAGRAM};
use weir_xray::read::{Outcome, Reader, Refused, datagram_body};

use super::meters::{Meters, NO_MEMORY, REFUSED, SHUTDOWN};

/// A batch is closed at this size, in bytes of documents: receivers behind the exporter may take no
/// more than 4 MiB.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Batches handed to the pipeline at a time.
const MAX_UNDER_WAY: usize = 8;
/// Wait after a failed read, so that a socket that fails for ever does not take a processor.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads datagrams and hands on what they hold.
pub(super) struct Intake {
    id: String,
    socket: DatagramSocket,
    next: Arc<dyn Consumer>,
    reader: Reader,
    interner: Arc<Interner>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    fold: Fold,
    meters: Meters,
    /// Spans in batches that are under way.
    spans_under_way: AtomicUsize,
}

/// The batch being collected.
#[derive(Default)]
struct Pending {
    spans: TracesBuilder,
    bytes: usize,
    charge: Option<Charge>,
}

impl Pending {
    fn is_full(&self) -> bool {
        self.bytes >= MAX_BATCH_BYTES
    }

    /// Charges a datagram; `false` when there is no memory for it.
    fn charge(&mut self, ledger: &Arc<Ledger>, bytes: usize) -> bool {
        match &mut self.charge {
            Some(charge) => charge.grow(bytes),
            None => {
                self.charge = ledger.charge(bytes);
                self.charge.is_some()
            }
        }
    }
}

impl Intake {
    pub(super) fn new(cx: &BuildCtx, socket: DatagramSocket, next: Arc<dyn Consumer>) -> Self {
        if let Some(address) = socket.local_addr() {
            Meters::watch(cx, address);
        }
        Self {
            id: cx.id.to_string(),
            socket,
            next,
            reader: Reader::default(),
            interner: cx.interner.clone(),
            ledger: cx.ledger.clone(),
            clock: cx.clock.clone(),
            fold: Fold::default(),
            meters: Meters::new(cx),
            spans_under_way: AtomicUsize::new(0),
        }
    }

    /// Reads until `stop`, then delivers what has been read and what waits in the socket.
    pub(super) async fn run(self, stop: Stop) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        let mut pending = Pending::default();
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                received = self.socket.receive(&mut buffer), if !pending.is_full() => {
                    match received {
                        Ok((length, _)) => {
                            self.take(&buffer, length, &mut pending);
                            self.take_waiting(&mut buffer, &mut pending);
                        }
                        Err(error) => self.failed(&error).await,
                    }
                }
            }
            if under_way.len() < MAX_UNDER_WAY {
                under_way.extend(self.close(&mut pending));
            }
        }
        // What came before the end may not have been noticed yet: the runtime looks when it is let.
        tokio::task::yield_now().await;
        self.take_waiting(&mut buffer, &mut pending);
        under_way.extend(self.close(&mut pending));
        let by = stop.deadline().instant();
        let delivered = async { while under_way.next().await.is_some() {} };
        if tokio::time::timeout_at(by, delivered).await.is_err() {
            let spans = self.spans_under_way.load(Ordering::Relaxed);
            self.meters.lost(SHUTDOWN, spans);
            tracing::warn!(
                "otelcol.component.id" = self.id,
                "otelcol.component.kind" = "receiver",
                spans,
                "spans were dropped: the pipeline did not take them before the end"
            );
        }
    }

    /// Reads what is in the socket already, up to one batch.
    fn take_waiting(&self, buffer: &mut [u8], pending: &mut Pending) {
        while !pending.is_full() {
            match self.socket.try_receive(buffer) {
                Ok(Some(length)) => self.take(buffer, length, pending),
                // An error shows again at the next read.
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Reads one datagram.
    fn take(&self, buffer: &[u8], length: usize, pending: &mut Pending) {
        let datagram = buffer.get(..length).unwrap_or_default();
        let body = match datagram_body(datagram) {
            Ok(body) => body,
            Err(why) => {
                return self.outcome(&Outcome::Refused {
                    segments: 1,
                    readable: false,
                    why,
                });
            }
        };
        // Counted even if nothing comes of it: a stream of bad datagrams must not hold back a batch.
        pending.bytes += body.len();
        if !pending.charge(&self.ledger, body.len()) {
            self.meters.lost(NO_MEMORY, 1);
            return self.warn(NO_MEMORY, "a datagram was dropped: memory is short");
        }
        let outcome = |outcome| self.outcome(&outcome);
        self.reader
            .read_body(body, &self.interner, &mut pending.spans, outcome);
    }

    fn outcome(&self, outcome: &Outcome) {
        self.meters.read(outcome);
        if let Outcome::Refused { why, .. } = outcome {
            self.refused(why);
        }
    }

    /// The delivery of the batch collected so far, if there is anything in it.
    fn close<'a>(&'a self, pending: &mut Pending) -> Option<impl Future<Output = ()> + use<'a>> {
        let Pending {
            spans,
            bytes,
            charge,
        } = std::mem::take(pending);
        if spans.is_empty() {
            return None;
        }
        let mut batch = Batch::traces(spans.finish());
        batch.charge = charge.map(Arc::new);
        self.meters.held.add(bytes as i64);
        self.spans_under_way
            .fetch_add(batch.len(), Ordering::Relaxed);
        Some(self.deliver(batch, bytes))
    }

    async fn deliver(&self, batch: Batch, bytes: usize) {
        let spans = batch.len();
        let result = self.next.consume(batch).await;
        self.meters.held.add(-(bytes as i64));
        self.spans_under_way.fetch_sub(spans, Ordering::Relaxed);
        match result {
            Ok(()) => self.meters.accepted(spans),
            Err(reject) => {
                self.meters.lost(REFUSED, spans);
                self.warn(REFUSED, &format!("spans were dropped: {reject}"));
            }
        }
    }

    fn refused(&self, why: &Refused) {
        self.warn(why.reason(), &why.to_string());
    }

    async fn failed(&self, error: &std::io::Error) {
        self.warn("socket", &format!("the socket cannot be read: {error}"));
        tokio::time::sleep(PAUSE).await;
    }

    /// One line per reason and while; texts of senders do not make lines of their own.
    fn warn(&self, reason: &'static str, text: &str) {
        if let Some(left_out) = self.fold.say(reason, self.clock.monotonic()) {
            tracing::warn!(
                "otelcol.component.id" = self.id,
                "otelcol.component.kind" = "receiver",
                reason,
                left_out,
                "{text}"
            );
        }
    }
}
