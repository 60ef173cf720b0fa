//! Interned values by dense number: what many series share is kept once.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Bytes a value keeps alive.
pub(crate) trait Footprint {
    /// Bytes on the heap and in the table.
    fn footprint(&self) -> usize;
}

/// A table of distinct values. Numbers stay valid until [`Pool::retain`] drops their value.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    state: RandomState,
    bytes: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            state: RandomState::default(),
            bytes: 0,
        }
    }
}

impl<T: Hash + Eq + Footprint> Pool<T> {
    /// The number of a value, which is kept if it is new.
    pub(crate) fn intern(&mut self, value: T) -> u32 {
        let hash = self.state.hash_one(&value);
        let items = &self.items;
        let same = |at: &u32| items.get(*at as usize).and_then(Option::as_ref) == Some(&value);
        if let Some(at) = self.index.find(hash, same) {
            return *at;
        }
        self.bytes += value.footprint();
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.items.push(None);
                // A table of 2^32 values would need far more memory than its owners allow.
                u32::try_from(self.items.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(slot) = self.items.get_mut(at as usize) {
            *slot = Some(value);
        }
        let (items, state) = (&self.items, &self.state);
        self.index.insert_unique(hash, at, |at| {
            items
                .get(*at as usize)
                .and_then(Option::as_ref)
                .map_or(0, |value| state.hash_one(value))
        });
        at
    }

    /// Drops the values whose numbers `keep` refuses.
    pub(crate) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        let items = &mut self.items;
        let (free, bytes) = (&mut self.free, &mut self.bytes);
        self.index.retain(|at| {
            let stays = keep(*at);
            if !stays {
                if let Some(value) = items.get_mut(*at as usize).and_then(Option::take) {
                    *bytes -= value.footprint();
                }
                free.push(*at);
            }
            stays
        });
    }
}

impl<T> Pool<T> {
    /// The value with this number.
    #[inline]
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.items.get(at as usize)?.as_ref()
    }

    /// The value with this number, to change what does not belong to its identity.
    #[inline]
    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.items.get_mut(at as usize)?.as_mut()
    }

    /// Values, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(&self.items)
            .filter_map(|(at, item)| Some((at, item.as_ref()?)))
    }

    /// All values, to change what does not belong to their identity.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().filter_map(Option::as_mut)
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Highest number in use, plus one.
    pub(crate) fn slots(&self) -> usize {
        self.items.len()
    }

    /// Bytes the values keep alive.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Footprint for String {
        fn footprint(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn equal_values_share_a_number_and_freed_numbers_come_back() {
        let mut pool = Pool::default();
        let a = pool.intern("a".to_owned());
        let b = pool.intern("bb".to_owned());
        assert_eq!(pool.intern("a".to_owned()), a);
        assert_ne!(a, b);
        assert_eq!((pool.len(), pool.bytes()), (2, 3));
        pool.retain(|at| at == b);
        assert_eq!(pool.get(a), None);
        assert_eq!((pool.len(), pool.bytes()), (1, 2));
        assert_eq!(pool.intern("c".to_owned()), a);
        assert_eq!(pool.get(b).map(String::as_str), Some("bb"));
        assert_eq!(pool.iter().count(), 2);
    }
}
