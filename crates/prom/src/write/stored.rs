//! Encoded label sets kept in little memory: every label once, and of each set the numbers of its
//! labels.
//!
//! Sets are made of two runs of numbers, which are kept once each as well: the labels that say where
//! a series comes from (all series of a target have them), and the others (all targets of a kind
//! have the same). So a set of nine labels that takes 300 bytes in a request takes eight here, and
//! its runs are shared by others or, if nobody else has them, take four bytes a label.

use std::hash::{BuildHasher as _, Hash};

use hashbrown::HashTable;

use super::push_label;

/// A label set in a [`StoredLabels`]. Equal sets are equal here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoredSet {
    common: u32,
    own: u32,
}

/// No room: 4 GiB of labels or of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many different labels")]
pub struct StoreFull;

/// Every slice once, with a dense number.
#[derive(Debug, Default)]
struct Slices<T> {
    items: Vec<T>,
    /// Where each slice ends, and the next begins.
    ends: Vec<u32>,
    by_content: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
}

impl<T: Copy + Eq + Hash> Slices<T> {
    #[inline]
    fn get(&self, number: u32) -> &[T] {
        slice(&self.items, &self.ends, number)
    }

    /// The number of a slice.
    fn number(&mut self, content: &[T]) -> Result<u32, StoreFull> {
        let hash = self.hasher.hash_one(content);
        let (items, ends) = (&mut self.items, &mut self.ends);
        let same = |number: &u32| slice(items, ends, *number) == content;
        if let Some(number) = self.by_content.find(hash, same) {
            return Ok(*number);
        }
        let number = u32::try_from(ends.len()).map_err(|_| StoreFull)?;
        let end = u32::try_from(items.len() + content.len()).map_err(|_| StoreFull)?;
        items.extend_from_slice(content);
        ends.push(end);
        let hasher = &self.hasher;
        self.by_content.insert_unique(hash, number, |number| {
            hasher.hash_one(slice(items, ends, *number))
        });
        Ok(number)
    }

    fn bytes(&self) -> usize {
        self.items.len() * size_of::<T>()
            + self.ends.len() * size_of::<u32>()
            + self.by_content.allocation_size()
    }

    fn shrink(&mut self) {
        self.items.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

#[inline]
fn slice<'a, T>(items: &'a [T], ends: &[u32], number: u32) -> &'a [T] {
    let at = number as usize;
    let start = at.checked_sub(1).and_then(|before| ends.get(before));
    let start = start.map_or(0, |start| *start as usize);
    let end = ends.get(at).map_or(0, |end| *end as usize);
    items.get(start..end).unwrap_or(&[])
}

/// The labels of many sets. Nothing is taken out of it: to forget sets, [`copy`](Self::copy) the
/// others to a new one.
#[derive(Debug, Default)]
pub struct StoredLabels {
    /// Labels as [`push_label`] writes them.
    labels: Slices<u8>,
    /// Where labels of the set come from (64 bits, in the order of names, 1 for the common ones),
    /// then the numbers of the common ones.
    common: Slices<u32>,
    /// Numbers of the others.
    own: Slices<u32>,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    label: Vec<u8>,
    common: Vec<u32>,
    own: Vec<u32>,
}

/// Numbers of runs in another store, by their numbers here.
#[derive(Debug, Default)]
pub struct Copied {
    labels: Vec<u32>,
    common: Vec<u32>,
    own: Vec<u32>,
}

/// Words before the common labels of a run: which labels of the set they are.
const MASK: usize = 2;

impl StoredLabels {
    /// Stores labels, which must be sorted by name. `is_common` tells by its name whether a label
    /// is one that says where the series comes from; it must always tell the same of a name.
    ///
    /// # Errors
    /// If there is no room.
    pub fn store<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        is_common: impl Fn(&str) -> bool,
    ) -> Result<StoredSet, StoreFull> {
        // A set with more labels than the mask has bits is stored as if it had none in common.
        let fits = labels.clone().count() <= u64::BITS as usize;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.own.clear();
        scratch.common.clear();
        scratch.common.extend([0; MASK]);
        let mut mask = 0_u64;
        for (at, (name, value)) in labels.enumerate() {
            scratch.label.clear();
            push_label(&mut scratch.label, name, value);
            let number = self.labels.number(&scratch.label)?;
            if fits && is_common(name) {
                mask |= 1 << at;
                scratch.common.push(number);
            } else {
                scratch.own.push(number);
            }
        }
        for (word, part) in scratch.common.iter_mut().zip(halves(mask)) {
            *word = part;
        }
        let set = StoredSet {
            common: self.common.number(&scratch.common)?,
            own: self.own.number(&scratch.own)?,
        };
        self.scratch = scratch;
        Ok(set)
    }

    /// Appends the labels of a set, as [`push_label`] writes them, in the order of their names.
    #[inline]
    pub fn write(&self, set: StoredSet, out: &mut Vec<u8>) {
        let own = self.own.get(set.own);
        let [low, high, common @ ..] = self.common.get(set.common) else {
            return;
        };
        let mut mask = u64::from(*low) | u64::from(*high) << 32;
        let (mut own, mut common) = (own.iter(), common.iter());
        loop {
            let next = if mask & 1 == 1 {
                common.next()
            } else {
                own.next()
            };
            let Some(number) = next else { return };
            mask >>= 1;
            out.extend_from_slice(self.labels.get(*number));
        }
    }

    /// Stores a set of another store here. `copied` remembers what was copied before, from that
    /// store to this one.
    ///
    /// # Errors
    /// If there is no room.
    pub fn copy(
        &mut self,
        from: &Self,
        set: StoredSet,
        copied: &mut Copied,
    ) -> Result<StoredSet, StoreFull> {
        let Copied {
            labels,
            common,
            own,
        } = copied;
        let mut label = |number: u32| {
            remember(labels, number, || {
                self.labels.number(from.labels.get(number))
            })
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let common = remember(common, set.common, || {
            let run = from.common.get(set.common);
            let (mask, numbers) = run.split_at_checked(MASK).unwrap_or_default();
            scratch.common.clear();
            scratch.common.extend_from_slice(mask);
            for number in numbers {
                scratch.common.push(label(*number)?);
            }
            self.common.number(&scratch.common)
        })?;
        let own = remember(own, set.own, || {
            scratch.own.clear();
            for number in from.own.get(set.own) {
                scratch.own.push(label(*number)?);
            }
            self.own.number(&scratch.own)
        })?;
        self.scratch = scratch;
        Ok(StoredSet { common, own })
    }

    /// Gives room back that nothing is in.
    pub fn shrink(&mut self) {
        self.labels.shrink();
        self.common.shrink();
        self.own.shrink();
    }

    /// Bytes in use.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.labels.bytes() + self.common.bytes() + self.own.bytes()
    }
}

