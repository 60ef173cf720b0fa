//! The series cache of one target: from a line of its page to what was made of it, in the order of
//! the last scrape.
//!
//! A target writes its page in the same order every time. So the usual look-up is one compare with
//! the line that came next last time ([`ScrapeCache::matches`]), which also saves looking for the
//! end of the labels; a hash index is built only when lines appear or move, and lives for that
//! scrape alone.
//!
//! A line is kept as a fingerprint (96 bits of seeded hash and the length), not as text: 16 bytes
//! instead of 90 or so. See `docs/decisions/series-cache-fingerprints.md`.

mod rebuild;

use std::hash::BuildHasher as _;

use foldhash::quality::FixedState;
use rebuild::Rebuild;

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The line was there in the last scrape and is now at this place.
    Known(Place),
    /// The line was already given in this scrape.
    Repeated(Place),
    /// The line is new: [`ScrapeCache::insert`] it, or leave it out.
    New,
}

/// Place of a line in the current scrape; valid until the scrape is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// The cache has no place for more lines: it holds 2^31, or the line is longer than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the series cache of the target is full")]
pub struct CacheFull;

/// What is kept of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    hash: u64,
    check: u32,
    length: u32,
}

/// Lines of a target and a value of type `T` for each.
///
/// Per scrape: [`begin`](Self::begin), then for each line either [`advance`](Self::advance) (the
/// text [`matches`](Self::matches) the expected line) or [`look_up`](Self::look_up), then
/// [`finish`](Self::finish), or [`abandon`](Self::abandon) if the scrape failed.
#[derive(Debug)]
pub struct ScrapeCache<T> {
    /// The lines of this scrape up to `next`, and behind them those of the last one, unless
    /// `rebuild` has them.
    lines: Vec<Fingerprint>,
    /// A value for each line.
    values: Vec<T>,
    /// How many of `lines` this scrape has had.
    next: usize,
    /// The line that comes next if nothing changed.
    expected: Option<Fingerprint>,
    /// Set once the order has changed in this scrape.
    rebuild: Option<Box<Rebuild<T>>>,
    seeds: [FixedState; 2],
}

