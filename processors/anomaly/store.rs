//! The states of all series: bounded, in shards, keyed by the stable hash of a series.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use super::series::Tracked;

const SHARDS: usize = 16;
/// A series idle for this long gives its place to a new one, s.
const IDLE_S: u64 = 15 * 60;
/// A series idle for this long is forgotten, s: two weeks of season are worth little after that.
const FORGET_S: u64 = 3 * 86_400;
/// Places looked at for an idle series before a new one is refused.
const LOOKS: usize = 16;

/// States by series.
#[derive(Debug)]
pub(super) struct Store {
    shards: Vec<Mutex<Shard>>,
}

/// One shard: a dense list and the way into it.
#[derive(Debug, Default)]
struct Shard {
    /// Bytes of the states at the last count.
    bytes: usize,
    /// Most bytes, new series are refused beyond.
    budget: usize,
    places: HashMap<u64, u32, foldhash::fast::RandomState>,
    entries: Vec<Entry>,
    /// Where the search for an idle series goes on.
    hand: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    used_s: u64,
    tracked: Tracked,
}

/// What became of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The series was known.
    Known,
    /// It got a free place.
    Added,
    /// It got the place of an idle series.
    Replaced,
    /// No place: the bound is reached and every series looked at is in use.
    Full,
}

impl Store {
    /// Room for `max_series`, at least one per shard.
    pub(super) fn new(max_series: usize, max_bytes: usize) -> Self {
        let capacity = max_series.div_ceil(SHARDS).max(1);
        let budget = max_bytes / SHARDS;
        let shard = || Mutex::new(Shard { capacity, budget, ..Shard::default() });
        Self { shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    /// Runs `work` on the state of a series, made by `make` if it is new, `now_s` on a clock that
    /// never goes back.
    pub(super) fn with(
        &self,
        hash: u64,
        now_s: u64,
        make: impl FnOnce() -> Tracked,
        work: impl FnOnce(&mut Tracked),
    ) -> Place {
        // the low bits choose the bucket inside the map
        let Some(shard) = self.shards.get((hash >> 60) as usize % SHARDS) else {
            return Place::Full;
        };
        let mut shard = lock(shard);
        let place = shard.place(hash, now_s, make);
        if let Some((at, _)) = place
            && let Some(entry) = shard.entries.get_mut(at)
        {
            entry.used_s = now_s;
            work(&mut entry.tracked);
        }
        place.map_or(Place::Full, |(_, place)| place)
    }

    /// Forgets series that have been idle for days; returns how many.
    pub(super) fn sweep(&self, now_s: u64) -> usize {
        self.shards.iter().map(|shard| lock(shard).sweep(now_s)).sum()
    }

    /// Puts a series back, as read from a file.
    pub(super) fn restore(&self, hash: u64, now_s: u64, tracked: Tracked) -> Place {
        let mut tracked = Some(tracked);
        self.with(
            hash,
            now_s,
            || tracked.take().unwrap_or_else(|| Tracked::new(weir_model::MetricKind::Gauge)),
            |_| {},
        )
    }

    /// Appends all series of one shard to an archive; false when there is no such shard.
    pub(super) fn archive(&self, shard: usize, to: &mut weir_detect::ArchiveWriter) -> bool {
        let Some(shard) = self.shards.get(shard) else { return false };
        for entry in &lock(shard).entries {
            let tracked = &entry.tracked;
            to.series(entry.hash, &tracked.name, |out| super::persist::encode(tracked, out));
        }
        true
    }

    /// Series and bytes of their states.
    pub(super) fn size(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(series, bytes), shard| {
            let shard = lock(shard);
            let here: usize = shard.entries.iter().map(|e| e.tracked.size()).sum();
            (series + shard.entries.len(), bytes + here)
        })
    }
}

impl Shard {
    fn place(
        &mut self,
        hash: u64,
        now_s: u64,
        make: impl FnOnce() -> Tracked,
    ) -> Option<(usize, Place)> {
        if let Some(at) = self.places.get(&hash) {
            return Some((*at as usize, Place::Known));
        }
        if self.entries.len() < self.capacity && self.bytes < self.budget {
            let at = self.entries.len();
            self.places.insert(hash, u32::try_from(at).ok()?);
            let tracked = make();
            self.bytes += tracked.size();
            self.entries.push(Entry { hash, used_s: now_s, tracked });
            return Some((at, Place::Added));
        }
        let at = self.idle(now_s)?;
        let entry = self.entries.get_mut(at)?;
        self.places.remove(&entry.hash);
        *entry = Entry { hash, used_s: now_s, tracked: make() };
        self.places.insert(hash, u32::try_from(at).ok()?);
        Some((at, Place::Replaced))
    }

