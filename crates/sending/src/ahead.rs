//! Encoding ahead of delivery: what waits for a slow or dead destination waits as compressed
//! requests, which are many times smaller than the batches they were made from.
//!
//! One task encodes, one delivers, so that batches keep their order. A batch is encoded as soon as
//! nothing encoded waits before it; further ones are gathered, so that a slow destination makes
//! requests larger, until [`crate::SendingSettings::gather`] items wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use weir_core::{Batch, BoxFut, Reject};

use crate::queue::Part;

/// Makes requests of batches before it is their turn to be sent.
pub trait Encoder: Send + Sync {
    /// Encodes a batch, which is no longer needed then. An error refuses it: the sender is told if
    /// it waits for that ([`crate::SendingSettings::acknowledge_encoded`]), else it is dropped.
    fn encode(&self, batch: Batch) -> BoxFut<'_, Result<Box<dyn Encoded>, Reject>>;

    /// What an earlier run of the program has left, in order, with its number of items.
    fn recover(&self) -> BoxFut<'_, Vec<(Box<dyn Encoded>, usize)>> {
        Box::pin(async { Vec::new() })
    }
}

/// Requests that wait to be sent.
pub trait Encoded: Send + Sync {
    /// Bytes they take in memory.
    fn size_bytes(&self) -> usize;
    /// Sends them; called once. Retries are the exporter's own, see
    /// [`crate::SendingSettings::draining`].
    fn deliver(&mut self) -> BoxFut<'_, Result<(), Reject>>;
    /// Whether they are still there after a restart of the program.
    fn is_kept(&self) -> bool {
        false
    }
}

/// Encoded requests of one parcel, and whose they are.
pub(crate) struct Waiting {
    pub(crate) encoded: Box<dyn Encoded>,
    pub(crate) items: usize,
    pub(crate) parts: Vec<Part>,
}

/// The encoded half of a queue.
pub(crate) struct Ahead {
    pub(crate) encoder: Arc<dyn Encoder>,
    waiting: Mutex<VecDeque<Waiting>>,
    /// Items that are being encoded.
    pub(crate) encoding: AtomicUsize,
    /// Something was encoded, or nothing will be any more.
    pub(crate) encoded: Notify,
    /// The last of what was encoded is being delivered.
    pub(crate) taken: Notify,
    ended: AtomicBool,
}

impl Ahead {
    pub(crate) fn new(encoder: Arc<dyn Encoder>) -> Self {
        Self {
            encoder,
            waiting: Mutex::default(),
            encoding: AtomicUsize::new(0),
            encoded: Notify::new(),
            taken: Notify::new(),
            ended: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something encoded waits.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.lock().is_empty()
    }

    pub(crate) fn push(&self, waiting: Waiting) {
        self.lock().push_back(waiting);
        self.encoded.notify_one();
    }

    /// Nothing will be encoded any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.encoded.notify_one();
    }

    /// The next to be delivered; `None` when all is done.
    pub(crate) async fn next(&self) -> Option<Waiting> {
        loop {
            let ended = self.ended.load(Ordering::Acquire);
            let (next, last) = {
                let mut waiting = self.lock();
                (waiting.pop_front(), waiting.is_empty())
            };
            if next.is_some() {
                if last {
                    self.taken.notify_one();
                }
                return next;
            }
            if ended {
                return None;
            }
            // One task waits here, so that a notice that comes before it does is kept for it.
            self.encoded.notified().await;
        }
    }

    /// What is left after the time to stop is over and will not be there after a restart: the
    /// number of items.
    pub(crate) fn take_rest(&self) -> usize {
        let rest = std::mem::take(&mut *self.lock());
        let lost = rest.iter().filter(|waiting| !waiting.encoded.is_kept());
        let waiting: usize = lost.map(|waiting| waiting.items).sum();
        waiting + self.encoding.load(Ordering::Acquire)
    }
}
