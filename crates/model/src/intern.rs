//! The intern tables: equal content becomes the same `Arc`, within a budget of bytes.
//!
//! Two look-ups stand at the edge (design "Data model"). The hot one goes from the raw bytes of a
//! point's attributes, under its resource, scope and metric, straight to the series. On a miss the
//! content is decoded, put into canonical form and looked up there, so that two encodings of one
//! label set share one series. Over the budget, new series pass un-interned: slower, never lost.

use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use crate::attributes::Attributes;
use crate::raw::{RawShard, Seeds};
use crate::series::{MetricMeta, Origin, Resource, Scope, Series, SeriesIndex, content_hash};

const SHARDS: usize = 16;

/// Bytes of a point in a request until the first one was read.
const USUAL_POINT: usize = 256;

/// Bytes of the smallest point worth the name: time and value.
const LEAST_POINT: usize = 32;

/// Default budget of an interner: 256 MiB.
pub const DEFAULT_BUDGET_BYTES: usize = 256 << 20;

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
    seeds: Seeds,
    resources: Mutex<HashTable<Arc<Resource>>>,
    scopes: Mutex<HashTable<Arc<Scope>>>,
    metrics: Mutex<HashTable<Arc<MetricMeta>>>,
    /// By address of resource and scope.
    origins: Mutex<HashTable<Arc<Origin>>>,
    /// Label sets: targets of one kind have the same ones, and so have metrics of one target.
    labels: Mutex<HashTable<Attributes>>,
    series: [Mutex<HashTable<Arc<Series>>>; SHARDS],
    pub(crate) raw: [Mutex<RawShard>; SHARDS],
    pool: Arc<IndexPool>,
    /// Whether somebody read points, spans or records since the last sweep.
    read: AtomicBool,
    /// Bytes of a point of the last request that had any, for the room that the next one gets.
    point_bytes: AtomicUsize,
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
            seeds: Seeds::default(),
            resources: Mutex::default(),
            scopes: Mutex::default(),
            metrics: Mutex::default(),
            origins: Mutex::default(),
            labels: Mutex::default(),
            series: Default::default(),
            raw: Default::default(),
            pool: Arc::default(),
            read: AtomicBool::new(false),
            point_bytes: AtomicUsize::new(USUAL_POINT),
            budget: budget_bytes,
            used: AtomicUsize::new(0),
            over_budget: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Seeds of fingerprints: others in each process.
    #[inline]
    pub(crate) fn seeds(&self) -> &Seeds {
        &self.seeds
    }

    pub(crate) fn hash_bytes(&self, bytes: &[u8]) -> u64 {
        self.state.hash_one(bytes)
    }

    /// The shared copy of a resource (over the budget: this copy).
    pub fn resource(&self, resource: Resource) -> Arc<Resource> {
        self.shared(&self.resources, resource)
    }

    /// The shared copy of a scope (over the budget: this copy).
    pub fn scope(&self, scope: Scope) -> Arc<Scope> {
        self.shared(&self.scopes, scope)
    }

    /// The shared copy of a metric's description (over the budget: this copy).
    pub fn metric(&self, metric: MetricMeta) -> Arc<MetricMeta> {
        self.shared(&self.metrics, metric)
    }

    fn shared<T: Hash + Eq + Footprint>(
        &self,
        table: &Mutex<HashTable<Arc<T>>>,
        value: T,
    ) -> Arc<T> {
        let hash = self.state.hash_one(&value);
        let mut table = lock(table);
        if let Some(found) = table.find(hash, |v| **v == value) {
            return found.clone();
        }
        let value = Arc::new(value);
        if self.charge(value.footprint()) {
            table.insert_unique(hash, value.clone(), |v| self.state.hash_one(&**v));
        }
        value
    }

    /// Forgets what only the table holds.
    fn sweep_shared<T: Hash + Footprint>(&self, table: &Mutex<HashTable<Arc<T>>>) {
        let mut table = lock(table);
        let mut freed = 0;
        table.retain(|value| {
            let keep = Arc::strong_count(value) > 1;
            if !keep {
                freed += value.footprint();
            }
            keep
        });
        shrink(&mut table, |value| self.state.hash_one(&**value));
        self.used.fetch_sub(freed, Ordering::Relaxed);
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
        let (labels, admitted) = match self.admit(labels) {
            Ok(labels) => (labels, true),
            Err(labels) => (labels, false),
        };
        let index = if admitted {
            self.pool.take()
        } else {
            self.over_budget.fetch_add(1, Ordering::Relaxed);
            SeriesIndex::NONE
        };
        let series = Arc::new(Series {
            origin: self.origin(resource, scope),
            metric: metric.clone(),
            labels,
            index,
            hash,
        });
        // Also when indices have run out: what was taken of the budget comes back with the series.
        if admitted {
            shard.insert_unique(hash, series.clone(), |s| s.hash);
        }
        series
    }

    /// Takes the bytes of a series with these labels from the budget, and shares the labels; hands
    /// them back if that does not fit.
    fn admit(&self, labels: Attributes) -> Result<Attributes, Attributes> {
        if !self.charge(Series::FIXED_BYTES) {
            return Err(labels);
        }
        let labels = self.labels(labels);
        if labels.is_err() {
            self.used.fetch_sub(Series::FIXED_BYTES, Ordering::Relaxed);
        }
        labels
    }

    /// The shared pair of resource and scope (over the budget: one of its own).
    fn origin(&self, resource: &Arc<Resource>, scope: &Arc<Scope>) -> Arc<Origin> {
        let address = |resource: &Arc<Resource>, scope: &Arc<Scope>| {
            let pair = (Arc::as_ptr(resource).addr(), Arc::as_ptr(scope).addr());
            self.state.hash_one(pair)
        };
        let hash = address(resource, scope);
        let mut table = lock(&self.origins);
        if let Some(found) = table.find(hash, |origin| origin.is_of(resource, scope)) {
            return found.clone();
        }
        let origin = Arc::new(Origin {
            resource: resource.clone(),
            scope: scope.clone(),
            pool: self.pool.clone(),
        });
        if self.charge(ENTRY + size_of::<Origin>()) {
            let rehash = |origin: &Arc<Origin>| address(&origin.resource, &origin.scope);
            table.insert_unique(hash, origin.clone(), rehash);
        }
        origin
    }

    /// The shared copy of labels; hands them back over the budget.
    fn labels(&self, labels: Attributes) -> Result<Attributes, Attributes> {
        let hash = self.hash_bytes(labels.as_bytes());
        let mut table = lock(&self.labels);
        if let Some(found) = table.find(hash, |known| *known == labels) {
            return Ok(found.clone());
        }
        if !self.charge(label_bytes(&labels)) {
            return Err(labels);
        }
        let rehash = |labels: &Attributes| self.hash_bytes(labels.as_bytes());
        table.insert_unique(hash, labels.clone(), rehash);
        Ok(labels)
    }

    /// Forgets origins and label sets that only the tables hold; gives back their bytes.
    fn sweep_parts(&self) {
        let mut freed = 0;
        let mut origins = lock(&self.origins);
        origins.retain(|origin| {
            let keep = Arc::strong_count(origin) > 1;
            freed += if keep { 0 } else { ENTRY + size_of::<Origin>() };
            keep
        });
        drop(origins);
        let mut labels = lock(&self.labels);
        labels.retain(|labels| {
            let keep = !labels.is_unshared();
            freed += if keep { 0 } else { label_bytes(labels) };
            keep
        });
        shrink(&mut labels, |labels| self.hash_bytes(labels.as_bytes()));
        self.used.fetch_sub(freed, Ordering::Relaxed);
    }

    /// Takes `bytes` of the budget; whether they fitted.
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.budget);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
    }

    /// A new id within a shard.
    pub(crate) fn fresh_id(&self, shard: &mut RawShard) -> u32 {
        let (id, freed) = shard.fresh_id();
        if freed > 0 {
            self.used.fetch_sub(freed, Ordering::Relaxed);
        }
        id
    }

    /// Whether batches are being read: then new ones are read at once, which is cheaper than
    /// checking them first and reading them later.
    pub(crate) fn is_read(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    /// Notes that a batch was read.
    pub(crate) fn set_read(&self, read: bool) {
        if self.is_read() != read {
            self.read.store(read, Ordering::Relaxed);
        }
    }

    /// The points that a request of so many bytes probably has: as many as the last one would have had
    /// at this size, and a little more. A list that has to grow is copied.
    pub(crate) fn items_in(&self, bytes: usize) -> usize {
        let usual = bytes / self.point_bytes.load(Ordering::Relaxed);
        usual + usual / 32
    }

    /// Notes that a request of so many bytes had so many points. Sizes below that of a point with a
    /// value and a time are not believed: room is many times larger than its bytes then.
    pub(crate) fn note_size(&self, bytes: usize, items: usize) {
        if let Some(size) = bytes.checked_div(items) {
            self.point_bytes
                .store(size.max(LEAST_POINT), Ordering::Relaxed);
        }
    }

    /// Whether a series with this index still lives (side tables drop the others).
    pub fn is_live(&self, index: SeriesIndex) -> bool {
        self.pool.is_live(index)
    }

    /// Forgets what nobody used for ten sweeps and nobody holds. Call about once a minute.
    pub fn sweep(&self) {
        self.set_read(false);
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
                    freed += Series::FIXED_BYTES;
                    evicted += 1;
                }
                keep
            });
            shrink(&mut shard, |s| s.hash);
            self.used.fetch_sub(freed, Ordering::Relaxed);
            self.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
        self.sweep_parts();
        self.sweep_shared(&self.resources);
        self.sweep_shared(&self.scopes);
        self.sweep_shared(&self.metrics);
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

