//! The states of all series: bounded, in shards, keyed by the stable hash of a series.

use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use weir_model::touch;

use super::series::Tracked;

pub(super) const SHARDS: usize = 16;
/// A series idle for this long gives its place to a new one, s.
const IDLE_S: u64 = 15 * 60;
/// A series idle for this long is forgotten, s: two weeks of season are worth little after that.
const FORGET_S: u64 = 3 * 86_400;
/// Places looked at for an idle series before a new one is refused.
const LOOKS: usize = 16;
/// Series that are looked up together, so that their waits for memory overlap.
const TOGETHER: usize = 32;
/// No place.
const NOWHERE: u32 = u32::MAX;

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
    /// Places in `entries`, by the hash of the entry's key: the key itself is there already.
    places: HashTable<u32>,
    random: foldhash::fast::RandomState,
    entries: Vec<Entry>,
    /// Where the search for an idle series goes on.
    hand: usize,
    /// The place after that of the series found last: senders repeat themselves in the same order, and
    /// series got their places in that order.
    next: u32,
    capacity: usize,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    /// Last use, s on a clock that never goes back.
    used_s: u32,
    tracked: Tracked,
}

impl Entry {
    fn new(key: u64, now_s: u64, tracked: Tracked) -> Self {
        Self { key, used_s: seconds(now_s), tracked }
    }

    fn idle_for(&self, seconds: u64, now_s: u64) -> bool {
        u64::from(self.used_s) + seconds <= now_s
    }
}

/// A century and more of seconds in half a word.
fn seconds(now_s: u64) -> u32 {
    u32::try_from(now_s).unwrap_or(u32::MAX)
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

/// A series that a batch asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Want {
    /// Key of its state.
    pub(super) key: u64,
    /// Place of its point in the batch.
    pub(super) at: u32,
}

/// All that a batch asks for, by shard; within one in the order of the batch.
#[derive(Debug)]
pub(super) struct Wanted {
    sorted: Vec<Want>,
    ends: [usize; SHARDS],
}

impl Wanted {
    /// Sorts by shard, by counting.
    pub(super) fn new(all: &[Want]) -> Self {
        let mut next = [0_usize; SHARDS];
        for want in all {
            if let Some(count) = next.get_mut(shard_of(want.key)) {
                *count += 1;
            }
        }
        let mut from = 0;
        for count in &mut next {
            from += std::mem::replace(count, from);
        }
        let mut sorted = vec![Want::default(); all.len()];
        for want in all {
            if let Some(place) = next.get_mut(shard_of(want.key)) {
                if let Some(slot) = sorted.get_mut(*place) {
                    *slot = *want;
                }
                *place += 1;
            }
        }
        // where the next of a shard would go is where the shard ends
        Self { sorted, ends: next }
    }

    fn of(&self, shard: usize) -> &[Want] {
        let end = self.ends.get(shard).copied().unwrap_or(0);
        let from = shard.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        self.sorted.get(from.unwrap_or(0)..end).unwrap_or_default()
    }
}

/// The shard of a key. The low bits choose the bucket inside the map.
fn shard_of(key: u64) -> usize {
    (key >> 60) as usize % SHARDS
}

/// What is done with the series a batch asks for.
pub(super) trait Visit {
    /// A new series; `None`: it is not to be watched.
    fn make(&mut self, want: &Want) -> Option<Tracked>;
    /// The state of a series.
    fn work(&mut self, want: &Want, tracked: &mut Tracked);
    /// A series that found no place, or the place of another one.
    fn placed(&mut self, place: Place);
}

