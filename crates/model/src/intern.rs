//! The intern tables: equal content becomes the same `Arc`, within a budget of bytes.
//!
//! Two look-ups stand at the edge (design "Data model"). The hot one goes from the raw bytes of a
//! point's attributes, under its resource, scope and metric, straight to the series. On a miss the
//! content is decoded, put into canonical form and looked up there, so that two encodings of one
//! label set share one series. Over the budget, new series pass un-interned: slower, never lost.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use crate::attributes::Attributes;
use crate::series::{MetricMeta, Resource, Scope, Series, SeriesIndex, content_hash};

const SHARDS: usize = 16;

/// Default budget of an interner: 256 MiB.
pub const DEFAULT_BUDGET_BYTES: usize = 256 << 20;

/// Sweeps a raw look-up entry survives without being used.
const IDLE_SWEEPS: u32 = 10;

/// Locks a mutex; a panic elsewhere while it was held leaves tables consistent here, because
/// every change is one insert or remove.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fill and drops of an [`Interner`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InternStats {
    /// Series alive in the table.
    pub series: usize,
    /// Bytes charged against the budget.
    pub used_bytes: usize,
    /// The budget.
    pub budget_bytes: usize,
    /// Series that passed un-interned because the budget was used up.
    pub over_budget: u64,
    /// Series forgotten because they were idle.
    pub evicted: u64,
}

/// Hands out dense indices and takes them back with a new generation.
#[derive(Debug, Default)]
pub(crate) struct IndexPool {
    inner: Mutex<PoolInner>,
}

#[derive(Debug, Default)]
struct PoolInner {
    generations: Vec<u32>,
    free: Vec<u32>,
}

impl IndexPool {
    fn take(&self) -> SeriesIndex {
        let mut inner = lock(&self.inner);
        if let Some(slot) = inner.free.pop() {
            let generation = inner.generations.get(slot as usize).copied().unwrap_or(0);
            return SeriesIndex { slot, generation };
        }
        let slot = inner.generations.len() as u32;
        if slot == u32::MAX {
            return SeriesIndex::NONE;
        }
        inner.generations.push(0);
        SeriesIndex {
            slot,
            generation: 0,
        }
    }

    pub(crate) fn release(&self, index: SeriesIndex) {
        let mut inner = lock(&self.inner);
        if let Some(generation) = inner.generations.get_mut(index.slot as usize) {
            *generation = generation.wrapping_add(1);
            inner.free.push(index.slot);
        }
    }

    fn is_live(&self, index: SeriesIndex) -> bool {
        let inner = lock(&self.inner);
        inner.generations.get(index.slot as usize) == Some(&index.generation)
    }
}

/// Process-wide tables of resources, scopes, metrics and series.
#[derive(Debug)]
pub struct Interner {
    state: foldhash::fast::RandomState,
    resources: Mutex<HashTable<Arc<Resource>>>,
    scopes: Mutex<HashTable<Arc<Scope>>>,
    metrics: Mutex<HashTable<Arc<MetricMeta>>>,
    series: [Mutex<HashTable<Arc<Series>>>; SHARDS],
    pub(crate) raw: [Mutex<RawShard>; SHARDS],
    pool: Arc<IndexPool>,
    budget: usize,
    used: AtomicUsize,
    over_budget: AtomicU64,
    evicted: AtomicU64,
}

impl Default for Interner {
    fn default() -> Self {
        Self::new(DEFAULT_BUDGET_BYTES)
    }
}

