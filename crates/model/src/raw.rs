//! The hot look-up: raw bytes as they come in to what they meant the last time.
//!
//! Senders repeat themselves in the same order, so each series remembers which one came next: the
//! usual look-up is one compare with the bytes predicted, without a hash and without walking the
//! attributes. Entries lie in the order they first came, which keeps many series cache-friendly.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::intern::shrink;
use crate::series::{MetricMeta, Resource, Scope, Series};

/// Sweeps an entry survives without being used.
const IDLE_SWEEPS: u32 = 10;

/// No entry.
const NONE: u32 = u32::MAX;

/// Ids of resource, scope and metric within a shard.
pub(crate) type Context = [u32; 3];

/// Look-up entries of one shard. A shard serves whole resource blocks.
#[derive(Debug, Default)]
pub(crate) struct RawShard {
    pub(crate) resources: HashTable<RawBlock<Resource>>,
    pub(crate) scopes: HashTable<RawBlock<Scope>>,
    pub(crate) metrics: HashTable<RawMetric>,
    pub(crate) series: RawSeriesTable,
    pub(crate) tick: u32,
    last_id: u32,
}

/// Raw bytes of a resource or scope and what they mean.
#[derive(Debug)]
pub(crate) struct RawBlock<T> {
    pub(crate) hash: u64,
    pub(crate) head: Box<[u8]>,
    pub(crate) schema_url: Box<str>,
    pub(crate) value: Arc<T>,
    pub(crate) id: u32,
    pub(crate) tick: u32,
}

/// A metric's description as it comes in.
#[derive(Debug)]
pub(crate) struct RawMetric {
    pub(crate) hash: u64,
    pub(crate) raw_metadata: Box<[u8]>,
    pub(crate) value: Arc<MetricMeta>,
    pub(crate) id: u32,
    pub(crate) tick: u32,
}

/// Raw attribute bytes under a context and the series they mean.
#[derive(Debug)]
pub(crate) struct RawSeries {
    hash: u64,
    pub(crate) raw: Box<[u8]>,
    /// None in a place that is free.
    series: Option<Arc<Series>>,
    context: Context,
    tick: u32,
    /// The entry that was asked for after this one the last time.
    next: u32,
}

/// Bytes an entry with so many raw bytes keeps alive.
pub(crate) fn footprint(raw: usize) -> usize {
    // The entry, its slot in the hash table and the share of both that is free.
    size_of::<RawSeries>() + 16 + raw
}

impl RawShard {
    /// A new id. When ids run out everything is forgotten, so that none is used twice; returns
    /// the bytes to give back to the budget then.
    pub(crate) fn fresh_id(&mut self) -> (u32, usize) {
        let mut freed = 0;
        if self.last_id == u32::MAX {
            freed = self.retain(|_| false);
            self.last_id = 0;
        }
        self.last_id += 1;
        (self.last_id, freed)
    }

    /// Drops idle entries; returns the bytes to give back to the budget.
    pub(crate) fn sweep(&mut self) -> usize {
        self.tick = self.tick.wrapping_add(1);
        let tick = self.tick;
        self.retain(|used| tick.wrapping_sub(used) < IDLE_SWEEPS)
    }

    /// Keeps entries by the tick of their last use; returns the bytes of the others.
    fn retain(&mut self, keep: impl Fn(u32) -> bool) -> usize {
        let mut freed = self.series.retain(&keep);
        let mut block = |raw: usize, used: u32| {
            let keep = keep(used);
            if !keep {
                freed += footprint(raw);
            }
            keep
        };
        self.resources
            .retain(|e| block(e.head.len() + e.schema_url.len(), e.tick));
        self.scopes
            .retain(|e| block(e.head.len() + e.schema_url.len(), e.tick));
        self.metrics.retain(|e| block(e.raw_metadata.len(), e.tick));
        shrink(&mut self.resources, |e| e.hash);
        shrink(&mut self.scopes, |e| e.hash);
        shrink(&mut self.metrics, |e| e.hash);
        freed
    }
}

/// Series by their raw bytes.
#[derive(Debug, Default)]
pub(crate) struct RawSeriesTable {
    entries: Vec<RawSeries>,
    free: Vec<u32>,
    by_hash: HashTable<u32>,
    /// The entry found last.
    cursor: u32,
}

impl RawSeriesTable {
    /// The entry that should come next under this context.
    #[inline]
    pub(crate) fn predict(&self, context: Context) -> Option<(u32, &RawSeries)> {
        let at = self.entries.get(self.cursor as usize)?.next;
        let entry = self.entries.get(at as usize)?;
        (entry.context == context).then_some((at, entry))
    }

    /// The series of an entry that was predicted rightly.
    #[inline]
    pub(crate) fn take_predicted(&mut self, at: u32, tick: u32) -> Option<Arc<Series>> {
        self.cursor = at;
        let entry = self.entries.get_mut(at as usize)?;
        if entry.tick != tick {
            entry.tick = tick;
        }
        entry.series.clone()
    }