/// Gives memory back when a table has become mostly empty.
pub(crate) fn shrink<T>(table: &mut HashTable<T>, hash: impl Fn(&T) -> u64) {
    if table.capacity() > 1024 && table.len() < table.capacity() / 4 {
        table.shrink_to(table.len() * 2, hash);
    }
}

/// Bytes a value in a table of the interner keeps alive.
trait Footprint {
    fn footprint(&self) -> usize;
}

/// Counts of the `Arc`, a table slot and its control byte, at the usual load.
const ENTRY: usize = 4 * size_of::<usize>();

/// Bytes that a label set in the table keeps alive.
fn label_bytes(labels: &Attributes) -> usize {
    ENTRY + size_of::<Attributes>() + labels.as_bytes().len()
}

impl Footprint for Resource {
    fn footprint(&self) -> usize {
        ENTRY + size_of::<Self>() + self.attributes.as_bytes().len() + self.schema_url.len()
    }
}

impl Footprint for Scope {
    fn footprint(&self) -> usize {
        let text = self.name.len() + self.version.len() + self.schema_url.len();
        ENTRY + size_of::<Self>() + self.attributes.as_bytes().len() + text
    }
}

impl Footprint for MetricMeta {
    fn footprint(&self) -> usize {
        let text = self.name.len() + self.unit.len() + self.description.len();
        ENTRY + size_of::<Self>() + self.metadata.as_bytes().len() + text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_like_the_last_one_gets_room_for_its_points() {
        let interner = Interner::default();
        assert_eq!(interner.items_in(USUAL_POINT * 500), 515);
        for (bytes, items) in [(114_137, 500), (90_999, 500), (500, 1), (64, 2)] {
            interner.note_size(bytes, items);
            assert!((items..=items + items / 32 + 4).contains(&interner.items_in(bytes)));
        }
        interner.note_size(1000, 0);
        assert_eq!(interner.items_in(64), 2, "no points say nothing");
        interner.note_size(100, 100);
        assert_eq!(interner.items_in(3200), 103, "not more than by LEAST_POINT");
    }
}
