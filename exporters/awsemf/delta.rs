//! Cumulative values to deltas (spec 7.2, 7.5; EMF-17..22, EMF-29).
//!
//! A stream costs a slot of 40 bytes and about 6 bytes of index; what is more, the caller keeps the
//! slot's number beside its series, so that the usual step is one load.

use hashbrown::HashTable;

/// Time without a point after which a stream's base is forgotten.
const EXPIRY_NS: u64 = 300 * 1_000_000_000;

/// Streams that are followed at most; further ones are refused and counted.
const MAX_STREAMS: usize = 4_000_000;

/// A stream's content as 128 bits of seeded hash.
pub(crate) type StreamKey = [u64; 2];

/// A cumulative value that deltas are made of.
pub(crate) trait Cumulative: Copy + Default {
    /// What came since `base`; the value itself after a reset.
    fn since(self, base: Self) -> Self;
    /// Whether it is lower than `base`, so that it is taken for a reset.
    fn is_below(self, base: Self) -> bool;
    /// This base moved back by an undelivered delta, so that the next one makes up for it.
    fn credited(self, delta: Self) -> Self;
}

impl Cumulative for f64 {
    fn since(self, base: f64) -> f64 {
        let delta = self - base;
        if delta < 0.0 { self } else { delta }
    }

    fn is_below(self, base: f64) -> bool {
        self < base
    }

    fn credited(self, delta: f64) -> f64 {
        self - delta
    }
}

/// Count and sum of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    /// Observations.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: f64,
}

impl Cumulative for Totals {
    /// The reference lets the count wrap round after a reset; here a smaller count starts anew.
    fn since(self, base: Totals) -> Totals {
        match self.count.checked_sub(base.count) {
            Some(count) => Totals {
                count,
                sum: self.sum - base.sum,
            },
            None => self,
        }
    }

    fn is_below(self, base: Totals) -> bool {
        self.count < base.count
    }

    fn credited(self, delta: Totals) -> Totals {
        Totals {
            count: self.count.saturating_sub(delta.count),
            sum: self.sum - delta.sum,
        }
    }
}

/// What a step gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step<V> {
    /// The first value: it is the base of the next.
    First,
    /// What came since the last value.
    Delta(V),
    /// Nothing: a later value overtook this one on the way here, and its delta includes this one's.
    Overtaken,
}

/// State of a stream.
#[derive(Debug)]
pub(crate) struct Slot<V> {
    key: StreamKey,
    value: V,
    /// Time of the last point, Unix nanoseconds.
    time_ns: u64,
    /// Whether there is a base.
    known: bool,
    /// Whether the slot belongs to a key (else it waits to be used again).
    used: bool,
    /// Whether a delta was given back, so that an earlier value may come again.
    owed: bool,
}

/// The bases of all streams of one kind.
#[derive(Debug)]
pub(crate) struct Deltas<V> {
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    limit: usize,
    /// Whether values may come in another order than they were sent in (queue, retries).
    reorders: bool,
}

impl<V> Deltas<V> {
    /// No streams.
    pub(crate) fn new(reorders: bool) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            limit: MAX_STREAMS,
            reorders,
        }
    }
}

impl<V: Cumulative> Deltas<V> {
    /// The number of a stream's slot; `None` when there is no room for another stream.
    pub(crate) fn slot(&mut self, key: StreamKey) -> Option<u32> {
        let slots = &self.slots;
        let [hash, _] = key;
        let same = |at: &u32| slots.get(*at as usize).is_some_and(|s| s.key == key);
        if let Some(at) = self.index.find(hash, same) {
            return Some(*at);
        }
        if self.index.len() >= self.limit {
            return None;
        }
        let slot = Slot {
            key,
            value: V::default(),
            time_ns: 0,
            known: false,
            used: true,
            owed: false,
        };
        let at = match self.free.pop() {
            Some(at) => {
                *self.slots.get_mut(at as usize)? = slot;
                at
            }
            None => {
                let at = u32::try_from(self.slots.len()).ok()?;
                // Growing by a quarter instead of doubling keeps the unused part small.
                if self.slots.len() == self.slots.capacity() {
                    self.slots.reserve_exact(self.slots.len() / 4 + 64);
                }
                self.slots.push(slot);
                at
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, at, |at| {
            slots.get(*at as usize).map_or(0, |slot| slot.key[0])
        });
        Some(at)
    }

    /// Reads a little of a stream's slot.
    pub(crate) fn touch(&self, at: u32) -> u32 {
        self.slots.get(at as usize).map_or(0, |slot| slot.time_ns as u32)
    }

    /// Takes a value and gives what came since the last. With `retain_first`, the first value comes
    /// out as it is (`retain_initial_value_of_delta_metric`).
    #[inline]
    pub(crate) fn step(&mut self, at: u32, value: V, time_ns: u64, retain_first: bool) -> Step<V> {
        let Some(slot) = self.slots.get_mut(at as usize) else {
            return Step::First;
        };
        let step = if slot.known {
            // The reference takes any lower value for a reset. One that waited in the queue or was
            // sent again is none: counted as such, all of the stream would be there twice.
            let late = time_ns < slot.time_ns && value.is_below(slot.value);
            if late && (self.reorders || slot.owed) {
                return Step::Overtaken;
            }
            Step::Delta(value.since(slot.value))
        } else if retain_first {
            Step::Delta(value)
        } else {
            Step::First
        };
        slot.value = value;
        slot.time_ns = time_ns;
        slot.known = true;
        step
    }

    /// Gives back a delta that was not delivered: the stream's next delta includes it.
    pub(crate) fn credit(&mut self, at: u32, delta: V) {
        if let Some(slot) = self.slots.get_mut(at as usize)
            && slot.known
        {
            slot.value = slot.value.credited(delta);
            slot.owed = true;
        }
    }

    /// Forgets the bases of streams whose last point is five minutes or more before `now_ns`.
    pub(crate) fn expire(&mut self, now_ns: u64) {
        for slot in &mut self.slots {
            slot.known &= now_ns.saturating_sub(slot.time_ns) < EXPIRY_NS;
        }
    }

    /// Frees the slots of streams without a base, unless `referenced` says that somebody still has
    /// the number.
    pub(crate) fn release(&mut self, referenced: impl Fn(u32) -> bool) {
        for (at, slot) in (0..).zip(&mut self.slots) {
            if !slot.used || slot.known || referenced(at) {
                continue;
            }
            slot.used = false;
            self.free.push(at);
            if let Ok(entry) = self.index.find_entry(slot.key[0], |other| *other == at) {
                entry.remove();
            }
        }
    }

    /// Streams with a slot.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Numbers given out so far.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn run(values: &[f64], retain: bool) -> Vec<Step<f64>> {
        let mut deltas = Deltas::new(false);
        let at = deltas.slot([1, 2]).unwrap();
        values
            .iter()
            .map(|v| deltas.step(at, *v, 1, retain))
            .collect()
    }

