//! Parcels on their way through the queue, and who learns what became of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use weir_core::{Batch, Deadline, Reject};
use weir_model::Charge;

use crate::admission::Taken;
use crate::batching::Batching;

/// What one call of the pipeline put into the queue. It may be split over several parcels; when
/// the last of them is done, the room is given back and the caller learns the joined result.
#[derive(Debug)]
pub(crate) struct Ticket {
    held: Mutex<Held>,
    receipt: Option<Mutex<Receipt>>,
}

/// What the data takes: room in the queue, and bytes of the admission guard.
#[derive(Debug)]
struct Held {
    taken: Taken,
    charge: Option<Arc<Charge>>,
}

#[derive(Debug)]
struct Receipt {
    result: Result<(), Reject>,
    caller: Option<oneshot::Sender<Result<(), Reject>>>,
}

impl Ticket {
    /// A ticket for room taken; `caller` waits for the result.
    pub(crate) fn new(
        taken: Taken,
        charge: Option<Arc<Charge>>,
        caller: Option<oneshot::Sender<Result<(), Reject>>>,
    ) -> Arc<Self> {
        let receipt = |caller| {
            Mutex::new(Receipt {
                result: Ok(()),
                caller: Some(caller),
            })
        };
        Arc::new(Self {
            held: Mutex::new(Held { taken, charge }),
            receipt: caller.map(receipt),
        })
    }

    /// The data was turned into something of this size: what it was is no longer in memory.
    fn replaced(&self, bytes: u64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.taken.set_bytes(bytes);
        held.charge = None;
    }

    /// The caller learns that the data is safe; what becomes of it later is counted only.
    fn acknowledge(&self) {
        let Some(receipt) = &self.receipt else { return };
        let mut receipt = receipt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = receipt.caller.take() {
            // The caller may have given up waiting; then nobody needs the result.
            drop(caller.send(Ok(())));
        }
    }

    fn note(&self, result: Result<(), Reject>) {
        let Some(receipt) = &self.receipt else { return };
        let mut receipt = receipt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(reject) = result {
            receipt.result = Err(match std::mem::replace(&mut receipt.result, Ok(())) {
                Ok(()) => reject,
                Err(earlier) if earlier == reject => earlier,
                Err(earlier) => earlier.worse(reject),
            });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(receipt) = self.receipt.take() else {
            return;
        };
        let mut receipt = receipt.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = receipt.caller.take() {
            // The caller may have given up waiting; then nobody needs the result.
            drop(caller.send(receipt.result));
        }
    }
}

/// A share of a ticket that travels in one parcel. Dropped without a result it counts as not
/// delivered.
#[derive(Debug)]
pub(crate) struct Part {
    ticket: Arc<Ticket>,
    settled: bool,
}

impl Part {
    pub(crate) fn new(ticket: Arc<Ticket>) -> Self {
        Self {
            ticket,
            settled: false,
        }
    }

    /// Another share of the same ticket.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.ticket.clone())
    }

    /// The data of all parts is something of this size now.
    pub(crate) fn replaced(parts: &[Self], mut bytes: u64) {
        for part in parts {
            part.ticket.replaced(std::mem::take(&mut bytes));
        }
    }

    /// The callers learn that their data is safe.
    pub(crate) fn acknowledge(parts: &[Self]) {
        parts.iter().for_each(|part| part.ticket.acknowledge());
    }

    /// This share is done.
    pub(crate) fn settle(mut self, result: Result<(), Reject>) {
        self.settled = true;
        self.ticket.note(result);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.settled {
            self.ticket.note(Err(stopping()));
        }
    }
}

/// What callers are told while the exporter stops.
pub(crate) fn stopping() -> Reject {
    Reject::retry("shutdown", "the exporter is stopping; send the data again")
}

/// A batch to be delivered, and whose it is.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) batch: Batch,
    pub(crate) parts: Vec<Part>,
}

impl Parcel {
    /// Everybody concerned learns the result.
    pub(crate) fn settle(parts: Vec<Part>, result: &Result<(), Reject>) {
        for part in parts {
            part.settle(result.clone());
        }
    }
}

