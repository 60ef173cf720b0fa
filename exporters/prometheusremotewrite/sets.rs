//! Label sets: every distinct one once, whatever series it comes from, with a dense number.
//!
//! The number is what makes points of different resources or scopes samples of one series
//! (PRW-18): it is the place of the chain of samples that a batch collects.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use weir_prom::write::{Copied, Refs, StoreFull, StoredLabels, StoredSet, Symbols};

use super::labels::Described;

/// Numbers are below this, so that an [`Entry`](super::lines::Entry) has place for more.
pub(crate) const MOST_SETS: u32 = 1 << 30;

/// Stored labels are copied, without those that nobody uses, when so many sets beside half of
/// those in use were freed.
const SPARE_SETS: usize = 1024;

/// What protocol 2.0 needs of a set.
#[derive(Debug, Default)]
struct Extra {
    described: Option<Arc<Described>>,
    refs: Option<Refs>,
}

/// All label sets of an exporter.
#[derive(Debug, Default)]
pub(crate) struct LabelSets {
    /// Labels that say where a series comes from, besides the usual ones.
    external: Vec<String>,
    stored: StoredLabels,
    by_content: HashTable<u32>,
    /// By number.
    sets: Vec<StoredSet>,
    /// How many series use each number, 0 where it is free. Saturates: a number with so many is
    /// freed by a sweep.
    uses: Vec<u8>,
    /// By number; empty with protocol 1.0.
    extras: Vec<Extra>,
    described: HashSet<Arc<Described>>,
    free: Vec<u32>,
    /// Sets freed since the labels were last copied.
    freed: usize,
    hasher: foldhash::fast::RandomState,
}

impl LabelSets {
    /// No sets. Labels with the names `external` are the same for all series of the exporter.
    pub(crate) fn new(external: Vec<String>) -> Self {
        Self {
            external,
            ..Self::default()
        }
    }

    /// The number of these labels, with one more use.
    pub(crate) fn number(
        &mut self,
        labels: &BTreeMap<&str, &str>,
        described: Option<&Described>,
    ) -> Result<u32, StoreFull> {
        let external = &self.external;
        let is_common = |name: &str| {
            matches!(name, "job" | "instance")
                || name.starts_with("otel_scope_")
                || external.iter().any(|known| known == name)
        };
        let labels = labels.iter().map(|(name, value)| (*name, *value));
        let set = self.stored.store(labels, is_common)?;
        let (sets, hash) = (&self.sets, self.hasher.hash_one(set));
        let same = |id: &u32| sets.get(*id as usize) == Some(&set);
        let id = match self.by_content.find(hash, same) {
            Some(id) => *id,
            None => self.add(set, hash, described)?,
        };
        self.hold(id);
        Ok(id)
    }

    fn add(
        &mut self,
        set: StoredSet,
        hash: u64,
        described: Option<&Described>,
    ) -> Result<u32, StoreFull> {
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let id = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
                if id >= MOST_SETS {
                    return Err(StoreFull);
                }
                self.sets.push(set);
                self.uses.push(0);
                id
            }
        };
        if let Some(place) = self.sets.get_mut(id as usize) {
            *place = set;
        }
        if let Some(described) = described {
            let described = Some(self.shared(described));
            if self.extras.len() < self.sets.len() {
                self.extras.resize_with(self.sets.len(), Extra::default);
            }
            if let Some(extra) = self.extras.get_mut(id as usize) {
                *extra = Extra { described, refs: None };
            }
        }
        let rehash = hash_of(&self.sets, &self.hasher);
        self.by_content.insert_unique(hash, id, rehash);
        Ok(id)
    }

    fn shared(&mut self, described: &Described) -> Arc<Described> {
        if let Some(known) = self.described.get(described) {
            return known.clone();
        }
        let described = Arc::new(described.clone());
        self.described.insert(described.clone());
        described
    }

    /// One more use of a number.
    fn hold(&mut self, id: u32) {
        if let Some(uses) = self.uses.get_mut(id as usize) {
            *uses = uses.saturating_add(1);
        }
    }

    /// One more than the highest number.
    pub(crate) fn bound(&self) -> usize {
        self.sets.len()
    }

    /// Number of sets.
    pub(crate) fn len(&self) -> usize {
        self.sets.len() - self.free.len()
    }

    /// Bytes of the labels and of what finds them.
    pub(crate) fn bytes(&self) -> usize {
        self.stored.bytes()
            + self.by_content.allocation_size()
            + self.sets.len() * (size_of::<StoredSet>() + 1)
            + self.extras.len() * size_of::<Extra>()
    }

    /// Replaces `out` by the encoded labels of a number.
    #[inline]
    pub(crate) fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.clear();
        if let Some(set) = self.sets.get(id as usize) {
            self.stored.write(*set, out);
        }
    }

    /// Labels by symbols, and metadata, for protocol 2.0.
    pub(crate) fn resolved(
        &mut self,
        id: u32,
        symbols: &mut Symbols,
    ) -> Option<(&Refs, Option<&Described>)> {
        let extra = self.extras.get_mut(id as usize)?;
        let valid = extra.refs.as_ref().is_some_and(|refs| symbols.is_valid(refs));
        if !valid {
            let mut labels = Vec::new();
            self.stored.write(*self.sets.get(id as usize)?, &mut labels);
            extra.refs = Some(symbols.labels(pairs(&labels)));
        }
        Some((extra.refs.as_ref()?, extra.described.as_deref()))
    }

    /// One use of a number less; without any it is free.
    pub(crate) fn release(&mut self, id: u32) {
        let Some(uses) = self.uses.get_mut(id as usize) else {
            return;
        };
        if (1..u8::MAX).contains(uses) {
            *uses -= 1;
            if *uses == 0 {
                self.forget(id);
            }
        }
    }

    /// Takes a number without uses out.
    fn forget(&mut self, id: u32) {
        let Some(set) = self.sets.get(id as usize) else {
            return;
        };
        let hash = self.hasher.hash_one(set);
        if let Ok(entry) = self.by_content.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        if let Some(extra) = self.extras.get_mut(id as usize) {
            *extra = Extra::default();
        }
        self.free.push(id);
        self.freed += 1;
    }

    /// Counts the uses anew from all that `each` gives, and frees the other numbers.
    pub(crate) fn sweep(&mut self, each: impl FnOnce(&mut dyn FnMut(u32))) {
        let before = std::mem::take(&mut self.uses);
        self.uses.resize(before.len(), 0);
        each(&mut |id| self.hold(id));
        for (id, before) in before.iter().enumerate() {
            if *before > 0 && self.uses.get(id) == Some(&0) {
                self.forget(u32::try_from(id).unwrap_or(u32::MAX));
            }
        }
        self.described.retain(|described| Arc::strong_count(described) > 1);
        self.compact();
    }

    /// Gives back the room of labels that only freed sets have, once that is worth it.
    pub(crate) fn compact(&mut self) {
        let live = self.len();
        if self.freed <= live / 2 + SPARE_SETS {
            return;
        }
        let (mut stored, mut copied) = (StoredLabels::default(), Copied::default());
        let mut sets = self.sets.clone();
        for (set, _) in sets.iter_mut().zip(&self.uses).filter(|(_, uses)| **uses > 0) {
            match stored.copy(&self.stored, *set, &mut copied) {
                Ok(place) => *set = place,
                // What had place before has place again.
                Err(StoreFull) => return,
            }
        }
        stored.shrink();
        (self.stored, self.sets, self.freed) = (stored, sets, 0);
        self.by_content = HashTable::with_capacity(live);
        let hash = hash_of(&self.sets, &self.hasher);
        for (id, _) in (0_u32..).zip(&self.uses).filter(|(_, uses)| **uses > 0) {
            self.by_content.insert_unique(hash(&id), id, &hash);
        }
    }
}