impl<T> ScrapeCache<T> {
    /// An empty cache. The seed, which should be random, keeps targets from choosing lines that
    /// collide.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            lines: Vec::new(),
            values: Vec::new(),
            next: 0,
            expected: None,
            rebuild: None,
            seeds: [FixedState::with_seed(seed), FixedState::with_seed(!seed)],
        }
    }

    /// Number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
            + self
                .rebuild
                .as_ref()
                .map_or(0, |rebuild| rebuild.remaining())
    }

    /// Whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory held, in bytes, without what the values point to.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Fingerprint>()
            + self.values.capacity() * size_of::<T>()
            + self.rebuild.as_ref().map_or(0, |rebuild| rebuild.bytes())
    }

    /// Starts a scrape. One that was neither finished nor abandoned counts as abandoned.
    pub fn begin(&mut self) {
        if self.rebuild.is_some() {
            self.abandon(|_| {});
        }
        self.next = 0;
        self.expected = self.lines.first().copied();
    }

    /// The length of the expected line if `text` begins with it.
    ///
    /// A line could begin another one: the caller checks that it ends there.
    #[inline]
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> Option<usize> {
        let expected = self.expected?;
        let length = expected.length as usize;
        let line = text.get(..length)?;
        (self.fingerprint(line).ok()? == expected).then_some(length)
    }

    /// Takes the expected line as given.
    #[inline]
    pub fn advance(&mut self) -> Option<Place> {
        if let Some(rebuild) = &mut self.rebuild {
            let place = rebuild.advance(&mut self.lines, &mut self.values)?;
            self.expected = rebuild.expected();
            return Some(Place(place));
        }
        let place = self.next;
        if place >= self.lines.len() {
            return None;
        }
        self.next = place + 1;
        self.expected = self.lines.get(self.next).copied();
        Some(Place(place))
    }

    /// The value of a line.
    #[inline]
    pub fn value(&mut self, place: Place) -> Option<&mut T> {
        self.values.get_mut(place.0)
    }

    /// Finds a line that is not the expected one.
    pub fn look_up(&mut self, line: &[u8]) -> Lookup {
        let Ok(wanted) = self.fingerprint(line) else {
            return Lookup::New;
        };
        let next = self.next;
        let rebuild = match &mut self.rebuild {
            Some(rebuild) => rebuild,
            none => {
                let rebuild =
                    Rebuild::new(split(&mut self.lines, next), split(&mut self.values, next));
                none.insert(Box::new(rebuild))
            }
        };
        let found = rebuild.look_up(&mut self.lines, &mut self.values, wanted);
        self.expected = rebuild.expected();
        found
    }

    /// Adds a line that [`look_up`](Self::look_up) has just found to be new.
    ///
    /// # Errors
    /// If the cache is full; the line is then new again in the next scrape.
    pub fn insert(&mut self, line: &[u8], value: T) -> Result<Place, CacheFull> {
        let fingerprint = self.fingerprint(line)?;
        let place = self.lines.len();
        if place >= 1 << 31 {
            return Err(CacheFull);
        }
        self.lines.push(fingerprint);
        self.values.push(value);
        if let Some(rebuild) = &mut self.rebuild {
            rebuild.index_new(&self.lines, place);
        }
        Ok(Place(place))
    }

    /// Ends a scrape that was read to its end: the lines that it did not have are taken out, and
    /// their values given to `vanished`.
    pub fn finish(&mut self, mut vanished: impl FnMut(T)) {
        match self.rebuild.take() {
            Some(rebuild) => rebuild.into_remaining(|_, value| vanished(value)),
            None => {
                self.lines.truncate(self.next);
                split(&mut self.values, self.next)
                    .into_iter()
                    .for_each(vanished);
            }
        }
        self.next = self.lines.len();
        self.expected = None;
        if self.lines.capacity() > self.lines.len() + self.lines.len() / 8 + 64 {
            self.lines.shrink_to_fit();
            self.values.shrink_to_fit();
        }
    }

    /// Ends a scrape that failed: all lines stay, those it did not have behind the others; they are
    /// shown to `missed`.
    pub fn abandon(&mut self, mut missed: impl FnMut(&mut T)) {
        match self.rebuild.take() {
            Some(rebuild) => {
                let (lines, values) = (&mut self.lines, &mut self.values);
                rebuild.into_remaining(|line, mut value| {
                    missed(&mut value);
                    lines.push(line);
                    values.push(value);
                });
            }
            None => self.values.iter_mut().skip(self.next).for_each(missed),
        }
        self.next = self.lines.len();
        self.expected = None;
    }

    /// All values. Between scrapes they are in the order of the page.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().chain(
            self.rebuild
                .iter_mut()
                .flat_map(|rebuild| rebuild.values_mut()),
        )
    }

    /// Removes every line, and gives the memory back.
    pub fn clear(&mut self) {
        self.rebuild = None;
        self.lines = Vec::new();
        self.values = Vec::new();
        self.next = 0;
        self.expected = None;
    }

    #[inline]
    fn fingerprint(&self, line: &[u8]) -> Result<Fingerprint, CacheFull> {
        let [first, second] = &self.seeds;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "half of the second hash is enough"
        )]
        let check = second.hash_one(line) as u32;
        let length = u32::try_from(line.len()).map_err(|_| CacheFull)?;
        Ok(Fingerprint {
            hash: first.hash_one(line),
            check,
            length,
        })
    }
}

/// Takes off what lies from `at` on.
fn split<T>(from: &mut Vec<T>, at: usize) -> Vec<T> {
    if at < from.len() {
        from.split_off(at)
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