/// The queue itself. Its room is kept by the tickets.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Parcels became ready, or the queue was closed.
    work: Notify,
    /// A parcel began to wait for more, or the queue was closed.
    pub(crate) timer: Notify,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Parcel>,
    batching: Option<Batching>,
    closed: bool,
}

impl State {
    /// Puts the parcels behind `parcel` into it, up to `limit` items.
    fn gather(&mut self, parcel: &mut Parcel, limit: usize) {
        let mut items = parcel.batch.len();
        while let Some(next) = self.ready.front() {
            items = items.saturating_add(next.batch.len());
            if items > limit {
                return;
            }
            let Some(next) = self.ready.pop_front() else {
                return;
            };
            match parcel.batch.append(next.batch) {
                Ok(()) => {
                    // A merged batch has many senders.
                    parcel.batch.client = None;
                    parcel.parts.extend(next.parts);
                }
                // A queue serves one signal, so this does not happen; nothing is lost if it does.
                Err(batch) => {
                    let parts = next.parts;
                    return self.ready.push_front(Parcel { batch, parts });
                }
            }
        }
    }
}

impl Queue {
    pub(crate) fn new(batching: Option<Batching>) -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                batching,
                closed: false,
            }),
            work: Notify::new(),
            timer: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a parcel in, or hands it back when the queue is closed.
    pub(crate) fn push(&self, parcel: Parcel) -> Result<(), Parcel> {
        let mut first_waits = false;
        let ready = {
            let mut state = self.lock();
            if state.closed {
                return Err(parcel);
            }
            let before = state.ready.len();
            let State {
                ready, batching, ..
            } = &mut *state;
            match batching {
                Some(batching) => {
                    let idle = batching.is_empty();
                    batching.add(parcel, ready);
                    first_waits = idle && !batching.is_empty();
                }
                None => ready.push_back(parcel),
            }
            ready.len() - before
        };
        for _ in 0..ready {
            self.work.notify_one();
        }
        if first_waits {
            self.timer.notify_one();
        }
        Ok(())
    }

    /// The next parcel, with those behind it as long as all have at most `gather` items; `None`
    /// when the queue is closed and empty.
    pub(crate) async fn next(&self, gather: usize) -> Option<Parcel> {
        loop {
            let work = self.work.notified();
            {
                let mut state = self.lock();
                if let Some(mut parcel) = state.ready.pop_front() {
                    state.gather(&mut parcel, gather);
                    return Some(parcel);
                }
                if state.closed {
                    return None;
                }
            }
            work.await;
        }
    }

    /// Waits until [`Self::next`] has something to give, or nothing more will come.
    pub(crate) async fn ready(&self) {
        loop {
            let work = self.work.notified();
            {
                let state = self.lock();
                if state.closed || !state.ready.is_empty() {
                    return;
                }
            }
            work.await;
        }
    }

    /// Waits for more until so many items are ready or the queue is closed.
    pub(crate) async fn filled(&self, items: usize) {
        loop {
            let work = self.work.notified();
            {
                let state = self.lock();
                let ready: usize = state.ready.iter().map(|parcel| parcel.batch.len()).sum();
                if state.closed || ready >= items {
                    return;
                }
            }
            work.await;
        }
    }

    /// Makes the batches ready whose time has come. Returns when the next one is due (`None` when
    /// nothing waits), and whether the queue is closed.
    pub(crate) fn flush_due(&self) -> (Option<Deadline>, bool) {
        let (ready, next, closed) = {
            let mut state = self.lock();
            let before = state.ready.len();
            let State {
                ready, batching, ..
            } = &mut *state;
            let next = batching
                .as_mut()
                .and_then(|batching| batching.flush_due(ready));
            (ready.len() - before, next, state.closed)
        };
        for _ in 0..ready {
            self.work.notify_one();
        }
        (next, closed)
    }

    /// Takes nothing more; what waits for more becomes ready.
    pub(crate) fn close(&self) {
        {
            let mut state = self.lock();
            state.closed = true;
            let State {
                ready, batching, ..
            } = &mut *state;
            if let Some(batching) = batching {
                batching.flush_all(ready);
            }
        }
        self.work.notify_waiters();
        self.timer.notify_one();
    }

    /// What is left after closing.
    pub(crate) fn take_rest(&self) -> Vec<Parcel> {
        self.lock().ready.drain(..).collect()
    }
}