/// The hash of the set of a number.
fn hash_of(sets: &[StoredSet], hasher: &impl BuildHasher) -> impl Fn(&u32) -> u64 {
    move |id| sets.get(*id as usize).map_or(0, |set| hasher.hash_one(set))
}

/// Names and values of encoded labels.
fn pairs(labels: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut outer = weir_model::wire::Reader::new(labels);
    std::iter::from_fn(move || {
        outer.key().ok()??;
        let mut inner = weir_model::wire::Reader::new(outer.bytes().ok()?);
        let (mut name, mut value) = ("", "");
        while let Ok(Some(key)) = inner.key() {
            match key.field {
                1 => name = inner.str().ok()?,
                _ => value = inner.str().ok()?,
            }
        }
        Some((name, value))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use weir_prom::write::push_label;

    use super::*;

    fn number(sets: &mut LabelSets, pairs: &[(&str, &str)]) -> u32 {
        sets.number(&pairs.iter().copied().collect(), None).unwrap()
    }

    fn encoded(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in pairs {
            push_label(&mut out, name, value);
        }
        out
    }

    fn written(sets: &LabelSets, id: u32) -> Vec<u8> {
        let mut out = Vec::new();
        sets.write(id, &mut out);
        out
    }

    #[test]
    fn equal_labels_have_one_number_until_nobody_uses_it() {
        let mut sets = LabelSets::default();
        let (a, b) = ([("a", "1"), ("job", "j")], [("b", "")]);
        assert_eq!([&a[..], &a, &b].map(|set| number(&mut sets, set)), [0, 0, 1]);
        sets.release(0);
        assert_eq!(number(&mut sets, &a), 0);
        sets.sweep(|hold| hold(1));
        // The number is used again for other labels.
        assert_eq!(number(&mut sets, &[("c", "3")]), 0);
        assert_eq!(written(&sets, 0), encoded(&[("c", "3")]));
        assert_eq!(written(&sets, 1), encoded(&b));
        sets.release(0);
        sets.release(0);
        assert_eq!(number(&mut sets, &[("d", "")]), 0);
        assert_eq!(sets.bound(), 2);
    }

    #[test]
    fn the_room_of_freed_sets_comes_back() {
        let mut sets = LabelSets::new(vec!["zone".to_owned()]);
        let add = |sets: &mut LabelSets, n: usize| {
            let n = n.to_string();
            let set = [("instance", n.as_str()), ("m", &n), ("zone", "eu")];
            (number(sets, &set), encoded(&set))
        };
        let kept: Vec<_> = (0..100).map(|n| add(&mut sets, n)).collect();
        let bytes = sets.bytes();
        for round in 1..200 {
            let gone: Vec<_> = (0..100).map(|n| add(&mut sets, 100 * round + n)).collect();
            gone.iter().for_each(|(id, _)| sets.release(*id));
            sets.compact();
            for (id, labels) in &kept {
                assert_eq!(written(&sets, *id), *labels);
            }
        }
        assert!(sets.bytes() < 30 * bytes, "{} of {bytes}", sets.bytes());
        assert_eq!(add(&mut sets, 7).0, kept[7].0);
    }

    #[test]
    fn labels_are_read_back() {
        let labels = encoded(&[("__name__", "m"), ("a", ""), ("z", "\u{e9}")]);
        let read: Vec<_> = pairs(&labels).collect();
        assert_eq!(read, [("__name__", "m"), ("a", ""), ("z", "\u{e9}")]);
    }
}
