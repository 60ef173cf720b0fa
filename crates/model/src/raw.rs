//! The hot look-up: raw bytes as they come in to what they meant the last time.
//!
//! Senders repeat themselves in the same order, so each series remembers which one came next: the
//! usual look-up is one compare with the bytes predicted, without a hash and without walking the
//! attributes. Entries lie in the order they first came, which keeps many series cache-friendly; of
//! the bytes they keep a fingerprint (docs/decisions/series-cache-fingerprints.md), so that a look-up
//! reads one line of memory instead of four.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::attributes::Attributes;
use crate::intern::shrink;
use crate::series::{MetricMeta, Resource, Scope, Series};
use crate::touch::touch;

/// Sweeps an entry survives without being used.
const IDLE_SWEEPS: u32 = 10;

/// No entry.
const NONE: u32 = u32::MAX;

/// Series whose memory is asked for together, see [`RawSeriesTable::warm_up`].
const AHEAD: u32 = 16;

/// What is kept of a run of bytes: 96 bits of seeded hash and the length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    hash: u64,
    check: u32,
    length: u32,
}

/// Seeds of fingerprints.
pub(crate) type Seeds = [foldhash::fast::RandomState; 2];

impl Fingerprint {
    /// The fingerprint of bytes; none of a run of 4 GiB, which no request has.
    #[inline]
    pub(crate) fn of(bytes: &[u8], seeds: &Seeds) -> Option<Self> {
        let length = u32::try_from(bytes.len()).ok()?;
        let [hash, check] = seeds.each_ref().map(|seed| {
            let mut hasher = seed.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        });
        Some(Self {
            hash,
            check: (check >> 32) as u32,
            length,
        })
    }
}

/// The attributes that should come next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'s> {
    fingerprint: Fingerprint,
    seeds: &'s Seeds,
}

impl Expected<'_> {
    /// Whether there are to be no attributes.
    #[inline]
    pub(crate) fn is_nothing(self) -> bool {
        self.fingerprint.length == 0
    }

    /// The length of what is expected, if `from` begins with it.
    #[inline]
    pub(crate) fn begins(self, from: &[u8]) -> Option<usize> {
        let length = self.fingerprint.length as usize;
        let bytes = from.get(..length)?;
        (Fingerprint::of(bytes, self.seeds)? == self.fingerprint).then_some(length)
    }
}

/// Ids of resource, scope and metric within a shard.
pub(crate) type Context = [u32; 3];

/// Look-up entries of one shard. A shard serves whole resource blocks.
#[derive(Debug, Default)]
pub(crate) struct RawShard {
    pub(crate) resources: HashTable<RawBlock<Resource>>,
    pub(crate) scopes: HashTable<RawBlock<Scope>>,
    pub(crate) metrics: HashTable<RawMetric>,
    pub(crate) series: RawSeriesTable,
    pub(crate) labels: LabelSets,
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
    fingerprint: Fingerprint,
    /// None in a place that is free.
    series: Option<Arc<Series>>,
    context: Context,
    tick: u32,
    /// The entry that was asked for after this one the last time.
    next: u32,
}

impl RawSeries {
    /// Hash of bytes under their context.
    fn hash(&self) -> u64 {
        hash(self.fingerprint, self.context)
    }
}

