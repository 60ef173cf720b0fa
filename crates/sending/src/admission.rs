//! Room in the queue: units of its sizer, and always bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What is taken of the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// In units of the queue's sizer.
    pub(crate) units: u64,
    /// Bytes of data.
    pub(crate) bytes: u64,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Not now.
    Full,
    /// Never: it is larger than the whole queue.
    TooLarge,
    /// The queue is closed.
    Closed,
}

/// The room of one queue. What is being sent counts until it is done.
#[derive(Debug)]
pub(crate) struct Room {
    limit: Load,
    used: Mutex<Load>,
    freed: Notify,
    /// Callers that wait for room stand in line here: who came first gets in first.
    line: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

impl Room {
    pub(crate) fn new(limit: Load) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: Mutex::default(),
            freed: Notify::new(),
            line: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.limit.units
    }

    pub(crate) fn limit(&self) -> Load {
        self.limit
    }

    pub(crate) fn used(&self) -> Load {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Load> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room now, unless somebody stands in line for it.
    pub(crate) fn try_take(self: &Arc<Self>, load: Load) -> Result<Taken, NoRoom> {
        if self.waiting.load(Ordering::Acquire) > 0 {
            return Err(NoRoom::Full);
        }
        self.take_now(load)
    }

    fn take_now(self: &Arc<Self>, load: Load) -> Result<Taken, NoRoom> {
        if load.units > self.limit.units || load.bytes > self.limit.bytes {
            return Err(NoRoom::TooLarge);
        }
        let mut used = self.lock();
        if used.units > self.limit.units - load.units || used.bytes > self.limit.bytes - load.bytes
        {
            return Err(NoRoom::Full);
        }
        used.units += load.units;
        used.bytes += load.bytes;
        Ok(Taken {
            room: self.clone(),
            load,
        })
    }

    /// Takes room, waiting for it in line until the queue is closed.
    pub(crate) async fn take(
        self: &Arc<Self>,
        load: Load,
        closed: &CancellationToken,
    ) -> Result<Taken, NoRoom> {
        let _waiting = Waiting::new(self);
        let in_line = async {
            let _turn = self.line.lock().await;
            loop {
                let freed = self.freed.notified();
                match self.take_now(load) {
                    Err(NoRoom::Full) => freed.await,
                    result => return result,
                }
            }
        };
        tokio::select! {
            biased;
            () = closed.cancelled() => Err(NoRoom::Closed),
            result = in_line => result,
        }
    }
}

/// Counts a waiting caller, also one that gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(room: &'a Room) -> Self {
        room.waiting.fetch_add(1, Ordering::AcqRel);
        Self(&room.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Room taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<Room>,
    load: Load,
}

impl Taken {
    /// What was taken in became smaller (or larger) than it was.
    pub(crate) fn set_bytes(&mut self, bytes: u64) {
        {
            let mut used = self.room.lock();
            used.bytes = used.bytes.saturating_sub(self.load.bytes) + bytes;
        }
        self.load.bytes = bytes;
        self.room.freed.notify_one();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        {
            let mut used = self.room.lock();
            used.units = used.units.saturating_sub(self.load.units);
            used.bytes = used.bytes.saturating_sub(self.load.bytes);
        }
        // One caller at a time waits for this: the first in line.
        self.room.freed.notify_one();
    }
}
