//! Label sets: every distinct one once, whatever series it comes from, with a dense number.
//!
//! The number is what makes points of different resources or scopes samples of one series
//! (PRW-18): it is the place of the chain of samples that a batch collects.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use weir_prom::write::{Refs, Symbols};

use super::labels::Described;

/// One label set of a series, by its number.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) id: u32,
    /// Keeps the number from being used for other labels.
    _labels: Arc<[u8]>,
}

#[derive(Debug)]
struct Set {
    hash: u64,
    /// Metadata of protocol 2.0.
    described: Option<Arc<Described>>,
    refs: Option<Refs>,
}

/// All label sets of an exporter.
#[derive(Debug, Default)]
pub(crate) struct LabelSets {
    by_labels: HashTable<u32>,
    /// Encoded labels by number, apart from what is rarely read; empty where a number is free.
    labels: Vec<Arc<[u8]>>,
    sets: Vec<Option<Set>>,
    free: Vec<u32>,
    hasher: foldhash::fast::RandomState,
}

impl LabelSets {
    /// The line of these labels.
    pub(crate) fn line(&mut self, labels: &[u8], described: Option<&Arc<Described>>) -> Line {
        let hash = self.hasher.hash_one(labels);
        let (known, sets) = (&self.labels, &self.sets);
        let same = |id: &u32| known.get(*id as usize).is_some_and(|known| **known == *labels);
        if let Some(id) = self.by_labels.find(hash, same)
            && let Some(labels) = known.get(*id as usize)
        {
            return Line {
                id: *id,
                _labels: labels.clone(),
            };
        }
        let hash_of = |id: &u32| {
            let set = sets.get(*id as usize).and_then(Option::as_ref);
            set.map_or(0, |set| set.hash)
        };
        let id = match self.free.pop() {
            Some(id) => id,
            None => u32::try_from(self.sets.len()).unwrap_or(u32::MAX),
        };
        self.by_labels.insert_unique(hash, id, hash_of);
        let labels: Arc<[u8]> = labels.into();
        let set = Some(Set {
            hash,
            described: described.cloned(),
            refs: None,
        });
        match (self.sets.get_mut(id as usize), self.labels.get_mut(id as usize)) {
            (Some(place), Some(text)) => (*place, *text) = (set, labels.clone()),
            _ => {
                self.sets.push(set);
                self.labels.push(labels.clone());
            }
        }
        Line {
            id,
            _labels: labels,
        }
    }

    /// One more than the highest number.
    pub(crate) fn bound(&self) -> usize {
        self.sets.len()
    }

    /// The encoded labels of a number.
    pub(crate) fn labels(&self, id: u32) -> &[u8] {
        self.labels.get(id as usize).map_or(&[], |labels| labels)
    }

    /// Labels by symbols, and metadata, for protocol 2.0.
    pub(crate) fn resolved(
        &mut self,
        id: u32,
        symbols: &mut Symbols,
    ) -> Option<(&Refs, Option<&Described>)> {
        let set = self.sets.get_mut(id as usize)?.as_mut()?;
        let valid = set.refs.as_ref().is_some_and(|refs| symbols.is_valid(refs));
        if !valid {
            set.refs = Some(symbols.labels(pairs(self.labels.get(id as usize)?)));
        }
        Some((set.refs.as_ref()?, set.described.as_deref()))
    }

    /// Frees this number if no line of it is left.
    pub(crate) fn release(&mut self, id: u32) -> bool {
        let Some(labels) = self.labels.get_mut(id as usize) else {
            return false;
        };
        if Arc::strong_count(labels) > 1 {
            return false;
        }
        let Some(set) = self.sets.get_mut(id as usize).and_then(Option::take) else {
            return false;
        };
        if let Ok(entry) = self.by_labels.find_entry(set.hash, |other| *other == id) {
            entry.remove();
        }
        *labels = Arc::default();
        self.free.push(id);
        true
    }

    /// Frees all numbers without a line.
    pub(crate) fn sweep(&mut self) {
        for id in 0..u32::try_from(self.sets.len()).unwrap_or(u32::MAX) {
            self.release(id);
        }
    }
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

    fn encoded(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in pairs {
            push_label(&mut out, name, value);
        }
        out
    }

    #[test]
    fn equal_labels_have_one_number_until_nobody_uses_it() {
        let mut sets = LabelSets::default();
        let (a, b) = (encoded(&[("a", "1")]), encoded(&[("b", "")]));
        let first = sets.line(&a, None);
        let again = sets.line(&a, None);
        let other = sets.line(&b, None);
        assert_eq!((first.id, again.id, other.id), (0, 0, 1));
        drop(first);
        sets.sweep();
        assert_eq!(sets.line(&a, None).id, 0);
        drop(again);
        sets.sweep();
        assert!(sets.labels(0).is_empty());
        // The number is used again for other labels.
        assert_eq!(sets.line(&encoded(&[("c", "3")]), None).id, 0);
        assert_eq!(sets.bound(), 2);
    }

    #[test]
    fn labels_are_read_back() {
        let labels = encoded(&[("__name__", "m"), ("a", ""), ("z", "\u{e9}")]);
        let read: Vec<_> = pairs(&labels).collect();
        assert_eq!(read, [("__name__", "m"), ("a", ""), ("z", "\u{e9}")]);
    }
}
