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
    labels: Arc<[u8]>,
    /// Metadata of protocol 2.0.
    described: Option<Arc<Described>>,
    refs: Option<Refs>,
}

/// All label sets of an exporter.
#[derive(Debug, Default)]
pub(crate) struct LabelSets {
    by_labels: HashTable<u32>,
    sets: Vec<Option<Set>>,
    free: Vec<u32>,
    hasher: foldhash::fast::RandomState,
}

impl LabelSets {
    /// The line of these labels.
    pub(crate) fn line(&mut self, labels: &[u8], described: Option<&Arc<Described>>) -> Line {
        let hash = self.hasher.hash_one(labels);
        let sets = &self.sets;
        let at = |id: &u32| sets.get(*id as usize).and_then(Option::as_ref);
        let same = |id: &u32| at(id).is_some_and(|set| *set.labels == *labels);
        if let Some(id) = self.by_labels.find(hash, same)
            && let Some(set) = at(id)
        {
            return Line {
                id: *id,
                _labels: set.labels.clone(),
            };
        }
        let labels: Arc<[u8]> = labels.into();
        let set = Some(Set {
            hash,
            labels: labels.clone(),
            described: described.cloned(),
            refs: None,
        });
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.sets.push(None);
                u32::try_from(self.sets.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.sets.get_mut(id as usize) {
            *place = set;
        }
        let sets = &self.sets;
        self.by_labels.insert_unique(hash, id, |id| {
            let set = sets.get(*id as usize).and_then(Option::as_ref);
            set.map_or(0, |set| set.hash)
        });
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
        self.set(id).map_or(&[], |set| &set.labels)
    }

    fn set(&self, id: u32) -> Option<&Set> {
        self.sets.get(id as usize).and_then(Option::as_ref)
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
            set.refs = Some(symbols.labels(pairs(&set.labels)));
        }
        Some((set.refs.as_ref()?, set.described.as_deref()))
    }

    /// Frees this number if no line of it is left.
    pub(crate) fn release(&mut self, id: u32) -> bool {
        let unused = self
            .set(id)
            .is_some_and(|set| Arc::strong_count(&set.labels) == 1);
        if unused
            && let Some(set) = self.sets.get_mut(id as usize).and_then(Option::take)
        {
            if let Ok(entry) = self.by_labels.find_entry(set.hash, |other| *other == id) {
                entry.remove();
            }
            self.free.push(id);
        }
        unused
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