    #[test]
    fn sums_become_differences_and_a_fall_is_a_reset() {
        use Step::{Delta, First};
        assert_eq!(
            run(&[10.0, 15.0, 15.0, 12.0, 12.5], false),
            [First, Delta(5.0), Delta(0.0), Delta(12.0), Delta(0.5)]
        );
        assert_eq!(run(&[10.0, 15.0], true), [Delta(10.0), Delta(5.0)]);
    }

    #[test]
    fn a_summary_that_starts_anew_does_not_wrap() {
        let old = Totals {
            count: 14,
            sum: 150.5,
        };
        let new = Totals { count: 2, sum: 7.0 };
        assert_eq!(new.since(old), new);
        assert_eq!(
            old.since(new),
            Totals {
                count: 12,
                sum: 143.5
            }
        );
    }

    #[test]
    fn an_undelivered_delta_comes_with_the_next() {
        let mut deltas = Deltas::new(false);
        let at = deltas.slot([1, 2]).unwrap();
        deltas.step(at, 10.0, 1, false);
        assert_eq!(deltas.step(at, 15.0, 2, false), Step::Delta(5.0));
        deltas.credit(at, 5.0);
        assert_eq!(deltas.step(at, 15.0, 2, false), Step::Delta(5.0));
        deltas.credit(at, 5.0);
        assert_eq!(deltas.step(at, 21.0, 3, false), Step::Delta(11.0));
    }

    #[test]
    fn streams_expire_five_minutes_after_their_last_point() {
        let mut deltas = Deltas::new(false);
        let (old, new) = (deltas.slot([1, 1]).unwrap(), deltas.slot([2, 2]).unwrap());
        deltas.step(old, 1.0, 1_000, false);
        deltas.step(new, 1.0, 1_001, false);
        deltas.expire(EXPIRY_NS + 1_000);
        deltas.release(|at| at == old);
        assert_eq!(deltas.step(old, 5.0, 2_000, false), Step::First);
        assert_eq!(deltas.step(new, 5.0, 2_000, false), Step::Delta(4.0));
        assert_eq!(deltas.len(), 2);
        deltas.expire(2 * EXPIRY_NS + 2_000);
        deltas.release(|at| at == old);
        assert_eq!(deltas.len(), 1);
        assert_eq!(deltas.slot([1, 1]), Some(old));
        assert_eq!(deltas.slot([3, 3]), Some(new));
        assert_eq!(deltas.step(new, 9.0, 1, false), Step::First);
    }

    #[test]
    fn streams_are_bounded() {
        let mut deltas = Deltas::<f64> {
            limit: 1,
            ..Deltas::new(false)
        };
        assert!(deltas.slot([1, 1]).is_some());
        assert_eq!(deltas.slot([2, 2]), None);
        assert!(deltas.slot([1, 1]).is_some());
    }

    #[test]
    fn a_stream_costs_little() {
        assert!(size_of::<Slot<f64>>() <= 40);
        assert!(size_of::<Slot<Totals>>() <= 48);
    }

    #[test]
    fn a_value_that_was_overtaken_is_no_reset_where_that_can_happen() {
        let mut deltas = Deltas::new(true);
        let at = deltas.slot([1, 2]).unwrap();
        deltas.step(at, 10.0, 1, false);
        assert_eq!(deltas.step(at, 18.0, 3, false), Step::Delta(8.0));
        assert_eq!(deltas.step(at, 15.0, 2, false), Step::Overtaken);
        assert_eq!(deltas.step(at, 20.0, 4, false), Step::Delta(2.0));
        // Lower and later is a reset as ever.
        assert_eq!(deltas.step(at, 3.0, 5, false), Step::Delta(3.0));
    }

    #[test]
    fn without_reordering_only_a_delta_given_back_can_be_overtaken() {
        let mut deltas = Deltas::new(false);
        let at = deltas.slot([1, 2]).unwrap();
        deltas.step(at, 10.0, 1, false);
        deltas.step(at, 18.0, 3, false);
        // As the reference does.
        assert_eq!(deltas.step(at, 15.0, 2, false), Step::Delta(15.0));
        assert_eq!(deltas.step(at, 25.0, 4, false), Step::Delta(10.0));
        deltas.credit(at, 10.0);
        assert_eq!(deltas.step(at, 30.0, 5, false), Step::Delta(15.0));
        assert_eq!(deltas.step(at, 25.0, 4, false), Step::Overtaken);
    }
}