impl Store {
    /// Room for `max_series`, at least one per shard.
    pub(super) fn new(max_series: usize, max_bytes: usize) -> Self {
        let capacity = max_series.div_ceil(SHARDS).max(1);
        let budget = max_bytes / SHARDS;
        let shard = || Mutex::new(Shard { capacity, budget, ..Shard::default() });
        Self { shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    /// Runs `visit` on the states of the series that a batch asks for, with one lock per shard, in the
    /// order of the list within each shard. `now_s` on a clock that never goes back.
    pub(super) fn each(&self, wanted: &Wanted, now_s: u64, visit: &mut impl Visit) {
        for (number, shard) in self.shards.iter().enumerate() {
            let mine = wanted.of(number);
            if mine.is_empty() {
                continue;
            }
            let mut shard = lock(shard);
            for some in mine.chunks(TOGETHER) {
                let places = shard.warm_up(some);
                for (want, at) in some.iter().zip(places) {
                    shard.visit(want, at, now_s, visit);
                }
            }
        }
    }

    /// Forgets series that have been idle for days; returns how many.
    pub(super) fn sweep(&self, now_s: u64) -> usize {
        self.shards.iter().map(|shard| lock(shard).sweep(now_s)).sum()
    }

    /// Puts a series back, as read from a file.
    pub(super) fn restore(&self, key: u64, now_s: u64, tracked: Tracked) -> Place {
        let Some(shard) = self.shards.get(shard_of(key)) else { return Place::Full };
        let place = lock(shard).place(key, now_s, || Some(tracked));
        place.map_or(Place::Full, |(_, place)| place)
    }

    /// Appends all series of one shard to an archive; false when there is no such shard.
    pub(super) fn archive(&self, shard: usize, to: &mut weir_detect::ArchiveWriter) -> bool {
        let Some(shard) = self.shards.get(shard) else { return false };
        for entry in &lock(shard).entries {
            let tracked = &entry.tracked;
            to.series(entry.key, &tracked.name, |out| super::persist::encode(tracked, out));
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
    /// Reads a little of what `visit` will need. Each series waits for main memory several times,
    /// one wait after the other; here those of several series go on at the same time. The places of
    /// those that are known, [`NOWHERE`] for the others.
    fn warm_up(&mut self, some: &[Want]) -> [u32; TOGETHER] {
        let mut places = [NOWHERE; TOGETHER];
        for (place, want) in places.iter_mut().zip(some) {
            *place = if self.is_at(self.next, want.key) {
                self.next
            } else {
                self.find(want.key).unwrap_or(NOWHERE)
            };
            self.next = place.wrapping_add(1);
        }
        let known = || places.iter().filter_map(|place| self.entries.get(*place as usize));
        touch(known().map(|entry| entry.tracked.touch()));
        let streams = || known().filter_map(|entry| entry.tracked.streams.first());
        touch(streams().map(|stream| stream.state.touch()));
        touch(streams().map(|stream| stream.state.touch_season()));
        places
    }

    /// Visits the series of a want, which is probably at the place `at`.
    fn visit(&mut self, want: &Want, at: u32, now_s: u64, visit: &mut impl Visit) {
        let mut unwatched = false;
        let place = if self.is_at(at, want.key) {
            Some((at as usize, Place::Known))
        } else {
            self.place(want.key, now_s, || {
                let made = visit.make(want);
                unwatched = made.is_none();
                made
            })
        };
        if let Some((at, place)) = place
            && let Some(entry) = self.entries.get_mut(at)
        {
            entry.used_s = seconds(now_s);
            visit.work(want, &mut entry.tracked);
            if place == Place::Replaced {
                visit.placed(place);
            }
        } else if !unwatched {
            visit.placed(Place::Full);
        }
    }

    /// Whether the series of a key is at this place.
    fn is_at(&self, at: u32, key: u64) -> bool {
        self.entries.get(at as usize).is_some_and(|entry| entry.key == key)
    }

    fn find(&self, key: u64) -> Option<u32> {
        let same = |at: &u32| self.is_at(*at, key);
        self.places.find(self.random.hash_one(key), same).copied()
    }

    /// Notes that the entry of a key is at this place.
    fn note(&mut self, key: u64, at: u32) {
        let Self { places, random, entries, .. } = self;
        let hash = |at: &u32| entries.get(*at as usize).map_or(0, |e| random.hash_one(e.key));
        places.insert_unique(random.hash_one(key), at, hash);
    }

    /// The opposite.
    fn unnote(&mut self, key: u64, at: usize) {
        let same = |place: &u32| *place as usize == at;
        if let Ok(found) = self.places.find_entry(self.random.hash_one(key), same) {
            found.remove();
        }
    }

    /// The place of a series; `None` when there is none, or `make` wants none.
    fn place(
        &mut self,
        key: u64,
        now_s: u64,
        make: impl FnOnce() -> Option<Tracked>,
    ) -> Option<(usize, Place)> {
        if let Some(at) = self.find(key) {
            return Some((at as usize, Place::Known));
        }
        if self.entries.len() < self.capacity && self.bytes < self.budget {
            let at = self.entries.len();
            let tracked = make()?;
            self.note(key, u32::try_from(at).ok()?);
            self.bytes += tracked.size();
            if at == self.entries.capacity() {
                // by an eighth: doubling would leave a third of the list empty on average
                self.entries.reserve_exact(at / 8 + 16);
            }
            self.entries.push(Entry::new(key, now_s, tracked));
            return Some((at, Place::Added));
        }
        let idle = self.idle(now_s);
        // also asked when there is no place, to tell series that are not watched from those refused
        let tracked = make()?;
        let at = idle?;
        self.unnote(self.entries.get(at)?.key, at);
        *self.entries.get_mut(at)? = Entry::new(key, now_s, tracked);
        self.note(key, u32::try_from(at).ok()?);
        Some((at, Place::Replaced))
    }

    /// The next idle series round the list, within a bounded number of looks.
    fn idle(&mut self, now_s: u64) -> Option<usize> {
        for _ in 0..LOOKS.min(self.entries.len()) {
            let at = self.hand;
            self.hand = if at + 1 >= self.entries.len() { 0 } else { at + 1 };
            if self.entries.get(at)?.idle_for(IDLE_S, now_s) {
                return Some(at);
            }
        }
        None
    }

    fn sweep(&mut self, now_s: u64) -> usize {
        let before = self.entries.len();
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            if !entry.idle_for(FORGET_S, now_s) {
                at += 1;
                continue;
            }
            self.unnote(entry.key, at);
            self.entries.swap_remove(at);
            // the last one fills the gap
            if let (Some(moved), Ok(place)) = (self.entries.get(at), u32::try_from(at)) {
                let key = moved.key;
                self.unnote(key, self.entries.len());
                self.note(key, place);
            }
        }
        self.hand = 0;
        self.bytes = self.entries.iter().map(|e| e.tracked.size()).sum();
        if self.entries.len() * 4 < self.entries.capacity() {
            self.entries.shrink_to_fit();
            let Self { places, random, entries, .. } = self;
            places.shrink_to_fit(|at| entries.get(*at as usize).map_or(0, |e| random.hash_one(e.key)));
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

    /// Tells what became of each look-up.
    #[derive(Default)]
    struct Told(Option<Place>, Vec<Want>);

    impl Visit for Told {
        fn make(&mut self, _: &Want) -> Option<Tracked> {
            self.0 = Some(Place::Added);
            Some(Tracked::new(MetricKind::Gauge))
        }

        fn work(&mut self, want: &Want, _: &mut Tracked) {
            self.1.push(*want);
        }

        fn placed(&mut self, place: Place) {
            self.0 = Some(place);
        }
    }

    fn touch(store: &Store, key: u64, now_s: u64) -> Place {
        let mut told = Told::default();
        store.each(&Wanted::new(&[Want { key, at: 0 }]), now_s, &mut told);
        told.0.unwrap_or(Place::Known)
    }

    #[test]
    fn a_batch_is_visited_once_each_and_in_order_within_a_series() {
        let store = Store::new(1 << 20, usize::MAX);
        let key = |at: u32| u64::from(at % 300).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let all: Vec<Want> = (0..1000).map(|at| Want { key: key(at), at }).collect();
        let mut told = Told::default();
        store.each(&Wanted::new(&all), 0, &mut told);
        for number in 0..300 {
            let seen = told.1.iter().filter(|want| want.key == key(number)).map(|want| want.at);
            let expected = (0..1000).filter(|at| at % 300 == number);
            assert!(seen.eq(expected), "series {number}");
        }
        assert_eq!((told.1.len(), store.size().0), (1000, 300));
    }

    #[test]
    fn series_that_are_not_watched_take_no_place() {
        struct Nothing(u32);
        impl Visit for Nothing {
            fn make(&mut self, _: &Want) -> Option<Tracked> {
                None
            }
            fn work(&mut self, _: &Want, _: &mut Tracked) {
                self.0 += 1;
            }
            fn placed(&mut self, _: Place) {
                self.0 += 1;
            }
        }
        let store = Store::new(1, usize::MAX);
        let mut nothing = Nothing(0);
        store.each(&Wanted::new(&[Want { key: 1, at: 0 }]), 0, &mut nothing);
        assert_eq!((nothing.0, store.size().0), (0, 0));
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

    /// A plain map beside the store: both know the same series after any visits and sweeps.
    #[test]
    fn it_knows_what_a_plain_map_knows() {
        let store = Store::new(1 << 20, usize::MAX);
        let mut map = std::collections::HashMap::new();
        let mut random = 7_u64;
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // few keys in one shard at a time, spread over all; two differ in the highest bits only
            let key = (random >> 59 << 60) | (random >> 40 & 0x3f);
            let now_s = step * 60;
            let expected = if map.insert(key, now_s).is_some() { Place::Known } else { Place::Added };
            assert_eq!(touch(&store, key, now_s), expected, "{step}");
            if step % 500 == 0 {
                map.retain(|_, used: &mut u64| *used + FORGET_S > now_s);
                store.sweep(now_s);
                assert_eq!(store.size().0, map.len(), "{step}");
            }
        }
    }
}