/// The number that `number` has elsewhere, found out the first time.
fn remember(
    known: &mut Vec<u32>,
    number: u32,
    find: impl FnOnce() -> Result<u32, StoreFull>,
) -> Result<u32, StoreFull> {
    const UNKNOWN: u32 = u32::MAX;
    let at = number as usize;
    if known.len() <= at {
        known.resize(at + 1, UNKNOWN);
    }
    match known.get_mut(at) {
        Some(place) if *place == UNKNOWN => {
            *place = find()?;
            Ok(*place)
        }
        Some(place) => Ok(*place),
        None => Err(StoreFull),
    }
}

/// The lower and the upper half.
fn halves(mask: u64) -> [u32; MASK] {
    let [a, b, c, d, e, f, g, h] = mask.to_le_bytes();
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn is_common(name: &str) -> bool {
        name.starts_with('c')
    }

    fn plain(labels: &BTreeMap<String, String>) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in labels {
            push_label(&mut out, name, value);
        }
        out
    }

    fn pairs(labels: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> + Clone {
        labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn written(store: &StoredLabels, set: StoredSet) -> Vec<u8> {
        let mut out = b"before".to_vec();
        store.write(set, &mut out);
        out.split_off(6)
    }

    proptest! {
        /// The compact form is the plain one, equal for equal labels only, and so is a copy of it.
        #[test]
        fn what_is_written_is_what_was_stored(
            sets in proptest::collection::vec(
                proptest::collection::btree_map("[a-d][a-z]?", "[a-c]{0,2}", 0..8),
                1..40,
            ),
            kept in proptest::collection::vec(any::<bool>(), 40),
            wide in 60..80_usize,
        ) {
            let mut store = StoredLabels::default();
            let mut sets = sets;
            sets.push((0..wide).map(|n| (format!("c{n:03}"), n.to_string())).collect());
            let stored: Vec<StoredSet> =
                sets.iter().map(|set| store.store(pairs(set), is_common).unwrap()).collect();
            for (set, at) in sets.iter().zip(&stored) {
                prop_assert_eq!(plain(set), written(&store, *at));
                for (other, other_at) in sets.iter().zip(&stored) {
                    prop_assert_eq!(set == other, at == other_at);
                }
            }
            let (mut copy, mut copied) = (StoredLabels::default(), Copied::default());
            for ((set, at), _) in sets.iter().zip(&stored).zip(&kept).filter(|(_, kept)| **kept) {
                let at = copy.copy(&store, *at, &mut copied).unwrap();
                prop_assert_eq!(plain(set), written(&copy, at));
                prop_assert_eq!(copy.store(pairs(set), is_common).unwrap(), at);
            }
            copy.shrink();
            prop_assert!(copy.labels.items.len() <= store.labels.items.len());
        }
    }

    /// A thousand targets with the same thousand series each.
    #[test]
    fn a_set_whose_parts_others_have_takes_no_room() {
        let mut store = StoredLabels::default();
        let add = |store: &mut StoredLabels, target: usize, series: usize| {
            let (target, series) = (format!("host-{target}"), format!("/items/{series}"));
            let labels = [
                ("__name__", "requests_total"),
                ("cluster", &target),
                ("path", &series),
            ];
            store.store(labels.into_iter(), is_common).unwrap();
        };
        (0..1000).for_each(|at| add(&mut store, at, at));
        let before = store.bytes();
        (0..100).for_each(|target| (0..1000).for_each(|series| add(&mut store, target, series)));
        assert_eq!(store.bytes(), before);
    }
}
