//! Merging small batches and splitting large ones on their way out of the queue (OTLP-48, OTLP-49).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use weir_core::{Batch, Deadline};
use weir_model::ClientMetadata;

use crate::queue::{Parcel, Part};
use crate::settings::{QueueSettings, Sizer};
use crate::sizing::{encoded_len, exact, fitting};

/// At most so many partitions collect at a time; batches of further ones go out as they are.
const MAX_PARTITIONS: usize = 10_000;

/// Header values that keep partitions apart, per key.
type Key = Vec<Vec<String>>;

/// Batches that wait for more.
#[derive(Debug)]
pub(crate) struct Batching {
    min_size: u64,
    max_size: u64,
    sizer: Sizer,
    flush_timeout: std::time::Duration,
    keys: Vec<String>,
    partitions: HashMap<Key, Pending>,
}

#[derive(Debug)]
struct Pending {
    parcel: Parcel,
    size: u64,
    due: Deadline,
}

impl Batching {
    /// As configured; `None` when batching is off.
    pub(crate) fn new(settings: &QueueSettings) -> Option<Self> {
        let batch = settings.batch.as_ref()?;
        Some(Self {
            min_size: batch.min_size,
            max_size: batch.max_size,
            sizer: settings.batch_sizer(),
            flush_timeout: batch.flush_timeout.to_std(),
            keys: batch.partition.metadata_keys.clone(),
            partitions: HashMap::new(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Takes a parcel; whatever is large enough is put into `ready`.
    pub(crate) fn add(&mut self, parcel: Parcel, ready: &mut VecDeque<Parcel>) {
        let key = self.key(&parcel.batch);
        let pending = match self.partitions.remove(&key) {
            Some(pending) => self.merge(pending, parcel, ready),
            None => Pending {
                size: exact(&parcel.batch, self.sizer),
                due: Deadline::after(self.flush_timeout),
                parcel: self.anonymous(parcel, &key),
            },
        };
        let pending = self.cut(pending, ready);
        let Some(pending) = pending else { return };
        if pending.size >= self.min_size || self.partitions.len() >= MAX_PARTITIONS {
            ready.push_back(pending.parcel);
        } else {
            self.partitions.insert(key, pending);
        }
    }

    /// The values of the partition's headers.
    fn key(&self, batch: &Batch) -> Key {
        let values = |name: &String| match &batch.client {
            Some(client) => client.get(name).map(str::to_owned).collect(),
            None => Vec::new(),
        };
        self.keys.iter().map(values).collect()
    }

    /// A merged batch has many senders: only what they share is kept of them.
    fn anonymous(&self, mut parcel: Parcel, key: &Key) -> Parcel {
        parcel.batch.client = (!self.keys.is_empty()).then(|| {
            let shared = self.keys.iter().zip(key);
            Arc::new(ClientMetadata {
                headers: shared
                    .flat_map(|(name, values)| {
                        let name = name.to_ascii_lowercase();
                        values
                            .iter()
                            .map(move |value| (name.clone(), value.clone()))
                    })
                    .collect(),
                address: None,
            })
        });
        // The tickets keep the charges of all.
        parcel.batch.charge = None;
        parcel
    }

    fn merge(&self, mut to: Pending, parcel: Parcel, ready: &mut VecDeque<Parcel>) -> Pending {
        let size = exact(&parcel.batch, self.sizer);
        match to.parcel.batch.append(parcel.batch) {
            Ok(()) => {
                to.parcel.parts.extend(parcel.parts);
                to.size += size;
                to
            }
            // A queue serves one signal, so this does not happen; nothing is lost if it does.
            Err(batch) => {
                ready.push_back(to.parcel);
                Pending {
                    parcel: Parcel {
                        batch,
                        parts: parcel.parts,
                    },
                    size,
                    due: Deadline::after(self.flush_timeout),
                }
            }
        }
    }

    /// Cuts full batches off the front; the rest is at most `max_size`.
    fn cut(&self, mut pending: Pending, ready: &mut VecDeque<Parcel>) -> Option<Pending> {
        while self.max_size > 0 && pending.size > self.max_size {
            // An item larger than the limit goes out on its own.
            let count = fitting(&pending.parcel.batch, self.sizer, self.max_size).max(1);
            if count >= pending.parcel.batch.len() {
                ready.push_back(pending.parcel);
                return None;
            }
            let rest = pending.parcel.batch.split_off(count);
            let rest_size = match self.sizer {
                Sizer::Bytes => encoded_len(&rest),
                _ => pending.size.saturating_sub(count as u64),
            };
            // Which caller's items are in which half is not known: both wait for both halves.
            let parts = pending.parcel.parts.iter().map(Part::another).collect();
            ready.push_back(Parcel {
                batch: pending.parcel.batch,
                parts,
            });
            pending.parcel.batch = rest;
            pending.size = rest_size;
            pending.due = Deadline::after(self.flush_timeout);
        }
        Some(pending)
    }

    /// Batches that have waited long enough; when the next one is due.
    pub(crate) fn flush_due(&mut self, ready: &mut VecDeque<Parcel>) -> Option<Deadline> {
        let mut next: Option<Deadline> = None;
        for (_, pending) in self.partitions.extract_if(|_, pending| {
            let due = pending.due.is_over();
            if !due {
                next = Some(next.map_or(pending.due, |n| n.min(pending.due)));
            }
            due
        }) {
            ready.push_back(pending.parcel);
        }
        next
    }

    /// Everything, now.
    pub(crate) fn flush_all(&mut self, ready: &mut VecDeque<Parcel>) {
        ready.extend(self.partitions.drain().map(|(_, pending)| pending.parcel));
    }
}
