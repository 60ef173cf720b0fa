//! A scrape whose lines differ from those of the last one: what is left of the old order, and the
//! index in which moved and repeated lines are found.

use hashbrown::HashTable;

use super::{Fingerprint, Lookup, Place};

/// How many expected lines may be missing before the index is asked. A few lines that vanish are
/// then noticed without any index.
const LOOK_AHEAD: usize = 4;

/// Marks an index entry that refers to the old order.
const OLD: u32 = 1 << 31;

/// State of a scrape in which the order has changed.
#[derive(Debug)]
pub(super) struct Rebuild<T> {
    /// The old lines from the first difference on.
    old: Vec<Fingerprint>,
    /// Their values, as far as this scrape has not had them.
    values: Vec<Option<T>>,
    /// How many of them are left.
    left: usize,
    /// The old line that is expected next.
    next: usize,
    /// Old lines by `OLD | place`, new ones by place. Absent until a line had to be searched.
    index: Option<HashTable<u32>>,
}

impl<T> Rebuild<T> {
    pub(super) fn new(old: Vec<Fingerprint>, values: Vec<T>) -> Self {
        let values: Vec<Option<T>> = values.into_iter().map(Some).collect();
        let left = values.len();
        Self {
            old,
            values,
            left,
            next: 0,
            index: None,
        }
    }

    pub(super) fn remaining(&self) -> usize {
        self.left
    }

    pub(super) fn bytes(&self) -> usize {
        self.old.capacity() * size_of::<Fingerprint>()
            + self.values.capacity() * size_of::<Option<T>>()
            + self.index.as_ref().map_or(0, HashTable::allocation_size)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().flatten()
    }

    pub(super) fn expected(&self) -> Option<Fingerprint> {
        self.old.get(self.next).copied()
    }

    /// Takes the expected line.
    pub(super) fn advance(
        &mut self,
        lines: &mut Vec<Fingerprint>,
        values: &mut Vec<T>,
    ) -> Option<usize> {
        self.take(lines, values, self.next)
    }

    /// Moves the old line `at` behind the new ones, and expects the one after it.
    fn take(
        &mut self,
        lines: &mut Vec<Fingerprint>,
        values: &mut Vec<T>,
        at: usize,
    ) -> Option<usize> {
        let value = self.values.get_mut(at)?.take()?;
        let line = *self.old.get(at)?;
        let place = lines.len();
        lines.push(line);
        values.push(value);
        self.left -= 1;
        if let Some(index) = &mut self.index
            && let Some(entry) = index.find_mut(line.hash, |entry| *entry == OLD | entry_of(at))
        {
            *entry = entry_of(place);
        }
        self.next = at + 1;
        while self.values.get(self.next).is_some_and(Option::is_none) {
            self.next += 1;
        }
        Some(place)
    }

    pub(super) fn look_up(
        &mut self,
        lines: &mut Vec<Fingerprint>,
        values: &mut Vec<T>,
        wanted: Fingerprint,
    ) -> Lookup {
        let found = match self.ahead(wanted) {
            Some(at) => Some(OLD | entry_of(at)),
            None => self.search(lines, wanted),
        };
        match found {
            None => Lookup::New,
            Some(entry) if entry & OLD == 0 => Lookup::Repeated(Place(entry as usize)),
            Some(entry) => self
                .take(lines, values, (entry & !OLD) as usize)
                .map_or(Lookup::New, |place| Lookup::Known(Place(place))),
        }
    }

    /// The place of the line among the next few old ones.
    fn ahead(&self, wanted: Fingerprint) -> Option<usize> {
        let next = self.old.get(self.next..)?;
        let offset = next
            .iter()
            .take(1 + LOOK_AHEAD)
            .position(|line| *line == wanted)?;
        let at = self.next + offset;
        self.values.get(at)?.is_some().then_some(at)
    }

    fn search(&mut self, lines: &[Fingerprint], wanted: Fingerprint) -> Option<u32> {
        if self.index.is_none() {
            self.index = Some(self.build_index(lines));
        }
        let equals = |entry: &u32| line_of(*entry, lines, &self.old) == Some(wanted);
        self.index.as_ref()?.find(wanted.hash, equals).copied()
    }

    /// An index of all lines.
    fn build_index(&self, lines: &[Fingerprint]) -> HashTable<u32> {
        let mut index = HashTable::with_capacity(lines.len() + self.left);
        let hash = |entry: &u32| line_of(*entry, lines, &self.old).map_or(0, |line| line.hash);
        for (place, line) in lines.iter().enumerate() {
            index.insert_unique(line.hash, entry_of(place), hash);
        }
        for (at, (line, value)) in self.old.iter().zip(&self.values).enumerate() {
            if value.is_some() {
                index.insert_unique(line.hash, OLD | entry_of(at), hash);
            }
        }
        index
    }

    /// Makes the new line at `place` findable.
    pub(super) fn index_new(&mut self, lines: &[Fingerprint], place: usize) {
        if let (Some(index), Some(line)) = (&mut self.index, lines.get(place)) {
            let old = &self.old;
            index.insert_unique(line.hash, entry_of(place), |entry| {
                line_of(*entry, lines, old).map_or(0, |line| line.hash)
            });
        }
    }

    /// Gives out the lines that this scrape has not had.
    pub(super) fn into_remaining(self, mut visit: impl FnMut(Fingerprint, T)) {
        for (line, value) in self.old.into_iter().zip(self.values) {
            if let Some(value) = value {
                visit(line, value);
            }
        }
    }
}

/// The line that an index entry refers to.
fn line_of(entry: u32, lines: &[Fingerprint], old: &[Fingerprint]) -> Option<Fingerprint> {
    if entry & OLD == 0 {
        lines.get(entry as usize).copied()
    } else {
        old.get((entry & !OLD) as usize).copied()
    }
}

/// Places are below 2^31, as [`insert`](super::ScrapeCache::insert) sees to.
fn entry_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