fn hash(fingerprint: Fingerprint, context: Context) -> u64 {
    let mix = context.map(u64::from);
    let mix = mix[0] ^ mix[1].rotate_left(21) ^ mix[2].rotate_left(42);
    fingerprint.hash ^ mix.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Bytes an entry keeps alive that owns so many raw bytes (those of series own none).
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
        self.labels = LabelSets::default();
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

/// Label sets of new series, until the next sweep: the metrics of a request mostly have the same ones,
/// which their series then share. A set that comes where another one is takes its place.
#[derive(Debug, Default)]
pub(crate) struct LabelSets {
    sets: Vec<Option<(Fingerprint, Attributes)>>,
}

impl LabelSets {
    /// Places for sets: 10 KiB in each shard that gets new series.
    const PLACES: usize = 256;

    /// The set with these raw bytes: one that was read before, or what `read` gives.
    pub(crate) fn share<E>(
        &mut self,
        fingerprint: Fingerprint,
        read: impl FnOnce() -> Result<Attributes, E>,
    ) -> Result<Attributes, E> {
        if self.sets.is_empty() {
            self.sets.resize(Self::PLACES, None);
        }
        let place = self.sets.get_mut(fingerprint.hash as usize % Self::PLACES);
        if let Some(Some((known, labels))) = &place
            && *known == fingerprint
        {
            return Ok(labels.clone());
        }
        let labels = read()?;
        if let Some(place) = place {
            *place = Some((fingerprint, labels.clone()));
        }
        Ok(labels)
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
    /// Predictions until memory is asked for again.
    warm: u32,
}

impl RawSeriesTable {
    /// The entry that should come next under this context, and its attributes.
    #[inline]
    pub(crate) fn predict<'s>(
        &self,
        context: Context,
        seeds: &'s Seeds,
    ) -> Option<(u32, Expected<'s>)> {
        let at = self.entries.get(self.cursor as usize)?.next;
        let entry = self.entries.get(at as usize)?;
        let fingerprint = entry.fingerprint;
        (entry.context == context).then_some((at, Expected { fingerprint, seeds }))
    }

    /// The series of an entry that was predicted rightly.
    #[inline]
    pub(crate) fn take_predicted(&mut self, at: u32, tick: u32) -> Option<Arc<Series>> {
        self.cursor = at;
        match self.warm.checked_sub(1) {
            Some(left) => self.warm = left,
            None => self.warm_up(at),
        }
        let entry = self.entries.get_mut(at as usize)?;
        if entry.tick != tick {
            entry.tick = tick;
        }
        entry.series.clone()
    }

    /// Reads the series that will probably come next, all at once. Counting a reference up waits
    /// for its memory, one series after the other; where many series lie in memory that no cache
    /// holds any more, reading them together takes the time of one. Entries lie in the order they first
    /// came, which is mostly the order in which they come: going from one to its next would be a wait
    /// for each again.
    fn warm_up(&mut self, from: u32) {
        self.warm = AHEAD - 1;
        let from = from as usize;
        let coming = self.entries.get(from..).unwrap_or(&[]);
        let seen = coming.iter().take(AHEAD as usize).map(|entry| {
            let series = entry.series.as_ref();
            series.map_or(0, |s| Arc::strong_count(s) ^ s.index().slot as usize)
        });
        touch(seen);
    }

    /// Looks bytes up by their fingerprint.
    pub(crate) fn find(
        &mut self,
        fingerprint: Fingerprint,
        context: Context,
        tick: u32,
    ) -> Option<Arc<Series>> {
        let entries = &self.entries;
        let same = |at: &u32| {
            entries
                .get(*at as usize)
                .is_some_and(|e| e.fingerprint == fingerprint && e.context == context)
        };
        let at = *self.by_hash.find(hash(fingerprint, context), same)?;
        self.follow(at);
        let entry = self.entries.get_mut(at as usize)?;
        entry.tick = tick;
        entry.series.clone()
    }

    /// Adds an entry that `find` did not find.
    pub(crate) fn insert(
        &mut self,
        fingerprint: Fingerprint,
        context: Context,
        series: Arc<Series>,
        tick: u32,
    ) {
        let entry = RawSeries {
            fingerprint,
            series: Some(series),
            context,
            tick,
            next: NONE,
        };
        let hash = entry.hash();
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
            entries.get(*at as usize).map_or(0, RawSeries::hash)
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
                freed += footprint(0);
                entry.series = None;
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
            self.by_hash.insert_unique(entry.hash(), at as u32, |at| {
                entries.get(*at as usize).map_or(0, RawSeries::hash)
            });
        }
        self.cursor = NONE;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Interner, MetricKind, MetricMeta};

    fn series(interner: &Interner) -> Arc<Series> {
        let metric = interner.metric(MetricMeta::new("m", MetricKind::Gauge));
        interner.series(
            &Arc::default(),
            &Arc::default(),
            &metric,
            Attributes::default(),
        )
    }

    fn print(bytes: &[u8], seeds: &Seeds) -> Fingerprint {
        Fingerprint::of(bytes, seeds).unwrap()
    }

    #[test]
    fn an_entry_takes_48_bytes() {
        assert_eq!(size_of::<RawSeries>(), 48);
    }

    #[test]
    fn what_begins_as_expected_is_recognised_and_nothing_else() {
        let seeds = Seeds::default();
        let expected = |bytes| Expected {
            fingerprint: print(bytes, &seeds),
            seeds: &seeds,
        };
        assert_eq!(expected(b"abc").begins(b"abcd"), Some(3));
        assert_eq!(expected(b"abc").begins(b"ab"), None);
        assert_eq!(expected(b"abc").begins(b"abd"), None);
        assert!(expected(b"").is_nothing() && !expected(b"a").is_nothing());
        assert_ne!(print(b"abc", &Seeds::default()), print(b"abc", &seeds));
    }

    #[test]
    fn a_table_that_became_mostly_empty_is_rebuilt_and_finds_the_rest() {
        let interner = Interner::default();
        let series = series(&interner);
        let (mut table, seeds) = (RawSeriesTable::default(), Seeds::default());
        let context = [1, 2, 3];
        for i in 0..5000u32 {
            // Every hundredth is fresh.
            let tick = u32::from(i % 100 == 0);
            table.insert(
                print(&i.to_le_bytes(), &seeds),
                context,
                series.clone(),
                tick,
            );
        }
        let freed = table.retain(|tick| tick == 1);
        assert_eq!(freed, 4950 * footprint(0));
        assert_eq!((table.entries.len(), table.free.len()), (50, 0));
        for i in 0..5000u32 {
            let found = table.find(print(&i.to_le_bytes(), &seeds), context, 2);
            assert_eq!(found.is_some(), i % 100 == 0, "{i}");
        }
        // In order again, so the next one is predicted.
        table
            .find(print(&0u32.to_le_bytes(), &seeds), context, 2)
            .unwrap();
        for i in 1..50u32 {
            let (at, expected) = table.predict(context, &seeds).unwrap();
            assert_eq!(expected.begins(&(i * 100).to_le_bytes()), Some(4));
            table.take_predicted(at, 2).unwrap();
        }
        assert!(table.predict([1, 2, 4], &seeds).is_none());
    }

    #[test]
    fn a_freed_place_is_neither_predicted_nor_found() {
        let interner = Interner::default();
        let series = series(&interner);
        let (mut table, seeds) = (RawSeriesTable::default(), Seeds::default());
        table.insert(print(b"a", &seeds), [1; 3], series.clone(), 1);
        table.insert(print(b"b", &seeds), [1; 3], series, 0);
        table.find(print(b"a", &seeds), [1; 3], 1).unwrap();
        assert!(table.predict([1; 3], &seeds).is_some());
        table.retain(|tick| tick == 1);
        assert!(table.predict([1; 3], &seeds).is_none());
        assert!(table.find(print(b"b", &seeds), [1; 3], 1).is_none());
        assert_eq!(table.free.len(), 1);
    }

    #[test]
    fn label_sets_are_shared_and_never_taken_for_one_another() {
        let (mut sets, seeds) = (LabelSets::default(), Seeds::default());
        let mut reads = 0;
        let mut share = |number: usize| {
            let read = || {
                reads += 1;
                Ok::<_, ()>(Attributes::from_iter([("a", number.to_string())]))
            };
            let labels = sets.share(print(&number.to_le_bytes(), &seeds), read);
            let labels = labels.unwrap();
            assert_eq!(labels, Attributes::from_iter([("a", number.to_string())]));
            reads
        };
        assert_eq!((share(0), share(0)), (1, 1));
        for number in 0..LabelSets::PLACES * 8 {
            share(number);
            share(number / 2);
        }
    }

    #[test]
    fn ids_are_not_used_twice_while_anything_remembers_them() {
        let interner = Interner::default();
        let mut shard = RawShard {
            last_id: u32::MAX - 1,
            ..RawShard::default()
        };
        assert_eq!(shard.fresh_id(), (u32::MAX, 0));
        let (series, seeds) = (series(&interner), Seeds::default());
        shard
            .series
            .insert(print(b"a", &seeds), [u32::MAX; 3], series, 0);
        assert_eq!(shard.fresh_id(), (1, footprint(0)));
        assert!(
            shard
                .series
                .find(print(b"a", &seeds), [u32::MAX; 3], 0)
                .is_none()
        );
    }
}