    /// Looks bytes up by their hash, which covers the context.
    pub(crate) fn find(
        &mut self,
        hash: u64,
        context: Context,
        raw: &[u8],
        tick: u32,
    ) -> Option<Arc<Series>> {
        let entries = &self.entries;
        let same = |at: &u32| {
            entries
                .get(*at as usize)
                .is_some_and(|e| e.hash == hash && e.context == context && *e.raw == *raw)
        };
        let at = *self.by_hash.find(hash, same)?;
        self.follow(at);
        let entry = self.entries.get_mut(at as usize)?;
        entry.tick = tick;
        entry.series.clone()
    }

    /// Adds an entry that `find` did not find.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        context: Context,
        raw: &[u8],
        series: Arc<Series>,
        tick: u32,
    ) {
        let entry = RawSeries {
            hash,
            raw: raw.into(),
            series: Some(series),
            context,
            tick,
            next: NONE,
        };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(slot) = self.entries.get_mut(at as usize) {
                    *slot = entry;
                }
                at
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        let entries = &self.entries;
        self.by_hash.insert_unique(hash, at, |at| {
            entries.get(*at as usize).map_or(0, |e| e.hash)
        });
        self.follow(at);
    }

    /// Notes that `at` came after the entry found last.
    fn follow(&mut self, at: u32) {
        if let Some(last) = self.entries.get_mut(self.cursor as usize) {
            last.next = at;
        }
        self.cursor = at;
    }

    fn retain(&mut self, keep: impl Fn(u32) -> bool) -> usize {
        let mut freed = 0;
        let entries = &mut self.entries;
        let free = &mut self.free;
        self.by_hash.retain(|at| {
            let Some(entry) = entries.get_mut(*at as usize) else {
                return false;
            };
            let keep = keep(entry.tick);
            if !keep {
                freed += footprint(entry.raw.len());
                entry.series = None;
                entry.raw = Box::default();
                // No context has this id: a prediction of this place fails.
                entry.context = [0; 3];
                free.push(*at);
            }
            keep
        });
        if self.entries.len() > 1024 && self.by_hash.len() < self.entries.len() / 4 {
            self.compact();
        }
        freed
    }

    /// Rebuilds the table without free places.
    fn compact(&mut self) {
        self.entries.retain(|e| e.series.is_some());
        self.entries.shrink_to_fit();
        self.free = Vec::new();
        self.by_hash = HashTable::with_capacity(self.entries.len());
        for (at, entry) in self.entries.iter_mut().enumerate() {
            // In the order they first came.
            entry.next = at as u32 + 1;
        }
        let entries = &self.entries;
        for (at, entry) in entries.iter().enumerate() {
            self.by_hash.insert_unique(entry.hash, at as u32, |at| {
                entries.get(*at as usize).map_or(0, |e| e.hash)
            });
        }
        self.cursor = NONE;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Attributes, Interner, MetricKind, MetricMeta};

    fn series(interner: &Interner) -> Arc<Series> {
        let metric = interner.metric(MetricMeta::new("m", MetricKind::Gauge));
        interner.series(
            &Arc::default(),
            &Arc::default(),
            &metric,
            Attributes::default(),
        )
    }

    #[test]
    fn a_table_that_became_mostly_empty_is_rebuilt_and_finds_the_rest() {
        let interner = Interner::default();
        let series = series(&interner);
        let mut table = RawSeriesTable::default();
        let context = [1, 2, 3];
        for i in 0..5000u32 {
            // Every hundredth is fresh.
            let tick = u32::from(i % 100 == 0);
            let raw = i.to_le_bytes();
            table.insert(u64::from(i), context, &raw, series.clone(), tick);
        }
        let freed = table.retain(|tick| tick == 1);
        assert_eq!(freed, 4950 * footprint(4));
        assert_eq!((table.entries.len(), table.free.len()), (50, 0));
        for i in 0..5000u32 {
            let found = table.find(u64::from(i), context, &i.to_le_bytes(), 2);
            assert_eq!(found.is_some(), i % 100 == 0, "{i}");
        }
        // In order again, so the next one is predicted.
        table.find(0, context, &0u32.to_le_bytes(), 2).unwrap();
        let (_, next) = table.predict(context).unwrap();
        assert_eq!(*next.raw, 100u32.to_le_bytes());
        assert!(table.predict([1, 2, 4]).is_none());
    }

    #[test]
    fn a_freed_place_is_neither_predicted_nor_found() {
        let interner = Interner::default();
        let series = series(&interner);
        let mut table = RawSeriesTable::default();
        table.insert(1, [1; 3], b"a", series.clone(), 1);
        table.insert(2, [1; 3], b"b", series, 0);
        table.find(1, [1; 3], b"a", 1).unwrap();
        assert!(table.predict([1; 3]).is_some());
        table.retain(|tick| tick == 1);
        assert!(table.predict([1; 3]).is_none());
        assert!(table.find(2, [1; 3], b"b", 1).is_none());
        assert_eq!(table.free.len(), 1);
    }

    #[test]
    fn ids_are_not_used_twice_while_anything_remembers_them() {
        let interner = Interner::default();
        let mut shard = RawShard {
            last_id: u32::MAX - 1,
            ..RawShard::default()
        };
        assert_eq!(shard.fresh_id(), (u32::MAX, 0));
        let series = series(&interner);
        shard.series.insert(1, [u32::MAX; 3], b"a", series, 0);
        assert_eq!(shard.fresh_id(), (1, footprint(1)));
        assert!(shard.series.find(1, [u32::MAX; 3], b"a", 0).is_none());
    }
}