impl Interner {
    /// Tables that hold at most `budget_bytes`.
    pub fn new(budget_bytes: usize) -> Self {
        Self {
            state: foldhash::fast::RandomState::default(),
            resources: Mutex::default(),
            scopes: Mutex::default(),
            metrics: Mutex::default(),
            series: Default::default(),
            raw: Default::default(),
            pool: Arc::default(),
            budget: budget_bytes,
            used: AtomicUsize::new(0),
            over_budget: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    pub(crate) fn hash_bytes(&self, bytes: &[u8]) -> u64 {
        self.state.hash_one(bytes)
    }

    /// The shared copy of a resource.
    pub fn resource(&self, resource: Resource) -> Arc<Resource> {
        intern(&self.resources, &self.state, resource)
    }

    /// The shared copy of a scope.
    pub fn scope(&self, scope: Scope) -> Arc<Scope> {
        intern(&self.scopes, &self.state, scope)
    }

    /// The shared copy of a metric's description.
    pub fn metric(&self, metric: MetricMeta) -> Arc<MetricMeta> {
        intern(&self.metrics, &self.state, metric)
    }

    /// The one series with this content.
    pub fn series(
        &self,
        resource: &Arc<Resource>,
        scope: &Arc<Scope>,
        metric: &Arc<MetricMeta>,
        labels: Attributes,
    ) -> Arc<Series> {
        let hash = content_hash(resource, scope, metric, &labels);
        let mut shard = lock(&self.series[hash as usize % SHARDS]);
        let same =
            |s: &Arc<Series>| s.hash == hash && s.same_content(resource, scope, metric, &labels);
        if let Some(found) = shard.find(hash, same) {
            return found.clone();
        }
        let mut series = Series {
            resource: resource.clone(),
            scope: scope.clone(),
            metric: metric.clone(),
            labels,
            index: SeriesIndex::NONE,
            hash,
            pool: None,
        };
        let bytes = series.footprint();
        if self.used.load(Ordering::Relaxed) + bytes > self.budget {
            self.over_budget.fetch_add(1, Ordering::Relaxed);
            return Arc::new(series);
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        series.index = self.pool.take();
        if series.index != SeriesIndex::NONE {
            series.pool = Some(self.pool.clone());
        }
        let series = Arc::new(series);
        shard.insert_unique(hash, series.clone(), |s| s.hash);
        series
    }

    /// Room for `bytes` more of look-up entries; charges them when there is.
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        if self.used.load(Ordering::Relaxed) + bytes > self.budget {
            return false;
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// Whether a series with this index still lives (side tables drop the others).
    pub fn is_live(&self, index: SeriesIndex) -> bool {
        self.pool.is_live(index)
    }

    /// Forgets what nobody used for ten sweeps and nobody holds. Call about once a minute.
    pub fn sweep(&self) {
        for shard in &self.raw {
            let freed = lock(shard).sweep();
            self.used.fetch_sub(freed, Ordering::Relaxed);
        }
        for shard in &self.series {
            let mut shard = lock(shard);
            let (mut freed, mut evicted) = (0, 0);
            shard.retain(|s| {
                let keep = Arc::strong_count(s) > 1;
                if !keep {
                    freed += s.footprint();
                    evicted += 1;
                }
                keep
            });
            self.used.fetch_sub(freed, Ordering::Relaxed);
            self.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
        lock(&self.resources).retain(|r| Arc::strong_count(r) > 1);
        lock(&self.scopes).retain(|s| Arc::strong_count(s) > 1);
        lock(&self.metrics).retain(|m| Arc::strong_count(m) > 1);
    }

    /// Fill and drops.
    pub fn stats(&self) -> InternStats {
        InternStats {
            series: self.series.iter().map(|s| lock(s).len()).sum(),
            used_bytes: self.used.load(Ordering::Relaxed),
            budget_bytes: self.budget,
            over_budget: self.over_budget.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

fn intern<T: std::hash::Hash + Eq>(
    table: &Mutex<HashTable<Arc<T>>>,
    state: &foldhash::fast::RandomState,
    value: T,
) -> Arc<T> {
    let hash = state.hash_one(&value);
    let mut table = lock(table);
    if let Some(found) = table.find(hash, |v| **v == value) {
        return found.clone();
    }
    let value = Arc::new(value);
    table.insert_unique(hash, value.clone(), |v| state.hash_one(&**v));
    value
}

/// Raw look-up entries of one shard. A shard serves whole resource blocks.
#[derive(Debug, Default)]
pub(crate) struct RawShard {
    pub(crate) resources: HashTable<RawBlock<Resource>>,
    pub(crate) scopes: HashTable<RawBlock<Scope>>,
    pub(crate) metrics: HashTable<RawMetric>,
    pub(crate) series: HashTable<RawSeries>,
    pub(crate) tick: u32,
    /// The last id given to a resource, scope or metric; ids are never used again.
    pub(crate) last_id: u64,
}

/// Raw bytes of a resource or scope and what they mean.
#[derive(Debug)]
pub(crate) struct RawBlock<T> {
    pub(crate) hash: u64,
    pub(crate) head: Box<[u8]>,
    pub(crate) schema_url: Box<str>,
    pub(crate) value: Arc<T>,
    pub(crate) id: u64,
    pub(crate) tick: u32,
}

/// A metric's description as it comes in.
#[derive(Debug)]
pub(crate) struct RawMetric {
    pub(crate) hash: u64,
    pub(crate) raw_metadata: Box<[u8]>,
    pub(crate) value: Arc<MetricMeta>,
    pub(crate) id: u64,
    pub(crate) tick: u32,
}

/// Raw attribute bytes under a context and the series they mean.
#[derive(Debug)]
pub(crate) struct RawSeries {
    pub(crate) hash: u64,
    /// Ids of resource, scope and metric in this shard.
    pub(crate) context: (u64, u64, u64),
    pub(crate) raw: Box<[u8]>,
    pub(crate) series: Arc<Series>,
    pub(crate) tick: u32,
}

impl RawSeries {
    pub(crate) fn footprint(raw: usize) -> usize {
        size_of::<RawSeries>() + raw
    }
}

impl RawShard {
    /// Drops idle entries; returns the bytes to give back to the budget.
    fn sweep(&mut self) -> usize {
        self.tick = self.tick.wrapping_add(1);
        let tick = self.tick;
        let fresh = move |used: u32| tick.wrapping_sub(used) < IDLE_SWEEPS;
        let mut freed = 0;
        self.series.retain(|e| {
            let keep = fresh(e.tick);
            if !keep {
                freed += RawSeries::footprint(e.raw.len());
            }
            keep
        });
        let mut block = |raw: usize, used: u32| {
            let keep = fresh(used);
            if !keep {
                freed += RawSeries::footprint(raw);
            }
            keep
        };
        self.resources
            .retain(|e| block(e.head.len() + e.schema_url.len(), e.tick));
        self.scopes
            .retain(|e| block(e.head.len() + e.schema_url.len(), e.tick));
        self.metrics.retain(|e| block(e.raw_metadata.len(), e.tick));
        freed
    }
}