    /// The next idle series round the list, within a bounded number of looks.
    fn idle(&mut self, now_s: u64) -> Option<usize> {
        for _ in 0..LOOKS.min(self.entries.len()) {
            let at = self.hand;
            self.hand = if at + 1 >= self.entries.len() { 0 } else { at + 1 };
            if self.entries.get(at)?.used_s + IDLE_S <= now_s {
                return Some(at);
            }
        }
        None
    }

    fn sweep(&mut self, now_s: u64) -> usize {
        let before = self.entries.len();
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            if entry.used_s + FORGET_S > now_s {
                at += 1;
                continue;
            }
            let gone = self.entries.swap_remove(at);
            self.places.remove(&gone.hash);
            if let (Some(moved), Ok(place)) = (self.entries.get(at), u32::try_from(at)) {
                self.places.insert(moved.hash, place);
            }
        }
        self.hand = 0;
        self.bytes = self.entries.iter().map(|e| e.tracked.size()).sum();
        if self.entries.len() * 4 < self.entries.capacity() {
            self.entries.shrink_to_fit();
            self.places.shrink_to_fit();
        }
        before - self.entries.len()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use weir_model::MetricKind;

    use super::*;

    fn touch(store: &Store, hash: u64, now_s: u64) -> Place {
        store.with(hash, now_s, || Tracked::new(MetricKind::Gauge), |_| {})
    }

    #[test]
    fn the_bound_holds_and_idle_series_give_way() {
        let store = Store::new(SHARDS * 4, usize::MAX);
        for hash in 0..4 {
            assert_eq!(touch(&store, hash, 0), Place::Added);
        }
        assert_eq!(touch(&store, 0, 1), Place::Known);
        assert_eq!(touch(&store, 4, 2), Place::Full, "all are in use");
        assert_eq!(store.size().0, 4);
        for hash in 0..3 {
            touch(&store, hash, IDLE_S);
        }
        assert_eq!(touch(&store, 4, IDLE_S + 1), Place::Replaced, "the fourth was idle");
        assert_eq!(touch(&store, 3, IDLE_S + 2), Place::Full);
        assert_eq!(touch(&store, 4, IDLE_S + 3), Place::Known);
        assert_eq!(store.size().0, 4);
    }

    #[test]
    fn the_byte_budget_holds_after_a_count() {
        let store = Store::new(SHARDS * 1000, SHARDS * 10 * size_of::<Tracked>());
        let added = (0..100).filter(|hash| touch(&store, *hash, 0) == Place::Added).count();
        assert_eq!(added, 10);
        assert_eq!(store.sweep(0), 0);
        assert_eq!(touch(&store, 200, 1), Place::Full);
        assert_eq!(touch(&store, 200, IDLE_S + 1), Place::Replaced);
    }

    #[test]
    fn series_idle_for_days_are_forgotten_and_the_rest_is_found() {
        let store = Store::new(SHARDS * 100, usize::MAX);
        for hash in 0..100 {
            touch(&store, hash, hash % 3 * FORGET_S);
        }
        assert_eq!(store.sweep(FORGET_S * 2), 67);
        for hash in 0..100 {
            let known = touch(&store, hash, FORGET_S * 2) == Place::Known;
            assert_eq!(known, hash % 3 == 2, "{hash}");
        }
    }
}
