//! The symbols of protocol 2.0: every text once per request, and labels as pairs of numbers.
//!
//! A text gets a number for the life of the exporter, so that a series is resolved once; a request
//! then numbers the ones it uses in the order of their first use (PRW-46). A table of stamps by
//! number makes that two array accesses per text.

use hashbrown::HashTable;
use std::hash::BuildHasher as _;

/// Numbers of the label names and values of a series: name, value, name, value, sorted by name.
/// They hold until the symbols are [`clear`](Symbols::clear)ed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refs {
    numbers: Box<[u32]>,
    epoch: u32,
}

/// All texts of the series of an exporter.
#[derive(Debug)]
pub struct Symbols {
    texts: Vec<Box<str>>,
    by_text: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    bytes: usize,
    epoch: u32,
    /// For each text the request that last used it, and its number there.
    used: Vec<(u32, u32)>,
    request: u32,
}

impl Default for Symbols {
    fn default() -> Self {
        Self {
            texts: Vec::new(),
            by_text: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            bytes: 0,
            epoch: 0,
            used: Vec::new(),
            request: 0,
        }
    }
}

impl Symbols {
    /// No texts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of text held, for the caller's bound. Over it, [`clear`](Self::clear).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.texts.len() * (size_of::<Box<str>>() + size_of::<(u32, u32)>() + 8)
    }

    /// Forgets all texts: numbers given out before are no longer valid, which
    /// [`is_valid`](Self::is_valid) tells.
    pub fn clear(&mut self) {
        self.texts.clear();
        self.by_text.clear();
        self.used.clear();
        self.bytes = 0;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Whether the numbers were given out since the last [`clear`](Self::clear).
    #[must_use]
    pub fn is_valid(&self, refs: &Refs) -> bool {
        refs.epoch == self.epoch
    }

    /// Numbers for labels, which must be sorted by name.
    pub fn labels<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Refs {
        let mut numbers = Vec::new();
        for (name, value) in labels {
            numbers.push(self.number(name));
            numbers.push(self.number(value));
        }
        Refs {
            numbers: numbers.into(),
            epoch: self.epoch,
        }
    }

    /// The number of a text.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let texts = &self.texts;
        let same = |number: &u32| {
            texts
                .get(*number as usize)
                .is_some_and(|known| &**known == text)
        };
        if let Some(number) = self.by_text.find(hash, same) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.into());
        self.used.push((0, 0));
        self.bytes += text.len();
        let (texts, hasher) = (&self.texts, &self.hasher);
        self.by_text.insert_unique(hash, number, |number| {
            texts
                .get(*number as usize)
                .map_or(0, |text| hasher.hash_one(&**text))
        });
        number
    }

    /// Starts the numbering of a request.
    pub(super) fn begin_request(&mut self) {
        self.request = self.request.wrapping_add(1);
        if self.request == 0 {
            self.used.fill((0, 0));
            self.request = 1;
        }
    }

    /// The number of a text in this request. A new one is appended to `order`; the numbers start
    /// after the empty text, which is always 0.
    pub(super) fn in_request(&mut self, number: u32, order: &mut Vec<u32>) -> u32 {
        let Some(used) = self.used.get_mut(number as usize) else {
            return 0;
        };
        if used.0 == self.request {
            return used.1;
        }
        if self
            .texts
            .get(number as usize)
            .is_some_and(|text| text.is_empty())
        {
            *used = (self.request, 0);
            return 0;
        }
        order.push(number);
        let place = u32::try_from(order.len()).unwrap_or(u32::MAX);
        *used = (self.request, place);
        place
    }

    /// Takes back the numbers given since `order` had this length.
    pub(super) fn forget_from(&mut self, order: &mut Vec<u32>, len: usize) {
        for number in order.drain(len.min(order.len())..) {
            if let Some(used) = self.used.get_mut(number as usize) {
                *used = (0, 0);
            }
        }
    }

    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }
}

impl Refs {
    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers
    }
}
